package consoledump

import (
	"bytes"
	"time"

	"github.com/evtrace/evtrace/evtchn/dump"
)

var xenMark = []byte("(XEN)")

// prefixed is a line without what stands before its text.
type prefixed struct {
	body  []byte
	stamp dump.Stamp // the innermost
	xen   bool       // marked as Xen's own
	dom   int        // marked as of that domain, or NoDomain
	quote bool       // behind quote marks
}

// strip takes off quote marks, time stamps, names of hosts and programs, and Xen's mark, in any order in which they come.
func strip(line []byte) prefixed {
	p := prefixed{dom: dump.NoDomain}
	b := line
	for {
		b = bytes.TrimLeft(b, " ")
		if len(b) == 0 {
			break
		}
		switch c := b[0]; {
		case c == '(' && bytes.HasPrefix(b, xenMark):
			p.xen, b = true, b[len(xenMark):]
			continue
		case c == '(' && len(b) > 3 && b[1] == 'd':
			if n, rest, ok := number(b[2:]); ok && len(rest) > 0 && rest[0] == ')' {
				p.dom, b = n, rest[1:]
				continue
			}
		case c == '[':
			if end := bytes.IndexByte(b[:min(len(b), 48)], ']'); end > 0 {
				if st := parseStamp(b[1:end]); st.Known() {
					p.stamp, b = st, b[end+1:]
					continue
				}
			}
		case (c == '>' || c == '|') && !p.xen && !p.stamp.Known():
			p.quote, b = true, b[1:]
			continue
		case !p.xen && !p.stamp.Known():
			if st, rest, ok := logPrefix(b); ok {
				p.stamp, b = st, rest
				continue
			}
		}
		break
	}
	p.body = bytes.TrimRight(b, " ")
	return p
}

// parseStamp reads what stands in brackets: "   12.345678", "2024-01-01 12:00:00.123", or sixteen digits in hexadecimal, which Xen
// prints before it knows the clock's frequency.
func parseStamp(b []byte) dump.Stamp {
	b = bytes.TrimSpace(b)
	if len(b) == 0 || b[0] < '0' || b[0] > '9' && (b[0] < 'a' || b[0] > 'f') {
		return dump.Stamp{}
	}
	if len(b) == 16 {
		var v uint64
		for _, c := range b {
			d, ok := hexDigit(c)
			if !ok {
				v = 1 << 63
				break
			}
			v = v<<4 | uint64(d)
		}
		if v < 1<<63 {
			return dump.Stamp{Clock: dump.ClockCounter, At: int64(v)}
		}
	}
	if len(b) >= 19 && b[4] == '-' {
		if st, n := dateStamp(b); n > 0 {
			return st
		}
		return dump.Stamp{}
	}
	sec, rest, ok := number(b)
	if !ok || len(rest) < 2 || rest[0] != '.' || sec > 1<<32 {
		return dump.Stamp{}
	}
	ns, scale := int64(0), int64(1e9)
	for _, c := range rest[1:] {
		if c < '0' || c > '9' {
			return dump.Stamp{}
		}
		if scale > 1 {
			ns, scale = ns*10+int64(c-'0'), scale/10
		}
	}
	return dump.Stamp{Clock: dump.ClockBoot, At: int64(sec)*1e9 + ns*scale}
}

// dateStamp reads "2024-01-01 12:00:00" or "2024-01-01T12:00:00", with or without a fraction, and gives how long it was.
func dateStamp(b []byte) (dump.Stamp, int) {
	if len(b) < 19 {
		return dump.Stamp{}, 0
	}
	t, err := time.Parse("2006-01-02 15:04:05", string(b[:10])+" "+string(b[11:19]))
	if err != nil || b[10] != ' ' && b[10] != 'T' || t.Year() < 1970 || t.Year() > 2261 {
		return dump.Stamp{}, 0
	}
	n, ns := 19, int64(0)
	if n < len(b) && (b[n] == '.' || b[n] == ',') {
		scale := int64(1e8)
		for n++; n < len(b) && b[n] >= '0' && b[n] <= '9'; n++ {
			ns, scale = ns+int64(b[n]-'0')*scale, scale/10
		}
	}
	return dump.Stamp{Clock: dump.ClockDate, At: t.UnixNano() + ns}, n
}

// logPrefix reads what syslog and journalctl put before a line: "Nov 23 20:15:24 host xen[12]: ", or the same with a date in ISO's
// form.
func logPrefix(b []byte) (dump.Stamp, []byte, bool) {
	var st dump.Stamp
	n := 0
	switch {
	case len(b) < 16:
		return st, nil, false
	case b[0] >= '1' && b[0] <= '9' && b[4] == '-':
		if st, n = dateStamp(b); n == 0 {
			return st, nil, false
		}
		for n < len(b) && b[n] != ' ' { // the zone
			n++
		}
	case b[0] >= 'A' && b[0] <= 'S' && b[3] == ' ' && b[9] == ':':
		// 2000 was a leap year: any date of a log without years fits into it.
		t, err := time.Parse("2006 Jan _2 15:04:05", "2000 "+string(b[:15]))
		if err != nil {
			return st, nil, false
		}
		st, n = dump.Stamp{Clock: dump.ClockYearly, At: t.UnixNano()}, 15
	default:
		return st, nil, false
	}
	rest := bytes.TrimLeft(b[n:], " ")
	// A host and a program may follow, which end in a colon; Xen's own files have neither.
	if i := bytes.Index(rest, []byte(": ")); i > 0 && bytes.Count(rest[:i], []byte(" ")) <= 1 && rest[0] != '(' && rest[0] != '[' && rest[0] != '\'' {
		return st, rest[i+2:], true
	}
	return st, rest, true
}

// number reads decimal digits, at most nine of them.
func number(b []byte) (n int, rest []byte, ok bool) {
	i := 0
	for i < len(b) && b[i] >= '0' && b[i] <= '9' {
		if i == 9 {
			return 0, b, false
		}
		n = n*10 + int(b[i]-'0')
		i++
	}
	return n, b[i:], i > 0
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}
