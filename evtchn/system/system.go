package system

import (
	"errors"
	"fmt"
	"io"

	"github.com/evtrace/evtrace/evtchn"
)

// System is a scenario's machine and actors in virtual time. It is a Source: each call of Next runs it to its next event. The
// same scenario, seed, policy and inputs always give the same events.
type System struct {
	m      *evtchn.Machine
	sc     *Scenario
	layout *layout
	meta   evtchn.Meta

	now     evtchn.Time
	seq     evtchn.Seq
	q       queue
	cpus    []cpu
	tasks   []task
	domains []domain
	byDom   []int32       // index into domains by domain id, -1: none
	hotPort []evtchn.Port // port of a hot sender by domain id
	pirqs   map[uint64]evtchn.Port
	first   []evtchn.Seq // by foreign context: what made it start, until its first step
	ipis    []stream
	kicks   []stream
	wakes   []stream

	in    evtchn.Source
	input evtchn.Event
	step  evtchn.Event // the step in hand
	end   bool

	turns   uint64 // things that have happened, apart from inputs
	watch   func(Moment)
	holds   holds
	steer   Steer
	horizon evtchn.Time
	could   []due // scratch space of choose
	able    []due
	dues    []Due

	out  []evtchn.Event // produced, not yet given out
	read int
	err  error
}

// cpu is a vcpu as the guest's scheduler sees it.
type cpu struct {
	at      evtchn.Time // when its next step is due
	armed   bool
	idle    bool        // in the idle loop, from its look at the run queue to its waking
	waking  bool        // a run is under way
	cur     int         // the task on it, -1: none
	working bool        // cur is in the middle of plain work
	left    evtchn.Time // of that work, while it is interrupted
	runq    []int
}

// New prepares a run. in gives the inputs, in order of time: Inputs(sc, seed) for a recording, the inputs of a trace for a
// replay. Errors are of class evtchn.ErrConfig, or say what is wrong with the scenario.
func New(sc *Scenario, seed uint64, p evtchn.Policy, in evtchn.Source) (*System, error) {
	if sc.Bounded != nil {
		return nil, fmt.Errorf("%w: %s: it is of kind %s, without times: it can be explored, not run", ErrScenario, sc.Name, boundedKind)
	}
	l := plan(sc, seed)
	meta := evtchn.Meta{Format: evtchn.FormatVersion, Source: evtchn.SourceSim, ABI: "2l", VCPUs: sc.VCPUs, WordBits: sc.WordBits,
		Clock: "virtual", Unit: "ns", NsPerTick: 1, Policy: p.String(), Scenario: sc.Text, Seed: seed, Duration: sc.Duration}
	for i := range l.tasks {
		meta.Tasks = append(meta.Tasks, l.tasks[i].name)
	}
	m, err := evtchn.NewMachine(meta, p, len(l.tasks))
	if err != nil {
		return nil, err
	}
	s := &System{m: m, sc: sc, layout: l, meta: meta, in: in, pirqs: make(map[uint64]evtchn.Port)}
	s.cpus = make([]cpu, sc.VCPUs)
	for v := range s.cpus {
		s.cpus[v].cur = -1
		s.ipis = append(s.ipis, stream{seed: seed, who: entIPI + entity(v)})
		s.kicks = append(s.kicks, stream{seed: seed, who: entKick + entity(v)})
		s.wakes = append(s.wakes, stream{seed: seed, who: entWake + entity(v)})
	}
	s.tasks = make([]task, len(l.tasks))
	for t := range s.tasks {
		s.tasks[t] = task{domain: l.tasks[t].domain, sleeping: true, draw: stream{seed: seed, who: entServe + entity(t)}}
		m.SetTaskVCPU(t, l.tasks[t].vcpu)
	}
	ids := 1
	for _, h := range l.hot {
		ids = max(ids, int(h.dom)+1)
	}
	for _, d := range l.domains {
		ids = max(ids, int(d.id)+1)
	}
	s.byDom = make([]int32, ids)
	s.hotPort = make([]evtchn.Port, ids)
	for i := range s.byDom {
		s.byDom[i] = -1
	}
	for _, h := range l.hot {
		if h.dom != 0 {
			m.AddRemote(h.dom, remoteEv)
		}
	}
	for i := range l.domains {
		s.addDomain(i, seed)
	}
	s.fetchInput()
	return s, nil
}

// Meta describes the trace that the run gives.
func (s *System) Meta() evtchn.Meta { return s.meta }

// Next gives the next event, or io.EOF after the last.
func (s *System) Next(ev *evtchn.Event) error {
	for s.read == len(s.out) {
		if s.err != nil {
			return s.err
		}
		if s.end {
			return io.EOF
		}
		s.read, s.out = 0, s.out[:0]
		for len(s.out) < 64 && !s.end && s.err == nil {
			s.advance()
		}
	}
	*ev = s.out[s.read]
	s.read++
	return nil
}

// advance does what is due next.
func (s *System) advance() {
	if s.steer != nil {
		s.choose()
	}
	if len(s.q) == 0 {
		s.err = errors.New("system: internal error: nothing is due and the end has not come")
		return
	}
	d := s.q[0]
	s.now = d.at
	if d.class() != dueInput {
		if s.superseded(&d) {
			s.q.pop() // no turn: whether it is met, or dropped while its vcpu is held, must not count
			return
		}
		if s.holds.held(d.key) {
			s.park()
			return
		}
		if s.watch != nil {
			s.tellMoment(&d)
		}
		s.turns++
	}
	which := d.which()
	switch d.class() {
	case dueInput:
		s.q.pop()
		if s.early() {
			s.advance()
			s.q.push(d)
			return
		}
		s.takeInput()
	case dueKick:
		s.q.pop()
		var ev evtchn.Event
		s.m.KickEvent(evtchn.VCPU(which), &ev)
		ev.Cause = evtchn.Seq(d.data)
		s.commit(&ev)
		if ev.Res == 1 {
			s.interrupt(which)
		}
	case dueRun:
		s.q.pop()
		s.wakeUp(which, evtchn.Seq(d.data))
	case dueForeign:
		s.stepForeign(which)
	case dueVCPU:
		s.stepVCPU(which)
	case dueDomain:
		s.q.pop()
		s.request(which>>8, which&0xff)
	}
}

func (s *System) after(d evtchn.Time, class, which int, data uint64) {
	s.q.push(due{s.now + d, dueKey(class, which), data})
}

// commit numbers an event, lets the machine have it, gives it out, and lets the actors react.
func (s *System) commit(ev *evtchn.Event) {
	s.seq++
	ev.Seq, ev.Time = s.seq, s.now
	s.m.Commit(ev)
	s.out = append(s.out, *ev)
	s.react(ev)
}

// --- vcpus ---

func (s *System) arm(v int, in evtchn.Time) {
	c := &s.cpus[v]
	c.at, c.armed = s.now+in, true
	s.q.push(due{c.at, dueKey(dueVCPU, v), 0})
}

// interrupt lets a vcpu that was at work, or about to take its next step, go into the upcall.
func (s *System) interrupt(v int) {
	c := &s.cpus[v]
	if c.working && c.left == 0 {
		c.left = max(1, c.at-s.now)
	}
	s.arm(v, s.sc.Costs.Hypercall)
}

// stepVCPU does the next step of a vcpu. It is called with the vcpu's entry on top of the queue, and leaves it there with a
// later time if the vcpu goes on.
func (s *System) stepVCPU(v int) {
	c := &s.cpus[v]
	c.armed = false
	in, on := s.vcpuTurn(v)
	if on && !c.armed {
		c.at, c.armed = s.now+in, true
		if top := &s.q[0]; top.key == dueKey(dueVCPU, v) && top.at == s.now {
			s.q.replaceTop(due{c.at, top.key, 0})
			return
		}
		s.q.push(due{c.at, dueKey(dueVCPU, v), 0})
		return
	}
	if top := &s.q[0]; top.key == dueKey(dueVCPU, v) && top.at <= s.now {
		s.q.pop()
	}
}

// vcpuTurn lets a vcpu do one step, and says after what time it wants the next.
func (s *System) vcpuTurn(v int) (in evtchn.Time, on bool) {
	c := &s.cpus[v]
	if s.m.V[v].Run != evtchn.Running {
		return 0, false
	}
	if s.m.CanStep(v) {
		ev := &s.step
		if !s.m.Step(v, ev) {
			return s.sc.Costs.Step, true // spins on the event lock
		}
		s.commit(ev)
		if s.m.V[v].Run != evtchn.Running {
			return 0, false
		}
		return s.cost(ev), true
	}
	if c.working {
		if c.left > 0 {
			in, c.left = c.left, 0
			return in, true
		}
		c.working = false
	}
	return s.schedule(v)
}

// cost is how long the step takes.
func (s *System) cost(ev *evtchn.Event) evtchn.Time {
	k := &s.sc.Costs
	switch ev.Kind {
	case evtchn.KindHypercall, evtchn.KindReturn, evtchn.KindIPI, evtchn.KindForeignSend:
		return k.Hypercall
	case evtchn.KindOwnerRead, evtchn.KindNotifyCheck:
		return 0 // so that a policy which looks before it acts keeps the times of one which does not
	case evtchn.KindUpWrite, evtchn.KindUmaskWrite, evtchn.KindUpcallExit:
		if ev.Res == 1 {
			return k.Hypercall
		}
	case evtchn.KindDeliver:
		return k.Handler
	case evtchn.KindPortBind, evtchn.KindPortClose, evtchn.KindWake:
		return 4 * k.Step
	}
	return k.Step
}

// wakeUp gives the vcpu a physical CPU.
func (s *System) wakeUp(v int, cause evtchn.Seq) {
	c := &s.cpus[v]
	c.waking = false
	if s.m.V[v].Run != evtchn.Runnable {
		return
	}
	var ev evtchn.Event
	s.m.RunEvent(evtchn.VCPU(v), &ev)
	ev.Cause = cause
	s.commit(&ev)
	if ev.Res == 1 || s.m.Idle(evtchn.VCPU(v)) {
		c.idle = false // it was asleep, not preempted on its way there
	}
	s.arm(v, s.sc.Costs.Hypercall)
}

// --- the hypervisor for others ---

func (s *System) stepForeign(ctx int) {
	ev := &s.step
	if !s.m.Step(ctx, ev) {
		s.q.pop()
		return
	}
	if i := ctx - s.sc.VCPUs; s.first[i] != 0 {
		ev.Cause, s.first[i] = s.first[i], 0
	}
	s.commit(ev)
	key := dueKey(dueForeign, ctx)
	if s.q[0].key == key && s.q[0].at == s.now {
		if s.m.CanStep(ctx) {
			s.q.replaceTop(due{s.now + s.cost(ev), key, 0})
		} else {
			s.q.pop()
		}
		return
	}
	// Something due at this very moment was put before it: find the entry and drop it.
	for i := range s.q {
		if s.q[i].key == key {
			s.q[i] = s.q[len(s.q)-1]
			s.q = s.q[:len(s.q)-1]
			s.q.restore()
			break
		}
	}
	if s.m.CanStep(ctx) {
		s.after(s.cost(ev), dueForeign, ctx, 0)
	}
}

// raise starts the setting pending of a port for somebody outside.
func (s *System) raise(p evtchn.Port, cause evtchn.Seq) {
	if p == evtchn.NoPort {
		return
	}
	ctx, err := s.m.StartForeign(p)
	if err != nil {
		s.err = fmt.Errorf("system: internal error: %w", err)
		return
	}
	i := ctx - s.sc.VCPUs
	for i >= len(s.first) {
		s.first = append(s.first, 0)
	}
	s.first[i] = cause
	s.after(s.sc.Costs.Step, dueForeign, ctx, 0)
}

// poke raises a vcpu's timer so that a sleeping vcpu looks at its run queue: what a timer set by a sleeping task would do.
func (s *System) poke(v int, cause evtchn.Seq) {
	if c := &s.cpus[v]; !c.idle {
		return
	}
	ev := evtchn.Event{Kind: evtchn.KindVIRQ, VCPU: evtchn.NoVCPU, Port: s.m.TimerPort(evtchn.VCPU(v)), Cause: cause,
		Args: [3]uint64{uint64(v), evtchn.VIRQTimer}}
	s.commit(&ev)
	s.raise(ev.Port, ev.Seq)
}

// --- inputs ---

func (s *System) fetchInput() {
	switch err := s.in.Next(&s.input); {
	case err == io.EOF:
		s.q.push(due{s.sc.Duration, dueKey(dueInput, 1), 0})
	case err != nil:
		s.err = err
	default:
		s.q.push(due{max(s.input.Time, s.now), dueKey(dueInput, 0), 0})
	}
}

func (s *System) takeInput() {
	ev := s.input
	if ev.Kind == evtchn.KindNone {
		s.end = true
		return
	}
	s.input = evtchn.Event{}
	ev.Flags |= evtchn.FlagInput
	ev.Cause = 0
	s.inject(&ev)
	if ev.Kind != evtchn.KindEnd && s.err == nil {
		s.fetchInput()
	}
}

// inject carries out an input.
func (s *System) inject(ev *evtchn.Event) {
	bad := func() {
		s.err = fmt.Errorf("input %s at %d: not one that this scenario's system can take", ev, ev.Time)
	}
	target := int(int16(ev.Args[0]))
	switch ev.Kind {
	case evtchn.KindEnd:
		s.end = true
		s.commit(ev)
	case evtchn.KindStart:
		if target < 0 || target >= len(s.cpus) {
			bad()
			return
		}
		s.commit(ev)
		s.arm(target, 0)
	case evtchn.KindVIRQ:
		if target < 0 || target >= len(s.cpus) {
			bad()
			return
		}
		ev.Port = s.m.TimerPort(evtchn.VCPU(target))
		s.commit(ev)
		s.raise(ev.Port, ev.Seq)
	case evtchn.KindPIRQ:
		ev.Port = s.pirqs[ev.Args[0]]
		s.commit(ev)
		s.raise(ev.Port, ev.Seq)
	case evtchn.KindSend:
		if ev.Args[0] >= uint64(len(s.hotPort)) {
			bad()
			return
		}
		ev.Port = s.hotPort[ev.Args[0]]
		s.commit(ev)
		s.raise(ev.Port, ev.Seq)
	case evtchn.KindPreempt:
		if target < 0 || target >= len(s.cpus) {
			bad()
			return
		}
		was := s.m.V[target].Run
		s.commit(ev)
		if was == evtchn.Running {
			c := &s.cpus[target]
			if c.working && c.left == 0 {
				c.left = max(1, c.at-s.now)
			}
			c.armed = false
			c.waking = true
			s.after(evtchn.Time(ev.Args[1]), dueRun, target, uint64(ev.Seq))
		}
	case evtchn.KindMove:
		if target < 0 || target >= len(s.cpus) || ev.Args[1] >= uint64(len(s.tasks)) {
			bad()
			return
		}
		s.commit(ev)
		s.move(int(ev.Args[1]), target, ev.Seq)
	case evtchn.KindOp:
		t := ev.Ctx.Num()
		if ev.VCPU < 0 || int(ev.VCPU) >= len(s.cpus) || t >= len(s.tasks) || ev.Ctx.Class() != evtchn.CtxTask {
			bad()
			return
		}
		o := op{code: evtchn.OpCode(ev.Args[0]), port: ev.Port, a: ev.Args[1], b: ev.Args[2]}
		if o.code == evtchn.OpAffinity && o.b != 0 {
			ev.Port = s.portOf(o.b)
			o.port, o.b = ev.Port, 0
		}
		s.commit(ev)
		if o.code == evtchn.OpAffinity && o.port == evtchn.NoPort {
			return // not bound yet
		}
		tk := &s.tasks[t]
		tk.ops = append(tk.ops, o)
		if tk.sleeping && tk.domain < 0 || !tk.started {
			s.m.SetTaskVCPU(t, ev.VCPU)
		}
		tk.started = true
		s.ready(t, ev.Seq)
		s.poke(int(s.m.TaskVCPU(t)), ev.Seq)
	case evtchn.KindHold, evtchn.KindRelease:
		if !s.injectHold(ev) {
			bad()
		}
	default:
		bad()
	}
}

func (s *System) portOf(dom uint64) evtchn.Port {
	if dom >= uint64(len(s.byDom)) {
		return evtchn.NoPort
	}
	if i := s.byDom[dom]; i >= 0 {
		return s.domains[i].port
	}
	return s.hotPort[dom]
}
