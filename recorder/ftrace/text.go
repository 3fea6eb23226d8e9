package ftrace

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/recorder/ftrace/tracedat"
)

// textSource reads the text of trace, trace_pipe and trace-cmd report.
type textSource struct {
	name   string
	strict bool
	raw    *counter
	lines  *lines
	names  *names
	head   facts
	closer func()

	started bool
	given   bool // a record was given
	seam    int  // gaps that are still to be given for a further capture, one for each vcpu
	broken  tally
	seams   tally
}

// newTextSource begins to read a capture in text form, plain, gzip or zstd. Errors are of class ErrFormat or io.ErrUnexpectedEOF, or the
// reader's.
func newTextSource(r io.Reader, name string, ns *names, opt *Options) (*textSource, error) {
	s := &textSource{name: name, strict: opt.Strict, raw: &counter{r: r}, names: ns}
	text, closer, err := decompressor(s.raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	s.closer = closer
	s.lines = newLines(text)
	peeked := s.lines.peek()
	s.head = peekFacts(peeked, ns.fresh())
	if s.head.records {
		return s, nil
	}
	switch err := s.lines.err; {
	case err != nil && !errors.Is(err, io.EOF):
		err = fmt.Errorf("%s: %w", name, cutError(err, s.raw.n))
		s.close()
		return nil, err
	case len(peeked) == 0:
		s.close()
		return nil, fmt.Errorf("%s: %w", name, errEmpty)
	case !s.head.counted && !sniffText(peeked):
		s.close()
		return nil, fmt.Errorf("%s: %w: none of the first %d bytes is a record such as \"task-123 [000] d.h1. 52.953527: upcall: ...\"",
			name, ErrFormat, len(peeked))
	}
	return s, nil
}

// cutError gives an error of decompression its place.
func cutError(err error, at int64) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the compressed file is cut off at byte %d: %w", at, err)
	}
	return fmt.Errorf("at about byte %d of the file: %w", at, err)
}

// Sniff reports whether a file that begins with prefix looks like a capture, in text or trace-cmd's binary form. Compressed files must
// be decompressed first.
func Sniff(prefix []byte) bool {
	return tracedat.Is(prefix) || sniffText(prefix)
}

func sniffText(prefix []byte) bool {
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

func (s *textSource) facts() facts { return s.head }

func (s *textSource) reading() reading {
	rd := reading{bytes: s.raw.n, lines: uint64(s.lines.line), broken: s.broken, seams: s.seams}
	if s.lines.cut {
		rd.cut = s.place()
	}
	return rd
}

func (s *textSource) place() string { return "line " + group(uint64(s.lines.line)) }

func (s *textSource) close() { s.closer() }

func (s *textSource) next(r *record, p *parts) error {
	if !s.started {
		s.started = true
		if s.head.overwritten() {
			gapRecord(r, evtchn.NoVCPU, s.head.written-s.head.kept, s.head.first)
			return nil
		}
	}
	for {
		if s.seam > 0 {
			s.seam--
			gapRecord(r, evtchn.VCPU(s.seam), 0, 0)
			return nil
		}
		line := s.lines.next()
		if line == nil {
			if err := s.lines.err; !errors.Is(err, io.EOF) {
				return fmt.Errorf("%s: after line %d, byte %d of the text: %w", s.name, s.lines.line,
					s.lines.off+int64(s.lines.pos), cutError(err, s.raw.n))
			}
			return io.EOF
		}
		if len(line) == 0 {
			continue
		}
		if line[0] == '#' {
			if s.given && bytes.HasPrefix(line, []byte("# tracer: ")) {
				// Another capture follows, and what happened between the two is not known.
				s.seams.add("line %s", group(uint64(s.lines.line)))
				s.seam = s.head.cpus
			}
			continue
		}
		err := parseLine(line, r, p, s.names)
		if err == nil {
			s.given = true
			return nil
		}
		if cpu, lost, ok := parseLost(line); ok {
			s.given = true
			gapRecord(r, evtchn.VCPU(min(cpu, evtchn.MaxVCPUs)), lost, 0)
			return nil
		}
		if bytes.HasPrefix(line, []byte("cpus=")) {
			continue
		}
		if s.strict {
			return fmt.Errorf("%s:%d: %w: %w: %q", s.name, s.lines.line, ErrLine, err, line[:min(len(line), 120)])
		}
		s.broken.add("line %d, byte %d: %v: %q", s.lines.line, s.lines.start, err, line[:min(len(line), 80)])
	}
}
