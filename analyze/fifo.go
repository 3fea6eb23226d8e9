package analyze

import "github.com/evtrace/evtrace/evtchn"

// With the FIFO ABI an event is told by linking its port into a queue of its vcpu, and no probe records the queues. What is known is
// when a port was raised, whether it was masked, and when and where it was handled.

// elsewhere reports whether a delivery was on a vcpu to which the port had not been bound any more when it was raised. An event that
// was raised before the bind may still stand in a queue of the vcpu before, and is handled there.
func (a *Analyzer) elsewhere(t *portTrack, pk *pick) bool {
	ps := a.state.PortAt(pk.port)
	o := &t.owned
	return a.gaps == 0 && ps.Owner >= 0 && ps.Owner != pk.vcpu && o.ok() && !o.inferred() && o.target == ps.Owner &&
		t.set.seq > o.seq && t.set.at > o.at && t.set.vcpu >= 0
}

// unhandled reports a port that was pending and unmasked and was not handled until the end.
func (a *Analyzer) unhandled(p evtchn.Port, t *portTrack) {
	d := a.newDraft(p, t, a.state.PortAt(p))
	a.emit(t, d, &ending{kind: KindUnknown, queued: true, passed: t.passed})
}

// tellQueued tells of such a port.
func (w *writer) tellQueued() {
	t, d, c := w.t, w.d, w.a.clock
	if x := &t.expose; x.ok() && x.seq != d.pending.seq {
		w.say("It has been unmasked since %s.", w.at(x))
	}
	w.say("It was not handled until the trace ends at %s, %s later.", c.when(w.a.now), c.span(w.a.now-d.exposedAt))
	if p := &w.e.passed; p.ok() {
		w.say("vcpu %d, to which it is bound, took %s meanwhile, the first %s.", p.vcpu, count(t.passes, "upcall"), w.ref(p))
	}
	w.say("Undecided: whether it stands in a queue of its vcpu is not recorded.")
}

// untold says what the mask kept a notification from.
func (w *writer) untold() string {
	if w.a.fifo {
		return "nobody was told"
	}
	return "no selector was set"
}
