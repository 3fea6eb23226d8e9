package system

import "github.com/evtrace/evtrace/evtchn"

// Random numbers are drawn by key: the scenario's seed, the entity that needs one, and how many it has drawn. No two entities
// share a stream, so that what one of them does under another policy leaves the others' numbers as they were.

// entity numbers what draws random numbers.
type entity uint64

// Entities: a class in the upper half, a number within it in the lower.
const (
	entKick entity = (iota + 1) << 32
	entWake
	entDomain
	entServe
	entIPI
	entHot
	entBalance
	entMigrate
	entPreempt
	entPlace
)

// hash mixes its arguments (the finalizer of SplitMix64, Steele et al. 2014, applied in turn).
func hash(seed uint64, e entity, n uint64) uint64 {
	return mix(mix(mix(seed)+uint64(e)) + n)
}

func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// stream is the numbers of one entity.
type stream struct {
	seed uint64
	who  entity
	n    uint64
}

func (s *stream) next() uint64 {
	s.n++
	return hash(s.seed, s.who, s.n)
}

// below draws evenly from 0 to n-1.
func (s *stream) below(n int) int {
	if n <= 1 {
		return 0
	}
	return int(s.next() % uint64(n))
}

// within draws evenly from a span.
func (s *stream) within(sp Span) evtchn.Time {
	if sp.Max <= sp.Min {
		return sp.Min
	}
	return sp.Min + evtchn.Time(s.next()%uint64(sp.Max-sp.Min+1))
}

// chance is true with probability p.
func (s *stream) chance(p float64) bool {
	return p > 0 && float64(s.next()>>11)/(1<<53) < p
}
