package explore

import (
	"errors"
	"fmt"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/system"
)

// System is a bounded scenario under a policy. It is never changed: any number of workers share it.
type System struct {
	sc     *system.Scenario
	b      *system.Bounded
	policy evtchn.Policy
	meta   evtchn.Meta
	kernel int            // the first of the vcpus' kernel tasks
	idle   int            // the task of the idle loops
	ready  *World         // at rest, after the beginning
	start  []evtchn.Event // how it came to that
	fixed  bool           // ports are neither moved nor closed: who handles one never changes
	polls  bool           // somebody polls

	ticking bool // vcpus have timers

	unchanging evtchn.Still
}

// ErrUnbounded is the error for a scenario with times: its traffic has no end, and neither have its schedules.
var ErrUnbounded = errors.New("it cannot be explored")

// ErrSetup is the class of errors about a scenario whose beginning does not come to rest under the policy.
var ErrSetup = errors.New("the scenario does not begin")

const remotePort = 12 // at the other domain's end, as in the report

// New prepares a scenario of kind bounded. Errors are of class ErrUnbounded, ErrSetup or evtchn.ErrConfig.
func New(sc *system.Scenario, p evtchn.Policy) (*System, error) {
	if sc.Bounded == nil {
		return nil, fmt.Errorf("scenario %s: %w: it is of kind timed, its ticks and requests go on as long as it is run", sc.Name, ErrUnbounded)
	}
	b := sc.Bounded
	if n := max(sc.VCPUs, len(b.Tasks), len(b.Ports)); n > maxActors {
		return nil, fmt.Errorf("scenario %s: %w: it has %d vcpus, tasks or ports, want at most %d of each", sc.Name, ErrSetup, n, maxActors)
	}
	s := &System{sc: sc, b: b, policy: p, kernel: len(b.Tasks), idle: len(b.Tasks) + sc.VCPUs}
	s.meta = evtchn.Meta{Format: evtchn.FormatVersion, Source: evtchn.SourceSim, ABI: "2l", VCPUs: sc.VCPUs, WordBits: sc.WordBits,
		Clock: "virtual", Unit: "ns", NsPerTick: 1, Policy: p.String(), Scenario: sc.Text, Complete: true}
	for i := range b.Tasks {
		s.meta.Tasks = append(s.meta.Tasks, b.Tasks[i].Name)
	}
	for v := range sc.VCPUs {
		s.meta.Tasks = append(s.meta.Tasks, fmt.Sprintf("kernel/%d", v))
	}
	s.meta.Tasks = append(s.meta.Tasks, "idle")
	s.ticking = b.Ticks > 0 || p.Tick == evtchn.TickSweep // a policy that relies on ticks gets those at rest at least
	s.fixed = p.Bind != evtchn.BindToBinder
	for i := range b.Tasks {
		for _, op := range b.Tasks[i].Ops {
			switch op.Verb {
			case system.VerbMove, system.VerbClose:
				s.fixed = false
			case system.VerbPoll:
				s.polls = true
			}
		}
	}
	s.unchanging = s.still()
	return s, s.begin()
}

// Meta describes the traces of the system.
func (s *System) Meta() evtchn.Meta { return s.meta }

// Scenario is the scenario explored.
func (s *System) Scenario() *system.Scenario { return s.sc }

// Policy is the policy in force.
func (s *System) Policy() evtchn.Policy { return s.policy }

// Start gives a world at rest in which nothing of what the scenario tells has happened.
func (s *System) Start() *World { return s.ready.Clone() }

// Beginning is how many events come before that.
func (s *System) Beginning() int { return len(s.start) }

// begin brings the vcpus up and binds the ports that are bound at the start, one operation after the other, each to its end.
func (s *System) begin() error {
	m, err := evtchn.NewMachine(s.meta, s.policy, s.idle+1)
	if err != nil {
		return err
	}
	w := &World{actors: newActors(s), m: m}
	w.record(func(ev *evtchn.Event) { s.start = append(s.start, *ev) })
	for t := range s.b.Tasks {
		m.SetTaskVCPU(t, evtchn.VCPU(s.b.Tasks[t].OnVCPU))
	}
	for v := range s.sc.VCPUs {
		m.SetTaskVCPU(s.kernel+v, evtchn.VCPU(v))
	}
	for i := range s.b.Ports {
		p := &w.ports[i]
		if p.left = uint8(s.b.Ports[i].Sends); s.b.Ports[i].Origin == system.FromRemote {
			m.AddRemote(dom(i), remotePort)
		}
	}
	for v := range w.ticks {
		w.ticks[v] = uint8(s.b.Ticks)
	}
	w.preempts = uint8(s.b.Preempt)
	for v := range evtchn.VCPU(s.sc.VCPUs) {
		var ev evtchn.Event
		m.BootEvent(v, &ev)
		ev.Flags |= evtchn.FlagInput
		w.commit(&ev)
	}
	b := beginner{w: w}
	for v := range s.sc.VCPUs {
		if s.ticking {
			b.op(v, s.kernel+v, evtchn.OpBindVIRQ, 0, evtchn.VIRQTimer, uint64(v))
		}
		if s.b.IPIs || s.hasIPI(v) {
			b.op(v, s.kernel+v, evtchn.OpBindIPI, 0, uint64(v), 0)
		}
	}
	for n := evtchn.Port(1); n < s.sc.FirstPort; n++ {
		if m.PortAt(n).Status == evtchn.PortFree {
			b.op(0, s.kernel, evtchn.OpAllocUnbound, 0, 0, 0)
		}
	}
	for i := range s.b.Ports {
		b.bind(i)
	}
	w.record(nil)
	if b.err != nil {
		return b.err
	}
	s.ready = w
	return nil
}

func (s *System) hasIPI(v int) bool {
	for i := range s.b.Ports {
		if s.b.Ports[i].Origin == system.FromIPI && s.b.Ports[i].Owner == v {
			return true
		}
	}
	return false
}

// dom is the domain at the other end of the scenario's port.
func dom(port int) evtchn.DomID { return evtchn.DomID(port + 1) }

// beginner carries out the operations of the beginning.
type beginner struct {
	w   *World
	err error
}

// bind binds a port that is bound when all begins, and leaves it unmasked, on its vcpu, with nothing pending.
func (b *beginner) bind(i int) {
	w, s := b.w, b.w.sys
	bp, p := &s.b.Ports[i], &w.ports[i]
	if bp.Origin == system.FromIPI {
		p.port, p.usable = w.m.IPIPort(evtchn.VCPU(bp.Owner)), true
		return
	}
	if !bp.Bound {
		return
	}
	switch {
	case bp.Origin == system.FromPIRQ:
		b.op(0, s.kernel, evtchn.OpBindPIRQ, 0, uint64(16+i), 0)
	case bp.User >= 0:
		b.op(0, bp.User, evtchn.OpBindRemote, 0, uint64(dom(i)), remotePort)
	default:
		b.op(0, s.kernel, evtchn.OpBindDriver, 0, uint64(dom(i)), remotePort)
	}
	if p.port == evtchn.NoPort {
		b.fail("port %s was not bound", bp.Name)
		return
	}
	if bp.User >= 0 { // the event of the bind
		if len(w.m.Queued(bp.User)) > 0 {
			b.op(0, bp.User, evtchn.OpRead, 0, 0, 0)
			b.op(0, bp.User, evtchn.OpWrite, p.port, 0, 0)
		}
		w.m.SetTaskVCPU(bp.User, evtchn.VCPU(s.b.Tasks[bp.User].OnVCPU))
	}
	if w.m.Masked(p.port) == evtchn.One { // it came before its handler, under a policy that lets it
		b.op(0, s.kernel, evtchn.OpUnmask, p.port, 0, 0)
	}
	if ps := w.m.PortAt(p.port); int(ps.Owner) != bp.Owner {
		b.op(int(ps.Owner), s.kernel+int(ps.Owner), evtchn.OpAffinity, p.port, uint64(bp.Owner), 0)
	}
	if w.m.Masked(p.port) == evtchn.One || w.m.Pending(p.port) == evtchn.One || int(w.m.PortAt(p.port).Owner) != bp.Owner {
		b.fail("port %s is not at rest on vcpu %d", bp.Name, bp.Owner)
	}
	p.usable = true
	if bp.User >= 0 {
		w.tasks[bp.User] = task{}
	}
}

func (b *beginner) fail(format string, args ...any) {
	if b.err == nil {
		b.err = fmt.Errorf("scenario %s under %s: %w: %s", b.w.sys.sc.Name, b.w.sys.policy, ErrSetup, fmt.Sprintf(format, args...))
	}
}

// op lets a task do an operation and everything that follows from it.
func (b *beginner) op(v, t int, op evtchn.OpCode, p evtchn.Port, a, c uint64) {
	if b.err != nil {
		return
	}
	w := b.w
	w.tell(v, t, op, p, a, c)
	if err := w.m.Start(evtchn.VCPU(v), t, op, p, a, c); err != nil {
		b.fail("%v", err)
		return
	}
	var buf []Choice
	for range 10_000 {
		buf = w.inFlight(buf[:0])
		if len(buf) == 0 {
			return
		}
		w.Do(buf[0], nil)
	}
	b.fail("%s does not end", op)
}

// Bounds says in words how big the system is.
func (s *System) Bounds() string {
	b := s.b
	sends, ops, forever := 0, 0, 0
	for i := range b.Ports {
		sends += b.Ports[i].Sends
	}
	for i := range b.Tasks {
		ops += len(b.Tasks[i].Ops)
		if n := len(b.Tasks[i].Ops); n > 0 && b.Tasks[i].Ops[n-1].Verb == system.VerbServe {
			ops, forever = ops-1, forever+1
		}
	}
	text := fmt.Sprintf("%d vcpus, %d-bit words, %d ports, %d events from outside, %d operations of tasks", s.sc.VCPUs, s.sc.WordBits, len(b.Ports), sends, ops)
	if forever > 0 {
		text += fmt.Sprintf(" and %d that serve for ever", forever)
	}
	if s.ticking {
		text += fmt.Sprintf(", %d ticks a vcpu and one when something is wrong at rest", b.Ticks)
	}
	if b.Preempt > 0 {
		text += fmt.Sprintf(", %d preemptions", b.Preempt)
	}
	if !b.Sleep {
		text += ", vcpus that never sleep"
	}
	return text
}
