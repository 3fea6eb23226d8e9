package around_test

import (
	"context"
	"errors"
	"io"
	"reflect"
	"testing"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/evtchntest"
	"github.com/evtrace/evtrace/evtchn/system"
	"github.com/evtrace/evtrace/replay"
	"github.com/evtrace/evtrace/replay/around"
	"github.com/evtrace/evtrace/replay/explore"
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
	return &source{m.events[min(int(from)-1, len(m.events)):]}
}

type source struct{ left []evtchn.Event }

func (s *source) Next(ev *evtchn.Event) error {
	if len(s.left) == 0 {
		return io.EOF
	}
	*ev, s.left = s.left[0], s.left[1:]
	return nil
}

// record runs a scenario.
func record(t *testing.T, name string, seed uint64, d evtchn.Time) *memory {
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
	m := &memory{meta: s.Meta()}
	m.meta.Complete = true
	var ev evtchn.Event
	for {
		if err := s.Next(&ev); err == io.EOF {
			return m
		} else if err != nil {
			t.Fatal(err)
		}
		m.events = append(m.events, ev)
	}
}

// finding judges a trace and gives its first finding.
func finding(t *testing.T, tr *memory) *analyze.Finding {
	t.Helper()
	r, err := analyze.Run(tr.meta, tr.Events(1), analyze.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Findings) == 0 {
		t.Fatal("got no finding, want one")
	}
	return &r.Findings[0]
}

func options(f *analyze.Finding) around.Options {
	from, until := f.Window()
	return around.Options{From: from, Until: until, Port: f.Port}
}

// play gives a neighbour as a trace.
func play(t *testing.T, res *around.Result, n *around.Neighbour) *memory {
	t.Helper()
	m := &memory{}
	err := res.Play(context.Background(), n, func(meta evtchn.Meta) (evtchn.Sink, error) {
		m.meta = meta
		return m, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Every neighbour is a trace like any other: the second opinion finds nothing wrong with its steps, it replays from its inputs alone, and
// it has the verdict that is told of it. No two of them are the same.
func TestNeighbours(t *testing.T) {
	ctx := context.Background()
	for _, c := range []struct {
		scenario string
		seed     uint64
		d        evtchn.Time
		k        int
	}{{"seed-port65", 1, 130_000_000, 1}, {"ack-window", 1, 25_000_000, 1}, {"rebind-race", 8, 9_000_000, 0}, {"seed-rescued", 1, 170_000_000, 2}} {
		tr := record(t, c.scenario, c.seed, c.d)
		f := finding(t, tr)
		opt := options(f)
		opt.Preemptions = c.k
		opt.Max = 60
		res, err := around.Run(ctx, tr, f.Judge(), opt)
		if err != nil {
			t.Fatal(err)
		}
		if !res.Recorded.Again || len(res.Neighbours) < 5 {
			t.Errorf("%s: got %d neighbours, recorded %+v", c.scenario, len(res.Neighbours), res.Recorded)
		}
		t.Logf("%s: %d tried, %d the same, %d left, %d neighbours", c.scenario, res.Tried, res.Same, res.Left, len(res.Neighbours))
		var before [][]evtchn.Event
		for i := range res.Neighbours {
			n := &res.Neighbours[i]
			m := play(t, res, n)
			if uint64(len(m.events)) != n.Events {
				t.Errorf("%s %d: got %d events, want %d", c.scenario, n.N, len(m.events), n.Events)
			}
			for _, old := range before {
				if reflect.DeepEqual(old, m.events) {
					t.Errorf("%s %d: it is the same as an earlier one", c.scenario, n.N)
				}
			}
			if len(m.events) < 20_000 {
				before = append(before, m.events)
			}
			if i%5 != 0 {
				continue
			}
			bad, err := evtchntest.Validate(m.meta, m.Events(1))
			if err != nil || len(bad) > 0 {
				t.Errorf("%s %d, %s: %v %v", c.scenario, n.N, n.Changes[0].Text(&m.meta), bad, err)
			}
			if k, err := replay.Verify(ctx, m, replay.Options{}); err != nil || k != n.Events {
				t.Errorf("%s %d: replays %d of %d events: %v", c.scenario, n.N, k, n.Events, err)
			}
			if r, err := analyze.Run(m.meta, m.Events(1), analyze.Options{}); err != nil || string(r.Verdict) != n.Outcome.Verdict {
				t.Errorf("%s %d: verdict %v, want %s: %v", c.scenario, n.N, r.Verdict, n.Outcome.Verdict, err)
			}
		}
	}
}

// What was reordered comes in the other order: the second step is done, and the first is not.
func TestReordered(t *testing.T) {
	tr := record(t, "ack-window", 1, 25_000_000)
	f := finding(t, tr)
	res, err := around.Run(context.Background(), tr, f.Judge(), options(f))
	if err != nil {
		t.Fatal(err)
	}
	swapped := 0
	for i := range res.Neighbours {
		n := &res.Neighbours[i]
		c := &n.Changes[0]
		if c.Kind != around.Reorder {
			continue
		}
		m := play(t, res, n)
		find := func(want *evtchn.Event) evtchn.Seq {
			for j := int(c.First.Seq) - 1; j < len(m.events); j++ { // nothing differs before
				if ev := &m.events[j]; ev.Kind == want.Kind && ev.Ctx == want.Ctx && ev.VCPU == want.VCPU && ev.Port == want.Port {
					return ev.Seq
				}
			}
			return 0
		}
		first, then := find(&c.First), find(&c.Then)
		if then != 0 && (first == 0 || then < first) {
			swapped++
		} else {
			t.Logf("%d, %s: got them at #%d and #%d", n.N, c.Text(&m.meta), first, then)
		}
	}
	if swapped == 0 || swapped*10 < len(res.Neighbours)*6 {
		t.Errorf("got %d of %d reordered", swapped, len(res.Neighbours))
	}
}

// The result does not depend on the number of workers, and two preemptions are more than one.
func TestWorkers(t *testing.T) {
	tr := record(t, "seed-rescued", 1, 170_000_000)
	f := finding(t, tr)
	var want *around.Result
	for _, workers := range []int{1, 3} {
		opt := options(f)
		opt.Workers, opt.Preemptions, opt.Max = workers, 2, 40
		res, err := around.Run(context.Background(), tr, f.Judge(), opt)
		if err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want = res
			two := 0
			for i := range res.Neighbours {
				two += len(res.Neighbours[i].Changes) - 1
			}
			if two == 0 {
				t.Error("got no neighbour with two changes")
			}
			continue
		}
		if res.Tried != want.Tried || res.Same != want.Same || res.Left != want.Left || len(res.Neighbours) != len(want.Neighbours) {
			t.Fatalf("%d workers: got %d tried, %d neighbours, want %d, %d", workers, res.Tried, len(res.Neighbours), want.Tried, len(want.Neighbours))
		}
		for i := range res.Neighbours {
			a, b := &res.Neighbours[i], &want.Neighbours[i]
			if !reflect.DeepEqual(a.Changes, b.Changes) || a.Outcome != b.Outcome || a.Ways != b.Ways || a.Events != b.Events {
				t.Errorf("%d workers, neighbour %d: got %+v, want %+v", workers, i+1, a, b)
			}
		}
	}
}

// lostTrace gives a shortest schedule of a bounded scenario that loses an event, as a trace.
func lostTrace(t *testing.T, scenario, policy string) (*memory, *explore.System) {
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
	res, err := explore.Run(context.Background(), sys, explore.Options{Properties: explore.Lost})
	if err != nil || len(res.Found) == 0 {
		t.Fatal(res, err)
	}
	tr, err := sys.Trace(res.Found[0].Choices)
	if err != nil {
		t.Fatal(err)
	}
	return &memory{tr.Meta, tr.Events}, sys
}

// Neighbours of an explored schedule end at rest, have the verdict that is told, and carry their schedules.
func TestBoundedNeighbours(t *testing.T) {
	for _, c := range [][2]string{{"stale-notify", "linux-2021"}, {"two-ports-one-word", "xen-2005"}} {
		tr, _ := lostTrace(t, c[0], c[1])
		f := finding(t, tr)
		res, err := around.Run(context.Background(), tr, f.Judge(), around.Options{})
		if err != nil {
			t.Fatal(err)
		}
		verdicts := map[string]int{}
		for i := range res.Neighbours {
			n := &res.Neighbours[i]
			verdicts[n.Outcome.Verdict]++
			m := play(t, res, n)
			if bad, err := evtchntest.Validate(m.meta, m.Events(1)); err != nil || len(bad) > 0 {
				t.Errorf("%s %d: %v %v", c[0], n.N, bad, err)
			}
			if _, ok, err := explore.ScheduleOf(&m.meta); !ok || err != nil || n.Departs == 0 || n.Changes[0].Kind != around.Choose {
				t.Errorf("%s %d: %+v, schedule %q: %v", c[0], n.N, n, m.meta.Schedule, err)
			}
		}
		t.Logf("%s under %s: %d tried, %d the same, %v", c[0], c[1], res.Tried, res.Same, verdicts)
		if c[0] == "stale-notify" && verdicts["clean"] == 0 {
			t.Error("got no clean neighbour of a race")
		}
	}
}

// Errors name what is wrong.
func TestErrors(t *testing.T) {
	ctx := context.Background()
	tr := record(t, "clean", 1, 12_000_000)
	judge := (*analyze.Finding)(nil).Judge()
	for _, opt := range []around.Options{{}, {From: 5, Until: 4}, {From: 1, Until: 1 << 40}} {
		if _, err := around.Run(ctx, tr, judge, opt); !errors.Is(err, around.ErrWindow) {
			t.Errorf("%+v: got %v, want %v", opt, err, around.ErrWindow)
		}
	}
	seen := *tr
	seen.meta.Source = evtchn.SourceObserved
	if _, err := around.Run(ctx, &seen, judge, around.Options{From: 1, Until: 9}); !errors.Is(err, replay.ErrObserved) {
		t.Errorf("a capture: got %v, want %v", err, replay.ErrObserved)
	}
	other := *tr
	other.events = append([]evtchn.Event(nil), tr.events...)
	other.events[500].Res ^= 1
	if _, err := around.Run(ctx, &other, judge, around.Options{From: 490, Until: 510}); !errors.Is(err, replay.ErrDivergence) {
		t.Errorf("a trace that was changed: got %v, want %v", err, replay.ErrDivergence)
	}
	stopped, cancel := context.WithCancel(ctx)
	n := 0
	opt := around.Options{From: 1000, Until: 1400, Preemptions: 1, Workers: 1, Progress: func(int, int) {
		if n++; n == 3 {
			cancel()
		}
	}}
	res, err := around.Run(stopped, tr, judge, opt)
	if err != nil || !res.Stopped || res.Complete() || res.Tried == 0 || res.Tried > 4 {
		t.Errorf("stopped: %+v, %v", res, err)
	}
}
