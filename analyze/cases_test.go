package analyze

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/evtrace/evtrace/evtchn"
)

// exposed65 is port 65 unmasked at the start.
const exposed65 = `
40 900 v0 task:0 mask.clear p65 = 1
41 910 v0 task:0 pend.read p65 = 0
`

// Hand-written traces, one for each way in which things go wrong.
func TestCases(t *testing.T) {
	tests := []struct {
		name     string
		observed bool
		trace    string
		verdict  Verdict
		kind     Kind
		cause    Cause
		seq      evtchn.Seq  // unnoticed
		vcpu     evtchn.VCPU // who looked away
		why      string      // a part of the story
	}{
		{
			name: "a port is bound to vcpu 1 in Xen, and vcpu 1 looks before the guest lets it (R2)",
			trace: boot + exposed65 + `
100 2000 v2 xen port.vcpu p65 target=v1
101 2010 - foreign:0 send p65 dom=1 input
102 2020 - foreign:0 notify.read p65 state=interdomain = v1
103 2030 - foreign:0 pend.tas p65 = 0
104 2040 - foreign:0 mask.read p65 = 0
105 2050 - foreign:0 sel.tas p65 target=v1 word=w1 = 0
106 2060 - foreign:0 up.tas p65 target=v1 = 0
107 2070 - foreign:0 running.read p65 target=v1 = 1
108 2080 - foreign:0 blocked.tac p65 target=v1 = 0
109 2090 - foreign:0 ipi p65 target=v1
110 2100 - - kick target=v1 = 1
111 2110 v1 upcall up.write target=v1 value=0 = 0
112 2120 v1 upcall sel.xchg unknown=0x0 = 0x2
113 2130 v1 upcall word.read word=w1 foreign=0x0 unknown=0x0 = 0x0
114 2140 v1 upcall upcall.exit handled=0 = 0
115 2150 v2 task:0 accept.clear p65 target=v0
116 2160 v2 task:0 accept.set p65 target=v1
117 2170 v2 task:0 owner.write p65 target=v1
`,
			verdict: VerdictLost, kind: KindLost, cause: CauseNonOwner, seq: 113, vcpu: 1,
			why: "A send by domain 1 (#101) set port 65 pending at 0.002 ms (#103).",
		},
		{
			name: "unmasked on the wrong vcpu, which the port is then moved to before it has looked",
			trace: boot + `
101 1000 v3 task:1 umask.write value=1 = 0
103 1030 v3 xen pend.tas p65 = 0
104 1040 v3 xen mask.read p65 = 1
106 1060 v3 task:1 mask.clear p65 = 1
107 1070 v3 task:1 pend.read p65 = 1
108 1080 v3 task:1 sel.tas p65 target=v3 word=w1 = 0
109 1090 v3 task:1 up.write p65 target=v3 value=1 = 0
110 1100 v3 task:1 mask.tas p65 = 0
111 1110 v3 xen port.vcpu p65 target=v3
112 1120 v3 task:1 accept.clear p65 target=v0
113 1130 v3 task:1 accept.set p65 target=v3
114 1140 v3 task:1 owner.write p65 target=v3
115 1150 v3 task:1 mask.clear p65 = 1
116 1160 v3 task:1 pend.read p65 = 1
117 1170 v3 task:1 sel.tas p65 target=v3 word=w1 = 1
118 1180 v3 task:1 umask.write value=0 = 1
119 1190 v3 upcall up.write target=v3 value=0 = 0
120 1200 v3 upcall sel.xchg unknown=0x0 = 0x2
121 1210 v3 upcall word.read word=w1 foreign=0x0 unknown=0x0 = 0x2
122 1220 v3 upcall deliver p65
123 1230 v3 upcall mask.tas p65 = 0
124 1240 v3 upcall pend.clear p65 = 1
125 1250 v3 upcall handled p65
`,
			verdict: VerdictLate, kind: KindLate, cause: CauseMaskedElsewhere, seq: 108, vcpu: 3,
			why: "The port was masked again (#110) before vcpu 3 had looked, which would have left it: it is not its own.\nIt was noticed 160 ns later, because it was signalled again, to vcpu 3 (#117): that vcpu picked it up at 0.001 ms (#122).",
		},
		{
			name: "the sender read the vcpu before the port was bound to another (R7)",
			trace: boot + exposed65 + `
100 2000 - foreign:0 send p65 dom=1 input
101 2010 - foreign:0 notify.read p65 state=interdomain = v0
102 2020 v2 xen port.vcpu p65 target=v1
103 2030 v2 task:0 accept.clear p65 target=v0
104 2040 v2 task:0 accept.set p65 target=v1
105 2050 v2 task:0 owner.write p65 target=v1
106 2060 - foreign:0 pend.tas p65 = 0
107 2070 - foreign:0 mask.read p65 = 0
108 2080 - foreign:0 sel.tas p65 target=v0 word=w1 = 0
109 2090 - foreign:0 up.tas p65 target=v0 = 0
110 2100 - foreign:0 running.read p65 target=v0 = 1
111 2110 - foreign:0 blocked.tac p65 target=v0 = 0
112 2120 - foreign:0 ipi p65 target=v0
113 2130 - - kick target=v0 = 1
114 2140 v0 upcall up.write target=v0 value=0 = 0
115 2150 v0 upcall sel.xchg unknown=0x0 = 0x2
116 2160 v0 upcall word.read word=w1 foreign=0x0 unknown=0x0 = 0x0
117 2170 v0 upcall upcall.exit handled=0 = 0
`,
			verdict: VerdictLost, kind: KindLost, cause: CauseStaleNotify, seq: 116, vcpu: 0,
			why: "The sender had read at 0.002 ms (#101) that vcpu 0 is to be told; then the port was bound to vcpu 1 (#102); the sender set SEL[0] bit 1 all the same (#108).",
		},
		{
			name: "a store to UP hides the kick (R6)",
			trace: boot + exposed65 + `
100 2000 v2 task:0 up.write target=v0 value=1 = 0
101 2005 v2 task:0 op.done op=unmask errno=0 value=0
102 2010 - foreign:0 notify.read p65 state=interdomain = v0
103 2020 - foreign:0 pend.tas p65 = 0
104 2030 - foreign:0 mask.read p65 = 0
105 2040 - foreign:0 sel.tas p65 target=v0 word=w1 = 0
106 2050 - foreign:0 up.tas p65 target=v0 = 1
`,
			verdict: VerdictLost, kind: KindLost, cause: CauseKickMissing, seq: 106, vcpu: 0,
			why: "SEL[0] bit 1 is set, but from (#106) on nothing makes vcpu 0 look at it: it runs on in the guest, and no kick is under way.",
		},
		{
			name: "nobody has the port open",
			trace: boot + exposed65 + `
102 2010 - foreign:0 notify.read p65 state=interdomain = v0
103 2020 - foreign:0 pend.tas p65 = 0
104 2030 - foreign:0 mask.read p65 = 0
105 2040 - foreign:0 sel.tas p65 target=v0 word=w1 = 0
106 2050 - foreign:0 up.tas p65 target=v0 = 0
107 2060 - foreign:0 running.read p65 target=v0 = 1
108 2070 - foreign:0 blocked.tac p65 target=v0 = 0
109 2080 - foreign:0 ipi p65 target=v0
110 2100 - - kick target=v0 = 1
111 2110 v0 upcall up.write target=v0 value=0 = 0
112 2120 v0 upcall sel.xchg unknown=0x0 = 0x2
113 2130 v0 upcall word.read word=w1 foreign=0x0 unknown=0x0 = 0x2
114 2140 v0 upcall deliver p65
115 2150 v0 upcall mask.tas p65 = 0
116 2160 v0 upcall pend.clear p65 = 1
117 2170 v0 upcall drop p65
118 2180 v0 upcall word.read word=w1 foreign=0x0 unknown=0x0 = 0x0
119 2190 v0 upcall upcall.exit handled=1 = 0
120 3000 - foreign:0 pend.tas p65 = 0
121 3010 - foreign:0 mask.read p65 = 1
122 3100 - foreign:0 pend.tas p65 = 1
`,
			verdict: VerdictLost, kind: KindLost, cause: CauseDropped, seq: 117, vcpu: 0,
			why: "2 more sends came to nothing after that.",
		},
		{
			name: "two vcpus pick one event, one after the other",
			trace: boot + exposed65 + pended + `
120 3000 v0 upcall word.read word=w1 foreign=0x0 unknown=0x0 = 0x2
121 3010 v1 upcall word.read word=w1 foreign=0x0 unknown=0x0 = 0x2
122 3020 v0 upcall deliver p65
123 3030 v0 upcall pend.clear p65 = 1
124 3040 v0 upcall handled p65
125 3050 v1 upcall deliver p65
126 3060 v1 upcall pend.clear p65 = 0
127 3070 v1 upcall handled p65
`,
			verdict: VerdictViolated, kind: KindDuplicate, cause: CauseRepeated,
			why: "vcpu 1 picked it up once more at 0.003 ms (#125), with no new event in between.",
		},
		{
			name: "a vcpu picks the next event while another is in the handler",
			trace: boot + exposed65 + pended + `
118 2990 v2 task:0 accept.set p65 target=v1
120 3000 v0 upcall word.read word=w1 foreign=0x0 unknown=0x0 = 0x2
122 3020 v0 upcall deliver p65
123 3030 v0 upcall pend.clear p65 = 1
130 3100 - foreign:1 pend.tas p65 = 0
131 3110 - foreign:1 mask.read p65 = 0
132 3120 - foreign:1 sel.tas p65 target=v1 word=w1 = 0
133 3130 - foreign:1 up.tas p65 target=v1 = 0
134 3140 - foreign:1 running.read p65 target=v1 = 0
135 3150 - foreign:1 blocked.tac p65 target=v1 = 1
140 3200 v1 upcall sel.xchg unknown=0x0 = 0x2
141 3210 v1 upcall word.read word=w1 foreign=0x0 unknown=0x0 = 0x2
142 3220 v1 upcall deliver p65
143 3230 v1 upcall pend.clear p65 = 1
144 3240 v1 upcall handled p65
145 3250 v0 upcall handled p65
`,
			verdict: VerdictViolated, kind: KindConcurrent, cause: CauseRepeated,
			why: "vcpu 0 picked it up at 0.003 ms (#122), and was in its handler still when vcpu 1 picked it up at 0.003 ms (#142).",
		},
		{
			name: "a vcpu handles a port that is not its own",
			trace: boot + exposed65 + pended + `
120 3000 v2 upcall word.read word=w1 foreign=0x0 unknown=0x0 = 0x2
121 3010 v2 upcall deliver p65
122 3020 v2 upcall pend.clear p65 = 1
123 3030 v2 upcall handled p65
`,
			verdict: VerdictViolated, kind: KindWrongVCPU, cause: CauseNotAccepted,
			why: "vcpu 2 read word 1 (#120) and picked port 65 up at 0.003 ms (#121), which belongs to vcpu 0.",
		},
		{
			name: "the event that came during the handler is cleared after it (R5)",
			trace: boot + exposed65 + pended + `
120 3000 v0 upcall word.read word=w1 foreign=0x0 unknown=0x0 = 0x2
121 3010 v0 upcall deliver p65
122 3020 - foreign:1 pend.tas p65 = 1
123 3030 v0 upcall handled p65
124 3040 v0 upcall pend.clear p65 = 1
`,
			verdict: VerdictLost, kind: KindLost, cause: CauseClearedBefore, seq: 124, vcpu: 0,
			why: "Its handler was done at 0.003 ms (#123); then PEND was cleared (#124), and with it 1 send that had come in between.",
		},
		{
			name:     "a capture without gaps: the same as the report",
			observed: true,
			trace:    observedLoss + observedNoise,
			verdict:  VerdictLost, kind: KindLost, cause: CauseMaskedElsewhere, seq: 109, vcpu: 1,
			why: "vcpu 1 (task qemu-dm) unmasked it at 0.002 ms (#103): it found it pending (#104, inferred) and set its own selector, SEL[1] bit 1 (#105, inferred); the port belongs to vcpu 0.",
		},
		{
			name:     "records of the unmasking vcpu are missing",
			observed: true,
			trace:    observedLoss + "112 2060 - - gap target=v1 lost=12\n" + observedNoise,
			verdict:  VerdictUnknown, kind: KindUnknown, cause: CauseMaskedElsewhere, seq: 109, vcpu: 1,
			why: "Undecided: 12 records of vcpu 1 were lost between 0.002 ms and 0.002 ms (#112), and could have shown that somebody was told.",
		},
		{
			name:     "records of a vcpu that has nothing to do with it are missing",
			observed: true,
			trace:    observedLoss + "112 2060 - - gap target=v3 lost=12\n" + observedNoise,
			verdict:  VerdictLost, kind: KindLost, cause: CauseMaskedElsewhere, seq: 109, vcpu: 1,
			why: "It was never noticed: the trace ends at 10.000 ms.",
		},
		{
			name:     "nobody knows whose port it is",
			observed: true,
			trace:    strings.Replace(observedLoss, "owner.write p65", "owner.write p66", 1) + observedNoise,
			verdict:  VerdictUnknown, kind: KindUnknown, cause: CauseMaskedElsewhere, seq: 109, vcpu: 1,
			why: "Undecided: the trace does not say to which vcpu the port is bound.",
		},
		{
			name:     "nobody knows what the vcpu saw",
			observed: true,
			trace:    strings.Replace(observedLoss, "unknown=0x0 = 0x0", "unknown=0x2 = 0x0", 1) + observedNoise,
			verdict:  VerdictUnknown, kind: KindUnknown, cause: CauseUnknown, seq: 109, vcpu: 1,
			why: "vcpu 1's upcall read word 1 at 0.002 ms (#109, inferred); the trace does not tell whether it saw port 65 there.",
		},
		{
			name:     "the capture ends while the event is younger than normal ones get",
			observed: true,
			trace:    slowDelivery + later(t, observedLoss, 200_000),
			verdict:  VerdictUnknown, kind: KindUnknown, cause: CauseMaskedElsewhere, seq: 109, vcpu: 1,
			why: "Undecided: the trace ends 25 ns after it was exposed, and a normal delivery took up to 100 us.",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			meta := simMeta()
			if tt.observed {
				meta = observedMeta()
			}
			r := judged(t, meta, Options{}, tt.trace)
			if r.Verdict != tt.verdict {
				t.Errorf("got verdict %s, want %s", r.Verdict, tt.verdict)
			}
			for i := range r.Findings {
				if f := &r.Findings[i]; f.Kind == tt.kind && f.Port == 65 {
					vcpu := tt.vcpu
					if tt.seq == 0 {
						vcpu = evtchn.NoVCPU
					}
					if f.Cause != tt.cause || f.UnnoticedSeq != tt.seq || f.UnnoticedVCPU != vcpu {
						t.Errorf("got %s, unnoticed at #%d by vcpu %d, want %s, #%d, vcpu %d", f.Cause, f.UnnoticedSeq, f.UnnoticedVCPU, tt.cause, tt.seq, vcpu)
					}
					if why := strings.Join(f.Why, "\n"); !strings.Contains(why, tt.why) {
						t.Errorf("got story\n%s\nwant in it\n%s", why, tt.why)
					}
					return
				}
			}
			t.Errorf("got %+v, want a finding %s of port 65", r.Findings, tt.kind)
		})
	}
}

// pended is port 65 raised for vcpu 0, up to its upcall.
const pended = `
102 2010 - foreign:0 notify.read p65 state=interdomain = v0
103 2020 - foreign:0 pend.tas p65 = 0
104 2030 - foreign:0 mask.read p65 = 0
105 2040 - foreign:0 sel.tas p65 target=v0 word=w1 = 0
106 2050 - foreign:0 up.tas p65 target=v0 = 0
107 2060 - foreign:0 running.read p65 target=v0 = 1
108 2070 - foreign:0 blocked.tac p65 target=v0 = 0
109 2080 - foreign:0 ipi p65 target=v0
110 2100 - - kick target=v0 = 1
111 2110 v0 upcall up.write target=v0 value=0 = 0
112 2120 v0 upcall sel.xchg unknown=0x0 = 0x2
`

// observedLoss is the report's case as an importer sees it: vcpu 1 unmasks the port of vcpu 0.
const observedLoss = `
98 1980 v0 upcall mask.tas p65 = 0
99 1990 v0 upcall owner.write p65 target=v0
100 2000 v1 task:1 pend.tas p65 = 0 inferred
102 2010 v1 task:1 mask.read p65 = 1 inferred
103 2020 v1 task:1 mask.clear p65 = 1
104 2030 v1 task:1 pend.read p65 = 1 inferred
105 2035 v1 task:1 sel.tas p65 target=v1 word=w1 = 0 inferred
106 2036 v1 task:1 up.write p65 target=v1 value=1 = ? inferred
107 2037 v1 upcall upcall
108 2038 v1 upcall sel.xchg unknown=0x0 = 0x2 inferred
109 2040 v1 upcall word.read word=w1 foreign=0x0 unknown=0x0 = 0x0 inferred
110 2045 v1 upcall upcall.exit handled=0 = 0
`

// observedNoise is an upcall of vcpu 0 that does not handle the port, and the end.
const observedNoise = `
800 3000 v0 upcall upcall
801 3010 v0 upcall sel.xchg unknown=0x0 = 0x0 inferred
802 3020 v0 upcall upcall.exit handled=0 = 0
900 10000000 - - end
`

// slowDelivery is an event of port 66 that vcpu 0 picks up 100 us after it was raised.
const slowDelivery = `
10 1000 v0 upcall owner.write p66 target=v0
11 1010 v0 upcall mask.clear p66 = 1
12 1020 v0 upcall pend.read p66 = 0 inferred
13 2000 v2 xen pend.tas p66 = 0 inferred
14 2000 v2 xen sel.tas p66 target=v0 word=w1 = 0 inferred
15 102000 v0 upcall deliver p66
16 102010 v0 upcall pend.clear p66 = 1
`

// later moves the times of a trace.
func later(t *testing.T, trace string, by int) string {
	t.Helper()
	var b strings.Builder
	for line := range strings.Lines(trace) {
		f := strings.SplitN(line, " ", 3)
		if len(f) < 3 {
			continue
		}
		at, err := strconv.Atoi(f[1])
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s %d %s", f[0], at+by, f[2])
	}
	return b.String()
}

// shift moves the numbers of a trace, and its times by as much; vcpus are not started anew.
func shift(t *testing.T, trace string, by int) string {
	t.Helper()
	var b strings.Builder
	for line := range strings.Lines(later(t, trace, by)) {
		seq, rest, _ := strings.Cut(line, " ")
		n, err := strconv.Atoi(seq)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(rest, "start") {
			fmt.Fprintf(&b, "%d %s", n+by, rest)
		}
	}
	return b.String()
}
