package predict

import "github.com/evtrace/evtrace/evtchn"

// bindUnmasked is a bind for which the port is unmasked beforehand: what Xen raises there goes through.
func (p *Prediction) bindUnmasked(ev *evtchn.Event) {
	q := ev.Port
	p.depart(ev)
	p.b.clear()
	from := p.b.bind(ev.VCPU, q)
	p.note(q).opened = true
	var raise []evtchn.Event
	for i := range p.b.out {
		if k := p.b.out[i].Kind; i < from && k == evtchn.KindMaskClear {
			raise = append(raise, p.b.out[i])
		}
	}
	for i := range raise {
		raise[i].Time, raise[i].Ctx, raise[i].Flags = ev.Time, evtchn.CtxTask, evtchn.FlagInferred
		p.instead(&raise[i])
		p.emit(raise[i])
	}
	p.emit(*ev)
	end := len(p.b.out)
	for i := range p.b.out {
		if p.b.out[i].Kind == evtchn.KindReturn {
			end = i
			break
		}
	}
	p.b.out = p.b.out[:end]
	p.play(ev, q, from)
	p.log.told(p, ev, q, "bind")
}

// bindHere is the first unmask of a port that the policy binds to the vcpu which runs it.
func (p *Prediction) bindHere(l *lane, ev *evtchn.Event) {
	q := ev.Port
	p.depart(ev)
	p.b.clear()
	from := p.b.bind(ev.VCPU, q)
	for from < len(p.b.out) && p.b.out[from].Kind != evtchn.KindReturn {
		from++
	}
	p.play(ev, q, from+1)
	l.rerun, l.call = q, ev.Kind == evtchn.KindHypercall
	p.log.told(p, ev, q, "bind")
}
