package tracedat

import (
	"bytes"
	"io"
)

// openV6 reads a file of version 6 from behind the page size on.
func (r *Reader) openV6(c *cursor) error {
	if err := r.readLayout(c); err != nil {
		return err
	}
	if err := r.readFormats(c, "ftrace"); err != nil {
		return err
	}
	if err := r.readSystems(c); err != nil {
		return err
	}
	n := c.uint(4, "the size of kallsyms")
	r.symbols = &stretch{offset: c.in, size: int64(n)}
	c.skip(n, "kallsyms")
	c.skip(c.uint(4, "the size of the formats of printk"), "formats of printk")
	if err := r.readComms(c); err != nil {
		return err
	}
	cpus := c.uint(4, "the number of cpus")
	kind := c.bytes(10, 10, "the kind of data")
	if string(kind) == "options  \x00" {
		// An option CPUCOUNT overrides the number. Sections are of version 7.
		before := r.cpus
		if _, err := r.options(c, make(map[uint16]int64)); err != nil {
			return err
		}
		if r.cpus != before {
			cpus = uint64(r.cpus)
		}
		kind = c.bytes(10, 10, "the kind of data")
	}
	switch {
	case c.err != nil:
		return c.err
	case cpus > maxCPUs:
		c.fail(ErrCorrupt, "got %d cpus, want at most %d", cpus, maxCPUs)
		return c.err
	case string(kind) == "latency  \x00":
		r.text = &stretch{offset: c.in, size: r.size - c.in}
		return nil
	case string(kind) != "flyrecord\x00":
		c.fail(ErrCorrupt, "the kind of data: got %q, want options, latency or flyrecord", kind)
		return c.err
	}
	top := buffer{offset: c.in}
	for cpu := range cpus {
		offset, size := c.uint(8, "the place of a cpu's data"), c.uint(8, "the size of a cpu's data")
		top.addPlace(c, cpu, offset, size)
	}
	r.cpus = int(cpus)
	r.buffers = append([]buffer{top}, r.buffers...)
	if c.err == nil && r.clockBehind && r.clock.Name == "" {
		if text := c.bytes(c.uint(8, "the size of trace_clock"), maxBlob, "trace_clock"); c.err == nil {
			r.setClock(string(text))
		} else {
			c.err = nil // some old files have it broken
		}
	}
	return c.err
}

// openV7 reads a file of version 7 from behind the page size on.
func (r *Reader) openV7(c *cursor) error {
	name := c.string("the compression")
	_ = c.string("the version of the compression")
	at := int64(c.uint(8, "the place of the options"))
	if c.err != nil {
		return c.err
	}
	var err error
	if r.pack, err = newPacking(name); err != nil {
		return errorAt(18, ErrFormat, "%v", err)
	}
	sections := make(map[uint16]int64)
	been := make(map[int64]bool)
	for at != 0 {
		if been[at] || len(been) > 1000 {
			return errorAt(at, ErrCorrupt, "options: they go in a circle")
		}
		been[at] = true
		c, _, err := r.section(at, optDone, "options")
		if err != nil {
			return err
		}
		at, err = r.options(c, sections)
		if err != nil {
			return err
		}
	}
	for _, s := range []struct {
		id   uint16
		name string
		read func(*cursor) error
	}{
		{optHeaderInfo, "headers", r.readLayout},
		{optFtrace, "formats of ftrace", func(c *cursor) error { return r.readFormats(c, "ftrace") }},
		{optFormats, "formats of events", r.readSystems},
		{optCmdlines, "names of processes", r.readComms},
	} {
		at, ok := sections[s.id]
		if !ok {
			continue
		}
		c, _, err := r.section(at, s.id, s.name)
		if err != nil {
			return err
		}
		err = s.read(c)
		if err != nil {
			return err
		}
	}
	if r.layout.data.Size == 0 && len(r.buffers) > 0 && !r.buffers[0].text {
		return errorAt(0, ErrCorrupt, "no option says where the headers of the ring buffer are")
	}
	if at, ok := sections[optKallsyms]; ok {
		if _, s, err := r.section(at, optKallsyms, "kallsyms"); err == nil {
			s.skip = 4 // its size
			r.symbols = s
		}
	}
	for i := range r.buffers {
		b := &r.buffers[i]
		id := uint16(optBuffer)
		if b.text {
			id = optBufferText
		}
		h, err := r.sectionHeader(b.offset, id, "data of an instance")
		if err != nil {
			return err
		}
		b.packed = h.packed
	}
	return nil
}

// header is that of a section of version 7.
type header struct {
	size   int64
	packed bool
}

const headerSize = 16

// sectionHeader reads a section's header.
func (r *Reader) sectionHeader(at int64, id uint16, name string) (header, error) {
	if at < 0 || at >= r.size {
		class := error(io.ErrUnexpectedEOF)
		if at < 0 {
			class = ErrCorrupt
		}
		return header{}, errorAt(r.size, class, "section %q should be at byte %d", name, at)
	}
	c := newCursor(r.src, at, headerSize, r.size, r.big)
	got, flags, _, size := c.uint(2, name), c.uint(2, name), c.uint(4, name), c.uint(8, name)
	switch {
	case c.err != nil:
		return header{}, c.err
	case uint16(got) != id:
		return header{}, errorAt(at, ErrCorrupt, "section %q: got id %d, want %d", name, got, id)
	case int64(size) < 0:
		return header{}, errorAt(at, ErrCorrupt, "section %q: got a size of %d bytes", name, size)
	}
	return header{int64(size), flags&1 != 0}, nil
}

// section opens a section for reading. The stretch is for those that are read later.
func (r *Reader) section(at int64, id uint16, name string) (*cursor, *stretch, error) {
	h, err := r.sectionHeader(at, id, name)
	if err != nil {
		return nil, nil, err
	}
	at += headerSize
	if !h.packed {
		return newCursor(r.src, at, h.size, r.size, r.big), &stretch{offset: at, size: h.size}, nil
	}
	c := newCursor(r.src, at, 8, r.size, r.big)
	n, size := int64(c.uint(4, name)), int64(c.uint(4, name))
	if c.err != nil {
		return nil, nil, c.err
	}
	at += 8
	if n > r.size-at {
		return nil, nil, errorAt(r.size, io.ErrUnexpectedEOF, "section %q: want %d bytes from byte %d on, have %d", name, n, at, r.size-at)
	}
	s := &stretch{offset: at, size: n, packed: true}
	src, err := s.open(r)
	if err != nil {
		return nil, nil, err
	}
	c = newPackedCursor(src, at, size, r.big)
	return c, s, nil
}

// textOf finds the text of an instance of version 7.
func (r *Reader) textOf(b *buffer) (*stretch, error) {
	h, err := r.sectionHeader(b.offset, optBufferText, "text of an instance")
	if err != nil {
		return nil, err
	}
	s := &stretch{offset: b.offset + headerSize, size: h.size, chunks: h.packed}
	if !h.packed && h.size == 0 {
		return nil, errorAt(b.offset, ErrCorrupt, "text of an instance: it is empty")
	}
	return s, nil
}

// newPackedCursor reads what comes out of a packed section, size bytes.
func newPackedCursor(src io.Reader, at, size int64, big bool) *cursor {
	c := newReaderCursor(src, at, size, big)
	c.pack = true
	return c
}

// newBytesCursor reads an option's contents.
func newBytesCursor(b []byte, at *cursor) *cursor {
	c := newReaderCursor(bytes.NewReader(b), at.at+at.in-int64(len(b)), int64(len(b)), at.big)
	if at.pack {
		c.at = at.at
		c.pack = true
	}
	return c
}
