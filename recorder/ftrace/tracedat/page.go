package tracedat

// page is the page of the ring buffer that a stream is in.
type page struct {
	at    int    // its place in the chunk
	data  int    // place of its data in the chunk
	pos   int    // of the next event, in the chunk
	end   int    // of the data that are used; pos = end: the page is done
	cut   bool   // the chunk ends before that
	stamp uint64 // time of the last event
}

// Bits of a page's field commit (kernel/trace/ring_buffer.c): how much of the page is used, and what was lost before it.
const (
	commitSize   = 1<<27 - 1
	commitMissed = 1 << 31 // events were lost before the page
	commitStored = 1 << 30 // how many stands behind the data
)

// turn begins the next page of the chunk.
func (s *stream) turn() error {
	l := &s.r.layout
	at := s.next
	b := s.chunk[at:min(at+s.r.pageSize, len(s.chunk))]
	s.next += s.r.pageSize
	p := &s.page
	*p = page{at: at, data: at + l.data.Offset}
	if len(b) < l.data.Offset {
		if s.ended {
			return nil // it is cut
		}
		return s.corrupt(at, "page: got %d bytes, want %d", len(b), s.r.pageSize)
	}
	p.stamp = number(b[l.stamp.Offset:l.stamp.Offset+8], s.r.big)
	commit := number(b[l.commit.Offset:l.commit.Offset+l.commit.Size], s.r.big)
	size := int(commit & commitSize)
	room := s.r.pageSize - l.data.Offset
	if size > room || commit&^(commitSize|commitMissed|commitStored) != 0 {
		return s.corrupt(at, "page: commit: got %#x, want at most %d bytes", commit, room)
	}
	b = b[l.data.Offset:]
	if commit&commitMissed != 0 {
		n := int64(-1)
		if stored := size + l.commit.Size; commit&commitStored != 0 && stored <= len(b) {
			if v := number(b[size:stored], s.r.big); v > 0 && v < 1<<62 {
				n = int64(v)
			}
		}
		s.miss(n)
	}
	if size > len(b) {
		size = len(b)
		if !s.ended {
			return s.corrupt(at, "page: got %d bytes of data, want %d", len(b), commit&commitSize)
		}
		p.cut = true
	}
	p.pos, p.end = p.data, p.data+size
	return nil
}

// Types of the ring buffer's events (include/linux/ring_buffer.h, enum ring_buffer_type). Up to maxLen they are a length in words.
const (
	typeLong    = 0 // the length is in the next word
	maxLen      = 28
	typePadding = 29
	typeExtend  = 30 // more bits of time are in the next word
	typeStamp   = 31 // the same, and the time is absolute
)

const (
	deltaBits = 27
	stampBits = deltaBits + 32 // of an absolute time
)

// walk finds the next event in the page. It reports false at the page's end.
func (s *stream) walk() (bool, error) {
	p := &s.page
	for p.end-p.pos >= 4 {
		at := p.pos
		typ, delta := s.head(at)
		if typ != typeLong && typ <= maxLen {
			p.stamp += delta
			p.pos += 4 + 4*typ
			if p.pos > p.end {
				return false, s.spoilt(at)
			}
			err := s.take(at+4, p.pos)
			return s.data != nil, err
		}
		if typ == typePadding && delta == 0 {
			break // the rest of the page was not used
		}
		if p.end-at < 8 {
			return false, s.spoilt(at)
		}
		word := number(s.chunk[at+4:at+8], s.r.big)
		switch typ {
		case typeLong:
			p.stamp += delta
			if word < 4 || word > uint64(p.end-at-4) {
				return false, s.spoilt(at)
			}
			p.pos = min(at+4+int(word+3)&^3, p.end)
			err := s.take(at+8, at+4+int(word))
			return s.data != nil, err
		case typePadding: // an event that was taken back
			p.stamp += delta
			p.pos = at + 4 + int(min(word, uint64(p.end-at-4)))
		case typeExtend:
			p.stamp += word<<deltaBits + delta
			p.pos += 8
		case typeStamp:
			// The upper bits are those of the time before, which it cannot be less than.
			t := word<<deltaBits | delta
			if old := p.stamp; old>>stampBits != 0 {
				t |= old >> stampBits << stampBits
				if t < old {
					t += 1 << stampBits
				}
			}
			p.stamp = t
			p.pos += 8
		}
	}
	p.pos = p.end
	return false, nil
}

// head takes the word of an event apart.
func (s *stream) head(at int) (typ int, delta uint64) {
	w := uint32(number(s.chunk[at:at+4], s.r.big))
	if s.r.big {
		return int(w >> deltaBits), uint64(w & (1<<deltaBits - 1))
	}
	return int(w & 31), uint64(w >> 5)
}

// take makes the stretch of the chunk the event that was found.
func (s *stream) take(from, to int) error {
	f := &s.r.common
	b := s.chunk[from:to]
	if f.Offset+f.Size > len(b) {
		return s.spoilt(from)
	}
	s.data = b
	s.time = s.page.stamp
	s.format = s.r.format(int(number(b[f.Offset:f.Offset+f.Size], s.r.big)))
	return nil
}

// spoilt gives up a page at a place where an event does not fit.
func (s *stream) spoilt(at int) error {
	s.page.pos = s.page.end
	s.data = nil
	if s.page.cut {
		return nil
	}
	return s.corrupt(at, "event: it goes beyond its page's data, which end at %d", s.page.end)
}
