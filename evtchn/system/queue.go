package system

import "github.com/evtrace/evtrace/evtchn"

// due is something that is to happen: at a time, and among things of the same time in the order of their keys.
type due struct {
	at   evtchn.Time
	key  uint64 // class << 32 | which
	data uint64
}

// Classes of things that happen, in the order in which they do when they fall on the same nanosecond.
const (
	dueInput   = iota
	dueKick    // which: vcpu; data: the event that sent it
	dueRun     // which: vcpu; data: the event that woke it
	dueForeign // which: context
	dueVCPU    // which: vcpu
	dueDomain  // which: domain << 8 | its vcpu
)

func dueKey(class, which int) uint64 { return uint64(class)<<32 | uint64(uint32(which)) }

func (d *due) class() int { return int(d.key >> 32) }
func (d *due) which() int { return int(uint32(d.key)) }

func (d *due) before(e *due) bool { return d.at < e.at || d.at == e.at && d.key < e.key }

// queue is a binary heap of what is to happen.
type queue []due

func (q *queue) push(d due) {
	*q = append(*q, d)
	h := *q
	i := len(h) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !d.before(&h[up]) {
			break
		}
		h[i] = h[up]
		i = up
	}
	h[i] = d
}

// replaceTop puts d in the place of the first entry.
func (q queue) replaceTop(d due) {
	i := 0
	for {
		c := 2*i + 1
		if c >= len(q) {
			break
		}
		if c+1 < len(q) && q[c+1].before(&q[c]) {
			c++
		}
		if !q[c].before(&d) {
			break
		}
		q[i] = q[c]
		i = c
	}
	q[i] = d
}

func (q *queue) pop() {
	h := *q
	n := len(h) - 1
	last := h[n]
	*q = h[:n]
	if n > 0 {
		(*q).replaceTop(last)
	}
}

// restore makes a heap of the queue again after an entry was put in another's place.
func (q queue) restore() {
	for i := 1; i < len(q); i++ {
		for j := i; j > 0 && q[j].before(&q[(j-1)/2]); j = (j - 1) / 2 {
			q[j], q[(j-1)/2] = q[(j-1)/2], q[j]
		}
	}
}
