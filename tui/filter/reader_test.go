package filter

import (
	"fmt"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/evtrace/evtrace/evtchn"
)

// A reader gives what an expression compares with.
func TestReader(t *testing.T) {
	r := NewReader(evtchn.Meta{WordBits: 2, Tasks: []string{"idle", "qemu"}})
	rapid.Check(t, func(t *rapid.T) {
		ev, other := randomEvent(t), randomEvent(t)
		want := plainEnv(&ev)
		for _, f := range Fields() {
			got := string(r.Append(nil, f, &ev))
			if got != fmt.Sprint(want[f.String()]) {
				t.Fatalf("%s of %+v: got %q, want %v", f, ev, got, want[f.String()])
			}
			same := got == string(r.Append(nil, f, &other))
			if keys := r.Key(f, &ev) == r.Key(f, &other); keys != same {
				t.Fatalf("%s of %+v and %+v: same key: %t, same text: %t", f, ev, other, keys, same)
			}
		}
	})
}

func TestParseField(t *testing.T) {
	for _, f := range Fields() {
		if got, err := ParseField(f.String()); got != f || err != nil {
			t.Errorf("%s: got %s, %v", f, got, err)
		}
	}
	if f, err := ParseField("time"); f != fieldTime || err != nil {
		t.Errorf("time: got %s, %v", f, err)
	}
	const want = `unknown field "prot"; did you mean "port"? (fields: seq, t, vcpu, target, port, word, res, cause, dom, kind, ctx, task, input, inferred, args)`
	if _, err := ParseField("prot", "args"); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestLimits(t *testing.T) {
	const lo, hi = math.MinInt64, math.MaxInt64
	for _, tt := range []struct {
		src   string
		seqs  string
		times string
		vcpus string
	}{
		{"", "any", "any", "any"},
		{"seq>=100 seq<200 t=1us-2us vcpu=1,2", "100..199", "1000..2000", "[1 2]"},
		{"seq == 5 && t > 10", "5..5", fmt.Sprintf("11..%d", hi), "any"},
		{"100 <= seq && time <= 7", fmt.Sprintf("100..%d", hi), fmt.Sprintf("%d..7", lo), "any"},
		{"seq in 3..1000", "3..1000", "any", "any"},
		{"seq < 5 || seq in [7, 9]", "0..9", "any", "any"},
		{"seq < 5 || port == 1", "any", "any", "any"},
		{"!(seq < 5) && not (t >= 10)", fmt.Sprintf("5..%d", hi), fmt.Sprintf("%d..9", lo), "any"},
		{"seq < 5 && seq > 5", "none", "any", "any"},
		{"seq < -1 || t in []", "none", fmt.Sprintf("%d..%d", lo, hi), "any"},
		{"false", "none", "none", "[]"},
		{"seq > port", "any", "any", "any"},
		{"seq % 2 == 1 && seq < 50", "0..49", "any", "any"},
		{"vcpu in [3, -1, 70000] && vcpu != 3", "any", "any", "[-1 3]"},
		{"vcpu == 1 && vcpu == 2", "any", "any", "[]"},
	} {
		f, err := Compile(tt.src)
		if err != nil {
			t.Fatalf("%s: %v", tt.src, err)
		}
		seqs, times, vcpus := "any", "any", "any"
		if a, b, ok := f.Seqs(); ok && a > b {
			seqs = "none"
		} else if ok {
			seqs = fmt.Sprintf("%d..%d", a, b)
		}
		if a, b, ok := f.Times(); ok && a > b {
			times = "none"
		} else if ok {
			times = fmt.Sprintf("%d..%d", a, b)
		}
		if list, ok := f.VCPUs(); ok {
			vcpus = fmt.Sprint(list)
		}
		if tt.src == "seq < -1 || t in []" {
			times = tt.times // whatever it says of times, nothing matches
		}
		if seqs != tt.seqs || times != tt.times || vcpus != tt.vcpus {
			t.Errorf("%s: seqs %s, times %s, vcpus %s; want %s, %s, %s", tt.src, seqs, times, vcpus, tt.seqs, tt.times, tt.vcpus)
		}
	}
}

// On a clock of ticks the limits of time hold for the ticks.
func TestTimesInTicks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		scale := rapid.Float64Range(1e-3, 1e3).Draw(t, "ns per tick")
		at := evtchn.Time(rapid.Int64Range(-1<<50, 1<<50).Draw(t, "ticks"))
		meta := evtchn.Meta{Unit: "ticks", NsPerTick: scale}
		ns := newInterpretation(meta).number(fieldTime, &evtchn.Event{Time: at})
		for _, op := range []string{"==", "<=", ">="} {
			f, err := Compile(fmt.Sprintf("t %s %d && t %s %d", op, ns, op, ns))
			if err != nil {
				t.Fatal(err)
			}
			from, until, ok := f.Bind(meta).Times()
			if !ok || at < from || at > until {
				t.Fatalf("%s: %d ticks are %d ns, limits are %d to %d", f, at, ns, from, until)
			}
			if op == "==" && float64(until-from) > 10+10/scale+math.Abs(float64(at))*1e-11 {
				t.Fatalf("%s: limits %d to %d are wide", f, from, until)
			}
		}
	})
}

func TestCaret(t *testing.T) {
	long := ""
	for i := range 30 {
		long += fmt.Sprintf("port == %d || ", i)
	}
	for _, tt := range []struct{ src, want string }{
		{"prot == 65", "prot == 65\n^\n"},
		{"port == 65 &&\n\tvpcu == 1", " vpcu == 1\n ^\n"},
		{"port == 65 &&\nport + \"µ\" == 1 ||\nport == 2", "port + \"µ\" == 1 ||\n     ^\n"},
		{"port ==", "port ==\n      ^\n"},
		{`kind in ["sel.tas", "unmask"]`, `kind in ["sel.tas", "unmask"]` + "\n                    ^\n"},
		{long + "prot == 1 || " + long + "true", "...rt == 27 || port == 28 || port == 29 || prot == 1 || port == 0 || port..." +
			"\n                                           ^\n"},
	} {
		_, err := Compile(tt.src)
		e, ok := err.(*Error)
		if !ok {
			t.Fatalf("%s: got %v, want an error", tt.src, err)
		}
		if got := e.Caret(tt.src); got != tt.want {
			t.Errorf("%s: %v: got\n%swant\n%s", tt.src, e, got, tt.want)
		}
	}
}
