package replay_test

import (
	"context"
	"errors"
	"testing"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/system"
	"github.com/evtrace/evtrace/replay"
)

// The inputs of a trace lead to the trace; a part of them leads to a trace that replays, too.
func TestInputs(t *testing.T) {
	ctx := context.Background()
	for _, sc := range system.Builtins() {
		tr := record(t, sc.Name, 3, evtchn.Policy{}, 12_000_000)
		in, err := replay.ReadInputs(ctx, tr)
		if err != nil {
			t.Fatal(err)
		}
		whole := &memory{}
		if err := in.Run(ctx, in.Events, evtchn.Policy{}, whole); err != nil {
			t.Fatal(err)
		}
		if len(whole.events) != len(tr.events) {
			t.Errorf("%s: got %d events, want %d", sc.Name, len(whole.events), len(tr.events))
		}
		for i := range whole.events {
			if whole.events[i] != tr.events[i] {
				t.Fatalf("%s: event %d: got %v, want %v", sc.Name, i+1, whole.events[i], tr.events[i])
			}
		}
		var half []evtchn.Event
		for i := range in.Events {
			if i%3 != 0 || in.Events[i].Kind == evtchn.KindEnd {
				half = append(half, in.Events[i])
			}
		}
		part := &memory{meta: in.Meta(evtchn.Policy{})}
		if err := in.Run(ctx, half, evtchn.Policy{}, part); err != nil {
			t.Fatalf("%s, some inputs left out: %v", sc.Name, err)
		}
		if n, err := replay.Verify(ctx, part, replay.Options{}); err != nil || n != uint64(len(part.events)) {
			t.Errorf("%s, some inputs left out: %d of %d events agree: %v", sc.Name, n, len(part.events), err)
		}
	}
}

// stopper ends a run at an event.
type stopper struct{ at evtchn.Seq }

var errStopped = errors.New("stopped")

func (s stopper) Add(ev *evtchn.Event) error {
	if ev.Seq == s.at {
		return errStopped
	}
	return nil
}

// A sink can end a run.
func TestInputsStop(t *testing.T) {
	tr := record(t, "clean", 1, evtchn.Policy{}, 12_000_000)
	in, err := replay.ReadInputs(context.Background(), tr)
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Run(context.Background(), in.Events, evtchn.Policy{}, stopper{100}); err != errStopped {
		t.Errorf("got %v, want %v", err, errStopped)
	}
}
