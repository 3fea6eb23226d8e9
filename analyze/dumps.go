package analyze

import (
	"fmt"

	"github.com/evtrace/evtrace/evtchn"
)

// shown is a stretch of console dumps that show a port pending, unmasked, and nobody told of it. One such dump proves nothing: the port
// may have been in the hands of an upcall. Two do, unless they are so close together that one stop of a vcpu covers them.
type shown struct {
	first, last step
	number      [2]uint64 // of the dumps
	n           int
	notify      evtchn.VCPU
}

// dumpsApart is how far two dumps of a trace in nanoseconds must be apart.
const dumpsApart = 250_000_000

// ofDumps reports whether the trace was made from console dumps.
func (a *Analyzer) ofDumps() bool { return a.counts[evtchn.KindDump] > 0 }

// noteBits judges the reading of a port's bits. The state has the event applied already.
func (a *Analyzer) noteBits(ev *evtchn.Event) {
	t := a.port(ev.Port)
	ps := a.state.PortAt(ev.Port)
	if ev.Args[0] == 0 {
		a.cleared(t)
	} else if ev.Args[0] == 1 {
		a.sinceBefore(t)
	}
	s := &t.shown
	if ev.Args[0] != 1 || ev.Args[1] != 0 || ev.Args[2] != 0 {
		a.endShown(ev.Port, t, KindLate)
		return
	}
	if s.n > 0 && s.notify != ps.Notify {
		a.endShown(ev.Port, t, KindLate) // it was moved, which raises it again
	}
	st := a.step(ev, ev.VCPU)
	if s.n == 0 {
		*s = shown{first: st, notify: ps.Notify}
		s.number[0] = a.dumpNo
	}
	s.last, s.number[1] = st, a.dumpNo
	s.n++
}

// endShown ends a stretch. What only one dump showed was in flight, if a later one no longer shows it.
func (a *Analyzer) endShown(p evtchn.Port, t *portTrack, kind Kind) {
	s := t.shown
	t.shown = shown{}
	if s.n == 0 || s.n == 1 && kind == KindLate {
		return
	}
	close := a.meta.Unit != "ticks" && s.last.at-s.first.at < dumpsApart
	if s.n == 1 || close {
		kind = KindUnknown
	}
	a.alone(p, kind, "", CauseUnknown)
	if !a.count(kind, CauseUnknown, p) {
		return
	}
	c := a.clock
	f := Finding{Kind: kind, Port: p, Word: a.state.Word(p), OwnerVCPU: s.notify, ExposedAt: c.at(s.first.at), UnnoticedAt: c.at(s.first.at),
		UnnoticedSeq: s.first.seq, UnnoticedVCPU: evtchn.NoVCPU, NoticedVCPU: evtchn.NoVCPU, Cause: CauseUnknown, Exposures: []int64{c.of(s.first.at)},
		Evidence: []evtchn.Seq{s.first.seq}, Deduced: []evtchn.Seq{}, Proof: []string{}, Settle: []string{}, Strength: StrengthSeen, order: s.first.seq}
	say := func(format string, args ...any) { f.Why = append(f.Why, fmt.Sprintf(format, args...)) }
	told := fmt.Sprintf("the selector bit of its word on vcpu %d, which it notifies, was clear", s.notify)
	if a.fifo {
		told = "it stood in no queue"
	}
	say("Dump %d shows port %d pending and unmasked (#%d), and %s.", s.number[0], p, s.first.seq, told)
	if s.n > 1 {
		f.Evidence = append(f.Evidence, s.last.seq)
		say("So does dump %d%s (#%d).", s.number[1], a.apart(s.last.at-s.first.at), s.last.seq)
	}
	switch {
	case kind == KindLost:
		say("No dump shows that anybody looked at it.")
	case kind == KindLate:
		say("A later dump no longer shows it so: somebody looked at it in the end.")
	case close && s.n > 1:
		say("Undecided: the dumps are so close together that a vcpu may have stopped for that long.")
	default:
		say("Undecided: it may have been in flight when the dump was taken.")
	}
	if kind == KindUnknown {
		f.Settle = append(f.Settle, "another dump some seconds later (xl debug-keys e; xl dmesg)")
	}
	a.findings = append(a.findings, f)
}

func (a *Analyzer) apart(d evtchn.Time) string {
	if a.clock.ticks {
		return ""
	}
	return ", " + a.clock.span(d) + " later"
}
