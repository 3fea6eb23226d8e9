package store

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/evtrace/evtrace/evtchn"
)

// simMeta is the meta of the traces that the tests make.
func simMeta(vcpus int) evtchn.Meta {
	return evtchn.Meta{Format: evtchn.FormatVersion, Source: evtchn.SourceSim, ABI: "2l", VCPUs: vcpus, WordBits: 64, Clock: "virtual",
		Unit: "ns", NsPerTick: 1, Policy: "xen-2005", Seed: 7, Tasks: []string{"qemu", "xenstored"}}
}

// traffic makes a stream like that of a system of vcpus under load: domains send, Xen marks ports pending and kicks, upcalls look at
// words and start handlers, tasks read their ports, serve, unmask and notify. Costs of steps vary a little, what happens when is random.
func traffic(n, vcpus int, seed uint64) []evtchn.Event {
	rng := rand.New(rand.NewPCG(seed, 1))
	evs := make([]evtchn.Event, 0, n+1000)
	busy := make([]int64, vcpus)
	var now int64
	type add = func(k evtchn.Kind, v int, ctx evtchn.Context, p evtchn.Port, res uint64, flags evtchn.Flags, args ...uint64)
	for i := 0; len(evs) < n; i++ {
		now += int64(rng.ExpFloat64() * 40000 / float64(vcpus))
		port := evtchn.Port(1 + rng.IntN(40*vcpus)%1000)
		owner := int(port) % vcpus
		word, bit := uint64(port/64), uint64(1)<<(port%64)
		t := max(now, busy[owner])
		step := func(d int64) { t += d + int64(rng.IntN(8)) }
		at := func(k evtchn.Kind, v int, ctx evtchn.Context, p evtchn.Port, res uint64, flags evtchn.Flags, args ...uint64) {
			e := evtchn.Event{Kind: k, VCPU: evtchn.VCPU(v), Ctx: ctx, Port: p, Res: res, Flags: flags, Time: evtchn.Time(t)}
			copy(e.Args[:], args)
			evs = append(evs, e)
		}
		var put add = at
		up := evtchn.CtxUpcall
		put(evtchn.KindSend, -1, 0, port, 0, evtchn.FlagInput, uint64(1+int(port)%7))
		f := evtchn.ForeignCtx(int(port) % 7)
		step(90)
		put(evtchn.KindNotifyRead, -1, f, port, uint64(owner), 0, 3)
		step(30)
		put(evtchn.KindPendTAS, -1, f, port, 0, 0)
		step(20)
		put(evtchn.KindMaskRead, -1, f, port, 0, 0)
		step(20)
		put(evtchn.KindSelTAS, -1, f, port, 0, 0, uint64(owner), word)
		step(20)
		put(evtchn.KindUpTAS, -1, f, port, 0, 0, uint64(owner))
		step(20)
		put(evtchn.KindRunRead, -1, f, port, 1, 0, uint64(owner))
		step(20)
		put(evtchn.KindIPI, -1, f, port, 0, 0, uint64(owner))
		step(700)
		put(evtchn.KindKick, owner, evtchn.CtxXen, 0, 1, evtchn.FlagInput, uint64(owner))
		step(300)
		put(evtchn.KindUpWrite, owner, up, 0, 0, 0, uint64(owner), 0)
		step(20)
		put(evtchn.KindSelXchg, owner, up, 0, 1<<word, 0)
		step(20)
		put(evtchn.KindWordRead, owner, up, 0, bit, 0, word)
		step(20)
		put(evtchn.KindMaskTAS, owner, up, port, 0, 0)
		step(20)
		put(evtchn.KindPendClear, owner, up, port, 1, 0)
		step(100)
		put(evtchn.KindDeliver, owner, up, port, 0, 0)
		step(100)
		put(evtchn.KindRingPush, owner, up, port, 0, 0, uint64(port%2))
		step(100)
		put(evtchn.KindWake, owner, up, port, 0, 0, uint64(owner), uint64(port%2))
		step(50)
		put(evtchn.KindHandled, owner, up, port, 0, 0)
		step(50)
		put(evtchn.KindWordRead, owner, up, 0, 0, 0, word)
		step(50)
		put(evtchn.KindUpcallExit, owner, up, 0, 0, 0, 1)
		task := evtchn.TaskCtx(int(port) % 2)
		step(3000)
		put(evtchn.KindOp, owner, task, port, 0, evtchn.FlagInput, uint64(evtchn.OpRead))
		step(500)
		put(evtchn.KindRingPop, owner, task, port, 0, 0, uint64(port%2))
		step(200)
		put(evtchn.KindOpDone, owner, task, port, 0, 0, uint64(evtchn.OpRead), 0, 1)
		step(1000 + int64(rng.IntN(5000)))
		put(evtchn.KindOp, owner, task, port, 0, evtchn.FlagInput, uint64(evtchn.OpWrite))
		step(100)
		put(evtchn.KindMaskClear, owner, task, port, 1, 0)
		step(20)
		put(evtchn.KindPendRead, owner, task, port, 0, 0)
		step(20)
		put(evtchn.KindOpDone, owner, task, port, 0, 0, uint64(evtchn.OpWrite))
		busy[owner] = t
	}
	slices.SortStableFunc(evs, func(a, b evtchn.Event) int { return cmp.Compare(a.Time, b.Time) })
	evs = evs[:n]
	ipi := make([]evtchn.Seq, vcpus)
	for i := range evs {
		e := &evs[i]
		e.Seq = evtchn.Seq(i + 1)
		switch e.Kind {
		case evtchn.KindIPI:
			ipi[e.Args[0]] = e.Seq
		case evtchn.KindKick:
			e.Cause = ipi[e.VCPU]
		}
	}
	return evs
}

// anyEvent draws an event that uses the whole range of every field.
func anyEvent(seq evtchn.Seq) *rapid.Generator[evtchn.Event] {
	return rapid.Custom(func(t *rapid.T) evtchn.Event {
		u := func(name string) uint64 {
			if rapid.Bool().Draw(t, name+" small") {
				return rapid.Uint64Range(0, 3).Draw(t, name)
			}
			return rapid.Uint64().Draw(t, name)
		}
		return evtchn.Event{Seq: seq, Time: evtchn.Time(rapid.Int64().Draw(t, "time")), Args: [3]uint64{u("a"), u("b"), u("c")}, Res: u("res"),
			Cause: evtchn.Seq(u("cause")), Port: evtchn.Port(rapid.Uint32().Draw(t, "port")), VCPU: evtchn.VCPU(rapid.Int16().Draw(t, "vcpu")),
			Dom: evtchn.DomID(rapid.Uint16().Draw(t, "dom")), Ctx: evtchn.Context(rapid.Uint16().Draw(t, "ctx")),
			Kind:  rapid.SampledFrom(evtchn.Kinds()).Draw(t, "kind"),
			Flags: evtchn.Flags(rapid.Byte().Draw(t, "flags"))}
	})
}

// write makes a trace of the events and returns its path.
func write(t testing.TB, path string, evs []evtchn.Event, meta evtchn.Meta, opt Options) {
	t.Helper()
	w, err := Create(path, meta, opt)
	if err != nil {
		t.Fatal(err)
	}
	for i := range evs {
		if err := w.Add(&evs[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// mustOpen opens a trace and checks it completely when the test is over.
func mustOpen(t testing.TB, path string) *File {
	t.Helper()
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		f.Close()
		rep, err := Check(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range rep.Problems {
			t.Errorf("check: %v", p)
		}
	})
	return f
}
