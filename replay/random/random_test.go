package random_test

import (
	"context"
	"errors"
	"io"
	"math"
	"reflect"
	"testing"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/evtchntest"
	"github.com/evtrace/evtrace/evtchn/system"
	"github.com/evtrace/evtrace/replay"
	"github.com/evtrace/evtrace/replay/explore"
	"github.com/evtrace/evtrace/replay/random"
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

func (m *memory) Events(from evtchn.Seq) evtchn.Source { return &source{m.events[from-1:]} }

type source struct{ left []evtchn.Event }

func (s *source) Next(ev *evtchn.Event) error {
	if len(s.left) == 0 {
		return io.EOF
	}
	*ev, s.left = s.left[0], s.left[1:]
	return nil
}

func walker(t *testing.T, name, policy string, d evtchn.Time, opt random.Options) *random.Walker {
	t.Helper()
	sc, err := system.Builtin(name)
	if err != nil {
		t.Fatal(err)
	}
	if d > 0 {
		if sc, err = sc.Override(0, 0, d); err != nil {
			t.Fatal(err)
		}
	}
	p, err := evtchn.ParsePolicy(policy)
	if err != nil {
		t.Fatal(err)
	}
	w, err := random.New(context.Background(), sc, p, (*analyze.Finding)(nil).Judge(), opt)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func play(t *testing.T, w *random.Walker, seed uint64) *memory {
	t.Helper()
	m := &memory{}
	err := w.Play(context.Background(), seed, func(meta evtchn.Meta) (evtchn.Sink, error) {
		m.meta = meta
		return m, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func count(res *random.Result) map[string]int {
	n := map[string]int{}
	for i := range res.Runs {
		n[res.Runs[i].Outcome.Verdict]++
	}
	return n
}

// Runs are traces like any other: the second opinion finds nothing wrong with their steps, they replay, and have the verdict told.
func TestRunsAreTraces(t *testing.T) {
	ctx := context.Background()
	for _, c := range []struct {
		scenario, policy string
		d                evtchn.Time
		depth            int
	}{{"rebind-race", "unmask-hypercall", 8_000_000, 0}, {"ack-window", "xen-2005", 20_000_000, 3}, {"write-back", "xen-2005", 0, 2}, {"stale-notify", "linux-2021", 0, 0}} {
		w := walker(t, c.scenario, c.policy, c.d, random.Options{Seed: 5, Inputs: 1, Depth: c.depth})
		res, err := w.Explore(ctx, 6)
		if err != nil {
			t.Fatal(err)
		}
		before := map[uint64]bool{}
		for i := range res.Runs {
			r := &res.Runs[i]
			m := play(t, w, r.Seed)
			if uint64(len(m.events)) != r.Events || r.Seed != 5+uint64(i) {
				t.Errorf("%s, seed %d: got %d events, want %d", c.scenario, r.Seed, len(m.events), r.Events)
			}
			before[r.Events<<20^r.Choices] = true
			if bad, err := evtchntest.Validate(m.meta, m.Events(1)); err != nil || len(bad) > 0 {
				t.Errorf("%s, seed %d: %v %v", c.scenario, r.Seed, bad, err)
			}
			rep, err := analyze.Run(m.meta, m.Events(1), analyze.Options{})
			if err != nil || string(rep.Verdict) != r.Outcome.Verdict && rep.Verdict != analyze.VerdictClean {
				t.Errorf("%s, seed %d: verdict %v, want %s: %v", c.scenario, r.Seed, rep.Verdict, r.Outcome.Verdict, err)
			}
			if c.d == 0 {
				if _, ok, err := explore.ScheduleOf(&m.meta); !ok || err != nil {
					t.Errorf("%s, seed %d: schedule %q: %v", c.scenario, r.Seed, m.meta.Schedule, err)
				}
				continue
			}
			if n, err := replay.Verify(ctx, m, replay.Options{}); err != nil || n != r.Events {
				t.Errorf("%s, seed %d: replays %d of %d events: %v", c.scenario, r.Seed, n, r.Events, err)
			}
		}
		if len(before) < 3 {
			t.Errorf("%s: got %d different runs of %d, want more", c.scenario, len(before), len(res.Runs))
		}
	}
}

// The report's loss is found, under the policy of 2005; under the fix that Xen took no run loses an event.
func TestFinds(t *testing.T) {
	ctx := context.Background()
	for _, c := range []struct {
		scenario, policy string
		d                evtchn.Time
		depth, runs      int
		lost             bool
	}{
		{"seed-port65", "xen-2005", 130_000_000, 2, 3, true},
		{"seed-port65", "unmask-hypercall", 130_000_000, 2, 20, false},
		{"seed-port65", "unmask-hypercall", 130_000_000, 0, 20, false},
		{"write-back", "unmask-hypercall", 0, 3, 300, false},
		{"write-back", "xen-2005", 0, 2, 100, true},
		{"stale-notify", "linux-2021", 0, 3, 100, true},
		{"stale-notify", "xen-2005", 0, 0, 50, true},
		{"stale-notify", "sender-recheck", 0, 3, 300, false},
	} {
		w := walker(t, c.scenario, c.policy, c.d, random.Options{Seed: 1, Inputs: 1, Depth: c.depth})
		res, err := w.Explore(ctx, c.runs)
		if err != nil {
			t.Fatal(err)
		}
		n := count(res)
		t.Logf("%s under %s, depth %d: n %d, k %d, bound %.2g, found %.2g: %v", c.scenario, c.policy, c.depth, res.Contexts, res.Choices, res.Bound, res.Found, n)
		if (n["lost"] > 0) != c.lost || !c.lost && n["clean"] != c.runs {
			t.Errorf("%s under %s, depth %d: got %v", c.scenario, c.policy, c.depth, n)
		}
	}
}

// The result does not depend on the number of workers, and a run does not depend on those before it.
func TestWorkers(t *testing.T) {
	ctx := context.Background()
	var want *random.Result
	for _, workers := range []int{1, 4} {
		w := walker(t, "write-back", "xen-2005", 0, random.Options{Seed: 10, Depth: 3, Workers: workers})
		res, err := w.Explore(ctx, 50)
		if err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want = res
		}
		if !reflect.DeepEqual(res, want) {
			t.Errorf("%d workers: got %+v, want %+v", workers, res, want)
		}
	}
	one, err := walker(t, "write-back", "xen-2005", 0, random.Options{Seed: 37, Depth: 3}).Explore(ctx, 1)
	if err != nil || one.Runs[0] != want.Runs[27] {
		t.Errorf("seed 37 alone: got %+v, want %+v: %v", one.Runs[0], want.Runs[27], err)
	}
}

// The bound is the paper's, and that of all runs follows from it.
func TestBound(t *testing.T) {
	w := walker(t, "stale-notify", "linux-2021", 0, random.Options{Depth: 3})
	res, err := w.Explore(context.Background(), 100)
	if err != nil {
		t.Fatal(err)
	}
	want := 1 / (float64(res.Contexts) * float64(res.Choices) * float64(res.Choices))
	if math.Abs(res.Bound-want) > 1e-15 || math.Abs(res.Found-(1-math.Pow(1-want, 100))) > 1e-9 || res.Contexts < 3 || res.Choices < 10 {
		t.Errorf("got %+v, want a bound of %g", res, want)
	}
	if n := count(res)["lost"]; float64(n)/100 < want {
		t.Errorf("got %d of 100 lost, want at least %g", n, 100*want)
	}
}

// A run that is stopped leaves those that were done, and options are checked.
func TestStops(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	n := 0
	w := walker(t, "stale-notify", "linux-2021", 0, random.Options{Workers: 1, Progress: func(int) {
		if n++; n == 3 {
			cancel()
		}
	}})
	res, err := w.Explore(ctx, 100)
	if err != nil || !res.Stopped || len(res.Runs) != 3 {
		t.Errorf("got %+v, %v, want 3 runs", res, err)
	}
	sc, err := system.Builtin("clean")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := random.New(context.Background(), sc, evtchn.Policy{}, nil, random.Options{Depth: -1}); !errors.Is(err, random.ErrOptions) {
		t.Errorf("depth -1: got %v, want %v", err, random.ErrOptions)
	}
}
