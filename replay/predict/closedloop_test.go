package predict_test

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/replay"
	"github.com/evtrace/evtrace/replay/predict"
)

// episode is one stay of a port in PEND, by what began it.
type episode struct {
	port evtchn.Port
	at   evtchn.Time
}

type fate uint8

const (
	pending fate = iota // masked, or on its way, at the end
	noticed
	rescued // noticed, after nobody was going to look
	lost    // nobody was going to look at the end, or when it was closed
)

// fates follows every episode of a stream to its end.
func fates(t testing.TB, m *memory) map[episode]fate {
	t.Helper()
	st, err := evtchn.NewState(m.meta)
	if err != nil {
		t.Fatal(err)
	}
	open, gone := make(map[evtchn.Port]episode), make(map[evtchn.Port]bool)
	out := make(map[episode]fate)
	for i := range m.events {
		ev := &m.events[i]
		st.Apply(ev)
		switch ev.Kind {
		case evtchn.KindPendTAS:
			if ev.Res != 1 {
				e := episode{ev.Port, ev.Time}
				open[ev.Port], gone[ev.Port] = e, false
				out[e] = pending
			}
		case evtchn.KindDeliver, evtchn.KindPortClose:
			if e, ok := open[ev.Port]; ok {
				switch {
				case ev.Kind == evtchn.KindDeliver && gone[ev.Port]:
					out[e] = rescued
				case ev.Kind == evtchn.KindDeliver:
					out[e] = noticed
				case gone[ev.Port]:
					out[e] = lost
				}
				delete(open, ev.Port)
			}
		}
		for _, q := range st.Changed() {
			if st.Unnoticed(q) {
				gone[q] = true
			}
		}
	}
	for q, e := range open {
		if st.Unnoticed(q) {
			out[e] = lost
		}
	}
	return out
}

// foresee predicts a policy for a capture in memory.
func foresee(t testing.TB, m *memory, p evtchn.Policy, seed uint64) (*memory, *predict.Outcome) {
	t.Helper()
	h, err := predict.NewHarvest(m.meta)
	if err != nil {
		t.Fatal(err)
	}
	for i := range m.events {
		_ = h.Add(&m.events[i])
	}
	out := &memory{meta: m.meta}
	return out, foretell(t, m, p, h.Samples(20), out, seed)
}

// How much TestAgainstClosedLoop simulates. The table of docs/prediction.md is that of -seeds 2 -length 200ms.
var (
	seeds  = flag.Int("seeds", 1, "number of recordings of each scenario")
	length = flag.Duration("length", 60*time.Millisecond, "length of a recording")
)

// score counts episodes whose fate was predicted, and how many of them rightly.
type score struct{ all, right, lost, lostRight, over, under int }

func (s *score) add(got, want fate) {
	s.all++
	if got == want {
		s.right++
	}
	if got > noticed || want > noticed {
		s.lost++
		if (got > noticed) == (want > noticed) {
			s.lostRight++
		} else if got > noticed {
			s.over++
		} else {
			s.under++
		}
	}
}

// String says how many were rightly foretold, and which of the unnoticed ones were not: too many, or too few.
func (s score) String() string {
	return fmt.Sprintf("%d of %d, of unnoticed ones %d of %d (%d too many, %d missed)", s.right, s.all, s.lostRight, s.lost, s.over, s.under)
}

func (s *score) sum(o score) {
	s.all, s.right, s.lost, s.lostRight = s.all+o.all, s.right+o.right, s.lost+o.lost, s.lostRight+o.lostRight
	s.over, s.under = s.over+o.over, s.under+o.under
}

// compare matches the episodes of a prediction with those of the closed loop: the same ones, which begin at the same time; and, once the
// two have parted and times have shifted, the nearest of the port within a tolerance.
func compare(t testing.TB, got, want map[episode]fate, tolerance evtchn.Time) (same, near score, unmatched int) {
	t.Helper()
	free := make(map[evtchn.Port][]evtchn.Time)
	for e := range want {
		if g, ok := got[e]; ok {
			same.add(g, want[e])
		} else {
			free[e.port] = append(free[e.port], e.at)
		}
	}
	for _, ats := range free {
		slices.Sort(ats)
	}
	var rest []episode
	for e := range got {
		if _, ok := want[e]; !ok {
			rest = append(rest, e)
		}
	}
	slices.SortFunc(rest, func(a, b episode) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.port, b.port)) })
	for _, e := range rest {
		ats, best := free[e.port], -1
		for i, at := range ats {
			if d := max(at-e.at, e.at-at); d <= tolerance && (best < 0 || d < max(ats[best]-e.at, e.at-ats[best])) {
				best = i
			}
		}
		if best < 0 {
			unmatched++
			continue
		}
		near.add(got[e], want[episode{e.port, ats[best]}])
		free[e.port] = slices.Delete(ats, best, best+1)
	}
	return same, near, unmatched
}

// TestAgainstClosedLoop compares predictions with what really happens: the simulated system is recorded under one policy, the recording
// is degraded to what a capture would show, and another policy is predicted from it; and the recording is replayed under that policy, with
// all its actors.
func TestAgainstClosedLoop(t *testing.T) {
	t.Parallel()
	last := uint64(*seeds)
	for _, c := range []struct {
		recorded, other string
		least           float64 // of the episodes that both have
	}{
		{"unmask-hypercall", "xen-2005", .99},
		{"xen-2005", "unmask-hypercall", .99},
		{"unmask-hypercall", "tick-sweep", .99},
		{"xen-2005", "tick-sweep", .99},
		{"unmask-hypercall", "resend-from-upcall", .99},
		{"unmask-hypercall", "owner-ipi-resend", .99},
		{"unmask-hypercall", "remote-selector-ipi-noup", .9},
		{"unmask-hypercall", "unmask-hypercall-always", .99},
		{"linux-2021", "unmask=local,upcall=snapshot,ack=2021,rebind=2021", .99},
		{"linux-2021", "unmask=local,upcall=snapshot,ack=2021,rebind=2021,tick=sweep", .99},
	} {
		var same, near score
		for _, sc := range []string{"seed-port65", "seed-rescued", "seed-hot-word", "ack-window", "rebind-race", "mixed-load", "clean"} {
			var s1, s2 score
			un := 0
			for seed := uint64(1); seed <= last; seed++ {
				rec := record(t, sc, seed, policy(t, c.recorded), evtchn.Time(length.Nanoseconds()))
				p := policy(t, c.other)
				real := &memory{meta: rec.meta}
				if _, err := replay.Run(context.Background(), rec, p, real, replay.Options{}); err != nil {
					t.Fatal(err)
				}
				seen, _ := foresee(t, degrade(rec), p, seed)
				a, b, n := compare(t, fates(t, seen), fates(t, degrade(real)), 2_000_000)
				s1.sum(a)
				s2.sum(b)
				un += n
			}
			t.Logf("%-14s the same: %v; near: %v; in the prediction alone: %d", sc, s1, s2, un)
			same.sum(s1)
			near.sum(s2)
		}
		t.Logf("== %s -> %s: the same: %v; near: %v", c.recorded, c.other, same, near)
		if r := float64(same.right) / float64(same.all); r < c.least {
			t.Errorf("%s -> %s: %.4f of the episodes that both have were foretold, want %.2f or more", c.recorded, c.other, r, c.least)
		}
	}
}
