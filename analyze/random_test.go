package analyze

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/evtrace/evtrace/evtchn"
)

// drawEvent draws any event: most of them make no sense, some are of vcpus, ports and kinds that the trace does not have.
func drawEvent(t *rapid.T, seq evtchn.Seq, now evtchn.Time) evtchn.Event {
	ev := evtchn.Event{Seq: seq, Time: now,
		Kind:  evtchn.Kind(rapid.IntRange(0, len(evtchn.Kinds())+2).Draw(t, "kind")),
		VCPU:  evtchn.VCPU(rapid.IntRange(-2, 4).Draw(t, "vcpu")),
		Port:  evtchn.Port(rapid.SampledFrom([]int{0, 1, 2, 3, 8, 9, 10, 63, 64, 5000}).Draw(t, "port")),
		Ctx:   rapid.SampledFrom([]evtchn.Context{0, evtchn.CtxXen, evtchn.CtxUpcall, evtchn.TaskCtx(1), evtchn.TaskCtx(99), evtchn.ForeignCtx(0), evtchn.ForeignCtx(7)}).Draw(t, "ctx"),
		Flags: evtchn.Flags(rapid.IntRange(0, 7).Draw(t, "flags")),
	}
	value := rapid.OneOf(rapid.Uint64Range(0, 3), rapid.SampledFrom([]uint64{0xffff, 0xff, 1 << 40, ^uint64(0)}))
	for i := range ev.Args {
		ev.Args[i] = value.Draw(t, "arg")
	}
	ev.Res = value.Draw(t, "res")
	return ev
}

// Whatever the events are, they are judged without a panic; the verdict says clean if and only if there is no finding and no doubt;
// every episode ended in one way; and all forms of the report can be written.
func TestAnyEvents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		meta := simMeta()
		meta.WordBits = rapid.SampledFrom([]int{2, 8, 64}).Draw(t, "word bits")
		if rapid.Bool().Draw(t, "observed") {
			meta.Source = evtchn.SourceObserved
		}
		if rapid.Bool().Draw(t, "ticks") {
			meta.Unit, meta.NsPerTick = "ticks", rapid.SampledFrom([]float64{0, 1, 0.385, 2}).Draw(t, "ns per tick")
		}
		meta.Policy = rapid.SampledFrom(evtchn.Presets()).Draw(t, "policy").Name
		a, err := NewAnalyzer(meta, Options{LateAfter: evtchn.Time(rapid.IntRange(0, 3).Draw(t, "late after")), MaxFindings: rapid.IntRange(0, 2).Draw(t, "max")})
		if err != nil {
			t.Fatal(err)
		}
		var now evtchn.Time
		var seq evtchn.Seq
		for range rapid.IntRange(0, 150).Draw(t, "events") {
			seq += evtchn.Seq(rapid.IntRange(1, 3).Draw(t, "step"))
			now += evtchn.Time(rapid.IntRange(-1, 5).Draw(t, "ns"))
			ev := drawEvent(t, seq, now)
			if err := a.Add(&ev); err != nil {
				t.Fatal(err)
			}
		}
		checkReport(t, a.Finish())
	})
}

func checkReport(t *rapid.T, r *Report) {
	tot := &r.Totals
	all := tot.Lost + tot.Late + tot.Duplicate + tot.Concurrent + tot.WrongVCPU + tot.Unknown
	if got := uint64(len(r.Findings)) + r.Omitted; got != all {
		t.Fatalf("%d findings and %d omitted, want %d together", len(r.Findings), r.Omitted, all)
	}
	// Without a finding a trace is clean, unless records are missing from it or its ABI is not judged.
	clean := all == 0 && r.Verdict == VerdictClean
	undecided := all == 0 && r.Verdict == VerdictUnknown && len(r.Doubts) > 0
	if b := tot.Balance(); b != 0 {
		t.Fatalf("the totals are out by %d: %+v", b, tot)
	}
	if clean && len(r.Doubts) > 0 || len(r.Doubts) == 0 && r.Trace.Gaps > 0 {
		t.Fatalf("verdict %s with %d gaps and the doubts %q", r.Verdict, r.Trace.Gaps, r.Doubts)
	}
	var grouped uint64
	for _, g := range r.Groups {
		grouped += g.Count
	}
	if grouped != all {
		t.Fatalf("%d findings in groups, want %d", grouped, all)
	}
	if !clean && !undecided && (all == 0 || r.Verdict == VerdictClean) || (r.ExitCode() == 0) != clean {
		t.Fatalf("verdict %s, exit code %d, with %d findings", r.Verdict, r.ExitCode(), all)
	}
	ids := map[string]bool{}
	for i := range r.Findings {
		f := &r.Findings[i]
		if ids[f.ID] {
			t.Fatalf("two findings are called %s", f.ID)
		}
		ids[f.ID] = true
		if len(f.Why) == 0 || len(f.Evidence) == 0 && f.PendingAt != nil {
			t.Fatalf("%s: no story or no evidence: %+v", f.ID, f)
		}
		for _, s := range f.Why {
			if strings.Contains(s, "%!") || !strings.HasSuffix(s, ".") {
				t.Fatalf("%s: sentence %q", f.ID, s)
			}
		}
	}
	if _, err := json.Marshal(r); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := r.WriteText(&b, TextOptions{Full: 3}); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(b.String()) {
		if n := len(strings.TrimSuffix(line, "\n")); n > 100 {
			t.Fatalf("a line of %d columns: %s", n, line)
		}
	}
}

func TestErrors(t *testing.T) {
	a, err := NewAnalyzer(simMeta(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		seq evtchn.Seq
		err error
	}{{0, ErrOrder}, {5, nil}, {5, ErrOrder}, {4, ErrOrder}} {
		if err := a.Add(&evtchn.Event{Seq: tt.seq, Kind: evtchn.KindEnd, VCPU: evtchn.NoVCPU}); !errors.Is(err, tt.err) {
			t.Errorf("number %d: got %v, want %v", tt.seq, err, tt.err)
		}
	}
	if a.events != 1 {
		t.Errorf("got %d events taken, want 1", a.events)
	}
	if _, err := NewAnalyzer(evtchn.Meta{}, Options{}); !errors.Is(err, evtchn.ErrConfig) {
		t.Errorf("empty meta: got %v, want ErrConfig", err)
	}
	for _, opt := range []Options{{LateAfter: -1}, {MaxFindings: -1}} {
		if _, err := NewAnalyzer(simMeta(), opt); err == nil {
			t.Errorf("%+v: got no error", opt)
		}
	}
	broken := errors.New("broken")
	if _, err := Run(simMeta(), failing{broken}, Options{}); !errors.Is(err, broken) {
		t.Errorf("got %v, want the source's error", err)
	}
	if r, err := Run(simMeta(), failing{io.EOF}, Options{}); err != nil || r.Verdict != VerdictUnknown || r.Trace.Events != 0 {
		t.Errorf("an empty trace: got %v, %v", r, err)
	}
}

type failing struct{ err error }

func (f failing) Next(*evtchn.Event) error { return f.err }

// A report holds at most so many findings of each kind, and one of each further port; it counts the others.
func TestMaxFindings(t *testing.T) {
	closed := "\n+ t+10 v3 xen port.close p65\n"
	again := func(n int) string {
		s := shift(t, report2005, n)
		return strings.ReplaceAll(s, "p65", "p66")
	}
	lines := report2005 + closed + shift(t, report2005, 1000) + closed + again(2000)
	r := judged(t, simMeta(), Options{MaxFindings: 1}, lines)
	if len(r.Findings) != 2 || r.Omitted != 1 || r.Totals.Lost != 3 || r.Findings[0].Port != 65 || r.Findings[1].Port != 66 {
		t.Errorf("got %d findings, %d omitted, %d lost, want 2, 1, 3", len(r.Findings), r.Omitted, r.Totals.Lost)
	}
	want := []Group{{KindLost, CauseMaskedElsewhere, 65, 2}, {KindLost, CauseMaskedElsewhere, 66, 1}}
	if d := cmp.Diff(want, r.Groups); d != "" {
		t.Errorf("groups: -want +got\n%s", d)
	}
	if got, want := r.Headline(), "lost: 3 of 3 events lost (ports 65, 66)."; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Times of a tick clock are converted; without a frequency they stay ticks.
func TestClock(t *testing.T) {
	meta := simMeta()
	meta.Unit, meta.NsPerTick = "ticks", 0.5
	r := judged(t, meta, Options{}, report2005)
	if f := one(t, r); *f.ExposedAt != 602550 || r.Trace.Unit != "ns" || r.Trace.NsPerTick != 0.5 {
		t.Errorf("half nanoseconds: exposed at %d, unit %s, %g ns per tick; want 602550, ns, 0.5", *f.ExposedAt, r.Trace.Unit, r.Trace.NsPerTick)
	}
	meta.NsPerTick = 1
	r = judged(t, meta, Options{}, report2005)
	if f := one(t, r); *f.ExposedAt != 1205100 || r.Trace.Unit != "ticks" || !strings.Contains(f.Why[0], "at 1,204,380 ticks (#103)") {
		t.Errorf("unknown ticks: exposed at %d, unit %s, story %q", *f.ExposedAt, r.Trace.Unit, f.Why[0])
	}
}

// The keys of the JSON form are a contract.
func TestJSON(t *testing.T) {
	r := judged(t, simMeta(), Options{}, report2005+sends)
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]json.RawMessage
	keys := func(b []byte, want ...string) {
		t.Helper()
		m = nil
		if err := json.Unmarshal(b, &m); err != nil {
			t.Fatal(err)
		}
		for _, k := range want {
			if _, ok := m[k]; !ok {
				t.Errorf("no key %q in %s", k, b)
			}
		}
	}
	keys(b, "trace", "verdict", "findings", "latency", "counts", "costs")
	top := m
	keys(top["trace"], "events", "vcpus", "abi", "source", "complete", "gaps", "clock", "unit", "ns_per_tick")
	keys(top["latency"], "p50", "p90", "p99", "max", "count")
	keys(top["costs"], "hypercalls", "unmask_hypercalls", "ipis", "wakeups", "upcalls", "spurious_upcalls", "foreign_skipped", "swallowed_sends")
	keys(top["counts"], "pend.tas", "sel.tas")
	var fs []json.RawMessage
	if err := json.Unmarshal(top["findings"], &fs); err != nil || len(fs) != 1 {
		t.Fatalf("findings %s: %v", top["findings"], err)
	}
	keys(fs[0], "id", "kind", "port", "word", "owner_vcpu", "pending_at", "exposed_at", "unnoticed_at", "unnoticed_seq", "unnoticed_vcpu",
		"noticed_at", "delay", "rescued_by_port", "cause", "swallowed_sends", "evidence", "why", "exposures")
	if got := string(m["noticed_at"]); got != "null" {
		t.Errorf("noticed_at of a lost event: got %s, want null", got)
	}
}
