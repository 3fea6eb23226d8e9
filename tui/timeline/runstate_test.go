package timeline

import (
	"testing"

	"github.com/evtrace/evtrace/evtchn"
)

// The run states that xentrace tells beside a capture are drawn: a descheduled vcpu is seen as such until it runs again.
func TestRunStates(t *testing.T) {
	tr := &trace{meta: evtchn.Meta{Source: evtchn.SourceObserved, ABI: "2l", VCPUs: 2, WordBits: 64, Unit: "ns", NsPerTick: 1}}
	for i, to := range []evtchn.RunState{evtchn.Running, evtchn.Runnable, evtchn.Runnable, evtchn.Running, evtchn.Blocked, evtchn.Polling, evtchn.RunUnknown} {
		tr.evs = append(tr.evs, evtchn.Event{Seq: evtchn.Seq(i + 1), Time: evtchn.Time(100 * i), VCPU: evtchn.NoVCPU, Kind: evtchn.KindRunState,
			Args: [3]uint64{1, 0, uint64(to)}})
	}
	s := tr.scan(t, Spec{Meta: tr.meta, From: 0, To: 700, Cols: 7})
	want := []Activity{ActRunning, ActRunnable, ActRunnable, ActRunning, ActBlocked, ActPolling, ActUnknown}
	for c, a := range want {
		if got := s.rows[1][c]; got&(1<<a) == 0 {
			t.Errorf("column %d: got %#b, want %#b among it", c, got, 1<<a)
		}
		if got := s.rows[0][c]; got != 1<<ActUnknown {
			t.Errorf("column %d: the other vcpu: got %#b", c, got)
		}
	}
}
