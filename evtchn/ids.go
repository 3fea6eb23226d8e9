package evtchn

import "strconv"

// Port is the local number of one end of an event channel. Valid ports are 1 up to the ABI's limit (4095 for a 64-bit
// domain with the 2-level ABI, 1023 for a 32-bit one): port 0 is reserved by Xen and never allocated.
type Port uint32

// NoPort is the reserved port 0, used where an event concerns no port.
const NoPort Port = 0

// VCPU is the number of a virtual CPU of the traced domain, 0 to 127.
type VCPU int16

// NoVCPU stands where no vcpu of the traced domain is meant: the hypervisor working for another domain, or the outside.
const NoVCPU VCPU = -1

// MaxVCPUs is how many vcpus a domain may have here (HVM_MAX_VCPUS in xen/include/public/hvm/hvm_info_table.h).
const MaxVCPUs = 128

// DomID is a Xen domain id. 0 is the control domain.
type DomID uint16

// Seq is the number of an event in its trace, from 1. As a cause, 0 means "the event before it in the same context".
type Seq uint64

// Time is nanoseconds, or ticks, on the trace's own clock: Meta.Clock and Meta.NsPerTick say which.
type Time int64

// Context tells whose code an event is a step of. The upper byte is the class, the lower bits a number within it.
type Context uint16

// Context classes.
const (
	CtxNone    Context = 0      // outside the machine: scheduler, scenario, importer
	CtxXen     Context = 0x1000 // the hypervisor, entered from the event's vcpu
	CtxUpcall  Context = 0x2000 // the guest's upcall handler on the event's vcpu
	CtxTask    Context = 0x4000 // a task of the guest kernel or its user space: CtxTask+n is task n
	CtxForeign Context = 0x8000 // the hypervisor for another domain or a device: CtxForeign+n is path n

	ctxClass Context = 0xf000
)

// TaskCtx is the context of task n.
func TaskCtx(n int) Context { return CtxTask + Context(n) }

// ForeignCtx is the context of the n-th hypervisor path that runs for somebody outside the domain.
func ForeignCtx(n int) Context { return CtxForeign + Context(n) }

// Class is the context without its number.
func (c Context) Class() Context { return c & ctxClass }

// Num is the number within the class: which task, which foreign path.
func (c Context) Num() int { return int(c &^ ctxClass) }

// String gives the context's name in a trace's text form: "-", "xen", "upcall", "task:3", "foreign:0".
func (c Context) String() string {
	switch c.Class() {
	case CtxNone:
		return "-"
	case CtxXen:
		return "xen"
	case CtxUpcall:
		return "upcall"
	case CtxTask:
		return "task:" + strconv.Itoa(c.Num())
	case CtxForeign:
		return "foreign:" + strconv.Itoa(c.Num())
	}
	return "ctx:" + strconv.Itoa(int(c))
}

// Bit is a bit that may be unknown, as most are in a capture of a real system.
type Bit uint8

// The three values of a Bit. The numbers are those that events carry.
const (
	Zero    Bit = 0
	One     Bit = 1
	Unknown Bit = 2
)

// String gives "0", "1" or "?".
func (b Bit) String() string {
	switch b {
	case Zero:
		return "0"
	case One:
		return "1"
	}
	return "?"
}

// PortStatus is the hypervisor's state of a port, in Xen's numbering (ECS_* of xen/include/xen/sched.h).
type PortStatus uint8

// The states of a port.
const (
	PortFree PortStatus = iota
	PortReserved
	PortUnbound
	PortInterdomain
	PortPIRQ
	PortVIRQ
	PortIPI
	PortUnknown // not Xen's: an importer has not learned it yet
)

var portStatusNames = [...]string{"free", "reserved", "unbound", "interdomain", "pirq", "virq", "ipi", "unknown"}

// String gives Xen's word for the state.
func (s PortStatus) String() string { return nameOf(portStatusNames[:], int(s)) }

// RunState is what a vcpu is doing.
type RunState uint8

// The run states of a vcpu.
const (
	RunUnknown RunState = iota
	Running             // in guest code or in Xen on its own behalf
	Runnable            // woken or preempted, waiting for a physical CPU
	Blocked             // in SCHEDOP_block
	Polling             // in SCHEDOP_poll
	Offline             // not started, or taken down
)

var runStateNames = [...]string{"unknown", "running", "runnable", "blocked", "polling", "offline"}

// String gives the state's name.
func (r RunState) String() string { return nameOf(runStateNames[:], int(r)) }

// Handler is what the guest does with an event of a port.
type Handler uint8

// The kinds of handler.
const (
	HandlerNone   Handler = iota // nobody: the event is dropped
	HandlerPerCPU                // per-vcpu interrupt (IPI, timer): acknowledged, never masked
	HandlerIRQ                   // an ordinary interrupt of a driver: masked, acknowledged, handled, unmasked
	HandlerUser                  // /dev/xen/evtchn: masked, acknowledged, queued for a user until it writes the port back
	HandlerUnknown
)

var handlerNames = [...]string{"none", "percpu", "irq", "user", "unknown"}

// String gives the handler kind's name.
func (h Handler) String() string { return nameOf(handlerNames[:], int(h)) }

func nameOf(names []string, i int) string {
	if i < 0 || i >= len(names) {
		return "#" + strconv.Itoa(i)
	}
	return names[i]
}
