package minimize

import (
	"context"
	"sync"

	"github.com/evtrace/evtrace/evtchn"
)

// Fact is what a test says of a candidate.
type Fact struct {
	Holds    bool        // it still has what is to be kept
	Switches int         // context switches in its run
	Events   uint64      // of its run
	Decided  evtchn.Time // from when on what is to be kept is settled; 0: not known
}

// Test tells whether a candidate still has what is to be kept. It must depend on the candidate alone, and is called by several workers
// at once. An error ends the search; a candidate that cannot be run at all does not hold, and is no error.
type Test[T any] func(ctx context.Context, candidate []T) (Fact, error)

// Options change how a search is done. The zero value is good.
type Options struct {
	// Workers is how many candidates are tested at once. The result does not depend on it. 0: one.
	Workers int
	// AsIs leaves inputs on their vcpus and at their times, apart from the end. A list of inputs is then only made shorter.
	AsIs bool
	// Progress is called whenever a candidate was adopted, and now and then between.
	Progress func(Progress)

	_ struct{}
}

// Progress says how far a search is.
type Progress struct {
	Phase string
	Left  int // elements
	Runs  int // candidates tested
}

// Result is the smallest that was found.
type Result[T any] struct {
	Candidate []T
	Fact      Fact
	Runs      int  // candidates tested
	Minimal   bool // without any one of its elements it does not hold
	Exact     bool // nor without several
	Stopped   bool // ctx was over before all was tried
}

// search is the state of a search: the best candidate, and what it took.
type search[T any] struct {
	ctx     context.Context
	test    Test[T]
	opt     *Options
	best    []T
	fact    Fact
	runs    int
	phase   string
	stopped bool
	err     error
}

// start tests what a search starts with.
func start[T any](ctx context.Context, whole []T, test Test[T], opt *Options) (*search[T], error) {
	s := &search[T]{ctx: ctx, test: test, opt: opt, best: whole, phase: "whole"}
	f, err := test(ctx, whole)
	switch {
	case ctx.Err() != nil:
		s.stopped, s.fact.Holds = true, true // as far as anybody knows
		return s, nil
	case err != nil:
		return nil, err
	}
	s.runs, s.fact = 1, f
	return s, nil
}

func (s *search[T]) result() (*Result[T], error) {
	if s.err != nil {
		return nil, s.err
	}
	return &Result[T]{Candidate: s.best, Fact: s.fact, Runs: s.runs, Stopped: s.stopped}, nil
}

// over reports whether the search has to end.
func (s *search[T]) over() bool {
	if s.ctx.Err() != nil {
		s.stopped = true
	}
	return s.stopped || s.err != nil
}

func (s *search[T]) tell() { s.opt.tell(Progress{Phase: s.phase, Left: len(s.best), Runs: s.runs}) }

// first adopts the first of n candidates that is good, and gives its index; -1: none is. A candidate of nil is passed over. Candidates
// are tested several at once, but those after the first good one count for nothing, not even as runs.
func (s *search[T]) first(n int, candidate func(i int) []T, good func(f *Fact) bool) int {
	type outcome struct {
		c    []T
		fact Fact
		err  error
	}
	for i := 0; i < n && !s.over(); {
		batch := make([]outcome, min(max(s.opt.Workers, 1), n-i))
		var wait sync.WaitGroup
		for j := range batch {
			o := &batch[j]
			if o.c = candidate(i + j); o.c == nil {
				continue
			}
			if len(batch) == 1 {
				o.fact, o.err = s.test(s.ctx, o.c)
				continue
			}
			wait.Go(func() { o.fact, o.err = s.test(s.ctx, o.c) })
		}
		wait.Wait()
		for j := range batch {
			o := &batch[j]
			switch {
			case o.c == nil:
				continue
			case o.err != nil:
				if !s.over() {
					s.err = o.err
				}
				return -1
			}
			s.runs++
			if good(&o.fact) {
				s.best, s.fact = o.c, o.fact
				s.tell()
				return i + j
			}
		}
		i += len(batch)
		if s.runs&63 < len(batch) {
			s.tell()
		}
	}
	return -1
}

func holds(f *Fact) bool { return f.Holds }

// reduce leaves out as many parts of the best candidate as it can: halves, quarters, and so on down to single parts, the last ones
// first, and single ones again until none can be left out. A part lists indexes into the candidate; what is in no part stays. It reports
// whether anything could be left out.
func (s *search[T]) reduce(parts [][]int) bool {
	base := s.best
	gone := make([]bool, len(base))
	left := parts
	without := func(from, to int) []T {
		out := make([]bool, len(base))
		copy(out, gone)
		for _, p := range left[from:to] {
			for _, i := range p {
				out[i] = true
			}
		}
		c := make([]T, 0, len(base))
		for i := range base {
			if !out[i] {
				c = append(c, base[i])
			}
		}
		return c
	}
	changed := false
	for size := (len(left) + 1) / 2; size > 0; size /= 2 {
		for again := true; again; {
			again = false
			for end := len(left); end > 0; {
				span := func(k int) (from, to int) { return max(0, end-(k+1)*size), end - k*size }
				k := s.first((end+size-1)/size, func(k int) []T { return without(span(k)) }, holds)
				if k < 0 {
					break
				}
				from, to := span(k)
				for _, p := range left[from:to] {
					for _, i := range p {
						gone[i] = true
					}
				}
				left = append(append([][]int(nil), left[:from]...), left[to:]...)
				end, changed = from, true
				again = size == 1
			}
			if s.over() {
				return changed
			}
		}
	}
	return changed
}

// singles makes each element a part, apart from those that must stay.
func (s *search[T]) singles(stays func(*T) bool) [][]int {
	var parts [][]int
	for i := range s.best {
		if !stays(&s.best[i]) {
			parts = append(parts, []int{i})
		}
	}
	return parts
}

// maxExact is the most elements of which all subsets are tried.
const maxExact = 11

// exact tries all subsets of the best candidate, the smallest first, and adopts the first that holds. It reports whether all were tried,
// and whether one was adopted.
func (s *search[T]) exact(stays func(*T) bool) (all, changed bool) {
	parts := s.singles(stays)
	n := len(parts)
	if n > maxExact {
		return false, false
	}
	base := s.best
	for size := 0; size < n; size++ {
		var sets []uint
		for set := uint(0); set < 1<<n; set++ {
			if ones(set) == size {
				sets = append(sets, set)
			}
		}
		k := s.first(len(sets), func(k int) []T {
			at := make(map[int]bool, n)
			for i, p := range parts {
				at[p[0]] = sets[k]>>i&1 == 0
			}
			c := make([]T, 0, len(base))
			for i := range base {
				if !at[i] {
					c = append(c, base[i])
				}
			}
			return c
		}, holds)
		if k >= 0 {
			return true, true
		}
		if s.over() {
			return false, false
		}
	}
	return true, false
}

func ones(set uint) int {
	n := 0
	for ; set != 0; set &= set - 1 {
		n++
	}
	return n
}

func (o *Options) tell(p Progress) {
	if o.Progress != nil {
		o.Progress(p)
	}
}
