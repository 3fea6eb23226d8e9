package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/system"
	"github.com/evtrace/evtrace/replay"
)

// plantLoss records mixed-load, with a loss planted in it: at 200 ms one more device model starts, after enough ports were allocated for
// its own to be the first of word 1, where nobody else rings.
func plantLoss(t *testing.T, file string) {
	t.Helper()
	ctx := context.Background()
	base, err := system.Builtin("mixed-load")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(base.Text, "duration: 1s", "duration: 360ms", 1)
	text = strings.Replace(text, "hot:\n", "  - {kind: hvm, count: 1, vcpus: 1, start: 200ms..200ms, think: 80us..300us, serve: 10us..40us, on_vcpu: other, pinned: true}\n\nhot:\n", 1)
	sc, err := system.Parse("planted", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	s, err := system.New(sc, 1, evtchn.Policy{}, system.Inputs(sc, 1))
	if err != nil {
		t.Fatal(err)
	}
	whole := &heldTrace{meta: s.Meta(), events: drainSource(t, s)}
	whole.meta.Complete = true
	in, err := replay.ReadInputs(ctx, whole)
	if err != nil {
		t.Fatal(err)
	}
	var free evtchn.Port
	kernel := evtchn.CtxNone
	for i := range whole.events {
		if ev := &whole.events[i]; ev.Kind == evtchn.KindPortBind && ev.Time < 199_000_000 {
			free = max(free, ev.Port+1)
		}
		if ev := &whole.events[i]; kernel == evtchn.CtxNone && ev.Kind == evtchn.KindOp && ev.VCPU == 0 {
			kernel = ev.Ctx
		}
	}
	var inputs []evtchn.Event
	for i := range in.Events {
		if at := in.Events[i].Time; at > 199_000_000 {
			for ; free < 64; free++ {
				inputs = append(inputs, evtchn.Event{Time: 199_000_000, Kind: evtchn.KindOp, Ctx: kernel, Args: [3]uint64{uint64(evtchn.OpAllocUnbound)}, Flags: evtchn.FlagInput})
			}
		}
		inputs = append(inputs, in.Events[i])
	}
	planted := &inMemory{}
	if err := in.Run(ctx, inputs, evtchn.Policy{}, planted); err != nil {
		t.Fatal(err)
	}
	a := &app{out: t.Output(), err: t.Output()}
	if err := a.writeHeld(ctx, in.Meta(evtchn.Policy{}), planted.events, file, false); err != nil {
		t.Fatal(err)
	}
}

func drainSource(t *testing.T, src evtchn.Source) []evtchn.Event {
	t.Helper()
	out := &inMemory{}
	var ev evtchn.Event
	for src.Next(&ev) == nil {
		_ = out.Add(&ev)
	}
	return out.events
}

// A planted loss among a million events of mixed load comes down to a few inputs, within a minute, with the same verdict.
func TestMinimizeMixedLoad(t *testing.T) {
	if testing.Short() || raceDetector {
		t.Skip("a million events")
	}
	dir := t.TempDir()
	file, small, fixture := filepath.Join(dir, "mixed.evt"), filepath.Join(dir, "small.evt"), filepath.Join(dir, "fixture")
	plantLoss(t, file)
	began := time.Now()
	var r minimizeReport
	if err := json.Unmarshal([]byte(must(t, 10, "minimize", file, "-o", small, "--fixture", fixture, "--json")), &r); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	t.Logf("%d inputs of %d, %d events of %d, %d attempts, %v; %v", r.Result.Inputs, r.Whole.Inputs, r.Result.Events, r.Whole.Events, r.Runs, took, r.Inputs)
	if r.Whole.Events < 1_000_000 || r.Whole.Verdict != "lost" || r.Result.Verdict != "lost" || r.Result.Inputs > 12 || took > time.Minute || !r.Exact {
		t.Errorf("got %+v of %+v in %v, want at most 12 inputs of a million events, lost as before, within a minute", r.Result, r.Whole, took)
	}
	if r.Finding == nil || r.Finding.Cause != "masked-then-unmasked-elsewhere" || r.Stays == nil || !*r.Stays {
		t.Errorf("got %+v, want the planted loss", r.Finding)
	}
	must(t, 10, "analyze", small)
	must(t, 0, "replay", small)
	must(t, 0, "check", small)
	must(t, 0, "verify", fixture)
}

// A trace that its own inputs do not lead to says nothing about parts of them.
func TestMinimizeDiverged(t *testing.T) {
	dir := t.TempDir()
	file, edited := filepath.Join(dir, "a.evt"), filepath.Join(dir, "edited.txt")
	must(t, 0, "record", "-q", "--scenario", "seed-port65", "-o", file)
	whole := must(t, 0, "export", file)
	text := strings.Replace(whole, " mask.clear p65 = 1\n", " mask.clear p65 = 0\n", 1)
	if text == whole {
		t.Fatal("nothing to edit")
	}
	if err := os.WriteFile(edited, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	r := evtrace(t, "minimize", edited)
	if r.code != codeDiverged || !strings.Contains(r.err, "replay diverged at event 12363") || !strings.Contains(r.err, "hint: its inputs do not lead to it") {
		t.Errorf("exit code %d, want %d\n%s%s", r.code, codeDiverged, r.out, r.err)
	}
}

// A signal ends the search, and what there is by then is written.
func TestMinimizeInterrupted(t *testing.T) {
	dir := t.TempDir()
	file, part := filepath.Join(dir, "a.evt"), filepath.Join(dir, "part.evt")
	must(t, 0, "record", "-q", "--scenario", "seed-rescued", "-o", file)
	ctx, cancel := context.WithCancel(context.Background())
	var out interrupting
	out.after, out.cancel = "verdict", cancel // the whole has been told, and the search begins
	a := &app{in: strings.NewReader(""), out: &out, err: t.Output()}
	root := newRoot(a)
	root.SetArgs([]string{"minimize", file, "-o", part})
	if code := a.finish(root.ExecuteContext(ctx)); code != codeUndecided {
		t.Errorf("exit code %d, want %d\n%s", code, codeUndecided, out.b.String())
	}
	if !strings.Contains(out.b.String(), "Not minimal") {
		t.Errorf("it does not say that it was interrupted:\n%s", out.b.String())
	}
	must(t, 0, "replay", part)
	must(t, 11, "analyze", part)
}

// interrupting cancels when something has been written.
type interrupting struct {
	b      bytes.Buffer
	after  string
	cancel func()
}

func (w *interrupting) Write(p []byte) (int, error) {
	n, err := w.b.Write(p)
	if strings.Contains(w.b.String(), w.after) {
		w.cancel()
	}
	return n, err
}
