package evtchn

// taskProcs defines the operations of tasks: system calls of /dev/xen/evtchn's users, calls of drivers, the idle loop. In
// each frame word is the task, a and b are the operation's arguments.
func taskProcs() {
	opDone := step{kind: KindOpDone, own: ownAlways, text: "the operation is done",
		do: func(m *Machine, c *context, f *frame, ev *Event) {
			ev.Args = [3]uint64{f.bits, uint64(int64(c.errno)), c.value}
		}}
	// hc is an operation that begins with a hypercall, whose first step stands in its place.
	hc := func(p procID) step {
		return step{kind: KindHypercall, text: "hypercall " + procTable[p].name, lock: procTable[p].steps[0].lock,
			do: func(m *Machine, c *context, f *frame, ev *Event) {
				if procTable[f.proc].resume != nil {
					f.pc = pcResume
				}
				m.enterInPlace(c, p, f.port, f.a, f.b, ev)
			}}
	}
	simple := func(id procID, op OpCode, p procID) { define(id, op.String(), hc(p), opDone) }
	simple(procOpAllocUnbound, OpAllocUnbound, procAllocUnbound)
	simple(procOpClose, OpClose, procClose)
	// "Closed ports are implicitly re-bound to VCPU0" (Linux of 2005, unbind_from_irq): the guest's record follows.
	closed := func(pc uint8) func(m *Machine, c *context, f *frame) {
		return func(m *Machine, c *context, f *frame) {
			if f.pc = pc; c.errno == 0 && m.PortAt(f.port).Owner != 0 {
				c.call(procMove, f.port, 0)
			}
		}
	}
	procTable[procOpClose].resume = closed(1)
	simple(procOpStatus, OpStatus, procStatus)
	simple(procOpReset, OpReset, procReset)
	simple(procOpPoll, OpPoll, procPoll)
	define(procOpNotify, "notify", hc(procSend))

	// A port for /dev/xen/evtchn or a driver: the hypercall, then its user, then the unmask, on whatever vcpu this runs.
	unmask := func(m *Machine, c *context, f *frame) {
		if m.policy.Bind != BindUnmasked {
			c.call(m.procs.unmask, f.port, NoVCPU)
		}
	}
	bind := func(id procID, op OpCode, hypercall procID, attach step) {
		unmaskAhead := step{kind: KindMaskClear, text: "bind=unmasked: MASK = 0 for the port that the bind will give",
			do: func(m *Machine, c *context, f *frame, ev *Event) {
				ev.Port = Port(f.value)
				ev.Res = bit(m.Masked(ev.Port))
			}}
		define(id, op.String(),
			unmaskAhead,
			hc(hypercall),
			step{kind: KindHypercall, text: "bind=to-binder: hypercall bind_vcpu to this vcpu, and the guest's record", lock: true,
				do: func(m *Machine, c *context, f *frame, ev *Event) {
					f.pc, f.on = pcResume, true
					m.enterInPlace(c, procBindVCPU, f.port, vcpuArg(c.vcpu), 0, ev)
				}},
			step{kind: KindAcceptClear, text: "bind=to-binder: the old vcpu's accept mask",
				do: func(m *Machine, c *context, f *frame, ev *Event) { ev.Args[0] = vcpuArg(m.PortAt(f.port).Owner) }},
			step{kind: KindAcceptSet, text: "bind=to-binder: this vcpu's accept mask",
				do: func(m *Machine, c *context, f *frame, ev *Event) { ev.Args[0] = vcpuArg(c.vcpu) }},
			step{kind: KindOwnerWrite, text: "bind=to-binder: note this vcpu",
				do: func(m *Machine, c *context, f *frame, ev *Event) { ev.Args[0] = vcpuArg(c.vcpu) }},
			step{kind: attach.kind, text: attach.text, do: func(m *Machine, c *context, f *frame, ev *Event) {
				attach.do(m, c, f, ev)
				c.value = uint64(f.port)
				unmask(m, c, f)
			}},
			step{kind: KindOpDone, own: ownAlways, text: "the operation is done", do: func(m *Machine, c *context, f *frame, ev *Event) {
				if c.errno != 0 {
					f.port = NoPort
				}
				ev.Args = [3]uint64{uint64(op), uint64(int64(c.errno)), uint64(f.port)}
			}})
		procTable[id].begin = func(m *Machine, c *context, f *frame) {
			f.value = uint64(m.firstFree())
			if m.policy.Bind != BindUnmasked || f.value == 0 {
				f.pc = 1
			}
		}
		procTable[id].resume = resumeBind
	}
	user := step{kind: KindUserSet, text: "port_user[port] = this user; unmask the port, on whatever vcpu this is",
		do: func(m *Machine, c *context, f *frame, ev *Event) { ev.Args[0] = uint64(f.word) }}
	irq := step{kind: KindIRQSet, text: "request_irq: attach the handler; unmask the port, on whatever vcpu this is",
		do: func(m *Machine, c *context, f *frame, ev *Event) {}}
	bind(procOpBindRemote, OpBindRemote, procBindInterdomain, user)
	bind(procOpBindUnbound, OpBindUnbound, procAllocUnbound, user)
	bind(procOpBindDriver, OpBindDriver, procBindInterdomain, irq)

	// A per-vcpu or physical interrupt: the guest's record names the vcpu before the port is unmasked.
	bindIRQ := func(id procID, op OpCode, hypercall procID, vcpu func(f *frame) VCPU) {
		define(id, op.String(),
			hc(hypercall),
			step{kind: KindAcceptClear, text: "clear the port's bit in vcpu 0's accept mask",
				do: func(m *Machine, c *context, f *frame, ev *Event) {
					f.port, f.v = Port(c.value), vcpu(f)
					ev.Port, ev.Args[0] = f.port, vcpuArg(m.PortAt(f.port).Owner)
				}},
			step{kind: KindAcceptSet, text: "set it in its own vcpu's",
				do: func(m *Machine, c *context, f *frame, ev *Event) { ev.Args[0] = vcpuArg(f.v) }},
			step{kind: KindOwnerWrite, text: "note its vcpu",
				do: func(m *Machine, c *context, f *frame, ev *Event) {
					ev.Args[0] = vcpuArg(f.v)
					c.call(m.procs.unmask, f.port, NoVCPU)
				}},
			step{kind: KindOpDone, own: ownAlways, text: "the operation is done", do: func(m *Machine, c *context, f *frame, ev *Event) {
				ev.Args = [3]uint64{uint64(op), uint64(int64(c.errno)), uint64(f.port)}
			}})
		procTable[id].resume = func(m *Machine, c *context, f *frame) {
			f.pc = 1
			if c.errno != 0 {
				f.pc = 4
			}
		}
	}
	bindIRQ(procOpBindVIRQ, OpBindVIRQ, procBindVIRQ, func(f *frame) VCPU { return VCPU(int16(f.b)) })
	bindIRQ(procOpBindIPI, OpBindIPI, procBindIPI, func(f *frame) VCPU { return VCPU(int16(f.a)) })
	bindIRQ(procOpBindPIRQ, OpBindPIRQ, procBindPIRQ, func(f *frame) VCPU { return 0 })

	define(procOpUnbind, "unbind",
		step{kind: KindMaskTAS, text: "MASK[port] = 1",
			do: func(m *Machine, c *context, f *frame, ev *Event) { ev.Res = bit(m.Masked(f.port)) }},
		step{kind: KindUserSet, text: "port_user[port] = nobody",
			do: func(m *Machine, c *context, f *frame, ev *Event) { ev.Args[0] = vcpuArg(-1) }},
		hc(procClose), opDone)
	procTable[procOpUnbind].resume = closed(3)

	// /dev/xen/evtchn.
	define(procOpSelect, "select",
		step{kind: KindSelect, text: "if no port is queued: sleep until one is",
			do: func(m *Machine, c *context, f *frame, ev *Event) {
				ev.Args[0], ev.Res = uint64(f.word), flag(len(m.rings[f.word]) > 0)
			}})
	define(procOpRead, "read",
		step{kind: KindRingPop, text: "take every queued port",
			do: func(m *Machine, c *context, f *frame, ev *Event) {
				ring := m.rings[f.word]
				ev.Args[0] = uint64(f.word)
				if len(ring) == 0 { // another thread of the task was faster
					ev.Kind = KindSelect
					return
				}
				ev.Port = ring[0]
				m.rings[f.word] = append(ring[:0], ring[1:]...)
				if len(ring) > 1 {
					f.pc = 0
				}
			}})
	define(procOpWrite2005, "write")
	procTable[procOpWrite2005].begin = func(m *Machine, c *context, f *frame) {
		if ps := m.PortAt(f.port); ps.Handler != HandlerUser || ps.User != f.word {
			return // not this user's port: ignored
		}
		if m.procs.write == procOpWrite2021 {
			c.call(procOpWrite2021, f.port, NoVCPU)
		} else {
			c.call(m.procs.unmask, f.port, NoVCPU)
		}
	}
	define(procOpWrite2021, "xen_irq_lateeoi",
		step{kind: KindActiveClear, text: "is_active = 0; then do_unmask",
			do: func(m *Machine, c *context, f *frame, ev *Event) { c.doMask(procDoUnmask2021, f.port, reasonEOI) }})

	define(procOpAffinity, "set_affinity",
		step{kind: KindOpDone, own: ownAlways, text: opDone.text, do: func(m *Machine, c *context, f *frame, ev *Event) {
			ev.Args = [3]uint64{f.bits, uint64(int64(f.errno))}
		}})
	procTable[procOpAffinity].begin = func(m *Machine, c *context, f *frame) {
		g := c.call(m.procs.rebind, f.port, VCPU(int16(f.a)))
		if begin := procTable[m.procs.rebind].begin; begin != nil {
			begin(m, c, g)
		}
	}

	define(procOpBlock, "idle",
		step{kind: KindUmaskWrite, text: "UMASK = 1, then look whether a task is runnable",
			do: func(m *Machine, c *context, f *frame, ev *Event) { ev.Args[0] = 1 }},
		hc(procBlock))

	define(procOpMask, "disable_irq",
		step{kind: KindMaskTAS, text: "MASK[port] = 1",
			do: func(m *Machine, c *context, f *frame, ev *Event) { ev.Res = bit(m.Masked(f.port)) }})
	procTable[procOpMask].begin = func(m *Machine, c *context, f *frame) {
		if m.policy.Ack == Ack2021 {
			f.done()
			c.doMask(procDoMask2021, f.port, reasonExplicit)
		}
	}
	define(procOpUnmask, "enable_irq")
	procTable[procOpUnmask].begin = func(m *Machine, c *context, f *frame) {
		if m.policy.Ack == Ack2021 {
			c.doMask(procDoUnmask2021, f.port, reasonExplicit)
			return
		}
		c.call(m.procs.unmask, f.port, NoVCPU)
	}
}

// resumeBind goes on after the hypercall of a bind, and after that which moves the port to the binder.
func resumeBind(m *Machine, c *context, f *frame) {
	const pcToBinder, pcMove, pcAttach, pcDone = 2, 3, 6, 7
	if f.on { // from bind_vcpu
		f.on, f.pc = false, pcMove
		if c.errno != 0 { // somebody has closed the port meanwhile
			c.errno, f.pc = 0, pcAttach
		}
		return
	}
	f.port = Port(c.value)
	switch {
	case c.errno != 0:
		f.pc = pcDone
	case m.policy.Bind == BindToBinder:
		f.pc = pcToBinder
	default:
		f.pc = pcAttach
	}
}
