package timeline

import "github.com/evtrace/evtrace/evtchn"

// ScanLimit is how many events of a window are read one by one. More are sampled: see Plan. Applying and adding that many took 13 to 27 ms
// with 16 vcpus (scenario seed-port65); reading them from a store comes on top.
const ScanLimit = 200_000

// SampleLimit is how many states a plan asks for at most.
const SampleLimit = 120

// Reading is a way to fill a builder.
type Reading struct {
	Scan bool          // read every event of the window: Builder.Start, then Add
	At   []evtchn.Time // otherwise, the times near which to take a state: Builder.Sample, then Unnoticed for the findings
}

// Plan says how to read a window that has that many events. For a sample any state near the time will do, such as that of a keyframe
// before it, which costs no replay: the state itself says when it was. The times are in order, the middles of equal parts of the window.
func Plan(spec Spec, events uint64) Reading {
	spec = spec.valid()
	if events <= ScanLimit {
		return Reading{Scan: true}
	}
	g := spec.grid()
	g.cols = min(spec.Cols, SampleLimit)
	r := Reading{At: make([]evtchn.Time, 0, g.cols)}
	for c := range g.cols {
		from, to := g.edge(c), g.edge(c+1)
		r.At = append(r.At, from+(to-from)/2)
	}
	return r
}
