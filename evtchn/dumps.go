package evtchn

// What a console dump says is taken over as it is: it is what was seen, whatever the events before it led to. What the dump leaves out
// stays as it was.

// known gives the bit that was read, or the old one if the reading does not say.
func known(read uint64, old Bit) Bit {
	if read > uint64(One) {
		return old
	}
	return Bit(read)
}

// snapPort takes over the hypervisor's record of a port.
func (s *State) snapPort(ps *PortState, ev *Event, word int, mask uint64) {
	if ev.Args[0] > uint64(PortUnknown) {
		return
	}
	ps.Status, ps.Notify, ps.Peer = PortStatus(ev.Args[0]), VCPU(int16(ev.Args[1])), ev.Args[2]
	switch ps.Status {
	case PortFree:
		ps.Notify, ps.Peer = 0, 0
		ps.Handler, ps.User, ps.Reasons, ps.Active = HandlerNone, -1, 0, false
		s.Pend.set(word, mask, Zero)
		s.endEpisode(ps)
	case PortIPI, PortVIRQ:
		ps.Handler = HandlerPerCPU
	case PortPIRQ:
		ps.Handler = HandlerIRQ
	}
}

// snapBits takes over PEND, MASK and the SEL bit of the vcpu that the port notifies. That nobody is told of the port counts only where
// the dump says so.
func (s *State) snapBits(p Port, ps *PortState, ev *Event, word int, mask uint64) {
	s.Pend.set(word, mask, known(ev.Args[0], s.Pend.get(word, mask)))
	s.Mask.set(word, mask, known(ev.Args[1], s.Mask.get(word, mask)))
	switch s.Pend.get(word, mask) {
	case One:
		if ps.PendSeq == 0 {
			s.beginEpisode(ps, ev)
		}
	case Zero:
		s.endEpisode(ps)
	}
	v := ps.Notify
	if v < 0 || int(v) >= len(s.V) {
		return
	}
	told := known(ev.Args[2], Unknown)
	if told == Zero {
		ps.Own.Remove(v)
		ps.Held.Remove(v)
	} else if ps.PendSeq != 0 {
		ps.Own.Add(v)
	}
	if s.fifo() || told == Unknown {
		return
	}
	vc := &s.V[v]
	m := uint64(1) << (word & 63)
	vc.SelKnown |= m
	vc.Sel &^= m
	if told == One {
		vc.Sel |= m
	}
}
