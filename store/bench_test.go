package store

import (
	"fmt"
	"io"
	"path/filepath"
	"testing"
	"time"

	"github.com/evtrace/evtrace/evtchn"
)

const benchEvents = 1 << 20

func BenchmarkWrite(b *testing.B) {
	evs := traffic(benchEvents, 16, 1)
	dir := b.TempDir()
	b.ReportAllocs()
	b.ResetTimer()
	var size float64
	for i := range b.N {
		path := filepath.Join(dir, fmt.Sprint(i))
		write(b, path, evs, simMeta(16), Options{})
		b.StopTimer()
		f, err := Open(path)
		if err != nil {
			b.Fatal(err)
		}
		size = f.Info().BytesPerEvent
		f.Close()
		b.StartTimer()
	}
	rate(b, len(evs))
	b.ReportMetric(size, "bytes/event")
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
	path := filepath.Join(b.TempDir(), "t")
	write(b, path, traffic(benchEvents, 16, 1), simMeta(16), Options{})
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

// BenchmarkSeek opens a trace, asks for its Info and goes to an event in its middle.
func BenchmarkSeek(b *testing.B) {
	path := filepath.Join(b.TempDir(), "t")
	write(b, path, traffic(benchEvents, 16, 1), simMeta(16), Options{})
	b.ResetTimer()
	for i := range b.N {
		f, err := Open(path)
		if err != nil {
			b.Fatal(err)
		}
		f.Info()
		if _, err := f.StateAt(evtchn.Seq(i*7919%benchEvents + 1)); err != nil {
			b.Fatal(err)
		}
		f.Close()
	}
}

func rate(b *testing.B, events int) {
	b.ReportMetric(float64(events)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(b.Elapsed())/float64(time.Nanosecond)/float64(b.N)/float64(events), "ns/event")
}
