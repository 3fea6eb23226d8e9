package explore

import "math/bits"

// The states that were seen are in shards, by fingerprint, so that workers can put new ones in side by side. Their number has
// no influence on the result.
const (
	shardBits = 4
	shards    = 1 << shardBits
)

// print is a fingerprint: 64 bits of it in hi, or 128.
type print struct{ hi, lo uint64 }

func (p print) shard() int { return int(p.hi >> (64 - shardBits)) }

// shard is a part of the states that were seen: an open-addressing table of their fingerprints, or their rows.
//
// A fingerprint's place is its fraction of the table's length, so that the table is nearly in order. It can have any length, and
// grows by a quarter of it, one shard at a time: what is new and the old table together are little more than what is needed.
type shard struct {
	hi, lo []uint64 // slots; 0 in hi: free. lo only with 128 bits
	used   int
	exact  map[string]struct{}
	bytes  int64 // of the rows in exact
}

const (
	firstSlots = 1 << 8
	smallSlots = 1 << 10 // up to that a table doubles
)

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

// place is where a fingerprint belongs.
func (s *shard) place(p print) uint64 {
	i, _ := bits.Mul64(p.hi<<shardBits, uint64(len(s.hi)))
	return i
}

// peek brings the place of a fingerprint into the cache.
func (s *shard) peek(p print) uint64 { return s.hi[s.place(p)] }

// find gives the slot of a fingerprint, or the free one where it belongs.
func (s *shard) find(p print) (slot int, found bool) {
	hi := norm(p.hi)
	for i := int(s.place(p)); ; i++ {
		if i == len(s.hi) {
			i = 0
		}
		switch {
		case s.hi[i] == 0:
			return i, false
		case s.hi[i] == hi && (s.lo == nil || s.lo[i] == p.lo):
			return i, true
		}
	}
}

// has reports whether the state was seen before.
func (s *shard) has(p print) bool {
	_, ok := s.find(p)
	return ok
}

// hasExact is has by the state's row.
func (s *shard) hasExact(row []byte) bool {
	_, ok := s.exact[string(row)]
	return ok
}

// add puts a state in, and reports whether it is new.
func (s *shard) add(p print, row []byte) bool {
	if s.exact != nil {
		if s.hasExact(row) {
			return false
		}
		s.exact[string(row)] = struct{}{}
		s.bytes += int64(len(row)) + 48 // the string, its header and its share of the map
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
	if s.used++; s.used*5 > len(s.hi)*4 {
		s.grow()
	}
	return true
}

func (s *shard) grow() {
	hi, lo := s.hi, s.lo
	n := 2 * len(hi)
	if len(hi) >= smallSlots {
		n = len(hi) + len(hi)/4
	}
	s.hi = make([]uint64, n)
	if lo != nil {
		s.lo = make([]uint64, n)
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

// size is how many bytes the shard takes.
func (s *shard) size() int64 { return int64(8*(len(s.hi)+len(s.lo))) + s.bytes }

// links say of each state, by its number, how it was first reached.
type links struct {
	n     uint32
	pages []*linkPage
}

const pageLinks = 1 << 12

type linkPage struct {
	parent [pageLinks]uint32
	how    [pageLinks]Choice
}

// add notes how a new state was reached, and gives its number.
func (l *links) add(parent uint32, how Choice) uint32 {
	id := l.n
	if l.n++; id%pageLinks == 0 {
		l.pages = append(l.pages, new(linkPage))
	}
	p := l.pages[id/pageLinks]
	p.parent[id%pageLinks], p.how[id%pageLinks] = parent, how
	return id
}

func (l *links) get(id uint32) (parent uint32, how Choice) {
	p := l.pages[id/pageLinks]
	return p.parent[id%pageLinks], p.how[id%pageLinks]
}

func (l *links) size() int64 { return int64(len(l.pages)) * pageLinks * 5 }

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
