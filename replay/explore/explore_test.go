package explore

import (
	"context"
	"testing"
	"time"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/system"
)

func TestTry(t *testing.T) {
	for _, sc := range system.BoundedBuiltins() {
		for _, pre := range evtchn.Presets() {
			sys, err := New(sc, pre.Policy)
			if err != nil {
				t.Error(err)
				continue
			}
			start := time.Now()
			r, err := Run(context.Background(), sys, Options{MaxStates: 300000})
			if err != nil {
				t.Error(err)
				continue
			}
			n := 0
			if len(r.Found) > 0 {
				n = len(r.Found[0].Choices)
			}
			t.Logf("%-18s %-24s %-9s %-20s len %2d states %8d trans %8d rest %5d depth %3d %.0f B/state %v", sc.Name, pre.Name, r.Verdict, r.Violations, n, r.States, r.Transitions, r.AtRest, r.Depth, float64(r.Bytes)/float64(r.States), time.Since(start).Round(time.Millisecond))
		}
	}
}
