package analyze

import (
	"slices"

	"github.com/evtrace/evtrace/evtchn"
)

// involved lists the vcpus on whose steps the finding rests.
func (d *draft) involved(e *ending) evtchn.VCPUSet {
	var set evtchn.VCPUSet
	add := func(v evtchn.VCPU) {
		if v >= 0 && v < evtchn.MaxVCPUs {
			set.Add(v)
		}
	}
	add(d.owner)
	add(d.vcpu)
	for i := range d.links {
		l := &d.links[i]
		add(l.owner)
		add(l.vcpu)
		if l.unmask.ok() {
			add(l.unmask.vcpu)
		}
		if l.sel.ok() {
			add(l.sel.vcpu)
			add(l.sel.target)
		}
	}
	if e.noticed.ok() {
		add(e.noticed.vcpu)
	}
	return set
}

// known is the step up to which missing records do not matter: what came after it proves the state of the port then.
func (d *draft) known() evtchn.Seq { return max(d.pending.seq, d.proof.left.seq, d.proof.ignored.seq) }

// gapIn finds a gap in the records of the vcpus since the step.
func (a *Analyzer) gapIn(since evtchn.Seq, vs evtchn.VCPUSet) (gap, bool) {
	if a.gapAll.ok() && a.gapAll.seq > since {
		return a.gapAll, true
	}
	for v := vs.Next(0); v != evtchn.NoVCPU && int(v) < len(a.v); v = vs.Next(v + 1) {
		if g := a.v[v].gap; g.ok() && g.seq > since {
			return g, true
		}
	}
	return gap{}, false
}

// ending is how a finding ends, and what it was that ended it.
type ending struct {
	kind     Kind
	noticed  step        // who noticed it
	rescuer  evtchn.Port // whose SEL bit it was
	rescue   step        // the setting of that bit, or the sweep, or the port's own later signalling
	ring     step        // the raising of the rescuer
	before   step        // the earlier delivery, or the reading of the word
	closed   step
	vanished step
	erased   step
	dropped  step
	gap      gap // in the records that it rests on
	hole     gap // in which it may have been handled
	swept    bool
	late     bool // past the bound only
	young    bool
	again    bool
	inFlight bool
	tickDue  bool // the owner's next tick will find it
	unsure   bool
	noOwner  bool
	bare     bool // it does not stand by itself
	doubtful Kind // then: what it is if others bear it out
	tied     tie  // the order of which it hangs on is not known
	perhaps  bool // the taken order has it signalled as it should be
	queued   bool // with FIFO: whether it stands in a queue is not known
	passed   step // of perhaps and queued: an upcall of its vcpu that did not handle it
}

// emit turns a draft into a finding, or into unknown where missing evidence could change it.
func (a *Analyzer) emit(t *portTrack, d *draft, e *ending) {
	if (e.kind == KindLost || e.kind == KindLate) && !e.late {
		vs := d.involved(e)
		if g, ok := a.gapIn(d.known(), vs); ok && d.cause != CauseDropped {
			e.kind, e.gap = KindUnknown, g
		} else if a.state.Observed && len(d.links) > 0 && d.owner == evtchn.NoVCPU {
			e.kind, e.noOwner = KindUnknown, true
		}
	}
	a.doubt(t, d, e)
	if a.emitted != nil {
		a.emitted(d, e)
	}
	a.found(t, d, e)
	if !a.count(e.kind, d.cause, d.port) {
		return
	}
	c := a.clock
	f := Finding{Kind: e.kind, Port: d.port, Word: a.state.Word(d.port), OwnerVCPU: d.owner, UnnoticedSeq: d.unnoticed.seq,
		UnnoticedVCPU: d.vcpu, NoticedVCPU: evtchn.NoVCPU, RescuedByPort: e.rescuer, Cause: d.cause, SwallowedSends: d.swallowed,
		Exposures: make([]int64, 0, len(t.exposures))}
	if d.pending.ok() {
		f.PendingAt = c.at(d.pending.at)
	}
	if d.exposed {
		f.ExposedAt = c.at(d.exposedAt)
	}
	if d.unnoticed.ok() {
		f.UnnoticedAt = c.at(d.unnoticed.at)
	}
	if e.noticed.ok() {
		f.NoticedAt, f.NoticedSeq, f.NoticedVCPU = c.at(e.noticed.at), e.noticed.seq, e.noticed.vcpu
		if d.exposed {
			delay := max(*f.NoticedAt-*f.ExposedAt, 0)
			f.Delay = &delay
		}
	}
	for _, at := range t.exposures {
		f.Exposures = append(f.Exposures, c.of(at))
	}
	w := writer{a: a, t: t, d: d, e: e}
	w.tell()
	f.Why, f.Evidence, f.Deduced = w.why, w.evidence, w.deduced
	if f.Evidence == nil {
		f.Evidence = []evtchn.Seq{}
	}
	if f.Deduced == nil {
		f.Deduced = []evtchn.Seq{}
	}
	f.Strength, f.Proof, f.Settle, f.doubtful = a.strength(d), w.tellProof(), w.tellSettle(), e.doubtful
	f.order = d.unnoticed.seq
	if f.order == 0 {
		f.order = e.noticed.seq
	}
	a.findings = append(a.findings, f)
}

func (a *Analyzer) sortFindings() {
	slices.SortStableFunc(a.findings, func(x, y Finding) int {
		if d := x.Kind.rank() - y.Kind.rank(); d != 0 {
			return d
		}
		switch {
		case x.order < y.order:
			return -1
		case x.order > y.order:
			return 1
		}
		return int(x.Port) - int(y.Port)
	})
}
