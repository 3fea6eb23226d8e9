package explore

import (
	"math/bits"

	"github.com/zeebo/xxh3"
)

// The states that were seen are in shards, by fingerprint, so that workers can put new ones in side by side. Their number has
// no influence on the result, only on the order in which states are numbered.
const (
	shardBits = 4
	shards    = 1 << shardBits
)

// print is a fingerprint: 64 bits of it in hi, or 128.
type print struct{ hi, lo uint64 }

func fingerprint(key []byte, wide bool) print {
	if wide {
		h := xxh3.Hash128(key)
		return print{h.Hi, h.Lo}
	}
	return print{hi: xxh3.Hash(key)}
}

func (p print) shard() int { return int(p.hi >> (64 - shardBits)) }

// shard is a part of the states that were seen: an open-addressing table of their fingerprints, or their keys, and how each was
// first reached.
type shard struct {
	hi, lo []uint64 // slots; 0 in hi: free. lo only with 128 bits
	used   int
	exact  map[string]struct{}
	bytes  int64 // of the keys in exact

	parent []uint32 // by number in the shard: the state that it was reached from
	how    []Choice // and by what
}

const firstSlots = 1 << 10

func (s *shard) init(wide, exact bool) {
	if exact {
		s.exact = make(map[string]struct{})
		return
	}
	s.hi = make([]uint64, firstSlots)
	if wide {
		s.lo = make([]uint64, firstSlots)
	}
}

// norm keeps 0 free to mean a free slot.
func norm(hi uint64) uint64 {
	if hi == 0 {
		return 1
	}
	return hi
}

// find gives the slot of a fingerprint, or the free one where it belongs.
func (s *shard) find(p print) (slot uint64, found bool) {
	hi := norm(p.hi)
	mask := uint64(len(s.hi) - 1)
	for i := hi & mask; ; i = (i + 1) & mask {
		switch {
		case s.hi[i] == 0:
			return i, false
		case s.hi[i] == hi && (s.lo == nil || s.lo[i] == p.lo):
			return i, true
		}
	}
}

// seen reports whether the state was seen before.
func (s *shard) seen(p print, key []byte) bool {
	if s.exact != nil {
		_, ok := s.exact[string(key)]
		return ok
	}
	_, ok := s.find(p)
	return ok
}

// add puts a state in, and reports whether it is new.
func (s *shard) add(p print, key []byte) bool {
	if s.exact != nil {
		if _, ok := s.exact[string(key)]; ok {
			return false
		}
		s.exact[string(key)] = struct{}{}
		s.bytes += int64(len(key)) + 48 // the string, its header and its share of the map
		return true
	}
	i, ok := s.find(p)
	if ok {
		return false
	}
	s.hi[i] = norm(p.hi)
	if s.lo != nil {
		s.lo[i] = p.lo
	}
	if s.used++; s.used*4 > len(s.hi)*3 {
		s.grow()
	}
	return true
}

func (s *shard) grow() {
	hi, lo := s.hi, s.lo
	s.hi = make([]uint64, 2*len(hi))
	if lo != nil {
		s.lo = make([]uint64, 2*len(hi))
	}
	for i, h := range hi {
		if h == 0 {
			continue
		}
		p := print{hi: h}
		if lo != nil {
			p.lo = lo[i]
		}
		j, _ := s.find(p)
		s.hi[j] = h
		if lo != nil {
			s.lo[j] = p.lo
		}
	}
}

// link notes how a new state was reached, and gives its number.
func (s *shard) link(of int, parent uint32, how Choice) uint32 {
	s.parent = append(s.parent, parent)
	s.how = append(s.how, how)
	return uint32(len(s.parent)-1)<<shardBits | uint32(of)
}

// size is how many bytes the shard takes.
func (s *shard) size() int64 {
	return int64(8*(len(s.hi)+len(s.lo))+4*cap(s.parent)+cap(s.how)) + s.bytes
}

// collision bounds the probability that among n states any two have the same fingerprint: n*(n-1)/2 pairs, 2^-bits each.
func collision(n uint64, wide bool) float64 {
	hi, lo := bits.Mul64(n, max(n, 1)-1)
	pairs := (float64(hi)*(1<<63)*2 + float64(lo)) / 2
	p := pairs / (1 << 63) / 2
	if wide {
		p = p / (1 << 63) / 2
	}
	return min(p, 1)
}
