package tui

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/evtrace/evtrace/evtchn"
)

// TestFate: what is said of the finding's port under another policy is what the trace of that policy shows.
func TestFate(t *testing.T) {
	r, rep := scenario(t, "seed-port65")
	f := &rep.Findings[0]
	for _, policy := range []string{"unmask-hypercall", "tick-sweep", "remote-selector-ipi", "bind-vcpu-reraise"} {
		pol, err := evtchn.ParsePolicy(policy)
		if err != nil {
			t.Fatal(err)
		}
		again, err := rerunner(t, r)(context.Background(), pol, func(uint64) {})
		if err != nil {
			t.Fatal(err)
		}
		want := "lost there too"
		for _, ev := range again.Trace.(*memory).events {
			if ev.Port == f.Port && ev.Kind == evtchn.KindDeliver && int64(ev.Time) >= *f.PendingAt {
				want = fmt.Sprintf("after its exposure (#%d there)", ev.Seq)
				break
			}
		}
		p := open(t, "seed-port65", 100, 30)
		p.keys(":", "\"policy="+policy, "enter")
		p.check()
		text := p.m.fateText()
		if !strings.HasPrefix(text, fmt.Sprintf("port %d under %s: ", f.Port, policy)) || !strings.HasSuffix(text, want) {
			t.Errorf("%s: got %q, want %q", policy, text, want)
		}
		if !strings.Contains(p.m.View(), text) {
			t.Errorf("%q is not on the screen:\n%s", text, p.m.View())
		}
		t.Log(text)
	}
}
