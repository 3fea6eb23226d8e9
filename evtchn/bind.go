package evtchn

// VIRQs that are one per vcpu (xen/include/public/xen.h); the others are global and start on vcpu 0.
const (
	VIRQTimer = 0
	VIRQDebug = 1

	numVIRQs = 24
)

func perVCPUVIRQ(virq uint64) bool {
	return virq == VIRQTimer || virq == VIRQDebug || virq == 7 || virq == 13
}

// firstFree gives the lowest port that Xen would allocate, NoPort if all are in use.
func (m *Machine) firstFree() Port {
	for p := Port(1); int(p) < m.Ports(); p++ {
		if int(p) >= len(m.P) || m.P[p].Status == PortFree {
			return p
		}
	}
	return NoPort
}

// bindStep allocates a port and fills in its record.
func bindStep(status PortStatus, then func(m *Machine, c *context, f *frame, p Port)) step {
	return step{kind: KindPortBind, text: "port = lowest free; state = " + status.String(), do: func(m *Machine, c *context, f *frame, ev *Event) {
		p := m.firstFree()
		ev.Port = p
		ev.Args = [3]uint64{uint64(status), vcpuArg(f.v), f.bits}
		f.port, f.value = p, uint64(p)
		if then != nil {
			then(m, c, f, p)
		}
	}}
}

// admit is the check of a bind's arguments at entry of its hypercall: on error it goes straight to the return.
func admit(leavePC uint8, check func(m *Machine, f *frame) (errno int16, notify VCPU, peer uint64)) func(m *Machine, c *context, f *frame, ev *Event) {
	return func(m *Machine, c *context, f *frame, ev *Event) {
		errno, notify, peer := check(m, f)
		if errno == 0 && m.firstFree() == NoPort {
			errno = eNOSPC
		}
		if errno != 0 {
			f.errno, f.pc = errno, leavePC
			return
		}
		f.v, f.bits = notify, peer
	}
}

// bindProcs defines the hypercalls that change a port's record. Each takes the event lock, as in 2005 (evtchn_lock) and
// today (event_lock). Arguments are checked under the lock.
func bindProcs() {
	define(procBindInterdomain, "EVTCHNOP_bind_interdomain",
		enter(HCBindInterdomain, true, admit(2, func(m *Machine, f *frame) (int16, VCPU, uint64) {
			rdom, rport := DomID(f.a), Port(f.b)
			if rdom == 0 {
				if int(rport) >= m.Ports() || rport == NoPort || m.PortAt(rport).Status != PortUnbound {
					return eINVAL, 0, 0
				}
			} else if r := m.RemoteEnd(rdom, rport); r == nil {
				return eSRCH, 0, 0
			} else if r.Local != NoPort {
				return eINVAL, 0, 0
			}
			return 0, 0, f.a<<32 | f.b
		})),
		step{kind: KindPortBind, text: "port = lowest free; interdomain; notify vcpu 0; then set_pending, in case a send was dropped before",
			do: func(m *Machine, c *context, f *frame, ev *Event) {
				p := m.firstFree()
				ev.Port, f.port, f.value = p, p, uint64(p)
				ev.Args = [3]uint64{uint64(PortInterdomain), 0, f.bits}
				if rdom, rport := DomID(f.bits>>32), Port(uint32(f.bits)); rdom != 0 {
					m.RemoteEnd(rdom, rport).Local = p
				}
				if m.policy.Bind != BindQuiet {
					c.call(m.procs.setPending, p, 0)
				}
			}},
		leave())

	simple := func(id procID, h Hypercall, status PortStatus, check func(m *Machine, f *frame) (int16, VCPU, uint64), then func(m *Machine, c *context, f *frame, p Port)) {
		define(id, "EVTCHNOP_"+h.String(), enter(h, true, admit(2, check)), bindStep(status, then), leave())
	}
	simple(procBindVIRQ, HCBindVIRQ, PortVIRQ, func(m *Machine, f *frame) (int16, VCPU, uint64) {
		virq, v := f.a, VCPU(int16(f.b))
		switch {
		case virq >= numVIRQs:
			return eINVAL, 0, 0
		case v < 0 || int(v) >= len(m.V):
			return eNOENT, 0, 0
		case v != 0 && !perVCPUVIRQ(virq):
			return eINVAL, 0, 0
		case m.guest[v].virq[virq] != NoPort:
			return eEXIST, 0, 0
		}
		return 0, v, virq
	}, func(m *Machine, c *context, f *frame, p Port) {
		m.guest[f.v].virq[f.a] = p
		if f.a == VIRQTimer {
			m.guest[f.v].timer = p
		}
	})
	simple(procBindIPI, HCBindIPI, PortIPI, func(m *Machine, f *frame) (int16, VCPU, uint64) {
		if v := VCPU(int16(f.a)); v >= 0 && int(v) < len(m.V) {
			return 0, v, 0
		}
		return eNOENT, 0, 0
	}, func(m *Machine, c *context, f *frame, p Port) {
		if m.ipi[f.v] == NoPort {
			m.ipi[f.v] = p
		}
	})
	simple(procBindPIRQ, HCBindPIRQ, PortPIRQ, func(m *Machine, f *frame) (int16, VCPU, uint64) {
		for p := range m.P {
			if m.P[p].Status == PortPIRQ && m.P[p].Peer == f.a {
				return eEXIST, 0, 0
			}
		}
		return 0, 0, f.a
	}, nil)
	simple(procAllocUnbound, HCAllocUnbound, PortUnbound, func(m *Machine, f *frame) (int16, VCPU, uint64) {
		return 0, 0, f.a << 32
	}, nil)

	define(procClose, "EVTCHNOP_close",
		enter(HCClose, true, func(m *Machine, c *context, f *frame, ev *Event) {
			ps := m.PortAt(f.port)
			switch {
			case ps.Status == PortFree || ps.Status == PortReserved:
				f.errno, f.pc = eINVAL, 3
			case ps.Status != PortInterdomain || ps.Peer>>32 != 0:
				f.pc = 2
			}
		}),
		step{kind: KindPortUnbind, text: "the peer becomes unbound; its PEND is left alone",
			do: func(m *Machine, c *context, f *frame, ev *Event) { ev.Port = Port(uint32(m.PortAt(f.port).Peer)) }},
		step{kind: KindPortClose, text: "the port becomes free; notify vcpu 0; PEND cleared (since xen 120785c177, 2008)",
			do: func(m *Machine, c *context, f *frame, ev *Event) { m.forget(f.port) }},
		leave())

	define(procBindVCPU, "EVTCHNOP_bind_vcpu",
		enter(HCBindVCPU, true, func(m *Machine, c *context, f *frame, ev *Event) {
			ps, v := m.PortAt(f.port), VCPU(int16(f.a))
			global := ps.Status == PortVIRQ && !perVCPUVIRQ(ps.Peer)
			switch {
			case v < 0 || int(v) >= len(m.V):
				f.errno, f.pc = eNOENT, 4
			case ps.Status != PortUnbound && ps.Status != PortInterdomain && ps.Status != PortPIRQ && !global:
				f.errno, f.pc = eINVAL, 4
			}
			f.v = v
		}),
		step{kind: KindPortVCPU, text: "notify_vcpu_id = v; PEND is not looked at",
			do: func(m *Machine, c *context, f *frame, ev *Event) {
				ev.Args[0] = vcpuArg(f.v)
				if m.policy.Rebind != RebindReraise {
					f.pc = 4
				}
			}},
		step{kind: KindPendRead, text: "rebind=reraise: if not PEND[port]: stop",
			do: func(m *Machine, c *context, f *frame, ev *Event) {
				ev.Res = bit(m.Pending(f.port))
				if ev.Res == 0 {
					f.pc = 4
				}
			}},
		step{kind: KindMaskRead, text: "rebind=reraise: if not MASK[port]: SEL, UP and kick of v",
			do: func(m *Machine, c *context, f *frame, ev *Event) {
				ev.Res = bit(m.Masked(f.port))
				if ev.Res == 0 {
					m.notify(c, f.port, f.v)
				}
			}},
		leave())

	define(procStatus, "EVTCHNOP_status", enter(HCStatus, false, func(m *Machine, c *context, f *frame, ev *Event) {
		f.value = uint64(m.PortAt(f.port).Status)
	}), leave())

	define(procReset, "EVTCHNOP_reset",
		enter(HCReset, true, func(m *Machine, c *context, f *frame, ev *Event) { m.nextToClose(f, 0) }),
		step{kind: KindPortClose, text: "close every port in turn",
			do: func(m *Machine, c *context, f *frame, ev *Event) {
				p := f.port
				m.forget(p)
				m.nextToClose(f, p)
			}},
		leave())
}

func (m *Machine) nextToClose(f *frame, after Port) {
	for p := after + 1; int(p) < len(m.P); p++ {
		if m.P[p].Status != PortFree {
			f.port, f.pc = p, 1
			return
		}
	}
	f.port, f.pc = NoPort, 2
}

// forget drops what the machine keeps about a port beside its record.
func (m *Machine) forget(p Port) {
	for v := range m.guest {
		g := &m.guest[v]
		for i, q := range g.virq {
			if q == p {
				g.virq[i] = NoPort
			}
		}
		if g.timer == p {
			g.timer = NoPort
		}
		if m.ipi[v] == p {
			m.ipi[v] = NoPort
		}
	}
	for i := range m.remotes {
		if m.remotes[i].Local == p {
			m.remotes[i].Local = NoPort
		}
	}
}
