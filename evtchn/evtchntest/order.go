package evtchntest

import (
	"slices"

	"github.com/evtrace/evtrace/evtchn"
)

// next is what may follow an event in its lane.
type next struct {
	must []evtchn.Kind      // the procedure is not over: one of these
	call []evtchn.Hypercall // where must holds a hypercall: one of these; nil: any
	free bool               // the procedure may be over, and the lane may begin another; must then lists how else it goes on
}

func must(ks ...evtchn.Kind) next { return next{must: ks} }

func calls(hs ...evtchn.Hypercall) next {
	return next{must: []evtchn.Kind{evtchn.KindHypercall}, call: hs}
}

var over = next{free: true}

// order checks that the event follows the last one of its lane, and notes what may follow it.
func (v *validator) order(l *lane, c *vcpu) {
	ev := &v.ev
	from := l
	if ev.Kind == evtchn.KindHypercall && c != nil && !c.inXen {
		from = c.guest()
	}
	n := from.next
	if from.last.Kind == evtchn.KindNone {
		n = v.first(from, c)
	}
	switch {
	case slices.Contains(n.must, ev.Kind):
		if h := evtchn.Hypercall(ev.Args[0]); ev.Kind == evtchn.KindHypercall && n.call != nil && !n.free && !slices.Contains(n.call, h) {
			v.bad("hypercall %s after %s, want %v", h, from.last.Kind, n.call)
		}
		if !n.free && from.last.Kind != evtchn.KindNone && keepsPort(ev) && ev.Port != from.last.Port {
			v.bad("port %d after %s of port %d", ev.Port, from.last.Kind, from.last.Port)
		}
	case !n.free:
		v.bad("after %s, want one of %v", &from.last, n.must)
	case !v.starts(l, c):
		v.bad("after %s, which ended a procedure, and it begins none", &from.last)
	}
	v.told(l, c)
	v.call(l, from, c)
	if ev.Kind == evtchn.KindDeliver {
		v.lowest(l)
	}
	if c == nil || c.inXen || ev.Kind == evtchn.KindHypercall {
		l.next = v.nextXen(l, c)
		if ev.Kind == evtchn.KindReturn || ev.Kind == evtchn.KindBlock {
			c.guest().next = v.afterCall(l)
		}
	} else {
		l.next = v.nextGuest(l, c)
	}
}

// call checks the entry and the return of a hypercall.
func (v *validator) call(l, from *lane, c *vcpu) {
	ev := &v.ev
	switch ev.Kind {
	case evtchn.KindHypercall:
		switch evtchn.Hypercall(ev.Args[0]) {
		case evtchn.HCBlock:
			if !c.umask {
				v.bad("the vcpu goes to sleep without turning upcalls off first")
			}
		case evtchn.HCUnmask:
			if v.policy.Unmask == evtchn.UnmaskHypercall && v.policy.Upcall != evtchn.UpcallResend && from.last.Kind != evtchn.KindOwnerRead {
				v.bad("unmask by hypercall after %s, want owner.read", &from.last)
			}
		}
	case evtchn.KindReturn:
		refused := l.last.Kind == evtchn.KindHypercall && l.call != evtchn.HCStatus && l.call != evtchn.HCReset ||
			l.last.Kind == evtchn.KindNotifyRead && l.last.Args[0] != uint64(evtchn.PortUnbound)
		if got := ev.Args[0] != 0; got != refused {
			v.bad("%s returns %s after %s", l.call, evtchn.ErrnoName(int64(ev.Args[0])), &l.last)
		}
	case evtchn.KindPortVCPU:
		if ev.Args[0] != l.entry.Args[1] {
			v.bad("bound to vcpu %d, want %d as the hypercall says", ev.Args[0], l.entry.Args[1])
		}
	}
}

// first is what a lane begins with.
func (v *validator) first(l *lane, c *vcpu) next {
	switch {
	case c == nil:
		return must(evtchn.KindNotifyRead)
	case l == &c.upcall:
		return must(evtchn.KindUpWrite)
	case l == &c.xen:
		return must(evtchn.KindHypercall)
	}
	return over
}

// keepsPort reports whether the event, where it continues a procedure, is about the port of the step before.
func keepsPort(ev *evtchn.Event) bool {
	switch ev.Kind {
	case evtchn.KindPendTAS, evtchn.KindMaskRead, evtchn.KindMaskTAC, evtchn.KindSelTAS, evtchn.KindUpTAS, evtchn.KindRunRead,
		evtchn.KindNotifyCheck, evtchn.KindPendClear, evtchn.KindHandled, evtchn.KindRingPush, evtchn.KindDrop, evtchn.KindWake,
		evtchn.KindActiveXchg, evtchn.KindActiveClear, evtchn.KindReasonSet, evtchn.KindAcceptSet, evtchn.KindOwnerWrite,
		evtchn.KindRequestPush:
		return true
	}
	return false
}

// told checks whom a step that tells a vcpu is meant for.
func (v *validator) told(l *lane, c *vcpu) {
	ev := &v.ev
	switch ev.Kind {
	case evtchn.KindSelTAS, evtchn.KindUpTAS, evtchn.KindRunRead, evtchn.KindIPI:
	case evtchn.KindBlockedTAC:
		if l.last.Kind == evtchn.KindPollTAC {
			if ev.Args[0] != l.last.Args[0] {
				v.bad("wakes vcpu %d, want %d, the poller", ev.Args[0], l.last.Args[0])
			}
			return
		}
	case evtchn.KindUpWrite:
		if ev.Args[1] == 0 {
			if evtchn.VCPU(int16(ev.Args[0])) != ev.VCPU || !c.inUpcall {
				v.bad("clears UP of vcpu %d on vcpu %d, in an upcall %t", int16(ev.Args[0]), ev.VCPU, c.inUpcall)
			}
			return
		}
	case evtchn.KindPollTAC:
		if t, tc := v.target(); tc.polling && tc.pollPort != evtchn.NoPort && tc.pollPort != ev.Port {
			v.bad("vcpu %d polls port %d, not port %d", t, tc.pollPort, ev.Port)
		}
		return
	default:
		return
	}
	want := l.target
	if c != nil && !c.inXen {
		want = ev.VCPU
		if v.policy.Unmask >= evtchn.UnmaskRemoteUp && !l.pops {
			want = l.owner
		}
	}
	if got := evtchn.VCPU(int16(ev.Args[0])); got != want {
		v.bad("tells vcpu %d, want %d", got, want)
	}
}

// nextXen is what follows a step of the hypervisor. It is asked before the step takes effect.
func (v *validator) nextXen(l *lane, c *vcpu) next {
	ev := &v.ev
	if ev.Kind == evtchn.KindHypercall {
		return v.enterXen(evtchn.Hypercall(ev.Args[0]))
	}
	end := must(evtchn.KindReturn)
	if c == nil {
		end = must(evtchn.KindNotifyRead)
	}
	either := func(cond bool, yes evtchn.Kind) next {
		if cond {
			return must(yes)
		}
		return end
	}
	one := ev.Res == 1
	toldNow := func() next {
		switch {
		case l.tail:
			return end
		case v.policy.Send == evtchn.SendRecheck:
			return must(evtchn.KindNotifyCheck)
		}
		return either(v.polled(ev.Port, evtchn.NoVCPU), evtchn.KindPollRead)
	}
	switch ev.Kind {
	case evtchn.KindNotifyRead:
		state := evtchn.PortStatus(ev.Args[0])
		switch {
		case c == nil:
			return either(state >= evtchn.PortInterdomain && state <= evtchn.PortIPI, evtchn.KindPendTAS)
		case state == evtchn.PortIPI || state == evtchn.PortInterdomain && ev.Port != l.entry.Port:
			return must(evtchn.KindPendTAS)
		}
		return either(state == evtchn.PortInterdomain, evtchn.KindForeignSend)
	case evtchn.KindPortBind:
		return either(evtchn.PortStatus(ev.Args[0]) == evtchn.PortInterdomain && v.policy.Bind != evtchn.BindQuiet, evtchn.KindPendTAS)
	case evtchn.KindPortUnbind:
		return must(evtchn.KindPortClose)
	case evtchn.KindPortClose:
		if l.call == evtchn.HCReset {
			return must(evtchn.KindPortClose, evtchn.KindReturn)
		}
	case evtchn.KindPortVCPU:
		return either(v.policy.Rebind == evtchn.RebindReraise, evtchn.KindPendRead)
	case evtchn.KindMaskTAC:
		return either(one, evtchn.KindPendRead)
	case evtchn.KindPendTAS:
		switch {
		case one:
			return end
		case v.policy.SetPending == evtchn.SetPendingIgnoreMask:
			return must(evtchn.KindSelTAS)
		}
		return must(evtchn.KindMaskRead)
	case evtchn.KindPendRead:
		switch {
		case l.call == evtchn.HCUnmask:
			return either(one, evtchn.KindSelTAS)
		case l.call == evtchn.HCBindVCPU:
			return either(one, evtchn.KindMaskRead)
		case one:
			return must(evtchn.KindPollClr)
		}
		return asleep()
	case evtchn.KindMaskRead:
		switch {
		case !one:
			return must(evtchn.KindSelTAS)
		case l.tail && c != nil:
			return end
		}
		return either(v.polled(ev.Port, evtchn.NoVCPU), evtchn.KindPollRead)
	case evtchn.KindSelTAS:
		if !one {
			return must(evtchn.KindUpTAS)
		}
		return toldNow()
	case evtchn.KindUpTAS:
		if !one {
			return must(evtchn.KindRunRead)
		}
		return toldNow()
	case evtchn.KindRunRead:
		return must(evtchn.KindBlockedTAC)
	case evtchn.KindBlockedTAC:
		switch {
		case l.last.Kind == evtchn.KindPollTAC:
			return either(v.polled(ev.Port, evtchn.VCPU(int16(ev.Args[0]))), evtchn.KindPollRead)
		case l.ran:
			return must(evtchn.KindIPI)
		}
		return toldNow()
	case evtchn.KindIPI:
		return toldNow()
	case evtchn.KindNotifyCheck:
		if now := evtchn.VCPU(int16(ev.Res)); now != l.target {
			l.target = now
			return must(evtchn.KindSelTAS)
		}
		return either(v.polled(ev.Port, evtchn.NoVCPU), evtchn.KindPollRead)
	case evtchn.KindPollRead:
		return either(v.polled(ev.Port, evtchn.NoVCPU), evtchn.KindPollTAC)
	case evtchn.KindPollTAC:
		if one {
			return must(evtchn.KindBlockedTAC)
		}
		return either(v.polled(ev.Port, evtchn.NoVCPU), evtchn.KindPollRead)
	case evtchn.KindUmaskWrite:
		return must(evtchn.KindBlockedSet)
	case evtchn.KindBlockedSet:
		if l.call == evtchn.HCBlock {
			return must(evtchn.KindUpRead)
		}
		return must(evtchn.KindPollSet)
	case evtchn.KindPollSet:
		return must(evtchn.KindUpRead)
	case evtchn.KindUpRead:
		switch {
		case l.call == evtchn.HCPoll && one && !c.umask:
			return must(evtchn.KindPollClr)
		case l.call == evtchn.HCPoll:
			return must(evtchn.KindPendRead)
		case one:
			return must(evtchn.KindBlockedClr)
		}
		return asleep()
	case evtchn.KindPollClr:
		return must(evtchn.KindBlockedClr)
	}
	return end
}

// asleep is the last step of a vcpu that goes to sleep: it depends on what its blocked flag is by then.
func asleep() next { return must(evtchn.KindBlock, evtchn.KindReturn) }

// polled reports whether some vcpu but one polls the port.
func (v *validator) polled(p evtchn.Port, but evtchn.VCPU) bool {
	for i, c := range v.vcpus {
		if c.polling && evtchn.VCPU(i) != but && (c.pollPort == evtchn.NoPort || c.pollPort == p) {
			return true
		}
	}
	return false
}

// enterXen is what a hypercall begins with.
func (v *validator) enterXen(h evtchn.Hypercall) next {
	ps := v.port(v.ev.Port)
	inUse := ps.status != evtchn.PortFree
	switch h {
	case evtchn.HCSend:
		return must(evtchn.KindNotifyRead)
	case evtchn.HCUnmask:
		if inUse {
			return must(evtchn.KindMaskTAC)
		}
	case evtchn.HCBindInterdomain, evtchn.HCBindVIRQ, evtchn.HCBindIPI, evtchn.HCBindPIRQ, evtchn.HCAllocUnbound:
		return must(evtchn.KindPortBind, evtchn.KindReturn)
	case evtchn.HCClose:
		switch {
		case inUse && ps.status == evtchn.PortInterdomain && ps.peer>>32 == 0:
			return must(evtchn.KindPortUnbind)
		case inUse:
			return must(evtchn.KindPortClose)
		}
	case evtchn.HCBindVCPU:
		return must(evtchn.KindPortVCPU, evtchn.KindReturn)
	case evtchn.HCReset:
		return must(evtchn.KindPortClose, evtchn.KindReturn)
	case evtchn.HCBlock:
		return must(evtchn.KindUmaskWrite)
	case evtchn.HCPoll:
		if inUse {
			return must(evtchn.KindBlockedSet)
		}
	}
	return must(evtchn.KindReturn)
}

// afterCall is what a guest's procedure does after a hypercall.
func (v *validator) afterCall(l *lane) next {
	ok := v.ev.Args[0] == 0
	n := next{free: true, must: []evtchn.Kind{evtchn.KindOpDone}}
	switch l.call {
	case evtchn.HCBindVIRQ, evtchn.HCBindIPI, evtchn.HCBindPIRQ:
		if ok {
			return must(evtchn.KindAcceptClear)
		}
		return must(evtchn.KindOpDone)
	case evtchn.HCClose:
		n.must = append(n.must, evtchn.KindAcceptClear)
	case evtchn.HCBindVCPU:
		if ok {
			return must(evtchn.KindAcceptClear)
		}
		n.must = append(n.must, evtchn.KindUserSet, evtchn.KindIRQSet)
	case evtchn.HCBindInterdomain:
		switch {
		case !ok:
			return must(evtchn.KindOpDone)
		case v.policy.Bind == evtchn.BindToBinder:
			return calls(evtchn.HCBindVCPU)
		}
		return must(evtchn.KindUserSet, evtchn.KindIRQSet)
	case evtchn.HCAllocUnbound:
		n.must = append(n.must, evtchn.KindUserSet, evtchn.KindHypercall)
	}
	return n
}
