package explore

import "github.com/evtrace/evtrace/evtchn"

// block is a run of states of one level: consecutive numbers.
type block struct {
	first uint32
	n     int
	rows  []byte // written by appendRow, one after the other
}

const (
	blockStates = 256
	batchBlocks = 64
	groupStates = 16 // that are asked about at once: see worker.ask
)

// candidate is a state that was reached and is not known from earlier batches.
type candidate struct {
	print  print
	parent uint32
	from   uint32 // where its row begins among the rows of its block's outcome
	n      uint16
	how    Choice
	isNew  bool // it was not in another block's outcome before: set by fill
}

// outcome is what came of a block.
type outcome struct {
	found []candidate // in the order in which they were reached
	rows  []byte
	to    [shards][]uint32 // of found: by shard
}

// worker is what one goroutine needs.
type worker struct {
	s *search
	k *writer

	// Finding out effects: see effect.go.
	fresh  *answers
	learnt []answer
	try    *World          // that things are tried in
	base   *evtchn.Machine // one that has the shared part at, if loaded, and no contexts
	at     partID
	loaded bool
	origin []partID // the states of vcpus at the origin
	ids    []partID
	alone  alone

	group row   // the rows of states that are looked at one after the other
	ends  []int // of each of them in group

	// The state in hand.
	row, next row
	prints    []print            // of the parts of row
	nexts     []print            // of the parts of next
	steps     [maxWho + 1]effect // by context: its step
	choices   []Choice

	recent [recentPrints]print // reached by this worker in this batch
	rows   []partID            // of what was reached, one after the other
	sink   uint64

	trans    uint64
	rest     uint64
	lostRest uint64
	expanded uint64
	found    [8]*violation
}

// recentPrints is how many fingerprints a worker remembers of those that it has just met: most states that are reached again are
// reached soon, and are kept from the table, which is seldom in a cache.
const recentPrints = 1 << 11

func newWorker(s *search, b *books) *worker {
	w := &worker{s: s, k: newWriter(b), fresh: newAnswers(6, 1<<16), try: s.sys.Start()}
	w.base = w.try.m.Clone()
	for v := range w.base.V {
		w.origin = append(w.origin, w.k.putVCPU(w.base, v))
	}
	return w
}

// expand finds out what follows each state of a block.
func (w *worker) expand(b *block, out *outcome) {
	out.found, out.rows, w.rows = out.found[:0], out.rows[:0], w.rows[:0]
	for i := range out.to {
		out.to[i] = out.to[i][:0]
	}
	rows := b.rows
	for i := 0; i < b.n; i += groupStates {
		n := min(groupStates, b.n-i)
		w.group, w.ends = w.group[:0], w.ends[:0]
		for range n {
			from := len(w.group)
			w.group, rows = w.k.readRow(w.group, rows)
			w.ends = append(w.ends, len(w.group))
			w.ask(w.group[from:])
		}
		from := 0
		for j, to := range w.ends {
			w.row = w.group[from:to]
			w.state(b.first+uint32(i+j), out)
			from = to
		}
	}
	w.expanded += uint64(b.n)
	w.sift(out)
}

// stepOf gives the question what the step of a context does.
func (w *worker) stepOf(r row, c int, own partID) question {
	nv := w.s.sys.sc.VCPUs
	if c < nv {
		return question{r[placeShared], own, w.k.set(r, w.k.stacks.get(own).names|1<<c), codeChoice + uint32(choice(Step, c))}
	}
	return question{r[placeShared], own, w.k.set(r, w.k.paths.get(own).names), codeChoice + uint32(choice(Step, nv))}
}

// ask brings into the cache what is known of the steps of a state's contexts.
func (w *worker) ask(r row) {
	for c, own := range r[w.k.stacksAt():] {
		if own != nothing {
			q := w.stepOf(r, c, own)
			w.sink += w.s.known.peek(&q)
		}
	}
}

// state finds out what follows one state, and judges it if it is at rest.
func (w *worker) state(id uint32, out *outcome) {
	s, k, r := w.s, w.k, w.row
	nv := s.sys.sc.VCPUs
	will := &k.actors.get(r[placeActors]).will
	can := able{queued: k.shared.get(r[placeShared]).queued}
	for v, id := range r[placeVCPUs:k.stacksAt()] {
		can.vcpu(v, k.vcpus.get(id).can)
	}
	w.prints = k.prints(w.prints[:0], r, 0)
	var idle mask
	var steps uint32
	for c, own := range r[k.stacksAt():] {
		switch {
		case c >= nv && own == nothing:
			continue
		case c < nv && k.stacks.get(own).idle:
			idle |= 1 << c
			continue
		case c < nv && !can.running.has(c):
			continue
		}
		w.steps[c] = w.effectOf(w.stepOf(r, c, own))
		if w.steps[c].is(possible) {
			steps |= 1 << c
		}
	}
	wrong := func() bool { return w.judge(will, &can) != 0 }
	var must int
	w.choices, must = s.sys.menu(w.choices[:0], will, &can, idle, steps, wrong)
	if must == 0 {
		w.rest++
		bad := w.judge(will, &can)
		if bad&Lost != 0 {
			w.lostRest++
		}
		w.note(bad, violation{depth: s.depth, state: id})
	} else if !s.opt.NoReduction {
		w.choices = reduce(w.choices, must, func(ctx int) bool { return w.steps[ctx].is(itsOwn) })
	}
	w.trans += uint64(len(w.choices))
	for _, c := range w.choices {
		if bad := w.follow(r, c); bad != 0 {
			w.note(bad, violation{depth: s.depth + 1, state: id, how: c, step: true})
		}
		p := k.print(w.nexts)
		seen := &w.recent[p.hi%recentPrints]
		if *seen == p && !s.opt.Exact {
			continue
		}
		*seen = p
		out.found = append(out.found, candidate{print: p, parent: id, from: uint32(len(w.rows)), n: uint16(len(w.next)), how: c})
		w.rows = append(w.rows, w.next...)
	}
}

func (w *worker) judge(will *willing, able *able) Kinds {
	return judge(will, able, w.effectOf(question{part: w.row[placeShared], vcpus: w.k.set(w.row, all), code: codeJudge}).bad)
}

// all is the set of all vcpus.
const all mask = 1<<maxActors - 1

// follow gives the row that a choice leads to, in next, with its prints, and what is wrong with it.
func (w *worker) follow(r row, c Choice) Kinds {
	s, k := w.s, w.k
	nv := s.sys.sc.VCPUs
	next := append(w.next[:0], r...)
	ctx, ok := s.sys.context(c)
	place := k.stacksAt() + ctx
	var e effect
	switch c.Kind() {
	case Step:
		place = k.stacksAt() + c.Who()
		e = w.steps[c.Who()]
	case Kick, Wake, Sleep:
		own := r[place]
		e = w.effectOf(question{r[placeShared], own, k.set(r, k.stacks.get(own).names|1<<ctx), codeChoice + uint32(c)})
	default:
		d := w.effectOf(question{part: r[placeActors], code: codeDecide + uint32(c)})
		next[placeActors] = d.part
		q := question{part: r[placeShared], vcpus: k.set(r, all), code: d.next}
		switch {
		case !ok:
		case ctx < nv:
			q.own = r[place]
		default: // a foreign path begins
			for place < len(next) && (k.symmetric || next[place] != nothing) {
				place++
			}
			if place == len(next) {
				next = append(next, nothing)
			}
		}
		e = w.effectOf(q)
	}
	if e.is(tooFar) {
		var bad Kinds
		w.next, bad = w.whole(r, c, next[:0])
		w.nexts = k.prints(w.nexts[:0], w.next, 0)
		return bad
	}
	bad := e.bad
	if e.asked != 0 {
		for v, own := range r[k.stacksAt():k.pathsAt()] {
			if v != ctx && !k.stacks.get(own).idle {
				bad |= w.effectOf(question{part: partID(e.asked), own: own, code: codeMeet}).bad
			}
		}
	}
	ps := append(w.nexts[:0], w.prints...)
	if next[placeShared] = e.part; e.part != r[placeShared] {
		ps[placeShared] = k.shared.get(e.part).print
	}
	if e.next != 0 {
		next[placeActors] = w.effectOf(question{part: next[placeActors], own: partID(e.next - 1), code: codeHear}).part
	}
	if next[placeActors] != r[placeActors] {
		ps[placeActors] = k.actors.get(next[placeActors]).print
	}
	k.each(e.vcpus, func(v int, id partID) {
		if next[placeVCPUs+v] != id {
			next[placeVCPUs+v], ps[placeVCPUs+v] = id, k.vcpus.get(id).print
		}
	})
	switch {
	case !ok:
	case ctx < nv:
		next[place] = e.own
		ps[place] = k.stacks.get(e.own).print
	default:
		next[place] = e.own
		next = k.order(next)
		ps = k.prints(ps[:k.pathsAt()], next, k.pathsAt())
	}
	w.next, w.nexts = next, ps
	return bad
}

// sift leaves of what was reached what is not known from earlier batches.
func (w *worker) sift(out *outcome) {
	s := w.s
	exact := s.opt.Exact
	if !exact {
		// The table is seldom in a cache. Looking at all places first lets the processor fetch them side by side.
		for i := range out.found {
			w.sink += s.shards[out.found[i].print.shard()].peek(out.found[i].print)
		}
	}
	n := 0
	for i := range out.found {
		c := out.found[i]
		r := w.rows[c.from:][:c.n]
		to := c.print.shard()
		c.from = uint32(len(out.rows))
		if exact {
			out.rows = w.k.appendRow(out.rows, r)
			if s.shards[to].hasExact(out.rows[c.from:]) {
				out.rows = out.rows[:c.from]
				continue
			}
		} else {
			if s.shards[to].has(c.print) {
				continue
			}
			out.rows = w.k.appendRow(out.rows, r)
		}
		c.n = uint16(len(out.rows) - int(c.from))
		out.found[n] = c
		out.to[to] = append(out.to[to], uint32(n))
		n++
	}
	out.found = out.found[:n]
}

func (w *worker) note(bad Kinds, v violation) {
	(bad & w.s.check).Each(func(k Kinds) {
		i := kindIndex(k)
		if w.found[i] == nil || v.before(w.found[i]) {
			c := v
			w.found[i] = &c
		}
	})
}

func kindIndex(k Kinds) int {
	for i := range 8 {
		if k>>i&1 != 0 {
			return i
		}
	}
	return 0
}
