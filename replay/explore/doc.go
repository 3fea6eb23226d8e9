// Package explore tries every schedule of a bounded system under a policy: every order in which its vcpus, its senders, its
// interrupts and its tasks can take their steps. The steps are those of package evtchn's machine; nothing here knows what they do.
//
//	sys, err := explore.New(scenario, policy)      // system.Scenario of kind bounded
//	res, err := explore.Run(ctx, sys, explore.Options{})
//	tr, err := sys.Trace(res.Found[0].Choices)     // a counterexample, as a trace that every verb takes
//
// # The system in motion
//
// A [System] is a scenario under a policy. A [World] is such a system at one moment: [World.Choices] lists what can happen next,
// [World.Do] makes one of it happen, and gives the events. Time does not exist: a kick that was sent arrives at any later moment,
// a vcpu that was woken runs at any later moment. Whoever wants schedules of another kind (a neighbourhood of a recorded one, a
// random walk, a smaller one) drives a World by the same two calls; a schedule is a list of [Choice], and [System.Trace] makes a
// trace of it.
//
// # What is judged
//
// Some choices must be made sooner or later: a step of a procedure, a kick under way, a woken vcpu, a task that can go on. Others
// may never be: a send, a preemption, falling asleep. A world in which no choice must be made is at rest. At rest no port may go
// unnoticed ([Lost]), no vcpu and no task may sleep on something that is there ([Asleep]), no request may wait ([Unserved]), and the
// invariants of [evtchn.State.Check] hold ([Invariant]). Beyond that, a step may not begin a handler for an event that was picked
// already ([Duplicate]), while another vcpu is in it ([Concurrent]), or on a vcpu that does not accept the port ([WrongVCPU]).
//
// Where vcpus have timers, each ticks once more before a world counts as at rest in which something is wrong: ticks never end.
//
// A vcpu with nothing to do may go to sleep or stay in the guest. If it has UP set and would look when it goes to sleep, it is not
// at rest; in a scenario whose vcpus never sleep, it stays as it is for ever.
//
// # The search
//
// [Run] goes breadth first, so the first counterexample is a shortest one. A verdict of [Safe] means that every reachable world was
// seen; worlds are told apart by fingerprints, and [Result.Collision] bounds the probability that two different ones
// were taken for one. With Options.Exact the worlds themselves are kept.
//
// The result does not depend on the number of workers, nor on how worlds are told apart, and no clock and no chance goes into it: states
// are numbered, and schedules found, as if one worker had looked at one state after the other.
//
// Three ideas make it fast. A world is a row of numbers of parts, each of which is written down once (parts.go). What a choice does
// depends on few parts, and is found out once for all worlds that agree in them (effect.go). And memory is waited for as seldom as can
// be: questions are put, and fingerprints looked up, many at a time (worker.go).
//
// # What it leaves out
//
// What evtchn leaves out: memory that is not sequentially consistent. Lateness: without time, an event that an unrelated one
// rescues is lost in the schedule in which the other does not come. It does no I/O and has no clock: limits of time are the
// caller's, by the context.
package explore
