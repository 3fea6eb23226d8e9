package evtchn_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	. "github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/evtchntest"
)

// The scripts of testdata/scripts drive a machine step by step. Their commands:
//
//	new [policy=P] [vcpus=2] [word-bits=64] [tasks=4] [offline]   a machine, its vcpus up
//	remote dom=D port=P                 a port of another domain that waits for a bind
//	fill upto=P                         takes the ports below P by alloc_unbound
//	op v=V NAME [task=T] [port=P] [a=A] [b=B]    starts an operation of a task; do: and runs it to its end
//	send port=P                         starts a send from outside; raise: and runs it to its end
//	step ctx=C [n=N] [to=KIND]          C is v0, v1, ... or f0, f1, ...; to: up to and including a step of that kind
//	run ctx=C                           until it has nothing to do
//	boot v=V, kick v=V, sched-run v=V, preempt v=V
//	settle                              everybody, until nobody has anything to do
//	state, check, lost                  what State.Describe, State.Check and State.Unnoticed say
//
// The flag quiet on a command that steps leaves out the events.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, filepath.Join("testdata", "scripts"), func(t *testing.T, path string) {
		s := &script{t: t}
		datadriven.RunTest(t, path, s.run)
		s.finish()
	})
}

// script is one script under way.
type script struct {
	t *testing.T
	d *driver
}

func (s *script) run(t *testing.T, td *datadriven.TestData) string {
	s.t = t
	if td.Cmd == "new" {
		s.finish()
		policy, vcpus, wordBits, tasks := "", 2, 64, 4
		for _, a := range td.CmdArgs {
			if a.Key == "policy" { // a policy may contain commas and equal signs
				policy = strings.Join(a.Vals, ",")
			}
		}
		td.MaybeScanArgs(t, "vcpus", &vcpus)
		td.MaybeScanArgs(t, "word-bits", &wordBits)
		td.MaybeScanArgs(t, "tasks", &tasks)
		d, err := newDriver(policy, vcpus, wordBits, tasks)
		if err != nil {
			return "error: " + err.Error()
		}
		s.d = d
		if !td.HasArg("offline") {
			for v := range vcpus {
				d.boot(VCPU(v))
			}
		}
		return ""
	}
	if s.d == nil {
		td.Fatalf(t, "the script needs a new first")
	}
	switch td.Cmd {
	case "state":
		return s.d.m.Describe()
	case "check":
		var b strings.Builder
		for _, v := range s.d.m.Check() {
			fmt.Fprintln(&b, v)
		}
		return orOK(b.String())
	case "lost":
		var b strings.Builder
		for _, p := range s.d.m.ExposedPorts() {
			if s.d.m.Unnoticed(p) {
				ps := s.d.m.PortAt(p)
				fmt.Fprintf(&b, "port %d: pending #%d, exposed #%d, unnoticed since %s\n", p, ps.PendSeq, ps.ExposedSeq, line(&s.d.log[ps.UnnoticedSeq-1]))
			}
		}
		return orOK(b.String())
	}
	from := len(s.d.log)
	out := s.act(td)
	if td.HasArg("quiet") {
		return out
	}
	var b strings.Builder
	for i := from; i < len(s.d.log); i++ {
		fmt.Fprintln(&b, line(&s.d.log[i]))
	}
	return b.String() + out
}

func orOK(s string) string {
	if s == "" {
		return "ok"
	}
	return s
}

// act carries out a command that steps, and gives what is to be said besides the events.
func (s *script) act(td *datadriven.TestData) string {
	var v, n, task int
	var port, dom, a, b, upto uint64
	n = 1
	for key, to := range map[string]any{"v": &v, "n": &n, "task": &task, "port": &port, "dom": &dom, "a": &a, "b": &b, "upto": &upto} {
		td.MaybeScanArgs(s.t, key, to)
	}
	d, vcpu := s.d, VCPU(v)
	switch td.Cmd {
	case "remote":
		d.m.AddRemote(DomID(dom), Port(port))
	case "fill":
		from := len(d.log)
		for p := uint64(1); p < upto; p++ {
			if err := d.start(0, 0, OpAllocUnbound, 0, 7, 0); err != nil {
				return "error: " + err.Error()
			}
			s.runTo(0, "", 100)
		}
		return fmt.Sprintf("%d steps\n", len(d.log)-from)
	case "op", "do":
		op := OpNone
		for _, arg := range td.CmdArgs {
			if code, ok := ArgOp.ParseName(arg.Key); ok && len(arg.Vals) == 0 {
				op = OpCode(code)
			}
		}
		if op == OpBlock && !td.HasArg("task") {
			task = d.idle
		}
		if err := d.start(vcpu, task, op, Port(port), a, b); err != nil {
			return "error: " + err.Error()
		}
		if td.Cmd == "do" {
			s.runTo(v, "", 10000)
		}
	case "send", "raise":
		ctx, err := d.m.StartForeign(Port(port))
		if err != nil {
			return "error: " + err.Error()
		}
		if td.Cmd == "raise" {
			s.runTo(ctx, "", 1000)
			return ""
		}
		return fmt.Sprintf("f%d\n", ctx-len(d.m.V))
	case "step", "run":
		ctx, to := s.ctx(td), ""
		if td.MaybeScanArgs(s.t, "to", &to); to != "" {
			if _, ok := ParseKind(to); !ok {
				td.Fatalf(s.t, "no kind is called %s", to)
			}
		}
		if td.Cmd == "run" || to != "" {
			n = 10000
		}
		if got := s.runTo(ctx, to, n); td.Cmd == "step" && got < n && (to == "" || got == 0 || d.log[len(d.log)-1].Kind.String() != to) {
			return "nothing more to do\n"
		}
	case "boot":
		d.boot(vcpu)
	case "kick":
		d.kick(vcpu)
	case "sched-run":
		d.schedRun(vcpu)
	case "preempt":
		d.preempt(vcpu)
	case "settle":
		if !d.settle(10000) {
			return "no rest after 10000 rounds\n"
		}
	default:
		td.Fatalf(s.t, "no command is called %s", td.Cmd)
	}
	return ""
}

// runTo steps a context up to n times, until a step of that kind or until it has none.
func (s *script) runTo(ctx int, kind string, n int) (steps int) {
	for steps < n && s.d.step(ctx) {
		steps++
		if s.d.log[len(s.d.log)-1].Kind.String() == kind {
			break
		}
	}
	return steps
}

func (s *script) ctx(td *datadriven.TestData) int {
	var name string
	td.ScanArgs(s.t, "ctx", &name)
	i, err := strconv.Atoi(name[1:])
	if err != nil || name[0] != 'v' && name[0] != 'f' {
		td.Fatalf(s.t, "ctx=%s, want v0, v1, ... or f0, f1, ...", name)
	}
	if name[0] == 'f' {
		i += len(s.d.m.V)
	}
	if i >= s.d.m.Contexts() {
		td.Fatalf(s.t, "there is no context %s", name)
	}
	return i
}

// finish holds what the script made against the two other opinions: the slow validator, and the events by themselves.
func (s *script) finish() {
	if s.d == nil {
		return
	}
	verify(s.t, s.d)
	s.d = nil
}

// fataler is what testing.T, testing.B and rapid.T have in common here.
type fataler interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

func verify(t fataler, d *driver) {
	t.Helper()
	problems, err := evtchntest.Validate(d.meta, d.source())
	if err != nil {
		t.Fatalf("%v", err)
	}
	for i, p := range problems {
		if i == 10 {
			t.Errorf("... and %d more", len(problems)-i)
			break
		}
		t.Errorf("validator: %s", p)
	}
	s, err := NewState(d.meta)
	if err != nil {
		t.Fatalf("%v", err)
	}
	for i := range d.log {
		s.Apply(&d.log[i])
	}
	if !s.Equal(&d.m.State) {
		t.Errorf("the events give another state than the machine's:\n%s\nmachine:\n%s", s.Describe(), d.m.Describe())
	}
	snap, err := s.AppendBinary(nil)
	if err != nil {
		t.Fatalf("%v", err)
	}
	var back State
	if err := back.UnmarshalBinary(snap); err != nil {
		t.Errorf("the snapshot does not read back: %v", err)
		return
	}
	if again, _ := back.AppendBinary(nil); !bytes.Equal(again, snap) || back.Describe() != s.Describe() {
		t.Errorf("the snapshot reads back as another state:\n%s\nwant:\n%s", back.Describe(), s.Describe())
	}
}
