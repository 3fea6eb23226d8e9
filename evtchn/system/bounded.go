package system

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/evtrace/evtrace/evtchn"
)

// Bounded is a system without times that is small enough to have all its schedules explored: nothing in it goes on for ever by
// itself. What it begins with, the Machine at rest with its vcpus up and some ports bound, is followed by everything that its
// tasks and senders can do, in every order. It is the part of a scenario whose kind is bounded.
type Bounded struct {
	IPIs    bool // every vcpu has a port for reschedule IPIs, which wake-ups of tasks use
	Sleep   bool // a vcpu with nothing to do may go to sleep; otherwise it stays in the guest
	Ticks   int  // ticks that may come to each vcpu at any time; with any, every vcpu ticks once more before something counts as lost
	Preempt int  // how often, in all, a vcpu may lose its physical CPU
	Ports   []BoundedPort
	Tasks   []BoundedTask
}

// BoundedPort is a port of a bounded system.
type BoundedPort struct {
	Name   string
	Origin PortOrigin
	Bound  bool // when all begins; otherwise a task binds it
	Owner  int  // the vcpu that it is bound to, if it is
	User   int  // the task that has it open through /dev/xen/evtchn, -1: a driver's interrupt handler
	Sends  int  // how many events come from outside, at any time, in any number at once
}

// PortOrigin is what rings a port of a bounded system.
type PortOrigin uint8

// The origins.
const (
	FromRemote PortOrigin = iota // another domain, through an interdomain channel
	FromPIRQ                     // a device, by a physical interrupt
	FromIPI                      // the other vcpus: the owner's port for reschedule IPIs
)

var (
	origins  = []string{FromRemote: "remote", FromPIRQ: "pirq", FromIPI: "ipi"}
	handlers = []string{"irq", "user"}
)

// BoundedTask is a task of a bounded system: operations on one vcpu, one after the other.
type BoundedTask struct {
	Name   string
	OnVCPU int
	Ops    []BoundedOp
}

// BoundedOp is one operation.
type BoundedOp struct {
	Verb Verb
	Port int // index into Bounded.Ports, -1: none
	VCPU int // argument of move and ipi
	Name string
}

// Verb is what a task of a bounded system does.
type Verb uint8

// The verbs.
const (
	VerbBind   Verb = iota // binds the port, for a driver or for the device file
	VerbServe              // for ever: waits for the port in select, reads it, looks at its data, writes it back
	VerbMove               // moves the port to a vcpu
	VerbMask               // the driver masks the port
	VerbUnmask             // the driver unmasks it
	VerbClose              // closes it
	VerbNotify             // sends through it
	VerbPoll               // sleeps in SCHEDOP_poll until the port is pending
	VerbIPI                // sends an IPI to a vcpu
)

var verbs = []struct {
	name       string
	port, vcpu bool
}{VerbBind: {"bind", true, false}, VerbServe: {"serve", true, false}, VerbMove: {"move", true, true}, VerbMask: {"mask", true, false},
	VerbUnmask: {"unmask", true, false}, VerbClose: {"close", true, false}, VerbNotify: {"notify", true, false},
	VerbPoll: {"poll", true, false}, VerbIPI: {"ipi", false, true}}

// String gives the verb as a file has it.
func (v Verb) String() string { return verbs[v].name }

// maxBounded are the most vcpus, ports, tasks and such that a bounded system has: beyond that nothing can be exhausted.
const maxBounded = 8

// maxPaths are the most vcpus, sends and ticks together, maxOps the most operations of a task.
const (
	maxPaths = 31
	maxOps   = 15
)

// opsText is a task's operations as a file has them.
type opsText []BoundedOp

const opsForm = "operations with ; between them, such as bind hot; unmask hot; move hot 1"

// parseOps reads "bind hot; move hot 1". It returns what is wrong, or "".
func (o *opsText) parse(text string) string {
	*o = nil
	for _, part := range strings.Split(text, ";") {
		words := strings.Fields(part)
		if len(words) == 0 {
			return fmt.Sprintf("got %s, which has an empty operation, want %s", quote(text), opsForm)
		}
		at := slices.IndexFunc(verbs, func(v struct {
			name       string
			port, vcpu bool
		}) bool {
			return v.name == words[0]
		})
		if at < 0 {
			names := make([]string, len(verbs))
			for i := range verbs {
				names[i] = verbs[i].name
			}
			return fmt.Sprintf("got operation %s%s, want %s", quote(words[0]), evtchn.Suggest(words[0], names), list(names, "or"))
		}
		v := verbs[at]
		op := BoundedOp{Verb: Verb(at), Port: -1}
		want, args := v.name, words[1:]
		if v.port {
			want += " PORT"
		}
		if v.vcpu {
			want += " VCPU"
		}
		if v.port && len(args) > 0 {
			op.Name, args = args[0], args[1:]
		} else if v.port {
			return fmt.Sprintf("got operation %s, want %s", quote(strings.TrimSpace(part)), want)
		}
		if v.vcpu {
			n, err := -1, error(nil)
			if len(args) > 0 {
				n, err = strconv.Atoi(args[0])
				args = args[1:]
			}
			if err != nil || n < 0 || n >= maxBounded {
				return fmt.Sprintf("got operation %s, want %s, with a vcpu from 0 to %d", quote(strings.TrimSpace(part)), want, maxBounded-1)
			}
			op.VCPU = n
		}
		if len(args) > 0 {
			return fmt.Sprintf("got operation %s, want %s", quote(strings.TrimSpace(part)), want)
		}
		*o = append(*o, op)
	}
	if len(*o) > maxOps {
		return fmt.Sprintf("got %d operations, want at most %d", len(*o), maxOps)
	}
	return ""
}

// fromTable is a field that scenarios of both kinds have.
func fromTable(key string, change func(f *field)) field {
	for i := range table {
		if table[i].key == key {
			f := table[i]
			if change != nil {
				change(&f)
			}
			return f
		}
	}
	panic("system: internal error: no field " + key)
}

// boundedTable are the keys of a bounded scenario.
var boundedTable = []field{
	fromTable("name", nil), fromTable("about", nil), fromTable("story", nil), fromTable("source", nil),
	fromTable("kind", func(f *field) { f.required, f.def = true, "" }),
	fromTable("vcpus", func(f *field) { f.def, f.hi = "2", maxBounded }),
	fromTable("word_bits", func(f *field) { f.def = "8" }),
	fromTable("first_port", func(f *field) {
		f.hi, f.doc = 63, "the first port that the ports below get: lower ones are in use; 0: as it comes"
	}),
	fromTable("policy", func(f *field) { f.doc = "policy to explore, unless the command line names one" }),
	{key: "ipis", def: "true", doc: "every vcpu has a port for reschedule IPIs, by which a task is woken on another vcpu",
		at: func(sc *Scenario, _ int) any { return &sc.Bounded.IPIs }},
	{key: "sleep", def: "true", doc: "a vcpu with nothing to do may go to sleep at any time; false: it stays in the guest, busy with what concerns no port",
		at: func(sc *Scenario, _ int) any { return &sc.Bounded.Sleep }},
	{key: "ticks", def: "0", lo: 1, hi: maxBounded, zero: true, doc: "ticks that may come to each vcpu at any time. With any, every vcpu ticks once more before something counts as lost, since ticks never end; 0: there is no timer, unless the policy relies on it",
		at: func(sc *Scenario, _ int) any { return &sc.Bounded.Ticks }},
	{key: "preempt", def: "0", lo: 1, hi: maxBounded, zero: true, doc: "how often, in all, a vcpu may lose its physical CPU, at any time and for any time",
		at: func(sc *Scenario, _ int) any { return &sc.Bounded.Preempt }},
	{key: "ports", doc: "the ports that matter", sub: boundedPortFields,
		grow: func(sc *Scenario) int {
			sc.Bounded.Ports = append(sc.Bounded.Ports, BoundedPort{})
			return len(sc.Bounded.Ports) - 1
		}},
	{key: "tasks", doc: "what runs in the traced domain", sub: boundedTaskFields,
		grow: func(sc *Scenario) int {
			sc.Bounded.Tasks = append(sc.Bounded.Tasks, BoundedTask{})
			return len(sc.Bounded.Tasks) - 1
		}},
}

var boundedPortFields = []field{
	{key: "name", required: true, doc: "what operations call the port",
		at: func(sc *Scenario, i int) any { return (*nameText)(&sc.Bounded.Ports[i].Name) }},
	{key: "from", def: "remote", words: origins, doc: "remote: another domain sends on its end of the channel; pirq: a device interrupts; ipi: the owner's port for reschedule IPIs",
		at: func(sc *Scenario, i int) any { return &sc.Bounded.Ports[i].Origin }},
	{key: "bound", def: "true", doc: "bound, handled and unmasked when all begins; false: a task binds it. What another domain sends before is dropped",
		at: func(sc *Scenario, i int) any { return &sc.Bounded.Ports[i].Bound }},
	{key: "owner", def: "0", lo: 0, hi: maxBounded - 1, doc: "the vcpu that it is bound to when all begins; one that a task binds starts on 0",
		at: func(sc *Scenario, i int) any { return &sc.Bounded.Ports[i].Owner }},
	{key: "handler", def: "irq", words: handlers, doc: "irq: a driver's interrupt handler; user: /dev/xen/evtchn, for the task that serves the port",
		at: func(sc *Scenario, i int) any { return (*handlerWord)(&sc.Bounded.Ports[i].User) }},
	{key: "sends", def: "0", lo: 0, hi: maxBounded, doc: "how many events come from outside, at any time, one or more at once",
		at: func(sc *Scenario, i int) any { return &sc.Bounded.Ports[i].Sends }},
}

var boundedTaskFields = []field{
	{key: "name", required: true, doc: "what the trace calls the task",
		at: func(sc *Scenario, i int) any { return (*nameText)(&sc.Bounded.Tasks[i].Name) }},
	{key: "on_vcpu", def: "0", lo: 0, hi: maxBounded - 1, doc: "the vcpu that it runs on",
		at: func(sc *Scenario, i int) any { return &sc.Bounded.Tasks[i].OnVCPU }},
	{key: "does", required: true, doc: "its operations: bind PORT; serve PORT (for ever: select, read, look at the data, write back); move PORT VCPU; mask PORT; unmask PORT; close PORT; notify PORT; poll PORT; ipi VCPU. One about a port waits until the port is bound",
		at: func(sc *Scenario, i int) any { return (*opsText)(&sc.Bounded.Tasks[i].Ops) }},
}

// handlerWord is irq or user: the number of the user is found when all tasks are known.
type handlerWord int

// bounded checks what depends on more than one field of a bounded scenario, and finds the ports that operations name.
func (p *parser) bounded() {
	sc, b := p.sc, p.sc.Bounded
	if len(b.Ports) == 0 {
		p.at("ports", "none, want at least one: there is nothing to explore")
	}
	for _, l := range []struct {
		key string
		n   int
	}{{"ports", len(b.Ports)}, {"tasks", len(b.Tasks)}} {
		if l.n > maxBounded {
			p.at(l.key, "got %d, want at most %d: what is bigger cannot be exhausted", l.n, maxBounded)
		}
	}
	index := make(map[string]int)
	for i := range b.Ports {
		port, at := &b.Ports[i], fmt.Sprintf("ports[%d]", i)
		if j, twice := index[port.Name]; twice {
			p.at(at+".name", "got %s, which is the name of ports[%d] too", quote(port.Name), j)
		}
		index[port.Name] = i
		p.place(at+".owner", port.Owner)
		user := port.User == 1
		port.User = -1
		for t := range b.Tasks {
			for _, op := range b.Tasks[t].Ops {
				if user && op.Name == port.Name && op.Verb == VerbServe {
					port.User = t
				}
			}
		}
		switch {
		case user && port.User < 0:
			p.at(at+".handler", "got user, want a task that does serve %s", port.Name)
		case user && port.Origin != FromRemote:
			p.at(at+".handler", "got user, want irq: a port from %s has a handler in the kernel", origins[port.Origin])
		case !port.Bound && port.Origin == FromIPI:
			p.at(at+".bound", "got false, want true: ports for IPIs are bound when their vcpus come up")
		case !port.Bound && port.Origin == FromPIRQ:
			p.at(at+".bound", "got false, want true: only ports from remote can be bound by a task")
		case !port.Bound && port.Owner != 0:
			p.at(at+".owner", "got %d, want 0: a port that a task binds starts on vcpu 0", port.Owner)
		case port.Origin == FromIPI && port.Sends > 0:
			p.at(at+".sends", "got %d, want 0: IPIs are sent by tasks", port.Sends)
		}
	}
	p.boundedTasks(index)
	paths := sc.VCPUs
	if b.Ticks > 0 {
		paths += sc.VCPUs * (b.Ticks + 1)
	}
	for i := range b.Ports {
		paths += b.Ports[i].Sends
	}
	if paths > maxPaths {
		p.at("ports", "sends and ticks may make %d things happen at once, want at most %d with the vcpus", paths, maxPaths)
	}
	if sc.FirstPort > p.lastPort() {
		p.at("first_port", "got %d, want at most %d, the last port with %d-bit words", sc.FirstPort, p.lastPort(), sc.WordBits)
	}
	own := 0
	if b.IPIs {
		own += sc.VCPUs
	}
	if b.Ticks > 0 {
		own += sc.VCPUs
	}
	if f := int(sc.FirstPort); f > 0 && f <= own {
		p.at("first_port", "got %d, want 0 or more than %d: the vcpus' own ports come first", f, own)
	}
	if need := max(own, int(sc.FirstPort)-1) + len(b.Ports); need > int(p.lastPort()) {
		p.at("word_bits", "got %d, which gives %d ports, want more: the scenario takes %d", sc.WordBits, p.lastPort(), need)
	}
}

func (p *parser) boundedTasks(index map[string]int) {
	b := p.sc.Bounded
	binds := make(map[int]int)
	for i := range b.Tasks {
		t, at := &b.Tasks[i], fmt.Sprintf("tasks[%d]", i)
		p.place(at+".on_vcpu", t.OnVCPU)
		for j := range t.Ops {
			op := &t.Ops[j]
			if op.VCPU >= p.sc.VCPUs {
				p.at(at+".does", "%s to vcpu %d, want 0 to %d", op.Verb, op.VCPU, p.sc.VCPUs-1)
			}
			if !verbs[op.Verb].port {
				if !b.IPIs {
					p.at(at+".does", "ipi without ports for IPIs: ipis is false")
				}
				continue
			}
			port, ok := index[op.Name]
			if !ok {
				p.at(at+".does", "%s %s: no port has that name%s", op.Verb, op.Name, evtchn.Suggest(op.Name, p.portNames()))
				continue
			}
			op.Port = port
			bp := &b.Ports[port]
			switch {
			case op.Verb == VerbServe && j != len(t.Ops)-1:
				p.at(at+".does", "serve %s goes on for ever, want it last", op.Name)
			case op.Verb == VerbServe && bp.User != i:
				p.at(at+".does", "serve %s: want a port with handler: user that no other task serves", op.Name)
			case op.Verb == VerbBind && (bp.Bound || bp.Origin != FromRemote):
				p.at(at+".does", "bind %s: it is bound when all begins, want bound: false", op.Name)
			case op.Verb == VerbBind && bp.User >= 0 && bp.User != i:
				p.at(at+".does", "bind %s: want it bound by the task that serves it", op.Name)
			case op.Verb == VerbBind:
				binds[port]++
			case op.Verb == VerbNotify && bp.Origin != FromRemote:
				p.at(at+".does", "notify %s: want a port from remote", op.Name)
			}
		}
	}
	for i := range b.Ports {
		if n := binds[i]; !b.Ports[i].Bound && n != 1 {
			p.at(fmt.Sprintf("ports[%d].bound", i), "got false, want one task that does bind %s, got %d", b.Ports[i].Name, n)
		}
	}
}

func (p *parser) portNames() []string {
	var names []string
	for i := range p.sc.Bounded.Ports {
		names = append(names, p.sc.Bounded.Ports[i].Name)
	}
	return names
}
