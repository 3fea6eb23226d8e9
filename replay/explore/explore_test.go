package explore

import (
	"context"
	"strings"
	"testing"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/evtchntest"
	"github.com/evtrace/evtrace/evtchn/system"
)

func bounded(t testing.TB, scenario, policy string) *System {
	t.Helper()
	sc, err := system.Builtin(scenario)
	if err != nil {
		t.Fatal(err)
	}
	p, err := evtchn.ParsePolicy(policy)
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(sc, p)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func run(t testing.TB, s *System, opt Options) *Result {
	t.Helper()
	r, err := Run(context.Background(), s, opt)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// The report's own schedule is a shortest one that loses an event, step by step.
func TestReport(t *testing.T) {
	s := bounded(t, "bind-then-unmask", "xen-2005")
	r := run(t, s, Options{})
	if r.Verdict != Unsafe || r.Violations != Lost || len(r.Found) != 1 {
		t.Fatalf("%s: %s, want unsafe: lost", r.Verdict, r.Violations)
	}
	tr, err := s.Trace(r.Found[0].Choices)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, ev := range tr.Events[tr.Beginning:] {
		if ev.VCPU == 0 {
			t.Errorf("%s: vcpu 0 has nothing to do with it", ev)
		}
		kinds = append(kinds, ev.Kind.String())
	}
	const want = "op hypercall port.bind pend.tas mask.read return user.set mask.clear pend.read sel.tas up.write up.write sel.xchg word.read upcall.exit op.done select end"
	if got := strings.Join(kinds, " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if race := Classify(tr, Lost); race.Number != 1 {
		t.Errorf("classified as %s, want R1", race)
	}
}

// Every counterexample is a trace that the independent validator has nothing to object to, and it finds the same violation in it.
func TestCounterexamples(t *testing.T) {
	confirmed := make(map[Kinds]int)
	for _, sc := range system.BoundedBuiltins() {
		limit := uint64(3_000)
		if sc.Name == "ipi-kick" || sc.Name == "rebind-2021" { // a vcpu that sleeps on it, a handler that begins twice
			limit = 12_000
		}
		for _, pre := range evtchn.Presets() {
			s, err := New(sc, pre.Policy)
			if err != nil {
				t.Error(err)
				continue
			}
			r := run(t, s, Options{MaxStates: limit})
			for _, f := range r.Found {
				tr, err := s.Trace(f.Choices)
				if err != nil {
					t.Errorf("%s under %s: %v", sc.Name, pre.Name, err)
					continue
				}
				last, problems, err := evtchntest.End(tr.Meta, tr.Source())
				if err != nil || len(problems) > 0 {
					t.Errorf("%s under %s: %v, %v", sc.Name, pre.Name, err, problems)
				}
				switch ok, known := confirms(last, f.Kind); {
				case known && !ok:
					t.Errorf("%s under %s: %s is what the explorer says of the end, and the validator %+v; schedule %s", sc.Name, pre.Name, f.Kind, last, Schedule(f.Choices))
				case known:
					confirmed[f.Kind]++
				}
			}
		}
	}
	for _, k := range []Kinds{Lost, Asleep, Duplicate, Concurrent, WrongVCPU} {
		t.Logf("%s: %d confirmed", k, confirmed[k])
		if confirmed[k] == 0 {
			t.Errorf("no counterexample to %s", k)
		}
	}
}

// confirms says whether the validator's opinion of an end bears a violation out, if it has one about it.
func confirms(last evtchntest.Last, k Kinds) (ok, known bool) {
	switch k {
	case Lost:
		return len(last.Stuck) > 0 && !last.Moving, true
	case Asleep:
		return len(last.Asleep)+len(last.Unread) > 0 && !last.Moving, true
	case Duplicate:
		return last.Twice, true
	case Concurrent:
		return last.Together, true
	case WrongVCPU:
		return last.Foreign, true
	}
	return false, false
}
