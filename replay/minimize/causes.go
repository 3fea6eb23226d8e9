package minimize

import (
	"io"
	"slices"

	"github.com/evtrace/evtrace/evtchn"
)

// Concern is what a finding rests on.
type Concern struct {
	Ports []evtchn.Port // it, and the port that rescued it
	Steps []evtchn.Seq  // its evidence
	Until evtchn.Seq    // the last event that matters
}

// Guesses reads a recording and guesses which of its inputs a finding needs, the smallest set first: what concerns its ports, its vcpus and
// its tasks; then the causes of its evidence with them; then more and more of what came last. Sets are lists of indexes into the
// recording's inputs, in order. A guess need not be right: Inputs tries it. Errors are those of the source.
func Guesses(src evtchn.Source, c Concern) ([][]int, error) {
	g := guesser{ports: c.Ports, steps: slices.Clone(c.Steps), last: make(map[[2]int32]evtchn.Seq), taskOn: make(map[evtchn.VCPU]evtchn.Context),
		tasks: make(map[evtchn.Context]bool), ends: make(map[[2]uint64]bool), inputAt: make(map[evtchn.Seq]int)}
	slices.Sort(g.steps)
	var ev evtchn.Event
	for {
		if err := src.Next(&ev); err == io.EOF || err == nil && c.Until != 0 && ev.Seq > c.Until {
			return g.guesses(), nil
		} else if err != nil {
			return nil, err
		}
		g.add(&ev)
	}
}

// guesser reads a recording.
type guesser struct {
	ports []evtchn.Port
	steps []evtchn.Seq // in order

	parent  []evtchn.Seq // by number of the event, from 1: what made it happen, 0: not known
	inputs  []evtchn.Event
	inputAt map[evtchn.Seq]int
	last    map[[2]int32]evtchn.Seq // by vcpu and context
	taskOn  map[evtchn.VCPU]evtchn.Context

	// What the evidence names.
	vcpus evtchn.VCPUSet
	tasks map[evtchn.Context]bool
	ends  map[[2]uint64]bool // state and peer of the binds of the ports
	doms  []uint64
	roots []evtchn.Seq // events whose causes matter
}

func (g *guesser) add(ev *evtchn.Event) {
	ctx := [2]int32{int32(ev.VCPU), int32(ev.Ctx)}
	cause := ev.Cause
	if cause == 0 && ev.Ctx.Class() != evtchn.CtxNone {
		cause = g.last[ctx]
	}
	g.last[ctx] = ev.Seq
	for evtchn.Seq(len(g.parent)) < ev.Seq {
		g.parent = append(g.parent, 0)
	}
	g.parent = append(g.parent, cause)
	if ev.Input() {
		g.inputAt[ev.Seq] = len(g.inputs)
		g.inputs = append(g.inputs, *ev)
	}
	if ev.Ctx.Class() == evtchn.CtxTask && ev.VCPU >= 0 {
		g.taskOn[ev.VCPU] = ev.Ctx
	}
	_, wanted := slices.BinarySearch(g.steps, ev.Seq)
	switch ev.Kind {
	case evtchn.KindPortBind, evtchn.KindPortVCPU, evtchn.KindOwnerWrite, evtchn.KindUserSet:
		wanted = wanted || slices.Contains(g.ports, ev.Port)
	}
	if wanted {
		g.note(ev)
	}
}

// note keeps whom an event of the evidence names.
func (g *guesser) note(ev *evtchn.Event) {
	g.roots = append(g.roots, ev.Seq)
	for _, v := range []evtchn.VCPU{ev.VCPU, ev.Target()} {
		if v >= 0 && v < evtchn.MaxVCPUs {
			g.vcpus.Add(v)
		}
	}
	if ev.Ctx.Class() == evtchn.CtxTask {
		g.tasks[ev.Ctx] = true
	} else if t, ok := g.taskOn[ev.VCPU]; ok && ev.Ctx.Class() == evtchn.CtxXen {
		g.tasks[t] = true
	}
	switch ev.Kind {
	case evtchn.KindUserSet:
		g.tasks[evtchn.TaskCtx(int(ev.Args[0]))] = true
	case evtchn.KindPortBind:
		g.ends[[2]uint64{ev.Args[0], ev.Args[2]}] = true
		if v := evtchn.VCPU(int16(ev.Args[1])); v >= 0 && v < evtchn.MaxVCPUs {
			g.vcpus.Add(v)
		}
		if evtchn.PortStatus(ev.Args[0]) == evtchn.PortInterdomain {
			g.doms = append(g.doms, ev.Args[2]>>32)
		}
	}
}

// concerned reports whether an input is about the ports, the vcpus or the tasks of the evidence.
func (g *guesser) concerned(ev *evtchn.Event) bool {
	switch ev.Kind {
	case evtchn.KindStart:
		return g.vcpus.Has(ev.Target())
	case evtchn.KindMove:
		return g.tasks[evtchn.TaskCtx(int(ev.Args[1]))]
	case evtchn.KindHold, evtchn.KindRelease:
		return true
	case evtchn.KindOp:
		a, port := ev.Args[1], func(s evtchn.PortStatus, peer uint64) bool { return g.ends[[2]uint64{uint64(s), peer}] }
		switch evtchn.OpCode(ev.Args[0]) {
		case evtchn.OpBindRemote, evtchn.OpBindDriver:
			return port(evtchn.PortInterdomain, a<<32|ev.Args[2])
		case evtchn.OpBindPIRQ:
			return port(evtchn.PortPIRQ, a)
		case evtchn.OpBindVIRQ:
			return port(evtchn.PortVIRQ, a) && g.vcpus.Has(evtchn.VCPU(ev.Args[2]))
		case evtchn.OpBindIPI:
			return g.vcpus.Has(evtchn.VCPU(a)) && port(evtchn.PortIPI, 0)
		case evtchn.OpAllocUnbound, evtchn.OpBindUnbound:
			return false
		case evtchn.OpAffinity:
			return slices.Contains(g.ports, ev.Port) || slices.Contains(g.doms, ev.Args[2])
		}
		return g.tasks[ev.Ctx] || slices.Contains(g.ports, ev.Port)
	}
	return false
}

// guesses puts the sets together.
func (g *guesser) guesses() [][]int {
	n := len(g.inputs)
	in := make([]bool, n)
	var sets [][]int
	size := 0
	give := func() {
		var set []int
		for i, ok := range in {
			if ok {
				set = append(set, i)
			}
		}
		if len(set) > size {
			size = len(set)
			sets = append(sets, set)
		}
	}
	for i := range g.inputs {
		in[i] = g.concerned(&g.inputs[i])
	}
	give()
	for _, seq := range g.roots {
		if i := g.root(seq); i >= 0 {
			in[i] = true
		}
	}
	give()
	for i := range g.inputs { // whoever was told may have had to be up, and to have its timer and its IPI
		ev := &g.inputs[i]
		if v := placeOf(ev); ev.Kind == evtchn.KindOp && v >= 0 && g.vcpus.Has(v) || ev.Kind == evtchn.KindStart {
			in[i] = true
		}
	}
	give()
	for i := range g.inputs {
		in[i] = in[i] || g.inputs[i].Kind == evtchn.KindOp
	}
	give()
	for back := 16; back < n; back *= 8 {
		for i := n - back; i < n; i++ {
			in[i] = true
		}
		give()
	}
	return sets
}

// root is the input that an event goes back to, -1: it is not known.
func (g *guesser) root(seq evtchn.Seq) int {
	for seq != 0 {
		if i, ok := g.inputAt[seq]; ok {
			return i
		}
		if p := g.parent[seq]; p < seq {
			seq = p
			continue
		}
		break
	}
	return -1
}
