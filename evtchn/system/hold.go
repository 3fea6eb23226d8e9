package system

import (
	"math"
	"slices"

	"github.com/evtrace/evtrace/evtchn"
)

// A scheduler's decisions beyond what times say are inputs: sched.hold lets what is due next of a turn wait, sched.release lets it go
// on. A run that a Steer decided is replayed from these alone.

// classOf gives the class in the queue of each turn.
var classOf = [...]int{evtchn.TurnVCPU: dueVCPU, evtchn.TurnPath: dueForeign, evtchn.TurnKick: dueKick, evtchn.TurnRun: dueRun, evtchn.TurnDomain: dueDomain}

// key gives the key in the queue of a turn.
func (s *System) key(t evtchn.Turn, which int) uint64 {
	if t == evtchn.TurnPath {
		which += s.sc.VCPUs
	}
	return dueKey(classOf[t], which)
}

// turn is the inverse of key.
func (s *System) turn(d *due) (evtchn.Turn, int) {
	which := d.which()
	for t, c := range classOf {
		if c != d.class() {
			continue
		}
		if c == dueForeign {
			which -= s.sc.VCPUs
		}
		return evtchn.Turn(t), which
	}
	panic("system: internal error: an input has no turn")
}

// holds are the turns that have to wait, and what has become due of them since.
type holds struct {
	keys   map[uint64]bool
	parked []due
}

func (h *holds) held(key uint64) bool { return h.keys[key] }

// hold makes a turn wait. To hold what is held changes nothing.
func (s *System) hold(key uint64) {
	if s.holds.keys == nil {
		s.holds.keys = make(map[uint64]bool)
	}
	s.holds.keys[key] = true
}

// release lets a turn go on: what has been due of it is due now.
func (s *System) release(key uint64) {
	h := &s.holds
	delete(h.keys, key)
	rest := h.parked[:0]
	for _, d := range h.parked {
		switch {
		case d.key != key:
			rest = append(rest, d)
		case s.superseded(&d):
		default:
			d.at = max(d.at, s.now)
			if d.class() == dueVCPU {
				s.cpus[d.which()].at = d.at
			}
			s.q.push(d)
		}
	}
	h.parked = rest
}

// park sets what is due of a turn that has to wait aside.
func (s *System) park() {
	s.holds.parked = append(s.holds.parked, s.q[0])
	s.q.pop()
}

// superseded reports whether a vcpu's entry is of a step that it was going to do and will do at another time.
func (s *System) superseded(d *due) bool {
	if d.class() != dueVCPU {
		return false
	}
	c := &s.cpus[d.which()]
	return !c.armed || c.at != d.at
}

// early reports whether the input in hand, which is due and not in the queue, comes after other things of its own time.
func (s *System) early() bool {
	if k := s.input.Kind; k != evtchn.KindHold && k != evtchn.KindRelease {
		return false
	}
	return s.turns < s.input.Args[2] && len(s.q) > 0 && s.q[0].at <= s.now
}

// injectHold carries out an input about a turn. It reports false if there is no such turn.
func (s *System) injectHold(ev *evtchn.Event) bool {
	t, which := evtchn.Turn(ev.Args[0]), ev.Args[1]
	if ev.Args[0] >= uint64(len(classOf)) || which >= 1<<30 {
		return false
	}
	s.commit(ev)
	if ev.Kind == evtchn.KindHold {
		s.hold(s.key(t, int(which)))
	} else {
		s.release(s.key(t, int(which)))
	}
	return true
}

// Due is something that may happen next in a run that is steered.
type Due struct {
	Turn  evtchn.Turn
	Which int // as sched.hold numbers it
	At    evtchn.Time
}

// Steer chooses what happens next: the index of one of the things that could, of which there is more than one. The first is what would
// happen without a choice.
type Steer func(now evtchn.Time, could []Due) int

// Steer hands the order in which things happen over to f. What is due within the horizon after the first thing that is, and
// before the next input, may come next, and so may what f has passed over before. A step that would only wait for a lock is not among
// it. What f lets wait is written into the trace as inputs, so that the trace is like any other. Call it before the first Next.
func (s *System) Steer(horizon evtchn.Time, f Steer) { s.steer, s.horizon = f, horizon }

// choose asks the steer what is to happen next, and holds and releases turns so that it does.
func (s *System) choose() {
	could := s.could[:0]
	input, first := evtchn.Time(math.MaxInt64), evtchn.Time(math.MaxInt64)
	consider := func(d due) {
		switch at := max(d.at, s.now); {
		case d.class() == dueInput:
			input = at
		case !s.superseded(&d):
			d.at = at
			could, first = append(could, d), min(first, at)
		}
	}
	for _, d := range s.q {
		consider(d)
	}
	for _, d := range s.holds.parked {
		consider(d)
	}
	could = slices.DeleteFunc(could, func(d due) bool { return d.at >= input || d.at > first+s.horizon })
	slices.SortFunc(could, func(a, b due) int {
		if a.before(&b) {
			return -1
		}
		return 1
	})
	s.could = could
	want, ok := s.pick(could)
	if !ok {
		return // an input comes next
	}
	for i := range could {
		if d := &could[i]; d.key != want.key && d.before(&want) && !s.holds.held(d.key) {
			s.decide(evtchn.KindHold, d)
		}
	}
	if s.holds.held(want.key) {
		s.decide(evtchn.KindRelease, &want)
	}
}

// pick lets the steer choose among those that would not only wait for a lock, if there are any.
func (s *System) pick(could []due) (due, bool) {
	able := s.able[:0]
	for _, d := range could {
		if v := d.which(); d.class() != dueVCPU || !s.m.CanStep(v) || !s.m.Waits(v) {
			able = append(able, d)
		}
	}
	s.able = able
	switch {
	case len(able) == 1:
		return able[0], true
	case len(able) > 1:
		s.dues = s.dues[:0]
		for i := range able {
			t, which := s.turn(&able[i])
			s.dues = append(s.dues, Due{t, which, able[i].at})
		}
		return able[s.steer(s.now, s.dues)], true
	case len(could) > 0:
		return could[0], true
	}
	return due{}, false
}

// decide writes a decision of the steer into the trace and carries it out.
func (s *System) decide(k evtchn.Kind, d *due) {
	t, which := s.turn(d)
	ev := evtchn.Event{Kind: k, VCPU: evtchn.NoVCPU, Args: [3]uint64{uint64(t), uint64(which), s.turns}, Flags: evtchn.FlagInput}
	s.injectHold(&ev)
}
