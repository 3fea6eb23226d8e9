package evtchn

// OpCode is an operation that a task of the guest carries out: a system call, a driver's call, or the idle loop.
type OpCode uint8

// The operations. A and B are the arguments of KindOp.
const (
	OpNone         OpCode = iota
	OpBindRemote          // ioctl BIND_INTERDOMAIN: A remote domain, B remote port; the task becomes the port's user
	OpBindUnbound         // ioctl BIND_UNBOUND_PORT: A remote domain
	OpUnbind              // ioctl UNBIND: the event's port
	OpNotify              // ioctl NOTIFY: sends on the event's port
	OpRead                // read(): takes every queued port
	OpWrite               // write(): unmasks the event's port
	OpSelect              // select() or poll(): sleeps until a port is queued
	OpAffinity            // writes smp_affinity of the event's port: A the new vcpu
	OpIPI                 // sends the IPI that is the event's port
	OpSendPort            // a driver notifies through the event's port
	OpBlock               // the idle loop: SCHEDOP_block
	OpPoll                // SCHEDOP_poll on the event's port, B ns at most
	OpBindVIRQ            // A virq, B vcpu
	OpBindIPI             // A vcpu
	OpBindPIRQ            // A pirq
	OpClose               // a driver closes the event's port
	OpMask                // a driver masks the event's port (disable_irq)
	OpUnmask              // a driver unmasks the event's port (enable_irq)
	OpWork                // plain guest work with upcalls enabled for A ns: no step of the machine
	OpStatus              // EVTCHNOP_status of the event's port
	OpReset               // EVTCHNOP_reset
	OpBindDriver          // a driver binds an interdomain port: A remote domain, B remote port
	OpAllocUnbound        // EVTCHNOP_alloc_unbound by a driver: A remote domain
	opEnd
)

var opNames = [opEnd]string{"none", "bind_interdomain", "bind_unbound", "unbind", "notify", "read", "write", "select",
	"affinity", "ipi", "send", "block", "poll", "bind_virq", "bind_ipi", "bind_pirq", "close", "mask", "unmask", "work",
	"status", "reset", "bind_driver", "alloc_unbound"}

// String gives the operation's name in the text form.
func (o OpCode) String() string { return nameOf(opNames[:], int(o)) }
