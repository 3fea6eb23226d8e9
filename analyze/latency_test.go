package analyze

import (
	"slices"
	"testing"

	"github.com/evtrace/evtrace/evtchn"
)

// Every delay is in the bucket that it belongs to, and the worst of each is the first of the longest.
func TestBuckets(t *testing.T) {
	h := newHistogram()
	delays := []evtchn.Time{0, 1, 9, 10, 10, 12, 13, 999, 1000, 1 << 41, 1 << 43}
	for i, d := range delays {
		h.add(d, clock{factor: 1}, evtchn.Seq(i+1), &step{seq: evtchn.Seq(100 + i), port: 7})
	}
	list := h.list(clock{factor: 1})
	var n uint64
	for i, b := range list {
		n += b.Count
		if b.Count == 0 || b.To <= b.From || i > 0 && b.From < list[i-1].To {
			t.Errorf("bucket %d: got %+v after %+v", i, b, list[max(i-1, 0)])
		}
		at := slices.Index(delays, evtchn.Time(b.Worst.Delay))
		if b.Worst.Delay < b.From || b.Worst.Delay >= b.To || at < 0 || b.Worst.Seq != evtchn.Seq(100+at) {
			t.Errorf("got %+v, want the first of the longest delays in it", b)
		}
	}
	if n != uint64(len(delays)) {
		t.Errorf("got %d delays in buckets, want %d", n, len(delays))
	}
	i := slices.IndexFunc(list, func(b Bucket) bool { return b.From == 10 })
	if want := (Bucket{From: 10, To: 13, Count: 3, Worst: Worst{Delay: 12, Port: 7, From: 6, Seq: 105}}); i < 0 || list[i] != want {
		t.Errorf("got %+v, want %+v among them", list, want)
	}
}

// The buckets of a report hold what it counts.
func TestBucketsOfReport(t *testing.T) {
	meta, evs := simulate(t, "seed-port65", "unmask-hypercall", 1, 1<<20)
	r, err := Run(meta, &slice{evs: evs}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var n uint64
	for _, b := range r.Latency.Buckets {
		n += b.Count
		if b.Worst.Seq <= b.Worst.From || b.Worst.From == 0 || b.Worst.Port == evtchn.NoPort {
			t.Errorf("got %+v, want a delivery after the event that exposed its port", b)
		}
	}
	last := r.Latency.Buckets[len(r.Latency.Buckets)-1]
	if n != r.Latency.Count || n == 0 || last.Worst.Delay != r.Latency.Max {
		t.Errorf("got %d delays in buckets, the longest %d; want %d and %d", n, last.Worst.Delay, r.Latency.Count, r.Latency.Max)
	}
}
