// Package xentrace reads the binary traces of xentrace, Xen's own tracing tool, as context of a capture.
//
// Start with [New], an importer of the run states of one domain's vcpus; recorder.Merge puts what it gives among the events of an
// ftrace capture of the same seconds. [NewReader] gives the bare records of a file, and [Scan] its range of times.
//
// # The format
//
// A file is a row of records of 32-bit words, least significant byte first: a header (28 bits of event id, 3 bits that count the
// words of data, 1 bit that tells of a time stamp), the time stamp counter of the physical CPU, and up to 7 words of data
// (xen/include/public/trace.h). Each physical CPU has a buffer of its own. xentrace empties them in turn, and writes before
// what it took a record TRC_TRACE_CPU_CHANGE with the CPU's number and the number of bytes that follow: a window.
//
// # Order
//
// Records of one window are in order; windows are not, but no record comes later in the file than by the round after the next: what
// a CPU noted while xentrace emptied the others is in its next window. So two rounds are held back and sorted by time stamp, of
// which only the few records that matter take memory.
//
// # What is told of a domain
//
//   - evtchn.KindRunState: the run state of a vcpu changed. A vcpu that sleeps in SCHEDOP_poll is told from one that sleeps in
//     SCHEDOP_block if hypercalls were traced, too.
//   - evtchn.KindXenCall: a paravirtual vcpu made the hypercall evtchn_op.
//
// Everything else is counted by name. A vcpu's state is unknown until its first record, and while records of a CPU were lost in which
// it could have changed.
//
// # Damage
//
// A stretch that cannot be records of a window is passed over up to the next window, and counted and located; a single record whose
// time stamp does not fit between its neighbours is left out. Options.Strict makes either an error of class [ErrDamaged].
//
// # What it refuses to do
//
// It says nothing about event channels: the records of the hypercall have neither its command nor its port. It reads traces of
// little-endian machines only, and does not decompress.
package xentrace
