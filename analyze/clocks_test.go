package analyze

import (
	"bytes"
	"fmt"
	"maps"
	"regexp"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/evtrace/evtrace/evtchn"
)

// clocks are those of which there is a capture each, with what one of their times looks like for a moment of the x86-tsc clock: tick is
// its ticks, ns the nanoseconds, line the record's number.
var clocks = []struct {
	name string
	time func(tick uint64, ns float64, line int) string
}{
	{"x86-tsc", func(tick uint64, _ float64, _ int) string { return strconv.FormatUint(tick, 10) }},
	{"mono_raw", func(_ uint64, ns float64, _ int) string { return fmt.Sprintf("%.6f", ns/1e9) }},
	{"counter", func(_ uint64, _ float64, line int) string { return strconv.Itoa(line) }},
	{"uptime", func(_ uint64, ns float64, _ int) string { return strconv.Itoa(int(ns / 1e7)) }},
}

// clocked gives lines of a capture of the x86-tsc clock as another clock would have stamped them.
func clocked(lines [][]byte, nsPerTick float64, time func(uint64, float64, int) string) []byte {
	var b []byte
	n := 0
	for _, line := range lines {
		cpu := max(bytes.Index(line, []byte("] ")), 0)
		to := cpu + max(bytes.Index(line[cpu:], []byte(": ")), 0)
		from := bytes.LastIndexByte(line[:to], ' ') + 1
		tick, err := strconv.ParseUint(string(line[from:to]), 10, 64)
		if err != nil || line[0] == '#' {
			b = append(b, line...)
			continue
		}
		n++
		b = append(append(append(b, line[:from]...), time(tick, float64(tick)*nsPerTick, n)...), line[to:]...)
	}
	return b
}

// story is what does not depend on the clock.
type story struct {
	Delivered map[evtchn.Port]uint64
	Episodes  uint64
	Lost      map[evtchn.Port]int // found, of any kind
	Unknown   uint64
}

func storyOf(r *Report) story {
	s := story{Delivered: make(map[evtchn.Port]uint64), Episodes: r.Totals.Episodes, Lost: make(map[evtchn.Port]int), Unknown: r.Totals.Unknown}
	for _, p := range r.Ports {
		s.Delivered[p.Port] = p.Delivered
	}
	for _, f := range r.Findings {
		if f.Kind != KindUnknown {
			s.Lost[f.Port]++
		}
	}
	return s
}

// The same records, stamped by each of the four clocks, tell the same story. The coarsest, in which most records tie, may leave findings
// undecided, and may not have others.
func TestClocks(t *testing.T) {
	for _, name := range []string{"2l-clock-x86-tsc/trace.txt", "2l-goodkernel-sparse-tsc/trace.txt.zst", "2l-bugkernel-small/trace.txt.zst", "2l-bugkernel-sparse-tsc/trace.txt.zst"} {
		t.Run(name, func(t *testing.T) {
			lines, side := captureLines(t, name)
			first := judgeText(t, bytes.Join(lines, nil), side)
			want := storyOf(first)
			for _, c := range clocks {
				side.TraceClock = "[" + c.name + "]"
				r := judgeText(t, clocked(lines, first.Trace.NsPerTick, c.time), side)
				got := storyOf(r)
				if r.Trace.Clock != c.name {
					t.Errorf("got the clock %s, want %s", r.Trace.Clock, c.name)
				}
				if c.name != "uptime" || len(want.Lost) == 0 {
					if d := cmp.Diff(want, got); d != "" {
						t.Errorf("%s: -x86-tsc +%s\n%s", c.name, c.name, d)
					}
					continue
				}
				for p, n := range got.Lost {
					if n > want.Lost[p] {
						t.Errorf("uptime: got %d findings about port %d, want at most %d", n, p, want.Lost[p])
					}
				}
				if !maps.Equal(want.Delivered, got.Delivered) {
					t.Errorf("uptime: -x86-tsc +uptime\n%s", cmp.Diff(want.Delivered, got.Delivered))
				}
				t.Logf("uptime: %d findings and %d undecided, of %d", len(r.Findings)-int(got.Unknown), got.Unknown, len(first.Findings))
			}
		})
	}
}

var handlerName = regexp.MustCompile(`irq_handler_entry: irq=\d+ name=evtchn:`)

// The four captures called 2l-clock-* are four runs of one load, one after another, so their numbers differ. What can be compared is
// what the load does: it opens six channels, closes them, and gets an event for each send and for each bind; and what
// the kernel itself records: a handler for each delivery.
func TestClockCaptures(t *testing.T) {
	for _, c := range clocks {
		t.Run(c.name, func(t *testing.T) {
			lines, side := captureLines(t, "2l-clock-"+c.name+"/trace.txt")
			text := bytes.Join(lines, nil)
			r := judgeText(t, text, side)
			if r.Verdict != VerdictClean || r.Trace.Clock != c.name {
				t.Errorf("got %s by the clock %s, want clean", r.Verdict, r.Trace.Clock)
			}
			var load uint64 // deliveries of ports that did not exist at first
			for _, p := range r.Ports {
				if !bytes.Contains([]byte(side.Before), fmt.Appendf(nil, "%4d: VCPU", p.Port)) {
					load += p.Delivered
				}
			}
			handlers := uint64(len(handlerName.FindAll(text, -1)))
			sends := uint64(bytes.Count(text, []byte(": hc_dev_notify: ")))
			binds := uint64(bytes.Count(text, []byte("cmd=0x84501 ")))
			closed := bytes.Count(text, []byte(": hc_close: "))
			if binds != 6 || closed != 12 || handlers != sends+binds {
				t.Errorf("got %d binds, %d closes, %d sends, %d handlers, want 6, 12, and a handler for each send and bind", binds, closed, sends, handlers)
			}
			// A port that is picked while its handler is under way is left alone: a delivery without a handler.
			if load < handlers || load > handlers+handlers/5 {
				t.Errorf("got %d deliveries of the load's ports, want the %d that were handled", load, handlers)
			}
			all := uint64(bytes.Count(text, []byte(": irq_handler_entry: ")))
			if n := r.Totals.Delivered; n < all || n > all+all/50 {
				t.Errorf("got %d deliveries, want those of %d handlers", n, all)
			}
		})
	}
}
