package text

import (
	"strconv"

	"github.com/evtrace/evtrace/evtchn"
)

// AppendPort appends the port column of a table of events: the port, or the word for those that concern a whole word, or -.
func AppendPort(b []byte, ev *evtchn.Event) []byte {
	if ev.Port != evtchn.NoPort {
		return strconv.AppendUint(b, uint64(ev.Port), 10)
	}
	for i, a := range ev.Kind.Spec().Args {
		if a.Type == evtchn.ArgWord {
			return appendValue(b, a.Type, ev.Args[i])
		}
	}
	return append(b, '-')
}

// AppendContext appends the context column: the context's name, with the task's own name where meta has it, as in
// task:qemu. A nil meta is allowed.
func AppendContext(b []byte, ev *evtchn.Event, meta *evtchn.Meta) []byte {
	if ev.Ctx.Class() == evtchn.CtxTask && meta != nil && ev.Ctx.Num() < len(meta.Tasks) {
		return append(append(b, "task:"...), meta.Tasks[ev.Ctx.Num()]...)
	}
	return appendContext(b, ev.Ctx)
}

// AppendWhat appends what the event did, in a few words for the last column of a table: "1 -> 0", "SEL[3] 0 -> 1",
// "PEND & accept[3] & ~MASK = 0". Names of tasks and records come from meta, and its WordBits turns the bits of a word into
// ports; with a nil meta both stay numbers. The words are for people: they may change with any version.
func AppendWhat(b []byte, ev *evtchn.Event, meta *evtchn.Meta) []byte {
	d := describer{b, ev, meta}
	if !d.known() {
		d.plain()
	}
	return d.b
}

// hypercallEvtchnOp is __HYPERVISOR_event_channel_op.
const hypercallEvtchnOp = 32

// describer appends to b; outside, hypervisor, memory and guest report whether the kind is one of theirs.
type describer struct {
	b    []byte
	ev   *evtchn.Event
	meta *evtchn.Meta
}

// known finds words for the event's kind.
func (d *describer) known() bool { return d.memory() || d.hypervisor() || d.guest() || d.outside() }

// plain gives the arguments as the text form does, for a kind that has no words of its own.
func (d *describer) plain() {
	spec, start := d.ev.Kind.Spec(), len(d.b)
	for i, a := range spec.Args {
		d.str(" ").str(a.Name).str("=").value(a.Type, d.ev.Args[i])
	}
	if spec.Res.Type != evtchn.ArgNone {
		d.str(" = ").value(spec.Res.Type, d.ev.Res)
	}
	if len(d.b) == start {
		d.str(" ").str(spec.Doc)
	}
	d.b = append(d.b[:start], d.b[start+1:]...)
}

func (d *describer) outside() bool {
	ev, a := d.ev, d.ev.Args
	switch ev.Kind {
	case evtchn.KindSend:
		d.str("from ").dom(a[0])
	case evtchn.KindVIRQ:
		d.str("VIRQ ").uint(a[1]).str(" for ").vcpu(a[0])
	case evtchn.KindPIRQ:
		d.str("PIRQ ").uint(a[0])
	case evtchn.KindOp:
		d.value(evtchn.ArgOp, a[0]).params(opParams(a[0]), a[1], a[2])
	case evtchn.KindMove:
		d.task(a[1]).str(" to ").vcpu(a[0])
	case evtchn.KindPreempt:
		d.vcpu(a[0]).str(" off its CPU for ").uint(a[1]).str(" ns")
	case evtchn.KindRun:
		d.vcpu(a[0]).str(" on a CPU").callback(a[0])
	case evtchn.KindRunState:
		d.vcpu(a[0]).str(" ").value(evtchn.ArgRun, a[1]).str(" -> ").value(evtchn.ArgRun, a[2]).str(", CPU ").uint(ev.Res)
	case evtchn.KindXenCall:
		if a[0] == hypercallEvtchnOp {
			d.str("evtchn_op, which is not known")
		} else {
			d.str("hypercall ").uint(a[0])
		}
	case evtchn.KindKick:
		d.vcpu(a[0]).str(" kicked").callback(a[0])
	case evtchn.KindIOReq:
		d.dom(a[0]).str(" -> ").value(evtchn.ArgIOReq, a[1])
	case evtchn.KindGap:
		if a[1] == 0 {
			d.vcpu(a[0]).str(": records lost")
		} else {
			d.vcpu(a[0]).str(": ").uint(a[1]).str(" records lost")
		}
	case evtchn.KindTie:
		d.str("this or ").vcpu(a[0]).str("'s ").value(evtchn.ArgKind, a[1])
		if a[2] != 0 {
			d.str(" #").uint(a[2])
		}
		d.str(" came first: not known; the other way round the port would have been ")
		d.str([...]string{"clear", "pending", "either"}[ev.Bit()])
	case evtchn.KindDump:
		d.str("dump ").uint(a[0]).str(", ").uint(a[2]).str(" rows from line ").uint(a[1]).str(" on")
	case evtchn.KindSnapPort:
		d.value(evtchn.ArgStatus, a[0]).str(", notify=").vcpu(a[1]).peer(a[0], a[2])
	case evtchn.KindSnapBits:
		d.str("PEND ").value(evtchn.ArgBit, a[0]).str(", MASK ").value(evtchn.ArgBit, a[1])
		if d.meta != nil && d.meta.ABI == "fifo" {
			d.str(", queued ")
		} else {
			d.str(", SEL bit of its vcpu ")
		}
		d.value(evtchn.ArgBit, a[2])
		if ev.Res&(1<<28) != 0 {
			d.str(", BUSY")
		}
	case evtchn.KindSnapVCPU:
		d.of("UP", a[0]).str("=").value(evtchn.ArgBit, a[1]).str(", ").of("UMASK", a[0]).str("=").value(evtchn.ArgBit, a[2])
		if ev.Res != uint64(evtchn.RunUnknown) {
			d.str(", ").value(evtchn.ArgRun, ev.Res)
		}
	case evtchn.KindSnapSel:
		d.of("SEL", a[0]).str("=").set(a[1], 0, 0)
	case evtchn.KindStart:
		d.vcpu(a[0]).str(" comes up")
	case evtchn.KindHold:
		d.value(evtchn.ArgTurn, a[0]).str(" ").uint(a[1]).str(" has to wait")
	case evtchn.KindRelease:
		d.value(evtchn.ArgTurn, a[0]).str(" ").uint(a[1]).str(" may go on")
	case evtchn.KindEnd:
		d.str("recording closed")
	case evtchn.KindServe:
		d.str("request of ").dom(a[0]).str(", ").uint(a[1]).str(" ns")
	case evtchn.KindUnknownEvt:
		if d.meta != nil && a[0] < uint64(len(d.meta.Unknown)) {
			d.str(d.meta.Unknown[a[0]])
		} else {
			d.str("record ").uint(a[0])
		}
	default:
		return false
	}
	return true
}

func (d *describer) hypervisor() bool {
	ev, a := d.ev, d.ev.Args
	switch ev.Kind {
	case evtchn.KindHypercall:
		d.value(evtchn.ArgHC, a[0]).params(hypercallParams(a[0]), a[1], a[2])
	case evtchn.KindReturn:
		d.result(int64(a[0]), a[1]).callback(vcpuArg(ev.VCPU))
	case evtchn.KindNotifyRead:
		d.value(evtchn.ArgStatus, a[0]).str(", notify=").vcpu(ev.Res)
	case evtchn.KindPortBind:
		d.str("free -> ").value(evtchn.ArgStatus, a[0]).str(", notify=").vcpu(a[1]).peer(a[0], a[2])
	case evtchn.KindPortClose:
		d.str("-> free")
	case evtchn.KindPortUnbind:
		d.str("interdomain -> unbound")
	case evtchn.KindPortVCPU:
		d.str("notify=").vcpu(a[0])
	case evtchn.KindRunRead:
		d.vcpu(a[0]).str([...]string{" not running", " running", " running?"}[ev.Bit()])
	case evtchn.KindBlockedSet:
		d.of("blocked", vcpuArg(ev.VCPU)).str("=1")
	case evtchn.KindBlockedTAC:
		d.of("blocked", a[0]).str(" ").bit(ev.Bit()).str(" -> 0").when(evtchn.One, ": wake")
	case evtchn.KindBlockedClr:
		d.of("blocked", vcpuArg(ev.VCPU)).str("=0: stays awake")
	case evtchn.KindBlock:
		d.vcpu(vcpuArg(ev.VCPU)).str(" sleeps")
	case evtchn.KindIPI:
		d.str("to ").vcpu(a[0])
	case evtchn.KindPollSet:
		if a[0] == 0 {
			d.str("for many ports")
		} else {
			d.str("for port ").uint(a[0])
		}
	case evtchn.KindPollRead:
		d.str("pollers ").set(ev.Res, 0, 0)
	case evtchn.KindPollTAC:
		d.of("poll", a[0]).str(" ").bit(ev.Bit()).str(" -> 0").when(evtchn.One, ": wake")
	case evtchn.KindPollClr:
		d.of("poll", vcpuArg(ev.VCPU)).str("=0")
	case evtchn.KindForeignSend:
		d.dom(a[0]).str(" port ").uint(a[1])
	case evtchn.KindNotifyCheck:
		d.str("notify=").vcpu(ev.Res)
	default:
		return false
	}
	return true
}

func (d *describer) memory() bool {
	ev, a := d.ev, d.ev.Args
	self := vcpuArg(ev.VCPU)
	switch ev.Kind {
	case evtchn.KindPendTAS:
		d.bit(ev.Bit()).str(" -> 1").when(evtchn.One, ": stop")
	case evtchn.KindPendRead:
		d.bit(ev.Bit())
	case evtchn.KindPendClear, evtchn.KindMaskClear:
		d.bit(ev.Bit()).str(" -> 0")
	case evtchn.KindMaskTAS:
		d.bit(ev.Bit()).str(" -> 1")
	case evtchn.KindMaskTAC:
		d.bit(ev.Bit()).str(" -> 0").when(evtchn.Zero, ": stop")
	case evtchn.KindMaskRead:
		d.bit(ev.Bit()).when(evtchn.One, ": stop")
	case evtchn.KindSelTAS:
		d.of("SEL", a[0]).str(" ").bit(ev.Bit()).str(" -> 1").when(evtchn.One, ": stop")
	case evtchn.KindSelXchg:
		d.of("SEL", self).str(" ").set(ev.Res, a[0], 0).str(" -> {}")
	case evtchn.KindUpTAS:
		d.of("UP", a[0]).str(" ").bit(ev.Bit()).str(" -> 1").when(evtchn.One, ": stop")
	case evtchn.KindUpWrite:
		d.of("UP", a[0]).str("=").value(evtchn.ArgBit, a[1])
		switch ev.Bit() {
		case evtchn.One:
			d.str(", ").of("UMASK", a[0]).str("=0: callback")
		case evtchn.Unknown:
			d.str(": callback?")
		}
	case evtchn.KindUpRead:
		d.of("UP", self).str("=").bit(ev.Bit())
	case evtchn.KindUmaskWrite:
		d.of("UMASK", self).str("=").value(evtchn.ArgBit, a[0])
		switch ev.Bit() {
		case evtchn.One:
			d.str(", ").of("UP", self).str("=1: callback")
		case evtchn.Unknown:
			d.str(": callback?")
		}
	case evtchn.KindWordRead:
		d.look(a[0], a[2])
		if a[1] != 0 {
			d.str(", of other vcpus ").bits(a[1], 0, a[0])
		}
	case evtchn.KindSweepRead:
		d.look(a[0], 0)
	default:
		return false
	}
	return true
}

func (d *describer) guest() bool {
	ev, a := d.ev, d.ev.Args
	self := vcpuArg(ev.VCPU)
	switch ev.Kind {
	case evtchn.KindUpcall:
		d.str("entered")
	case evtchn.KindUpcallExit:
		if a[0] == 0 {
			d.str("nothing dispatched: a spurious upcall")
		} else {
			d.uint(a[0]).str(" dispatched")
		}
		d.when(evtchn.One, "; UP is set: again")
	case evtchn.KindDeliver:
		d.str("to its handler on ").vcpu(self)
	case evtchn.KindDrop:
		d.str("no handler: dropped, still masked")
	case evtchn.KindHandled:
		d.str("handler done")
	case evtchn.KindOwnerRead:
		d.str("owner=").vcpu(ev.Res)
	case evtchn.KindOwnerWrite:
		d.str("owner=").vcpu(a[0])
	case evtchn.KindAcceptSet:
		d.of("accept", a[0]).str("=1")
	case evtchn.KindAcceptClear:
		d.of("accept", a[0]).str("=0")
	case evtchn.KindActiveXchg:
		d.str("active ").bit(ev.Bit()).str(" -> 1").when(evtchn.One, ": another vcpu is in the handler")
	case evtchn.KindActiveClear:
		d.str("active=0")
	case evtchn.KindReasonSet:
		d.str("reasons ").hex(ev.Res).str(" -> ").hex(ev.Res | a[0])
	case evtchn.KindReasonClear:
		d.str("reasons ").hex(ev.Res | a[0]).str(" -> ").hex(ev.Res)
		if ev.Res == 0 {
			d.str(": unmask")
		}
	case evtchn.KindUserSet:
		d.str("user ").task(a[0])
	case evtchn.KindIRQSet:
		d.str("a driver's handler")
	case evtchn.KindRingPush:
		d.str("queued for ").task(a[0]).when(evtchn.One, ": the ring is full")
	case evtchn.KindRingPop:
		d.str("read by ").task(a[0])
	case evtchn.KindWake:
		d.task(a[1]).str(" on ").vcpu(a[0])
	case evtchn.KindSelect:
		d.task(a[0]).str([...]string{": nothing, sleeps", ": readable", ": readable?"}[ev.Bit()])
	case evtchn.KindRequestPush:
		d.vcpu(a[0]).str(" is to look")
	case evtchn.KindRequestPop:
		d.str("request taken")
	case evtchn.KindOpDone:
		d.value(evtchn.ArgOp, a[0]).str(": ").result(int64(a[1]), a[2])
	case evtchn.KindIRQ:
		d.str("irq ").uint(a[0])
	case evtchn.KindSnap:
		d.str("PEND ").bits(a[1], 0, a[0]).str(", MASK ").bits(a[2], 0, a[0])
	default:
		return false
	}
	return true
}
