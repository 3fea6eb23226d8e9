package replay

import (
	"context"
	"io"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/system"
)

// Inputs are what reached a recorded system from outside, held in memory so that somebody can ask what would have happened with
// others: with some left out, added, moved to another time or another vcpu. They are in order of time.
//
//	in, err := replay.ReadInputs(ctx, tr)
//	err = in.Run(ctx, edited, policy, sink)
type Inputs struct {
	Events []evtchn.Event // as recorded; an edited list is a copy

	meta     evtchn.Meta
	scenario *system.Scenario
}

// ReadInputs reads a recording's inputs. Errors are ErrObserved, and those of the scenario and of the trace.
func ReadInputs(ctx context.Context, tr Trace) (*Inputs, error) {
	in := &Inputs{meta: tr.Meta()}
	var err error
	if in.scenario, err = scenarioOf(&in.meta); err != nil {
		return nil, err
	}
	f := &feed{src: tr.Events(1)}
	for n := 0; ; n++ {
		if n&0xfff == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		var ev evtchn.Event
		if err := f.Next(&ev); err == io.EOF {
			return in, nil
		} else if err != nil {
			return nil, err
		}
		in.Events = append(in.Events, ev)
	}
}

// Meta describes a trace that edited inputs lead to under a policy: it is complete, and no longer what was recorded.
func (in *Inputs) Meta(p evtchn.Policy) evtchn.Meta {
	m := in.meta
	m.Policy, m.Complete, m.Events, m.Counts = p.String(), true, 0, nil
	return m
}

// Scenario is the scenario of the recorded system.
func (in *Inputs) Scenario() *system.Scenario { return in.scenario }

// Run gives the sink what follows from the inputs, in order of time, under a policy. The run ends with the input of kind end, or, if
// there is none, when the scenario's duration is over. Errors are those of the sink, which can end a run by one, of the scenario's
// system for an input that it has no actor for, and ctx's.
func (in *Inputs) Run(ctx context.Context, inputs []evtchn.Event, p evtchn.Policy, sink evtchn.Sink) error {
	list := evtchn.List(inputs)
	s, err := system.New(in.scenario, in.meta.Seed, p, &list)
	if err != nil {
		return err
	}
	var ev evtchn.Event
	for n := 0; ; n++ {
		if n&0xffff == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if err := s.Next(&ev); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if err := sink.Add(&ev); err != nil {
			return err
		}
	}
}
