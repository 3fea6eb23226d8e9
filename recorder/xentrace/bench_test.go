package xentrace

import (
	"bytes"
	"io"
	"path/filepath"
	"testing"

	"github.com/evtrace/evtrace/evtchn"
)

// large is a real trace many times over, each time later: as much as a busy machine writes in a minute.
func large(b *testing.B) []byte {
	one := unpacked(b, filepath.Join(captures(b), "2l-xentrace/all.bin.zst"))
	s, err := Scan(bytes.NewReader(one), 0)
	if err != nil {
		b.Fatal(err)
	}
	var all []byte
	for i := range 20 {
		r := NewReader(bytes.NewReader(one), true)
		from := len(all)
		all = append(all, one...)
		var rec Record
		for r.Next(&rec) == nil {
			if rec.TSC != 0 {
				at := from + int(rec.Offset) + headerSize
				later := rec.TSC + uint64(i)*uint64(s.Last-s.First+1)
				for k := range 8 {
					all[at+k] = byte(later >> (8 * k))
				}
			}
		}
	}
	b.SetBytes(int64(len(all)))
	b.ResetTimer()
	return all
}

func perRecord(b *testing.B, records uint64) {
	b.ReportMetric(float64(records)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrec/s")
}

func BenchmarkReader(b *testing.B) {
	all := large(b)
	b.ReportAllocs()
	var n uint64
	for range b.N {
		r := NewReader(bytes.NewReader(all), false)
		var rec Record
		for r.Next(&rec) == nil {
		}
		n = r.Stats().Records
	}
	perRecord(b, n)
}

func BenchmarkImport(b *testing.B) {
	all := large(b)
	b.ReportAllocs()
	var n uint64
	for range b.N {
		im, err := New(bytes.NewReader(all), "all.bin", Options{VCPUs: 4})
		if err != nil {
			b.Fatal(err)
		}
		var ev evtchn.Event
		for err = im.Next(&ev); err == nil; err = im.Next(&ev) {
		}
		if err != io.EOF {
			b.Fatal(err)
		}
		n = im.Totals().Records
	}
	perRecord(b, n)
}
