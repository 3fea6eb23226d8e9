package consoledump

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/evtrace/evtrace/analyze/doctor"
	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/dump/dumptest"
)

// seeds are dumps in many styles, of a model and of a real system.
func seeds(f *testing.F) {
	n := 0
	pick := func(k int) int { n = (n*1103515245 + 12345) & 0x7fffffff; return (n >> 8) % k }
	for _, abi := range []string{"2l", "fifo"} {
		for _, st := range []dumptest.Style{{XEN: true, Stamps: "boot"}, {Quote: "> > ", XEN: true, Wrap: 60}, {Old: true, Stamps: "syslog"},
			{Fence: true, Colour: true, CRLF: true, Squash: true}, {QP: true, Label: "system_u:object_r:x", Stamps: "journal", Noise: true}} {
			w := dumptest.New(abi, pick)
			w.Plant(dumptest.Lost, w.Domains[0])
			pr := dumptest.Printer{Style: st}
			f.Add([]byte(pr.Print(w.Sample(true), 3) + pr.Print(w.Sample(false), 3)))
		}
	}
	for _, s := range []string{
		"  0: masked=0 pending=1 event_sel 0000000000000001\n pending list:\n  0: event 130 -> irq 97 l2-clear\n  1: event 5 -> irq -1 globally-masked locally-masked\n",
		"(XEN)       24 [1/0/1]: s= n=3 x=0\n",
		"vcpu 1\n  0: masked=0 pending=1 event_sel 00000001\n",
		"  12: VCPU 0: Interdomain (Connected) - Remote Domain 7, Port 10\n  13: VCPU 1: Virtual IRQ 0\n",
		"(XEN)        7 in flux\n(XEN) Domain 1 polling vCPUs: 00000003\n(XEN) [0000000017] x\n",
		"    4 [1/0/B 131071 ]: s=3 n=0 x=0 d=7 p=10 Z=a:b\n    5 [0/1/  ?   ]: s=2 n=0 x=0 d=32752\n",
	} {
		f.Add([]byte(s))
	}
	real, _ := filepath.Glob(filepath.Join("..", "..", "cmd", "evtrace", "testdata", "dumps", "*.txt"))
	for _, name := range real {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[:min(len(b), 3<<10)])
	}
}

// FuzzReader: no text makes the reader, the examiner or the importer panic; what they give is sound.
func FuzzReader(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		Sniff(b)
		ds, sum, err := ReadAll(bytes.NewReader(b), "x", Options{})
		if err != nil && !errors.Is(err, ErrNone) {
			t.Fatal(err)
		}
		if sum.Dumps != len(ds) || sum.Bytes != int64(len(b)) {
			t.Fatalf("%+v for %d dumps in %d bytes", sum, len(ds), len(b))
		}
		e := doctor.New(doctor.Options{})
		for _, d := range ds {
			for i := range d.Ports {
				p := &d.Ports[i]
				if p.Port == 0 || p.Port >= maxPort || i > 0 && p.Port <= d.Ports[i-1].Port || p.Line < d.Line || p.Line > sum.Lines {
					t.Fatalf("port %d of %v, line %d", p.Port, d.Source, p.Line)
				}
			}
			e.Add(d)
		}
		r := e.Finish()
		if err := r.WriteText(io.Discard, doctor.TextOptions{All: true}); err != nil {
			t.Fatal(err)
		}
		if c := r.ExitCode(); c != 0 && c != 10 && c != 20 {
			t.Fatalf("exit code %d", c)
		}
		im, err := NewImporter(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }, "x", ImportOptions{Domain: Lowest})
		if err != nil {
			if !errors.Is(err, ErrNone) && !errors.Is(err, ErrDomain) {
				t.Fatal(err)
			}
			return
		}
		s, err := evtchn.NewState(im.Meta())
		if err != nil {
			t.Fatal(err)
		}
		last := evtchn.Event{}
		for {
			var ev evtchn.Event
			if err := im.Next(&ev); err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			if ev.Seq != last.Seq+1 || last.Seq > 0 && ev.Time < last.Time {
				t.Fatalf("%v after %v", ev, last)
			}
			s.Apply(&ev)
			last = ev
		}
		im.FinalMeta()
		s.Check()
	})
}

// BenchmarkReader reads a serial log of which every line is a row.
func BenchmarkReader(b *testing.B) {
	n := 0
	pick := func(k int) int { n++; return n * 7919 % k }
	for name, st := range map[string]dumptest.Style{"console": {XEN: true, Stamps: "boot"}, "mail": {XEN: true, Quote: "> ", Wrap: 60}, "syslog": {Stamps: "syslog"}} {
		b.Run(name, func(b *testing.B) {
			w := dumptest.New("2l", pick)
			pr := dumptest.Printer{Style: st}
			var text strings.Builder
			for text.Len() < 8<<20 {
				text.WriteString(pr.Print(w.Sample(true), 3))
			}
			b.SetBytes(int64(text.Len()))
			b.ReportAllocs()
			for b.Loop() {
				r := NewReader(strings.NewReader(text.String()), "x", Options{})
				for {
					if _, err := r.Next(); err == io.EOF {
						break
					} else if err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
