package tui

import (
	"os"
	"regexp"
	"strings"
	"testing"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/evtrace/evtrace/evtchn"
)

// TestCaptureHasNoPolicies: p on a trace that cannot be run again says so in full, and the enter that would have chosen a policy does
// not take it away unread.
func TestCaptureHasNoPolicies(t *testing.T) {
	r, rep := scenario(t, "seed-port65")
	p := start(t, r, Options{Name: "dom0.evt", Report: rep}, MinWidth, MinHeight)
	const short = "p is for recordings: a capture cannot be run again"
	p.keys("p")
	p.check()
	if v := p.m.View(); !strings.Contains(v, "p works on recordings, not on captures.") || !strings.Contains(v, "so there is nothing to run.") ||
		!strings.Contains(v, "evtrace replay --policy all dom0.evt") {
		t.Errorf("p does not say why it cannot:\n%s", v)
	}
	p.keys("enter")
	p.check()
	if v := p.m.View(); !strings.Contains(v, short) {
		t.Errorf("after enter the refusal is gone:\n%s", v)
	}
	p.keys(":", "\"policy=xen-2005", "enter")
	if v := p.m.View(); !p.m.bad || !strings.Contains(v, p.m.message) {
		t.Errorf("the refusal %q is cut:\n%s", p.m.message, v)
	}
}

var composed = regexp.MustCompile("policy=(unmask=[a-z0-9=,]+)")

// TestComposedPolicies: the compositions that the program and its manual propose are policies, and a long refusal of one that is none is
// shown in full.
func TestComposedPolicies(t *testing.T) {
	p := open(t, "clean", MinWidth, MinHeight)
	manual, err := os.ReadFile("../docs/tui.md")
	if err != nil {
		t.Fatal(err)
	}
	p.keys("p")
	for name, text := range map[string]string{"p": p.m.View(), "docs/tui.md": string(manual)} {
		list := composed.FindAllStringSubmatch(text, -1)
		if len(list) == 0 {
			t.Errorf("%s proposes no composition", name)
		}
		for _, c := range list {
			if _, err := evtchn.ParsePolicy(c[1]); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	_, want := evtchn.ParsePolicy("unmask=hypercall,rebind=2021")
	p.keys("esc", ":", "\"policy=unmask=hypercall,rebind=2021", "enter")
	p.check()
	if got := strings.Join(strings.Fields(p.m.View()), " "); want == nil || !strings.Contains(got, want.Error()) {
		t.Errorf("%v is cut:\n%s", want, p.m.View())
	}
}

// TestStatusLine: what has no room in the status line is left out as a whole, from the least important on.
func TestStatusLine(t *testing.T) {
	p := open(t, "seed-port65", MinWidth, MinHeight)
	p.keys("p", "enter", "b", "enter", "f", "\"port=65 && vcpu!=0 && kind!=mask.read", "enter", "j")
	for w := MinWidth; w <= 240; w++ {
		p.send(tea.WindowSizeMsg{Width: w, Height: MinHeight})
		p.check()
		lines := strings.Split(p.m.View(), "\n")
		last := strings.TrimSpace(lines[len(lines)-1])
		rest := last
		for _, part := range append(p.m.policyParts(), p.m.findingText(), "filter: not beside a policy", "1 breakpoint") {
			rest = strings.Replace(rest, part, "", 1)
		}
		if strings.Trim(rest, " ,") != "" || !strings.HasPrefix(last, p.m.policyParts()[0]) || !strings.Contains(last, p.m.findingText()) {
			t.Fatalf("%d columns: %q, of which %q is no whole part", w, last, rest)
		}
	}
	if !strings.Contains(p.m.View(), "filter: not beside a policy") {
		t.Errorf("nothing says that the filter does not work here:\n%s", p.m.View())
	}
	if p.keys(":", "\"policy=none", "enter"); !strings.Contains(p.m.View(), "filter port=65") {
		t.Errorf("alone again, the filter is not named:\n%s", p.m.View())
	}
}
