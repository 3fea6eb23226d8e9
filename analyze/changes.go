package analyze

import (
	"fmt"

	"github.com/evtrace/evtrace/evtchn"
)

// changes lists what could have been otherwise, from the finding's story.
func (s *scene) changes() []change {
	if s.bounded != nil {
		return s.reordered(false)
	}
	var list []change
	add := func(c change, ok bool) {
		if ok {
			list = append(list, c)
		}
	}
	add(s.unmaskThere())
	add(s.boundThere())
	list = append(list, s.leftOut()...)
	list = append(list, s.sendMoved()...)
	list = append(list, s.inputsMoved()...)
	add(s.unmaskLater())
	list = append(list, s.rung()...)
	return list
}

// unmasker gives the task on whose behalf the port was unmasked in vain, and the beginning of its operation.
func (s *scene) unmasker() (task int, op *evtchn.Event, ok bool) {
	u := &s.link.unmask
	if !u.ok() || u.vcpu < 0 || u.task.Class() != evtchn.CtxTask {
		return 0, nil, false
	}
	for i := s.index(u.seq); i >= 0; i-- {
		if ev := &s.window[i]; ev.Kind == evtchn.KindOp && ev.Ctx == u.task {
			return u.task.Num(), ev, true
		}
	}
	return 0, nil, false
}

// unmasking names the unmask in vain.
func (s *scene) unmasking() string { return fmt.Sprintf("the unmask (#%d)", s.link.unmask.seq) }

// unmaskThere lets the task that unmasked the port do so on the vcpu that the port belongs to.
func (s *scene) unmaskThere() (c change, _ bool) {
	task, op, ok := s.unmasker()
	owner := s.link.owner
	if !ok || owner < 0 || owner == s.link.unmask.vcpu {
		return c, false
	}
	had := fmt.Sprintf("%s run on vcpu %d (task %s there)", s.unmasking(), owner, s.taskName(task))
	took := func(r *rerun) bool { return r.unmask.VCPU == owner }
	if op.Input() {
		ev := *op
		ev.Seq, ev.Cause, ev.VCPU = 0, 0, owner
		c.attempts = append(c.attempts, attempt{edit: Edit{Kind: EditRunThere, LeaveOut: []evtchn.Seq{op.Seq}, added: []evtchn.Event{ev}}, had: had, took: took, size: 1})
	}
	for _, before := range []evtchn.Time{0, 1_000, 10_000, 100_000, 1_000_000} {
		ev := evtchn.Event{Kind: evtchn.KindMove, VCPU: evtchn.NoVCPU, Time: op.Time - before, Args: [3]uint64{uint64(owner), uint64(task)}}
		c.attempts = append(c.attempts, attempt{edit: Edit{Kind: EditRunThere, added: []evtchn.Event{ev}}, had: had, took: took, size: 1})
	}
	return c, true
}

// boundThere has irqbalance bind the port to the vcpu that unmasked it before it does.
func (s *scene) boundThere() (c change, _ bool) {
	u, balance := &s.link.unmask, s.task("irqbalance")
	if !u.ok() || u.vcpu < 0 || s.link.owner < 0 || s.link.owner == u.vcpu || balance < 0 {
		return c, false
	}
	bind := func(at evtchn.Time) evtchn.Event {
		return evtchn.Event{Kind: evtchn.KindOp, VCPU: s.link.owner, Ctx: evtchn.TaskCtx(balance), Port: s.port, Time: at,
			Args: [3]uint64{uint64(evtchn.OpAffinity), uint64(u.vcpu)}}
	}
	took := func(r *rerun) bool { return r.unmask.VCPU == u.vcpu && r.owner == u.vcpu }
	had := fmt.Sprintf("port %d been bound to vcpu %d before %s", s.port, u.vcpu, s.unmasking())
	if s.origin.Kind != evtchn.KindPortBind {
		for _, before := range []evtchn.Time{5_000, 20_000, 100_000, 1_000_000} {
			c.attempts = append(c.attempts, attempt{edit: Edit{Kind: EditBindThere, added: []evtchn.Event{bind(u.at - before)}}, had: had, took: took, size: 1})
		}
	}
	// The bind and the unmask are too close for that: the unmask waits meanwhile.
	for _, wait := range []evtchn.Time{10_000, 40_000, 160_000} {
		hold, release := s.wait(evtchn.TurnVCPU, int(u.vcpu), u.at, u.at+wait)
		c.attempts = append(c.attempts, attempt{edit: Edit{Kind: EditBindThere, added: []evtchn.Event{hold, bind(u.at), release}},
			had: fmt.Sprintf("%s, which would have waited %s for it", had, s.clock.span(wait)), took: took, size: 2, moved: wait})
	}
	return c, true
}

// wait gives the inputs that let a turn wait.
func (s *scene) wait(t evtchn.Turn, which int, from, to evtchn.Time) (hold, release evtchn.Event) {
	hold = evtchn.Event{Kind: evtchn.KindHold, VCPU: evtchn.NoVCPU, Time: from, Args: [3]uint64{uint64(t), uint64(which)}}
	release = hold
	release.Kind, release.Time = evtchn.KindRelease, to
	return hold, release
}

// fate is the step at which the event's fate was decided: it went unnoticed, or was handled.
func (s *scene) fate() evtchn.Seq {
	if s.f.UnnoticedSeq != 0 {
		return s.f.UnnoticedSeq
	}
	return s.f.NoticedSeq
}

// maxLeftOut is how many inputs of each kind are left out or moved, one at a time: the last before the event's fate.
const maxLeftOut = 2

// leftOut leaves out what came between: moves of the port and of the task that unmasked it, preemptions, turns that had to wait; and what
// rescued it.
func (s *scene) leftOut() []change {
	var list []change
	kinds := make(map[string]int)
	for i := len(s.in.Events) - 1; i >= 0; i-- {
		ev := &s.in.Events[i]
		if ev.Seq > s.fate() {
			continue
		}
		had, group := s.without(ev)
		if had == "" || kinds[group] >= maxLeftOut {
			continue
		}
		kinds[group]++
		list = append(list, change{attempts: []attempt{{edit: Edit{Kind: EditLeaveOut, LeaveOut: []evtchn.Seq{ev.Seq}}, had: had,
			took: func(*rerun) bool { return true }, size: 1}}})
	}
	if s.f.RescuedByPort != evtchn.NoPort && s.f.NoticedAt != nil {
		for i := len(s.in.Events) - 1; i >= 0; i-- {
			if ev := &s.in.Events[i]; ev.Seq < s.f.NoticedSeq && ev.Port == s.f.RescuedByPort && raises(ev.Kind) {
				list = append(list, change{attempts: []attempt{{edit: Edit{Kind: EditLeaveOut, LeaveOut: []evtchn.Seq{ev.Seq}}, lucky: true,
					had: fmt.Sprintf("port %d not rung (#%d)", ev.Port, ev.Seq), took: func(*rerun) bool { return true }, size: 1}}})
				break
			}
		}
	}
	return list
}

// without says what would not have been without an input, and of what group it is; "" if it has nothing to do with the event.
func (s *scene) without(ev *evtchn.Event) (had, group string) {
	task, _, byTask := s.unmasker()
	switch ev.Kind {
	case evtchn.KindMove:
		if byTask && int(ev.Args[1]) == task && ev.Seq < s.link.unmask.seq {
			return fmt.Sprintf("%s not been moved to vcpu %d (#%d)", s.taskName(task), ev.Target(), ev.Seq), "move"
		}
	case evtchn.KindOp:
		if evtchn.OpCode(ev.Args[0]) == evtchn.OpAffinity && ev.Port == s.port && ev.Seq+windowMargin > s.draft.pending.seq {
			return fmt.Sprintf("port %d not been moved to vcpu %d (#%d)", s.port, int16(ev.Args[1]), ev.Seq), "affinity"
		}
	case evtchn.KindPreempt:
		if ev.Seq+windowMargin > s.draft.pending.seq && s.takesPart(ev.Target()) {
			return fmt.Sprintf("vcpu %d not lost its physical CPU at %s (#%d)", ev.Target(), s.clock.when(ev.Time), ev.Seq), "preempt"
		}
	case evtchn.KindHold:
		if ev.Seq+windowMargin > s.draft.pending.seq {
			return fmt.Sprintf("%s not had to wait (#%d)", turnName(ev), ev.Seq), "hold"
		}
	}
	return "", ""
}

// turnName says in words whose turn a hold is about.
func turnName(ev *evtchn.Event) string {
	switch evtchn.Turn(ev.Args[0]) {
	case evtchn.TurnVCPU:
		return fmt.Sprintf("vcpu %d", ev.Args[1])
	case evtchn.TurnPath:
		return fmt.Sprintf("path %d of Xen", ev.Args[1])
	case evtchn.TurnKick:
		return fmt.Sprintf("the kick of vcpu %d", ev.Args[1])
	case evtchn.TurnRun:
		return fmt.Sprintf("the waking of vcpu %d", ev.Args[1])
	}
	return fmt.Sprintf("the request of domain %d", ev.Args[1]>>8+1)
}

// takesPart reports whether the vcpu is one of the story's.
func (s *scene) takesPart(v evtchn.VCPU) bool {
	set := s.draft.involved(&ending{})
	return v >= 0 && (set.Has(v) || v == s.f.NoticedVCPU)
}

// sendMoved lets the event come later, or earlier.
func (s *scene) sendMoved() []change {
	o := &s.origin
	what := "the event"
	switch o.Kind {
	case evtchn.KindSend:
		what = "the send"
	case evtchn.KindVIRQ:
		what = "the virtual interrupt"
	case evtchn.KindPIRQ:
		what = "the physical interrupt"
	}
	move := func(dir int, edit func(at evtchn.Time) (Edit, bool)) change {
		return change{sought: func(t *tester) (*Counterfactual, bool, error) {
			return t.seek(o.Seq, dir, func(p place) (attempt, bool) {
				e, ok := edit(p.at)
				by := p.at - o.Time
				return attempt{edit: e, size: 1, shift: by, moved: by, took: func(*rerun) bool { return true },
					had: fmt.Sprintf("%s (#%d) come %s", what, o.Seq, s.by(p, by))}, ok
			})
		}}
	}
	if o.Input() {
		shift := s.shifted(o, EditSend)
		return []change{move(1, shift), move(-1, shift)}
	}
	i := -1
	if o.Kind == evtchn.KindSend && o.VCPU == evtchn.NoVCPU {
		i = s.domain(evtchn.DomID(o.Args[0]))
	}
	if i < 0 {
		return nil
	}
	return []change{{sought: func(t *tester) (*Counterfactual, bool, error) {
		later := func(j int) func(at evtchn.Time) (Edit, bool) {
			return func(at evtchn.Time) (Edit, bool) {
				hold, release := s.wait(evtchn.TurnDomain, i<<8|j, o.Time, at)
				return Edit{Kind: EditSend, added: []evtchn.Event{hold, release}}, true
			}
		}
		for j := range s.domainVCPUs(i) {
			e, _ := later(j)(o.Time + 1)
			_, ok, err := t.attempt(&attempt{edit: e, shift: 1, took: func(*rerun) bool { return true }})
			if err != nil {
				return nil, false, err
			}
			if ok { // this vcpu of the domain made the request
				return move(1, later(j)).sought(t)
			}
		}
		return nil, false, nil
	}}}
}

// by says by how much something is moved.
func (s *scene) by(p place, by evtchn.Time) string {
	how := "later"
	if by < 0 {
		how, by = "earlier", -by
	}
	return fmt.Sprintf("%s (%s) %s", count(uint64(p.steps), "event"), s.clock.span(by), how)
}

// shifted gives the edits that move an input in time, as long as it does not pass another one of its origin.
func (s *scene) shifted(ev *evtchn.Event, kind EditKind) func(at evtchn.Time) (Edit, bool) {
	lo, hi := evtchn.Time(0), s.end()
	for i := range s.in.Events {
		o := &s.in.Events[i]
		if o.Kind != ev.Kind || o.Port != ev.Port || o.Ctx != ev.Ctx || o.Args[0] != ev.Args[0] || o.Seq == ev.Seq {
			continue
		}
		if o.Seq < ev.Seq {
			lo = o.Time
		} else {
			hi = min(hi, o.Time)
		}
	}
	return func(at evtchn.Time) (Edit, bool) {
		moved := *ev
		moved.Seq, moved.Cause, moved.Time = 0, 0, at
		return Edit{Kind: kind, LeaveOut: []evtchn.Seq{ev.Seq}, added: []evtchn.Event{moved}}, at > lo && at < hi
	}
}

// inputsMoved lets moves of the port come earlier or later.
func (s *scene) inputsMoved() []change {
	var list []change
	n := 0
	for i := len(s.in.Events) - 1; i >= 0 && n < maxLeftOut; i-- {
		ev := &s.in.Events[i]
		if ev.Seq > s.fate() || ev.Kind != evtchn.KindOp || evtchn.OpCode(ev.Args[0]) != evtchn.OpAffinity || ev.Port != s.port || s.index(ev.Seq) < 0 {
			continue
		}
		n++
		shift := s.shifted(ev, EditShift)
		for _, dir := range []int{1, -1} {
			list = append(list, change{sought: func(t *tester) (*Counterfactual, bool, error) {
				return t.seek(ev.Seq, dir, func(p place) (attempt, bool) {
					e, ok := shift(p.at)
					by := p.at - ev.Time
					return attempt{edit: e, size: 1, moved: by, took: func(r *rerun) bool { return r.input(0) != nil || r.origin.Time < p.at },
						had: fmt.Sprintf("the move of port %d to vcpu %d (#%d) come %s", s.port, int16(ev.Args[1]), ev.Seq, s.by(p, by))}, ok
				})
			}})
		}
	}
	return list
}

// unmaskLater lets the vcpu that unmasked the port come to its operation later, where somebody else moved the port meanwhile.
func (s *scene) unmaskLater() (c change, _ bool) {
	task, op, ok := s.unmasker()
	u := &s.link.unmask
	if !ok || s.link.cause != CauseNonOwner && s.link.cause != CauseStaleNotify {
		return c, false
	}
	from := *op
	if s.index(op.Seq) < 0 {
		return c, false
	}
	c.sought = func(t *tester) (*Counterfactual, bool, error) {
		return t.seek(from.Seq, 1, func(p place) (attempt, bool) {
			hold, release := s.wait(evtchn.TurnVCPU, int(u.vcpu), from.Time+1, p.at+1)
			by := p.at - from.Time
			return attempt{edit: Edit{Kind: EditHold, added: []evtchn.Event{hold, release}}, size: 1, moved: by,
				took: func(r *rerun) bool { return r.unmask.VCPU == u.vcpu && r.unmask.Time > u.at },
				had:  fmt.Sprintf("vcpu %d (task %s) gone on %s after #%d", u.vcpu, s.taskName(task), s.by(p, by), from.Seq)}, true
		})
	}
	return c, true
}

// rung has another port ring after the event went unnoticed: one of its word, and one of another, which should change nothing.
func (s *scene) rung() []change {
	if s.f.Kind != KindLost || s.f.UnnoticedSeq == 0 {
		return nil
	}
	unnoticed := s.at(s.f.UnnoticedSeq)
	if unnoticed == nil {
		return nil
	}
	at := unnoticed.Time + min(1_000_000, (s.end()-unnoticed.Time)/2)
	var list []change
	word := func(p evtchn.Port) int { return int(p) / s.meta.WordBits }
	near, far := 0, 0
	for _, m := range s.mates {
		n := &far
		if word(m.port) == word(s.port) {
			n = &near
		}
		if *n >= 1 {
			continue
		}
		*n++
		ring := m.ring
		ring.Time = at
		list = append(list, change{attempts: []attempt{{edit: Edit{Kind: EditRing, added: []evtchn.Event{ring}}, with: true, lucky: true, size: 1,
			had:  fmt.Sprintf("port %d rung at %s, %s", m.port, s.clock.when(at), m.what),
			took: func(r *rerun) bool { ev := r.input(0); return ev != nil && ev.Port == m.port }}}})
	}
	if c, ok := s.newMate(at); near == 0 && ok {
		list = append(list, c)
	}
	return list
}

// newMate has a driver bind a further port, which gets a number of the same word, and ring it.
func (s *scene) newMate(at evtchn.Time) (c change, _ bool) {
	kernel := s.task("kernel/0")
	if kernel < 0 || s.owner != 0 {
		return c, false // a new port belongs to vcpu 0
	}
	bind := evtchn.Event{Kind: evtchn.KindOp, Ctx: evtchn.TaskCtx(kernel), Time: at, Args: [3]uint64{uint64(evtchn.OpBindPIRQ), uint64(s.spare)}}
	ring := evtchn.Event{Kind: evtchn.KindPIRQ, VCPU: evtchn.NoVCPU, Time: at + 100_000, Args: [3]uint64{uint64(s.spare)}}
	word := func(p evtchn.Port) int { return int(p) / s.meta.WordBits }
	return change{attempts: []attempt{{edit: Edit{Kind: EditRing, added: []evtchn.Event{bind, ring}}, with: true, lucky: true, size: 2,
		had: fmt.Sprintf("word %d had another port on vcpu 0, and that rung at %s", word(s.port), s.clock.when(ring.Time)),
		took: func(r *rerun) bool {
			ev := r.input(1)
			return ev != nil && ev.Port != evtchn.NoPort && ev.Port != s.port && word(ev.Port) == word(s.port)
		}}}}, true
}
