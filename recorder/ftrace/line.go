package ftrace

import (
	"bytes"
	"errors"
	"math"
	"strings"
)

// probe is the event of a line.
type probe uint8

// The events that the importer has a meaning for.
const (
	prUnknown probe = iota // named, but without meaning here
	prGap                  // not an event of the kernel: a LOST marker
	prUpcall
	prUpcallRet
	prScan
	prDeliver
	prClear
	prMask
	prUnmask
	prBindCPU
	prRemove
	prIPI
	prLateEOI
	prBindEvtchn
	prBindEvtchnRet
	prDevIRQ
	prDevIoctl
	prDevIoctlRet
	prDevWrite
	prHCSend // hc_send, hc_dev_notify, hc_notify_irq
	prHCIPI
	prHCUnmask
	prHCBindVCPU
	prHCClose // hc_close, hc_dev_close
	prIRQEntry
	prIRQExit
	prSilent // known, and of no consequence: a function that only frames others
	probeEnd
)

// Fields of a record, as bits of its set.
const (
	fPort uint16 = 1 << iota
	fCPU         // cpu, vcpu
	fIRQ
	fVec
	fOld
	fCmd
	fA0
	fA1
	fRet
	fBytes
)

// probeSpec says what a record means, and what it must carry.
type probeSpec struct {
	id     probe
	need   uint16
	kind   string      // its name in probeByName, "" for a record without meaning
	fields []fieldSpec // fields that have other names than ours
}

// fieldSpec is a field under the name that the capture has for it.
type fieldSpec struct {
	name string
	bit  uint16
}

// field gives the bit of a field, or 0 for one of no consequence.
func (s *probeSpec) field(name []byte) uint16 {
	if s.fields == nil {
		return fieldOf(string(name))
	}
	for i := range s.fields {
		if s.fields[i].name == string(name) {
			return s.fields[i].bit
		}
	}
	bit := fieldOf(string(name))
	for i := range s.fields {
		if s.fields[i].bit == bit {
			return 0 // it goes by another name here
		}
	}
	return bit
}

var probeByName = map[string]probeSpec{
	"upcall":            {id: prUpcall},
	"upcall_ret":        {id: prUpcallRet},
	"scan":              {id: prScan},
	"deliver":           {id: prDeliver, need: fPort},
	"clear":             {id: prClear, need: fPort},
	"mask":              {id: prMask, need: fPort},
	"unmask":            {id: prUnmask, need: fPort},
	"bind_cpu":          {id: prBindCPU, need: fPort | fCPU},
	"remove":            {id: prRemove, need: fPort},
	"ipi":               {id: prIPI, need: fCPU},
	"lateeoi":           {id: prLateEOI, need: fIRQ},
	"bind_evtchn":       {id: prBindEvtchn, need: fPort},
	"bind_evtchn_ret":   {id: prBindEvtchnRet, need: fIRQ},
	"dev_irq":           {id: prDevIRQ, need: fIRQ | fPort},
	"dev_ioctl":         {id: prDevIoctl, need: fCmd},
	"dev_ioctl_ret":     {id: prDevIoctlRet, need: fRet},
	"dev_write":         {id: prDevWrite, need: fBytes},
	"hc_send":           {id: prHCSend, need: fPort},
	"hc_dev_notify":     {id: prHCSend, need: fPort},
	"hc_notify_irq":     {id: prHCSend, need: fPort},
	"hc_ipi":            {id: prHCIPI, need: fPort},
	"hc_unmask":         {id: prHCUnmask, need: fPort},
	"hc_unmask_2l":      {id: prHCUnmask, need: fPort},
	"hc_unmask_fifo":    {id: prHCUnmask, need: fPort},
	"hc_bind_vcpu":      {id: prHCBindVCPU, need: fPort | fCPU},
	"hc_close":          {id: prHCClose, need: fPort},
	"hc_dev_close":      {id: prHCClose, need: fPort},
	"irq_handler_entry": {id: prIRQEntry, need: fIRQ},
	"irq_handler_exit":  {id: prIRQExit, need: fIRQ},
	"set_pending":       {id: prSilent},
	"notify_irq":        {id: prSilent},
	"bind_ipi":          {id: prSilent},
	"bind_virq":         {id: prSilent},
	"bind_virq_ret":     {id: prSilent},
	"unbind_irq":        {id: prSilent},
	"dev_read_ret":      {id: prSilent},
}

// probeNamed gives the meaning of an event's name. KIND_ownN is a record of that kind which another function than the kernel's own made;
// package probes gives such names.
func probeNamed(name string) (probeSpec, bool) {
	kind := name
	if i := strings.LastIndex(name, "_own"); i > 0 && strings.Trim(name[i+len("_own"):], "0123456789") == "" {
		kind = name[:i]
	}
	spec, ok := probeByName[kind]
	spec.kind = kind
	return spec, ok
}

// kind gives the first name of a probe in the order of the names.
func (p probe) kind() string {
	best := ""
	for name, spec := range probeByName {
		if spec.id == p && (best == "" || name < best) {
			best = name
		}
	}
	return best
}

// Record flags.
const (
	rfFlags   uint8 = 1 << iota // the line has a flags column
	rfIRQsOff                   // interrupts were off
	rfHardIRQ                   // in a hard interrupt
	rfDone                      // taken out of its turn already
	rfTicks                     // the time is a bare integer
	rfLatency                   // a line of the latency format
)

// record is one line, without its words.
type record struct {
	time int64
	next int64 // place of the next record of the same vcpu, 0: not read yet
	a    uint32
	b    uint32 // cpu, vcpu, ret, bytes
	c    uint32 // irq, a0
	d    uint32 // old, vec, a1
	cmd  uint32
	pid  int32
	cpu  int16
	have uint16
	id   probe
	fl   uint8
	name uint16 // index of the event's name
}

// Errors of the line parser. They carry no place: the importer adds it.
var (
	errNoCPU   = errors.New("no TASK-PID [cpu] in front")
	errNoTime  = errors.New("no time stamp after the cpu")
	errNoEvent = errors.New("no event name after the time")
	errNumber  = errors.New("a field is not a number")
	errField   = errors.New("a field is missing")
	errRange   = errors.New("a number is out of range")
)

// parts are the stretches of a line that are words.
type parts struct {
	task, event []byte
}

// names numbers the events' names and counts their records.
type names struct {
	m     map[string]uint16
	list  []string
	spec  []*probeSpec
	count []uint64
	maps  map[string]probeSpec // events that the user named otherwise
}

// maxNames bounds how many names without meaning are told apart; the rest share one.
const maxNames = 500

func newNames() *names {
	return &names{m: make(map[string]uint16)}
}

// fresh gives an empty table that has the same meanings for names.
func (ns *names) fresh() *names {
	return &names{m: make(map[string]uint16), maps: ns.maps}
}

// knows reports whether an event of that name has a meaning.
func (ns *names) knows(name string) bool {
	_, ours := probeNamed(name)
	_, mapped := ns.maps[name]
	return ours || mapped
}

// find gives the meaning of an event's name, which may have its group in front of it, and notes its number in the record.
func (ns *names) find(name []byte, r *record) *probeSpec {
	i, ok := ns.m[string(name)]
	if !ok {
		i = ns.add(string(name))
	}
	r.name = i
	return ns.spec[i]
}

// add numbers a name that was not met before.
func (ns *names) add(name string) uint16 {
	s := name
	if i := strings.LastIndexByte(s, ':'); i >= 0 {
		s = s[i+1:]
	}
	if len(s) > 2 && s[:2] == "0x" {
		s = "trace_printk" // under the address of its caller
	} else if len(ns.list) >= maxNames || len(s) > 64 || strings.ContainsAny(s, " \t") {
		s = "(other)"
	}
	i, ok := ns.m[s]
	if !ok {
		i = uint16(len(ns.list))
		spec, mapped := ns.maps[s]
		if !mapped {
			if sp, ok := probeNamed(s); ok {
				spec = sp
			}
		}
		ns.m[s] = i
		ns.list = append(ns.list, s)
		ns.spec = append(ns.spec, &spec)
		ns.count = append(ns.count, 0)
	}
	if s != name && len(ns.m) < 2*maxNames {
		ns.m[name] = i
	}
	return i
}

// parseLine reads one record. It never panics and keeps no part of the line.
func parseLine(line []byte, r *record, p *parts, ns *names) error {
	*r = record{}
	at, err := parseHead(line, r, p)
	if err != nil {
		return err
	}
	// The event's name ends with a colon; a raw trace_printk shows an address there.
	for at < len(line) && line[at] == ' ' {
		at++
	}
	n := bytes.IndexByte(line[at:], ':')
	if n <= 0 {
		return errNoEvent
	}
	end := at + n
	if end+1 < len(line) && isNameByte(line[end+1]) {
		end = groupEnd(line, end)
	}
	p.event = line[at:end]
	spec := ns.find(p.event, r)
	r.id = spec.id
	if spec.need == 0 || spec.id == prSilent {
		return nil
	}
	return parseFields(line, end+1, r, spec)
}

// groupEnd gives the end of the event's name if what ends with the colon at a place is its group, as in "evtchn:unmask: ".
func groupEnd(line []byte, colon int) int {
	for i := colon + 1; i < len(line) && i-colon <= 64; i++ {
		if line[i] == ':' {
			return i
		}
		if !isNameByte(line[i]) {
			break
		}
	}
	return colon
}

// parseHead reads everything before the event's name and gives the place behind it.
func parseHead(line []byte, r *record, p *parts) (int, error) {
	at := findCPU(line, r, p)
	if at < 0 {
		at = findLatencyCPU(line, r, p)
		if at < 0 {
			return 0, errNoCPU
		}
	} else {
		for at < len(line) && line[at] == ' ' {
			at++
		}
		// A flags column, unless this is the time already.
		word := at
		for at < len(line) && line[at] != ' ' {
			at++
		}
		if at > word && line[at-1] == ':' && isDigit(line[word]) {
			at = word
		} else {
			readFlags(line[word:at], r)
		}
	}
	return parseTime(line, at, r)
}

// readFlags reads the flags column: irqs-off, need-resched, hardirq or softirq, depths.
func readFlags(f []byte, r *record) {
	if len(f) < 3 {
		return
	}
	r.fl |= rfFlags
	if f[0] == 'd' || f[0] == 'D' {
		r.fl |= rfIRQsOff
	}
	if c := f[2]; c == 'h' || c == 'H' || c == 'Z' || c == 'z' {
		r.fl |= rfHardIRQ
	}
}

func isDigit(c byte) bool { return c-'0' <= 9 }

// maxHead bounds where the cpu column may be: a task's name has 15 bytes, in front of it come blanks only.
const maxHead = 80

// findCPU looks for "-PID [cpu] " from the right, because a task's name may hold anything, and gives the place after it, or -1.
func findCPU(line []byte, r *record, p *parts) int {
	// The usual layout, "%16s-%-7d [%03d] ".
	if len(line) > 30 && line[25] == '[' && line[29] == ']' && line[30] == ' ' && line[24] == ' ' &&
		isDigit(line[26]) && isDigit(line[27]) && isDigit(line[28]) {
		j := 23
		for j > 17 && line[j] == ' ' {
			j--
		}
		if readTask(line[:j+1], r, p) {
			r.cpu = int16(line[26]-'0')*100 + int16(line[27]-'0')*10 + int16(line[28]-'0')
			return 30
		}
	}
	for i := min(len(line)-2, maxHead); i > 1; i-- {
		if line[i] != ']' || line[i+1] != ' ' && line[i+1] != '\t' {
			continue
		}
		j := i - 1
		cpu, scale := 0, 1
		for j > 0 && isDigit(line[j]) && i-j <= 5 {
			cpu += int(line[j]-'0') * scale
			scale *= 10
			j--
		}
		if j == i-1 || j < 2 || line[j] != '[' || line[j-1] != ' ' {
			continue
		}
		j--
		for j > 0 && line[j] == ' ' {
			j--
		}
		if !readTask(line[:j+1], r, p) {
			continue
		}
		r.cpu = int16(min(cpu, math.MaxInt16))
		return i + 1
	}
	return -1
}

// readTask reads "  task-pid".
func readTask(b []byte, r *record, p *parts) bool {
	j := len(b) - 1
	pid, scale := 0, 1
	for j >= 0 && isDigit(b[j]) && len(b)-j <= 9 {
		pid += int(b[j]-'0') * scale
		scale *= 10
		j--
	}
	if j == len(b)-1 || j < 0 || b[j] != '-' {
		return false
	}
	r.pid = int32(pid)
	start := 0
	for start < j && b[start] == ' ' {
		start++
	}
	p.task = b[start:j]
	return true
}

// findLatencyCPU reads the head of the latency format, "task-pid  2d.h1. ", and gives the place after it, or -1.
func findLatencyCPU(line []byte, r *record, p *parts) int {
	at := 0
	for at < len(line) && line[at] == ' ' {
		at++
	}
	// The pid is followed by blanks and then by the cpu number that leads the flags: take the last such place before the time.
	for i := min(len(line)-1, maxHead); i > at; i-- {
		if line[i-1] != ' ' || !isDigit(line[i]) {
			continue
		}
		j, cpu := i, 0
		for j < len(line) && isDigit(line[j]) && j-i < 5 {
			cpu = cpu*10 + int(line[j]-'0')
			j++
		}
		e := j
		for e < len(line) && line[e] != ' ' {
			e++
		}
		if e-j < 3 || e-j > 8 || line[j] == '.' && j+1 < len(line) && isDigit(line[j+1]) || bytes.IndexByte(line[j:e], ':') >= 0 || bytes.HasPrefix(line[j:e], []byte("us")) {
			continue
		}
		k := i - 1
		for k > at && line[k] == ' ' {
			k--
		}
		if !readTask(line[:k+1], r, p) {
			continue
		}
		readFlags(line[j:e], r)
		r.cpu = int16(min(cpu, math.MaxInt16))
		r.fl |= rfLatency
		return e
	}
	return -1
}

// parseTime reads "52.953527:" as nanoseconds, "153556254921:" as ticks, "176003us+:" as microseconds, and gives the place
// behind the colon.
func parseTime(line []byte, at int, r *record) (int, error) {
	for at < len(line) && (line[at] == ' ' || line[at] == '\t') {
		at++
	}
	start := at
	var v int64
	for at < len(line) && isDigit(line[at]) {
		if v > (math.MaxInt64-9)/10 {
			return 0, errRange
		}
		v = v*10 + int64(line[at]-'0')
		at++
	}
	if at == start || at >= len(line) {
		return 0, errNoTime
	}
	switch line[at] {
	case '.':
		at++
		frac, scale := int64(0), int64(1e9)
		start = at
		for at < len(line) && isDigit(line[at]) {
			if scale > 1 {
				scale /= 10
				frac += int64(line[at]-'0') * scale
			}
			at++
		}
		if at == start {
			return 0, errNoTime
		}
		if v > math.MaxInt64/1_000_000_000-1 {
			return 0, errRange
		}
		v = v*1_000_000_000 + frac
	case 'u': // microseconds since the start, in the latency format
		if at+1 >= len(line) || line[at+1] != 's' || v > math.MaxInt64/1000 {
			return 0, errNoTime
		}
		v *= 1000
		at += 2
		for at < len(line) && line[at] != ':' && at < start+24 {
			at++
		}
	default:
		r.fl |= rfTicks
		if r.fl&rfLatency != 0 {
			for at < len(line) && line[at] != ':' && at < start+24 {
				at++
			}
		}
	}
	if at >= len(line) || line[at] != ':' {
		return 0, errNoTime
	}
	r.time = v
	return at + 1, nil
}

// parseFields reads the "name=value" words that an event of ours can have.
func parseFields(line []byte, at int, r *record, spec *probeSpec) error {
	need := spec.need
	if i := bytes.IndexByte(line[at:], ')'); i >= 0 {
		at += i + 1
	}
	for at < len(line) {
		eq := bytes.IndexByte(line[at:], '=')
		if eq <= 0 {
			break
		}
		eq += at
		k := eq
		for k > at && line[k-1] != ' ' {
			k--
		}
		bit := spec.field(line[k:eq])
		if bit == 0 {
			at = eq + 1
			if r.have&need == need && (r.id == prIRQEntry || r.id == prIRQExit) {
				break
			}
			continue
		}
		if eq+1 < len(line) && line[eq+1] == '(' {
			at = eq + 1 // "(fault)": the kernel could not read it
			continue
		}
		v, n, ok := parseNumber(line[eq+1:])
		if !ok {
			return errNumber
		}
		r.set(bit, v)
		at = eq + 1 + n
		if r.id == prIRQEntry || r.id == prIRQExit {
			break // what follows is a name, and may look like anything
		}
	}
	if r.have&need != need {
		return errField
	}
	return nil
}

// parseNumber reads a decimal or hexadecimal 32-bit number, which may be negative.
func parseNumber(b []byte) (v uint32, n int, ok bool) {
	i, neg := 0, false
	if i < len(b) && b[i] == '-' {
		neg = true
		i++
	}
	var x uint64
	start := i
	if i+2 < len(b) && b[i] == '0' && (b[i+1] == 'x' || b[i+1] == 'X') {
		i += 2
		start = i
		for ; i < len(b) && i-start < 9; i++ {
			c := b[i]
			switch {
			case isDigit(c):
				c -= '0'
			case c|0x20 >= 'a' && c|0x20 <= 'f':
				c = c | 0x20 - 'a' + 10
			default:
				c = 16
			}
			if c == 16 {
				break
			}
			x = x<<4 | uint64(c)
		}
	} else {
		for ; i < len(b) && isDigit(b[i]) && i-start < 11; i++ {
			x = x*10 + uint64(b[i]-'0')
		}
	}
	if i == start || x > math.MaxUint32 || i < len(b) && b[i] != ' ' && b[i] != '\t' && b[i] != '\r' {
		return 0, 0, false
	}
	v = uint32(x)
	if neg {
		v = -v
	}
	return v, i, true
}

// parseLost reads "CPU:3 [LOST 971 EVENTS]", with which trace_pipe marks records that it had to drop, or "CPU:3 [971 EVENTS DROPPED]", which
// is what trace-cmd report makes of the same. Without a number, it is not known how many.
func parseLost(line []byte) (cpu int, lost uint64, ok bool) {
	rest, ok := bytes.CutPrefix(bytes.TrimSpace(line), []byte("CPU:"))
	if !ok {
		return 0, 0, false
	}
	i := 0
	for i < len(rest) && isDigit(rest[i]) && i < 5 {
		cpu = cpu*10 + int(rest[i]-'0')
		i++
	}
	if i == 0 {
		return 0, 0, false
	}
	rest, ok = bytes.CutPrefix(rest[i:], []byte(" ["))
	if !ok {
		return 0, 0, false
	}
	rest, byPipe := bytes.CutPrefix(rest, []byte("LOST "))
	i = 0
	for i < len(rest) && isDigit(rest[i]) && i < 18 {
		lost = lost*10 + uint64(rest[i]-'0')
		i++
	}
	if byPipe {
		return cpu, lost, bytes.HasSuffix(rest, []byte("EVENTS]"))
	}
	return cpu, lost, bytes.HasSuffix(rest, []byte("EVENTS DROPPED]"))
}
