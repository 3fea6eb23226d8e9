package explore_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/system"
	"github.com/evtrace/evtrace/replay/explore"
)

// naive looks for a continuation that delivers, with a key of its own: the machine's, and how often each choice from outside and each
// operation was begun.
type naive struct {
	keys *evtchn.Keys
	seen map[string]bool
	want map[explore.Choice]int // as the schedule has it
	port evtchn.Port
}

func (n *naive) delivers(w *explore.World, did map[explore.Choice]int) bool {
	m := w.Machine()
	if m.Unnoticed(n.port) {
		return false
	}
	key := string(n.keys.Append(nil, m)) + fmt.Sprint(did)
	if n.seen[key] {
		return false
	}
	n.seen[key] = true
	all, must := w.Choices(nil)
	if must == 0 && m.Pending(n.port) != evtchn.One && w.Judge()&(explore.Lost|explore.Unserved) == 0 {
		enough := true
		for c, k := range n.want {
			enough = enough && did[c] >= k
		}
		if enough {
			return true
		}
	}
	for _, c := range all {
		next := w.Clone()
		next.Do(c, nil)
		after := did
		if k := c.Kind(); k == explore.Task || k == explore.Send {
			after = make(map[explore.Choice]int)
			for c, k := range did {
				after[c] = k
			}
			after[c]++
		}
		if n.delivers(next, after) {
			return true
		}
	}
	return false
}

// The point of no return of shortest counterexamples: the schedule that is said to deliver does, and a second search, which shares no
// code with the first, finds none from the choice on that is said to be the last.
func TestLastChance(t *testing.T) {
	ctx := context.Background()
	for _, c := range []struct {
		scenario, policy string
		choices          int
	}{
		{"stale-notify", "linux-2021", 16}, // the move's look at PEND, which finds nothing: a notification before it is seen
		{"stale-notify", "xen-2005", 15},
		{"rebind-2013", "linux-2013", 15},
		{"two-ports-one-word", "xen-2005", 10},
		{"bind-then-unmask", "xen-2005", 2},
	} {
		sc, err := system.Builtin(c.scenario)
		if err != nil {
			t.Fatal(err)
		}
		p, err := evtchn.ParsePolicy(c.policy)
		if err != nil {
			t.Fatal(err)
		}
		sys, err := explore.New(sc, p)
		if err != nil {
			t.Fatal(err)
		}
		res, err := explore.Run(ctx, sys, explore.Options{Properties: explore.Lost})
		if err != nil || len(res.Found) == 0 {
			t.Fatalf("%s: %v, %v", c.scenario, res, err)
		}
		lost := res.Found[0].Choices
		ch, err := sys.LastChance(ctx, lost, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s under %s: %d of %d choices, %d states", c.scenario, c.policy, ch.Choices, len(lost), ch.States)
		if !ch.Exact || ch.Choices != c.choices {
			t.Errorf("%s under %s: got %d choices, exact %v, want %d", c.scenario, c.policy, ch.Choices, ch.Exact, c.choices)
		}
		end, err := sys.Trace(lost)
		if err != nil {
			t.Fatal(err)
		}
		r, err := analyze.Run(end.Meta, end.Source(), analyze.Options{})
		if err != nil || len(r.Findings) == 0 {
			t.Fatal(r, err)
		}
		port := r.Findings[0].Port
		saved, err := sys.Trace(ch.Saved)
		if err != nil {
			t.Fatal(err)
		}
		if r, err = analyze.Run(saved.Meta, saved.Source(), analyze.Options{}); err != nil {
			t.Fatal(err)
		}
		for i := range r.Findings {
			if r.Findings[i].Port == port {
				t.Errorf("%s under %s: the schedule that delivers has finding %s", c.scenario, c.policy, r.Findings[i].ID)
			}
		}
		if ch.States > 20_000 {
			continue // too much for the second search
		}
		n := &naive{keys: evtchn.NewKeys(sys.Start().Machine(), false), seen: make(map[string]bool), want: make(map[explore.Choice]int), port: port}
		for _, c := range lost {
			if k := c.Kind(); k == explore.Task || k == explore.Send {
				n.want[c]++
			}
		}
		w, did := sys.Start(), make(map[explore.Choice]int)
		for i, c := range lost {
			w.Do(c, nil)
			if n.want[c] > 0 {
				did[c]++
			}
			if i+1 > ch.Choices && n.delivers(w.Clone(), did) {
				t.Errorf("%s: a continuation delivers after %d choices", sc.Name, i+1)
			}
		}
	}
}

// A search that is stopped says so, and a schedule that loses nothing has no point of no return.
func TestLastChanceEnds(t *testing.T) {
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
	if _, err := sys.LastChance(ctx, nil, 0); !errors.Is(err, explore.ErrDelivered) {
		t.Errorf("got %v, want %v", err, explore.ErrDelivered)
	}
	res, err := explore.Run(ctx, sys, explore.Options{Properties: explore.Lost})
	if err != nil {
		t.Fatal(err)
	}
	lost := res.Found[0].Choices
	ch, err := sys.LastChance(ctx, lost, 50)
	if err != nil || ch.Exact || ch.Saved != nil || ch.Choices <= 16 {
		t.Errorf("at most 50 states: got %+v, %v", ch, err)
	}
	kick, err := explore.ParseSchedule("k1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sys.LastChance(ctx, append(kick, lost...), 0); !errors.Is(err, explore.ErrSchedule) {
		t.Errorf("got %v, want %v", err, explore.ErrSchedule)
	}
}
