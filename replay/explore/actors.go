package explore

import (
	"encoding/binary"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/system"
)

// actors are all that is not the machine: the tasks, the senders, the timers, and how far each is. They meet the machine in two
// places only: decide turns a choice into an order that the machine carries out, and react takes in the events that come of it.
type actors struct {
	sys      *System
	tasks    []task
	ports    []port
	ticks    []uint8 // by vcpu: ticks that may still come at any time
	ticked   uint64  // vcpus that have ticked since anything else came from outside
	preempts uint8   // preemptions that may still come
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

func newActors(s *System) actors {
	return actors{sys: s, tasks: make([]task, len(s.b.Tasks)), ports: make([]port, len(s.b.Ports)), ticks: make([]uint8, s.sc.VCPUs)}
}

func (a *actors) copyFrom(from *actors) {
	copy(a.tasks, from.tasks)
	copy(a.ports, from.ports)
	copy(a.ticks, from.ticks)
	a.ticked, a.preempts = from.ticked, from.preempts
}

// op is the next operation of a task, nil if it has none.
func (a *actors) op(t int) *system.BoundedOp {
	ops := a.sys.b.Tasks[t].Ops
	if int(a.tasks[t].op) >= len(ops) {
		return nil
	}
	return &ops[a.tasks[t].op]
}

// canGoOn reports whether a task has an operation to begin, if its vcpu is free.
func (a *actors) canGoOn(t int) bool {
	op := a.op(t)
	if op == nil || a.tasks[t].asleep {
		return false
	}
	return op.Port < 0 || op.Verb == system.VerbBind || a.ports[op.Port].usable
}

// --- what they do ---

// order is what a choice has the machine do, once the actors have had their part in it.
type order struct {
	c    Choice
	op   evtchn.OpCode // of a task
	port evtchn.Port
	a, b uint64
}

// decide carries out the actors' part of a choice.
func (a *actors) decide(c Choice) order {
	o := order{c: c}
	who := c.Who()
	switch c.Kind() {
	case Task:
		a.ticked = 0
		a.goOn(who, &o)
	case Send:
		a.ticked = 0
		p := &a.ports[who]
		p.left--
		p.data = true
		o.port = p.port
	case Tick:
		if a.ticks[who] > 0 {
			a.ticks[who]--
		} else {
			a.ticked |= 1 << who
		}
	case Preempt:
		a.ticked = 0
		a.preempts--
	}
	return o
}

// goOn begins a task's next operation.
func (a *actors) goOn(t int, o *order) {
	op, tk := a.op(t), &a.tasks[t]
	if op.Port >= 0 {
		o.port = a.ports[op.Port].port
	}
	if op.Verb != system.VerbServe {
		tk.op++
	}
	switch op.Verb {
	case system.VerbBind:
		o.op, o.port, o.a, o.b = evtchn.OpBindDriver, 0, uint64(dom(op.Port)), remotePort
		if a.sys.b.Ports[op.Port].User >= 0 {
			o.op = evtchn.OpBindRemote
		}
	case system.VerbServe:
		switch tk.step {
		case toSelect:
			o.op, o.port = evtchn.OpSelect, 0
		case toRead:
			o.op, o.port, tk.step = evtchn.OpRead, 0, toWrite
		case toWrite:
			o.op = evtchn.OpWrite
			if tk.batch--; tk.batch == 0 {
				tk.step = toSelect
			}
		}
	case system.VerbMove:
		o.op, o.a = evtchn.OpAffinity, uint64(op.VCPU)
	case system.VerbMask:
		o.op = evtchn.OpMask
	case system.VerbUnmask:
		o.op = evtchn.OpUnmask
	case system.VerbClose:
		o.op = evtchn.OpClose
		if a.sys.b.Ports[op.Port].User >= 0 {
			o.op = evtchn.OpUnbind
		}
	case system.VerbNotify:
		o.op = evtchn.OpNotify
	case system.VerbPoll:
		o.op = evtchn.OpPoll
	case system.VerbIPI:
		o.op, o.a = evtchn.OpIPI, uint64(op.VCPU) // its port is the machine's to know
	}
}

// --- what they hear ---

// heeds reports whether events of that kind mean something to the actors.
func heeds(k evtchn.Kind) bool {
	switch k {
	case evtchn.KindOp, evtchn.KindPortBind, evtchn.KindPortClose, evtchn.KindOpDone, evtchn.KindSelect, evtchn.KindWake, evtchn.KindRingPop,
		evtchn.KindHandled:
		return true
	}
	return false
}

// react lets the actors have what has just happened. It looks at the event's kind, port, arguments and result only: see appendNews.
func (a *actors) react(ev *evtchn.Event) {
	if !heeds(ev.Kind) {
		return
	}
	switch ev.Kind {
	case evtchn.KindOp:
		if evtchn.OpCode(ev.Args[0]) == evtchn.OpIPI { // there is something to look at
			for i := range a.ports {
				if a.ports[i].port == ev.Port {
					a.ports[i].data = true
				}
			}
		}
	case evtchn.KindPortBind:
		switch evtchn.PortStatus(ev.Args[0]) {
		case evtchn.PortInterdomain:
			if i := int(ev.Args[2]>>32) - 1; i >= 0 && i < len(a.ports) {
				a.ports[i].port = ev.Port
			}
		case evtchn.PortPIRQ:
			a.ports[ev.Args[2]-16].port = ev.Port
		}
	case evtchn.KindPortClose:
		for i := range a.ports {
			if a.ports[i].port == ev.Port {
				a.ports[i] = port{}
			}
		}
	case evtchn.KindOpDone:
		if op := evtchn.OpCode(ev.Args[0]); op == evtchn.OpBindRemote || op == evtchn.OpBindDriver {
			for i := range a.ports {
				if a.ports[i].port == ev.Port && ev.Port != evtchn.NoPort {
					a.ports[i].usable = true
				}
			}
		}
	case evtchn.KindSelect:
		if t := int(ev.Args[0]); t < len(a.tasks) {
			if ev.Res == 1 {
				a.tasks[t].step = toRead
			} else {
				a.tasks[t].step, a.tasks[t].asleep = toSelect, true
			}
		}
	case evtchn.KindWake:
		if t := int(ev.Args[1]); t < len(a.tasks) {
			a.tasks[t].asleep = false
		}
	case evtchn.KindRingPop:
		if t := int(ev.Args[0]); t < len(a.tasks) {
			a.tasks[t].batch++
			a.looked(ev.Port)
		}
	case evtchn.KindHandled:
		a.looked(ev.Port)
	}
}

// looked notes that somebody has looked at what the port is about.
func (a *actors) looked(p evtchn.Port) {
	for i := range a.ports {
		if a.ports[i].port == p {
			a.ports[i].data = false
		}
	}
}

// appendNews appends what react looks at of an event.
func appendNews(b []byte, ev *evtchn.Event) []byte {
	b = append(b, byte(ev.Kind))
	for _, n := range [...]uint64{uint64(ev.Port), ev.Args[0], ev.Args[1], ev.Args[2], ev.Res} {
		b = binary.AppendUvarint(b, n)
	}
	return b
}

// hear lets the actors react to news that appendNews wrote.
func (a *actors) hear(news []byte) {
	for len(news) > 0 {
		ev := evtchn.Event{Kind: evtchn.Kind(news[0])}
		news = news[1:]
		var port uint64
		for _, n := range [...]*uint64{&port, &ev.Args[0], &ev.Args[1], &ev.Args[2], &ev.Res} {
			v, k := binary.Uvarint(news)
			*n, news = v, news[k:]
		}
		ev.Port = evtchn.Port(port)
		a.react(&ev)
	}
}
