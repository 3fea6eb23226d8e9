package evtchn

import (
	"fmt"
	"strings"
	"testing"
)

// bench drives a machine by hand.
type rig struct {
	t   *testing.T
	m   *Machine
	seq Seq
	log []Event
}

func newRig(t *testing.T, policy string, vcpus int) *rig {
	t.Helper()
	p, err := ParsePolicy(policy)
	if err != nil {
		t.Fatal(err)
	}
	m, err := NewMachine(Meta{VCPUs: vcpus, WordBits: 64, ABI: "2l"}, p, 4)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, m: m}
	for v := range vcpus {
		var ev Event
		m.BootEvent(VCPU(v), &ev)
		r.commit(&ev)
	}
	return r
}

func (r *rig) commit(ev *Event) {
	r.seq++
	ev.Seq, ev.Time = r.seq, Time(r.seq*10)
	r.m.Commit(ev)
	r.log = append(r.log, *ev)
}

func (r *rig) step(ctx int) bool {
	var ev Event
	if !r.m.CanStep(ctx) || !r.m.Step(ctx, &ev) {
		return false
	}
	r.commit(&ev)
	return true
}

func (r *rig) run(ctx int) {
	for range 1000 {
		if !r.step(ctx) {
			return
		}
	}
	r.t.Fatal("no end after 1000 steps")
}

func (r *rig) op(v VCPU, task int, op OpCode, p Port, a, b uint64) {
	r.t.Helper()
	if err := r.m.Start(v, task, op, p, a, b); err != nil {
		r.t.Fatal(err)
	}
	r.run(int(v))
}

func (r *rig) send(p Port) {
	r.t.Helper()
	c, err := r.m.StartForeign(p)
	if err != nil {
		r.t.Fatal(err)
	}
	r.run(c)
}

func (r *rig) kinds(from int) string {
	var b strings.Builder
	for _, e := range r.log[from:] {
		fmt.Fprintf(&b, "%s %d %v=%d\n", e.Kind, e.Port, e.Args, e.Res)
	}
	return b.String()
}

// fill takes the ports below the wanted one.
func (r *rig) fill(upto Port) {
	for p := Port(1); p < upto; p++ {
		r.op(0, 0, OpAllocUnbound, 0, 7, 0)
	}
}

// The report: design, section 11. Port 65 is bound and unmasked on vcpu 3, and belongs to vcpu 0.
func TestReport(t *testing.T) {
	r := newRig(t, "xen-2005", 4)
	r.fill(65)
	r.m.AddRemote(1, 12)
	from := len(r.log)
	r.op(3, 1, OpBindRemote, 0, 1, 12)
	var got []string
	for _, e := range r.log[from:] {
		got = append(got, e.Kind.String())
	}
	want := "hypercall port.bind pend.tas mask.read return user.set mask.clear pend.read sel.tas up.write up.write sel.xchg word.read upcall.exit op.done"
	if g := strings.Join(got, " "); g != want {
		t.Fatalf("steps:\ngot  %s\nwant %s\n%s", g, want, r.kinds(from))
	}
	if !r.m.Unnoticed(65) {
		t.Fatal("port 65 is noticed, want unnoticed")
	}
	ps := r.m.PortAt(65)
	if e := r.log[ps.UnnoticedSeq-1]; e.Kind != KindWordRead || e.VCPU != 3 {
		t.Fatalf("unnoticed at %v, want word.read on vcpu 3", e)
	}
	r.send(65)
	if ps.Swallowed != 1 || !r.m.Unnoticed(65) {
		t.Fatalf("swallowed %d, unnoticed %t; want 1, true", ps.Swallowed, r.m.Unnoticed(65))
	}
}

func TestUnmaskHypercallTellsTheOwner(t *testing.T) {
	for _, policy := range []string{"unmask-hypercall", "unmask-hypercall-always", "linux-2013", "linux-2021", "sender-recheck"} {
		r := newRig(t, policy, 4)
		r.fill(65)
		r.m.AddRemote(1, 12)
		r.op(3, 1, OpBindRemote, 0, 1, 12)
		if r.m.Unnoticed(65) || r.m.V[0].Kicks != 1 {
			t.Fatalf("%s: unnoticed %t, kicks %d\n%s", policy, r.m.Unnoticed(65), r.m.V[0].Kicks, r.kinds(0))
		}
		var ev Event
		r.m.KickEvent(0, &ev)
		r.commit(&ev)
		r.run(0)
		if q := r.m.Queued(1); len(q) != 1 || q[0] != 65 {
			t.Fatalf("%s: queued %v, want [65]\n%s", policy, q, r.kinds(len(r.log)-20))
		}
		if got := r.m.Pending(65); got != Zero {
			t.Fatalf("%s: pending %s, want 0", policy, got)
		}
	}
}

// Applying a machine's events to a fresh state gives the machine's state.
func TestEventsSayEverything(t *testing.T) {
	for i := range presets {
		r := newRig(t, presets[i].Name, 3)
		for v := range 3 {
			r.op(VCPU(v), 0, OpBindVIRQ, 0, VIRQTimer, uint64(v))
			r.op(VCPU(v), 0, OpBindIPI, 0, uint64(v), 0)
		}
		r.fill(65)
		r.m.AddRemote(1, 12)
		r.op(2, 1, OpBindRemote, 0, 1, 12)
		for v := range 3 {
			r.op(VCPU(v), 3, OpIPI, r.m.IPIPort(VCPU((v+1)%3)), 0, 0)
			r.send(r.m.TimerPort(VCPU(v)))
			r.op(VCPU(v), 3, OpBlock, 0, 0, 0)
		}
		for range 10 {
			for v := range VCPU(3) {
				var ev Event
				switch {
				case r.m.V[v].Kicks > 0:
					r.m.KickEvent(v, &ev)
				case r.m.V[v].Run == Runnable:
					r.m.RunEvent(v, &ev)
				default:
					continue
				}
				r.commit(&ev)
				r.run(int(v))
				if r.m.Idle(v) && len(r.m.Queued(1)) > 0 {
					p := r.m.Queued(1)[0]
					r.op(v, 1, OpRead, 0, 0, 0)
					r.op(v, 1, OpAffinity, p, uint64((v+1)%3), 0)
					r.send(p)
					r.op(v, 1, OpWrite, p, 0, 0)
				}
			}
		}
		s, err := NewState(Meta{VCPUs: 3, WordBits: 64, ABI: "2l", Source: SourceSim, Policy: presets[i].Name})
		if err != nil {
			t.Fatal(err)
		}
		for j := range r.log {
			s.Apply(&r.log[j])
		}
		if !s.Equal(&r.m.State) {
			t.Errorf("%s: the events give another state than the machine's", presets[i].Name)
		}
		b, _ := s.AppendBinary(nil)
		var back State
		if err := back.UnmarshalBinary(b); err != nil || !back.Equal(s) {
			t.Errorf("%s: snapshot does not read back: %v", presets[i].Name, err)
		}
	}
}

func TestSpecTableIsComplete(t *testing.T) {
	seen := map[string]Kind{}
	for _, k := range Kinds() {
		sp := k.Spec()
		if sp.Name == "" || sp.Doc == "" {
			t.Errorf("kind %d has no name or no description", k)
		}
		if o, dup := seen[sp.Name]; dup {
			t.Errorf("kinds %d and %d are both called %s", o, k, sp.Name)
		}
		seen[sp.Name] = k
		if sp.target && (len(sp.Args) == 0 || sp.Args[0].Type != ArgVCPU) {
			t.Errorf("%s: target is not the first argument", sp.Name)
		}
		if len(sp.Args) > 3 {
			t.Errorf("%s: %d arguments, want at most 3", sp.Name, len(sp.Args))
		}
		if got, ok := ParseKind(sp.Name); !ok || got != k {
			t.Errorf("ParseKind(%q) = %v, %t", sp.Name, got, ok)
		}
	}
}
