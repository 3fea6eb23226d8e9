package store

import (
	"math/rand/v2"

	"github.com/evtrace/evtrace/evtchn"
)

// noise makes events whose every field is random, though nothing that a machine of that many vcpus would choke on.
func noise(n, vcpus int) []evtchn.Event {
	rng := rand.New(rand.NewPCG(5, 5))
	evs := make([]evtchn.Event, n)
	for i := range evs {
		evs[i] = evtchn.Event{Seq: evtchn.Seq(i + 1), Time: evtchn.Time(rng.Int64()), Kind: evtchn.KindOp, Res: rng.Uint64(),
			Args: [3]uint64{uint64(rng.IntN(20)), rng.Uint64(), rng.Uint64()}, Port: evtchn.Port(rng.IntN(4096)),
			VCPU: evtchn.VCPU(rng.IntN(vcpus)), Ctx: evtchn.TaskCtx(rng.IntN(99)), Cause: evtchn.Seq(rng.Uint64())}
	}
	return evs
}
