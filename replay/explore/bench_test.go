package explore

import "testing"

// BenchmarkRun is the speed of a search: states and transitions in a second, bytes a state.
func BenchmarkRun(b *testing.B) {
	for _, c := range []struct{ scenario, policy string }{{"bind-then-unmask", "unmask-hypercall"}, {"write-back", "linux-2021"}} {
		b.Run(c.scenario+"/"+c.policy, func(b *testing.B) {
			s := bounded(b, c.scenario, c.policy)
			var states, trans uint64
			var bytes int64
			for b.Loop() {
				r := run(b, s, Options{MaxStates: 400_000, NoReduction: true})
				states, trans, bytes = states+r.States, trans+r.Transitions, r.Bytes
			}
			b.ReportMetric(float64(states)/b.Elapsed().Seconds(), "states/s")
			b.ReportMetric(float64(trans)/b.Elapsed().Seconds(), "transitions/s")
			b.ReportMetric(float64(bytes)/float64(states)*float64(b.N), "bytes/state")
		})
	}
}
