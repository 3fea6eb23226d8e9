// Package ftrace imports Linux ftrace captures of a Xen dom0 as a stream of evtchn.Events.
//
// Open an Importer, call Next until io.EOF, then ask FinalMeta what was found and what was missing.
//
// # What is read
//
// The text of tracefs' trace and trace_pipe files, in the normal and in the latency format, and the text that trace-cmd
// report prints; the binary trace.dat that trace-cmd record writes (package tracedat). Each plain, gzip or zstd. In text, one record a
// line:
//
//	TASK-PID [cpu] flags time: event: (address) fields
//
// The events are kprobes under the names of the capture recipe (upcall, scan, deliver, clear, mask, unmask, bind_cpu, remove,
// ipi, dev_ioctl, hc_send, hc_unmask_2l and so on) and the kernel's own irq_handler_entry and irq_handler_exit. KIND_ownN is a record
// of that kind by another function than the kernel's.
//
// # What is deduced
//
// A capture shows little of what the hypervisor did. The importer adds what must have happened, each event flagged
// evtchn.FlagInferred, so that evtchn.State follows PEND, MASK and SEL:
//
//   - A send (hc_*) becomes the steps of set_pending at the receiving port. Sender and receiver are paired by the ioctl
//     BIND_INTERDOMAIN or by the side files' port table.
//   - An unmask followed by hc_unmask is the hypercall's steps; without one it is the local path, with the selector of the
//     vcpu that ran it. Whether the local path found the port pending is settled by its outcome, because a send on
//     another vcpu can be under way: a vcpu that has set its own UP takes an upcall as soon as its interrupts are on.
//   - An unmask within which the same port is unmasked again, by the function that it calls, is a wrapper, and does nothing itself.
//   - A scan takes SEL; a port of another vcpu for which this vcpu's SEL bit was set is turned away from there.
//   - A delivery without a visible cause (another domain's send, VIRQ, PIRQ) gets its send just before the upcall.
//   - Handlers that ran although their kprobes were missed become deliveries, with the irq-to-port map learned so far.
//
// # Initial knowledge
//
// lsevtchn.before is taken to hold when the trace begins: its ports are bound, with Linux' owner the notify vcpu. Later tables
// (lsevtchn.loaded, .running, .after) only serve to pair ports whose binding the trace does not show. Nothing else is assumed:
// all PEND, MASK and SEL bits are unknown until an event tells.
//
// # What it refuses to do
//
// It reads no ring buffers but those in a trace.dat; it draws no verdict. For the FIFO ABI it deduces PEND and
// MASK from sends, binds and deliveries, and nothing of the queues that take the place of selectors.
package ftrace
