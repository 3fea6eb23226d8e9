package minimize

import (
	"context"
	"fmt"
	"slices"

	"github.com/evtrace/evtrace/evtchn"
)

// Capture is a trace of a real system that is to be made small by leaving records out.
type Capture struct {
	Meta   evtchn.Meta
	Events []evtchn.Event
	Ports  []evtchn.Port // of which every record stays: that of the finding, and the one that rescued it
	From   evtchn.Seq    // the first event of the finding: what is before may be cut
	Until  evtchn.Seq    // its last: what is after may be cut; 0: nothing may, because it lasts to the end
}

// Cut says what was left out.
type Cut struct {
	Meta   evtchn.Meta // of what is left
	Events []evtchn.Event
	Before int      // events cut off at the beginning
	After  int      // at the end
	Gone   []string // what was left out between, in words: ports, vcpus, kinds of record
}

// Records makes a capture small. What is left out is never a single record, which could be just the one that speaks against the finding, but all
// before a time or after one, all of a port, all of a vcpu that are about no port, or all of a kind. A beginning that was cut off is
// a gap. Records of the capture's ports, binds and gaps always stay. Errors are ErrGone, and those of the test.
func Records(ctx context.Context, c *Capture, test func(context.Context, *Cut) (Fact, error), opt Options) (*Result[int], *Cut, error) {
	r := records{Capture: c, until: len(c.Events)}
	s, err := start(ctx, nil, func(ctx context.Context, units []int) (Fact, error) { return test(ctx, r.make(r.from, r.until, units)) }, &opt)
	if err != nil {
		return nil, nil, err
	}
	if !s.fact.Holds {
		return nil, nil, ErrGone
	}
	r.window(s, test)
	r.divide()
	s.best = r.all()
	for {
		s.phase = "records"
		s.reduce(s.singles(func(*int) bool { return false }))
		if s.over() || !r.window(s, test) { // with fewer ports the window may be narrower
			break
		}
	}
	res, err := s.result()
	if err != nil {
		return nil, nil, err
	}
	res.Minimal = !res.Stopped
	return res, r.make(r.from, r.until, res.Candidate), nil
}

// records is a search over a capture.
type records struct {
	*Capture
	from, until int     // indexes of events
	unit        []int32 // by event: of what it is part, -1: it stays
	names       []string
}

// window finds the shortest time that will do, in steps that double: what is left of the beginning, then of the end. It reports whether it
// found a shorter one.
func (r *records) window(s *search[int], test func(context.Context, *Cut) (Fact, error)) bool {
	s.phase = "window"
	ok := func(from, until int) bool {
		f, err := test(s.ctx, r.make(from, until, s.best))
		if err != nil {
			if !s.over() {
				s.err = err
			}
			return false
		}
		s.runs++
		if f.Holds {
			s.fact, r.from, r.until = f, from, until
		}
		s.tell()
		return f.Holds
	}
	from, until := r.from, r.until
	first, _ := slices.BinarySearchFunc(r.Events, r.From, bySeq)
	for size := 1; first-size > r.from && !s.over(); size *= 2 {
		if ok(first-size, r.until) {
			break
		}
	}
	if r.Until != 0 {
		last, _ := slices.BinarySearchFunc(r.Events, r.Until, bySeq)
		for size := 1; last+size < r.until && !s.over(); size *= 2 {
			if ok(r.from, last+size) {
				break
			}
		}
	}
	return r.from != from || r.until != until
}

func bySeq(ev evtchn.Event, seq evtchn.Seq) int {
	switch {
	case ev.Seq < seq:
		return -1
	case ev.Seq > seq:
		return 1
	}
	return 0
}

// divide says of each event of what it is part.
func (r *records) divide() {
	r.unit = make([]int32, len(r.Events))
	at := make(map[string]int32)
	for i := range r.Events {
		name := r.part(&r.Events[i])
		if name == "" || i == len(r.Events)-1 {
			r.unit[i] = -1
			continue
		}
		n, ok := at[name]
		if !ok {
			n = int32(len(r.names))
			at[name] = n
			r.names = append(r.names, name)
		}
		r.unit[i] = n
	}
}

// part names what a record is part of; "" if it must stay.
func (r *records) part(ev *evtchn.Event) string {
	switch {
	case ev.Kind == evtchn.KindGap || ev.Kind == evtchn.KindEnd || slices.Contains(r.Ports, ev.Port):
		return ""
	case ev.Port != evtchn.NoPort:
		return fmt.Sprintf("port %d", ev.Port)
	case ev.VCPU >= 0:
		return fmt.Sprintf("vcpu %d", ev.VCPU)
	case ev.Kind.Spec().Args != nil && ev.Target() >= 0:
		return fmt.Sprintf("%s of vcpu %d", ev.Kind, ev.Target())
	}
	return ev.Kind.String()
}

func (r *records) all() []int {
	list := make([]int, len(r.names))
	for i := range list {
		list[i] = i
	}
	return list
}

// lasting reports whether a record says what is true from then on, so that it stays when the beginning is cut off.
func lasting(ev *evtchn.Event) bool {
	switch ev.Kind {
	case evtchn.KindStart, evtchn.KindPortBind, evtchn.KindPortClose, evtchn.KindPortUnbind, evtchn.KindPortVCPU, evtchn.KindOwnerWrite,
		evtchn.KindAcceptSet, evtchn.KindAcceptClear, evtchn.KindUserSet, evtchn.KindIRQSet:
		return true
	}
	return false
}

// make gives what is left of the capture between two events, and of that those of the units, or all while they are not divided.
func (r *records) make(from, until int, units []int) *Cut {
	c := &Cut{Meta: r.Meta, Events: make([]evtchn.Event, 0, until-from)}
	in := make([]bool, len(r.names))
	for _, u := range units {
		in[u] = true
	}
	for u, ok := range in {
		if !ok {
			c.Gone = append(c.Gone, r.names[u])
		}
	}
	stays := make([]bool, until)
	cut := 0 // records before, which a gap stands for
	for i := range r.Events[:until] {
		ev := &r.Events[i]
		stays[i] = r.unit == nil || r.unit[i] < 0 || in[r.unit[i]]
		if i < from && !(lasting(ev) || ev.Kind == evtchn.KindGap) {
			cut++
			stays[i] = false
		}
	}
	for i, ok := range stays { // a tie says nothing without the step that it is about
		if ev := &r.Events[i]; ok && ev.Kind == evtchn.KindTie && ev.Args[2] != 0 {
			if at, found := slices.BinarySearchFunc(r.Events[:until], evtchn.Seq(ev.Args[2]), bySeq); found {
				stays[at] = true
			}
		}
	}
	number := make(map[evtchn.Seq]evtchn.Seq)
	add := func(ev evtchn.Event) {
		was := ev.Seq
		ev.Seq = evtchn.Seq(len(c.Events) + 1)
		ev.Cause = number[ev.Cause]
		if ev.Kind == evtchn.KindTie {
			ev.Args[2] = uint64(number[evtchn.Seq(ev.Args[2])])
		}
		if was != 0 {
			number[was] = ev.Seq
		}
		c.Events = append(c.Events, ev)
	}
	if cut > 0 {
		c.Before = cut
		add(evtchn.Event{Kind: evtchn.KindGap, VCPU: evtchn.NoVCPU, Time: r.Events[0].Time, Args: [3]uint64{uint64(0xffff), uint64(cut)}})
		c.Meta.Gaps++
		c.Meta.Lost += uint64(cut)
	}
	for i, ok := range stays {
		if ok {
			add(r.Events[i])
		}
	}
	if c.After = len(r.Events) - until; c.After > 0 {
		c.Meta.Complete = false
	}
	c.Meta.Events = uint64(len(c.Events))
	if len(c.Events) < len(r.Events) && c.Meta.Unordered == 0 {
		c.Meta.Counts = nil // they are of the whole
	}
	return c
}
