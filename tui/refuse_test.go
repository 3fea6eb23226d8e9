package tui

import (
	"strings"
	"testing"
)

// TestCaptureHasNoPolicies: p on a trace that cannot be run again says so in full, and the enter that would have chosen a policy does
// not take it away unread.
func TestCaptureHasNoPolicies(t *testing.T) {
	r, rep := scenario(t, "seed-port65")
	p := start(t, r, Options{Name: "dom0.evt", Report: rep}, MinWidth, MinHeight)
	const short = "p is for recordings: a capture cannot be run again"
	p.keys("p")
	p.check()
	if v := p.m.View(); !strings.Contains(v, "p works on recordings, not on captures.") || !strings.Contains(v, "so there is nothing to run.") {
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
