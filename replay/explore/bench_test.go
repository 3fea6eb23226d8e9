package explore

import (
	"fmt"
	"testing"
)

// BenchmarkRun is the speed of a search, with reduction and without, by one worker and by two: states and transitions in a second,
// and bytes a state.
func BenchmarkRun(b *testing.B) {
	for _, c := range []struct{ scenario, policy string }{{"bind-then-unmask", "unmask-hypercall"}, {"write-back", "linux-2021"}, {"rebind-2013", "sender-recheck"}} {
		s := bounded(b, c.scenario, c.policy)
		for _, plain := range []bool{false, true} {
			for _, workers := range []int{1, 2} {
				name := "reduced"
				if plain {
					name = "unreduced"
				}
				b.Run(fmt.Sprintf("%s/%s/%s/workers=%d", c.scenario, c.policy, name, workers), func(b *testing.B) {
					var states, trans uint64
					var bytes int64
					for b.Loop() {
						r := run(b, s, Options{MaxStates: 1_000_000, NoReduction: plain, Workers: workers})
						states, trans, bytes = states+r.States, trans+r.Transitions, r.Bytes
					}
					b.ReportMetric(float64(states)/b.Elapsed().Seconds(), "states/s")
					b.ReportMetric(float64(trans)/b.Elapsed().Seconds(), "transitions/s")
					b.ReportMetric(float64(bytes)/float64(states)*float64(b.N), "bytes/state")
				})
			}
		}
	}
}
