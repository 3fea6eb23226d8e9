package around

import (
	"context"
	"io"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/system"
	"github.com/evtrace/evtrace/replay"
)

// step is an event of a run, and whose turn it was.
type step struct {
	ev     evtchn.Event
	who    actor
	turns  uint64 // before it
	access []access
}

// actor is somebody whose turn can be held. The zero value with input is nobody: the outside.
type actor struct {
	turn  evtchn.Turn
	which int
	input bool
}

// view is the part of a run that changes are made of.
type view struct {
	lo, hi evtchn.Time // what is kept
	steps  []step
}

// runner runs a recording's system with other inputs.
type runner struct {
	in     *replay.Inputs
	meta   evtchn.Meta
	policy evtchn.Policy
	judge  Judge
}

func newRunner(ctx context.Context, tr replay.Trace, judge Judge) (*runner, error) {
	in, err := replay.ReadInputs(ctx, tr)
	if err != nil {
		return nil, err
	}
	r := &runner{in: in, judge: judge}
	if r.policy, err = replay.Policy(tr); err != nil {
		return nil, err
	}
	r.meta = in.Meta(r.policy)
	return r, nil
}

// ran is what came of a run.
type ran struct {
	outcome Outcome
	events  uint64
	print   uint64
	view    *view // if it was wanted
}

// run carries inputs out and has the run judged. The print is of what happens from a time on. look, if not nil, says what is to be kept.
func (r *runner) run(ctx context.Context, inputs []evtchn.Event, from evtchn.Time, look *view) (ran, error) {
	var out ran
	f := newPrints(r.meta.WordBits)
	play := func(sink evtchn.Sink) error {
		return r.play(ctx, inputs, look, sinkFunc(func(ev *evtchn.Event) error {
			out.events++
			if ev.Time >= from {
				f.add(ev)
			}
			return sink.Add(ev)
		}))
	}
	var err error
	out.outcome, err = r.judge(r.meta, play)
	out.print, out.view = f.sum(), look
	return out, err
}

type sinkFunc func(*evtchn.Event) error

func (f sinkFunc) Add(ev *evtchn.Event) error { return f(ev) }

// play gives the events of a run to a sink.
func (r *runner) play(ctx context.Context, inputs []evtchn.Event, look *view, sink evtchn.Sink) error {
	if look == nil {
		return r.in.Run(ctx, inputs, r.policy, sink)
	}
	list := evtchn.List(inputs)
	s, err := system.New(r.in.Scenario(), r.meta.Seed, r.policy, &list)
	if err != nil {
		return err
	}
	var moments []system.Moment // since the event in hand, and the one before
	s.Watch(func(m system.Moment) { moments = append(moments, m) })
	var ev evtchn.Event
	var outside evtchn.Seq // the last input
	for n := 0; ; n++ {
		if n&0xfff == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if err := s.Next(&ev); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		for len(moments) > 1 && moments[1].Next <= ev.Seq {
			moments = moments[1:]
		}
		if ev.Input() {
			outside = ev.Seq
		}
		if ev.Time >= look.lo && ev.Time <= look.hi {
			st := step{ev: ev, who: actor{input: true}}
			if len(moments) > 0 && moments[0].Next <= ev.Seq && moments[0].Next > outside {
				st.who, st.turns = actor{turn: moments[0].Turn, which: moments[0].Which}, moments[0].Turns
			}
			st.access = accesses(nil, &ev)
			look.steps = append(look.steps, st)
		}
		if err := sink.Add(&ev); err != nil {
			return err
		}
	}
}
