package store

import (
	"encoding/binary"
	"fmt"

	"github.com/klauspost/compress/huff0"

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
const maxRaw = ChunkEvents * maxEventBytes

// encoder turns events into columns. It is reused from chunk to chunk.
type encoder struct {
	m    model
	cols [numCols][]byte
	huff huff0.Scratch
}

// columns fills the columns with the events, whose Seqs follow each other.
func (e *encoder) columns(evs []evtchn.Event) {
	e.m.reset(int64(evs[0].Time))
	for i := range e.cols {
		e.cols[i] = e.cols[i][:0]
	}
	for i := range evs {
		e.event(&e.m, &evs[i])
	}
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
	shape := tr.shape
	if (shapeOf(ev)^shape)&^shapeGuess != 0 || uint16(ev.Ctx) != s.ctx[ev.Ctx>>12] {
		h |= missShape
		c[colKind] = append(c[colKind], uint8(ev.Kind))
		c[colFlags] = append(c[colFlags], uint8(ev.Flags))
		c[colCtx] = binary.AppendUvarint(c[colCtx], uint64(ev.Ctx))
		c[colDom] = binary.AppendUvarint(c[colDom], uint64(ev.Dom))
	}
	if uint32(ev.Port) != m.guessPort(s, shape) {
		h |= missPort
		c[colPort] = binary.AppendUvarint(c[colPort], uint64(ev.Port))
	}
	v := m.valsOf(s, uint8(ev.Kind), uint8(ev.Ctx>>12), uint32(ev.Port))
	if ev.Args[0] != v.args[0] || ev.Args[1] != v.args[1] || ev.Args[2] != v.args[2] {
		h |= missArgs
		var mask uint8
		for i, a := range ev.Args {
			if a != v.args[i] {
				mask |= 1 << i
				c[colArgs] = binary.AppendUvarint(c[colArgs], a)
			}
		}
		c[colArgMask] = append(c[colArgMask], mask)
		v.args[0], v.args[1], v.args[2] = ev.Args[0], ev.Args[1], ev.Args[2]
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
	if uint64(ev.Cause) != guessCause(s, shape) {
		h |= missCause
		c[colCause] = binary.AppendUvarint(c[colCause], flipCause(uint64(ev.Cause), uint64(ev.Seq)))
	}
	c[colHeader] = append(c[colHeader], h)
	m.learn(s, tr, ev, h&missPort == 0)
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
	in   columnReader
	seq  evtchn.Seq // of the next event
	left int        // events to come
}

// open starts on the columns in b, of n events, the first of which has that seq and time.
func (d *decoder) open(b []byte, seq evtchn.Seq, first evtchn.Time, n int) error {
	d.left = 0
	d.in.raw = d.in.raw[:0]
	var ends [numCols]int
	for i := range ends {
		rest, size, err := d.in.read(b)
		if err != nil {
			return fmt.Errorf("column %d: %w", i, err)
		}
		b, ends[i] = rest, len(d.in.raw)
		if i == colHeader && size != n {
			return fmt.Errorf("%d event headers, want %d", size, n)
		}
	}
	if len(b) != 0 {
		return fmt.Errorf("%d bytes after the last column", len(b))
	}
	at := 0
	for i, end := range ends {
		d.cols[i] = column{b: d.in.raw[at:end]}
		at = end
	}
	d.m.reset(int64(first))
	d.seq, d.left = seq, n
	return nil
}

// event decodes the next event. The caller has checked that left is not 0.
func (d *decoder) event(ev *evtchn.Event) {
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
	shape := tr.shape
	ev.Seq, ev.VCPU = d.seq, vcpu
	if h&missShape == 0 {
		ev.Kind, ev.Flags = evtchn.Kind(shape), evtchn.Flags(shape>>shapeFlags)
		ev.Ctx, ev.Dom = evtchn.Context(s.ctx[shape>>shapeClass&15]), evtchn.DomID(shape>>shapeDom)
	} else {
		ev.Kind, ev.Flags = evtchn.Kind(c[colKind].byte()), evtchn.Flags(c[colFlags].byte())
		ev.Ctx, ev.Dom = evtchn.Context(c[colCtx].uvarint()), evtchn.DomID(c[colDom].uvarint())
	}
	if h&missPort == 0 {
		ev.Port = evtchn.Port(m.guessPort(s, shape))
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
	// One by one: copied as a whole, the words just written would stall the wider loads.
	ev.Args[0], ev.Args[1], ev.Args[2] = v.args[0], v.args[1], v.args[2]
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
		ev.Cause = evtchn.Seq(guessCause(s, shape))
	} else {
		ev.Cause = evtchn.Seq(flipCause(c[colCause].uvarint(), uint64(d.seq)))
	}
	m.learn(s, tr, ev, h&missPort == 0)
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
