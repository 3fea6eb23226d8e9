package around

import (
	"cmp"
	"slices"

	"github.com/evtrace/evtrace/evtchn"
)

// edit is a change that can be made to a run, and where in it.
type edit struct {
	change Change
	at     evtchn.Time // from then on the run differs
	first  int         // the step, among those of the view
	then   int
}

// finder looks for the changes that can be made to a run.
type finder struct {
	v      *view
	bits   int
	from   evtchn.Seq  // window: steps that may be held back, or that another may be held back for
	until  evtchn.Seq  //
	port   evtchn.Port // whose contexts may be preempted; NoPort: all of the window
	length evtchn.Time
	vcpus  map[int]bool
}

func (f *finder) inside(s *step) bool { return s.ev.Seq >= f.from && s.ev.Seq <= f.until }

// reorders finds the pairs of dependent steps, of which one at least is of the window, that could come the other way round: the later
// one does not come of the earlier. Of each step and each other context, it is the nearest.
func (f *finder) reorders() []edit {
	type pair struct{ i, j int }
	var pairs []pair
	steps := f.v.steps
	type later struct{ who, j int }
	last := make(map[later]int) // the nearest step before the window that conflicts with j
	matter := make([][]access, len(steps))
	for i := range steps {
		for _, a := range steps[i].access {
			if f.matters(&a) && !steps[i].who.input {
				matter[i] = append(matter[i], a)
			}
		}
	}
	o := newOffspring(steps)
	met := make([]int, len(o.actor))
	for i := range steps {
		if len(matter[i]) == 0 || steps[i].ev.Seq > f.until {
			continue
		}
		in := f.inside(&steps[i])
		o.of(i)
		for j := i + 1; j < len(steps) && (in || steps[j].ev.Seq <= f.until); j++ {
			id := o.ids[j]
			if o.takes(j) || id == o.own || in && met[id] == i+1 || !f.conflict(matter[i], matter[j]) {
				continue
			}
			switch {
			case in:
				met[id] = i + 1
				pairs = append(pairs, pair{i, j})
			case f.inside(&steps[j]):
				last[later{o.own, j}] = i
			}
		}
	}
	for k, i := range last {
		pairs = append(pairs, pair{i, k.j})
	}
	slices.SortFunc(pairs, func(a, b pair) int { return cmp.Or(a.i-b.i, a.j-b.j) })
	pairs = slices.Compact(pairs)
	edits := make([]edit, 0, len(pairs))
	for _, p := range pairs {
		a, b := &steps[p.i], &steps[p.j]
		edits = append(edits, edit{Change{Kind: Reorder, First: a.ev, Then: b.ev, Turn: a.who.turn, Which: a.who.which}, a.ev.Time, p.i, p.j})
	}
	return edits
}

func (f *finder) conflict(a, b []access) bool {
	for _, x := range a {
		for _, y := range b {
			if x.conflicts(y, f.bits) {
				return true
			}
		}
	}
	return false
}

// matters reports whether a place has to do with the port: it is the port's or its word's, or a vcpu's that has to do with it.
func (f *finder) matters(a *access) bool {
	if f.port == evtchn.NoPort {
		return true
	}
	switch a.what {
	case plPend, plMask, plAccept, plNotify, plStatus, plOwner, plActive, plReason, plUser:
		return a.port == int(f.port) || a.port == -1-int(f.port)/f.bits
	case plSel:
		return a.port == allWords || a.port == int(f.port)/f.bits
	case plUp, plUmask, plRun, plCPU, plRequest:
		return f.concerned()[a.of]
	}
	return true
}

// concerned are the vcpus that take steps of the window that have to do with the port.
func (f *finder) concerned() map[int]bool {
	if f.vcpus == nil {
		f.vcpus = make(map[int]bool)
		for i := range f.v.steps {
			if s := &f.v.steps[i]; f.inside(s) && s.who.turn == evtchn.TurnVCPU && !s.who.input && f.concerns(s) {
				f.vcpus[s.who.which] = true
			}
		}
	}
	return f.vcpus
}

// offspring is what comes of a step: it cannot come before it. One is used for one step after the other.
type offspring struct {
	steps []step
	ids   []int         // by step: its actor
	vcpus map[int]int   // the actors that are vcpus, by vcpu
	seqs  []int         // by step: the mark of the last step in question that it came of
	who   []int         // by actor: the same
	mark  int           // of the step in question
	own   int           // its actor
	actor map[actor]int // numbers
}

func newOffspring(steps []step) *offspring {
	o := &offspring{steps: steps, vcpus: make(map[int]int), actor: make(map[actor]int)}
	for i := range steps {
		w := steps[i].who
		id, ok := o.actor[w]
		if !ok {
			id = len(o.actor)
			o.actor[w] = id
			if w.turn == evtchn.TurnVCPU && !w.input {
				o.vcpus[w.which] = id
			}
		}
		o.ids = append(o.ids, id)
	}
	o.seqs, o.who = make([]int, len(steps)), make([]int, len(o.actor))
	return o
}

// of makes a step the one in question.
func (o *offspring) of(i int) {
	o.mark++
	o.own = o.ids[i]
	o.seqs[i] = o.mark
	o.sets(&o.steps[i].ev)
}

// sets notes whom a step of these lets go on.
func (o *offspring) sets(ev *evtchn.Event) {
	if ev.Kind == evtchn.KindRun || ev.Kind == evtchn.KindKick && ev.Res == 1 {
		if id, ok := o.vcpus[int(ev.Target())]; ok {
			o.who[id] = o.mark
		}
	}
}

// takes reports whether a step comes of the one in question: by its cause, because it is a later one of the same context, or of a vcpu
// that was sent or let go by such a step.
func (o *offspring) takes(j int) bool {
	s := &o.steps[j]
	if s.who.input {
		return false // it comes from outside at its time
	}
	id := o.ids[j]
	if id != o.own && o.who[id] != o.mark {
		at := int(s.ev.Cause) - int(o.steps[0].ev.Seq)
		if s.ev.Cause == 0 || at < 0 || o.seqs[at] != o.mark {
			return false
		}
	}
	o.seqs[j] = o.mark
	if id != o.own {
		o.who[id] = o.mark
	}
	o.sets(&s.ev)
	return true
}

// stops finds the steps of the window before which somebody can be kept waiting: the vcpus that have to do with the port, and what kicks
// and wakes them and sends to it.
func (f *finder) stops() []edit {
	steps := f.v.steps
	about := make(map[actor]bool)
	for i := range steps {
		if s := &steps[i]; f.inside(s) && !s.who.input && f.concerns(s) {
			about[s.who] = true
		}
	}
	var edits []edit
	for i := range steps {
		s := &steps[i]
		if !f.inside(s) || s.who.input || !about[s.who] || i > 0 && steps[i-1].who == s.who && steps[i-1].turns == s.turns {
			continue
		}
		c := Change{Kind: Hold, First: s.ev, For: f.length, Turn: s.who.turn, Which: s.who.which}
		if s.who.turn == evtchn.TurnVCPU {
			c.Kind = Preempt
		}
		edits = append(edits, edit{c, s.ev.Time, i, -1})
	}
	return edits
}

func (f *finder) concerns(s *step) bool {
	if f.port == evtchn.NoPort || s.ev.Port == f.port {
		return true
	}
	for _, a := range s.access {
		if a.what.wordwise() && a.port == -1-int(f.port)/f.bits {
			return true
		}
	}
	return s.who.turn != evtchn.TurnVCPU // what is on its way within a window is part of the story
}

// swaps finds the inputs that follow each other, of which one at least is of the window, or between which it lies.
func (f *finder) swaps() []edit {
	var edits []edit
	last := -1
	for i := range f.v.steps {
		s := &f.v.steps[i]
		if !s.ev.Input() || timing(s.ev.Kind) || s.ev.Kind == evtchn.KindEnd {
			continue
		}
		if last >= 0 {
			a := &f.v.steps[last]
			if a.ev.Seq <= f.until && s.ev.Seq >= f.from {
				edits = append(edits, edit{Change{Kind: Swap, First: a.ev, Then: s.ev}, a.ev.Time, last, i})
			}
		}
		last = i
	}
	return edits
}

// timing reports whether an input is a decision of the scheduler about one turn.
func timing(k evtchn.Kind) bool { return k == evtchn.KindHold || k == evtchn.KindRelease }

// all gives every change, in the order of the steps that are held back.
func (f *finder) all() []edit {
	edits := slices.Concat(f.reorders(), f.swaps(), f.stops())
	slices.SortStableFunc(edits, func(a, b edit) int { return cmp.Compare(a.first, b.first) })
	return edits
}

// apply makes the change in a list of inputs, and gives a new one.
func (f *finder) apply(inputs []evtchn.Event, e *edit) []evtchn.Event {
	c := &e.change
	first := &f.v.steps[e.first]
	in := slices.Clone(inputs)
	switch c.Kind {
	case Reorder:
		then := &f.v.steps[e.then]
		in = insert(in, turnInput(evtchn.KindHold, c, first.ev.Time, first.turns))
		// What was held has had no turns, so this comes no earlier than right after the second step, and within its nanosecond.
		return insert(in, turnInput(evtchn.KindRelease, c, then.ev.Time, then.turns+1))
	case Hold:
		in = insert(in, turnInput(evtchn.KindHold, c, first.ev.Time, first.turns))
		return insert(in, turnInput(evtchn.KindRelease, c, first.ev.Time+c.For, 0))
	case Preempt:
		return insert(in, evtchn.Event{Kind: evtchn.KindPreempt, VCPU: evtchn.NoVCPU, Time: first.ev.Time, Flags: evtchn.FlagInput,
			Args: [3]uint64{uint64(c.Which), uint64(c.For)}})
	case Swap:
		i := slices.IndexFunc(in, func(ev evtchn.Event) bool { return same(&ev, &c.First) })
		j := slices.IndexFunc(in, func(ev evtchn.Event) bool { return same(&ev, &c.Then) })
		if i >= 0 && j >= 0 {
			in[i], in[j] = in[j], in[i]
			in[i].Time, in[j].Time = c.First.Time, c.Then.Time
		}
	}
	return in
}

// same compares what inputs ask for, not what came of them.
func same(a, b *evtchn.Event) bool {
	return a.Time == b.Time && a.Kind == b.Kind && a.Seq == b.Seq
}

func turnInput(k evtchn.Kind, c *Change, at evtchn.Time, turns uint64) evtchn.Event {
	return evtchn.Event{Kind: k, VCPU: evtchn.NoVCPU, Time: at, Flags: evtchn.FlagInput, Args: [3]uint64{uint64(c.Turn), uint64(c.Which), turns}}
}

// insert puts an input at its time: after others of that time, but a decision about a turn never before those that wait for fewer turns,
// and nothing else behind a decision that would keep it waiting.
func insert(in []evtchn.Event, ev evtchn.Event) []evtchn.Event {
	i, _ := slices.BinarySearchFunc(in, ev, func(a, b evtchn.Event) int {
		switch {
		case a.Time != b.Time:
			return cmp.Compare(a.Time, b.Time)
		case !timing(a.Kind), timing(b.Kind) && a.Args[2] <= b.Args[2]:
			return -1
		}
		return 1
	})
	return slices.Insert(in, i, ev)
}
