package evtchn

import "math/bits"

// Apply carries out what the event says was done. It accepts any event: one whose vcpu or port the state does not have
// changes nothing but Seq and Now.
func (s *State) Apply(ev *Event) {
	s.Seq, s.Now = ev.Seq, ev.Time
	s.changed = s.changed[:0]
	if int(ev.VCPU) >= len(s.V) || ev.VCPU < NoVCPU || int(ev.Port) >= s.Ports() || !ev.Kind.Valid() {
		return
	}
	target := ev.VCPU
	if specs[ev.Kind].target {
		target = VCPU(int16(ev.Args[0]))
		if target < 0 || int(target) >= len(s.V) {
			return
		}
	}
	lane := s.lane(ev)
	var word int
	var mask uint64
	p := ev.Port
	var ps *PortState
	if p != NoPort {
		word, mask = s.locate(p)
		ps = s.PortAt(p)
	}

	switch ev.Kind {
	case KindPendTAS:
		if ps == nil {
			return
		}
		s.Pend.set(word, mask, One)
		if ev.Res == 1 {
			ps.Swallowed++
			break
		}
		if ev.Res == 0 || ps.PendSeq == 0 {
			s.beginEpisode(ps, ev)
		}
		s.owe(lane, duty{port: p, phase: owesSignal, target: NoVCPU})
	case KindPendRead:
		if ps == nil {
			return
		}
		if ev.Res <= 1 {
			s.Pend.set(word, mask, Bit(ev.Res))
		}
		if ev.Res == 0 {
			s.release(lane, p)
		}
	case KindPendClear:
		if ps == nil {
			return
		}
		s.Pend.set(word, mask, Zero)
		s.endEpisode(ps)
	case KindMaskTAS:
		if ps == nil {
			return
		}
		s.Mask.set(word, mask, One)
	case KindMaskClear, KindMaskTAC:
		if ps == nil {
			return
		}
		s.Mask.set(word, mask, Zero)
		if ev.Kind == KindMaskClear || ev.Res != 0 {
			s.owe(lane, duty{port: p, phase: owesSignal, target: NoVCPU})
		}
	case KindMaskRead:
		if ps == nil {
			return
		}
		if ev.Res <= 1 {
			s.Mask.set(word, mask, Bit(ev.Res))
		}
		if ev.Res == 1 {
			s.finish(lane, p)
		}
	case KindSelTAS:
		vc := &s.V[target]
		w := int(ev.Args[1])
		if w < 0 || w >= s.Words {
			return
		}
		m := uint64(1) << (w & 63)
		if ev.Res != 1 || vc.Sel&m == 0 {
			vc.SelBy[w] = p
		}
		vc.Sel |= m
		vc.SelKnown |= m
		if ps != nil {
			ps.Own.Add(target)
		}
		if ev.Res == 1 {
			s.finish(lane, p)
		} else {
			s.owe(lane, duty{port: p, phase: owesUp, target: target})
		}
	case KindSelXchg:
		if ev.VCPU < 0 {
			return
		}
		vc := &s.V[ev.VCPU]
		vc.Sel, vc.SelKnown = 0, ^uint64(0)
		copy(vc.ScanBy, vc.SelBy)
		clear(vc.SelBy)
	case KindUpTAS:
		s.V[target].Up = One
		if ev.Res == 1 {
			s.finish(lane, p)
		} else {
			s.owe(lane, duty{port: p, phase: owesKick, target: target})
		}
	case KindUpWrite:
		vc := &s.V[target]
		if ev.Args[1] <= 2 {
			vc.Up = Bit(ev.Args[1])
		}
		if ev.Args[1] == 1 {
			if target == ev.VCPU {
				s.release(lane, p)
			} else {
				s.owe(lane, duty{port: p, phase: owesKick, target: target})
			}
		}
		s.callback(vc, ev)
	case KindUpRead:
		if ev.VCPU >= 0 && ev.Res <= 1 {
			s.V[ev.VCPU].Up = Bit(ev.Res)
		}
	case KindUmaskWrite:
		if ev.VCPU < 0 {
			return
		}
		vc := &s.V[ev.VCPU]
		if ev.Args[0] <= 2 {
			vc.Umask = Bit(ev.Args[0])
		}
		s.callback(vc, ev)
	case KindWordRead:
		if ev.VCPU < 0 {
			return
		}
		s.look(ev)
	case KindSweepRead:
		if ev.VCPU < 0 {
			return
		}
		s.hold(ev.VCPU, int(ev.Args[0]), ev.Res)

	case KindRunRead:
		if d := s.dutyOf(lane); d != nil && d.phase == owesKick && ev.Res == 0 {
			d.phase = owesLastKick
		}
	case KindBlockedSet:
		if ev.VCPU >= 0 {
			s.V[ev.VCPU].Blocked = true
		}
	case KindBlockedClr:
		if ev.VCPU >= 0 {
			s.V[ev.VCPU].Blocked = false
		}
	case KindBlockedTAC:
		vc := &s.V[target]
		vc.Blocked = false
		if ev.Res == 1 && (vc.Run == Blocked || vc.Run == Polling) {
			vc.Run = Runnable
			vc.Polling = false
		}
		if d := s.dutyOf(lane); d != nil && d.phase == owesLastKick {
			s.finish(lane, d.port)
		}
	case KindIPI:
		s.V[target].Kicks++
		if d := s.dutyOf(lane); d != nil && (d.phase == owesKick || d.phase == owesLastKick) {
			s.finish(lane, d.port)
		}
	case KindNotifyCheck:
		if d := s.dutyOf(lane); d != nil && d.phase == owesRecheck {
			if d.target == VCPU(int16(ev.Res)) {
				s.release(lane, p)
			} else {
				s.owe(lane, duty{port: p, phase: owesSignal, target: NoVCPU})
			}
		}
	case KindBlock:
		if ev.VCPU >= 0 {
			vc := &s.V[ev.VCPU]
			vc.Run, vc.InXen = Blocked, false
			if vc.Polling {
				vc.Run = Polling
			}
		}
	case KindPollSet:
		if ev.VCPU >= 0 {
			s.V[ev.VCPU].Polling, s.V[ev.VCPU].PollPort = true, Port(ev.Args[0])
		}
	case KindPollTAC:
		s.V[target].Polling = false
	case KindPollClr:
		if ev.VCPU >= 0 {
			s.V[ev.VCPU].Polling = false
		}
	case KindStart:
		vc := &s.V[target]
		vc.Run, vc.Up, vc.Umask = Running, Zero, Zero
	case KindPreempt:
		if vc := &s.V[target]; vc.Run == Running {
			vc.Run = Runnable
		}
	case KindRun:
		vc := &s.V[target]
		vc.Run = Running
		if !vc.Blocked && ev.Res <= 1 {
			s.callback(vc, ev)
		}
	case KindRunState:
		if ev.Args[2] <= uint64(Offline) {
			s.V[target].Run = RunState(ev.Args[2])
		}
	case KindKick:
		vc := &s.V[target]
		if vc.Kicks > 0 {
			vc.Kicks--
		}
		s.callback(vc, ev)
	case KindHypercall:
		if ev.VCPU >= 0 {
			s.V[ev.VCPU].InXen = true
		}
	case KindReturn:
		if ev.VCPU >= 0 {
			s.end(lane)
			vc := &s.V[ev.VCPU]
			vc.InXen = false
			s.callback(vc, ev)
		}
	case KindOpDone:
		s.end(lane)
	case KindUpcall:
		if ev.VCPU >= 0 {
			vc := &s.V[ev.VCPU]
			vc.InUpcall, vc.Up, vc.Umask = true, Zero, One
		}
	case KindUpcallExit:
		if ev.VCPU >= 0 {
			s.leaveUpcall(ev)
		}
	case KindActiveXchg:
		if ps == nil {
			return
		}
		ps.Active = true
		if ev.Res == 1 && ev.VCPU >= 0 {
			s.disown(p, ps, ev.VCPU)
		}
	case KindActiveClear:
		if ps != nil {
			ps.Active = false
		}

	default:
		s.applyRecord(ev, p, ps, target, word, mask)
	}
	s.settle(p)
	if !s.Observed {
		if ev.VCPU >= 0 {
			s.attend(ev.VCPU)
		}
		if target >= 0 && target != ev.VCPU {
			s.attend(target)
		}
	}
}

// applyRecord applies events that change the records of a port: the hypervisor's and the guest's.
func (s *State) applyRecord(ev *Event, p Port, ps *PortState, target VCPU, word int, mask uint64) {
	switch ev.Kind {
	case KindPortUnbind, KindPortBind, KindPortClose, KindPortVCPU, KindNotifyRead, KindOwnerWrite, KindOwnerRead,
		KindAcceptSet, KindAcceptClear, KindSnapPort, KindSnapBits, KindReasonSet, KindReasonClear, KindUserSet, KindIRQSet, KindRequestPush,
		KindRequestPop:
		if ps == nil {
			return
		}
	}
	switch ev.Kind {
	case KindPortBind:
		ps.Status, ps.Notify, ps.Peer = PortStatus(ev.Args[0]), VCPU(int16(ev.Args[1])), ev.Args[2]
		if peer := Port(uint32(ps.Peer)); ps.Status == PortInterdomain && ps.Peer>>32 == 0 && peer != NoPort && int(peer) < s.Ports() {
			q := s.PortAt(peer) // both ends are here
			q.Status, q.Peer = PortInterdomain, uint64(p)
			ps = s.PortAt(p)
		}
		switch ps.Status {
		case PortIPI, PortVIRQ:
			ps.Handler = HandlerPerCPU
		case PortPIRQ:
			ps.Handler = HandlerIRQ
		default:
			ps.Handler, ps.User = HandlerNone, -1
		}
	case KindPortUnbind:
		ps.Status = PortUnbound
	case KindPortClose:
		if peer := Port(uint32(ps.Peer)); ps.Status == PortInterdomain && ps.Peer>>32 == 0 && int(peer) < len(s.P) {
			s.P[peer].Status = PortUnbound
		}
		ps.Status, ps.Notify, ps.Peer = PortFree, 0, 0
		ps.Handler, ps.User, ps.Reasons, ps.Active = HandlerNone, -1, 0, false
		s.Pend.set(word, mask, Zero)
		s.endEpisode(ps)
	case KindPortVCPU:
		ps.Notify = target
	case KindNotifyRead:
		if s.Observed && ev.Res != 0xffff {
			ps.Notify = VCPU(int16(ev.Res))
		}
	case KindOwnerWrite:
		ps.Owner = target
	case KindAcceptSet:
		s.V[target].Accept[word] |= mask
	case KindAcceptClear:
		s.V[target].Accept[word] &^= mask
	case KindReasonSet:
		ps.Reasons |= uint8(ev.Args[0])
	case KindReasonClear:
		ps.Reasons &^= uint8(ev.Args[0])
	case KindUserSet:
		ps.User, ps.Handler = int32(int16(ev.Args[0])), HandlerUser
	case KindIRQSet:
		ps.Handler = HandlerIRQ
	case KindRequestPush:
		ps.Request = true
		s.endDuties(p)
	case KindRequestPop:
		ps.Request = false
		s.owe(s.lane(ev), duty{port: p, phase: owesSignal, target: NoVCPU}) // whoever takes the request is to act on it
	case KindSnap:
		if w := int(ev.Args[0]); w >= 0 && w < s.Words {
			s.snap(w, ev)
		}
	case KindSnapPort:
		s.snapPort(ps, ev, word, mask)
	case KindSnapBits:
		s.snapBits(p, ps, ev, word, mask)
	case KindSnapVCPU:
		vc := &s.V[target]
		vc.Up, vc.Umask = known(ev.Args[1], vc.Up), known(ev.Args[2], vc.Umask)
		if ev.Res > uint64(RunUnknown) && ev.Res <= uint64(Offline) {
			vc.Run = RunState(ev.Res)
			vc.Blocked, vc.Polling = vc.Run == Blocked || vc.Run == Polling, vc.Run == Polling
		}
	case KindSnapSel:
		vc := &s.V[target]
		vc.Sel, vc.SelKnown = ev.Args[1]&(^uint64(0)>>(64-s.WordBits)), ^uint64(0)
	}
}

// snap takes over a PEND and a MASK word as a capture shows them.
func (s *State) snap(w int, ev *Event) {
	oldPend := s.Pend.Val[w] & s.Pend.Known[w]
	all := ^uint64(0) >> (64 - s.WordBits)
	s.Pend.Val[w], s.Pend.Known[w] = ev.Args[1]&all, ^uint64(0)
	s.Mask.Val[w], s.Mask.Known[w] = ev.Args[2]&all, ^uint64(0)
	for d := oldPend | s.Pend.Val[w]; d != 0; d &= d - 1 {
		q := s.PortIn(w, bits.TrailingZeros64(d))
		qs := s.PortAt(q)
		if s.Pending(q) == One {
			if qs.PendSeq == 0 {
				s.beginEpisode(qs, ev)
			}
		} else {
			s.endEpisode(qs)
		}
		s.settle(q)
	}
}

func (s *State) beginEpisode(ps *PortState, ev *Event) {
	ps.PendSeq, ps.PendAt = ev.Seq, ev.Time
	ps.Own, ps.Held = VCPUSet{}, VCPUSet{}
	ps.Swallowed = 0
}

func (s *State) endEpisode(ps *PortState) {
	ps.PendSeq, ps.PendAt = 0, 0
	ps.Own, ps.Held = VCPUSet{}, VCPUSet{}
}

// callback is the way into the upcall handler, where the event leads there.
func (s *State) callback(vc *VCPUState, ev *Event) {
	if ev.Res == 1 {
		vc.InUpcall, vc.Umask = true, One
	}
}

func (s *State) leaveUpcall(ev *Event) {
	vc := &s.V[ev.VCPU]
	if ev.Res != 1 {
		vc.InUpcall = false
		if !s.Observed {
			vc.Umask = Zero
		} else {
			vc.Umask = Unknown
		}
	}
	// Ports that were in a snapshot and yet were not picked.
	for _, q := range s.exposed {
		if s.P[q].Held.Has(ev.VCPU) {
			s.disown(q, &s.P[q], ev.VCPU)
			vc.unsettled = true
		}
	}
	if vc.unsettled {
		vc.unsettled = false
		s.settleExposed()
	}
}

// look is the reading of an event word by the upcall handler: the vcpu takes up the ports that it sees, and turns away from
// those of the word that it does not, unless its SEL bit has been set again.
func (s *State) look(ev *Event) {
	w := int(ev.Args[0])
	if w < 0 || w >= s.Words {
		return
	}
	seen := ev.Res | ev.Args[1]
	s.hold(ev.VCPU, w, seen)
	if s.V[ev.VCPU].Sel>>(w&63)&1 != 0 {
		return
	}
	for rest := s.Pend.Val[w] &^ seen &^ ev.Args[2]; rest != 0; rest &= rest - 1 {
		q := s.PortIn(w, bits.TrailingZeros64(rest))
		qs := s.PortAt(q)
		qs.Held.Remove(ev.VCPU)
		if qs.Own.Has(ev.VCPU) {
			qs.Own.Remove(ev.VCPU)
			s.settle(q)
		}
	}
}

func (s *State) hold(v VCPU, w int, seen uint64) {
	if w < 0 || w >= s.Words {
		return
	}
	for ; seen != 0; seen &= seen - 1 {
		i := bits.TrailingZeros64(seen)
		if i >= s.WordBits {
			return
		}
		q := s.PortIn(w, i)
		s.PortAt(q).Held.Add(v)
		s.settle(q)
	}
}

// disown notes that the vcpu has turned away from the port, unless its SEL bit has been set again.
func (s *State) disown(p Port, ps *PortState, v VCPU) {
	ps.Held.Remove(v)
	if s.V[v].Sel>>(s.Word(p)&63)&1 == 0 {
		ps.Own.Remove(v)
	}
}

// --- duties ---

func (s *State) lane(ev *Event) int {
	if ev.VCPU >= 0 {
		if s.V[ev.VCPU].InUpcall {
			return len(s.V) + int(ev.VCPU)
		}
		return int(ev.VCPU)
	}
	if ev.Ctx.Class() != CtxForeign {
		return -1
	}
	l := 2*len(s.V) + ev.Ctx.Num()
	for l >= len(s.lanes) {
		s.lanes = append(s.lanes, lane{})
	}
	return l
}

func (s *State) dutyOf(lane int) *duty {
	if lane < 0 {
		return nil
	}
	return &s.lanes[lane].duty
}

// owe replaces what the lane owes. A duty to another port that is under way is set aside until the lane's procedure ends: an
// unmask that hands its port on by an IPI event is in the middle of both.
func (s *State) owe(lane int, d duty) {
	if lane < 0 {
		return
	}
	l := &s.lanes[lane]
	old := l.duty
	if old.phase >= owesUp && d.phase == owesSignal && old.port != d.port && l.outer.phase == owesNothing {
		l.outer, old = old, duty{}
	}
	l.duty = d
	if d.phase != owesNothing {
		s.count(d, 1)
	}
	if old.phase != owesNothing {
		s.count(old, -1)
	}
}

// count adds a duty to those of its port and its vcpu, or takes it away.
func (s *State) count(d duty, n int32) {
	if d.port != NoPort {
		s.PortAt(d.port).duties += n
	}
	if d.target >= 0 {
		s.V[d.target].owed += n
	}
	if n > 0 {
		return
	}
	if d.port != NoPort {
		s.settle(d.port)
	}
	if d.target >= 0 && !s.Observed {
		s.attend(d.target)
	}
}

// release drops what the lane owes to the port.
func (s *State) release(lane int, p Port) {
	if lane < 0 || s.lanes[lane].phase == owesNothing || s.lanes[lane].port != p {
		return
	}
	s.owe(lane, duty{target: NoVCPU})
}

// end drops all that the lane owes: its procedure is over.
func (s *State) end(lane int) {
	if lane < 0 {
		return
	}
	l := &s.lanes[lane]
	if l.phase != owesNothing {
		s.owe(lane, duty{target: NoVCPU})
	}
	if d := l.outer; d.phase != owesNothing {
		l.outer = duty{target: NoVCPU}
		s.count(d, -1)
	}
}

// finish ends a set_pending: what remains is a second look at the notify vcpu, if the policy has one.
func (s *State) finish(lane int, p Port) {
	if lane < 0 {
		return
	}
	if d := s.lanes[lane].duty; s.recheck && d.phase != owesNothing && d.target >= 0 && d.port == p {
		s.owe(lane, duty{port: p, phase: owesRecheck, target: d.target})
		return
	}
	s.release(lane, p)
}

// endDuties drops everything owed to the port: a request to its owner has taken its place.
func (s *State) endDuties(p Port) {
	for l := range s.lanes {
		s.release(l, p)
	}
}

// --- settling ---

// settle brings the port's exposure and its being noticed up to date.
func (s *State) settle(p Port) {
	if p == NoPort || int(p) >= len(s.P) {
		return
	}
	ps := &s.P[p]
	if !s.Exposed(p) {
		if ps.ExposedSeq != 0 {
			ps.ExposedSeq, ps.ExposedAt, ps.UnnoticedSeq, ps.UnnoticedAt = 0, 0, 0, 0
			s.changed = append(s.changed, p)
			for i, q := range s.exposed {
				if q == p {
					s.exposed = append(s.exposed[:i], s.exposed[i+1:]...)
					break
				}
			}
		}
		return
	}
	if ps.ExposedSeq == 0 {
		ps.ExposedSeq, ps.ExposedAt = s.Seq, s.Now
		s.exposed = append(s.exposed, p)
		s.changed = append(s.changed, p)
	}
	noticed := ps.duties > 0 || ps.Request || s.someoneLooks(ps) || s.fifo()
	if noticed == (ps.UnnoticedSeq == 0) {
		return
	}
	s.changed = append(s.changed, p)
	if noticed {
		ps.UnnoticedSeq, ps.UnnoticedAt = 0, 0
	} else {
		ps.UnnoticedSeq, ps.UnnoticedAt = s.Seq, s.Now
	}
}

func (s *State) someoneLooks(ps *PortState) bool {
	if !ps.Held.Empty() {
		return true
	}
	for v := ps.Own.Next(0); v != NoVCPU; v = ps.Own.Next(v + 1) {
		if !s.V[v].heedless {
			return true
		}
	}
	return false
}

// attend brings the vcpu's attention up to date, and with it the ports that rely on it.
func (s *State) attend(v VCPU) {
	vc := &s.V[v]
	h := s.Heedless(v)
	if h == vc.heedless {
		return
	}
	vc.heedless = h
	for _, p := range s.exposed {
		if s.P[p].Own.Has(v) {
			s.settle(p)
		}
	}
}

func (s *State) settleExposed() {
	for i := 0; i < len(s.exposed); i++ {
		s.settle(s.exposed[i])
	}
}
