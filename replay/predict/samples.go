package predict

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/evtrace/evtrace/evtchn"
)

// Path is how a vcpu comes to look at its ports.
type Path uint8

// The paths.
const (
	PathOwn  Path = iota // it told itself: it looks as soon as its upcalls are enabled
	PathKick             // somebody else told it: it was woken, or interrupted by a physical IPI
	numPaths
)

var pathNames = [numPaths]string{"own", "kick"}

// String gives "own" or "kick".
func (p Path) String() string {
	if p < numPaths {
		return pathNames[p]
	}
	return fmt.Sprintf("path:%d", p)
}

// Span is a stretch of a trace, both ends included.
type Span struct{ From, To evtchn.Seq }

// Harvest collects, from the events of a capture, how long a vcpu took from being told of a port to the start of the port's handler.
// It is an evtchn.Sink. Only what was seen counts: a send that nobody saw has no beginning, a port that was passed over or masked
// meanwhile says nothing about the vcpu.
type Harvest struct {
	st      *evtchn.State
	holdOut []Span
	start   map[evtchn.Port]told
	pools   []pool // by vcpu and path
}

// told is a port whose vcpu has been told, and has not looked yet.
type told struct {
	at   evtchn.Time
	v    evtchn.VCPU
	path Path
}

// pool is a bounded random choice of the samples of one key (Vitter's algorithm R), drawn by the ordinal of the sample alone.
type pool struct {
	kept []evtchn.Time
	seen uint64
}

const maxPool = 4096

func (p *pool) add(d evtchn.Time) {
	p.seen++
	if len(p.kept) < maxPool {
		p.kept = append(p.kept, d)
		return
	}
	if i := rand.New(rand.NewPCG(p.seen, maxPool)).Uint64N(p.seen); i < maxPool {
		p.kept[i] = d
	}
}

// NewHarvest prepares for the events of a capture. What was told within holdOut gives no sample. Errors are those of evtchn.NewState.
func NewHarvest(meta evtchn.Meta, holdOut ...Span) (*Harvest, error) {
	st, err := evtchn.NewState(meta)
	if err != nil {
		return nil, err
	}
	return &Harvest{st: st, holdOut: holdOut, start: make(map[evtchn.Port]told), pools: make([]pool, len(st.V)*int(numPaths))}, nil
}

// Add takes the next event. It returns no error.
func (h *Harvest) Add(ev *evtchn.Event) error {
	if ev.Port != evtchn.NoPort {
		h.note(ev)
	}
	h.st.Apply(ev)
	return nil
}

func (h *Harvest) note(ev *evtchn.Event) {
	switch ev.Kind {
	case evtchn.KindSelTAS:
		n := ev.Target()
		// A bit that was set already means that the vcpu had been told before.
		if ev.VCPU < 0 || ev.Res == 1 || n < 0 || int(n) >= len(h.st.V) || h.st.Accepts(n, ev.Port) != evtchn.One || h.held(ev.Seq) {
			delete(h.start, ev.Port)
			return
		}
		path := PathKick
		if n == ev.VCPU {
			path = PathOwn
		}
		h.start[ev.Port] = told{at: ev.Time, v: n, path: path}
	case evtchn.KindDeliver:
		if s, ok := h.start[ev.Port]; ok && s.v == ev.VCPU && !h.st.Unnoticed(ev.Port) && ev.Time >= s.at {
			h.pools[int(s.v)*int(numPaths)+int(s.path)].add(ev.Time - s.at)
		}
		delete(h.start, ev.Port)
	case evtchn.KindMaskTAS, evtchn.KindPendClear, evtchn.KindOwnerWrite, evtchn.KindPortVCPU, evtchn.KindPortClose:
		delete(h.start, ev.Port)
	}
}

func (h *Harvest) held(s evtchn.Seq) bool {
	for _, o := range h.holdOut {
		if o.From <= s && s <= o.To {
			return true
		}
	}
	return false
}

// Samples are the latencies of a capture: what a vcpu takes from being told to the start of the handler, by vcpu and by path.
type Samples struct {
	by  []Dist // by vcpu and path
	all [numPaths]Dist
	any Dist
	min int
}

// Dist is an empirical distribution, in the trace's unit.
type Dist struct {
	d    []evtchn.Time // in order
	seen uint64
	what string
}

// N is how many samples stand behind it.
func (d *Dist) N() uint64 { return d.seen }

// What names whose samples they are.
func (d *Dist) What() string { return d.what }

// Quantile gives the sample below which the part q of all samples lies, 0 if there is none.
func (d *Dist) Quantile(q float64) evtchn.Time {
	if len(d.d) == 0 {
		return 0
	}
	return d.d[min(max(int(q*float64(len(d.d))), 0), len(d.d)-1)]
}

// Samples gives what was collected. A key with fewer than min samples borrows those of all vcpus.
func (h *Harvest) Samples(min int) *Samples {
	s := &Samples{by: make([]Dist, len(h.pools)), min: min}
	s.any.what = "any"
	for p := range s.all {
		s.all[p].what = "all vcpus, " + Path(p).String()
	}
	for i := range h.pools {
		pl := &h.pools[i]
		path := i % int(numPaths)
		s.by[i] = Dist{slices.Clone(pl.kept), pl.seen, fmt.Sprintf("vcpu %d, %s", i/int(numPaths), Path(path))}
		for _, d := range []*Dist{&s.all[path], &s.any} {
			d.d = append(d.d, pl.kept...)
			d.seen += pl.seen
		}
		slices.Sort(s.by[i].d)
	}
	for p := range s.all {
		slices.Sort(s.all[p].d)
	}
	slices.Sort(s.any.d)
	return s
}

// Of gives the distribution for a vcpu and a path: its own if there are enough samples of it, else that of all vcpus.
func (s *Samples) Of(v evtchn.VCPU, path Path) *Dist {
	if d := &s.by[int(v)*int(numPaths)+int(path)]; len(d.d) >= max(s.min, 1) {
		return d
	}
	if d := &s.all[path]; len(d.d) >= max(s.min, 1) {
		return d
	}
	return &s.any
}

// Keys lists the distributions by vcpu and path that have samples.
func (s *Samples) Keys() []*Dist {
	var ds []*Dist
	for i := range s.by {
		if len(s.by[i].d) > 0 {
			ds = append(ds, &s.by[i])
		}
	}
	return ds
}
