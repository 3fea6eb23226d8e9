package evtchn

import "math/bits"

// deliver starts the handler of a port on the context's vcpu.
func (m *Machine) deliver(c *context, p Port) {
	id := m.procs.handle
	if h := m.PortAt(p).Handler; h == HandlerUser || h == HandlerNone {
		id = m.procs.user
	}
	c.call(id, p, c.vcpu)
}

// handlerProcs defines what is done with a port that the upcall handler has picked: the interrupt flow of a mapped port
// ("Dynamic-irq" of 2005, xen-dyn and xen-percpu of today), and /dev/xen/evtchn (evtchn_device_upcall of 2005, the
// lateeoi handler of today).
func handlerProcs() {
	deliver := step{kind: KindDeliver, own: ownFixed, text: "start the port's handler", do: func(m *Machine, c *context, f *frame, ev *Event) {}}
	mask := step{kind: KindMaskTAS, text: "MASK[port] = 1",
		do: func(m *Machine, c *context, f *frame, ev *Event) { ev.Res = bit(m.Masked(f.port)) }}
	clearStep := step{kind: KindPendClear, text: "PEND[port] = 0",
		do: func(m *Machine, c *context, f *frame, ev *Event) { ev.Res = bit(m.Pending(f.port)) }}
	handled := step{kind: KindHandled, text: "the handler has run; then unmask the port",
		do: func(m *Machine, c *context, f *frame, ev *Event) {
			f.done()
			p := f.port
			c.call(m.procs.unmask, p, NoVCPU)
			m.afterHandler(c, p)
		}}
	define(procHandle2005, "do_IRQ (Dynamic-irq, 2005)", deliver, mask, clearStep, handled)

	active := step{kind: KindActiveXchg, text: "old = exchange is_active with 1; if old: another vcpu has it, stop",
		do: func(m *Machine, c *context, f *frame, ev *Event) {
			ev.Res = flag(m.PortAt(f.port).Active)
			if ev.Res == 1 {
				f.done()
			}
		}}
	define(procHandle2021, "handle_irq_for_port (xen-dyn, xen-percpu, 2021)",
		step{kind: KindDeliver, own: ownFixed, text: "start the port's handler", do: func(m *Machine, c *context, f *frame, ev *Event) {
			if m.PortAt(f.port).Handler == HandlerPerCPU {
				f.pc = 3
			}
		}},
		active,
		step{kind: KindActiveClear, text: "is_active = 0, before PEND is cleared", do: func(m *Machine, c *context, f *frame, ev *Event) {}},
		clearStep,
		step{kind: KindHandled, text: "the handler has run",
			do: func(m *Machine, c *context, f *frame, ev *Event) {
				f.done()
				m.afterHandler(c, f.port)
			}})

	push := func(text string) []step {
		return []step{
			{kind: KindRingPush, text: "if the port has a user: queue it" + text,
				do: func(m *Machine, c *context, f *frame, ev *Event) {
					ps := m.PortAt(f.port)
					if ps.Handler != HandlerUser || ps.User < 0 {
						ev.Kind = KindDrop
						f.done()
						return
					}
					t := ps.User
					ev.Args[0] = uint64(t)
					f.word = t
					if len(m.rings[t]) >= ringSize {
						ev.Res = 1 // the user gets EFBIG until it resets the ring
						f.done()
						return
					}
					if f.on = len(m.rings[t]) > 0; f.on {
						f.done()
					}
					m.rings[t] = append(m.rings[t], f.port)
				}},
			{kind: KindWake, text: "if the ring was empty: wake the user",
				do: func(m *Machine, c *context, f *frame, ev *Event) {
					f.v = m.taskCPU[f.word]
					ev.Args = [3]uint64{vcpuArg(f.v), uint64(f.word)}
					if f.v == c.vcpu || m.ipi[f.v] == NoPort {
						f.done()
					}
				}},
			enterCall(procSend, "if it is on another vcpu: reschedule IPI to that one"),
		}
	}
	define(procUser2005, "evtchn_device_upcall (2005)", append([]step{deliver, mask, clearStep}, push("; else it is dropped, and the port stays masked")...)...)
	define(procUser2021, "evtchn_interrupt (lateeoi, 2021)", append([]step{deliver,
		{kind: KindActiveXchg, text: "old = exchange is_active with 1; if old: another vcpu has it, stop; else do_mask",
			do: func(m *Machine, c *context, f *frame, ev *Event) {
				ev.Res = flag(m.PortAt(f.port).Active)
				if ev.Res == 1 {
					f.done()
					return
				}
				c.doMask(procDoMask2021, f.port, reasonEOI)
			}},
		clearStep}, push("")...)...)

	define(procSweep, "timer tick (sweep)",
		step{kind: KindSweepRead, text: "for each word: PEND & accept[c] & ~MASK, whatever SEL says; handle each of its ports",
			do: func(m *Machine, c *context, f *frame, ev *Event) {
				mine, _ := m.active(c.vcpu, int(f.word))
				ev.Args[0], ev.Res = uint64(f.word), mine
				f.a = mine
				resumeSweep(m, c, f)
			}})
	procTable[procSweep].resume = resumeSweep
}

// InHandler reports whether the vcpu is in the handler of the port: from the step that picked it, or that found nobody else in
// it where the policy has such a step, until the handler has run or the port is queued. cleared: PEND has been cleared since.
func (m *Machine) InHandler(v VCPU, p Port) (in, cleared bool) {
	c := &m.ctx[v]
	for i := range c.depth {
		f := &c.frames[i]
		if f.port != p {
			continue
		}
		switch f.proc {
		case procHandle2005: // deliver, mask, clear, handled
			if f.pc >= 1 && f.pc <= 3 {
				return true, f.pc == 3
			}
		case procUser2005: // deliver, mask, clear, push
			if f.pc >= 1 && f.pc <= 3 {
				return true, f.pc == 3
			}
		case procHandle2021: // deliver, active, active, clear, handled
			if f.pc >= 2 && f.pc <= 4 {
				return true, f.pc == 4
			}
		case procUser2021: // deliver, active, clear, push
			if f.pc >= 2 && f.pc <= 3 {
				return true, f.pc == 3
			}
		}
	}
	return false, false
}

// ringSize is how many ports the device file's ring holds (EVTCHN_RING_SIZE of 2005: a page of 16-bit entries, halved).
const ringSize = 1024

// Reasons for a port to be masked (EVT_MASK_REASON_* of Linux drivers/xen/events/events_base.c).
const (
	reasonExplicit  = 1
	reasonTemporary = 2
	reasonEOI       = 4
)

// afterHandler is what the policy hangs on to handlers of certain ports.
func (m *Machine) afterHandler(c *context, p Port) {
	switch {
	case m.policy.Tick == TickSweep && p == m.guest[c.vcpu].timer:
		f := c.call(procSweep, NoPort, c.vcpu)
		f.word = 0
	case m.policy.Unmask == UnmaskRequest && p == m.ipi[c.vcpu] && len(m.guest[c.vcpu].requests) > 0:
		c.call(procServeRequests, NoPort, c.vcpu)
	}
}

func resumeSweep(m *Machine, c *context, f *frame) {
	if f.a != 0 {
		i := bits.TrailingZeros64(f.a)
		f.a &= f.a - 1
		f.pc = pcResume
		m.deliver(c, m.PortIn(int(f.word), i))
		return
	}
	f.word++
	if int(m.PortIn(int(f.word), 0)) < len(m.P) { // words beyond hold no port that was ever used
		f.pc = 0
		return
	}
	f.done()
}
