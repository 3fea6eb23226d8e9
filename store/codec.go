package store

import (
	"encoding/binary"
	"fmt"

	"github.com/evtrace/evtrace/evtchn"
)

// The columns of a chunk, in the order in which they are written.
const (
	colHeader = iota
	colVCPU
	colKind
	colCtx
	colFlags
	colDom
	colPort
	colArgMask
	colArgs
	colRes
	colTime
	colCause
	numCols
)

// maxEventBytes is the most that one event takes in all columns together.
const maxEventBytes = 1 + 3 + 1 + 3 + 1 + 3 + 5 + 1 + 3*10 + 10 + 10 + 10

// maxRaw is the size of the largest chunk before compression.
const maxRaw = ChunkEvents*maxEventBytes + numCols*binary.MaxVarintLen64

// encoder turns events into columns. It is reused from chunk to chunk.
type encoder struct {
	m    model
	cols [numCols][]byte
}

// encode appends the columns of the events to dst. Their Seqs follow each other.
func (e *encoder) encode(dst []byte, evs []evtchn.Event) []byte {
	m := &e.m
	m.reset(int64(evs[0].Time))
	for i := range e.cols {
		e.cols[i] = e.cols[i][:0]
	}
	for i := range evs {
		e.event(m, &evs[i])
	}
	for i := range e.cols {
		dst = binary.AppendUvarint(dst, uint64(len(e.cols[i])))
	}
	for i := range e.cols {
		dst = append(dst, e.cols[i]...)
	}
	return dst
}

func (e *encoder) event(m *model, ev *evtchn.Event) {
	var h uint8
	c := &e.cols
	if int16(ev.VCPU) != m.prevVCPU {
		h |= missVCPU
		c[colVCPU] = binary.AppendUvarint(c[colVCPU], uint64(uint16(ev.VCPU+1)))
	}
	s := m.slot(ev.VCPU)
	tr := s.trans(m)
	if uint8(ev.Kind) != tr.kind || uint8(ev.Flags) != tr.flags || uint16(ev.Ctx) != s.ctx[tr.class&15] || uint16(ev.Dom) != tr.dom {
		h |= missShape
		c[colKind] = append(c[colKind], uint8(ev.Kind))
		c[colFlags] = append(c[colFlags], uint8(ev.Flags))
		c[colCtx] = binary.AppendUvarint(c[colCtx], uint64(ev.Ctx))
		c[colDom] = binary.AppendUvarint(c[colDom], uint64(ev.Dom))
	}
	if uint32(ev.Port) != m.guessPort(s, tr.port) {
		h |= missPort
		c[colPort] = binary.AppendUvarint(c[colPort], uint64(ev.Port))
	}
	v := m.valsOf(s, uint8(ev.Kind), uint8(ev.Ctx>>12), uint32(ev.Port))
	if ev.Args != v.args {
		h |= missArgs
		var mask uint8
		for i, a := range ev.Args {
			if a != v.args[i] {
				mask |= 1 << i
				c[colArgs] = binary.AppendUvarint(c[colArgs], a)
			}
		}
		c[colArgMask] = append(c[colArgMask], mask)
		v.args = ev.Args
	}
	if ev.Res != v.res {
		h |= missRes
		c[colRes] = binary.AppendUvarint(c[colRes], ev.Res)
		v.res = ev.Res
	}
	if int64(ev.Time) != s.lastTime+tr.dt {
		h |= missTime
		c[colTime] = binary.AppendUvarint(c[colTime], zigzag(int64(ev.Time)-m.prevTime))
	}
	if uint64(ev.Cause) != guessCause(s, tr) {
		h |= missCause
		c[colCause] = binary.AppendUvarint(c[colCause], flipCause(uint64(ev.Cause), uint64(ev.Seq)))
	}
	c[colHeader] = append(c[colHeader], h)
	m.learn(s, tr, ev)
}

func guessCause(s *slot, tr *trans) uint64 {
	if tr.cause == causeAimed {
		return s.aimSeq
	}
	return 0
}

// flipCause turns a cause into its distance from seq, keeps 0 as 0, and is its own inverse for every pair of numbers.
func flipCause(cause, seq uint64) uint64 {
	switch cause {
	case 0:
		return 0
	case seq:
		return seq
	}
	return seq - cause
}

func zigzag(v int64) uint64   { return uint64(v<<1) ^ uint64(v>>63) }
func unzigzag(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }

// column is a column that is being read. A read past its end gives 0 and sets bad.
type column struct {
	b   []byte
	i   int
	bad bool
}

func (c *column) byte() uint8 {
	if c.i < len(c.b) {
		x := c.b[c.i]
		c.i++
		return x
	}
	c.bad = true
	return 0
}

func (c *column) uvarint() uint64 {
	if c.i < len(c.b) && c.b[c.i] < 0x80 {
		c.i++
		return uint64(c.b[c.i-1])
	}
	return c.long()
}

func (c *column) long() uint64 {
	x, n := binary.Uvarint(c.b[min(c.i, len(c.b)):])
	if n <= 0 {
		c.bad = true
		return 0
	}
	c.i += n
	return x
}

// decoder reads the events of one chunk after the other. It allocates nothing per event.
type decoder struct {
	m    model
	cols [numCols]column
	seq  evtchn.Seq // of the next event
	left int        // events to come
}

// open starts on the columns of n events, the first of which has that seq. raw must stay unchanged until the next open.
// first is the time of the first event.
func (d *decoder) open(raw []byte, seq evtchn.Seq, first evtchn.Time, n int) error {
	d.left = 0
	rest := raw
	var sizes [numCols]uint64
	var sum uint64
	for i := range sizes {
		x, k := binary.Uvarint(rest)
		if k <= 0 || x > maxRaw {
			return fmt.Errorf("column table cut short or wrong at byte %d of %d", len(raw)-len(rest), len(raw))
		}
		sizes[i], rest, sum = x, rest[k:], sum+x
	}
	if sum != uint64(len(rest)) {
		return fmt.Errorf("columns hold %d bytes, want %d", len(rest), sum)
	}
	if sizes[colHeader] != uint64(n) {
		return fmt.Errorf("%d event headers, want %d", sizes[colHeader], n)
	}
	for i := range d.cols {
		d.cols[i] = column{b: rest[:sizes[i]]}
		rest = rest[sizes[i]:]
	}
	d.m.reset(int64(first))
	d.seq, d.left = seq, n
	return nil
}

// next decodes the next event. The caller has checked that left is not 0.
func (d *decoder) next(ev *evtchn.Event) {
	m, c := &d.m, &d.cols
	h := c[colHeader].byte()
	if h&missUnused != 0 {
		c[colHeader].bad = true
	}
	vcpu := evtchn.VCPU(m.prevVCPU)
	if h&missVCPU != 0 {
		vcpu = evtchn.VCPU(int16(uint16(c[colVCPU].uvarint()))) - 1
	}
	s := m.slot(vcpu)
	tr := s.trans(m)
	ev.Seq, ev.VCPU = d.seq, vcpu
	if h&missShape == 0 {
		ev.Kind, ev.Flags = evtchn.Kind(tr.kind), evtchn.Flags(tr.flags)
		ev.Ctx, ev.Dom = evtchn.Context(s.ctx[tr.class&15]), evtchn.DomID(tr.dom)
	} else {
		ev.Kind, ev.Flags = evtchn.Kind(c[colKind].byte()), evtchn.Flags(c[colFlags].byte())
		ev.Ctx, ev.Dom = evtchn.Context(c[colCtx].uvarint()), evtchn.DomID(c[colDom].uvarint())
	}
	if h&missPort == 0 {
		ev.Port = evtchn.Port(m.guessPort(s, tr.port))
	} else {
		ev.Port = evtchn.Port(c[colPort].uvarint())
	}
	v := m.valsOf(s, uint8(ev.Kind), uint8(ev.Ctx>>12), uint32(ev.Port))
	if h&missArgs != 0 {
		mask := c[colArgMask].byte()
		for i := range v.args {
			if mask&(1<<i) != 0 {
				v.args[i] = c[colArgs].uvarint()
			}
		}
	}
	ev.Args = v.args
	if h&missRes != 0 {
		v.res = c[colRes].uvarint()
	}
	ev.Res = v.res
	if h&missTime == 0 {
		ev.Time = evtchn.Time(s.lastTime + tr.dt)
	} else {
		ev.Time = evtchn.Time(m.prevTime + unzigzag(c[colTime].uvarint()))
	}
	if h&missCause == 0 {
		ev.Cause = evtchn.Seq(guessCause(s, tr))
	} else {
		ev.Cause = evtchn.Seq(flipCause(c[colCause].uvarint(), uint64(d.seq)))
	}
	m.learn(s, tr, ev)
	d.seq++
	d.left--
}

// finish reports whether the columns held exactly the events that were read.
func (d *decoder) finish() error {
	for i := range d.cols {
		if c := &d.cols[i]; c.bad || c.i != len(c.b) {
			return fmt.Errorf("column %d: %d of %d bytes used up", i, c.i, len(c.b))
		}
	}
	return nil
}
