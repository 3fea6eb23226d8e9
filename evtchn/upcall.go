package evtchn

import "math/bits"

// upcallProcs defines the upcall handlers: evtchn_do_upcall of 2005 (arch/xen/kernel/evtchn.c) with its variants, and that of
// Linux since 2011 (drivers/xen/events/events_2l.c).
func upcallProcs() {
	define(procUpcall2005, "evtchn_do_upcall (2005)", drain("PEND & accept[c] & ~MASK", false, false)...)
	define(procUpcallAny, "evtchn_do_upcall (any vcpu)", drain("PEND & ~MASK", true, false)...)
	define(procUpcallResend, "evtchn_do_upcall (resend)", drain("PEND & accept[c] & ~MASK, and PEND & ~accept[c] & ~MASK", false, true)...)
	snapshotUpcall()
}

var (
	upClear = step{kind: KindUpWrite, text: "UP[c] = 0",
		do: func(m *Machine, c *context, f *frame, ev *Event) { ev.Args = [3]uint64{vcpuArg(c.vcpu), 0} }}
	upcallExit = step{kind: KindUpcallExit, text: "enable upcalls; if UP is set meanwhile: start over",
		do: func(m *Machine, c *context, f *frame, ev *Event) {
			ev.Args[0] = uint64(f.count)
			ev.Res = bit(m.V[c.vcpu].Up)
			if ev.Res == 1 {
				f.pc, f.count = 0, 0
				return
			}
			c.errno, c.value = f.errno, f.value // what was interrupted knows nothing of the hypercalls made here
		}}
)

// active gives the ports of a word that are pending and unmasked, split into those that the vcpu accepts and the others.
func (m *Machine) active(v VCPU, w int) (mine, others uint64) {
	a := m.Pend.Val[w] &^ m.Mask.Val[w]
	acc := m.V[v].Accept[w]
	return a & acc, a &^ acc
}

// drain is the scan of 2005: SEL is taken once, and each of its words is read again after every port until nothing is left.
func drain(what string, any, resend bool) []step {
	const (
		pcWord = 2
		pcMask = 3
	)
	exit := uint8(3)
	if resend {
		exit = 5
	}
	steps := []step{
		upClear,
		{kind: KindSelXchg, text: "l1 = exchange SEL[c] with 0",
			do: func(m *Machine, c *context, f *frame, ev *Event) {
				f.bits = m.V[c.vcpu].Sel
				ev.Res = f.bits
				f.nextWord(exit)
			}},
		{kind: KindWordRead, text: "l2 = " + what + " of the lowest word in l1; handle the lowest port, read again; none: next word",
			do: func(m *Machine, c *context, f *frame, ev *Event) {
				mine, others := m.active(c.vcpu, int(f.word))
				if any {
					mine |= others
				}
				ev.Args[0], ev.Res = uint64(f.word), mine
				f.pc = pcWord
				if resend {
					ev.Args[1] = others
					f.a = others
				}
				switch {
				case mine != 0:
					f.count++
					m.deliver(c, m.PortIn(int(f.word), bits.TrailingZeros64(mine)))
				case resend && others != 0:
					f.pc = pcMask
				default:
					f.bits &= f.bits - 1
					f.nextWord(exit)
				}
			}},
	}
	if resend {
		steps = append(steps,
			step{kind: KindMaskTAS, text: "for each other port: old = test-and-set MASK; if old: somebody else sees to it",
				do: func(m *Machine, c *context, f *frame, ev *Event) {
					p := m.PortIn(int(f.word), bits.TrailingZeros64(f.a))
					ev.Port, f.b = p, uint64(p)
					ev.Res = bit(m.Masked(p))
					if ev.Res == 1 {
						f.nextForeign(pcMask, exit)
					}
				}},
			step{kind: KindHypercall, text: "hypercall unmask: Xen tells its vcpu",
				do: func(m *Machine, c *context, f *frame, ev *Event) {
					p := Port(f.b)
					f.nextForeign(pcMask, exit)
					m.enterInPlace(c, procUnmaskCall, p, 0, 0, ev)
				}})
	}
	return append(steps, upcallExit)
}

// nextWord goes to the lowest word left in l1, or to the step at exit.
func (f *frame) nextWord(exit uint8) {
	if f.bits == 0 {
		f.pc = exit
		return
	}
	f.word, f.pc = int32(bits.TrailingZeros64(f.bits)), 2
}

func (f *frame) nextForeign(again, exit uint8) {
	f.a &= f.a - 1
	if f.a != 0 {
		f.pc = again
		return
	}
	f.bits &= f.bits - 1
	f.nextWord(exit)
}

// snapshotUpcall is today's scan. Ports are taken from one reading of their word; scanning resumes behind the port handled
// last, so that low ports cannot starve high ones; the word where it began is read a second time at the end.
//
// In the frame: bits = words left, word = the word in hand, a = what is left of its snapshot, b = where the scan began,
// on = a word has been read.
func snapshotUpcall() {
	define(procUpcallSnapshot, "xen_evtchn_do_upcall (Linux)",
		step{kind: KindUpWrite, text: "UP[c] = 0",
			do: func(m *Machine, c *context, f *frame, ev *Event) {
				ev.Args = [3]uint64{vcpuArg(c.vcpu), 0}
				if m.guest[c.vcpu].timer == NoPort {
					f.pc = 2
				}
			}},
		step{kind: KindPendRead, text: "the timer's port first, whatever SEL says",
			do: func(m *Machine, c *context, f *frame, ev *Event) {
				p := m.guest[c.vcpu].timer
				ev.Port, ev.Res = p, bit(m.Pending(p))
				if ev.Res == 1 && m.Masked(p) == Zero {
					f.count++
					m.deliver(c, p)
				}
			}},
		step{kind: KindSelXchg, text: "l1 = exchange SEL[c] with 0",
			do: func(m *Machine, c *context, f *frame, ev *Event) {
				g := &m.guest[c.vcpu]
				f.bits = m.V[c.vcpu].Sel
				ev.Res = f.bits
				f.word, f.on, f.b = int32(g.word), false, uint64(g.word)<<8|uint64(g.bit)
				f.pickWord()
			}},
		step{kind: KindWordRead, text: "snapshot = PEND & accept[c] & ~MASK of the next word in l1; handle each of its ports",
			do: func(m *Machine, c *context, f *frame, ev *Event) {
				mine, _ := m.active(c.vcpu, int(f.word))
				ev.Args[0], ev.Res = uint64(f.word), mine
				f.a = mine
				if word, bit := int32(f.b>>8), f.b&0xff; f.word == word && !f.on && bit != 0 {
					f.a &^= 1<<bit - 1 // the upper part first; the whole word again at the end
				} else {
					f.bits &^= 1 << uint(f.word)
				}
				f.on = true
				resumeSnapshot(m, c, f)
			}},
		step{kind: KindUpRead, text: "while UP: start over",
			do: func(m *Machine, c *context, f *frame, ev *Event) {
				ev.Res = bit(m.V[c.vcpu].Up)
				if ev.Res == 1 {
					f.pc = 0
				}
			}},
		upcallExit)
	procTable[procUpcallSnapshot].resume = resumeSnapshot
}

// resumeSnapshot handles the next port of the snapshot in hand, or goes on to the next word.
func resumeSnapshot(m *Machine, c *context, f *frame) {
	if f.a == 0 {
		f.word = (f.word + 1) % int32(m.Words)
		f.pickWord()
		return
	}
	i := bits.TrailingZeros64(f.a)
	f.a &= f.a - 1
	g := &m.guest[c.vcpu]
	g.word, g.bit = int(f.word), i+1
	if g.bit == m.WordBits {
		g.word, g.bit = (g.word+1)%m.Words, 0
	}
	f.count++
	f.pc = pcResume
	m.deliver(c, m.PortIn(int(f.word), i))
}

// pickWord goes to the first word left in l1 from the present one on, around the end.
func (f *frame) pickWord() {
	const pcWord, pcUp = 3, 4
	if f.bits == 0 {
		f.pc = pcUp
		return
	}
	up := f.bits &^ (1<<uint(f.word) - 1)
	if up == 0 {
		up = f.bits
	}
	f.word, f.pc = int32(bits.TrailingZeros64(up)), pcWord
}
