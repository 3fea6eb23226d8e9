// Package system simulates a whole system around the machine of package evtchn: the traced domain's vcpus with their
// schedulers, its tasks (device models with /dev/xen/evtchn open, backends, irqbalance), the domains that they serve, and
// Xen's own scheduler and interrupts, all in virtual nanoseconds.
//
// Start with [Parse] or [Builtin] for a [Scenario], [Inputs] for what reaches it from outside, and [New] for the [System],
// which is a source of events. The same scenario, seed, policy and inputs give the same events, byte for byte.
//
// What comes from outside is an input: ticks, physical interrupts, sends of domains that wait for nobody, starts of device
// models, moves, preemptions. Everything else is a reaction to an effect: a handler runs, a device model wakes, reads its
// port, serves the request, writes the port back, notifies; the domain thinks, and makes its next request. So the same
// inputs under another policy give what would have happened instead. Durations are drawn by key (seed, entity, how often), not
// from a shared stream: what one actor does differently leaves the others' numbers alone.
//
// Who comes next is decided by times, unless inputs hold somebody back (sched.hold, sched.release): [System.Steer] hands the
// order over to a scheduler of the caller's, and writes what it decides as such inputs.
//
// It refuses inputs that its scenario has no actor for, and reads no file: a scenario is handed over as text.
package system
