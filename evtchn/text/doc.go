// Package text is the text form of a trace: one event on a line, for bug reports, fixtures, grep and diff.
//
// Start with [NewWriter] and [NewReader]; [Sniff] tells such a file from others. The package does not look for sense in
// what it carries (order, causes, vcpus that do not exist): that is the machine's business.
//
// # Example
//
//	evtrace text 1
//	source: sim
//	abi: 2l
//	vcpus: 16
//	word_bits: 64
//	clock: virtual
//	unit: ns
//	ns_per_tick: 1
//	complete: true
//	policy: xen-2005
//	task: 0 idle
//	task: 1 qemu
//	scenario:
//	| # two lines of the scenario file
//	| vcpus: 16
//
//	101 1204100 v3 task:1 op op=bind_interdomain a=1 b=12 input
//	103 1204380 v3 xen pend.tas p65 = 0
//	106 1205100 v3 task:1 mask.clear p65 = 1
//	108 1205140 v3 task:1 sel.tas p65 target=v3 word=w1 = 0
//	112 1205450 v3 upcall word.read word=w1 foreign=0x0 unknown=0x0 = 0x0
//	114 1900000 - foreign:0 send p65 dom=1 input
//	115 1900080 - foreign:0 pend.tas p65 = 1 <114
//	end 7
//
// # Promises
//
// One spelling: a trace has exactly one text and a text exactly one trace. What a reader takes, a writer gives again byte for
// byte; everything else is refused, with file, line, what was found and what was wanted. Every event of a known kind can be
// written, also one whose values make no sense.
//
// Mailable: lines of printable ASCII that end in LF, without tabs and without spaces at either end. Only a header value, such as a
// long note, makes a line longer than some 100 columns.
//
// Noticed cuts: a text that was cut at any byte is an [io.ErrUnexpectedEOF], after all events that it still has.
//
// Versions: the number in the first line is [evtchn.FormatVersion]. A newer one is [ErrVersion].
//
// # Header
//
// After the first line there is a line for every field of [evtchn.Meta] that is not empty, "key: value", in this order: tool, source,
// origin, abi, vcpus, word_bits, clock, unit, ns_per_tick, complete, policy, schedule, seed, duration, events, gaps, lost, unordered,
// task, unknown, unprobed, note, count, lines, records, broken, broken_at, ties, backward, missed, deduced, scenario. The keys are those of
// the JSON form, in the singular for lists, which have one line for each item: task and unknown with the item's index, from 0;
// count, missed and deduced with the number before the name, in the order of the names. A blank line ends the header.
//
// Text stands as it is, or quoted as Go does in ASCII: if it is empty, starts with a space or a quotation mark, ends in a space, or
// has anything but printable ASCII. An empty list is the same as none.
//
// The scenario follows its key on lines of their own: | and a space and the line; | alone for an empty line; | and the
// quoted line where it needs that. The last line has |- in place of | if the text does not end in a newline.
//
// # Events
//
// Words separated by one space, in this order:
//
//	106                  sequence number
//	1205100              time, in the unit of the header; may be negative
//	v3                   vcpu, or - for none; of a domain other than 0 as Xen writes it: d5v3, d5v-
//	task:1               context: - (outside), xen, upcall, task:N, foreign:N; ctx:N for those without a name
//	sel.tas              kind: the names and arguments are those of evtchn.Kind.Spec
//	p65                  port, if there is one
//	target=v3 word=w1    all arguments of the kind; then arg0= to arg2= for those beyond, if not 0
//	= 0                  result, if the kind has one (or if it is not 0)
//	<101                 the event that caused this one, if it was not the one before it in its context
//	input                flags: input, inferred, foreign; flags:0x40 for bits that have no name
//
// Values are written by their type:
//
//	number, domain, task    12
//	errno                   -22
//	bit                     0 1 ?
//	word of bits            0x2f
//	vcpu                    v3, - for none (0xffff)
//	event word, port        w1 p65
//	enumerations            by name: interdomain, bind_vcpu, resp_ready
//	kind of event           by name: pend.tas
//
// A value that has no spelling in its type is # and the number: the bit 7 is #7. (A vcpu of -1 in 64 bits is v-1.)
//
// The last line is "end" and the number of events.
//
// # Comments
//
// A reader with [Options].Lenient also takes comments (lines that start with #), blank lines, CR LF, superfluous spaces and tabs, header fields in
// any order, and an end line without a newline: a trace in a bug report may be annotated. These do not survive a round trip,
// so nothing else takes them.
package text
