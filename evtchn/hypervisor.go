package evtchn

// hypervisorProcs defines what Xen does to raise an event. Sources: xen/include/xen/event.h and
// xen/common/event_channel.c of 2005-12 for the baseline; event_2l.c and event_channel.c of today where they agree.
func hypervisorProcs() {
	tas := step{kind: KindPendTAS, text: "old = test-and-set PEND[port]; if old: stop, the event is swallowed",
		do: func(m *Machine, c *context, f *frame, ev *Event) {
			ev.Res = bit(m.Pending(f.port))
			if ev.Res == 1 {
				f.done()
			}
		}}
	const pcPollers = 2 + 6 // in set_pending, as notifySteps puts it
	maskRead := step{kind: KindMaskRead, text: "if MASK[port]: stop; nothing says which vcpu it was for",
		do: func(m *Machine, c *context, f *frame, ev *Event) {
			ev.Res = bit(m.Masked(f.port))
			if ev.Res == 1 {
				m.pollers(f, pcPollers)
			}
		}}
	define(procSetPending, "set_pending", append([]step{tas, maskRead}, notifySteps(2)...)...)
	define(procSetPendingAlways, "set_pending", append([]step{tas}, notifySteps(1)...)...)

	define(procRaise, "raise",
		step{kind: KindNotifyRead, own: ownFixed, text: "v = notify_vcpu_id of the receiving port",
			do: func(m *Machine, c *context, f *frame, ev *Event) {
				ps := m.PortAt(f.port)
				ev.Args[0], ev.Res = uint64(ps.Status), vcpuArg(ps.Notify)
				f.done()
				if ps.Status >= PortInterdomain && ps.Status <= PortIPI {
					c.call(m.procs.setPending, f.port, ps.Notify)
				}
			}})

	sendEntry := enter(HCSend, false, nil)
	sendEntry.own = ownInUpcall
	define(procSend, "EVTCHNOP_send",
		sendEntry,
		step{kind: KindNotifyRead, own: ownFixed, text: "v = notify_vcpu_id of the receiving port",
			do: func(m *Machine, c *context, f *frame, ev *Event) {
				ps := m.PortAt(f.port)
				ev.Args[0], ev.Res = uint64(ps.Status), vcpuArg(ps.Notify)
				switch ps.Status {
				case PortIPI:
					f.pc = 3
					c.call(m.procs.setPending, f.port, ps.Notify)
				case PortInterdomain:
					rdom, rport := DomID(ps.Peer>>32), Port(uint32(ps.Peer))
					if rdom != 0 {
						return // to the other domain
					}
					rs := m.PortAt(rport)
					ev.Port, ev.Args[0], ev.Res = rport, uint64(rs.Status), vcpuArg(rs.Notify)
					f.pc = 3
					if rs.Status == PortInterdomain { // or else the channel is being closed, and the sender's lock is not to be had
						c.call(m.procs.setPending, rport, rs.Notify)
					}
				case PortUnbound: // dropped in silence: the caller is told that all is well
					f.pc = 3
				default:
					f.errno, f.pc = eINVAL, 3
				}
			}},
		step{kind: KindForeignSend, own: ownAlways, text: "raise it at the other domain's end",
			do: func(m *Machine, c *context, f *frame, ev *Event) {
				ps := m.PortAt(f.port)
				ev.Args = [3]uint64{ps.Peer >> 32, uint64(uint32(ps.Peer))}
				ev.Flags |= FlagForeign
			}},
		leave())

	define(procUnmaskCall, "EVTCHNOP_unmask",
		enter(HCUnmask, false, func(m *Machine, c *context, f *frame, ev *Event) {
			ps := m.PortAt(f.port)
			if ps.Status == PortFree {
				f.errno, f.pc = eINVAL, 3
			}
			f.v = ps.Notify // read at entry, with the port's record
		}),
		step{kind: KindMaskTAC, text: "old = test-and-clear MASK[port]; if not old: stop",
			do: func(m *Machine, c *context, f *frame, ev *Event) {
				ev.Res = bit(m.Masked(f.port))
				if ev.Res == 0 {
					f.pc = 3
				}
			}},
		step{kind: KindPendRead, text: "if not PEND[port]: stop; else SEL, UP and kick of the notify vcpu, as in set_pending",
			do: func(m *Machine, c *context, f *frame, ev *Event) {
				ev.Res = bit(m.Pending(f.port))
				if ev.Res == 1 {
					m.notify(c, f.port, f.v)
				}
			}},
		leave())
}

// notifySteps are the steps of set_pending from the selector on. base is the index of the first of them.
func notifySteps(base uint8) []step {
	return []step{
		{kind: KindSelTAS, text: "old = test-and-set SEL[v] bit of the port's word; if old: stop, somebody else sees to UP",
			do: func(m *Machine, c *context, f *frame, ev *Event) {
				if m.selTAS(f.v, f.port, ev) {
					m.afterNotify(f, base)
				}
			}},
		{kind: KindUpTAS, text: "old = test-and-set UP[v]; if old: stop, somebody else sees to the kick",
			do: func(m *Machine, c *context, f *frame, ev *Event) {
				ev.Args[0] = vcpuArg(f.v)
				ev.Res = bit(m.V[f.v].Up)
				if ev.Res == 1 {
					m.afterNotify(f, base)
				}
			}},
		{kind: KindRunRead, text: "r = is v running?",
			do: func(m *Machine, c *context, f *frame, ev *Event) {
				ev.Args[0] = vcpuArg(f.v)
				f.on = m.V[f.v].Run == Running && f.v != c.vcpu
				ev.Res = flag(f.on)
			}},
		{kind: KindBlockedTAC, text: "if test-and-clear of v's blocked flag: wake v",
			do: func(m *Machine, c *context, f *frame, ev *Event) {
				ev.Args[0] = vcpuArg(f.v)
				ev.Res = flag(m.V[f.v].Blocked)
				if !f.on {
					m.afterNotify(f, base)
				}
			}},
		{kind: KindIPI, own: ownNoPolls, text: "if r, and v is not this vcpu: physical IPI to v's CPU",
			do: func(m *Machine, c *context, f *frame, ev *Event) {
				ev.Args[0] = vcpuArg(f.v)
				m.afterNotify(f, base)
			}},
		{kind: KindNotifyCheck, own: ownFixedNoPolls, text: "send=recheck: if notify_vcpu_id has changed, do the same for the new one",
			do: func(m *Machine, c *context, f *frame, ev *Event) {
				now := m.PortAt(f.port).Notify
				ev.Res = vcpuArg(now)
				if now != f.v {
					f.v, f.pc = now, base
					return
				}
				m.pollers(f, base+6)
			}},
		{kind: KindPollRead, text: "if the domain has pollers: wake those that wait for this port",
			do: func(m *Machine, c *context, f *frame, ev *Event) {
				f.word = -1
				for v := range m.V {
					if m.V[v].Polling {
						if v < 64 {
							ev.Res |= 1 << v
						}
						if q := m.V[v].PollPort; f.word < 0 && (q == NoPort || q == f.port) {
							f.word = int32(v)
						}
					}
				}
				if f.word < 0 {
					f.done()
				}
			}},
		{kind: KindPollTAC, text: "test-and-clear of the poller's flag",
			do: func(m *Machine, c *context, f *frame, ev *Event) {
				ev.Args[0] = uint64(f.word)
				ev.Res = flag(m.V[f.word].Polling)
				if ev.Res == 0 {
					m.pollers(f, base+6)
				}
			}},
		{kind: KindBlockedTAC, text: "wake the poller",
			do: func(m *Machine, c *context, f *frame, ev *Event) {
				ev.Args[0] = uint64(f.word)
				ev.Res = flag(m.V[f.word].Blocked)
				m.pollersBut(f, base+6, VCPU(f.word))
			}},
	}
}

// afterNotify is where set_pending goes when the vcpu has been told, or somebody else will see to it.
func (m *Machine) afterNotify(f *frame, base uint8) {
	if f.count == tellOnly {
		f.done()
		return
	}
	if m.policy.Send == SendRecheck {
		f.pc = base + 5
		return
	}
	m.pollers(f, base+6)
}

// pollers goes on to wake pollers if there are any. The poll mask is read together with the step before: a poller first
// enters the mask and then reads PEND, a sender first sets PEND, so one of them sees the other wherever the read falls.
func (m *Machine) pollers(f *frame, pc uint8) { m.pollersBut(f, pc, NoVCPU) }

func (m *Machine) pollersBut(f *frame, pc uint8, but VCPU) {
	for v := range m.V {
		if q := m.V[v].PollPort; m.V[v].Polling && VCPU(v) != but && (q == NoPort || q == f.port) {
			f.pc = pc
			return
		}
	}
	f.done()
}

// tellOnly in a frame's count makes the tail of set_pending stop before the pollers: an unmask or a move tells the vcpu and
// no more.
const tellOnly = -1

// notify calls the tail of set_pending: SEL, UP, kick of v.
func (m *Machine) notify(c *context, p Port, v VCPU) {
	f := c.call(procSetPending, p, v)
	f.pc, f.count = 2, tellOnly
}

// enter is the first step of a hypercall. With lock it takes the domain's event lock until leave.
func enter(h Hypercall, lock bool, also func(m *Machine, c *context, f *frame, ev *Event)) step {
	text := "hypercall " + h.String()
	if lock {
		text += ", taking the event lock"
	}
	return step{kind: KindHypercall, text: text, lock: lock, do: func(m *Machine, c *context, f *frame, ev *Event) {
		ev.Args = [3]uint64{uint64(h), f.a, f.b}
		if lock {
			m.lock = c.id
		}
		if also != nil {
			also(m, c, f, ev)
		}
	}}
}

// leave is the last step of a hypercall: back to the guest, through the upcall if one is due.
func leave() step {
	return step{kind: KindReturn, text: "back to the guest: if UP is set and UMASK clear, take the upcall first",
		do: func(m *Machine, c *context, f *frame, ev *Event) {
			if m.lock == c.id {
				m.lock = -1
			}
			ev.Args = [3]uint64{uint64(int64(f.errno)), f.value}
			ev.Res = m.callback(c.vcpu)
			c.errno, c.value = f.errno, f.value
			f.done()
		}}
}
