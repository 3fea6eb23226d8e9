package analyze

import (
	"io"
	"testing"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/system"
)

// simulate gives the events of a built-in scenario.
func simulate(t testing.TB, name, policy string, seed uint64, limit int) (evtchn.Meta, []evtchn.Event) {
	t.Helper()
	sc, err := system.Builtin(name)
	if err != nil {
		t.Fatal(err)
	}
	p, err := evtchn.ParsePolicy(policy)
	if err != nil {
		t.Fatal(err)
	}
	sys, err := system.New(sc, seed, p, system.Inputs(sc, seed))
	if err != nil {
		t.Fatal(err)
	}
	var evs []evtchn.Event
	for len(evs) < limit {
		var ev evtchn.Event
		if err := sys.Next(&ev); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		evs = append(evs, ev)
	}
	return sys.Meta(), evs
}

func TestScenarios(t *testing.T) {
	for _, tt := range []struct {
		scenario, policy string
		want             Verdict
	}{
		{"seed-port65", "xen-2005", VerdictLost},
		{"seed-port65", "unmask-hypercall", VerdictClean},
		{"seed-port65", "linux-2021", VerdictClean},
		{"seed-port65", "remote-selector-ipi", VerdictLost},
		{"seed-port65", "any-vcpu", VerdictViolated},
		{"seed-port65", "tick-sweep", VerdictLate},
		{"seed-rescued", "xen-2005", VerdictLate},
		{"ack-window", "xen-2005", VerdictLost},
		{"clean", "xen-2005", VerdictClean},
	} {
		t.Run(tt.scenario+"/"+tt.policy, func(t *testing.T) {
			for seed := range uint64(5) {
				meta, evs := simulate(t, tt.scenario, tt.policy, seed+1, 1<<20)
				r, err := Run(meta, &slice{evs: evs}, Options{})
				if err != nil {
					t.Fatal(err)
				}
				if b := r.Totals.Balance(); b != 0 {
					t.Errorf("seed %d: the totals are out by %d: %+v", seed+1, b, r.Totals)
				}
				if r.Verdict != tt.want {
					t.Errorf("seed %d: got %s, want %s: %+v", seed+1, r.Verdict, tt.want, r.Findings)
				}
				if tt.scenario == "seed-port65" && tt.want == VerdictLost && tt.policy == "xen-2005" {
					if f := &r.Findings[0]; f.Port != 65 || f.Word != 1 || f.OwnerVCPU != 0 || f.UnnoticedVCPU <= 0 || f.Cause != CauseMaskedElsewhere {
						t.Errorf("seed %d: got %+v", seed+1, f)
					}
				}
			}
		})
	}
}

// One core, State.Apply included.
func BenchmarkAdd(b *testing.B) {
	for _, policy := range []string{"xen-2005", "linux-2021"} {
		b.Run(policy, func(b *testing.B) {
			meta, evs := simulate(b, "mixed-load", policy, 1, 500_000)
			b.ReportAllocs()
			b.ResetTimer()
			n := 0
			for b.Loop() {
				a, err := NewAnalyzer(meta, Options{})
				if err != nil {
					b.Fatal(err)
				}
				for i := range evs {
					if err := a.Add(&evs[i]); err != nil {
						b.Fatal(err)
					}
				}
				a.Finish()
				n += len(evs)
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// In every built-in scenario, under every policy, each episode ended in one way; cut off anywhere, too.
func TestTotals(t *testing.T) {
	for _, sc := range system.Builtins() {
		name := sc.Name
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for i, pre := range evtchn.Presets() {
				meta, evs := simulate(t, name, pre.Name, 1, 5000+997*i)
				r, err := Run(meta, &slice{evs: evs}, Options{})
				if err != nil {
					t.Fatal(err)
				}
				if b := r.Totals.Balance(); b != 0 || r.Totals.Episodes == 0 {
					t.Errorf("%s: the totals are out by %d: %+v", pre.Name, b, r.Totals)
				}
				if tot := &r.Totals; tot.SinceBefore > 0 || r.Verdict == VerdictClean && tot.DeliveredAgain+tot.UnnoticedAtEnd+tot.UnclearAtEnd > 0 {
					t.Errorf("%s: %s, with %+v", pre.Name, r.Verdict, r.Totals)
				}
			}
		})
	}
}
