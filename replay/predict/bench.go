package predict

import (
	"github.com/evtrace/evtrace/evtchn"
)

// bench is a small machine on which single operations of the capture are run under the policy. Between two of them it holds nothing
// but the IPI ports of the vcpus. What the capture does not tell is assumed: every vcpu runs, so that it is kicked and not woken.
type bench struct {
	m    *evtchn.Machine
	seq  evtchn.Seq
	used []evtchn.Port
	ipi  []evtchn.Port // by vcpu: the IPI port that the machine uses
	out  []evtchn.Event

	meta    evtchn.Meta
	policy  evtchn.Policy
	circles uint64 // operations that did not end
}

// newBench makes the machine, for a policy that has been reduced.
func newBench(meta evtchn.Meta, p evtchn.Policy) (*bench, error) {
	m, err := evtchn.NewMachine(evtchn.Meta{VCPUs: meta.VCPUs, WordBits: meta.WordBits, ABI: meta.ABI}, p, 1)
	if err != nil {
		return nil, err
	}
	b := &bench{m: m, ipi: make([]evtchn.Port, meta.VCPUs), meta: meta, policy: p}
	var ev evtchn.Event
	for v := range meta.VCPUs {
		m.BootEvent(evtchn.VCPU(v), &ev)
		b.commit(&ev)
	}
	return b, nil
}

func (b *bench) commit(ev *evtchn.Event) {
	b.seq++
	ev.Seq = b.seq
	b.m.Commit(ev)
}

// set puts a fact into the machine's state, as an event of nobody.
func (b *bench) set(kind evtchn.Kind, p evtchn.Port, v evtchn.VCPU, a1, res uint64) {
	b.commit(&evtchn.Event{Kind: kind, Port: p, VCPU: evtchn.NoVCPU, Args: [3]uint64{uint64(uint16(v)), a1}, Res: res})
}

// port takes over a port from the state.
func (b *bench) port(s *evtchn.State, p evtchn.Port, attached bool) {
	ps := s.PortAt(p)
	owner, notify := ps.Owner, ps.Notify
	if owner < 0 {
		owner = notify
	}
	if notify < 0 {
		notify = owner
	}
	owner, notify = max(owner, 0), max(notify, 0)
	if b.ipiOf(p) == evtchn.NoVCPU {
		status := ps.Status
		if status == evtchn.PortUnknown || status == evtchn.PortFree {
			status = evtchn.PortInterdomain
		}
		if status == evtchn.PortInterdomain {
			// The peer is somebody else's: the machine would otherwise look for it among its own.
			b.commit(&evtchn.Event{Kind: evtchn.KindPortBind, Port: p, VCPU: evtchn.NoVCPU, Args: [3]uint64{uint64(status), uint64(uint16(notify)), 1 << 32}})
		} else {
			b.commit(&evtchn.Event{Kind: evtchn.KindPortBind, Port: p, VCPU: evtchn.NoVCPU, Args: [3]uint64{uint64(status), uint64(uint16(notify)), ps.Peer}})
		}
		if h := b.m.PortAt(p).Handler; attached && h != evtchn.HandlerPerCPU {
			b.set(evtchn.KindIRQSet, p, 0, 0, 0)
		}
		if old := b.m.PortAt(p).Owner; old != owner {
			b.set(evtchn.KindAcceptClear, p, old, 0, 0)
		}
		b.set(evtchn.KindAcceptSet, p, owner, 0, 0)
		b.set(evtchn.KindOwnerWrite, p, owner, 0, 0)
		b.used = append(b.used, p)
	}
	if s.Masked(p) == evtchn.One {
		b.set(evtchn.KindMaskTAS, p, 0, 0, 0)
	} else {
		b.set(evtchn.KindMaskClear, p, 0, 0, 1)
	}
	if s.Pending(p) == evtchn.One {
		b.set(evtchn.KindPendTAS, p, 0, 0, 0)
	} else {
		b.set(evtchn.KindPendClear, p, 0, 0, 0)
	}
}

// vcpu takes over a vcpu's SEL bit for the words of the ports that were taken over, and its UP.
func (b *bench) vcpus(s *evtchn.State) {
	for v := range s.V {
		for _, p := range b.used {
			if s.Selected(evtchn.VCPU(v), s.Word(p)) == evtchn.One {
				b.set(evtchn.KindSelTAS, evtchn.NoPort, evtchn.VCPU(v), uint64(s.Word(p)), 0)
			}
		}
		for _, p := range b.ipi {
			if p != evtchn.NoPort && s.Selected(evtchn.VCPU(v), s.Word(p)) == evtchn.One {
				b.set(evtchn.KindSelTAS, evtchn.NoPort, evtchn.VCPU(v), uint64(s.Word(p)), 0)
			}
		}
		up := uint64(0)
		if s.V[v].Up == evtchn.One {
			up = 1
		}
		b.set(evtchn.KindUpWrite, evtchn.NoPort, evtchn.VCPU(v), up, 0)
	}
}

// ipiOf says whose IPI port, in the machine, a port is.
func (b *bench) ipiOf(p evtchn.Port) evtchn.VCPU {
	for v, q := range b.ipi {
		if q == p && p != evtchn.NoPort {
			return evtchn.VCPU(v)
		}
	}
	return evtchn.NoVCPU
}

// learnIPI makes an IPI port known to the machine, under its own number.
func (b *bench) learnIPI(v evtchn.VCPU, p evtchn.Port) {
	if b.ipi[v] != evtchn.NoPort {
		return
	}
	b.reserve(p)
	b.begin(v, evtchn.OpBindIPI, evtchn.NoPort, uint64(v), 0)
	b.out = b.out[:0]
	b.ipi[v] = p
}

// begin carries out an operation on a vcpu to its end, without the upcalls that it leads to. What it did is in out.
func (b *bench) begin(v evtchn.VCPU, op evtchn.OpCode, p evtchn.Port, a0, a1 uint64) {
	b.out = b.out[:0]
	b.m.V[v].Umask = evtchn.One
	if err := b.m.Start(v, 0, op, p, a0, a1); err != nil {
		panic("predict: internal error: " + err.Error())
	}
	b.run(b.m.VCPUCtx(v))
	b.m.V[v].Umask = evtchn.Zero
}

// raise carries out a set_pending.
func (b *bench) raise(p evtchn.Port) {
	b.out = b.out[:0]
	ctx, err := b.m.StartForeign(p)
	if err != nil {
		panic("predict: internal error: " + err.Error())
	}
	b.run(ctx)
}

// look makes a vcpu take its upcall, to its end.
func (b *bench) look(v evtchn.VCPU) {
	b.out = b.out[:0]
	var ev evtchn.Event
	b.set(evtchn.KindUpWrite, evtchn.NoPort, v, 1, 0)
	b.m.KickEvent(v, &ev)
	b.commit(&ev)
	b.run(b.m.VCPUCtx(v))
}

// maxSteps bounds one operation. An upcall can start over for ever: one that hands a port on (policy upcall=resend) to the vcpu that Xen
// tells of it, and that is itself, while the guest has bound the port to another.
const maxSteps = 1 << 16

func (b *bench) run(ctx int) {
	var ev evtchn.Event
	for range maxSteps {
		if !b.m.CanStep(ctx) || !b.m.Step(ctx, &ev) {
			return
		}
		b.seq++
		ev.Seq = b.seq
		b.m.Commit(&ev)
		b.out = append(b.out, ev)
	}
	fresh, err := newBench(b.meta, b.policy)
	if err != nil {
		panic("predict: internal error: " + err.Error())
	}
	fresh.circles = b.circles + 1
	*b = *fresh
}

// clear takes everything out of the machine again.
func (b *bench) clear() {
	for _, p := range b.used {
		b.set(evtchn.KindPortClose, p, 0, 0, 0)
		b.set(evtchn.KindMaskTAS, p, 0, 0, 0)
	}
	for _, p := range b.ipi {
		if p != evtchn.NoPort {
			b.set(evtchn.KindPendClear, p, 0, 0, 0)
		}
	}
	b.used = b.used[:0]
	for v := range b.m.V {
		b.commit(&evtchn.Event{Kind: evtchn.KindSelXchg, VCPU: evtchn.VCPU(v)})
		b.set(evtchn.KindUpWrite, evtchn.NoPort, evtchn.VCPU(v), 0, 0)
	}
}

// reserve makes p the port that the machine hands out next.
func (b *bench) reserve(p evtchn.Port) {
	for q := evtchn.Port(1); q < p; q++ {
		if ps := b.m.PortAt(q); ps.Status == evtchn.PortFree {
			ps.Status = evtchn.PortReserved
		}
	}
	if b.m.PortAt(p).Status != evtchn.PortFree {
		b.set(evtchn.KindPortClose, p, 0, 0, 0)
	}
}

// learnTimer gives the vcpu a timer, on a port that no capture has: it only carries the tick.
func (b *bench) learnTimer(v evtchn.VCPU) {
	if b.m.TimerPort(v) != evtchn.NoPort {
		return
	}
	b.reserve(evtchn.Port(b.m.Ports() - 1 - int(v)))
	b.begin(v, evtchn.OpBindVIRQ, evtchn.NoPort, evtchn.VIRQTimer, uint64(v))
}

// tick carries out the timer's handler on a vcpu; what comes after the handler is in out.
func (b *bench) tick(v evtchn.VCPU) {
	t := b.m.TimerPort(v)
	b.set(evtchn.KindPendTAS, t, 0, 0, 0)
	b.set(evtchn.KindSelTAS, t, v, uint64(b.m.Word(t)), 0)
	b.look(v)
	for i := range b.out {
		if b.out[i].Kind == evtchn.KindSweepRead {
			b.out = b.out[i:]
			return
		}
	}
	b.out = b.out[:0]
}

// bind carries out a bind of an interdomain port, which gets the number p. It returns where in out the hypercall's record of the port is
// done.
func (b *bench) bind(v evtchn.VCPU, p evtchn.Port) int {
	const dom, rport = 1, 1 // the machine needs some peer
	if r := b.m.RemoteEnd(dom, rport); r != nil {
		r.Local = evtchn.NoPort
	} else {
		b.m.AddRemote(dom, rport)
	}
	b.reserve(p)
	b.begin(v, evtchn.OpBindRemote, evtchn.NoPort, dom, rport)
	b.used = append(b.used, p)
	for i := range b.out {
		if b.out[i].Kind == evtchn.KindPortBind {
			return i + 1
		}
	}
	panic("predict: internal error: a bind without a port")
}
