package explore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// Options change how a system is explored. The zero value is good.
type Options struct {
	Properties Kinds // what is checked; 0: all
	Every      bool  // go on after the first violation, until there is one of each kind or all was seen

	NoReduction bool // take every step in every order, even those that commute with all that others can do
	NoSymmetry  bool // tell foreign paths apart by their numbers

	Exact bool // keep the keys of states instead of fingerprints
	Wide  bool // fingerprints of 128 bits instead of 64

	MaxStates uint64 // stop when there are so many; 0: no limit
	Memory    int64  // stop when the states take so many bytes; 0: no limit
	Workers   int    // goroutines; 0: as many as there are processors to use. The result does not depend on it

	Progress func(Progress) // called now and then, from one goroutine

	// Save is called now and then, and when the search stops early (last). It is handed a function that writes a checkpoint; Resume
	// goes on from one, with the same system and the same options, apart from limits and workers.
	Save   func(last bool, write func(io.Writer) error) error
	Resume io.Reader

	_ struct{}
}

// Progress is how far a search is.
type Progress struct {
	States, Transitions uint64
	Depth               int
	Frontier            uint64 // states that were found and not yet looked at
	Bytes               int64
}

// Verdict is what a search found.
type Verdict uint8

// The verdicts.
const (
	Undecided Verdict = iota // the search was stopped before it found a violation
	Safe                     // every reachable state was seen, and none violates a property
	Unsafe                   // there is a counterexample
)

// String gives the verdict as it is printed.
func (v Verdict) String() string { return [...]string{"undecided", "safe", "unsafe"}[v] }

// Stop says why a search ended before all was seen.
type Stop uint8

// The reasons.
const (
	NotStopped  Stop = iota
	AtViolation      // a violation was found
	AtStates         // Options.MaxStates
	AtMemory         // Options.Memory
	AtCancel         // the context
)

// String says it in words.
func (s Stop) String() string {
	return [...]string{"all was seen", "a violation was found", "the limit of states was reached", "the limit of memory was reached", "it was interrupted"}[s]
}

// Result is the outcome of a search.
type Result struct {
	Verdict     Verdict
	Stopped     Stop
	Violations  Kinds
	Found       []Found // one for each kind of violation, a shortest, the shortest first
	States      uint64  // different ones
	Transitions uint64
	AtRest      uint64 // states at rest
	LostAtRest  uint64 // of those, states in which a port goes unnoticed
	Depth       int    // of the last state looked at, in choices
	Frontier    uint64 // states not looked at
	Bytes       int64  // that the states took
	Collision   float64
}

// Found is a schedule that ends in a violation.
type Found struct {
	Kind    Kinds
	Choices []Choice
}

// violation is a state, or a choice in a state, that is wrong.
type violation struct {
	depth int
	state uint32
	how   Choice
	step  bool // it is the choice that is wrong
}

func (v *violation) before(w *violation) bool {
	switch {
	case v.depth != w.depth:
		return v.depth < w.depth
	case v.state != w.state:
		return v.state < w.state
	}
	return v.how < w.how
}

// search is a search under way.
type search struct {
	sys   *System
	opt   Options
	check Kinds

	books    *books
	known    *answers // what all workers know
	shards   [shards]shard
	links    links
	level    []block // states to look at
	at       int     // how many of its blocks have been looked at
	next     []block // of the next level; the last is being filled
	depth    int
	states   uint64
	expanded uint64
	trans    uint64
	rest     uint64
	lostRest uint64
	found    [8]*violation // by bit of the kind
	workers  []*worker
	outcomes [batchBlocks]outcome
	spare    [][]byte // rows of blocks that are done with
	rowBytes int64    // of all blocks
}

// Run explores a system. A search that the context, or a limit, ends is no error: the result says how far it came. Errors are
// those of Options.Save, and of class ErrCheckpoint.
func Run(ctx context.Context, sys *System, opt Options) (*Result, error) {
	s := &search{sys: sys, opt: opt, check: opt.Properties}
	if s.check == 0 {
		s.check = AllKinds
	}
	n := opt.Workers
	if n <= 0 {
		n = runtime.GOMAXPROCS(0)
	}
	s.books = newBooks(sys, !opt.NoSymmetry, opt.Wide)
	s.known = newAnswers(10, s.mostAnswers())
	for range n {
		s.workers = append(s.workers, newWorker(s, s.books))
	}
	if opt.Resume != nil {
		if err := s.restore(opt.Resume); err != nil {
			return nil, err
		}
	} else {
		s.begin()
	}
	stop, err := s.run(ctx)
	if err != nil {
		return nil, err
	}
	return s.result(stop)
}

func (s *search) begin() {
	for i := range s.shards {
		s.shards[i].init(s.opt.Wide, s.opt.Exact)
	}
	k := s.workers[0].k
	r := k.put(nil, s.sys.ready)
	p, text := k.print(k.prints(nil, r, 0)), k.appendRow(nil, r)
	s.shards[p.shard()].add(p, text)
	s.level = []block{{first: s.links.add(0, 0), n: 1, rows: text}}
	s.states = 1
}

// mostAnswers is how many answers are kept: they may take an eighth of the memory.
func (s *search) mostAnswers() int {
	if s.opt.Memory > 0 {
		return int(min(s.opt.Memory/8, 1<<30) / sizeOfAnswer)
	}
	return 1 << 25
}

func (s *search) run(ctx context.Context) (Stop, error) {
	stop := NotStopped
	for {
		for s.at < len(s.level) && stop == NotStopped {
			s.batch()
			switch {
			case ctx.Err() != nil:
				stop = AtCancel
			case s.opt.MaxStates > 0 && s.states >= s.opt.MaxStates:
				stop = AtStates
			case s.opt.Memory > 0 && s.bytes() >= s.opt.Memory:
				stop = AtMemory
			}
			if s.at == len(s.level) && s.waiting() == 0 {
				stop = NotStopped // there is nothing left to do
			}
			s.report()
			if stop == NotStopped {
				if err := s.save(false); err != nil {
					return stop, err
				}
			}
		}
		if stop != NotStopped {
			return stop, s.save(true)
		}
		s.turn()
		if len(s.level) == 0 {
			return NotStopped, nil
		}
		if s.enough() {
			return AtViolation, nil
		}
	}
}

// waiting is how many states of the next level there are.
func (s *search) waiting() (n uint64) {
	for i := range s.next {
		n += uint64(s.next[i].n)
	}
	return n
}

// turn goes on to the next level.
func (s *search) turn() {
	s.level, s.next, s.at = s.next, s.level[:0], 0
	s.depth++
}

// enough reports whether the violations found are all that is wanted. It is asked between levels: every violation that takes as
// many choices as the first is known then.
func (s *search) enough() bool {
	var have Kinds
	for i, v := range s.found {
		if v != nil {
			have |= 1 << i
		}
	}
	return have != 0 && (!s.opt.Every || have == s.check)
}

// batch looks at the next blocks of the level: in parallel by block, to find out what follows, then in parallel by shard, to put
// in what is new. Of a state that was reached more than once, the first in the order of the blocks counts, and new states are
// numbered in that order: as if one worker had done one state after the other.
func (s *search) batch() {
	n := min(batchBlocks, len(s.level)-s.at)
	blocks := s.level[s.at : s.at+n]
	s.parallel(n, func(w *worker, i int) { w.expand(&blocks[i], &s.outcomes[i]) })
	s.parallel(shards, func(w *worker, i int) { w.fill(i, s.outcomes[:n]) })
	for i := range blocks {
		s.spare = append(s.spare, blocks[i].rows[:0])
		blocks[i].rows = nil
	}
	for i := range n {
		s.collect(&s.outcomes[i])
	}
	s.learn()
	s.at += n
	for _, w := range s.workers {
		s.trans, s.rest, s.lostRest, s.expanded = s.trans+w.trans, s.rest+w.rest, s.lostRest+w.lostRest, s.expanded+w.expanded
		w.trans, w.rest, w.lostRest, w.expanded = 0, 0, 0, 0
		for k, v := range w.found {
			if v != nil && (s.found[k] == nil || v.before(s.found[k])) {
				s.found[k] = v
			}
			w.found[k] = nil
		}
	}
	s.states = uint64(s.links.n)
}

// parallel calls do for 0 to n-1, each on one of the workers.
func (s *search) parallel(n int, do func(w *worker, i int)) {
	if n == 1 || len(s.workers) == 1 {
		for i := range n {
			do(s.workers[0], i)
		}
		return
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for _, w := range s.workers {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(w, i)
			}
		})
	}
	wg.Wait()
}

// fill puts the candidates of a shard in.
func (w *worker) fill(i int, outs []outcome) {
	sh := &w.s.shards[i]
	const ahead = 8
	for o := range outs {
		out := &outs[o]
		to := out.to[i]
		for j, at := range to {
			if sh.exact == nil && j+ahead < len(to) {
				w.sink += sh.peek(out.found[to[j+ahead]].print)
			}
			c := &out.found[at]
			c.isNew = sh.add(c.print, out.rows[c.from:][:c.n])
		}
	}
}

// collect numbers the new states of an outcome, and puts them into the next level.
func (s *search) collect(out *outcome) {
	for i := range out.found {
		c := &out.found[i]
		if !c.isNew {
			continue
		}
		id := s.links.add(c.parent, c.how)
		n := len(s.next)
		if n == 0 || s.next[n-1].n == blockStates {
			b := block{first: id}
			if k := len(s.spare); k > 0 {
				b.rows, s.spare = s.spare[k-1], s.spare[:k-1]
			}
			s.next = append(s.next, b)
			n++
		}
		b := &s.next[n-1]
		s.rowBytes -= int64(cap(b.rows))
		b.rows = append(b.rows, out.rows[c.from:][:c.n]...)
		s.rowBytes += int64(cap(b.rows))
		b.n++
	}
}

// bytes is how much memory the states take: what tells those that were seen, and the keys of those that wait.
func (s *search) bytes() int64 {
	n := s.books.size() + s.known.size() + s.links.size() + s.rowBytes
	for i := range s.shards {
		n += s.shards[i].size()
	}
	return n
}

func (s *search) report() {
	if s.opt.Progress != nil {
		s.opt.Progress(Progress{States: s.states, Transitions: s.trans, Depth: s.depth, Frontier: s.states - s.expanded, Bytes: s.bytes()})
	}
}

// result sums up.
func (s *search) result(stop Stop) (*Result, error) {
	r := &Result{Stopped: stop, States: s.states, Transitions: s.trans, AtRest: s.rest, LostAtRest: s.lostRest, Depth: s.depth,
		Frontier: s.states - s.expanded, Bytes: s.bytes(), Collision: collision(s.states, s.opt.Wide)}
	if s.opt.Exact {
		r.Collision = 0
	}
	for i, v := range s.found {
		if v == nil {
			continue
		}
		r.Violations |= 1 << i
		f, err := s.rebuild(1<<i, v)
		if err != nil {
			return nil, err
		}
		r.Found = append(r.Found, f)
	}
	slices.SortStableFunc(r.Found, func(a, b Found) int { return len(a.Choices) - len(b.Choices) })
	switch {
	case r.Violations != 0:
		r.Verdict = Unsafe
	case stop == NotStopped:
		r.Verdict = Safe
	}
	return r, nil
}

// rebuild makes the schedule that leads to a violation from the links of the states on its way. Links name foreign paths by
// their places in a key; the schedule names them by their numbers in a world that goes that way from the start.
func (s *search) rebuild(kind Kinds, v *violation) (Found, error) {
	var links []Choice
	if v.step {
		links = append(links, v.how)
	}
	for id := v.state; id != 0; { // 0 is the beginning
		parent, how := s.links.get(id)
		links = append(links, how)
		id = parent
	}
	slices.Reverse(links)
	f := Found{Kind: kind}
	w, k := s.sys.Start(), s.workers[0].k
	var bad Kinds
	for _, c := range links {
		if c.Kind() == Step {
			ctx := k.contextOf(w, c.Who())
			if ctx < 0 {
				return f, fmt.Errorf("%w: %s, and there are not so many contexts", errCounterexample, c)
			}
			c = choice(Step, ctx)
		}
		f.Choices = append(f.Choices, c)
		bad = w.Do(c, nil)
	}
	if !v.step {
		if _, must := w.Choices(nil); must != 0 {
			return f, fmt.Errorf("%w: it does not end at rest", errCounterexample)
		}
		bad = w.Judge()
	}
	if v.step && !s.opt.NoReduction {
		f.Choices = s.sys.trim(f.Choices, kind)
	}
	if bad&kind == 0 {
		return f, fmt.Errorf("%w: it ends in %q, want %q", errCounterexample, bad, kind)
	}
	return f, nil
}

// errCounterexample is a fault of ours: or of a fingerprint, if two states on the way have the same.
var errCounterexample = errors.New("explore: the schedule found does not lead where it should; try 128-bit fingerprints")
