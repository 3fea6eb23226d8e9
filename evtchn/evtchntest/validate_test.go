package evtchntest_test

import (
	"errors"
	"io"
	"testing"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/evtchntest"
	"github.com/evtrace/evtrace/evtchn/system"
)

type events []evtchn.Event

func (s *events) Next(ev *evtchn.Event) error {
	if len(*s) == 0 {
		return io.EOF
	}
	*ev, *s = (*s)[0], (*s)[1:]
	return nil
}

// recorded is the beginning of a trace of a scenario in which ports move.
func recorded(t *testing.T, policy string, n int) (evtchn.Meta, []evtchn.Event) {
	t.Helper()
	sc, err := system.Builtin("rebind-race")
	if err != nil {
		t.Fatal(err)
	}
	if sc, err = sc.Override(4, 0, 0); err != nil {
		t.Fatal(err)
	}
	p, err := evtchn.ParsePolicy(policy)
	if err != nil {
		t.Fatal(err)
	}
	sys, err := system.New(sc, 1, p, system.Inputs(sc, 1))
	if err != nil {
		t.Fatal(err)
	}
	evs := make([]evtchn.Event, n)
	for i := range evs {
		if err := sys.Next(&evs[i]); err != nil {
			t.Fatal(err)
		}
	}
	return sys.Meta(), evs
}

func problems(t *testing.T, meta evtchn.Meta, evs []evtchn.Event) []evtchntest.Problem {
	t.Helper()
	src := events(evs)
	ps, err := evtchntest.Validate(meta, &src)
	if err != nil {
		t.Fatal(err)
	}
	return ps
}

// step reports whether the kind is a step that reads memory or writes it under a condition.
func step(k evtchn.Kind) bool {
	switch k {
	case evtchn.KindSend, evtchn.KindVIRQ, evtchn.KindPIRQ, evtchn.KindOp, evtchn.KindMove, evtchn.KindIOReq, evtchn.KindServe,
		evtchn.KindPreempt, evtchn.KindWake, evtchn.KindEnd, evtchn.KindOpDone:
		return false
	}
	return true
}

// The validator notices damage: a changed result, a step left out, a step on another vcpu. It could not fail otherwise.
func TestDamageIsFound(t *testing.T) {
	const n = 4000 // what is missed is mostly the second look at the word where a scan of 2013 began
	for _, policy := range []string{"xen-2005", "unmask-hypercall", "linux-2021", "resend-from-upcall"} {
		meta, good := recorded(t, policy, n)
		if ps := problems(t, meta, good); len(ps) != 0 {
			t.Fatalf("%s: undamaged: %v", policy, ps[0])
		}
		missed := map[string]int{}
		tried := 0
		try := func(what string, at int, damage func(evs []evtchn.Event) []evtchn.Event) {
			evs := damage(append([]evtchn.Event(nil), good...))
			for i := range evs {
				evs[i].Seq, evs[i].Cause = evtchn.Seq(i+1), min(evs[i].Cause, evtchn.Seq(i))
			}
			tried++
			if ps := problems(t, meta, evs); len(ps) == 0 {
				missed[what+" "+good[at].Kind.String()]++
				t.Logf("%s: %s: not noticed: %v", policy, what, &good[at])
			}
		}
		for at := n / 4; at < n/2; at += 9 {
			ev := good[at]
			if !step(ev.Kind) {
				continue
			}
			if ev.Kind != evtchn.KindSelect && ev.Kind != evtchn.KindKick { // without them nothing is missing
				try("left out", at, func(evs []evtchn.Event) []evtchn.Event { return append(evs[:at], evs[at+1:]...) })
			}
			if ev.Kind.Spec().Res.Type == evtchn.ArgBit {
				try("result", at, func(evs []evtchn.Event) []evtchn.Event { evs[at].Res ^= 1; return evs })
			}
			if ev.VCPU >= 0 {
				try("vcpu", at, func(evs []evtchn.Event) []evtchn.Event {
					evs[at].VCPU = (ev.VCPU + 1) % evtchn.VCPU(meta.VCPUs)
					return evs
				})
			}
			try("input", at, func(evs []evtchn.Event) []evtchn.Event { evs[at].Flags ^= evtchn.FlagInput; return evs })
		}
		total := 0
		for _, m := range missed {
			total += m
		}
		if tried < 250 || total*100 > 3*tried {
			t.Errorf("%s: %d of %d damages missed, want at most 3 %%: %v", policy, total, tried, missed)
		}
	}
}

func TestRefuses(t *testing.T) {
	var none events
	for _, meta := range []evtchn.Meta{
		{Source: evtchn.SourceObserved, ABI: "2l", VCPUs: 1, WordBits: 64},
		{Source: evtchn.SourceSim, ABI: "fifo", VCPUs: 1, WordBits: 64},
		{Source: evtchn.SourceSim, ABI: "2l", WordBits: 64},
	} {
		if _, err := evtchntest.Validate(meta, &none); !errors.Is(err, evtchntest.ErrMeta) {
			t.Errorf("%+v: got %v, want ErrMeta", meta, err)
		}
	}
	if _, err := evtchntest.Validate(evtchn.Meta{ABI: "2l", VCPUs: 1, WordBits: 4, Policy: "nonsense"}, &none); !errors.Is(err, evtchn.ErrPolicy) {
		t.Errorf("got %v, want ErrPolicy", err)
	}
}
