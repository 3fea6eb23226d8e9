package evtchntest

import "github.com/evtrace/evtrace/evtchn"

// reading holds what a dump says against what the events before it have led to. A bit that it leaves unknown says nothing.
func (v *validator) reading() {
	ev := &v.ev
	bit := func(what string, got uint64, want bool) {
		if got <= 1 && got != num(want) {
			v.bad("%s is read as %d, want %d", what, got, num(want))
		}
	}
	ps := v.port(ev.Port)
	switch ev.Kind {
	case evtchn.KindSnapPort:
		if ev.Args[0] != uint64(ps.status) || ps.status != evtchn.PortFree && (evtchn.VCPU(int16(ev.Args[1])) != ps.notify || ev.Args[2] != ps.peer) {
			v.bad("the port is read as %s, notify %d, peer %#x; want %s, %d, %#x", evtchn.PortStatus(ev.Args[0]), int16(ev.Args[1]), ev.Args[2], ps.status,
				ps.notify, ps.peer)
		}
	case evtchn.KindSnapBits:
		bit("PEND", ev.Args[0], v.pend[ev.Port])
		bit("MASK", ev.Args[1], v.masked(ev.Port))
		if n := ps.notify; n >= 0 && int(n) < len(v.vcpus) {
			bit("the selector bit", ev.Args[2], v.vcpus[n].sel[v.word(ev.Port)])
		}
	case evtchn.KindSnapVCPU:
		_, c := v.target()
		bit("UP", ev.Args[1], c.up)
		bit("UMASK", ev.Args[2], c.umask)
		if run := evtchn.RunState(ev.Res); run != evtchn.RunUnknown && run != c.run {
			v.bad("the vcpu is read as %s, want %s", run, c.run)
		}
	case evtchn.KindSnapSel:
		_, c := v.target()
		for w := range min(64, v.wordBits) {
			bit("a selector bit", ev.Args[1]>>w&1, c.sel[w])
		}
	}
}
