package analyze

import (
	"strings"
	"testing"
)

// Where the order of two records decides and the clock does not tell it, the finding is undecided and names both orders; unless what
// followed tells it after all.
func TestTies(t *testing.T) {
	// The unmask of observedLoss ties with the send, which was taken to come first.
	vain := strings.Replace(observedLoss, "107 2037", "106 2036 v1 task:1 up.write p65 target=v1 value=1 = ? inferred\n107 2036 v1 task:1 tie p65 target=v2 step=pend.tas event=100 = 0 inferred\n108 2037", 1)
	vain = strings.Replace(strings.Replace(vain, "106 2036 v1 task:1 up.write p65 target=v1 value=1 = ? inferred\n", "", 1), "108 2038", "109 2038", 1)
	vain = strings.Replace(strings.Replace(vain, "109 2040", "110 2040", 1), "110 2045", "111 2045", 1)
	busy := strings.Replace(vain, "upcall.exit handled=0", "upcall.exit handled=1", 1) // the upcall may have had another reason
	// In the other order: the send follows, and finds the port unmasked.
	const (
		late = `
10 1990 v0 upcall owner.write p65 target=v0
11 1995 v0 upcall owner.write p70 target=v0
20 2020 v1 task:1 mask.clear p65 = 1
21 2020 v1 task:1 pend.read p65 = 0 inferred
22 2020 v1 task:1 tie p65 target=v2 step=pend.tas event=0 = 1 inferred
23 2020 v2 xen pend.tas p65 = 0 inferred
24 2020 v2 xen mask.read p65 = 0 inferred
25 2020 v2 xen sel.tas p65 target=v0 word=w1 = ? inferred
26 2020 v2 xen return errno=0 value=0 = ? inferred
`
		picks = "60 9000 v0 upcall upcall\n61 9010 v0 upcall sel.xchg unknown=0x0 = 0x2 inferred\n62 9020 v0 upcall deliver p65\n63 9030 v0 upcall pend.clear p65 = 1\n64 9040 v0 upcall upcall.exit handled=1 = 0\n"
		looks = "40 3000 v0 upcall upcall\n41 3010 v0 upcall sel.xchg unknown=0x0 = 0x0 inferred\n42 3020 v0 upcall upcall.exit handled=0 = 0\n"
		end   = "900 10000000 - - end\n"
	)
	tests := []struct {
		name, trace string
		verdict     Verdict
		story       string
	}{
		{"unmasked in vain, and its vcpu passed it over", vain + observedNoise, VerdictLost, "It was never noticed"},
		{"unmasked in vain, if at all", busy + end, VerdictUnknown,
			"Undecided: the capture does not tell whether the send on vcpu 2 (#100) or the unmask on vcpu 1 (#107, inferred) came first. If the send came first, the port was pending, and it was unmasked in vain; if the unmask came first, the send told vcpu 0."},
		{"handled by itself", late + picks + end, VerdictClean, ""},
		{"passed over, then handled", late + looks + picks + end, VerdictUnknown,
			"vcpu 0, to which the port belongs, took an upcall after that at 0.003 ms (#40) and did not handle it.\nvcpu 0 handled it at 0.009 ms (#62), 7.00 us later."},
		{"passed over, and never handled", late + looks + end, VerdictUnknown, "It was not handled until the trace ends at 10.000 ms."},
		{"passed over, and closed", late + looks + "70 9000 v2 xen port.close p65 inferred\n" + end, VerdictUnknown,
			"If the send came first, the port was pending, and it was unmasked in vain; if the unmask came first, the send told vcpu 0.\nvcpu 0, to which"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := judged(t, observedMeta(), Options{}, tt.trace)
			if r.Verdict != tt.verdict {
				t.Errorf("got %s, want %s", r.Verdict, tt.verdict)
			}
			if b := r.Totals.Balance(); b != 0 {
				t.Errorf("the totals are out by %d: %+v", b, r.Totals)
			}
			if tt.story == "" {
				if len(r.Findings) > 0 {
					t.Errorf("got %q, want no finding", r.Findings[0].Why)
				}
				return
			}
			f := one(t, r)
			if story := strings.Join(f.Why, "\n"); !strings.Contains(story, tt.story) {
				t.Errorf("got\n%s\nwant\n%s", story, tt.story)
			}
			if f.Kind == KindUnknown && (len(f.Settle) != 1 || !strings.Contains(f.Settle[0], "x86-tsc")) {
				t.Errorf("got %q to decide it, want the clock", f.Settle)
			}
		})
	}
}
