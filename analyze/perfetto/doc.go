// Package perfetto writes a trace as one of Perfetto (perfetto.dev): track events in protobuf, for its viewer and its SQL.
//
// Start with NewWriter, feed the Writer the events in order, and end with Writer.Close, which adds the findings. Every event is
// written as it comes: memory depends on how many ports and vcpus there are, and not on the length of the trace.
//
// # Tracks
//
// Each vcpu has a track with slices for upcalls, for the handlers in them, and for hypercalls. Each port has two: while it is
// pending, and while it is masked. Flows lead from what raised a port over its pending time to its handler. What came from
// outside is on a track of its own, and so are the findings, each an instant where the port went unnoticed. Counters
// say how many ports are pending, and how many upcalls found nothing to do. A slice that has not ended when the trace does has no end.
//
// # What it refuses to do
//
// It has no clock and no I/O but the io.Writer that it is given. Times are those of the trace, in nanoseconds; where the length of a
// tick is not known, a tick counts as one. A time that goes back is written as the latest before it, as slices must nest.
//
// # Format
//
// The messages and their numbers are those of protos/perfetto/trace in github.com/google/perfetto; the subset that is used is in
// testdata/perfetto.proto. Event names are interned.
package perfetto
