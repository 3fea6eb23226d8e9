package consoledump

import (
	"bytes"
	"strconv"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/dump"
)

// fit says how a line fits the shape of a row.
type fit uint8

const (
	other   fit = iota // it is something else
	whole              // a row
	partial            // the beginning of a row, as far as it goes
	broken             // it means to be a row, and is none
)

// ports beyond this are beyond any ABI.
const maxPort = 1 << 17

// inner is what stands in a row's brackets after pending and mask.
type inner uint8

const (
	innerNone  inner = iota // [p/m]
	innerDigit              // a single digit: a SEL bit, or LINK where a mail program has removed the spaces
	innerFIFO               // nothing but a FIFO row can look so
)

// parsePort reads a row of key e:
//
//	15 [0/0/  -   ]: s=3 n=0 x=0 d=7 p=10
func parsePort(b []byte, p *dump.Port) (inner, fit) {
	n, rest, ok := number(b)
	if !ok || len(rest) == 0 || rest[0] != ' ' && rest[0] != '[' {
		return 0, other
	}
	rest = bytes.TrimLeft(rest, " ")
	if string(rest) == "in flux" {
		*p = dump.Empty(evtchn.Port(n))
		p.InFlux = true
		return innerNone, rangeFit(n)
	}
	if len(rest) < 4 || rest[0] != '[' || rest[2] != '/' || rest[1] != '0' && rest[1] != '1' || rest[3] != '0' && rest[3] != '1' {
		if len(rest) > 0 && rest[0] == '[' && isBeginning(rest, "[?/?") {
			return 0, partial
		}
		return 0, other
	}
	*p = dump.Empty(evtchn.Port(n))
	p.Pending, p.Masked = evtchn.Bit(rest[1]-'0'), evtchn.Bit(rest[3]-'0')
	rest = rest[4:]
	end := bytes.IndexByte(rest, ']')
	if end < 0 {
		if len(rest) < 12 {
			return 0, partial
		}
		return 0, broken
	}
	in, ok := parseInner(rest[:end], p)
	if !ok {
		return 0, broken
	}
	f := parseFields(rest[end+1:], p)
	if f == whole {
		f = rangeFit(n)
	}
	return in, f
}

func rangeFit(n int) fit {
	if n == 0 || n >= maxPort {
		return broken
	}
	return whole
}

// isBeginning reports whether b is a beginning of the pattern, in which ? is a digit.
func isBeginning(b []byte, pattern string) bool {
	for i, c := range b {
		if i >= len(pattern) || pattern[i] == '?' && (c < '0' || c > '9') || pattern[i] != '?' && pattern[i] != c {
			return false
		}
	}
	return true
}

// parseInner reads "", "/0", "/  -   ", "/B 1234 " or "/  ?   ".
func parseInner(b []byte, p *dump.Port) (inner, bool) {
	if len(b) == 0 {
		return innerNone, true
	}
	if b[0] != '/' {
		return 0, false
	}
	if b = b[1:]; len(b) == 1 && (b[0] == '0' || b[0] == '1') {
		p.Sel = evtchn.Bit(b[0] - '0')
		return innerDigit, true
	}
	in := innerFIFO
	if len(b) == 1 && b[0] >= '2' && b[0] <= '9' {
		p.Link, p.Next = dump.Linked, evtchn.Port(b[0]-'0')
		return in, true
	}
	b = bytes.TrimSpace(b)
	if len(b) > 0 && b[0] == 'B' {
		p.Busy = true
		b = bytes.TrimLeft(b[1:], " ")
	}
	switch {
	case string(b) == "-":
		p.Link = dump.Unlinked
	case string(b) == "?":
		p.Link = dump.NoPage
	default:
		n, rest, ok := number(b)
		if !ok || len(rest) > 0 || n >= maxPort || len(b) > 1 && b[0] == '0' {
			return 0, false
		}
		p.Link, p.Next = dump.Linked, evtchn.Port(n)
	}
	return in, true
}

// parseFields reads ": s=3 n=0 x=0 d=7 p=10", in any order, and says whether what the state demands is there.
func parseFields(b []byte, p *dump.Port) fit {
	if len(b) == 0 {
		return partial
	}
	if b[0] != ':' {
		return broken
	}
	var seen [128]bool
	b = b[1:]
	for {
		b = bytes.TrimLeft(b, " ")
		if len(b) == 0 {
			break
		}
		word := b
		if i := bytes.IndexByte(b, ' '); i >= 0 {
			word, b = b[:i], b[i:]
		} else {
			b = nil
		}
		if len(word) < 2 || word[1] != '=' || word[0] >= 128 || seen[word[0]] {
			if len(b) == 0 && len(word) == 1 && bytes.IndexByte([]byte("snxdpviZ"), word[0]) >= 0 {
				return partial
			}
			return broken
		}
		k, v := word[0], word[2:]
		if len(v) == 0 {
			if len(b) == 0 {
				return partial
			}
			return broken
		}
		seen[k] = true
		if k == 'Z' {
			p.Label = string(v)
			continue
		}
		neg := v[0] == '-'
		if neg {
			v = v[1:]
		}
		n, rest, ok := number(v)
		if !ok || len(rest) > 0 || neg && k != 'i' {
			return broken
		}
		switch k {
		case 's':
			if n < int(evtchn.PortReserved) || n > int(evtchn.PortIPI) {
				return broken
			}
			p.Status = evtchn.PortStatus(n)
		case 'n':
			if n >= 1<<13 {
				return broken
			}
			p.Notify = evtchn.VCPU(n)
		case 'x':
			p.Consumer = n
		case 'd':
			if n >= 1<<16 {
				return broken
			}
			p.Remote = n
		case 'p':
			p.PIRQ = n
		case 'v':
			p.VIRQ = n
		case 'i':
		default:
			return broken
		}
	}
	if p.Status == evtchn.PortInterdomain {
		p.RemotePort, p.PIRQ = evtchn.Port(max(p.PIRQ, 0)), -1
		if p.RemotePort >= maxPort {
			return broken
		}
	}
	ok := seen['s'] && seen['n'] && seen['x']
	switch p.Status {
	case evtchn.PortUnbound:
		ok = ok && seen['d']
	case evtchn.PortInterdomain:
		ok = ok && seen['d'] && seen['p']
	case evtchn.PortPIRQ:
		ok = ok && seen['p']
	case evtchn.PortVIRQ:
		ok = ok && seen['v']
	}
	if !ok {
		return partial
	}
	return whole
}

// parseVCPU reads a row of key q, in the spellings of all versions:
//
//	VCPU0: CPU0 [has=T] poll=0 upcall_pend=01 upcall_mask=00 dirty_cpu=0
//	VCPU0: CPU1 [has=F] flags=1 poll=0 upcall_pend = 00, upcall_mask = 00 dirty_cpus={1}
func parseVCPU(b []byte, v *dump.VCPU) fit {
	rest, ok := bytes.CutPrefix(b, []byte("VCPU"))
	if !ok {
		return other
	}
	id, rest, ok := number(rest)
	if !ok || !bytes.HasPrefix(rest, []byte(": CPU")) {
		return other
	}
	cpu, rest, ok := number(rest[len(": CPU"):])
	if !ok || id >= 1<<13 {
		return broken
	}
	*v = dump.VCPU{ID: evtchn.VCPU(id), CPU: cpu, Running: evtchn.Unknown, Up: evtchn.Unknown, Umask: evtchn.Unknown}
	has, ok := valueOf(rest, "[has")
	switch {
	case !ok:
		return partial
	case has[0] == 'T':
		v.Running = evtchn.One
	case has[0] == 'F':
		v.Running = evtchn.Zero
	default:
		return broken
	}
	up, ok1 := valueOf(rest, "upcall_pend")
	umask, ok2 := valueOf(rest, "upcall_mask")
	if !ok1 || !ok2 {
		return partial
	}
	if v.Up, ok1 = flagByte(up); !ok1 {
		return broken
	}
	if v.Umask, ok2 = flagByte(umask); !ok2 {
		return broken
	}
	if poll, ok := valueOf(rest, "poll"); ok {
		n, err := strconv.Atoi(string(poll))
		if err != nil || n < dump.PollMany || n >= maxPort {
			return broken
		}
		v.Poll, v.PollKnown = n, true
		if flags, ok := valueOf(rest, "flags"); ok { // Xen 4.0 to 4.1; before, these were other flags
			n, err := strconv.ParseUint(string(flags), 16, 64)
			if err != nil {
				return broken
			}
			v.Flags, v.HasFlags = n, true
		}
	}
	return whole
}

// flagByte reads a byte of which any value but 0 is true.
func flagByte(b []byte) (evtchn.Bit, bool) {
	n, err := strconv.ParseUint(string(b), 16, 8)
	switch {
	case err != nil:
		return evtchn.Unknown, false
	case n != 0:
		return evtchn.One, true
	}
	return evtchn.Zero, true
}

// valueOf finds "key=value" or "key = value," and gives the value, which is not empty.
func valueOf(b []byte, key string) ([]byte, bool) {
	for from := 0; ; {
		i := bytes.Index(b[from:], []byte(key))
		if i < 0 {
			return nil, false
		}
		i += from
		from = i + len(key)
		if i > 0 && b[i-1] != ' ' && b[i-1] != '[' {
			continue
		}
		rest := bytes.TrimLeft(b[from:], " ")
		if len(rest) == 0 || rest[0] != '=' {
			continue
		}
		rest = bytes.TrimLeft(rest[1:], " ")
		if end := bytes.IndexAny(rest, " ,]"); end >= 0 {
			rest = rest[:end]
		}
		return rest, len(rest) > 0
	}
}

// parseSelector reads a vcpu's line in the guest's answer:
//
//	0: masked=0 pending=1 event_sel 0000000000000001
func parseSelector(b []byte, v *dump.VCPU) (digits int, f fit) {
	id, rest, ok := number(b)
	if !ok || !bytes.HasPrefix(rest, []byte(": masked=")) {
		return 0, other
	}
	masked, ok1 := valueOf(rest, "masked")
	pending, ok2 := valueOf(rest, "pending")
	_, word, ok3 := bytes.Cut(rest, []byte("event_sel "))
	if !ok1 || !ok2 || !ok3 {
		return 0, partial
	}
	*v = dump.VCPU{ID: evtchn.VCPU(id), CPU: -1, Running: evtchn.Unknown}
	word = bytes.TrimSpace(word)
	var err error
	v.Sel, err = strconv.ParseUint(string(word), 16, 64)
	v.Umask, ok1 = flagByte(masked)
	v.Up, ok2 = flagByte(pending)
	if err != nil || !ok1 || !ok2 || id >= 1<<13 || len(word) != 8 && len(word) != 16 {
		return 0, broken
	}
	v.SelKnown = true
	return len(word), whole
}

// parseEvent reads a line of the guest's list of pending ports:
//
//	0: event 130 -> irq 97 l2-clear
func parseEvent(b []byte, p *dump.Port) fit {
	cpu, rest, ok := number(b)
	if !ok {
		return other
	}
	if rest, ok = bytes.CutPrefix(rest, []byte(": event ")); !ok {
		return other
	}
	n, rest, ok := number(rest)
	if !ok {
		return partial
	}
	rest, ok = bytes.CutPrefix(rest, []byte(" -> irq "))
	if !ok || len(rest) == 0 {
		return partial
	}
	if rest[0] == '-' {
		rest = rest[1:]
	}
	if _, rest, ok = number(rest); !ok || cpu >= 1<<13 {
		return broken
	}
	*p = dump.Empty(evtchn.Port(n))
	p.Owner, p.Pending, p.Masked, p.Sel, p.LocalClear = evtchn.VCPU(cpu), evtchn.One, evtchn.Zero, evtchn.One, evtchn.Zero
	for _, tag := range bytes.Fields(rest) {
		switch string(tag) {
		case "l2-clear":
			p.Sel = evtchn.Zero
		case "globally-masked":
			p.Masked = evtchn.One
		case "locally-masked":
			p.LocalClear = evtchn.One
		default:
			return broken
		}
	}
	return rangeFit(n)
}

// parseTable reads a row of lsevtchn:
//
//	12: VCPU 0: Interdomain (Connected) - Remote Domain 7, Port 10
func parseTable(b []byte, p *dump.Port) fit {
	n, rest, ok := number(b)
	if !ok {
		return other
	}
	if rest, ok = bytes.CutPrefix(rest, []byte(": VCPU ")); !ok {
		return other
	}
	vcpu, rest, ok := number(rest)
	if !ok || vcpu >= 1<<13 {
		return partial
	}
	rest, ok = bytes.CutPrefix(rest, []byte(": "))
	if !ok {
		return partial
	}
	*p = dump.Empty(evtchn.Port(n))
	p.Notify = evtchn.VCPU(vcpu)
	after := func(key string) (int, bool) {
		_, tail, ok := bytes.Cut(rest, []byte(key))
		if !ok {
			return 0, false
		}
		n, _, ok := number(tail)
		return n, ok
	}
	switch {
	case bytes.HasPrefix(rest, []byte("IPI")):
		p.Status = evtchn.PortIPI
	case bytes.HasPrefix(rest, []byte("Virtual IRQ")):
		p.Status = evtchn.PortVIRQ
		p.VIRQ, ok = after("Virtual IRQ ")
	case bytes.HasPrefix(rest, []byte("Physical IRQ")):
		p.Status = evtchn.PortPIRQ
		p.PIRQ, ok = after("Physical IRQ ")
	case bytes.HasPrefix(rest, []byte("Interdomain (Connected)")):
		var ok2 bool
		p.Status = evtchn.PortInterdomain
		var q int
		p.Remote, ok = after("Remote Domain ")
		q, ok2 = after("Port ")
		p.RemotePort, ok = evtchn.Port(q), ok && ok2
	case bytes.HasPrefix(rest, []byte("Interdomain (Waiting")):
		p.Status = evtchn.PortUnbound
		p.Remote, ok = after("Remote Domain ")
	default:
		return partial
	}
	if !ok {
		return partial
	}
	return rangeFit(n)
}
