package explore

import (
	"encoding/binary"

	"github.com/evtrace/evtrace/evtchn"
)

// What a choice does is found out once for all worlds that agree in what it depends on. The machine's part of it depends on what is
// shared, on one context and on the states of a few vcpus (evtchn.Keys says why), the actors' part on the actors. So it is carried out in
// a world of its own that has these parts and no others, with the same code as in any world, and what comes of it is kept: a question
// and its effect. That no other part matters is not taken for granted: the world of its own would go another way then, and TestEffects
// compares, choice by choice. Where an effect does go beyond these parts, which the world of its own notices, the choice is carried out
// in the whole world.

// question is what an effect depends on: a part that is shared, one of a context (or, where code says so, of something else), the
// states of vcpus, and what is done with them.
type question struct {
	part, own partID
	vcpus     vcpuSet
	code      uint32 // 0: a free place in a table of answers
}

// vcpuSet are the states of some vcpus: 1 + the number of each, in 15 bits, 0 for a vcpu that is not in the set. Where these do not
// suffice, it is 1<<63 and the number of a text in the book of sets that lists them.
type vcpuSet uint64

const (
	setBits = 15
	setMax  = 4 // vcpus
)

// set gives the states of some vcpus of a row.
func (k *writer) set(r row, of mask) vcpuSet {
	return k.setOf(r[placeVCPUs:k.stacksAt()], of)
}

func (k *writer) setOf(ids []partID, of mask) (s vcpuSet) {
	for v, id := range ids {
		if !of.has(v) {
			continue
		}
		if v >= setMax || id+1 >= 1<<setBits {
			return k.bigSet(ids, of)
		}
		s |= vcpuSet(id+1) << (v * setBits)
	}
	return s
}

func (k *writer) bigSet(ids []partID, of mask) vcpuSet {
	b := k.buf[:0]
	for v, id := range ids {
		n := uint64(0)
		if of.has(v) {
			n = uint64(id) + 1
		}
		b = binary.AppendUvarint(b, n)
	}
	k.buf = b
	return 1<<63 | vcpuSet(k.sets.add(b, func(*part) {}))
}

// each calls f for every vcpu of the set.
func (k *writer) each(s vcpuSet, f func(v int, id partID)) {
	if s>>63 == 0 {
		for v := 0; s != 0; v, s = v+1, s>>setBits {
			if id := s & (1<<setBits - 1); id != 0 {
				f(v, partID(id-1))
			}
		}
		return
	}
	b := k.sets.textOf(k.sets.get(partID(s &^ (1 << 63))))
	for v := 0; len(b) > 0; v++ {
		id, n := binary.Uvarint(b)
		if b = b[n:]; id != 0 {
			f(v, partID(id-1))
		}
	}
}

// Codes. Below numCodes are those of choices in which the actors have no part; from there on, numbers of orders.
const (
	codeChoice = 1                // and the choice: its effect on the parts
	codeDecide = codeChoice + 256 // and the choice: what the actors, in the place of what is shared, decide
	codeHear   = codeDecide + 256 // what the actors make of news, in the place of the context
	codeMeet   = codeHear + 1     // what is wrong if a handler of the port, in the place of what is shared, begins while a vcpu is there
	codeJudge  = codeMeet + 1     // what is wrong at rest with what is shared
	numCodes   = codeJudge + 1
)

// effect is the answer.
type effect struct {
	part, own partID // instead of the question's
	vcpus     vcpuSet
	next      uint32 // the code that the machine's part has, after codeDecide; otherwise the news for the actors, 0: none
	asked     uint16 // the port whose handler begins, where it matters what the other vcpus are in
	bad       Kinds
	flags     effectFlags
}

type effectFlags uint8

const (
	possible effectFlags = 1 << iota // the step can be taken
	itsOwn                           // and touches nothing of anybody else's (evtchn.Machine.Own)
	tooFar                           // the parts do not tell: it is to be carried out in the whole world
)

func (e *effect) is(f effectFlags) bool { return e.flags&f != 0 }

// answers is a table of effects by question. It forgets: a question has two places, side by side, and a new one takes the place of an old
// one when both are taken.
type answers struct {
	slots []answer
	n     int // slots in use
	most  int // slots
	shift uint8
}

type answer struct {
	q question
	e effect
}

const sizeOfAnswer = 48 // in bytes

func newAnswers(bits uint8, most int) *answers {
	return &answers{slots: make([]answer, 1<<bits), shift: 64 - bits, most: most}
}

func (t *answers) place(q *question) uint64 {
	h := (uint64(q.part)<<32 ^ uint64(q.own)<<12 ^ uint64(q.code)) * 0x9e3779b97f4a7c15
	h = (h ^ h>>32 ^ uint64(q.vcpus)) * 0xa0761d6478bd642f
	return (h ^ h>>32) * 0xd6e8feb86659fd93 >> t.shift
}

// peek brings the places of a question into the cache.
func (t *answers) peek(q *question) uint64 { return uint64(t.slots[t.place(q)].e.part) }

// find gives the effect, nil if it is not known.
func (t *answers) find(q *question) *effect {
	i := t.place(q)
	if a := &t.slots[i]; a.q == *q {
		return &a.e
	}
	if a := &t.slots[i^1]; a.q == *q {
		return &a.e
	}
	return nil
}

func (t *answers) put(a *answer) {
	if t.n*4 > len(t.slots)*3 && len(t.slots)*2 <= t.most {
		t.grow()
	}
	i := t.place(&a.q)
	s, other := &t.slots[i], &t.slots[i^1]
	switch {
	case s.q == a.q || other.q == a.q: // another worker has found it out too
		return
	case s.q.code == 0:
		t.n++
	case other.q.code == 0:
		t.n++
		*other = *s
	default:
		*other = *s
	}
	*s = *a
}

func (t *answers) grow() {
	old := t.slots
	t.slots, t.n = make([]answer, 2*len(old)), 0
	t.shift--
	for i := range old {
		if old[i].q.code != 0 {
			t.put(&old[i])
		}
	}
}

func (t *answers) size() int64 { return int64(len(t.slots)) * sizeOfAnswer }

// effectOf gives what comes of a question: known to all workers from earlier batches, to this one, or found out now.
func (w *worker) effectOf(q question) effect {
	if e := w.s.known.find(&q); e != nil {
		return *e
	}
	if e := w.fresh.find(&q); e != nil {
		return *e
	}
	a := answer{q: q, e: w.findOut(q)}
	w.fresh.put(&a)
	w.learnt = append(w.learnt, a)
	return a.e
}

// learn gives what the workers have found out to all.
func (s *search) learn() {
	for _, w := range s.workers {
		for i := range w.learnt {
			s.known.put(&w.learnt[i])
		}
		w.learnt = w.learnt[:0]
		if w.fresh.n > 0 {
			clear(w.fresh.slots)
			w.fresh.n = 0
		}
	}
}

// findOut answers a question in a world of its own.
func (w *worker) findOut(q question) effect {
	k, t := w.k, w.try
	switch {
	case q.code >= codeDecide && q.code < codeHear:
		k.getActors(&t.actors, q.part)
		o := t.decide(Choice(q.code - codeDecide))
		return effect{part: k.putActors(&t.actors), next: numCodes + k.putOrder(&o)}
	case q.code == codeHear:
		k.getActors(&t.actors, q.part)
		t.hear(k.news.textOf(k.news.get(q.own)))
		return effect{part: k.putActors(&t.actors)}
	case q.code == codeMeet:
		k.getContext(t.m, 0, q.own)
		return effect{bad: meets(t.m, 0, evtchn.Port(q.part))}
	}
	if !w.loaded || w.at != q.part {
		k.getShared(w.base, q.part)
		w.loaded, w.at = true, q.part
	}
	t.m.CopyFrom(w.base)
	var given mask
	k.each(q.vcpus, func(v int, id partID) {
		given |= 1 << v
		k.getVCPU(t.m, v, id)
	})
	if q.code == codeJudge {
		return effect{bad: judgeShared(t.m)}
	}
	o := order{c: Choice(q.code - codeChoice)}
	if q.code >= numCodes {
		o = k.getOrder(q.code - numCodes)
	}
	ctx, ok := k.sys.context(o.c)
	if ok {
		k.getContext(t.m, ctx, q.own)
	}
	var e effect
	if o.c.Kind() == Step {
		if !t.m.CanStep(ctx) || t.m.Waits(ctx) {
			return e
		}
		if e.flags = possible; t.m.Own(ctx, k.sys.unchanging) {
			e.flags |= itsOwn
		}
	}
	n := &w.alone
	*n = alone{news: n.news[:0]}
	t.alone, t.bad = n, 0
	t.carryOut(o)
	t.alone = nil
	e.bad, e.asked, e.part, e.own = t.bad, uint16(n.asked), k.putShared(t.m), q.own
	if ok {
		e.own = k.putContext(t.m, ctx)
	}
	w.ids = w.ids[:0]
	for v := range t.m.V {
		id := k.putVCPU(t.m, v)
		w.ids = append(w.ids, id)
		if !given.has(v) && (id != w.origin[v] || !t.m.HeedlessAs(w.base, evtchn.VCPU(v))) {
			e.flags |= tooFar
		}
	}
	e.vcpus = k.setOf(w.ids, given)
	if n.far || w.others(t.m, ctx, ok) {
		e.flags |= tooFar
	}
	if len(n.news) > 0 {
		e.next = 1 + uint32(k.news.add(n.news, func(*part) {}))
	}
	return e
}

// others reports whether a context other than this one does anything: one that was given nothing to do.
func (w *worker) others(m *evtchn.Machine, ctx int, ok bool) bool {
	for c := range m.Contexts() {
		if !(ok && c == ctx) && !m.AtRest(c) {
			return true
		}
	}
	return false
}

// context gives the context that a choice is about, if it is about one. All foreign paths are the same one here.
func (s *System) context(c Choice) (int, bool) {
	switch c.Kind() {
	case Step:
		return min(c.Who(), s.sc.VCPUs), true
	case Task:
		return s.b.Tasks[c.Who()].OnVCPU, true
	case Send, Tick:
		return s.sc.VCPUs, true
	case Preempt:
		return 0, false
	}
	return c.Who(), true
}

// putOrder gives the number of an order.
func (k *writer) putOrder(o *order) uint32 {
	b := append(k.buf[:0], byte(o.c), byte(o.op))
	for _, n := range [...]uint64{uint64(o.port), o.a, o.b} {
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	k.buf = b
	return uint32(k.orders.add(b, func(*part) {}))
}

func (k *writer) getOrder(n uint32) order {
	b := k.orders.textOf(k.orders.get(partID(n)))
	num := func(i int) uint64 { return binary.LittleEndian.Uint64(b[2+8*i:]) }
	return order{c: Choice(b[0]), op: evtchn.OpCode(b[1]), port: evtchn.Port(num(0)), a: num(1), b: num(2)}
}

// whole carries a choice out in the whole world of a row, and gives the row of what comes of it. Steps of foreign paths are named by
// their places in the row.
func (w *worker) whole(r row, c Choice, to row) (row, Kinds) {
	w.k.get(w.try, r)
	bad := w.try.Do(c, nil)
	return w.k.put(to, w.try), bad
}
