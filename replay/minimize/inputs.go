package minimize

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/evtrace/evtrace/evtchn"
)

// ErrGone is the error for a start that does not have what is to be kept.
var ErrGone = errors.New("what is to be kept is not there when the inputs are run")

// Inputs makes a list of inputs of a simulated system small. The list ends with an input of kind end. Guesses are lists of indexes into
// it: sets of inputs that may do for themselves, the smallest first; without them it only takes longer. Errors are ErrGone, about a
// list without an end, and those of the test.
func Inputs(ctx context.Context, whole []evtchn.Event, guesses [][]int, test Test[evtchn.Event], opt Options) (*Result[evtchn.Event], error) {
	if n := len(whole); n == 0 || !isEnd(&whole[n-1]) {
		return nil, errors.New("minimize: the list of inputs has no end, want an input of kind end last")
	}
	s, err := start(ctx, whole, test, &opt)
	if err != nil {
		return nil, err
	}
	if !s.fact.Holds {
		return nil, ErrGone
	}
	in := &inputs{search: s}
	s.tell()
	if len(whole) <= maxExact+1 && s.fact.Events <= maxExactEvents {
		s.phase = "inputs"
		s.exact(isEnd) // before the cut, which settles for the finding that comes first
		in.cut()
	} else {
		in.cut()
		in.guess(whole, guesses)
		s.phase = "origins"
		s.reduce(origins(s.best))
	}
	minimal, exact := false, false
	for range maxRounds {
		s.phase = "inputs"
		s.reduce(s.singles(isEnd))
		if !opt.AsIs {
			better := in.switches()
			if better = in.times() || better; better && !s.over() {
				continue // which can have made another input needless
			}
		}
		minimal = !s.over()
		s.phase = "sets"
		var fewer bool
		if exact, fewer = s.exact(isEnd); !fewer {
			break
		}
		minimal, exact = false, false
	}
	r, err := s.result()
	if r != nil {
		r.Minimal, r.Exact = minimal && !r.Stopped, exact && !r.Stopped
	}
	return r, err
}

// maxRounds is how often the whole is gone through again because something has changed.
const maxRounds = 12

// maxExactEvents is the longest run of which a few thousand are no trouble.
const maxExactEvents = 20_000

// inputs is a search over inputs of a simulated system.
type inputs struct{ *search[evtchn.Event] }

func isEnd(ev *evtchn.Event) bool { return ev.Kind == evtchn.KindEnd }

// cut lets the trace end as soon as what is to be kept is settled, and drops what comes after.
func (s *inputs) cut() {
	s.phase = "end"
	if s.fact.Decided <= 0 {
		return
	}
	base, decided := s.best, s.fact.Decided
	after := []evtchn.Time{1, 1_000, 10_000, 100_000, 1_000_000, 10_000_000}
	s.first(len(after), func(i int) []evtchn.Event { return endAt(base, decided+after[i]) }, holds)
}

// endAt gives the inputs up to a time, with the end there; nil if the end is not later.
func endAt(list []evtchn.Event, at evtchn.Time) []evtchn.Event {
	n := len(list)
	if n == 0 || !isEnd(&list[n-1]) || list[n-1].Time <= at {
		return nil
	}
	c := make([]evtchn.Event, 0, n)
	for i := range list[:n-1] {
		if list[i].Time > at {
			break
		}
		c = append(c, list[i])
	}
	end := list[n-1]
	end.Time = at
	return append(c, end)
}

// guess adopts the first guess that holds.
func (s *inputs) guess(whole []evtchn.Event, guesses [][]int) {
	s.phase = "guesses"
	end := s.best[len(s.best)-1]
	s.first(len(guesses), func(i int) []evtchn.Event {
		var c []evtchn.Event
		for _, at := range guesses[i] {
			if at < len(whole) && whole[at].Time <= end.Time && !isEnd(&whole[at]) {
				c = append(c, whole[at])
			}
		}
		if len(c)+1 >= len(s.best) {
			return nil
		}
		return append(c, end)
	}, holds)
}

// origins groups inputs by what they come from: the ticks of a vcpu, the sends of a domain, the operations of a task, and so on.
func origins(list []evtchn.Event) [][]int {
	at := make(map[string]int)
	var parts [][]int
	for i := range list {
		ev := &list[i]
		var key string
		switch ev.Kind {
		case evtchn.KindEnd:
			continue
		case evtchn.KindVIRQ, evtchn.KindPIRQ, evtchn.KindSend, evtchn.KindPreempt, evtchn.KindStart:
			key = fmt.Sprint(ev.Kind, ev.Args[0])
		case evtchn.KindMove:
			key = fmt.Sprint(ev.Kind, ev.Args[1])
		case evtchn.KindHold, evtchn.KindRelease:
			key = fmt.Sprint(evtchn.KindHold, ev.Args[0], ev.Args[1]) // one without the other is seldom of use
		case evtchn.KindOp:
			key = fmt.Sprint(ev.Kind, ev.Ctx, ev.Args[0])
		default:
			key = fmt.Sprint(ev.Kind)
		}
		n, ok := at[key]
		if !ok {
			n = len(parts)
			at[key] = n
			parts = append(parts, nil)
		}
		parts[n] = append(parts[n], i)
	}
	return parts
}

// --- fewer context switches ---

// switches changes where inputs happen so that fewer context switches are needed: what happens on one vcpu happens on another instead, one
// input does, or two inputs change places. It reports whether anything became better.
func (s *inputs) switches() bool {
	s.phase = "switches"
	changed := false
	for again := true; again && !s.over(); {
		again = false
		for _, edit := range s.edits() {
			base := s.best
			have, n := s.fact.Switches, len(base)
			better := func(f *Fact) bool { return f.Holds && f.Switches < have }
			c := edit(base)
			if len(c) < n {
				better = holds
			}
			if s.first(1, func(int) []evtchn.Event { return c }, better) == 0 {
				changed, again = true, true
				break // what there is to try has changed
			}
			if s.over() {
				break
			}
		}
	}
	return changed
}

// edits lists the changes to try.
func (s *inputs) edits() []func([]evtchn.Event) []evtchn.Event {
	var list []func([]evtchn.Event) []evtchn.Event
	vcpus := vcpusOf(s.best)
	for _, from := range vcpus {
		for _, to := range vcpus {
			if from != to {
				list = append(list, func(c []evtchn.Event) []evtchn.Event { return merge(c, from, to) })
			}
		}
	}
	for i := range s.best {
		for _, to := range vcpus {
			list = append(list, func(c []evtchn.Event) []evtchn.Event { return retarget(c, i, to) })
		}
	}
	for i := 1; i < len(s.best)-1; i++ {
		list = append(list, func(c []evtchn.Event) []evtchn.Event { return swap(c, i) })
	}
	return list
}

// vcpusOf lists the vcpus that inputs name.
func vcpusOf(list []evtchn.Event) []evtchn.VCPU {
	var set evtchn.VCPUSet
	for i := range list {
		if v := placeOf(&list[i]); v >= 0 && v < evtchn.MaxVCPUs {
			set.Add(v)
		}
	}
	var vs []evtchn.VCPU
	for v := set.Next(0); v != evtchn.NoVCPU; v = set.Next(v + 1) {
		vs = append(vs, v)
	}
	return vs
}

// placeOf is the vcpu on which an input happens, or to which it brings something.
func placeOf(ev *evtchn.Event) evtchn.VCPU {
	switch ev.Kind {
	case evtchn.KindOp:
		return ev.VCPU
	case evtchn.KindStart, evtchn.KindVIRQ, evtchn.KindPreempt, evtchn.KindMove:
		return ev.Target()
	}
	return evtchn.NoVCPU
}

// place puts an input on another vcpu.
func place(ev *evtchn.Event, v evtchn.VCPU) {
	if ev.Kind == evtchn.KindOp {
		ev.VCPU = v
		return
	}
	ev.Args[0] = uint64(v)
}

// merge lets what happens on one vcpu happen on another, which is up already.
func merge(list []evtchn.Event, from, to evtchn.VCPU) []evtchn.Event {
	var c []evtchn.Event
	for _, ev := range list {
		if placeOf(&ev) == from {
			if ev.Kind == evtchn.KindStart {
				continue
			}
			place(&ev, to)
		}
		c = append(c, ev)
	}
	return c
}

// retarget lets one input happen on another vcpu, or move a port to it; nil if that is where it is.
func retarget(list []evtchn.Event, i int, to evtchn.VCPU) []evtchn.Event {
	ev := list[i]
	switch was := placeOf(&ev); {
	case ev.Kind == evtchn.KindStart || was == evtchn.NoVCPU || was == to:
		return nil
	}
	place(&ev, to)
	c := slices.Clone(list)
	c[i] = ev
	return c
}

// swap lets an input and the one before it change places; nil if one of them is a vcpu's coming up.
func swap(list []evtchn.Event, i int) []evtchn.Event {
	if list[i].Kind == evtchn.KindStart || list[i-1].Kind == evtchn.KindStart {
		return nil
	}
	c := slices.Clone(list)
	c[i], c[i-1] = c[i-1], c[i]
	c[i].Time, c[i-1].Time = list[i].Time, list[i-1].Time
	return c
}

// --- shorter times ---

// times lets inputs come sooner after one another, and the end sooner after them. It reports whether anything became better.
func (s *inputs) times() bool {
	s.phase = "times"
	changed := false
	switches := s.fact.Switches
	good := func(f *Fact) bool { return f.Holds && f.Switches <= switches }
	for i := 0; i < len(s.best) && !s.over(); i++ {
		before := evtchn.Time(0)
		if i > 0 {
			before = s.best[i-1].Time
		}
		base := s.best
		gap := base[i].Time - before
		tries := shorter(gap)
		// All that follows comes sooner, too; or else only this one does.
		k := s.first(2*len(tries), func(k int) []evtchn.Event {
			c := slices.Clone(base)
			by := gap - tries[k%len(tries)]
			last := len(c)
			if k >= len(tries) {
				last = i + 1
			}
			for j := i; j < last; j++ {
				c[j].Time -= by
			}
			return c
		}, good)
		changed = changed || k >= 0
	}
	for i := range s.best {
		if s.best[i].Kind != evtchn.KindPreempt || s.over() {
			continue
		}
		base := s.best
		tries := shorter(evtchn.Time(base[i].Args[1]))
		k := s.first(len(tries), func(k int) []evtchn.Event {
			c := slices.Clone(base)
			c[i].Args[1] = uint64(tries[k])
			return c
		}, good)
		changed = changed || k >= 0
	}
	return changed
}

// shorter lists times to try instead of one: 0, and the round ones that are less. Round times make it plain that nothing hangs on them.
func shorter(than evtchn.Time) []evtchn.Time {
	if than <= 0 {
		return nil
	}
	list := []evtchn.Time{0}
	for unit := evtchn.Time(1); unit > 0 && unit < than; unit *= 10 { // past the largest time it wraps around
		for _, k := range []evtchn.Time{1, 2, 5} {
			if k*unit < than {
				list = append(list, k*unit)
			}
		}
	}
	return list
}
