package evtchntest

import (
	"math/bits"

	"github.com/evtrace/evtrace/evtchn"
)

// nextGuest is what follows a step of the guest. It is asked before the step takes effect.
func (v *validator) nextGuest(l *lane, c *vcpu) next {
	ev := &v.ev
	one := ev.Res == 1
	p := v.port(ev.Port)
	kind2021 := v.policy.Ack == evtchn.Ack2021
	switch ev.Kind {
	case evtchn.KindUpWrite:
		t := evtchn.VCPU(int16(ev.Args[0]))
		switch {
		case ev.Args[1] == 0 && v.policy.Upcall == evtchn.UpcallSnapshot && c.timer != evtchn.NoPort:
			return must(evtchn.KindPendRead)
		case ev.Args[1] == 0:
			return must(evtchn.KindSelXchg)
		case l.pops:
			return v.nextRequest(l, c)
		case t != ev.VCPU:
			return calls(evtchn.HCSend)
		}
		return over
	case evtchn.KindPendRead:
		switch {
		case l.last.Kind == evtchn.KindUpWrite: // the timer's port, ahead of the scan
			l.hand = map[evtchn.Port]bool{ev.Port: true}
			l.seen = map[evtchn.Port]evtchn.Handler{ev.Port: p.handler}
			if one && !v.masked(ev.Port) {
				return must(evtchn.KindDeliver)
			}
			return must(evtchn.KindSelXchg)
		case l.pops && one:
			return must(evtchn.KindMaskRead)
		case l.pops:
			return v.nextRequest(l, c)
		case !one:
			return over
		case v.policy.Unmask == evtchn.UnmaskRequest && l.owner != ev.VCPU:
			return must(evtchn.KindRequestPush)
		}
		return must(evtchn.KindSelTAS)
	case evtchn.KindMaskRead:
		if one {
			return v.nextRequest(l, c)
		}
		return must(evtchn.KindSelTAS)
	case evtchn.KindSelTAS:
		switch {
		case l.pops:
			return must(evtchn.KindUpWrite)
		case one:
			return over
		case v.policy.Unmask == evtchn.UnmaskRemoteSel && l.owner != ev.VCPU:
			return calls(evtchn.HCSend)
		}
		return must(evtchn.KindUpWrite)
	case evtchn.KindRequestPush:
		return calls(evtchn.HCSend)
	case evtchn.KindRequestPop:
		l.pops = true
		return must(evtchn.KindPendRead)
	case evtchn.KindOwnerRead:
		if v.policy.Unmask == evtchn.UnmaskHypercall && p.owner != ev.VCPU {
			return calls(evtchn.HCUnmask)
		}
		return must(evtchn.KindMaskClear)
	case evtchn.KindMaskClear:
		if v.policy.Bind == evtchn.BindUnmasked && l.last.Kind != evtchn.KindOwnerRead {
			n := must(evtchn.KindPendRead, evtchn.KindHypercall)
			n.call = []evtchn.Hypercall{evtchn.HCBindInterdomain, evtchn.HCAllocUnbound}
			return n
		}
		return must(evtchn.KindPendRead)
	case evtchn.KindMaskTAS:
		switch {
		case l.last.Kind == evtchn.KindDeliver:
			return must(evtchn.KindPendClear)
		case l.last.Kind == evtchn.KindReasonSet && c.inUpcall:
			return must(evtchn.KindPendClear)
		case l.last.Kind == evtchn.KindReasonSet:
			return must(evtchn.KindUmaskWrite)
		case c.inUpcall && !one: // the upcall that hands on
			return calls(evtchn.HCUnmask)
		}
		return next{free: true, must: []evtchn.Kind{evtchn.KindUserSet, evtchn.KindHypercall}}
	case evtchn.KindDeliver:
		l.handlers = []evtchn.Handler{p.handler, l.seen[ev.Port]}
		switch {
		case !kind2021:
			return must(evtchn.KindMaskTAS)
		case p.handler == evtchn.HandlerPerCPU && l.seen[ev.Port] == evtchn.HandlerPerCPU:
			return must(evtchn.KindPendClear)
		case p.handler == evtchn.HandlerPerCPU || l.seen[ev.Port] == evtchn.HandlerPerCPU:
			return must(evtchn.KindPendClear, evtchn.KindActiveXchg)
		}
		return must(evtchn.KindActiveXchg)
	case evtchn.KindActiveXchg:
		if one {
			return over
		}
		return l.byHandler(evtchn.KindActiveClear, evtchn.KindReasonSet)
	case evtchn.KindActiveClear:
		if c.inUpcall {
			return must(evtchn.KindPendClear)
		}
		return must(evtchn.KindUmaskWrite)
	case evtchn.KindReasonSet:
		switch {
		case ev.Res == 0:
			return must(evtchn.KindMaskTAS)
		case c.inUpcall:
			return must(evtchn.KindPendClear)
		}
		return must(evtchn.KindUmaskWrite)
	case evtchn.KindReasonClear:
		if ev.Res == 0 {
			return v.unmask()
		}
		return must(evtchn.KindUmaskWrite)
	case evtchn.KindUmaskWrite:
		if ev.Args[0] == 1 {
			n := must(evtchn.KindHypercall, evtchn.KindReasonSet, evtchn.KindReasonClear)
			n.call = []evtchn.Hypercall{evtchn.HCBlock}
			return n
		}
		return over
	case evtchn.KindPendClear:
		return l.byHandler(evtchn.KindHandled, evtchn.KindRingPush, evtchn.KindDrop)
	case evtchn.KindHandled:
		// What a policy hangs on to the handlers of certain ports is done before their unmask.
		switch {
		case kind2021:
		case v.policy.Unmask == evtchn.UnmaskRequest && len(c.requests) > 0 && p.status == evtchn.PortIPI:
			return must(evtchn.KindRequestPop)
		case v.policy.Tick == evtchn.TickSweep && ev.Port == c.timer:
			return must(evtchn.KindSweepRead)
		default:
			return v.unmask()
		}
	case evtchn.KindRingPush:
		if !one && len(v.rings[ev.Args[0]]) == 0 {
			return must(evtchn.KindWake)
		}
	case evtchn.KindWake:
		return next{free: true, must: []evtchn.Kind{evtchn.KindHypercall}}
	case evtchn.KindAcceptClear:
		return must(evtchn.KindAcceptSet)
	case evtchn.KindAcceptSet:
		return must(evtchn.KindOwnerWrite)
	case evtchn.KindOwnerWrite:
		return next{free: true, must: []evtchn.Kind{evtchn.KindUserSet, evtchn.KindIRQSet}}
	case evtchn.KindUserSet:
		if int16(ev.Args[0]) < 0 {
			return calls(evtchn.HCClose)
		}
		if v.policy.Bind != evtchn.BindUnmasked {
			return v.unmask()
		}
	case evtchn.KindIRQSet:
		if v.policy.Bind != evtchn.BindUnmasked {
			return v.unmask()
		}
	default:
		return v.nextScan(l, c)
	}
	return over
}

// byHandler is how the delivery of a port goes on: the way of an interrupt, or that of a device file. The guest looks up the
// handler between reading the word and delivering the port; if the port was closed or bound again in that time, either way
// is right.
func (l *lane) byHandler(irq evtchn.Kind, user ...evtchn.Kind) (n next) {
	for _, h := range l.handlers {
		if h == evtchn.HandlerIRQ || h == evtchn.HandlerPerCPU {
			n.must = append(n.must, irq)
		} else {
			n.must = append(n.must, user...)
		}
	}
	return n
}

// unmask is how an unmask begins.
func (v *validator) unmask() next {
	switch v.policy.Unmask {
	case evtchn.UnmaskLocal:
		return must(evtchn.KindMaskClear)
	case evtchn.UnmaskAlways:
		return calls(evtchn.HCUnmask)
	}
	return must(evtchn.KindOwnerRead)
}

// nextRequest is what follows when a request is served.
func (v *validator) nextRequest(l *lane, c *vcpu) next {
	if len(c.requests) > 0 {
		return must(evtchn.KindRequestPop)
	}
	l.pops = false
	return over
}

// nextScan is what follows a step of the upcall's scan.
func (v *validator) nextScan(l *lane, c *vcpu) next {
	ev := &v.ev
	snapshot := v.policy.Upcall == evtchn.UpcallSnapshot
	scanned := must(evtchn.KindUpcallExit)
	if snapshot {
		scanned = must(evtchn.KindUpRead)
	}
	switch ev.Kind {
	case evtchn.KindSelXchg:
		if ev.Res == 0 {
			return scanned
		}
		return must(evtchn.KindWordRead)
	case evtchn.KindWordRead:
		left := len(l.words)
		if _, in := l.words[int(ev.Args[0])]; in {
			left--
		}
		switch {
		case snapshot:
			return must(evtchn.KindDeliver, evtchn.KindWordRead, evtchn.KindUpRead)
		case ev.Res != 0:
			return must(evtchn.KindDeliver)
		case ev.Args[1] != 0:
			return must(evtchn.KindMaskTAS)
		case left > 0:
			return must(evtchn.KindWordRead)
		}
		return scanned
	case evtchn.KindUpRead:
		if ev.Res == 1 {
			return must(evtchn.KindUpWrite)
		}
		return must(evtchn.KindUpcallExit)
	case evtchn.KindUpcallExit:
		return must(evtchn.KindUpWrite)
	case evtchn.KindSweepRead:
		if ev.Res != 0 {
			return must(evtchn.KindDeliver)
		}
	}
	return over
}

// starts reports whether the event may begin a procedure, or go on with the one around the procedure that has ended.
func (v *validator) starts(l *lane, c *vcpu) bool {
	ev := &v.ev
	switch ev.Kind {
	case evtchn.KindHypercall:
		return true
	case evtchn.KindOpDone, evtchn.KindSelect, evtchn.KindRingPop, evtchn.KindUmaskWrite:
		return !c.inUpcall
	case evtchn.KindActiveClear:
		return !c.inUpcall && v.policy.Ack == evtchn.Ack2021
	case evtchn.KindMaskClear:
		return (!c.inUpcall || v.policy.Tick == evtchn.TickSweep) && (v.policy.Unmask == evtchn.UnmaskLocal || v.policy.Bind == evtchn.BindUnmasked)
	case evtchn.KindOwnerRead:
		return (!c.inUpcall || v.policy.Tick == evtchn.TickSweep || v.policy.Unmask == evtchn.UnmaskRequest) && v.policy.Unmask != evtchn.UnmaskLocal && v.policy.Unmask != evtchn.UnmaskAlways
	case evtchn.KindMaskTAS:
		return !c.inUpcall || v.policy.Upcall == evtchn.UpcallResend
	case evtchn.KindUpcallExit:
		if c.inUpcall && v.wordsLeft(l) {
			v.bad("words %v of SEL were not read", l.words)
		}
		return c.inUpcall && v.policy.Upcall != evtchn.UpcallSnapshot
	case evtchn.KindUpRead:
		if c.inUpcall && v.wordsLeft(l) {
			v.bad("words %v of SEL were not read", l.words)
		}
		return c.inUpcall && v.policy.Upcall == evtchn.UpcallSnapshot
	case evtchn.KindWordRead:
		return c.inUpcall
	case evtchn.KindSelXchg:
		return c.inUpcall && v.policy.Upcall == evtchn.UpcallSnapshot && l.words == nil
	case evtchn.KindSweepRead:
		return c.inUpcall && v.policy.Tick == evtchn.TickSweep
	case evtchn.KindRequestPop:
		return c.inUpcall && v.policy.Unmask == evtchn.UnmaskRequest
	case evtchn.KindDeliver: // the next port of a word read once
		return c.inUpcall && l.hand[ev.Port]
	}
	return false
}

// wordsLeft reports whether a word that the upcall took from SEL was not read to its end.
func (v *validator) wordsLeft(l *lane) bool {
	for _, reads := range l.words {
		if v.policy.Upcall != evtchn.UpcallSnapshot || reads == 0 {
			return true
		}
	}
	return false
}

// lowest checks that a scan which reads its word again after every port takes the lowest.
func (v *validator) lowest(l *lane) {
	if l.last.Kind != evtchn.KindWordRead || v.policy.Upcall == evtchn.UpcallSnapshot {
		return
	}
	want := evtchn.Port(int(l.last.Args[0])*v.wordBits + bits.TrailingZeros64(l.last.Res))
	if v.ev.Port != want {
		v.bad("port %d of the word, want %d, the lowest", v.ev.Port, want)
	}
}
