package analyze

import "github.com/evtrace/evtrace/evtchn"

// Ending is how an episode ended. Totals counts the same.
type Ending string

// The endings.
const (
	EndNone      Ending = ""          // it did not end: Options.Episode tells of a finding alone
	EndDelivered Ending = "delivered" // its handler was started
	EndCleared   Ending = "cleared"   // PEND was cleared, and no delivery was seen
	EndClosed    Ending = "closed"    // pending when the port was closed
	EndInFlight  Ending = "in-flight" // exposed at the end of the trace, with somebody about to look
	EndMasked    Ending = "masked"    // pending and masked at the end of the trace
	EndUnnoticed Ending = "unnoticed" // exposed at the end of the trace, with nobody about to look
	EndUnclear   Ending = "unclear"   // the trace does not tell which of the last three
)

// Episode is what became of one stay of a port in PEND, for Options.Episode. Durations are in the unit of the report.
type Episode struct {
	Port evtchn.Port
	Word int
	Use  PortUse
	End  Ending
	// Again tells of a delivery for which PEND had not been set anew: it is none of Totals.Episodes.
	Again bool

	// The finding about it. A second finding about the same episode is told of by itself, with EndNone.
	Kind     Kind // "": none; else as it stood then: Analyzer.Settled says what the report makes of it
	Doubtful Kind // what it is if others bear it out
	Cause    Cause

	Exposed  Step        // what exposed it
	Told     Step        // the setting of the SEL bit that was for it; its target is the vcpu that was told
	LookedAt Step        // the step after which nobody was going to look
	By       evtchn.VCPU // that noticed it; -1: nobody

	Timed     bool  // Latency counts it
	Delay     int64 // from exposure until it was noticed, or until its end if it never was; 0 as well: not known
	Signal    int64 // of Delay: until the vcpu was told
	Wait      int64 // of Delay: from then until that vcpu took its selector, as far as that is known
	Unnoticed int64 // of Delay: while nobody was going to look
}

// Step is a step of an episode. The zero value: the trace does not show it.
type Step struct {
	Seq    evtchn.Seq
	Kind   evtchn.Kind
	VCPU   evtchn.VCPU // that did it
	Target evtchn.VCPU // to which it was done
	Guest  bool        // the guest's own code did it, not the hypervisor
}

// PortUse is what a port was in use for when its episode ended, or before it was closed.
type PortUse struct {
	Status  evtchn.PortStatus
	Handler evtchn.Handler
	Peer    uint64 // as in evtchn.PortState
}

// HasPort reports whether the trace's ABI has the port. It has NoPort, too.
func (a *Analyzer) HasPort(p evtchn.Port) bool { return int(p) < a.state.Ports() }

// Use gives what a port is in use for now, or was last.
func (a *Analyzer) Use(p evtchn.Port) PortUse {
	if p == evtchn.NoPort || !a.HasPort(p) {
		return PortUse{Status: evtchn.PortUnknown, Handler: evtchn.HandlerUnknown}
	}
	t := a.port(p)
	a.noteUse(p, t)
	return t.use
}

func (a *Analyzer) noteUse(p evtchn.Port, t *portTrack) {
	if ps := a.state.PortAt(p); ps.Status != evtchn.PortFree {
		t.use = PortUse{ps.Status, ps.Handler, ps.Peer}
	}
}

// Settled says as what the report counts a finding of which Options.Episode told: others may have borne it out since, or the order of
// the records may have turned out not to be that of time. It is known after Finish.
func (a *Analyzer) Settled(ep *Episode) Kind {
	switch {
	case ep.Kind == "":
		return ""
	case a.disordered():
		return KindUnknown
	case ep.Doubtful != "" && a.model.seq != 0 && !a.port(ep.Port).viaXen:
		return ep.Doubtful
	}
	return ep.Kind
}

// over gives the record of the port's episode, of which this event tells the end, or a finding.
func (a *Analyzer) over(t *portTrack) *Episode {
	if t.over == nil {
		t.over = new(Episode)
	}
	if !t.told {
		t.told = true
		a.told = append(a.told, t)
		*t.over = Episode{Port: t.port, Word: a.state.Word(t.port), By: evtchn.NoVCPU}
	}
	return t.over
}

// ended notes that the port's episode has ended.
func (a *Analyzer) ended(t *portTrack, end Ending, again bool) {
	if a.opt.Episode == nil {
		return
	}
	ep := a.over(t)
	ep.End, ep.Again = end, again
	if !ep.Exposed.ok() {
		ep.Exposed, ep.Told = export(&t.expose), export(&t.sel)
	}
}

// timed notes a delay that counts as a latency.
func (a *Analyzer) timed(t *portTrack, pk *pick, from evtchn.Time) {
	if a.opt.Episode == nil {
		return
	}
	ep := a.over(t)
	ep.By, ep.Timed = pk.vcpu, true
	total := max(pk.at-from, 0)
	told, taken := from, from
	if t.sel.ok() && t.sel.at > from {
		told = min(t.sel.at, pk.at)
	}
	if x := &a.v[pk.vcpu].xchg; x.ok() && x.at > told {
		taken = min(x.at, pk.at)
	}
	taken = max(taken, told)
	ep.Delay = a.clock.of(total)
	ep.Signal = min(a.clock.of(told-from), ep.Delay)
	ep.Wait = min(a.clock.of(taken-told), ep.Delay-ep.Signal)
}

// found notes a finding.
func (a *Analyzer) found(t *portTrack, d *draft, e *ending) {
	if a.opt.Episode == nil {
		return
	}
	if d.cause == CauseDropped || t.told && t.over.Kind != "" {
		a.alone(d.port, e.kind, e.doubtful, d.cause)
		return
	}
	ep := a.over(t)
	ep.Kind, ep.Doubtful, ep.Cause, ep.LookedAt = e.kind, e.doubtful, d.cause, export(&d.unnoticed)
	if n := len(d.links); n > 0 {
		l := &d.links[0]
		ep.Told = export(&l.sel)
		if ep.Exposed = export(&l.unmask); !l.unmask.ok() {
			ep.Exposed = export(&t.expose)
		}
	}
	until := a.now
	if e.noticed.ok() {
		until = e.noticed.at
	} else if !ep.Timed && d.exposed && (d.unnoticed.ok() || len(d.links) > 0) {
		ep.Delay = a.clock.of(max(until-d.exposedAt, 0))
	}
	if d.unnoticed.ok() && e.kind != KindDuplicate && e.kind != KindConcurrent && e.kind != KindWrongVCPU {
		ep.Unnoticed = min(a.clock.of(max(until-d.unnoticed.at, 0)), ep.Delay)
	}
}

// alone hands over a finding that is about no episode which ends now.
func (a *Analyzer) alone(p evtchn.Port, kind, doubtful Kind, cause Cause) {
	if a.opt.Episode != nil {
		a.opt.Episode(&Episode{Port: p, Word: a.state.Word(p), Use: a.Use(p), Kind: kind, Doubtful: doubtful, Cause: cause, By: evtchn.NoVCPU})
	}
}

// tellEpisodes hands over what the event has ended.
func (a *Analyzer) tellEpisodes() {
	for _, t := range a.told {
		a.noteUse(t.port, t)
		t.over.Use = t.use
		t.told = false
		a.opt.Episode(t.over)
	}
	a.told = a.told[:0]
}

func (s Step) ok() bool { return s.Seq != 0 }

func export(s *step) Step {
	if !s.ok() {
		return Step{}
	}
	return Step{Seq: s.seq, Kind: s.kind, VCPU: s.vcpu, Target: s.target, Guest: s.guest()}
}
