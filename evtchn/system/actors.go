package system

import "github.com/evtrace/evtrace/evtchn"

// op is an operation that a task is to carry out.
type op struct {
	code evtchn.OpCode
	port evtchn.Port
	a, b uint64
}

// task is a process or thread of the traced domain.
type task struct {
	domain   int
	sleeping bool
	queued   bool // in a run queue
	started  bool
	ops      []op
	step     dmStep
	batch    []evtchn.Port // ports read from the device file
	next     int           // of the batch
	served   int           // requests served since the last notification
	serving  int           // vcpu of the domain whose request is in hand
	owed     int           // backend: requests that came and are not answered
	draw     stream
}

// dmStep is where a device model is in its loop: select, read, serve, write back, notify (qemu-dm's main loop of 2005).
type dmStep uint8

const (
	dmSelect dmStep = iota
	dmRead
	dmLook
	dmServing
	dmNotify
)

// domain is a domain whose I/O the traced domain serves.
type domain struct {
	info  *domainInfo
	conf  *Domain
	port  evtchn.Port // our end
	vcpus []foreignVCPU
}

// foreignVCPU is one vcpu of such a domain: it thinks, makes a request, and waits for the response.
type foreignVCPU struct {
	state evtchn.IOReqState
	left  int // requests to make, -1: no end
	draw  stream
}

func (s *System) addDomain(i int, seed uint64) {
	info := &s.layout.domains[i]
	conf := &s.sc.Domains[info.group]
	d := domain{info: info, conf: conf, vcpus: make([]foreignVCPU, max(1, conf.VCPUs))}
	for j := range d.vcpus {
		f := &d.vcpus[j]
		f.left = conf.Requests
		if f.left == 0 {
			f.left = -1
		}
		f.draw = stream{seed: seed, who: entDomain + entity(i)<<8 + entity(j)}
		s.q.push(due{info.start + f.draw.within(conf.First), dueKey(dueDomain, i<<8|j), 0})
	}
	s.byDom[info.id] = int32(i)
	s.domains = append(s.domains, d)
	s.m.AddRemote(info.id, info.rport)
}

// react lets the actors respond to what has just happened.
func (s *System) react(ev *evtchn.Event) {
	switch ev.Kind {
	case evtchn.KindIPI:
		v := int(ev.Target())
		s.after(s.sc.Costs.Kick+s.kicks[v].within(Span{0, s.sc.Costs.Jitter}), dueKick, v, uint64(ev.Seq))
	case evtchn.KindBlockedTAC:
		v := int(ev.Target())
		if c := &s.cpus[v]; ev.Res == 1 && s.m.V[v].Run == evtchn.Runnable && !c.waking {
			c.waking = true
			s.after(s.sc.Costs.Wake+s.wakes[v].within(Span{0, s.sc.Costs.Jitter}), dueRun, v, uint64(ev.Seq))
		}
	case evtchn.KindReturn:
		if ev.VCPU >= 0 && ev.Ctx == evtchn.CtxXen {
			s.cpus[ev.VCPU].idle = false
		}
	case evtchn.KindPortBind:
		s.bound(ev)
	case evtchn.KindForeignSend:
		s.response(ev)
	case evtchn.KindWake:
		if ev.Ctx != evtchn.CtxNone {
			s.ready(int(ev.Args[1]), ev.Seq)
		}
	case evtchn.KindSelect:
		t := int(ev.Args[0])
		if ev.Res == 1 {
			s.tasks[t].step = dmRead
		} else {
			s.sleep(t, ev.VCPU)
		}
	case evtchn.KindRingPop:
		t := &s.tasks[ev.Args[0]]
		t.batch = append(t.batch, ev.Port)
	case evtchn.KindHandled:
		s.handled(ev)
	}
}

// bound notes which port an origin of events has got.
func (s *System) bound(ev *evtchn.Event) {
	switch evtchn.PortStatus(ev.Args[0]) {
	case evtchn.PortPIRQ:
		s.pirqs[ev.Args[2]] = ev.Port
	case evtchn.PortInterdomain:
		dom := ev.Args[2] >> 32
		if i := s.byDom[dom]; i >= 0 {
			s.domains[i].port = ev.Port
		} else {
			s.hotPort[dom] = ev.Port
		}
	}
}

// handled is the end of an interrupt handler of the kernel.
func (s *System) handled(ev *evtchn.Event) {
	v := ev.VCPU
	if ev.Port == s.m.TimerPort(v) {
		if s.sc.IPIs.PerTick > 0 && len(s.cpus) > 1 && s.ipis[v].chance(s.sc.IPIs.PerTick) {
			to := evtchn.VCPU(s.ipis[v].below(len(s.cpus) - 1))
			if to >= v {
				to++
			}
			if p := s.m.IPIPort(to); p != evtchn.NoPort {
				t := s.layout.kernel + int(v)
				s.tasks[t].ops = append(s.tasks[t].ops, op{code: evtchn.OpIPI, port: p})
				s.ready(t, ev.Seq)
			}
		}
		return
	}
	ps := s.m.PortAt(ev.Port)
	if ps.Status != evtchn.PortInterdomain || ps.Peer>>32 >= uint64(len(s.byDom)) {
		return
	}
	if i := s.byDom[ps.Peer>>32]; i >= 0 && s.domains[i].conf.Kind == PV {
		d := &s.domains[i]
		t := &s.tasks[d.info.task]
		found := false
		for j := range d.vcpus {
			if d.vcpus[j].state == evtchn.IOReqReady {
				d.vcpus[j].state = evtchn.IOReqInprocess
				t.owed++
				found = true
			}
		}
		if found && t.sleeping {
			// A softirq: the backend's work is done where its interrupt was handled.
			s.m.SetTaskVCPU(d.info.task, v)
			wake := evtchn.Event{Kind: evtchn.KindWake, VCPU: v, Port: ev.Port, Args: [3]uint64{uint64(v), uint64(d.info.task)}}
			s.commit(&wake)
			s.ready(d.info.task, wake.Seq)
		}
	}
}

// --- tasks ---

// ready puts a task into the run queue of its vcpu.
func (s *System) ready(t int, cause evtchn.Seq) {
	tk := &s.tasks[t]
	tk.sleeping = false
	v := int(s.m.TaskVCPU(t))
	if tk.queued || s.cpus[v].cur == t {
		return
	}
	tk.queued = true
	s.cpus[v].runq = append(s.cpus[v].runq, t)
}

// sleep takes a task off its vcpu until it is made ready.
func (s *System) sleep(t int, v evtchn.VCPU) {
	s.tasks[t].sleeping = true
	if s.cpus[v].cur == t {
		s.cpus[v].cur = -1
	}
}

// move gives a task to another vcpu. If it is running there, it goes at its next operation.
func (s *System) move(t, v int, cause evtchn.Seq) {
	from := int(s.m.TaskVCPU(t))
	if from == v {
		return
	}
	tk := &s.tasks[t]
	if s.cpus[from].cur == t {
		s.m.SetTaskVCPU(t, evtchn.VCPU(v))
		return // schedule hands it over
	}
	s.m.SetTaskVCPU(t, evtchn.VCPU(v))
	if !tk.queued {
		return
	}
	q := s.cpus[from].runq
	for i := range q {
		if q[i] == t {
			s.cpus[from].runq = append(q[:i], q[i+1:]...)
			break
		}
	}
	tk.queued = false
	s.ready(t, cause)
	s.poke(v, cause)
}

// schedule chooses what a vcpu that is in no procedure does next, and says when its next step is due.
func (s *System) schedule(v int) (in evtchn.Time, on bool) {
	c := &s.cpus[v]
	for {
		if c.cur >= 0 {
			t := c.cur
			if to := int(s.m.TaskVCPU(t)); to != v {
				c.cur = -1
				s.handOver(t, v, to)
				continue
			}
			in, on := s.run(t, v)
			if on {
				return in, true
			}
			continue
		}
		if len(c.runq) == 0 {
			c.idle = true
			if err := s.m.Start(evtchn.VCPU(v), s.layout.idle, evtchn.OpBlock, 0, 0, 0); err != nil {
				s.err = err
				return 0, false
			}
			var ev evtchn.Event
			s.m.Step(v, &ev) // with the look at the run queue: nothing can come between
			s.commit(&ev)
			return s.cost(&ev), true
		}
		c.cur = c.runq[0]
		c.runq = append(c.runq[:0], c.runq[1:]...)
		s.tasks[c.cur].queued = false
	}
}

// handOver sends a task that was moved while it ran to its new vcpu, by a reschedule IPI if that one sleeps.
func (s *System) handOver(t, from, to int) {
	s.ready(t, s.seq)
	if p := s.m.IPIPort(evtchn.VCPU(to)); s.cpus[to].idle && p != evtchn.NoPort {
		k := s.layout.kernel + from
		s.tasks[k].ops = append(s.tasks[k].ops, op{code: evtchn.OpIPI, port: p})
		s.ready(k, s.seq)
	}
}

// run lets the current task of a vcpu begin its next operation or its next stretch of work. It reports false when the task
// went to sleep instead.
func (s *System) run(t, v int) (in evtchn.Time, on bool) {
	tk := &s.tasks[t]
	for len(tk.ops) > 0 {
		o := tk.ops[0]
		tk.ops = append(tk.ops[:0], tk.ops[1:]...)
		if s.begin(t, v, o) {
			return s.sc.Costs.Schedule, true
		}
	}
	if tk.domain < 0 {
		s.sleep(t, evtchn.VCPU(v))
		return 0, false
	}
	d := &s.domains[tk.domain]
	if d.conf.Kind == PV {
		return s.runBackend(t, v, d)
	}
	return s.runDM(t, v, d)
}

// begin starts an operation, and says whether it has steps to do.
func (s *System) begin(t, v int, o op) bool {
	if err := s.m.Start(evtchn.VCPU(v), t, o.code, o.port, o.a, o.b); err != nil {
		s.err = err
		return true
	}
	return !s.m.Idle(evtchn.VCPU(v))
}

// tell puts the beginning of an operation that is a task's own decision into the trace.
func (s *System) tell(t, v int, code evtchn.OpCode, p evtchn.Port) {
	ev := evtchn.Event{Kind: evtchn.KindOp, VCPU: evtchn.VCPU(v), Ctx: evtchn.TaskCtx(t), Port: p, Args: [3]uint64{uint64(code)}}
	s.commit(&ev)
}

// work makes the task compute for a while, with upcalls enabled.
func (s *System) work(v int, d evtchn.Time) (evtchn.Time, bool) {
	c := &s.cpus[v]
	c.working, c.left = true, 0
	return max(1, d), true
}

func (s *System) runBackend(t, v int, d *domain) (evtchn.Time, bool) {
	tk := &s.tasks[t]
	switch {
	case tk.owed > 0 && tk.step == dmSelect:
		tk.step = dmServing
		return s.work(v, tk.draw.within(d.conf.Serve))
	case tk.step == dmServing:
		tk.step = dmSelect
		for j := range d.vcpus {
			if d.vcpus[j].state == evtchn.IOReqInprocess {
				d.vcpus[j].state = evtchn.IOReqRespReady
				tk.owed--
			}
		}
		tk.owed = 0
		s.begin(t, v, op{code: evtchn.OpSendPort, port: d.port})
		return s.sc.Costs.Schedule, true
	}
	s.sleep(t, evtchn.VCPU(v))
	return 0, false
}

// runDM is the device model's loop.
func (s *System) runDM(t, v int, d *domain) (evtchn.Time, bool) {
	tk := &s.tasks[t]
	switch tk.step {
	case dmRead:
		tk.batch, tk.next, tk.served = tk.batch[:0], 0, 0
		tk.step = dmLook
		s.begin(t, v, op{code: evtchn.OpRead})
		return s.sc.Costs.Schedule, true
	case dmLook:
		for j := range d.vcpus {
			if d.vcpus[j].state == evtchn.IOReqReady {
				s.ioreq(d, j, evtchn.IOReqInprocess, t, v)
				tk.serving, tk.step = j, dmServing
				ns := tk.draw.within(d.conf.Serve)
				ev := evtchn.Event{Kind: evtchn.KindServe, VCPU: evtchn.VCPU(v), Ctx: evtchn.TaskCtx(t), Port: d.port,
					Args: [3]uint64{uint64(d.info.id), uint64(ns)}}
				s.commit(&ev)
				return s.work(v, ns)
			}
		}
		if tk.next < len(tk.batch) {
			p := tk.batch[tk.next]
			tk.next++
			if tk.next == len(tk.batch) {
				tk.step = dmNotify
			}
			s.tell(t, v, evtchn.OpWrite, p)
			s.begin(t, v, op{code: evtchn.OpWrite, port: p})
			return s.sc.Costs.Schedule, true
		}
		tk.step = dmNotify
		fallthrough
	case dmNotify:
		tk.step = dmSelect
		if tk.served > 0 {
			tk.served = 0
			s.tell(t, v, evtchn.OpNotify, d.port)
			s.begin(t, v, op{code: evtchn.OpNotify, port: d.port})
			return s.sc.Costs.Schedule, true
		}
	case dmServing:
		s.ioreq(d, tk.serving, evtchn.IOReqRespReady, t, v)
		tk.served++
		tk.step = dmLook
		return s.sc.Costs.Schedule, true
	}
	s.begin(t, v, op{code: evtchn.OpSelect})
	return s.sc.Costs.Schedule, true
}

// --- domains ---

// ioreq changes the state of a request.
func (s *System) ioreq(d *domain, j int, st evtchn.IOReqState, t, v int) evtchn.Seq {
	d.vcpus[j].state = st
	ev := evtchn.Event{Kind: evtchn.KindIOReq, VCPU: evtchn.VCPU(v), Ctx: evtchn.CtxNone, Port: d.port,
		Args: [3]uint64{uint64(d.info.id), uint64(st)}}
	if t >= 0 {
		ev.Ctx = evtchn.TaskCtx(t)
	}
	if d.conf.Kind == HVM {
		s.commit(&ev)
		return ev.Seq
	}
	return s.seq
}

// request is a vcpu of a domain making its next request: it fills in the request page, sends, and waits.
func (s *System) request(i, j int) {
	d := &s.domains[i]
	f := &d.vcpus[j]
	if f.left == 0 || f.state != evtchn.IOReqNone {
		return
	}
	if f.left > 0 {
		f.left--
	}
	cause := s.ioreq(d, j, evtchn.IOReqReady, -1, int(evtchn.NoVCPU))
	ev := evtchn.Event{Kind: evtchn.KindSend, VCPU: evtchn.NoVCPU, Port: d.port, Cause: cause, Args: [3]uint64{uint64(d.info.id)}}
	s.commit(&ev)
	s.raise(d.port, ev.Seq) // dropped while the channel is unbound
}

// response is a notification that reaches a domain: its vcpus whose requests are served go on.
func (s *System) response(ev *evtchn.Event) {
	if ev.Args[0] >= uint64(len(s.byDom)) || s.byDom[ev.Args[0]] < 0 {
		return
	}
	i := int(s.byDom[ev.Args[0]])
	d := &s.domains[i]
	for j := range d.vcpus {
		f := &d.vcpus[j]
		if f.state != evtchn.IOReqRespReady {
			continue
		}
		s.ioreq(d, j, evtchn.IOReqNone, -1, int(evtchn.NoVCPU))
		if f.left != 0 {
			s.after(f.draw.within(d.conf.Think), dueDomain, i<<8|j, 0)
		}
	}
}
