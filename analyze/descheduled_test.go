package analyze

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/evtrace/evtrace/evtchn"
)

// A delivery that is late because its vcpu had no physical CPU is not a finding; one that would be late all the same tells how long it
// had none. Only the time between exposure and delivery counts, and only that of the vcpu that picked the port.
func TestDescheduled(t *testing.T) {
	const ms = 1_000_000
	for _, c := range []struct {
		name   string
		states string // of vcpu 0 (v0) and others, by their times in ms; the port is exposed from 10 to 40 ms
		late   bool
		off    int64 // ms
	}{
		{"no run states", "", true, 0},
		{"all the time", "5 v0 runnable, 39 v0 running", false, 29},
		{"woken late", "2 v0 blocked, 15 v0 runnable, 38 v0 running", false, 23},
		{"again and again", "12 v0 runnable, 22 v0 running, 25 v0 runnable, 38 v0 running", false, 23},
		{"not enough", "12 v0 runnable, 22 v0 running", true, 10},
		{"before and after", "1 v0 runnable, 9 v0 running, 45 v0 runnable", true, 0},
		{"another vcpu", "5 v1 runnable, 39 v1 running", true, 0},
		{"blocked", "5 v0 blocked, 39 v0 running", true, 0},
		{"records lost meanwhile", "12 v0 runnable, 14 v0 unknown, 39 v0 running", true, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			type line struct {
				at   int
				text string
			}
			lines := []line{{0, "- - port.bind p70 state=ipi notify=v0 peer=0x0"}, {0, "- - owner.write p70 target=v0"},
				{1, "v0 task:0 mask.clear p70 = 1"}, {1, "v0 task:0 pend.clear p70 = 0"},
				{10, "- foreign:0 pend.tas p70 = 0"}, {10, "- foreign:0 sel.tas p70 target=v0 word=w1 = 0"},
				{40, "v0 upcall upcall"}, {40, "v0 upcall sel.xchg unknown=0x0 = 0x2"},
				{40, "v0 upcall word.read word=w1 foreign=0x0 unknown=0x0 = 0x40"}, {40, "v0 upcall deliver p70"},
				{41, "v0 upcall pend.clear p70 = 1"}, {41, "v0 upcall handled p70"}, {42, "v0 upcall upcall.exit handled=1 = ?"}}
			for _, s := range strings.Split(c.states, ", ") {
				var at int
				var who, to string
				if n, _ := fmt.Sscan(s, &at, &who, &to); n == 3 {
					i := 0
					for i < len(lines) && lines[i].at <= at {
						i++
					}
					lines = append(lines[:i], append([]line{{at, "- - sched.state target=" + who + " from=unknown to=" + to + " = 1"}}, lines[i:]...)...)
				}
			}
			var b strings.Builder
			for i, l := range lines {
				fmt.Fprintf(&b, "%d %d %s\n", i+1, l.at*ms, l.text)
			}
			r := judged(t, observedMeta(), Options{LateAfter: 10 * ms}, b.String())
			if late := r.Totals.Late > 0; late != c.late || r.Latency.Excused > 0 == c.late {
				t.Errorf("got %d late, %d excused, want late %v", r.Totals.Late, r.Latency.Excused, c.late)
			}
			if r.Latency.MaxDescheduled != c.off*ms {
				t.Errorf("got descheduled for %d ns of the slowest delivery, want %d ms", r.Latency.MaxDescheduled, c.off)
			}
			var text bytes.Buffer
			if err := r.WriteText(&text, TextOptions{}); err != nil {
				t.Fatal(err)
			}
			if says := strings.Contains(text.String(), "descheduled"); says != (c.off > 0) {
				t.Errorf("says descheduled: %v\n%s", says, &text)
			}
			own := strings.Contains(c.states, "v0 ")
			if says := strings.Contains(strings.Join(strings.Fields(text.String()), " "), "Whether it ran, slept or waited"); says != (c.late && !own) {
				t.Errorf("says that its states are not known: %v\n%s", says, &text)
			}
			if c.late && c.off > 0 && !strings.Contains(strings.Join(one(t, r).Why, " "), fmt.Sprintf("It was descheduled for %d.", c.off)) {
				t.Errorf("the why does not say it: %q", one(t, r).Why)
			}
		})
	}
}

// within agrees with adding up tick by tick, as long as what is asked about is kept.
func TestWaits(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var w waits
		var off [400]bool
		state := evtchn.Running
		for at := range off {
			if rnd.IntN(8) == 0 {
				state = []evtchn.RunState{evtchn.Running, evtchn.Runnable, evtchn.Blocked, evtchn.RunUnknown}[rnd.IntN(4)]
				w.note(state, evtchn.Time(at))
			}
			off[at] = state == evtchn.Runnable
		}
		kept := 0
		if w.n > len(w.last) {
			kept = int(w.last[w.n%len(w.last)].from)
		}
		from := kept + rnd.IntN(len(off)-kept)
		to := from + rnd.IntN(len(off)-from)
		var want evtchn.Time
		for _, o := range off[from:to] {
			if o {
				want++
			}
		}
		if got := w.within(evtchn.Time(from), evtchn.Time(to)); got != want {
			t.Fatalf("%d to %d: got %d, want %d", from, to, got, want)
		}
	}
}
