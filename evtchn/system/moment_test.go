package system

import (
	"testing"

	"github.com/evtrace/evtrace/evtchn"
)

// A hold that names a moment's turns comes right before the moment's event, and the event comes after the release.
func TestWatch(t *testing.T) {
	sc, err := Builtin("ack-window")
	if err != nil {
		t.Fatal(err)
	}
	if sc, err = sc.Override(0, 0, 12_000_000); err != nil {
		t.Fatal(err)
	}
	var in []evtchn.Event
	var moments []Moment
	run := func(inputs []evtchn.Event) []evtchn.Event {
		s, err := New(sc, 1, evtchn.Policy{}, &listed{inputs})
		if err != nil {
			t.Fatal(err)
		}
		moments = nil
		s.Watch(func(m Moment) { moments = append(moments, m) })
		return drain(t, s)
	}
	src := Inputs(sc, 1)
	var ev evtchn.Event
	for src.Next(&ev) == nil {
		in = append(in, ev)
	}
	was := run(in)
	seen := append([]Moment(nil), moments...)
	tried := 0
	for n := 40; n < len(seen)-40; n += 17 {
		m := seen[n]
		if m.Turn != evtchn.TurnVCPU || m.Next != seen[n+1].Next-1 {
			continue // it has no event of its own
		}
		tried++
		turn := [3]uint64{uint64(m.Turn), uint64(m.Which), m.Turns}
		var edited []evtchn.Event
		for i := range in {
			if in[i].Time > m.At && (i == 0 || in[i-1].Time <= m.At) {
				edited = append(edited, evtchn.Event{Kind: evtchn.KindHold, VCPU: evtchn.NoVCPU, Time: m.At, Args: turn},
					evtchn.Event{Kind: evtchn.KindRelease, VCPU: evtchn.NoVCPU, Time: m.At + 7, Args: [3]uint64{turn[0], turn[1]}})
			}
			edited = append(edited, in[i])
		}
		got := run(edited)
		i := int(m.Next) - 1
		if got[i].Kind != evtchn.KindHold || got[i-1] != was[i-1] {
			t.Fatalf("moment %+v: got %v then %v, want %v then a hold", m, got[i-1], got[i], was[i-1])
		}
		for i < len(got) && got[i].Kind != evtchn.KindRelease {
			if got[i].VCPU == evtchn.VCPU(m.Which) && got[i].Ctx != evtchn.CtxNone {
				t.Errorf("moment %+v: got %v while it was held", m, got[i])
			}
			i++
		}
	}
	if tried < 5 {
		t.Errorf("got %d moments, want more", tried)
	}
}
