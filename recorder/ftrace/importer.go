package ftrace

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/evtrace/evtrace/evtchn"
)

// Errors. Everything that Open and Next return about the input's contents is of one of these classes, of those of
// package tracedat, or of the class io.ErrUnexpectedEOF for an input that was cut.
var (
	ErrFormat = errors.New("not an ftrace text capture") // nothing in the file is a record
	ErrLine   = errors.New("broken line")                // with Options.Strict
	ErrMixed  = errors.New("not of the same capture")    // of several files: one that does not belong with the others

	errEmpty = fmt.Errorf("%w: it is empty", ErrFormat)
)

// Options of an import. The zero value is good.
type Options struct {
	Strict   bool              // a broken line, a vcpu or a port that the trace does not have is an error instead of a note
	TSCHz    float64           // frequency of the TSC in Hz; 0: what the side files say
	Maps     []Map             // what events of the user's own stand for
	Context  string            // directory of the side files; "": beside the trace
	Progress func(bytes int64) // told now and then how many bytes of the file have been read
	_        struct{}
}

// Importer is an evtchn.Source that reads a capture. It is for one goroutine.
type Importer struct {
	opt     Options
	name    string
	src     source
	head    header
	side    SideFiles
	names   *names
	clocked int64 // bytes read at the last call of Progress

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
	ties     tieCount
	backward tally
	beyond   tally // records of vcpus that the trace should not have
	portless tally // records of ports that the ABI lacks
	tasks    taskTable
}

// Open opens a capture, plain, gzip or zstd, and the side files of its directory or of Options.Context.
// An error is the operating system's, or of class ErrFormat or io.ErrUnexpectedEOF.
func Open(path string, opt Options) (*Importer, error) { return OpenFiles([]string{path}, opt) }

// New reads a capture from r, with the side files given. The name is for messages and for Meta.Origin. Errors are as those of Open.
func New(r io.Reader, name string, side SideFiles, opt Options) (*Importer, error) {
	im, err := prepare(name, side, opt)
	if err != nil {
		return nil, err
	}
	src, err := newTextSource(r, name, im.names, &im.opt)
	if err != nil {
		return nil, err
	}
	return im.begin(src)
}

// prepare makes an importer that lacks its source.
func prepare(name string, side SideFiles, opt Options) (*Importer, error) {
	if opt.TSCHz < 0 || math.IsNaN(opt.TSCHz) || math.IsInf(opt.TSCHz, 0) {
		return nil, fmt.Errorf("TSC frequency: got %v Hz, want a positive number", opt.TSCHz)
	}
	im := &Importer{opt: opt, name: name, side: side, names: newNames()}
	return im, im.names.addMaps(opt.Maps)
}

// begin gives the importer its source.
func (im *Importer) begin(src source) (*Importer, error) {
	var err error
	im.src = src
	im.head.facts = src.facts()
	if im.side.Probes == "" {
		im.side.Probes = im.head.probes
	}
	im.head.settle(&im.side, &im.opt)
	im.st, err = evtchn.NewState(im.Meta())
	if err != nil {
		src.close()
		return nil, fmt.Errorf("%s: %w", im.name, err)
	}
	im.w.init(im.head.cpus)
	im.tasks.init(im.head.cpus)
	im.inf.init(im)
	return im, nil
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
	rd := im.src.reading()
	m.Lines, m.Broken, m.BrokenAt = rd.lines, rd.broken.n, rd.broken.first
	for _, n := range im.names.count {
		m.Records += n
	}
	m.Ties, m.Backward = im.ties.n, im.backward.n
	if m.Missed = im.side.missed(im.names); len(m.Missed) == 0 {
		m.Missed = nil
	}
	for name, n := range im.inf.deduced {
		if n > 0 {
			if m.Deduced == nil {
				m.Deduced = make(map[string]uint64)
			}
			m.Deduced[probe(name).kind()] = n
		}
	}
	for _, d := range im.unprobed() {
		m.Unprobed = append(m.Unprobed, d.name)
	}
	m.Notes = im.notes()
	return m
}

func (im *Importer) notes() []string {
	n := slices.Clone(im.head.notes)
	if h := &im.head; h.overwritten() {
		n = append(n, fmt.Sprintf("the ring buffer was overwritten: %s of %s records are left, and the oldest of each vcpu are gone", group(h.kept), group(h.written)))
	}
	if s := im.missNote(); s != "" {
		n = append(n, s)
	}
	for _, d := range im.unprobed() {
		n = append(n, d.note())
	}
	if im.eof {
		missing, unread := im.names.unmet(im.opt.Maps, im.src.reading().broken.n > 0)
		if len(missing) > 0 {
			n = append(n, "no record is called "+strings.Join(missing, " or ")+", as the map has it")
		}
		for _, m := range unread {
			n = append(n, "no record could be read by the map "+m+": there are such records, but each lacks a field that the map or its kind names, or has no number there")
		}
	}
	if im.inf.fifo {
		n = append(n, "the capture is of the FIFO ABI: deliveries and how long they took are known, but not whether a port stands in a queue, so a lost event would not be found")
	}
	tell := func(t *tally, one, many string) {
		if t.n == 1 {
			n = append(n, "1 "+one+": "+t.first)
		} else if t.n > 1 {
			n = append(n, group(t.n)+" "+many+", the first: "+t.first)
		}
	}
	rd := im.src.reading()
	if rd.lines > 0 {
		tell(&rd.broken, "broken line", "broken lines")
	} else {
		tell(&rd.broken, "damaged place", "damaged places")
	}
	tell(&im.backward, "record goes back in time and was set to the time before it", "records go back in time and were set to the time before them")
	tell(&rd.seams, "further capture follows in the same file, with a gap of every vcpu before it", "further captures follow in the same file, with a gap of every vcpu before each")
	tell(&im.beyond, "record of a vcpu that the trace should not have", "records of vcpus that the trace should not have")
	tell(&im.portless, "record of a port that the ABI lacks", "records of ports that the ABI lacks")
	if rd.cut != "" {
		n = append(n, rd.cut+": the text ends within a line, which was dropped")
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

// missNote says what kprobe_profile counts as missed.
func (im *Importer) missNote() string {
	missed := im.side.missed(im.names)
	var total uint64
	worst := ""
	for _, name := range slices.Sorted(maps.Keys(missed)) {
		total += missed[name]
		if worst == "" || missed[name] > missed[worst] {
			worst = name
		}
	}
	const so = ": a missing event is no evidence ("
	switch total {
	case 0:
		return ""
	case 1:
		return "kprobes missed 1 hit, of " + worst + so + im.side.name("Profile", "kprobe_profile") + ")"
	}
	return "kprobes missed " + group(total) + " hits, most of them of " + worst + so + im.side.name("Profile", "kprobe_profile") + ")"
}

// recordsRead is the number of records in the text so far.
func (im *Importer) recordsRead() uint64 {
	n := im.src.reading().broken.n
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
	im.src.close()
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
		r := im.w.push()
		if err := im.src.next(r, &p); err != nil {
			im.w.unpush()
			switch {
			case errors.Is(err, ErrLine):
				return err
			case errors.Is(err, io.EOF):
				im.eof = true
				im.complete = im.src.reading().cut == "" && !im.cutShort()
			default:
				im.eof, im.err = true, err
			}
			return nil
		}
		if r.id != prGap {
			im.names.count[r.name]++
		} else if r.time == 0 {
			r.time = im.w.last
		}
		if int(r.cpu) >= im.head.cpus || r.cpu < 0 && r.id != prGap {
			im.w.unpush()
			im.beyond.add("%s: vcpu %d of %d", im.src.place(), r.cpu, im.head.cpus)
			if im.opt.Strict {
				return fmt.Errorf("%s: %s: %w: vcpu %d, but the trace has %d", im.name, im.src.place(), ErrLine, r.cpu, im.head.cpus)
			}
			continue
		}
		if r.have&fPort != 0 && r.id != prDevWrite && im.inf.port(r.a) == evtchn.NoPort {
			im.w.unpush()
			im.portless.add("%s: port %d", im.src.place(), r.a)
			if im.opt.Strict {
				return fmt.Errorf("%s: %s: %w: port %d, want 1 to %d", im.name, im.src.place(), ErrLine, r.a, im.st.Ports()-1)
			}
			continue
		}
		if r.id != prGap {
			im.tasks.note(r, p.task)
		}
		im.w.link()
		if r.time < im.w.last {
			im.backward.add("%s, by %s", im.src.place(), im.head.span(im.w.last-r.time))
			if im.w.last-r.time > im.head.tolerance {
				im.disorder++
			}
			r.time = im.w.last
		}
		if r.id != prGap {
			im.ties.note(r)
		}
		im.w.last = r.time
	}
	if im.opt.Progress != nil {
		if n := im.src.reading().bytes; n != im.clocked {
			im.clocked = n
			im.opt.Progress(n)
		}
	}
	return nil
}
