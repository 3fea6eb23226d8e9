package system

import (
	"container/heap"
	"fmt"
	"io"

	"github.com/evtrace/evtrace/evtchn"
)

// layout is what a scenario amounts to: its tasks and domains, numbered.
type layout struct {
	tasks   []taskInfo
	domains []domainInfo
	hot     []hotInfo
	kernel  int // task number of vcpu 0's kernel thread; vcpu v's follows
	balance int
	idle    int
}

type taskInfo struct {
	name   string
	domain int // index into domains, -1: none
	vcpu   evtchn.VCPU
	pinned bool
}

type domainInfo struct {
	id    evtchn.DomID
	group int // index into Scenario.Domains
	task  int
	start evtchn.Time
	rport evtchn.Port
}

type hotInfo struct {
	group int
	pirq  uint64
	dom   evtchn.DomID // of a port on which another domain sends
}

const (
	bootStep = evtchn.Time(10_000) // from one vcpu's coming up to the next
	remoteEv = evtchn.Port(12)     // the port at the other domain's end, as in the report
)

// booted is when all vcpus are up and have bound their timers and IPIs.
func booted(sc *Scenario) evtchn.Time { return bootStep * evtchn.Time(sc.VCPUs) }

// plan numbers a scenario's tasks and domains. It depends on the scenario and the seed alone.
func plan(sc *Scenario, seed uint64) *layout {
	l := &layout{}
	id := evtchn.DomID(1)
	for g := range sc.Domains {
		d := &sc.Domains[g]
		for range d.Count {
			place := stream{seed: seed, who: entPlace + entity(id)}
			v := pick(&place, d.OnVCPU, sc.VCPUs)
			name := "qemu-dm"
			if d.Kind == PV {
				name = "backend"
			}
			l.tasks = append(l.tasks, taskInfo{fmt.Sprintf("%s.%d", name, id), len(l.domains), v, d.Pinned})
			l.domains = append(l.domains, domainInfo{id: id, group: g, task: len(l.tasks) - 1, start: place.within(d.Start), rport: remoteEv})
			id++
		}
	}
	for g := range sc.Hot {
		for range sc.Hot[g].Count {
			h := hotInfo{group: g}
			if sc.Hot[g].PIRQ {
				h.pirq = uint64(16 + len(l.hot))
			} else {
				h.dom = id
				id++
			}
			l.hot = append(l.hot, h)
		}
	}
	l.kernel = len(l.tasks)
	for v := range sc.VCPUs {
		l.tasks = append(l.tasks, taskInfo{fmt.Sprintf("kernel/%d", v), -1, evtchn.VCPU(v), true})
	}
	l.balance = len(l.tasks)
	l.tasks = append(l.tasks, taskInfo{"irqbalance", -1, 0, false})
	l.idle = len(l.tasks)
	l.tasks = append(l.tasks, taskInfo{"idle", -1, 0, true})
	return l
}

func pick(s *stream, want, vcpus int) evtchn.VCPU {
	switch {
	case want >= 0:
		return evtchn.VCPU(want)
	case want == OtherVCPU && vcpus > 1:
		return evtchn.VCPU(1 + s.below(vcpus-1))
	}
	return evtchn.VCPU(s.below(vcpus))
}

// Inputs gives what reaches the scenario's system from outside, in order: booting, ticks, interrupts, sends of domains that do
// not wait for an answer, starts of device models, moves, preemptions, and the end. Every event has FlagInput, no Seq.
func Inputs(sc *Scenario, seed uint64) evtchn.Source {
	l := plan(sc, seed)
	g := &generators{end: sc.Duration}
	g.boot(sc, l)
	for v := range sc.VCPUs {
		if sc.Tick > 0 {
			// Ticks of the vcpus are spread over the period, as Xen's periodic timers are.
			first := max(1_000_000, booted(sc)) + sc.Tick*evtchn.Time(v)/evtchn.Time(sc.VCPUs)
			g.add(&generator{at: first, every: Span{sc.Tick, sc.Tick}, ev: evtchn.Event{Kind: evtchn.KindVIRQ, VCPU: evtchn.NoVCPU,
				Args: [3]uint64{uint64(v), evtchn.VIRQTimer}}})
		}
		if sc.Preempt.Every.Max > 0 {
			p := sc.Preempt
			g.add(&generator{draw: stream{seed: seed, who: entPreempt + entity(v)}, every: p.Every, wait: true,
				ev:   evtchn.Event{Kind: evtchn.KindPreempt, VCPU: evtchn.NoVCPU, Args: [3]uint64{uint64(v)}},
				vary: func(s *stream, ev *evtchn.Event) { ev.Args[1] = uint64(s.within(p.For)) }})
		}
	}
	for i, h := range l.hot {
		hot := &sc.Hot[h.group]
		ev := evtchn.Event{Kind: evtchn.KindSend, VCPU: evtchn.NoVCPU, Args: [3]uint64{uint64(h.dom)}}
		if hot.PIRQ {
			ev = evtchn.Event{Kind: evtchn.KindPIRQ, VCPU: evtchn.NoVCPU, Args: [3]uint64{h.pirq}}
		}
		g.add(&generator{draw: stream{seed: seed, who: entHot + entity(i)}, at: max(hot.From, 2_000_000), every: hot.Every, until: hot.Until, wait: true, ev: ev})
	}
	if sc.Balance.Every.Max > 0 && len(l.domains) > 0 {
		g.add(&generator{draw: stream{seed: seed, who: entBalance}, at: 2_000_000, every: sc.Balance.Every, wait: true,
			ev: evtchn.Event{Kind: evtchn.KindOp, Ctx: evtchn.TaskCtx(l.balance), Args: [3]uint64{uint64(evtchn.OpAffinity)}},
			vary: func(s *stream, ev *evtchn.Event) {
				ev.VCPU = pick(s, sc.Balance.OnVCPU, sc.VCPUs)
				ev.Args[1] = uint64(s.below(sc.VCPUs))
				ev.Args[2] = uint64(l.domains[s.below(len(l.domains))].id)
			}})
	}
	if sc.Migrate.Every.Max > 0 {
		var movable []int
		for t := range l.tasks {
			if !l.tasks[t].pinned && l.tasks[t].domain >= 0 {
				movable = append(movable, t)
			}
		}
		if len(movable) > 0 {
			g.add(&generator{draw: stream{seed: seed, who: entMigrate}, at: 2_000_000, every: sc.Migrate.Every, wait: true,
				ev: evtchn.Event{Kind: evtchn.KindMove, VCPU: evtchn.NoVCPU},
				vary: func(s *stream, ev *evtchn.Event) {
					ev.Args = [3]uint64{uint64(s.below(sc.VCPUs)), uint64(movable[s.below(len(movable))])}
				}})
		}
	}
	g.add(&generator{at: sc.Duration, once: true, ev: evtchn.Event{Kind: evtchn.KindEnd, VCPU: evtchn.NoVCPU}})
	heap.Init(g)
	return g
}

// boot lists what happens at the start: vcpus come up one by one and bind their timers and IPIs, vcpu 0 binds the drivers'
// ports, and device models and backends are started at their times.
func (g *generators) boot(sc *Scenario, l *layout) {
	input := func(at evtchn.Time, ev evtchn.Event) {
		g.add(&generator{at: at, once: true, ev: ev})
	}
	op := func(at evtchn.Time, task int, v evtchn.VCPU, op evtchn.OpCode, port evtchn.Port, a, b uint64) {
		input(at, evtchn.Event{Kind: evtchn.KindOp, VCPU: v, Ctx: evtchn.TaskCtx(task), Port: port, Args: [3]uint64{uint64(op), a, b}})
	}
	next := evtchn.Port(1)
	for v := range sc.VCPUs {
		at := bootStep * evtchn.Time(v)
		input(at, evtchn.Event{Kind: evtchn.KindStart, VCPU: evtchn.NoVCPU, Args: [3]uint64{uint64(v)}})
		op(at, l.kernel+v, evtchn.VCPU(v), evtchn.OpBindVIRQ, 0, evtchn.VIRQTimer, uint64(v))
		op(at, l.kernel+v, evtchn.VCPU(v), evtchn.OpBindIPI, 0, uint64(v), 0)
		next += 2
	}
	var lastStart evtchn.Time
	for i := range l.domains {
		lastStart = max(lastStart, l.domains[i].start)
	}
	bindHot := func(at evtchn.Time, h *hotInfo) {
		hot := &sc.Hot[h.group]
		if hot.PIRQ {
			op(at, l.kernel, 0, evtchn.OpBindPIRQ, 0, h.pirq, 0)
		} else {
			op(at, l.kernel, 0, evtchn.OpBindDriver, 0, uint64(h.dom), uint64(remoteEv))
		}
	}
	for i := range l.hot {
		if h := &l.hot[i]; !sc.Hot[h.group].Late {
			bindHot(booted(sc), h)
			if v := sc.Hot[h.group].OnVCPU; v > 0 {
				op(booted(sc), l.kernel, 0, evtchn.OpAffinity, next, uint64(v), 0)
			}
			next++
		}
	}
	for ; next < sc.FirstPort; next++ {
		op(booted(sc), l.kernel, 0, evtchn.OpAllocUnbound, 0, 0, 0)
	}
	for i := range l.domains {
		d := &l.domains[i]
		t := &l.tasks[d.task]
		code := evtchn.OpBindRemote
		if sc.Domains[d.group].Kind == PV {
			code = evtchn.OpBindDriver
		}
		op(d.start, d.task, t.vcpu, code, 0, uint64(d.id), uint64(d.rport))
	}
	for i := range l.hot {
		if h := &l.hot[i]; sc.Hot[h.group].Late {
			bindHot(lastStart+1_000_000, h)
		}
	}
}

// generator makes the inputs of one origin.
type generator struct {
	at    evtchn.Time
	every Span
	until evtchn.Time // 0: to the end
	once  bool
	wait  bool // the first event comes one period after at
	ev    evtchn.Event
	draw  stream
	vary  func(s *stream, ev *evtchn.Event)
	order int
}

// generators merges them by time.
type generators struct {
	gs    []*generator
	added int
	end   evtchn.Time
}

func (g *generators) add(n *generator) {
	if n.wait {
		n.at += n.draw.within(n.every)
	}
	n.order = g.added
	g.added++
	g.gs = append(g.gs, n)
}

func (g *generators) Len() int { return len(g.gs) }
func (g *generators) Less(i, j int) bool {
	a, b := g.gs[i], g.gs[j]
	return a.at < b.at || a.at == b.at && a.order < b.order
}
func (g *generators) Swap(i, j int) { g.gs[i], g.gs[j] = g.gs[j], g.gs[i] }
func (g *generators) Push(x any)    { g.gs = append(g.gs, x.(*generator)) }
func (g *generators) Pop() any {
	n := g.gs[len(g.gs)-1]
	g.gs = g.gs[:len(g.gs)-1]
	return n
}

// Next gives the next input.
func (g *generators) Next(ev *evtchn.Event) error {
	for len(g.gs) > 0 {
		n := g.gs[0]
		*ev = n.ev
		ev.Time = n.at
		if n.at > g.end || n.until > 0 && n.at > n.until {
			heap.Pop(g)
			continue
		}
		ev.Flags |= evtchn.FlagInput
		if n.vary != nil {
			n.vary(&n.draw, ev)
		}
		if n.once || n.every.Max <= 0 {
			heap.Pop(g)
		} else {
			n.at += max(1, n.draw.within(n.every))
			heap.Fix(g, 0)
		}
		return nil
	}
	return io.EOF
}
