package consoledump

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/dump"
)

// Errors. What Next returns about a text's contents is of one of these classes.
var (
	ErrNone = errors.New("no event-channel dump") // nothing in the text is one
	ErrLine = errors.New("broken line")           // with Options.Strict
)

// Options change how a text is read. The zero value is good.
type Options struct {
	Strict   bool              // a broken row is an error instead of a note
	Progress func(bytes int64) // told now and then how much has been read
	_        struct{}
}

// Place is where something was found that a note tells of.
type Place struct {
	Line int
	Text string // the line's beginning
}

// Summary is what a text turned out to be.
type Summary struct {
	Bytes    int64
	Lines    int
	Dumps    int
	Rows     int   // of ports and vcpus
	Joined   int   // rows that had been broken in two
	Broken   int   // rows that could not be read
	First    Place // the first of them
	Lost     int   // places where Xen or the sender says that lines are missing
	LostAt   Place // the first of them
	Headless int   // dumps of which the beginning is missing
	Cut      bool  // the text ends within a line
	Long     int   // lines too long to be of a dump
}

// Reader reads the dumps of a text, one after the other. It is for one goroutine.
type Reader struct {
	name  string
	opt   Options
	lines *lines
	sum   Summary
	queue []*dump.Dump
	err   error

	xen   building // keys e and q, and lsevtchn's table: one after the other
	guest building // the guest's answer, which comes in between
	press int
	shown bool // the line that announces the press was seen
	key   byte // of the press; 0: none was seen
	last  int  // domain of the last dump of the press

	held    []byte // a row that may go on in the next line
	heldAt  prefixed
	heldN   int // its line
	printer evtchn.VCPU
	named   bool       // a line "vcpu N" was seen
	listed  bool       // the guest's list of pending ports has begun
	pollers *dump.Dump // 2008: the pollers are printed before the header
}

// building is a dump that is being read.
type building struct {
	d        *dump.Dump
	digits   int // rows of which the inner column is a single digit
	fifo     int // rows that can only be of the FIFO ABI
	headless bool
	vcpu     bool // pause_flags of the vcpu read last are still to come
}

// NewReader gives a reader of r. The name is for messages and for Dump.Name.
func NewReader(r io.Reader, name string, opt Options) *Reader {
	return &Reader{name: name, opt: opt, lines: newLines(r), last: dump.NoDomain}
}

// Next gives the next dump. It returns io.EOF at the end of the text; ErrNone there if there was no dump at all; or ErrLine.
func (r *Reader) Next() (*dump.Dump, error) {
	for len(r.queue) == 0 {
		if r.err != nil {
			return nil, r.err
		}
		r.step()
	}
	d := r.queue[0]
	r.queue = r.queue[1:]
	return d, nil
}

// Summary says what the text has turned out to be so far.
func (r *Reader) Summary() Summary {
	s := r.sum
	s.Bytes, s.Lines, s.Cut, s.Long = r.lines.at, r.lines.n, r.lines.cut, r.lines.long
	return s
}

// ReadAll reads all dumps of a text.
func ReadAll(rd io.Reader, name string, opt Options) ([]*dump.Dump, Summary, error) {
	r := NewReader(rd, name, opt)
	var ds []*dump.Dump
	for {
		d, err := r.Next()
		if err == io.EOF {
			return ds, r.Summary(), nil
		} else if err != nil {
			return ds, r.Summary(), err
		}
		ds = append(ds, d)
	}
}

// Sniff reports whether a text that begins with prefix looks like one with dumps in it, or like a log of Xen's console, in which they may
// come later.
func Sniff(prefix []byte) bool {
	ln := newLines(bytes.NewReader(prefix))
	var p dump.Port
	var v dump.VCPU
	xen := 0
	for {
		line, ok := ln.next()
		if !ok {
			return false
		}
		s := strip(line)
		if s.xen {
			if xen++; xen == 3 {
				return true
			}
		}
		if len(s.body) == 0 {
			continue
		}
		if _, ok := headerOf(s.body); ok {
			return true
		}
		if in, f := parsePort(s.body, &p); f == whole && (in != innerNone || !p.InFlux) {
			return true
		}
		if parseVCPU(s.body, &v) == whole || parseEvent(s.body, &p) == whole {
			return true
		}
		if _, f := parseSelector(s.body, &v); f == whole {
			return true
		}
	}
}

// step reads a line.
func (r *Reader) step() {
	if r.opt.Progress != nil && r.lines.n&0xfff == 0 {
		r.opt.Progress(r.lines.at)
	}
	line, ok := r.lines.next()
	if !ok {
		r.end()
		return
	}
	n := r.lines.n
	// A serial line may have run two messages together.
	for {
		cut := -1
		if i := bytes.LastIndex(line, xenMark); i > 0 {
			if s := strip(line[:i]); len(s.body) > 0 {
				cut = bytes.Index(line[1:], xenMark) + 1
				if first := strip(line[:cut]); len(first.body) == 0 { // the mark is part of the prefix
					cut = bytes.Index(line[cut+1:], xenMark) + cut + 1
				}
			}
		}
		if cut <= 0 || cut >= len(line) {
			r.line(line, n)
			return
		}
		r.line(line[:cut], n)
		line = line[cut:]
	}
}

// end is the end of the text.
func (r *Reader) end() {
	r.drop()
	err := r.lines.err
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if r.xen.d != nil && (err != nil || r.lines.cut) {
		r.xen.d.Whole = false
	}
	r.finish(&r.xen)
	r.finish(&r.guest)
	switch {
	case r.err != nil:
	case err != nil:
		r.err = fmt.Errorf("%s:%d: %w", r.name, r.lines.n, err)
	case r.sum.Dumps == 0:
		r.err = fmt.Errorf("%s: %w in its %d lines", r.name, ErrNone, r.lines.n)
	default:
		r.err = io.EOF
	}
}

// line takes a line, or a message of one.
func (r *Reader) line(line []byte, n int) {
	s := strip(line)
	if r.held != nil {
		held, at, heldN := r.held, r.heldAt, r.heldN
		if len(s.body) == 0 {
			return // an empty line of a mail between two pieces
		}
		if !s.xen && !s.stamp.Known() {
			r.held = nil
			for _, joined := range [][]byte{slices.Concat(held, []byte(" "), s.body), slices.Concat(bytes.TrimSuffix(held, []byte("=")), s.body)} {
				both := prefixed{body: joined, stamp: at.stamp, xen: at.xen, dom: at.dom}
				if r.mark(both, heldN) || r.row(both, heldN, true) {
					return
				}
				if held[len(held)-1] != '=' { // not the soft line break of quoted-printable
					break
				}
			}
			r.held, r.heldAt, r.heldN = held, at, heldN
		}
		r.drop()
	}
	if len(s.body) == 0 {
		return
	}
	switch {
	case r.mark(s, n), r.row(s, n, false):
	case opens(s.body):
		r.hold(s, n)
	case r.tail(s.body, n):
	default:
		r.rest(s, n)
	}
}

// tail takes what a row may have at its end and a mail program may have put into the next line: the host's IRQ and the XSM label.
func (r *Reader) tail(b []byte, n int) bool {
	d := r.xen.d
	if len(b) < 3 || b[1] != '=' || b[0] != 'i' && b[0] != 'Z' || d == nil || len(d.Ports) == 0 || n-d.Last > 2 {
		return false
	}
	if _, label, ok := bytes.Cut(b, []byte("Z=")); ok {
		d.Ports[len(d.Ports)-1].Label = string(label)
	}
	return true
}

// heads are the lines that a mail program may break before their number.
var heads = [...]string{"Event channel information for domain", "General information for domain", "VCPU information and callbacks for domain", "Polling vCPUs:"}

// opens reports whether a line is the beginning of one of those, down to its second word.
func opens(b []byte) bool {
	switch b[0] {
	case 'D':
		n, rest, ok := number(bytes.TrimPrefix(b, []byte("Domain ")))
		return ok && n < 1<<16 && (string(rest) == " polling" || string(rest) == " polling vCPUs:")
	case 'E', 'G', 'V', 'P':
	default:
		return false
	}
	for _, h := range heads {
		if len(b) <= len(h) && string(b) == h[:len(b)] && (len(b) == len(h) || h[len(b)] == ' ') && bytes.IndexByte(b, ' ') > 0 {
			return true
		}
	}
	return false
}

// hold keeps a row that may go on in the next line.
func (r *Reader) hold(s prefixed, n int) {
	r.held, r.heldAt, r.heldN = bytes.Clone(s.body), s, n
}

// drop gives up the row that was kept.
func (r *Reader) drop() {
	if r.held == nil {
		return
	}
	text := r.held
	r.held = nil
	if !opens(text) {
		r.bad(text, r.heldN)
	}
}

// bad counts a row that cannot be read.
func (r *Reader) bad(text []byte, n int) {
	if r.sum.Broken++; r.sum.Broken == 1 {
		r.sum.First = place(text, n)
	}
	if r.xen.d != nil {
		r.xen.d.Broken++
		r.xen.d.Whole = false
	}
	if r.opt.Strict && r.err == nil {
		r.err = fmt.Errorf("%s:%d: %w: got %q, want a row such as \"15 [0/0/0]: s=3 n=0 x=0 d=7 p=10\"", r.name, n, ErrLine, text[:min(len(text), 80)])
	}
}

func place(text []byte, n int) Place { return Place{n, string(text[:min(len(text), 60)])} }

// headerOf reads "Event channel information for domain 7:".
func headerOf(b []byte) (int, bool) {
	rest, ok := bytes.CutPrefix(b, []byte("Event channel information for domain "))
	if !ok {
		return 0, false
	}
	n, _, ok := number(rest)
	return n, ok && n < 1<<16
}

// mark takes lines that begin, end or qualify a dump, and says whether this is one.
func (r *Reader) mark(s prefixed, n int) bool {
	b := s.body
	switch b[0] {
	case 'E':
		dom, ok := headerOf(b)
		if !ok {
			return false
		}
		early := r.pollers
		r.begin(dump.KeyE, dom, s, n, 'e')
		if early != nil && early.Domain == dom {
			r.xen.d.Pollers, r.xen.d.PollersKnown = early.Pollers, early.PollersKnown
			r.xen.d.Format = dump.Format2008
		}
		return true
	case 'G', 'V':
		for _, head := range []string{"General information for domain ", "VCPU information and callbacks for domain "} {
			if rest, ok := bytes.CutPrefix(b, []byte(head)); ok {
				if dom, _, ok := number(rest); ok && dom < 1<<16 && (r.xen.d == nil || r.xen.d.Source != dump.KeyQ || r.xen.d.Domain != dom || b[0] == 'G') {
					r.begin(dump.KeyQ, dom, s, n, 'q')
				}
				return true
			}
		}
	case 'D':
		rest, ok := bytes.CutPrefix(b, []byte("Domain "))
		if !ok {
			return false
		}
		dom, rest, ok := number(rest)
		set, ok2 := bytes.CutPrefix(rest, []byte(" polling vCPUs: "))
		if !ok || !ok2 {
			return false
		}
		early := &dump.Dump{Domain: dom}
		early.Pollers, early.PollersKnown = pollMask(set)
		r.finish(&r.xen)
		r.pollers = early
		return true
	case 'P':
		if set, ok := bytes.CutPrefix(b, []byte("Polling vCPUs: {")); ok && r.xen.d != nil && r.xen.d.Source == dump.KeyE {
			r.xen.d.Pollers, r.xen.d.PollersKnown = pollSet(set)
			return true
		}
	case 'p':
		if r.markSmall(b) {
			return true
		}
	case '\'':
		if len(b) > 10 && bytes.HasPrefix(b[2:], []byte("' pressed")) {
			r.finish(&r.xen)
			r.press++
			r.key, r.shown, r.last = b[1], true, dump.NoDomain
			return true
		}
	case 'N':
		if bytes.HasPrefix(b, []byte("Notifying guest ")) {
			r.finish(&r.xen)
			return true
		}
	case 'v':
		if rest, ok := bytes.CutPrefix(b, []byte("vcpu ")); ok {
			if v, rest, ok := number(rest); ok && len(rest) == 0 && v < 1<<13 {
				r.printer, r.named = evtchn.VCPU(v), true
				return true
			}
		}
	case '.', '[', '<', '(', '*':
		if isEllipsis(b) {
			r.missing(b, n)
			return true
		}
	}
	if b[0] >= '0' && b[0] <= '9' {
		return false
	}
	if bytes.Contains(b, []byte("messages suppressed")) || bytes.Contains(b, []byte("callbacks suppressed")) {
		r.missing(b, n)
		return true
	}
	return false
}

// markSmall takes the lines that begin with a small p.
func (r *Reader) markSmall(b []byte) bool {
	switch {
	case bytes.HasPrefix(b, []byte("port [p/m")):
		return true
	case bytes.HasPrefix(b, []byte("pending list")):
		r.listed = true
		return true
	case bytes.HasPrefix(b, []byte("pause_count=")), bytes.HasPrefix(b, []byte("pause_flags=")):
		d := r.xen.d
		if d == nil || d.Source != dump.KeyQ || !r.xen.vcpu || len(d.VCPUs) == 0 {
			return true
		}
		v := &d.VCPUs[len(d.VCPUs)-1]
		if s, ok := valueOf(b, "pause_count"); ok {
			v.Pauses, _, _ = number(s)
		}
		if s, ok := valueOf(b, "pause_flags"); ok {
			if n, ok := hexWord(s); ok {
				v.Flags, v.HasFlags = n, true
				r.xen.vcpu = false
			}
		}
		return true
	}
	return false
}

// missing notes that lines were left out here.
func (r *Reader) missing(b []byte, n int) {
	if r.sum.Lost++; r.sum.Lost == 1 {
		r.sum.LostAt = place(b, n)
	}
	if r.xen.d != nil {
		r.xen.d.Whole = false
	}
}

// isEllipsis knows how people mark what they leave out.
func isEllipsis(b []byte) bool {
	for _, s := range []string{"...", "[...]", "(...)", "[..]", "…", "[…]", "<snip>", "[snip]", "*snip*", "<...>", "..."} {
		if string(b) == s {
			return true
		}
	}
	return false
}

// begin begins a dump of key e or q.
func (r *Reader) begin(src dump.Source, dom int, s prefixed, n int, key byte) {
	r.finish(&r.xen)
	r.pollers = nil
	if r.press == 0 || r.key != key || dom <= r.last {
		// A press of which the announcement is not here.
		if r.press == 0 || r.key != key || r.last != dump.NoDomain {
			r.press++
			r.shown = false
		}
		r.key = key
	}
	r.last = dom
	r.xen = building{d: &dump.Dump{Source: src, Domain: dom, Press: r.press, Pressed: r.shown, Name: r.name, Line: n, Last: n, Time: s.stamp, Whole: true,
		Dying: evtchn.Unknown, Printer: evtchn.NoVCPU}}
}

// row takes a row of any kind, and says whether the line is one; with join, only if it is a whole one.
func (r *Reader) row(s prefixed, n int, join bool) bool {
	b := s.body
	var p dump.Port
	var v dump.VCPU
	take := func(f fit, add func()) bool {
		switch {
		case f == whole:
			add()
			if join {
				r.sum.Joined++
			}
			r.sum.Rows++
			return true
		case f == other || join && f != partial:
			return false
		case f == partial:
			if join && len(b) > 400 {
				return false
			}
			r.hold(s, n)
			return true
		}
		r.bad(b, n)
		return true
	}
	switch {
	case b[0] >= '0' && b[0] <= '9':
		if in, f := parsePort(b, &p); f != other {
			if f == partial && !s.xen && r.xen.d == nil {
				return false
			}
			return take(f, func() { r.addPort(&p, in, s, n) })
		}
		if digits, f := parseSelector(b, &v); f != other {
			return take(f, func() { r.addSelector(v, digits, s, n) })
		}
		if f := parseEvent(b, &p); f != other {
			return take(f, func() { r.addEvent(&p, s, n) })
		}
		if f := parseTable(b, &p); f != other {
			return take(f, func() { r.addTable(&p, n) })
		}
	case b[0] == 'V':
		if f := parseVCPU(b, &v); f != other {
			if r.xen.d == nil || r.xen.d.Source != dump.KeyQ {
				if f != whole {
					return false
				}
				r.begin(dump.KeyQ, dump.NoDomain, s, n, 'q')
				r.headless(&r.xen)
			}
			return take(f, func() { r.addVCPU(v, n) })
		}
	case b[0] == 'r' || b[0] == 'f' || b[0] == 'd': // refcnt=3 dying=0 pause_count=0
		if d := r.xen.d; d != nil && d.Source == dump.KeyQ && len(d.VCPUs) == 0 {
			if s, ok := valueOf(b, "dying"); ok {
				if n, _, ok := number(s); ok {
					d.Dying = evtchn.Bit(min(n, 1))
				}
				if s, ok := valueOf(b, "pause_count"); ok {
					d.Pauses, _, _ = number(s)
				}
				return true
			}
		}
	}
	return false
}

// rest looks whether a line that is nothing of the kind was a row before something was mixed into it.
func (r *Reader) rest(s prefixed, n int) {
	i := bytes.Index(s.body, []byte("]: s="))
	if i < 0 {
		return
	}
	open := bytes.LastIndexByte(s.body[:i], '[')
	if open < 0 {
		return
	}
	j := open
	for j > 0 && s.body[j-1] == ' ' {
		j--
	}
	k := j
	for k > 0 && s.body[k-1] >= '0' && s.body[k-1] <= '9' {
		k--
	}
	if k == j || k > 0 && s.body[k-1] != ' ' {
		r.bad(s.body, n)
		return
	}
	var p dump.Port
	if in, f := parsePort(s.body[k:], &p); f == whole {
		r.sum.Rows++
		r.addPort(&p, in, s, n)
		return
	}
	r.bad(s.body, n)
}

// addPort adds a row of key e.
func (r *Reader) addPort(p *dump.Port, in inner, s prefixed, n int) {
	d := r.xen.d
	if d != nil && d.Source == dump.KeyE && len(d.Ports) > 0 {
		if back, ok := s.stamp.Since(d.Time); p.Port <= d.Ports[len(d.Ports)-1].Port || ok && back < 0 {
			r.finish(&r.xen) // the header of what follows is missing
			d = nil
		}
	}
	if d == nil || d.Source != dump.KeyE {
		r.begin(dump.KeyE, dump.NoDomain, s, n, 'e')
		r.headless(&r.xen)
		d = r.xen.d
	}
	p.Line = n
	d.Ports = append(d.Ports, *p)
	d.Last = n
	switch {
	case p.InFlux:
	case in == innerDigit:
		r.xen.digits++
	case in == innerFIFO:
		r.xen.fifo++
	default:
		d.Format = dump.Format2008
	}
}

// headless marks a dump of which the beginning is missing.
func (r *Reader) headless(b *building) {
	b.headless = true
	b.d.Whole = false
	r.sum.Headless++
	r.last = dump.NoDomain
}

// addVCPU adds a row of key q.
func (r *Reader) addVCPU(v dump.VCPU, n int) {
	d := r.xen.d
	v.Line, d.Last = n, n
	if len(d.VCPUs) < evtchn.MaxVCPUs<<6 {
		d.VCPUs = append(d.VCPUs, v)
	}
	r.xen.vcpu = true
}

// addTable adds a row of lsevtchn.
func (r *Reader) addTable(p *dump.Port, n int) {
	d := r.xen.d
	if d == nil || d.Source != dump.Lsevtchn || len(d.Ports) > 0 && p.Port <= d.Ports[len(d.Ports)-1].Port {
		r.finish(&r.xen)
		d = &dump.Dump{Source: dump.Lsevtchn, Format: dump.FormatTable, Domain: dump.NoDomain, Name: r.name, Line: n, Whole: true, Dying: evtchn.Unknown,
			Printer: evtchn.NoVCPU}
		r.xen = building{d: d}
	}
	p.Line, d.Last = n, n
	d.Ports = append(d.Ports, *p)
}

// addSelector adds a vcpu of the guest's answer. The first one begins a section.
func (r *Reader) addSelector(v dump.VCPU, digits int, s prefixed, n int) {
	d := r.guest.d
	if d == nil || r.named || len(d.VCPUs) > 0 && v.ID <= d.VCPUs[len(d.VCPUs)-1].ID {
		r.finish(&r.guest)
		d = &dump.Dump{Source: dump.Guest, Domain: s.dom, Name: r.name, Line: n, Time: s.stamp, Dying: evtchn.Unknown, Printer: evtchn.NoVCPU, Press: r.press}
		if r.named {
			d.Printer = r.printer
		}
		r.guest, r.named, r.listed = building{d: d}, false, false
	}
	v.Line, d.Last, d.WordBits = n, n, digits*4
	if len(d.VCPUs) < evtchn.MaxVCPUs<<6 {
		d.VCPUs = append(d.VCPUs, v)
	}
}

// addEvent adds a pending port of the guest's answer.
func (r *Reader) addEvent(p *dump.Port, s prefixed, n int) {
	d := r.guest.d
	if d == nil || len(d.Ports) > 0 && p.Port <= d.Ports[len(d.Ports)-1].Port {
		r.finish(&r.guest)
		d = &dump.Dump{Source: dump.Guest, Domain: s.dom, Name: r.name, Line: n, Time: s.stamp, Dying: evtchn.Unknown, Printer: evtchn.NoVCPU, Press: r.press}
		r.guest = building{d: d}
		r.sum.Headless++
	}
	p.Line, d.Last, d.Format = n, n, dump.FormatPending
	d.Whole = r.listed
	d.Ports = append(d.Ports, *p)
}

// finish ends the dump that is being read.
func (r *Reader) finish(b *building) {
	d := b.d
	if d == nil {
		return
	}
	done := *b
	*b = building{}
	if d.Source == dump.KeyE {
		r.settle(d, &done)
	}
	r.sum.Dumps++
	r.queue = append(r.queue, d)
}

// settle decides what the inner column of a dump's rows is: a SEL bit, or the LINK of a FIFO event word where a mail program has
// removed the spaces around it. Rows that do not fit the decision had something mixed into them, and are dropped.
func (r *Reader) settle(d *dump.Dump, b *building) {
	switch {
	case b.fifo > 0 && b.fifo >= b.digits:
		d.Format = dump.FormatFIFO
		for i := range d.Ports {
			if p := &d.Ports[i]; p.Link == dump.LinkUnknown && p.Sel != evtchn.Unknown {
				p.Link, p.Next, p.Sel = dump.Linked, evtchn.Port(p.Sel), evtchn.Unknown
			}
		}
	case b.digits > 0:
		d.Format = dump.FormatTwoLevel
	}
	if d.Format != dump.FormatTwoLevel || b.fifo == 0 {
		return
	}
	d.Ports = slices.DeleteFunc(d.Ports, func(p dump.Port) bool {
		if p.Link != dump.LinkUnknown {
			r.bad(fmt.Appendf(nil, "port %d: a row of the FIFO ABI among others", p.Port), p.Line)
			d.Broken++
			d.Whole = false
		}
		return p.Link != dump.LinkUnknown
	})
}

// pollSet reads "0-2,5}".
func pollSet(b []byte) (vs []evtchn.VCPU, ok bool) {
	b, _, ok = bytes.Cut(b, []byte("}"))
	if !ok {
		return nil, false
	}
	for part := range bytes.SplitSeq(b, []byte(",")) {
		if part = bytes.TrimSpace(part); len(part) == 0 {
			continue
		}
		from, rest, ok := number(part)
		to := from
		if ok && len(rest) > 0 && rest[0] == '-' {
			to, rest, ok = number(rest[1:])
		}
		if !ok || len(rest) > 0 || to < from || to >= 1<<13 {
			return nil, false
		}
		for v := from; v <= to; v++ {
			vs = append(vs, evtchn.VCPU(v))
		}
	}
	return vs, true
}

// pollMask reads a word of the poll mask in hexadecimal.
func pollMask(b []byte) (vs []evtchn.VCPU, ok bool) {
	n, ok := hexWord(bytes.TrimSpace(b))
	for v := 0; ok && v < 64; v++ {
		if n>>v&1 != 0 {
			vs = append(vs, evtchn.VCPU(v))
		}
	}
	return vs, ok
}

// hexWord reads up to sixteen digits.
func hexWord(b []byte) (n uint64, ok bool) {
	for _, c := range b {
		d, ok := hexDigit(c)
		if !ok {
			return 0, false
		}
		n = n<<4 | uint64(d)
	}
	return n, len(b) > 0 && len(b) <= 16
}
