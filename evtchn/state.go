package evtchn

import (
	"errors"
	"fmt"
	"slices"
)

// State is what the events of a trace, applied one by one, add up to: shared info, vcpus, ports, and what is owed to whom.
// It knows no policy and chooses nothing, so it serves complete traces and captures alike.
//
// A port is exposed while it is pending and unmasked. An exposed port is noticed sooner or later if one of these holds, and
// is otherwise unnoticed (the negation of invariant I):
//
//   - some context still owes it a store or a kick (it is between the steps of set_pending or of an unmask),
//   - a vcpu whose SEL bit was set for it has not yet read the port's word, and will: it is attentive,
//   - a vcpu has it in a snapshot of the word that it is working through.
type State struct {
	WordBits int
	Words    int
	Observed bool // from a capture: run states are not known, bits may not be

	Pend, Mask Bits
	V          []VCPUState
	P          []PortState // by port; ports beyond it are as PortAt says
	Seq        Seq         // of the last event applied
	Now        Time

	lanes   []lane // what each context owes: task level by vcpu, upcall level by vcpu, then foreign paths
	exposed []Port
	changed []Port // settled differently by the last event
	recheck bool   // the policy's senders look again at the notify vcpu when they are done
}

// VCPUState is the state of one vcpu.
type VCPUState struct {
	Sel, SelKnown uint64
	Up, Umask     Bit
	Run           RunState
	Blocked       bool // the hypervisor's blocked flag
	Polling       bool
	PollPort      Port // the one port polled, if it is one
	InUpcall      bool
	InXen         bool
	Kicks         int32    // physical IPIs under way to it
	Accept        []uint64 // the guest's accept mask (cpu_evtchn_mask)
	SelBy         []Port   // by word: the port for which the SEL bit was set
	ScanBy        []Port   // the same for the SEL word that the upcall under way took

	owed      int32 // contexts that still owe this vcpu a store or a kick
	heedless  bool  // not attentive: nothing makes it look at SEL
	unsettled bool
}

// PortState is the state of one port: the hypervisor's record, the guest's, and the story of its present episode.
type PortState struct {
	Status  PortStatus
	Notify  VCPU   // NoVCPU: unknown
	Peer    uint64 // remote domain << 32 | remote port, VIRQ or PIRQ
	Owner   VCPU   // to which vcpu the guest has bound it; NoVCPU: unknown
	Handler Handler
	User    int32 // task that has it open, -1: none
	Reasons uint8 // to be masked
	Active  bool
	Request bool // somebody asked the owner to look (policy unmask=request)

	// The present episode.
	PendSeq      Seq // the step that set PEND; 0: not pending, or since before the trace
	PendAt       Time
	ExposedSeq   Seq // the step since which it is pending and unmasked; 0: it is not exposed
	ExposedAt    Time
	UnnoticedSeq Seq // the step since which nobody will look; 0: it is noticed, or not exposed
	UnnoticedAt  Time
	Own          VCPUSet // vcpus whose SEL bit was set for this port and that have not read its word yet
	Held         VCPUSet // vcpus that have it in a snapshot
	Swallowed    uint32  // sends that found PEND set in this episode

	duties int32 // contexts that owe it a store or a kick
}

// duty is what one context still owes.
type duty struct {
	port   Port
	phase  dutyPhase
	target VCPU // the vcpu to be told, once that is settled
}

// lane is what one context owes: the duty in hand, and one that was set aside for it.
type lane struct {
	duty
	outer duty
}

type dutyPhase uint8

const (
	owesNothing  dutyPhase = iota
	owesSignal             // a SEL bit
	owesUp                 // the UP flag of the target
	owesKick               // a kick of the target
	owesLastKick           // the same, and the target is off CPU: only the blocked flag remains
	owesRecheck            // a second look at the notify vcpu
)

// ErrConfig is the class of errors about a machine's dimensions.
var ErrConfig = errors.New("evtchn: bad configuration")

// NewState gives the state at the beginning of a trace with that meta. In a simulated system no port exists, everything is
// masked and vcpu 0 accepts all ports, as after Linux' start; in a capture all is unknown.
// Errors are of class ErrConfig.
func NewState(meta Meta) (*State, error) {
	if meta.VCPUs < 1 || meta.VCPUs > MaxVCPUs {
		return nil, fmt.Errorf("%w: %d vcpus, want 1 to %d", ErrConfig, meta.VCPUs, MaxVCPUs)
	}
	if wb := meta.WordBits; wb < 2 || wb > 64 || wb&(wb-1) != 0 {
		return nil, fmt.Errorf("%w: %d bits per event word, want a power of two from 2 to 64", ErrConfig, wb)
	}
	s := &State{WordBits: meta.WordBits, Words: meta.WordBits, Observed: meta.Source == SourceObserved}
	if meta.ABI == "fifo" {
		// Until the FIFO ABI has its own state, its ports are kept in words of the same kind.
		s.Words = fifoPorts / s.WordBits
	}
	known := ^uint64(0)
	if s.Observed {
		known = 0
	}
	s.Pend = newBits(s.Words, 0, known)
	s.Mask = newBits(s.Words, ^uint64(0), known)
	s.V = make([]VCPUState, meta.VCPUs)
	for i := range s.V {
		v := &s.V[i]
		v.SelKnown = known
		v.Accept = make([]uint64, s.Words)
		v.SelBy = make([]Port, s.Words)
		v.ScanBy = make([]Port, s.Words)
		if s.Observed {
			v.Up, v.Umask = Unknown, Unknown
			continue
		}
		v.Run, v.Umask = Offline, One
		if i == 0 {
			for w := range v.Accept {
				v.Accept[w] = ^uint64(0)
			}
		}
	}
	s.lanes = make([]lane, 2*len(s.V), 2*len(s.V)+8)
	if p, err := ParsePolicy(meta.Policy); err == nil {
		s.recheck = p.Send == SendRecheck
	}
	return s, nil
}

const fifoPorts = 1 << 17

// fifo reports whether the ABI is FIFO. A port that is pending and unmasked stands in a queue there, or does not, and the events do not tell:
// it is never called unnoticed.
func (s *State) fifo() bool { return s.Words != s.WordBits }

// Ports is the number of ports that the ABI has, the reserved port 0 included.
func (s *State) Ports() int { return s.Words * s.WordBits }

// Word is the index of the port's event word.
func (s *State) Word(p Port) int { return int(p) / s.WordBits }

func (s *State) locate(p Port) (word int, mask uint64) {
	return int(p) / s.WordBits, 1 << (uint(p) % uint(s.WordBits))
}

// PortIn is the port of bit i of a word.
func (s *State) PortIn(word, i int) Port { return Port(word*s.WordBits + i) }

// PortAt gives the state of a port. The pointer is valid until the next Apply; it is nil for a port that the ABI lacks.
func (s *State) PortAt(p Port) *PortState {
	if int(p) >= s.Ports() {
		return nil
	}
	if int(p) >= len(s.P) {
		n := len(s.P)
		s.P = append(s.P, make([]PortState, int(p)+1-n)...)
		for i := n; i < len(s.P); i++ {
			s.P[i].User = -1
			if s.Observed {
				s.P[i].Status, s.P[i].Handler = PortUnknown, HandlerUnknown
				s.P[i].Notify, s.P[i].Owner = NoVCPU, NoVCPU
			}
		}
	}
	return &s.P[p]
}

// Pending gives the port's PEND bit.
func (s *State) Pending(p Port) Bit { w, m := s.locate(p); return s.Pend.get(w, m) }

// Masked gives the port's MASK bit.
func (s *State) Masked(p Port) Bit { w, m := s.locate(p); return s.Mask.get(w, m) }

// Exposed reports whether the port is known to be pending and unmasked.
func (s *State) Exposed(p Port) bool { return s.Pending(p) == One && s.Masked(p) == Zero }

// Selected gives the vcpu's SEL bit for a word.
func (s *State) Selected(v VCPU, word int) Bit {
	vc := &s.V[v]
	m := uint64(1) << (word & 63)
	if vc.SelKnown&m == 0 {
		return Unknown
	}
	if vc.Sel&m != 0 {
		return One
	}
	return Zero
}

// Accepts says whether the guest would handle the port on that vcpu.
func (s *State) Accepts(v VCPU, p Port) Bit {
	if s.Observed {
		o := s.PortAt(p)
		if o == nil || o.Owner == NoVCPU {
			return Unknown
		}
		if o.Owner == v {
			return One
		}
		return Zero
	}
	w, m := s.locate(p)
	if s.V[v].Accept[w]&m != 0 {
		return One
	}
	return Zero
}

// ExposedPorts lists the ports that are pending and unmasked now, in the order in which they became so. Do not change it.
func (s *State) ExposedPorts() []Port { return s.exposed }

// Changed lists the ports of which the last event applied changed whether they are exposed or noticed, in the order in which
// it did; a port can stand there more than once. The list is valid until the next Apply: do not change it.
func (s *State) Changed() []Port { return s.changed }

// Owed reports whether some context is in the middle of telling a vcpu about the port.
func (s *State) Owed(p Port) bool { return int(p) < len(s.P) && s.P[p].duties > 0 }

// Unnoticed reports whether the port is pending and unmasked and nobody will look at it.
func (s *State) Unnoticed(p Port) bool { return int(p) < len(s.P) && s.P[p].UnnoticedSeq != 0 }

// Attentive reports whether the vcpu, its SEL being set, is going to look at it without anybody doing more.
func (s *State) Attentive(v VCPU) bool {
	if s.Observed {
		return true
	}
	vc := &s.V[v]
	switch {
	case vc.InUpcall || vc.owed > 0:
		return true
	case vc.Up != One:
		return false
	case vc.InXen && vc.Run == Running || vc.Umask == One:
		return vc.Run != Blocked && vc.Run != Polling || vc.Kicks > 0
	}
	return vc.Kicks > 0 || vc.Run == Runnable
}

// Heedless is the contrary of Attentive for a vcpu that has something selected: it has SEL bits, and nothing makes it look.
func (s *State) Heedless(v VCPU) bool { return s.V[v].Sel != 0 && !s.Attentive(v) }

// Clone makes an independent copy.
func (s *State) Clone() *State {
	c := *s
	c.Pend = Bits{slices.Clone(s.Pend.Val), slices.Clone(s.Pend.Known)}
	c.Mask = Bits{slices.Clone(s.Mask.Val), slices.Clone(s.Mask.Known)}
	c.V = slices.Clone(s.V)
	for i := range c.V {
		v := &c.V[i]
		v.Accept, v.SelBy, v.ScanBy = slices.Clone(v.Accept), slices.Clone(v.SelBy), slices.Clone(v.ScanBy)
	}
	c.P = slices.Clone(s.P)
	c.lanes = slices.Clone(s.lanes)
	c.exposed = slices.Clone(s.exposed)
	c.changed = nil
	return &c
}
