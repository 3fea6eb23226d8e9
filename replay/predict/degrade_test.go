package predict_test

import (
	"context"
	"testing"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/system"
	"github.com/evtrace/evtrace/recorder"
)

// record runs a built-in scenario of the simulated system.
func record(t testing.TB, name string, seed uint64, p evtchn.Policy, limit evtchn.Time) *memory {
	t.Helper()
	sc, err := system.Builtin(name)
	if err != nil {
		t.Fatal(err)
	}
	if limit > 0 && limit < sc.Duration {
		if sc, err = sc.Override(0, 0, limit); err != nil {
			t.Fatal(err)
		}
	}
	s, err := system.New(sc, seed, p, system.Inputs(sc, seed))
	if err != nil {
		t.Fatal(err)
	}
	tr := &memory{meta: s.Meta()}
	tr.meta.Complete = true
	if _, err := recorder.Run(context.Background(), s, recorder.Options{}, tr); err != nil {
		t.Fatal(err)
	}
	return tr
}

// degrade makes of a recording what a capture of the same system would show, and what an importer would deduce from it: no scheduler, no
// run states, none of the guest's and the hypervisor's own looks at their records. The entry of an upcall is an event of its own there.
func degrade(m *memory) *memory {
	d := &memory{meta: m.meta}
	d.meta.Source, d.meta.Policy, d.meta.Scenario, d.meta.Clock = evtchn.SourceObserved, "", "", "x86-tsc"
	n := m.meta.VCPUs
	quiet := make([]bool, n) // in a hypercall that no probe shows
	inside := make([]bool, n)
	handled := make([]uint64, n)
	out := func(ev evtchn.Event) {
		ev.Seq, ev.Cause = evtchn.Seq(len(d.events)+1), 0
		d.events = append(d.events, ev)
	}
	for _, ev := range m.events {
		v := ev.VCPU
		switch ev.Kind {
		case evtchn.KindHypercall:
			if h := evtchn.Hypercall(ev.Args[0]); h == evtchn.HCBlock || h == evtchn.HCPoll {
				quiet[v] = true
				continue
			}
			if ev.Ctx == evtchn.CtxXen {
				ev.Ctx = evtchn.TaskCtx(0)
			}
		case evtchn.KindReturn, evtchn.KindBlock:
			was := quiet[v]
			quiet[v] = false
			if was || ev.Kind == evtchn.KindBlock {
				continue
			}
			ev.Res = 2
		case evtchn.KindUpWrite:
			if ev.Args[1] == 0 {
				if inside[v] {
					continue // it starts over
				}
				inside[v], handled[v] = true, 0
				ev.Kind, ev.Args = evtchn.KindUpcall, [3]uint64{}
			}
			ev.Res = 2
		case evtchn.KindUpcallExit:
			handled[v] += ev.Args[0]
			if ev.Res == 1 {
				continue
			}
			inside[v] = false
			ev.Args[0], ev.Res = handled[v], 0
		case evtchn.KindPendRead:
			if v >= 0 && quiet[v] {
				continue
			}
		case evtchn.KindPortBind:
			out(ev)
			ev.Kind, ev.Args, ev.Flags = evtchn.KindOwnerWrite, [3]uint64{0}, ev.Flags|evtchn.FlagInferred // as a guest begins with it
		case evtchn.KindPendTAS, evtchn.KindPendClear, evtchn.KindMaskTAS, evtchn.KindMaskTAC, evtchn.KindMaskClear, evtchn.KindMaskRead,
			evtchn.KindSelTAS, evtchn.KindSelXchg, evtchn.KindUpTAS, evtchn.KindWordRead, evtchn.KindDeliver, evtchn.KindHandled,
			evtchn.KindOwnerWrite, evtchn.KindAcceptSet, evtchn.KindAcceptClear, evtchn.KindPortClose, evtchn.KindPortUnbind, evtchn.KindPortVCPU,
			evtchn.KindNotifyRead, evtchn.KindSend, evtchn.KindVIRQ, evtchn.KindPIRQ, evtchn.KindIPI, evtchn.KindEnd,
			evtchn.KindRequestPush, evtchn.KindRequestPop:
		default:
			continue
		}
		out(ev)
	}
	return d
}
