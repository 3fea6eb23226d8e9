package analyze

import (
	"fmt"

	"github.com/evtrace/evtrace/evtchn"
)

// tie is an unmask of which the capture does not tell whether it came before or after a step of another vcpu, where that matters.
type tie struct {
	step              // vcpu: who unmasked; target: the other
	kind  evtchn.Kind // of the other's step
	event evtchn.Seq  // that step, if it was taken to come first
	other bool        // the other order has the port pending, and exposed in vain
}

// noteTie keeps a tie. One that makes the exposure under way doubtful is judged with it; one that says that there may have been an
// exposure is judged when the port is handled next.
func (a *Analyzer) noteTie(ev *evtchn.Event, target evtchn.VCPU, t *portTrack) {
	e := tie{step: a.step(ev, target), kind: evtchn.Kind(ev.Args[1]), event: evtchn.Seq(ev.Args[2]), other: ev.Res == 1}
	if e.other {
		t.maybe = e
	} else {
		t.tie = e
	}
}

// tied finds the tie on which all exposures of the finding rest.
func (d *draft) tied() tie {
	var first tie
	for i := range d.links {
		l := &d.links[i]
		if !l.tie.ok() {
			return tie{}
		}
		if !first.ok() {
			first = l.tie
		}
	}
	return first
}

// tieOpen reports whether an exposure that may have been is not ruled out by how the port was handled: by an upcall that was made
// for it, as after a send that found it unmasked; or before its vcpu had passed it over.
func (a *Analyzer) tieOpen(p evtchn.Port, t *portTrack, pk *pick) bool {
	if !t.maybe.ok() || t.maybe.seq < t.unmask.seq {
		return false
	}
	if t.passed.ok() {
		return true
	}
	by := a.rescuer(p, pk)
	return by != p && by != evtchn.NoPort && pk.at-t.maybe.at > a.slowest
}

// undecidedTie reports an episode that may have been exposed in vain.
func (a *Analyzer) undecidedTie(t *portTrack, p evtchn.Port, e *ending) {
	d := a.newDraft(p, t, a.state.PortAt(p))
	d.cause, d.unnoticed, d.vcpu = CauseMaskedElsewhere, t.maybe.step, t.maybe.vcpu
	if !d.exposed {
		d.exposed, d.exposedAt = true, t.maybe.at
	}
	e.kind, e.perhaps, e.tied, e.passed = KindUnknown, true, t.maybe, t.passed
	a.emit(t, d, e)
	t.maybe, t.passed, t.passes = tie{}, step{}, 0
}

// tellTie says what the two orders of records with the same time lead to.
func (w *writer) tellTie() {
	e := &w.e.tied
	other := e.kind.String()
	switch e.kind {
	case evtchn.KindPendTAS:
		other = "send"
	case evtchn.KindPendClear:
		other = "acknowledgement"
	case evtchn.KindSelXchg:
		other = "scan"
	case evtchn.KindOwnerWrite:
		other = "bind"
	}
	seq := ""
	if e.event != 0 {
		seq = fmt.Sprintf(" (#%d)", e.event)
	}
	told := "its vcpu"
	if w.d.owner >= 0 {
		told = fmt.Sprintf("vcpu %d", w.d.owner)
	}
	head := fmt.Sprintf("Undecided: the capture does not tell whether the %s on vcpu %d%s or the unmask on vcpu %d %s came first.", other, e.target, seq, e.vcpu, w.ref(&e.step))
	switch e.kind {
	case evtchn.KindPendTAS:
		w.say("%s If the send came first, the port was pending, and it was unmasked in vain; if the unmask came first, the send told %s.", head, told)
	case evtchn.KindPendClear:
		w.say("%s If the acknowledgement came first, the port was not pending any more; if the unmask came first, it was unmasked in vain.", head)
	default:
		w.say("%s If the one came first, the port was unmasked in vain; if the other did, %s was told.", head, told)
	}
}

// tellPerhaps tells how a port was handled that may have been unmasked in vain.
func (w *writer) tellPerhaps() {
	e := w.e
	if p := &e.passed; p.ok() {
		w.say("vcpu %d, to which the port belongs, took an upcall after that %s and did not handle it.", p.vcpu, w.at(p))
	}
	switch n := &e.noticed; {
	case n.ok():
		with := ""
		if e.rescuer != evtchn.NoPort {
			with = fmt.Sprintf(", in a scan that port %d may have been the reason for", e.rescuer)
		}
		w.say("vcpu %d handled it %s, %s later%s.", n.vcpu, w.at(n), w.a.clock.span(n.at-w.d.exposedAt), with)
	case e.closed.ok():
		w.say("It was not handled until the port was closed %s.", w.at(&e.closed))
	default:
		w.say("It was not handled until the trace ends at %s.", w.a.clock.when(w.a.now))
	}
}
