package tracedat

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"
	"strings"
)

// Reader reads a file. It is for one goroutine.
type Reader struct {
	src  io.ReaderAt
	size int64

	version  int
	big      bool
	long     int // of user space
	pageSize int
	layout   layout
	pack     *packing

	formats []*Format // by ID
	made    *Format   // what the formats have that the file lacks; nil: not looked for yet
	common  Field     // common_type
	comms   map[int32]string
	symbols *stretch // kallsyms
	clock   Clock
	cpus    int

	clockBehind bool // of version 6: tracefs' trace_clock stands behind the table of cpus

	uname    string
	tracecmd string
	stats    []Stat
	buffers  []buffer
	text     *stretch
	notes    []string

	streams []*stream // a heap of those that have an event, below waiting ones
	waiting []*stream // that must find their next event first
	given   bool      // the event of streams[0] was given out
	last    uint64    // time of the event given last
	marks   []*stream // that end too early, by their cpus
	memory  int64     // of all chunks
	scratch []byte    // a packed chunk
	read    int64     // of the cpus' data
	end     error     // what Next returns at the end
	endAt   int64     // its place in the file
}

// Clock is what a file says of the time of its events.
type Clock struct {
	Name string // of the trace clock in force, such as mono or x86-tsc; "" if unknown
	// Offset, in ns, is what trace-cmd report adds to each time: the options DATE and OFFSET.
	Offset int64
	// Mult and Shift make nanoseconds of the ticks of the clock x86-tsc: ticks*Mult>>Shift. Mult is 0 if the file does not say.
	Mult, Shift uint32
}

// Stat is what the kernel counted for one cpu, from tracefs' per_cpu/cpuN/stats at the end of the recording.
type Stat struct {
	CPU     int
	Entries uint64 // left in the buffer
	Overrun uint64 // overwritten before they were read
	Dropped uint64 // not written, because the buffer was full and not to be overwritten
}

// buffer is an instance of the ring buffer: the top one has no name.
type buffer struct {
	name   string
	clock  string
	offset int64
	page   int
	cpus   []place
	packed bool
	text   bool
}

// place is where a cpu's data are.
type place struct {
	cpu          int
	offset, size int64
}

func (b *buffer) bytes() (n int64) {
	for _, p := range b.cpus {
		n += p.size
	}
	return n
}

// Is reports whether a file that begins so is one of trace-cmd's.
func Is(prefix []byte) bool { return strings.HasPrefix(string(prefix), magic) }

const magic = "\x17\x08\x44tracing"

// Open reads what a file of that size says about itself. Its errors are of the classes ErrFormat, ErrCorrupt and io.ErrUnexpectedEOF, or
// src's.
func Open(src io.ReaderAt, size int64) (*Reader, error) {
	r := &Reader{src: src, size: size, comms: make(map[int32]string), end: io.EOF}
	if err := r.open(); err != nil {
		r.pack.close()
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = fmt.Errorf("%w: %w", ErrNoData, err)
		}
		return nil, err
	}
	return r, nil
}

func (r *Reader) open() error {
	c := newCursor(r.src, 0, r.size, r.size, false)
	c.cut = true
	head := c.bytes(min(uint64(len(magic)), uint64(r.size)), 16, "the magic number")
	switch {
	case c.err != nil:
		return c.err
	case strings.HasPrefix(magic, string(head)) && len(head) < len(magic):
		return errorAt(r.size, io.ErrUnexpectedEOF, "the magic number")
	case string(head) != magic:
		return errorAt(0, ErrFormat, "got %q, want %q", head, magic)
	}
	version := c.string("the version")
	order := c.uint(1, "the byte order")
	long := c.uint(1, "the size of a long")
	switch {
	case c.err != nil:
		return c.err
	case version != "6" && version != "7":
		return errorAt(10, ErrFormat, "version: got %q, want 6 or 7", version)
	case order > 1:
		return errorAt(12, ErrCorrupt, "byte order: got %d, want 0 or 1", order)
	case long != 4 && long != 8:
		return errorAt(13, ErrCorrupt, "size of a long: got %d, want 4 or 8", long)
	}
	r.version = int(version[0] - '0')
	r.big, c.big, r.long = order == 1, order == 1, int(long)
	page := c.uint(4, "the page size")
	if c.err != nil {
		return c.err
	}
	if err := r.setPageSize(page, 14); err != nil {
		return err
	}
	var err error
	if r.version == 6 {
		err = r.openV6(c)
	} else {
		err = r.openV7(c)
	}
	if err != nil {
		return err
	}
	return r.choose()
}

// maxPage bounds a page. Linux has pages of up to 256 KiB, and may join some for a page of the ring buffer.
const maxPage = maxChunk

func (r *Reader) setPageSize(n uint64, at int64) error {
	if n < 256 || n > maxPage || n&(n-1) != 0 {
		return errorAt(at, ErrCorrupt, "page size: got %d, want a power of 2 from 256 to %d", n, maxPage)
	}
	r.pageSize = int(n)
	return nil
}

// choose takes the top instance, or the first with data if that has none, and prepares its streams.
func (r *Reader) choose() error {
	if len(r.buffers) == 0 {
		if r.text != nil {
			return nil
		}
		return errorAt(r.size, ErrCorrupt, "no option says where the data of the cpus are")
	}
	at := -1
	for i := range r.buffers {
		b := &r.buffers[i]
		if b.name == "" && (b.text || b.bytes() > 0) {
			at = i
			break
		}
		if at < 0 && (b.text || b.bytes() > 0) {
			at = i
		}
	}
	if at < 0 {
		at = 0
	}
	var others []string
	for i := range r.buffers {
		if b := &r.buffers[i]; i != at && (b.text || b.bytes() > 0 || r.version == 6) {
			others = append(others, b.title())
		}
	}
	b := &r.buffers[at]
	if b.name != "" {
		r.note("the top instance has no data: that of the instance %q is read", b.name)
	}
	if len(others) > 0 {
		r.note("the data of other instances are not read: %s", strings.Join(others, ", "))
	}
	if r.clock.Name == "" || b.name != "" && b.clock != "" {
		r.clock.Name = b.clock
	}
	if b.text {
		s, err := r.textOf(b)
		r.text = s
		return err
	}
	return r.prepare(b)
}

func (b *buffer) title() string {
	if b.name == "" {
		return "the top one"
	}
	return fmt.Sprintf("%q", b.name)
}

// prepare makes a stream of each cpu.
func (r *Reader) prepare(b *buffer) error {
	if b.page > 0 && b.page != r.pageSize {
		if err := r.setPageSize(uint64(b.page), b.offset); err != nil {
			return err
		}
	}
	if r.layout.data.Offset+8 > r.pageSize {
		return errorAt(0, ErrCorrupt, "page size: got %d, want more than the %d bytes in front of the data", r.pageSize, r.layout.data.Offset)
	}
	seen := make(map[int]bool)
	for _, p := range b.cpus {
		if p.size == 0 {
			continue
		}
		if seen[p.cpu] {
			return errorAt(b.offset, ErrCorrupt, "cpu %d: it has data twice", p.cpu)
		}
		seen[p.cpu] = true
		r.waiting = append(r.waiting, newStream(r, p, b.packed))
		r.cpus = max(r.cpus, p.cpu+1)
	}
	sort.Slice(r.waiting, func(i, j int) bool { return r.waiting[i].cpu > r.waiting[j].cpu }) // the last is taken first
	return nil
}

// Version is that of the format: 6 or 7.
func (r *Reader) Version() int { return r.version }

// CPUs is the number of cpus that were recorded: the highest, plus one.
func (r *Reader) CPUs() int { return r.cpus }

// Clock says what the times of the events are.
func (r *Reader) Clock() Clock { return r.clock }

// Uname names the system that was recorded, or is "".
func (r *Reader) Uname() string { return r.uname }

// Recorder is the version of trace-cmd that wrote the file, or "".
func (r *Reader) Recorder() string { return r.tracecmd }

// Stats gives the kernel's counts, if the file has them.
func (r *Reader) Stats() []Stat { return r.stats }

// Notes says what of the file is not read, and what is odd about it.
func (r *Reader) Notes() []string { return r.notes }

func (r *Reader) note(format string, args ...any) {
	r.notes = append(r.notes, fmt.Sprintf(format, args...))
}

// BytesRead is how much of the cpus' data has been read.
func (r *Reader) BytesRead() int64 { return r.read }

// Formats gives the formats that the file has, by their IDs.
func (r *Reader) Formats() []*Format {
	var fs []*Format
	for _, f := range r.formats {
		if f != nil {
			fs = append(fs, f)
		}
	}
	return fs
}

// Comm gives the name of the task with that pid, as trace-cmd report does: "<idle>" for pid 0, "<...>" if it is not known.
func (r *Reader) Comm(pid int32) string {
	if pid == 0 {
		return "<idle>"
	}
	if s, ok := r.comms[pid]; ok {
		return s
	}
	return "<...>"
}

// Text gives the text of a file that holds tracefs' file trace instead of events, as trace-cmd extract makes it of a latency tracer. For
// other files it is nil, and Next gives the events.
func (r *Reader) Text() (io.Reader, error) {
	if r.text == nil {
		return nil, nil
	}
	return r.text.open(r)
}

// Close releases what the Reader holds. It does not close the source.
func (r *Reader) Close() error {
	r.pack.close()
	r.pack = nil
	r.streams, r.waiting, r.marks = nil, nil, nil
	r.end = errClosed
	return nil
}

var errClosed = errors.New("tracedat: the reader is closed")

// Next gives the next event, which is valid until the next call. At the end it returns io.EOF, or what kept it from reading to the
// end. After an error of class ErrCorrupt it may be called again, and goes on behind the damage: the next event of the same
// cpu says that some are missing.
func (r *Reader) Next(ev *Event) error {
	for n := len(r.waiting); n > 0; n = len(r.waiting) {
		s := r.waiting[n-1]
		found, err := s.advance()
		if err != nil {
			return err
		}
		r.waiting = r.waiting[:n-1]
		if found {
			r.streams = append(r.streams, s)
			r.up(len(r.streams) - 1)
		} else {
			r.ended(s)
		}
	}
	if r.given {
		found, err := r.streams[0].advance()
		if err != nil {
			return err
		}
		if !found {
			r.ended(r.streams[0])
			last := len(r.streams) - 1
			r.streams[0] = r.streams[last]
			r.streams = r.streams[:last]
		}
		r.given = false
		r.down()
	}
	if len(r.streams) > 0 {
		r.streams[0].event(ev)
		r.given, r.last = true, ev.Time
		return nil
	}
	if len(r.marks) > 0 {
		s := r.marks[0]
		r.marks = r.marks[1:]
		*ev = Event{Time: r.last, CPU: s.cpu, Missed: s.missed, Offset: s.base}
		return nil
	}
	return r.end
}

// ended takes a stream that has no more events. If some are missing after its last, a mark will say so.
func (r *Reader) ended(s *stream) {
	if s.missed == 0 {
		return
	}
	i := len(r.marks)
	for i > 0 && r.marks[i-1].cpu > s.cpu {
		i--
	}
	r.marks = slices.Insert(r.marks, i, s)
}

// stop remembers what keeps a stream from its end. The first place in the file counts.
func (r *Reader) stop(at int64, err error) {
	if r.end == io.EOF || at < r.endAt {
		r.end, r.endAt = err, at
	}
}

func before(a, b *stream) bool { return a.time < b.time || a.time == b.time && a.cpu < b.cpu }

func (r *Reader) up(i int) {
	for i > 0 {
		p := (i - 1) / 2
		if !before(r.streams[i], r.streams[p]) {
			return
		}
		r.streams[i], r.streams[p] = r.streams[p], r.streams[i]
		i = p
	}
}

func (r *Reader) down() {
	h := r.streams
	for i := 0; ; {
		c := 2*i + 1
		if c >= len(h) {
			return
		}
		if c+1 < len(h) && before(h[c+1], h[c]) {
			c++
		}
		if !before(h[c], h[i]) {
			return
		}
		h[i], h[c] = h[c], h[i]
		i = c
	}
}
