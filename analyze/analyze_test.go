package analyze

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/text"
)

// simMeta is the meta of the hand-written traces here: 4 vcpus, and a task called qemu-dm.
func simMeta() evtchn.Meta {
	return evtchn.Meta{Format: evtchn.FormatVersion, Source: evtchn.SourceSim, ABI: "2l", VCPUs: 4, WordBits: 64, Clock: "virtual",
		Unit: "ns", NsPerTick: 1, Complete: true, Tasks: []string{"idle", "qemu-dm"}}
}

func observedMeta() evtchn.Meta {
	m := simMeta()
	m.Source, m.Clock = evtchn.SourceObserved, "x86-tsc"
	return m
}

// slice is a Source of events in memory.
type slice struct {
	evs []evtchn.Event
	i   int
}

func (s *slice) Next(ev *evtchn.Event) error {
	if s.i == len(s.evs) {
		return io.EOF
	}
	*ev = s.evs[s.i]
	s.i++
	return nil
}

// parse reads lines of the text form. A line starts with the sequence number, or with "+" for the one before plus 1; "t+N" for the time is
// that of the line before plus N.
func parse(t testing.TB, lines string) []evtchn.Event {
	t.Helper()
	var evs []evtchn.Event
	var seq, now uint64
	for _, line := range strings.Split(lines, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		f := strings.SplitN(line, " ", 3)
		if f[0] == "+" {
			f[0] = fmt.Sprint(seq + 1)
		}
		if n, ok := strings.CutPrefix(f[1], "t+"); ok {
			var d uint64
			fmt.Sscan(n, &d)
			f[1] = fmt.Sprint(now + d)
		}
		fmt.Sscan(f[0], &seq)
		fmt.Sscan(f[1], &now)
		ev, err := text.ParseEvent([]byte(strings.Join(f, " ")))
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		evs = append(evs, ev)
	}
	return evs
}

func judged(t testing.TB, meta evtchn.Meta, opt Options, lines string) *Report {
	t.Helper()
	r, err := Run(meta, &slice{evs: parse(t, lines)}, opt)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const boot = `
1 0 - - start target=v0
2 0 - - start target=v1
3 0 - - start target=v2
4 0 - - start target=v3
`

// report2005 is the report's case: design.md section 11.
const report2005 = boot + `
101 1204100 v3 task:1 hypercall call=bind_interdomain a=1 b=12
102 1204350 v3 xen port.bind p65 state=interdomain notify=v0 peer=0x10000000c
103 1204380 v3 xen pend.tas p65 = 0
104 1204400 v3 xen mask.read p65 = 1
105 1204650 v3 xen return errno=0 value=65 = 0
106 1205100 v3 task:1 mask.clear p65 = 1
107 1205120 v3 task:1 pend.read p65 = 1
108 1205140 v3 task:1 sel.tas p65 target=v3 word=w1 = 0
109 1205160 v3 task:1 up.write p65 target=v3 value=1 = 1
110 1205400 v3 upcall up.write target=v3 value=0 = 0
111 1205420 v3 upcall sel.xchg unknown=0x0 = 0x2
112 1205450 v3 upcall word.read word=w1 foreign=0x0 unknown=0x0 = 0x0
113 1205470 v3 upcall upcall.exit handled=0 = 0
`

const sends = `
120 2000000 - foreign:0 send p65 dom=1 input
121 2000080 - foreign:0 pend.tas p65 = 1 <120
130 3000000 - foreign:0 send p65 dom=1 input
131 3000080 - foreign:0 pend.tas p65 = 1 <130
`

// rescue is port 70 of the same word, raised for vcpu 0, which then sees port 65 too.
const rescue = `
200 5000000 - foreign:0 send p70 dom=2 input
201 5000010 - foreign:0 notify.read p70 state=interdomain = v0
202 5000020 - foreign:0 pend.tas p70 = 0
203 5000030 - foreign:0 mask.read p70 = 0
204 5000040 - foreign:0 sel.tas p70 target=v0 word=w1 = 0
205 5000050 - foreign:0 up.tas p70 target=v0 = 0
206 5000060 - foreign:0 running.read p70 target=v0 = 1
207 5000070 - foreign:0 blocked.tac p70 target=v0 = 0
208 5000080 - foreign:0 ipi p70 target=v0
209 5001000 - - kick target=v0 = 1 <208
210 5001010 v0 upcall up.write target=v0 value=0 = 0
211 5001020 v0 upcall sel.xchg unknown=0x0 = 0x2
212 5001030 v0 upcall word.read word=w1 foreign=0x0 unknown=0x0 = 0x42
213 5001040 v0 upcall deliver p65
214 5001050 v0 upcall mask.tas p65 = 0
215 5001060 v0 upcall pend.clear p65 = 1
216 5001070 v0 upcall handled p65
217 5001080 v0 upcall word.read word=w1 foreign=0x0 unknown=0x0 = 0x40
218 5001090 v0 upcall deliver p70
219 5001100 v0 upcall mask.tas p70 = 0
220 5001110 v0 upcall pend.clear p70 = 1
221 5001120 v0 upcall handled p70
222 5001130 v0 upcall word.read word=w1 foreign=0x0 unknown=0x0 = 0x0
223 5001140 v0 upcall upcall.exit handled=2 = 0
`

const open70 = `
50 1000 v0 task:0 mask.clear p70 = 1
51 1010 v0 task:0 pend.read p70 = 0
`

func one(t *testing.T, r *Report) *Finding {
	t.Helper()
	if len(r.Findings) != 1 {
		t.Fatalf("got %d findings, want 1: %+v", len(r.Findings), r.Findings)
	}
	return &r.Findings[0]
}

func ptr(v int64) *int64 { return &v }

func TestReport(t *testing.T) {
	r := judged(t, simMeta(), Options{}, report2005+sends)
	if r.Verdict != VerdictLost || r.ExitCode() != 10 {
		t.Errorf("got verdict %s, exit code %d, want lost, 10", r.Verdict, r.ExitCode())
	}
	want := Finding{
		ID: "lost:65#1", Kind: KindLost, Port: 65, Word: 1, OwnerVCPU: 0,
		PendingAt: ptr(1204380), ExposedAt: ptr(1205100), UnnoticedAt: ptr(1205450), UnnoticedSeq: 112, UnnoticedVCPU: 3,
		NoticedVCPU: -1, Cause: CauseMaskedElsewhere, SwallowedSends: 2,
		Exposures: []int64{1205100},
		Evidence:  []evtchn.Seq{103, 104, 106, 107, 108, 111, 112},
		Why: []string{
			"Xen set port 65 pending at 1.204 ms (#103), as it does for every port that is being bound, while it was masked, so no selector was set (#104).",
			"vcpu 3 (task qemu-dm) unmasked it at 1.205 ms (#106): it found it pending (#107) and set its own selector, SEL[3] bit 1 (#108); the port belongs to vcpu 0.",
			"vcpu 3's upcall took the selector (#111), read word 1, and left: the port is not its own (#112). Nothing was owed to anyone any more.",
			"2 more sends were swallowed because PEND was already set.",
			"It was never noticed: the trace ends at 3.000 ms.",
		},
		Strength: StrengthSeen, Deduced: []evtchn.Seq{}, Proof: []string{}, Settle: []string{},
	}
	if d := cmp.Diff(want, *one(t, r), cmp.AllowUnexported(Finding{}), cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".order" }, cmp.Ignore())); d != "" {
		t.Errorf("finding: -want +got\n%s", d)
	}
	if r.Costs != (Costs{Hypercalls: 1, Upcalls: 1, SpuriousUpcalls: 1, ForeignSkipped: 1, SwallowedSends: 2}) {
		t.Errorf("got costs %+v", r.Costs)
	}
}

func TestRescued(t *testing.T) {
	r := judged(t, simMeta(), Options{}, insert(report2005, open70)+sends+rescue)
	if r.Verdict != VerdictLate || r.ExitCode() != 11 {
		t.Errorf("got verdict %s, exit code %d, want late, 11", r.Verdict, r.ExitCode())
	}
	f := one(t, r)
	if f.RescuedByPort != 70 || *f.NoticedAt != 5001040 || *f.Delay != 5001040-1205100 || f.NoticedVCPU != 0 || f.UnnoticedSeq != 112 {
		t.Errorf("got %+v, want rescued by port 70 at 5001040", f)
	}
	want := []evtchn.Seq{103, 104, 106, 107, 108, 111, 112, 202, 204, 213}
	if !slices.Equal(f.Evidence, want) {
		t.Errorf("got evidence %d, want %d", f.Evidence, want)
	}
	if got, want := f.Why[len(f.Why)-1], "It was noticed 3.80 ms later, only because port 70 of the same word rang (#202): vcpu 0 picked it up at 5.001 ms (#213)."; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if r.Totals.Delivered != 2 || r.Latency.Count != 2 || r.Latency.Max != 3795940 {
		t.Errorf("got %d delivered, latency %+v", r.Totals.Delivered, r.Latency)
	}
}

// insert puts lines behind the boot of a trace.
func insert(trace, lines string) string { return strings.Replace(trace, boot, boot+lines, 1) }

func TestClean(t *testing.T) {
	r := judged(t, simMeta(), Options{}, boot+open70+rescueOf70)
	if r.Verdict != VerdictClean || len(r.Findings) != 0 || r.ExitCode() != 0 {
		t.Errorf("got %s, %+v", r.Verdict, r.Findings)
	}
	if r.Totals.Delivered != 1 || r.Latency.Max != 1020 {
		t.Errorf("got %d delivered, latency %+v, want 1 and 1020 ns", r.Totals.Delivered, r.Latency)
	}
	r = judged(t, simMeta(), Options{LateAfter: 1000}, boot+open70+rescueOf70)
	if f := one(t, r); f.Kind != KindLate || f.Cause != CauseSlow || f.UnnoticedSeq != 0 {
		t.Errorf("with a bound of 1000 ns: got %+v", f)
	}
}

const rescueOf70 = `
200 5000000 - foreign:0 send p70 dom=2 input
201 5000010 - foreign:0 notify.read p70 state=interdomain = v0
202 5000020 - foreign:0 pend.tas p70 = 0
203 5000030 - foreign:0 mask.read p70 = 0
204 5000040 - foreign:0 sel.tas p70 target=v0 word=w1 = 0
205 5000050 - foreign:0 up.tas p70 target=v0 = 0
206 5000060 - foreign:0 running.read p70 target=v0 = 1
207 5000070 - foreign:0 blocked.tac p70 target=v0 = 0
208 5000080 - foreign:0 ipi p70 target=v0
209 5001000 - - kick target=v0 = 1 <208
210 5001010 v0 upcall up.write target=v0 value=0 = 0
211 5001020 v0 upcall sel.xchg unknown=0x0 = 0x2
212 5001030 v0 upcall word.read word=w1 foreign=0x0 unknown=0x0 = 0x40
213 5001040 v0 upcall deliver p70
214 5001050 v0 upcall mask.tas p70 = 0
215 5001060 v0 upcall pend.clear p70 = 1
216 5001070 v0 upcall handled p70
217 5001130 v0 upcall word.read word=w1 foreign=0x0 unknown=0x0 = 0x0
218 5001140 v0 upcall upcall.exit handled=1 = 0
`
