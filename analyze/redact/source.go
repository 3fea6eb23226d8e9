package redact

import (
	"github.com/evtrace/evtrace/evtchn"
)

// remembered is for how many events back a cause is found under its new number. One that is farther away is left out: it
// counts then as caused by the event before it in its context.
const remembered = 1 << 16

// Source gives the events of the trace as they may be shown, numbered anew if some were dropped.
func (p *Plan) Source(src evtchn.Source) evtchn.Source { return &source{p: p, src: src} }

type source struct {
	p    *Plan
	src  evtchn.Source
	n    evtchn.Seq
	news [remembered]evtchn.Seq // by the number that it had: 0 if it was dropped
}

func (s *source) Next(ev *evtchn.Event) error {
	for {
		if err := s.src.Next(ev); err != nil {
			return err
		}
		s.news[ev.Seq%remembered] = 0
		if s.p.keep(ev) {
			break
		}
	}
	s.n++
	s.news[ev.Seq%remembered] = s.n
	switch {
	case ev.Cause == 0 || ev.Cause >= ev.Seq:
	case ev.Seq-ev.Cause >= remembered:
		if s.p.related != nil {
			ev.Cause = 0
		}
	default:
		ev.Cause = s.news[ev.Cause%remembered]
	}
	ev.Seq = s.n
	ev.Time += s.p.shift
	eachDomain(ev, func(d evtchn.DomID) evtchn.DomID {
		if to, ok := s.p.domains[d]; ok {
			return to
		}
		return d
	})
	return nil
}

// keep reports whether an event stays, and takes the port out of it if only that has to go.
func (p *Plan) keep(ev *evtchn.Event) bool {
	if p.related == nil {
		return true
	}
	if ev.Port == evtchn.NoPort {
		return p.drop != DropAll || !p.otherWord(ev)
	}
	if p.related[ev.Port] {
		return true
	}
	if p.drop == DropAll || !ofVCPU(ev.Kind) {
		return false
	}
	ev.Port = evtchn.NoPort
	return true
}

// otherWord reports whether an event reads a word that no finding is about.
func (p *Plan) otherWord(ev *evtchn.Event) bool {
	switch ev.Kind {
	case evtchn.KindWordRead, evtchn.KindSweepRead, evtchn.KindSnap:
		return !p.words[int(ev.Args[0])]
	}
	return false
}

// ofVCPU reports whether a step is about a vcpu, and names a port only because that is why it is made.
func ofVCPU(k evtchn.Kind) bool {
	switch k {
	case evtchn.KindSelTAS, evtchn.KindUpTAS, evtchn.KindUpWrite, evtchn.KindRunRead, evtchn.KindBlockedTAC, evtchn.KindIPI, evtchn.KindKick,
		evtchn.KindHypercall, evtchn.KindReturn, evtchn.KindWake, evtchn.KindMove, evtchn.KindSelect:
		return true
	}
	return false
}
