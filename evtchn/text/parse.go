package text

import (
	"bytes"
	"math"
	"strconv"

	"github.com/evtrace/evtrace/evtchn"
)

// ParseEvent reads the line of one event, without its newline. It takes nothing that AppendEvent would not write: the line
// that it accepts is the line that the event gives again. Its errors are of the class ErrFormat and say what was wanted.
func ParseEvent(line []byte) (evtchn.Event, error) {
	var ev evtchn.Event
	if err := parseEvent(&ev, line); err != nil {
		return evtchn.Event{}, err
	}
	return ev, nil
}

// words cuts a line at single spaces. An empty word shows a space too many, which no rule below takes.
type words struct {
	rest []byte
	more bool
}

func (w *words) next() []byte {
	if !w.more {
		return nil
	}
	for i, c := range w.rest {
		if c == ' ' {
			t := w.rest[:i]
			w.rest = w.rest[i+1:]
			return t
		}
	}
	t := w.rest
	w.rest, w.more = nil, false
	return t
}

func parseEvent(ev *evtchn.Event, line []byte) error {
	w := words{line, true}
	*ev = evtchn.Event{}

	tok := w.next()
	n, ok := parseUint(tok)
	if !ok {
		return reject(line, "sequence number %.40q: want a number from 0 to 2^64-1", tok)
	}
	ev.Seq = evtchn.Seq(n)
	tok = w.next()
	t, ok := parseInt(tok)
	if !ok {
		return reject(line, "time %.40q: want a number from -2^63 to 2^63-1", tok)
	}
	ev.Time = evtchn.Time(t)
	tok = w.next()
	if ev.Dom, ev.VCPU, ok = parseVCPU(tok); !ok {
		return reject(line, "vcpu %.40q: want one such as v3, or -; of a domain other than 0, d5v3 or d5v-", tok)
	}
	tok = w.next()
	if ev.Ctx, ok = parseContext(tok); !ok {
		return reject(line, "context %.40q: want -, xen, upcall, task:N or foreign:N", tok)
	}
	tok = w.next()
	if ev.Kind, ok = evtchn.ParseKind(string(tok)); !ok {
		return reject(line, "kind %.40q: no such kind of event%s", tok, nearestKind(tok))
	}
	spec := ev.Kind.Spec()

	tok = w.next()
	if len(tok) >= 2 && tok[0] == 'p' && tok[1]-'0' <= 9 {
		n, ok = parsePrefixed(tok, 'p')
		if !ok || n == 0 || n > math.MaxUint32 {
			return reject(line, "%s: port %.40q: want p1 to p4294967295, or none", spec.Name, tok)
		}
		ev.Port = evtchn.Port(n)
		tok = w.next()
	}
	for i, a := range spec.Args {
		if len(tok) <= len(a.Name) || tok[len(a.Name)] != '=' || string(tok[:len(a.Name)]) != a.Name {
			return reject(line, "%s: got %s, want the argument %s=", spec.Name, show(tok), a.Name)
		}
		val := tok[len(a.Name)+1:]
		if ev.Args[i], ok = parseValue(a.Type, val); !ok {
			return reject(line, "%s: argument %s %.40q: want %s", spec.Name, a.Name, val, wanted(a.Type))
		}
		tok = w.next()
	}
	for i := len(spec.Args); i < len(ev.Args); i++ {
		if len(tok) > 5 && string(tok[:3]) == "arg" && tok[3] == '0'+byte(i) && tok[4] == '=' {
			if ev.Args[i], ok = parseUint(tok[5:]); !ok || ev.Args[i] == 0 {
				return reject(line, "%s: argument %.5s %.40q: want a number from 1 to 2^64-1", spec.Name, tok, tok[5:])
			}
			tok = w.next()
		}
	}
	switch {
	case len(tok) == 1 && tok[0] == '=':
		tok = w.next()
		ev.Res, ok = parseValue(spec.Res.Type, tok)
		if !ok || spec.Res.Type == evtchn.ArgNone && ev.Res == 0 {
			return reject(line, "%s: result %.40q: want %s", spec.Name, tok, wantedResult(spec.Res.Type))
		}
		tok = w.next()
	case spec.Res.Type != evtchn.ArgNone:
		return reject(line, "%s: got %s, want the result: = and %s", spec.Name, show(tok), wanted(spec.Res.Type))
	}
	if len(tok) > 0 && tok[0] == '<' {
		n, ok = parseUint(tok[1:])
		if !ok || n == 0 {
			return reject(line, "%s: cause %.40q: want < and a sequence number from 1", spec.Name, tok)
		}
		ev.Cause = evtchn.Seq(n)
		tok = w.next()
	}
	for _, f := range flagWords {
		if string(tok) == f.word {
			ev.Flags |= f.flag
			tok = w.next()
		}
	}
	if len(tok) > 6 && string(tok[:6]) == "flags:" {
		n, ok = parseHex(tok[6:])
		if !ok || n == 0 || n > math.MaxUint8 || evtchn.Flags(n)&knownFlags != 0 {
			return reject(line, "%s: %.40q: want the bits of flags that have no name, such as flags:0x40", spec.Name, tok)
		}
		ev.Flags |= evtchn.Flags(n)
		tok = w.next()
	}
	if tok != nil {
		return reject(line, "%s: %.40q does not belong here: want, in this order, %s", spec.Name, tok, syntax(spec))
	}
	return nil
}

func parseVCPU(tok []byte) (evtchn.DomID, evtchn.VCPU, bool) {
	if len(tok) == 1 && tok[0] == '-' {
		return 0, evtchn.NoVCPU, true
	}
	var dom uint64
	if len(tok) > 0 && tok[0] == 'd' {
		i := bytes.IndexByte(tok, 'v')
		if i < 0 {
			return 0, 0, false
		}
		var ok bool
		if dom, ok = parseUint(tok[1:i]); !ok || dom == 0 || dom > math.MaxUint16 {
			return 0, 0, false
		}
		tok = tok[i:]
		if len(tok) == 2 && tok[1] == '-' {
			return evtchn.DomID(dom), evtchn.NoVCPU, true
		}
	}
	if len(tok) == 0 || tok[0] != 'v' {
		return 0, 0, false
	}
	v, ok := parseInt(tok[1:])
	ok = ok && v >= math.MinInt16 && v <= math.MaxInt16 && v != int64(evtchn.NoVCPU)
	return evtchn.DomID(dom), evtchn.VCPU(v), ok
}

func parseContext(tok []byte) (evtchn.Context, bool) {
	switch string(tok) {
	case "-":
		return evtchn.CtxNone, true
	case "xen":
		return evtchn.CtxXen, true
	case "upcall":
		return evtchn.CtxUpcall, true
	}
	i := bytes.IndexByte(tok, ':')
	if i < 0 {
		return 0, false
	}
	n, ok := parseUint(tok[i+1:])
	if !ok || n > math.MaxUint16 {
		return 0, false
	}
	c := evtchn.Context(n)
	switch string(tok[:i]) {
	case "task":
		return evtchn.CtxTask | c, c.Class() == 0
	case "foreign":
		return evtchn.CtxForeign | c, c.Class() == 0
	case "ctx":
		switch {
		case c == evtchn.CtxNone, c == evtchn.CtxXen, c == evtchn.CtxUpcall:
			return 0, false
		case c.Class() == evtchn.CtxTask, c.Class() == evtchn.CtxForeign:
			return 0, false
		}
		return c, true
	}
	return 0, false
}

// reject makes the error about a line. What mail programs and editors do to a line comes first: a tab or a second space is
// hard to see, and would otherwise be reported as whatever word it spoils.
func reject(line []byte, format string, args ...any) error {
	for i, c := range line {
		switch {
		case c == '\t':
			return lineErrorf("column %d: a tab: words are separated by one space", i+1)
		case c == '\r' && i == len(line)-1:
			return lineErrorf("the line ends in CR LF: want LF alone")
		case c < ' ' || c > '~':
			return lineErrorf("column %d: byte %#02x: want printable ASCII", i+1, c)
		case c == ' ' && i == len(line)-1:
			return lineErrorf("a space at the end of the line")
		case c == ' ' && i == 0:
			return lineErrorf("a space at the start of the line")
		case c == ' ' && line[i-1] == ' ':
			return lineErrorf("column %d: a second space: words are separated by one", i+1)
		}
	}
	return lineErrorf(format, args...)
}

func show(tok []byte) string {
	if tok == nil {
		return "the end of the line"
	}
	if len(tok) > 40 {
		tok = tok[:40]
	}
	return strconv.Quote(string(tok))
}

func wantedResult(t evtchn.ArgType) string {
	if t == evtchn.ArgNone {
		return "none: the kind has no result"
	}
	return wanted(t)
}

// syntax gives the words that may follow a kind.
func syntax(spec *evtchn.Spec) string {
	s := "[pN]"
	for _, a := range spec.Args {
		s += " " + a.Name + "="
	}
	if spec.Res.Type != evtchn.ArgNone {
		s += " = " + spec.Res.Name
	}
	return s + " [<cause] [input] [inferred] [foreign]"
}

// nearestKind gives a hint for a misspelt kind, or nothing.
func nearestKind(tok []byte) string {
	best, at := len(tok)/2+1, ""
	for _, k := range evtchn.Kinds() {
		if d := distance(string(tok), k.String()); d < best {
			best, at = d, k.String()
		}
	}
	if at == "" {
		return ""
	}
	return "; did you mean " + at + "?"
}

// distance is the Levenshtein distance. Words longer than any kind are far from all.
func distance(a, b string) int {
	if len(a) > 40 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diag := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diag
			if a[i] != b[j] {
				cost = min(diag, row[j], row[j+1]) + 1
			}
			diag, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
