package evtchn

import "testing"

// A capture's run states are those of the hypervisor's notes, and a state that does not exist changes nothing.
func TestApplyRunState(t *testing.T) {
	s, err := NewState(Meta{Source: SourceObserved, ABI: "2l", VCPUs: 2, WordBits: 64})
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct {
		to   uint64
		want RunState
	}{{uint64(Running), Running}, {uint64(Runnable), Runnable}, {uint64(Blocked), Blocked}, {99, Blocked}, {uint64(RunUnknown), RunUnknown}} {
		s.Apply(&Event{Seq: Seq(i + 1), Kind: KindRunState, VCPU: NoVCPU, Args: [3]uint64{1, 0, c.to}})
		if got := s.V[1].Run; got != c.want {
			t.Errorf("to %d: got %v, want %v", c.to, got, c.want)
		}
		if s.V[0].Run != RunUnknown {
			t.Errorf("to %d: the other vcpu is %v", c.to, s.V[0].Run)
		}
	}
}
