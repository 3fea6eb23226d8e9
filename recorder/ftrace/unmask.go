package ftrace

import "github.com/evtrace/evtrace/evtchn"

// path is the way that an unmask took.
type path uint8

const (
	unknownPath path = iota
	localPath
	callPath
)

// path tells from the vcpu's next record: the hypercall's probe follows at once.
func (in *infer) path(pos int64) path {
	n := in.w.next(pos)
	if n == 0 {
		if in.w.tail-pos > 64 {
			return localPath // the vcpu fell silent: the hypercall would have been seen
		}
		return unknownPath
	}
	switch q := in.w.at(n); {
	case q.id == prHCUnmask && q.a == in.w.at(pos).a:
		return callPath
	case q.id == prGap:
		return unknownPath
	}
	return localPath
}

// atHome reports whether the vcpu may be the port's own.
func (in *infer) atHome(p evtchn.Port, v evtchn.VCPU) bool {
	ps := in.st.PortAt(p)
	return ps.Owner < 0 || ps.Owner == v
}

// unmask is the ABI's unmask operation. The hypercall path is given out with the record of the hypercall.
func (in *infer) unmask(pos int64, r *record, p evtchn.Port) {
	if in.fifo {
		in.seen(evtchn.KindMaskClear, p, unknownNum)
		in.infer(evtchn.KindPendRead, p, unknownNum)
		return
	}
	switch in.path(pos) {
	case callPath:
		in.unmaskHC = true
		return
	case unknownPath:
		in.unmaskCall(p, evtchn.FlagInferred)
		return
	}
	pend := in.st.Pending(p)
	var rival contest
	if !in.atHome(p, in.v) {
		var where place
		pend, where, rival = in.found(pos, p)
		switch where {
		case home:
			in.infer(evtchn.KindOwnerWrite, p, 0, vnum(in.v))
			in.infer(evtchn.KindPortVCPU, p, 0, vnum(in.v))
		case nowhere:
			in.unmaskCall(p, evtchn.FlagInferred)
			return
		}
	}
	in.ports[p].maybe = false
	in.seen(evtchn.KindMaskClear, p, uint64(in.st.Masked(p)))
	in.infer(evtchn.KindPendRead, p, uint64(pend))
	if pend == evtchn.One {
		sel := in.st.Selected(in.v, in.st.Word(p))
		in.infer(evtchn.KindSelTAS, p, uint64(sel), vnum(in.v), in.word(p))
		if sel != evtchn.One {
			in.infer(evtchn.KindUpWrite, p, unknownNum, vnum(in.v), 1)
		}
	}
	if rival.ok {
		in.counts.ties++
		other := evtchn.One
		if pend == evtchn.One {
			other = evtchn.Zero
		}
		in.infer(evtchn.KindTie, p, uint64(other), vnum(rival.by), uint64(evtchn.KindPendTAS), uint64(rival.seq))
	}
}

// unmaskCall is EVTCHNOP_unmask.
func (in *infer) unmaskCall(p evtchn.Port, fl evtchn.Flags) {
	in.put(evtchn.KindHypercall, fl, in.v, in.ctx, p, 0, uint64(evtchn.HCUnmask), uint64(p), 0)
	if in.fifo {
		in.xen(evtchn.KindReturn, evtchn.NoPort, unknownNum)
		return
	}
	in.ports[p].maybe = false
	in.xen(evtchn.KindMaskTAC, p, uint64(in.st.Masked(p)))
	pend := in.st.Pending(p)
	in.xen(evtchn.KindPendRead, p, uint64(pend))
	if v := in.notify(p); pend == evtchn.One && v >= 0 {
		in.signal(p, v)
	}
	in.xen(evtchn.KindReturn, evtchn.NoPort, unknownNum)
}

// outcome is what followed a local unmask on its vcpu.
type outcome uint8

const (
	unclear  outcome = iota
	noUpcall         // interrupts were on again, and no upcall came: UP was not set
	spurious         // an upcall that delivered nothing
	busy             // an upcall that delivered something
	itself           // an upcall that delivered the port
)

// evidence tells what followed a local unmask, and where the upcall is. An unmask that finds its port pending sets UP on its own vcpu,
// which takes an upcall as soon as its interrupts are on.
func (in *infer) evidence(pos int64) (outcome, int64) {
	r := in.w.at(pos)
	if r.fl&rfHardIRQ != 0 {
		return unclear, 0 // within an upcall, which will scan again for whatever reason
	}
	others, moved := false, false
	n := in.w.next(pos)
	for i := 0; n != 0 && i < 32; i++ {
		q := in.w.at(n)
		switch {
		case q.id == prGap:
			return unclear, 0
		case q.pid != r.pid:
			return noUpcall, 0 // another task runs: interrupts were on meanwhile
		case q.id == prUpcall:
			what := in.classify(n, evtchn.Port(r.a))
			if what == itself && moved {
				what = busy
			}
			if what == spurious && others {
				what = unclear
			}
			return what, n
		case q.fl&rfHardIRQ != 0:
			return unclear, 0 // an upcall whose own records were missed
		case q.fl&rfFlags == 0:
			return unclear, 0
		case q.fl&rfIRQsOff == 0:
			return noUpcall, 0
		case q.id == prUnmask && q.a != r.a:
			others = true
		case q.id == prBindCPU && q.a == r.a:
			moved = true
		}
		n = in.w.next(n)
	}
	if n == 0 && in.w.tail-pos > 256 {
		return noUpcall, 0
	}
	return unclear, 0
}

// classify tells what an upcall delivered.
func (in *infer) classify(pos int64, p evtchn.Port) outcome {
	what := spurious
	for n := in.w.next(pos); n != 0; n = in.w.next(n) {
		switch r := in.w.at(n); r.id {
		case prUpcallRet:
			return what
		case prUpcall, prGap:
			return unclear
		case prDeliver, prClear:
			if evtchn.Port(r.a) == p {
				return itself
			}
			what = busy
		case prIRQEntry:
			if in.irqs[r.c] == p {
				return itself
			}
			what = busy
		}
	}
	return unclear
}

// place says whose vcpu a local unmask ran on.
type place uint8

const (
	away    place = iota // another's than the port's
	home                 // the port's own
	nowhere              // not to be told: perhaps it was no local unmask. The hypercall, which loses nothing, is assumed
)

// found decides whether a local unmask on a vcpu that is not the port's own found it pending, and whether the vcpu is the port's own
// after all. The records alone cannot tell when a send is under way at the same time: then the outcome does. Without the hypercall's
// probe, and after a gap, only an upcall that found nothing shows that the path was local.
func (in *infer) found(pos int64, p evtchn.Port) (pend evtchn.Bit, where place, rival contest) {
	pk := &in.ports[p]
	pend = in.st.Pending(p)
	rival = in.contested(pos, p, pend)
	what, at := in.evidence(pos)
	if what == spurious && in.st.V[in.v].Up == evtchn.One {
		what = unclear // it has another reason, of before the unmask
	}
	doubt := pk.ownerEpoch != in.epoch || !in.unmaskHC
	firm := pend == evtchn.One && !rival.ok && pk.inflight < pos && pk.pendEpoch == in.epoch
	switch what {
	case itself:
		return evtchn.One, home, contest{}
	case noUpcall:
		if doubt {
			return pend, nowhere, contest{}
		}
		if pend == evtchn.One {
			in.counts.outcome++
			if firm && (in.epoch == 0 || in.next(pos, p) == delivered) && !in.byItself(pos, p) {
				return evtchn.One, away, contest{} // its upcall was missed, and it was rescued
			}
		}
		return evtchn.Zero, away, contest{}
	case spurious:
		if pend == evtchn.One {
			return pend, away, contest{}
		}
		in.counts.outcome++
		// A clock that stands still hides that a send which stands behind the upcall was under way before it.
		for n, still := pos+1, in.w.at(pos).time; n < in.w.tail && (n < at || in.w.at(n).time == still); n++ {
			if r := in.w.at(n); r.id == prHCSend && r.fl&rfDone == 0 && r.cpu != int16(in.v) && in.receiver(r) == p {
				in.early(n)
				return evtchn.One, away, contest{}
			}
		}
		if doubt && in.byItself(pos, p) {
			return pend, nowhere, contest{} // the hypercall's doing; the upcall had another reason
		}
		if pk.maybe || in.next(pos, p) == delivered {
			in.raisedMasked(p)
			return evtchn.One, away, contest{}
		}
		return evtchn.Zero, away, contest{}
	}
	switch {
	case doubt, pk.pendEpoch != in.epoch:
		return pend, nowhere, contest{}
	case pend == evtchn.Zero && pk.maybe && in.ignored(pos, p):
		// What was under way when PEND was cleared came after that: a later send finds it pending, and tells nobody.
		in.counts.outcome++
		in.raisedMasked(p)
		return evtchn.One, away, contest{}
	case pend == evtchn.One && (!firm || in.next(pos, p) == sent) && in.byItself(pos, p):
		// Under way, or coalesced with an event that had been cleared by then: a clock that stands still hides that order.
		in.counts.outcome++
		return evtchn.Zero, away, contest{}
	}
	return pend, away, rival
}

// raisedMasked gives out a send that came while the port was masked.
func (in *infer) raisedMasked(p evtchn.Port) {
	pend := in.st.Pending(p)
	in.raise(p)
	in.elsewhere(evtchn.KindPendTAS, p, uint64(pend), 0, 0)
	in.elsewhere(evtchn.KindMaskRead, p, uint64(evtchn.One), 0, 0)
}

// ignored reports whether the port, unmasked at a place and left alone since, is sent to next, and its own vcpu passes it over in a whole
// upcall after that: the send found it pending.
func (in *infer) ignored(pos int64, p evtchn.Port) bool {
	owner := in.st.PortAt(p).Owner
	var done, scan int64
	for n := pos + 1; n < in.w.tail; n++ {
		r := in.w.at(n)
		switch {
		case r.id == prGap, r.id == prIRQEntry && in.irqs[r.c] == p:
			return false
		case r.id == prHCSend && in.receiver(r) == p:
			if done == 0 {
				done = in.completion(n, r)
			}
		case r.have&fPort != 0 && r.id != prDevWrite && evtchn.Port(r.a) == p:
			return false
		case done == 0 || n < done || evtchn.VCPU(r.cpu) != owner:
		case r.id == prScan:
			scan = n
		case r.id == prUpcallRet && scan != 0:
			return true
		}
	}
	return false
}

// contest is a send by another vcpu of which it is not known whether it came before or after an unmask.
type contest struct {
	ok  bool
	by  evtchn.VCPU
	seq evtchn.Seq // of the send if it was taken to come before, else 0
}

// slack is how long a hypercall is taken to be under way at most, in nanoseconds or in ticks of unknown length, if no record shows it
// done before.
const slack = 1_000_000

// contested looks for a send that the records alone do not put before or after the unmask at a place: one under way at the time of the
// unmask, or with the same time, or one that may have been swallowed by what the port was acknowledged for at the same time.
func (in *infer) contested(pos int64, p evtchn.Port, pend evtchn.Bit) contest {
	pk := &in.ports[p]
	if pend == evtchn.One {
		underWay := pk.doneAt >= in.now && float64(in.now-pk.sentAt)*in.im.head.nsTick <= slack
		if pk.sentSeq == 0 || pk.sentBy == in.v || !underWay && !pk.tied {
			return contest{}
		}
		return contest{true, pk.sentBy, pk.sentSeq}
	}
	// The unmask is done by the vcpu's next record; a send that stands before that, or shares its time, may have been earlier.
	limit := int64(in.now) + in.im.head.tolerance
	if n := in.w.next(pos); n != 0 {
		limit = min(limit, in.w.at(n).time)
	}
	for n := pos + 1; n < min(pos+maxTie, in.w.tail) && in.w.at(n).time <= limit; n++ {
		r := in.w.at(n)
		if r.id == prHCSend && r.fl&rfDone == 0 && r.cpu != int16(in.v) && in.receiver(r) == p && !in.byItself(pos, p) {
			return contest{true, evtchn.VCPU(r.cpu), 0}
		}
	}
	return contest{}
}

// byItself reports whether the port, unmasked at a place and left alone since, is delivered next by a scan that delivers nothing else
// of its word: then the port's own send has selected the word, and did not find the port masked.
func (in *infer) byItself(pos int64, p evtchn.Port) bool {
	n := pos + 1
	for ; ; n++ {
		if n >= in.w.tail {
			return false
		}
		r := in.w.at(n)
		if r.have&fPort == 0 || evtchn.Port(r.a) != p {
			continue
		}
		if r.id == prUnmask || r.id == prBindCPU || r.id == prHCClose {
			return false
		}
		if r.id == prDeliver || r.id == prClear {
			break
		}
	}
	v, w := in.w.at(n).cpu, in.st.Word(p)
	other := func(r *record) bool {
		return (r.id == prDeliver || r.id == prClear) && evtchn.Port(r.a) != p && in.st.Word(evtchn.Port(r.a)) == w
	}
	alone := true
	for i := pos + 1; i < n; i++ {
		if r := in.w.at(i); r.cpu == v {
			if r.id == prScan || r.id == prUpcall {
				alone = true
			} else if other(r) {
				alone = false
			}
		}
	}
	for i := in.w.next(n); i != 0 && alone; i = in.w.next(i) {
		r := in.w.at(i)
		if r.id == prScan || r.id == prUpcallRet || r.id == prUpcall {
			break
		}
		alone = !other(r)
	}
	return alone
}

type fate uint8

const (
	nothing fate = iota
	delivered
	sent
)

// next tells what happens to a port first after a place: it is delivered, or sent to.
func (in *infer) next(pos int64, p evtchn.Port) fate {
	for n := pos + 1; n < in.w.tail; n++ {
		switch r := in.w.at(n); r.id {
		case prDeliver, prClear:
			if evtchn.Port(r.a) == p {
				return delivered
			}
		case prIRQEntry:
			if in.irqs[r.c] == p {
				return delivered
			}
		case prHCSend:
			if in.receiver(r) == p {
				return sent
			}
		}
	}
	return nothing
}
