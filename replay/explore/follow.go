package explore

import (
	"fmt"
	"slices"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/system"
)

// Again finds the system of a trace that System.Trace made, and the schedule that the trace follows. It may be put under another policy
// than the trace's. Errors are of class ErrSchedule, system.ErrScenario, ErrUnbounded and ErrSetup.
func Again(meta *evtchn.Meta, p evtchn.Policy) (*System, []Choice, error) {
	cs, ok, err := ScheduleOf(meta)
	switch {
	case err != nil:
		return nil, nil, err
	case !ok:
		return nil, nil, fmt.Errorf("%w: the trace has none", ErrSchedule)
	}
	sc, err := system.Parse("the trace's scenario", []byte(meta.Scenario))
	if err != nil {
		return nil, nil, err
	}
	s, err := New(sc, p)
	return s, cs, err
}

// maxRest is how many choices may follow a schedule before the world is at rest. A policy that never comes to rest is cut there.
const maxRest = 100_000

// Follow follows a schedule as far as the system can, as one of another policy does: a choice that cannot be made then is passed over.
// After it, what must happen does, in the order of Choices, until the world is at rest. It gives the choices that were made.
func (s *System) Follow(schedule []Choice) []Choice {
	w := s.Start()
	var made, all []Choice
	for _, c := range schedule {
		if all, _ = w.Choices(all[:0]); slices.Contains(all, c) {
			w.Do(c, nil)
			made = append(made, c)
		}
	}
	for range maxRest {
		var must int
		if all, must = w.Choices(all[:0]); must == 0 {
			break
		}
		w.Do(all[0], nil)
		made = append(made, all[0])
	}
	return made
}
