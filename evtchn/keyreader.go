package evtchn

import (
	"encoding/binary"
	"fmt"
)

// Load makes m, a machine of the same origin, the one that the key was made of, and returns what follows the key. Errors are of
// class ErrKey; m is then not to be used.
func (k *Keys) Load(m *Machine, b []byte) (rest []byte, err error) {
	if b, err = k.LoadShared(m, b); err != nil {
		return nil, err
	}
	for v := range m.V {
		if b, err = k.LoadVCPU(m, v, b); err != nil {
			return nil, err
		}
		if b, err = k.LoadContext(m, v, b); err != nil {
			return nil, err
		}
	}
	if len(b) == 0 {
		return nil, errCutKey
	}
	n, b := int(b[0]), b[1:]
	for i := range n {
		if b, err = k.LoadContext(m, len(m.V)+i, b); err != nil {
			return nil, err
		}
	}
	return b, nil
}

var errCutKey = fmt.Errorf("%w: it ends too early", ErrKey)

// LoadShared makes m, a machine of the same origin, one in which what all share is as the part says, in which every vcpu is in the state
// that it has at the origin, and no context does anything. It returns what follows the part. Errors are of class ErrKey; m is then not to be used.
func (k *Keys) LoadShared(m *Machine, b []byte) (rest []byte, err error) {
	m.CopyFrom(k.base)
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
		if ps.duties = 0; f&keyDuties != 0 {
			ps.duties = int32(d.num())
		}
	}
	clear(m.lanes)
	for i := range m.ctx {
		m.ctx[i].depth, m.ctx[i].errno, m.ctx[i].value = 0, 0, 0
	}
	for v := range m.V {
		k.loadGuest(m, v, &d)
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
	m.exposed = m.exposed[:0]
	for p := range m.P {
		if m.P[p].ExposedSeq != 0 {
			m.exposed = append(m.exposed, Port(p))
		}
	}
	if d.bad {
		return nil, errCutKey
	}
	return d.b, nil
}

// LoadContext gives a context of m the part that the key has of it, and returns what follows the part. In m nothing else changes:
// what the context owes was counted in the shared part. Errors are of class ErrKey; m is then not to be used.
func (k *Keys) LoadContext(m *Machine, ctx int, b []byte) (rest []byte, err error) {
	for ctx >= len(m.ctx) {
		m.ctx = append(m.ctx, context{id: int32(len(m.ctx)), vcpu: NoVCPU})
	}
	d := keyReader{b: b}
	at, foreign := ctx, CtxNone
	if ctx >= len(m.V) {
		at, foreign = len(m.V)+ctx, ForeignCtx(ctx-len(m.V))
		for at >= len(m.lanes) {
			m.lanes = append(m.lanes, lane{})
		}
	}
	m.lanes[at] = lane{}
	owes := d.byte() != 0
	if owes {
		d.lane(m, at)
	}
	if ctx < len(m.V) {
		if m.lanes[len(m.V)+ctx] = (lane{}); owes {
			d.lane(m, len(m.V)+ctx)
		}
	}
	d.context(&m.ctx[ctx], foreign)
	if d.bad {
		return nil, errCutKey
	}
	return d.b, nil
}

func (k *Keys) loadGuest(m *Machine, v int, d *keyReader) {
	vc, g := &m.V[v], &m.guest[v]
	f := d.byte()
	vc.heedless = f&keyHeedless != 0
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
}

// LoadVCPU brings a vcpu of m into the state that the part says, and returns what follows the part. Errors are of class ErrKey; m is then
// not to be used.
func (k *Keys) LoadVCPU(m *Machine, v int, b []byte) (rest []byte, err error) {
	vc, d := &m.V[v], keyReader{b: b}
	f, regs := d.byte(), d.byte()
	vc.Blocked, vc.Polling, vc.InUpcall, vc.InXen = f&keyBlocked != 0, f&keyPolling != 0, f&keyInUpcall != 0, f&keyInXen != 0
	vc.Up, vc.Umask, vc.Run = Bit(regs&3), Bit(regs>>2&3), RunState(regs>>4)
	vc.Sel, vc.PollPort, vc.Kicks, vc.owed = d.num(), NoPort, 0, 0
	if f&keyPolling != 0 {
		vc.PollPort = Port(d.num())
	}
	if f&keyKicks != 0 {
		vc.Kicks = int32(d.num())
	}
	if f&keyOwed != 0 {
		vc.owed = int32(d.num())
	}
	if d.bad {
		return nil, errCutKey
	}
	return d.b, nil
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
