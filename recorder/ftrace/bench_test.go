package ftrace

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/evtrace/evtrace/evtchn"
)

// BenchmarkImport reads 100 MB of text, uncompressed and in memory: parsing, inference and the State that inference rests on.
func BenchmarkImport(b *testing.B) {
	text := largeText(b, 100<<20)
	lines := bytes.Count(text, []byte("\n"))
	var events uint64
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		im, err := New(bytes.NewReader(text), "bench", SideFiles{}, Options{})
		if err != nil {
			b.Fatal(err)
		}
		var ev evtchn.Event
		for {
			if err := im.Next(&ev); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				b.Fatal(err)
			}
		}
		events += uint64(im.seq)
	}
	b.ReportMetric(float64(lines)*float64(b.N)/b.Elapsed().Seconds(), "lines/s")
	b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkParse reads the same text line by line only.
func BenchmarkParse(b *testing.B) {
	text := largeText(b, 100<<20)
	lines := bytes.Count(text, []byte("\n"))
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		l := newLines(bytes.NewReader(text))
		ns := newNames()
		var r record
		var p parts
		for line := l.next(); line != nil; line = l.next() {
			if len(line) > 0 && line[0] != '#' {
				if err := parseLine(line, &r, &p, ns); err != nil {
					b.Fatalf("%v: %q", err, line)
				}
			}
		}
	}
	b.ReportMetric(float64(lines)*float64(b.N)/b.Elapsed().Seconds(), "lines/s")
}
