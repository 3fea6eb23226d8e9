package minimize_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/replay/minimize"
)

// observed makes up records of a few ports, vcpus and kinds. Which they are does not matter to leaving them out.
func observed(seed uint64, n int) *minimize.Capture {
	r := rand.New(rand.NewPCG(seed, 2))
	c := &minimize.Capture{Meta: evtchn.Meta{Source: evtchn.SourceObserved, VCPUs: 4, WordBits: 64, Complete: true}, Ports: []evtchn.Port{65}}
	for i := range n {
		ev := evtchn.Event{Seq: evtchn.Seq(i + 1), Time: evtchn.Time(10 * i), VCPU: evtchn.VCPU(r.IntN(4)), Kind: evtchn.KindPendTAS, Port: evtchn.Port(60 + r.IntN(10))}
		switch r.IntN(12) {
		case 0:
			ev.Kind, ev.Port = evtchn.KindUpcall, 0
		case 1:
			ev.Kind, ev.Args = evtchn.KindPortBind, [3]uint64{uint64(evtchn.PortVIRQ)}
		case 2:
			ev = evtchn.Event{Seq: ev.Seq, Time: ev.Time, Kind: evtchn.KindGap, VCPU: evtchn.NoVCPU, Args: [3]uint64{1, 5}}
		case 3:
			if i > 0 {
				ev.Kind, ev.Args = evtchn.KindTie, [3]uint64{1, uint64(evtchn.KindSelXchg), uint64(1 + r.IntN(i))}
			}
		}
		if i > 0 && r.IntN(3) == 0 {
			ev.Cause = evtchn.Seq(1 + r.IntN(i))
		}
		c.Events = append(c.Events, ev)
	}
	return c
}

// What is left of a capture is a trace: numbered from 1, with causes and ties that are there. Records of the port are whole
// from the window's beginning to its end, gaps and binds stay, and a beginning that is gone is a gap.
func TestRecords(t *testing.T) {
	for seed := range uint64(20) {
		const n, from, until = 400, 200, 250
		c := observed(seed, n)
		c.From, c.Until = from, until
		test := func(_ context.Context, cut *minimize.Cut) (minimize.Fact, error) {
			// It takes port 66, and half of what comes before the finding.
			first, ok := evtchn.Time(-1), false
			for i := range cut.Events {
				ev := &cut.Events[i]
				if ev.Port == 66 && ev.Kind == evtchn.KindPendTAS {
					ok = true
				}
				if first < 0 && ev.Kind == evtchn.KindPendTAS {
					first = ev.Time
				}
			}
			return minimize.Fact{Holds: ok && first >= 0 && first <= 10*from/2+200}, nil
		}
		res, cut, err := minimize.Records(context.Background(), c, test, minimize.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if f, _ := test(context.Background(), cut); !f.Holds || !res.Minimal {
			t.Errorf("seed %d: the result does not hold, or is not minimal: %+v", seed, res)
		}
		if cut.Before == 0 || (cut.After > 0) == cut.Meta.Complete || cut.Events[0].Kind != evtchn.KindGap || cut.Events[0].Args[1] != uint64(cut.Before) {
			t.Errorf("seed %d: cut off %d before, %d after; first %v; complete: %t", seed, cut.Before, cut.After, &cut.Events[0], cut.Meta.Complete)
		}
		there := make(map[evtchn.Time]bool)
		last := evtchn.Time(0)
		for i := range cut.Events {
			ev := &cut.Events[i]
			there[ev.Time] = true
			last = max(last, ev.Time)
			if ev.Seq != evtchn.Seq(i+1) || ev.Cause >= ev.Seq || ev.Kind == evtchn.KindTie && evtchn.Seq(ev.Args[2]) >= ev.Seq {
				t.Fatalf("seed %d: event %d is %+v", seed, i+1, ev)
			}
			if ev.Port != 65 && ev.Port != 66 && ev.Port != 0 && ev.Kind == evtchn.KindPendTAS {
				for _, name := range cut.Gone {
					if name == fmt.Sprintf("port %d", ev.Port) {
						// Only what a tie is about may be left of a port that is gone.
						found := false
						for j := range cut.Events {
							found = found || cut.Events[j].Kind == evtchn.KindTie && evtchn.Seq(cut.Events[j].Args[2]) == ev.Seq
						}
						if !found {
							t.Errorf("seed %d: %s is gone, and #%d is there", seed, name, ev.Seq)
						}
					}
				}
			}
		}
		for i := from - 1; i < until; i++ {
			if ev := &c.Events[i]; ev.Port == 65 && !there[ev.Time] {
				t.Errorf("seed %d: record #%d of the port is gone", seed, ev.Seq)
			}
		}
		for i := range c.Events {
			if ev := &c.Events[i]; ev.Kind == evtchn.KindGap && ev.Time <= last && !there[ev.Time] {
				t.Errorf("seed %d: gap #%d is gone", seed, ev.Seq)
			}
		}
	}
}
