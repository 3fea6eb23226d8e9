package main

import (
	"fmt"

	"github.com/evtrace/evtrace/evtchn"
)

// soundness compares the events of a trace with what the trace says of itself. It is a sink.
type soundness struct {
	state    *evtchn.State // for its dimensions
	problems []checkProblem
	omitted  uint64
}

// mostUnsound is how many such problems are listed.
const mostUnsound = 20

// newSoundness begins with the meta.
func newSoundness(meta evtchn.Meta) (*soundness, error) {
	st, err := evtchn.NewState(meta)
	if err != nil {
		return nil, err
	}
	s := &soundness{state: st}
	if meta.Source == evtchn.SourceSim {
		if _, err := evtchn.ParsePolicy(meta.Policy); err != nil {
			s.add("header", err.Error())
		}
	}
	return s, nil
}

// Add looks at an event.
func (s *soundness) Add(ev *evtchn.Event) error {
	vcpus := len(s.state.V)
	target := ev.VCPU
	if ev.Kind.Valid() {
		target = ev.Target()
	}
	outside := func(v evtchn.VCPU) bool { return v < evtchn.NoVCPU || int(v) >= vcpus }
	where := fmt.Sprintf("event %d", ev.Seq)
	switch {
	case outside(ev.VCPU):
		s.add(where, fmt.Sprintf("vcpu %d, want 0 to %d", ev.VCPU, vcpus-1))
	case outside(target):
		s.add(where, fmt.Sprintf("target vcpu %d, want 0 to %d", target, vcpus-1))
	case int(ev.Port) >= s.state.Ports():
		s.add(where, fmt.Sprintf("port %d, want 1 to %d, as the ABI has", ev.Port, s.state.Ports()-1))
	}
	return nil
}

func (s *soundness) add(where, text string) {
	if len(s.problems) == mostUnsound {
		s.omitted++
		return
	}
	s.problems = append(s.problems, checkProblem{where, text})
}

// list gives the problems, and how many more there are.
func (s *soundness) list() []checkProblem {
	if s.omitted == 0 {
		return s.problems
	}
	return append(s.problems, checkProblem{"events", "and " + plural(s.omitted, "problem") + " more of these kinds"})
}
