// Package profile adds up a trace as a profile of pprof (github.com/google/pprof): where the time between an event and its handler
// went, and which step of which procedure is to blame.
//
// Start with New, feed the Builder the events in order, and take the result from Builder.Profile. Samples are added up by stack
// and labels while the events come, so memory depends on how many ports and vcpus there are, and not on the length of the trace.
//
// # Values
//
// A sample counts events (episodes of PEND), the delay from exposure to handler, the time for which nobody was going to look,
// event-channel hypercalls, passes of the upcall handler, and findings. What analyze reports is the sum: events are Totals.Episodes,
// delays with a handler are Latency.Sum, hypercalls and upcalls those of Costs, findings with the label verdict those of Totals.
//
// # Stacks
//
// From the root: what the port is in use for, the procedure that exposed it or told a vcpu, the procedure in which a vcpu looked away,
// the vcpu, and last what the time was spent on: a cause of analyze, or for an event that went well one of three waits. Functions
// are procedures, and their lines are those of Listing, which describes all of them step by step. A capture has no policy; its
// procedures are those of Linux of today, and the unmask of 2005 where one told the vcpu that it ran on.
//
// # What it refuses to do
//
// It has no clock and no I/O: times are those of the trace. It judges nothing itself.
package profile
