package system

import "github.com/evtrace/evtrace/evtchn"

// Scenario describes a system to simulate: its topology, its actors, what reaches it from outside, and what is expected of
// it. Times are nanoseconds. Parse reads one from a file and fills in the defaults.
type Scenario struct {
	Name   string
	About  string // one line
	Story  string // prose
	Source string // where it comes from: a report, a commit

	VCPUs     int         // of the traced domain, 1 to 128
	WordBits  int         // 64, or 32 for a 32-bit domain, or less
	Duration  evtchn.Time // of the recording
	Tick      evtchn.Time // period of every vcpu's VIRQ_TIMER, 0: no ticks
	FirstPort evtchn.Port // the first port that a device model gets: lower ones are in use by then. 0: as it comes
	Policy    string      // policy in force while recording, unless the user names one
	Costs     Costs

	Domains []Domain
	Hot     []Hot
	IPIs    IPIs
	Balance Balance
	Migrate Migrate
	Preempt Preempt
	Expect  Expect

	Bounded *Bounded // instead of all that has to do with time, in a scenario of kind bounded; nil in others

	Kind string // "timed" or "bounded"
	Text string // the file as it was read
}

// Costs are the durations of what the machine does.
type Costs struct {
	Step      evtchn.Time // a memory operation (20 ns)
	Hypercall evtchn.Time // entry into Xen, and return from it (250 ns each)
	Kick      evtchn.Time // from the sending of a physical IPI to its arrival (2 us)
	Wake      evtchn.Time // from waking a vcpu to its running (5 us)
	Handler   evtchn.Time // of an interrupt handler (2 us)
	Schedule  evtchn.Time // choice of the next task by the guest (300 ns)
	Jitter    evtchn.Time // the most by which Kick and Wake exceed their value, drawn each time (1 us)
}

// Span is a duration drawn evenly between two bounds.
type Span struct{ Min, Max evtchn.Time }

// DomainKind is how a domain does its I/O.
type DomainKind uint8

// Kinds of domain.
const (
	HVM DomainKind = iota // through a device model: a process of the traced domain with /dev/xen/evtchn open
	PV                    // through a backend driver in the traced domain's kernel
)

// Domain is a group of like domains whose I/O the traced domain serves.
type Domain struct {
	Kind     DomainKind
	Count    int  // how many such domains
	VCPUs    int  // of each; all share one event channel. Each has at most one request under way
	Start    Span // when the device model starts, or the backend binds
	OnVCPU   int  // vcpu on which the device model or the backend's thread runs; AnyVCPU: drawn; OtherVCPU: drawn, but not 0
	Pinned   bool // it never moves to another vcpu
	First    Span // from Start to the first request of each vcpu (may precede the bind)
	Think    Span // from a response to the next request
	Serve    Span // time that a request takes to serve
	Requests int  // how many requests each vcpu makes, 0: no end
}

// Values of Domain.OnVCPU and Hot.OnVCPU that are not a vcpu.
const (
	AnyVCPU   = -1
	OtherVCPU = -2
)

// Hot is a group of ports of drivers that ring from outside.
type Hot struct {
	PIRQ   bool // physical interrupts; otherwise sends of other domains
	Count  int
	OnVCPU int  // vcpu that the ports are bound to
	Late   bool // bound after the device models' ports: shares their event word, rather than a low one
	Every  Span // from one event of a port to its next
	From   evtchn.Time
	Until  evtchn.Time // 0: to the end
}

// IPIs are reschedule interrupts among the vcpus: each tick of a vcpu sends one with that probability.
type IPIs struct {
	PerTick float64
}

// Balance is irqbalance: from time to time it moves ports of domains to other vcpus.
type Balance struct {
	Every  Span // 0: never
	OnVCPU int  // where it runs; AnyVCPU: drawn each time
}

// Migrate is the guest's load balancer: from time to time it moves a device model to another vcpu.
type Migrate struct {
	Every Span
}

// Preempt is the hypervisor's scheduler: from time to time it takes the physical CPU from a vcpu.
type Preempt struct {
	Every Span
	For   Span
}

// Expect is what the recording must give under the scenario's own policy.
type Expect struct {
	Verdict string      // clean, late, lost or violated; "" if nothing is expected
	Port    evtchn.Port // of the first finding, 0: any
	Cause   string
}
