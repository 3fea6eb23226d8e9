package analyze

import (
	"fmt"
	"slices"
	"strings"

	"github.com/evtrace/evtrace/evtchn"
)

// writer tells the story of a finding: sentences of which every link is an event, and the numbers of those events.
type writer struct {
	a        *Analyzer
	t        *portTrack
	d        *draft
	e        *ending
	why      []string
	evidence []evtchn.Seq
	deduced  []evtchn.Seq // of those, what is inferred
}

func (w *writer) say(format string, args ...any) { w.why = append(w.why, fmt.Sprintf(format, args...)) }

// ref cites an event, and makes it evidence.
func (w *writer) ref(st *step) string {
	if !st.ok() {
		return "(not in the trace)"
	}
	if !slices.Contains(w.evidence, st.seq) {
		w.evidence = append(w.evidence, st.seq)
		if st.inferred() {
			w.deduced = append(w.deduced, st.seq)
		}
	}
	if st.inferred() {
		return fmt.Sprintf("(#%d, inferred)", st.seq)
	}
	return fmt.Sprintf("(#%d)", st.seq)
}

// at gives the time of an event and cites it.
func (w *writer) at(st *step) string { return "at " + w.a.clock.when(st.at) + " " + w.ref(st) }

// vcpu names a vcpu and, where it is known, the task that ran on it.
func (w *writer) vcpu(st *step) string {
	if st.vcpu < 0 {
		return "Xen"
	}
	if n := st.task.Num(); st.task.Class() == evtchn.CtxTask && n < len(w.a.meta.Tasks) && w.a.meta.Tasks[n] != "" {
		return fmt.Sprintf("vcpu %d (task %s)", st.vcpu, w.a.meta.Tasks[n])
	}
	return fmt.Sprintf("vcpu %d", st.vcpu)
}

func (w *writer) selBit(v evtchn.VCPU) string {
	return fmt.Sprintf("SEL[%d] bit %d", v, w.a.state.Word(w.d.port))
}

// tell tells the whole story.
func (w *writer) tell() {
	d, e := w.d, w.e
	switch {
	case e.kind == KindDuplicate || e.kind == KindConcurrent || e.kind == KindWrongVCPU:
		w.tellViolation()
		return
	case d.cause == CauseDropped:
		w.tellDrop()
		return
	}
	w.tellSet()
	if d.cause == CauseClearedBefore && e.erased.ok() {
		w.say("Its handler was done %s; then PEND was cleared %s, and with it %s that had come in between.", w.at(&e.erased),
			w.ref(&d.unnoticed), count(d.swallowed, "send"))
		return
	}
	for i := range d.links {
		if i == len(d.links)-1 && d.more > 0 {
			w.say("The same happened %s more.", times(d.more))
		}
		if i > 0 {
			w.tellMove(&d.links[i-1], &d.links[i])
		}
		w.tellLink(&d.links[i], i > 0)
	}
	if e.late {
		w.tellSlow()
		return
	}
	if e.unsure {
		w.say("vcpu %d's upcall read word %d %s; the trace does not tell whether it saw port %d there.", d.vcpu,
			w.a.state.Word(d.port), w.at(&d.unnoticed), d.port)
	}
	switch {
	case d.swallowed == 1:
		w.say("1 more send was swallowed because PEND was already set.")
	case d.swallowed > 1:
		w.say("%s more sends were swallowed because PEND was already set.", group(d.swallowed))
	}
	if e.queued {
		w.tellQueued()
		return
	}
	if e.perhaps {
		w.tellTie()
		w.tellPerhaps()
		return
	}
	w.tellEnd()
	w.tellMissing()
}

// tellSet says who set PEND, and whether a selector was set with it.
func (w *writer) tellSet() {
	t, p := w.t, w.d.port
	set := &w.d.pending
	if !set.ok() {
		w.say("Port %d was pending already when the trace began.", p)
		return
	}
	masked := ""
	if t.stop.ok() && t.stop.seq > set.seq {
		masked = fmt.Sprintf(", while it was masked, so %s %s", w.untold(), w.ref2(set, &t.stop))
	} else if t.masked == evtchn.One {
		masked = ", while it was masked"
	}
	by := &t.raise
	switch {
	case t.atBind:
		w.say("Xen set port %d pending %s, as it does for every port that is being bound%s.", p, w.at(set), masked)
	case by.ok() && by.seq < set.seq && (set.ctx.Class() == evtchn.CtxForeign || set.ctx == evtchn.CtxNone):
		what := "A virtual interrupt"
		switch by.kind {
		case evtchn.KindSend:
			what = fmt.Sprintf("A send by domain %d", by.arg)
		case evtchn.KindPIRQ:
			what = "A physical interrupt"
		}
		w.say("%s %s set port %d pending %s%s.", what, w.ref(by), p, w.at(set), masked)
	case set.vcpu >= 0 && set.ctx.Class() == evtchn.CtxXen:
		w.say("A send by %s set port %d pending %s%s.", w.vcpu(set), p, w.at(set), masked)
	default:
		w.say("Port %d became pending %s%s.", p, w.at(set), masked)
	}
	slices.Sort(w.evidence)
}

// ref2 cites the second event; the first goes before it as evidence.
func (w *writer) ref2(first, second *step) string {
	_ = w.ref(first)
	return w.ref(second)
}

// tellLink tells of one signalling in vain.
func (w *writer) tellLink(l *link, again bool) {
	w.tellSignal(l, again)
	w.tellLook(l)
}

// tellMove tells that the port was bound to another vcpu between two times in vain.
func (w *writer) tellMove(before, l *link) {
	if l.owner < 0 || l.owner == before.owner || !l.owned.ok() {
		return
	}
	who := ""
	if l.owned.vcpu >= 0 {
		who = " by " + w.vcpu(&l.owned)
	}
	w.say("Then the port was bound to vcpu %d%s %s.", l.owner, who, w.at(&l.owned))
}

func (w *writer) tellSignal(l *link, again bool) {
	verb := "unmasked it"
	if again {
		verb += " again"
	}
	belongs := "; the trace does not say to which vcpu the port is bound"
	if l.owner >= 0 {
		belongs = fmt.Sprintf("; the port belongs to vcpu %d", l.owner)
	}
	if l.sel.ok() && l.sel.target == l.owner {
		belongs = ""
	}
	sel := &l.sel
	if l.unmask.ok() {
		who := w.vcpu(&l.unmask)
		if l.unmask.kind == evtchn.KindMaskTAC {
			who = "Xen, for " + who + ","
		}
		head := fmt.Sprintf("%s %s %s", capital(who), verb, w.at(&l.unmask))
		if l.asked.ok() && l.asked.seq < l.unmask.seq && l.cause == CauseNonOwner {
			head = fmt.Sprintf("%s read that the port is bound to vcpu %d %s and %s %s", capital(who), l.asked.arg, w.ref(&l.asked), verb, w.at(&l.unmask))
		}
		if l.found.ok() {
			head += fmt.Sprintf(": it found it pending %s", w.ref(&l.found))
		}
		switch {
		case !sel.ok() || sel.seq < l.unmask.seq:
			w.say("%s, and set nobody's selector for it.", head)
		case sel.guest() && sel.target == sel.vcpu:
			w.say("%s%s set its own selector, %s %s%s.", head, join(l.found.ok()), w.selBit(sel.target), w.ref(sel), belongs)
		default:
			w.say("%s%s set %s %s%s.", head, join(l.found.ok()), w.selBit(sel.target), w.ref(sel), belongs)
		}
		if l.notify.ok() {
			w.say("Xen had read that vcpu %d is to be told %s, before the port was bound to vcpu %d %s.", sel.target, w.ref(&l.notify),
				l.moved.target, w.ref(&l.moved))
		}
		if sel.ok() && sel.seq < l.unmask.seq && l.cause == CauseClearedBefore {
			w.say("%s had been set %s, and was taken while the port could not be seen.", w.selBit(sel.target), w.ref(sel))
		}
		return
	}
	switch {
	case !sel.ok():
		if l.cause == CauseSwallowed {
			w.say("PEND was set before the port was bound; a send that finds it set stops there, and sets no selector.")
		}
	case l.notify.ok():
		w.say("The sender had read %s that vcpu %d is to be told; then the port was bound to vcpu %d %s; the sender set %s all the same %s.",
			w.at(&l.notify), sel.target, l.moved.target, w.ref(&l.moved), w.selBit(sel.target), w.ref(sel))
	default:
		w.say("%s was set for it %s%s.", w.selBit(sel.target), w.at(sel), belongs)
	}
}

func (w *writer) tellLook(l *link) {
	look := &l.look
	if l.vain {
		if l.over.ok() {
			w.say("The port was masked again %s before vcpu %d had looked, which would have left it: it is not its own.", w.ref(&l.over), l.vcpu)
		} else {
			w.say("vcpu %d had not looked yet, and would have left it: the port is not its own.", l.vcpu)
		}
		return
	}
	const over = "Nothing was owed to anyone any more."
	switch {
	case l.cause == CauseKickMissing:
		w.say("%s is set, but from %s on nothing makes vcpu %d look at it%s.", w.selBit(l.vcpu), w.ref(look), l.vcpu,
			w.runState(l.vcpu))
	case look.kind == evtchn.KindWordRead:
		taken := ""
		if l.xchg.ok() {
			taken = fmt.Sprintf(" took the selector %s,", w.ref(&l.xchg))
		}
		reason, but := "the port is not its own", ""
		switch {
		case l.cause == CauseNonOwner && l.barred.ok() && l.barred.target == l.vcpu && l.barred.seq < look.seq:
			reason = "the port is not its own any more"
			but = fmt.Sprintf(" It had been taken from vcpu %d's accept mask %s.", l.vcpu, w.ref(&l.barred))
		case l.cause == CauseNonOwner && l.moved.ok() && l.moved.target == l.vcpu:
			reason = "the port is not its own yet"
			but = fmt.Sprintf(" It was being bound to vcpu %d %s.", l.vcpu, w.ref(&l.moved))
		case l.cause == CauseNonOwner && l.moved.ok():
			but = fmt.Sprintf(" It had been bound to vcpu %d %s.", l.moved.target, w.ref(&l.moved))
		case l.owner == l.vcpu:
			reason = "it could not see the port then"
		case l.owner < 0:
			reason = "it did not take the port"
		}
		w.say("vcpu %d's upcall%s read word %d, and left: %s %s.%s %s", l.vcpu, taken, look.arg, reason, w.ref(look), but, over)
	case look.kind == evtchn.KindActiveXchg:
		w.say("vcpu %d picked it up, found its handler running on another vcpu %s, and left it. %s", l.vcpu, w.ref(look), over)
	case look.kind == evtchn.KindUpcallExit:
		w.say("vcpu %d had seen it, and left its upcall without handling it %s. %s", l.vcpu, w.ref(look), over)
	default:
		w.say("After %s nothing was owed to anyone any more.", w.ref(look))
	}
}

// runState says why a vcpu does not look by itself.
func (w *writer) runState(v evtchn.VCPU) string {
	vc := &w.a.state.V[v]
	switch vc.Run {
	case evtchn.Blocked:
		return ": it is blocked, and no kick is under way"
	case evtchn.Polling:
		return ": it is polling, and no kick is under way"
	case evtchn.Offline:
		return ": it is offline"
	case evtchn.Running:
		return ": it runs on in the guest, and no kick is under way"
	}
	return ""
}

// tellSlow tells of an event that was never unnoticed.
func (w *writer) tellSlow() {
	sel := &w.t.sel
	if sel.ok() {
		w.say("%s was set for it %s.", w.selBit(sel.target), w.at(sel))
	}
	n := &w.e.noticed
	w.say("vcpu %d picked it up %s, %s after it was exposed: more than the %s allowed.", n.vcpu, w.at(n),
		w.a.clock.span(n.at-w.d.exposedAt), w.a.clock.span(w.a.opt.LateAfter))
	wt := &w.a.v[n.vcpu].waits
	switch off := wt.within(w.d.exposedAt, n.at); {
	case off > 0:
		w.say("It was descheduled for %s of that: runnable, and without a physical CPU.", w.a.clock.span(off))
	case w.a.state.Observed && !wt.known:
		w.say("Whether it ran, slept or waited for a physical CPU meanwhile, the capture does not tell; xentrace beside it would.")
	}
}

// tellEnd says how it ended.
func (w *writer) tellEnd() {
	d, e, c := w.d, w.e, w.a.clock
	switch {
	case e.hole.ok():
		w.say("Undecided: %s, and could have shown that it was handled.", w.lost(&e.hole))
		if e.closed.ok() {
			w.say("After that the port was not handled until it was closed %s.", w.at(&e.closed))
		} else {
			w.say("After that the port was not handled until the trace ends at %s.", c.when(w.a.now))
		}
	case e.vanished.ok():
		w.say("By %s it had been cleared: somebody noticed it, and the trace does not show when.", w.ref(&e.vanished))
	case e.closed.ok():
		w.say("It was never noticed: the port was closed %s.", w.at(&e.closed))
	case e.noticed.ok():
		after := "later"
		if d.exposed {
			after = c.span(e.noticed.at-d.exposedAt) + " later"
		}
		n := &e.noticed
		switch {
		case e.swept:
			w.say("It was noticed %s, only because vcpu %d's tick read all words %s: it picked it up %s.", after, n.vcpu,
				w.ref(&e.rescue), w.at(n))
		case e.rescuer != evtchn.NoPort:
			first := &e.ring
			if !first.ok() {
				first = &e.rescue
			}
			same := "of the same word "
			if w.a.state.Word(e.rescuer) != w.a.state.Word(d.port) {
				same = ""
			}
			rang := w.ref(first)
			if e.rescue.ok() && first != &e.rescue {
				_ = w.ref(&e.rescue)
			}
			w.say("It was noticed %s, only because port %d %srang %s: vcpu %d picked it up %s.", after, e.rescuer, same, rang,
				n.vcpu, w.at(n))
		case e.rescue.ok():
			w.say("It was noticed %s, because it was signalled again, to vcpu %d %s: that vcpu picked it up %s.", after, n.vcpu,
				w.ref(&e.rescue), w.at(n))
		case n.kind == evtchn.KindPendClear:
			w.say("It was noticed %s: vcpu %d cleared it %s.", after, n.vcpu, w.at(n))
		case d.lastCause() == CauseKickMissing:
			w.say("It was noticed %s, when vcpu %d took an upcall for a reason of its own, and picked it up %s.", after, n.vcpu, w.at(n))
		default:
			w.say("It was noticed %s, by a scan that was not made for it: vcpu %d picked it up %s.", after, n.vcpu, w.at(n))
		}
	case e.again:
		w.say("It was masked again, and still is when the trace ends at %s.", c.when(w.a.now))
	case e.tickDue:
		w.say("The next tick of vcpu %d will find it, after the trace ends at %s.", d.owner, c.when(w.a.now))
	case e.inFlight:
		w.say("It was signalled again, and not yet picked up when the trace ends at %s.", c.when(w.a.now))
	default:
		w.say("It was never noticed: the trace ends at %s.", c.when(w.a.now))
	}
}

// tellMissing says what evidence is missing.
func (w *writer) tellMissing() {
	e, c := w.e, w.a.clock
	switch {
	case e.gap.ok():
		w.say("Undecided: %s, and could have shown that somebody was told.", w.lost(&e.gap))
	case e.noOwner:
		w.say("Undecided: the trace does not say to which vcpu the port is bound.")
	case e.tied.ok():
		w.tellTie()
	case e.bare:
		w.tellBare()
	case e.young:
		w.say("Undecided: the trace ends %s after it was exposed, and a normal delivery took up to %s.",
			c.span(w.a.now-w.d.exposedAt), c.span(evtchn.Time(w.a.latency.max)))
	}
}

// lost says which records are missing.
func (w *writer) lost(g *gap) string {
	whose := fmt.Sprintf("of vcpu %d", g.target)
	if g.target < 0 {
		whose = "of some vcpu"
	}
	lost := "records"
	if g.arg > 0 {
		lost = count(g.arg, "record")
	}
	were := "were"
	if g.arg == 1 {
		were = "was"
	}
	return fmt.Sprintf("%s %s %s lost between %s and %s %s", lost, whose, were, w.a.clock.when(g.from), w.a.clock.when(g.at), w.ref(&g.step))
}

// tellDrop tells of an event without a taker.
func (w *writer) tellDrop() {
	d, e := w.d, w.e
	w.tellSet()
	if e.dropped.ok() && e.dropped.seq < d.unnoticed.seq {
		w.say("vcpu %d picked it up %s, and dropped it %s: nobody has the port open. It stays masked.", d.vcpu, w.at(&e.dropped), w.ref(&d.unnoticed))
	} else {
		w.say("vcpu %d dropped it %s: nobody has the port open. It stays masked.", d.vcpu, w.at(&d.unnoticed))
	}
	if d.swallowed > 0 {
		w.say("%s came to nothing after that.", capital(count(d.swallowed, "more send")))
	}
}

// tellViolation tells of a delivery that should not have been.
func (w *writer) tellViolation() {
	e, p := w.e, w.d.port
	n := &e.noticed
	w.tellSet()
	switch {
	case e.kind == KindDuplicate:
		w.say("vcpu %d picked it up %s.", e.before.vcpu, w.at(&e.before))
		w.say("vcpu %d picked it up once more %s, with no new event in between.", n.vcpu, w.at(n))
	case e.kind == KindConcurrent:
		w.say("vcpu %d picked it up %s, and was in its handler still", e.before.vcpu, w.at(&e.before))
		w.why[len(w.why)-1] += fmt.Sprintf(" when vcpu %d picked it up %s.", n.vcpu, w.at(n))
	case w.a.fifo:
		w.say("The port had been bound to vcpu %d before %s.", w.d.owner, w.ref(&w.t.owned))
		w.say("vcpu %d handled it %s all the same.", n.vcpu, w.at(n))
	default:
		w.say("vcpu %d read word %d %s and picked port %d up %s, which belongs to vcpu %d.", n.vcpu, w.a.state.Word(p),
			w.ref(&e.before), p, w.at(n), w.d.owner)
	}
}

func join(and bool) string {
	if and {
		return " and"
	}
	return ","
}

func count(n uint64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return group(n) + " " + what + "s"
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return group(uint64(n)) + " times"
}

// capital makes a sentence's first letter a capital one. "vcpu 3" stays as it is written everywhere.
func capital(s string) string {
	if s == "" || strings.HasPrefix(s, "vcpu") || s[0] < 'a' || s[0] > 'z' {
		return s
	}
	return string(s[0]-'a'+'A') + s[1:]
}
