package predict

import "github.com/evtrace/evtrace/evtchn"

// take decides about one event of the capture: it is passed on, left out, or replaced by what the policy does there.
func (p *Prediction) take(ev *evtchn.Event) {
	if ev.VCPU < evtchn.NoVCPU || int(ev.VCPU) >= len(p.cpus) || int(ev.Port) >= p.obs.Ports() || !ev.Kind.Valid() {
		p.emit(*ev)
		return
	}
	if t := ev.Target(); t < evtchn.NoVCPU || int(t) >= len(p.cpus) {
		p.emit(*ev)
		return
	}
	p.decide(p.lane(ev), ev)
	p.obs.Apply(ev)
	p.log.unnoticed(p.obs, true)
}

func (p *Prediction) decide(l *lane, ev *evtchn.Event) {
	if l.rerun != evtchn.NoPort {
		if ev.Port == l.rerun && restOfOp(ev.Kind) {
			return
		}
		if l.call && ev.Kind == evtchn.KindReturn {
			l.rerun, l.call = evtchn.NoPort, false
			return
		}
		l.rerun, l.call = evtchn.NoPort, false
	}
	if ev.Port != evtchn.NoPort && ev.Port == l.moved {
		switch ev.Kind {
		case evtchn.KindPortVCPU, evtchn.KindAcceptClear, evtchn.KindAcceptSet:
			return
		case evtchn.KindOwnerWrite:
			l.moved = evtchn.NoPort
			return
		}
	}
	if ev.VCPU >= 0 && p.goneHandler(ev) {
		return
	}
	switch ev.Kind {
	case evtchn.KindHypercall:
		p.takeCall(l, ev)
	case evtchn.KindPendTAS:
		p.takeRaise(l, ev)
	case evtchn.KindMaskClear, evtchn.KindMaskTAC:
		p.takeUnmask(l, ev, ev.Kind == evtchn.KindMaskTAC)
	case evtchn.KindUpcall:
		if ev.VCPU < 0 {
			return
		}
		p.log.looked(ev.VCPU, ev.Time)
		if p.obs.V[ev.VCPU].Up == evtchn.One && p.pre.V[ev.VCPU].Up == evtchn.Zero {
			return // what led to it has not happened
		}
		p.enter(*ev)
	case evtchn.KindSelXchg:
		p.takeScan(ev)
	case evtchn.KindWordRead:
		w := ev.Args[0]
		if ev.VCPU >= 0 && (!p.pre.V[ev.VCPU].InUpcall || p.cpus[ev.VCPU].seen>>(w&63)&1 == 1 && p.cpus[ev.VCPU].took>>(w&63)&1 == 0) {
			return // the prediction's scan has no reason to read the word
		}
		p.emit(*ev)
	case evtchn.KindDeliver:
		p.takeDelivery(ev)
	case evtchn.KindHandled:
		p.emit(*ev)
		if p.policy.Tick == evtchn.TickSweep && ev.VCPU >= 0 {
			p.sweep(ev)
		}
	case evtchn.KindUpcallExit:
		p.leave(ev)
	case evtchn.KindPendClear:
		if p.pre.Pending(ev.Port) == p.obs.Pending(ev.Port) {
			p.emit(*ev)
		}
	case evtchn.KindPendRead:
		if p.pre.Pending(ev.Port) == p.obs.Pending(ev.Port) {
			p.emit(*ev)
		}
	case evtchn.KindMaskRead:
		if p.pre.Masked(ev.Port) == p.obs.Masked(ev.Port) {
			p.emit(*ev)
		}
	case evtchn.KindSnap:
		if w := int(ev.Args[0]); w < 0 || w >= p.obs.Words || p.pre.Pend.Val[w] == p.obs.Pend.Val[w] && p.pre.Mask.Val[w] == p.obs.Mask.Val[w] {
			p.emit(*ev)
		}
	case evtchn.KindPortBind:
		if l.binding == evtchn.HCBindInterdomain && l.bound == evtchn.NoPort && ev.VCPU >= 0 {
			l.bound = ev.Port
			*p.note(ev.Port) = portNote{fresh: true}
			if p.policy.Bind == evtchn.BindUnmasked {
				p.bindUnmasked(ev)
				return
			}
		}
		p.emit(*ev)
	case evtchn.KindPortClose:
		p.log.closed(ev.Port)
		*p.note(ev.Port) = portNote{}
		p.emit(*ev)
	case evtchn.KindReturn:
		l.binding, l.bound = 0, evtchn.NoPort
		p.emit(*ev)
	default:
		p.emit(*ev)
	}
}

// restOfOp reports whether an event can be a later step of the operation that raises or unmasks a port, or of a move of it.
func restOfOp(k evtchn.Kind) bool {
	switch k {
	case evtchn.KindMaskRead, evtchn.KindMaskTAC, evtchn.KindMaskClear, evtchn.KindPendRead, evtchn.KindSelTAS, evtchn.KindUpTAS, evtchn.KindUpWrite,
		evtchn.KindRunRead, evtchn.KindBlockedTAC, evtchn.KindIPI, evtchn.KindNotifyCheck, evtchn.KindPollRead, evtchn.KindPollTAC,
		evtchn.KindOwnerRead, evtchn.KindPendTAS, evtchn.KindNotifyRead:
		return true
	}
	return false
}

func isCall(ev *evtchn.Event, h evtchn.Hypercall) bool { return evtchn.Hypercall(ev.Args[0]) == h }

// goneHandler leaves out what a handler does that runs in the capture alone.
func (p *Prediction) goneHandler(ev *evtchn.Event) bool {
	c := &p.cpus[ev.VCPU]
	if c.gone == evtchn.NoPort || !p.obs.V[ev.VCPU].InUpcall {
		return false
	}
	switch ev.Kind {
	case evtchn.KindDeliver, evtchn.KindSelXchg, evtchn.KindUpcallExit, evtchn.KindUpcall:
		c.gone = evtchn.NoPort
		return false
	case evtchn.KindHypercall, evtchn.KindReturn, evtchn.KindPendTAS:
		return false // a send that the handler makes, or an unmask: taken as it is
	}
	if ev.Port != c.gone {
		return false
	}
	switch ev.Kind {
	case evtchn.KindMaskTAS:
		p.note(c.gone).unmaskGone = true
	case evtchn.KindMaskClear:
		p.note(c.gone).unmaskGone = false
	}
	return true
}

func (p *Prediction) takeCall(l *lane, ev *evtchn.Event) {
	switch {
	case isCall(ev, evtchn.HCUnmask) && ev.Port != evtchn.NoPort:
		p.takeUnmask(l, ev, true)
	case ev.VCPU >= 0 && isCall(ev, evtchn.HCBindVCPU) && ev.Port != evtchn.NoPort && !p.obs.V[ev.VCPU].InUpcall:
		p.takeMove(l, ev)
	default:
		l.binding, l.bound = evtchn.Hypercall(ev.Args[0]), evtchn.NoPort
		p.emit(*ev)
	}
}

// takeRaise is the setting of PEND by the hypervisor.
func (p *Prediction) takeRaise(l *lane, ev *evtchn.Event) {
	q := ev.Port
	if nt := p.note(q); nt.unsure {
		nt.unsure = false
		p.unseen(ev, nt.unmasked)
	}
	if l.bound == q && p.policy.Bind != evtchn.BindConservative {
		switch p.policy.Bind {
		case evtchn.BindQuiet: // it does not happen
			p.depart(ev)
			l.rerun = q
			return
		case evtchn.BindUnmasked: // it has happened, with the bind
			l.rerun = q
			return
		}
	}
	masked := p.pre.Masked(q)
	n := notify(p.pre, q)
	same := p.alike(q) && (p.pre.Pending(q) == evtchn.One || masked != evtchn.Zero || p.told(n, q)) &&
		!(masked == evtchn.One && p.policy.SetPending == evtchn.SetPendingIgnoreMask && p.pre.Pending(q) != evtchn.One)
	if same || n < 0 {
		p.emit(*ev)
		return
	}
	p.depart(ev)
	p.seed(q)
	p.b.raise(q)
	p.play(ev, q, 1) // the sender's look at the notify vcpu has been passed on
	l.rerun = q
	p.log.told(p, ev, q, "raise")
}

// unseen looks at an event that came after an unmask by which it would have been lost, had it come before. If nobody saw its send, it stands
// where its delivery wants it; it may have been sent before that by as much as the slowest kick of the capture took. Nothing is drawn: the
// doubt is the same in every draw.
func (p *Prediction) unseen(ev *evtchn.Event, unmasked evtchn.Time) {
	v := owner(p.pre, ev.Port)
	if ev.VCPU >= 0 || !ev.Inferred() || v < 0 {
		return
	}
	if d := p.samples.Of(v, PathKick); d.N() == 0 || d.Quantile(1) > ev.Time-unmasked {
		p.out.Unseen++
	}
}

// takeUnmask is an unmask: by the guest alone, or by a hypercall.
func (p *Prediction) takeUnmask(l *lane, ev *evtchn.Event, call bool) {
	q, v := ev.Port, ev.VCPU
	nt := p.note(q)
	if nt.unmaskGone || nt.opened {
		nt.unmaskGone, nt.opened, nt.fresh = false, false, false
		l.rerun, l.call = q, call && ev.Kind == evtchn.KindHypercall
		return
	}
	if nt.fresh {
		nt.fresh = false
		if p.policy.Bind == evtchn.BindToBinder && v >= 0 {
			p.bindHere(l, ev)
			return
		}
	}
	own, pend := owner(p.pre, q), p.pre.Pending(q)
	calls := p.calls(own, v)
	target := v
	if calls {
		target = notify(p.pre, q)
	}
	switch {
	case v < 0 || own < 0 && p.policy.Unmask != evtchn.UnmaskLocal && p.policy.Unmask != evtchn.UnmaskAlways:
		p.emit(*ev)
		return
	case ev.Inferred() && pend != evtchn.One && p.alike(q):
		p.emit(*ev) // which way it went was not seen, and it told nobody
		return
	case calls == call && !p.remote(own, v) && p.alike(q) && (pend != evtchn.One || p.told(target, q)):
		p.emit(*ev)
		return
	case p.remote(own, v) && !call && pend != evtchn.One && p.alike(q):
		p.emit(*ev) // it does the same as a local one if the port is not pending
		return
	case p.remote(own, v) && p.b.ipi[own] == evtchn.NoPort && !p.findIPI(own):
		if pend == evtchn.One {
			p.out.NoIPI++
		}
		p.emit(*ev)
		return
	}
	if pend == evtchn.Unknown {
		p.out.Unknown++
		if call && p.drops(own, v) {
			p.out.Undecided++
		}
	}
	p.depart(ev)
	up := own >= 0 && p.pre.V[own].Up == evtchn.One
	p.seed(q)
	if p.pre.Masked(q) == evtchn.Unknown {
		p.b.set(evtchn.KindMaskTAS, q, 0, 0, 0) // why else unmask it?
	}
	p.b.begin(v, evtchn.OpUnmask, q, 0, 0)
	kicked := p.play(ev, q, 0)
	l.rerun, l.call = q, call && ev.Kind == evtchn.KindHypercall
	if p.remote(own, v) && pend == evtchn.One && !kicked && !up && !p.pre.PortAt(q).Request {
		nt.unkicked, nt.unclear = true, p.pre.V[own].Up == evtchn.One
	}
	if pend == evtchn.One {
		p.log.told(p, ev, q, "unmask")
	} else if call && p.drops(own, v) {
		nt.unsure, nt.unmasked = true, ev.Time
	}
}

// calls reports whether the policy unmasks by a hypercall there.
func (p *Prediction) calls(own, v evtchn.VCPU) bool {
	return p.policy.Unmask == evtchn.UnmaskAlways || p.policy.Unmask == evtchn.UnmaskHypercall && own != v
}

// drops reports whether by the policy a pending port that is unmasked there may go unnoticed: only the vcpu that unmasks it is told, and
// passes it over; or its own vcpu's bits are set, and nobody kicks that.
func (p *Prediction) drops(own, v evtchn.VCPU) bool {
	switch p.policy.Unmask {
	case evtchn.UnmaskLocal:
		return own != v && p.policy.Upcall < evtchn.UpcallAny
	case evtchn.UnmaskRemoteUp, evtchn.UnmaskRemoteSel:
		return own != v
	}
	return false
}

// remote reports whether the policy tells the owner by an IPI event there.
func (p *Prediction) remote(own, v evtchn.VCPU) bool {
	return p.policy.Unmask >= evtchn.UnmaskRemoteUp && own != v
}

// takeMove is the hypercall that binds a port to another vcpu. How a port moves is the captured kernel's business, and is taken as it was
// observed, except where the policy does more: it raises the port again on its new vcpu, or keeps it masked where the capture did not.
func (p *Prediction) takeMove(l *lane, ev *evtchn.Event) {
	q, to := ev.Port, evtchn.VCPU(int16(ev.Args[2]))
	if p.policy.Rebind == evtchn.Rebind2005 || p.pre.Masked(q) != evtchn.Zero || p.pre.Pending(q) != evtchn.One || to < 0 || int(to) >= len(p.cpus) {
		p.emit(*ev)
		return
	}
	p.depart(ev)
	p.seed(q)
	p.b.begin(ev.VCPU, evtchn.OpAffinity, q, uint64(to), 0)
	p.play(ev, q, 0)
	l.rerun, l.call, l.moved = q, true, q
	p.log.told(p, ev, q, "move")
}
