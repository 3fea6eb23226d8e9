package analyze

import "github.com/evtrace/evtrace/evtchn"

// link says how the last signalling of the port came to nothing at the step.
func (a *Analyzer) link(p evtchn.Port, t *portTrack, ps *evtchn.PortState, st step) link {
	l := link{found: t.found, look: st, owner: ps.Owner, vcpu: evtchn.NoVCPU}
	if t.expose.kind == evtchn.KindMaskClear || t.expose.kind == evtchn.KindMaskTAC {
		l.unmask = t.expose
	}
	if t.unmask.seq > l.unmask.seq && t.unmask.seq > t.set.seq {
		l.unmask = t.unmask
	}
	if t.tie.seq > l.unmask.seq && t.tie.vcpu == l.unmask.vcpu {
		l.tie = t.tie
	}
	if l.found.seq < l.unmask.seq {
		l.found = step{}
	}
	switch st.kind {
	case evtchn.KindWordRead, evtchn.KindUpcallExit, evtchn.KindActiveXchg, evtchn.KindSweepRead:
		l.vcpu = st.vcpu
		if st.vcpu >= 0 {
			l.xchg = a.v[st.vcpu].xchg
		}
	default:
		if v := ps.Own.Next(0); v != evtchn.NoVCPU {
			l.vcpu = v
		} else if t.sel.ok() {
			l.vcpu = t.sel.target
		} else {
			l.vcpu = st.vcpu
		}
	}
	l.sel = t.selOf(l.vcpu)
	if t.owned.ok() && t.owned.target == l.owner {
		l.owned = t.owned
	}
	l.cause = a.cause(p, t, ps, &l)
	if t.owned.seq > t.set.seq || l.cause == CauseStaleNotify || l.cause == CauseNonOwner {
		l.barred = t.barred
		if l.cause == CauseStaleNotify || t.moved.seq > t.owned.seq {
			l.moved = t.moved
		} else {
			l.moved = t.owned
		}
	}
	return l
}

// cause classifies one signalling in vain. It may complete the link's notify and moved steps.
func (a *Analyzer) cause(p evtchn.Port, t *portTrack, ps *evtchn.PortState, l *link) Cause {
	s := a.state
	if l.look.kind == evtchn.KindActiveXchg {
		return CauseActiveElsewhere
	}
	for v := ps.Own.Next(0); v != evtchn.NoVCPU; v = ps.Own.Next(v + 1) {
		if a.anyVCPU || s.Accepts(v, p) == evtchn.One {
			l.vcpu = v
			return CauseKickMissing // its SEL is set, and yet nobody looks
		}
	}
	if !t.sel.ok() {
		if t.bind.seq > t.set.seq || !t.set.ok() && ps.Swallowed > 0 {
			return CauseSwallowed
		}
		return CauseUnknown
	}
	sel := &l.sel
	if sel.guest() {
		was := sel.seq // when whoever set it had made up its mind
		if t.asked.seq > t.set.seq && t.asked.seq < sel.seq && t.asked.vcpu == sel.vcpu && evtchn.VCPU(int16(t.asked.arg)) == sel.target {
			was = t.asked.seq
			l.asked = t.asked
		}
		switch {
		case t.barred.seq > was && t.barred.target == sel.target,
			t.owned.seq > was && evtchn.VCPU(int16(t.owned.arg)) == sel.target:
			return CauseNonOwner // the right vcpu then, no more when it looked
		case s.Accepts(sel.target, p) == evtchn.One && sel.seq < t.expose.seq:
			return CauseClearedBefore
		case s.Accepts(sel.target, p) == evtchn.One:
			return CauseUnknown
		case (t.masked == evtchn.One || t.stop.ok()) && l.unmask.ok():
			return CauseMaskedElsewhere
		}
		return CauseWrongVCPU
	}
	// The hypervisor set it, for the vcpu that it found in the port's record.
	if n := a.notifyRead(t, sel); n.ok() && t.moved.seq > n.seq && t.moved.seq < sel.seq && t.moved.target != sel.target {
		l.notify = n
		return CauseStaleNotify
	}
	switch {
	case s.Accepts(sel.target, p) == evtchn.One && sel.seq < t.expose.seq:
		return CauseClearedBefore
	case s.Accepts(sel.target, p) == evtchn.One && t.accepts.seq < l.look.seq && t.accepts.seq < sel.seq:
		return CauseUnknown
	}
	return CauseNonOwner
}

// notifyRead finds where the hypervisor had read which vcpu to tell, before it set that vcpu's SEL bit.
func (a *Analyzer) notifyRead(t *portTrack, sel *step) step {
	for i := range t.notify {
		if n := &t.notify[i]; n.seq > t.unmask.seq && n.seq < sel.seq && n.vcpu == sel.vcpu && n.ctx == sel.ctx &&
			evtchn.VCPU(int16(n.arg)) == sel.target {
			return *n
		}
	}
	if sel.vcpu >= 0 && t.unmask.kind == evtchn.KindMaskTAC && t.unmask.vcpu == sel.vcpu {
		if call := a.v[sel.vcpu].call; call.arg == uint64(evtchn.HCUnmask) && call.port == sel.port && call.seq < t.unmask.seq {
			return call // EVTCHNOP_unmask reads it on entry
		}
	}
	return step{}
}
