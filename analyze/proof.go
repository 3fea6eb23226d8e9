package analyze

import "github.com/evtrace/evtrace/evtchn"

// A capture shows neither SEL nor UP. That a signalling was in vain is deduced from what its records show around it, and what they show
// may have another reason: a record that is missing. So a finding of a capture counts only if something that was recorded would
// not have been so otherwise:
//
//   - the vcpu that unmasked the port took an upcall at once, which handled nothing: it had set its own UP, and no other vcpu's
//     selector. Nothing else had set that UP;
//   - the vcpu that the port belongs to took an upcall while the port was exposed, and passed it over: its selector was not set;
//   - it did so after a send to the port that found it pending, too: the event had not been handled unseen.
type proof struct {
	left    step   // the upcall that the unmasking vcpu took at once
	passed  step   // the first upcall of the owner that passed the port over
	passes  uint64 // how many there were
	swallow step   // the last send that found the port pending
	ignored step   // the first upcall of the owner after that
}

// urge is what a vcpu's own unmasks have set its UP for, of which its upcall is to come as soon as its interrupts are on.
type urge struct {
	since evtchn.Seq // the first of them in vain; 0: none
	good  bool       // one was for a port of its own, or Xen has told the vcpu: the upcall has a reason
}

// noteUrge follows what is going to make the vcpu take its next upcall. The state has the event applied already.
func (a *Analyzer) noteUrge(ev *evtchn.Event) {
	switch ev.Kind {
	case evtchn.KindUpTAS, evtchn.KindIPI:
		if t := ev.Target(); t >= 0 {
			a.v[t].urge.good = true
		}
	}
	if ev.VCPU < 0 {
		return
	}
	vt := &a.v[ev.VCPU]
	u := &vt.urge
	switch ev.Kind {
	case evtchn.KindSelTAS:
		if ev.Port == evtchn.NoPort || ev.Target() != ev.VCPU || ev.Ctx.Class() == evtchn.CtxXen {
			return
		}
		if a.state.Accepts(ev.VCPU, ev.Port) == evtchn.Zero {
			if u.since == 0 {
				u.since = ev.Seq
			}
		} else {
			u.good = true
		}
	case evtchn.KindUpcall:
		vt.entry, vt.forced = step{}, 0
		if !ev.Inferred() {
			vt.entry = a.step(ev, ev.VCPU)
			if !u.good {
				vt.forced = u.since
			}
		}
		*u = urge{}
	case evtchn.KindUpcallExit:
		*u = urge{}
	case evtchn.KindTie, evtchn.KindRunState, evtchn.KindXenCall:
	case evtchn.KindMaskTAS, evtchn.KindMaskClear, evtchn.KindMaskTAC, evtchn.KindMaskRead, evtchn.KindPendRead, evtchn.KindUpWrite,
		evtchn.KindOwnerWrite, evtchn.KindAcceptSet, evtchn.KindAcceptClear, evtchn.KindPortVCPU, evtchn.KindUpTAS, evtchn.KindReturn:
	case evtchn.KindHypercall:
		if c := evtchn.Hypercall(ev.Args[0]); c != evtchn.HCUnmask && c != evtchn.HCBindVCPU {
			u.since = 0
		}
	default:
		u.since = 0 // its interrupts were on meanwhile
	}
}

// noteProof looks what an upcall that was recorded from its entry to its exit shows about ports that it did not handle.
func (a *Analyzer) noteProof(ev *evtchn.Event) {
	vt := &a.v[ev.VCPU]
	entry := vt.entry
	vt.entry = step{}
	if ev.Inferred() || !entry.ok() {
		return
	}
	for _, p := range a.state.ExposedPorts() {
		if int(p) >= len(a.ports) || a.ports[p] == nil {
			continue
		}
		t := a.ports[p]
		ps := a.state.PortAt(p)
		if m := &t.maybe; (m.ok() && m.at < entry.at || a.fifo) && ps.Owner == ev.VCPU && ps.ExposedAt < entry.at && ps.ExposedSeq < entry.seq {
			if t.passes++; !t.passed.ok() {
				t.passed = entry
			}
		}
		d := t.draft
		if d == nil {
			continue
		}
		if vt.forced != 0 && ev.Args[0] == 0 && !d.proof.left.ok() && t.sel.ok() && t.sel.target == ev.VCPU && t.sel.guest() &&
			t.sel.seq >= vt.forced && t.sel.seq < entry.seq {
			d.proof.left = entry
		}
		if ps.Owner != ev.VCPU || ps.UnnoticedSeq == 0 || ps.UnnoticedSeq > entry.seq || ps.UnnoticedAt >= entry.at {
			continue
		}
		if d.proof.passes++; !d.proof.passed.ok() {
			d.proof.passed = entry
		}
		if s := &d.proof.swallow; s.ok() && s.at < entry.at && !d.proof.ignored.ok() {
			d.proof.ignored = entry
		}
	}
}
