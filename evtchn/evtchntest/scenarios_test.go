package evtchntest_test

import (
	"testing"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/evtchntest"
	"github.com/evtrace/evtrace/evtchn/system"
)

// tally counts the events that go through it.
type tally struct {
	src evtchn.Source
	n   int
}

func (c *tally) Next(ev *evtchn.Event) error {
	err := c.src.Next(ev)
	if err == nil {
		c.n++
	}
	return err
}

// The simulated system gives traces that the second opinion has nothing against: every built-in scenario, under every preset.
func TestScenariosAreValid(t *testing.T) {
	const ms = 1_000_000
	seeds := uint64(2)
	if testing.Short() {
		seeds = 1
	}
	for _, whole := range system.Builtins() {
		t.Run(whole.Name, func(t *testing.T) {
			t.Parallel()
			limit := evtchn.Time(150 * ms)
			if whole.Name == "mixed-load" {
				limit = 15 * ms // for volume
			}
			sc, err := whole.Override(min(whole.VCPUs, 8), 0, min(whole.Duration, limit))
			if err != nil {
				t.Fatal(err)
			}
			events := 0
			for _, preset := range evtchn.Presets() {
				for seed := uint64(1); seed <= seeds; seed++ {
					sys, err := system.New(sc, seed, preset.Policy, system.Inputs(sc, seed))
					if err != nil {
						t.Fatal(err)
					}
					src := &tally{src: sys}
					problems, err := evtchntest.Validate(sys.Meta(), src)
					if err != nil {
						t.Fatalf("%s, seed %d: %v", preset.Name, seed, err)
					}
					for i, p := range problems {
						if i == 5 {
							t.Errorf("%s, seed %d: and %d more", preset.Name, seed, len(problems)-i)
							break
						}
						t.Errorf("%s, seed %d: %s", preset.Name, seed, p)
					}
					if src.n < 100 {
						t.Errorf("%s, seed %d: %d events, want a trace", preset.Name, seed, src.n)
					}
					events += src.n
				}
			}
			t.Logf("%d events", events)
		})
	}
}
