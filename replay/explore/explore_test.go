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

// Every counterexample is a trace that the independent validator has nothing to object to, and that ends in the violation.
func TestCounterexamples(t *testing.T) {
	for _, sc := range system.BoundedBuiltins() {
		for _, pre := range evtchn.Presets() {
			s, err := New(sc, pre.Policy)
			if err != nil {
				t.Error(err)
				continue
			}
			r := run(t, s, Options{MaxStates: 3_000})
			for _, f := range r.Found {
				tr, err := s.Trace(f.Choices)
				if err != nil {
					t.Errorf("%s under %s: %v", sc.Name, pre.Name, err)
					continue
				}
				problems, err := evtchntest.Validate(tr.Meta, tr.Source())
				if err != nil || len(problems) > 0 {
					t.Errorf("%s under %s: %v, %v", sc.Name, pre.Name, err, problems)
				}
			}
		}
	}
}
