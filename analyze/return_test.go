package analyze_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/system"
	"github.com/evtrace/evtrace/replay"
	"github.com/evtrace/evtrace/replay/explore"
)

// held is a trace in memory that can be read from any event on.
type held struct {
	meta   evtchn.Meta
	events []evtchn.Event
}

func (h *held) Meta() evtchn.Meta { return h.meta }

func (h *held) Events(from evtchn.Seq) evtchn.Source {
	return (&explore.Trace{Events: h.events[from-1:]}).Source()
}

func (h *held) Add(ev *evtchn.Event) error {
	h.events = append(h.events, *ev)
	return nil
}

func first(t *testing.T, h *held) *analyze.Finding {
	t.Helper()
	r, err := analyze.Run(h.meta, h.Events(1), analyze.Options{})
	if err != nil {
		t.Fatal(err)
	}
	f := r.Foremost()
	if f == nil {
		t.Fatal("got no finding")
	}
	return f
}

func recorded(t *testing.T, name string, seed uint64, d evtchn.Time) *held {
	t.Helper()
	sc, err := system.Builtin(name)
	if err != nil {
		t.Fatal(err)
	}
	if sc, err = sc.Override(0, 0, d); err != nil {
		t.Fatal(err)
	}
	p, err := evtchn.ParsePolicy(sc.Policy)
	if err != nil {
		t.Fatal(err)
	}
	s, err := system.New(sc, seed, p, system.Inputs(sc, seed))
	if err != nil {
		t.Fatal(err)
	}
	h := &held{meta: s.Meta()}
	h.meta.Complete = true
	var ev evtchn.Event
	for s.Next(&ev) == nil {
		h.events = append(h.events, ev)
	}
	return h
}

// In the report's trace the bind, its event and the unmask are steps of one task on one vcpu that is not the port's, and no other port
// of the word rings: nothing that is done in another order delivers the event.
func TestNoReturnOfTheReport(t *testing.T) {
	h := recorded(t, "seed-port65", 1, 130_000_000)
	f := first(t, h)
	n, err := analyze.FindNoReturn(context.Background(), h, f, analyze.ReturnOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if n.Seq != 0 || n.Exact || !n.Decided || n.Tried < 10 || n.From >= f.Evidence[0] || n.SavedBy != "" {
		t.Errorf("got %+v", n)
	}
	if s := n.String(); !strings.HasPrefix(s, "already at #") {
		t.Errorf("got %q", s)
	}
}

// Where a port moves, it is the step that takes the port from the vcpu that is told: before that, the vcpu can still look.
func TestNoReturnOfAMove(t *testing.T) {
	h := recorded(t, "rebind-race", 8, 9_000_000)
	f := first(t, h)
	n, err := analyze.FindNoReturn(context.Background(), h, f, analyze.ReturnOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if n.Seq == 0 || !n.Decided || n.Exact {
		t.Fatalf("got %+v", n)
	}
	if ev := h.events[n.Seq-1]; ev.Kind != evtchn.KindAcceptClear || ev.Port != f.Port || !strings.Contains(n.SavedBy, "accept.clear") {
		t.Errorf("got %+v, %v, want the step that takes the port from the accept mask", n, ev)
	}
	few, err := analyze.FindNoReturn(context.Background(), h, f, analyze.ReturnOptions{Schedules: 4})
	if err != nil || few.Decided || few.Seq < n.Seq || few.Tried != 4 {
		t.Errorf("4 schedules: got %+v, %v", few, err)
	}
}

// Of an explored schedule it is exact: with a stale notification it is the move's own look at PEND, which finds nothing.
func TestNoReturnOfASchedule(t *testing.T) {
	ctx := context.Background()
	sc, err := system.Builtin("stale-notify")
	if err != nil {
		t.Fatal(err)
	}
	p, err := evtchn.ParsePolicy("linux-2021")
	if err != nil {
		t.Fatal(err)
	}
	sys, err := explore.New(sc, p)
	if err != nil {
		t.Fatal(err)
	}
	res, err := explore.Run(ctx, sys, explore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	tr, err := sys.Trace(res.Found[0].Choices)
	if err != nil {
		t.Fatal(err)
	}
	h := &held{tr.Meta, tr.Events}
	f := first(t, h)
	n, err := analyze.FindNoReturn(ctx, h, f, analyze.ReturnOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if ev := h.events[n.Seq-1]; !n.Exact || ev.Kind != evtchn.KindPendRead || ev.Port != f.Port || n.Schedule == "" {
		t.Errorf("got %+v, %v", n, ev)
	}
	if few, err := analyze.FindNoReturn(ctx, h, f, analyze.ReturnOptions{States: 10}); err != nil || few.Exact || few.Decided {
		t.Errorf("10 states: got %+v, %v", few, err)
	}
}

// What has none is an error of its class.
func TestNoReturnRefuses(t *testing.T) {
	h := recorded(t, "seed-port65", 1, 130_000_000)
	f := *first(t, h)
	f.Kind = analyze.KindDuplicate
	if _, err := analyze.FindNoReturn(context.Background(), h, &f, analyze.ReturnOptions{}); !errors.Is(err, analyze.ErrNoReturn) {
		t.Errorf("a duplicate: got %v, want %v", err, analyze.ErrNoReturn)
	}
	h.meta.Source = evtchn.SourceObserved
	if _, err := analyze.FindNoReturn(context.Background(), h, &f, analyze.ReturnOptions{}); !errors.Is(err, replay.ErrObserved) {
		t.Errorf("a capture: got %v, want %v", err, replay.ErrObserved)
	}
	if _, ok := (analyze.ReturnOptions{}).Cheap(&h.meta); ok {
		t.Error("a capture is cheap")
	}
}
