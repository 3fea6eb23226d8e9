package evtchn

// schedProcs defines the two ways in which a vcpu goes to sleep (xen/common/schedule.c: do_block, do_poll).
func schedProcs() {
	define(procBlock, "SCHEDOP_block",
		enter(HCBlock, false, nil),
		step{kind: KindUmaskWrite, own: ownAlways, text: "UMASK = 0",
			do: func(m *Machine, c *context, f *frame, ev *Event) {}},
		step{kind: KindBlockedSet, text: "blocked = 1", do: func(m *Machine, c *context, f *frame, ev *Event) {}},
		step{kind: KindUpRead, text: "if UP: stay awake",
			do: func(m *Machine, c *context, f *frame, ev *Event) {
				ev.Res = bit(m.V[c.vcpu].Up)
				if ev.Res == 1 {
					f.pc = 5
				}
			}},
		step{kind: KindBlock, text: "give up the physical CPU, unless somebody has cleared blocked",
			do: func(m *Machine, c *context, f *frame, ev *Event) {
				if m.V[c.vcpu].Blocked {
					f.done()
					return
				}
				// Woken between the two steps: straight back to the guest.
				ev.Kind = KindReturn
				ev.Res = m.callback(c.vcpu)
				f.done()
			}},
		step{kind: KindBlockedClr, text: "blocked = 0", do: func(m *Machine, c *context, f *frame, ev *Event) {}},
		leave())

	define(procPoll, "SCHEDOP_poll",
		enter(HCPoll, false, func(m *Machine, c *context, f *frame, ev *Event) {
			if m.PortAt(f.port).Status == PortFree {
				f.errno, f.pc = eINVAL, 8 // xen d4bfa0c78f, 2020: it would sleep for ever
			}
		}),
		step{kind: KindBlockedSet, text: "blocked = 1", do: func(m *Machine, c *context, f *frame, ev *Event) {}},
		step{kind: KindPollSet, text: "poll_evtchn = port; poll_mask |= this vcpu",
			do: func(m *Machine, c *context, f *frame, ev *Event) { ev.Args[0] = uint64(f.port) }},
		step{kind: KindUpRead, text: "if an upcall is deliverable: stay awake (xen 27b186a0db, 2008)",
			do: func(m *Machine, c *context, f *frame, ev *Event) {
				ev.Res = bit(m.V[c.vcpu].Up)
				if ev.Res == 1 && m.V[c.vcpu].Umask == Zero {
					f.pc = 6
				}
			}},
		step{kind: KindPendRead, text: "if PEND[port]: stay awake",
			do: func(m *Machine, c *context, f *frame, ev *Event) {
				ev.Res = bit(m.Pending(f.port))
				if ev.Res == 1 {
					f.pc = 6
				}
			}},
		step{kind: KindBlock, text: "give up the physical CPU, unless somebody has cleared blocked",
			do: func(m *Machine, c *context, f *frame, ev *Event) {
				if !m.V[c.vcpu].Blocked {
					ev.Kind = KindReturn
					ev.Res = m.callback(c.vcpu)
				}
				f.done()
			}},
		step{kind: KindPollClr, text: "leave the poll mask",
			do: func(m *Machine, c *context, f *frame, ev *Event) {}},
		step{kind: KindBlockedClr, text: "blocked = 0", do: func(m *Machine, c *context, f *frame, ev *Event) {}},
		leave())
}
