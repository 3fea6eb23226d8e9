package tracedat

import (
	"math"
	"strconv"
	"strings"
)

// The options that are looked at (trace-cmd.dat.v7(5)). Of the others, only those that change times are told in a note.
const (
	optDone       = 0
	optDate       = 1
	optCPUStat    = 2
	optBuffer     = 3
	optTraceClock = 4
	optUname      = 5
	optOffset     = 7
	optCPUCount   = 8
	optVersion    = 9
	optTimeShift  = 12
	optTSC2NSec   = 14
	optHeaderInfo = 16
	optFtrace     = 17
	optFormats    = 18
	optKallsyms   = 19
	optCmdlines   = 21
	optBufferText = 22
)

// options reads options up to DONE, and gives the contents of those that say where sections are. In version 6 DONE has no size and no
// contents.
func (r *Reader) options(c *cursor, sections map[uint16]int64) (next int64, err error) {
	for {
		id := uint16(c.uint(2, "the id of an option"))
		if c.err != nil || id == optDone && r.version == 6 {
			return 0, c.err
		}
		n := c.uint(4, "the size of an option")
		if id == optDone {
			next := c.uint(8, "the place of further options")
			if next > math.MaxInt64 {
				c.fail(ErrCorrupt, "further options: got place %d", next)
			}
			return int64(next), c.err
		}
		var b []byte
		if n <= maxBlob {
			b = c.bytes(n, maxBlob, "option")
		} else {
			c.skip(n, "option") // TIME_SHIFT and PROCMAPS may be long
		}
		if c.err != nil {
			return 0, c.err
		}
		switch id {
		case optHeaderInfo, optFtrace, optFormats, optKallsyms, optCmdlines:
			if v := number(b, r.big); len(b) == 8 && v <= math.MaxInt64 {
				sections[id] = int64(v)
			}
		case optBuffer, optBufferText:
			if err := r.bufferOption(c, b, id == optBufferText); err != nil {
				return 0, err
			}
		default:
			r.option(id, b)
		}
	}
}

// option takes an option that says something about the recording. Odd contents are no reason to refuse the file.
func (r *Reader) option(id uint16, b []byte) {
	text := strings.TrimRight(string(b), "\x00\n")
	switch id {
	case optDate, optOffset:
		unit := int64(1)
		if id == optDate {
			unit = 1000 // it is in microseconds
		}
		if v, err := strconv.ParseInt(text, 0, 64); err == nil {
			r.clock.Offset += v * unit
		} else if v, err := strconv.ParseUint(text, 0, 64); err == nil {
			r.clock.Offset += int64(v) * unit // a negative number in hexadecimal
		}
	case optCPUStat:
		if s, ok := parseStat(text); ok {
			r.stats = append(r.stats, s)
		}
	case optTraceClock:
		r.setClock(text)
		r.clockBehind = true
	case optUname:
		r.uname = text
	case optVersion:
		r.tracecmd = text
	case optCPUCount:
		if v := number(b, r.big); len(b) == 4 && v <= maxCPUs {
			r.cpus = int(v)
		}
	case optTimeShift:
		r.note("the option TIME_SHIFT, which moves the times of a guest to those of its host, is not applied")
	case optTSC2NSec:
		if len(b) >= 8 {
			r.clock.Mult, r.clock.Shift = uint32(number(b[:4], r.big)), uint32(number(b[4:8], r.big))
			if r.clock.Shift > 63 {
				r.clock.Mult, r.clock.Shift = 0, 0
			}
		}
	}
}

// setClock finds the clock in force: "local global [mono] x86-tsc".
func (r *Reader) setClock(text string) {
	if _, s, ok := strings.Cut(text, "["); ok {
		if s, _, ok = strings.Cut(s, "]"); ok {
			r.clock.Name = s
		}
	}
}

// parseStat reads tracefs' per_cpu/cpuN/stats, with the line "CPU: N" that trace-cmd puts in front.
func parseStat(text string) (Stat, bool) {
	var s Stat
	named := false
	for line := range strings.Lines(text) {
		key, v, _ := strings.Cut(line, ":")
		n, err := strconv.ParseUint(strings.TrimSpace(v), 10, 63)
		if err != nil {
			continue
		}
		switch strings.TrimSpace(key) {
		case "CPU":
			s.CPU, named = int(min(n, maxCPUs)), true
		case "entries":
			s.Entries = n
		case "overrun":
			s.Overrun = n
		case "dropped events":
			s.Dropped = n
		}
	}
	return s, named
}

// bufferOption reads where the data of an instance are.
func (r *Reader) bufferOption(at *cursor, b []byte, text bool) error {
	c := newBytesCursor(b, at)
	buf := buffer{text: text}
	buf.offset = int64(min(c.uint(8, "option BUFFER: offset"), math.MaxInt64))
	buf.name = c.string("option BUFFER: name")
	if r.version == 6 {
		// What stands at the offset is not read, because no file of that kind could be checked.
		r.buffers = append(r.buffers, buf)
		return c.err
	}
	buf.clock = c.string("option BUFFER: clock")
	if !text {
		page := c.uint(4, "option BUFFER: page size")
		n := c.uint(4, "option BUFFER: number of cpus")
		if n > maxCPUs {
			c.fail(ErrCorrupt, "option BUFFER: got %d cpus, want at most %d", n, maxCPUs)
		}
		buf.page = int(min(page, math.MaxInt32))
		for ; n > 0 && c.err == nil; n-- {
			cpu, offset, size := c.uint(4, "option BUFFER: cpu"), c.uint(8, "option BUFFER: offset"), c.uint(8, "option BUFFER: size")
			buf.addPlace(c, cpu, offset, size)
		}
	}
	if c.err == nil {
		r.buffers = append(r.buffers, buf)
	}
	return c.err
}

// addPlace adds the place of a cpu's data. The data may go beyond the end of the file, which is then cut.
func (b *buffer) addPlace(c *cursor, cpu, offset, size uint64) {
	switch {
	case c.err != nil:
	case cpu >= maxCPUs:
		c.fail(ErrCorrupt, "the data of cpus: got cpu %d, want at most %d", cpu, maxCPUs-1)
	case offset > math.MaxInt64/2 || size > math.MaxInt64/2:
		c.fail(ErrCorrupt, "the data of cpu %d: got offset %d and size %d", cpu, offset, size)
	default:
		b.cpus = append(b.cpus, place{int(cpu), int64(offset), int64(size)})
	}
}
