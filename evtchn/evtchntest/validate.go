package evtchntest

import (
	"errors"
	"fmt"
	"io"

	"github.com/evtrace/evtrace/evtchn"
)

// Problem is one thing that is wrong with a trace.
type Problem struct {
	Seq    evtchn.Seq
	Event  string
	Detail string // got and want
}

// String gives the problem on one line.
func (p Problem) String() string { return p.Event + ": " + p.Detail }

// ErrMeta is the class of errors about traces that the validator is not for: captures, and traces of another ABI.
var ErrMeta = errors.New("evtchntest: cannot judge")

// Validate reads a complete trace to its end and lists its problems in the order of events. Errors are those of the source,
// those of a policy that cannot be read, and ErrMeta.
func Validate(meta evtchn.Meta, src evtchn.Source) ([]Problem, error) {
	v, err := validatorFor(meta)
	if err != nil {
		return nil, err
	}
	for {
		var ev evtchn.Event
		if err := src.Next(&ev); err == io.EOF {
			return v.problems, nil
		} else if err != nil {
			return v.problems, err
		}
		v.event(ev)
	}
}

// validatorFor gives a validator for the start of a trace, or says why it cannot be judged.
func validatorFor(meta evtchn.Meta) (*validator, error) {
	switch {
	case meta.Source == evtchn.SourceObserved:
		return nil, fmt.Errorf("%w: source %s, want %s", ErrMeta, meta.Source, evtchn.SourceSim)
	case meta.ABI != "2l":
		return nil, fmt.Errorf("%w: ABI %s, want 2l", ErrMeta, meta.ABI)
	case meta.VCPUs < 1 || meta.WordBits < 2:
		return nil, fmt.Errorf("%w: %d vcpus, %d bits per word", ErrMeta, meta.VCPUs, meta.WordBits)
	}
	policy, err := evtchn.ParsePolicy(meta.Policy)
	if err != nil {
		return nil, err
	}
	return newValidator(meta, policy), nil
}

// validator is the system as the events so far have made it.
type validator struct {
	policy   evtchn.Policy
	wordBits int
	problems []Problem
	ev       evtchn.Event // the event in hand
	prev     evtchn.Event

	pend    map[evtchn.Port]bool
	mask    map[evtchn.Port]bool // absent: masked
	ports   map[evtchn.Port]*port
	vcpus   []*vcpu
	foreign map[evtchn.Context]*lane
	rings   map[uint64][]evtchn.Port
	locked  evtchn.VCPU // holder of the event lock
}

// port is what Xen and the guest have on record.
type port struct {
	status  evtchn.PortStatus
	notify  evtchn.VCPU
	peer    uint64
	owner   evtchn.VCPU
	handler evtchn.Handler
	user    int
	reasons uint64
	active  bool
}

type vcpu struct {
	up, umask bool
	sel       map[int]bool
	accept    map[evtchn.Port]bool // where it differs from what it was at the start: vcpu 0 accepts everything
	first     bool                 // this is vcpu 0
	run       evtchn.RunState
	blocked   bool
	polling   bool
	pollPort  evtchn.Port
	inXen     bool
	inUpcall  bool
	kicks     int
	requests  []evtchn.Port
	timer     evtchn.Port

	task, upcall, xen lane
}

// lane is one level of a context: the task, the upcall on top of it, Xen on top of either, or Xen for somebody outside.
type lane struct {
	last   evtchn.Event // KindNone: at the start
	call   evtchn.Hypercall
	entry  evtchn.Event // the hypercall under way, or the last
	target evtchn.VCPU  // who is to be told
	owner  evtchn.VCPU  // to whom the guest has bound the port in hand
	ran    bool         // what running.read said of the target
	tail   bool         // told after an unmask or a move: no pollers, no second look

	words    map[int]int                    // words taken from SEL and not yet done with: how often each was read
	hand     map[evtchn.Port]bool           // ports seen and not yet delivered
	seen     map[evtchn.Port]evtchn.Handler // and what handler they had then
	handlers []evtchn.Handler               // of the port in delivery: now, and when it was seen
	pops     bool                           // serving requests

	next next // what may follow last
}

func newValidator(meta evtchn.Meta, policy evtchn.Policy) *validator {
	v := &validator{policy: policy, wordBits: meta.WordBits, locked: evtchn.NoVCPU, pend: map[evtchn.Port]bool{}, mask: map[evtchn.Port]bool{},
		ports: map[evtchn.Port]*port{}, foreign: map[evtchn.Context]*lane{}, rings: map[uint64][]evtchn.Port{}}
	for i := range meta.VCPUs {
		v.vcpus = append(v.vcpus, &vcpu{umask: true, sel: map[int]bool{}, accept: map[evtchn.Port]bool{}, first: i == 0, run: evtchn.Offline})
	}
	return v
}

// bad notes a problem of the event in hand.
func (v *validator) bad(format string, args ...any) {
	v.problems = append(v.problems, Problem{v.ev.Seq, v.ev.String(), fmt.Sprintf(format, args...)})
}

// want notes a problem if the event's result is not what it should be.
func (v *validator) want(what string, want bool) {
	if n := num(want); v.ev.Res != n {
		v.bad("%s: result %d, want %d", what, v.ev.Res, n)
	}
}

func (v *validator) wantNum(what string, want uint64) {
	if v.ev.Res != want {
		v.bad("%s: result %#x, want %#x", what, v.ev.Res, want)
	}
}

func num(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

func (v *validator) port(p evtchn.Port) *port {
	if v.ports[p] == nil {
		v.ports[p] = &port{user: -1}
	}
	return v.ports[p]
}

func (v *validator) masked(p evtchn.Port) bool {
	m, ok := v.mask[p]
	return m || !ok
}

func (c *vcpu) accepts(p evtchn.Port) bool {
	a, ok := c.accept[p]
	return a || !ok && c.first
}

// due says whether the vcpu takes an upcall on its way into the guest.
func (c *vcpu) due() bool { return c.up && !c.umask }

func (v *validator) word(p evtchn.Port) int { return int(p) / v.wordBits }

// target is the vcpu that the event's first argument names.
func (v *validator) target() (evtchn.VCPU, *vcpu) {
	t := evtchn.VCPU(int16(v.ev.Args[0]))
	if t < 0 || int(t) >= len(v.vcpus) {
		v.bad("target vcpu %d, want 0 to %d", t, len(v.vcpus)-1)
		return 0, v.vcpus[0]
	}
	return t, v.vcpus[t]
}

// event judges one event and carries it out.
func (v *validator) event(ev evtchn.Event) {
	v.ev = ev
	v.envelope()
	v.prev = ev
	if int(ev.VCPU) >= len(v.vcpus) || ev.VCPU < evtchn.NoVCPU {
		v.bad("vcpu %d, want at most %d", ev.VCPU, len(v.vcpus)-1)
		return
	}
	if v.outside() || ev.Kind == evtchn.KindWake && ev.Ctx == evtchn.CtxNone { // a wake by an actor: no step
		return
	}
	if ev.Input() {
		v.bad("it is a step of the machine and is flagged as input")
	}
	l, c := v.place()
	if l == nil {
		return
	}
	v.order(l, c)
	v.effect(l, c)
	if ev.Kind == evtchn.KindReturn || ev.Kind == evtchn.KindBlock {
		g := c.guest()
		g.call, g.entry, g.last = l.call, l.entry, ev
		l.last = evtchn.Event{}
	} else {
		l.last = ev
	}
	v.enter(c)
}

// envelope checks what all events have.
func (v *validator) envelope() {
	if v.ev.Seq != v.prev.Seq+1 && v.prev.Seq != 0 {
		v.bad("sequence number after %d, want %d", v.prev.Seq, v.prev.Seq+1)
	}
	if v.ev.Time < v.prev.Time {
		v.bad("time %d after %d", v.ev.Time, v.prev.Time)
	}
	if v.ev.Cause >= v.ev.Seq {
		v.bad("caused by #%d, which is not before it", v.ev.Cause)
	}
}

// place finds the lane that the event is a step of, and checks that its vcpu can do anything at all.
func (v *validator) place() (*lane, *vcpu) {
	ev := &v.ev
	if ev.VCPU == evtchn.NoVCPU {
		if ev.Ctx.Class() != evtchn.CtxForeign {
			v.bad("context %s without a vcpu, want a foreign one", ev.Ctx)
			return nil, nil
		}
		if v.foreign[ev.Ctx] == nil {
			v.foreign[ev.Ctx] = &lane{}
		}
		return v.foreign[ev.Ctx], nil
	}
	c := v.vcpus[ev.VCPU]
	if c.run != evtchn.Running {
		v.bad("vcpu %d is %s and executes nothing", ev.VCPU, c.run)
	}
	switch {
	case ev.Kind == evtchn.KindHypercall:
		if c.inXen {
			v.bad("hypercall %s inside a hypercall %s", evtchn.Hypercall(ev.Args[0]), c.xen.call)
		}
		if ev.Ctx != evtchn.CtxXen {
			v.bad("context %s, want xen", ev.Ctx)
		}
		return &c.xen, c
	case c.inXen:
		if ev.Ctx != evtchn.CtxXen {
			v.bad("context %s inside hypercall %s, want xen", ev.Ctx, c.xen.call)
		}
		return &c.xen, c
	case c.inUpcall:
		if ev.Ctx != evtchn.CtxUpcall {
			v.bad("context %s inside an upcall, want upcall", ev.Ctx)
		}
	case ev.Ctx.Class() != evtchn.CtxTask:
		v.bad("context %s on a vcpu that is in no upcall and in no hypercall, want a task", ev.Ctx)
	}
	return c.guest(), c
}

// guest is the lane of the guest's code that runs, or has called Xen.
func (c *vcpu) guest() *lane {
	if c.inUpcall {
		return &c.upcall
	}
	return &c.task
}

// outside judges and carries out the events that are no steps of a procedure, and says whether this is one.
func (v *validator) outside() bool {
	ev := &v.ev
	input := func() {
		if !ev.Input() {
			v.bad("it comes from outside and is not flagged as input")
		}
	}
	effect := func() {
		if ev.Input() {
			v.bad("it follows from what was done and is flagged as input")
		}
	}
	switch ev.Kind {
	case evtchn.KindEnd, evtchn.KindHold, evtchn.KindRelease:
		input()
	case evtchn.KindSend, evtchn.KindPIRQ, evtchn.KindVIRQ, evtchn.KindMove: // an input, or what an actor does about something
		if !ev.Input() && ev.Cause == 0 {
			v.bad("it is neither flagged as input nor has it a cause")
		}
	case evtchn.KindOp, evtchn.KindIOReq, evtchn.KindServe:
	case evtchn.KindDump:
	case evtchn.KindSnapPort, evtchn.KindSnapBits, evtchn.KindSnapVCPU, evtchn.KindSnapSel:
		v.reading()
	case evtchn.KindStart:
		input()
		_, c := v.target()
		if c.run != evtchn.Offline {
			v.bad("the vcpu is %s, want offline", c.run)
		}
		c.run, c.up, c.umask = evtchn.Running, false, false
	case evtchn.KindPreempt:
		input()
		if _, c := v.target(); c.run == evtchn.Running {
			c.run = evtchn.Runnable
		}
	case evtchn.KindRun:
		effect()
		_, c := v.target()
		if c.run != evtchn.Runnable {
			v.bad("the vcpu is %s, want runnable", c.run)
		}
		c.run = evtchn.Running
		v.want("UP set and UMASK clear on the way into the guest", !c.inXen && c.due())
		v.enter(c)
	case evtchn.KindKick:
		effect()
		_, c := v.target()
		if c.kicks--; c.kicks < 0 {
			v.bad("no IPI was sent")
			c.kicks = 0
		}
		v.want("UP set and UMASK clear on the way into the guest", c.run == evtchn.Running && !c.inXen && c.due())
		v.enter(c)
	default:
		return false
	}
	return true
}

// enter takes the vcpu into the upcall if the event led there.
func (v *validator) enter(c *vcpu) {
	if v.ev.Res != 1 || c == nil {
		return
	}
	switch v.ev.Kind {
	case evtchn.KindReturn, evtchn.KindUpWrite, evtchn.KindUmaskWrite, evtchn.KindRun, evtchn.KindKick:
		if !c.due() || c.inUpcall {
			v.bad("upcall entered with UP %t, UMASK %t, in an upcall %t; want true, false, false", c.up, c.umask, c.inUpcall)
		}
		c.inUpcall, c.umask, c.upcall = true, true, lane{}
	}
}
