package evtchn_test

import (
	"testing"

	. "github.com/evtrace/evtrace/evtchn"
)

// busy is a machine of 16 vcpus with a port each, and a function that lets n events happen: sends, kicks, upcalls, handlers.
func busy(b *testing.B, policy string) (run func(each func(ev *Event)) int, meta Meta) {
	d, err := newDriver(policy, 16, 64, 2)
	if err != nil {
		b.Fatal(err)
	}
	for v := range VCPU(16) {
		d.boot(v)
		if err := d.start(v, 0, OpBindVIRQ, 0, VIRQTimer, uint64(v)); err != nil {
			b.Fatal(err)
		}
		d.settle(100)
	}
	m, seq, v := d.m, Seq(len(d.log)), 0
	var ev Event
	return func(each func(ev *Event)) int {
		n := 0
		commit := func() {
			seq++
			ev.Seq, ev.Time = seq, Time(seq)
			m.Commit(&ev)
			if each != nil {
				each(&ev)
			}
			n++
		}
		v = (v + 1) % 16
		ctx, err := m.StartForeign(m.TimerPort(VCPU(v)))
		if err != nil {
			b.Fatal(err)
		}
		for m.Step(ctx, &ev) {
			commit()
		}
		for m.V[v].Kicks > 0 {
			m.KickEvent(VCPU(v), &ev)
			commit()
		}
		for m.Step(v, &ev) {
			commit()
		}
		return n
	}, d.meta
}

// BenchmarkStep is Step and Commit.
func BenchmarkStep(b *testing.B) {
	for _, policy := range []string{"xen-2005", "linux-2021"} {
		b.Run(policy, func(b *testing.B) {
			run, _ := busy(b, policy)
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				n += run(nil)
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// BenchmarkApply is Apply alone, as a reader of a trace does it.
func BenchmarkApply(b *testing.B) {
	run, meta := busy(b, "xen-2005")
	var log []Event
	for range 1000 {
		run(func(ev *Event) { log = append(log, *ev) })
	}
	s, err := NewState(meta)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		for i := range log {
			s.Apply(&log[i])
		}
		n += len(log)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
}

func BenchmarkSnapshot(b *testing.B) {
	run, meta := busy(b, "xen-2005")
	s, err := NewState(meta)
	if err != nil {
		b.Fatal(err)
	}
	for range 100 {
		run(func(ev *Event) { s.Apply(ev) })
	}
	b.ReportAllocs()
	var snap []byte
	for b.Loop() {
		snap, _ = s.AppendBinary(snap[:0])
		var back State
		if err := back.UnmarshalBinary(snap); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(snap)), "bytes")
}
