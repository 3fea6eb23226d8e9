package system

import (
	"time"

	"github.com/evtrace/evtrace/evtchn"
)

// field is one key of a scenario file. The table drives reading, checking, defaults and documentation; what kind of value
// the key takes follows from the type of the pointer that at returns.
type field struct {
	key      string
	required bool
	def      string // the default, as a file would have it; "": the type's zero value
	lo, hi   int64  // bounds of a number, or of a duration in nanoseconds
	zero     bool   // 0 is allowed besides
	words    []string
	doc      string

	at   func(sc *Scenario, i int) any // where the value goes; i: which element of the list that the key is in
	sub  []field                       // keys of a mapping, or of each element of a list
	grow func(sc *Scenario) int        // makes sub a list: adds an element and gives its number
}

// Types of value that Go's own do not tell apart.
type (
	nameText   string // letters, digits, dashes
	lineText   string // one line
	proseText  string // any text
	policyText string // what evtchn.ParsePolicy reads
	wordText   string // one of field.words
	vcpuNumber int    // a vcpu, or AnyVCPU, or OtherVCPU
	powerOfTwo int
	eitherWord bool // the first of field.words is false, the second is true
)

const (
	usec = int64(time.Microsecond)
	msec = int64(time.Millisecond)
	sec  = int64(time.Second)
	day  = 24 * 3600 * sec

	maxPort = 4095 // of a 64-bit domain with the 2-level ABI
)

// Kinds of scenario.
const (
	timedKind   = "timed"
	boundedKind = "bounded"
)

// Words for OnVCPU.
const (
	anyWord   = "any"
	otherWord = "other"
)

// verdicts and causes are those of the analysis, which is not imported here.
var (
	verdicts = []string{"clean", "late", "lost", "violated"}
	causes   = []string{"selector-on-wrong-vcpu", "masked-then-unmasked-elsewhere", "selector-consumed-by-non-owner", "stale-notify",
		"kick-missing", "cleared-before-look", "dropped-no-handler", "pending-swallowed"}
	kinds = []string{HVM: "hvm", PV: "pv"}

	scenarioKinds = []string{timedKind, boundedKind}
	hotKinds      = []string{"send", "pirq"}
)

var table = []field{
	{key: "name", required: true, doc: "what the scenario is called",
		at: func(sc *Scenario, _ int) any { return (*nameText)(&sc.Name) }},
	{key: "about", doc: "what it shows, in one line",
		at: func(sc *Scenario, _ int) any { return (*lineText)(&sc.About) }},
	{key: "story", doc: "what happens and why, in prose",
		at: func(sc *Scenario, _ int) any { return (*proseText)(&sc.Story) }},
	{key: "source", doc: "where it comes from: a report, a commit",
		at: func(sc *Scenario, _ int) any { return (*lineText)(&sc.Source) }},
	{key: "kind", def: timedKind, words: scenarioKinds, doc: "timed: to be recorded, in virtual time; bounded: without times, to have all its schedules explored, with other keys than these",
		at: func(sc *Scenario, _ int) any { return (*wordText)(&sc.Kind) }},
	{key: "vcpus", def: "4", lo: 1, hi: evtchn.MaxVCPUs, doc: "vcpus of the traced domain",
		at: func(sc *Scenario, _ int) any { return &sc.VCPUs }},
	{key: "word_bits", def: "64", lo: 2, hi: 64, doc: "bits of an event word: 64, 32 for a 32-bit domain, less for small models. There are word_bits x word_bits - 1 ports",
		at: func(sc *Scenario, _ int) any { return (*powerOfTwo)(&sc.WordBits) }},
	{key: "duration", def: "100ms", lo: usec, hi: day, doc: "length of the recording",
		at: func(sc *Scenario, _ int) any { return &sc.Duration }},
	{key: "tick", def: "10ms", lo: 10 * usec, hi: 10 * sec, zero: true, doc: "period of every vcpu's timer (VIRQ_TIMER); 0: no ticks",
		at: func(sc *Scenario, _ int) any { return &sc.Tick }},
	{key: "first_port", def: "0", lo: 1, hi: maxPort, zero: true, doc: "the first port that a domain's device model or backend gets: lower ones are in use by then; 0: as it comes",
		at: func(sc *Scenario, _ int) any { return &sc.FirstPort }},
	{key: "policy", def: "xen-2005", doc: "policy in force while recording, unless the command line names one: a preset, choices such as unmask=hypercall, or both",
		at: func(sc *Scenario, _ int) any { return (*policyText)(&sc.Policy) }},

	{key: "costs", doc: "how long what the machine does takes", sub: []field{
		{key: "step", def: "20ns", lo: 1, hi: msec, doc: "a memory operation",
			at: func(sc *Scenario, _ int) any { return &sc.Costs.Step }},
		{key: "hypercall", def: "250ns", hi: msec, doc: "entry into Xen, and the same again for the return",
			at: func(sc *Scenario, _ int) any { return &sc.Costs.Hypercall }},
		{key: "kick", def: "2us", hi: sec, doc: "from the sending of a physical IPI to its arrival",
			at: func(sc *Scenario, _ int) any { return &sc.Costs.Kick }},
		{key: "wake", def: "5us", hi: sec, doc: "from waking a vcpu to its running",
			at: func(sc *Scenario, _ int) any { return &sc.Costs.Wake }},
		{key: "handler", def: "2us", hi: sec, doc: "an interrupt handler",
			at: func(sc *Scenario, _ int) any { return &sc.Costs.Handler }},
		{key: "schedule", def: "300ns", hi: msec, doc: "the guest's choice of the next task",
			at: func(sc *Scenario, _ int) any { return &sc.Costs.Schedule }},
		{key: "jitter", def: "1us", hi: sec, doc: "the most by which kick and wake exceed their value; drawn each time",
			at: func(sc *Scenario, _ int) any { return &sc.Costs.Jitter }},
	}},

	{key: "domains", doc: "groups of domains whose I/O the traced domain serves", sub: domainFields,
		grow: func(sc *Scenario) int { sc.Domains = append(sc.Domains, Domain{}); return len(sc.Domains) - 1 }},
	{key: "hot", doc: "groups of ports that devices or drivers ring from outside", sub: hotFields,
		grow: func(sc *Scenario) int { sc.Hot = append(sc.Hot, Hot{}); return len(sc.Hot) - 1 }},

	{key: "ipis", doc: "reschedule interrupts among the vcpus", sub: []field{
		{key: "per_tick", def: "0", lo: 0, hi: 1, doc: "probability that a tick of a vcpu sends one",
			at: func(sc *Scenario, _ int) any { return &sc.IPIs.PerTick }},
	}},
	{key: "balance", doc: "irqbalance: moves the port of a domain, drawn each time, to a vcpu, drawn too", sub: []field{
		{key: "every", def: "0", lo: usec, hi: day, zero: true, doc: "from one move to the next; 0: never",
			at: func(sc *Scenario, _ int) any { return &sc.Balance.Every }},
		{key: "on_vcpu", def: anyWord, doc: "vcpu that irqbalance runs on; any: drawn each time",
			at: func(sc *Scenario, _ int) any { return (*vcpuNumber)(&sc.Balance.OnVCPU) }},
	}},
	{key: "migrate", doc: "the guest's load balancer: moves a device model or a backend's thread, drawn among those that are not pinned, to a vcpu, drawn too", sub: []field{
		{key: "every", def: "0", lo: usec, hi: day, zero: true, doc: "from one move to the next; 0: never",
			at: func(sc *Scenario, _ int) any { return &sc.Migrate.Every }},
	}},
	{key: "preempt", doc: "the hypervisor's scheduler: takes the physical CPU from each vcpu now and then", sub: []field{
		{key: "every", def: "0", lo: usec, hi: day, zero: true, doc: "from one preemption of a vcpu to its next; 0: never",
			at: func(sc *Scenario, _ int) any { return &sc.Preempt.Every }},
		{key: "for", def: "100us..1ms", lo: usec, hi: day, doc: "how long the vcpu is without a physical CPU",
			at: func(sc *Scenario, _ int) any { return &sc.Preempt.For }},
	}},
	{key: "expect", doc: "what the recording must give under the scenario's own policy", sub: []field{
		{key: "verdict", words: verdicts, doc: "verdict of the analysis",
			at: func(sc *Scenario, _ int) any { return (*wordText)(&sc.Expect.Verdict) }},
		{key: "port", def: "0", lo: 1, hi: maxPort, zero: true, doc: "port of the first finding; 0: any",
			at: func(sc *Scenario, _ int) any { return &sc.Expect.Port }},
		{key: "cause", words: causes, doc: "cause of the first finding",
			at: func(sc *Scenario, _ int) any { return (*wordText)(&sc.Expect.Cause) }},
	}},
}

var domainFields = []field{
	{key: "kind", required: true, words: kinds, doc: "hvm: served by a device model, a process with /dev/xen/evtchn open; pv: by a backend in the traced domain's kernel",
		at: func(sc *Scenario, i int) any { return &sc.Domains[i].Kind }},
	{key: "count", def: "1", lo: 0, hi: maxPort, doc: "how many such domains",
		at: func(sc *Scenario, i int) any { return &sc.Domains[i].Count }},
	{key: "vcpus", def: "1", lo: 1, hi: evtchn.MaxVCPUs, doc: "vcpus of each; they share one event channel, and each has at most one request under way",
		at: func(sc *Scenario, i int) any { return &sc.Domains[i].VCPUs }},
	{key: "start", def: "1ms..5ms", hi: day, doc: "when the device model starts, or the backend binds its port",
		at: func(sc *Scenario, i int) any { return &sc.Domains[i].Start }},
	{key: "on_vcpu", def: anyWord, doc: "vcpu that the device model or the backend's thread runs on; any: drawn; other: drawn, but not 0",
		at: func(sc *Scenario, i int) any { return (*vcpuNumber)(&sc.Domains[i].OnVCPU) }},
	{key: "pinned", def: "false", doc: "it never moves to another vcpu",
		at: func(sc *Scenario, i int) any { return &sc.Domains[i].Pinned }},
	{key: "first", def: "0..2ms", hi: day, doc: "from start to the first request of each vcpu",
		at: func(sc *Scenario, i int) any { return &sc.Domains[i].First }},
	{key: "think", def: "1ms..3ms", hi: day, doc: "from a response to the next request",
		at: func(sc *Scenario, i int) any { return &sc.Domains[i].Think }},
	{key: "serve", def: "20us..60us", hi: day, doc: "time that a request takes to serve",
		at: func(sc *Scenario, i int) any { return &sc.Domains[i].Serve }},
	{key: "requests", def: "0", lo: 0, hi: 1e9, doc: "how many requests each vcpu makes; 0: no end",
		at: func(sc *Scenario, i int) any { return &sc.Domains[i].Requests }},
}

var hotFields = []field{
	{key: "kind", def: "send", words: hotKinds, doc: "send: another domain's notifications; pirq: a device's physical interrupt",
		at: func(sc *Scenario, i int) any { return (*eitherWord)(&sc.Hot[i].PIRQ) }},
	{key: "count", def: "1", lo: 0, hi: maxPort, doc: "how many ports",
		at: func(sc *Scenario, i int) any { return &sc.Hot[i].Count }},
	{key: "on_vcpu", def: "0", lo: 0, hi: evtchn.MaxVCPUs - 1, doc: "vcpu that the ports are bound to; 0 if late",
		at: func(sc *Scenario, i int) any { return &sc.Hot[i].OnVCPU }},
	{key: "late", def: "false", doc: "bound after the domains' ports, so next to them, instead of before",
		at: func(sc *Scenario, i int) any { return &sc.Hot[i].Late }},
	{key: "every", required: true, lo: usec, hi: day, doc: "from one event of a port to its next",
		at: func(sc *Scenario, i int) any { return &sc.Hot[i].Every }},
	{key: "from", def: "0", hi: day, doc: "when the ports begin to ring",
		at: func(sc *Scenario, i int) any { return &sc.Hot[i].From }},
	{key: "until", def: "0", hi: day, doc: "when they stop; 0: not before the end",
		at: func(sc *Scenario, i int) any { return &sc.Hot[i].Until }},
}
