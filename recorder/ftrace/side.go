package ftrace

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"github.com/evtrace/evtrace/evtchn"
)

// SideFiles are the files that a capture leaves beside the trace, as text. Any may be empty.
type SideFiles struct {
	Before     string            // lsevtchn.before: the ports when the trace began
	Later      []string          // lsevtchn of later times, earliest first: hints for pairing
	Interrupts string            // /proc/interrupts, of any time
	TraceClock string            // tracefs trace_clock: the one in brackets is in force
	Probes     string            // kprobe definitions that were accepted
	Profile    string            // kprobe_profile: the third column counts misses
	Console    string            // xl dmesg, of several times, and xl info: for the frequency of the TSC
	Names      map[string]string // field of SideFiles -> base name of the file it came from
}

// name gives the name of the file of a field, or what it usually is.
func (s *SideFiles) name(field, usual string) string {
	if n := s.Names[field]; n != "" {
		return n
	}
	return usual
}

// maxSide bounds what is read of a side file.
const maxSide = 8 << 20

// ReadSideFiles reads the side files in dir that it knows by name. A missing directory or file is not an error; one that cannot
// be read is.
func ReadSideFiles(dir string) (SideFiles, error) {
	var s SideFiles
	s.Names = make(map[string]string)
	entries, err := os.ReadDir(dir)
	if err != nil {
		if os.IsNotExist(err) {
			return s, nil
		}
		return s, fmt.Errorf("side files: %w", err)
	}
	// In this order, so that the table read last does not hang on the names' spelling.
	rank := func(name string) int {
		for i, w := range []string{".before.", ".loaded.", ".running.", ".after."} {
			if strings.Contains(name, w) {
				return i
			}
		}
		return 9
	}
	sort.SliceStable(entries, func(i, j int) bool { return rank(entries[i].Name()) < rank(entries[j].Name()) })
	for _, e := range entries {
		name := e.Name()
		var dst *string
		field := ""
		switch {
		case strings.HasPrefix(name, "lsevtchn.before"):
			dst, field = &s.Before, "Before"
		case strings.HasPrefix(name, "lsevtchn.") && !strings.Contains(name, ".dom") || strings.HasPrefix(name, "lsevtchn.dom0."):
			field = "Later"
		case strings.HasPrefix(name, "interrupts.") && s.Interrupts == "":
			dst, field = &s.Interrupts, "Interrupts"
		case name == "trace_clock.txt" || name == "trace_clock":
			dst, field = &s.TraceClock, "TraceClock"
		case strings.HasPrefix(name, "kprobes-accepted") || name == "kprobe_events":
			dst, field = &s.Probes, "Probes"
		case strings.HasPrefix(name, "kprobe_profile"):
			dst, field = &s.Profile, "Profile"
		case strings.HasPrefix(name, "xl-dmesg"), name == "xl-info.txt":
			dst, field = &s.Console, "Console"
		default:
			continue
		}
		text, err := readSide(filepath.Join(dir, name), e)
		if err != nil {
			return s, err
		}
		switch {
		case dst == &s.Console: // Xen's ring of messages may have lost what an earlier one still has
			*dst += text
		case dst != nil:
			*dst = text
		default:
			s.Later = append(s.Later, text)
		}
		if old := s.Names[field]; old != "" {
			name = old + ", " + name
		}
		s.Names[field] = name
	}
	return s, nil
}

func readSide(path string, e fs.DirEntry) (string, error) {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return "", nil
	}
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("side files: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSide))
	if err != nil {
		return "", fmt.Errorf("side files: %s: %w", path, err)
	}
	return string(b), nil
}

// portEntry is a row of lsevtchn's table.
type portEntry struct {
	port   evtchn.Port
	status evtchn.PortStatus
	vcpu   evtchn.VCPU
	peer   uint64 // remote domain << 32 | remote port, VIRQ or PIRQ
}

// parsePorts reads what lsevtchn prints, e.g. "  130: VCPU 0: Interdomain (Connected) - Remote Domain 0, Port 129". Lines of other
// shapes are passed over.
func parsePorts(text string) []portEntry {
	var es []portEntry
	for line := range strings.Lines(text) {
		head, rest, ok := strings.Cut(strings.TrimSpace(line), ": VCPU ")
		if !ok {
			continue
		}
		port, err1 := strconv.ParseUint(strings.TrimSpace(head), 10, 17)
		v, what, ok := strings.Cut(rest, ": ")
		vcpu, err2 := strconv.ParseUint(v, 10, 15)
		if !ok || err1 != nil || err2 != nil || port == 0 || vcpu >= evtchn.MaxVCPUs {
			continue
		}
		e := portEntry{port: evtchn.Port(port), vcpu: evtchn.VCPU(vcpu), status: evtchn.PortUnknown}
		num := func(prefix string) (uint64, bool) {
			_, s, ok := strings.Cut(what, prefix)
			if !ok {
				return 0, false
			}
			if i := strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' }); i >= 0 {
				s = s[:i]
			}
			n, err := strconv.ParseUint(s, 10, 32)
			return n, err == nil
		}
		switch {
		case strings.HasPrefix(what, "Interdomain (Connected)"):
			dom, ok1 := num("Remote Domain ")
			rport, ok2 := num("Port ")
			if !ok1 || !ok2 {
				continue
			}
			e.status, e.peer = evtchn.PortInterdomain, dom<<32|rport
		case strings.HasPrefix(what, "Interdomain (Waiting"):
			dom, _ := num("Remote Domain ")
			e.status, e.peer = evtchn.PortUnbound, dom<<32
		case strings.HasPrefix(what, "Virtual IRQ"):
			n, _ := num("Virtual IRQ ")
			e.status, e.peer = evtchn.PortVIRQ, n
		case strings.HasPrefix(what, "Physical IRQ"):
			n, _ := num("Physical IRQ ")
			e.status, e.peer = evtchn.PortPIRQ, n
		case strings.HasPrefix(what, "IPI"):
			e.status = evtchn.PortIPI
		default:
			continue
		}
		es = append(es, e)
	}
	return es
}

// cpusOfInterrupts gives the number of the highest CPU column of /proc/interrupts, plus one.
func cpusOfInterrupts(text string) int {
	n := 0
	head, _, _ := strings.Cut(text, "\n")
	for _, f := range strings.Fields(head) {
		if c, err := strconv.Atoi(strings.TrimPrefix(f, "CPU")); err == nil && strings.HasPrefix(f, "CPU") && c >= 0 && c < evtchn.MaxVCPUs {
			n = max(n, c+1)
		}
	}
	return n
}

// timerIRQs gives the irq of each vcpu's timer VIRQ: "24: 1571 0 0 0 xen-percpu -virq timer0". It is the one kind of port that can
// be told from /proc/interrupts by name.
func timerIRQs(text string) map[uint32]evtchn.VCPU {
	m := make(map[uint32]evtchn.VCPU)
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 3 {
			continue
		}
		irq, err := strconv.ParseUint(strings.TrimSuffix(f[0], ":"), 10, 31)
		name, isTimer := strings.CutPrefix(f[len(f)-1], "timer")
		if err != nil || !isTimer || f[len(f)-2] != "-virq" {
			continue
		}
		if v, err := strconv.ParseUint(name, 10, 15); err == nil && v < evtchn.MaxVCPUs {
			m[uint32(irq)] = evtchn.VCPU(v)
		}
	}
	return m
}

// clockInForce gives the name in brackets of tracefs' trace_clock, or "".
func clockInForce(text string) string {
	_, s, ok := strings.Cut(text, "[")
	if !ok {
		return ""
	}
	s, _, ok = strings.Cut(s, "]")
	if !ok || len(s) > 32 || strings.ContainsAny(s, " \n") {
		return ""
	}
	return s
}

// tscMHz finds "Detected 2596.101 MHz processor" in Xen's console, or "cpu_mhz : 2596.101" in what xl info prints, or gives 0.
func tscMHz(text string) float64 {
	isMHz := func(f float64, err error) bool { return err == nil && f > 1 && f < 1e6 }
	_, s, ok := strings.Cut(text, "Detected ")
	for ok {
		num, _, _ := strings.Cut(s, " ")
		if f, err := strconv.ParseFloat(num, 64); isMHz(f, err) && strings.HasPrefix(s[len(num):], " MHz") {
			return f
		}
		_, s, ok = strings.Cut(s, "Detected ")
	}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(line, ":")
		if strings.TrimSpace(key) != "cpu_mhz" {
			continue
		}
		if f, err := strconv.ParseFloat(strings.TrimSpace(value), 64); isMHz(f, err) {
			return f
		}
	}
	return 0
}

// TSCHz gives the frequency of the TSC that the console tells, in Hz, or 0.
func (s *SideFiles) TSCHz() float64 { return tscMHz(s.Console) * 1e6 }

// missed reads kprobe_profile and gives the misses of the events that have a meaning, by name: 0 for those that missed nothing. Those of
// KIND_ownN are counted with those of KIND.
func (s *SideFiles) missed(ns *names) map[string]uint64 {
	m := make(map[string]uint64)
	for line := range strings.Lines(s.Profile) {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue
		}
		n, err := strconv.ParseUint(f[2], 10, 63)
		name := f[0]
		if spec, ok := probeNamed(name); ok {
			name = spec.kind
		}
		if err == nil && ns.knows(name) {
			m[name] += n
		}
	}
	return m
}
