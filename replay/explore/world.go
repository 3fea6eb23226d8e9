package explore

import (
	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/system"
)

// World is a system at one moment: the machine, and what is around it.
type World struct {
	actors
	m *evtchn.Machine

	ev  evtchn.Event // the event in hand
	bad Kinds        // what the choice in hand has done wrong
	rec *recording

	alone *alone // the world has one context only, and no actors
}

// alone is what a world without other contexts and without actors notes for them: see effect.
type alone struct {
	news  []byte      // events that the actors are to react to
	asked evtchn.Port // the port whose handler was begun: what other vcpus are in matters
	far   bool        // what was done goes beyond the context
}

// recording is what a world keeps only while its events are wanted.
type recording struct {
	each  func(*evtchn.Event)
	seq   evtchn.Seq
	now   evtchn.Time
	kick  []evtchn.Seq                  // by vcpu: the IPI under way
	wake  []evtchn.Seq                  // by vcpu: what woke it
	begun map[evtchn.Context]evtchn.Seq // what made a foreign path begin
}

// StepTime is how far apart the events of an explored schedule are, in ns of virtual time.
const StepTime = evtchn.Time(100)

// Machine is the world's machine, to look at.
func (w *World) Machine() *evtchn.Machine { return w.m }

// Clone makes an independent copy.
func (w *World) Clone() *World {
	c := &World{actors: newActors(w.sys), m: w.m.Clone()}
	c.copyFrom(&w.actors)
	return c
}

// CopyFrom makes the world like another one of the same system. It allocates nothing.
func (w *World) CopyFrom(from *World) {
	w.m.CopyFrom(from.m)
	w.copyFrom(&from.actors)
}

// record makes the world number its events and give them to each; nil ends that.
func (w *World) record(each func(*evtchn.Event)) {
	if each == nil {
		w.rec = nil
		return
	}
	n := len(w.m.V)
	w.rec = &recording{each: each, kick: make([]evtchn.Seq, n), wake: make([]evtchn.Seq, n), begun: make(map[evtchn.Context]evtchn.Seq)}
}

// --- what can happen ---

// Choices appends what can happen next, in a fixed order: first what must happen sooner or later, then what may. It gives the
// number of the former: with none, the world is at rest.
func (w *World) Choices(buf []Choice) (all []Choice, must int) {
	will, able := w.willing(), w.sys.able(w.m)
	var idle mask
	for v := range w.m.V {
		idle.put(v, w.m.Idle(evtchn.VCPU(v)))
	}
	return w.sys.menu(buf, &will, &able, idle, w.steps(), func() bool { return w.Judge() != 0 })
}

// steps are the contexts that have a step to take and do not wait for a lock.
func (w *World) steps() (s uint32) {
	for c := range w.m.Contexts() {
		if w.m.CanStep(c) && !w.m.Waits(c) {
			s |= 1 << c
		}
	}
	return s
}

// inFlight appends what is under way.
func (w *World) inFlight(buf []Choice) []Choice {
	able := w.sys.able(w.m)
	return able.inFlight(buf, w.steps(), w.sys.sc.VCPUs)
}

// --- making it happen ---

// Do makes a choice of Choices happen and says what was wrong with it. Each event goes to each, if it is not nil, which must not
// keep it.
func (w *World) Do(c Choice, each func(*evtchn.Event)) Kinds {
	if each != nil && w.rec == nil {
		w.record(each)
		defer w.record(nil)
	}
	w.bad = 0
	w.carryOut(w.decide(c))
	return w.bad
}

// carryOut is the machine's part of a choice.
func (w *World) carryOut(o order) {
	ev := &w.ev
	who := o.c.Who()
	switch o.c.Kind() {
	case Step:
		w.step(who)
	case Kick:
		w.m.KickEvent(evtchn.VCPU(who), ev)
		w.cause(ev, func(r *recording) evtchn.Seq { return r.kick[who] })
		w.commit(ev)
	case Wake:
		w.m.RunEvent(evtchn.VCPU(who), ev)
		w.cause(ev, func(r *recording) evtchn.Seq { return r.wake[who] })
		w.commit(ev)
	case Task:
		v := w.sys.b.Tasks[who].OnVCPU
		if o.op == evtchn.OpIPI {
			o.port, o.a = w.m.IPIPort(evtchn.VCPU(o.a)), 0
		}
		w.tell(v, who, o.op, o.port, o.a, o.b)
		w.begin(evtchn.VCPU(v), who, o.op, o.port, o.a, o.b)
	case Send:
		*ev = evtchn.Event{Kind: evtchn.KindSend, VCPU: evtchn.NoVCPU, Port: o.port, Args: [3]uint64{uint64(dom(who))}, Flags: evtchn.FlagInput}
		if w.sys.b.Ports[who].Origin == system.FromPIRQ {
			ev.Kind, ev.Args[0] = evtchn.KindPIRQ, uint64(16+who)
		}
		w.commit(ev)
		if o.port != evtchn.NoPort {
			w.raise(o.port)
		}
	case Tick:
		p := w.m.TimerPort(evtchn.VCPU(who))
		*ev = evtchn.Event{Kind: evtchn.KindVIRQ, VCPU: evtchn.NoVCPU, Port: p, Args: [3]uint64{uint64(who), evtchn.VIRQTimer}, Flags: evtchn.FlagInput}
		w.commit(ev)
		w.raise(p)
	case Sleep:
		w.begin(evtchn.VCPU(who), w.sys.idle, evtchn.OpBlock, 0, 0, 0)
	case Preempt:
		w.m.PreemptEvent(evtchn.VCPU(who), 0, ev)
		ev.Flags |= evtchn.FlagInput
		w.commit(ev)
	}
}

// step lets a context take its next step.
func (w *World) step(ctx int) {
	if !w.m.Step(ctx, &w.ev) {
		panic("explore: internal error: a context was chosen that has no step to take")
	}
	w.watch(&w.ev)
	w.commit(&w.ev)
}

func (w *World) commit(ev *evtchn.Event) {
	if r := w.rec; r == nil {
		ev.Seq = 1
	} else {
		r.number(ev)
	}
	w.m.Commit(ev)
	if w.rec != nil {
		w.rec.each(ev)
	}
	if a := w.alone; a == nil {
		w.react(ev)
	} else {
		a.far = a.far || ev.Far()
		if heeds(ev.Kind) {
			a.news = appendNews(a.news, ev)
		}
	}
}

func (w *World) cause(ev *evtchn.Event, of func(*recording) evtchn.Seq) {
	if w.rec != nil {
		ev.Cause = of(w.rec)
	}
}

// number gives the event its number and time, and the cause if it is not the step before.
func (r *recording) number(ev *evtchn.Event) {
	r.seq++
	if ev.Kind != evtchn.KindOwnerRead && ev.Kind != evtchn.KindNotifyCheck {
		r.now += StepTime // those two only look, and take no time, as in package system
	}
	ev.Seq, ev.Time = r.seq, r.now
	switch ev.Kind {
	case evtchn.KindIPI:
		r.kick[ev.Target()] = ev.Seq
	case evtchn.KindBlockedTAC:
		if ev.Res == 1 {
			r.wake[ev.Target()] = ev.Seq
		}
	case evtchn.KindPreempt:
		r.wake[ev.Target()] = ev.Seq
	}
	if c := r.begun[ev.Ctx]; c != 0 && ev.VCPU == evtchn.NoVCPU {
		ev.Cause = c
		delete(r.begun, ev.Ctx)
	}
}

// begin starts an operation and takes its first step, if it has one and does not wait for a lock.
func (w *World) begin(v evtchn.VCPU, t int, op evtchn.OpCode, p evtchn.Port, a, b uint64) {
	if err := w.m.Start(v, t, op, p, a, b); err != nil {
		panic("explore: internal error: " + err.Error())
	}
	if c := w.m.VCPUCtx(v); w.m.CanStep(c) && !w.m.Waits(c) {
		w.step(c)
	}
}

// tell puts the beginning of an operation into the trace.
func (w *World) tell(v, t int, op evtchn.OpCode, p evtchn.Port, a, b uint64) {
	if op == evtchn.OpSelect || op == evtchn.OpRead {
		return // the step says it all
	}
	w.ev = evtchn.Event{Kind: evtchn.KindOp, VCPU: evtchn.VCPU(v), Ctx: evtchn.TaskCtx(t), Port: p, Args: [3]uint64{uint64(op), a, b}, Flags: evtchn.FlagInput}
	w.commit(&w.ev)
}

// raise begins the setting pending of a port, with the look at which vcpu is to be told.
func (w *World) raise(p evtchn.Port) {
	ctx, err := w.m.StartForeign(p)
	if err != nil {
		panic("explore: internal error: " + err.Error())
	}
	if w.rec != nil {
		w.rec.begun[evtchn.ForeignCtx(ctx-len(w.m.V))] = w.rec.seq
	}
	w.step(ctx)
}
