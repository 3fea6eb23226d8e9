package evtchn

import (
	"bytes"
	"encoding/binary"
	"errors"
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
//
// # Parts
//
// A key is put together from parts: one of what all share (AppendShared), one of each vcpu's state (AppendVCPU), and one of each
// context, its procedures and what it owes (AppendContext). A step depends on the shared part, on the context's own, on the state of
// the context's vcpu and of those that it Names, and changes no other. What others owe is counted where they owe it, by port in the
// shared part and by vcpu in that of the vcpu. Whether a vcpu is heedless, on which it depends whether a port is noticed, is noted in the
// shared part. So what a step does can be found out, once for all, on a machine that has these parts, in which the other vcpus are as
// at the origin and the other contexts do nothing.
//
// There are exceptions. A request to a port's owner takes the place of what anybody owes to the port: see Far. Whoever looks for
// pollers looks at all vcpus. Whoever asks InHandler about another vcpu looks at its context.
type Keys struct {
	Symmetric bool

	base  *Machine
	flags []byte   // of the ports of base
	parts [][2]int // of the scratch space: where the part of each foreign path begins and ends
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
	keyDuties // how many contexts owe it something follows
)

// Flags of a vcpu's entry.
const (
	keyBlocked = 1 << iota
	keyPolling
	keyInUpcall
	keyInXen
	keyOwed // how many contexts owe it something follows
	keyKicks
)

// Flags of what is shared about a vcpu.
const (
	keyMemory   = 1 << iota // accept masks, scan position, requests, ports of its own follow
	keyHeedless             // as was noted
)

// Far reports whether the event's effect goes beyond what the contexts share and the context whose step it is: it ends what other
// contexts owe.
func (e *Event) Far() bool { return e.Kind == KindRequestPush }

// Append appends the machine's key. Keys are self-delimiting.
func (k *Keys) Append(b []byte, m *Machine) []byte {
	b = k.AppendShared(b, m)
	for v := range m.V {
		b = k.AppendVCPU(b, m, v)
		b = k.AppendContext(b, m, v)
	}
	return k.appendForeign(b, m)
}

// AppendShared appends the part that all share: everything but states of vcpus, procedures, and what each context owes.
func (k *Keys) AppendShared(b []byte, m *Machine) []byte {
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
		if ps.duties != 0 {
			f |= keyDuties
		}
		if i >= len(base.P) {
			f |= keyRecord
		} else {
			q := &base.P[i]
			if ps.Status != q.Status || ps.Notify != q.Notify || ps.Peer != q.Peer || ps.Owner != q.Owner || ps.Handler != q.Handler ||
				ps.User != q.User || ps.Reasons != q.Reasons {
				f |= keyRecord
			} else if f == k.flags[i] && f&(keyTold|keyDuties) == 0 {
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
		if f&keyDuties != 0 {
			b = appendNum(b, uint64(ps.duties))
		}
	}
	if n < 0x80 {
		b[at] = byte(n)
	} else { // rare: the number takes more than the byte that was left for it
		rest := append([]byte(nil), b[at+1:]...)
		b = append(appendNum(b[:at], uint64(n)), rest...)
	}
	for v := range m.V {
		b = k.appendGuest(b, m, v)
	}
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

// appendGuest appends what is shared about a vcpu: what the guest keeps for it, and whether it is heedless.
func (k *Keys) appendGuest(b []byte, m *Machine, v int) []byte {
	vc, g := &m.V[v], &m.guest[v]
	bvc, bg := &k.base.V[v], &k.base.guest[v]
	words := m.usedWords(max(len(m.P), len(k.base.P)))
	var f byte
	if vc.heedless {
		f |= keyHeedless
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
	b = append(b, f)
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
	return b
}

// AppendVCPU appends the part of one vcpu: its state.
func (k *Keys) AppendVCPU(b []byte, m *Machine, v int) []byte {
	vc := &m.V[v]
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
	if vc.owed != 0 {
		f |= keyOwed
	}
	if vc.Kicks > 0 {
		f |= keyKicks
	}
	b = append(b, f, byte(vc.Up)|byte(vc.Umask)<<2|byte(vc.Run)<<4)
	b = appendNum(b, vc.Sel)
	if f&keyPolling != 0 {
		b = appendNum(b, uint64(vc.PollPort))
	}
	if f&keyKicks != 0 {
		b = appendNum(b, uint64(vc.Kicks))
	}
	if f&keyOwed != 0 {
		b = appendNum(b, uint64(vc.owed))
	}
	return b
}

// AppendContext appends the part of one context: what it owes, and the procedures that it is in. One that does nothing and owes
// nothing has a part of two zeros, whatever its number.
func (k *Keys) AppendContext(b []byte, m *Machine, ctx int) []byte {
	c := &m.ctx[ctx]
	if ctx >= len(m.V) {
		if i := len(m.V) + ctx; c.depth > 0 && i < len(m.lanes) && !m.lanes[i].idle() {
			b = appendLane(append(b, 1), &m.lanes[i])
		} else {
			b = append(b, 0)
		}
		return appendContext(b, c)
	}
	if task, upcall := &m.lanes[ctx], &m.lanes[len(m.V)+ctx]; !task.idle() || !upcall.idle() {
		b = appendLane(appendLane(append(b, 1), task), upcall)
	} else {
		b = append(b, 0)
	}
	return appendContext(b, c)
}

// AtRest reports whether a context is in no procedure and owes nothing.
func (m *Machine) AtRest(ctx int) bool {
	if m.ctx[ctx].depth > 0 {
		return false
	}
	if ctx >= len(m.V) {
		return len(m.V)+ctx >= len(m.lanes) || m.lanes[len(m.V)+ctx].idle()
	}
	return m.lanes[ctx].idle() && m.lanes[len(m.V)+ctx].idle()
}

// Names gives the vcpus that a context's procedures, or what it owes, name.
func (m *Machine) Names(ctx int) (vs VCPUSet) {
	c := &m.ctx[ctx]
	for i := range c.depth {
		if v := c.frames[i].v; v >= 0 && int(v) < len(m.V) {
			vs.Add(v)
		}
	}
	owes := func(at int) {
		if at < len(m.lanes) {
			for _, d := range [2]duty{m.lanes[at].duty, m.lanes[at].outer} {
				if d.phase != owesNothing && d.target >= 0 {
					vs.Add(d.target)
				}
			}
		}
	}
	if owes(len(m.V) + ctx); ctx < len(m.V) {
		owes(ctx)
	}
	return vs
}

// HeedlessAs reports whether a vcpu is noted as heedless in both machines, or in neither.
func (m *Machine) HeedlessAs(o *Machine, v VCPU) bool { return m.V[v].heedless == o.V[v].heedless }

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
	if c.depth == 0 {
		return append(b, 0)
	}
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
		k.space = k.AppendContext(k.space, m, i)
		k.parts = append(k.parts, [2]int{from, len(k.space)})
	}
	b = append(b, byte(len(k.parts)))
	k.sortParts()
	for _, p := range k.parts {
		b = append(b, k.space[p[0]:p[1]]...)
	}
	return b
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
			a, b = k.AppendContext(a[:0], m, k.order[j-1]), k.AppendContext(b[:0], m, k.order[j])
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
