package predict_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/recorder/ftrace"
	"github.com/evtrace/evtrace/replay/predict"
)

// memory is a trace in memory.
type memory struct {
	meta   evtchn.Meta
	events []evtchn.Event
}

func (m *memory) Meta() evtchn.Meta { return m.meta }

func (m *memory) Add(ev *evtchn.Event) error {
	m.events = append(m.events, *ev)
	return nil
}

func (m *memory) Events(from evtchn.Seq) evtchn.Source {
	return &cursor{events: m.events[from-1:]}
}

type cursor struct{ events []evtchn.Event }

func (c *cursor) Next(ev *evtchn.Event) error {
	if len(c.events) == 0 {
		return io.EOF
	}
	*ev, c.events = c.events[0], c.events[1:]
	return nil
}

// capture imports a real capture. The data lie beside the repository, or where EVTRACE_CAPTURES says; without them the test is skipped, but
// not in CI.
func capture(t testing.TB, name string) *memory {
	t.Helper()
	dir := os.Getenv("EVTRACE_CAPTURES")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "traces")
	}
	file := filepath.Join(dir, name, "trace.txt.zst")
	if _, err := os.Stat(file); err != nil {
		file = filepath.Join(dir, name, "trace.txt")
	}
	if _, err := os.Stat(file); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("the capture %s is missing: %v", name, err)
		}
		t.Skipf("the capture %s is not here: %v", name, err)
	}
	im, err := ftrace.Open(file, ftrace.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer im.Close()
	m := &memory{}
	var ev evtchn.Event
	for {
		if err := im.Next(&ev); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		_ = m.Add(&ev)
	}
	m.meta = im.FinalMeta()
	return m
}

func policy(t testing.TB, spec string) evtchn.Policy {
	t.Helper()
	p, err := evtchn.ParsePolicy(spec)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// report predicts a trace under some policies: the observed row, then one for each.
func report(t testing.TB, m *memory, opt analyze.PredictOptions, specs ...string) *analyze.PolicyReport {
	t.Helper()
	var list []evtchn.Policy
	for _, s := range specs {
		list = append(list, policy(t, s))
	}
	r, err := analyze.Predict(context.Background(), m, list, analyze.Options{}, opt)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// The four lost rounds of the capture, under the fix, are noticed as soon as the four rounds that used the hypercall were; whether
// those are among the samples or not.
func TestLostRoundsUnderTheFix(t *testing.T) {
	m := capture(t, "2l-lost-bug")
	var measured []int64
	var hold []predict.Span
	for i, ev := range m.events {
		if ev.Kind != evtchn.KindHypercall || evtchn.Hypercall(ev.Args[0]) != evtchn.HCUnmask || ev.Port != 130 || ev.Time < 57e9 {
			continue
		}
		for _, d := range m.events[i:] {
			if d.Kind == evtchn.KindDeliver && d.Port == 130 {
				measured = append(measured, int64(d.Time-ev.Time))
				hold = append(hold, predict.Span{From: ev.Seq, To: d.Seq})
				break
			}
		}
	}
	if len(measured) != 4 {
		t.Fatalf("%d rounds used the hypercall, want 4", len(measured))
	}
	for _, held := range []bool{false, true} {
		opt := analyze.PredictOptions{}
		if held {
			opt.HoldOut = hold
		}
		fix := report(t, m, opt, "unmask-hypercall").Policies[1]
		if fix.Lost != 0 || fix.Late != 0 || fix.Verdict != analyze.VerdictClean || len(fix.Episodes) != 4 {
			t.Fatalf("held out %v: %s, %d lost, %d late, %d episodes, want clean and 4 episodes", held, fix.Verdict, fix.Lost, fix.Late, len(fix.Episodes))
		}
		inside := 0
		for _, e := range fix.Episodes {
			p := e.Predicted
			t.Logf("held out %v: exposed at %d: predicted %.2f ms (%.2f to %.2f), captured %.1f ms", held, e.At, ms(p.P50), ms(p.P10), ms(p.P90), ms(e.Observed.Delay))
			if p.Fate != predict.FateNoticed || p.NoticedBy != 0 || e.Observed.RescuedByPort != 132 {
				t.Errorf("held out %v: got %+v, want it noticed by vcpu 0", held, e)
			}
		}
		row := report(t, m, opt, "unmask-hypercall")
		for _, l := range row.Latencies {
			if l.Of != "vcpu 0, kick" {
				continue
			}
			for _, d := range measured {
				if l.P10 <= d && d <= l.P90 {
					inside++
				}
			}
			t.Logf("held out %v: %s: %d samples, p10 %.2f p50 %.2f p90 %.2f ms; measured %v", held, l.Of, l.Count, float64(l.P10)/1e6, float64(l.P50)/1e6, float64(l.P90)/1e6, measured)
		}
		if inside < 3 {
			t.Errorf("held out %v: %d of the 4 measured delays lie between p10 and p90 of the prediction, want 3 or more", held, inside)
		}
	}
}

func ms(d *int64) float64 {
	if d == nil {
		return -1
	}
	return float64(*d) / 1e6
}

// Under the report's code the four lost rounds stay as they were, to the nanosecond, and the four rounds that used the hypercall are lost too:
// the next round's unmask on the port's own vcpu finds them.
func TestLostRoundsUnderTheReport(t *testing.T) {
	m := capture(t, "2l-lost-bug")
	a, err := analyze.Run(m.meta, m.Events(1), analyze.Options{})
	if err != nil {
		t.Fatal(err)
	}
	h, err := predict.NewHarvest(m.meta)
	if err != nil {
		t.Fatal(err)
	}
	for i := range m.events {
		_ = h.Add(&m.events[i])
	}
	b, err := analyze.NewAnalyzer(m.meta, analyze.Options{})
	if err != nil {
		t.Fatal(err)
	}
	foretell(t, m, policy(t, "xen-2005"), h.Samples(20), b, 0)
	type fact struct {
		port, by evtchn.Port
		delay    int64
		cause    analyze.Cause
	}
	facts := func(r *analyze.Report) (fs []fact) {
		for _, f := range r.Findings {
			fs = append(fs, fact{f.Port, f.RescuedByPort, *f.Delay, f.Cause})
		}
		return fs
	}
	was, is := facts(a), facts(b.Finish())
	if len(was) != 4 || len(is) != 8 {
		t.Fatalf("%d findings, and %d predicted, want 4 and 8", len(was), len(is))
	}
	// In time, a lost round and one that used the hypercall take turns.
	for i, f := range was {
		if diff := cmp.Diff(f, is[2*i], cmp.AllowUnexported(fact{})); diff != "" {
			t.Errorf("lost round %d (-captured +predicted):\n%s", i, diff)
		}
		if g := is[2*i+1]; g.by != 0 || g.port != 130 || g.delay < 600e6 || g.delay > 800e6 {
			t.Errorf("hypercall round %d: got %+v, want port 130 noticed by itself after about 0.7 s", i, g)
		}
	}
}

// A capture of an unmodified kernel comes out as it was under what that kernel does: event for event.
func TestUnmodifiedKernel(t *testing.T) {
	for _, name := range []string{"2l-goodkernel-sparse-tsc", "2l-small", "2l-clock-x86-tsc"} {
		m := capture(t, name)
		for _, spec := range []string{"unmask-hypercall", "linux-2013", "linux-2021", "sender-recheck"} {
			out := &memory{}
			found := foretell(t, m, policy(t, spec), noSamples(t, m), out, 0)
			if len(out.events) != len(m.events) {
				t.Fatalf("%s under %s: %d events, want %d; first departure at %v", name, spec, len(out.events), len(m.events), found.Departed)
			}
			for i := range out.events {
				if out.events[i] != m.events[i] {
					t.Fatalf("%s under %s: got %v, want %v", name, spec, out.events[i], m.events[i])
				}
			}
			if found.Reruns != 0 {
				t.Errorf("%s under %s: %d operations run again, want none", name, spec, found.Reruns)
			}
		}
	}
}

// The buggy kernel's capture under the fix has no losses, as its control has none; the control under the report's code loses as many as the
// buggy kernel did.
func TestBuggyKernelAndItsControl(t *testing.T) {
	bug, good := capture(t, "2l-bugkernel-sparse-tsc"), capture(t, "2l-goodkernel-sparse-tsc")
	r := report(t, bug, analyze.PredictOptions{Draws: 1}, "unmask-hypercall", "linux-2021")
	was := r.Policies[0]
	if was.Lost < 40 || was.Late < 100 || was.Predicted || !was.Observed {
		t.Fatalf("observed: %+v, want the losses of the capture", was)
	}
	for _, p := range r.Policies[1:] {
		if p.Lost != 0 || p.Late != 0 || p.Verdict != analyze.VerdictClean || !p.Predicted || p.Reruns == 0 || p.FirstDeparture == 0 {
			t.Errorf("the buggy kernel under %s: %s, %d lost, %d late, want clean", p.Policy, p.Verdict, p.Lost, p.Late)
		}
		if p.Costs.UnmaskHypercalls <= was.Costs.UnmaskHypercalls {
			t.Errorf("the buggy kernel under %s: %d unmask hypercalls, want more than %d", p.Policy, p.Costs.UnmaskHypercalls, was.Costs.UnmaskHypercalls)
		}
	}
	r = report(t, good, analyze.PredictOptions{Draws: 1}, "xen-2005", "tick-sweep")
	if p := r.Policies[1]; p.Lost < was.Lost*8/10 || p.Lost > was.Lost*12/10 || r.ExitCode() != 10 {
		t.Errorf("the control under xen-2005: %d lost and exit code %d, want about %d, and 10", p.Lost, r.ExitCode(), was.Lost)
	}
	if p := r.Policies[2]; p.Lost != 0 || p.Late == 0 {
		t.Errorf("the control under tick-sweep: %d lost, %d late, want none lost", p.Lost, p.Late)
	}
}

// The same seed gives the same answer, and the exit code does not count the row of what was observed.
func TestDrawsAreRepeatable(t *testing.T) {
	m := capture(t, "2l-bugkernel-small")
	a := report(t, m, analyze.PredictOptions{Seed: 7}, "unmask-hypercall", "owner-ipi-resend", "resend-from-upcall")
	b := report(t, m, analyze.PredictOptions{Seed: 7}, "unmask-hypercall", "owner-ipi-resend", "resend-from-upcall")
	if diff := cmp.Diff(a, b); diff != "" {
		t.Errorf("the same seed twice:\n%s", diff)
	}
	if a.Policies[0].Verdict != analyze.VerdictLost || a.ExitCode() != 0 {
		t.Errorf("the capture is %s, the predictions end with %d, want lost and 0", a.Policies[0].Verdict, a.ExitCode())
	}
	for _, p := range a.Policies[1:] {
		if s := p.Spread; s == nil || s.Draws != 3 || s.Verdicts[analyze.VerdictClean] != 3 || s.P99.Min > p.P99 || s.P99.Max < p.P99 || s.P50.Min == s.P50.Max && s.P90.Min == s.P90.Max {
			t.Errorf("%s: spread %+v, p99 %d, want three clean draws that differ", p.Policy, s, p.P99)
		}
	}
}

func noSamples(t testing.TB, m *memory) *predict.Samples {
	t.Helper()
	h, err := predict.NewHarvest(m.meta)
	if err != nil {
		t.Fatal(err)
	}
	return h.Samples(1)
}

// foretell gives a capture to a prediction, and that to a sink.
func foretell(t testing.TB, m *memory, p evtchn.Policy, s *predict.Samples, to evtchn.Sink, seed uint64) *predict.Outcome {
	t.Helper()
	pre, err := predict.New(m.meta, p, s, to, predict.Options{Seed: seed})
	if err != nil {
		t.Fatal(err)
	}
	for i := range m.events {
		if err := pre.Add(&m.events[i]); err != nil {
			t.Fatal(err)
		}
	}
	out, err := pre.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestRefusals(t *testing.T) {
	meta := evtchn.Meta{Source: evtchn.SourceObserved, ABI: "fifo", VCPUs: 1, WordBits: 64}
	if _, err := predict.New(meta, evtchn.Policy{}, nil, &memory{}, predict.Options{}); !errors.Is(err, predict.ErrFIFO) {
		t.Errorf("got %v, want ErrFIFO", err)
	}
	meta.ABI, meta.Source = "2l", evtchn.SourceSim
	if _, err := predict.New(meta, evtchn.Policy{}, nil, &memory{}, predict.Options{}); !errors.Is(err, predict.ErrSource) {
		t.Errorf("got %v, want ErrSource", err)
	}
}
