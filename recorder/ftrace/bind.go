package ftrace

import "github.com/evtrace/evtrace/evtchn"

// start gives out what is known from the side files. lsevtchn.before holds from the start unless the ring buffer was overwritten:
// then nobody knows how old the first record is, and the table only serves to pair ports.
func (in *infer) start() {
	in.started = true
	h := &in.im.head
	in.v, in.ctx = evtchn.NoVCPU, evtchn.CtxNone
	overwritten := h.overwritten()
	before := parsePorts(in.im.side.Before)
	timers := timerIRQs(in.im.side.Interrupts)
	for _, e := range before {
		if in.port(uint32(e.port)) == evtchn.NoPort {
			continue
		}
		if !overwritten && int(e.vcpu) < len(in.cpus) {
			in.infer(evtchn.KindPortBind, e.port, 0, uint64(e.status), vnum(e.vcpu), e.peer)
			in.infer(evtchn.KindOwnerWrite, e.port, 0, vnum(e.vcpu))
		}
		if e.status == evtchn.PortVIRQ && e.peer == 0 {
			for irq, v := range timers {
				if v == e.vcpu {
					in.learnIRQ(irq, e.port)
				}
			}
		}
	}
	in.pairs(before)
	for _, text := range in.im.side.Later {
		in.pairs(parsePorts(text))
	}
}

// pairs takes the loopback channels of a table: both ends are in it and name each other. A table read later does not undo what an
// earlier one says.
func (in *infer) pairs(es []portEntry) {
	byPort := make(map[evtchn.Port]portEntry, len(es))
	for _, e := range es {
		byPort[e.port] = e
	}
	for _, e := range es {
		if in.port(uint32(e.port)) == evtchn.NoPort {
			continue
		}
		if _, ok := in.hints[e.port]; !ok {
			in.hints[e.port] = e
		}
		if q, ok := loopback(byPort, e); ok && in.port(uint32(q)) != evtchn.NoPort && in.ports[e.port].peer == evtchn.NoPort && in.ports[q].peer == evtchn.NoPort {
			in.pair(e.port, q)
		}
	}
}

// loopback gives the port at the other end of a channel of the domain with itself.
func loopback(byPort map[evtchn.Port]portEntry, e portEntry) (evtchn.Port, bool) {
	if e.status != evtchn.PortInterdomain || e.peer>>32 != 0 && e.peer>>32 != domSelf {
		return 0, false
	}
	q := evtchn.Port(uint32(e.peer))
	o, ok := byPort[q]
	return q, ok && o.status == evtchn.PortInterdomain && o.peer>>32 == e.peer>>32 && evtchn.Port(uint32(o.peer)) == e.port
}

// pair notes that two ports of the domain are the ends of one channel.
func (in *infer) pair(p, q evtchn.Port) {
	in.unpair(p)
	in.unpair(q)
	in.ports[p].peer, in.ports[q].peer = q, p
}

func (in *infer) unpair(p evtchn.Port) {
	if q := in.ports[p].peer; q != evtchn.NoPort {
		in.ports[q].peer = evtchn.NoPort
		in.ports[p].peer = evtchn.NoPort
	}
}

// bind is bind_evtchn_to_irq: Linux learns of a port that Xen has bound before. Which way it was bound tells the ioctl that it is in, or a
// later port table.
func (in *infer) bind(r *record, p evtchn.Port) {
	in.binding[r.pid] = p
	in.ports[p] = portKnow{peer: in.ports[p].peer, bound: in.ports[p].bound, ownerEpoch: in.epoch, pendEpoch: in.epoch}
	switch call := in.ioctls[r.pid]; call.cmd {
	case ioctlBindInterdomain:
		dom, rport := uint64(call.a0&0xffff), uint64(call.a1)
		in.infer(evtchn.KindHypercall, p, 0, uint64(evtchn.HCBindInterdomain), dom, rport)
		in.xen(evtchn.KindPortBind, p, 0, uint64(evtchn.PortInterdomain), 0, dom<<32|rport)
		in.unpair(p)
		if q := in.port(call.a1); q != evtchn.NoPort && q != p && (dom == 0 || dom == domSelf) {
			in.pair(p, q)
			in.xen(evtchn.KindPortBind, q, 0, uint64(evtchn.PortInterdomain), vnum(in.st.PortAt(q).Notify), dom<<32|uint64(p))
		}
		// Xen sets a new port pending by itself; a port that nobody uses is masked.
		in.xen(evtchn.KindPendTAS, p, 0)
		in.xen(evtchn.KindMaskRead, p, uint64(evtchn.One))
		in.xen(evtchn.KindReturn, evtchn.NoPort, unknownNum)
	case ioctlBindUnbound:
		in.infer(evtchn.KindHypercall, p, 0, uint64(evtchn.HCAllocUnbound), uint64(call.a0&0xffff))
		in.xen(evtchn.KindPortBind, p, 0, uint64(evtchn.PortUnbound), 0, uint64(call.a0&0xffff)<<32)
		in.unpair(p)
		in.xen(evtchn.KindReturn, evtchn.NoPort, unknownNum)
	default:
		status, peer := uint64(evtchn.PortUnknown), uint64(0)
		if e, ok := in.hints[p]; ok {
			status, peer = uint64(e.status), e.peer
		}
		in.xen(evtchn.KindPortBind, p, 0, status, 0, peer)
	}
}

// ioctlRet ends a bind ioctl. If the bind's own record was missed, at least the two ends can be paired.
func (in *infer) ioctlRet(r *record) {
	call, ok := in.ioctls[r.pid]
	if !ok {
		return
	}
	delete(in.ioctls, r.pid)
	p := in.port(r.b)
	if call.cmd != ioctlBindInterdomain || p == evtchn.NoPort || int32(r.b) <= 0 {
		return
	}
	if q := in.port(call.a1); q != evtchn.NoPort && q != p && in.ports[p].peer != q && (call.a0 == 0 || call.a0 == domSelf) {
		in.pair(p, q)
	}
}

// bindCPU is the guest's bind to a vcpu: its record of the owner and its accept masks.
func (in *infer) bindCPU(pos int64, r *record, p evtchn.Port) {
	if int(r.b) >= len(in.cpus) {
		return
	}
	in.unseenMask(pos, p)
	pk := &in.ports[p]
	pk.bound, pk.ownerEpoch = pos, in.epoch
	if r.have&fOld != 0 && int(r.d) < len(in.cpus) && r.d != r.b {
		in.seen(evtchn.KindAcceptClear, p, 0, uint64(r.d))
	}
	in.seen(evtchn.KindAcceptSet, p, 0, uint64(r.b))
	in.seen(evtchn.KindOwnerWrite, p, 0, uint64(r.b))
	if in.st.PortAt(p).Notify != evtchn.VCPU(r.b) {
		// Linux does this only after the hypercall that binds the port to the same vcpu.
		in.xen(evtchn.KindPortVCPU, p, 0, uint64(r.b))
	}
}

// close is EVTCHNOP_close: the other end of a channel becomes unbound.
func (in *infer) close(p evtchn.Port) {
	in.seen(evtchn.KindHypercall, p, 0, uint64(evtchn.HCClose), uint64(p))
	in.xen(evtchn.KindPortClose, p, 0)
	if q := in.ports[p].peer; q != evtchn.NoPort {
		in.xen(evtchn.KindPortUnbind, q, 0)
	}
	in.unpair(p)
	in.ports[p] = portKnow{ownerEpoch: in.epoch, pendEpoch: in.epoch}
	in.xen(evtchn.KindReturn, evtchn.NoPort, unknownNum)
}
