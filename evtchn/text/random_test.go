package text

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/evtrace/evtrace/evtchn"
)

func anyEvent() *rapid.Generator[evtchn.Event] {
	num := rapid.OneOf(rapid.Uint64(), rapid.Uint64Range(0, 300), rapid.SampledFrom([]uint64{0, 0x7fff, 0xffff, 1 << 63, math.MaxUint64}))
	return rapid.Custom(func(t *rapid.T) evtchn.Event {
		return evtchn.Event{
			Seq:   evtchn.Seq(num.Draw(t, "seq")),
			Time:  evtchn.Time(num.Draw(t, "time")),
			Args:  [3]uint64{num.Draw(t, "a"), num.Draw(t, "b"), num.Draw(t, "c")},
			Res:   num.Draw(t, "res"),
			Cause: evtchn.Seq(num.Draw(t, "cause")),
			Port:  evtchn.Port(rapid.Uint32().Draw(t, "port")),
			VCPU:  evtchn.VCPU(rapid.Int16().Draw(t, "vcpu")),
			Dom:   evtchn.DomID(rapid.Uint16().Draw(t, "dom")),
			Ctx:   evtchn.Context(rapid.Uint16().Draw(t, "ctx")),
			Kind:  rapid.SampledFrom(evtchn.Kinds()).Draw(t, "kind"),
			Flags: evtchn.Flags(rapid.Uint8().Draw(t, "flags")),
		}
	})
}

func anyMeta() *rapid.Generator[evtchn.Meta] {
	str := rapid.OneOf(rapid.String(), rapid.StringMatching(`[ "|#\\a-c-]{0,6}\n?`), rapid.StringOfN(rapid.Rune(), 0, 300, -1),
		rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
	return rapid.Custom(func(t *rapid.T) evtchn.Meta {
		return evtchn.Meta{
			Format:    evtchn.FormatVersion,
			Tool:      str.Draw(t, "tool"),
			Source:    str.Draw(t, "source"),
			ABI:       str.Draw(t, "abi"),
			VCPUs:     rapid.Int().Draw(t, "vcpus"),
			WordBits:  rapid.Int().Draw(t, "bits"),
			Clock:     str.Draw(t, "clock"),
			Unit:      str.Draw(t, "unit"),
			NsPerTick: rapid.Float64().Draw(t, "ns"),
			Complete:  rapid.Bool().Draw(t, "complete"),
			Policy:    str.Draw(t, "policy"),
			Scenario:  rapid.OneOf(str, rapid.StringMatching(`([ "|#a-c\t-]{0,5}\n){0,5}[ |"-]{0,3}`)).Draw(t, "scenario"),
			Seed:      rapid.Uint64().Draw(t, "seed"),
			Duration:  evtchn.Time(rapid.Int64().Draw(t, "duration")),
			Tasks:     rapid.SliceOf(str).Draw(t, "tasks"),
			Events:    rapid.Uint64().Draw(t, "events"),
			Gaps:      rapid.Uint64().Draw(t, "gaps"),
			Lost:      rapid.Uint64().Draw(t, "lost"),
			Origin:    str.Draw(t, "origin"),
			Unknown:   rapid.SliceOf(str).Draw(t, "unknown"),
			Notes:     rapid.SliceOf(str).Draw(t, "notes"),
			Counts:    rapid.MapOf(str, rapid.Uint64()).Draw(t, "counts"),
		}
	})
}

func TestRandomTraces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := anyMeta().Draw(t, "meta")
		evs := rapid.SliceOf(anyEvent()).Draw(t, "events")
		var buf bytes.Buffer
		w := NewWriter(&buf, m)
		for i := range evs {
			if err := w.Add(&evs[i]); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		for i, c := range buf.Bytes() {
			if c != '\n' && (c < ' ' || c > '~') || c == '\n' && i > 0 && buf.Bytes()[i-1] == ' ' {
				t.Fatalf("byte %d is %q in\n%s", i, c, buf.Bytes())
			}
		}
		for _, opt := range []Options{{}, {Lenient: true}} {
			gotMeta, got, err := readAll(buf.Bytes(), opt)
			if err != nil {
				t.Fatalf("%v\n%s", err, buf.Bytes())
			}
			if d := cmp.Diff(m, gotMeta, cmpopts.EquateEmpty()); d != "" {
				t.Fatalf("%+v: meta (-want +got):\n%s", opt, d)
			}
			if d := cmp.Diff(evs, got, cmpopts.EquateEmpty()); d != "" {
				t.Fatalf("%+v: events (-want +got):\n%s", opt, d)
			}
		}
	})
}

func FuzzParseEvent(f *testing.F) {
	for _, line := range bytes.Split(golden(f), []byte("\n")) {
		f.Add(line)
	}
	f.Add([]byte("18446744073709551615 -9223372036854775808 d5v-2 ctx:4097 notify.read p1 state=#9 arg1=1 arg2=3 = v-1 <2 input flags:0x40"))
	f.Add([]byte("1 2 d5v- task:7 pend.tas p1 arg0=3 = #7 inferred foreign"))
	f.Fuzz(func(t *testing.T, line []byte) {
		ev, err := ParseEvent(line)
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without words")
			}
			return
		}
		if got := AppendEvent(nil, &ev); !bytes.Equal(got, line) {
			t.Errorf("got  %q\nwant %q", got, line)
		}
		AppendWhat(nil, &ev, &evtchn.Meta{WordBits: 64})
	})
}

func FuzzReader(f *testing.F) {
	f.Add(golden(f))
	f.Add([]byte("evtrace text 1\n\nend 0\n"))
	f.Add([]byte("evtrace text 1\nnote: \"\"\ncount: 3 x\nscenario:\n|\n|-\"\\x00\"\n\n1 2 v3 xen end\nend 1\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		if m, evs, err := readAll(in, Options{}); err == nil {
			if got := writeAll(t, m, evs); !bytes.Equal(got, in) {
				t.Errorf("got  %q\nwant %q", got, in)
			}
		}
		m, evs, err := readAll(in, Options{Lenient: true})
		if err != nil {
			return
		}
		m2, evs2, err := readAll(writeAll(t, m, evs), Options{})
		if err != nil {
			t.Fatalf("%v\n%s", err, writeAll(t, m, evs))
		}
		if d := cmp.Diff(m, m2, cmpopts.EquateNaNs()); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff(evs, evs2); d != "" {
			t.Error(d)
		}
	})
}

// benchEvents is the golden trace over and over.
func benchEvents(b *testing.B) []evtchn.Event {
	_, evs, err := readAll(golden(b), Options{})
	if err != nil {
		b.Fatal(err)
	}
	return evs
}

func BenchmarkWrite(b *testing.B) {
	evs := benchEvents(b)
	w := NewWriter(io.Discard, evtchn.Meta{})
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if err := w.Add(&evs[i%len(evs)]); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// repeat gives the same bytes again and again.
type repeat struct {
	b   []byte
	off int
}

func (r *repeat) Read(p []byte) (int, error) {
	n := copy(p, r.b[r.off:])
	r.off = (r.off + n) % len(r.b)
	return n, nil
}

func BenchmarkRead(b *testing.B) {
	var lines []byte
	for _, ev := range benchEvents(b) {
		lines = append(AppendEvent(lines, &ev), '\n')
	}
	head := fmt.Appendf(nil, "evtrace text %d\n\n", evtchn.FormatVersion)
	r, err := NewReader(io.MultiReader(bytes.NewReader(head), &repeat{b: bytes.Repeat(lines, 100)}), "bench")
	if err != nil {
		b.Fatal(err)
	}
	var ev evtchn.Event
	b.ReportAllocs()
	for b.Loop() {
		if err := r.Next(&ev); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
