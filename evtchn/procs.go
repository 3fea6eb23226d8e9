package evtchn

// procID names a procedure.
type procID uint8

// A step is one indivisible memory operation of a procedure, with the decision that follows from what it read.
type step struct {
	kind Kind
	text string // what it does, for the listing that a policy is explained by
	lock bool   // needs the domain's event lock, and takes it
	info bool   // needs the guest's lock of the port (info->lock of Linux 2021), and takes it
	own  owned  // when it touches nothing of anybody else's
	do   func(m *Machine, c *context, f *frame, ev *Event)
}

// A proc is a procedure: its steps in order. A step may choose another successor by setting the frame's pc.
type proc struct {
	name   string
	steps  []step
	begin  func(m *Machine, c *context, f *frame) // what Start does before the first step
	resume func(m *Machine, c *context, f *frame) // what a frame whose pc is pcResume does when its callee has returned
}

// pcResume in a frame's pc means: decide by the procedure's resume what the next step is.
const pcResume = 200

const (
	procNone procID = iota

	// Hypervisor.
	procSetPending
	procSetPendingAlways // policy setpending=ignore-mask
	procRaise
	procSend
	procUnmaskCall
	procBindInterdomain
	procBindVIRQ
	procBindIPI
	procBindPIRQ
	procAllocUnbound
	procClose
	procBindVCPU
	procStatus
	procReset
	procBlock
	procPoll

	// Guest: unmask.
	procUnmaskLocal
	procUnmaskHypercall
	procUnmaskAlways
	procUnmaskRemoteUp
	procUnmaskRemoteSel
	procUnmaskRequest

	// Guest: upcall and handlers.
	procUpcall2005
	procUpcallSnapshot
	procUpcallAny
	procUpcallResend
	procHandle2005
	procHandle2021
	procUser2005
	procUser2021
	procSweep
	procServeRequests

	// Guest: moving a port.
	procMove
	procRebind2005
	procRebind2013
	procRebind2021
	procDoMask2021
	procDoUnmask2021

	// Guest: operations of tasks.
	procOpBindRemote
	procOpBindUnbound
	procOpBindDriver
	procOpUnbind
	procOpNotify
	procOpRead
	procOpWrite2005
	procOpWrite2021
	procOpSelect
	procOpAffinity
	procOpBlock
	procOpPoll
	procOpBindVIRQ
	procOpBindIPI
	procOpBindPIRQ
	procOpAllocUnbound
	procOpClose
	procOpMask
	procOpUnmask
	procOpStatus
	procOpReset
	procEnd
)

// policyProcs are the procedures that a policy chooses.
type policyProcs struct {
	setPending, unmask, upcall, rebind, write, handle, user procID
}

func (p *Policy) procs() policyProcs {
	pp := policyProcs{
		setPending: procSetPending,
		unmask:     procUnmaskLocal + procID(p.Unmask),
		upcall:     procUpcall2005 + procID(p.Upcall),
		rebind:     [...]procID{procRebind2005, procRebind2013, procRebind2021, procRebind2005}[p.Rebind],
		write:      procOpWrite2005,
		handle:     procHandle2005,
		user:       procUser2005,
	}
	if p.SetPending == SetPendingIgnoreMask {
		pp.setPending = procSetPendingAlways
	}
	if p.Ack == Ack2021 {
		pp.write, pp.handle, pp.user = procOpWrite2021, procHandle2021, procUser2021
	}
	return pp
}

// opProcs says which procedure an operation starts. Where a policy chooses it, the procedure looks there itself.
var opProcs = [opEnd]procID{
	OpBindRemote: procOpBindRemote, OpBindUnbound: procOpBindUnbound, OpBindDriver: procOpBindDriver, OpUnbind: procOpUnbind,
	OpNotify: procOpNotify, OpSendPort: procOpNotify, OpIPI: procOpNotify, OpRead: procOpRead, OpWrite: procOpWrite2005,
	OpSelect: procOpSelect, OpAffinity: procOpAffinity, OpBlock: procOpBlock, OpPoll: procOpPoll, OpBindVIRQ: procOpBindVIRQ,
	OpBindIPI: procOpBindIPI, OpBindPIRQ: procOpBindPIRQ, OpAllocUnbound: procOpAllocUnbound, OpClose: procOpClose,
	OpMask: procOpMask, OpUnmask: procOpUnmask, OpStatus: procOpStatus, OpReset: procOpReset,
}

// procTable holds every procedure once. It is filled by the files that hold the procedures and never changed after.
var procTable [procEnd]proc

func init() {
	hypervisorProcs()
	bindProcs()
	schedProcs()
	unmaskProcs()
	upcallProcs()
	handlerProcs()
	rebindProcs()
	taskProcs()
}

func define(id procID, name string, steps ...step) { procTable[id] = proc{name: name, steps: steps} }

// Errors of hypercalls, as Xen returns them (xen/include/public/errno.h), negated.
const (
	eNOENT = -2
	eINVAL = -22
	eEXIST = -17
	eNOSPC = -28
	eSRCH  = -3
)

// ErrnoName gives the name of a hypercall's error, a negative number; "ok" for 0, and "" for one that Xen's event channel code
// does not return.
func ErrnoName(errno int64) string {
	switch errno {
	case 0:
		return "ok"
	case -1:
		return "EPERM"
	case eNOENT:
		return "ENOENT"
	case eSRCH:
		return "ESRCH"
	case -12:
		return "ENOMEM"
	case -13:
		return "EACCES"
	case -16:
		return "EBUSY"
	case eEXIST:
		return "EEXIST"
	case -19:
		return "ENODEV"
	case eINVAL:
		return "EINVAL"
	case eNOSPC:
		return "ENOSPC"
	case -38:
		return "ENOSYS"
	}
	return ""
}

func vcpuArg(v VCPU) uint64 { return uint64(uint16(v)) }

func bit(b Bit) uint64 { return uint64(b) }
