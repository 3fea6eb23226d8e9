package perfetto

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/system"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// simulate gives the events of a built-in scenario.
func simulate(t testing.TB, name, policy string) (evtchn.Meta, []evtchn.Event) {
	t.Helper()
	sc, err := system.Builtin(name)
	if err != nil {
		t.Fatal(err)
	}
	p, err := evtchn.ParsePolicy(policy)
	if err != nil {
		t.Fatal(err)
	}
	sys, err := system.New(sc, 1, p, system.Inputs(sc, 1))
	if err != nil {
		t.Fatal(err)
	}
	var evs []evtchn.Event
	for {
		var ev evtchn.Event
		if err := sys.Next(&ev); err == io.EOF {
			return sys.Meta(), evs
		} else if err != nil {
			t.Fatal(err)
		}
		evs = append(evs, ev)
	}
}

// write writes events and what analyze finds in them.
func write(t testing.TB, meta evtchn.Meta, evs []evtchn.Event) ([]byte, *analyze.Report) {
	t.Helper()
	var buf bytes.Buffer
	w, err := NewWriter(&buf, meta)
	if err != nil {
		t.Fatal(err)
	}
	a, err := analyze.NewAnalyzer(meta, analyze.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range evs {
		if err := errors.Join(a.Add(&evs[i]), w.Add(&evs[i])); err != nil {
			t.Fatal(err)
		}
	}
	r := a.Finish()
	if err := w.Close(r); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes(), r
}

// What is read back is a sound trace that agrees with analyze: so many upcalls, hypercalls, deliveries, episodes and findings, and each
// delivery is the end of a flow.
func TestRoundTrip(t *testing.T) {
	for _, name := range []string{"seed-port65", "seed-rescued", "ack-window", "clean"} {
		for _, policy := range []string{"xen-2005", "linux-2021", "any-vcpu"} {
			t.Run(name+"/"+policy, func(t *testing.T) {
				meta, evs := simulate(t, name, policy)
				data, r := write(t, meta, evs)
				s, err := read(data)
				if err != nil {
					t.Fatal(err)
				}
				var picked uint64
				for i := range evs {
					if evs[i].Kind == evtchn.KindDeliver {
						picked++
					}
				}
				upcalls := s.begun["upcall"]
				if got, want := upcalls, r.Costs.Upcalls; got != want {
					t.Errorf("got %d upcalls, want %d", got, want)
				}
				var calls uint64
				for n, c := range s.begun {
					if h, ok := strings.CutPrefix(n, "hypercall "); ok && h != "block" && h != "poll" {
						calls += c
					}
				}
				if calls != r.Costs.Hypercalls {
					t.Errorf("got %d hypercalls, want %d", calls, r.Costs.Hypercalls)
				}
				if s.begun["pending"] != r.Totals.Episodes {
					t.Errorf("got %d times pending, want %d episodes", s.begun["pending"], r.Totals.Episodes)
				}
				if s.handlers != picked {
					t.Errorf("got %d handlers, want %d", s.handlers, picked)
				}
				if s.counters["spurious upcalls"] != int64(r.Costs.SpuriousUpcalls) {
					t.Errorf("got %d spurious upcalls, want %d", s.counters["spurious upcalls"], r.Costs.SpuriousUpcalls)
				}
				if want := r.Totals.InFlight + r.Totals.MaskedAtEnd + r.Totals.UnnoticedAtEnd + r.Totals.UnclearAtEnd; s.counters["pending ports"] != int64(want) {
					t.Errorf("got %d pending ports in the end, want %d", s.counters["pending ports"], want)
				}
				if s.findings != len(r.Findings) {
					t.Errorf("got %d findings, want %d", s.findings, len(r.Findings))
				}
				if s.dangling != 0 || s.ended == 0 || s.ended > s.handlers {
					t.Errorf("%d flows end without a beginning, %d end in %d handlers", s.dangling, s.ended, s.handlers)
				}
			})
		}
	}
}

// Whatever the events are, what is written is a sound trace.
func TestAnyEvents(t *testing.T) {
	kinds := evtchn.Kinds()
	rapid.Check(t, func(t *rapid.T) {
		meta := evtchn.Meta{Source: rapid.SampledFrom([]string{evtchn.SourceSim, evtchn.SourceObserved}).Draw(t, "source"), ABI: "2l", VCPUs: 2, WordBits: 8, Unit: "ticks",
			NsPerTick: rapid.SampledFrom([]float64{0, 1, 0.385}).Draw(t, "ns")}
		var buf bytes.Buffer
		w, err := NewWriter(&buf, meta)
		if err != nil {
			t.Fatal(err)
		}
		value := rapid.SampledFrom([]uint64{0, 1, 2, 3, 1 << 40, 1<<64 - 1})
		for i := range rapid.IntRange(0, 200).Draw(t, "events") {
			ev := evtchn.Event{Seq: evtchn.Seq(i + 1), Time: evtchn.Time(rapid.Int64Range(-5, 50).Draw(t, "at")), Kind: rapid.SampledFrom(kinds).Draw(t, "kind"),
				Port: evtchn.Port(rapid.Uint32Range(0, 70).Draw(t, "port")), VCPU: evtchn.VCPU(rapid.IntRange(-2, 3).Draw(t, "vcpu")),
				Ctx: rapid.SampledFrom([]evtchn.Context{evtchn.CtxNone, evtchn.CtxXen, evtchn.CtxUpcall}).Draw(t, "context"), Res: value.Draw(t, "res")}
			ev.Args = [3]uint64{value.Draw(t, "a"), value.Draw(t, "b"), value.Draw(t, "c")}
			if err := w.Add(&ev); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(nil); err != nil {
			t.Fatal(err)
		}
		if _, err := read(buf.Bytes()); err != nil {
			t.Fatal(err)
		}
	})
}

// The report's story, from the bind to the loss, packet by packet.
func TestGolden(t *testing.T) {
	meta, evs := simulate(t, "seed-port65", "xen-2005")
	_, r := write(t, meta, evs)
	var buf bytes.Buffer
	w, err := NewWriter(&buf, meta)
	if err != nil {
		t.Fatal(err)
	}
	for i := range evs[12340:12420] {
		if err := w.Add(&evs[12340+i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(r); err != nil {
		t.Fatal(err)
	}
	s, err := read(buf.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", "seed-port65.txt")
	if *update {
		if err := os.WriteFile(path, []byte(s.text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), s.text.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// protoc decodes all of it by the published names and numbers, with no field left over.
func TestProtoc(t *testing.T) {
	protoc, err := exec.LookPath("protoc")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("protoc is missing: on Debian, apt-get install protobuf-compiler")
		}
		t.Skip("protoc is not installed")
	}
	meta, evs := simulate(t, "seed-port65", "xen-2005")
	data, r := write(t, meta, evs)
	var stderr bytes.Buffer
	cmd := exec.Command(protoc, "--decode=perfetto.protos.Trace", "--proto_path=testdata", "perfetto.proto")
	cmd.Stdin, cmd.Stderr = bytes.NewReader(data), &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("protoc: %v: %s", err, stderr.Bytes())
	}
	if m := regexp.MustCompile(`(?m)^\s*[0-9]+(:| \{).*$`).Find(out); m != nil {
		t.Errorf("a field that the format does not have: %s", m)
	}
	s, err := read(data)
	if err != nil {
		t.Fatal(err)
	}
	for what, n := range map[string]uint64{"^packet {$": s.packets, `name: "upcall"`: 1, `name: "lost: port 65"`: 2, "terminating_flow_ids": s.ended,
		`type: TYPE_SLICE_BEGIN`: s.begins, `name: "cause"`: 2 * uint64(len(r.Findings))} {
		if got := len(regexp.MustCompile("(?m)"+what).FindAll(out, -1)); uint64(got) != n {
			t.Errorf("%s: protoc shows %d, want %d", what, got, n)
		}
	}
}

// An error of writing is given at once, and again.
func TestWriteError(t *testing.T) {
	meta, evs := simulate(t, "seed-port65", "xen-2005")
	full := errors.New("full")
	w, err := NewWriter(failing{full}, meta)
	if err != nil {
		t.Fatal(err)
	}
	for i := range evs {
		err = w.Add(&evs[i])
	}
	if err != full || w.Close(nil) != full {
		t.Errorf("got %v, then %v, want %v", err, w.Close(nil), full)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// rounds gives the events again and again, each time later.
func rounds(evs []evtchn.Event, n int, f func(*evtchn.Event) error) error {
	span := evs[len(evs)-1].Time + 1
	for i := range n {
		for j := range evs {
			ev := evs[j]
			ev.Time += evtchn.Time(i) * span
			ev.Seq += evtchn.Seq(i * len(evs))
			if err := f(&ev); err != nil {
				return err
			}
		}
	}
	return nil
}

// Memory does not grow with the trace: three million events take what a hundred thousand take.
func TestFlatMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("long: millions of events")
	}
	meta, evs := simulate(t, "seed-port65", "xen-2005")
	w, err := NewWriter(io.Discard, meta)
	if err != nil {
		t.Fatal(err)
	}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	if err := rounds(evs, 3, w.Add); err != nil {
		t.Fatal(err)
	}
	before := heap()
	if err := rounds(evs, 72, w.Add); err != nil {
		t.Fatal(err)
	}
	if after := heap(); after > before+64<<10 {
		t.Errorf("the heap grew from %d to %d bytes in %d events", before, after, 72*len(evs))
	}
	runtime.KeepAlive(w)
}

func BenchmarkAdd(b *testing.B) {
	meta, evs := simulate(b, "seed-port65", "xen-2005")
	for _, judge := range []bool{false, true} {
		b.Run(fmt.Sprintf("judge=%v", judge), func(b *testing.B) {
			b.ReportAllocs()
			var n, size int
			for b.Loop() {
				c := &counting{}
				w, err := NewWriter(c, meta)
				if err != nil {
					b.Fatal(err)
				}
				a, err := analyze.NewAnalyzer(meta, analyze.Options{})
				if err != nil {
					b.Fatal(err)
				}
				for i := range evs {
					if judge {
						_ = a.Add(&evs[i])
					}
					_ = w.Add(&evs[i])
				}
				if err := w.Close(nil); err != nil {
					b.Fatal(err)
				}
				n += len(evs)
				size += c.n
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(float64(size)/float64(n), "B/event")
		})
	}
}

type counting struct{ n int }

func (c *counting) Write(p []byte) (int, error) {
	c.n += len(p)
	return len(p), nil
}
