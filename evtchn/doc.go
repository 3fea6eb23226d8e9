// Package evtchn is the machine: one Xen domain's event channels, down to single memory operations, under any of the policies
// by which implementations differ.
//
// # Events and State
//
// An [Event] is one indivisible step, or something that reached the machine from outside. What its arguments mean is said once,
// in the table behind [Kind.Spec]. A [State] is what events add up to: shared info (PEND, MASK, SEL, UP, UMASK), what each
// vcpu is doing, each port's record in the hypervisor and in the guest, and for each pending port whether anybody will look
// at it. [State.Apply] is the only place where an effect is carried out. A State knows no policy and chooses nothing, so it
// serves recordings and captures alike; bits of a capture may be [Unknown].
//
// # Machine
//
// A [Machine] is a State in motion. Each context (a vcpu, or the hypervisor on behalf of somebody outside) is a stack of
// procedures, and a procedure is a sequence of steps: see [Procedures] for the lists. A [Policy] is a choice on each of
// [Axes]; it selects procedures, it does not fork them.
//
// The machine does nothing by itself. Its caller must
//
//  1. choose whose turn it is, call [Machine.Step] for that context, number and stamp the event, and call [Machine.Commit]
//     with it before the next Step;
//  2. bring up vcpus with BootEvent, and commit that;
//  3. on every event of kind ipi, deliver a KickEvent to the target some time later;
//  4. on every blocked.tac that found its target asleep, deliver a RunEvent some time later;
//  5. on every wake, let the task run on its vcpu some time later, and otherwise start operations with [Machine.Start] on
//     vcpus that are [Machine.Idle];
//  6. begin OpBlock on a vcpu with nothing to do, and carry out its first step at once: the look at the run queue goes with it.
//
// The simulation in package system chooses by virtual time, a replay by the inputs of a trace; an exploration may choose
// everybody in turn.
//
// # What it leaves out
//
// It executes steps one at a time: memory is sequentially consistent. It has no clock, draws no random numbers, and does no
// I/O. The ABI is the 2-level one; for the FIFO ABI there is only what a State needs to hold a capture's ports.
//
// Semantics follow xen/common/event_channel.c, event_2l.c, schedule.c and linux-2.6-xen-sparse of 2005-12, and
// drivers/xen/events of Linux since; each procedure names its source.
package evtchn
