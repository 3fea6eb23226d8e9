package predict

import "github.com/evtrace/evtrace/evtchn"

// enter passes on the entry of an upcall.
func (p *Prediction) enter(ev evtchn.Event) {
	p.cpus[ev.VCPU].handled = 0
	ev.Kind, ev.Port, ev.Res, ev.Args, ev.Ctx = evtchn.KindUpcall, evtchn.NoPort, 0, [3]uint64{}, evtchn.CtxUpcall
	p.emit(ev)
}

// leave ends an upcall, after a look that became due during it.
func (p *Prediction) leave(ev *evtchn.Event) {
	v := ev.VCPU
	if v < 0 || !p.pre.V[v].InUpcall {
		return
	}
	c := &p.cpus[v]
	if c.again {
		c.again = false
		p.scan(ev, 0)
	}
	out := *ev
	out.Args[0] = c.handled
	p.emit(out)
	c.handled = 0
}

// takeScan is the taking of SEL.
func (p *Prediction) takeScan(ev *evtchn.Event) {
	v := ev.VCPU
	if v < 0 {
		return
	}
	c := &p.cpus[v]
	c.seen = p.obs.V[v].Sel
	if !p.pre.V[v].InUpcall {
		if p.obs.V[v].InUpcall && p.pre.V[v].Up != evtchn.One {
			c.took = 0
			return // the upcall was left out
		}
		p.enter(*ev)
	}
	p.scan(ev, c.seen)
}

// scan takes the vcpu's SEL, and handles what the capture's own scan, which takes the words seen, will not.
func (p *Prediction) scan(at *evtchn.Event, seen uint64) {
	v := at.VCPU
	c := &p.cpus[v]
	took := p.pre.V[v].Sel
	c.took = took
	xchg := evtchn.Event{Kind: evtchn.KindSelXchg, Time: at.Time, VCPU: v, Ctx: evtchn.CtxUpcall, Dom: at.Dom, Res: took, Flags: evtchn.FlagInferred}
	xchg.Args[0] = ^took
	extra := p.extra(v, took, seen)
	p.emit(xchg)
	if len(extra) > 0 {
		p.handle(at, extra, took)
	}
}

// extra lists the ports that a scan of the words taken finds in the prediction, and that the capture's scan does not, or treats otherwise.
func (p *Prediction) extra(v evtchn.VCPU, took, seen uint64) []evtchn.Port {
	var qs []evtchn.Port
	for _, q := range p.pre.ExposedPorts() {
		w := p.pre.Word(q)
		if took>>(w&63)&1 == 0 {
			continue
		}
		own := owner(p.pre, q)
		foreign := own >= 0 && own != v
		if p.obs.Exposed(q) && seen>>(w&63)&1 == 1 && !(foreign && p.policy.Upcall >= evtchn.UpcallAny) {
			continue // the capture shows what comes of it
		}
		if own < 0 || p.note(q).handed > maxHanded {
			continue
		}
		qs = append(qs, q)
	}
	return qs
}

// handle lets the bench scan for ports, and gives out what it does with them.
func (p *Prediction) handle(at *evtchn.Event, qs []evtchn.Port, took uint64) {
	v := at.VCPU
	var requests []evtchn.Port
	if p.policy.Unmask == evtchn.UnmaskRequest && p.findIPI(v) {
		for _, q := range qs {
			if q == p.b.ipi[v] {
				requests = p.requested(v)
			}
		}
	}
	p.seed(append(append([]evtchn.Port(nil), qs...), requests...)...)
	for _, q := range requests {
		p.ask(q, v)
	}
	for _, q := range qs {
		p.b.set(evtchn.KindSelTAS, evtchn.NoPort, v, uint64(p.pre.Word(q)), 0)
	}
	circles := p.b.circles
	p.b.look(v)
	if p.b.circles > circles {
		p.out.Circles++
		for _, q := range qs {
			p.note(q).handed = maxHanded + 1
		}
		return
	}
	p.playLook(at, qs)
}

// requested lists the ports that somebody has asked the vcpu to look at.
func (p *Prediction) requested(v evtchn.VCPU) []evtchn.Port {
	var qs []evtchn.Port
	for _, q := range p.pre.ExposedPorts() {
		if p.pre.PortAt(q).Request && owner(p.pre, q) == v && q != p.b.ipi[v] {
			qs = append(qs, q)
		}
	}
	return qs
}

// ask repeats on the bench, in silence, the unmask that asked a vcpu to look at a port: the list of requests is the guest's own, and no
// state holds it.
func (p *Prediction) ask(q evtchn.Port, v evtchn.VCPU) {
	by := evtchn.VCPU(0)
	if v == 0 {
		by = 1
	}
	if int(by) < len(p.cpus) {
		p.b.begin(by, evtchn.OpUnmask, q, 0, 0)
	}
}

// playLook gives out an upcall of the bench as part of one of the prediction.
func (p *Prediction) playLook(at *evtchn.Event, qs []evtchn.Port) {
	v := at.VCPU
	c := &p.cpus[v]
	handler, acking := false, false
	for i := range p.b.out {
		ev := p.b.out[i]
		switch ev.Kind {
		case evtchn.KindUpcallExit, evtchn.KindUpcall:
			continue
		case evtchn.KindUpWrite:
			if ev.Args[1] == 0 {
				continue
			}
		case evtchn.KindSelXchg:
			if i < 4 {
				continue // given out with the scan
			}
		case evtchn.KindSweepRead:
			if ev.Res == 0 {
				continue
			}
		case evtchn.KindWordRead:
			if ev.Res == 0 && !p.interests(qs, ev.Args[0]) {
				continue
			}
			ev.Args[2] = ^uint64(0)
			for _, q := range qs {
				if uint64(p.pre.Word(q)) == ev.Args[0] {
					ev.Args[2] &^= 1 << (uint(q) % uint(p.pre.WordBits))
				}
			}
			ev.Args[2] &^= ev.Res | ev.Args[1]
		}
		// Acknowledging is taken as it was observed: the bench's handlers do not mask.
		switch ev.Kind {
		case evtchn.KindDeliver:
			handler, acking = true, false
		case evtchn.KindHandled:
			handler = false
		case evtchn.KindWordRead, evtchn.KindSelXchg, evtchn.KindRequestPop, evtchn.KindSweepRead:
			acking = false
		}
		if acking || silent(ev.Kind) || handler && ev.Kind == evtchn.KindMaskTAS {
			continue
		}
		acking = ev.Kind == evtchn.KindHandled // and what follows is its unmask
		ev.Time, ev.Dom, ev.Flags = at.Time, at.Dom, ev.Flags|evtchn.FlagInferred
		if ev.Kind == evtchn.KindDeliver {
			c.handled++
			if own := owner(p.pre, ev.Port); own >= 0 && own != v {
				p.out.WrongVCPU++
			}
			p.picked(ev.Port, v)
		}
		p.instead(&ev)
		p.emit(ev)
		if ev.Kind == evtchn.KindUpTAS && ev.Res != 1 {
			// A port whose vcpu Xen and the guest do not agree about is handed round for ever.
			if nt := p.note(ev.Port); nt.handed < maxHanded {
				nt.handed++
				p.tell(ev.Target(), at, ev.Port)
			} else if nt.handed == maxHanded {
				nt.handed++
				p.out.Circles++
			}
		}
	}
	p.b.clear()
}

// maxHanded is how often a port is handed on in the prediction before it is given up.
const maxHanded = 16

func (p *Prediction) interests(qs []evtchn.Port, w uint64) bool {
	for _, q := range qs {
		if uint64(p.pre.Word(q)) == w {
			return true
		}
	}
	return false
}

// takeDelivery is the start of a handler in the capture. It does not start in the prediction if the port is not pending there, or if its
// vcpu has no reason to look at it.
func (p *Prediction) takeDelivery(ev *evtchn.Event) {
	q, v := ev.Port, ev.VCPU
	p.log.noticed(p, q, ev.Time, v)
	if v < 0 {
		p.emit(*ev)
		return
	}
	c := &p.cpus[v]
	w := p.pre.Word(q) & 63
	own := owner(p.pre, q)
	switch {
	case p.pre.Pending(q) == evtchn.Zero,
		p.pre.Masked(q) == evtchn.One && p.obs.Masked(q) != evtchn.One,
		p.pre.Pending(q) == evtchn.One && c.seen>>w&1 == 1 && c.took>>w&1 == 0,
		own >= 0 && own != v && owner(p.obs, q) != own:
		c.gone = q
		return
	}
	if !p.pre.V[v].InUpcall {
		p.enter(*ev)
	}
	c.handled++
	p.picked(q, v)
	p.emit(*ev)
}

// picked notes that a port is about to be handled in the prediction.
func (p *Prediction) picked(q evtchn.Port, v evtchn.VCPU) {
	nt := p.note(q)
	nt.handed = 0
	if nt.unkicked {
		if nt.unclear {
			p.out.Unclear++
		} else {
			p.out.Late++
		}
		nt.unkicked, nt.unclear = false, false
	}
	p.log.picked(p, q, v, p.drawn)
}

// sweep is the tick's look at every word: what the vcpu would otherwise not notice.
func (p *Prediction) sweep(ev *evtchn.Event) {
	v := ev.VCPU
	if ps := p.pre.PortAt(ev.Port); ps.Status != evtchn.PortVIRQ || ps.Peer != evtchn.VIRQTimer || !p.pre.V[v].InUpcall {
		return
	}
	var qs []evtchn.Port
	for _, q := range p.pre.ExposedPorts() {
		if owner(p.pre, q) == v && (p.pre.Unnoticed(q) || !p.alike(q)) && q != ev.Port {
			qs = append(qs, q)
		}
	}
	if len(qs) == 0 {
		return
	}
	p.b.clear()
	p.b.learnTimer(v)
	p.b.clear()
	for _, q := range qs {
		p.b.port(p.pre, q, !p.note(q).fresh)
	}
	p.b.tick(v)
	p.log.swept = true
	p.playLook(ev, nil)
	p.log.swept = false
}
