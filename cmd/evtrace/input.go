package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/evtrace/evtrace/cmd/evtrace/bundle"
	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/text"
	"github.com/evtrace/evtrace/recorder/consoledump"
	"github.com/evtrace/evtrace/recorder/ftrace"
	"github.com/evtrace/evtrace/recorder/ftrace/tracedat"
	"github.com/evtrace/evtrace/recorder/xentrace"
	"github.com/evtrace/evtrace/store"
)

// The forms in which a trace comes.
const (
	formStore  = "evt"    // a file of package store
	formText   = "text"   // the text form
	formFtrace = "ftrace" // a capture of Linux
	// formTraceDat is a capture of Linux as well, if it is in trace-cmd's binary form.
	formTraceDat = "trace.dat"
	formXentrace = "xentrace" // a binary trace of Xen
	formDump     = "dump"     // dumps of Xen's console
)

// inputOptions say how an input is to be read. The zero value is good.
type inputOptions struct {
	form    string // "": by content
	strict  bool   // no comments in text, no broken lines in a capture
	context string // directory of a capture's side files
	tscHz   float64
	maps    []ftrace.Map // what the capture's own events stand for
	salvage bool         // take what can be read of a damaged trace
	quiet   bool         // no progress

	xentrace string       // a trace of xentrace that was taken beside a capture; "": none
	domain   evtchn.DomID // of whose vcpus xentrace is to tell, or whose dumps are to be taken
	domained bool         // the domain was given
}

// The frequencies of a TSC that --tsc-hz takes, in Hz: what is lower was given in MHz or GHz.
const minTSCHz, maxTSCHz = 1e8, 2e10

// check compares the options with the form of the input that they are for.
func (o *inputOptions) check(t *trace) error {
	switch {
	case o.tscHz != 0 && !(o.tscHz >= minTSCHz && o.tscHz <= maxTSCHz):
		return usageErrorf("xl info has it in MHz, as cpu_mhz", "--tsc-hz: got %g, want a frequency in Hz, from %g to %g, such as 2596e6", o.tscHz, minTSCHz, maxTSCHz)
	case o.xentrace != "" && t.form != formFtrace:
		return usageErrorf("", "--xentrace: %s is not a capture of ftrace, and nothing can be put beside it", t.name)
	case o.tscHz != 0 && t.form != formFtrace && t.form != formXentrace:
		return usageErrorf("evtrace import sets it, from the capture", "--tsc-hz: %s is not a capture, so its times are what they are", t.name)
	case len(o.maps) > 0 && t.form != formFtrace:
		return usageErrorf("", "--map: %s is not a capture of ftrace, so its events are what they are", t.name)
	case o.context != "" && t.form != formFtrace && t.form != formXentrace:
		return usageErrorf("", "--context: %s is not a capture, and no files go with it", t.name)
	case o.context != "":
		if st, err := os.Stat(o.context); err != nil {
			return &failure{codeUnreadable, fmt.Errorf("--context: %w", err), ""}
		} else if !st.IsDir() {
			return usageErrorf("", "--context: got %s, want a folder", o.context)
		}
	}
	return nil
}

// trace is a trace to be read, whatever its form. It is a replay.Trace.
type trace struct {
	name   string // as the user gave it; "stdin" for -
	form   string
	path   string   // of the file that is read, which may be a temporary one
	parts  []string // of a capture in several files; path is the first
	size   int64
	opt    inputOptions
	head   []byte // its first bytes, unpacked
	meta   evtchn.Meta
	file   *store.File // nil for text
	judged bool        // an import puts findings into the file
	cut    error       // what is wrong with the archive that it was salvaged from, nil if nothing
	open   []io.Closer
	temp   []string // directories to remove

	unpacked func(io.Reader) io.Reader // bounds what the text of a bundle unpacks to; nil: no bundle
	manifest bundle.Manifest           // of that bundle
	expected []byte                    // and its expectation
}

// openTrace opens a trace: a trace file, or what is left of one whose recording was killed; the text form; or a capture, which is
// imported into a temporary file. Text and captures may be compressed; - is stdin.
// Errors are of the code codeUnreadable, or ctx's.
func (a *app) openTrace(ctx context.Context, name string, opt inputOptions) (*trace, error) {
	t, err := a.findTrace(name, opt)
	if err != nil {
		return nil, err
	}
	if err := t.load(ctx, a); err != nil {
		t.Close()
		return nil, t.named(err)
	}
	return t, nil
}

// findTrace finds out what form an input has, without reading it.
func (a *app) findTrace(name string, opt inputOptions) (*trace, error) {
	return a.findParts([]string{name}, opt)
}

// findParts is findTrace for a capture that may be in several files.
func (a *app) findParts(names []string, opt inputOptions) (*trace, error) {
	name := names[0]
	t := &trace{name: name, path: name, opt: opt, form: opt.form}
	if len(names) > 1 {
		t.parts = names
	}
	err := t.locate(a)
	if err == nil {
		err = t.sniff()
	}
	if err == nil {
		err = t.onlyCaptures()
	}
	if err == nil {
		err = opt.check(t)
	}
	if err != nil {
		t.Close()
		return nil, t.named(missingHint(name, err))
	}
	return t, nil
}

// locate makes sure that there is a plain file to read.
func (t *trace) locate(a *app) error {
	if len(t.parts) > 0 {
		t.name = partsName(t.parts)
		return t.several(t.parts)
	}
	if t.name == "-" {
		t.name = "stdin"
		return t.spool(a.in)
	}
	st, err := os.Stat(t.path)
	switch {
	case err != nil:
		return err
	case st.IsDir():
		return t.among()
	case !st.Mode().IsRegular():
		f, err := os.Open(t.path)
		if err != nil {
			return err
		}
		defer f.Close()
		return t.spool(f)
	}
	t.size = st.Size()
	return nil
}

// spool copies what can be read only once to a temporary file.
func (t *trace) spool(r io.Reader) error {
	dir, err := os.MkdirTemp("", "evtrace-")
	if err != nil {
		return &failure{codeInternal, err, "TMPDIR says where temporary files go"}
	}
	t.temp = append(t.temp, dir)
	t.path = filepath.Join(dir, "input")
	f, err := os.Create(t.path)
	if err != nil {
		return &failure{codeInternal, err, "TMPDIR says where temporary files go"}
	}
	t.size, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}

// sniff finds out the form by the content, unless it is given.
func (t *trace) sniff() error {
	f, err := os.Open(t.path)
	if err != nil {
		return err
	}
	defer f.Close()
	r, packed, err := decompress(f)
	if err != nil {
		return fmt.Errorf("%s: %w", t.name, err)
	}
	defer r.Close()
	head := make([]byte, 64<<10)
	n, err := io.ReadFull(r, head)
	head = head[:n]
	t.head = head[:min(n, 4096)]
	if err != nil && packed && n == 0 {
		return fmt.Errorf("%s: the compressed file is cut off or damaged: %w", t.name, err)
	}
	switch {
	case t.unpacked != nil && !text.Sniff(head):
		return fmt.Errorf("%s: %s: want a trace in text form", t.name, bundle.TraceName)
	case isArchive(head):
		return t.sniffArchive(f)
	case !packed && t.unpacked == nil && bundle.Is(head):
		return t.sniffBundle(f)
	case t.form == formTraceDat && !tracedat.Is(head):
		return fmt.Errorf("%s: it does not begin as trace-cmd's trace.dat does", t.name)
	case t.form == formTraceDat:
		t.form = formFtrace
	case t.form != "":
	case text.Sniff(bytes.TrimPrefix(head, bom)):
		t.form = formText
	case ftrace.Sniff(head):
		t.form = formFtrace
	case xentrace.Sniff(head):
		t.form = formXentrace
	case consoledump.Sniff(head):
		t.form = formDump
	case packed && isDatabase(head):
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
		whole, _, err := decompress(f)
		if err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		defer whole.Close()
		t.form = formStore
		return t.spool(whole)
	case packed:
		return foreign(t.name, head)
	default:
		t.form = formStore // which says best what else it may be
	}
	return nil
}

// sniffArchive unpacks a tar archive and finds out what form the trace in it has.
func (t *trace) sniffArchive(f *os.File) error {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	r, _, err := decompress(f)
	if err != nil {
		return fmt.Errorf("%s: %w", t.name, err)
	}
	defer r.Close()
	if err := t.unpack(r); err != nil {
		return err
	}
	return t.sniff() // no trace is an archive, so it comes here once
}

// isDatabase reports whether a file begins like a bbolt database: the magic number of its first meta page.
func isDatabase(head []byte) bool {
	return len(head) >= 20 && bytes.Equal(head[16:20], []byte{0xed, 0xda, 0x0c, 0xed})
}

// load reads what the trace says about itself.
func (t *trace) load(ctx context.Context, a *app) error {
	switch t.form {
	case formText:
		r, err := t.text()
		if err != nil {
			return err
		}
		t.meta = r.Meta()
		return nil
	case formFtrace, formXentrace, formDump:
		dir, err := os.MkdirTemp("", "evtrace-")
		if err != nil {
			return &failure{codeInternal, err, "TMPDIR says where temporary files go"}
		}
		t.temp = append(t.temp, dir)
		imported := filepath.Join(dir, "imported.evt")
		if _, err := a.importForeign(ctx, t, imported, false); err != nil {
			return err
		}
		t.path = imported
	}
	f, err := store.Open(t.path)
	if err != nil {
		return t.nothingElse(err)
	}
	t.file, t.meta = f, f.Meta()
	return nil
}

// nothingElse is about a file that was taken for a trace file only because it is nothing else.
func (t *trace) nothingElse(err error) error {
	if !errors.Is(err, store.ErrNotTrace) || isDatabase(t.head) {
		return err
	}
	if t.size == 0 {
		return fmt.Errorf("%s: %w", t.name, &renamed{"the file is empty", err})
	}
	return foreign(t.name, t.head)
}

// Meta gives what the trace says about itself.
func (t *trace) Meta() evtchn.Meta { return t.meta }

// Events streams the events from the one with that Seq on. Its errors are of the code codeUnreadable.
func (t *trace) Events(from evtchn.Seq) evtchn.Source {
	if t.file != nil {
		return &namedSource{t, t.file.Events(from)}
	}
	r, err := t.text()
	if err != nil {
		return &namedSource{t, failing{err}}
	}
	return &namedSource{t, &skipping{&ordered{name: t.name, r: r}, from}}
}

// text opens the trace's text from the beginning.
func (t *trace) text() (*text.Reader, error) {
	f, err := os.Open(t.path)
	if err != nil {
		return nil, err
	}
	t.open = append(t.open, f)
	r, _, err := decompress(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.name, err)
	}
	t.open = append(t.open, r)
	var plain io.Reader = r
	if t.unpacked != nil {
		plain = t.unpacked(r)
	}
	br := bufio.NewReader(plain)
	if head, _ := br.Peek(len(bom)); !t.opt.strict && bytes.Equal(head, bom) {
		_, _ = br.Discard(len(bom))
	}
	return text.Options{Lenient: !t.opt.strict}.NewReader(br, t.name)
}

// Close closes the trace and removes what was temporary.
func (t *trace) Close() {
	for i := len(t.open) - 1; i >= 0; i-- {
		t.open[i].Close()
	}
	if t.file != nil {
		t.file.Close()
	}
	for _, dir := range t.temp {
		os.RemoveAll(dir)
	}
	t.open, t.file, t.temp = nil, nil, nil
}

// named makes an error one about the input, under the name that the user gave it.
func (t *trace) named(err error) error {
	if err != nil && t.path != t.name && len(t.parts) == 0 && strings.Contains(err.Error(), t.path) {
		err = &renamed{strings.ReplaceAll(err.Error(), t.path, t.name), err}
	}
	var f *failure
	if err == nil || errors.As(err, &f) || interrupted(err) {
		return err
	}
	if hint := t.hint(err); hint != "" {
		return &failure{codeUnreadable, err, hint}
	}
	return unreadable(err)
}

// hint says what can be done about an error of reading.
func (t *trace) hint(err error) string {
	name := t.name
	if name == "stdin" {
		name = "-"
	}
	switch {
	case errors.Is(err, store.ErrTruncated), errors.Is(err, tracedat.ErrNoData):
		return "it is cut, or still being copied; whoever sent it has the whole"
	case errors.Is(err, store.ErrCorrupt):
		return "evtrace check " + name + " lists what is damaged; whoever sent it has the original"
	case t.form != formStore && (t.meta.VCPUs > 0 || errors.Is(err, io.ErrUnexpectedEOF)) && !t.opt.salvage && !errors.Is(err, text.ErrVersion):
		return "evtrace import --salvage " + name + " keeps what comes before that"
	}
	return ""
}

// renamed is an error with another text.
type renamed struct {
	text string
	err  error
}

func (r *renamed) Error() string { return r.text }

func (r *renamed) Unwrap() error { return r.err }

// namedSource gives a source's errors the input's name.
type namedSource struct {
	t   *trace
	src evtchn.Source
}

func (s *namedSource) Next(ev *evtchn.Event) error {
	err := s.src.Next(ev)
	if err == nil || err == io.EOF {
		return err
	}
	return s.t.named(err)
}

// ordered makes sure that the lines of a text follow one another, so that an error names the line.
type ordered struct {
	name string
	r    *text.Reader
	last evtchn.Event
}

func (o *ordered) Next(ev *evtchn.Event) error {
	if err := o.r.Next(ev); err != nil {
		return err
	}
	want := o.last.Seq + 1
	switch {
	case ev.Seq > want:
		missing := fmt.Sprintf("events %d to %d are", want, ev.Seq-1)
		if ev.Seq == want+1 {
			missing = fmt.Sprintf("event %d is", want)
		}
		return o.broken("got event %d, want %d: %s missing", ev.Seq, want, missing)
	case ev.Seq < want:
		return o.broken("got event %d, want %d: events are out of order", ev.Seq, want)
	case want > 1 && ev.Time < o.last.Time:
		return o.broken("event %d is of time %d, the one before it of %d: times must not go back", ev.Seq, ev.Time, o.last.Time)
	case ev.Cause >= ev.Seq:
		return o.broken("event %d is caused by event %d: want one before it", ev.Seq, ev.Cause)
	}
	o.last = *ev
	return nil
}

func (o *ordered) broken(format string, args ...any) error {
	return &text.Error{Name: o.name, Line: o.r.Line(), Msg: fmt.Sprintf(format, args...), Err: text.ErrFormat}
}

// failing is a source that could not be opened.
type failing struct{ err error }

func (f failing) Next(*evtchn.Event) error { return f.err }

// skipping leaves out the events before one.
type skipping struct {
	src  evtchn.Source
	from evtchn.Seq
}

func (s *skipping) Next(ev *evtchn.Event) error {
	for {
		if err := s.src.Next(ev); err != nil || ev.Seq >= s.from {
			return err
		}
	}
}

// missingHint points to what a killed recording left, if a trace is not there.
func missingHint(name string, err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, perr := os.Stat(name + store.PartialSuffix); perr == nil {
		return &failure{codeUnreadable, err, "a recording that is under way or was killed left " + name + store.PartialSuffix + ", which can be read"}
	}
	return err
}

// decompress unpacks zstd and gzip, which it knows by their first bytes, and gives anything else as it is.
func decompress(r io.Reader) (_ io.ReadCloser, packed bool, _ error) {
	br := bufio.NewReaderSize(r, 64<<10)
	head, err := br.Peek(4)
	if err != nil && err != io.EOF {
		return nil, false, err
	}
	switch {
	case bytes.Equal(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(br, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, true, fmt.Errorf("zstd: %w", err)
		}
		return z.IOReadCloser(), true, nil
	case len(head) >= 2 && head[0] == 0x1f && head[1] == 0x8b:
		z, err := gzip.NewReader(br)
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, true, fmt.Errorf("gzip: %w", err)
		}
		return z, true, nil
	}
	return io.NopCloser(br), false, nil
}
