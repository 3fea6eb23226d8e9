package analyze

import (
	"testing"

	"github.com/evtrace/evtrace/evtchn"
)

// With bind=quiet a domain that sent before its channel was bound waits for ever; with the conservative bind it is served.
func TestSendBeforeBind(t *testing.T) {
	events := func(pending bool) []evtchn.Event {
		none := evtchn.NoVCPU
		evs := []evtchn.Event{
			{Kind: evtchn.KindStart, VCPU: none},
			{Kind: evtchn.KindIOReq, VCPU: none, Args: [3]uint64{1, uint64(evtchn.IOReqReady)}},
			{Kind: evtchn.KindSend, VCPU: none, Args: [3]uint64{1}},
			{Kind: evtchn.KindPortBind, VCPU: 0, Port: 5, Ctx: evtchn.CtxXen, Args: [3]uint64{uint64(evtchn.PortInterdomain), 0, 1<<32 | 12}},
		}
		if pending {
			evs = append(evs, evtchn.Event{Kind: evtchn.KindPendTAS, VCPU: 0, Port: 5, Ctx: evtchn.CtxXen})
		}
		for i := range evs {
			evs[i].Seq, evs[i].Time = evtchn.Seq(i+1), evtchn.Time(i)
		}
		return evs
	}
	for _, pending := range []bool{false, true} {
		a, err := NewAnalyzer(simMeta(), Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, ev := range events(pending) {
			if err := a.Add(&ev); err != nil {
				t.Fatal(err)
			}
		}
		r := a.Finish()
		if r.Requests != (Requests{Made: 1, Open: 1, Hung: 1}) {
			t.Errorf("pending %t: requests %+v, want 1 made, open and hung", pending, r.Requests)
		}
		found := len(r.Findings) == 1 && r.Findings[0].Cause == CauseUnbound && r.Findings[0].Port == 5
		if found == pending {
			t.Errorf("pending %t: findings %+v", pending, r.Findings)
		}
	}
}
