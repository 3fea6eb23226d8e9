// Package around asks how much hung on chance in a recorded trace: it runs its neighbours, the schedules that differ from the recorded one
// in little, and has somebody judge each.
//
//	res, err := around.Run(ctx, tr, judge, around.Options{From: 12359, Until: 12369, Port: 65})
//	err = res.Play(ctx, 17, sink)         // neighbour 17, event by event
//	ret, err := around.Return(ctx, tr, judge, opt)
//
// # Neighbours of a recording in time
//
// Two steps of different contexts depend on each other if both use the same memory and one writes it. Within a window of steps, each such
// pair that could have come the other way round is turned: whoever takes the first step is held back until the second is done ([Reorder]).
// Partners of a step of the window may lie outside it, up to Options.Reach. Two inputs that follow each other change places ([Swap]).
// And whoever takes a step is kept from it for a while: a vcpu loses its physical CPU ([Preempt]), a kick, a wakeup or a path of the
// hypervisor is late ([Hold]); up to Options.Preemptions of these in one run.
//
// All of these are inputs (sched.hold, sched.release, sched.preempt), so every neighbour is a trace like any other: it replays from
// its inputs alone.
//
// # Neighbours of an explored schedule
//
// A trace that package explore made carries its schedule. Its neighbours make another choice than the recorded one at up to
// Options.Preemptions points, then go on in the recorded order as far as it can be followed, then come to rest.
//
// # What it refuses to do
//
// It does not judge: that is a function of the caller's. It reads no file and no clock; limits of time are the caller's, by the
// context. It does not say that it tried every schedule: neighbours are few, and in a recording in time everything that was not
// held back keeps its time.
package around
