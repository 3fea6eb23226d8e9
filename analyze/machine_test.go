package analyze

import (
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"github.com/evtrace/evtrace/evtchn"
)

// world runs a machine under a schedule that a random source chooses, and keeps the events.
type world struct {
	m     *evtchn.Machine
	log   []evtchn.Event
	now   evtchn.Time
	pick  func(n int) int // a number from 0 to n-1
	moves bool            // ports move between vcpus
	dev   []evtchn.Port   // ports of the device file
}

const (
	worldVCPUs = 3
	worldTasks = 3
)

func newWorld(t testing.TB, policy evtchn.Policy, pick func(int) int, moves bool) (*world, evtchn.Meta) {
	t.Helper()
	meta := simMeta()
	meta.VCPUs, meta.WordBits, meta.Policy = worldVCPUs, 8, policy.String()
	m, err := evtchn.NewMachine(meta, policy, worldTasks)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{m: m, pick: pick, moves: moves}
	for v := range evtchn.VCPU(worldVCPUs) {
		var ev evtchn.Event
		m.BootEvent(v, &ev)
		w.commit(&ev)
	}
	for v := range evtchn.VCPU(worldVCPUs) {
		w.op(v, evtchn.OpBindVIRQ, 0, 0, uint64(v))
		w.op(v, evtchn.OpBindIPI, 0, uint64(v), 0)
	}
	return w, meta
}

func (w *world) commit(ev *evtchn.Event) {
	w.now += evtchn.Time(1 + w.pick(50))
	ev.Seq, ev.Time = evtchn.Seq(len(w.log)+1), w.now
	w.m.Commit(ev)
	w.log = append(w.log, *ev)
}

func (w *world) step(ctx int) bool {
	var ev evtchn.Event
	if !w.m.CanStep(ctx) || !w.m.Step(ctx, &ev) {
		return false
	}
	w.commit(&ev)
	if ev.Kind == evtchn.KindUserSet && int16(ev.Args[0]) >= 0 {
		w.dev = append(w.dev, ev.Port)
	}
	return true
}

// op runs an operation to its end, if the vcpu is free.
func (w *world) op(v evtchn.VCPU, op evtchn.OpCode, p evtchn.Port, a, b uint64) {
	if w.start(v, op, p, a, b) {
		for range 1000 {
			if !w.step(int(v)) {
				return
			}
		}
	}
}

func (w *world) start(v evtchn.VCPU, op evtchn.OpCode, p evtchn.Port, a, b uint64) bool {
	return w.m.Idle(v) && w.m.V[v].Run == evtchn.Running && w.m.Start(v, w.pick(worldTasks), op, p, a, b) == nil
}

// turn lets something happen.
func (w *world) turn() {
	v := evtchn.VCPU(w.pick(worldVCPUs))
	switch n := w.pick(20); {
	case n < 11:
		w.step(w.pick(w.m.Contexts()))
	case n < 13:
		w.wake(v)
	case n == 13:
		var ev evtchn.Event
		if w.m.V[v].Run == evtchn.Running && w.pick(4) == 0 {
			w.m.PreemptEvent(v, 100, &ev)
			w.commit(&ev)
		}
	case n == 14:
		w.start(v, evtchn.OpBlock, 0, 0, 0)
	case n == 15:
		w.start(v, evtchn.OpIPI, w.m.IPIPort(evtchn.VCPU(w.pick(worldVCPUs))), 0, 0)
	case n == 16 && len(w.dev) < 6:
		rp := evtchn.Port(len(w.log))
		w.m.AddRemote(1, rp)
		w.start(v, evtchn.OpBindRemote, 0, 1, uint64(rp))
	case len(w.dev) == 0:
	case n == 17:
		if p := w.dev[w.pick(len(w.dev))]; w.m.PortAt(p).Status == evtchn.PortInterdomain {
			if _, err := w.m.StartForeign(p); err != nil {
				panic(err)
			}
		}
	case n == 18:
		w.writeBack(v)
	case n == 19 && !w.moves:
		if _, err := w.m.StartForeign(w.m.TimerPort(v)); err != nil {
			panic(err)
		}
	case n == 19:
		w.start(v, evtchn.OpAffinity, w.dev[w.pick(len(w.dev))], uint64(w.pick(worldVCPUs)), 0)
	}
}

// writeBack takes what is queued for some task, and later writes it back.
func (w *world) writeBack(v evtchn.VCPU) {
	if !w.m.Idle(v) || w.m.V[v].Run != evtchn.Running {
		return
	}
	for task := range worldTasks {
		if q := w.m.Queued(task); len(q) > 0 {
			p := q[0]
			if w.m.Start(v, task, evtchn.OpRead, 0, 0, 0) != nil {
				return
			}
			for range 200 {
				if !w.step(int(v)) {
					break
				}
			}
			if w.m.Idle(v) && w.m.V[v].Run == evtchn.Running {
				_ = w.m.Start(v, task, evtchn.OpWrite, p, 0, 0)
			}
			return
		}
	}
}

// wake lets kicks arrive and runnable vcpus run.
func (w *world) wake(v evtchn.VCPU) bool {
	var ev evtchn.Event
	switch vc := &w.m.V[v]; {
	case vc.Kicks > 0:
		w.m.KickEvent(v, &ev)
	case vc.Run == evtchn.Runnable:
		w.m.RunEvent(v, &ev)
	default:
		return false
	}
	w.commit(&ev)
	return true
}

// settle runs everything that is under way until nothing is. It gives up where that never comes: a vcpu that resends a port to
// itself from the upcall, on top of its own half-done rebind, goes round in circles for ever.
func (w *world) settle() {
	for range 30 {
		busy := false
		for c := range w.m.Contexts() {
			for range 200 { // a vcpu may go round in circles until another one goes on
				if !w.step(c) {
					break
				}
				busy = true
			}
		}
		for v := range evtchn.VCPU(worldVCPUs) {
			busy = w.wake(v) || busy
		}
		if !busy {
			return
		}
	}
}

// What the analyzer says at the end is what the machine's state says, whatever happened: a port that is unnoticed then is a
// lost one, and there is no other lost one except for dropped events. A policy that claims to be safe is clean while no port
// moves.
func TestMachine(t *testing.T) {
	for _, pre := range evtchn.Presets() {
		t.Run(pre.Name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(rt *rapid.T) {
				rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 1))
				moves := rapid.Bool().Draw(rt, "moves")
				w, meta := newWorld(t, pre.Policy, rng.IntN, moves)
				for range 600 {
					w.turn()
				}
				w.settle()
				r, err := Run(meta, &slice{evs: w.log}, Options{})
				if err != nil {
					rt.Fatal(err)
				}
				if b := r.Totals.Balance(); b != 0 || r.Totals.SinceBefore != 0 {
					rt.Errorf("the totals are out by %d: %+v", b, r.Totals)
				}
				lost := map[evtchn.Port]bool{}
				for i := range r.Findings {
					f := &r.Findings[i]
					if f.Kind == KindLost && f.Cause != CauseDropped {
						lost[f.Port] = true
					}
				}
				for p := range evtchn.Port(w.m.Ports()) {
					if pre.Policy.Tick == evtchn.TickSweep && w.m.Unnoticed(p) && !lost[p] {
						continue // the owner's next tick will find it
					}
					if w.m.Unnoticed(p) != lost[p] {
						rt.Errorf("port %d: unnoticed %t, lost %t", p, w.m.Unnoticed(p), lost[p])
					}
				}
				if pre.Claim == evtchn.ClaimSafe && pre.Policy.Tick == evtchn.TickNone && !moves && r.Verdict != VerdictClean {
					rt.Errorf("got %s, want clean: %+v", r.Verdict, r.Findings)
				}
			})
		})
	}
}
