// Package evtchntest is a second opinion about traces of package evtchn, for tests: a slow validator that shares no code with
// the machine and its State. It keeps the shared memory in plain maps and slices and holds every event of a complete trace
// against three questions:
//
//   - values: is what the event read, or found before its write, what memory held then?
//   - order: does the event follow in its context from the one before, as the procedure goes that the trace's policy has?
//   - state: may its vcpu do this now? No upcall outside an upcall, no step of a vcpu that sleeps, one holder of a lock.
//
// It was written from the descriptions of the algorithms, not from the machine. It lists everything that is wrong and goes on.
// It does not judge the policy: a trace that loses an event is a good trace. Traces of captures are not for it.
//
//	problems, err := evtchntest.Validate(meta, source)
//
// End judges where a trace ends as well: which ports nobody is going to look at there, and which handlers began that should not have.
package evtchntest
