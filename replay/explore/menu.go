package explore

import (
	"math/bits"

	"github.com/evtrace/evtrace/evtchn"
)

// What can happen next follows from a few things, each known by itself: how far the actors are, what is shared, in what state each vcpu
// is, which vcpus are in no procedure, and which contexts have a step to take. So a search, which knows many worlds by the same parts, asks each part
// once.

// maxActors is how many vcpus, ports and tasks there may be: as many as a mask has bits.
const maxActors = 8

// mask is a set of vcpus, ports or tasks.
type mask uint8

func (m mask) has(i int) bool { return m>>i&1 != 0 }

func (m *mask) put(i int, in bool) {
	if in {
		*m |= 1 << i
	}
}

// willing is what the actors would do, and what they miss.
type willing struct {
	ready    mask // tasks with an operation that can begin
	busy     mask // tasks that are awake and have an operation left
	asleep   mask // tasks in select
	sends    mask // ports that an event may come for
	ticks    mask // vcpus whose timer may tick at any time
	ticked   mask // vcpus that have ticked since anything else came
	preempts bool
	unserved bool // an event came, and nobody has looked since at what it was about
}

// able is what the machine's state lets happen.
type able struct {
	kicked, runnable, running, up mask // vcpus
	queued                        mask // tasks with a port in their ring
}

// vcpu puts in what the state of a vcpu lets happen.
func (a *able) vcpu(v int, can vcpuAble) {
	a.kicked.put(v, can&isKicked != 0)
	a.runnable.put(v, can&isRunnable != 0)
	a.running.put(v, can&isRunning != 0)
	a.up.put(v, can&isUp != 0)
}

// vcpuAble is what the state of one vcpu lets happen.
type vcpuAble uint8

const (
	isKicked vcpuAble = 1 << iota
	isRunnable
	isRunning
	isUp
)

func vcpuCan(vc *evtchn.VCPUState) (can vcpuAble) {
	if vc.Kicks > 0 {
		can |= isKicked
	}
	switch vc.Run {
	case evtchn.Runnable:
		can |= isRunnable
	case evtchn.Running:
		can |= isRunning
	}
	if vc.Up == evtchn.One {
		can |= isUp
	}
	return can
}

func (a *actors) willing() (w willing) {
	for t := range a.tasks {
		w.ready.put(t, a.canGoOn(t))
		w.busy.put(t, !a.tasks[t].asleep && a.op(t) != nil)
		w.asleep.put(t, a.tasks[t].asleep)
	}
	for i := range a.ports {
		w.sends.put(i, a.ports[i].left > 0)
		w.unserved = w.unserved || a.ports[i].data
	}
	for v := range a.ticks {
		w.ticks.put(v, a.ticks[v] > 0)
		w.ticked.put(v, a.ticked>>v&1 != 0)
	}
	w.preempts = a.preempts > 0
	return w
}

func (s *System) able(m *evtchn.Machine) (a able) {
	for v := range m.V {
		a.vcpu(v, vcpuCan(&m.V[v]))
	}
	a.queued = s.queued(m)
	return a
}

// queued are the tasks with a port in their ring.
func (s *System) queued(m *evtchn.Machine) (q mask) {
	for t := range s.b.Tasks {
		q.put(t, len(m.Queued(t)) > 0)
	}
	return q
}

// menu appends what can happen next, in a fixed order: first what must happen sooner or later, then what may. It gives the number of
// the former: with none, the world is at rest. idle are the vcpus that are in no procedure, steps the contexts that have a step to
// take. wrong is asked, where vcpus have timers, whether something would be wrong with the world if it were at rest.
func (s *System) menu(buf []Choice, w *willing, a *able, idle mask, steps uint32, wrong func() bool) (all []Choice, must int) {
	from := len(buf)
	buf = a.inFlight(buf, steps, s.sc.VCPUs)
	free := idle & a.running
	var taken mask // vcpus of tasks that would go on
	for t := range s.b.Tasks {
		v := s.b.Tasks[t].OnVCPU
		if free.has(v) && w.ready.has(t) {
			buf = append(buf, choice(Task, t))
		}
		taken.put(v, w.busy.has(t)) // perhaps it waits for a port to be bound, which nobody would tell it
	}
	maySleep := free &^ taken
	if !s.b.Sleep {
		maySleep = 0
	}
	buf = each(buf, Sleep, maySleep&a.up) // it would look
	must = len(buf) - from
	ticks := w.ticks
	if must == 0 && s.ticking && wrong() {
		if v := bits.TrailingZeros8(^uint8(w.ticked)); v < s.sc.VCPUs {
			buf, must = append(buf, choice(Tick, v)), 1
			ticks &^= 1 << v
		}
	}
	buf = each(buf, Sleep, maySleep&^a.up)
	buf = each(buf, Send, w.sends)
	buf = each(buf, Tick, ticks)
	if w.preempts {
		buf = each(buf, Preempt, a.running)
	}
	return buf, must
}

// inFlight appends what is under way: steps of procedures, kicks, vcpus that were woken.
func (a *able) inFlight(buf []Choice, steps uint32, vcpus int) []Choice {
	for ; steps != 0; steps &= steps - 1 {
		buf = append(buf, choice(Step, bits.TrailingZeros32(steps)))
	}
	for v := range vcpus {
		if a.kicked.has(v) {
			buf = append(buf, choice(Kick, v))
		}
		if a.runnable.has(v) {
			buf = append(buf, choice(Wake, v))
		}
	}
	return buf
}

// each appends a choice of that kind for each of the set.
func each(buf []Choice, k ChoiceKind, of mask) []Choice {
	for ; of != 0; of &= of - 1 {
		buf = append(buf, choice(k, bits.TrailingZeros8(uint8(of))))
	}
	return buf
}
