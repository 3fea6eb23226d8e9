package analyze

import (
	"fmt"
	"slices"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/replay/explore"
)

// bounded is a recording that is a schedule of a system without times.
type bounded struct {
	sys    *explore.System
	made   []explore.Choice // as recorded
	starts []int            // by choice: how many events come before it
}

// newBounded finds the system of a trace that has a schedule. Errors are those of the scenario, the system and the schedule.
func newBounded(meta *evtchn.Meta, p evtchn.Policy) (*bounded, error) {
	sys, made, err := explore.Again(meta, p)
	return &bounded{sys: sys, made: made}, err
}

// recorded gives the sink the recording.
func (b *bounded) recorded(sink evtchn.Sink) error {
	tr, err := b.sys.Trace(b.made)
	if err != nil {
		return err
	}
	b.starts = tr.Starts
	return give(tr, sink)
}

// run gives the sink what a changed schedule leads to, and says how it was followed.
func (b *bounded) run(e *Edit, sink evtchn.Sink) ([]explore.Choice, error) {
	tr := b.sys.Follow(e.schedule)
	return tr.Made, give(tr, sink)
}

func give(tr *explore.Trace, sink evtchn.Sink) error {
	for i := range tr.Events {
		if err := sink.Add(&tr.Events[i]); err != nil {
			return err
		}
	}
	return nil
}

// reordered lists the choices of the schedule that could have been made earlier or later: those that begin something, or single steps.
func (s *scene) reordered(steps bool) []change {
	var list []change
	for i, c := range s.bounded.made {
		if (c.Kind() == explore.Step) != steps || evtchn.Seq(s.bounded.starts[i]) >= s.fate() {
			continue
		}
		for _, dir := range []int{1, -1} {
			list = append(list, change{sought: func(t *tester) (*Counterfactual, bool, error) { return t.reorder(i, dir) }})
		}
	}
	return list
}

// reorder looks for the smallest number of choices by which one of them has to be made later (dir 1) or earlier (dir -1).
func (t *tester) reorder(i, dir int) (*Counterfactual, bool, error) {
	made := t.scene.bounded.made
	meant := false
	for k := 1; i+dir*k >= 0 && i+dir*k < len(made); k++ {
		to := i + dir*k
		schedule := slices.Insert(slices.Delete(slices.Clone(made), i, i+1), to, made[i])
		at := attempt{edit: Edit{Kind: EditOrder, schedule: schedule}, size: 1, took: func(*rerun) bool { return true }}
		r, ok, err := t.attempt(&at)
		if err != nil {
			return nil, false, err
		}
		by, moved := movedBy(made, r, i, to)
		if !ok || !moved {
			continue
		}
		meant = true
		at.had = fmt.Sprintf("%s come %s %s", t.scene.choice(i), count(uint64(by), "choice"), map[int]string{1: "later", -1: "earlier"}[dir])
		at.moved = evtchn.Time(by)
		if c := t.judge(&at, r); c != nil {
			return c, true, nil
		}
	}
	return nil, meant, nil
}

// movedBy says by how many choices the choice i was moved when it should have been made in place of the choice to, and whether it was: the
// steps of its own that come after it move with it.
func movedBy(made []explore.Choice, r *rerun, i, to int) (int, bool) {
	if r == nil || len(r.made) <= min(i, to) || !slices.Equal(r.made[:min(i, to)], made[:min(i, to)]) {
		return 0, false
	}
	if to < i {
		return i - to, r.made[to] == made[i]
	}
	if r.made[i] == made[i] {
		return 0, false
	}
	by := slices.Index(r.made[i:], made[i])
	return by, by > 0
}

// choice names a choice of the recorded schedule.
func (s *scene) choice(i int) string {
	c, first := s.bounded.made[i], s.bounded.starts[i]+1
	switch c.Kind() {
	case explore.Task:
		return fmt.Sprintf("the operation of task %s (from #%d)", s.taskName(c.Who()), first)
	case explore.Send:
		return fmt.Sprintf("the send (#%d)", first)
	case explore.Kick:
		return fmt.Sprintf("the kick of vcpu %d (#%d)", c.Who(), first)
	case explore.Wake:
		return fmt.Sprintf("the running of vcpu %d (#%d)", c.Who(), first)
	case explore.Tick:
		return fmt.Sprintf("the tick of vcpu %d (#%d)", c.Who(), first)
	case explore.Sleep:
		return fmt.Sprintf("the sleep of vcpu %d (#%d)", c.Who(), first)
	case explore.Preempt:
		return fmt.Sprintf("the preemption of vcpu %d (#%d)", c.Who(), first)
	}
	if c.Who() >= s.meta.VCPUs {
		return fmt.Sprintf("the step of Xen (#%d)", first)
	}
	return fmt.Sprintf("the step of vcpu %d (#%d)", c.Who(), first)
}
