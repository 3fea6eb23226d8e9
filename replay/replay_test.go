package replay_test

import (
	"context"
	"errors"
	"io"
	"testing"

	"pgregory.net/rapid"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/system"
	"github.com/evtrace/evtrace/recorder"
	"github.com/evtrace/evtrace/replay"
)

// memory is a trace in memory.
type memory struct {
	meta   evtchn.Meta
	events []evtchn.Event
}

func (m *memory) Meta() evtchn.Meta { return m.meta }

func (m *memory) Add(ev *evtchn.Event) error {
	m.events = append(m.events, *ev)
	return nil
}

func (m *memory) Events(from evtchn.Seq) evtchn.Source {
	return &cursor{events: m.events[from-1:]}
}

type cursor struct{ events []evtchn.Event }

func (c *cursor) Next(ev *evtchn.Event) error {
	if len(c.events) == 0 {
		return io.EOF
	}
	*ev, c.events = c.events[0], c.events[1:]
	return nil
}

func record(t testing.TB, name string, seed uint64, policy evtchn.Policy, limit evtchn.Time) *memory {
	t.Helper()
	sc, err := system.Builtin(name)
	if err != nil {
		t.Fatal(err)
	}
	if limit > 0 && limit < sc.Duration {
		if sc, err = sc.Override(0, 0, limit); err != nil {
			t.Fatal(err)
		}
	}
	s, err := system.New(sc, seed, policy, system.Inputs(sc, seed))
	if err != nil {
		t.Fatal(err)
	}
	tr := &memory{meta: s.Meta()}
	tr.meta.Complete = true
	if _, err := recorder.Run(context.Background(), s, recorder.Options{}, tr); err != nil {
		t.Fatal(err)
	}
	return tr
}

// Every built-in scenario, under its recorded policy, is reproduced event for event, whatever the policy.
func TestReplayIsIdentical(t *testing.T) {
	for _, sc := range system.Builtins() {
		for _, pre := range evtchn.Presets() {
			tr := record(t, sc.Name, 7, pre.Policy, 20_000_000)
			n, err := replay.Verify(context.Background(), tr, replay.Options{})
			if err != nil || n != uint64(len(tr.events)) {
				t.Errorf("%s under %s: %d of %d events agree: %v", sc.Name, pre.Name, n, len(tr.events), err)
			}
		}
	}
}

// A change of any event of a recording that is not an input is found, at that event.
func TestReplayNamesFirstDivergence(t *testing.T) {
	tr := record(t, "seed-port65", 1, evtchn.Policy{}, 10_000_000)
	rapid.Check(t, func(rt *rapid.T) {
		i := rapid.IntRange(0, len(tr.events)-1).Draw(rt, "event")
		if tr.events[i].Input() {
			return
		}
		broken := &memory{meta: tr.meta, events: append([]evtchn.Event(nil), tr.events...)}
		switch rapid.IntRange(0, 2).Draw(rt, "how") {
		case 0:
			broken.events[i].Res ^= 1
		case 1:
			broken.events[i].Port++
		case 2:
			broken.events[i].Args[0]++
		}
		_, err := replay.Verify(context.Background(), broken, replay.Options{})
		var d *replay.Divergence
		if !errors.As(err, &d) || !errors.Is(err, replay.ErrDivergence) || d.Seq != evtchn.Seq(i+1) {
			rt.Fatalf("got %v, want a divergence at %d", err, i+1)
		}
	})
}

// A recording that was cut short is reproduced as far as it goes.
func TestReplayOfAnIncompleteTrace(t *testing.T) {
	tr := record(t, "seed-rescued", 3, evtchn.Policy{}, 10_000_000)
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, len(tr.events)-1).Draw(rt, "events")
		cut := &memory{meta: tr.meta, events: tr.events[:n]}
		cut.meta.Complete = false
		got, err := replay.Verify(context.Background(), cut, replay.Options{})
		if err != nil || got != uint64(n) {
			rt.Fatalf("%d of %d events agree: %v", got, n, err)
		}
	})
}

// Under the upstream fix, what the recorded run never came to happens: the device model wakes, and requests are served.
func TestClosedLoop(t *testing.T) {
	tr := record(t, "seed-port65", 1, evtchn.Policy{}, 0)
	p, err := evtchn.ParsePolicy("unmask-hypercall")
	if err != nil {
		t.Fatal(err)
	}
	served := func(evs []evtchn.Event) (n int) {
		for i := range evs {
			if evs[i].Kind == evtchn.KindServe {
				n++
			}
		}
		return n
	}
	if n := served(tr.events); n != 0 {
		t.Fatalf("recording: %d requests served, want 0", n)
	}
	out := &memory{}
	o, err := replay.Run(context.Background(), tr, p, out, replay.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if served(out.events) == 0 {
		t.Error("under unmask-hypercall no request is served")
	}
	d := tr.events[o.Departure-1]
	if d.Kind != evtchn.KindMaskClear || d.Port != 65 {
		t.Errorf("first departure at %v, want the unmask of port 65", d)
	}
	// Another policy leaves the inputs alone.
	var in, was []evtchn.Event
	for _, e := range tr.events {
		if e.Input() {
			e.Seq = 0
			was = append(was, e)
		}
	}
	for _, e := range out.events {
		if e.Input() {
			e.Seq = 0
			in = append(in, e)
		}
	}
	if len(in) != len(was) {
		t.Fatalf("%d inputs, want %d", len(in), len(was))
	}
	for i := range in {
		if in[i] != was[i] {
			t.Fatalf("input %d: got %v, want %v", i, in[i], was[i])
		}
	}
}

func TestObservedTraceIsRefused(t *testing.T) {
	tr := &memory{meta: evtchn.Meta{Source: evtchn.SourceObserved, VCPUs: 1, WordBits: 64}}
	if _, err := replay.Verify(context.Background(), tr, replay.Options{}); !errors.Is(err, replay.ErrObserved) {
		t.Errorf("got %v, want ErrObserved", err)
	}
}

func BenchmarkReplay(b *testing.B) {
	tr := record(b, "seed-port65", 1, evtchn.Policy{}, 0)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		if _, err := replay.Verify(context.Background(), tr, replay.Options{}); err != nil {
			b.Fatal(err)
		}
		n += len(tr.events)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
}
