package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/system"
	"github.com/evtrace/evtrace/recorder"
	"github.com/evtrace/evtrace/recorder/ftrace"
	"github.com/evtrace/evtrace/replay"
	"github.com/evtrace/evtrace/store"
)

// The figures that the project states are taken with GOMAXPROCS=1:
//
//	GOMAXPROCS=1 go test ./cmd/evtrace -run '^$' -bench . -benchtime 3x
//
// EVTRACE_BENCH_SECONDS sets how many seconds of mixed-load are simulated, about 3 M events each.

func benchScenario(b *testing.B) *system.Scenario {
	b.Helper()
	sc, err := system.Builtin("mixed-load")
	if err != nil {
		b.Fatal(err)
	}
	seconds := evtchn.Time(1)
	if s := os.Getenv("EVTRACE_BENCH_SECONDS"); s != "" {
		seconds = 0
		for _, c := range s {
			seconds = seconds*10 + evtchn.Time(c-'0')
		}
	}
	if sc, err = sc.Override(0, 0, seconds*1_000_000_000); err != nil {
		b.Fatal(err)
	}
	return sc
}

func benchRecord(b *testing.B, path string) uint64 {
	b.Helper()
	sc := benchScenario(b)
	s, err := system.New(sc, 1, evtchn.Policy{}, system.Inputs(sc, 1))
	if err != nil {
		b.Fatal(err)
	}
	w, err := store.Create(path, s.Meta(), store.Options{Force: true})
	if err != nil {
		b.Fatal(err)
	}
	r, err := recorder.Run(context.Background(), s, recorder.Options{}, w)
	if err != nil {
		b.Fatal(err)
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	return r.Events
}

// BenchmarkRecord simulates and writes a trace file, synced and closed.
func BenchmarkRecord(b *testing.B) {
	path := filepath.Join(b.TempDir(), "b.evt")
	b.ReportAllocs()
	var events uint64
	for b.Loop() {
		events += benchRecord(b, path)
	}
	st, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(st.Size())/(float64(events)/float64(b.N)), "bytes/event")
}

// BenchmarkReplay reads a trace file, runs it again under its own policy and compares every event.
func BenchmarkReplay(b *testing.B) {
	path := filepath.Join(b.TempDir(), "b.evt")
	benchRecord(b, path)
	f, err := store.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	b.ReportAllocs()
	var events uint64
	for b.Loop() {
		n, err := replay.Verify(context.Background(), f, replay.Options{})
		if err != nil {
			b.Fatal(err)
		}
		events += n
	}
	b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkOpenAt opens a trace file and gives the machine's state after an event in its middle.
func BenchmarkOpenAt(b *testing.B) {
	path := filepath.Join(b.TempDir(), "b.evt")
	n := benchRecord(b, path)
	at := evtchn.Seq(n/2 + 4711)
	for b.Loop() {
		f, err := store.Open(path)
		if err != nil {
			b.Fatal(err)
		}
		_ = f.Info()
		if _, err := f.StateAt(at); err != nil {
			b.Fatal(err)
		}
		if err := f.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n), "events")
}

// BenchmarkImport reads a compressed capture of 240 MB of text, deduces what it does not show, and writes a trace file.
func BenchmarkImport(b *testing.B) {
	capture := filepath.Join("..", "..", "..", "shared", "traces", "2l-large-tsc", "trace.txt.zst")
	if _, err := os.Stat(capture); err != nil {
		b.Skip("the large capture is not here: ", err)
	}
	const text = 239_759_993
	path := filepath.Join(b.TempDir(), "i.evt")
	var events uint64
	b.SetBytes(text)
	for b.Loop() {
		im, err := ftrace.Open(capture, ftrace.Options{})
		if err != nil {
			b.Fatal(err)
		}
		w, err := store.Create(path, im.Meta(), store.Options{Force: true})
		if err != nil {
			b.Fatal(err)
		}
		r, err := recorder.Run(context.Background(), im, recorder.Options{}, w)
		if err != nil && err != io.EOF {
			b.Fatal(err)
		}
		w.SetMeta(im.FinalMeta())
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
		events += r.Events
		im.Close()
	}
	b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkQuery looks for events of a trace file: all of them, those of a busy port, those of a port that few chunks have, and what
// the expression language itself has to look at; and writes all as CSV. The speed is that of the trace's events, whether they are looked at or skipped.
func BenchmarkQuery(b *testing.B) {
	path := filepath.Join(b.TempDir(), "b.evt")
	events := benchRecord(b, path)
	for _, bb := range []struct {
		name string
		args []string
	}{
		{"all", []string{"--count"}},
		{"port", []string{"port == 3", "--count"}},
		{"no-such-port", []string{"port == 65", "--count"}},
		{"equalities", []string{`port == 3 && vcpu != 0 && kind in ["mask.clear", "upcall.exit"]`, "--count"}},
		{"script", []string{"port % 8 == 3 && vcpu != 0", "--count"}},
		{"group-by", []string{"--group-by", "port,kind"}},
		{"csv", []string{"--to", "csv", "-o", os.DevNull}},
		{"jsonl", []string{"--to", "jsonl", "-o", os.DevNull}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				must(b, 0, append([]string{"query", path}, bb.args...)...)
			}
			b.ReportMetric(float64(events)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
