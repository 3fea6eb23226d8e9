package tui

import (
	"testing"

	"github.com/evtrace/evtrace/evtchn"
)

// TestBreakpointsEach: with two breakpoints r stops wherever either becomes true, also while the other one holds.
func TestBreakpointsEach(t *testing.T) {
	p := open(t, "seed-port65", 80, 24)
	r := p.m.tr.(*memory)
	st, err := evtchn.NewState(r.meta)
	if err != nil {
		t.Fatal(err)
	}
	var want []evtchn.Seq
	hidden := 0 // stops at which the other one held already
	was := [2]bool{}
	for i := range r.events {
		st.Apply(&r.events[i])
		is := [2]bool{st.Pending(65) == evtchn.One, st.Masked(65) == evtchn.Zero}
		if i > 0 && (is[0] && !was[0] || is[1] && !was[1]) {
			want = append(want, evtchn.Seq(i+1))
			if was[0] || was[1] {
				hidden++
			}
		}
		was = is
	}
	if hidden == 0 {
		t.Fatalf("no stop of %d is at a time when the other condition holds", len(want))
	}
	p.keys("g", "b", "ctrl+u", "\"PEND[65]", "enter", "b", "\"!MASK[65]", "enter")
	for _, seq := range want {
		if p.keys("r"); p.m.seq != seq {
			t.Fatalf("at #%d, want #%d: %s", p.m.seq, seq, p.m.message)
		}
	}
	if p.keys("r"); p.m.seq != want[len(want)-1] {
		t.Errorf("past the last: at #%d", p.m.seq)
	}
}

// TestDraft: what was refused is there again when its prompt is opened anew, and gone once it was mended.
func TestDraft(t *testing.T) {
	for key, tt := range map[string]struct{ bad, mend string }{
		"f": {"port=65 && (", "kind=mask.*"}, "/": {"port==(", "mask"}, "b": {"PEND[65", "]"},
	} {
		p := open(t, "seed-port65", 80, 24)
		p.keys(key, "ctrl+u", "\""+tt.bad, "enter")
		if !p.m.bad {
			t.Fatalf("%s %s is taken", key, tt.bad)
		}
		p.keys("j", key)
		if got := p.m.input.String(); got != tt.bad {
			t.Errorf("%s opens with %q, want %q", key, got, tt.bad)
		}
		if key == "b" {
			p.keys("\""+tt.mend, "enter")
		} else {
			p.keys("ctrl+u", "\""+tt.mend, "enter")
		}
		if p.keys(key); p.m.bad || p.m.input.String() == tt.bad {
			t.Errorf("%s: mended, it opens with %q: %s", key, p.m.input.String(), p.m.message)
		}
	}
}
