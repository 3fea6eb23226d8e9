package xentrace

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Errors. Everything that is said about a trace's contents is of one of these classes, or of the class io.ErrUnexpectedEOF for one
// that was cut.
var (
	ErrFormat  = errors.New("not a trace of xentrace") // no window begins in it
	ErrDamaged = errors.New("damaged trace")           // with Options.Strict
)

const (
	windowHeader = 12        // bytes of a record TRC_TRACE_CPU_CHANGE
	maxCPUs      = 4096      // more than Xen can be built for
	maxWindow    = 1 << 30   // bytes; t_buf's offsets are of 32 bits, and twice the buffer's size must fit
	pieceSize    = 256 << 10 // bytes of a window that are looked at at once
	maxTSC       = 1 << 63   // above is no time
)

// Reader gives the records of a trace as they stand in the file, but for those that begin a window. It holds one piece of a window at a
// time. It is for one goroutine.
type Reader struct {
	src    io.Reader
	strict bool

	buf      []byte
	pos, end int   // what is unread of buf
	off      int64 // of buf[pos] in the file
	srcErr   error // what ended the source

	cpu   int            // whose window it is
	left  int            // bytes of the window that are not in piece
	piece int            // bytes from pos on that hold sound records
	skip  []int64        // offsets of records in piece that are to be left out
	last  map[int]uint64 // by CPU: the latest time stamp
	bad   error          // why the window cannot be read on after the piece

	stat Stats
}

// Stats is what a Reader has met so far.
type Stats struct {
	Windows uint64
	Records uint64 // that were given out
	Bytes   int64  // of the file, unpacked
	Damage  Damage
	Cut     bool // the file ends within a window
}

// Damage counts what was passed over.
type Damage struct {
	Places  uint64 // stretches and single records
	Bytes   uint64
	Records uint64 // single records whose time stamp does not fit
	First   string // where the first is, and what is wrong there
}

// NewReader reads the records of src, which is unpacked. With strict, damage is an error of class ErrDamaged.
func NewReader(src io.Reader, strict bool) *Reader {
	return &Reader{src: src, strict: strict, buf: make([]byte, 2*pieceSize), last: make(map[int]uint64)}
}

// Sniff reports whether a file that begins with prefix looks like a trace of xentrace. Compressed files must be unpacked first.
func Sniff(prefix []byte) bool { return begins(prefix) }

// begins reports whether b begins with the head of a window and a record, as far as it goes.
func begins(b []byte) bool {
	_, _, ok := window(b)
	if !ok || len(b) < windowHeader+headerSize {
		return ok
	}
	id, _, _ := header(binary.LittleEndian.Uint32(b[windowHeader:]))
	return id.sound()
}

// window reads the record that begins a window.
func window(b []byte) (cpu, size int, ok bool) {
	if len(b) < windowHeader || binary.LittleEndian.Uint32(b) != uint32(idCPUChange)|2<<28 {
		return 0, 0, false
	}
	c, n := binary.LittleEndian.Uint32(b[4:]), binary.LittleEndian.Uint32(b[8:])
	return int(c), int(n), c < maxCPUs && n <= maxWindow && n%4 == 0
}

// Stats gives what the reader has met so far.
func (r *Reader) Stats() Stats {
	s := r.stat
	s.Bytes = r.off
	return s
}

// Next fills rec with the next record. It returns io.EOF at the end, also at one that was cut, which Stats tells; an error of class
// ErrFormat if there is no window at all, of class io.ErrUnexpectedEOF or ErrDamaged with strict; and those of the source, all with
// the offset.
func (r *Reader) Next(rec *Record) error {
	for {
		for r.piece > 0 {
			off := r.off
			n := rec.decode(r.buf[r.pos:r.end])
			r.advance(n)
			r.piece -= n
			if len(r.skip) > 0 && r.skip[0] == off {
				r.skip = r.skip[1:]
				continue
			}
			rec.CPU, rec.Offset = r.cpu, off
			r.stat.Records++
			return nil
		}
		if err := r.load(); err != nil {
			return err
		}
	}
}

func (r *Reader) advance(n int) {
	r.pos += n
	r.off += int64(n)
}

// need makes n bytes available, or as many as there are.
func (r *Reader) need(n int) int {
	if r.end-r.pos < n && r.srcErr == nil {
		r.end = copy(r.buf, r.buf[r.pos:r.end])
		r.pos = 0
		for empty := 0; r.srcErr == nil && r.end < n; {
			var got int
			got, r.srcErr = r.src.Read(r.buf[r.end:])
			r.end += got
			if empty++; got > 0 {
				empty = 0
			} else if empty > 100 && r.srcErr == nil {
				r.srcErr = io.ErrNoProgress
			}
		}
	}
	return min(n, r.end-r.pos)
}

// load prepares the next piece, beginning a window if need be.
func (r *Reader) load() error {
	if r.bad != nil {
		bad := r.bad
		r.bad = nil
		return r.resync(bad.Error())
	}
	if r.left == 0 {
		n := r.need(windowHeader + headerSize)
		if n == 0 {
			return r.ended()
		}
		cpu, size, ok := window(r.buf[r.pos : r.pos+n])
		switch {
		case ok:
		case n < windowHeader && r.stat.Windows > 0:
			return r.cut("within the head of a window")
		default:
			return r.resync("no window begins here, where the one before ends")
		}
		r.cpu, r.left = cpu, size
		r.stat.Windows++
		r.advance(windowHeader)
		if size == 0 {
			return nil
		}
	}
	n := r.need(min(r.left, pieceSize))
	if n == 0 {
		return r.cut("within a window")
	}
	whole := n == r.left
	good, bad := r.validate(r.buf[r.pos:r.pos+n], whole)
	switch {
	case bad == nil:
		if good == 0 { // less than a record is left of a file that was cut
			return r.cut("within a record")
		}
	case r.strict:
		return r.damaged(r.off+int64(good), bad.Error())
	default:
		r.bad = bad
	}
	r.piece = good
	r.left -= good
	return nil
}

// validate finds how many bytes of b are sound records of the window, and what is wrong with the one after. Records that are to be left
// out are noted. whole tells that the window ends with b.
func (r *Reader) validate(b []byte, whole bool) (good int, bad error) {
	r.skip = r.skip[:0]
	last, known := r.last[r.cpu]
	before, place := uint64(0), int64(-1) // of the record before the last one, and where the last one is, if it is in b
	o := 0
	for o < len(b) {
		if len(b)-o < headerSize {
			break
		}
		w := binary.LittleEndian.Uint32(b[o:])
		id, stamped, _ := header(w)
		size := sizeOf(w)
		switch {
		case !id.sound():
			bad = fmt.Errorf("no record begins with %#08x", w)
		case id == idCPUChange:
			bad = errors.New("a window begins within a window")
		case o+size > len(b) && whole:
			bad = fmt.Errorf("a record of %d bytes does not fit into the %d that are left of the window", size, len(b)-o)
		}
		if bad != nil || o+size > len(b) {
			break
		}
		if stamped {
			tsc := binary.LittleEndian.Uint64(b[o+headerSize:])
			switch here := r.off + int64(o); {
			case tsc < maxTSC && (!known || tsc >= last):
				before, last, known, place = last, tsc, true, here
			case tsc < maxTSC && tsc >= before && between(b[o+size:], tsc, last):
				// It is the record before that does not fit: what follows goes on from this one.
				if place >= 0 {
					r.leaveOut(place)
				} else {
					r.note(here, "the time stamps go back")
				}
				last, place = tsc, here
			default:
				r.leaveOut(here)
			}
		}
		o += size
	}
	if r.strict && len(r.skip) > 0 {
		return int(r.skip[0] - r.off), errors.New("a record whose time stamp does not fit between its neighbours")
	}
	if known {
		r.last[r.cpu] = last
	}
	return o, bad
}

// between reports whether the next record with a time stamp in b is of a time from lo up to below hi.
func between(b []byte, lo, hi uint64) bool {
	for len(b) >= headerSize {
		w := binary.LittleEndian.Uint32(b)
		id, stamped, _ := header(w)
		size := sizeOf(w)
		if !id.sound() || size > len(b) {
			return false
		}
		if stamped {
			tsc := binary.LittleEndian.Uint64(b[headerSize:])
			return lo <= tsc && tsc < hi
		}
		b = b[size:]
	}
	return false
}

// leaveOut drops a single record.
func (r *Reader) leaveOut(off int64) {
	i, _ := slices.BinarySearch(r.skip, off)
	r.skip = slices.Insert(r.skip, i, off)
	r.note(off, "a record whose time stamp does not fit between its neighbours")
	r.stat.Damage.Records++
}

func (r *Reader) note(off int64, what string) {
	d := &r.stat.Damage
	if d.Places == 0 {
		d.First = fmt.Sprintf("byte %d: %s", off, what)
	}
	d.Places++
}

// damaged is the error about damage.
func (r *Reader) damaged(off int64, what string) error {
	return fmt.Errorf("byte %d: %w: %s", off, ErrDamaged, what)
}

// resync passes over everything up to the next window, of which none begins at the very place.
func (r *Reader) resync(what string) error {
	if r.strict {
		return r.damaged(r.off, what)
	}
	from := r.off
	mark := []byte{byte(idCPUChange & 0xff), byte(idCPUChange >> 8 & 0xff), byte(idCPUChange >> 16), 0x20}
	for found := false; !found; {
		n := r.need(pieceSize)
		b := r.buf[r.pos : r.pos+n]
		i := bytes.Index(b, mark)
		switch {
		case i < 0 && n < pieceSize: // the end
			r.advance(n)
			found = true
		case i < 0:
			r.advance(n - len(mark) + 1)
		case n-i < windowHeader+headerSize && i > 0:
			r.advance(i) // and look at the whole of it
		default:
			r.advance(i)
			if found = begins(b[i:]); !found {
				r.advance(1)
			}
		}
	}
	r.left = 0
	if r.stat.Windows == 0 && r.end == r.pos {
		r.stat.Damage = Damage{}
		return r.ended()
	}
	r.note(from, what)
	r.stat.Damage.Bytes += uint64(r.off - from)
	return nil
}

// ended is the end of the source.
func (r *Reader) ended() error {
	if r.srcErr != io.EOF {
		return r.sourceError()
	}
	if r.stat.Windows == 0 {
		if r.off == 0 {
			return fmt.Errorf("%w: it is empty", ErrFormat)
		}
		return fmt.Errorf("%w: no record TRC_TRACE_CPU_CHANGE in %d bytes", ErrFormat, r.off)
	}
	return io.EOF
}

// cut is the end of the source where there should be more.
func (r *Reader) cut(where string) error {
	if r.srcErr != io.EOF {
		return r.sourceError()
	}
	at := r.off
	r.advance(r.end - r.pos)
	r.left = 0
	r.stat.Cut = true
	if r.strict {
		return fmt.Errorf("byte %d: the trace ends %s: %w", at, where, io.ErrUnexpectedEOF)
	}
	return io.EOF
}

func (r *Reader) sourceError() error { return fmt.Errorf("after byte %d: %w", r.off, r.srcErr) }
