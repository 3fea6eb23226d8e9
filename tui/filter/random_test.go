package filter

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/expr-lang/expr"
	"pgregory.net/rapid"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/tui/filter/filtertest"
)

func randomEvent(t *rapid.T) evtchn.Event {
	return evtchn.Event{Seq: evtchn.Seq(rapid.IntRange(0, 5).Draw(t, "seq")), Time: evtchn.Time(rapid.IntRange(-2, 5).Draw(t, "time")),
		VCPU: evtchn.VCPU(rapid.IntRange(-1, 4).Draw(t, "vcpu")), Port: evtchn.Port(rapid.IntRange(0, 5).Draw(t, "port")),
		Kind: evtchn.Kind(rapid.IntRange(0, 80).Draw(t, "kind")), Res: uint64(rapid.IntRange(0, 3).Draw(t, "res")),
		Cause: evtchn.Seq(rapid.IntRange(0, 3).Draw(t, "cause")), Flags: evtchn.Flags(rapid.IntRange(0, 7).Draw(t, "flags")),
		Ctx:  rapid.SampledFrom([]evtchn.Context{0, evtchn.CtxXen, evtchn.CtxUpcall, evtchn.TaskCtx(0), evtchn.TaskCtx(1), evtchn.TaskCtx(2), evtchn.ForeignCtx(1)}).Draw(t, "ctx"),
		Args: [3]uint64{uint64(rapid.IntRange(0, 4).Draw(t, "arg"))}}
}

// expression is about small numbers, as those of randomEvent.
func expression(t *rapid.T, depth int) string {
	return filtertest.Expression(t, depth, func(t *rapid.T) int64 { return rapid.Int64Range(-1, 5).Draw(t, "number") })
}

// What is evaluated here gives what the expression language gives by itself, with an environment made for this test; and what a scan may
// skip would not match.
func TestAgainstLanguage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		src := expression(t, 4)
		if rapid.IntRange(0, 3).Draw(t, "conjunction") > 0 {
			src = expression(t, 1) + " && " + expression(t, 1) + " && " + src
		}
		f, err := Compile(src)
		if err != nil {
			t.Fatalf("%s: %v", src, err)
		}
		f = f.Bind(evtchn.Meta{WordBits: 2, Tasks: []string{"idle", "qemu"}})
		ports, anyPort := f.Ports()
		kinds, anyKind := f.Kinds()
		vcpus, anyVCPU := f.VCPUs()
		from, until, anySeq := f.Seqs()
		early, late, anyTime := f.Times()
		program, err := expr.Compile(src, expr.Env(plainEnv(&evtchn.Event{})), expr.Optimize(false))
		if err != nil {
			t.Fatalf("%s: %v", src, err)
		}
		for range 8 {
			ev := randomEvent(t)
			out, err := expr.Run(program, plainEnv(&ev))
			if err != nil {
				t.Fatalf("%s: %v", src, err)
			}
			got := f.Match(&ev)
			if got != out.(bool) {
				t.Fatalf("%s of %v %+v: got %t, want %v", src, plainEnv(&ev), ev, got, out)
			}
			if got && anyPort && !contains(ports, ev.Port) {
				t.Fatalf("%s matches port %d, which is not in %v", src, ev.Port, ports)
			}
			if got && anyKind && !contains(kinds, ev.Kind) {
				t.Fatalf("%s matches %s, which is not in %v", src, ev.Kind, kinds)
			}
			if got && anyVCPU && !contains(vcpus, ev.VCPU) {
				t.Fatalf("%s matches vcpu %d, which is not in %v", src, ev.VCPU, vcpus)
			}
			if got && anySeq && (ev.Seq < from || ev.Seq > until) {
				t.Fatalf("%s matches event %d, which is not in %d to %d", src, ev.Seq, from, until)
			}
			if got && anyTime && (ev.Time < early || ev.Time > late) {
				t.Fatalf("%s matches time %d, which is not in %d to %d", src, ev.Time, early, late)
			}
		}
		if err := f.Err(); err != nil {
			t.Fatalf("%s: %v", src, err)
		}
	})
}

func contains[T comparable](list []T, x T) bool {
	for _, y := range list {
		if x == y {
			return true
		}
	}
	return false
}

// plainEnv reads an event as the package documentation says, with words of two bits.
func plainEnv(ev *evtchn.Event) map[string]any {
	ctx, _, _ := strings.Cut(ev.Ctx.String(), ":")
	if ctx == "-" {
		ctx = "none"
	}
	task := ""
	if ctx == "task" {
		task = map[string]string{"task:0": "idle", "task:1": "qemu"}[ev.Ctx.String()]
		if task == "" {
			task = ev.Ctx.String()
		}
	}
	kind, target, word := "none", ev.VCPU, -1
	if ev.Kind.Valid() {
		kind, target = ev.Kind.String(), ev.Target()
	}
	if ev.Port != 0 {
		word = int(ev.Port) / 2
	} else {
		for i, a := range ev.Kind.Spec().Args {
			if a.Name == "word" {
				word = int(ev.Args[i])
			}
		}
	}
	return map[string]any{"seq": int(ev.Seq), "t": int(ev.Time), "vcpu": int(ev.VCPU), "target": int(target), "port": int(ev.Port), "word": word,
		"res": int(ev.Res), "cause": int(ev.Cause), "dom": int(ev.Dom), "kind": kind, "ctx": ctx, "task": task, "input": ev.Flags&1 != 0, "inferred": ev.Flags&2 != 0}
}

// Several goroutines may use one filter.
func TestConcurrent(t *testing.T) {
	f, err := Compile("port % 2 == 1 && kind startsWith 'sel' || len(task) == 4")
	if err != nil {
		t.Fatal(err)
	}
	f = f.Bind(meta)
	want := fmt.Sprint(seqs(f))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				if got := fmt.Sprint(seqs(f)); got != want {
					t.Errorf("got %s, want %s", got, want)
					return
				}
			}
		})
	}
	wg.Wait()
}

func FuzzCompile(f *testing.F) {
	for _, s := range []string{"", "65", "port=65 kind=mask.*", "port==65 && vcpu!=0 && kind in ['unmask', \"upcall.exit\"]", "PEND[65] && !MASK[65] && SEL[0]==0",
		"RUN[3]==\"blocked\"", "t=1ms-2ms", "a?.b", "let x = 1; x", "any(1..9, # > 2)", "port in 1..1000000000", "port + 1 in 1..vcpu", "1 < port < 5", "kind matches '['",
		"port[1:2]", "{a: 1}", "::abs(1)", "port | abs()", "!!!!!input", "if input { true } else { false }", "-9223372036854775808 == t", "1/0 == 1", "x ?? y",
		"SEL[0] == -1", "PEND[port] == 1", "\"\\u0000\" == task", "((((((", "res == 0x7fffffffffffffff", "vcpu=-", "port=,", "µ"} {
		f.Add(s)
	}
	st := lost(f, evtchn.SourceObserved)
	f.Fuzz(func(t *testing.T, src string) {
		if fl, err := Compile(src); err == nil {
			ports, okP := fl.Ports()
			kinds, okK := fl.Kinds()
			for i := range events {
				ev := &events[i]
				if fl.Match(ev) && (okP && !contains(ports, ev.Port) || okK && !contains(kinds, ev.Kind)) {
					t.Errorf("%q matches %v, which is not among ports %v and kinds %v", src, ev, ports, kinds)
				}
			}
		} else if s := err.Error(); strings.ContainsAny(s, "\r\n") || !strings.HasPrefix(s, "column ") {
			t.Errorf("%q: error %q", src, s)
		}
		if c, err := CompileCondition(src); err == nil {
			for i := range events {
				c.Fires(&events[i], st)
			}
		} else if s := err.Error(); strings.ContainsAny(s, "\r\n") || !strings.HasPrefix(s, "column ") {
			t.Errorf("%q: error %q", src, s)
		}
	})
}

// Most events do not match, as when a reader looks for something.
func BenchmarkMatch(b *testing.B) {
	for _, bb := range []struct{ name, src string }{
		{"port", "port=65"},
		{"equalities", `port == 66 && vcpu != 0 && kind in ["mask.clear", "upcall.exit"]`},
		{"kinds", "kind startsWith 'sel.'"},
		{"script", "port % 2 == 1"},
		{"guarded-script", "port == 66 && res % 2 == 1"},
	} {
		b.Run(bb.name, func(b *testing.B) {
			f, err := Compile(bb.src)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				f.Match(&events[n%len(events)])
				n++
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
		})
	}
	b.Run("condition", func(b *testing.B) {
		c, err := CompileCondition("PEND[65] && !MASK[65] && SEL[0] == 0 && UNNOTICED[65]")
		if err != nil {
			b.Fatal(err)
		}
		st := lost(b, evtchn.SourceSim)
		b.ReportAllocs()
		n := 0
		for b.Loop() {
			c.Fires(&events[n%len(events)], st)
			n++
		}
		b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
	})
}

// Equality has no cost in memory.
func TestNoAllocation(t *testing.T) {
	f, err := Compile(`port == 65 && vcpu != 0 && kind in ["mask.clear", "upcall.exit"] && task == "qemu" && t in 0..2000000`)
	if err != nil {
		t.Fatal(err)
	}
	f = f.Bind(meta)
	if n := testing.AllocsPerRun(100, func() {
		for i := range events {
			f.Match(&events[i])
		}
	}); n != 0 {
		t.Errorf("got %v allocations, want none", n)
	}
}
