package ftrace

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/evtrace/evtrace/evtchn"
)

// Errors. Everything that Open and Next return about the input's contents is of one of these classes, or of the class
// io.ErrUnexpectedEOF for an input that was cut.
var (
	ErrFormat = errors.New("not an ftrace text capture") // nothing in the file is a record
	ErrLine   = errors.New("broken line")                // with Options.Strict
)

// Options of an import. The zero value is good.
type Options struct {
	Strict   bool              // a broken line is an error instead of a note
	TSCHz    float64           // frequency of the TSC in Hz; 0: what the side files say
	Context  string            // directory of the side files; "": beside the trace
	Progress func(bytes int64) // told now and then how many bytes of the file have been read
	_        struct{}
}

// Importer is an evtchn.Source that reads a capture. It is for one goroutine.
type Importer struct {
	opt     Options
	name    string
	lines   *lines
	raw     *counter
	closers []func()
	head    header
	side    SideFiles
	names   *names
	clocked int64 // value of raw.n at the last call of Progress

	w   window
	st  *evtchn.State
	out []evtchn.Event
	pos int // in out
	seq evtchn.Seq
	now evtchn.Time // of the event given last

	inf infer

	eof      bool // no more lines
	done     bool // everything was given out
	err      error
	complete bool
	gaps     uint64
	lost     uint64
	disorder uint64 // records beyond tolerance before those that stand before them
	broken   tally
	backward tally
	beyond   tally
	seam     tally // headers of further captures in the same text
	seams    int   // gaps that are still to be put in for the last of them, one for each vcpu
	tasks    taskTable
}

// tally counts an oddity and remembers the first place.
type tally struct {
	n     uint64
	first string
}

func (t *tally) add(format string, args ...any) {
	if t.n == 0 {
		t.first = fmt.Sprintf(format, args...)
	}
	t.n++
}

// Open opens a capture, plain, gzip or zstd, and the side files of its directory or of Options.Context.
// An error is the operating system's, or of class ErrFormat or io.ErrUnexpectedEOF.
func Open(path string, opt Options) (*Importer, error) {
	dir := opt.Context
	if dir == "" {
		dir = filepath.Dir(path)
	} else if info, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("context: %w", err)
	} else if !info.IsDir() {
		return nil, fmt.Errorf("context: %s: want a directory", dir)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err == nil && info.IsDir() {
		f.Close()
		return nil, fmt.Errorf("%s: is a directory, want a capture", path)
	}
	side, err := ReadSideFiles(dir)
	if err != nil {
		f.Close()
		return nil, err
	}
	im, err := New(f, filepath.Base(path), side, opt)
	if err != nil {
		f.Close()
		return nil, err
	}
	im.closers = append(im.closers, func() { f.Close() })
	return im, nil
}

// New reads a capture from r, with the side files given. The name is for messages and for Meta.Origin. Errors are as those of Open.
func New(r io.Reader, name string, side SideFiles, opt Options) (*Importer, error) {
	if opt.TSCHz < 0 || math.IsNaN(opt.TSCHz) || math.IsInf(opt.TSCHz, 0) {
		return nil, fmt.Errorf("TSC frequency: got %v Hz, want a positive number", opt.TSCHz)
	}
	im := &Importer{opt: opt, name: name, side: side, raw: &counter{r: r}, names: newNames()}
	text, closer, err := decompressor(im.raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	im.closers = append(im.closers, closer)
	im.lines = newLines(text)
	peeked := im.lines.peek()
	im.head = peekHeader(peeked)
	if !im.head.seen {
		defer closer()
		if err := im.lines.err; err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%s: %w", name, cutError(err, im.raw.n))
		}
		if len(peeked) == 0 {
			return nil, fmt.Errorf("%s: %w: it is empty", name, ErrFormat)
		}
		if !im.head.counted && !Sniff(peeked) {
			return nil, fmt.Errorf("%s: %w: none of the first %d bytes is a record such as \"task-123 [000] d.h1. 52.953527: upcall: ...\"",
				name, ErrFormat, len(peeked))
		}
	}
	im.head.settle(&im.side, &im.opt)
	meta := im.Meta()
	im.st, err = evtchn.NewState(meta)
	if err != nil {
		closer()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	im.w.init(im.head.cpus)
	im.tasks.init(im.head.cpus)
	im.inf.init(im)
	return im, nil
}

// cutError gives an error of decompression its place.
func cutError(err error, at int64) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the compressed file is cut off at byte %d: %w", at, err)
	}
	return fmt.Errorf("at about byte %d of the file: %w", at, err)
}

// Sniff reports whether a file that begins with prefix looks like an ftrace text capture. Compressed files must be
// decompressed first.
func Sniff(prefix []byte) bool {
	s := string(prefix[:min(len(prefix), 64<<10)])
	if strings.HasPrefix(s, "# tracer: ") {
		return true
	}
	var r record
	var p parts
	ns := newNames()
	for i, line := range strings.SplitN(s, "\n", 12) {
		if i == 11 {
			break
		}
		if parseLine([]byte(line), &r, &p, ns) == nil {
			return true
		}
	}
	return false
}

// Meta gives what is known of the trace before its first event.
func (im *Importer) Meta() evtchn.Meta {
	return evtchn.Meta{
		Format:    evtchn.FormatVersion,
		Tool:      "ftrace",
		Source:    evtchn.SourceObserved,
		ABI:       im.head.abi,
		VCPUs:     im.head.cpus,
		WordBits:  64,
		Clock:     im.head.clock,
		Unit:      im.head.unit,
		NsPerTick: im.head.nsTick,
		Origin:    im.name,
	}
}

// FinalMeta adds to Meta what the events given so far have shown; after io.EOF it is final.
func (im *Importer) FinalMeta() evtchn.Meta {
	m := im.Meta()
	m.Complete = im.complete
	m.Events = uint64(im.seq)
	m.Gaps, m.Lost = im.gaps, im.lost
	m.Tasks = slices.Clone(im.tasks.names)
	m.Counts = make(map[string]uint64)
	for i, name := range im.names.list {
		if im.names.count[i] > 0 {
			m.Counts[name] = im.names.count[i]
		}
	}
	m.Unknown = slices.Clone(im.inf.unknown)
	m.Unordered = im.disorder
	for _, d := range im.unprobed() {
		m.Unprobed = append(m.Unprobed, d.name)
	}
	m.Notes = im.notes()
	return m
}

func (im *Importer) notes() []string {
	n := slices.Clone(im.head.notes)
	if h := &im.head; h.counted && h.kept < h.written {
		n = append(n, fmt.Sprintf("the ring buffer was overwritten: %s of %s records are left, and the oldest of each vcpu are gone", group(h.kept), group(h.written)))
	}
	for _, d := range im.unprobed() {
		n = append(n, d.note())
	}
	if im.inf.fifo {
		n = append(n, "the capture is of the FIFO ABI, whose queues are not judged yet: a lost event would not be found")
	}
	tell := func(t *tally, one, many string) {
		if t.n == 1 {
			n = append(n, "1 "+one+": "+t.first)
		} else if t.n > 1 {
			n = append(n, group(t.n)+" "+many+", the first: "+t.first)
		}
	}
	tell(&im.broken, "broken line", "broken lines")
	tell(&im.backward, "record goes back in time and was set to the time before it", "records go back in time and were set to the time before them")
	tell(&im.seam, "further capture follows in the same file, with a gap of every vcpu before it", "further captures follow in the same file, with a gap of every vcpu before each")
	tell(&im.beyond, "record of a vcpu that the trace should not have", "records of vcpus that the trace should not have")
	if im.lines.cut {
		n = append(n, fmt.Sprintf("line %s: the text ends within a line, which was dropped", group(uint64(im.lines.line))))
	}
	if got := im.recordsRead(); im.short() > 0 {
		s := fmt.Sprintf("the header counts %s records, and %s are here: ", group(im.head.kept), group(got))
		if im.cutShort() {
			s += "the capture is cut"
		} else {
			s += "some lines were taken out, or the end is missing"
		}
		n = append(n, s)
	}
	return append(n, im.inf.notes()...)
}

// recordsRead is the number of records in the text so far.
func (im *Importer) recordsRead() uint64 {
	n := im.broken.n
	for _, c := range im.names.count {
		n += c
	}
	return n
}

// short is how many records the text lacks by its header's count, at its end.
func (im *Importer) short() uint64 {
	if got := im.recordsRead(); im.eof && im.head.counted && im.head.kept > got {
		return im.head.kept - got
	}
	return 0
}

// cutShort reports whether so many are lacking that the text was cut. People take lines out of captures, so a few may be.
func (im *Importer) cutShort() bool { return im.short()*20 > im.head.kept }

// Close releases what the importer holds. It does not close the reader that New was given.
func (im *Importer) Close() error {
	for _, c := range im.closers {
		c()
	}
	im.closers = nil
	return nil
}

// Next gives the next event. It returns io.EOF at the end of the text. When the input is cut or cannot be read, all events up to
// there come first, and then an error that names the place.
func (im *Importer) Next(ev *evtchn.Event) error {
	for im.pos >= len(im.out) {
		im.out, im.pos = im.out[:0], 0
		if im.done {
			if im.err != nil {
				return im.err
			}
			return io.EOF
		}
		if err := im.advance(); err != nil {
			return err
		}
	}
	*ev = im.out[im.pos]
	im.pos++
	return nil
}

// advance processes some records, after having read as far ahead as the window allows.
func (im *Importer) advance() error {
	if !im.eof && im.w.len() < windowSize-batch {
		if err := im.read(); err != nil {
			return err
		}
	}
	if im.w.len() == 0 {
		if im.eof && !im.done {
			im.inf.finish()
			im.done = true
		}
		return nil
	}
	for n := 0; n < batch/4 && im.w.len() > 0 && (im.eof || im.w.len() > windowSize/2); n++ {
		pos := im.w.head
		r := im.w.at(pos)
		if r.fl&rfDone == 0 {
			im.inf.process(pos, r)
		}
		im.w.head++
	}
	return nil
}

// read fills the window.
func (im *Importer) read() error {
	var p parts
	for im.w.len() < windowSize {
		if im.seams > 0 {
			im.seams--
			im.pushGap(im.seams, 0)
			continue
		}
		line := im.lines.next()
		if line == nil {
			im.eof = true
			switch err := im.lines.err; {
			case errors.Is(err, io.EOF):
				im.complete = !im.lines.cut && !im.cutShort()
			default:
				im.err = fmt.Errorf("%s: after line %d, byte %d of the text: %w", im.name, im.lines.line,
					im.lines.off+int64(im.lines.pos), cutError(err, im.raw.n))
			}
			return nil
		}
		if len(line) == 0 {
			continue
		}
		r := im.w.push()
		err := errNoCPU
		if line[0] != '#' {
			err = parseLine(line, r, &p, im.names)
		}
		if err != nil {
			im.w.unpush()
			if err := im.oddLine(line, err); err != nil {
				return err
			}
			continue
		}
		im.names.count[r.name]++
		if int(r.cpu) >= im.head.cpus {
			im.w.unpush()
			im.beyond.add("line %d: vcpu %d of %d", im.lines.line, r.cpu, im.head.cpus)
			if im.opt.Strict {
				return fmt.Errorf("%s:%d: %w: vcpu %d, but the trace has %d", im.name, im.lines.line, ErrLine, r.cpu, im.head.cpus)
			}
			continue
		}
		im.w.link()
		im.tasks.note(r, p.task)
		if r.time < im.w.last {
			im.backward.add("line %d, by %s", im.lines.line, im.head.span(im.w.last-r.time))
			if im.w.last-r.time > im.head.tolerance {
				im.disorder++
			}
			r.time = im.w.last
		}
		im.w.last = r.time
	}
	if im.opt.Progress != nil && im.raw.n != im.clocked {
		im.clocked = im.raw.n
		im.opt.Progress(im.raw.n)
	}
	return nil
}

// pushGap puts a gap of a vcpu among the records.
func (im *Importer) pushGap(cpu int, lost uint64) {
	r := im.w.push()
	*r = record{id: prGap, cpu: int16(cpu), a: uint32(min(lost, math.MaxUint32)), time: im.w.last}
	im.w.link()
}

// oddLine takes a line that is no record: a comment, a marker, or a broken one.
func (im *Importer) oddLine(line []byte, why error) error {
	if line[0] == '#' {
		if im.w.tail > 1 && strings.HasPrefix(string(line), "# tracer: ") {
			// Another capture follows, and what happened between the two is not known.
			im.seam.add("line %s", group(uint64(im.lines.line)))
			im.seams = im.head.cpus
		}
		return nil
	}
	if cpu, lost, ok := parseLost(line); ok {
		if cpu >= im.head.cpus {
			im.beyond.add("line %d: vcpu %d of %d", im.lines.line, cpu, im.head.cpus)
			return nil
		}
		im.pushGap(cpu, lost)
		return nil
	}
	if len(line) > 5 && string(line[:5]) == "cpus=" {
		return nil
	}
	if im.opt.Strict {
		return fmt.Errorf("%s:%d: %w: %w: %q", im.name, im.lines.line, ErrLine, why, line[:min(len(line), 120)])
	}
	im.broken.add("line %d, byte %d: %v: %q", im.lines.line, im.lines.start, why, line[:min(len(line), 80)])
	return nil
}
