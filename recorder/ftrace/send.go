package ftrace

import (
	"math"

	"github.com/evtrace/evtrace/evtchn"
)

// receiver gives the port of this domain that a send record reaches, or NoPort.
func (in *infer) receiver(r *record) evtchn.Port {
	p := in.port(r.a)
	if r.id == prHCIPI {
		return p
	}
	return in.ports[p].peer
}

// send is EVTCHNOP_send on an interdomain port. Its record stands just before the hypercall is made, so the effect comes later; how
// much later shows in the sender's next record.
func (in *infer) send(pos int64, r *record, port evtchn.Port) {
	in.seen(evtchn.KindHypercall, port, 0, uint64(evtchn.HCSend), uint64(port))
	p := in.ports[port].peer
	if p == evtchn.NoPort {
		if ps := in.st.PortAt(port); ps.Status == evtchn.PortInterdomain && ps.Peer>>32 != 0 {
			in.put(evtchn.KindForeignSend, evtchn.FlagInferred|evtchn.FlagForeign, in.v, evtchn.CtxXen, port, 0, ps.Peer>>32, ps.Peer&0xffffffff, 0)
		} else {
			in.counts.unpaired++
		}
		in.xen(evtchn.KindReturn, evtchn.NoPort, unknownNum)
		return
	}
	end := in.completion(pos, r)
	pk := &in.ports[p]
	pk.inflight = end
	if in.st.Pending(p) != evtchn.One {
		pk.tied = pk.clearAt == in.now
	}
	if at := in.overtaken(pos, end, p); at != 0 {
		in.counts.deferred++
		in.deferred = append(in.deferred, deferredSend{at, in.v, in.ctx, p})
		return
	}
	if old, seq := in.st.Pending(p), in.arrive(p); old != evtchn.One {
		pk.sentSeq, pk.sentBy, pk.sentAt, pk.doneAt = seq, in.v, in.now, math.MaxInt64
		if end < in.w.tail {
			pk.doneAt = evtchn.Time(in.w.at(end).time)
		}
	}
	in.xen(evtchn.KindReturn, evtchn.NoPort, unknownNum)
}

// sendIPI is EVTCHNOP_send on a port that is an IPI.
func (in *infer) sendIPI(pos int64, r *record, p evtchn.Port) {
	in.seen(evtchn.KindHypercall, p, 0, uint64(evtchn.HCSend), uint64(p))
	ps := in.st.PortAt(p)
	if v := evtchn.VCPU(r.b); r.have&fCPU != 0 && r.b < uint32(len(in.cpus)) {
		// The record of the IPI before it says whose it is.
		if ps.Status != evtchn.PortIPI || ps.Notify != v {
			in.xen(evtchn.KindPortBind, p, 0, uint64(evtchn.PortIPI), vnum(v), 0)
		}
		if ps.Owner != v {
			in.xen(evtchn.KindOwnerWrite, p, 0, vnum(v))
		}
		if r.have&fVec != 0 && r.d == vecSpinlock && in.st.Masked(p) != evtchn.One {
			in.xen(evtchn.KindMaskRead, p, uint64(evtchn.One)) // never unmasked: it only ends a SCHEDOP_poll
		}
	}
	in.ports[p].inflight = in.completion(pos, r)
	in.arrive(p)
	in.xen(evtchn.KindReturn, evtchn.NoPort, unknownNum)
}

// arrive gives out set_pending for a port, on behalf of the record's vcpu, and gives the Seq of the step that set PEND; 0 if nobody can say
// what became of it.
func (in *infer) arrive(p evtchn.Port) evtchn.Seq {
	old, v := in.st.Pending(p), in.notify(p)
	pk := &in.ports[p]
	if v < 0 || pk.ownerEpoch != in.epoch {
		d := in.deliverer(p)
		if d < 0 && v < 0 {
			return 0
		}
		if d >= 0 {
			if d != v {
				in.xen(evtchn.KindPortVCPU, p, 0, vnum(d))
				in.xen(evtchn.KindOwnerWrite, p, 0, vnum(d))
			}
			v, pk.ownerEpoch = d, in.epoch
		}
	}
	pk.pendEpoch = in.epoch
	in.xen(evtchn.KindNotifyRead, p, vnum(v), uint64(in.st.PortAt(p).Status))
	in.xen(evtchn.KindPendTAS, p, uint64(old))
	seq := in.im.seq
	if old == evtchn.One {
		return seq
	}
	masked := in.st.Masked(p)
	in.xen(evtchn.KindMaskRead, p, uint64(masked))
	if masked == evtchn.One || in.fifo {
		return seq // with FIFO, the port is linked into a queue, of which nothing is known
	}
	in.signal(p, v)
	return seq
}

// deliverer gives the vcpu that delivers the port next, if that is in the window and the port is not bound to another before: its own.
func (in *infer) deliverer(p evtchn.Port) evtchn.VCPU {
	for n := in.w.head + 1; n < in.w.tail; n++ {
		r := in.w.at(n)
		if r.have&fPort == 0 || evtchn.Port(r.a) != p {
			continue
		}
		switch {
		case r.id == prBindCPU || r.id == prHCBindVCPU || r.id == prHCClose || r.id == prBindEvtchn:
			return evtchn.NoVCPU
		case r.id == prDeliver || r.id == prClear && r.fl&rfHardIRQ != 0:
			return evtchn.VCPU(r.cpu)
		}
	}
	return evtchn.NoVCPU
}

// signal gives out the setting of SEL and UP by the hypervisor; the return that follows stands for the kick.
func (in *infer) signal(p evtchn.Port, v evtchn.VCPU) {
	sel := in.st.Selected(v, in.st.Word(p))
	in.xen(evtchn.KindSelTAS, p, uint64(sel), vnum(v), in.word(p))
	if sel != evtchn.One {
		in.xen(evtchn.KindUpTAS, p, unknownNum, vnum(v))
	}
}

// after gives the place of the vcpu's next record: by then, what the record at pos announces has been done.
func (in *infer) after(pos int64) int64 {
	if n := in.w.next(pos); n != 0 {
		return n
	}
	return in.w.tail
}

// completion gives the place of the first record that shows the hypercall of a record done: the next of the same vcpu that is not of
// an interrupt, or the end of the window.
func (in *infer) completion(pos int64, r *record) int64 {
	for n := in.w.next(pos); n != 0; n = in.w.next(n) {
		q := in.w.at(n)
		if q.fl&rfHardIRQ == 0 || r.fl&rfHardIRQ != 0 {
			return n
		}
	}
	return in.w.tail
}

// overtaken gives the place of a local unmask of the port on a foreign vcpu that comes while the send is under way and did not find
// the port pending, or 0.
func (in *infer) overtaken(pos, end int64, p evtchn.Port) int64 {
	if in.st.Pending(p) == evtchn.One {
		return 0 // swallowed in any case
	}
	for n := pos + 1; n < min(end, pos+maxTie, in.w.tail); n++ {
		r := in.w.at(n)
		if r.id == prUnmask && evtchn.Port(r.a) == p && !in.atHome(p, evtchn.VCPU(r.cpu)) && in.path(n) == localPath {
			if what, _ := in.evidence(n); what == noUpcall {
				return n
			}
		}
	}
	return 0
}
