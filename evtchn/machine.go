package evtchn

import (
	"errors"
	"fmt"
	"slices"
)

// Machine is one domain's event channels in motion: its State, and for every context the procedures that it is in the middle
// of. The caller decides whose turn it is. See the package comment for the caller's duties.
type Machine struct {
	State

	policy  Policy
	procs   policyProcs
	ctx     []context // by vcpu, then the foreign paths
	guest   []guestCPU
	rings   [][]Port // /dev/xen/evtchn: queued ports by task
	taskCPU []VCPU   // where each task is
	lock    int32    // context that holds the domain's event lock, -1: none
	infos   []int32  // by port: 1 + the context that holds the guest's lock of the port, 0: none
	remotes []Remote
	ipi     []Port // by vcpu: the IPI port that a policy uses to reach it
}

// Remote is a port of another domain that may be bound to, or is.
type Remote struct {
	Dom   DomID
	Port  Port
	Local Port // our end, NoPort while it is unbound
}

// guestCPU is what the guest keeps per vcpu.
type guestCPU struct {
	word, bit int            // where the next scan resumes (Linux current_word_idx, current_bit_idx)
	timer     Port           // VIRQ_TIMER's port
	virq      [numVIRQs]Port // virq_to_evtchn
	requests  []Port         // ports that somebody asked this vcpu to look at
}

// context is a stack of procedures. The one on top runs.
type context struct {
	depth  int
	id     int32
	vcpu   VCPU
	errno  int16  // result of the procedure that returned last
	value  uint64 // and its value
	frames [maxDepth]frame
}

const maxDepth = 12

// frame is one procedure under way.
type frame struct {
	proc  procID
	pc    uint8
	on    bool
	ctx   Context
	v     VCPU
	port  Port
	word  int32
	count int32
	bits  uint64
	a, b  uint64
	errno int16
	value uint64
}

// ErrMachine is the class of errors about calls that the machine cannot carry out: a vcpu that does not exist or is in the
// middle of something, a foreign path that is taken.
var ErrMachine = errors.New("evtchn: refused")

// NewMachine makes a domain at its start: every vcpu offline, no port in use. Errors are of class ErrConfig or ErrPolicy.
// tasks is how many tasks the guest has; they are numbered from 0.
func NewMachine(meta Meta, p Policy, tasks int) (*Machine, error) {
	meta.Source = SourceSim
	meta.Policy = p.String()
	s, err := NewState(meta)
	if err != nil {
		return nil, err
	}
	m := &Machine{State: *s, policy: p, lock: -1}
	m.procs = p.procs()
	m.ctx = make([]context, meta.VCPUs, meta.VCPUs+8)
	m.guest = make([]guestCPU, meta.VCPUs)
	m.ipi = make([]Port, meta.VCPUs)
	for i := range m.ctx {
		m.ctx[i].id, m.ctx[i].vcpu = int32(i), VCPU(i)
	}
	m.rings = make([][]Port, tasks)
	m.taskCPU = make([]VCPU, tasks)
	return m, nil
}

// Policy is the policy in force.
func (m *Machine) Policy() Policy { return m.policy }

// AddRemote makes a port of another domain that is unbound and waits for us, so that bind_interdomain can find it.
func (m *Machine) AddRemote(dom DomID, port Port) {
	m.remotes = append(m.remotes, Remote{Dom: dom, Port: port})
}

// RemoteEnd finds a port of another domain.
func (m *Machine) RemoteEnd(dom DomID, port Port) *Remote {
	for i := range m.remotes {
		if m.remotes[i].Dom == dom && m.remotes[i].Port == port {
			return &m.remotes[i]
		}
	}
	return nil
}

// IPIPort gives the first IPI port bound to the vcpu, NoPort if there is none.
func (m *Machine) IPIPort(v VCPU) Port { return m.ipi[v] }

// TimerPort gives the port of the vcpu's VIRQ_TIMER, NoPort if there is none.
func (m *Machine) TimerPort(v VCPU) Port { return m.guest[v].timer }

// TaskVCPU says on which vcpu a task is.
func (m *Machine) TaskVCPU(task int) VCPU { return m.taskCPU[task] }

// SetTaskVCPU moves a task.
func (m *Machine) SetTaskVCPU(task int, v VCPU) { m.taskCPU[task] = v }

// Queued gives the ports that are queued in the task's device file. Do not change it.
func (m *Machine) Queued(task int) []Port { return m.rings[task] }

// Clone makes an independent copy, for exploration.
func (m *Machine) Clone() *Machine {
	c := *m
	c.State = *m.State.Clone()
	c.ctx = slices.Clone(m.ctx)
	c.guest = slices.Clone(m.guest)
	for i := range c.guest {
		c.guest[i].requests = slices.Clone(c.guest[i].requests)
	}
	c.infos = slices.Clone(m.infos)
	c.rings = slices.Clone(m.rings)
	for i := range c.rings {
		c.rings[i] = slices.Clone(c.rings[i])
	}
	c.taskCPU = slices.Clone(m.taskCPU)
	c.remotes = slices.Clone(m.remotes)
	c.ipi = slices.Clone(m.ipi)
	return &c
}

// VCPUCtx is the number of a vcpu's context, for Step.
func (m *Machine) VCPUCtx(v VCPU) int { return int(v) }

// Contexts is how many contexts there are: the vcpus', then the foreign paths that were ever used.
func (m *Machine) Contexts() int { return len(m.ctx) }

// Idle reports whether the vcpu is in no procedure: it runs plain guest code with upcalls enabled, or is offline.
func (m *Machine) Idle(v VCPU) bool { return m.ctx[v].depth == 0 }

// CanStep reports whether the context has a step to do: it is in a procedure, and its vcpu is on a physical CPU.
func (m *Machine) CanStep(ctx int) bool {
	return m.ctx[ctx].depth > 0 && (ctx >= len(m.V) || m.V[ctx].Run == Running)
}

// Start begins an operation of a task on a vcpu that is Idle. Nothing happens until the vcpu's context is stepped; an
// operation that has nothing to do, such as the write-back of a port that is not the task's, is over at once.
func (m *Machine) Start(v VCPU, task int, op OpCode, port Port, a, b uint64) error {
	if int(v) >= len(m.V) || v < 0 {
		return fmt.Errorf("%w: op %s: vcpu %d does not exist", ErrMachine, op, v)
	}
	if int(port) >= m.Ports() {
		return fmt.Errorf("%w: op %s: port %d: the ABI has ports 1 to %d", ErrMachine, op, port, m.Ports()-1)
	}
	c := &m.ctx[v]
	if c.depth != 0 || m.V[v].Run != Running {
		return fmt.Errorf("%w: op %s: vcpu %d is %s and busy with %s", ErrMachine, op, v, m.V[v].Run, c.top())
	}
	if int(op) >= len(opProcs) || opProcs[op] == procNone {
		return fmt.Errorf("%w: op %s is not one of the machine's", ErrMachine, op)
	}
	if task >= 0 {
		m.taskCPU[task] = v
	}
	c.errno, c.value = 0, 0
	c.push(frame{proc: opProcs[op], ctx: CtxTask + Context(task&0xfff), port: port, v: v, word: int32(task), a: a, b: b, bits: uint64(op)})
	if begin := procTable[opProcs[op]].begin; begin != nil {
		begin(m, c, &c.frames[0])
		m.unwind(c)
	}
	return nil
}

// StartForeign begins a set_pending for somebody outside the domain: a send on the other end of the port, a virtual or a
// physical interrupt. It returns the context to step.
func (m *Machine) StartForeign(port Port) (int, error) {
	if int(port) >= m.Ports() || port == NoPort {
		return 0, fmt.Errorf("%w: send: port %d: the ABI has ports 1 to %d", ErrMachine, port, m.Ports()-1)
	}
	n := len(m.V)
	for n < len(m.ctx) && m.ctx[n].depth > 0 {
		n++
	}
	if n == len(m.ctx) {
		m.ctx = append(m.ctx, context{id: int32(n), vcpu: NoVCPU})
	}
	m.ctx[n].push(frame{proc: procRaise, ctx: ForeignCtx(n - len(m.V)), port: port})
	return n, nil
}

// Step carries out the next step of a context and describes it in ev: everything but Seq, Time and Cause, which are the
// caller's. It reports false, and changes nothing, if the context has no step to do or waits for a lock.
// The caller then numbers the event and calls Commit.
func (m *Machine) Step(ctx int, ev *Event) bool {
	c := &m.ctx[ctx]
	if c.depth == 0 || m.Waits(ctx) {
		return false
	}
	f := &c.frames[c.depth-1]
	st := &procTable[f.proc].steps[f.pc]
	*ev = Event{Kind: st.kind, Port: f.port, VCPU: c.vcpu, Ctx: f.ctx}
	f.pc++
	st.do(m, c, f, ev)
	m.unwind(c)
	return true
}

// Waits reports whether the context, which is in a procedure, waits for a lock that another one holds.
func (m *Machine) Waits(ctx int) bool {
	c := &m.ctx[ctx]
	f := &c.frames[c.depth-1]
	st := &procTable[f.proc].steps[f.pc]
	return st.lock && m.lock >= 0 && m.lock != c.id || st.info && m.infoHeld(f.port)
}

// unwind leaves the procedures that are done, until one with a step to do is on top.
func (m *Machine) unwind(c *context) {
	for c.depth > 0 {
		f := &c.frames[c.depth-1]
		if p := &procTable[f.proc]; f.pc == pcResume {
			p.resume(m, c, f)
		} else if int(f.pc) < len(p.steps) {
			return
		} else {
			c.depth--
		}
	}
}

// Commit applies the event of the last Step, and lets the vcpu take the upcall if the step led to one.
func (m *Machine) Commit(ev *Event) {
	m.State.Apply(ev)
	if ev.Res != 1 {
		return
	}
	switch ev.Kind {
	case KindReturn, KindUpWrite, KindUmaskWrite:
		m.enterUpcall(ev.VCPU)
	case KindKick, KindRun:
		m.enterUpcall(VCPU(int16(ev.Args[0])))
	}
}

func (m *Machine) enterUpcall(v VCPU) {
	c := &m.ctx[v]
	if c.depth == 0 {
		c.errno, c.value = 0, 0 // of an operation that is over
	}
	c.push(frame{proc: m.procs.upcall, ctx: CtxUpcall, v: v, errno: c.errno, value: c.value}) // restored at its exit
}

// callback says whether a vcpu on its way into the guest takes an upcall.
func (m *Machine) callback(v VCPU) uint64 {
	vc := &m.V[v]
	return flag(vc.Up == One && vc.Umask == Zero)
}

// Boot, Kick, Run and Preempt describe what the hypervisor's scheduler and its interrupts do to a vcpu. Like Step they fill
// ev; the caller numbers it and calls Commit.

// BootEvent is the coming up of a vcpu.
func (m *Machine) BootEvent(v VCPU, ev *Event) {
	*ev = Event{Kind: KindStart, VCPU: NoVCPU, Args: [3]uint64{uint64(uint16(v))}}
}

// KickEvent is the arrival of a notification's physical IPI. A vcpu in the guest goes through Xen and looks at UP.
func (m *Machine) KickEvent(v VCPU, ev *Event) {
	*ev = Event{Kind: KindKick, VCPU: NoVCPU, Args: [3]uint64{uint64(uint16(v))}}
	if vc := &m.V[v]; vc.Run == Running && !vc.InXen {
		ev.Res = m.callback(v)
	}
}

// RunEvent is the vcpu's getting a physical CPU after it was woken or preempted. It returns to the guest, unless it was
// preempted in the middle of a hypercall.
func (m *Machine) RunEvent(v VCPU, ev *Event) {
	*ev = Event{Kind: KindRun, VCPU: NoVCPU, Args: [3]uint64{uint64(uint16(v))}}
	if !m.V[v].InXen {
		ev.Res = m.callback(v)
	}
}

// PreemptEvent is the loss of the physical CPU for ns nanoseconds.
func (m *Machine) PreemptEvent(v VCPU, ns uint64, ev *Event) {
	*ev = Event{Kind: KindPreempt, VCPU: NoVCPU, Args: [3]uint64{uint64(uint16(v)), ns}}
}

// --- context ---

func (c *context) push(f frame) {
	if c.depth == maxDepth {
		panic("evtchn: internal error: procedures nested too deeply")
	}
	c.frames[c.depth] = f
	c.depth++
}

// call starts a procedure on top of the one that runs, which goes on at its present pc when the callee has returned.
func (c *context) call(p procID, port Port, v VCPU) *frame {
	f := frame{proc: p, port: port, v: v, ctx: c.frames[c.depth-1].ctx}
	c.push(f)
	return &c.frames[c.depth-1]
}

// hypercall is call for a procedure of the hypervisor.
func (c *context) hypercall(p procID, port Port, a, b uint64) {
	f := c.call(p, port, NoVCPU)
	f.ctx, f.a, f.b = CtxXen, a, b
}

// done makes the running procedure end after this step.
func (f *frame) done() { f.pc = 255 }

func (c *context) top() string {
	if c.depth == 0 {
		return "nothing"
	}
	return procTable[c.frames[c.depth-1].proc].name
}
