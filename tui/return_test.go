package tui

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/evtrace/evtrace/analyze"
)

// The point of no return is looked for once, in the background; it ends the finding's story and stands in the timeline. Without one
// nothing changes.
func TestReturn(t *testing.T) {
	r, shared := scenario(t, "seed-port65")
	for _, found := range []*analyze.NoReturn{{Seq: 12362, From: 12336, Decided: true, Tried: 7, SavedBy: "v5 user.set 65 (#12362) later"}, nil} {
		rep := *shared
		rep.Findings = append([]analyze.Finding(nil), shared.Findings...)
		asked := 0
		p := start(t, r, Options{Report: &rep, NoReturn: func(_ context.Context, f *analyze.Finding) (*analyze.NoReturn, error) {
			if asked++; f.ID != rep.Findings[0].ID {
				t.Errorf("asked about %s, want %s", f.ID, rep.Findings[0].ID)
			}
			if found == nil {
				return nil, errors.New("nothing to find")
			}
			return found, nil
		}}, 120, 60)
		p.keys("j", "k")
		p.check()
		if asked != 1 || !p.m.Idle() {
			t.Errorf("asked %d times, idle %v, want once", asked, p.m.Idle())
		}
		story := strings.Join(p.m.why.story, "\n")
		if got := strings.Contains(story, "Too late from #12362 on: none of 6 schedules"); got != (found != nil) {
			t.Errorf("story: %s", story)
		}
		if got := strings.Contains(p.m.View(), "◇"); got != (found != nil) {
			t.Errorf("mark drawn: %v\n%s", got, p.m.View())
		}
		if found != nil && p.m.why.next(12361, 1) != 12362 {
			t.Errorf("the story's links do not lead there: %v", p.m.why.links)
		}
	}
}
