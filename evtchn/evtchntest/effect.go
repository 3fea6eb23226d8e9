package evtchntest

import (
	"slices"

	"github.com/evtrace/evtrace/evtchn"
)

// effect holds the event's result against what memory holds, and carries the event out.
func (v *validator) effect(l *lane, c *vcpu) {
	ev := &v.ev
	p := ev.Port
	switch ev.Kind {
	case evtchn.KindPendTAS:
		v.want("PEND", v.pend[p])
		v.pend[p] = true
	case evtchn.KindPendRead:
		v.want("PEND", v.pend[p])
	case evtchn.KindPendClear:
		v.want("PEND", v.pend[p])
		v.pend[p] = false
	case evtchn.KindMaskTAS:
		v.want("MASK", v.masked(p))
		v.mask[p] = true
	case evtchn.KindMaskTAC, evtchn.KindMaskClear:
		v.want("MASK", v.masked(p))
		v.mask[p] = false
	case evtchn.KindMaskRead:
		v.want("MASK", v.masked(p))
	case evtchn.KindSelTAS:
		_, t := v.target()
		w := int(ev.Args[1])
		if want := v.word(p); w != want {
			v.bad("word %d, want %d, that of port %d", w, want, p)
		}
		v.want("SEL", t.sel[w])
		t.sel[w] = true
	case evtchn.KindSelXchg:
		var old uint64
		l.words = map[int]int{}
		for w, set := range c.sel {
			if set {
				old |= 1 << w
				l.words[w] = 0
			}
		}
		v.wantNum("SEL", old)
		c.sel = map[int]bool{}
	case evtchn.KindUpTAS:
		_, t := v.target()
		v.want("UP", t.up)
		t.up = true
	case evtchn.KindUpWrite:
		_, t := v.target()
		if t.up = ev.Args[1] == 1; !t.up {
			l.words, l.hand = nil, nil // the upcall starts, or starts over
		}
		v.want("UMASK clear after a store of 1 to the vcpu's own UP", t == c && t.up && !c.umask)
	case evtchn.KindUpRead:
		v.want("UP", c.up)
	case evtchn.KindUmaskWrite:
		c.umask = ev.Args[0] == 1
		v.want("UP set when the guest enables upcalls", !c.inXen && !c.umask && c.up)
	case evtchn.KindWordRead, evtchn.KindSweepRead:
		v.scan(l, c)
	default:
		if !v.xenEffect(l, c) {
			v.guestEffect(l, c)
		}
	}
}

// scan is the reading of an event word.
func (v *validator) scan(l *lane, c *vcpu) {
	ev := &v.ev
	w := int(ev.Args[0])
	var mine, others uint64
	if ev.Kind == evtchn.KindWordRead || l.hand == nil {
		l.hand = map[evtchn.Port]bool{}
		l.seen = map[evtchn.Port]evtchn.Handler{}
	}
	for i := range v.wordBits {
		p := evtchn.Port(w*v.wordBits + i)
		switch {
		case !v.pend[p] || v.masked(p):
		case c.accepts(p) || v.policy.Upcall == evtchn.UpcallAny && ev.Kind == evtchn.KindWordRead:
			mine |= 1 << i
			l.hand[p], l.seen[p] = true, v.port(p).handler
		default:
			others |= 1 << i
		}
	}
	v.wantNum("pending, unmasked ports of this vcpu", mine)
	if ev.Kind == evtchn.KindSweepRead {
		return
	}
	reads, taken := l.words[w]
	if !taken {
		v.bad("word %d was not in what SEL held", w)
	}
	resend := v.policy.Upcall == evtchn.UpcallResend
	if resend && ev.Args[1] != others {
		v.bad("ports of other vcpus %#x, want %#x", ev.Args[1], others)
	}
	switch {
	case v.policy.Upcall == evtchn.UpcallSnapshot:
		if reads > 1 {
			v.bad("word %d is read for the %dth time after one look at SEL", w, reads+1)
		}
		if taken {
			l.words[w] = reads + 1
		}
	case mine == 0:
		delete(l.words, w)
	}
}

// xenEffect carries out what the hypervisor does beside shared memory.
func (v *validator) xenEffect(l *lane, c *vcpu) bool {
	ev := &v.ev
	ps := v.port(ev.Port)
	switch ev.Kind {
	case evtchn.KindHypercall:
		c.inXen = true
		l.call, l.entry, l.tail = evtchn.Hypercall(ev.Args[0]), *ev, false
		switch l.call {
		case evtchn.HCUnmask:
			l.target, l.tail = ps.notify, true
		case evtchn.HCBindVCPU:
			l.target, l.tail = evtchn.VCPU(int16(ev.Args[1])), true
		}
		if locking(l.call) {
			if v.locked != evtchn.NoVCPU {
				v.bad("hypercall %s while vcpu %d holds the event lock", l.call, v.locked)
			}
			v.locked = ev.VCPU
		}
	case evtchn.KindReturn, evtchn.KindBlock:
		if ev.Kind == evtchn.KindReturn {
			v.want("UP set and UMASK clear on the way into the guest", c.due())
		} else if !c.blocked {
			v.bad("it sleeps with its blocked flag clear")
		} else if c.run = evtchn.Blocked; c.polling {
			c.run = evtchn.Polling
		}
		c.inXen = false
		if v.locked == ev.VCPU {
			v.locked = evtchn.NoVCPU
		}
	case evtchn.KindNotifyRead:
		v.wantNum("notify vcpu", uint64(uint16(ps.notify)))
		l.target, l.tail = ps.notify, false
		if ev.Args[0] != uint64(ps.status) {
			v.bad("state %s, want %s", evtchn.PortStatus(ev.Args[0]), ps.status)
		}
	case evtchn.KindNotifyCheck:
		v.wantNum("notify vcpu", uint64(uint16(ps.notify)))
	case evtchn.KindForeignSend:
		if ev.Args[0] != ps.peer>>32 || ev.Args[1] != ps.peer&0xffffffff {
			v.bad("to %d:%d, want %d:%d", ev.Args[0], ev.Args[1], ps.peer>>32, ps.peer&0xffffffff)
		}
		if !ev.Flags.Has(evtchn.FlagForeign) {
			v.bad("it concerns another domain and is not flagged so")
		}
	case evtchn.KindRunRead:
		t, tc := v.target()
		l.ran = tc.run == evtchn.Running && t != ev.VCPU
		v.want("running", l.ran)
	case evtchn.KindBlockedSet:
		c.blocked = true
	case evtchn.KindBlockedClr:
		c.blocked = false
	case evtchn.KindBlockedTAC:
		_, tc := v.target()
		v.want("blocked", tc.blocked)
		if tc.blocked && (tc.run == evtchn.Blocked || tc.run == evtchn.Polling) {
			tc.run, tc.polling = evtchn.Runnable, false
		}
		tc.blocked = false
	case evtchn.KindIPI:
		_, tc := v.target()
		tc.kicks++
	case evtchn.KindPollSet:
		c.polling, c.pollPort = true, evtchn.Port(ev.Args[0])
	case evtchn.KindPollClr:
		c.polling = false
	case evtchn.KindPollTAC:
		_, tc := v.target()
		v.want("polling", tc.polling)
		tc.polling = false
	case evtchn.KindPollRead:
		var set uint64
		for i := range min(64, len(v.vcpus)) {
			set |= num(v.vcpus[i].polling) << i
		}
		v.wantNum("pollers", set)
	default:
		return v.recordEffect(l, ps)
	}
	return true
}

// locking says which hypercalls take the domain's event lock.
func locking(h evtchn.Hypercall) bool {
	switch h {
	case evtchn.HCSend, evtchn.HCStatus, evtchn.HCUnmask, evtchn.HCBlock, evtchn.HCPoll:
		return false
	}
	return true
}

// recordEffect carries out changes of the hypervisor's record of a port.
func (v *validator) recordEffect(l *lane, ps *port) bool {
	ev := &v.ev
	local := func() *port { // the other end, if it is in this domain
		if ps.status == evtchn.PortInterdomain && ps.peer>>32 == 0 && ps.peer != 0 {
			return v.port(evtchn.Port(ps.peer))
		}
		return nil
	}
	switch ev.Kind {
	case evtchn.KindPortBind:
		for p := evtchn.Port(1); p < ev.Port; p++ {
			if v.port(p).status == evtchn.PortFree {
				v.bad("port %d is free and lower", p)
				break
			}
		}
		if ps.status != evtchn.PortFree {
			v.bad("the port is %s, want free", ps.status)
		}
		ps.status, ps.notify, ps.peer = evtchn.PortStatus(ev.Args[0]), evtchn.VCPU(int16(ev.Args[1])), ev.Args[2]
		ps.user, ps.handler = -1, evtchn.HandlerNone
		l.target = ps.notify
		switch ps.status {
		case evtchn.PortVIRQ, evtchn.PortIPI:
			ps.handler = evtchn.HandlerPerCPU
		case evtchn.PortPIRQ:
			ps.handler = evtchn.HandlerIRQ
		case evtchn.PortInterdomain:
			if q := local(); q != nil {
				q.status, q.peer = evtchn.PortInterdomain, uint64(ev.Port)
			}
		}
		if ps.status == evtchn.PortVIRQ && ps.peer == evtchn.VIRQTimer {
			v.vcpus[ps.notify].timer = ev.Port
		}
	case evtchn.KindPortUnbind:
		if ps.status != evtchn.PortInterdomain {
			v.bad("the port is %s, want interdomain", ps.status)
		}
		ps.status = evtchn.PortUnbound
	case evtchn.KindPortClose:
		if ps.status == evtchn.PortFree {
			v.bad("the port is free already")
		}
		if q := local(); q != nil && q != ps && q.status == evtchn.PortInterdomain {
			q.status = evtchn.PortUnbound
		}
		owner := ps.owner
		*ps = port{user: -1, owner: owner}
		v.pend[ev.Port] = false
		for _, c := range v.vcpus {
			if c.timer == ev.Port {
				c.timer = 0
			}
		}
	case evtchn.KindPortVCPU:
		t, _ := v.target()
		switch ps.status {
		case evtchn.PortUnbound, evtchn.PortInterdomain, evtchn.PortPIRQ, evtchn.PortVIRQ:
		default:
			v.bad("the port is %s and cannot be moved", ps.status)
		}
		ps.notify = t
	default:
		return false
	}
	return true
}

// guestEffect carries out what the guest does beside shared memory.
func (v *validator) guestEffect(l *lane, c *vcpu) {
	ev := &v.ev
	p := ev.Port
	ps := v.port(p)
	switch ev.Kind {
	case evtchn.KindUpcallExit:
		v.want("UP", c.up)
		if !c.up {
			c.inUpcall, c.umask = false, false
		}
	case evtchn.KindDeliver:
		if !l.hand[p] {
			v.bad("port %d is not one that the vcpu has seen", p)
		}
		delete(l.hand, p)
	case evtchn.KindOwnerRead:
		v.wantNum("owner", uint64(uint16(ps.owner)))
		l.owner = ps.owner
	case evtchn.KindOwnerWrite:
		ps.owner, _ = v.target()
	case evtchn.KindAcceptSet, evtchn.KindAcceptClear:
		_, t := v.target()
		t.accept[p] = ev.Kind == evtchn.KindAcceptSet
	case evtchn.KindActiveXchg:
		v.want("is_active", ps.active)
		ps.active = true
	case evtchn.KindActiveClear:
		ps.active = false
	case evtchn.KindReasonSet:
		v.wantNum("reasons", ps.reasons)
		ps.reasons |= ev.Args[0]
	case evtchn.KindReasonClear:
		ps.reasons &^= ev.Args[0]
		v.wantNum("reasons left", ps.reasons)
	case evtchn.KindUserSet:
		ps.user, ps.handler = int(int16(ev.Args[0])), evtchn.HandlerUser
	case evtchn.KindIRQSet:
		ps.handler = evtchn.HandlerIRQ
	case evtchn.KindRingPush:
		t := ev.Args[0]
		if int(t) != ps.user || ps.handler != evtchn.HandlerUser {
			v.bad("into the ring of task %d, want %d, the port's user", t, ps.user)
		}
		if ev.Res == 0 {
			v.rings[t] = append(v.rings[t], p)
		}
	case evtchn.KindDrop:
		if ps.handler == evtchn.HandlerUser && ps.user >= 0 {
			v.bad("the port has a user, task %d", ps.user)
		}
	case evtchn.KindRingPop:
		t := ev.Args[0]
		if ring := v.rings[t]; len(ring) == 0 || ring[0] != p {
			v.bad("port %d taken from the ring of task %d, which holds %v", p, t, ring)
		} else {
			v.rings[t] = slices.Clone(ring[1:])
		}
	case evtchn.KindSelect:
		v.want("a port is queued", len(v.rings[ev.Args[0]]) > 0)
	case evtchn.KindRequestPush:
		_, t := v.target()
		t.requests = append(t.requests, p)
	case evtchn.KindRequestPop:
		if len(c.requests) == 0 || c.requests[0] != p {
			v.bad("port %d taken from the requests, which are %v", p, c.requests)
		} else {
			c.requests = slices.Clone(c.requests[1:])
		}
	}
}
