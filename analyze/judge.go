package analyze

import "github.com/evtrace/evtrace/evtchn"

// settled looks at a port that the event has made exposed, or unnoticed.
func (a *Analyzer) settled(p evtchn.Port, ev *evtchn.Event) {
	ps := a.state.PortAt(p)
	if ps.ExposedSeq != ev.Seq && ps.UnnoticedSeq != ev.Seq || ev.Kind == evtchn.KindSnapBits {
		return
	}
	t := a.port(p)
	st := a.step(ev, ev.Target())
	if ps.ExposedSeq == ev.Seq {
		t.expose = st
		if a.opt.Episode != nil {
			a.noteUse(p, t)
		}
		t.addExposure(ev.Time)
	}
	if ps.UnnoticedSeq == ev.Seq && !t.delivered {
		a.unnoticed(p, t, ps, st)
	}
}

// unnoticed opens a finding, or adds one more signalling in vain to that which is open.
func (a *Analyzer) unnoticed(p evtchn.Port, t *portTrack, ps *evtchn.PortState, st step) {
	d := t.draft
	if d == nil {
		a.sinceBefore(t)
		d = a.newDraft(p, t, ps)
		t.draft = d
	}
	l := a.link(p, t, ps, st)
	d.add(l)
	if !d.looked { // nobody had looked away before: this is where it happened
		d.looked = true
		d.unnoticed, d.vcpu, d.owner, d.cause = st, l.vcpu, ps.Owner, l.cause
	}
}

// add adds a signalling in vain.
func (d *draft) add(l link) {
	n := len(d.links)
	switch {
	case n == 0:
		d.vcpu, d.cause = l.vcpu, l.cause
	case d.links[n-1].sel.seq == l.sel.seq && d.links[n-1].unmask.seq == l.unmask.seq:
		return // nothing new was done for the port
	case n == maxLinks:
		d.links[n-1] = l // the last one matters more than those in between
		d.more++
		return
	}
	d.links = append(d.links, l)
}

// noteMasked looks at an exposed port that is masked before it was picked. If nobody who was told of it accepts it, the telling was
// in vain, though nobody has looked away yet; whoever unmasks it can only make good for it.
func (a *Analyzer) noteMasked(ev *evtchn.Event, t *portTrack) {
	p := ev.Port
	ps := a.state.PortAt(p)
	if ev.Res == 0 && !t.delivered && t.expose.ok() && a.state.Pending(p) == evtchn.One && !a.signalled(p, ps) {
		a.sinceBefore(t)
		a.inVain(t, ps, t.expose.at, a.step(ev, ev.VCPU))
	}
}

// signalled reports whether somebody is about to be told of the port, or was who may accept it; or else nobody at all was.
func (a *Analyzer) signalled(p evtchn.Port, ps *evtchn.PortState) bool {
	if a.anyVCPU || a.state.Owed(p) || ps.Request || ps.Own.Empty() {
		return true
	}
	for v := ps.Own.Next(0); v != evtchn.NoVCPU; v = ps.Own.Next(v + 1) {
		if a.state.Accepts(v, p) != evtchn.Zero && !a.state.Heedless(v) {
			return true
		}
	}
	return false
}

// inVain opens a finding, or adds to it, about a signalling that only wrong vcpus know of, and have not looked at yet. over is the
// step that masked the port again, if one did.
func (a *Analyzer) inVain(t *portTrack, ps *evtchn.PortState, exposedAt evtchn.Time, over step) {
	p := t.sel.port
	st := t.sel
	if t.stop.seq > st.seq {
		st = t.stop
	}
	if !st.ok() {
		return
	}
	d := t.draft
	if d == nil {
		d = a.newDraft(p, t, ps)
		d.exposed, d.exposedAt, d.unnoticed = true, exposedAt, st
		t.draft = d
	}
	l := a.link(p, t, ps, st)
	l.xchg, l.vain, l.over = step{}, true, over
	d.add(l)
}

func (a *Analyzer) newDraft(p evtchn.Port, t *portTrack, ps *evtchn.PortState) *draft {
	return &draft{port: p, owner: ps.Owner, pending: t.set, exposed: ps.ExposedSeq != 0, exposedAt: ps.ExposedAt,
		vcpu: evtchn.NoVCPU, cause: CauseUnknown}
}

// pick notes what is true when a port is picked.
func (a *Analyzer) pick(ev *evtchn.Event, target evtchn.VCPU, t *portTrack) pick {
	s := a.state
	p := ev.Port
	ps := s.PortAt(p)
	pk := pick{step: a.step(ev, target), own: ps.Own.Has(ev.VCPU), exposed: ps.ExposedSeq != 0, exposedAt: ps.ExposedAt, exposedBy: ps.ExposedSeq}
	if !s.Observed && ps.Owner != ev.VCPU && s.Accepts(ev.VCPU, p) == evtchn.Zero {
		pk.alien = t.accepts.seq < a.v[ev.VCPU].look.seq
	}
	pk.lucky = pk.exposed && !pk.own && !a.signalled(p, ps)
	return pk
}

// settlePick judges a delivery that waited for the vcpu's next event: one that finds the handler running elsewhere undoes it.
func (a *Analyzer) settlePick(ev *evtchn.Event) {
	vt := &a.v[ev.VCPU]
	pk := &vt.picked
	pk.pending = false
	if ev.Kind == evtchn.KindActiveXchg && ev.Port == pk.port && ev.Res == 1 {
		return
	}
	a.deliver(a.port(pk.port), pk)
}

// deliver judges the picking of a port.
func (a *Analyzer) deliver(t *portTrack, pk *pick) {
	p := pk.port
	a.picked(t)
	vt := &a.v[pk.vcpu]
	t.stats.add(pk, pk.exposed && !t.delivered && !t.hole.ok())
	exact := !a.state.Observed && a.gaps == 0
	if exact {
		if !t.armed && t.pickedS.ok() {
			a.violation(KindDuplicate, CauseRepeated, t, pk)
		}
		if t.running != evtchn.NoVCPU && t.running != pk.vcpu {
			a.violation(KindConcurrent, CauseRepeated, t, pk)
		}
		if pk.alien {
			a.violation(KindWrongVCPU, CauseNotAccepted, t, pk)
		}
	}
	if a.fifo && a.elsewhere(t, pk) {
		a.violation(KindWrongVCPU, CauseNotAccepted, t, pk)
	}
	exposedAt, exposed, by := pk.exposedAt, pk.exposed, pk.exposedBy
	if t.draft != nil && t.draft.exposed {
		exposedAt, exposed, by = t.draft.exposedAt, true, 0
	}
	t.handledAt, t.used = pk.seq, true
	if exposed && !t.delivered && !t.hole.ok() {
		a.addLatency(pk, exposedAt, by)
		a.timed(t, pk, exposedAt)
		if t.draft == nil && !pk.lucky {
			a.slowest = max(a.slowest, pk.at-exposedAt)
		}
	}
	switch {
	case t.draft != nil:
		a.closeNoticed(t, pk)
	case pk.lucky && !t.delivered:
		a.inVain(t, a.state.PortAt(p), pk.exposedAt, step{})
		if t.draft == nil {
			break
		}
		a.closeNoticed(t, pk)
	case !t.delivered && a.tieOpen(p, t, pk):
		e := ending{noticed: pk.step, rescuer: a.rescuer(p, pk)}
		if e.rescuer == p {
			e.rescuer = evtchn.NoPort
		}
		a.undecidedTie(t, p, &e)
	case t.unsure.ok() && exposed && !t.delivered && !pk.own && a.rescuer(p, pk) != evtchn.NoPort && a.rescuer(p, pk) != p:
		a.undecided(t, &pk.step)
	case exposed && !t.delivered && a.late(pk, exposedAt):
		d := a.newDraft(p, t, a.state.PortAt(p))
		d.exposed, d.exposedAt, d.cause = true, exposedAt, CauseSlow
		a.emit(t, d, &ending{kind: KindLate, noticed: pk.step, late: true})
	}
	t.delivered, t.armed, t.pickedS = true, false, pk.step
	t.maybe, t.passed, t.passes = tie{}, step{}, 0
	a.stopRunning(vt, pk.vcpu)
	t.running, t.handled, t.overrun = pk.vcpu, step{}, 0
	vt.running = p
}

// rescuer is the port for which the SEL bit was set that made the vcpu read the word.
func (a *Analyzer) rescuer(p evtchn.Port, pk *pick) evtchn.Port {
	return a.state.V[pk.vcpu].ScanBy[a.state.Word(p)]
}

// closeNoticed ends a stretch that somebody noticed in the end.
func (a *Analyzer) closeNoticed(t *portTrack, pk *pick) {
	d := t.draft
	e := ending{kind: KindLate, noticed: pk.step}
	vt := &a.v[pk.vcpu]
	word := a.state.Word(d.port)
	switch {
	case vt.look.kind == evtchn.KindSweepRead && vt.look.arg == uint64(word):
		e.swept = true
		e.rescue = vt.look
	case pk.own && d.lastCause() == CauseKickMissing && t.sel.seq <= d.links[len(d.links)-1].look.seq:
		if vt.told.seq > d.links[len(d.links)-1].look.seq && vt.told.port != d.port {
			e.rescue, e.rescuer = vt.told, vt.told.port
		}
	case pk.own:
		e.rescue = t.sel
	default:
		if q := a.rescuer(d.port, pk); q != d.port {
			e.rescuer = q
		}
		if st := vt.setBy(word); st.ok() && st.port == e.rescuer {
			e.rescue = *st
		}
	}
	if q := e.rescuer; q != evtchn.NoPort {
		if qt := a.port(q); qt.set.ok() && qt.set.seq < pk.seq {
			e.ring = qt.set
		}
	}
	a.emit(t, d, &e)
	t.draft = nil
}

func (d *draft) lastCause() Cause {
	if len(d.links) == 0 {
		return d.cause
	}
	return d.links[len(d.links)-1].cause
}

// vanished ends a stretch of which the trace shows only that PEND has been cleared meanwhile.
func (a *Analyzer) vanished(t *portTrack, st step) {
	a.emit(t, t.draft, &ending{kind: KindUnknown, vanished: st})
	t.draft = nil
}

// undecided reports an episode that a vcpu may or may not have passed over.
func (a *Analyzer) undecided(t *portTrack, noticed *step) {
	p := t.unsure.port
	if noticed != nil {
		p = noticed.port
	}
	d := a.newDraft(p, t, a.state.PortAt(p))
	d.unnoticed, d.vcpu = t.unsure, t.unsure.vcpu
	e := ending{kind: KindUnknown, unsure: true}
	if noticed != nil {
		e.noticed = *noticed
	}
	a.emit(t, d, &e)
}

// noteClear judges the clearing of PEND.
func (a *Analyzer) noteClear(ev *evtchn.Event, target evtchn.VCPU, t *portTrack) {
	st := a.step(ev, target)
	a.cleared(t)
	t.handledAt = ev.Seq
	switch {
	case t.draft != nil && ev.VCPU >= 0:
		// Noticed by clearing: a capture may not show the delivery, and a poller has none.
		pk := pick{step: st, own: t.sel.ok() && t.sel.target == ev.VCPU && t.sel.seq > t.draft.links[len(t.draft.links)-1].look.seq}
		if t.draft.exposed {
			a.latency.add(st.at-t.draft.exposedAt, a.clock, 0, &st)
			a.timed(t, &pk, t.draft.exposedAt)
		}
		a.closeNoticed(t, &pk)
	case t.draft != nil:
		a.vanished(t, st)
	case !a.state.Observed && t.handled.ok() && t.overrun > 0:
		d := a.newDraft(ev.Port, t, a.state.PortAt(ev.Port))
		d.cause, d.unnoticed, d.vcpu, d.swallowed = CauseClearedBefore, st, ev.VCPU, uint64(t.overrun)
		a.emit(t, d, &ending{kind: KindLost, erased: t.handled})
	}
	t.handled = step{}
}

// noteClose judges the closing of a port.
func (a *Analyzer) noteClose(st step, t *portTrack) {
	if t.draft == nil && t.open && t.hole.ok() {
		a.gone(st.port, t, st)
	} else if t.draft == nil && t.open && t.maybe.ok() && t.passed.ok() {
		a.undecidedTie(t, st.port, &ending{closed: st})
	}
	t.maybe, t.passed, t.passes = tie{}, step{}, 0
	a.closed(t)
	if d := t.draft; d != nil {
		a.emit(t, d, &ending{kind: KindLost, closed: st})
		t.draft = nil
	}
	if t.drop != nil {
		if t.drop.closing {
			t.drop = nil // its user had let go of it already
		} else {
			a.closeDrop(t)
		}
	}
	t.begin(step{})
	t.unseen.mask = step{}
}

// noteDrop opens a finding about an event without a taker. It is reported when no more sends can fall to it.
func (a *Analyzer) noteDrop(st step, t *portTrack) {
	if t.drop != nil {
		a.closeDrop(t)
	}
	d := a.newDraft(st.port, t, a.state.PortAt(st.port))
	d.kind, d.cause, d.unnoticed, d.vcpu, d.closing = KindLost, CauseDropped, st, st.vcpu, t.closing
	if n := len(t.exposures); n > 0 && !d.exposed {
		d.exposed, d.exposedAt = true, t.exposures[n-1]
	}
	t.drop = d
}

func (a *Analyzer) closeDrop(t *portTrack) {
	a.emit(t, t.drop, &ending{kind: KindLost, dropped: t.pickedS})
	t.drop = nil
}

// violation reports a delivery that should not have been.
func (a *Analyzer) violation(kind Kind, cause Cause, t *portTrack, pk *pick) {
	d := a.newDraft(pk.port, t, a.state.PortAt(pk.port))
	d.exposed, d.exposedAt, d.cause = pk.exposed, pk.exposedAt, cause
	d.unnoticed, d.vcpu = step{}, evtchn.NoVCPU
	e := ending{kind: kind, noticed: pk.step, before: t.pickedS}
	if kind == KindWrongVCPU {
		e.before = a.v[pk.vcpu].look
	}
	a.emit(t, d, &e)
}

// Finish ends the trace and gives the report. The analyzer is of no use afterwards.
func (a *Analyzer) Finish() *Report {
	for i := range a.v {
		if pk := &a.v[i].picked; pk.pending {
			pk.pending = false
			a.deliver(a.port(pk.port), pk)
		}
	}
	if a.complete() {
		a.now = max(a.now, a.meta.Duration) // a recording that was cut off ends with its last event
	}
	a.finishRequests()
	for i, t := range a.ports {
		if t != nil {
			a.finishPort(evtchn.Port(i), t)
		}
	}
	a.tellEpisodes()
	a.finishUnseen()
	for i := range a.state.V {
		if a.state.V[i].InUpcall && !a.state.Observed {
			a.costs.Upcalls++
		}
	}
	return a.report()
}

// finishPort says what the end of the trace leaves of a port.
func (a *Analyzer) finishPort(p evtchn.Port, t *portTrack) {
	s := a.state
	exposed := s.Exposed(p)
	if t.shown.n > 0 {
		a.endShown(p, t, KindLost)
	}
	if a.ofDumps() && t.draft == nil {
		a.standing(p, t, false)
		return
	}
	unsure := t.draft == nil && exposed && !t.delivered && s.Observed && t.unsure.ok() &&
		a.now-s.PortAt(p).ExposedAt > evtchn.Time(a.latency.max)
	lacking := t.draft == nil && exposed && t.open && t.hole.ok()
	perhaps := t.draft == nil && exposed && t.open && t.maybe.ok() && t.passed.ok()
	queued := a.fifo && exposed && t.open && !lacking
	a.standing(p, t, !unsure && !lacking && !perhaps && !queued)
	if t.drop != nil {
		a.closeDrop(t)
	}
	switch {
	case t.draft != nil && s.Unnoticed(p) && a.tickDue(p, t):
		a.emit(t, t.draft, &ending{kind: KindLate, tickDue: true})
	case t.draft != nil && s.Unnoticed(p):
		e := ending{kind: KindLost}
		// A capture ends somewhere. What is not older than its slowest normal delivery may still have been on its way.
		if s.Observed && a.latency.count > 0 && a.now-t.draft.exposedAt <= evtchn.Time(a.latency.max) {
			e.kind, e.young = KindUnknown, true
		}
		a.emit(t, t.draft, &e)
	case t.draft != nil:
		a.emit(t, t.draft, &ending{kind: KindLate, again: !exposed, inFlight: exposed})
	case lacking:
		a.gone(p, t, step{})
	case queued && (t.passed.ok() || a.now-s.PortAt(p).ExposedAt > evtchn.Time(a.latency.max)):
		a.unhandled(p, t)
	case perhaps:
		a.undecidedTie(t, p, &ending{})
	case unsure:
		t.unsure.port = p
		a.undecided(t, nil)
	}
	t.draft = nil
}

// tickDue reports whether the owner's tick sweeps all words and has not come since the port went unnoticed: the next will find
// it.
func (a *Analyzer) tickDue(p evtchn.Port, t *portTrack) bool {
	o := a.state.PortAt(p).Owner
	if !a.sweeps || o < 0 || int(o) >= len(a.v) {
		return false
	}
	last := a.v[o].swept
	return last.ok() && last.seq < t.draft.unnoticed.seq
}
