package evtchn

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// Keys writes machines as short keys, and makes machines of keys. All machines come from one origin, by Clone or CopyFrom and
// steps; a key says in what a machine differs from it.
//
// A key holds everything that decides what the machine can do next and what holds of it now: shared memory, run states,
// records of ports, the procedures under way, what each context owes, whether a port goes unnoticed. It does not hold how it
// came to that: numbers and times of events, what was swallowed, for which port a SEL bit was set, how many ports an upcall
// has handled. So machines with equal keys go on alike; the events that they give can differ in Seq, Time and Cause, and in
// how many ports upcall.exit says were handled.
//
// With Symmetric, two machines have the same key too if they differ only in the numbers of their foreign paths. These are
// interchangeable: a path is a number by which Xen's work for somebody outside is told apart from other such work.
type Keys struct {
	Symmetric bool

	base  *Machine
	flags []byte   // of the ports of base
	parts [][2]int // of the scratch space: where the key of each foreign path begins and ends
	space []byte
	order []int
}

// ErrKey is the class of errors about keys that cannot be read.
var ErrKey = errors.New("evtchn: bad key")

// NewKeys makes keys of machines that have the same origin as base, which is copied.
func NewKeys(base *Machine, symmetric bool) *Keys {
	k := &Keys{Symmetric: symmetric, base: base.Clone()}
	for p := range k.base.P {
		k.flags = append(k.flags, k.base.portFlags(Port(p), &k.base.P[p]))
	}
	return k
}

// Flags of a port's entry in a key.
const (
	keyPend = 1 << iota
	keyMask
	keyActive
	keyRequest
	keyUnnoticed
	keyTold   // Own or Held is not empty
	keyRecord // the records follow
)

// Flags of a vcpu's entry.
const (
	keyBlocked = 1 << iota
	keyPolling
	keyInUpcall
	keyInXen
	keyOwes   // its lanes follow
	keyMemory // accept masks, scan position, requests, ports of its own follow
	keyDepth  // procedures under way follow
	keyKicks
)

// Append appends the machine's key. Keys are self-delimiting.
func (k *Keys) Append(b []byte, m *Machine) []byte {
	base := k.base
	b = append(b, byte(m.lock+1))
	b = appendNum(b, uint64(len(m.P)))
	// Ports that are as they were at the origin are left out.
	at, n := len(b), 0
	b = append(b, 0)
	for i := 1; i < len(m.P); i++ {
		p := Port(i)
		ps := &m.P[i]
		f := m.portFlags(p, ps)
		if i >= len(base.P) {
			f |= keyRecord
		} else {
			q := &base.P[i]
			if ps.Status != q.Status || ps.Notify != q.Notify || ps.Peer != q.Peer || ps.Owner != q.Owner || ps.Handler != q.Handler ||
				ps.User != q.User || ps.Reasons != q.Reasons {
				f |= keyRecord
			} else if f == k.flags[i] && f&keyTold == 0 {
				continue
			}
		}
		n++
		b = appendNum(b, uint64(p))
		b = append(b, f)
		if f&keyTold != 0 {
			b = k.appendSet(b, &ps.Own)
			b = k.appendSet(b, &ps.Held)
		}
		if f&keyRecord != 0 {
			b = append(b, byte(ps.Status), byte(ps.Handler), ps.Reasons)
			b = appendNum(b, uint64(ps.Notify+1))
			b = appendNum(b, uint64(ps.Owner+1))
			b = appendNum(b, uint64(ps.User+1))
			b = appendNum(b, ps.Peer)
		}
	}
	if n < 0x80 {
		b[at] = byte(n)
	} else { // rare: the number takes more than the byte that was left for it
		rest := append([]byte(nil), b[at+1:]...)
		b = append(appendNum(b[:at], uint64(n)), rest...)
	}
	for v := range m.V {
		b = k.appendVCPU(b, m, v)
	}
	b = k.appendForeign(b, m)
	held := 0
	for _, h := range m.infos {
		if h != 0 {
			held++
		}
	}
	b = append(b, byte(held))
	for p, h := range m.infos {
		if h != 0 {
			b = append(appendNum(b, uint64(p)), byte(h))
		}
	}
	for t := range m.rings {
		b = appendNum(b, uint64(m.taskCPU[t]))
		b = appendPorts(b, m.rings[t])
	}
	for i := range m.remotes {
		b = appendNum(b, uint64(m.remotes[i].Local))
	}
	return b
}

func (s *State) portFlags(p Port, ps *PortState) byte {
	var f byte
	w, m := s.locate(p)
	if s.Pend.Val[w]&m != 0 {
		f = keyPend
		// Whose SEL was set for the port matters for an event only; the next begins with nobody told.
		if !ps.Own.Empty() || !ps.Held.Empty() {
			f |= keyTold
		}
	}
	if s.Mask.Val[w]&m != 0 {
		f |= keyMask
	}
	if ps.Active {
		f |= keyActive
	}
	if ps.Request {
		f |= keyRequest
	}
	if ps.UnnoticedSeq != 0 {
		f |= keyUnnoticed
	}
	return f
}

func (k *Keys) appendSet(b []byte, s *VCPUSet) []byte {
	b = appendNum(b, s[0])
	if len(k.base.V) > 64 {
		b = appendNum(b, s[1])
	}
	return b
}

func (k *Keys) appendVCPU(b []byte, m *Machine, v int) []byte {
	vc, c, g := &m.V[v], &m.ctx[v], &m.guest[v]
	bvc, bg := &k.base.V[v], &k.base.guest[v]
	words := m.usedWords(max(len(m.P), len(k.base.P)))
	var f byte
	if vc.Blocked {
		f |= keyBlocked
	}
	if vc.Polling {
		f |= keyPolling
	}
	if vc.InUpcall {
		f |= keyInUpcall
	}
	if vc.InXen {
		f |= keyInXen
	}
	task, upcall := &m.lanes[v], &m.lanes[len(m.V)+v]
	if !task.idle() || !upcall.idle() {
		f |= keyOwes
	}
	if c.depth > 0 {
		f |= keyDepth
	}
	if vc.Kicks > 0 {
		f |= keyKicks
	}
	if g.word != bg.word || g.bit != bg.bit || len(g.requests) > 0 || g.virq != bg.virq || m.ipi[v] != k.base.ipi[v] {
		f |= keyMemory
	} else {
		for w := range words {
			if vc.Accept[w] != bvc.Accept[w] {
				f |= keyMemory
				break
			}
		}
	}
	b = append(b, f, byte(vc.Up)|byte(vc.Umask)<<2|byte(vc.Run)<<4)
	b = appendNum(b, vc.Sel)
	if f&keyPolling != 0 {
		b = appendNum(b, uint64(vc.PollPort))
	}
	if f&keyKicks != 0 {
		b = appendNum(b, uint64(vc.Kicks))
	}
	if f&keyOwes != 0 {
		b = appendLane(b, task)
		b = appendLane(b, upcall)
	}
	if f&keyMemory != 0 {
		for w := range words {
			b = appendNum(b, vc.Accept[w]^bvc.Accept[w])
		}
		b = append(b, byte(g.word), byte(g.bit))
		b = appendPorts(b, g.requests)
		b = appendPorts(b, g.virq[:])
		b = appendNum(b, uint64(g.timer))
		b = appendNum(b, uint64(m.ipi[v]))
	}
	if f&keyDepth != 0 {
		b = appendContext(b, c)
	}
	return b
}

func appendLane(b []byte, l *lane) []byte {
	for _, d := range [2]duty{l.duty, l.outer} {
		b = append(b, byte(d.phase))
		if d.phase != owesNothing {
			b = appendNum(b, uint64(d.port))
			b = append(b, byte(d.target+1))
		}
	}
	return b
}

// Flags of a frame in a key.
const (
	keyOn = 1 << iota
	keyTellOnly
	keyV
	keyWord
	keyBits
	keyA
	keyB
	keyResult
)

// freshUntil says up to which step an upcall has not yet taken SEL: what its frame holds of an earlier round means nothing.
var freshUntil = [procEnd]uint8{procUpcall2005: 2, procUpcallAny: 2, procUpcallResend: 2, procUpcallSnapshot: 3}

func appendContext(b []byte, c *context) []byte {
	// Results of hypercalls that an upcall makes are used at once, if at all; its exit restores those of what it interrupted.
	if (c.errno != 0 || c.value != 0) && !c.inUpcall() {
		b = append(b, byte(c.depth)|0x80, byte(c.errno))
		b = appendNum(b, c.value)
	} else {
		b = append(b, byte(c.depth))
	}
	for i := range c.depth {
		f := &c.frames[i]
		var fl byte
		if f.errno != 0 || f.value != 0 {
			fl |= keyResult
		}
		if f.count < 0 {
			fl |= keyTellOnly
		}
		if f.v != NoVCPU {
			fl |= keyV
		}
		if f.pc >= freshUntil[f.proc] {
			if f.on {
				fl |= keyOn
			}
			if f.word != 0 {
				fl |= keyWord
			}
			if f.bits != 0 {
				fl |= keyBits
			}
			if f.a != 0 {
				fl |= keyA
			}
			if f.b != 0 {
				fl |= keyB
			}
		}
		b = append(b, byte(f.proc), f.pc, fl, byte(f.ctx>>12))
		if f.ctx.Class() == CtxTask {
			b = appendNum(b, uint64(f.ctx.Num()))
		}
		b = appendNum(b, uint64(f.port))
		if fl&keyV != 0 {
			b = append(b, byte(f.v))
		}
		if fl&keyWord != 0 {
			b = appendNum(b, uint64(f.word+1))
		}
		if fl&keyBits != 0 {
			b = appendNum(b, f.bits)
		}
		if fl&keyA != 0 {
			b = appendNum(b, f.a)
		}
		if fl&keyB != 0 {
			b = appendNum(b, f.b)
		}
		if fl&keyResult != 0 {
			b = append(b, byte(f.errno))
			b = appendNum(b, f.value)
		}
	}
	return b
}

// appendForeign writes the foreign paths: by number with gaps, or as a sorted list.
func (k *Keys) appendForeign(b []byte, m *Machine) []byte {
	nv := len(m.V)
	last := len(m.ctx)
	for last > nv && m.ctx[last-1].depth == 0 {
		last--
	}
	if last == nv {
		return append(b, 0)
	}
	k.space, k.parts = k.space[:0], k.parts[:0]
	for i := nv; i < last; i++ {
		if m.ctx[i].depth == 0 && k.Symmetric {
			continue
		}
		from := len(k.space)
		k.space = k.appendPath(k.space, m, i)
		k.parts = append(k.parts, [2]int{from, len(k.space)})
	}
	b = append(b, byte(len(k.parts)))
	k.sortParts()
	for _, p := range k.parts {
		b = append(b, k.space[p[0]:p[1]]...)
	}
	return b
}

func (k *Keys) appendPath(b []byte, m *Machine, ctx int) []byte {
	c := &m.ctx[ctx]
	if c.depth == 0 {
		return append(b, 0)
	}
	b = append(b, 1)
	l := lane{}
	if i := len(m.V) + ctx; i < len(m.lanes) {
		l = m.lanes[i]
	}
	return appendContext(appendLane(b, &l), c)
}

func (k *Keys) sortParts() {
	if !k.Symmetric {
		return
	}
	for i := 1; i < len(k.parts); i++ {
		for j := i; j > 0; j-- {
			p, q := k.parts[j-1], k.parts[j]
			if bytes.Compare(k.space[p[0]:p[1]], k.space[q[0]:q[1]]) <= 0 {
				break
			}
			k.parts[j-1], k.parts[j] = q, p
		}
	}
}

// Contexts gives the contexts of the machine in the order in which a machine made of its key has them: context i of that
// machine is context Contexts(m)[i] of this one. The result is valid until the next call.
func (k *Keys) Contexts(m *Machine) []int {
	k.order = k.order[:0]
	for i := range m.V {
		k.order = append(k.order, i)
	}
	if !k.Symmetric {
		for i := len(m.V); i < len(m.ctx); i++ {
			k.order = append(k.order, i)
		}
		return k.order
	}
	var a, b []byte
	for i := len(m.V); i < len(m.ctx); i++ {
		if m.ctx[i].depth == 0 {
			continue
		}
		k.order = append(k.order, i)
		for j := len(k.order) - 1; j > len(m.V); j-- {
			a, b = k.appendPath(a[:0], m, k.order[j-1]), k.appendPath(b[:0], m, k.order[j])
			if bytes.Compare(a, b) <= 0 {
				break
			}
			k.order[j-1], k.order[j] = k.order[j], k.order[j-1]
		}
	}
	return k.order
}

func appendPorts(b []byte, ps []Port) []byte {
	b = appendNum(b, uint64(len(ps)))
	for _, p := range ps {
		b = appendNum(b, uint64(p))
	}
	return b
}

func appendNum(b []byte, v uint64) []byte {
	if v < 0x80 {
		return append(b, byte(v))
	}
	return binary.AppendUvarint(b, v)
}

// Load makes m, a machine of the same origin, the one that the key was made of, and returns what follows the key. Errors are of
// class ErrKey; m is then not to be used.
func (k *Keys) Load(m *Machine, b []byte) (rest []byte, err error) {
	base := k.base
	m.CopyFrom(base)
	d := keyReader{b: b}
	m.lock = int32(d.byte()) - 1
	np := int(d.num())
	if np > m.Ports() || int(m.lock) >= len(m.V) {
		return nil, fmt.Errorf("%w: %d ports, lock held by %d", ErrKey, np, m.lock)
	}
	if np > len(m.P) {
		m.PortAt(Port(np - 1))
	}
	for n := d.num(); n > 0 && !d.bad; n-- {
		p := Port(d.num())
		if p == NoPort || int(p) >= len(m.P) {
			return nil, fmt.Errorf("%w: port %d, want 1 to %d", ErrKey, p, len(m.P)-1)
		}
		ps := &m.P[p]
		f := d.byte()
		w, mask := m.locate(p)
		m.Pend.set(w, mask, Bit(f&keyPend))
		m.Mask.set(w, mask, Bit(f&keyMask>>1))
		ps.Active, ps.Request = f&keyActive != 0, f&keyRequest != 0
		ps.PendSeq, ps.ExposedSeq, ps.UnnoticedSeq = 0, 0, 0
		ps.Own, ps.Held = VCPUSet{}, VCPUSet{}
		if f&keyPend != 0 {
			ps.PendSeq = 1
		}
		if f&(keyPend|keyMask) == keyPend {
			ps.ExposedSeq = 1
		}
		if f&keyUnnoticed != 0 {
			ps.UnnoticedSeq = 1
		}
		if f&keyTold != 0 {
			d.set(k, &ps.Own)
			d.set(k, &ps.Held)
		}
		if f&keyRecord != 0 {
			ps.Status, ps.Handler, ps.Reasons = PortStatus(d.byte()), Handler(d.byte()), d.byte()
			ps.Notify, ps.Owner, ps.User = VCPU(d.num())-1, VCPU(d.num())-1, int32(d.num())-1
			ps.Peer = d.num()
		}
	}
	for l := range m.lanes {
		m.lanes[l] = lane{}
	}
	for v := range m.V {
		m.V[v].owed = 0
	}
	for p := range m.P {
		m.P[p].duties = 0
	}
	for v := range m.V {
		k.loadVCPU(m, v, &d)
	}
	n := int(d.byte())
	for i := range n {
		ctx := len(m.V) + i
		if ctx == len(m.ctx) {
			m.ctx = append(m.ctx, context{id: int32(ctx), vcpu: NoVCPU})
		}
		if d.byte() == 0 {
			m.ctx[ctx].depth = 0
			continue
		}
		for len(m.V)+ctx >= len(m.lanes) {
			m.lanes = append(m.lanes, lane{})
		}
		d.lane(m, len(m.V)+ctx)
		d.context(&m.ctx[ctx], ForeignCtx(i))
	}
	for i := len(m.V) + n; i < len(m.ctx); i++ {
		m.ctx[i].depth = 0
	}
	m.infos = m.infos[:0]
	for n := d.byte(); n > 0 && !d.bad; n-- {
		p, h := int(d.num()), int32(d.byte())
		if p >= len(m.P) {
			return nil, fmt.Errorf("%w: lock of port %d, want at most %d", ErrKey, p, len(m.P)-1)
		}
		for p >= len(m.infos) {
			m.infos = append(m.infos, 0)
		}
		m.infos[p] = h
	}
	for t := range m.rings {
		m.taskCPU[t] = VCPU(d.num())
		m.rings[t] = d.ports(m.rings[t])
	}
	for i := range m.remotes {
		m.remotes[i].Local = Port(d.num())
	}
	for v := range m.V {
		m.V[v].heedless = m.Heedless(VCPU(v))
	}
	m.exposed = m.exposed[:0]
	for p := range m.P {
		if m.P[p].ExposedSeq != 0 {
			m.exposed = append(m.exposed, Port(p))
		}
	}
	if d.bad {
		return nil, fmt.Errorf("%w: it ends too early", ErrKey)
	}
	return d.b, nil
}

func (k *Keys) loadVCPU(m *Machine, v int, d *keyReader) {
	vc, c, g := &m.V[v], &m.ctx[v], &m.guest[v]
	f, regs := d.byte(), d.byte()
	vc.Blocked, vc.Polling, vc.InUpcall, vc.InXen = f&keyBlocked != 0, f&keyPolling != 0, f&keyInUpcall != 0, f&keyInXen != 0
	vc.Up, vc.Umask, vc.Run = Bit(regs&3), Bit(regs>>2&3), RunState(regs>>4)
	vc.Sel, vc.PollPort, vc.Kicks = d.num(), NoPort, 0
	if f&keyPolling != 0 {
		vc.PollPort = Port(d.num())
	}
	if f&keyKicks != 0 {
		vc.Kicks = int32(d.num())
	}
	if f&keyOwes != 0 {
		d.lane(m, v)
		d.lane(m, len(m.V)+v)
	}
	if f&keyMemory != 0 {
		for w := range m.usedWords(max(len(m.P), len(k.base.P))) {
			vc.Accept[w] = k.base.V[v].Accept[w] ^ d.num()
		}
		g.word, g.bit = int(d.byte()), int(d.byte())
		g.requests = d.ports(g.requests)
		d.bad = d.num() != numVIRQs || d.bad
		for i := range g.virq {
			g.virq[i] = Port(d.num())
		}
		g.timer, m.ipi[v] = Port(d.num()), Port(d.num())
	}
	c.depth, c.errno, c.value = 0, 0, 0
	if f&keyDepth != 0 {
		d.context(c, CtxNone)
	}
}

// keyReader reads a key that Append wrote. Of one that it did not write it reads something, without a panic.
type keyReader struct {
	b   []byte
	bad bool
}

func (d *keyReader) byte() byte {
	if len(d.b) == 0 {
		d.bad = true
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

func (d *keyReader) num() uint64 {
	if len(d.b) > 0 && d.b[0] < 0x80 {
		c := d.b[0]
		d.b = d.b[1:]
		return uint64(c)
	}
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *keyReader) set(k *Keys, s *VCPUSet) {
	s[0] = d.num()
	if len(k.base.V) > 64 {
		s[1] = d.num()
	}
}

func (d *keyReader) ports(ps []Port) []Port {
	ps = ps[:0]
	for n := d.num(); n > 0 && !d.bad; n-- {
		ps = append(ps, Port(d.num()))
	}
	return ps
}

func (d *keyReader) lane(m *Machine, at int) {
	l := &m.lanes[at]
	for _, o := range [2]*duty{&l.duty, &l.outer} {
		*o = duty{phase: dutyPhase(d.byte()), target: NoVCPU}
		if o.phase == owesNothing {
			continue
		}
		o.port, o.target = Port(d.num()), VCPU(d.byte())-1
		if int(o.port) >= len(m.P) || int(o.target) >= len(m.V) {
			d.bad = true
			*o = duty{target: NoVCPU}
			continue
		}
		m.P[o.port].duties++
		if o.target >= 0 {
			m.V[o.target].owed++
		}
	}
}

func (d *keyReader) context(c *context, foreign Context) {
	n := d.byte()
	c.depth, c.errno, c.value = int(n&0x7f), 0, 0
	if n&0x80 != 0 {
		c.errno, c.value = int16(int8(d.byte())), d.num()
	}
	if c.depth > maxDepth {
		c.depth, d.bad = 0, true
	}
	for i := range c.depth {
		f := &c.frames[i]
		*f = frame{proc: procID(d.byte()), pc: d.byte(), v: NoVCPU}
		fl := d.byte()
		switch f.ctx = Context(d.byte()) << 12; f.ctx {
		case CtxTask:
			f.ctx = TaskCtx(int(d.num()))
		case CtxForeign:
			f.ctx = foreign
		}
		f.port = Port(d.num())
		f.on = fl&keyOn != 0
		if fl&keyTellOnly != 0 {
			f.count = tellOnly
		}
		if fl&keyV != 0 {
			f.v = VCPU(int8(d.byte()))
		}
		if fl&keyWord != 0 {
			f.word = int32(d.num()) - 1
		}
		if fl&keyBits != 0 {
			f.bits = d.num()
		}
		if fl&keyA != 0 {
			f.a = d.num()
		}
		if fl&keyB != 0 {
			f.b = d.num()
		}
		if fl&keyResult != 0 {
			f.errno, f.value = int16(int8(d.byte())), d.num()
		}
		if f.proc >= procEnd || f.proc == procNone {
			f.proc, d.bad = procReset, true
		}
	}
}
