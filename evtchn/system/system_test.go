package system

import (
	"io"
	"testing"

	"github.com/evtrace/evtrace/evtchn"
)

const ms = evtchn.Time(1_000_000)

func testScenario() *Scenario {
	return &Scenario{Name: "t", VCPUs: 16, WordBits: 64, Duration: 100 * ms, Tick: 4 * ms, FirstPort: 65,
		Costs:   Costs{Step: 20, Hypercall: 250, Kick: 2000, Wake: 5000, Handler: 2000, Schedule: 300, Jitter: 1000},
		Domains: []Domain{{Count: 1, VCPUs: 1, Start: Span{2 * ms, 3 * ms}, OnVCPU: OtherVCPU, Pinned: true, First: Span{0, ms}, Think: Span{100_000, 200_000}, Serve: Span{20_000, 40_000}}},
		Hot:     []Hot{{PIRQ: true, Count: 3, Every: Span{ms, 2 * ms}}},
		IPIs:    IPIs{PerTick: 0.1},
	}
}

func record(t testing.TB, sc *Scenario, seed uint64, policy string) ([]evtchn.Event, *System) {
	t.Helper()
	p, err := evtchn.ParsePolicy(policy)
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(sc, seed, p, Inputs(sc, seed))
	if err != nil {
		t.Fatal(err)
	}
	var evs []evtchn.Event
	for {
		var ev evtchn.Event
		if err := s.Next(&ev); err == io.EOF {
			return evs, s
		} else if err != nil {
			t.Fatal(err)
		}
		evs = append(evs, ev)
	}
}

func TestReportHangs(t *testing.T) {
	for seed := uint64(1); seed <= 5; seed++ {
		evs, s := record(t, testScenario(), seed, "xen-2005")
		if !s.m.Unnoticed(65) {
			t.Errorf("seed %d: port 65 is noticed", seed)
		}
		if st := s.domains[0].vcpus[0].state; st != evtchn.IOReqReady {
			t.Errorf("seed %d: request is %s, want ready", seed, st)
		}
		t.Logf("seed %d: %d events", seed, len(evs))
		evs, s = record(t, testScenario(), seed, "unmask-hypercall")
		if s.m.Unnoticed(65) {
			t.Errorf("seed %d: port 65 is unnoticed under unmask-hypercall", seed)
		}
		n := 0
		for i := range evs {
			if evs[i].Kind == evtchn.KindServe {
				n++
			}
		}
		t.Logf("seed %d: %d events, %d requests served", seed, len(evs), n)
		if n < 10 {
			t.Errorf("seed %d: %d requests served, want many", seed, n)
		}
	}
}

func BenchmarkSimulate(b *testing.B) {
	sc := testScenario()
	sc.Duration = 1 << 50
	p, _ := evtchn.ParsePolicy("unmask-hypercall")
	s, err := New(sc, 1, p, Inputs(sc, 1))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	var ev evtchn.Event
	for b.Loop() {
		if err := s.Next(&ev); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
