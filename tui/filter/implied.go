package filter

import (
	"math"
	"slices"

	"github.com/evtrace/evtrace/evtchn"
)

// set is a sorted set of numbers.
type set struct{ list []int64 }

func (s *set) has(v int64) bool { _, ok := slices.BinarySearch(s.list, v); return ok }

// implied gives the values of the field outside of which the node is not true, or nil if it does not say.
func implied(n node, f Field) *set {
	switch n := n.(type) {
	case constant:
		if evtchn.Bit(n) != evtchn.One {
			return &set{}
		}
	case *numberIn:
		if n.f == f && !n.not {
			return &set{n.list}
		}
	case *kindIn:
		if f == fieldKind {
			s := &set{}
			for k := range 256 {
				if n.has(evtchn.Kind(k)) {
					s.list = append(s.list, int64(k))
				}
			}
			return s
		}
	case *conjunction:
		var s *set
		for _, c := range n.list {
			if t := implied(c, f); t != nil {
				if s == nil {
					s = &set{slices.Clone(t.list)}
				} else {
					s.list = slices.DeleteFunc(s.list, func(v int64) bool { return !t.has(v) })
				}
			}
		}
		return s
	case *disjunction:
		s := &set{}
		for _, c := range n.list {
			t := implied(c, f)
			if t == nil {
				return nil
			}
			s.list = append(s.list, t.list...)
		}
		slices.Sort(s.list)
		s.list = slices.Compact(s.list)
		return s
	}
	return nil
}

// interval is a range of numbers, both ends included. It is empty if lo > hi.
type interval struct{ lo, hi int64 }

var (
	everything = interval{math.MinInt64, math.MaxInt64}
	nothing    = interval{math.MaxInt64, math.MinInt64}
)

func (i interval) empty() bool { return i.lo > i.hi }

// bounds gives a range of the field outside of which the node is not true.
func bounds(n node, f Field) interval {
	switch n := n.(type) {
	case constant:
		if evtchn.Bit(n) != evtchn.One {
			return nothing
		}
	case *numberIn:
		switch {
		case n.f != f || n.not:
		case len(n.list) == 0:
			return nothing
		default:
			return interval{slices.Min(n.list), slices.Max(n.list)}
		}
	case *compare:
		if n.f == f && !n.to.isField {
			return n.op.within(n.to.v)
		}
	case *conjunction:
		all := everything
		for _, c := range n.list {
			b := bounds(c, f)
			all.lo, all.hi = max(all.lo, b.lo), min(all.hi, b.hi)
		}
		return all
	case *disjunction:
		hull := nothing
		for _, c := range n.list {
			if b := bounds(c, f); !b.empty() {
				hull.lo, hull.hi = min(hull.lo, b.lo), max(hull.hi, b.hi)
			}
		}
		return hull
	}
	return everything
}

// within gives the numbers that compare so with v.
func (c comparison) within(v int64) interval {
	switch c {
	case equal:
		return interval{v, v}
	case less:
		if v == math.MinInt64 {
			return nothing
		}
		return interval{math.MinInt64, v - 1}
	case atMost:
		return interval{math.MinInt64, v}
	case greater:
		if v == math.MaxInt64 {
			return nothing
		}
		return interval{v + 1, math.MaxInt64}
	case atLeast:
		return interval{v, math.MaxInt64}
	}
	return everything
}

// Seqs gives numbers of events outside of which nothing matches; ok is false if there is no such limit. Nothing matches at all if
// from is greater than until.
func (p *program) Seqs() (from, until evtchn.Seq, ok bool) {
	b := bounds(p.root, fieldSeq)
	b.lo = max(b.lo, 0)
	if b.empty() {
		return 1, 0, true
	}
	return evtchn.Seq(b.lo), evtchn.Seq(b.hi), b.lo > 0 || b.hi < math.MaxInt64
}

// Times gives times on the trace's own clock, in its unit, outside of which nothing matches; ok is false if there is no such limit.
// Nothing matches at all if from is later than until. The filter must be bound to the trace.
func (p *program) Times() (from, until evtchn.Time, ok bool) {
	b := bounds(p.root, fieldTime)
	switch {
	case b == everything:
		return 0, 0, false
	case b.empty():
		return 1, 0, true
	}
	return evtchn.Time(p.in.unscaled(b.lo, -1)), evtchn.Time(p.in.unscaled(b.hi, 1)), true
}

// unscaled gives a time of the trace's own unit that is surely before (side -1) or after (1) those that are read as t.
func (in *interpretation) unscaled(t int64, side float64) int64 {
	if in.scale == 1 || t == math.MinInt64 || t == math.MaxInt64 {
		return t
	}
	x := float64(t) / in.scale
	x += side * (2 + 2/in.scale + math.Abs(x)*1e-12) // number rounds, and so does this
	switch {
	case x <= math.MinInt64:
		return math.MinInt64
	case x >= math.MaxInt64:
		return math.MaxInt64
	}
	return int64(x)
}
