package analyze

import (
	"bytes"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/evtrace/evtrace/recorder/ftrace"
)

// bound300 is port 300, bound to vcpu 1 and unmasked.
const bound300 = `
10 1000 v0 task:1 owner.write p300 target=v1
11 1010 v0 task:1 mask.clear p300 = ?
`

const send300 = `
20 2000 v2 task:1 hypercall p299 call=send a=299 b=0
21 2000 v2 xen pend.tas p300 = 0 inferred
22 2000 v2 xen mask.read p300 = 0 inferred
23 2000 v2 xen return errno=0 value=0 = ? inferred
`

// Of FIFO, deliveries are told from one another, and everything that a queue would decide is undecided.
func TestFIFO(t *testing.T) {
	on := func(v string) string {
		return strings.ReplaceAll("50 5000 VV upcall upcall\n51 5010 VV upcall deliver p300\n52 5020 VV upcall pend.clear p300 = 1\n53 5030 VV upcall upcall.exit handled=1 = 0\n", "VV", v)
	}
	const (
		look = "40 3000 v1 upcall upcall\n41 3020 v1 upcall upcall.exit handled=0 = 0\n"
		end  = "900 10000000 - - end\n"
	)
	tests := []struct {
		name, trace string
		verdict     Verdict
		why         string
		latency     int64
	}{
		{"handled", bound300 + send300 + on("v1") + end, VerdictUnknown, "", 3010},
		{"handled on a vcpu that it was bound to before", strings.Replace(send300, "23 ", "24 ", 1) + strings.ReplaceAll(strings.ReplaceAll(bound300, "10 1000", "30 2500"), "11 1010", "31 2510") + on("v0") + end,
			VerdictUnknown, "", 3010},
		{"handled on another vcpu", bound300 + send300 + on("v3") + end, VerdictViolated,
			"The port had been bound to vcpu 1 before (#10).\nvcpu 3 handled it at 0.005 ms (#51) all the same.", 3010},
		{"never handled", bound300 + send300 + look + end, VerdictUnknown,
			"It was not handled until the trace ends at 10.000 ms, 10.0 ms later.\nvcpu 1, to which it is bound, took 1 upcall meanwhile, the first (#40).\nUndecided: whether it stands in a queue of its vcpu is not recorded.", 0},
		{"masked", bound300 + "12 1020 v0 task:1 mask.tas p300 = 0\n" + strings.Replace(send300, "mask.read p300 = 0", "mask.read p300 = 1", 1) + look + end, VerdictUnknown, "", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			meta := observedMeta()
			meta.ABI = "fifo"
			r := judged(t, meta, Options{}, tt.trace)
			if r.Verdict != tt.verdict || r.Latency.Max != tt.latency {
				t.Errorf("got %s, slowest %d, want %s, %d: %s", r.Verdict, r.Latency.Max, tt.verdict, tt.latency, r.Headline())
			}
			if b := r.Totals.Balance(); b != 0 {
				t.Errorf("the totals are out by %d: %+v", b, r.Totals)
			}
			if tt.why == "" {
				if len(r.Findings) > 0 {
					t.Errorf("got %q, want no finding", r.Findings[0].Why)
				}
				return
			}
			f := one(t, r)
			if story := strings.Join(f.Why, "\n"); !strings.Contains(story, tt.why) {
				t.Errorf("got\n%s\nwant\n%s", story, tt.why)
			}
			if f.Kind == KindUnknown && len(f.Settle) == 0 {
				t.Error("nothing would decide it")
			}
		})
	}
}

var twoLevelTalk = regexp.MustCompile(`(?i)\bselector|SEL\[|\bword [0-9]`)

// A capture of a FIFO system has its deliveries, by port and vcpu, and how long they took, without a word of the 2-level ABI.
func TestFIFOCapture(t *testing.T) {
	path := filepath.Join(capture(t, "fifo-small"), "trace.txt.zst")
	im, err := ftrace.Open(path, ftrace.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer im.Close()
	r, err := Run(im.Meta(), im, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var sum, timed uint64
	for _, p := range r.Ports {
		var on uint64
		for _, o := range p.VCPUs {
			on += o.Delivered
		}
		if on != p.Delivered || p.Timed > p.Delivered || p.Slowest < p.Mean {
			t.Errorf("got %+v, which does not add up", p)
		}
		sum, timed = sum+p.Delivered, timed+p.Timed
	}
	if r.Verdict != VerdictUnknown || len(r.Findings) > 0 || r.Totals.Delivered == 0 || sum != r.Totals.Delivered || timed != r.Latency.Count || timed < sum*99/100 {
		t.Errorf("got %s, %d findings, %d delivered, %d of them by port, %d and %d timed", r.Verdict, len(r.Findings), r.Totals.Delivered, sum, timed, r.Latency.Count)
	}
	if b := r.Totals.Balance(); b != 0 {
		t.Errorf("the totals are out by %d: %+v", b, r.Totals)
	}
	var b bytes.Buffer
	if err := r.WriteText(&b, TextOptions{Full: 10}); err != nil {
		t.Fatal(err)
	}
	if s := twoLevelTalk.FindString(b.String()); s != "" {
		t.Errorf("the report of a FIFO capture speaks of %q:\n%s", s, &b)
	}
}
