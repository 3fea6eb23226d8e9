package analyze

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/evtrace/evtrace/evtchn"
)

// quiet is port 70, unmasked, sent to and delivered: nothing is wrong with it.
const quiet = boot + open70 + rescueOf70

// What could hide a lost event makes the verdict unknown, and the headline says what it is. What was found stays found.
func TestDoubts(t *testing.T) {
	tests := []struct {
		name     string
		meta     func(*evtchn.Meta)
		trace    string
		verdict  Verdict
		headline string
	}{
		{"nothing", func(*evtchn.Meta) {}, quiet, VerdictClean, "clean: no event was missed (1 event, 1 delivered)."},
		{"one probe", func(m *evtchn.Meta) { m.Unprobed = []string{"unmask"} }, quiet, VerdictUnknown,
			"unknown (undecided): unmask was not probed for. No event was seen to be missed (1 event, 1 delivered)."},
		{"three probes", func(m *evtchn.Meta) { m.Unprobed = []string{"unmask", "mask", "scan"} }, quiet, VerdictUnknown,
			"unknown (undecided): unmask, mask and scan were not probed for. No event was seen to be missed (1 event, 1 delivered)."},
		{"FIFO", func(m *evtchn.Meta) { m.ABI = "fifo" }, quiet, VerdictUnknown, "unknown (undecided): the trace is of the FIFO ABI, and whether a port stands in one of its queues is not recorded. No event was seen to be missed (1 event, 1 delivered)."},
		{"no events", func(*evtchn.Meta) {}, "", VerdictUnknown, "unknown (undecided): the trace has no events."},
		{"no ports", func(*evtchn.Meta) {}, boot, VerdictUnknown, "unknown (undecided): no record of the trace is about a port."},
		{"hearsay", func(*evtchn.Meta) {}, boot + "10 5 - - port.bind p70 state=ipi notify=v0 peer=0x0 inferred\n11 5 - - owner.write p70 target=v0 inferred\n",
			VerdictUnknown, "unknown (undecided): no record of the trace is about a port."},
		{"a bind that is seen", func(*evtchn.Meta) {}, boot + "10 5 v0 xen port.bind p70 state=ipi notify=v0 peer=0x0\n",
			VerdictClean, "clean: no event was missed (0 events, 0 delivered)."},
		{"an event of no port of the trace", func(*evtchn.Meta) {}, quiet + "300 6000000 v0 task:0 mask.tas p9999 = 0\n", VerdictUnknown,
			"unknown (undecided): 1 event is of a vcpu, a port or a kind that the trace does not have. No event was seen to be missed (1 event, 1 delivered)."},
		{"gaps", func(m *evtchn.Meta) { m.Lost = 1234 }, quiet + "300 6000000 - - gap target=v1 lost=1234\n", VerdictUnknown,
			"unknown (undecided): 1 gap in the trace, with 1,234 records lost. Outside of the gaps, which is 0 ns of 6.00 ms, no event was seen to be missed (1 event, 1 delivered). 1 port was not handled since (70): an event of theirs may be lost."},
		{"a lost beginning", func(m *evtchn.Meta) { m.Counts = map[string]uint64{"clear": 1000, "mask": 234} }, "1 0 - - gap target=- lost=5\n" + shift(t, quiet, 10),
			VerdictUnknown, "unknown (undecided): the beginning of the recording was lost, and which ports were pending since then is not known. " +
				"No event was seen to be missed (1 event, 1 delivered) in the 1,234 records that are left of the recording."},
		{"a lost beginning, and a lost event", func(*evtchn.Meta) {}, "1 0 - - gap target=- lost=5\n" + shift(t, report2005, 10),
			VerdictLost, "lost: 1 of 1 event lost (port 65) in the 14 records that are left of the recording."},
		{"a cut recording", func(m *evtchn.Meta) { m.Complete = false }, quiet, VerdictClean,
			"clean: no event was missed (1 event, 1 delivered). The recording ends early: this is about what came before."},
		{"disorder", func(m *evtchn.Meta) { m.Counts, m.Unordered = map[string]uint64{"clear": 100}, 2 }, quiet, VerdictUnknown,
			"unknown (undecided): the records do not stand in the order of their times. No event was seen to be missed (1 event, 1 delivered)."},
		{"a little disorder", func(m *evtchn.Meta) { m.Counts, m.Unordered = map[string]uint64{"clear": 100}, 1 }, quiet, VerdictClean,
			"clean: no event was missed (1 event, 1 delivered)."},
		{"a lost event in disorder", func(m *evtchn.Meta) { m.Counts, m.Unordered = map[string]uint64{"clear": 100}, 2 }, report2005, VerdictUnknown,
			"unknown (undecided): the records do not stand in the order of their times. 1 of 1 event undecided, for what would tell is missing (port 65)."},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			meta := simMeta()
			tt.meta(&meta)
			r := judged(t, meta, Options{}, tt.trace)
			if got := r.Headline(); r.Verdict != tt.verdict || got != tt.headline {
				t.Errorf("got %s: %s\nwant %s: %s", r.Verdict, got, tt.verdict, tt.headline)
			}
			if window := strings.HasPrefix(tt.name, "a lost beginning"); r.Trace.Window != window {
				t.Errorf("got window %v, want %v", r.Trace.Window, window)
			}
			if b := r.Totals.Balance(); b != 0 && r.Trace.ABI != "fifo" {
				t.Errorf("the totals are out by %d: %+v", b, r.Totals)
			}
			var b bytes.Buffer
			if err := r.WriteText(&b, TextOptions{}); err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(b.String(), "  - the trace is of the FIFO ABI"); n > 1 {
				t.Errorf("the FIFO ABI is missing %d times:\n%s", n, &b)
			}
		})
	}
}

// Only a recording that was closed lasted as long as it was to last.
func TestEnd(t *testing.T) {
	for _, complete := range []bool{true, false} {
		meta := simMeta()
		meta.Complete, meta.Duration = complete, 60e9
		want := int64(5001140)
		if complete {
			want = 60e9
		}
		if r := judged(t, meta, Options{}, quiet); r.Trace.Last != want || r.Trace.Complete != complete {
			t.Errorf("complete %v: got the end %d and complete %v, want %d", complete, r.Trace.Last, r.Trace.Complete, want)
		}
	}
}

// Where a port is bound to another vcpu between two times in vain, the story says so.
func TestStoryOfMove(t *testing.T) {
	r := judged(t, observedMeta(), Options{}, boot+`
10 1000 v2 xen port.bind p67 state=interdomain notify=v0 peer=0x42 inferred
11 1001 v2 xen pend.tas p67 = 0 inferred
12 1002 v2 xen mask.read p67 = 1 inferred
13 1003 v2 xen return errno=0 value=0 = ? inferred
14 1010 v2 task:1 owner.write p67 target=v0
15 1020 v2 task:1 mask.clear p67 = 1
16 1021 v2 task:1 pend.read p67 = 1 inferred
17 1022 v2 task:1 sel.tas p67 target=v2 word=w1 = 0 inferred
18 1023 v2 task:1 up.write p67 target=v2 value=1 = ? inferred
19 1030 v2 task:1 mask.tas p67 = 0
20 1040 v2 task:1 owner.write p67 target=v3
21 1050 v2 task:1 mask.clear p67 = 1
22 1051 v2 task:1 pend.read p67 = 1 inferred
23 1052 v2 task:1 sel.tas p67 target=v2 word=w1 = 1 inferred
24 1060 v2 upcall upcall
25 1061 v2 upcall sel.xchg unknown=0xfffffffffffffffd = 0x2 inferred
26 1062 v2 upcall word.read word=w1 foreign=0x0 unknown=0xfffffffffffffff7 = 0x0 inferred
27 1063 v2 upcall upcall.exit handled=0 = 0
`)
	f := one(t, r)
	story := strings.Join(f.Why, "\n")
	want := "Then the port was bound to vcpu 3 by vcpu 2 (task qemu-dm) at 0.001 ms (#20)."
	before, after, found := strings.Cut(story, want)
	if f.OwnerVCPU != 3 || !found || !strings.Contains(before, "belongs to vcpu 0") || !strings.Contains(after, "belongs to vcpu 3") {
		t.Errorf("got owner %d and\n%s\nwant 3 and, between the times in vain: %s", f.OwnerVCPU, story, want)
	}
}

// many is a report with findings of three kinds on many ports.
func many() *Report {
	r := &Report{Verdict: VerdictLost, Trace: TraceInfo{Unit: "ns", VCPUs: 4, WordBits: 64, Complete: true}}
	tally := newTally()
	for _, k := range []struct {
		kind  Kind
		cause Cause
		n     int
	}{{KindLost, CauseMaskedElsewhere, 40}, {KindDuplicate, CauseRepeated, 5}, {KindLate, CauseKickMissing, 2000}} {
		*r.Totals.of(k.kind) = uint64(k.n)
		for i := range k.n {
			p := evtchn.Port(64 + i%30)
			r.Findings = append(r.Findings, Finding{Kind: k.kind, Port: p, Cause: k.cause, Why: []string{"It was so."}, Word: 1})
			tally.groups[groupKey{k.kind, k.cause, p}]++
		}
	}
	r.Groups = tally.list()
	number(r.Findings)
	return r
}

// The table has some of each kind, and says how many of each it leaves out, and of which ports they are.
func TestTableOfKinds(t *testing.T) {
	var b bytes.Buffer
	if err := many().WriteText(&b, TextOptions{}); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	for _, want := range []string{
		"\nand 30 more lost, 2 more duplicate, 1,997 more late\n",
		"\nlost:65#1 ", "\nduplicate:64#1 ", "\nlate:64#1 ",
		"finding            owner  left exposed      delay    rescuer evidence cause",
		"left: the vcpu that read its word",
		"  late  kick-missing\n      port 64: 67, 65: 67, ",
		"and 396 on 6 more ports\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	rows := 0
	for line := range strings.Lines(text) {
		if strings.Contains(line, "#") && strings.Contains(line, " -  ") {
			rows++
		}
		if len(line) > 101 {
			t.Errorf("a line of %d columns: %s", len(line)-1, line)
		}
	}
	if rows != 15 {
		t.Errorf("got %d rows, want 15:\n%s", rows, text)
	}
	for rows := range 8 {
		if got := len(choose(many().heaviest()[1:], rows)); got != rows {
			t.Errorf("got %d findings chosen, want %d", got, rows)
		}
	}
}

// The widest rows and the longest names stay within the page.
func TestWidth(t *testing.T) {
	r := many()
	at, delay := int64(123456789012345), int64(123456789)
	r.Trace.Unit = "ticks"
	r.Requests = Requests{Made: 12345678, Served: 12345000, Open: 678, Hung: 78}
	for i := range r.Findings {
		f := &r.Findings[i]
		f.ExposedAt, f.Delay, f.RescuedByPort, f.ID = &at, &delay, 4095, fmt.Sprintf("wrong-vcpu:%d#%d", 4095, i)
	}
	var b bytes.Buffer
	if err := r.WriteText(&b, TextOptions{Name: strings.Repeat("n", 60)}); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(b.String()) {
		if len(line) > 101 {
			t.Errorf("a line of %d columns: %s", len(line)-1, line)
		}
	}
}
