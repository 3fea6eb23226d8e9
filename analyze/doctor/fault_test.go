package doctor

import (
	"math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/dump"
	"github.com/evtrace/evtrace/evtchn/dump/dumptest"
)

func pick(t *rapid.T) func(int) int {
	return rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)).IntN
}

// examine judges samples, printed some seconds apart.
func examine(samples ...[]*dump.Dump) *Report {
	e := New(Options{})
	for i, ds := range samples {
		for _, d := range ds {
			d.Name, d.Press = "x", 2*i+1
			if d.Source == dump.KeyQ {
				d.Press++
			}
			d.Time = dump.Stamp{Clock: dump.ClockBoot, At: int64(i+1) * 3e9}
			e.Add(d)
		}
	}
	return e.Finish()
}

func show(t interface{ Logf(string, ...any) }, r *Report) {
	var b strings.Builder
	_ = r.WriteText(&b, TextOptions{All: true})
	t.Logf("%s", b.String())
}

// TestNothingPlanted: ports in flight, masked ports and pollers of a system without faults are no suspects.
func TestNothingPlanted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := dumptest.New(rapid.SampledFrom([]string{"2l", "fifo"}).Draw(t, "abi"), pick(t))
		var samples [][]*dump.Dump
		for range rapid.IntRange(1, 6).Draw(t, "samples") {
			// Key q would show the moment of key e: with it, what is in flight would be a fault.
			samples = append(samples, w.Sample(false))
		}
		r := examine(samples...)
		if len(r.Suspects) != 0 || r.ExitCode() != 0 {
			show(t, r)
			t.Fatalf("%d suspects, exit code %d; want none", len(r.Suspects), r.ExitCode())
		}
	})
}

// TestPlantedFaults: two samples show every fault as one that stands, and nothing else; one sample shows it as undecided.
func TestPlantedFaults(t *testing.T) {
	for _, abi := range []string{"2l", "fifo"} {
		for _, f := range dumptest.Faults(abi) {
			t.Run(abi+"/"+string(f), func(t *testing.T) {
				rapid.Check(t, func(t *rapid.T) { planted(t, abi, f) })
			})
		}
	}
}

func planted(t *rapid.T, abi string, f dumptest.Fault) {
	w := dumptest.New(abi, pick(t))
	d := w.Domains[0]
	port := w.Plant(f, d)
	if port == evtchn.NoPort {
		t.Skip("no port for it")
	}
	dom := d.ID
	quiet := func() []*dump.Dump { // without what is in flight, which key q would have to show, too
		ds := w.Sample(true)
		return settleNoise(ds, dom, port)
	}
	one := examine(quiet())
	check(t, one, dom, port, f, nil)
	if got := one.ExitCode(); got != 20 {
		show(t, one)
		t.Fatalf("one dump: exit code %d, want 20", got)
	}
	two := examine(quiet(), quiet())
	yes := true
	check(t, two, dom, port, f, &yes)
	want := 20
	if f == dumptest.Lost || f == dumptest.VCPUDown || f == dumptest.VCPUNone {
		want = 10
	}
	if got := two.ExitCode(); got != want {
		show(t, two)
		t.Fatalf("two dumps: exit code %d, want %d", got, want)
	}
}

// settleNoise takes out of a sample what is in flight.
func settleNoise(ds []*dump.Dump, dom int, port evtchn.Port) []*dump.Dump {
	for _, d := range ds {
		for i := range d.Ports {
			if p := &d.Ports[i]; p.Exposed() && (d.Domain != dom || p.Port != port) {
				p.Pending = evtchn.Zero
			}
		}
	}
	return ds
}

// check wants the suspect, and nothing that does not follow from it.
func check(t *rapid.T, r *Report, dom int, port evtchn.Port, f dumptest.Fault, persisted *bool) {
	found := false
	for i := range r.Suspects {
		s := &r.Suspects[i]
		if *s.Domain == dom && s.Port == port && string(s.Class) == f.Class() {
			found = true
			if (s.Persisted == nil) != (persisted == nil) || persisted != nil && *s.Persisted != *persisted {
				show(t, r)
				t.Fatalf("persisted is %v, want %v", s.Persisted, persisted)
			}
			continue
		}
		// The peer of a channel of which one end is wrong sees that, too; so do all ports of a vcpu that is down.
		if s.Class == ClassPeer && f.Class() == "peer-gone" || s.Class == ClassOffline && f == dumptest.VCPUDown {
			continue
		}
		show(t, r)
		t.Fatalf("unexpected suspect: %+v", *s)
	}
	if !found {
		show(t, r)
		t.Fatalf("port %d of domain %d is not among the suspects", port, dom)
	}
}
