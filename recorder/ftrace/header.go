package ftrace

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/evtrace/evtrace/evtchn"
)

// header is what can be told before the first event is given out: what the source says, and what the side files and the options add.
type header struct {
	facts
	unit      string
	tolerance int64 // by how much a record may go back in time and be merely out of place
}

// peekFacts reads the first stretch of a text.
func peekFacts(text []byte, ns *names) facts {
	var f facts
	var r record
	var p parts
	for len(text) > 0 {
		i := bytes.IndexByte(text, '\n')
		if i < 0 {
			break
		}
		line := text[:i]
		text = text[i+1:]
		if len(line) > 0 && line[0] == '#' {
			f.comment(line)
			continue
		}
		if cpu, _, ok := parseLost(line); ok {
			f.cpus = max(f.cpus, min(cpu, evtchn.MaxVCPUs-1)+1)
			continue
		}
		if n, ok := bytes.CutPrefix(line, []byte("cpus=")); ok { // trace-cmd report
			if c, err := strconv.Atoi(string(n)); err == nil && c > 0 && c <= evtchn.MaxVCPUs {
				f.cpus = max(f.cpus, c)
			}
			continue
		}
		if parseLine(line, &r, &p, ns) != nil {
			continue
		}
		if !f.records {
			f.records, f.first, f.ticks = true, r.time, r.fl&rfTicks != 0
		}
		f.latency = f.latency || r.fl&rfLatency != 0
		if r.cpu < evtchn.MaxVCPUs {
			f.cpus = max(f.cpus, int(r.cpu)+1)
			f.of.Add(evtchn.VCPU(r.cpu))
		}
		if f.abi == "" {
			f.abi = abiOf(line)
		}
		if r.id == prHCUnmask {
			f.unmaskHC = true
		}
	}
	return f
}

func abiOf(text []byte) string {
	switch {
	case bytes.Contains(text, []byte("evtchn_2l_")):
		return "2l"
	case bytes.Contains(text, []byte("evtchn_fifo_")):
		return "fifo"
	}
	return ""
}

// comment reads a line of the header, such as "# entries-in-buffer/entries-written: 9682/154686   #P:4".
func (h *facts) comment(line []byte) {
	s := string(line)
	if _, rest, ok := strings.Cut(s, "entries-in-buffer/entries-written:"); ok {
		f := strings.Fields(rest)
		if len(f) > 0 {
			a, b, _ := strings.Cut(f[0], "/")
			kept, err1 := strconv.ParseUint(a, 10, 63)
			written, err2 := strconv.ParseUint(b, 10, 63)
			if err1 == nil && err2 == nil {
				h.kept, h.written, h.counted = kept, written, true
			}
		}
	} else if _, rest, ok := strings.Cut(s, "latency:"); ok {
		if _, n, ok := strings.Cut(rest, "#"); ok {
			n, _, _ = strings.Cut(n, ",")
			a, b, _ := strings.Cut(n, "/")
			kept, err1 := strconv.ParseUint(a, 10, 63)
			written, err2 := strconv.ParseUint(b, 10, 63)
			if err1 == nil && err2 == nil {
				h.kept, h.written, h.counted = kept, written, true
			}
		}
	}
	if _, n, ok := strings.Cut(s, "#P:"); ok {
		i := 0
		for i < len(n) && isDigit(n[i]) {
			i++
		}
		if c, err := strconv.Atoi(n[:i]); err == nil && c > 0 && c <= evtchn.MaxVCPUs {
			h.cpus = max(h.cpus, c)
		}
	}
}

// settle adds what the side files and the options say.
func (h *header) settle(side *SideFiles, opt *Options) {
	h.cpus = max(h.cpus, cpusOfInterrupts(side.Interrupts))
	for _, e := range parsePorts(side.Before) {
		h.cpus = max(h.cpus, int(e.vcpu)+1)
	}
	if h.cpus == 0 {
		h.cpus = 1
		h.note("the number of vcpus is not known: no record was read")
	}
	if h.abi == "" {
		h.abi = abiOf([]byte(side.Probes))
		if h.abi != "" && bytes.Contains([]byte(side.Probes), []byte("evtchn_2l_handle_events")) && strings.Contains(side.Probes, "evtchn_fifo_handle_events") {
			h.abi = ""
		}
	}
	if h.abi == "" {
		h.abi = "2l"
		h.note("no symbol tells the ABI: the 2-level ABI is assumed")
	}
	h.settleClock(side, opt)
	h.tolerance = int64(min(backNS/h.nsTick, 1e15))
	h.settleTables(side)
}

// settleTables says what is weaker where a table is missing or is none.
func (h *header) settleTables(side *SideFiles) {
	switch {
	case side.Before == "" && side.Names["Before"] == "":
		h.note("no lsevtchn.before.txt: which vcpu a port is bound to, and what its other end is, is known only once the trace shows it")
	case len(parsePorts(side.Before)) == 0:
		h.note(side.name("Before", "lsevtchn.before.txt") + " has no line of lsevtchn's table, such as \"5: VCPU 1: IPI\": which vcpu a port is bound to, and what its other end is, is known only once the trace shows it")
	}
	switch {
	case side.Interrupts == "" && side.Names["Interrupts"] == "":
		h.note("no interrupts.before.txt (/proc/interrupts): the timers' ports cannot be told from others before they are delivered, and a vcpu without a record is not counted")
	case cpusOfInterrupts(side.Interrupts) == 0:
		h.note(side.name("Interrupts", "interrupts.before.txt") + " does not begin with a line of CPUs, as /proc/interrupts does: the timers' ports cannot be told from others before they are delivered, and a vcpu without a record is not counted")
	}
}

// span writes a difference of times in the capture's own units.
func (h *header) span(d int64) string {
	if h.unit == "ns" {
		return group(uint64(d)) + " ns"
	}
	return group(uint64(d)) + " ticks"
}

// backNS is the tolerance of the order of records, in nanoseconds or in ticks of unknown length.
const backNS = 10_000

// settleClock finds the unit of the time stamps.
func (h *header) settleClock(side *SideFiles, opt *Options) {
	if h.clock == "" {
		h.clock = clockInForce(side.TraceClock)
	}
	if h.nsTick == 0 {
		h.nsTick = 1
	}
	h.unit = "ns"
	if !h.ticks {
		switch h.clock {
		case "":
			h.clock = "unknown"
			h.note("which trace clock was in force is not known (no trace_clock.txt): its times are seconds")
		case "x86-tsc", "counter", "uptime":
			if h.latency {
				break
			}
			h.note("trace_clock.txt says " + h.clock + ", whose times are integers, but the trace has seconds")
			h.clock = "unknown"
		}
		return
	}
	h.unit = "ticks"
	if h.clock == "" && opt.TSCHz > 0 {
		h.clock = "x86-tsc"
	}
	switch h.clock {
	case "x86-tsc":
		switch mhz := tscMHz(side.Console); {
		case opt.TSCHz > 0:
			h.nsTick = 1e9 / opt.TSCHz
		case h.nsTick != 1: // the capture says it by itself
		case mhz > 0:
			h.nsTick = 1e3 / mhz
		case side.Console != "" || side.Names["Console"] != "":
			h.note("the frequency of the TSC is not known (" + side.name("Console", "xl-dmesg.txt") + " has no \"Detected ... MHz processor\"): times and delays are ticks; --tsc-hz sets it, and xl info has it in MHz, as cpu_mhz")
		default:
			h.note("the frequency of the TSC is not known (no xl-dmesg.txt): times and delays are ticks; --tsc-hz sets it, and xl info has it in MHz, as cpu_mhz")
		}
	case "uptime":
		// trace_clock_jiffies gives clock_t: 1/100 s on every architecture that Xen runs on.
		h.nsTick = 1e7
		h.note("the uptime clock counts 10 ms: most records tie, and their order is that of the file")
	case "counter":
		h.note("the counter clock has no unit: times and delays count records")
	case "":
		h.clock = "unknown"
		h.note("times are bare integers of an unknown clock (no trace_clock.txt): times and delays are ticks")
	default:
		h.note("trace_clock.txt says " + h.clock + ", whose times are seconds, but the trace has bare integers")
		h.clock = "unknown"
	}
}

func (h *facts) note(s string) { h.notes = append(h.notes, s) }
