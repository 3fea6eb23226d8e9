package analyze

import (
	"context"
	"testing"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/system"
	"github.com/evtrace/evtrace/replay"
)

// watchRun runs inputs and judges what follows.
func watchRun(t *testing.T, in *replay.Inputs, inputs []evtchn.Event) (*Watch, *Report) {
	t.Helper()
	w, err := NewWatch(in.Meta(evtchn.Policy{}))
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Run(context.Background(), inputs, evtchn.Policy{}, w); err != nil {
		t.Fatal(err)
	}
	return w, w.Finish()
}

// A finding is found again in a run in which its port has another number, because it is bound to the same end; and not if its vcpu never
// came up, or if the number counts.
func TestKeep(t *testing.T) {
	sc, err := system.Builtin("seed-port65")
	if err != nil {
		t.Fatal(err)
	}
	s, err := system.New(sc, 1, evtchn.Policy{}, system.Inputs(sc, 1))
	if err != nil {
		t.Fatal(err)
	}
	tr := &held{meta: s.Meta()}
	var ev evtchn.Event
	for s.Next(&ev) == nil {
		tr.events = append(tr.events, ev)
	}
	in, err := replay.ReadInputs(context.Background(), tr)
	if err != nil {
		t.Fatal(err)
	}
	w, r := watchRun(t, in, in.Events)
	keep := w.Keep(&r.Findings[0])
	want := Keep{Kind: KindLost, Cause: CauseMaskedElsewhere, Port: 65, Up: true,
		End: End{Status: evtchn.PortInterdomain, Peer: 1<<32 | 12, VCPU: evtchn.NoVCPU}}
	if keep != want {
		t.Errorf("got %+v, want %+v", keep, want)
	}
	if f := w.Find(r, &keep); f == nil || f.ID != "lost:65#1" || w.Switches == 0 || w.Events != uint64(len(tr.events)) {
		t.Errorf("in its own run: %+v, %d switches, %d events", f, w.Switches, w.Events)
	}
	// Where hardly anything else is bound it has a lower number; without vcpu 0 nobody could have noticed it.
	var fewer, alone []evtchn.Event
	for _, ev := range in.Events {
		code := evtchn.OpCode(ev.Args[0])
		if ev.Kind != evtchn.KindStart && ev.Kind != evtchn.KindEnd && (ev.Kind != evtchn.KindOp || code != evtchn.OpBindRemote && code != evtchn.OpBindVIRQ) {
			continue
		}
		fewer = append(fewer, ev)
		if ev.Kind != evtchn.KindStart || ev.Target() != 0 {
			alone = append(alone, ev)
		}
	}
	w, r = watchRun(t, in, fewer)
	f := w.Find(r, &keep)
	if f == nil {
		t.Fatalf("with few ports: not found among %d", len(r.Findings))
	}
	if f.Port >= 65 || w.End(f) != keep.End {
		t.Errorf("got port %d bound to %+v, want a lower one bound to the same end", f.Port, w.End(f))
	}
	number := keep
	number.Number = true
	if f := w.Find(r, &number); f != nil {
		t.Errorf("got %s, want none with the number 65", f.ID)
	}
	w, r = watchRun(t, in, alone)
	if f := w.Find(r, &keep); f != nil {
		t.Errorf("got %s of a vcpu that is not up", f.ID)
	}
}

// held is a trace in memory.
type held struct {
	meta   evtchn.Meta
	events []evtchn.Event
}

func (h *held) Meta() evtchn.Meta { return h.meta }

func (h *held) Events(from evtchn.Seq) evtchn.Source { return &slice{evs: h.events[from-1:]} }
