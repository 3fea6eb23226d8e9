package tui

import (
	"testing"

	"github.com/evtrace/evtrace/evtchn"
)

// TestPortDeparture: d goes to the first departure, long before the finding with tick-sweep, and D through those of the finding's port,
// beginning where its story does.
func TestPortDeparture(t *testing.T) {
	p := open(t, "seed-port65", 80, 24)
	p.keys("D")
	if p.m.message == "" {
		t.Error("D without another policy says nothing")
	}
	start := p.m.seq
	p.keys(":", "\"policy=tick-sweep", "enter")
	f := p.m.view.finding
	theirs := make(map[evtchn.Event]bool)
	for _, ev := range p.m.other.tr.(*memory).events {
		ev.Seq, ev.Cause = 0, 0
		theirs[ev] = true
	}
	var want []evtchn.Seq
	for _, ev := range p.m.tr.(*memory).events {
		seq := ev.Seq
		ev.Seq, ev.Cause = 0, 0
		if ev.Port == f.Port && int64(ev.Time) >= *f.PendingAt && !theirs[ev] {
			want = append(want, seq)
		}
	}
	if len(want) == 0 {
		t.Fatal("port 65 departs nowhere")
	}
	p.keys("d")
	if p.m.seq != p.m.other.rerun.Departure || p.m.seq >= want[0] || p.m.seq >= start {
		t.Errorf("d leads to #%d, D to #%d: not what this is to test", p.m.seq, want[0])
	}
	for _, seq := range want[:min(len(want), 20)] {
		p.keys("D")
		p.check()
		if p.m.seq != seq {
			t.Fatalf("D leads to #%d, want #%d: %s", p.m.seq, seq, p.m.message)
		}
	}
	p.keys("g", "D")
	if p.m.seq != want[0] {
		t.Errorf("D from the beginning leads to #%d, want #%d", p.m.seq, want[0])
	}
}
