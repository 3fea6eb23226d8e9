package analyze

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/evtchntest"
	"github.com/evtrace/evtrace/evtchn/system"
	"github.com/evtrace/evtrace/evtchn/text"
	"github.com/evtrace/evtrace/replay"
)

// kept is a recording in memory. It is a sink, too.
type kept struct {
	meta evtchn.Meta
	evs  []evtchn.Event
}

func (k *kept) Meta() evtchn.Meta                    { return k.meta }
func (k *kept) Events(from evtchn.Seq) evtchn.Source { return &slice{evs: k.evs[from-1:]} }
func (k *kept) Add(ev *evtchn.Event) error           { k.evs = append(k.evs, *ev); return nil }

// recordFor records a built-in scenario under its own policy, for ms milliseconds, 0: all.
func recordFor(t testing.TB, name string, seed uint64, ms evtchn.Time) (*kept, *Report) {
	t.Helper()
	sc, err := system.Builtin(name)
	if err != nil {
		t.Fatal(err)
	}
	if sc, err = sc.Override(0, 0, ms*1_000_000); err != nil {
		t.Fatal(err)
	}
	p, err := evtchn.ParsePolicy(sc.Policy)
	if err != nil {
		t.Fatal(err)
	}
	return recordScenario(t, sc, seed, p)
}

func recordScenario(t testing.TB, sc *system.Scenario, seed uint64, p evtchn.Policy) (*kept, *Report) {
	t.Helper()
	sys, err := system.New(sc, seed, p, system.Inputs(sc, seed))
	if err != nil {
		t.Fatal(err)
	}
	k := &kept{meta: sys.Meta()}
	k.meta.Complete = true
	var ev evtchn.Event
	for sys.Next(&ev) == nil {
		k.evs = append(k.evs, ev)
	}
	r, err := Run(k.meta, k.Events(1), Options{})
	if err != nil {
		t.Fatal(err)
	}
	return k, r
}

// holds runs a counterfactual from its edit alone, to the end, and looks whether what it says is so.
func holds(t *testing.T, tr *kept, f *Finding, c *Counterfactual) {
	t.Helper()
	ctx := context.Background()
	in, err := replay.ReadInputs(ctx, tr)
	if err != nil {
		t.Fatal(err)
	}
	policy, err := replay.Policy(tr)
	if err != nil {
		t.Fatal(err)
	}
	// The inputs as the JSON has them.
	var inputs []evtchn.Event
	for i, line := range c.Edit.Add {
		ev, err := text.ParseEvent([]byte(line))
		if err != nil {
			t.Fatalf("%s: input %d, %q: %v", c.Text, i+1, line, err)
		}
		inputs = append(inputs, ev)
	}
	for _, ev := range in.Events {
		if !slices.Contains(c.Edit.LeaveOut, ev.Seq) {
			inputs = append(inputs, ev)
		}
	}
	slices.SortStableFunc(inputs, func(a, b evtchn.Event) int { return int(a.Time - b.Time) })
	got := &kept{meta: in.Meta(policy)}
	if err := in.Run(ctx, inputs, policy, got); err != nil {
		t.Fatalf("%s: %v", c.Text, err)
	}
	problems, err := evtchntest.Validate(got.meta, got.Events(1))
	if err != nil || len(problems) > 0 {
		t.Errorf("%s: the trace is not a possible one: %v, %v", c.Text, err, problems)
	}
	r, err := Run(got.meta, got.Events(1), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if c.Verdict == Verdict(f.Kind) {
		t.Errorf("%s: the verdict was %s already", c.Text, f.Kind)
	}
	if c.Verdict == VerdictLost {
		if !slices.ContainsFunc(r.Findings, func(o Finding) bool { return o.Port == f.Port && o.Kind == KindLost && *o.PendingAt == *f.PendingAt }) {
			t.Errorf("%s: it is not lost", c.Text)
		}
		return
	}
	at := slices.IndexFunc(got.evs, func(ev evtchn.Event) bool {
		return ev.Kind == evtchn.KindDeliver && ev.Port == f.Port && c.DeliveredAt != nil && int64(ev.Time) == *c.DeliveredAt && ev.VCPU == c.DeliveredVCPU
	})
	if at < 0 {
		t.Fatalf("%s: port %d is not handled then", c.Text, f.Port)
	}
	about := slices.IndexFunc(r.Findings, func(o Finding) bool {
		return o.Port == f.Port && o.PendingAt != nil && *o.PendingAt <= *c.DeliveredAt && (o.NoticedAt == nil || *o.NoticedAt >= *c.DeliveredAt)
	})
	switch {
	case c.Verdict == VerdictClean && about >= 0:
		t.Errorf("%s: there is %s", c.Text, r.Findings[about].ID)
	case c.Verdict == VerdictLate && (about < 0 || r.Findings[about].Kind != KindLate || *r.Findings[about].Delay != *c.Delay):
		t.Errorf("%s: want a finding that says it is %d ns late", c.Text, *c.Delay)
	}
	if c.Delay != nil && c.Verdict == VerdictClean && *c.Delay > 100_000 {
		t.Errorf("%s: it takes %d ns", c.Text, *c.Delay)
	}
	for _, m := range regexp.MustCompile(`#([0-9]+)`).FindAllStringSubmatch(c.Text, -1) {
		var n int
		if _, err := fmt.Sscan(m[1], &n); err != nil || n < 1 || n > len(tr.evs) || int64(tr.evs[n-1].Time) < *f.PendingAt-10_000_000 {
			t.Errorf("%s: names event %s", c.Text, m[1])
		}
	}
}

// What would have changed the verdict of the scenarios whose stories are known. Every answer is run once more by itself.
func TestButFor(t *testing.T) {
	for _, tt := range []struct {
		name  string
		ms    evtchn.Time
		seeds []uint64
		want  []EditKind
		never []EditKind
	}{
		// The bind raises the event itself, so that there is no send to move; the task stays where it is; nothing rescues it.
		{"seed-port65", 130, []uint64{1, 2, 3}, []EditKind{EditRunThere, EditBindThere, EditRing}, []EditKind{EditSend, EditLeaveOut, EditShift, EditHold}},
		// It is late because another port rang: one more would leave it late.
		{"seed-rescued", 200, []uint64{1, 2}, []EditKind{EditRunThere, EditBindThere}, []EditKind{EditSend, EditRing}},
		// The task had been moved, and the send came while the port was masked.
		{"ack-window", 60, []uint64{1, 3}, []EditKind{EditRunThere, EditBindThere, EditLeaveOut, EditSend, EditRing}, []EditKind{EditShift}},
		// Here two more sends came while it was masked: whenever the first comes, another one is lost in its place.
		{"ack-window", 60, []uint64{2}, []EditKind{EditRunThere, EditBindThere, EditLeaveOut, EditRing}, []EditKind{EditShift, EditSend}},
		// The port was being moved: without that, or with the move or the send at another time, nothing happens.
		{"rebind-race", 40, []uint64{4, 1}, []EditKind{EditLeaveOut, EditShift, EditSend}, nil},
	} {
		for i, seed := range tt.seeds {
			if i > 0 && testing.Short() {
				break
			}
			t.Run(fmt.Sprintf("%s/%d", tt.name, seed), func(t *testing.T) {
				t.Parallel()
				tr, r := recordFor(t, tt.name, seed, tt.ms)
				f := &r.Findings[0]
				a, err := ButFor(context.Background(), tr, f, ButForOptions{})
				if err != nil {
					t.Fatal(err)
				}
				if a.Untried > 0 || a.Note() != "" {
					t.Errorf("%d changes were not tried: %s", a.Untried, a.Note())
				}
				var kinds []EditKind
				for i := range a.Held {
					kinds = append(kinds, a.Held[i].Edit.Kind)
					holds(t, tr, f, &a.Held[i])
				}
				for _, k := range tt.want {
					if !slices.Contains(kinds, k) {
						t.Errorf("got no answer of kind %s among %s", k, kinds)
					}
				}
				for _, k := range tt.never {
					if slices.Contains(kinds, k) {
						t.Errorf("got an answer of kind %s, want none", k)
					}
				}
				if seed != tt.seeds[0] {
					return
				}
				if again, err := ButFor(context.Background(), tr, f, ButForOptions{}); err != nil || !cmp.Equal(a, again, cmp.AllowUnexported(Counterfactual{}, Edit{})) {
					t.Errorf("another time the answers are others: %v", err)
				}
			})
		}
	}
}

// A change that does not take effect as it is meant to is no answer, whatever becomes of the event: here the task is moved after it has
// unmasked the port, and the port that rings is another one.
func TestButForTookEffect(t *testing.T) {
	tr, r := recordFor(t, "ack-window", 1, 60)
	s, tester := sceneOf(t, tr, &r.Findings[0])
	c, ok := s.unmaskThere()
	if !ok {
		t.Fatal("there is no unmask")
	}
	inTime := c.attempts[0]
	if _, ok, err := tester.attempt(&inTime); !ok || err != nil {
		t.Errorf("a move in time: ok %v, %v", ok, err)
	}
	late := inTime
	late.edit.added = slices.Clone(late.edit.added)
	late.edit.added[0].Time = s.link.unmask.at + 1
	if _, ok, err := tester.attempt(&late); ok || err != nil {
		t.Errorf("a move too late: ok %v, %v", ok, err)
	}
	nowhere := inTime
	nowhere.edit.added = []evtchn.Event{{Kind: evtchn.KindMove, VCPU: evtchn.NoVCPU, Time: 1, Args: [3]uint64{77, 0}}}
	if _, ok, err := tester.attempt(&nowhere); ok || err != nil {
		t.Errorf("a move to a vcpu that is not there: ok %v, %v", ok, err)
	}
	// An early move changes when requests are made: the event is not the same one any more.
	other := inTime
	other.edit.added = slices.Clone(other.edit.added)
	other.edit.added[0].Time = s.origin.Time - 6_000_000
	other.edit.added[0].Args[0] = 3
	other.took = func(*rerun) bool { return true }
	if r, ok, err := tester.attempt(&other); ok || err != nil || r.origin.Seq != 0 {
		t.Errorf("another event: ok %v, %v", ok, err)
	}
	ring, ok := s.newMate(s.at(s.f.UnnoticedSeq).Time + 1000)
	if !ok {
		t.Fatal("no port can be bound")
	}
	wrong := ring.attempts[0]
	wrong.edit.added = slices.Clone(wrong.edit.added)
	wrong.edit.added[1].Args[0]++ // an interrupt that no port is bound to
	if _, ok, err := tester.attempt(&wrong); ok || err != nil {
		t.Errorf("an interrupt of nobody: ok %v, %v", ok, err)
	}
}

func sceneOf(t *testing.T, tr *kept, f *Finding) (*scene, *tester) {
	t.Helper()
	s, err := newScene(context.Background(), tr, f, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s, &tester{ctx: context.Background(), scene: s, opt: ButForOptions{MaxRuns: 100, MaxEvents: 1 << 30}}
}

// A port of another word that rings changes nothing, and is tried.
func TestButForControl(t *testing.T) {
	tr, r := recordFor(t, "seed-port65", 1, 130)
	s, tester := sceneOf(t, tr, &r.Findings[0])
	tried := false
	for _, c := range s.rung() {
		if len(c.attempts[0].edit.added) > 1 {
			continue // the port that is bound for it
		}
		tried = true
		if got, meant, err := tester.try(&c); got != nil || !meant || err != nil {
			t.Errorf("had %s: got %+v, took effect %v, %v", c.attempts[0].had, got, meant, err)
		}
	}
	if !tried {
		t.Error("no port of another word was rung")
	}
}

// Without what rescued it, an event that was late is lost.
func TestButForRescuer(t *testing.T) {
	tr, r := recordFor(t, "seed-rescued", 1, 0)
	f := &r.Findings[0]
	cut, r := recordFor(t, "seed-rescued", 1, evtchn.Time(*f.NoticedAt/1_000_000)+2)
	a, err := ButFor(context.Background(), cut, &r.Findings[0], ButForOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if c := a.Held[len(a.Held)-1]; c.Verdict != VerdictLost || c.Edit.Kind != EditLeaveOut || c.DeliveredAt != nil || c.DeliveredVCPU != evtchn.NoVCPU {
		t.Errorf("got %+v last, want that it would have been lost without the rescuer", c)
	}
	if a, err = ButFor(context.Background(), tr, f, ButForOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, c := range a.Held { // the rescuer rings again: late all the same
		if c.Verdict != VerdictClean {
			t.Errorf("%s: got verdict %s", c.Text, c.Verdict)
		}
	}
}

// The work is bounded, and what was left out is said.
func TestButForLimits(t *testing.T) {
	tr, r := recordFor(t, "ack-window", 1, 60)
	f := &r.Findings[0]
	a, err := ButFor(context.Background(), tr, f, ButForOptions{MaxRuns: 2})
	if err != nil || a.Runs != 2 || a.Untried == 0 || !strings.Contains(a.Note(), "were not tried") {
		t.Errorf("got %d runs, %d changes not tried, %q, %v", a.Runs, a.Untried, a.Note(), err)
	}
	if a, err = ButFor(context.Background(), tr, f, ButForOptions{MaxEvents: 12_000}); err != nil || a.Untried == 0 || a.Runs == 0 {
		t.Errorf("got %d runs, %d changes not tried, %v", a.Runs, a.Untried, err)
	}
	if a, err = ButFor(context.Background(), tr, f, ButForOptions{MaxAnswers: 1}); err != nil || len(a.Held) != 1 {
		t.Errorf("got %d answers, want 1: %v", len(a.Held), err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := ButFor(ctx, tr, f, ButForOptions{}); err != context.Canceled {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

// What cannot be run, or does not lead to the finding, is refused.
func TestButForRefuses(t *testing.T) {
	tr, r := recordFor(t, "seed-port65", 1, 130)
	f := r.Findings[0]
	f.UnnoticedSeq++
	if _, err := ButFor(context.Background(), tr, &f, ButForOptions{}); err != ErrNotReproduced {
		t.Errorf("got %v, want %v", err, ErrNotReproduced)
	}
	if _, err := ButFor(context.Background(), &kept{meta: observedMeta()}, &r.Findings[0], ButForOptions{}); err != replay.ErrObserved {
		t.Errorf("got %v, want %v", err, replay.ErrObserved)
	}
}

// In the built-in scenarios under every policy, whatever is answered holds.
func TestButForPolicies(t *testing.T) {
	if testing.Short() {
		t.Skip("a few hundred runs")
	}
	kinds := make(map[Kind]int)
	for _, name := range []string{"seed-port65", "ack-window", "rebind-race", "mixed-load"} {
		sc, err := system.Builtin(name)
		if err != nil {
			t.Fatal(err)
		}
		if sc, err = sc.Override(0, 0, map[string]evtchn.Time{"seed-port65": 118, "mixed-load": 8}[name]*1_000_000); err != nil {
			t.Fatal(err)
		}
		if name != "seed-port65" && name != "mixed-load" {
			if sc, err = sc.Override(0, 0, 14_000_000); err != nil {
				t.Fatal(err)
			}
		}
		for _, pre := range evtchn.Presets() {
			tr, r := recordScenario(t, sc, 4, pre.Policy)
			seen := make(map[Kind]bool)
			for i := range r.Findings {
				f := &r.Findings[i]
				if f.Kind == KindUnknown || seen[f.Kind] {
					continue
				}
				seen[f.Kind] = true
				a, err := ButFor(context.Background(), tr, f, ButForOptions{MaxEvents: 1_000_000})
				if err != nil {
					t.Errorf("%s under %s: %s: %v", name, pre.Name, f.ID, err)
					continue
				}
				kinds[f.Kind]++
				for j := range a.Held {
					holds(t, tr, f, &a.Held[j])
				}
			}
		}
	}
	for _, k := range []Kind{KindLost, KindLate, KindDuplicate, KindWrongVCPU} {
		if kinds[k] == 0 {
			t.Errorf("there was no finding of kind %s", k)
		}
	}
}
