package predict

import (
	"cmp"
	"slices"

	"github.com/evtrace/evtrace/evtchn"
)

// Outcome says what a prediction rests on, and what it changed.
type Outcome struct {
	Reruns   uint64        // operations of the capture that the policy does otherwise
	Departed *evtchn.Event // the first of them, nil: none
	Instead  *evtchn.Event // and what happens in its place, nil: nothing

	Drawn     bool   // a latency was drawn
	WrongVCPU uint64 // ports handled by a vcpu that they are not bound to
	Late      uint64 // ports that were selected for their vcpu, which nobody kicked, and noticed when something else made it look
	Unclear   uint64 // the same with UP set: the vcpu looks when it next enters Xen, which a capture does not show

	Circles uint64 // ports that were handed from vcpu to vcpu without end

	// What was assumed.
	Unknown   uint64 // operations on ports of which it is not known whether they were pending: taken as not pending
	Undecided uint64 // those of them that the policy would lose if they were pending
	Unseen    uint64 // events that would be lost if they came before an unmask, which their unseen sends may have done, by the slowest kick of the capture
	NoIPI     uint64 // vcpus that could not be sent an IPI event, since its port is not known: taken as it was observed
	NoSamples uint64 // looks for whose latency the capture has no sample: taken as none

	Episodes   []Episode // that went otherwise than in the capture, the first ones
	Departures uint64    // how many there are
}

// Fate is what became of an event of a port.
type Fate string

// The fates.
const (
	FateNoticed Fate = "noticed" // its vcpu was told of it, and looked
	FateRescued Fate = "rescued" // nobody was going to look, until another port's event or another operation made somebody
	FateClosed  Fate = "closed"  // the port was closed before anybody looked
	FateOpen    Fate = "open"    // nobody had looked when the capture ended
	FateNone    Fate = "none"    // there was no such event
)

// Episode is one event of a port that the policy treats otherwise: exposed by an operation that was run again. Delays are from
// that operation to the start of the handler, in the trace's unit.
type Episode struct {
	Port      evtchn.Port
	Seq       evtchn.Seq  // the operation's first event in the capture
	At        evtchn.Time // and when it was
	Op        string      // "unmask", "raise", "move", "bind"
	VCPU      evtchn.VCPU // that ran it
	Observed  Ending
	Predicted Ending

	dist  *Dist
	toldV evtchn.VCPU
	obs   bool // the capture's side has ended
	pre   bool // and the prediction's

	obsUnnoticed, preUnnoticed bool // there was a time when nobody was going to look
}

// Ending is how an episode ended, in the capture or in the prediction.
type Ending struct {
	Fate      Fate
	Delay     evtchn.Time // -1: never
	VCPU      evtchn.VCPU // that handled it
	RescuedBy evtchn.Port // NoPort: none, or not another port's event

	// Of a prediction: the spread of the delay, and whose latencies it is drawn from. A delay that follows from what the capture shows has
	// no spread.
	P10, P50, P90 evtchn.Time
	Samples       uint64
	SamplesOf     string
}

// episodes keeps the story of what went otherwise.
type episodes struct {
	max   int
	list  []*Episode
	open  map[evtchn.Port][]*Episode
	total uint64
	lastV evtchn.VCPU
	last  *Dist
	swept bool
	waits map[evtchn.VCPU][]*Episode
}

// maxOpen bounds how many episodes of one port are followed at a time.
const maxOpen = 64

func newEpisodes(limit int) episodes {
	return episodes{max: limit, open: make(map[evtchn.Port][]*Episode), waits: make(map[evtchn.VCPU][]*Episode), lastV: evtchn.NoVCPU}
}

// told begins an episode with an operation that was run again, if it left the port exposed in the prediction or in the capture.
func (e *episodes) told(p *Prediction, ev *evtchn.Event, q evtchn.Port, op string) {
	d, v := e.last, e.lastV
	e.last, e.lastV = nil, evtchn.NoVCPU
	for _, x := range e.open[q] {
		if !x.pre { // told once more
			if d != nil {
				x.dist, x.toldV = d, v
			}
			return
		}
	}
	if p.pre.Pending(q) != evtchn.One || p.pre.Masked(q) == evtchn.One {
		return
	}
	e.total++
	if len(e.list) >= e.max || len(e.open[q]) >= maxOpen {
		return
	}
	x := &Episode{Port: q, Seq: ev.Seq, At: ev.Time, Op: op, VCPU: ev.VCPU, dist: d, toldV: v}
	x.Observed = Ending{Fate: FateOpen, Delay: -1, VCPU: evtchn.NoVCPU}
	x.Predicted = x.Observed
	e.list = append(e.list, x)
	e.open[q] = append(e.open[q], x)
}

// picked ends the prediction's side of the port's episode.
func (e *episodes) picked(p *Prediction, q evtchn.Port, v evtchn.VCPU, drawn bool) {
	for _, x := range e.open[q] {
		if x.pre {
			continue
		}
		x.pre = true
		end := &x.Predicted
		end.Fate, end.VCPU, end.Delay = FateNoticed, v, p.now-x.At
		end.P10, end.P50, end.P90 = end.Delay, end.Delay, end.Delay
		switch {
		case x.preUnnoticed:
			end.Fate = FateRescued
			if r := p.pre.V[v].ScanBy[p.pre.Word(q)]; !e.swept && r != q {
				end.RescuedBy = r
			}
		case x.dist != nil && x.toldV == v && x.dist.N() > 0:
			end.Samples, end.SamplesOf = x.dist.N(), x.dist.What()
			end.P10, end.P50, end.P90 = x.dist.Quantile(.1), x.dist.Quantile(.5), x.dist.Quantile(.9)
			if drawn {
				e.waits[v] = append(e.waits[v], x) // its vcpu's next look bounds it
			} else {
				end.bound(end.Delay)
			}
		}
		e.prune(q)
		return
	}
}

// unnoticed notes of which ports nobody is going to look any more.
func (e *episodes) unnoticed(s *evtchn.State, inCapture bool) {
	for _, q := range s.Changed() {
		if !s.Unnoticed(q) {
			continue
		}
		for _, x := range e.open[q] {
			if inCapture {
				x.obsUnnoticed = true
			} else {
				x.preUnnoticed = true
			}
		}
	}
}

// bound cuts the spread at a delay by which the vcpu is known to have looked.
func (n *Ending) bound(d evtchn.Time) {
	n.P10, n.P50, n.P90 = min(n.P10, d), min(n.P50, d), min(n.P90, d)
}

// looked notes that the capture shows the vcpu to look.
func (e *episodes) looked(v evtchn.VCPU, at evtchn.Time) {
	if ws := e.waits[v]; len(ws) > 0 {
		for _, x := range ws {
			x.Predicted.bound(max(at-x.At, x.Predicted.Delay))
		}
		e.waits[v] = ws[:0]
	}
}

// noticed ends the capture's side of the port's episodes.
func (e *episodes) noticed(p *Prediction, q evtchn.Port, at evtchn.Time, v evtchn.VCPU) {
	for _, x := range e.open[q] {
		if x.obs {
			continue
		}
		x.obs = true
		x.Observed.Fate, x.Observed.Delay, x.Observed.VCPU = FateNoticed, at-x.At, v
		if x.obsUnnoticed {
			x.Observed.Fate = FateRescued
			if v >= 0 {
				if r := p.obs.V[v].ScanBy[p.obs.Word(q)]; r != q {
					x.Observed.RescuedBy = r
				}
			}
		}
	}
	e.prune(q)
}

func (e *episodes) prune(q evtchn.Port) {
	if xs := slices.DeleteFunc(e.open[q], func(x *Episode) bool { return x.obs && x.pre }); len(xs) > 0 {
		e.open[q] = xs
	} else {
		delete(e.open, q)
	}
}

// closed ends what is open of the port with the port.
func (e *episodes) closed(q evtchn.Port) {
	for _, x := range e.open[q] {
		if !x.obs {
			x.Observed.Fate = FateClosed
		}
		if !x.pre {
			x.Predicted.Fate = FateClosed
		}
	}
	delete(e.open, q)
}

// finish gives the episodes in the order in which they began.
func (e *episodes) finish() ([]Episode, uint64) {
	list := make([]Episode, 0, len(e.list))
	for _, x := range e.list {
		list = append(list, *x)
	}
	slices.SortFunc(list, func(a, b Episode) int { return cmp.Or(cmp.Compare(a.Seq, b.Seq), cmp.Compare(a.Port, b.Port)) })
	return list, e.total
}
