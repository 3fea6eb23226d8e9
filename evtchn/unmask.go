package evtchn

// unmaskProcs defines the ways in which a guest unmasks a port. The baseline is include/asm-xen/evtchn.h of 2005; the
// hypercall is xen 3e616152638b (2005-12-13).
func unmaskProcs() {
	maskClear := step{kind: KindMaskClear, text: "MASK[port] = 0",
		do: func(m *Machine, c *context, f *frame, ev *Event) { ev.Res = bit(m.Masked(f.port)) }}
	pendRead := step{kind: KindPendRead, text: "if not PEND[port]: stop",
		do: func(m *Machine, c *context, f *frame, ev *Event) {
			ev.Res = bit(m.Pending(f.port))
			if ev.Res == 0 {
				f.done()
			}
		}}
	// selTAS sets the selector bit of the vcpu that who names, and stops if it is set.
	selTAS := func(text string, who func(c *context, f *frame) VCPU) step {
		return step{kind: KindSelTAS, text: text, do: func(m *Machine, c *context, f *frame, ev *Event) {
			if m.selTAS(who(c, f), f.port, ev) {
				f.done()
			}
		}}
	}
	ownSel := selTAS("old = test-and-set SEL[c] bit of the port's word, c being the vcpu that runs this; if old: stop",
		func(c *context, f *frame) VCPU { return c.vcpu })
	ownUp := step{kind: KindUpWrite, text: "UP[c] = 1; if UMASK[c] is clear: force the callback",
		do: func(m *Machine, c *context, f *frame, ev *Event) {
			ev.Args = [3]uint64{vcpuArg(c.vcpu), 1}
			ev.Res = flag(m.V[c.vcpu].Umask == Zero)
			f.done()
		}}
	owner := func(other uint8, text string) step {
		return step{kind: KindOwnerRead, own: ownFixed, text: "if the port is bound to this vcpu: go on here; else " + text,
			do: func(m *Machine, c *context, f *frame, ev *Event) {
				f.v = m.PortAt(f.port).Owner
				ev.Res = vcpuArg(f.v)
				if f.v != c.vcpu {
					f.pc = other
				}
			}}
	}
	define(procUnmaskLocal, "unmask_evtchn (2005)", maskClear, pendRead, ownSel, ownUp)

	// Where a hypercall is all that follows, its first step stands in the place of a step of ours.
	callStep := enterCall(procUnmaskCall, "hypercall unmask; the rest as in EVTCHNOP_unmask")
	define(procUnmaskHypercall, "unmask_evtchn (2005-12-13)", owner(5, "EVTCHNOP_unmask"), maskClear, pendRead, ownSel, ownUp, callStep)
	define(procUnmaskAlways, "unmask_evtchn (FreeBSD, NetBSD)", callStep)

	remoteSel := selTAS("old = test-and-set SEL[owner] bit of the port's word; if old: stop",
		func(c *context, f *frame) VCPU { return f.v })
	remoteUp := step{kind: KindUpWrite, text: "UP[owner] = 1",
		do: func(m *Machine, c *context, f *frame, ev *Event) { ev.Args = [3]uint64{vcpuArg(f.v), 1} }}
	sendIPI := enterCall(procSend, "hypercall send on the owner's IPI port")
	define(procUnmaskRemoteUp, "unmask_evtchn (remote SEL, UP, IPI)", owner(5, "tell the owner"), maskClear, pendRead, ownSel, ownUp,
		maskClear, pendRead, remoteSel, remoteUp, sendIPI)
	define(procUnmaskRemoteSel, "unmask_evtchn (remote SEL, IPI)", owner(5, "tell the owner"), maskClear, pendRead, ownSel, ownUp,
		maskClear, pendRead, remoteSel, sendIPI)
	define(procUnmaskRequest, "unmask_evtchn (request to the owner)", owner(5, "ask the owner"), maskClear, pendRead, ownSel, ownUp,
		maskClear, pendRead,
		step{kind: KindRequestPush, text: "put the port into the owner's list of requests",
			do: func(m *Machine, c *context, f *frame, ev *Event) {
				ev.Args[0] = vcpuArg(f.v)
				g := &m.guest[f.v]
				g.requests = append(g.requests, f.port)
			}},
		sendIPI)

	// The owner's half of unmask=request, run by the handler of its IPI.
	define(procServeRequests, "IPI handler (requests)",
		step{kind: KindRequestPop, text: "take a port from the list of requests",
			do: func(m *Machine, c *context, f *frame, ev *Event) {
				g := &m.guest[c.vcpu]
				f.port = g.requests[0]
				g.requests = append(g.requests[:0], g.requests[1:]...)
				ev.Port = f.port
			}},
		step{kind: KindPendRead, text: "if not PEND[port]: next",
			do: func(m *Machine, c *context, f *frame, ev *Event) {
				ev.Res = bit(m.Pending(f.port))
				if ev.Res == 0 {
					m.nextRequest(c, f)
				}
			}},
		step{kind: KindMaskRead, text: "if MASK[port]: next",
			do: func(m *Machine, c *context, f *frame, ev *Event) {
				ev.Res = bit(m.Masked(f.port))
				if ev.Res == 1 {
					m.nextRequest(c, f)
				}
			}},
		step{kind: KindSelTAS, text: "test-and-set SEL[c] bit of the port's word",
			do: func(m *Machine, c *context, f *frame, ev *Event) { m.selTAS(c.vcpu, f.port, ev) }},
		step{kind: KindUpWrite, text: "UP[c] = 1: the upcall under way starts over",
			do: func(m *Machine, c *context, f *frame, ev *Event) {
				ev.Args = [3]uint64{vcpuArg(c.vcpu), 1}
				ev.Res = flag(m.V[c.vcpu].Umask == Zero)
				m.nextRequest(c, f)
			}})
}

func (m *Machine) nextRequest(c *context, f *frame) {
	if len(m.guest[c.vcpu].requests) > 0 {
		f.pc = 0
	} else {
		f.done()
	}
}

// enterCall is a guest's hypercall as the last thing that its procedure does: the hypercall's own first step is carried out
// in its place.
func enterCall(p procID, text string) step {
	own := ownNever
	if p == procSend {
		own = ownInUpcall
	}
	return step{kind: KindHypercall, own: own, text: text, do: func(m *Machine, c *context, f *frame, ev *Event) {
		port := f.port
		if p == procSend {
			port = m.ipi[f.v]
		}
		f.done()
		m.enterInPlace(c, p, port, 0, 0, ev)
	}}
}

// enterInPlace enters a hypercall in the place of the caller's step: the event describes the hypercall's first step.
func (m *Machine) enterInPlace(c *context, p procID, port Port, a, b uint64, ev *Event) {
	c.hypercall(p, port, a, b)
	f := &c.frames[c.depth-1]
	ev.Ctx, ev.Port, f.pc = CtxXen, port, 1
	procTable[p].steps[0].do(m, c, f, ev)
}

// selTAS describes the test-and-set of a vcpu's SEL bit for a port, and reports whether the bit was set.
func (m *Machine) selTAS(v VCPU, p Port, ev *Event) bool {
	w := m.Word(p)
	ev.Args = [3]uint64{vcpuArg(v), uint64(w)}
	ev.Res = bit(m.Selected(v, w))
	return ev.Res == 1
}
