// Package filter compiles what a reader of a trace types to see fewer events, and to stop where something holds.
//
// Start with [Compile] for a filter over events, and with [CompileCondition] for a breakpoint over the state after an event.
//
// # Terms
//
// The short form is for typing. All terms must hold, values separated by commas are alternatives:
//
//	port=65                      vcpu=0,3              kind=mask.clear,sel.tas
//	65                           port!=65 vcpu!=0      mask.clear
//	kind=mask.* task=qemu        t=1.2ms-1.3ms         seq>=100 input
//
// A number by itself is a port, a name by itself a kind or one of input and inferred. A kind that ends in .* stands for all
// that begin so. Times take ns, us, ms and s; ranges include both ends.
//
// # Expressions
//
// Everything else is an expression of the language of github.com/expr-lang/expr, without its loops and without its clock:
//
//	port == 65 && vcpu != 0 && kind in ["unmask.clear", "upcall.exit"]
//	kind startsWith "pend." && (res == 1 || inferred)
//
// The fields of an event:
//
//	seq       number of the event
//	t         time in ns (in ticks where the capture does not give the frequency); also called time
//	vcpu      that executed it; -1: none
//	target    vcpu that it acts on
//	port      0: none
//	word      event word of the port or of the argument of that name; -1: none
//	kind      name, as in the text form
//	ctx       "task", "xen", "upcall", "foreign", or "none" for what comes from outside
//	task      name of the task, "task:N" if the trace has no name for it, "" outside tasks
//	res       result: 0 if the kind has none, 2 for an unknown bit, -1 for no vcpu
//	cause     number of the event that caused it; 0: the one before it in its context
//	dom       domain
//	input     came from outside the machine
//	inferred  deduced by an importer
//
// # Conditions
//
// A condition is an expression in which, besides the fields of the event, these can stand; they are as the event left them:
//
//	PEND[p] MASK[p]      bits of port p (or PEND[port]: of the event's port)
//	EXPOSED[p]           pending and unmasked
//	UNNOTICED[p]         exposed, and nobody will look
//	OWNER[p] NOTIFY[p]   vcpu to which the guest, the hypervisor has bound it
//	UP[v] UMASK[v]       flags of vcpu v; UP[v] == 1 is the same as UP[v]
//	SEL[v]               selector word of vcpu v, a number whose bit w stands for event word w
//	RUN[v]               "running", "runnable", "blocked", "polling", "offline"
//
// # Promises
//
// Three values: what the trace does not tell is unknown, and a condition fires only if it is true whatever the unknown bits are: false && unknown is
// false, true || unknown is true, !unknown is unknown and does not fire. (Within arithmetic, string operators and ?: the rule
// is coarser: anything unknown that was read makes the term unknown.) A port that the ABI lacks or a vcpu that the
// domain lacks is unknown, too.
//
// Bad input is an [*Error], one line, never a panic. What goes wrong only with some events (a division by zero) makes them not
// match; Err tells.
//
// Filters and conditions do not change and may be used by several goroutines at once. Comparisons with constants, sets, and their
// combinations are evaluated without allocation.
//
// It does not look for events, and does not know stores: [Filter.Ports], [Filter.Kinds], [Filter.VCPUs], [Filter.Seqs] and
// [Filter.Times] let a scan skip what cannot match. A [Reader] gives the fields of events to those who print or count them.
package filter
