package replay

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/system"
	"github.com/evtrace/evtrace/replay/explore"
)

// Trace is a recording that can be read from any event on.
type Trace interface {
	Meta() evtchn.Meta
	Events(from evtchn.Seq) evtchn.Source
}

// ErrObserved is the error for a capture of a real system: it holds effects without the actors that made them.
var ErrObserved = errors.New("a capture of a real system cannot be run again: it has no actors")

// ErrNoScenario is the error for a simulation whose scenario was taken out.
var ErrNoScenario = errors.New("the trace does not hold its scenario: it cannot be run again")

// ErrDivergence is the class of errors for a recording that its own policy does not reproduce.
var ErrDivergence = errors.New("replay diverged")

// Divergence is the first event at which a replay under the recorded policy differs from the recording.
type Divergence struct {
	Seq      evtchn.Seq
	Recorded *evtchn.Event // nil: the recording ended here
	Replayed *evtchn.Event // nil: the replay ended here
}

// Error names the event and both versions of it.
func (d *Divergence) Error() string {
	return fmt.Sprintf("%v at event %d: recorded %s, replayed %s", ErrDivergence, d.Seq, show(d.Recorded), show(d.Replayed))
}

// Unwrap makes the error one of class ErrDivergence.
func (d *Divergence) Unwrap() error { return ErrDivergence }

func show(ev *evtchn.Event) string {
	if ev == nil {
		return "nothing more"
	}
	return fmt.Sprintf("%s at %d, %v = %d", ev, ev.Time, ev.Args, ev.Res)
}

// Options change how a replay runs. The zero value is good.
type Options struct {
	// Progress is called about every 65,536 events.
	Progress func(events uint64, at evtchn.Time)

	_ struct{}
}

// Outcome says how a replay went.
type Outcome struct {
	Policy    evtchn.Policy
	Events    uint64
	Departure evtchn.Seq // the first event of the recording that does not happen under this policy, 0: all do
	Departed  *evtchn.Event
	Instead   *evtchn.Event
}

// Policy gives the policy that a trace was recorded under.
func Policy(tr Trace) (evtchn.Policy, error) { return evtchn.ParsePolicy(tr.Meta().Policy) }

// Verify runs the trace under its own policy and compares every event. It returns the number of events that agree, and an
// error of class ErrDivergence (a *Divergence) if not all do.
func Verify(ctx context.Context, tr Trace, opt Options) (uint64, error) {
	p, err := Policy(tr)
	if err != nil {
		return 0, err
	}
	out, err := Run(ctx, tr, p, nil, opt)
	if err != nil {
		return 0, err
	}
	if out.Departure != 0 {
		return uint64(out.Departure) - 1, &Divergence{Seq: out.Departure, Recorded: out.Departed, Replayed: out.Instead}
	}
	return out.Events, nil
}

// Run runs the trace's inputs under a policy and gives the events to the sink, which may be nil. Errors are ErrObserved, those
// of the scenario, the trace and the sink, and ctx's.
func Run(ctx context.Context, tr Trace, p evtchn.Policy, sink evtchn.Sink, opt Options) (*Outcome, error) {
	recorded, err := Policy(tr)
	if err != nil {
		return nil, err
	}
	s, f, err := start(tr, p, recorded)
	if err != nil {
		return nil, err
	}
	out := &Outcome{Policy: p}
	same := exact
	if p != recorded {
		same = alike
	}
	var ev, want evtchn.Event
	for {
		if out.Events&0xffff == 0 {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if opt.Progress != nil && out.Events > 0 {
				opt.Progress(out.Events, ev.Time)
			}
		}
		err := s.Next(&ev)
		if err != nil && err != io.EOF {
			return nil, err
		}
		end := err == io.EOF
		if f.compare && (p == recorded || end || !silent(ev.Kind)) {
			err := f.recorded(&want)
			for p != recorded && err == nil && silent(want.Kind) {
				err = f.recorded(&want)
			}
			switch {
			case err == io.EOF:
				f.compare = false
				if !end && !f.closed {
					// An incomplete recording: it agrees as far as it goes.
					return out, nil
				}
				if !end {
					out.depart(evtchn.Seq(out.Events+1), nil, &ev)
				}
			case err != nil:
				return nil, err
			case end:
				out.depart(want.Seq, &want, nil)
				f.compare = false
			case !same(&ev, &want):
				out.depart(want.Seq, &want, &ev)
				f.compare = false
			}
		}
		if end {
			return out, nil
		}
		out.Events++
		if sink != nil {
			if err := sink.Add(&ev); err != nil {
				return nil, err
			}
		}
	}
}

func exact(a, b *evtchn.Event) bool { return *a == *b }

// alike compares what two events do and when, not their numbers.
func alike(a, b *evtchn.Event) bool {
	x := *a
	x.Seq, x.Cause = b.Seq, b.Cause
	return x == *b
}

// silent reports whether a step only reads the guest's or the hypervisor's own records: two policies that differ in such a
// look alone have not parted yet. The simulation gives these steps no time.
func silent(k evtchn.Kind) bool { return k == evtchn.KindOwnerRead || k == evtchn.KindNotifyCheck }

func (o *Outcome) depart(at evtchn.Seq, was, instead *evtchn.Event) {
	o.Departure = at
	if was != nil {
		c := *was
		o.Departed = &c
	}
	if instead != nil {
		c := *instead
		o.Instead = &c
	}
}

// scenarioOf finds the scenario that a recording carries.
func scenarioOf(meta *evtchn.Meta) (*system.Scenario, error) {
	if meta.Source != evtchn.SourceSim {
		return nil, ErrObserved
	}
	if meta.Scenario == "" {
		return nil, ErrNoScenario
	}
	return system.Parse("the trace's scenario", []byte(meta.Scenario))
}

// start prepares a run under a policy: of the trace's inputs, or of its schedule.
func start(tr Trace, p, recorded evtchn.Policy) (evtchn.Source, *feed, error) {
	meta := tr.Meta()
	f := &feed{src: tr.Events(1), compare: true}
	if meta.Schedule != "" {
		s, cs, err := explore.Again(&meta, p)
		if err != nil {
			return nil, nil, err
		}
		if p != recorded {
			return s.Follow(cs).Source(), f, nil
		}
		t, err := s.Trace(cs)
		if err != nil {
			return nil, nil, err
		}
		return t.Source(), f, nil
	}
	sc, err := scenarioOf(&meta)
	if err != nil {
		return nil, nil, err
	}
	s, err := system.New(sc, meta.Seed, p, f)
	return s, f, err
}

// feed gives a trace's inputs to a system, and keeps the events between them for comparison.
type feed struct {
	src     evtchn.Source
	compare bool
	kept    []evtchn.Event
	at      int
	last    evtchn.Time
	closed  bool // the recording's end has been read
	done    bool
	ev      evtchn.Event
}

// Next gives the next input. When the recording ends without its end event, because it was cut short, the replay ends where
// it does.
func (f *feed) Next(ev *evtchn.Event) error {
	for !f.done {
		if err := f.src.Next(&f.ev); err == io.EOF {
			f.done = true
			if f.closed {
				break
			}
			*ev = evtchn.Event{Kind: evtchn.KindEnd, VCPU: evtchn.NoVCPU, Time: f.last + 1, Flags: evtchn.FlagInput}
			return nil
		} else if err != nil {
			return err
		}
		f.last = f.ev.Time
		if f.ev.Kind == evtchn.KindEnd {
			f.closed = true
		}
		if f.compare {
			f.keep()
		}
		if f.ev.Input() {
			*ev = f.ev
			return nil
		}
	}
	return io.EOF
}

func (f *feed) keep() {
	if f.at > 1024 && f.at*2 > len(f.kept) {
		f.kept = append(f.kept[:0], f.kept[f.at:]...)
		f.at = 0
	}
	f.kept = append(f.kept, f.ev)
}

// recorded gives the recording's next event.
func (f *feed) recorded(ev *evtchn.Event) error {
	if f.at == len(f.kept) {
		// All up to the input that the system will take next has been compared. Only the end can follow.
		if f.done {
			return io.EOF
		}
		err := f.src.Next(ev)
		if err == nil && ev.Kind == evtchn.KindEnd {
			f.closed = true
		}
		return err
	}
	*ev = f.kept[f.at]
	f.at++
	return nil
}
