package analyze

import (
	"context"
	"testing"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/evtchntest"
	"github.com/evtrace/evtrace/evtchn/system"
	"github.com/evtrace/evtrace/replay/explore"
)

// exploreFor finds a shortest schedule that goes wrong, as a trace.
func exploreFor(t *testing.T, name, policy string) (*kept, *explore.System) {
	t.Helper()
	sc, err := system.Builtin(name)
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
		t.Fatalf("%s under %s: %d schedules found, %v", name, policy, len(res.Found), err)
	}
	tr, err := sys.Trace(res.Found[0].Choices)
	if err != nil {
		t.Fatal(err)
	}
	return &kept{meta: tr.Meta, evs: tr.Events}, sys
}

// The findings of explored schedules: each answer's schedule is one that the system follows strictly, to a possible trace in which
// the event is handled.
func TestButForBounded(t *testing.T) {
	for _, tt := range []struct {
		name, policy string
		want         int // answers at least
	}{
		{"bind-then-unmask", "xen-2005", 0}, // one task, one event of its own making: there is no other order
		{"write-back", "xen-2005", 1},
		{"stale-notify", "unmask-hypercall", 1},
		{"two-ports-one-word", "xen-2005", 1},
		{"rebind-2005", "unmask-hypercall", 1},
	} {
		tr, sys := exploreFor(t, tt.name, tt.policy)
		r, err := Run(tr.meta, tr.Events(1), Options{})
		if err != nil || len(r.Findings) == 0 {
			t.Fatalf("%s: %d findings, %v", tt.name, len(r.Findings), err)
		}
		f := &r.Findings[0]
		a, err := ButFor(context.Background(), tr, f, ButForOptions{})
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if len(a.Held) < tt.want || tt.want == 0 && len(a.Held) > 0 || a.Untried > 0 {
			t.Errorf("%s: got %d answers, want %d or more; %d not tried", tt.name, len(a.Held), tt.want, a.Untried)
		}
		for _, c := range a.Held {
			if c.Verdict != VerdictClean || c.Delay != nil || len(c.Edit.Add)+len(c.Edit.LeaveOut) > 0 {
				t.Errorf("%s: %s: got %+v, want that it is clean, a schedule, and no delay, for there are no times", tt.name, c.Text, c)
			}
			schedule, err := explore.ParseSchedule(c.Edit.Schedule)
			if err != nil {
				t.Fatal(err)
			}
			got, err := sys.Trace(schedule)
			if err != nil {
				t.Errorf("%s: %s: %v", tt.name, c.Text, err)
				continue
			}
			if problems, err := evtchntest.Validate(got.Meta, got.Source()); err != nil || len(problems) > 0 {
				t.Errorf("%s: %s: the trace is not a possible one: %v, %v", tt.name, c.Text, problems, err)
			}
			r, err := Run(got.Meta, got.Source(), Options{})
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range r.Findings {
				if o.Port == f.Port && *o.PendingAt <= *c.DeliveredAt && (o.NoticedAt == nil || *o.NoticedAt >= *c.DeliveredAt) {
					t.Errorf("%s: %s: there is %s", tt.name, c.Text, o.ID)
				}
			}
		}
	}
}
