package evtchn_test

import (
	"testing"

	. "github.com/evtrace/evtrace/evtchn"
	"pgregory.net/rapid"
)

// At rest, when no procedure, kick or wakening is under way, the invariants about records hold under every policy, and those
// about vcpus (I8, I9) wherever no policy plays with SEL and UP of other vcpus. Nothing is unnoticed (I10) under the policies
// that claim to be safe, while no port moves; the sweep is one that mends it a tick later.
func TestInvariantsAtRest(t *testing.T) {
	eachPolicy(t, func(t *rapid.T, policy string) {
		preset, _ := FindPreset(policy)
		s := newScheduled(t, policy, rapid.SampledFrom([]int{4, 8}).Draw(t, "wordbits"))
		s.single = true
		s.random(t, rapid.IntRange(10, 300).Draw(t, "n"))
		if !s.settle(2000) {
			t.Fatalf("no rest after 2000 rounds")
		}
		if !s.resting() {
			t.Fatalf("settled, but not at rest")
		}
		remote := preset.Policy.Unmask >= UnmaskRemoteUp
		safe := preset.Claim == ClaimSafe && preset.Policy.Tick != TickSweep
		for _, v := range s.m.Check() {
			switch v.Invariant {
			case InvAwake, InvSelected:
				if remote {
					continue
				}
			case InvNoticed:
				if !safe {
					continue
				}
			}
			t.Errorf("%s\n%s", v, s.m.Describe())
		}
	})
}

// A policy that is known to lose events loses one in some of many schedules: what holds in the test above is not for want of
// a chance.
func TestUnsafePoliciesLose(t *testing.T) {
	for _, policy := range []string{"xen-2005", "remote-selector-ipi", "pending-ignores-mask", "bind-vcpu-reraise"} {
		lost := 0
		rapid.Check(t, func(t *rapid.T) {
			s := newScheduled(t, policy, 4)
			s.random(t, 150)
			s.settle(2000)
			for _, p := range s.m.ExposedPorts() {
				if s.m.Unnoticed(p) {
					lost++
				}
			}
		})
		if lost == 0 {
			t.Errorf("%s: nothing lost", policy)
		}
	}
}
