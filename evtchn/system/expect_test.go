package system_test

import (
	"io"
	"testing"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/system"
)

// counted counts the events that pass.
type counted struct {
	evtchn.Source
	events int
}

func (c *counted) Next(ev *evtchn.Event) error {
	err := c.Source.Next(ev)
	if err == nil {
		c.events++
	}
	return err
}

func run(t *testing.T, sc *system.Scenario, seed uint64, policy string) (*analyze.Report, int) {
	t.Helper()
	p, err := evtchn.ParsePolicy(policy)
	if err != nil {
		t.Fatal(err)
	}
	s, err := system.New(sc, seed, p, system.Inputs(sc, seed))
	if err != nil {
		t.Fatal(err)
	}
	src := &counted{Source: s}
	r, err := analyze.Run(s.Meta(), src, analyze.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r, src.events
}

func seeds(most uint64) uint64 {
	if testing.Short() {
		return 1
	}
	return most
}

// Every built-in scenario gives what it says that it gives.
func TestExpectations(t *testing.T) {
	for _, sc := range system.Builtins() {
		if sc.Expect.Verdict == "" {
			continue
		}
		t.Run(sc.Name, func(t *testing.T) {
			for seed := uint64(1); seed <= seeds(4); seed++ {
				r, _ := run(t, sc, seed, sc.Policy)
				e := sc.Expect
				if string(r.Verdict) != e.Verdict {
					t.Errorf("seed %d: got %s, want %s", seed, r.Verdict, e.Verdict)
				}
				if e.Port == 0 && e.Cause == "" {
					continue
				}
				if len(r.Findings) == 0 {
					t.Errorf("seed %d: no finding", seed)
					continue
				}
				if f := r.Findings[0]; e.Port != 0 && f.Port != e.Port || e.Cause != "" && string(f.Cause) != e.Cause {
					t.Errorf("seed %d: got port %d, %s; want port %d, %s", seed, f.Port, f.Cause, e.Port, e.Cause)
				}
			}
		})
	}
}

// What the clean scenario claims is that no policy that is said to be safe does it harm.
func TestCleanUnderSafePolicies(t *testing.T) {
	sc, err := system.Builtin("clean")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range evtchn.Presets() {
		if p.Claim == evtchn.ClaimSafe {
			if r, _ := run(t, sc, 1, p.Name); r.Verdict != "clean" {
				t.Errorf("%s: got %s, want clean", p.Name, r.Verdict)
			}
		}
	}
}

// Policies that are said to be safe lose nothing where no port moves.
func TestSafePoliciesLoseNothing(t *testing.T) {
	for _, name := range []string{"seed-port65", "seed-rescued", "seed-hot-word", "ack-window"} {
		sc, err := system.Builtin(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range evtchn.Presets() {
			if p.Claim == evtchn.ClaimSafe {
				if r, _ := run(t, sc, 1, p.Name); r.Verdict == "lost" {
					t.Errorf("%s under %s: lost", name, p.Name)
				}
			}
		}
	}
}

// The volume of mixed-load, and that an override can be run.
func TestMixedLoad(t *testing.T) {
	sc, err := system.Builtin("mixed-load")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		vcpus, domains int
		duration       evtchn.Time
		least          int
	}{
		{0, 0, 200e6, 200_000},
		{1, 1, 20e6, 2_000},
		{2, 30, 20e6, 5_000},
		{128, 500, 20e6, 100_000},
	} {
		o, err := sc.Override(c.vcpus, c.domains, c.duration)
		if err != nil {
			t.Fatal(err)
		}
		s, err := system.New(o, 1, evtchn.Policy{}, system.Inputs(o, 1))
		if err != nil {
			t.Fatal(err)
		}
		src := &counted{Source: s}
		var ev evtchn.Event
		for err = nil; err == nil; {
			err = src.Next(&ev)
		}
		if err != io.EOF {
			t.Errorf("%d vcpus, %d domains: %v", c.vcpus, c.domains, err)
		}
		if src.events < c.least {
			t.Errorf("%d vcpus, %d domains: got %d events, want %d or more", c.vcpus, c.domains, src.events, c.least)
		}
	}
}
