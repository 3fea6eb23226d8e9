package ftrace

import "github.com/evtrace/evtrace/evtchn"

// upcall enters the upcall handler. Whatever its first scan delivers without a visible cause was sent before.
func (in *infer) upcall(pos int64, c *cpuKnow) {
	if c.inUpcall {
		in.leave(c, evtchn.FlagInferred)
	}
	if n := in.w.next(pos); n != 0 && in.w.at(n).id == prScan {
		in.collect(n)
		in.causes(pos)
	}
	in.enter(c, 0)
}

func (in *infer) enter(c *cpuKnow, fl evtchn.Flags) {
	in.put(evtchn.KindUpcall, fl, in.v, evtchn.CtxUpcall, evtchn.NoPort, 0, 0, 0, 0)
	in.ctx = evtchn.CtxUpcall
	*c = cpuKnow{inUpcall: true, implied: fl != 0}
}

// leave ends the upcall.
func (in *infer) leave(c *cpuKnow, fl evtchn.Flags) {
	in.settleClear(c)
	in.put(evtchn.KindUpcallExit, fl, in.v, evtchn.CtxUpcall, evtchn.NoPort, 0, c.handled, 0, 0)
	*c = cpuKnow{}
}

// implyUpcall enters an upcall of which no record was seen: an interrupt is being handled, so there was one. It scanned, too.
func (in *infer) implyUpcall(pos int64, c *cpuKnow, scanned bool) {
	in.enter(c, evtchn.FlagInferred)
	in.deduced[prUpcall]++
	if scanned && !in.fifo {
		in.want = in.want[:0]
		in.takeSel(pos, c)
	}
}

// collect finds the ports that the scan at a place delivers, up to the next scan or the end of the upcall.
func (in *infer) collect(pos int64) {
	in.want = in.want[:0]
	fresh := false // a delivery since the last handler's entry
	for n := in.w.next(pos); n != 0; n = in.w.next(n) {
		r := in.w.at(n)
		p := evtchn.NoPort
		switch r.id {
		case prScan, prUpcallRet, prUpcall, prGap:
			return
		case prDeliver, prClear:
			p = in.port(r.a)
			fresh = true
		case prIRQEntry:
			if !fresh {
				p = in.irqs[r.c]
			}
			fresh = false
		case prDevIRQ:
			p = in.port(r.a)
		}
		if p == evtchn.NoPort || len(in.want) > 0 && in.want[len(in.want)-1].port == p {
			continue
		}
		if r.id != prDeliver && in.wants(p) {
			continue
		}
		in.want = append(in.want, wanted{p, n})
	}
}

func (in *infer) wants(p evtchn.Port) bool {
	for i := range in.want {
		if in.want[i].port == p {
			return true
		}
	}
	return false
}

// causes gives out the sends that the scan's deliveries rest on and that no record before them shows.
func (in *infer) causes(pos int64) {
	for i := 0; i < len(in.want); i++ {
		q := in.want[i]
		if in.st.Pending(q.port) == evtchn.One {
			continue
		}
		if in.visibleSend(pos, q) {
			continue
		}
		if in.st.Pending(q.port) != evtchn.One {
			in.invisible(q.port)
		}
	}
}

// visibleSend looks for a send to the port among the records that the delivery may rest on although the upcall precedes them:
// those up to the delivery, and those whose time is no later. The latter are taken out of their turn.
func (in *infer) visibleSend(pos int64, q wanted) bool {
	switch in.st.PortAt(q.port).Status {
	case evtchn.PortVIRQ, evtchn.PortPIRQ:
		return false
	}
	limit := in.w.at(q.at).time
	for n := pos + 1; n < in.w.tail; n++ {
		r := in.w.at(n)
		if n > q.at && (r.time > limit || n > q.at+maxTie) {
			return false
		}
		if (r.id == prHCSend || r.id == prHCIPI) && r.fl&rfDone == 0 && in.receiver(r) == q.port {
			if n > q.at {
				if r.cpu == int16(in.v) {
					continue // this vcpu's own, and after the delivery
				}
				in.early(n)
			}
			return true
		}
	}
	return false
}

// maxTie bounds how far a record with the same time is looked for.
const maxTie = 512

// early processes a send before its turn.
func (in *infer) early(pos int64) {
	r := in.w.at(pos)
	r.fl |= rfDone
	in.counts.early++
	v, ctx := in.v, in.ctx
	in.turn(r)
	in.dispatch(pos, r)
	in.v, in.ctx = v, ctx
}

// invisible gives out a send from outside the domain to a port that the record's vcpu is about to deliver.
func (in *infer) invisible(p evtchn.Port) {
	in.counts.invisible++
	in.own(p, in.w.head)
	in.raise(p)
	in.elsewhere(evtchn.KindPendTAS, p, uint64(in.st.Pending(p)), 0, 0)
	in.elsewhere(evtchn.KindMaskRead, p, 0, 0, 0)
	if !in.fifo {
		in.tell(p, in.v)
	}
}

// raise gives out that somebody outside the domain sends to the port, which is the input that the steps after it follow from.
func (in *infer) raise(p evtchn.Port) {
	ps := in.st.PortAt(p)
	const fl = evtchn.FlagInferred | evtchn.FlagInput
	switch ps.Status {
	case evtchn.PortVIRQ:
		in.put(evtchn.KindVIRQ, fl, evtchn.NoVCPU, ctxElsewhere, p, 0, vnum(in.v), ps.Peer, 0)
	case evtchn.PortPIRQ:
		in.put(evtchn.KindPIRQ, fl, evtchn.NoVCPU, ctxElsewhere, p, 0, ps.Peer, 0, 0)
	default:
		in.put(evtchn.KindSend, fl, evtchn.NoVCPU, ctxElsewhere, p, 0, ps.Peer>>32, 0, 0)
	}
}

// tell gives out the end of a set_pending from outside: the vcpu's SEL, UP and kick.
func (in *infer) tell(p evtchn.Port, v evtchn.VCPU) {
	sel := in.st.Selected(v, in.st.Word(p))
	in.elsewhere(evtchn.KindSelTAS, p, uint64(sel), vnum(v), in.word(p))
	if sel != evtchn.One {
		in.elsewhere(evtchn.KindUpTAS, p, unknownNum, vnum(v), 0)
		in.elsewhere(evtchn.KindIPI, p, 0, vnum(v), 0)
	}
}

// scan is handle_events: it takes SEL and reads the words.
func (in *infer) scan(pos int64, c *cpuKnow) {
	if !c.inUpcall {
		in.implyUpcall(pos, c, false)
	}
	in.settleClear(c)
	in.collect(pos)
	if c.scans > 0 {
		in.causes(pos)
	}
	if in.fifo {
		c.scans, c.scan = c.scans+1, pos
		return
	}
	in.takeSel(pos, c)
}

// takeSel takes the vcpu's SEL, and turns away from the ports of other vcpus for which it was set.
func (in *infer) takeSel(pos int64, c *cpuKnow) {
	vc := &in.st.V[in.v]
	c.sel = vc.Sel
	c.scan = pos
	c.scans++
	in.infer(evtchn.KindSelXchg, evtchn.NoPort, vc.Sel, ^vc.Sel)
	done := -1
	for _, q := range in.st.ExposedPorts() {
		w := in.st.Word(q)
		if w <= done || !in.turnsAway(q) {
			continue
		}
		// One read per word; the lowest first is not needed, each once is.
		var away, picked uint64
		for _, o := range in.st.ExposedPorts() {
			if in.st.Word(o) == w && in.turnsAway(o) {
				away |= 1 << (uint(o) & 63)
			}
		}
		for _, o := range in.want {
			if in.st.Word(o.port) == w {
				picked |= 1 << (uint(o.port) & 63)
			}
		}
		in.infer(evtchn.KindWordRead, evtchn.NoPort, picked, uint64(w), 0, ^(away | picked))
	}
}

// turnsAway reports whether the scan that begins here passes over the port: the vcpu's SEL bit was set for it, but it is
// known to belong to another vcpu. A port of this vcpu that is not delivered was sent to after the scan, whatever the records' order.
func (in *infer) turnsAway(p evtchn.Port) bool {
	ps := in.st.PortAt(p)
	return ps.Own.Has(in.v) && ps.Owner >= 0 && ps.Owner != in.v && !in.wants(p) &&
		in.st.Selected(in.v, in.st.Word(p)) != evtchn.One
}

// deliver is handle_irq_for_port.
func (in *infer) deliver(pos int64, p evtchn.Port, c *cpuKnow) {
	if !c.inUpcall {
		in.implyUpcall(pos, c, true)
	}
	in.settleClear(c)
	if in.ports[p].shut {
		in.proof.unmask++
	}
	in.prepare(pos, p, c)
	in.seen(evtchn.KindDeliver, p, 0)
	c.open, c.cur, c.dirty = p, p, p
	c.handled++
}

// prepare makes the delivery of the port on this vcpu follow from what the State knows.
func (in *infer) prepare(pos int64, p evtchn.Port, c *cpuKnow) {
	pk := &in.ports[p]
	ps := in.st.PortAt(p)
	if in.st.Pending(p) != evtchn.One {
		in.invisible(p)
	} else if !in.fifo && !ps.Own.Has(in.v) {
		w := in.st.Word(p)
		switch {
		case in.st.Masked(p) == evtchn.One && pk.masked > pos:
			// The mask that was seen comes later than this vcpu's look at the word.
		case !in.st.Exposed(p):
			in.tell(p, in.v) // its unmask was missed
			if pk.shut {
				in.deduced[prUnmask]++
				pk.shut = false
			}
		case c.sel>>(w&63)&1 == 0 && in.st.Selected(in.v, w) != evtchn.One:
			// Nobody told this vcpu of it, yet it looks at the word: something unseen selected it.
			in.put(evtchn.KindSelTAS, evtchn.FlagInferred, evtchn.NoVCPU, evtchn.CtxNone, evtchn.NoPort, unknownNum, vnum(in.v), uint64(w), 0)
			c.sel |= 1 << (w & 63)
		}
	}
	if m := in.st.Masked(p); m == evtchn.Unknown || m == evtchn.One && pk.masked <= pos {
		in.infer(evtchn.KindMaskRead, p, 0)
	}
	in.own(p, c.scan)
	pk.pendEpoch = in.epoch
}

// own learns from a delivery that the port is the record's vcpu's: a scan passes over others. A bind that came after the place where
// the scan began does not count. With FIFO, a vcpu handles what stands in its queues, whoever it is bound to now.
func (in *infer) own(p evtchn.Port, scan int64) {
	pk, ps := &in.ports[p], in.st.PortAt(p)
	if in.fifo && ps.Owner >= 0 {
		return
	}
	if ps.Owner != in.v && (ps.Owner < 0 || pk.bound < scan) {
		in.infer(evtchn.KindOwnerWrite, p, 0, vnum(in.v))
	}
	if ps.Notify < 0 || ps.Notify != in.v && pk.ownerEpoch != in.epoch && pk.bound < scan {
		in.xen(evtchn.KindPortVCPU, p, 0, vnum(in.v))
	}
	pk.ownerEpoch = in.epoch
}

// clear is the acknowledgement.
func (in *infer) clear(pos int64, r *record, p evtchn.Port, c *cpuKnow) {
	if c.cur != p && (c.inUpcall || r.fl&rfHardIRQ != 0) {
		// The timer's VIRQ is dispatched without handle_irq_for_port; or that record was missed.
		if !c.inUpcall {
			in.implyUpcall(pos, c, true)
		}
		in.settleClear(c)
		in.prepare(pos, p, c)
		if in.st.PortAt(p).Status != evtchn.PortVIRQ {
			in.deduced[prDeliver]++
		}
		in.infer(evtchn.KindDeliver, p, 0)
		c.open, c.cur = p, p
		c.handled++
	}
	c.dirty = evtchn.NoPort
	in.unseenMask(pos, p)
	in.cleared(pos, p, 0)
}

// unseenMask supplies the mask of a handler that ends late, or of a port that is being bound to another vcpu, in a capture that shows no
// masks: what is done to the port next is to unmask it.
func (in *infer) unseenMask(pos int64, p evtchn.Port) {
	if in.masks || in.fifo || in.st.Masked(p) == evtchn.One {
		return
	}
	for n := pos + 1; n < in.w.tail; n++ {
		r := in.w.at(n)
		if r.have&fPort == 0 || evtchn.Port(r.a) != p || r.id == prHCSend || r.id == prBindCPU || r.id == prHCBindVCPU {
			continue
		}
		if r.id == prUnmask || r.id == prHCUnmask {
			in.ports[p].shut = true
			in.deduced[prMask]++
			in.infer(evtchn.KindMaskTAS, p, uint64(in.st.Masked(p)))
		}
		return
	}
}

func (in *infer) cleared(pos int64, p evtchn.Port, fl evtchn.Flags) {
	pk := &in.ports[p]
	pk.maybe = pk.inflight > pos
	pk.sentSeq = 0
	pk.pendEpoch, pk.clearAt = in.epoch, in.now
	in.put(evtchn.KindPendClear, fl, in.v, in.ctx, p, uint64(in.st.Pending(p)), 0, 0, 0)
}

// settleClear supplies the clear of a delivery that no probe saw: the handler always clears.
func (in *infer) settleClear(c *cpuKnow) {
	if c.dirty == evtchn.NoPort {
		return
	}
	p := c.dirty
	c.dirty = evtchn.NoPort
	in.proof.clear++
	in.deduced[prClear]++
	in.cleared(0, p, evtchn.FlagInferred)
}

// learnIRQ notes which port an irq stands for.
func (in *infer) learnIRQ(irq uint32, p evtchn.Port) { in.irqs[irq] = p }

// irqEntry is the kernel's own record of a handler: it is there even where kprobes were missed.
func (in *infer) irqEntry(pos int64, r *record, c *cpuKnow) {
	if c.open != evtchn.NoPort {
		if in.irqs[r.c] != c.open {
			in.learnIRQ(r.c, c.open)
		}
		c.open, c.curIRQ = evtchn.NoPort, r.c
		return
	}
	p, ok := in.irqs[r.c]
	if !ok || c.cur == p && c.curIRQ == r.c {
		return // not an event channel's, or a second handler of the same
	}
	in.missedHandler(pos, r, p, c)
}

// missedHandler supplies the delivery of a handler of which only irq_handler_entry or the device's own probe was seen.
func (in *infer) missedHandler(pos int64, r *record, p evtchn.Port, c *cpuKnow) {
	if r.fl&rfFlags != 0 && r.fl&rfHardIRQ == 0 && !c.inUpcall {
		return // a handler that is not run by an interrupt
	}
	in.counts.handlers++
	in.proof.clear++
	in.deduced[prDeliver]++
	in.deduced[prClear]++
	if !c.inUpcall {
		in.implyUpcall(pos, c, true)
	}
	in.settleClear(c)
	in.prepare(pos, p, c)
	in.infer(evtchn.KindDeliver, p, 0)
	in.seen(evtchn.KindIRQ, p, 0, uint64(r.c))
	if in.ports[p].late {
		in.deduced[prMask]++
		in.infer(evtchn.KindMaskTAS, p, uint64(in.st.Masked(p)))
	}
	in.cleared(pos, p, evtchn.FlagInferred)
	c.cur, c.curIRQ, c.open = p, r.c, evtchn.NoPort
	c.handled++
}

// irqExit ends an upcall that was deduced, unless more of it follows.
func (in *infer) irqExit(pos int64, r *record, c *cpuKnow) {
	if c.cur != evtchn.NoPort && c.curIRQ == r.c {
		in.seen(evtchn.KindHandled, c.cur, 0)
	}
	if !c.implied {
		return
	}
	if n := in.w.next(pos); n != 0 {
		switch in.w.at(n).id {
		case prIRQEntry, prDeliver, prClear, prScan, prUpcallRet:
			return
		}
	}
	in.leave(c, evtchn.FlagInferred)
}
