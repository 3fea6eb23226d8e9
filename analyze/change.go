package analyze

import (
	"fmt"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/text"
	"github.com/evtrace/evtrace/replay/explore"
)

// change is something that could have been otherwise: one way to make it so, or several of which the first that takes effect is
// judged, or a place to be sought at which it changes the verdict.
type change struct {
	attempts []attempt
	sought   func(t *tester) (*Counterfactual, bool, error)
}

// attempt is a change of the inputs.
type attempt struct {
	edit  Edit
	had   string              // what would have been otherwise, after "had"
	took  func(r *rerun) bool // whether the run went as it was meant to, up to the event's fate
	with  bool                // the event is handled with another that rang
	lucky bool                // being handled late counts, and so does not being handled
	size  int
	shift evtchn.Time // by how much later, or less than 0 earlier, the event itself comes
	moved evtchn.Time // by how much an input is moved, for the order of the answers
}

// all tries the changes, one after the other, until a limit is reached.
func (t *tester) all(changes []change) error {
	for i := range changes {
		t.order = i
		c, meant, err := t.try(&changes[i])
		if err == errLimit {
			t.answer.Untried = len(changes) - i
			return nil
		} else if err != nil {
			return err
		}
		t.answer.Tried++
		if !meant {
			t.answer.Dropped++
		}
		if c != nil {
			t.answer.Held = append(t.answer.Held, *c)
		}
	}
	return nil
}

// try tries a change. meant is false if it never took effect as it should have.
func (t *tester) try(c *change) (_ *Counterfactual, meant bool, _ error) {
	if c.sought != nil {
		return c.sought(t)
	}
	for i := range c.attempts {
		r, ok, err := t.attempt(&c.attempts[i])
		if err != nil {
			return nil, false, err
		}
		if ok {
			return t.judge(&c.attempts[i], r), true, nil
		}
	}
	return nil, false, nil
}

// attempt runs an attempt, and says whether it took effect as meant: what it changes is so, and the event is the same one.
func (t *tester) attempt(at *attempt) (*rerun, bool, error) {
	for i := range at.edit.added {
		at.edit.added[i].Flags |= evtchn.FlagInput
	}
	r, ok, err := t.run(&at.edit, !at.lucky, at.shift)
	if err != nil || !ok {
		return nil, false, err
	}
	return r, r.pend.Seq != 0 && at.took(r), nil
}

// judge makes an answer of a run if the verdict about the event is another one.
func (t *tester) judge(at *attempt, r *rerun) *Counterfactual {
	s := t.scene
	v, known := r.verdict()
	if !known || v == s.verdict() {
		return nil
	}
	if r.strict && v != VerdictClean {
		return nil // the run was not followed to its end
	}
	c := &Counterfactual{Verdict: v, DeliveredVCPU: evtchn.NoVCPU, Edit: at.edit, size: at.size, shift: max(at.moved, -at.moved), order: t.order}
	c.Edit.Add, c.Edit.LeaveOut = []string{}, append([]evtchn.Seq{}, at.edit.LeaveOut...)
	for i := range at.edit.added {
		c.Edit.Add = append(c.Edit.Add, string(text.AppendEvent(nil, &at.edit.added[i])))
	}
	if s.bounded != nil {
		c.Edit.Schedule = explore.Schedule(r.made)
	}
	if r.taken.Seq != 0 && v != VerdictLost {
		c.DeliveredAt, c.DeliveredVCPU = s.clock.at(r.taken.Time), r.taken.VCPU
		if r.shown && s.bounded == nil {
			c.Delay = s.clock.at(max(r.taken.Time-r.from, 0))
		}
	}
	c.Text = "had " + at.had + ", " + s.would(c, at.with) + "."
	return c
}

// would says what would have become of the event.
func (s *scene) would(c *Counterfactual, with bool) string {
	after := ""
	if c.Delay != nil {
		after = fmt.Sprintf(", %s after it was exposed", s.clock.duration(*c.Delay))
	}
	switch {
	case c.Verdict == VerdictLost:
		return fmt.Sprintf("port %d would never have been noticed", s.port)
	case c.Verdict == VerdictViolated:
		return fmt.Sprintf("port %d would have been handled as it must not be", s.port)
	case s.violation():
		return fmt.Sprintf("port %d would have been handled as it should be", s.port)
	case with:
		return fmt.Sprintf("vcpu %d would have handled port %d with it, late%s", c.DeliveredVCPU, s.port, after)
	}
	return fmt.Sprintf("vcpu %d would have handled port %d%s", c.DeliveredVCPU, s.port, after)
}

// place is where something is put in the recording: after, or from, one of its events.
type place struct {
	at    evtchn.Time
	steps int // events between there and where it was
}

// placeBy gives the place k events later than the event of the window with that index, or k earlier if k is less than 0.
func (s *scene) placeBy(base, k int) (place, bool) {
	i := base + k
	if i < 0 || i >= len(s.window) || i == len(s.window)-1 && k > 0 {
		return place{}, false
	}
	if k > 0 {
		return place{s.window[i].Time + 1, k}, true
	}
	return place{s.window[i].Time, -k}, true
}

// maxSteps is how many events further something is put at most.
const maxSteps = 4096

// seek looks for the smallest number of events by which something has to be put later (dir 1) or earlier (dir -1): by doubling, then
// by halving. What lies in between and was not tried may hold as well.
func (t *tester) seek(base evtchn.Seq, dir int, make func(p place) (attempt, bool)) (*Counterfactual, bool, error) {
	s := t.scene
	i := s.index(base)
	if i < 0 {
		return nil, false, nil
	}
	meant := false
	last := evtchn.Time(-1)
	try := func(k int) (*Counterfactual, bool, error) {
		p, ok := s.placeBy(i, dir*k)
		if !ok {
			return nil, false, nil
		}
		if p.at == last {
			return nil, true, nil // the same moment
		}
		last = p.at
		at, ok := make(p)
		if !ok {
			return nil, false, nil
		}
		r, ok, err := t.attempt(&at)
		if err != nil {
			return nil, false, err
		}
		if !ok {
			return nil, true, nil
		}
		meant = true
		return t.judge(&at, r), true, nil
	}
	var best *Counterfactual
	bad, good := 0, 0
	for k := 1; k <= maxSteps; k *= 2 {
		c, ok, err := try(k)
		if err != nil {
			return nil, false, err
		}
		if !ok {
			break
		}
		if c != nil {
			best, good = c, k
			break
		}
		bad = k
	}
	for best != nil && good-bad > 1 {
		k := (bad + good) / 2
		c, _, err := try(k)
		if err == errLimit {
			break // there may be a smaller one
		}
		if err != nil {
			return nil, false, err
		}
		if c != nil {
			best, good = c, k
		} else {
			bad = k
		}
	}
	return best, meant, nil
}
