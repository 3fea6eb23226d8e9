package analyze

import (
	"strings"
	"testing"

	"github.com/evtrace/evtrace/evtchn"
)

// raised65 is port 65 of vcpu 0, raised for it as it should be, on behalf of vcpu 2.
const raised65 = `
10 1000 v0 upcall owner.write p65 target=v0
11 1010 v0 upcall mask.clear p65 = 1
12 1020 v0 upcall pend.read p65 = 0 inferred
13 2000 v2 xen pend.tas p65 = 0 inferred
14 2000 v2 xen mask.read p65 = 0 inferred
15 2000 v2 xen sel.tas p65 target=v0 word=w1 = 0 inferred
16 2000 v2 xen up.tas p65 target=v0 = 0 inferred
17 2000 v2 xen return errno=0 value=0 = ? inferred
`

// A gap makes that unknown which may have happened in it, and nothing else.
func TestGaps(t *testing.T) {
	const (
		gap0    = "30 5000 - - gap target=v0 lost=12\n"
		gap2    = "30 5000 - - gap target=v2 lost=12\n"
		picked  = "40 6000 v0 upcall upcall\n41 6010 v0 upcall sel.xchg unknown=0x0 = 0x2 inferred\n42 6020 v0 upcall deliver p65\n43 6030 v0 upcall pend.clear p65 = 1\n44 6040 v0 upcall upcall.exit handled=1 = 0\n"
		closing = "90 9000 v2 xen port.close p65 inferred\n"
		end     = "900 10000000 - - end\n"
	)
	tests := []struct {
		name    string
		trace   string
		verdict Verdict
		finding string // the first one's story has it; "": there is none
		latency uint64
	}{
		{"its vcpu's records are missing, and nothing came after", raised65 + gap0 + end, VerdictUnknown,
			"Undecided: 12 records of vcpu 0 were lost between 0.001 ms and 0.005 ms (#30), and could have shown that it was handled.\nAfter that the port was not handled until the trace ends at 10.000 ms.", 0},
		{"its vcpu's records are missing, and the port was closed", raised65 + gap0 + closing + end, VerdictUnknown,
			"After that the port was not handled until it was closed at 0.009 ms (#90, inferred).", 0},
		{"its vcpu's records are missing, and it was handled after", raised65 + gap0 + picked + end, VerdictUnknown, "", 0},
		{"another vcpu's records are missing", raised65 + gap2 + picked + end, VerdictUnknown, "", 1},
		{"the gap came before", "1 10 - - start target=v0\n2 11 - - gap target=v0 lost=12\n" + raised65 + picked + end, VerdictUnknown, "", 1},
		{"what was lost before the gap is lost", observedLoss + observedNoise[:strings.Index(observedNoise, "900 ")] +
			"810 4000 - - gap target=v3 lost=12\n" + end, VerdictLost, "It was never noticed", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := judged(t, observedMeta(), Options{}, tt.trace)
			if r.Verdict != tt.verdict || r.Latency.Count != tt.latency {
				t.Errorf("got %s, %d in the latency, want %s, %d: %s", r.Verdict, r.Latency.Count, tt.verdict, tt.latency, r.Headline())
			}
			if b := r.Totals.Balance(); b != 0 {
				t.Errorf("the totals are out by %d: %+v", b, r.Totals)
			}
			if r.Vouched == nil || len(r.Vouched.Longest) != 1 {
				t.Errorf("got vouched %+v, want one gap", r.Vouched)
			}
			if tt.finding == "" {
				if len(r.Findings) > 0 {
					t.Errorf("got %q, want no finding", r.Findings[0].Why)
				}
				return
			}
			f := one(t, r)
			if story := strings.Join(f.Why, "\n"); f.Port != 65 || !strings.Contains(story, tt.finding) {
				t.Errorf("got port %d:\n%s\nwant 65:\n%s", f.Port, story, tt.finding)
			}
			if f.Kind == KindUnknown && len(f.Settle) == 0 {
				t.Error("nothing would decide it")
			}
		})
	}
}

// The time in gaps counts once, whatever vcpus they are of, and in whatever order they are found.
func TestHoles(t *testing.T) {
	var h holes
	add := func(from, to evtchn.Time) { h.add(gap{step: step{seq: 1, at: to}, from: from}) }
	for _, tt := range []struct{ from, to, total evtchn.Time }{
		{10, 20, 10}, {30, 40, 20}, {35, 45, 25}, {15, 50, 40}, {60, 60, 40}, {70, 60, 40}, {5, 55, 50},
	} {
		if add(tt.from, tt.to); h.total() != tt.total {
			t.Errorf("with %d to %d: got %d, want %d", tt.from, tt.to, h.total(), tt.total)
		}
	}
	before := h.total()
	for i := range evtchn.Time(10 * maxHoles) {
		add(100+10*i, 105+10*i)
	}
	if got, want := h.total(), before+50*maxHoles; got != want || len(h.open) > maxHoles || len(h.longest) > maxGaps {
		t.Errorf("got %d in %d stretches, want %d in at most %d", got, len(h.open), want, maxHoles)
	}
	if g := h.longest[0]; g.at-g.from != 50 {
		t.Errorf("got the longest of %d, want 50", g.at-g.from)
	}
}
