package evtchn_test

import (
	"fmt"
	"io"
	"strings"

	. "github.com/evtrace/evtrace/evtchn"
)

// driver is the caller that the package comment asks for: it numbers events, and lets a test choose whose turn it is.
type driver struct {
	m    *Machine
	meta Meta
	log  []Event
	idle int // the task that idles
}

func newDriver(policy string, vcpus, wordBits, tasks int) (*driver, error) {
	p, err := ParsePolicy(policy)
	if err != nil {
		return nil, err
	}
	meta := Meta{Format: FormatVersion, Source: SourceSim, ABI: "2l", VCPUs: vcpus, WordBits: wordBits, Clock: "virtual", Unit: "ns",
		NsPerTick: 1, Policy: p.String(), Complete: true}
	for t := range tasks {
		meta.Tasks = append(meta.Tasks, fmt.Sprintf("t%d", t))
	}
	m, err := NewMachine(meta, p, tasks)
	if err != nil {
		return nil, err
	}
	return &driver{m: m, meta: meta, idle: tasks - 1}, nil
}

func (d *driver) boot(v VCPU) {
	var ev Event
	d.m.BootEvent(v, &ev)
	ev.Flags |= FlagInput
	d.commit(&ev)
}

func (d *driver) commit(ev *Event) {
	ev.Seq = Seq(len(d.log) + 1)
	ev.Time = Time(10 * ev.Seq)
	d.m.Commit(ev)
	d.log = append(d.log, *ev)
}

// step lets a context do one step, and says whether it had one to do.
func (d *driver) step(ctx int) bool {
	var ev Event
	if !d.m.CanStep(ctx) || !d.m.Step(ctx, &ev) {
		return false
	}
	d.commit(&ev)
	return true
}

// start begins an operation. That of the idle loop begins with its look at the run queue, which goes with its first step.
func (d *driver) start(v VCPU, task int, op OpCode, p Port, a, b uint64) error {
	if err := d.m.Start(v, task, op, p, a, b); err != nil {
		return err
	}
	if op == OpBlock {
		d.step(d.m.VCPUCtx(v))
	}
	return nil
}

func (d *driver) kick(v VCPU) {
	var ev Event
	d.m.KickEvent(v, &ev)
	d.commit(&ev)
}

func (d *driver) schedRun(v VCPU) {
	var ev Event
	d.m.RunEvent(v, &ev)
	d.commit(&ev)
}

func (d *driver) preempt(v VCPU) {
	var ev Event
	d.m.PreemptEvent(v, 1000, &ev)
	ev.Flags |= FlagInput
	d.commit(&ev)
}

// settle gives everybody a turn until nobody has anything to do, and says whether that came about: kicks arrive, woken vcpus
// run, procedures end.
func (d *driver) settle(limit int) bool {
	for range limit {
		busy := false
		for c := range d.m.Contexts() {
			busy = d.step(c) || busy
		}
		for v := range d.m.V {
			if vc := &d.m.V[v]; vc.Kicks > 0 {
				d.kick(VCPU(v))
				busy = true
			} else if vc.Run == Runnable {
				d.schedRun(VCPU(v))
				busy = true
			}
		}
		if !busy {
			return true
		}
	}
	return false
}

// resting reports whether no context is in the middle of anything, and no kick and no vcpu is under way.
func (d *driver) resting() bool {
	for c := range d.m.Contexts() {
		if d.m.CanStep(c) {
			return false
		}
	}
	for v := range d.m.V {
		if vc := &d.m.V[v]; vc.Kicks > 0 || vc.Run == Runnable || vc.InXen && vc.Run == Running {
			return false
		}
	}
	return true
}

func (d *driver) source() Source { return &events{d.log} }

// events is a slice as a Source.
type events struct{ left []Event }

func (s *events) Next(ev *Event) error {
	if len(s.left) == 0 {
		return io.EOF
	}
	*ev, s.left = s.left[0], s.left[1:]
	return nil
}

// line is the event with its arguments by name, as scripts show it.
func line(ev *Event) string {
	var b strings.Builder
	who := "-"
	if ev.VCPU != NoVCPU {
		who = fmt.Sprintf("v%d", ev.VCPU)
	}
	fmt.Fprintf(&b, "#%-4d %-3s %-9s %-14s", ev.Seq, who, ev.Ctx, ev.Kind)
	if ev.Port != NoPort {
		fmt.Fprintf(&b, " port %d", ev.Port)
	}
	spec := ev.Kind.Spec()
	for i, a := range spec.Args {
		if v := value(a.Type, ev.Args[i]); v != "" {
			fmt.Fprintf(&b, " %s=%s", a.Name, v)
		}
	}
	if spec.Res.Type != ArgNone {
		fmt.Fprintf(&b, " -> %s=%s", spec.Res.Name, value(spec.Res.Type, ev.Res))
	}
	return strings.TrimRight(b.String(), " ")
}

func value(t ArgType, v uint64) string {
	switch t {
	case ArgVCPU:
		return fmt.Sprint(int16(v))
	case ArgBits:
		return fmt.Sprintf("%#x", v)
	case ArgInt:
		return ErrnoName(int64(v))
	}
	if names := t.Names(); names != nil && v < uint64(len(names)) {
		return names[v]
	}
	return fmt.Sprint(v)
}
