package replay_test

import (
	"context"
	"errors"
	"testing"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/evtchntest"
	"github.com/evtrace/evtrace/evtchn/system"
	"github.com/evtrace/evtrace/replay"
	"github.com/evtrace/evtrace/replay/explore"
)

// counterexample is a shortest schedule of a bounded scenario to a violation, as a trace.
func counterexample(t *testing.T, scenario, policy string) *memory {
	t.Helper()
	sc, err := system.Builtin(scenario)
	if err != nil {
		t.Fatal(err)
	}
	p, err := evtchn.ParsePolicy(policy)
	if err != nil {
		t.Fatal(err)
	}
	sys, err := explore.New(sc, p)
	if err != nil {
		t.Fatal(err)
	}
	res, err := explore.Run(context.Background(), sys, explore.Options{})
	if err != nil || len(res.Found) == 0 {
		t.Fatalf("%v, %+v", err, res)
	}
	tr, err := sys.Trace(res.Found[0].Choices)
	if err != nil {
		t.Fatal(err)
	}
	return &memory{meta: tr.Meta, events: tr.Events}
}

// A schedule that was explored replays: under its own policy event for event, under others as far as it can be followed and on to rest.
func TestReplayOfSchedules(t *testing.T) {
	ctx := context.Background()
	for _, cell := range [][2]string{{"bind-then-unmask", "xen-2005"}, {"stale-notify", "linux-2021"}, {"rebind-2021", "linux-2021"}, {"ipi-kick", "remote-selector-ipi"},
		{"write-back", "quiet-bind"}} {
		tr := counterexample(t, cell[0], cell[1])
		if n, err := replay.Verify(ctx, tr, replay.Options{}); err != nil || n != uint64(len(tr.events)) {
			t.Errorf("%v: %d of %d events agree: %v", cell, n, len(tr.events), err)
		}
		for i := range tr.events {
			if tr.events[i].Kind == evtchn.KindWordRead {
				tr.events[i].Res ^= 1
				var d *replay.Divergence
				if _, err := replay.Verify(ctx, tr, replay.Options{}); !errors.As(err, &d) || d.Seq != evtchn.Seq(i+1) {
					t.Errorf("%v, event %d changed: got %v", cell, i+1, err)
				}
				tr.events[i].Res ^= 1
				break
			}
		}
		for _, pre := range evtchn.Presets() {
			other := &memory{meta: tr.meta}
			other.meta.Policy = pre.Policy.String()
			if _, err := replay.Run(ctx, tr, pre.Policy, other, replay.Options{}); err != nil {
				t.Errorf("%v under %s: %v", cell, pre.Name, err)
				continue
			}
			last, problems, err := evtchntest.End(other.meta, other.Events(1))
			if err != nil || len(problems) > 0 {
				t.Errorf("%v under %s: %v, %v", cell, pre.Name, err, problems)
			}
			// An upcall that comes in the middle of a move, on the vcpu that Xen tells already and the guest does not accept on yet, resends the
			// event to itself for ever under resend-from-upcall with the move of 2005.
			if last.Moving && cell[1] != pre.Name && pre.Policy.Upcall != evtchn.UpcallResend {
				t.Errorf("%v under %s does not come to rest", cell, pre.Name)
			}
		}
	}
}

// The report's bug is gone under the upstream fix, which departs from it at the unmask.
func TestScheduleUnderTheFix(t *testing.T) {
	tr := counterexample(t, "bind-then-unmask", "xen-2005")
	fix, err := evtchn.ParsePolicy("unmask-hypercall")
	if err != nil {
		t.Fatal(err)
	}
	fixed := &memory{meta: tr.meta}
	fixed.meta.Policy = fix.String()
	out, err := replay.Run(context.Background(), tr, fix, fixed, replay.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if out.Departed == nil || out.Departed.Kind != evtchn.KindMaskClear || out.Instead.Kind != evtchn.KindHypercall {
		t.Errorf("departs at %v with %v, want mask.clear and hypercall", out.Departed, out.Instead)
	}
	last, _, err := evtchntest.End(fixed.meta, fixed.Events(1))
	if err != nil || len(last.Stuck) > 0 {
		t.Errorf("%v, %+v; want nothing stuck", err, last)
	}
}

// A schedule that cannot be read, or followed, is refused.
func TestBadSchedules(t *testing.T) {
	tr := counterexample(t, "bind-then-unmask", "xen-2005")
	for _, bad := range []string{"t0 x1", "s1 s1", "k3"} {
		tr.meta.Schedule = bad
		if _, err := replay.Verify(context.Background(), tr, replay.Options{}); !errors.Is(err, explore.ErrSchedule) {
			t.Errorf("%q: got %v, want class %q", bad, err, explore.ErrSchedule)
		}
	}
}
