package compare_test

import (
	"context"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/analyze/compare"
	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/system"
	"github.com/evtrace/evtrace/replay"
)

// memory is a trace in memory.
type memory struct {
	meta   evtchn.Meta
	events []evtchn.Event
}

func (m *memory) Meta() evtchn.Meta                         { return m.meta }
func (m *memory) Add(ev *evtchn.Event) error                { m.events = append(m.events, *ev); return nil }
func (m *memory) Events(from evtchn.Seq) evtchn.Source      { return &cursor{m.events[from-1:]} }
func (m *memory) Len() evtchn.Seq                           { return evtchn.Seq(len(m.events)) }
func (m *memory) Event(s evtchn.Seq) (*evtchn.Event, error) { return &m.events[s-1], nil }

func (m *memory) SeqAt(t evtchn.Time) (evtchn.Seq, error) {
	for i := range m.events {
		if m.events[i].Time >= t {
			return evtchn.Seq(i + 1), nil
		}
	}
	return m.Len() + 1, nil
}

type cursor struct{ events []evtchn.Event }

func (c *cursor) Next(ev *evtchn.Event) error {
	if len(c.events) == 0 {
		return io.EOF
	}
	*ev, c.events = c.events[0], c.events[1:]
	return nil
}

func record(t testing.TB, name string, seed uint64, limit evtchn.Time) *memory {
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
	p, err := evtchn.ParsePolicy(sc.Policy)
	if err != nil {
		t.Fatal(err)
	}
	s, err := system.New(sc, seed, p, system.Inputs(sc, seed))
	if err != nil {
		t.Fatal(err)
	}
	tr := &memory{meta: s.Meta()}
	tr.meta.Complete = true
	var ev evtchn.Event
	for {
		err := s.Next(&ev)
		if err == io.EOF {
			return tr
		}
		if err != nil {
			t.Fatal(err)
		}
		_ = tr.Add(&ev)
	}
}

// again runs a trace under a policy.
func again(t testing.TB, tr *memory, p evtchn.Policy) (*memory, *replay.Outcome) {
	t.Helper()
	other := &memory{meta: tr.meta}
	other.meta.Policy = p.String()
	out, err := replay.Run(context.Background(), tr, p, other, replay.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return other, out
}

func input(name string, m *memory) compare.Input {
	return compare.Input{Name: name, Meta: m.meta, Source: m.Events(1)}
}

func run(t testing.TB, a, b *memory) *compare.Comparison {
	t.Helper()
	c, err := compare.Run(input("a", a), input("b", b), analyze.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.Aligned.Both+c.Aligned.A, uint64(len(a.events)); got != want {
		t.Errorf("%d events of A have a line, want %d", got, want)
	}
	if got, want := c.Aligned.Both+c.Aligned.B, uint64(len(b.events)); got != want {
		t.Errorf("%d events of B have a line, want %d", got, want)
	}
	return c
}

// TestDeparture: under each policy the traces part where replay says that they do, the reports are those of each alone, and the traces
// share all that came from outside.
func TestDeparture(t *testing.T) {
	for _, name := range []string{"seed-rescued", "clean"} {
		a := record(t, name, 3, 60_000_000)
		for _, pre := range evtchn.Presets() {
			b, out := again(t, a, pre.Policy)
			c := run(t, a, b)
			var at evtchn.Seq
			if c.Departure != nil {
				at = c.Departure.Seq
			}
			if at != out.Departure {
				t.Errorf("%s under %s: part at %d (%+v), replay says %d", name, pre.Name, at, c.Departure, out.Departure)
			}
			if !c.Inputs.Shared || c.Inputs.Both != c.Inputs.A || c.Inputs.Both != c.Inputs.B {
				t.Errorf("%s under %s: of the inputs %+v are shared, want all", name, pre.Name, c.Inputs)
			}
			for _, side := range []struct {
				m   *memory
				got compare.Side
			}{{a, c.A}, {b, c.B}} {
				r, err := analyze.Run(side.m.meta, side.m.Events(1), analyze.Options{})
				if err != nil {
					t.Fatal(err)
				}
				if side.got.Verdict != r.Verdict || side.got.Costs != r.Costs || !cmp.Equal(side.got.Latency, r.Latency) {
					t.Errorf("%s under %s: got %+v, alone it is %s, %+v, %+v", name, pre.Name, side.got, r.Verdict, r.Latency, r.Costs)
				}
			}
			var b2 strings.Builder
			if err := c.WriteText(&b2); err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(b2.String()) {
				if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 100 {
					t.Errorf("a line of %d columns:\n%s", n, line)
				}
			}
		}
	}
}

// TestSeed65: what the upstream fix gains is the event of the bind, and nothing is missed for it.
func TestSeed65(t *testing.T) {
	a := record(t, "seed-port65", 1, 0)
	p, _ := evtchn.ParsePolicy("unmask-hypercall")
	b, _ := again(t, a, p)
	c := run(t, a, b)
	if c.Same || c.A.Verdict != analyze.VerdictLost || c.B.Verdict != analyze.VerdictClean || c.ExitCode() != 10 {
		t.Errorf("got %s and %s, exit code %d", c.A.Verdict, c.B.Verdict, c.ExitCode())
	}
	for i := range c.Ports {
		q := &c.Ports[i]
		switch {
		case q.Missed != 0:
			t.Errorf("port %d: B misses %d", q.Port, q.Missed)
		case q.Port == 65 && (q.Gained == 0 || q.Gained != q.Raised || q.A.Lost != 1 || q.B.Lost != 0 || q.A.Delivered != 0 || q.B.Delivered == 0):
			t.Errorf("port 65: got %+v", *q)
		case q.Port != 65 && q.Gained != 0:
			t.Errorf("port %d: B gains %d", q.Port, q.Gained)
		}
	}
	// The other way round it is the mirror image.
	m := run(t, b, a)
	if m.Aligned.Both != c.Aligned.Both || m.ExitCode() != 10 {
		t.Errorf("the other way round %d events are in both, exit code %d, want %d, 10", m.Aligned.Both, m.ExitCode(), c.Aligned.Both)
	}
	for i := range m.Ports {
		if m.Ports[i].Missed != c.Ports[i].Gained {
			t.Errorf("port %d: missed %d, want %d", m.Ports[i].Port, m.Ports[i].Missed, c.Ports[i].Gained)
		}
	}
}

// TestMoved: a trace is the same as itself, also if its clock was set.
func TestMoved(t *testing.T) {
	a := record(t, "seed-rescued", 1, 30_000_000)
	b := &memory{meta: a.meta}
	for _, ev := range a.events {
		ev.Time += 77_000
		b.events = append(b.events, ev)
	}
	b.meta.Duration += 77_000
	for _, o := range []*memory{a, b} {
		c := run(t, a, o)
		if c.Aligned.A+c.Aligned.B != 0 || c.Departure != nil || !c.Same || c.ExitCode() != 0 || !c.Inputs.Shared {
			t.Errorf("got %+v, %+v, exit code %d", c.Aligned, c.Departure, c.ExitCode())
		}
	}
}

// TestStrangers: traces of different things are not aligned.
func TestStrangers(t *testing.T) {
	c := run(t, record(t, "seed-rescued", 1, 10_000_000), record(t, "clean", 9, 10_000_000))
	if c.Inputs.Shared {
		t.Errorf("got %+v", c.Inputs)
	}
	for _, p := range c.Ports {
		if p.Raised+p.Gained+p.Missed > 0 {
			t.Errorf("port %d: %+v, want no raise compared", p.Port, p)
		}
	}
	var b strings.Builder
	if err := c.WriteText(&b); err != nil || !strings.Contains(b.String(), "not two runs of the same inputs") {
		t.Errorf("got %v\n%s", err, b.String())
	}
}

// TestPairs: the lines around an event are a piece of the whole alignment, which is the one that is counted.
func TestPairs(t *testing.T) {
	a := record(t, "seed-rescued", 1, 8_000_000)
	p, _ := evtchn.ParsePolicy("unmask-hypercall-always")
	b, _ := again(t, a, p)
	all := compare.Pairs(a, b, 1, len(a.events)+len(b.events), 0)
	var l, r evtchn.Seq
	var got compare.Aligned
	for _, q := range all {
		switch {
		case q.Left != 0 && q.Right != 0:
			got.Both++
		case q.Left != 0:
			got.A++
		default:
			got.B++
		}
		if q.Left != 0 && q.Left != l+1 || q.Right != 0 && q.Right != r+1 {
			t.Fatalf("after %d and %d comes %+v", l, r, q)
		}
		l, r = max(l, q.Left), max(r, q.Right)
		if q.Left != 0 && q.Right != 0 && !compare.Alike(&a.events[q.Left-1], &b.events[q.Right-1]) {
			t.Errorf("%+v are not alike", q)
		}
	}
	if want := run(t, a, b).Aligned; got != want {
		t.Errorf("Pairs counts %+v, Run %+v", got, want)
	}
	at := len(all) / 2
	for all[at].Left == 0 {
		at++
	}
	near := compare.Pairs(a, b, all[at].Left, 20, 5)
	if diff := cmp.Diff(all[at:at+15], near[5:], cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("from event %d on (-all +near):\n%s", all[at].Left, diff)
	}
}
