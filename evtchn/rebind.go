package evtchn

// rebindProcs defines how a guest moves a port to another vcpu. In each frame v is the new vcpu.
func rebindProcs() {
	hyper := func(text string) step {
		return step{kind: KindHypercall, text: text, lock: true, do: func(m *Machine, c *context, f *frame, ev *Event) {
			f.pc = pcResume
			m.enterInPlace(c, procBindVCPU, f.port, vcpuArg(f.v), 0, ev)
		}}
	}
	// moved goes on after the hypercall: with the guest's own record, or to the end if Xen refuses, as it does for an IPI's port
	// (rebind_irq_to_cpu: "Ignore it, but don't do the xenlinux-level rebind in that case").
	moved := func(id procID, pc uint8, refused func(m *Machine, c *context, f *frame)) {
		procTable[id].resume = func(m *Machine, c *context, f *frame) {
			c.frames[c.depth-2].errno = c.errno // the operation's result
			if f.pc = pc; c.errno != 0 {
				f.done()
				refused(m, c, f)
			}
		}
	}
	// The guest's own record, in three steps that are not atomic together.
	move := []step{
		{kind: KindAcceptClear, text: "clear the port's bit in the old vcpu's accept mask",
			do: func(m *Machine, c *context, f *frame, ev *Event) { ev.Args[0] = vcpuArg(m.PortAt(f.port).Owner) }},
		{kind: KindAcceptSet, text: "set it in the new vcpu's",
			do: func(m *Machine, c *context, f *frame, ev *Event) { ev.Args[0] = vcpuArg(f.v) }},
		{kind: KindOwnerWrite, text: "note the new vcpu",
			do: func(m *Machine, c *context, f *frame, ev *Event) { ev.Args[0] = vcpuArg(f.v) }},
	}
	define(procMove, "bind_evtchn_to_cpu", move...)

	define(procRebind2005, "set_affinity (2005)",
		hyper("hypercall bind_vcpu"), move[0], move[1],
		step{kind: KindOwnerWrite, text: move[2].text, do: func(m *Machine, c *context, f *frame, ev *Event) {
			move[2].do(m, c, f, ev)
			f.word = -1
			m.nextNOP(c, f)
		}},
		step{kind: KindHypercall, text: "an IPI that does nothing to every other vcpu, in the hope that it picks up what was misdelivered",
			do: func(m *Machine, c *context, f *frame, ev *Event) {
				port := m.ipi[f.word]
				m.nextNOP(c, f)
				m.enterInPlace(c, procSend, port, 0, 0, ev)
			}})

	moved(procRebind2005, 1, func(m *Machine, c *context, f *frame) {})

	define(procRebind2013, "set_affinity (2013)",
		step{kind: KindMaskTAS, text: "masked = test-and-set MASK[port]",
			do: func(m *Machine, c *context, f *frame, ev *Event) {
				ev.Res = bit(m.Masked(f.port))
				f.on = ev.Res == 0
			}},
		hyper("hypercall bind_vcpu"), move[0], move[1],
		step{kind: KindOwnerWrite, text: move[2].text + "; if not masked before: unmask",
			do: func(m *Machine, c *context, f *frame, ev *Event) {
				move[2].do(m, c, f, ev)
				f.done()
				if f.on {
					c.call(m.procs.unmask, f.port, NoVCPU)
				}
			}})

	moved(procRebind2013, 2, func(m *Machine, c *context, f *frame) {
		if f.on {
			c.call(m.procs.unmask, f.port, NoVCPU)
		}
	})

	define(procRebind2021, "set_affinity_irq (2021)",
		hyper("hypercall bind_vcpu"), move[0], move[1],
		step{kind: KindOwnerWrite, text: move[2].text,
			do: func(m *Machine, c *context, f *frame, ev *Event) {
				move[2].do(m, c, f, ev)
				f.done()
				c.doMask(procDoUnmask2021, f.port, reasonTemporary)
			}})
	moved(procRebind2021, 1, func(m *Machine, c *context, f *frame) { c.doMask(procDoUnmask2021, f.port, reasonTemporary) })
	procTable[procRebind2021].begin = func(m *Machine, c *context, f *frame) {
		c.doMask(procDoMask2021, f.port, reasonTemporary)
	}

	// The reasons for being masked change under the port's lock, with upcalls off; so does MASK, to the end of the hypercall.
	off := step{kind: KindUmaskWrite, text: "UMASK = 1, unless it is",
		do: func(m *Machine, c *context, f *frame, ev *Event) { ev.Args[0], f.on = 1, true }}
	on := step{kind: KindUmaskWrite, text: "UMASK = 0, if it was: with UP set, take the upcall",
		do: func(m *Machine, c *context, f *frame, ev *Event) { ev.Res = flag(m.V[c.vcpu].Up == One) }}
	restore := func(m *Machine, f *frame, pc uint8) {
		m.infos[f.port] = 0
		if f.pc = pc; !f.on {
			f.done()
		}
	}
	define(procDoMask2021, "do_mask", off,
		step{kind: KindReasonSet, info: true, text: "mask reasons |= this one",
			do: func(m *Machine, c *context, f *frame, ev *Event) {
				m.takeInfo(f.port, c)
				r := m.PortAt(f.port).Reasons
				ev.Args[0], ev.Res = f.a, uint64(r)
				if r != 0 {
					restore(m, f, 3)
				}
			}},
		step{kind: KindMaskTAS, text: "with the first reason: MASK[port] = 1",
			do: func(m *Machine, c *context, f *frame, ev *Event) {
				ev.Res = bit(m.Masked(f.port))
				restore(m, f, 3)
			}},
		on)
	define(procDoUnmask2021, "do_unmask", off,
		step{kind: KindReasonClear, info: true, text: "mask reasons &= ~this one; if none is left: unmask",
			do: func(m *Machine, c *context, f *frame, ev *Event) {
				m.takeInfo(f.port, c)
				left := uint64(m.PortAt(f.port).Reasons) &^ f.a
				ev.Args[0], ev.Res = f.a, left
				if left != 0 {
					restore(m, f, 2)
					return
				}
				f.pc = pcResume
				c.call(m.procs.unmask, f.port, NoVCPU)
			}},
		on)
	procTable[procDoUnmask2021].resume = func(m *Machine, c *context, f *frame) { restore(m, f, 2) }
}

// doMask calls do_mask or do_unmask for one reason.
func (c *context) doMask(p procID, port Port, reason uint64) {
	f := c.call(p, port, NoVCPU)
	f.a = reason
	if c.inUpcall() {
		f.pc = 1 // upcalls are off already, and stay so
	}
}

func (c *context) inUpcall() bool {
	for i := range c.depth {
		if c.frames[i].ctx == CtxUpcall {
			return true
		}
	}
	return false
}

func (m *Machine) infoHeld(p Port) bool { return int(p) < len(m.infos) && m.infos[p] != 0 }

func (m *Machine) takeInfo(p Port, c *context) {
	for int(p) >= len(m.infos) {
		m.infos = append(m.infos, 0)
	}
	m.infos[p] = c.id + 1
}

// nextNOP finds the next vcpu for the empty IPI.
func (m *Machine) nextNOP(c *context, f *frame) {
	for f.word++; int(f.word) < len(m.V); f.word++ {
		if VCPU(f.word) != c.vcpu && m.ipi[f.word] != NoPort {
			f.pc = 4
			return
		}
	}
	f.done()
}
