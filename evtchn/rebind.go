package evtchn

// rebindProcs defines how a guest moves a port to another vcpu. In each frame v is the new vcpu.
func rebindProcs() {
	hyper := func(text string) step {
		return step{kind: KindHypercall, text: text, do: func(m *Machine, c *context, f *frame, ev *Event) {
			port, v := f.port, f.v
			c.hypercall(procBindVCPU, port, vcpuArg(v), 0)
			g := &c.frames[c.depth-1]
			ev.Ctx, g.pc = CtxXen, 1
			procTable[procBindVCPU].steps[0].do(m, c, g, ev)
		}}
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
				c.hypercall(procSend, port, 0, 0)
				g := &c.frames[c.depth-1]
				ev.Ctx, ev.Port, g.pc = CtxXen, port, 1
				procTable[procSend].steps[0].do(m, c, g, ev)
			}})

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

	define(procRebind2021, "set_affinity_irq (2021)",
		step{kind: KindReasonSet, text: "mask reasons |= temporary; with the first reason MASK is set next",
			do: func(m *Machine, c *context, f *frame, ev *Event) {
				r := m.PortAt(f.port).Reasons
				ev.Args[0], ev.Res = reasonTemporary, uint64(r)
				if r != 0 {
					f.pc = 2
				}
			}},
		step{kind: KindMaskTAS, text: "MASK[port] = 1",
			do: func(m *Machine, c *context, f *frame, ev *Event) { ev.Res = bit(m.Masked(f.port)) }},
		hyper("hypercall bind_vcpu"), move[0], move[1], move[2],
		dropReason(reasonTemporary))
}

// dropReason is the half of do_unmask that decides whether the port is to be unmasked.
func dropReason(reason uint64) step {
	return step{kind: KindReasonClear, text: "drop the reason for being masked; if none is left: unmask",
		do: func(m *Machine, c *context, f *frame, ev *Event) {
			left := uint64(m.PortAt(f.port).Reasons) &^ reason
			ev.Args[0], ev.Res = reason, left
			if left == 0 {
				c.call(m.procs.unmask, f.port, NoVCPU)
			}
		}}
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
