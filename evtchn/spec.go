package evtchn

import "strings"

// Kind is the kind of an event. The numbers are part of the trace format (FormatVersion): they are never reused.
type Kind uint8

// ArgType says how an argument or result of an event is to be read and written.
type ArgType uint8

// Argument types.
const (
	ArgNone   ArgType = iota
	ArgUint           // a plain number
	ArgInt            // a signed number, such as an errno
	ArgBit            // 0, 1 or unknown
	ArgBits           // a word of bits, written in hexadecimal
	ArgVCPU           // a vcpu, or -1
	ArgWord           // the index of an event word
	ArgPort           // a port
	ArgDom            // a domain id
	ArgTask           // a task: index into Meta.Tasks
	ArgOp             // an OpCode
	ArgHC             // a Hypercall
	ArgStatus         // a PortStatus
	ArgRun            // a RunState
	ArgIOReq          // an IOReqState
	ArgKind           // a Kind
	ArgTurn           // a Turn
)

// Arg names one argument of a kind.
type Arg struct {
	Name string
	Type ArgType
}

// Spec describes a kind of event: its name in the text form, its arguments and result, and one line about it.
type Spec struct {
	Name string
	Args []Arg
	Res  Arg // Type ArgNone: the kind has no result
	Doc  string

	target bool // Args[0] is the vcpu acted upon
}

// The kinds. The spec table below says what each carries.
const (
	KindNone Kind = iota

	// From outside.
	KindSend       // another domain sends on its end of a channel of ours
	KindVIRQ       // Xen raises a virtual interrupt
	KindPIRQ       // a physical interrupt arrives that is routed to a port
	KindOp         // a task starts an operation
	KindMove       // the guest's scheduler moves a task to another vcpu
	KindPreempt    // Xen takes the physical CPU from a vcpu
	KindRun        // Xen gives a physical CPU to a vcpu: back to the guest
	KindKick       // the physical IPI of a notification arrives
	KindIOReq      // a domain's I/O request changes state
	KindGap        // records were lost here
	KindStart      // a vcpu comes up
	KindEnd        // the recording was closed
	KindServe      // a device model serves a request of a domain
	KindUnknownEvt // a record of a capture that no importer knows

	// The hypervisor.
	KindHypercall   // a vcpu enters Xen
	KindReturn      // back to the guest, through the check for a callback
	KindNotifyRead  // which vcpu is to be told of the port
	KindPortBind    // the port's record is filled in
	KindPortClose   // the port becomes free
	KindPortUnbind  // the peer of a closed interdomain port becomes unbound
	KindPortVCPU    // the port is bound to another vcpu
	KindRunRead     // is the vcpu running?
	KindBlockedSet  // the vcpu says that it is about to sleep
	KindBlockedTAC  // somebody wakes the vcpu, if it sleeps
	KindBlockedClr  // the vcpu stays awake after all
	KindBlock       // the vcpu gives up its physical CPU
	KindIPI         // a physical IPI is sent so that a running vcpu enters Xen
	KindPollSet     // the vcpu joins the domain's pollers
	KindPollRead    // does the domain have pollers?
	KindPollTAC     // a poller is woken
	KindPollClr     // the vcpu leaves the pollers
	KindForeignSend // an event of ours reaches another domain's end
	KindNotifyCheck // the sender re-reads which vcpu is to be told

	// Shared memory.
	KindPendTAS
	KindPendRead
	KindPendClear
	KindMaskTAS
	KindMaskTAC
	KindMaskClear
	KindMaskRead
	KindSelTAS
	KindSelXchg
	KindUpTAS
	KindUpWrite
	KindUpRead
	KindUmaskWrite
	KindWordRead
	KindSweepRead

	// The guest.
	KindUpcall     // entry of the upcall handler, where a capture shows it by itself
	KindUpcallExit // the upcall handler is done
	KindDeliver    // the upcall handler picks a port and starts its handler
	KindDrop       // a delivered event has no taker
	KindHandled    // the handler of a port is done
	KindOwnerRead
	KindOwnerWrite
	KindAcceptSet
	KindAcceptClear
	KindActiveXchg
	KindActiveClear
	KindReasonSet
	KindReasonClear
	KindUserSet
	KindRingPush
	KindRingPop
	KindWake   // a task is made runnable
	KindSelect // a task asks whether its device file is readable
	KindRequestPush
	KindRequestPop
	KindOpDone // a task's operation is done
	KindIRQ    // a capture shows that an interrupt handler ran
	KindSnap   // a capture shows a PEND and a MASK word
	KindIRQSet // a driver attaches its interrupt handler to the port

	// What the hypervisor's own trace says beside a capture.
	KindRunState // a vcpu's run state changes
	KindXenCall  // a vcpu makes a hypercall of which only the number is known

	// Of captures.
	KindTie // the order of two steps is not known, and it matters

	// Of console dumps.
	KindDump     // Xen prints what follows
	KindSnapPort // a port's record as it was seen
	KindSnapBits // a port's bits as they were seen
	KindSnapVCPU // a vcpu's flags as they were seen
	KindSnapSel  // a vcpu's SEL word as it was seen

	// The scheduler's decisions, beyond what its times say.
	KindHold    // whose turn it is has to wait
	KindRelease // and may go on

	kindEnd
)

var (
	argTarget = Arg{"target", ArgVCPU}
	argWord   = Arg{"word", ArgWord}
	resOld    = Arg{"old", ArgBit}
	resVal    = Arg{"value", ArgBit}
)

// specs is the one table about kinds: text form, codec, documentation and the generator of random events read it.
var specs = [kindEnd]Spec{
	KindNone:       {Name: "none", Doc: "not an event"},
	KindSend:       {Name: "send", Args: []Arg{{"dom", ArgDom}}, Doc: "another domain sends on its end of the port's channel"},
	KindVIRQ:       {Name: "virq", Args: []Arg{argTarget, {"virq", ArgUint}}, target: true, Doc: "Xen raises a virtual interrupt"},
	KindPIRQ:       {Name: "pirq", Args: []Arg{{"pirq", ArgUint}}, Doc: "a physical interrupt arrives that is routed to the port"},
	KindOp:         {Name: "op", Args: []Arg{{"op", ArgOp}, {"a", ArgUint}, {"b", ArgUint}}, Doc: "the task starts an operation"},
	KindMove:       {Name: "task.move", Args: []Arg{argTarget, {"task", ArgTask}}, target: true, Doc: "the guest's scheduler moves the task to the target vcpu"},
	KindPreempt:    {Name: "sched.preempt", Args: []Arg{argTarget, {"ns", ArgUint}}, target: true, Doc: "Xen takes the physical CPU from the vcpu, for that many nanoseconds"},
	KindRun:        {Name: "sched.run", Args: []Arg{argTarget}, Res: Arg{"callback", ArgBit}, target: true, Doc: "Xen lets the vcpu run: on the way into the guest it looks at UP and UMASK"},
	KindKick:       {Name: "kick", Args: []Arg{argTarget}, Res: Arg{"callback", ArgBit}, target: true, Doc: "the physical IPI arrives: on the way back into the guest the vcpu looks at UP and UMASK"},
	KindIOReq:      {Name: "ioreq", Args: []Arg{{"dom", ArgDom}, {"state", ArgIOReq}}, Doc: "the I/O request of a domain's vcpu changes state (STATE_IOREQ_* of xen/include/public/hvm/ioreq.h)"},
	KindGap:        {Name: "gap", Args: []Arg{argTarget, {"lost", ArgUint}}, target: true, Doc: "that many records of the vcpu were lost before this point (0: a number that is not known)"},
	KindStart:      {Name: "start", Args: []Arg{argTarget}, target: true, Doc: "the vcpu comes up, idle in the guest with upcalls enabled"},
	KindEnd:        {Name: "end", Doc: "the recording was closed here"},
	KindServe:      {Name: "serve", Args: []Arg{{"dom", ArgDom}, {"ns", ArgUint}}, Doc: "a device model serves the domain's request"},
	KindUnknownEvt: {Name: "record", Args: []Arg{{"name", ArgUint}}, Doc: "a record of a capture that the importer has no meaning for (index into Meta.Unknown)"},

	KindHypercall:   {Name: "hypercall", Args: []Arg{{"call", ArgHC}, {"a", ArgUint}, {"b", ArgUint}}, Doc: "the vcpu enters Xen"},
	KindReturn:      {Name: "return", Args: []Arg{{"errno", ArgInt}, {"value", ArgUint}}, Res: Arg{"callback", ArgBit}, Doc: "the vcpu returns to the guest: with UP set and UMASK clear, through the upcall"},
	KindNotifyRead:  {Name: "notify.read", Args: []Arg{{"state", ArgStatus}}, Res: Arg{"vcpu", ArgVCPU}, Doc: "reads notify_vcpu_id of the port, once"},
	KindPortBind:    {Name: "port.bind", Args: []Arg{{"state", ArgStatus}, {"notify", ArgVCPU}, {"peer", ArgBits}}, Doc: "the port leaves the state free; peer is the remote domain << 32 | remote port, the VIRQ or the PIRQ"},
	KindPortClose:   {Name: "port.close", Doc: "the port becomes free, notify vcpu 0; PEND is cleared"},
	KindPortUnbind:  {Name: "port.unbind", Doc: "the other end was closed: the port is unbound"},
	KindPortVCPU:    {Name: "port.vcpu", Args: []Arg{argTarget}, target: true, Doc: "notify_vcpu_id := target (EVTCHNOP_bind_vcpu)"},
	KindRunRead:     {Name: "running.read", Args: []Arg{argTarget}, Res: resVal, target: true, Doc: "reads whether the target vcpu is on a physical CPU"},
	KindBlockedSet:  {Name: "blocked.set", Doc: "blocked := 1"},
	KindBlockedTAC:  {Name: "blocked.tac", Args: []Arg{argTarget}, Res: resOld, target: true, Doc: "test-and-clear of the target's blocked flag: 1 wakes it"},
	KindBlockedClr:  {Name: "blocked.clear", Doc: "blocked := 0: something is deliverable, the vcpu stays awake"},
	KindBlock:       {Name: "sched.block", Doc: "the vcpu gives up its physical CPU until somebody clears its blocked flag"},
	KindIPI:         {Name: "ipi", Args: []Arg{argTarget}, target: true, Doc: "a physical IPI goes to the target's CPU so that it enters Xen"},
	KindPollSet:     {Name: "poll.set", Args: []Arg{{"port", ArgPort}}, Doc: "the vcpu becomes a poller: of one port, or of many (port 0)"},
	KindPollRead:    {Name: "poll.read", Res: Arg{"pollers", ArgBits}, Doc: "reads the domain's poll mask (vcpus 0 to 63)"},
	KindPollTAC:     {Name: "poll.tac", Args: []Arg{argTarget}, Res: resOld, target: true, Doc: "test-and-clear of the target's poll flag"},
	KindPollClr:     {Name: "poll.clear", Doc: "the vcpu leaves the pollers"},
	KindForeignSend: {Name: "foreign.notify", Args: []Arg{{"dom", ArgDom}, {"rport", ArgPort}}, Doc: "the event is raised at the other domain's end"},
	KindNotifyCheck: {Name: "notify.check", Res: Arg{"vcpu", ArgVCPU}, Doc: "the sender reads notify_vcpu_id again: has the port been rebound meanwhile?"},

	KindPendTAS:    {Name: "pend.tas", Res: resOld, Doc: "test-and-set of PEND[port]: 1 swallows the event"},
	KindPendRead:   {Name: "pend.read", Res: resVal, Doc: "reads PEND[port]"},
	KindPendClear:  {Name: "pend.clear", Res: resOld, Doc: "PEND[port] := 0"},
	KindMaskTAS:    {Name: "mask.tas", Res: resOld, Doc: "test-and-set of MASK[port]"},
	KindMaskTAC:    {Name: "mask.tac", Res: resOld, Doc: "test-and-clear of MASK[port] by the hypervisor"},
	KindMaskClear:  {Name: "mask.clear", Res: resOld, Doc: "MASK[port] := 0 by the guest"},
	KindMaskRead:   {Name: "mask.read", Res: resVal, Doc: "reads MASK[port]: 1 stops a notification"},
	KindSelTAS:     {Name: "sel.tas", Args: []Arg{argTarget, argWord}, Res: resOld, target: true, Doc: "test-and-set of the word's bit in the target's SEL"},
	KindSelXchg:    {Name: "sel.xchg", Args: []Arg{{"unknown", ArgBits}}, Res: Arg{"old", ArgBits}, Doc: "the vcpu takes its SEL word and leaves 0"},
	KindUpTAS:      {Name: "up.tas", Args: []Arg{argTarget}, Res: resOld, target: true, Doc: "test-and-set of the target's UP"},
	KindUpWrite:    {Name: "up.write", Args: []Arg{argTarget, {"value", ArgBit}}, Res: Arg{"callback", ArgBit}, target: true, Doc: "plain store to the target's UP; callback: the guest forces the upcall because its UMASK is clear"},
	KindUpRead:     {Name: "up.read", Res: resVal, Doc: "reads the vcpu's own UP"},
	KindUmaskWrite: {Name: "umask.write", Args: []Arg{{"value", ArgBit}}, Res: Arg{"callback", ArgBit}, Doc: "stores the vcpu's own UMASK; enabling upcalls with UP set takes one"},
	KindWordRead:   {Name: "word.read", Args: []Arg{argWord, {"foreign", ArgBits}, {"unknown", ArgBits}}, Res: Arg{"value", ArgBits}, Doc: "reads PEND & accept[vcpu] & ~MASK of a word; foreign: pending, unmasked ports of other vcpus, where the policy looks at them"},
	KindSweepRead:  {Name: "sweep.read", Args: []Arg{argWord}, Res: Arg{"value", ArgBits}, Doc: "the tick reads PEND & accept[vcpu] & ~MASK of a word, whatever SEL says"},

	KindUpcall:      {Name: "upcall", Doc: "the upcall handler is entered"},
	KindUpcallExit:  {Name: "upcall.exit", Args: []Arg{{"handled", ArgUint}}, Res: Arg{"callback", ArgBit}, Doc: "the upcall handler is done, upcalls are enabled again; with UP set it starts over. handled 0: a spurious upcall"},
	KindDeliver:     {Name: "deliver", Doc: "the port is picked: its handler starts on this vcpu"},
	KindDrop:        {Name: "drop", Doc: "nobody takes the delivered event: it is gone, and the port stays masked"},
	KindHandled:     {Name: "handled", Doc: "the port's handler is done"},
	KindOwnerRead:   {Name: "owner.read", Res: Arg{"vcpu", ArgVCPU}, Doc: "the guest reads to which vcpu it has bound the port (cpu_evtchn, info->cpu)"},
	KindOwnerWrite:  {Name: "owner.write", Args: []Arg{argTarget}, target: true, Doc: "the guest notes that the port is bound to the target vcpu"},
	KindAcceptSet:   {Name: "accept.set", Args: []Arg{argTarget}, target: true, Doc: "sets the port's bit in the target's accept mask (cpu_evtchn_mask)"},
	KindAcceptClear: {Name: "accept.clear", Args: []Arg{argTarget}, target: true, Doc: "clears the port's bit in the target's accept mask"},
	KindActiveXchg:  {Name: "active.xchg", Res: resOld, Doc: "is_active := 1; 1 before means that another vcpu is in the handler"},
	KindActiveClear: {Name: "active.clear", Doc: "is_active := 0"},
	KindReasonSet:   {Name: "reason.set", Args: []Arg{{"reason", ArgBits}}, Res: Arg{"old", ArgBits}, Doc: "adds a reason for the port to be masked; MASK is set with the first"},
	KindReasonClear: {Name: "reason.clear", Args: []Arg{{"reason", ArgBits}}, Res: Arg{"left", ArgBits}, Doc: "drops a reason for the port to be masked; with none left the port is to be unmasked"},
	KindUserSet:     {Name: "user.set", Args: []Arg{{"task", ArgTask}}, Doc: "/dev/xen/evtchn: the port belongs to that user now"},
	KindRingPush:    {Name: "ring.push", Args: []Arg{{"task", ArgTask}}, Res: Arg{"full", ArgBit}, Doc: "/dev/xen/evtchn: the port is queued for its user"},
	KindRingPop:     {Name: "ring.pop", Args: []Arg{{"task", ArgTask}}, Doc: "/dev/xen/evtchn: read() takes the port"},
	KindWake:        {Name: "wake", Args: []Arg{argTarget, {"task", ArgTask}}, target: true, Doc: "the task is made runnable on the target vcpu"},
	KindSelect:      {Name: "select", Args: []Arg{{"task", ArgTask}}, Res: Arg{"readable", ArgBit}, Doc: "the task looks whether its device file has a port for it, and sleeps if not"},
	KindRequestPush: {Name: "request.push", Args: []Arg{argTarget}, target: true, Doc: "asks the target vcpu to look at the port"},
	KindRequestPop:  {Name: "request.pop", Doc: "takes the request to look at the port"},
	KindOpDone:      {Name: "op.done", Args: []Arg{{"op", ArgOp}, {"errno", ArgInt}, {"value", ArgUint}}, Doc: "the task's operation is done"},
	KindIRQ:         {Name: "irq", Args: []Arg{{"irq", ArgUint}}, Doc: "an interrupt handler was seen to run"},
	KindIRQSet:      {Name: "irq.set", Doc: "a driver of the kernel attaches its interrupt handler to the port"},
	KindRunState:    {Name: "sched.state", Args: []Arg{argTarget, {"from", ArgRun}, {"to", ArgRun}}, Res: Arg{"pcpu", ArgUint}, target: true, Doc: "Xen notes on a physical CPU that the vcpu's run state changes (RUNSTATE_* of xen/include/public/vcpu.h); to unknown: the notes that follow were lost"},
	KindXenCall:     {Name: "xen.call", Args: []Arg{{"number", ArgUint}}, Doc: "the vcpu makes the hypercall of that number (__HYPERVISOR_* of xen/include/public/xen.h: 32 is evtchn_op); neither its command nor its port is known"},
	KindSnap:        {Name: "snap", Args: []Arg{argWord, {"pend", ArgBits}, {"mask", ArgBits}}, Doc: "a PEND and a MASK word as they were seen"},
	KindDump:        {Name: "dump", Args: []Arg{{"number", ArgUint}, {"line", ArgUint}, {"rows", ArgUint}}, Doc: "a dump of Xen's console begins: so many rows from that line of the file on; the readings that follow were made one after the other"},
	KindSnapPort:    {Name: "snap.port", Args: []Arg{{"state", ArgStatus}, {"notify", ArgVCPU}, {"peer", ArgBits}}, Doc: "the hypervisor's record of the port as it was seen; peer as in port.bind"},
	KindSnapBits:    {Name: "snap.bits", Args: []Arg{{"pend", ArgBit}, {"mask", ArgBit}, {"told", ArgBit}}, Res: Arg{"link", ArgBits}, Doc: "PEND and MASK of the port as they were seen; told: the SEL bit of its word on the vcpu that it notifies, with FIFO whether it stands in a queue. link, of FIFO: bits 0 to 16, 28 (BUSY) and 29 (LINKED) of the event word"},
	KindSnapVCPU:    {Name: "snap.vcpu", Args: []Arg{argTarget, {"up", ArgBit}, {"umask", ArgBit}}, Res: Arg{"run", ArgRun}, target: true, Doc: "UP, UMASK and the run state of the target as they were seen"},
	KindSnapSel:     {Name: "snap.sel", Args: []Arg{argTarget, {"sel", ArgBits}}, target: true, Doc: "the target's SEL word as it was seen"},
	KindHold:        {Name: "sched.hold", Args: []Arg{{"what", ArgTurn}, {"which", ArgUint}, {"after", ArgUint}}, Doc: "what is due next of that turn has to wait until it is released; after: how many turns came before, which decides among things of the same time"},
	KindRelease:     {Name: "sched.release", Args: []Arg{{"what", ArgTurn}, {"which", ArgUint}, {"after", ArgUint}}, Doc: "what has had to wait may go on, at once if it is due; after: as in sched.hold"},
	KindTie: {Name: "tie", Args: []Arg{argTarget, {"step", ArgKind}, {"event", ArgUint}}, Res: Arg{"pending", ArgBit}, target: true,
		Doc: "what the vcpu has just done to the port ties with a step of the target vcpu: the capture does not tell which came first. event: that step's Seq if it was taken to come before, 0 if after; pending: what would have been found had they come the other way round"},
}

var kindNames = func() []string {
	names := make([]string, kindEnd)
	for k := range specs {
		names[k] = specs[k].Name
	}
	return names
}()

var kindByName = func() map[string]Kind {
	m := make(map[string]Kind, kindEnd)
	for k := range specs {
		m[specs[k].Name] = Kind(k)
	}
	return m
}()

// Valid reports whether the kind is one that this version knows.
func (k Kind) Valid() bool { return k > KindNone && k < kindEnd }

// Spec returns the kind's description. It is shared: do not change it.
func (k Kind) Spec() *Spec {
	if k >= kindEnd {
		k = KindNone
	}
	return &specs[k]
}

// String gives the kind's name in the text form.
func (k Kind) String() string { return k.Spec().Name }

// ParseKind is the inverse of Kind.String. KindNone is not found.
func ParseKind(name string) (Kind, bool) {
	k, ok := kindByName[name]
	return k, ok && k != KindNone
}

// Kinds lists all kinds in the order of their numbers.
func Kinds() []Kind {
	ks := make([]Kind, 0, kindEnd-1)
	for k := KindNone + 1; k < kindEnd; k++ {
		ks = append(ks, k)
	}
	return ks
}

// Hypercall is an operation that a vcpu enters Xen for: EVTCHNOP_* by Xen's numbers
// (xen/include/public/event_channel.h), then SCHEDOP_* and the guest's forced callback.
type Hypercall uint8

// The hypercalls.
const (
	HCBindInterdomain Hypercall = iota
	HCBindVIRQ
	HCBindPIRQ
	HCClose
	HCSend
	HCStatus
	HCAllocUnbound
	HCBindIPI
	HCBindVCPU
	HCUnmask
	HCReset
	HCInitControl
	HCExpandArray
	HCSetPriority
	HCBlock
	HCPoll
	hcEnd
)

var hypercallNames = [hcEnd]string{"bind_interdomain", "bind_virq", "bind_pirq", "close", "send", "status", "alloc_unbound",
	"bind_ipi", "bind_vcpu", "unmask", "reset", "init_control", "expand_array", "set_priority", "block", "poll"}

// String gives Xen's name of the operation, without its prefix.
func (h Hypercall) String() string { return nameOf(hypercallNames[:], int(h)) }

// IOReqState is the state of an I/O request page slot (STATE_IOREQ_* of xen/include/public/hvm/ioreq.h).
type IOReqState uint8

// The states of an I/O request.
const (
	IOReqNone IOReqState = iota
	IOReqReady
	IOReqInprocess
	IOReqRespReady
)

var ioreqNames = [...]string{"none", "ready", "inprocess", "resp_ready"}

// String gives the state's name in lower case.
func (s IOReqState) String() string { return nameOf(ioreqNames[:], int(s)) }

// Turn is something whose turn comes in a simulated system, and that its scheduler can let wait (sched.hold).
type Turn uint8

// The turns.
const (
	TurnVCPU   Turn = iota // the next step of a vcpu
	TurnPath               // the next step of a path of the hypervisor for somebody outside, by its number
	TurnKick               // the arrival of physical IPIs at a vcpu
	TurnRun                // the getting of a physical CPU by a vcpu that was woken or preempted
	TurnDomain             // the next request of a domain whose I/O is served, by the domain's place in the scenario << 8 | its vcpu
	turnEnd
)

var turnNames = [turnEnd]string{"vcpu", "path", "kick", "run", "domain"}

// String gives the turn's name in the text form.
func (t Turn) String() string { return nameOf(turnNames[:], int(t)) }

// Names returns the names that values of an enumerated argument type take in the text form, in order, or nil for types that
// are numbers.
func (t ArgType) Names() []string {
	switch t {
	case ArgOp:
		return opNames[:]
	case ArgHC:
		return hypercallNames[:]
	case ArgStatus:
		return portStatusNames[:]
	case ArgRun:
		return runStateNames[:]
	case ArgIOReq:
		return ioreqNames[:]
	case ArgKind:
		return kindNames
	case ArgTurn:
		return turnNames[:]
	}
	return nil
}

// ParseName finds a name among those of the type.
func (t ArgType) ParseName(s string) (uint64, bool) {
	for i, n := range t.Names() {
		if strings.EqualFold(n, s) {
			return uint64(i), true
		}
	}
	return 0, false
}
