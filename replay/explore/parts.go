package explore

import (
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/zeebo/xxh3"

	"github.com/evtrace/evtrace/evtchn"
)

// A world is known by its parts: its actors, what all share, the state of each vcpu, and each context by itself (evtchn.Keys). There are
// few different parts and many worlds put together from them. So each part is written down once, in a book, and a world is a row of
// numbers of parts: see row.

// partID is the number of a part in its book.
type partID uint32

// nothing is the part of a foreign path that is over.
const nothing partID = 0

// part is an entry of a book.
type part struct {
	print print  // of its text; no other part of the book has the same
	at    uint32 // where its text begins, and how long it is
	n     uint16

	will   willing  // of actors
	queued mask     // of what is shared
	can    vcpuAble // of a vcpu
	idle   bool     // it is a vcpu's context, in no procedure
	names  mask     // of a context: vcpus
}

const (
	pageParts = 1 << 9
	pageText  = 1 << 15
)

// book holds the different parts of one kind. Numbers can be looked up while others write: a page is never moved, and whoever has
// a number has it from the writer, by a lock or because a batch lay in between.
type book struct {
	mu    sync.Mutex
	wide  bool
	n     partID
	slots []partID // open addressing by print, 1 + the number; 0: free
	pages atomic.Pointer[[]*[pageParts]part]
	text  [][]byte
}

func newBook(wide bool) *book {
	b := &book{wide: wide, slots: make([]partID, 64)}
	b.pages.Store(new([]*[pageParts]part))
	return b
}

// get gives a part. Do not change it.
func (b *book) get(id partID) *part { return &(*b.pages.Load())[id/pageParts][id%pageParts] }

// textOf gives a part's text. Do not change it.
func (b *book) textOf(p *part) []byte {
	b.mu.Lock() // the list of pages may be moving
	page := b.text[p.at/pageText]
	b.mu.Unlock()
	return page[p.at%pageText:][:p.n]
}

// add gives the number of the part with that text. A new part is completed by fill before others can see it.
func (b *book) add(text []byte, fill func(*part)) partID {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := print{hi: xxh3.Hash(text)}
	if b.wide {
		p.lo = xxh3.HashSeed(text, 1)
	}
	i := p.hi & uint64(len(b.slots)-1)
	for b.slots[i] != 0 {
		q := b.get(b.slots[i] - 1)
		if q.print == p {
			if string(b.text[q.at/pageText][q.at%pageText:][:q.n]) == string(text) {
				return b.slots[i] - 1
			}
			p.hi++ // another part has this print: take the next
		}
		i = (i + 1) & uint64(len(b.slots)-1)
	}
	id := b.n
	b.n++
	b.slots[i] = id + 1
	if id%pageParts == 0 {
		pages := append(*b.pages.Load(), new([pageParts]part)) // those that have the old list do not see it
		b.pages.Store(&pages)
	}
	q := b.get(id)
	*q = part{print: p, at: b.write(text), n: uint16(len(text))}
	fill(q)
	if int(b.n)*2 > len(b.slots) {
		b.grow()
	}
	return id
}

// write puts text behind that of the other parts, in one page.
func (b *book) write(text []byte) uint32 {
	last := len(b.text) - 1
	if last < 0 || len(b.text[last])+len(text) > pageText {
		size := pageText
		if last < 0 {
			size = 1 << 10 // the first page grows: most books are small
		}
		b.text = append(b.text, make([]byte, 0, size))
		last++
	}
	at := last*pageText + len(b.text[last])
	b.text[last] = append(b.text[last], text...)
	return uint32(at)
}

func (b *book) grow() {
	b.slots = make([]partID, 2*len(b.slots))
	for id := range b.n {
		i := b.get(id).print.hi & uint64(len(b.slots)-1)
		for b.slots[i] != 0 {
			i = (i + 1) & uint64(len(b.slots)-1)
		}
		b.slots[i] = id + 1
	}
}

// size is how many bytes the book takes.
func (b *book) size() int64 {
	n := int64(4*cap(b.slots)) + int64(len(*b.pages.Load()))*pageParts*sizeOfPart
	for _, t := range b.text {
		n += int64(cap(t))
	}
	return n
}

const sizeOfPart = 40 // of a part, in bytes

// books are the books of a search, and what writes parts into them.
type books struct {
	sys       *System
	symmetric bool

	actors, shared, vcpus *book
	stacks, paths         *book // contexts: of vcpus, and foreign

	// For effect.go.
	orders, news, sets *book
}

func newBooks(s *System, symmetric, wide bool) *books {
	b := &books{sys: s, symmetric: symmetric}
	for _, to := range []**book{&b.actors, &b.shared, &b.vcpus, &b.stacks, &b.paths, &b.orders, &b.news, &b.sets} {
		*to = newBook(wide)
	}
	b.paths.add([]byte{0, 0}, func(*part) {}) // nothing
	return b
}

// ofWorlds are the books that rows refer to.
func (b *books) ofWorlds() [5]*book {
	return [...]*book{b.actors, b.shared, b.vcpus, b.stacks, b.paths}
}

func (b *books) size() (n int64) {
	for _, bk := range []*book{b.actors, b.shared, b.vcpus, b.stacks, b.paths, b.orders, b.news, b.sets} {
		n += bk.size()
	}
	return n
}

// writer writes worlds into books, and makes worlds of parts. Each worker has one.
type writer struct {
	*books
	keys *evtchn.Keys
	buf  []byte
}

func newWriter(b *books) *writer {
	return &writer{books: b, keys: evtchn.NewKeys(b.sys.ready.m, b.symmetric)}
}

// putActors gives the number of a world's actors.
func (k *writer) putActors(a *actors) partID {
	b := k.buf[:0]
	for t := range a.tasks {
		tk := &a.tasks[t]
		b = append(b, tk.op|uint8(tk.step)<<4|flag(tk.asleep)<<6)
		if tk.step == toWrite {
			b = append(b, tk.batch)
		}
	}
	for i := range a.ports {
		p := &a.ports[i]
		b = append(b, p.left|flag(p.data)<<4|flag(p.usable)<<5)
		b = binary.AppendUvarint(b, uint64(p.port))
	}
	if k.sys.ticking {
		b = append(b, a.ticks...)
		b = append(b, byte(a.ticked))
	}
	if k.sys.b.Preempt > 0 {
		b = append(b, a.preempts)
	}
	k.buf = b
	return k.actors.add(b, func(p *part) { p.will = a.willing() })
}

// getActors makes the actors those with that number.
func (k *writer) getActors(a *actors, id partID) {
	b := k.actors.textOf(k.actors.get(id))
	for t := range a.tasks {
		c := b[0]
		b = b[1:]
		a.tasks[t] = task{op: c & 15, step: serveStep(c >> 4 & 3), asleep: c>>6&1 != 0}
		if a.tasks[t].step == toWrite {
			a.tasks[t].batch, b = b[0], b[1:]
		}
	}
	for i := range a.ports {
		a.ports[i] = port{left: b[0] & 15, data: b[0]>>4&1 != 0, usable: b[0]>>5&1 != 0}
		n, size := binary.Uvarint(b[1:])
		a.ports[i].port, b = evtchn.Port(n), b[1+size:]
	}
	if k.sys.ticking {
		n := copy(a.ticks, b)
		a.ticked, b = uint64(b[n]), b[n+1:]
	}
	if k.sys.b.Preempt > 0 {
		a.preempts = b[0]
	}
}

// putShared gives the number of what is shared.
func (k *writer) putShared(m *evtchn.Machine) partID {
	k.buf = k.keys.AppendShared(k.buf[:0], m)
	return k.shared.add(k.buf, func(p *part) { p.queued = k.sys.queued(m) })
}

// putVCPU gives the number of a vcpu's state.
func (k *writer) putVCPU(m *evtchn.Machine, v int) partID {
	k.buf = k.keys.AppendVCPU(k.buf[:0], m, v)
	return k.vcpus.add(k.buf, func(p *part) { p.can = vcpuCan(&m.V[v]) })
}

// putContext gives the number of a context.
func (k *writer) putContext(m *evtchn.Machine, ctx int) partID {
	if ctx >= m.Contexts() {
		return nothing
	}
	k.buf = k.keys.AppendContext(k.buf[:0], m, ctx)
	return k.contexts(ctx).add(k.buf, func(p *part) { k.known(p, m, ctx) })
}

// known puts in what is known of a context.
func (k *writer) known(p *part, m *evtchn.Machine, ctx int) {
	p.idle = ctx < k.sys.sc.VCPUs && m.Idle(evtchn.VCPU(ctx))
	names := m.Names(ctx)
	p.names = mask(names[0])
	if k.sys.polls { // whoever looks for pollers looks at all
		p.names = 1<<k.sys.sc.VCPUs - 1
	}
}

// contexts is the book that a context is in.
func (k *writer) contexts(ctx int) *book {
	if ctx < k.sys.sc.VCPUs {
		return k.stacks
	}
	return k.paths
}

// getShared makes the machine one with that part, with vcpus as at the origin, in which no context does anything.
func (k *writer) getShared(m *evtchn.Machine, id partID) {
	must(k.keys.LoadShared(m, k.shared.textOf(k.shared.get(id))))
}

// getVCPU brings a vcpu of the machine into that state.
func (k *writer) getVCPU(m *evtchn.Machine, v int, id partID) {
	must(k.keys.LoadVCPU(m, v, k.vcpus.textOf(k.vcpus.get(id))))
}

// getContext gives a context of the machine that part.
func (k *writer) getContext(m *evtchn.Machine, ctx int, id partID) {
	b := k.contexts(ctx)
	must(k.keys.LoadContext(m, ctx, b.textOf(b.get(id))))
}

// putText gives the number of a part, known by its text, of one of the books of worlds. It uses a world to find out what it is.
func (k *writer) putText(bk *book, text []byte, w *World) (id partID, err error) {
	m := w.m
	switch bk {
	case k.actors:
		if !k.wellFormed(text) {
			return 0, errPart
		}
		id = bk.add(text, func(*part) {})
		k.getActors(&w.actors, id)
		bk.get(id).will = w.willing()
	case k.shared:
		if rest, err := k.keys.LoadShared(m, text); err != nil || len(rest) > 0 {
			return 0, errPart
		}
		id = bk.add(text, func(p *part) { p.queued = k.sys.queued(m) })
	case k.vcpus:
		if rest, err := k.keys.LoadVCPU(m, 0, text); err != nil || len(rest) > 0 {
			return 0, errPart
		}
		id = bk.add(text, func(p *part) { p.can = vcpuCan(&m.V[0]) })
	default:
		ctx := 0
		if bk == k.paths {
			ctx = len(m.V)
		}
		if rest, err := k.keys.LoadContext(m, ctx, text); err != nil || len(rest) > 0 {
			return 0, errPart
		}
		id = bk.add(text, func(p *part) { k.known(p, m, ctx) })
	}
	return id, nil
}

var errPart = errors.New("it cannot be read")

// wellFormed reports whether getActors can read a text.
func (k *writer) wellFormed(b []byte) bool {
	for range k.sys.b.Tasks {
		if len(b) == 0 || serveStep(b[0]>>4&3) == toWrite && len(b) == 1 {
			return false
		}
		if serveStep(b[0]>>4&3) == toWrite {
			b = b[1:]
		}
		b = b[1:]
	}
	for range k.sys.b.Ports {
		if len(b) == 0 {
			return false
		}
		_, n := binary.Uvarint(b[1:])
		if n <= 0 {
			return false
		}
		b = b[1+n:]
	}
	n := 0
	if k.sys.ticking {
		n = k.sys.sc.VCPUs + 1
	}
	if k.sys.b.Preempt > 0 {
		n++
	}
	return len(b) == n
}

// must is about parts that were written here.
func must(_ []byte, err error) {
	if err != nil {
		panic("explore: internal error: " + err.Error())
	}
}

func flag(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}

// row is a world as numbers of parts: of its actors, of what is shared, of each vcpu's state, of each vcpu's context, and of the foreign
// paths. These are in the order of their prints if they are not told apart; otherwise by number, and nothing stands where there is none.
type row []partID

// Places in a row.
const (
	placeActors = 0
	placeShared = 1
	placeVCPUs  = 2
)

// stacksAt is the place of the first context in a row, pathsAt that of the first foreign one.
func (b *books) stacksAt() int { return placeVCPUs + b.sys.sc.VCPUs }
func (b *books) pathsAt() int  { return placeVCPUs + 2*b.sys.sc.VCPUs }

// put appends the row of a world.
func (k *writer) put(r row, w *World) row {
	r = append(r, k.putActors(&w.actors), k.putShared(w.m))
	for v := range w.m.V {
		r = append(r, k.putVCPU(w.m, v))
	}
	for c := range w.m.Contexts() {
		r = append(r, k.putContext(w.m, c))
	}
	return k.order(r)
}

// get makes w the world of a row.
func (k *writer) get(w *World, r row) {
	k.getActors(&w.actors, r[placeActors])
	k.getShared(w.m, r[placeShared])
	for v, id := range r[placeVCPUs:k.stacksAt()] {
		k.getVCPU(w.m, v, id)
	}
	for c, id := range r[k.stacksAt():] {
		k.getContext(w.m, c, id)
	}
}

// order brings the foreign paths of a row into their order.
func (k *writer) order(r row) row {
	from := k.pathsAt()
	n := from
	for i := from; i < len(r); i++ {
		if !k.symmetric {
			if r[i] != nothing {
				n = i + 1
			}
			continue
		}
		id := r[i]
		if id == nothing {
			continue
		}
		j := n
		for ; j > from && k.paths.get(id).before(k.paths.get(r[j-1])); j-- {
			r[j] = r[j-1]
		}
		r[j] = id
		n++
	}
	return r[:n]
}

func (p *part) before(q *part) bool { return p.print.hi < q.print.hi }

// contextOf gives the context of a world that stands at a place of its row: rows put foreign paths in their own order.
func (k *writer) contextOf(w *World, place int) int {
	nv := k.sys.sc.VCPUs
	if place < nv || !k.symmetric {
		return place
	}
	var paths []int
	for c := nv; c < w.m.Contexts(); c++ {
		if k.putContext(w.m, c) != nothing {
			paths = append(paths, c)
		}
	}
	slices.SortStableFunc(paths, func(a, b int) int {
		p, q := k.paths.get(k.putContext(w.m, a)), k.paths.get(k.putContext(w.m, b))
		switch {
		case p.before(q):
			return -1
		case q.before(p):
			return 1
		}
		return 0
	})
	if place-nv >= len(paths) {
		return -1
	}
	return paths[place-nv]
}

// prints appends the prints of a row's parts, from a place on.
func (k *writer) prints(ps []print, r row, from int) []print {
	for i := from; i < len(r); i++ {
		ps = append(ps, k.book(i).get(r[i]).print)
	}
	return ps
}

// print is the fingerprint of a row: of the prints of its parts.
func (k *writer) print(ps []print) print {
	b := k.buf[:0]
	if k.shared.wide {
		for i := range ps {
			b = binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(b, ps[i].hi), ps[i].lo)
		}
		k.buf = b
		h := xxh3.Hash128(b)
		return print{h.Hi, h.Lo}
	}
	for i := range ps {
		b = binary.LittleEndian.AppendUint64(b, ps[i].hi)
	}
	k.buf = b
	return print{hi: xxh3.Hash(b)}
}

// appendRow writes a row down.
func (k *writer) appendRow(b []byte, r row) []byte {
	b = append(b, byte(len(r)-k.pathsAt()))
	for _, id := range r {
		b = binary.AppendUvarint(b, uint64(id))
	}
	return b
}

// readRow reads a row that appendRow wrote, and gives what follows.
func (k *writer) readRow(r row, b []byte) (row, []byte) {
	n := k.pathsAt() + int(b[0])
	b = b[1:]
	for range n {
		if b[0] < 0x80 {
			r, b = append(r, partID(b[0])), b[1:]
			continue
		}
		id, size := binary.Uvarint(b)
		r, b = append(r, partID(id)), b[size:]
	}
	return r, b
}

// checkRow is readRow for one that may not have been written here: it reports whether it is a row of parts that there are.
func (k *writer) checkRow(r row, b []byte) (row, []byte, bool) {
	if len(b) == 0 {
		return r, b, false
	}
	n := k.pathsAt() + int(b[0])
	b = b[1:]
	for i := range n {
		id, size := binary.Uvarint(b)
		if size <= 0 || id >= uint64(k.book(i).n) {
			return r, b, false
		}
		r, b = append(r, partID(id)), b[size:]
	}
	return r, b, true
}

// book is the book of the parts at a place of rows.
func (b *books) book(place int) *book {
	switch {
	case place == placeActors:
		return b.actors
	case place == placeShared:
		return b.shared
	case place < b.stacksAt():
		return b.vcpus
	case place < b.pathsAt():
		return b.stacks
	}
	return b.paths
}
