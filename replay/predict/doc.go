// Package predict says what a capture of a real system might have been under another policy.
//
// A capture has no actors: nobody can be asked what he would have done next. So the prediction is open loop. Every operation that the
// capture shows is taken at its time, on its vcpu; where the policy carries it out otherwise (an unmask, a bind, a move, a send to a
// masked port, a tick), that operation is run on an evtchn.Machine that is put into the situation of that moment. Whoever the machine
// tells then looks after a time drawn from the latencies of the same capture. Everything else is passed on as it was observed.
//
// Give all events of a capture to a [Harvest], take its [Samples], and give all events once more to a [Prediction]: it passes on events
// for whoever judges a capture to judge. Its [Outcome] adds what went otherwise, episode by episode, and what was assumed.
//
// # How two worlds are kept
//
// One evtchn.State follows what was observed, another what is predicted. An event is passed on if its port, and the vcpu that it tells,
// are the same in both; so a policy that does nothing otherwise gives the capture itself. Where they differ, the operation is run
// again, until both are the same again: a port that is pending in the prediction alone is handled by the first scan of its vcpu that
// takes its word; a handler that ran in the capture alone is left out, with the unmask that answers it.
//
// A vcpu looks when the capture shows it to look, if it had been told of something before; else after the drawn time, or when the
// capture shows it to look, whichever comes first.
//
// # What it refuses to do
//
// It does not let anybody react: a request that would have been answered sooner is not followed by the next one, and a handler
// that runs in the prediction alone does not mask its port until somebody writes it back. It takes acknowledging (axis ack), the order
// of a scan (upcall=2005 or snapshot) and races within a send (axis send) as they were observed. It has no procedures for the FIFO ABI.
package predict
