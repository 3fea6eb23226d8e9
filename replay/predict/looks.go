package predict

import (
	"container/heap"
	"math/rand/v2"

	"github.com/evtrace/evtrace/evtchn"
)

// look is a drawn moment at which a vcpu, having been told, takes its upcall.
type look struct {
	at   evtchn.Time
	n    uint64 // order among those of the same time
	v    evtchn.VCPU
	dist *Dist
	path Path
}

// looks are those to come, the earliest first.
type looks struct {
	h lookHeap
	n uint64
}

type lookHeap []look

func (h lookHeap) Len() int { return len(h) }
func (h lookHeap) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].n < h[j].n
}
func (h lookHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *lookHeap) Push(x any)   { *h = append(*h, x.(look)) }
func (h *lookHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}

func (l *looks) push(x look) {
	l.n++
	x.n = l.n
	heap.Push(&l.h, x)
}

// due takes the first look that comes no later than now.
func (l *looks) due(now evtchn.Time) (look, bool) {
	if len(l.h) == 0 || l.h[0].at > now {
		return look{}, false
	}
	return heap.Pop(&l.h).(look), true
}

// draw takes a sample, by the seed, the number of the operation in the capture and the port.
func (d *Dist) draw(seed uint64, op evtchn.Seq, q evtchn.Port) evtchn.Time {
	if len(d.d) == 0 {
		return 0
	}
	r := rand.New(rand.NewPCG(seed, uint64(op)<<16^uint64(q)))
	return d.d[r.IntN(len(d.d))]
}

// drawnLook is a look that the capture does not show.
func (p *Prediction) drawnLook(l look) {
	v := l.v
	switch {
	case p.pre.V[v].InUpcall:
		p.cpus[v].again = true // it starts over at its end
	case p.obs.V[v].Up == evtchn.One:
		// The vcpu had been told already, and the capture shows when it looked: not before.
	case p.pre.V[v].Up != evtchn.One || p.pre.V[v].Sel == 0:
		// It has looked meanwhile.
	default:
		p.now = max(p.now, l.at)
		ev := evtchn.Event{Time: l.at, VCPU: v, Kind: evtchn.KindUpcall, Ctx: evtchn.CtxUpcall, Flags: evtchn.FlagInferred}
		p.enter(ev)
		p.drawn = true
		p.scan(&ev, 0)
		p.drawn = false
		ev.Kind = evtchn.KindUpcallExit
		p.leave(&ev)
	}
}
