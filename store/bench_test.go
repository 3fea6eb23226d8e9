package store

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/system"
)

// benchEvents is how many events the benchmarks work on.
const benchEvents = 1 << 20

// simulated gives events of a built-in scenario.
func simulated(t testing.TB, scenario string, n int) ([]evtchn.Event, evtchn.Meta) {
	t.Helper()
	sc, err := system.Builtin(scenario)
	if err != nil {
		t.Fatal(err)
	}
	p, err := evtchn.ParsePolicy("xen-2005")
	if err != nil {
		t.Fatal(err)
	}
	s, err := system.New(sc, 1, p, system.Inputs(sc, 1))
	if err != nil {
		t.Fatal(err)
	}
	evs := make([]evtchn.Event, 0, n)
	var ev evtchn.Event
	for len(evs) < n {
		if err := s.Next(&ev); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		evs = append(evs, ev)
	}
	return evs, s.Meta()
}

// repeated passes n events to add: evs again and again, each time later.
func repeated(evs []evtchn.Event, n int, add func(*evtchn.Event) error) error {
	span := evs[len(evs)-1].Time + 1
	for i := range n {
		ev := evs[i%len(evs)]
		round := i / len(evs)
		ev.Seq += evtchn.Seq(round * len(evs))
		ev.Time += evtchn.Time(round) * span
		if ev.Cause != 0 {
			ev.Cause += evtchn.Seq(round * len(evs))
		}
		if err := add(&ev); err != nil {
			return err
		}
	}
	return nil
}

// BenchmarkWrite records into a file: Create to Close, keyframes and commits included.
func BenchmarkWrite(b *testing.B) {
	for _, name := range []string{"traffic", "mixed-load"} {
		b.Run(name, func(b *testing.B) {
			evs, meta := benchTrace(b, name)
			dir := b.TempDir()
			b.ReportAllocs()
			b.ResetTimer()
			var size float64
			for i := range b.N {
				path := filepath.Join(dir, fmt.Sprint(i))
				write(b, path, evs, meta, Options{})
				b.StopTimer()
				f, err := Open(path)
				if err != nil {
					b.Fatal(err)
				}
				size = f.Info().BytesPerEvent
				f.Close()
				os.Remove(path)
				b.StartTimer()
			}
			rate(b, len(evs))
			b.ReportMetric(size, "bytes/event")
		})
	}
}

func benchTrace(b *testing.B, name string) ([]evtchn.Event, evtchn.Meta) {
	if name == "traffic" {
		return traffic(benchEvents, 16, 1), simMeta(16)
	}
	return simulated(b, name, benchEvents)
}

func BenchmarkPack(b *testing.B) {
	evs := traffic(benchEvents, 16, 1)
	var p encoder
	var out []byte
	b.ReportAllocs()
	b.ResetTimer()
	total := 0
	for range b.N {
		total = 0
		for at := 0; at < len(evs); at += ChunkEvents {
			out, _ = p.pack(out[:0], evs[at:min(at+ChunkEvents, len(evs))])
			total += len(out)
		}
	}
	rate(b, len(evs))
	b.ReportMetric(float64(total)/float64(len(evs)), "bytes/event")
}

func BenchmarkApply(b *testing.B) {
	evs := traffic(benchEvents, 16, 1)
	b.ResetTimer()
	for range b.N {
		st, err := evtchn.NewState(simMeta(16))
		if err != nil {
			b.Fatal(err)
		}
		for i := range evs {
			st.Apply(&evs[i])
		}
	}
	rate(b, len(evs))
}

func BenchmarkRead(b *testing.B) {
	for _, name := range []string{"traffic", "mixed-load"} {
		b.Run(name, func(b *testing.B) { benchmarkRead(b, name) })
	}
}

func benchmarkRead(b *testing.B, name string) {
	path := filepath.Join(b.TempDir(), "t")
	evs, meta := benchTrace(b, name)
	write(b, path, evs, meta, Options{})
	f, err := Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		s := f.Events(1)
		var ev evtchn.Event
		n := 0
		for {
			err := s.Next(&ev)
			if err == io.EOF {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != benchEvents {
			b.Fatalf("got %d events, want %d", n, benchEvents)
		}
	}
	rate(b, benchEvents)
}

// BenchmarkSeek opens a trace, asks for its Info and for the state at some event. EVTRACE_BENCH_EVENTS=50000000 makes it as large as
// the promise of 50 ms is about; it then also says how much memory writing needed.
func BenchmarkSeek(b *testing.B) {
	n := benchEvents
	if s := os.Getenv("EVTRACE_BENCH_EVENTS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			b.Fatal(err)
		}
	}
	path := filepath.Join(b.TempDir(), "t")
	evs, meta := simulated(b, "mixed-load", 1<<18)
	w, err := Create(path, meta, Options{})
	if err != nil {
		b.Fatal(err)
	}
	var first, last runtime.MemStats
	i := 0
	err = repeated(evs, n, func(ev *evtchn.Event) error {
		if i++; i == benchEvents {
			runtime.GC()
			runtime.ReadMemStats(&first)
		}
		return w.Add(ev)
	})
	if err != nil {
		b.Fatal(err)
	}
	runtime.GC()
	runtime.ReadMemStats(&last)
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	for i := range b.N {
		f, err := Open(path)
		if err != nil {
			b.Fatal(err)
		}
		f.Info()
		if _, err := f.StateAt(evtchn.Seq(i*7919*6151%n + 1)); err != nil {
			b.Fatal(err)
		}
		f.Close()
	}
	b.ReportMetric(float64(n), "events")
	b.ReportMetric(float64(last.HeapAlloc)/(1<<20), "heap-MB")
	b.ReportMetric((float64(last.HeapAlloc)-float64(first.HeapAlloc))/(1<<20), "heap-growth-MB")
}

func rate(b *testing.B, events int) {
	b.ReportMetric(float64(events)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(b.Elapsed())/float64(time.Nanosecond)/float64(b.N)/float64(events), "ns/event")
}
