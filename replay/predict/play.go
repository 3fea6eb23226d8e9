package predict

import "github.com/evtrace/evtrace/evtchn"

// seed puts a port of the prediction, and what belongs to it, into the bench.
func (p *Prediction) seed(qs ...evtchn.Port) {
	p.b.clear()
	for _, q := range qs {
		p.b.port(p.pre, q, !p.note(q).fresh)
	}
	for _, q := range p.b.ipi {
		if q != evtchn.NoPort {
			p.b.port(p.pre, q, true)
		}
	}
	p.b.vcpus(p.pre)
}

// findIPI learns which port reaches a vcpu by an IPI event: the lowest IPI port of it that is not masked.
func (p *Prediction) findIPI(v evtchn.VCPU) bool {
	if v < 0 {
		return false
	}
	if p.b.ipi[v] != evtchn.NoPort {
		return true
	}
	for i := range p.pre.P {
		q := evtchn.Port(i)
		if ps := &p.pre.P[i]; ps.Status == evtchn.PortIPI && ps.Notify == v && p.pre.Masked(q) != evtchn.One {
			p.b.clear()
			p.b.learnIPI(v, q)
			return true
		}
	}
	return false
}

// silent are the steps that a capture never shows, and that change nothing that matters here.
func silent(k evtchn.Kind) bool {
	switch k {
	case evtchn.KindRunRead, evtchn.KindBlockedTAC, evtchn.KindOwnerRead, evtchn.KindOpDone, evtchn.KindPollRead, evtchn.KindPollTAC,
		evtchn.KindActiveXchg, evtchn.KindActiveClear, evtchn.KindUserSet, evtchn.KindIRQSet, evtchn.KindNotifyCheck, evtchn.KindUmaskWrite,
		evtchn.KindReasonSet, evtchn.KindReasonClear, evtchn.KindUpRead:
		return true
	}
	return false
}

// play gives out what the bench has done, from an index on, in the place of an event of the capture, and sees to it that whoever was told
// looks. It reports whether anybody was.
func (p *Prediction) play(at *evtchn.Event, q evtchn.Port, from int) (kicked bool) {
	first := true
	for i := range p.b.out {
		ev := p.b.out[i]
		if i < from || silent(ev.Kind) {
			continue
		}
		ev.Time, ev.Dom, ev.Flags = at.Time, at.Dom, ev.Flags|evtchn.FlagInferred
		if ev.VCPU < 0 {
			ev.VCPU, ev.Ctx = at.VCPU, at.Ctx
		} else if ev.Ctx.Class() == evtchn.CtxTask {
			ev.Ctx = at.Ctx
		}
		if ev.Kind == evtchn.KindHypercall { // as a capture shows it: on the caller's side
			ev.Ctx, ev.Args[1] = at.Ctx, uint64(ev.Port)
		}
		t := ev.Target()
		if ev.Kind == evtchn.KindIPI && t == at.VCPU {
			continue // it looks on its way back
		}
		if first {
			p.instead(&ev)
			first = false
		}
		was := evtchn.Zero
		if t >= 0 {
			was = p.pre.V[t].Up
		}
		p.emit(ev)
		switch {
		case ev.Kind == evtchn.KindUpTAS, ev.Kind == evtchn.KindUpWrite && ev.Args[1] == 1 && t == ev.VCPU:
			if ev.Res == 1 && was != evtchn.One && ev.Kind == evtchn.KindUpTAS {
				break
			}
			if ev.Kind == evtchn.KindUpTAS && ev.Res == 1 && p.setHere(i, t) {
				break // the operation's own store to UP: nobody kicks
			}
			p.tell(t, at, ev.Port)
			kicked = true
		}
	}
	p.b.clear()
	return kicked
}

// setHere reports whether the bench has stored to the vcpu's UP before its event i, on behalf of another.
func (p *Prediction) setHere(i int, v evtchn.VCPU) bool {
	for _, ev := range p.b.out[:i] {
		if ev.Kind == evtchn.KindUpWrite && ev.Args[1] == 1 && ev.Target() == v && ev.VCPU != v {
			return true
		}
	}
	return false
}

// tell makes a vcpu look after a time drawn from those that the capture shows.
func (p *Prediction) tell(v evtchn.VCPU, at *evtchn.Event, q evtchn.Port) {
	path := PathKick
	if v == at.VCPU {
		path = PathOwn
	}
	d := p.samples.Of(v, path)
	if d.N() == 0 {
		p.out.NoSamples++
	}
	p.out.Drawn = true
	p.looks.push(look{at: p.now + d.draw(p.opt.Seed, at.Seq, q), v: v, dist: d, path: path})
	p.log.last, p.log.lastV = d, v
}
