package explore

import (
	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/system"
)

// World is a system at one moment.
type World struct {
	sys   *System
	m     *evtchn.Machine
	tasks []task
	ports []port

	ticks    []uint8 // by vcpu: ticks that may still come at any time
	ticked   uint64  // vcpus that have ticked since anything else came from outside
	preempts uint8   // preemptions that may still come

	ev  evtchn.Event // the event in hand
	bad Kinds        // what the choice in hand has done wrong
	rec *recording
}

// task is where a task is in its operations.
type task struct {
	op     uint8 // of its list
	asleep bool  // in select
	step   serveStep
	batch  uint8 // ports read and not written back
}

// serveStep is where a task is in the loop of a device model.
type serveStep uint8

const (
	toSelect serveStep = iota
	toRead
	toWrite
)

// port is a port of the scenario.
type port struct {
	port   evtchn.Port // its number; NoPort while it is not bound
	left   uint8       // events that may still come from outside
	data   bool        // an event has come, and nobody has looked since at what it is about
	usable bool        // the operation that binds it is done
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
	c := &World{sys: w.sys, m: w.m.Clone(), tasks: make([]task, len(w.tasks)), ports: make([]port, len(w.ports)), ticks: make([]uint8, len(w.ticks))}
	c.CopyFrom(w)
	return c
}

// CopyFrom makes the world like another one of the same system. It allocates nothing.
func (w *World) CopyFrom(from *World) {
	w.m.CopyFrom(from.m)
	w.copyRest(from)
}

func (w *World) copyRest(from *World) {
	copy(w.tasks, from.tasks)
	copy(w.ports, from.ports)
	copy(w.ticks, from.ticks)
	w.ticked, w.preempts = from.ticked, from.preempts
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
	from := len(buf)
	buf = w.inFlight(buf)
	m := w.m
	for t := range w.tasks {
		if v := m.TaskVCPU(t); w.free(v) && w.canGoOn(t) {
			buf = append(buf, choice(Task, t))
		}
	}
	for v := range m.V {
		if w.maySleep(evtchn.VCPU(v)) && m.V[v].Up == evtchn.One {
			buf = append(buf, choice(Sleep, v)) // it would look
		}
	}
	must = len(buf) - from
	if must == 0 && w.sys.ticking && w.Judge() != 0 {
		for v := range m.V {
			if w.ticked>>v&1 == 0 {
				buf, must = append(buf, choice(Tick, v)), 1
				break
			}
		}
	}
	ticking := must == 1 && buf[from].Kind() == Tick
	for v := range m.V {
		if w.maySleep(evtchn.VCPU(v)) && m.V[v].Up != evtchn.One {
			buf = append(buf, choice(Sleep, v))
		}
	}
	for i := range w.ports {
		if w.ports[i].left > 0 {
			buf = append(buf, choice(Send, i))
		}
	}
	for v := range w.ticks {
		if w.ticks[v] > 0 && !(ticking && buf[from].Who() == v) {
			buf = append(buf, choice(Tick, v))
		}
	}
	if w.preempts > 0 {
		for v := range m.V {
			if m.V[v].Run == evtchn.Running {
				buf = append(buf, choice(Preempt, v))
			}
		}
	}
	return buf, must
}

// inFlight appends what is under way: steps of procedures, kicks, vcpus that were woken.
func (w *World) inFlight(buf []Choice) []Choice {
	m := w.m
	for c := range m.Contexts() {
		if m.CanStep(c) && !m.Waits(c) {
			buf = append(buf, choice(Step, c))
		}
	}
	for v := range m.V {
		if m.V[v].Kicks > 0 {
			buf = append(buf, choice(Kick, v))
		}
		if m.V[v].Run == evtchn.Runnable {
			buf = append(buf, choice(Wake, v))
		}
	}
	return buf
}

// free reports whether the vcpu is in the guest with nothing in hand.
func (w *World) free(v evtchn.VCPU) bool { return w.m.Idle(v) && w.m.V[v].Run == evtchn.Running }

// op is the next operation of a task, nil if it has none.
func (w *World) op(t int) *system.BoundedOp {
	ops := w.sys.b.Tasks[t].Ops
	if int(w.tasks[t].op) >= len(ops) {
		return nil
	}
	return &ops[w.tasks[t].op]
}

// canGoOn reports whether a task has an operation to begin, if its vcpu is free.
func (w *World) canGoOn(t int) bool {
	op := w.op(t)
	if op == nil || w.tasks[t].asleep {
		return false
	}
	return op.Port < 0 || op.Verb == system.VerbBind || w.ports[op.Port].usable
}

// maySleep reports whether a vcpu has nothing to do and may go to sleep.
func (w *World) maySleep(v evtchn.VCPU) bool {
	if !w.sys.b.Sleep || !w.free(v) {
		return false
	}
	for t := range w.tasks {
		if w.m.TaskVCPU(t) == v && !w.tasks[t].asleep && w.op(t) != nil {
			return false // it waits for a port to be bound, which nobody would tell it
		}
	}
	return true
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
	ev := &w.ev
	who := c.Who()
	switch c.Kind() {
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
		w.ticked = 0
		w.goOn(who)
	case Send:
		w.ticked = 0
		w.send(who)
	case Tick:
		if w.ticks[who] > 0 {
			w.ticks[who]--
		} else {
			w.ticked |= 1 << who
		}
		p := w.m.TimerPort(evtchn.VCPU(who))
		*ev = evtchn.Event{Kind: evtchn.KindVIRQ, VCPU: evtchn.NoVCPU, Port: p, Args: [3]uint64{uint64(who), evtchn.VIRQTimer}, Flags: evtchn.FlagInput}
		w.commit(ev)
		w.raise(p)
	case Sleep:
		w.begin(evtchn.VCPU(who), w.sys.idle, evtchn.OpBlock, 0, 0, 0)
	case Preempt:
		w.ticked = 0
		w.preempts--
		w.m.PreemptEvent(evtchn.VCPU(who), 0, ev)
		ev.Flags |= evtchn.FlagInput
		w.commit(ev)
	}
	return w.bad
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
	w.react(ev)
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

// goOn begins a task's next operation.
func (w *World) goOn(t int) {
	o, tk := w.op(t), &w.tasks[t]
	v := w.m.TaskVCPU(t)
	var p evtchn.Port
	if o.Port >= 0 {
		p = w.ports[o.Port].port
	}
	var op evtchn.OpCode
	var a, b uint64
	if o.Verb != system.VerbServe {
		tk.op++
	}
	switch o.Verb {
	case system.VerbBind:
		op, p, a, b = evtchn.OpBindDriver, 0, uint64(dom(o.Port)), remotePort
		if w.sys.b.Ports[o.Port].User >= 0 {
			op = evtchn.OpBindRemote
		}
	case system.VerbServe:
		switch tk.step {
		case toSelect:
			op, p = evtchn.OpSelect, 0
		case toRead:
			op, p, tk.step = evtchn.OpRead, 0, toWrite
		case toWrite:
			op = evtchn.OpWrite
			if tk.batch--; tk.batch == 0 {
				tk.step = toSelect
			}
		}
	case system.VerbMove:
		op, a = evtchn.OpAffinity, uint64(o.VCPU)
	case system.VerbMask:
		op = evtchn.OpMask
	case system.VerbUnmask:
		op = evtchn.OpUnmask
	case system.VerbClose:
		op = evtchn.OpClose
		if w.sys.b.Ports[o.Port].User >= 0 {
			op = evtchn.OpUnbind
		}
	case system.VerbNotify:
		op = evtchn.OpNotify
	case system.VerbPoll:
		op = evtchn.OpPoll
	case system.VerbIPI:
		op, p = evtchn.OpIPI, w.m.IPIPort(evtchn.VCPU(o.VCPU))
		w.ask(p)
	}
	w.tell(int(v), t, op, p, a, b)
	w.begin(v, t, op, p, a, b)
}

// ask notes that there is something to look at.
func (w *World) ask(p evtchn.Port) {
	for i := range w.ports {
		if w.ports[i].port == p {
			w.ports[i].data = true
		}
	}
}

// send lets an event come from outside.
func (w *World) send(i int) {
	p := &w.ports[i]
	p.left--
	p.data = true
	w.ev = evtchn.Event{Kind: evtchn.KindSend, VCPU: evtchn.NoVCPU, Port: p.port, Args: [3]uint64{uint64(dom(i))}, Flags: evtchn.FlagInput}
	if w.sys.b.Ports[i].Origin == system.FromPIRQ {
		w.ev.Kind, w.ev.Args[0] = evtchn.KindPIRQ, uint64(16+i)
	}
	w.commit(&w.ev)
	if p.port != evtchn.NoPort {
		w.raise(p.port)
	}
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

// react lets the actors have what has just happened.
func (w *World) react(ev *evtchn.Event) {
	switch ev.Kind {
	case evtchn.KindPortBind:
		switch evtchn.PortStatus(ev.Args[0]) {
		case evtchn.PortInterdomain:
			if i := int(ev.Args[2]>>32) - 1; i >= 0 && i < len(w.ports) {
				w.ports[i].port = ev.Port
			}
		case evtchn.PortPIRQ:
			w.ports[ev.Args[2]-16].port = ev.Port
		}
	case evtchn.KindPortClose:
		for i := range w.ports {
			if w.ports[i].port == ev.Port {
				w.ports[i] = port{}
			}
		}
	case evtchn.KindOpDone:
		if op := evtchn.OpCode(ev.Args[0]); op == evtchn.OpBindRemote || op == evtchn.OpBindDriver {
			for i := range w.ports {
				if w.ports[i].port == ev.Port && ev.Port != evtchn.NoPort {
					w.ports[i].usable = true
				}
			}
		}
	case evtchn.KindSelect:
		if t := int(ev.Args[0]); t < len(w.tasks) {
			if ev.Res == 1 {
				w.tasks[t].step = toRead
			} else {
				w.tasks[t].step, w.tasks[t].asleep = toSelect, true
			}
		}
	case evtchn.KindWake:
		if t := int(ev.Args[1]); t < len(w.tasks) {
			w.tasks[t].asleep = false
		}
	case evtchn.KindRingPop:
		if t := int(ev.Args[0]); t < len(w.tasks) {
			w.tasks[t].batch++
			w.looked(ev.Port)
		}
	case evtchn.KindHandled:
		w.looked(ev.Port)
	}
}

// looked notes that somebody has looked at what the port is about.
func (w *World) looked(p evtchn.Port) {
	for i := range w.ports {
		if w.ports[i].port == p {
			w.ports[i].data = false
		}
	}
}
