package random

import (
	"math/rand/v2"
	"slices"
)

// who tells contexts apart.
type who uint64

// drawer chooses among contexts that could go on.
type drawer struct {
	r     *rand.Rand
	depth int // 0: a walk
	prio  map[who]float64
	at    []uint64 // choices at which the one in hand is dropped, in order
	done  int      // of them
	n     uint64   // choices
}

const stream = 0x65767472616365 // of the generator, apart from the seed

// newDrawer makes one for a run: k is how many choices it is expected to have.
func newDrawer(seed uint64, depth int, k uint64) *drawer {
	d := &drawer{r: rand.New(rand.NewPCG(seed, stream)), depth: depth, prio: make(map[who]float64)}
	for i := 1; i < depth; i++ {
		d.at = append(d.at, 1+d.r.Uint64N(max(k, 1)))
	}
	slices.Sort(d.at)
	return d
}

// pick chooses one of several.
func (d *drawer) pick(could []who) int {
	d.n++
	if d.depth == 0 {
		return d.r.IntN(len(could))
	}
	best := d.highest(could)
	for d.done < len(d.at) && d.n >= d.at[d.done] {
		d.prio[could[best]] = -float64(1 + d.done) // below all that have not been dropped, and all dropped before
		d.done++
		best = d.highest(could)
	}
	return best
}

func (d *drawer) highest(could []who) int {
	best := -1
	for i, w := range could {
		p, ok := d.prio[w]
		if !ok {
			p = d.r.Float64()
			d.prio[w] = p
		}
		if best < 0 || p > d.prio[could[best]] {
			best = i
		}
	}
	return best
}
