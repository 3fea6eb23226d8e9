package minimize_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/system"
	"github.com/evtrace/evtrace/replay/explore"
	"github.com/evtrace/evtrace/replay/minimize"
)

// The result does not depend on how many candidates are tested at once, nor on the run.
func TestWorkers(t *testing.T) {
	pr := keeping(t, record(t, "seed-rescued", 1, "xen-2005"), analyze.KindLate)
	for _, guesses := range [][][]int{pr.guesses, nil} {
		var want *minimize.Result[evtchn.Event]
		for _, workers := range []int{1, 2, 3, 1} {
			got, err := minimize.Inputs(context.Background(), pr.in.Events, guesses, pr.test, minimize.Options{Workers: workers})
			if err != nil {
				t.Fatal(err)
			}
			if want == nil {
				want = got
			}
			if !slices.Equal(got.Candidate, want.Candidate) || got.Runs != want.Runs || got.Fact != want.Fact {
				t.Errorf("%d workers: got %v in %d runs, want %v in %d", workers, got.Candidate, got.Runs, want.Candidate, want.Runs)
			}
		}
	}
}

// However early the search has to end, what there is by then holds, is never more than there was, and can be gone on with.
func TestBudget(t *testing.T) {
	pr := keeping(t, record(t, "seed-rescued", 1, "xen-2005"), analyze.KindLate)
	full, err := minimize.Inputs(context.Background(), pr.in.Events, nil, pr.test, minimize.Options{})
	if err != nil {
		t.Fatal(err)
	}
	last := len(pr.in.Events)
	for _, budget := range []int{1, 2, 5, 20, 100, full.Runs - 1} {
		ctx, cancel := context.WithCancel(context.Background())
		runs := 0
		test := func(ctx context.Context, c []evtchn.Event) (minimize.Fact, error) {
			if runs++; runs > budget {
				cancel()
				return minimize.Fact{}, ctx.Err()
			}
			return pr.test(ctx, c)
		}
		res, err := minimize.Inputs(ctx, pr.in.Events, nil, test, minimize.Options{})
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		if f, err := pr.test(context.Background(), res.Candidate); err != nil || !f.Holds {
			t.Errorf("after %d runs: the result does not hold: %v", budget, err)
		}
		if !res.Stopped || res.Minimal || res.Exact || res.Runs > budget || len(res.Candidate) > last {
			t.Errorf("after %d runs: got %d inputs, had %d: %+v", budget, len(res.Candidate), last, res)
		}
		last = len(res.Candidate)
		if budget != 100 {
			continue
		}
		on, err := minimize.Inputs(context.Background(), res.Candidate, nil, pr.test, minimize.Options{})
		if err != nil || !on.Minimal || len(on.Candidate) > len(full.Candidate) {
			t.Errorf("gone on with: got %d inputs, want %d: %v", len(on.Candidate), len(full.Candidate), err)
		}
	}
}

// A start that is over before it is tested, or does not have it, or a test that fails.
func TestStart(t *testing.T) {
	pr := keeping(t, record(t, small(2, "3ms", oneDM), 1, "xen-2005"), analyze.KindLost)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	res, err := minimize.Inputs(ctx, pr.in.Events, nil, pr.test, minimize.Options{})
	if err != nil || !res.Stopped || len(res.Candidate) != len(pr.in.Events) {
		t.Errorf("no time at all: got %+v, %v; want the whole", res, err)
	}
	n := len(pr.in.Events)
	_, err = minimize.Inputs(context.Background(), pr.in.Events[n-1:], nil, pr.test, minimize.Options{})
	if !errors.Is(err, minimize.ErrGone) {
		t.Errorf("nothing but the end: got %v, want %v", err, minimize.ErrGone)
	}
	boom := errors.New("boom")
	var runs atomic.Int32
	_, err = minimize.Inputs(context.Background(), pr.in.Events, nil, func(ctx context.Context, c []evtchn.Event) (minimize.Fact, error) {
		if runs.Add(1) > 3 {
			return minimize.Fact{}, boom
		}
		return pr.test(ctx, c)
	}, minimize.Options{Workers: 2})
	if !errors.Is(err, boom) {
		t.Errorf("a test that fails: got %v, want %v", err, boom)
	}
}

// lostIn reports what a schedule of a bounded system loses.
func lostIn(cause analyze.Cause) func(context.Context, *explore.Trace) (minimize.Fact, error) {
	return func(_ context.Context, tr *explore.Trace) (minimize.Fact, error) {
		w, err := analyze.NewWatch(tr.Meta)
		if err != nil {
			return minimize.Fact{}, err
		}
		for i := range tr.Events {
			if err := w.Add(&tr.Events[i]); err != nil {
				return minimize.Fact{}, err
			}
		}
		r := w.Finish()
		i := slices.IndexFunc(r.Findings, func(f analyze.Finding) bool { return f.Kind == analyze.KindLost && f.Cause == cause })
		return minimize.Fact{Holds: i >= 0, Switches: w.Switches, Events: w.Events}, nil
	}
}

// A schedule that an explorer found becomes no longer, and minimal; one in which everybody takes turns does, too.
func TestSchedule(t *testing.T) {
	sc, err := system.Builtin("bind-then-unmask")
	if err != nil {
		t.Fatal(err)
	}
	sys, err := explore.New(sc, evtchn.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	found, err := explore.Run(context.Background(), sys, explore.Options{Properties: explore.Lost})
	if err != nil || len(found.Found) == 0 {
		t.Fatal("nothing found", err)
	}
	test := lostIn(analyze.CauseMaskedElsewhere)
	shortest := found.Found[0].Choices
	// Everybody who can do something does, in turn: long, and full of switches.
	turns := append([]explore.Choice(nil), shortest...)
	w := sys.Start()
	for _, c := range shortest {
		w.Do(c, nil)
	}
	for i := range 40 {
		all, _ := w.Choices(nil)
		if len(all) == 0 {
			break
		}
		c := all[i%len(all)]
		w.Do(c, nil)
		turns = append(turns, c)
	}
	var sizes []int
	for _, whole := range [][]explore.Choice{shortest, turns} {
		tr := sys.Part(whole)
		if len(tr.Made) != len(whole) {
			t.Fatalf("%d of %d choices can be made", len(tr.Made), len(whole))
		}
		before, err := test(context.Background(), tr)
		if err != nil || !before.Holds {
			t.Fatalf("the start does not have it: %v", err)
		}
		res, err := minimize.Schedule(context.Background(), sys, whole, test, minimize.Options{Workers: 2})
		if err != nil {
			t.Fatal(err)
		}
		if tr, err := sys.Trace(res.Candidate); err != nil { // strictly: every choice can be made
			t.Error(err)
		} else if f, _ := test(context.Background(), tr); !f.Holds || f != res.Fact {
			t.Errorf("got %+v, want it to hold as the result says: %+v", f, res.Fact)
		}
		if !res.Minimal || len(res.Candidate) > len(shortest) || res.Fact.Switches > before.Switches {
			t.Errorf("got %d choices with %d switches of %d with %d, minimal: %t", len(res.Candidate), res.Fact.Switches, len(whole), before.Switches, res.Minimal)
		}
		for i := range res.Candidate {
			tr := sys.Part(slices.Delete(slices.Clone(res.Candidate), i, i+1))
			if f, _ := test(context.Background(), tr); f.Holds {
				t.Errorf("it is lost without choice %d, too", i+1)
			}
		}
		sizes = append(sizes, len(res.Candidate))
	}
	if sizes[0] != sizes[1] {
		t.Errorf("from the shortest: %d choices; from the long one: %d", sizes[0], sizes[1])
	}
}
