package evtchn

import "fmt"

// Invariant is the number of one of the things that must hold in every state.
type Invariant int

// The invariants of a State. Those up to InvNoticed hold at every step; a violation is a bug of the policy, the guest or the
// hypervisor that the trace shows, not of the trace.
const (
	InvPortZero Invariant = iota + 1 // port 0 is never in use, pending or selected
	InvFreePort                      // a free port is not pending (since xen 120785c177, 2008)
	InvNotify                        // the notify vcpu of a port in use exists
	InvPeer                          // two ends in one domain name each other
	InvVIRQ                          // a VIRQ is bound to one port of a vcpu at most
	InvAccept                        // exactly the owner accepts a port, unless it is being moved
	InvReasons                       // a port with a reason to be masked is masked
	InvAwake                         // a sleeping vcpu that has something deliverable is being woken
	InvSelected                      // a vcpu with a selector bit is going to look at it (R3, R6)
	InvNoticed                       // invariant I: a pending, unmasked port is owed a store or a kick, or a vcpu is about to read its word
)

var invariantNames = [...]string{"", "port-zero", "free-port", "notify", "peer", "virq", "accept", "reasons", "awake", "selected", "noticed"}

// String gives the invariant's name.
func (i Invariant) String() string { return nameOf(invariantNames[:], int(i)) }

// Violation is one place where an invariant does not hold.
type Violation struct {
	Invariant Invariant
	Port      Port // NoPort where none is meant
	VCPU      VCPU // NoVCPU where none is meant
	Detail    string
}

// String says what is wrong, the numbers involved, and what was wanted.
func (v Violation) String() string {
	return fmt.Sprintf("I%d %s: %s", v.Invariant, v.Invariant, v.Detail)
}

// Check lists every violation of the invariants in this state, by invariant and then by number. In a capture only what is
// known is judged.
func (s *State) Check() []Violation {
	var vs []Violation
	add := func(i Invariant, p Port, v VCPU, format string, args ...any) {
		vs = append(vs, Violation{i, p, v, fmt.Sprintf(format, args...)})
	}
	if s.Pending(0) == One {
		add(InvPortZero, 0, NoVCPU, "port 0 is pending, want it reserved")
	}
	type virqKey struct {
		v    VCPU
		virq uint64
	}
	virqs := make(map[virqKey]Port)
	for i := 1; i < len(s.P); i++ {
		p, ps := Port(i), &s.P[i]
		switch ps.Status {
		case PortUnknown:
			continue
		case PortFree:
			if s.Pending(p) == One && !s.Observed {
				add(InvFreePort, p, NoVCPU, "port %d: free and pending", p)
			}
			continue
		}
		if ps.Notify != NoVCPU && int(ps.Notify) >= len(s.V) {
			add(InvNotify, p, ps.Notify, "port %d: notify vcpu %d, want 0 to %d", p, ps.Notify, len(s.V)-1)
		}
		if ps.Status == PortInterdomain && ps.Peer>>32 == 0 && ps.Peer != 0 {
			if q := Port(uint32(ps.Peer)); int(q) < len(s.P) && s.P[q].Status == PortInterdomain && Port(uint32(s.P[q].Peer)) != p {
				add(InvPeer, p, NoVCPU, "port %d: its peer is %d, whose peer is %d", p, q, uint32(s.P[q].Peer))
			}
		}
		if ps.Status == PortVIRQ {
			k := virqKey{ps.Notify, ps.Peer}
			if !perVCPUVIRQ(ps.Peer) {
				k.v = 0
			}
			if q, dup := virqs[k]; dup && !s.Observed {
				add(InvVIRQ, p, ps.Notify, "port %d: VIRQ %d of vcpu %d is bound to port %d too", p, ps.Peer, ps.Notify, q)
			}
			virqs[k] = p
		}
		if !s.Observed {
			s.checkAccept(p, ps, add)
			if ps.Reasons != 0 && s.Masked(p) == Zero && ps.duties == 0 {
				add(InvReasons, p, NoVCPU, "port %d: unmasked, with reasons %#x to be masked", p, ps.Reasons)
			}
		}
	}
	if !s.Observed {
		for i := range s.V {
			s.checkVCPU(VCPU(i), add)
		}
	}
	for _, p := range s.exposed {
		if ps := &s.P[p]; ps.UnnoticedSeq != 0 {
			add(InvNoticed, p, NoVCPU, "port %d: pending and unmasked since #%d, and nobody will look since #%d", p, ps.ExposedSeq, ps.UnnoticedSeq)
		}
	}
	return vs
}

type report func(i Invariant, p Port, v VCPU, format string, args ...any)

// checkAccept holds at rest: a move goes through states in which no vcpu, or two, accept the port.
func (s *State) checkAccept(p Port, ps *PortState, add report) {
	w, m := s.locate(p)
	n, at := 0, NoVCPU
	for v := range s.V {
		if s.V[v].Accept[w]&m != 0 {
			n, at = n+1, VCPU(v)
		}
	}
	if n != 1 || at != ps.Owner {
		add(InvAccept, p, ps.Owner, "port %d: bound to vcpu %d, accepted by %d vcpus, the last of them %d", p, ps.Owner, n, at)
	}
}

func (s *State) checkVCPU(v VCPU, add report) {
	vc := &s.V[v]
	if (vc.Run == Blocked || vc.Run == Polling) && vc.Up == One && vc.Umask == Zero && vc.owed == 0 && vc.Kicks == 0 {
		add(InvAwake, NoPort, v, "vcpu %d: %s with UP set and UMASK clear, and nobody wakes it", v, vc.Run)
	}
	if s.Heedless(v) {
		add(InvSelected, NoPort, v, "vcpu %d: SEL is %#x and UP is %s, and nothing makes it look", v, vc.Sel, vc.Up)
	}
}
