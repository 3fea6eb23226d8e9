package text

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/evtrace/evtrace/evtchn"
)

// Options are for readers of texts that people have handled. The zero value takes only what a Writer writes.
type Options struct {
	// Lenient takes comments (lines that start with #) and blank lines anywhere, header fields in any order and spelling, CR LF, spaces
	// and tabs around and between words, and a last line without a newline: what mail, editors and authors of bug
	// reports do to a trace. What is read this way need not write back byte for byte. A cut trace is still an error.
	Lenient bool
}

// Reader reads a trace. It is an evtchn.Source.
type Reader struct {
	r     *bufio.Reader
	name  string
	opt   Options
	meta  evtchn.Meta
	line  int // number of the last line read
	n     uint64
	words []byte // scratch of a lenient reader
	err   error  // sticky
}

// NewReader reads the header of a trace and stands before its first event. The name is for messages. An error is an *Error:
// of the class ErrFormat, ErrVersion or io.ErrUnexpectedEOF, or what r returned.
func NewReader(r io.Reader, name string) (*Reader, error) { return Options{}.NewReader(r, name) }

// NewReader is the function of that name, with options.
func (o Options) NewReader(r io.Reader, name string) (*Reader, error) {
	tr := &Reader{r: bufio.NewReaderSize(r, bufSize), name: name, opt: o}
	if err := tr.header(); err != nil {
		return nil, err
	}
	return tr, nil
}

// Meta gives what the trace says about itself.
func (r *Reader) Meta() evtchn.Meta { return r.meta }

// Line gives the number of the line that was read last, from 1.
func (r *Reader) Line() int { return r.line }

// Next reads one event. It returns io.EOF after an end line that counts the events right and has nothing behind it; a trace
// without one is an io.ErrUnexpectedEOF, after all its events. An error is final.
func (r *Reader) Next(ev *evtchn.Event) error {
	if r.err != nil {
		return r.err
	}
	for {
		line, err := r.readLine()
		if err == io.EOF {
			r.line++ // the line that is not there
			err = cutError("the trace is cut here: it has no end line")
		}
		if err != nil {
			return r.fail(err)
		}
		if r.opt.Lenient && skipped(line) {
			continue
		}
		if len(line) > 0 && line[0] == 'e' {
			return r.end(line)
		}
		if err := parseEvent(ev, line); err != nil {
			return r.fail(r.explain(line, err))
		}
		r.n++
		return nil
	}
}

// end reads the end line and makes sure that it is the end.
func (r *Reader) end(line []byte) error {
	rest, ok := bytes.CutPrefix(line, []byte("end "))
	n, isNum := parseUint(rest)
	if !ok || !isNum {
		return r.fail(reject(line, "%.40q: want an event, or end and the number of events", line))
	}
	if n != r.n {
		return r.fail(lineErrorf("end line of %d events, but there are %d before it: lines are missing or were added", n, r.n))
	}
	for {
		line, err := r.readLine()
		switch {
		case err == io.EOF:
			r.err = io.EOF
			return r.err
		case err != nil:
			return r.fail(err)
		case !r.opt.Lenient || !skipped(line):
			return r.fail(lineErrorf("%.40q: text after the end line", line))
		}
	}
}

// skipped reports whether a lenient reader passes over the line.
func skipped(line []byte) bool { return len(line) == 0 || line[0] == '#' }

// explain adds what helps with lines that a lenient reader would have taken.
func (r *Reader) explain(line []byte, err error) error {
	if r.opt.Lenient || !skipped(line) {
		return err
	}
	what := "a blank line"
	if len(line) > 0 {
		what = "a comment"
	}
	return lineErrorf("%s between events: only a lenient reader takes that", what)
}

// fail makes err, about the last line read, the reader's final error.
func (r *Reader) fail(err error) error {
	r.err = r.at(r.line, err)
	return r.err
}

func (r *Reader) at(line int, err error) error {
	for _, class := range []error{ErrFormat, ErrVersion, io.ErrUnexpectedEOF} {
		if errors.Is(err, class) {
			return &Error{r.name, line, err.Error(), class}
		}
	}
	return &Error{r.name, line, err.Error(), err}
}

// readLine gives the next line without its newline, valid until the next call. At the end of the input it returns io.EOF.
func (r *Reader) readLine() ([]byte, error) {
	line, err := r.r.ReadSlice('\n')
	if err == nil {
		r.line++
		return r.tidy(line[:len(line)-1]), nil
	}
	if err == io.EOF && len(line) == 0 {
		return nil, io.EOF
	}
	r.line++
	switch {
	case err == bufio.ErrBufferFull:
		return nil, lineErrorf("a line of more than %d bytes", bufSize)
	case err != io.EOF:
		return nil, fmt.Errorf("read: %w", err)
	}
	if line = r.tidy(line); r.opt.Lenient && (skipped(line) || string(line) == "end "+strconv.FormatUint(r.n, 10)) {
		return line, nil
	}
	return nil, cutLine(line)
}

func cutLine(line []byte) error {
	if len(line) > 40 {
		line = line[len(line)-40:]
	}
	return cutError(fmt.Sprintf("the trace is cut in this line, after %q", line))
}

// tidy gives the line as it is or, to a lenient reader, with single spaces between words.
func (r *Reader) tidy(line []byte) []byte {
	if !r.opt.Lenient {
		return line
	}
	r.words = r.words[:0]
	for _, w := range bytes.Fields(line) {
		if len(r.words) > 0 {
			r.words = append(r.words, ' ')
		}
		r.words = append(r.words, w...)
	}
	return r.words
}

// header reads up to the blank line.
func (r *Reader) header() error {
	var raw []byte // from the first line on
	var p headerParser
	for {
		line, err := r.readHeaderLine(maxHeader - len(raw))
		if err == io.EOF {
			r.line++
			return r.at(r.line, cutHeader(r.line))
		}
		if err != nil {
			return r.at(r.line, err)
		}
		if r.opt.Lenient {
			line = bytes.TrimRight(line, " \t\r")
			if len(line) > 0 && line[0] == '#' || len(raw) == 0 && len(line) == 0 {
				continue
			}
		}
		first := len(raw) == 0
		raw = append(append(raw, line...), '\n')
		switch {
		case first:
			if err := checkFirstLine(line); err != nil {
				return r.at(r.line, err)
			}
		case len(line) == 0:
			return r.endHeader(raw, &p)
		default:
			if err := p.line(line); err != nil {
				return r.at(r.line, err)
			}
		}
	}
}

func (r *Reader) endHeader(raw []byte, p *headerParser) error {
	r.meta = p.finish()
	r.meta.Format = evtchn.FormatVersion
	if r.opt.Lenient {
		return nil
	}
	if n, got, want := firstDifference(raw, appendHeader(nil, &r.meta)); n != 0 {
		return r.at(n, lineErrorf("header: got %.60q, want %.60q here: fields have one order and one spelling", got, want))
	}
	return nil
}

func cutHeader(line int) error {
	if line == 1 {
		return cutError("empty input: want " + strconv.Quote(magic+strconv.Itoa(evtchn.FormatVersion)))
	}
	return cutError("the trace is cut here, in its header")
}

// readHeaderLine reads a line of any length up to limit: notes and scenarios may be long.
func (r *Reader) readHeaderLine(limit int) ([]byte, error) {
	var long []byte
	for {
		part, err := r.r.ReadSlice('\n')
		if len(long)+len(part) > limit {
			r.line++
			return nil, lineErrorf("a header of more than %d bytes", maxHeader)
		}
		if err == bufio.ErrBufferFull {
			if long == nil && r.line == 0 && !r.opt.Lenient {
				r.line++
				return nil, checkFirstLine(part)
			}
			long = append(long, part...)
			continue
		}
		line := part
		if long != nil {
			line = append(long, part...)
		}
		if err == io.EOF && len(line) == 0 {
			return nil, io.EOF
		}
		r.line++
		switch {
		case err == io.EOF && r.line == 1 && !bytes.HasPrefix([]byte(magic), line):
			if bad := checkFirstLine(line); bad != nil {
				return nil, bad
			}
			return nil, cutLine(line)
		case err == io.EOF:
			return nil, cutLine(line)
		case err != nil:
			return nil, fmt.Errorf("read: %w", err)
		}
		return line[:len(line)-1], nil
	}
}

func checkFirstLine(line []byte) error {
	version, ok := bytes.CutPrefix(line, []byte(magic))
	n, isNum := parseUint(version)
	switch {
	case len(line) > 0 && line[0] == '#':
		return lineErrorf("a comment before the trace: only a lenient reader takes that")
	case !ok, !isNum, n == 0:
		return lineErrorf("not a trace in text form: it starts with %.40q, want %q", line, magic+strconv.Itoa(evtchn.FormatVersion))
	case n > evtchn.FormatVersion:
		return fmt.Errorf("%w: the trace has version %d, this evtrace reads up to %d: use a newer evtrace", ErrVersion, n, evtchn.FormatVersion)
	}
	return nil
}

// Sniff reports whether a file that starts with these bytes is a trace in text form, of whatever version. Comments and
// blank lines before it do not count, as for a lenient reader. Some 512 bytes are enough for a trace that has none.
func Sniff(prefix []byte) bool {
	for len(prefix) > 0 {
		line, rest, _ := bytes.Cut(prefix, []byte("\n"))
		line = bytes.TrimRight(line, " \t\r")
		if skipped(line) {
			prefix = rest
			continue
		}
		// A file cut within its first line is a cut trace rather than something unknown.
		return bytes.HasPrefix(prefix, []byte(magic)) || len(prefix) >= len("evtrace") && bytes.HasPrefix([]byte(magic), prefix)
	}
	return false
}
