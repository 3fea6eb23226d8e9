// Package replay runs a trace again. It takes the trace's inputs (what came from outside: interrupts, sends, operations that
// tasks began, moves, preemptions) and computes everything else anew, with the same machine and actors that recorded it.
//
// Under the recorded policy the result must be the trace itself, event for event: Verify says so, or names the first event at
// which the two part. Under another policy, Run gives what would have happened instead, to the end of the recording: also
// what the recorded run never came to, because a device model that slept for ever is woken.
//
// A trace of package explore holds its schedule in place of inputs: it is followed, under another policy as far as it goes, and then on
// to rest.
//
// A capture of a real system has no actors that could react, and most steps of its hypervisor were never seen. This package
// refuses to replay it (ErrObserved) rather than guess; package predict below it says what can be said.
package replay
