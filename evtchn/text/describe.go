package text

import (
	"math"
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
	if !d.hypervisor() && !d.memory() && !d.guest() && !d.outside() {
		d.str("kind ").uint(uint64(ev.Kind))
	}
	return d.b
}

// describer appends to b; each of its methods on kinds reports whether the kind was one of its own.
type describer struct {
	b    []byte
	ev   *evtchn.Event
	meta *evtchn.Meta
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
	case evtchn.KindStart:
		d.vcpu(a[0]).str(" comes up")
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

func vcpuArg(v evtchn.VCPU) uint64 { return uint64(uint16(v)) }

func (d *describer) str(s string) *describer { d.b = append(d.b, s...); return d }

func (d *describer) uint(v uint64) *describer { d.b = strconv.AppendUint(d.b, v, 10); return d }

func (d *describer) hex(v uint64) *describer { return d.value(evtchn.ArgBits, v) }

func (d *describer) dom(v uint64) *describer { return d.str("d").uint(v) }

func (d *describer) bit(v evtchn.Bit) *describer { return d.str(v.String()) }

func (d *describer) vcpu(v uint64) *describer { return d.value(evtchn.ArgVCPU, v) }

func (d *describer) value(t evtchn.ArgType, v uint64) *describer {
	d.b = appendValue(d.b, t, v)
	return d
}

// of appends a per-vcpu thing: UP[3].
func (d *describer) of(what string, vcpu uint64) *describer {
	d.str(what).str("[")
	if v := evtchn.VCPU(int16(vcpu)); v >= 0 {
		d.uint(uint64(v))
	} else {
		d.str("-")
	}
	return d.str("]")
}

// when appends s if the event's result is the bit v.
func (d *describer) when(v evtchn.Bit, s string) *describer {
	if d.ev.Bit() == v {
		d.str(s)
	}
	return d
}

// callback says what the look at UP and UMASK on the way into the guest gave.
func (d *describer) callback(vcpu uint64) *describer {
	switch d.ev.Bit() {
	case evtchn.One:
		return d.str(": ").of("UP", vcpu).str("=1, ").of("UMASK", vcpu).str("=0: callback")
	case evtchn.Zero:
		return d.str(": no callback")
	}
	return d.str(": callback?")
}

func (d *describer) task(n uint64) *describer {
	switch {
	case d.meta != nil && n < uint64(len(d.meta.Tasks)):
		return d.str(d.meta.Tasks[n])
	case n == noVCPU || n == noVCPUSigned:
		return d.str("nobody")
	}
	return d.str("task:").uint(n)
}

func (d *describer) result(errno int64, value uint64) *describer {
	switch {
	case errno == 0 && value == 0:
		return d.str("ok")
	case errno == 0:
		return d.str("ok, ").uint(value)
	}
	if errno < 0 {
		errno = -errno
	}
	if s := errnoName(errno); s != "" {
		return d.str(s)
	}
	d.b = strconv.AppendInt(append(d.b, "error "...), errno, 10)
	return d
}

func (d *describer) peer(status, peer uint64) *describer {
	switch evtchn.PortStatus(status) {
	case evtchn.PortInterdomain:
		return d.str(", peer=").dom(peer >> 32).str(" port ").uint(peer & (1<<32 - 1))
	case evtchn.PortUnbound:
		return d.str(", for=").dom(peer >> 32)
	case evtchn.PortVIRQ:
		return d.str(", VIRQ ").uint(peer)
	case evtchn.PortPIRQ:
		return d.str(", PIRQ ").uint(peer)
	}
	return d
}

// look appends what a vcpu saw in a word.
func (d *describer) look(word, unknown uint64) {
	d.str("PEND & ").of("accept", vcpuArg(d.ev.VCPU)).str(" & ~MASK = ")
	if d.ev.Res == 0 && unknown == 0 {
		d.str("0")
		return
	}
	d.bits(d.ev.Res, unknown, word)
}

// bits appends the set bits of an event word as ports, where the word size is known, else as bits.
func (d *describer) bits(known, unknown, word uint64) *describer {
	if d.meta != nil && d.meta.WordBits > 0 && word < 1<<32 {
		return d.set(known, unknown, word*uint64(d.meta.WordBits))
	}
	return d.str("bits ").set(known, unknown, 0)
}

// set appends a set with runs of three and more drawn together, and a question mark before members that are not certain:
// {1,4-7,?9}. A set of which nothing is known is a question mark alone.
func (d *describer) set(known, unknown, base uint64) *describer {
	if unknown == ^uint64(0) {
		return d.str("?")
	}
	known &^= unknown
	d.str("{")
	sep := ""
	for i := 0; i < 64; {
		in, mark := known, ""
		if unknown>>i&1 != 0 {
			in, mark = unknown, "?"
		}
		n := 0
		for i+n < 64 && in>>(i+n)&1 != 0 {
			n++
		}
		switch {
		case n == 0:
			i++
			continue
		case n < 3:
			n = 1
			d.str(sep).str(mark).uint(base + uint64(i))
		default:
			d.str(sep).str(mark).uint(base + uint64(i)).str("-").uint(base + uint64(i+n-1))
		}
		sep = ","
		i += n
	}
	return d.str("}")
}

// params appends the arguments of an operation that the operation has a name for, and others that are not 0.
func (d *describer) params(names [2]string, a, b uint64) *describer {
	for i, v := range [2]uint64{a, b} {
		switch {
		case names[i] != "":
			d.str(" ").str(names[i]).str("=").uint(v)
		case v != 0:
			d.str(" ").str("ab"[i : i+1]).str("=").uint(v)
		}
	}
	return d
}

func opParams(op uint64) [2]string {
	if op > math.MaxUint8 {
		return [2]string{}
	}
	switch evtchn.OpCode(op) {
	case evtchn.OpBindRemote, evtchn.OpBindDriver:
		return [2]string{"dom", "rport"}
	case evtchn.OpBindUnbound, evtchn.OpAllocUnbound:
		return [2]string{"dom"}
	case evtchn.OpAffinity, evtchn.OpBindIPI:
		return [2]string{"vcpu"}
	case evtchn.OpPoll:
		return [2]string{"", "ns"}
	case evtchn.OpBindVIRQ:
		return [2]string{"virq", "vcpu"}
	case evtchn.OpBindPIRQ:
		return [2]string{"pirq"}
	case evtchn.OpWork:
		return [2]string{"ns"}
	}
	return [2]string{}
}

func hypercallParams(call uint64) [2]string {
	if call > math.MaxUint8 {
		return [2]string{}
	}
	switch evtchn.Hypercall(call) {
	case evtchn.HCBindInterdomain:
		return [2]string{"dom", "rport"}
	case evtchn.HCBindVIRQ:
		return [2]string{"virq", "vcpu"}
	case evtchn.HCBindPIRQ:
		return [2]string{"pirq"}
	case evtchn.HCAllocUnbound:
		return [2]string{"dom"}
	case evtchn.HCBindIPI, evtchn.HCBindVCPU:
		return [2]string{"vcpu"}
	}
	return [2]string{}
}

// errnoName gives the name of the errors that Xen's event channel code returns (xen/include/public/errno.h).
func errnoName(n int64) string {
	switch n {
	case 1:
		return "EPERM"
	case 2:
		return "ENOENT"
	case 3:
		return "ESRCH"
	case 12:
		return "ENOMEM"
	case 13:
		return "EACCES"
	case 16:
		return "EBUSY"
	case 17:
		return "EEXIST"
	case 19:
		return "ENODEV"
	case 22:
		return "EINVAL"
	case 28:
		return "ENOSPC"
	case 38:
		return "ENOSYS"
	}
	return ""
}
