package tracedat

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// stretch is a part of the file that is read only when somebody asks for it.
type stretch struct {
	offset, size int64
	packed       bool  // the stretch is a section's packed data, or
	chunks       bool  // chunks, each packed
	skip         int64 // what is to be passed over, unpacked
}

// open unpacks the stretch, which can be read until another is opened.
func (s *stretch) open(r *Reader) (io.Reader, error) {
	section := io.NewSectionReader(r.src, s.offset, min(s.size, max(r.size-s.offset, 0)))
	var src io.Reader = section
	switch {
	case s.packed:
		z, err := r.pack.stream(section)
		if err != nil {
			return nil, &Error{s.offset, 0, "unpacking", fmt.Errorf("%w: %w", ErrCorrupt, err)}
		}
		src = z
	case s.chunks:
		src = &chunkReader{r: r, at: s.offset, to: s.offset + s.size}
	}
	if _, err := io.CopyN(io.Discard, src, s.skip); err != nil && err != io.EOF {
		return nil, &Error{s.offset, 0, "reading", fmt.Errorf("%w: %w", ErrCorrupt, err)}
	}
	return src, nil
}

// chunkReader reads chunks one after the other.
type chunkReader struct {
	r      *Reader
	at, to int64
	left   uint64
	begun  bool
	rest   []byte
	buf    []byte
}

func (c *chunkReader) Read(b []byte) (int, error) {
	for len(c.rest) == 0 {
		s := stream{r: c.r, packed: true, from: c.at, to: c.to, chunks: c.left, chunk: c.buf}
		if !c.begun {
			s = *newStream(c.r, place{offset: c.at, size: c.to - c.at}, true)
			c.begun = true
		}
		if err := s.fill(); err != nil {
			return 0, err
		}
		if s.ended {
			if s.missed != 0 {
				return 0, io.ErrUnexpectedEOF
			}
			return 0, io.EOF
		}
		c.at, c.left, c.buf, c.rest = s.from, s.chunks, s.chunk, s.chunk
	}
	n := copy(b, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// readLayout reads header_page and header_event.
func (r *Reader) readLayout(c *cursor) error {
	c.magic("header_page\x00")
	page := c.bytes(c.uint(8, "the size of header_page"), maxBlob, "header_page")
	c.magic("header_event\x00")
	event := c.bytes(c.uint(8, "the size of header_event"), maxBlob, "header_event")
	if c.err != nil {
		return c.err
	}
	if len(page) == 0 {
		c.fail(ErrFormat, "header_page is empty: the ring buffer is of Linux before 2.6.31")
		return c.err
	}
	var err error
	if r.layout, err = parseLayout(page); err != nil {
		c.fail(ErrFormat, "header_page: %v", err)
	} else if err = checkEvents(event); err != nil {
		c.fail(ErrFormat, "header_event: %v", err)
	}
	return c.err
}

// readFormats reads the formats of one system.
func (r *Reader) readFormats(c *cursor, system string) error {
	n := c.uint(4, "the number of formats")
	for ; n > 0 && c.err == nil; n-- {
		text := c.bytes(c.uint(8, "the size of a format"), maxBlob, "format")
		if c.err != nil {
			break
		}
		f, err := parseFormat(system, text)
		if err != nil {
			// Without it the event has no name: no reason to give up all others.
			r.note("byte %d: %v", c.at, err)
			continue
		}
		r.addFormat(f)
	}
	return c.err
}

// readSystems reads the formats of all systems but ftrace.
func (r *Reader) readSystems(c *cursor) error {
	n := c.uint(4, "the number of systems")
	for ; n > 0 && c.err == nil; n-- {
		system := c.string("the name of a system")
		if c.err == nil {
			_ = r.readFormats(c, system) // c has the error
		}
	}
	return c.err
}

func (r *Reader) addFormat(f *Format) {
	if t := f.Field("common_type"); t != nil && r.common.Size == 0 && !t.Array {
		r.common = *t
	}
	r.keepFormat(f)
}

// maxID is the largest number of an event: common_type is an unsigned short (include/linux/trace_events.h, struct trace_entry).
const maxID = 1<<16 - 1

// format gives the format of an event, which is made up if the file has none. Those of numbers that no kernel gives share one.
func (r *Reader) format(id int) *Format {
	if id < 0 || id > maxID {
		id = maxID + 1
	}
	if id < len(r.formats) && r.formats[id] != nil {
		return r.formats[id]
	}
	if r.made == nil {
		// The common fields are those of any other event.
		r.made = &Format{}
		for _, g := range r.formats {
			if g != nil {
				r.made.flags, r.made.preempt, r.made.pid = g.flags, g.preempt, g.pid
				break
			}
		}
	}
	f := *r.made
	f.ID, f.Name = id, "event-"+strconv.Itoa(id)
	if id > maxID {
		f.Name = "event-?"
	}
	r.keepFormat(&f)
	return &f
}

func (r *Reader) keepFormat(f *Format) {
	if n := f.ID + 1 - len(r.formats); n > 0 {
		r.formats = append(r.formats, make([]*Format, n)...)
	}
	if r.formats[f.ID] == nil {
		r.formats[f.ID] = f
	}
}

// readComms reads tracefs' saved_cmdlines: "148 sh" a line.
func (r *Reader) readComms(c *cursor) error {
	text := c.bytes(c.uint(8, "the size of the names of processes"), maxNames, "names of processes")
	for line := range bytes.Lines(text) {
		pid, name, ok := strings.Cut(strings.TrimSpace(string(bytes.TrimRight(line, "\x00"))), " ")
		n, err := strconv.ParseInt(pid, 10, 32)
		if ok && err == nil {
			r.comms[int32(n)] = name
		}
	}
	return c.err
}

// Symbols names the functions that hold the given addresses, by the file's kallsyms; "" where it has none. It reads the whole table once,
// and keeps nothing of it.
func (r *Reader) Symbols(addrs []uint64) ([]string, error) {
	names := make([]string, len(addrs))
	if r.symbols == nil || len(addrs) == 0 {
		return names, nil
	}
	src, err := r.symbols.open(r)
	if err != nil {
		return names, err
	}
	best := make([]uint64, len(addrs))
	sc := bufio.NewScanner(src)
	for sc.Scan() {
		a, rest, ok := strings.Cut(sc.Text(), " ")
		addr, err := strconv.ParseUint(a, 16, 64)
		if !ok || err != nil || addr == 0 {
			continue
		}
		kind, name, _ := strings.Cut(rest, " ")
		if kind != "t" && kind != "T" && kind != "w" && kind != "W" {
			continue
		}
		name, _, _ = strings.Cut(name, "\t") // the module
		for i, want := range addrs {
			if addr <= want && addr > best[i] {
				best[i], names[i] = addr, name
			}
		}
	}
	return names, sc.Err()
}
