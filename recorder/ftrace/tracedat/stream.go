package tracedat

import (
	"errors"
	"fmt"
	"io"
)

// stream is the data of one cpu. It holds a stretch of whole pages, the chunk, at a time.
type stream struct {
	r      *Reader
	cpu    int
	packed bool
	from   int64  // the first byte in the file that was not read yet
	to     int64  // the end of the data in the file
	chunks uint64 // that are left, if they are packed
	ended  bool   // there is no more

	chunk []byte
	base  int64 // place of the chunk in the file
	next  int   // of the next page in the chunk
	page  page

	// What was found last.
	time   uint64
	data   []byte // of the event
	format *Format
	missed int64 // events that are missing in front of it
}

// readAhead is how much of a cpu's data is read at once, unless a page is more.
const readAhead = 32 << 10

// maxMemory bounds the chunks of all cpus.
const maxMemory = 512 << 20

// newStream prepares a stream. If the data are packed, it reads how many chunks there are.
func newStream(r *Reader, p place, packed bool) *stream {
	s := &stream{r: r, cpu: p.cpu, packed: packed, from: p.offset, to: p.offset + p.size}
	if packed {
		var b [4]byte
		if s.read(b[:]) {
			s.chunks = number(b[:], r.big)
		}
	}
	return s
}

// read reads what comes next. If it cannot, the data end there.
func (s *stream) read(b []byte) bool {
	n := min(int64(len(b)), max(s.r.size-s.from, 0))
	m, err := s.r.src.ReadAt(b[:n], s.from)
	if m == len(b) {
		s.from += int64(m)
		s.r.read += int64(m)
		return true
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	s.cut(s.from+int64(m), err)
	return false
}

// cut ends the data before their end.
func (s *stream) cut(at int64, err error) {
	s.r.stop(at, &Error{at, -1, fmt.Sprintf("the data of cpu %d, up to byte %d", s.cpu, s.to), err})
	s.ended = true
	s.miss(-1)
}

// miss counts events that are missing in front of the next.
func (s *stream) miss(n int64) {
	if n < 0 || s.missed < 0 {
		s.missed = -1
		return
	}
	s.missed += n
}

// corrupt is about damage at a place in the chunk.
func (s *stream) corrupt(at int, format string, args ...any) error {
	s.miss(-1)
	e := errorAt(s.base+int64(at), ErrCorrupt, "cpu %d: "+format, append([]any{s.cpu}, args...)...)
	if s.packed {
		e.Offset, e.Inside = s.base, int64(at)
	}
	return e
}

// advance finds the next event, and reports false at the end. After an error it may be called again.
func (s *stream) advance() (bool, error) {
	if s.data != nil {
		s.data, s.format, s.missed = nil, nil, 0
	}
	for {
		found, err := s.walk()
		if found || err != nil {
			return found, err
		}
		switch {
		case s.next < len(s.chunk):
			err = s.turn()
		case !s.ended:
			err = s.fill()
		default:
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
}

// fill reads the next chunk.
func (s *stream) fill() error {
	s.chunk, s.next = s.chunk[:0], 0
	if s.packed {
		return s.unpack()
	}
	if s.from >= s.to {
		s.ended = true
		return nil
	}
	n := min(int64(max(readAhead, s.r.pageSize)), s.to-s.from)
	whole := n
	n = min(n, s.r.size-s.from)
	if n <= 0 {
		s.cut(max(s.r.size, 0), io.ErrUnexpectedEOF)
		return nil
	}
	if err := s.grow(int(n)); err != nil {
		return err
	}
	s.base = s.from
	s.chunk = s.chunk[:n]
	if !s.read(s.chunk) {
		s.chunk = s.chunk[:0]
		return nil
	}
	if n < whole {
		s.cut(s.r.size, io.ErrUnexpectedEOF)
	}
	return nil
}

// grow makes room for a chunk.
func (s *stream) grow(n int) error {
	if n <= cap(s.chunk) {
		return nil
	}
	s.r.memory += int64(n - cap(s.chunk))
	if s.r.memory > maxMemory {
		s.ended = true
		return s.corrupt(0, "the cpus' chunks need more than %d bytes of memory", maxMemory)
	}
	s.chunk = make([]byte, 0, n)
	return nil
}

// unpack reads and unpacks the next chunk: its size, its size unpacked, and its data.
func (s *stream) unpack() error {
	if s.chunks == 0 {
		s.ended = true
		return nil
	}
	s.base = s.from
	var b [8]byte
	if !s.read(b[:]) {
		return nil
	}
	s.chunks--
	n, size := int64(number(b[:4], s.r.big)), int64(number(b[4:], s.r.big))
	switch {
	case n > s.r.size-s.from && s.to > s.r.size:
		s.cut(s.r.size, io.ErrUnexpectedEOF)
		return nil
	case n > s.r.size-s.from:
		s.ended = true
		return s.corrupt(0, "chunk: got a size of %d bytes, want at most the %d that are left", n, s.r.size-s.from)
	case size > maxChunk || n > 2*maxChunk:
		s.from += n
		return s.corrupt(0, "chunk: got sizes of %d and, unpacked, %d bytes, want at most %d", n, size, maxChunk)
	}
	if int(n) > cap(s.r.scratch) {
		s.r.scratch = make([]byte, n)
	}
	packed := s.r.scratch[:n]
	if !s.read(packed) {
		return nil
	}
	// What comes out may be less than the file says, so the decoder makes the room.
	had := cap(s.chunk)
	chunk, err := s.r.pack.chunk(s.chunk, packed, int(size))
	if err != nil {
		return s.corrupt(0, "chunk: unpacking: %v", err)
	}
	s.chunk = chunk
	s.r.memory += int64(cap(chunk) - had)
	if s.r.memory > maxMemory {
		s.ended = true
		s.chunk = s.chunk[:0]
		return s.corrupt(0, "the cpus' chunks need more than %d bytes of memory", maxMemory)
	}
	return nil
}

// event gives what was found.
func (s *stream) event(ev *Event) {
	*ev = Event{Time: s.time, CPU: s.cpu, Missed: s.missed, Format: s.format, Offset: s.base, data: s.data, big: s.r.big}
	if !s.packed {
		ev.Offset += int64(s.page.at)
	}
	v, _ := ev.Uint(s.format.flags)
	ev.Flags = Flags(v)
	v, _ = ev.Uint(s.format.preempt)
	ev.Preempt = uint8(v)
	v, _ = ev.Uint(s.format.pid)
	ev.PID = int32(v)
}
