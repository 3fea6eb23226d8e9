package evtchn

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrSnapshot is the class of errors about a snapshot that cannot be read.
var ErrSnapshot = errors.New("evtchn: bad snapshot")

const snapshotVersion = 1

// AppendBinary appends a snapshot of the state. Equal states give equal bytes.
func (s *State) AppendBinary(b []byte) ([]byte, error) {
	e := &enc{b}
	e.u(snapshotVersion, uint64(s.WordBits), uint64(s.Words), flag(s.Observed), flag(s.recheck), uint64(len(s.V)))
	e.u(uint64(s.Seq), uint64(s.Now))
	e.words(s.Pend.Val)
	e.words(s.Pend.Known)
	e.words(s.Mask.Val)
	e.words(s.Mask.Known)
	for i := range s.V {
		v := &s.V[i]
		e.u(v.Sel, v.SelKnown, uint64(v.Up), uint64(v.Umask), uint64(v.Run), uint64(v.PollPort), uint64(v.Kicks), uint64(v.owed))
		e.u(flag(v.Blocked) | flag(v.Polling)<<1 | flag(v.InUpcall)<<2 | flag(v.InXen)<<3 | flag(v.heedless)<<4)
		e.words(v.Accept)
		e.ports(v.SelBy)
		e.ports(v.ScanBy)
	}
	e.u(uint64(len(s.P)))
	for i := range s.P {
		p := &s.P[i]
		e.u(uint64(p.Status), uint64(uint16(p.Notify)), p.Peer, uint64(uint16(p.Owner)), uint64(p.Handler), uint64(uint32(p.User)), uint64(p.Reasons))
		e.u(flag(p.Active)|flag(p.Request)<<1, uint64(p.PendSeq), uint64(p.PendAt), uint64(p.ExposedSeq), uint64(p.ExposedAt))
		e.u(uint64(p.UnnoticedSeq), uint64(p.UnnoticedAt), p.Own[0], p.Own[1], p.Held[0], p.Held[1], uint64(p.Swallowed), uint64(p.duties))
	}
	lanes := s.lanes
	for n := len(lanes); n > 2*len(s.V) && lanes[n-1].idle(); n-- {
		lanes = lanes[:n-1]
	}
	e.u(uint64(len(lanes)))
	for _, l := range lanes {
		e.duty(l.duty)
		e.duty(l.outer)
	}
	e.u(uint64(len(s.exposed)))
	for _, p := range s.exposed {
		e.u(uint64(p))
	}
	return e.b, nil
}

// UnmarshalBinary replaces the state by that of a snapshot. Errors are of class ErrSnapshot; the state is then unchanged.
func (s *State) UnmarshalBinary(b []byte) error {
	d := &dec{b: b}
	if v := d.u(); v != snapshotVersion {
		return fmt.Errorf("%w: version %d, want %d", ErrSnapshot, v, snapshotVersion)
	}
	var n State
	n.WordBits, n.Words = d.n(64), d.n(fifoPorts)
	n.Observed, n.recheck = d.u() != 0, d.u() != 0
	nv := d.n(MaxVCPUs)
	if d.err != nil {
		return d.err
	}
	if nv < 1 || n.WordBits < 2 || n.WordBits&(n.WordBits-1) != 0 || n.Words != n.WordBits && n.Words != fifoPorts/n.WordBits {
		return fmt.Errorf("%w: %d vcpus, %d words of %d bits", ErrSnapshot, nv, n.Words, n.WordBits)
	}
	n.Seq, n.Now = Seq(d.u()), Time(d.u())
	n.Pend = Bits{d.words(n.Words), d.words(n.Words)}
	n.Mask = Bits{d.words(n.Words), d.words(n.Words)}
	n.V = make([]VCPUState, nv)
	for i := range n.V {
		v := &n.V[i]
		v.Sel, v.SelKnown, v.Up, v.Umask, v.Run = d.u(), d.u(), Bit(d.n(2)), Bit(d.n(2)), RunState(d.n(int(Offline)))
		v.PollPort, v.Kicks, v.owed = Port(d.u()), int32(d.u()), int32(d.u())
		f := d.u()
		v.Blocked, v.Polling, v.InUpcall, v.InXen, v.heedless = f&1 != 0, f&2 != 0, f&4 != 0, f&8 != 0, f&16 != 0
		v.Accept = d.words(n.Words)
		v.SelBy, v.ScanBy = d.ports(n.Words), d.ports(n.Words)
		if d.err != nil {
			return d.err
		}
	}
	np := d.n(n.Words * n.WordBits)
	if d.err != nil {
		return d.err
	}
	for i := 0; i < np && d.err == nil; i++ {
		n.P = append(n.P, PortState{})
		p := &n.P[i]
		p.Status, p.Notify, p.Peer, p.Owner = PortStatus(d.n(255)), VCPU(int16(d.u())), d.u(), VCPU(int16(d.u()))
		p.Handler, p.User, p.Reasons = Handler(d.n(255)), int32(uint32(d.u())), uint8(d.n(255))
		f := d.u()
		p.Active, p.Request = f&1 != 0, f&2 != 0
		p.PendSeq, p.PendAt, p.ExposedSeq, p.ExposedAt = Seq(d.u()), Time(d.u()), Seq(d.u()), Time(d.u())
		p.UnnoticedSeq, p.UnnoticedAt = Seq(d.u()), Time(d.u())
		p.Own, p.Held = VCPUSet{d.u(), d.u()}, VCPUSet{d.u(), d.u()}
		p.Swallowed, p.duties = uint32(d.u()), int32(d.u())
	}
	nl := d.n(1 << 16)
	if d.err == nil && nl < 2*nv {
		d.err = fmt.Errorf("%w: %d lanes, want at least %d", ErrSnapshot, nl, 2*nv)
	}
	for i := 0; i < nl && d.err == nil; i++ {
		n.lanes = append(n.lanes, lane{d.duty(&n), d.duty(&n)})
	}
	ne := d.n(n.Words * n.WordBits)
	for i := 0; i < ne && d.err == nil; i++ {
		n.exposed = append(n.exposed, Port(d.n(np-1)))
	}
	if d.err == nil && len(d.b) != 0 {
		d.err = fmt.Errorf("%w: %d bytes too many", ErrSnapshot, len(d.b))
	}
	if d.err != nil {
		return d.err
	}
	if err := n.consistent(); err != nil {
		return err
	}
	// Numbers can be written in more than one way, and lists cut in more than one way: only ours is accepted.
	if again, _ := n.AppendBinary(make([]byte, 0, len(b))); !bytes.Equal(again, b) {
		return fmt.Errorf("%w: not as it would be written", ErrSnapshot)
	}
	*s = n
	return nil
}

// consistent checks what Apply relies on.
func (s *State) consistent() error {
	inWord := ^uint64(0) >> (64 - s.WordBits)
	for w := range s.Words {
		if s.Pend.Val[w]&^inWord != 0 {
			return fmt.Errorf("%w: word %d has bits %#x pending, and only %d bits", ErrSnapshot, w, s.Pend.Val[w], s.WordBits)
		}
	}
	var vcpus VCPUSet
	for v := range s.V {
		vcpus.Add(VCPU(v))
	}
	exposed := 0
	for p := range s.P {
		ps := &s.P[p]
		for i := range vcpus {
			if (ps.Own[i]|ps.Held[i])&^vcpus[i] != 0 {
				return fmt.Errorf("%w: port %d relies on vcpus that there are not", ErrSnapshot, p)
			}
		}
		if ps.ExposedSeq != 0 {
			exposed++
		}
	}
	seen := make(map[Port]bool, len(s.exposed))
	for _, p := range s.exposed {
		if int(p) >= len(s.P) || s.P[p].ExposedSeq == 0 || seen[p] {
			return fmt.Errorf("%w: port %d is not exposed, or is listed twice", ErrSnapshot, p)
		}
		seen[p] = true
	}
	if len(seen) != exposed {
		return fmt.Errorf("%w: %d exposed ports are listed, want %d", ErrSnapshot, len(seen), exposed)
	}
	return nil
}

// Equal reports whether two states are the same in all that Apply can change.
func (s *State) Equal(t *State) bool {
	a, _ := s.AppendBinary(nil)
	b, _ := t.AppendBinary(nil)
	return bytes.Equal(a, b)
}

func flag(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

func (l *lane) idle() bool { return l.phase == owesNothing && l.outer.phase == owesNothing }

type enc struct{ b []byte }

// duty writes what is owed; nothing is written alike, whatever it was before.
func (e *enc) duty(d duty) {
	if d.phase == owesNothing {
		e.u(0)
		return
	}
	e.u(uint64(d.phase), uint64(d.port), uint64(uint16(d.target)))
}

func (e *enc) u(vs ...uint64) {
	for _, v := range vs {
		e.b = binary.AppendUvarint(e.b, v)
	}
}

// words writes runs of equal words: arrays of bits are mostly all zeros or all ones.
func (e *enc) words(ws []uint64) {
	for i := 0; i < len(ws); {
		j := i
		for j < len(ws) && ws[j] == ws[i] {
			j++
		}
		e.u(uint64(j-i), ws[i])
		i = j
	}
}

func (e *enc) ports(ps []Port) {
	for i := 0; i < len(ps); {
		j := i
		for j < len(ps) && ps[j] == ps[i] {
			j++
		}
		e.u(uint64(j-i), uint64(ps[i]))
		i = j
	}
}

type dec struct {
	b   []byte
	err error
}

func (d *dec) u() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		if d.err == nil {
			d.err = fmt.Errorf("%w: it ends too early", ErrSnapshot)
		}
		d.b = nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

// n reads a number from 0 to limit.
func (d *dec) n(limit int) int {
	v := d.u()
	if v > uint64(max(limit, 0)) {
		if d.err == nil {
			d.err = fmt.Errorf("%w: number %d, want at most %d", ErrSnapshot, v, limit)
		}
		return 0
	}
	return int(v)
}

func (d *dec) duty(s *State) duty {
	phase := dutyPhase(d.n(int(owesRecheck)))
	if phase == owesNothing {
		return duty{target: NoVCPU}
	}
	o := duty{phase: phase, port: Port(d.n(s.Words*s.WordBits - 1)), target: VCPU(int16(d.u()))}
	if d.err == nil && (o.target < NoVCPU || int(o.target) >= len(s.V)) {
		d.err = fmt.Errorf("%w: something is owed to vcpu %d", ErrSnapshot, o.target)
	}
	return o
}

func (d *dec) words(n int) []uint64 {
	ws := make([]uint64, n)
	for i := 0; i < n && d.err == nil; {
		run, v := d.n(n-i), d.u()
		if run == 0 && d.err == nil {
			d.err = fmt.Errorf("%w: an empty run", ErrSnapshot)
		}
		for ; run > 0; run-- {
			ws[i] = v
			i++
		}
	}
	return ws
}

func (d *dec) ports(n int) []Port {
	ps := make([]Port, n)
	for i, w := range d.words(n) {
		ps[i] = Port(w)
	}
	return ps
}
