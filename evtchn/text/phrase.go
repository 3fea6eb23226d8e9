package text

import (
	"math"
	"strconv"

	"github.com/evtrace/evtrace/evtchn"
)

// The pieces of a description. Each appends something and gives the describer back for the next.

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
	if errno > 0 {
		errno = -errno
	}
	if s := evtchn.ErrnoName(errno); s != "" {
		return d.str(s)
	}
	d.b = strconv.AppendInt(append(d.b, "error "...), -errno, 10)
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
