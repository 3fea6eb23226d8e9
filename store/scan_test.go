package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	bolt "go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"github.com/evtrace/evtrace/evtchn"
)

// picked is what a scan makes of a chunk here: the events that are wanted, and how many came.
type picked struct {
	evs   []evtchn.Event
	total int
}

// scan gives the events that are wanted of those that a scan yields, and how many it yields.
func scan(f *File, opt ScanOptions, wanted func(*evtchn.Event) bool) (evs []evtchn.Event, total int, err error) {
	err = Scan(context.Background(), f, opt, func(src evtchn.Source, out *picked) error {
		out.evs, out.total = out.evs[:0], 0
		var ev evtchn.Event
		for {
			if err := src.Next(&ev); err == io.EOF {
				return nil
			} else if err != nil {
				return err
			}
			out.total++
			if wanted(&ev) {
				out.evs = append(out.evs, ev)
			}
		}
	}, func(out *picked) error {
		evs = append(evs, out.evs...)
		total += out.total
		return nil
	})
	return evs, total, err
}

// wants is what the options mean, said once more.
func wants(opt ScanOptions, ev *evtchn.Event) bool {
	return ev.Seq >= opt.From && (opt.Until == 0 || ev.Seq <= opt.Until) &&
		(opt.Times == nil || ev.Time >= opt.Times.Min && ev.Time <= opt.Times.Max) &&
		(opt.Ports == nil || slices.Contains(opt.Ports, ev.Port)) &&
		(opt.Kinds == nil || slices.Contains(opt.Kinds, ev.Kind)) &&
		(opt.VCPUs == nil || slices.Contains(opt.VCPUs, ev.VCPU))
}

// sections makes a trace whose chunks differ in what they have: each part knows ports, kinds and vcpus that others lack.
func sections(n int) []evtchn.Event {
	evs := traffic(n, 4, 3)
	kinds := evtchn.Kinds()
	for i := range evs {
		part := i / (ChunkEvents * 3 / 2)
		ev := &evs[i]
		switch i % 5000 {
		case 17:
			ev.Port = evtchn.Port(3000 + part)
		case 18:
			ev.Kind = kinds[len(kinds)-1-part]
		case 19:
			ev.VCPU = evtchn.VCPU(100 + part)
		case 20:
			ev.VCPU = 32767
		}
		if i/ChunkEvents == 9 {
			ev.VCPU = evtchn.NoVCPU // with which a chunk begins anyway
		}
	}
	return evs
}

// Whatever the options, a scan with them and a look at each event gives what a look at each event of the trace gives.
func TestScan(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.evt")
	evs := sections(12 * ChunkEvents)
	write(t, path, evs, simMeta(4), Options{})
	f := mustOpen(t, path)
	kinds := evtchn.Kinds()
	skipped := 0
	rapid.Check(t, func(t *rapid.T) {
		var opt ScanOptions
		if rapid.Bool().Draw(t, "with from") {
			opt.From = evtchn.Seq(rapid.IntRange(0, len(evs)+5).Draw(t, "from"))
		}
		if rapid.Bool().Draw(t, "with until") {
			opt.Until = evtchn.Seq(rapid.IntRange(0, len(evs)+5).Draw(t, "until"))
		}
		if rapid.IntRange(0, 3).Draw(t, "with times") == 0 {
			a, b := rapid.IntRange(0, len(evs)-1).Draw(t, "time"), rapid.IntRange(0, len(evs)-1).Draw(t, "time")
			opt.Times = &TimeRange{evs[a].Time, evs[b].Time}
		}
		if rapid.Bool().Draw(t, "with ports") {
			opt.Ports = rapid.SliceOfN(rapid.SampledFrom([]evtchn.Port{0, 63, 2999, 3000, 3001, 3002, 3003, 3004, 3005, 3007, 9999}), 0, 4).Draw(t, "ports")
		}
		if rapid.Bool().Draw(t, "with kinds") {
			opt.Kinds = rapid.SliceOfN(rapid.SampledFrom(append(kinds[len(kinds)-9:], evtchn.KindSend)), 0, 3).Draw(t, "kinds")
		}
		if rapid.Bool().Draw(t, "with vcpus") {
			opt.VCPUs = rapid.SliceOfN(rapid.SampledFrom([]evtchn.VCPU{-1, 0, 3, 50, 100, 103, 107, 32767}), 0, 3).Draw(t, "vcpus")
		}
		opt.Workers = rapid.IntRange(0, 3).Draw(t, "workers")
		var want []evtchn.Event
		for i := range evs {
			if wants(opt, &evs[i]) {
				want = append(want, evs[i])
			}
		}
		got, total, err := scan(f, opt, func(ev *evtchn.Event) bool { return wants(opt, ev) })
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%+v: got %d events, want %d", opt, len(got), len(want))
		}
		if total < len(evs) {
			skipped++
		}
	})
	if skipped == 0 {
		t.Error("nothing was ever left out")
	}
}

// Ranges of time, and lists of vcpus, that a chunk just meets.
func TestScanLimits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.evt")
	evs := sections(12 * ChunkEvents)
	write(t, path, evs, simMeta(4), Options{})
	f := mustOpen(t, path)
	for i, c := range f.Chunks() {
		lo, hi := evs[c.First-1].Time, evs[c.First-1].Time
		for _, ev := range evs[c.First-1 : c.Last] {
			lo, hi = min(lo, ev.Time), max(hi, ev.Time)
		}
		for _, at := range []evtchn.Time{lo, hi} {
			opt := ScanOptions{From: c.First, Until: c.Last, Times: &TimeRange{at, at}}
			if got, _, err := scan(f, opt, func(ev *evtchn.Event) bool { return wants(opt, ev) }); err != nil || len(got) == 0 {
				t.Errorf("chunk %d, time %d: got %d events, want one at least: %v", i, at, len(got), err)
			}
		}
		opt := ScanOptions{From: c.First, Until: c.Last, VCPUs: []evtchn.VCPU{evtchn.NoVCPU}}
		want := 0
		for i := c.First - 1; i < c.Last; i++ {
			if evs[i].VCPU == evtchn.NoVCPU {
				want++
			}
		}
		if got, _, err := scan(f, opt, func(ev *evtchn.Event) bool { return wants(opt, ev) }); err != nil || len(got) != want {
			t.Errorf("chunk %d, no vcpu: got %d events, want %d: %v", i, len(got), want, err)
		}
	}
}

// What only some chunks have is looked for in those alone.
func TestScanSkips(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.evt")
	evs := traffic(8*ChunkEvents, 4, 3)
	special := evs[5*ChunkEvents+100]
	special.Port, special.VCPU, special.Kind = 4000, 77, evtchn.KindGap
	evs[5*ChunkEvents+100] = special
	write(t, path, evs, simMeta(4), Options{})
	f := mustOpen(t, path)
	for name, opt := range map[string]ScanOptions{
		"ports": {Ports: []evtchn.Port{4001, 4000}}, "kinds": {Kinds: []evtchn.Kind{special.Kind}}, "vcpus": {VCPUs: []evtchn.VCPU{77, 78}},
		"times": {Times: &TimeRange{special.Time, special.Time}}, "seqs": {From: 5*ChunkEvents + 1, Until: 6 * ChunkEvents},
	} {
		got, total, err := scan(f, opt, func(ev *evtchn.Event) bool { return ev.Port == 4000 })
		if err != nil || len(got) != 1 || total != ChunkEvents {
			t.Errorf("%s: got %d of %d events, want 1 of %d: %v", name, len(got), total, ChunkEvents, err)
		}
	}
}

func TestScanStops(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.evt")
	evs := traffic(20*ChunkEvents, 4, 3)
	write(t, path, evs, simMeta(4), Options{})
	f := mustOpen(t, path)
	var opened atomic.Int32
	each := func(src evtchn.Source, out *evtchn.Seq) error {
		opened.Add(1)
		var ev evtchn.Event
		err := src.Next(&ev)
		*out = ev.Seq
		return err
	}
	run := func(ctx context.Context, add func(*evtchn.Seq) error) error {
		opened.Store(0)
		return Scan(ctx, f, ScanOptions{Workers: 2}, each, add)
	}
	var seqs []evtchn.Seq
	err := run(context.Background(), func(s *evtchn.Seq) error {
		if seqs = append(seqs, *s); len(seqs) == 3 {
			return io.EOF
		}
		return nil
	})
	if d := cmp.Diff([]evtchn.Seq{1, ChunkEvents + 1, 2*ChunkEvents + 1}, seqs); d != "" || err != nil {
		t.Errorf("end after three (-want +got):\n%s%v", d, err)
	}
	if n := opened.Load(); n > 3+4 {
		t.Errorf("%d chunks were read for the sake of three, want 7 at most", n)
	}
	boom := errors.New("boom")
	if err := run(context.Background(), func(*evtchn.Seq) error { return boom }); err != boom {
		t.Errorf("got %v, want %v", err, boom)
	}
	ctx, cancel := context.WithCancel(context.Background())
	if err := run(ctx, func(*evtchn.Seq) error { cancel(); return nil }); err != context.Canceled {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

// What comes before damage is delivered, and the error is that of reading the trace in order.
func TestScanDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.evt")
	evs := traffic(9*ChunkEvents, 4, 3)
	write(t, path, evs, simMeta(4), Options{})
	db, err := bolt.Open(path, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		key := seqKey(6*ChunkEvents + 1)
		v := bytes.Clone(tx.Bucket(bucketChunks).Get(key))
		v[len(v)/2] ^= 4
		return tx.Bucket(bucketChunks).Put(key, v)
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	f, err := open(path) // Open would see that bbolt has made the file larger
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_, want := drain(f.Events(1))
	got, _, err := scan(f, ScanOptions{}, func(*evtchn.Event) bool { return true })
	if len(got) != 6*ChunkEvents || !errors.Is(err, ErrCorrupt) || fmt.Sprint(err) != fmt.Sprint(want) {
		t.Errorf("got %d events and %v, want %d and %v", len(got), err, 6*ChunkEvents, want)
	}
	// Nothing of a kind that no chunk has is wanted, but that the damaged one has none cannot be known.
	if _, _, err := scan(f, ScanOptions{Kinds: []evtchn.Kind{evtchn.KindGap}}, func(*evtchn.Event) bool { return true }); !errors.Is(err, ErrCorrupt) {
		t.Errorf("got %v, want %v", err, ErrCorrupt)
	}
}

// A scan needs memory for a few chunks.
func TestScanMemory(t *testing.T) {
	if testing.Short() || raceEnabled {
		t.Skip("measures")
	}
	path := filepath.Join(t.TempDir(), "t.evt")
	w, err := Create(path, simMeta(4), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := repeated(traffic(1<<17, 4, 3), 1<<20, w.Add); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	f := mustOpen(t, path)
	var most uint64
	for range 2 { // the first run warms up
		most = 0
		err := Scan(context.Background(), f, ScanOptions{Workers: 2}, func(src evtchn.Source, out *int) error {
			var ev evtchn.Event
			for {
				if err := src.Next(&ev); err != nil {
					return nil
				}
			}
		}, func(*int) error {
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapAlloc)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if most > 16<<20 {
		t.Errorf("%d bytes on the heap, want 16 MB at most", most)
	}
}

func BenchmarkScan(b *testing.B) {
	for _, name := range []string{"traffic", "mixed-load"} {
		path := filepath.Join(b.TempDir(), "t")
		evs, meta := benchTrace(b, name)
		write(b, path, evs, meta, Options{})
		f, err := Open(path)
		if err != nil {
			b.Fatal(err)
		}
		for _, workers := range []int{1, 2} {
			b.Run(fmt.Sprintf("%s/workers=%d", name, workers), func(b *testing.B) {
				b.ReportAllocs()
				for range b.N {
					got := 0
					err := Scan(context.Background(), f, ScanOptions{Workers: workers}, func(src evtchn.Source, n *int) error {
						var ev evtchn.Event
						for *n = 0; ; *n++ {
							if err := src.Next(&ev); err == io.EOF {
								return nil
							} else if err != nil {
								return err
							}
						}
					}, func(n *int) error { got += *n; return nil })
					if err != nil || got != len(evs) {
						b.Fatalf("got %d events, want %d: %v", got, len(evs), err)
					}
				}
				rate(b, len(evs))
			})
		}
		f.Close()
	}
}
