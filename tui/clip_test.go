package tui

import (
	"fmt"
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"
)

// TestStoryKeys: the keys that the why names for the rest of the story do step through it, whichever pane has the keys.
func TestStoryKeys(t *testing.T) {
	for _, size := range [][2]int{{80, 24}, {100, 30}, {120, 40}} {
		for f := range panes {
			p := open(t, "seed-port65", size[0], size[1])
			p.m.focus = f
			_, hint, ok := strings.Cut(p.m.View(), "more below (")
			if !ok { // all of it is shown, or the pane is not
				continue
			}
			hint, _, _ = strings.Cut(hint, ")")
			was := p.m.why.current(p.m.seq)
			p.keys(strings.Fields(hint)...)
			if p.m.focus != paneWhy || p.m.why.current(p.m.seq) <= was && p.m.why.next(p.m.seq, 1) != 0 {
				t.Errorf("%dx%d, pane %d: %s leads to pane %d and sentence %d, was %d", size[0], size[1], f, hint, p.m.focus, p.m.why.current(p.m.seq)+1, was+1)
			}
		}
	}
	if p := open(t, "seed-port65", 80, 24); !strings.Contains(p.m.View(), "more below (tab tab j)") {
		t.Errorf("from the events, the keys are not said\n%s", p.m.View())
	}
}

// TestClip: what is cut has a sign, and no number is cut in two; long rows of bits are.
func TestClip(t *testing.T) {
	for _, c := range []struct {
		s           string
		w           int
		want, ascii string
	}{
		{"short", 8, "short   ", "short   "},
		{"unmasked", 8, "unmasked", "unmasked"},
		{"unmasked since #5947", 19, "unmasked since …   ", "unmasked since ... "},
		{"is about to tell a vcpu", 10, "is about …", "is abou..."},
		{"took 24.16 ms", 9, "took …   ", "took ...  "[:9]},
		{strings.Repeat("1", 30), 20, strings.Repeat("1", 19) + "…", strings.Repeat("1", 17) + "..."},
		{"cut", 0, "", ""},
	} {
		if got := clip(c.s, c.w, &unicodeGlyphs); got != c.want {
			t.Errorf("%q in %d columns: %q, want %q", c.s, c.w, got, c.want)
		}
		if got := clip(c.s, c.w, &asciiGlyphs); got != c.ascii {
			t.Errorf("%q in %d columns of ASCII: %q, want %q", c.s, c.w, got, c.ascii)
		}
	}
}

// TestCutLines: a line of the machine or of the events that has no room ends in the sign.
func TestCutLines(t *testing.T) {
	for _, w := range []int{62, 72, 80, 100} {
		wide, p := open(t, "seed-port65", 300, 40), open(t, "seed-port65", w, 40)
		for _, q := range []*program{wide, p} {
			q.m.View() // gives the panes their sizes
			q.m.machine.SetSize(q.m.w, 12)
		}
		cut := 0
		for range 20 {
			full, lines := strings.Split(wide.m.machine.View(&wide.m.view, false), "\n"), strings.Split(p.m.machine.View(&wide.m.view, false), "\n")
			for i := 1; i <= 2; i++ { // the port's record and how it stands
				a, b := strings.TrimRight(ansi.Strip(full[i]), " "), strings.TrimRight(ansi.Strip(lines[i]), " ")
				if a == b {
					continue
				}
				cut++
				if !strings.HasSuffix(b, "…") || !strings.HasPrefix(a, strings.TrimSuffix(b, "…")) || ansi.StringWidth(b) > w {
					t.Errorf("%d columns, #%d: %q of %q", w, p.m.seq, b, a)
				}
			}
			for _, r := range p.m.events.rows {
				b, all := strings.TrimRight(ansi.Strip(p.m.events.line(&p.m.view, &r)), " "), strings.TrimRight(what(&r.ev, &p.m.meta), " ")
				if !strings.HasSuffix(b, all) && !strings.HasSuffix(b, "…") && r.sign != signUnnoticed {
					t.Errorf("%d columns: %q is cut without a sign, want %q at its end", w, b, all)
				}
			}
			wide.keys("j")
			p.keys("j")
		}
		if cut == 0 && w < 80 {
			t.Error(fmt.Sprint(w, " columns: nothing was cut"))
		}
	}
}
