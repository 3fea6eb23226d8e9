package tui

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/charmbracelet/x/exp/golden"

	"github.com/evtrace/evtrace/analyze"
)

// asker asks about findings of a trace in memory, and counts.
func asker(r *memory, n *int) func(context.Context, *analyze.Finding, func(uint64)) (*analyze.Answer, error) {
	return func(ctx context.Context, f *analyze.Finding, progress func(uint64)) (*analyze.Answer, error) {
		*n++
		return analyze.ButFor(ctx, r, f, analyze.ButForOptions{Progress: progress})
	}
}

// The why pane ends with what would have changed the verdict, which was asked in the background, once.
func TestButFor(t *testing.T) {
	r, rep := scenario(t, "seed-port65")
	asked := 0
	p := start(t, r, Options{Name: "a.evt", Report: rep, ButFor: asker(r, &asked)}, 100, 40)
	p.check()
	story := p.m.why.story[p.m.why.told:]
	if asked != 1 || len(story) < 3 || strings.Contains(p.m.View(), "But for") {
		t.Fatalf("asked %d times, %q:\n%s", asked, story, p.m.View())
	}
	// The cursor follows the story as before, and never comes to what would have been.
	at := p.m.seq
	for range 20 {
		p.keys("j")
		p.check()
		if cur := p.m.why.current(p.m.seq); cur >= p.m.why.told {
			t.Errorf("at #%d the current sentence is %q", p.m.seq, p.m.why.story[cur])
		}
	}
	for range 20 {
		p.keys("k")
	}
	// After the story's last event, j in the pane shows the rest.
	p.keys("tab", "tab", "j")
	p.check()
	if p.m.seq != at || asked != 1 || !strings.Contains(p.m.View(), "But for: had word 1 had another port") {
		t.Errorf("at #%d, want #%d; asked %d times", p.m.seq, at, asked)
	}
	golden.RequireEqual(t, screen(p.m.View()))
	p.keys("k") // back in the story
	p.check()
	if strings.Contains(p.m.View(), "But for: had word 1") {
		t.Errorf("the story is not at its last event:\n%s", p.m.View())
	}
}

// Without an answer the finding's story stands alone.
func TestButForFails(t *testing.T) {
	r, rep := scenario(t, "seed-port65")
	p := start(t, r, Options{Name: "a.evt", Report: rep, ButFor: func(context.Context, *analyze.Finding, func(uint64)) (*analyze.Answer, error) {
		return nil, errors.New("it cannot be asked")
	}}, 100, 40)
	p.check()
	if len(p.m.why.story) != p.m.why.told || strings.Contains(p.m.View(), "But for") {
		t.Errorf("got %q", p.m.why.story)
	}
}
