package explore

import (
	"fmt"

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
