package evtchn_test

import (
	"testing"

	. "github.com/evtrace/evtrace/evtchn"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// choice is one thing that a schedule may do next.
type choice struct {
	kind byte // 's' step, 'o' operation, 'f' foreign send, 'k' kick, 'r' run, 'p' preempt
	ctx  int
	op   OpCode
	task int
	port Port
	a, b uint64
}

// scheduled is a small machine under a random schedule.
type scheduled struct {
	*driver
	choices []choice
	moves   bool // operations that move, close or reset ports are among the choices
	single  bool // a task is one thread: it is on one vcpu at a time
	cur     [schedVCPUs]int
	watch   *flashes
}

const (
	schedVCPUs = 3
	schedTasks = 4
)

// newScheduled makes a machine of three vcpus with timers and IPIs, and two tasks with a device file.
func newScheduled(t fataler, policy string, wordBits int) *scheduled {
	d, err := newDriver(policy, schedVCPUs, wordBits, schedTasks)
	if err != nil {
		t.Fatalf("%v", err)
	}
	s := &scheduled{driver: d}
	for v := range schedVCPUs {
		d.boot(VCPU(v))
	}
	for v := range schedVCPUs {
		for _, c := range []choice{{op: OpBindVIRQ, a: VIRQTimer, b: uint64(v)}, {op: OpBindIPI, a: uint64(v)}} {
			if err := d.start(VCPU(v), 0, c.op, 0, c.a, c.b); err != nil {
				t.Fatalf("%v", err)
			}
			for d.step(v) {
			}
		}
	}
	for p := range Port(3) {
		d.m.AddRemote(1, 10+p)
	}
	return s
}

// options lists what can be done, in a fixed order.
func (s *scheduled) options() (steps, others []choice) {
	for c := range s.m.Contexts() {
		if s.m.CanStep(c) {
			steps = append(steps, choice{kind: 's', ctx: c})
		}
	}
	for v := range s.m.V {
		if vc := &s.m.V[v]; vc.Kicks > 0 {
			steps = append(steps, choice{kind: 'k', ctx: v})
		} else if vc.Run == Runnable {
			steps = append(steps, choice{kind: 'r', ctx: v})
		} else if vc.Run == Running {
			others = append(others, choice{kind: 'p', ctx: v})
		}
	}
	return steps, others
}

// operation draws an operation for an idle vcpu.
func (s *scheduled) operation(t *rapid.T, v int) choice {
	ops := []OpCode{OpBindRemote, OpBindRemote, OpBindDriver, OpBindUnbound, OpBindPIRQ, OpNotify, OpRead, OpRead, OpWrite, OpWrite, OpWrite,
		OpSelect, OpIPI, OpIPI, OpSendPort, OpBlock, OpBlock, OpBlock, OpPoll, OpAllocUnbound, OpStatus, OpBindVIRQ}
	if s.moves {
		ops = append(ops, OpAffinity, OpAffinity, OpUnbind, OpClose, OpMask, OpUnmask, OpReset)
	}
	c := choice{kind: 'o', ctx: v, op: rapid.SampledFrom(ops).Draw(t, "op"), task: rapid.IntRange(0, 1).Draw(t, "task")}
	for v := 0; s.single && v < schedVCPUs; v++ {
		if s.cur[v] == c.task && !s.m.Idle(VCPU(v)) {
			c.task = 2 // which no device file belongs to
		}
	}
	inUse := []Port{1}
	for p := range s.m.P {
		if s.m.P[p].Status != PortFree {
			inUse = append(inUse, Port(p))
		}
	}
	c.port = rapid.SampledFrom(inUse).Draw(t, "port")
	switch c.op {
	case OpBindRemote, OpBindDriver:
		c.port, c.a, c.b = 0, 1, uint64(10+rapid.IntRange(0, 3).Draw(t, "rport"))
		if rapid.IntRange(0, 4).Draw(t, "loopback") == 0 {
			c.a, c.b = 0, uint64(rapid.SampledFrom(inUse).Draw(t, "lport"))
		}
	case OpBindUnbound, OpAllocUnbound:
		c.port, c.a = 0, uint64(rapid.IntRange(0, 2).Draw(t, "dom"))
	case OpAffinity:
		c.a = uint64(rapid.IntRange(0, schedVCPUs).Draw(t, "to")) // one of them does not exist
	case OpBindVIRQ:
		c.port, c.a, c.b = 0, uint64(rapid.IntRange(0, 3).Draw(t, "virq")), uint64(rapid.IntRange(0, schedVCPUs).Draw(t, "vcpu"))
	case OpBindPIRQ:
		c.port, c.a = 0, uint64(rapid.IntRange(0, 3).Draw(t, "pirq"))
	case OpIPI:
		c.port = s.m.IPIPort(VCPU(rapid.IntRange(0, schedVCPUs-1).Draw(t, "to")))
	case OpRead:
		if len(s.m.Queued(c.task)) == 0 {
			c.op = OpSelect
		}
	case OpWrite:
		for p := range s.m.P {
			if s.m.P[p].User == int32(c.task) {
				c.port = Port(p)
			}
		}
	case OpBlock:
		c.port, c.task = 0, s.idle
	}
	return c
}

// do carries a choice out.
func (s *scheduled) do(t fataler, c choice) {
	s.choices = append(s.choices, c)
	switch c.kind {
	case 's':
		s.step(c.ctx)
	case 'k':
		s.kick(VCPU(c.ctx))
	case 'r':
		s.schedRun(VCPU(c.ctx))
	case 'p':
		s.preempt(VCPU(c.ctx))
	case 'f':
		if _, err := s.m.StartForeign(c.port); err != nil {
			t.Fatalf("%v", err)
		}
	case 'o':
		s.cur[c.ctx] = c.task
		if s.watch != nil {
			s.watch.started(c.ctx)
		}
		if err := s.start(VCPU(c.ctx), c.task, c.op, c.port, c.a, c.b); err != nil {
			t.Fatalf("%v", err)
		}
	}
	if s.watch != nil {
		s.watch.look()
	}
}

// random does n choices.
func (s *scheduled) random(t *rapid.T, n int) {
	for range n {
		steps, others := s.options()
		what := rapid.IntRange(0, 9).Draw(t, "what")
		switch {
		case len(steps) > 0 && what < 7:
			s.do(t, rapid.SampledFrom(steps).Draw(t, "step"))
		case what == 9 && len(others) > 0 && rapid.IntRange(0, 3).Draw(t, "preempt") == 0:
			s.do(t, rapid.SampledFrom(others).Draw(t, "preempted"))
		case what >= 8 && s.m.Contexts() < schedVCPUs+4:
			s.do(t, choice{kind: 'f', port: Port(rapid.IntRange(1, min(len(s.m.P), s.m.Ports()-1)).Draw(t, "sent"))})
		default:
			var idle []int
			for v := range s.m.V {
				if s.m.V[v].Run == Running && s.m.Idle(VCPU(v)) {
					idle = append(idle, v)
				}
			}
			if len(idle) > 0 {
				s.do(t, s.operation(t, rapid.SampledFrom(idle).Draw(t, "vcpu")))
			}
		}
	}
}

// eachPolicy runs a property under every preset.
func eachPolicy(t *testing.T, property func(t *rapid.T, policy string)) {
	for _, p := range Presets() {
		t.Run(p.Name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) { property(t, p.Name) })
		})
	}
}

// Whatever the schedule: the slow validator agrees with the machine, the events alone give the machine's state, and a
// snapshot reads back.
func TestRandomSchedules(t *testing.T) {
	eachPolicy(t, func(t *rapid.T, policy string) {
		s := newScheduled(t, policy, rapid.SampledFrom([]int{4, 8, 64}).Draw(t, "wordbits"))
		s.moves = rapid.Bool().Draw(t, "moves")
		s.random(t, rapid.IntRange(10, 400).Draw(t, "n"))
		verify(t, s.driver)
	})
}

// A copy of a machine, given the same choices, makes the same events, and leaves the original alone.
func TestCloneReplays(t *testing.T) {
	eachPolicy(t, func(t *rapid.T, policy string) {
		s := newScheduled(t, policy, 8)
		s.moves = true
		s.random(t, rapid.IntRange(0, 150).Draw(t, "before"))
		at, from := len(s.log), len(s.choices)
		copied := &scheduled{driver: &driver{m: s.m.Clone(), meta: s.meta, log: append([]Event(nil), s.log...), idle: s.idle}}
		before := s.m.Describe()
		s.random(t, 100)
		if got := copied.m.Describe(); got != before {
			t.Fatalf("the copy changed with the original:\n%s\nwant:\n%s", got, before)
		}
		for _, c := range s.choices[from:] {
			copied.do(t, c)
		}
		if diff := cmp.Diff(s.log[at:], copied.log[at:]); diff != "" {
			t.Fatalf("the copy went another way (-original +copy):\n%s", diff)
		}
		if !copied.m.State.Equal(&s.m.State) {
			t.Fatalf("the copy is in another state")
		}
	})
}
