package analyze

import (
	"math"
	"slices"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/evtrace/evtrace/evtchn"
)

// Latency is the time from exposure to the start of the handler, over all episodes for which both are known. The quantiles are
// upper bounds within 0.1 %; Max is exact.
type Latency struct {
	P50   int64  `json:"p50"`
	P90   int64  `json:"p90"`
	P99   int64  `json:"p99"`
	Max   int64  `json:"max"`
	Count uint64 `json:"count"`
	Sum   int64  `json:"sum"` // of all of them

	// By the run states that were recorded beside a capture; 0 without them.
	MaxDescheduled int64  `json:"max_descheduled,omitempty"` // for how long of Max the vcpu had no physical CPU
	Excused        uint64 `json:"excused,omitempty"`         // delays past the bound that are within it without the time for which the vcpu had none

	Buckets []Bucket `json:"buckets,omitempty"` // the distribution, the short delays first; buckets that nothing is in are left out
}

// Bucket counts the delays from From up to, not including, To, and names the longest of them. There are ten buckets to a power of
// ten, so that a bucket is 26 % wide.
type Bucket struct {
	From  int64  `json:"from"`
	To    int64  `json:"to"`
	Count uint64 `json:"count"`
	Worst Worst  `json:"worst"`
}

// Worst is the longest delay of a bucket, the first of equals.
type Worst struct {
	Delay int64       `json:"delay"`
	Port  evtchn.Port `json:"port"`
	From  evtchn.Seq  `json:"from_seq"` // the event that exposed the port; 0: that of the finding that the delay is of
	Seq   evtchn.Seq  `json:"seq"`      // the event that took it up
	VCPU  evtchn.VCPU `json:"vcpu"`     // that did
	At    int64       `json:"at"`       // when
}

// edges are where buckets begin: 0, then ten to a power of ten, up to longest.
var edges = func() []int64 {
	list := []int64{0}
	for i := 0; ; i++ {
		e := int64(math.Round(math.Pow(10, float64(i)/10)))
		if e > list[len(list)-1] {
			list = append(list, e)
		}
		if e > longest {
			return list
		}
	}
}()

// histogram is a latency distribution in the trace's own units.
type histogram struct {
	h       *hdrhistogram.Histogram
	max     int64
	count   uint64
	sum     int64    // in the report's unit
	buckets []bucket // as edges
}

type bucket struct {
	count uint64
	worst int64
	from  evtchn.Seq
	by    step
}

// longest is the largest delay that the histogram tells apart, 73 minutes in nanoseconds. Longer ones count as that long.
const longest = 1 << 42

func newHistogram() histogram {
	return histogram{h: hdrhistogram.New(1, longest, 3), buckets: make([]bucket, len(edges))}
}

// add takes a delay, from the event that exposed the port to the step that took it up.
func (h *histogram) add(d evtchn.Time, c clock, from evtchn.Seq, by *step) {
	v := max(int64(d), 0)
	h.sum += c.of(evtchn.Time(v))
	h.count++
	h.max = max(h.max, v)
	_ = h.h.RecordValue(min(v, longest)) // in range by construction
	i, found := slices.BinarySearch(edges, min(v, longest))
	if !found {
		i--
	}
	b := &h.buckets[i]
	if b.count == 0 || v > b.worst {
		b.worst, b.from, b.by = v, from, *by
	}
	b.count++
}

func (h *histogram) quantile(q float64) int64 { return min(h.h.ValueAtQuantile(q), h.max) }

// list gives the buckets that have something in them.
func (h *histogram) list(c clock) []Bucket {
	var list []Bucket
	for i := range h.buckets {
		b := &h.buckets[i]
		if b.count == 0 {
			continue
		}
		to := b.worst + 1
		if i+1 < len(edges) {
			to = max(to, edges[i+1])
		}
		list = append(list, Bucket{From: c.of(evtchn.Time(edges[i])), To: c.of(evtchn.Time(to)), Count: b.count,
			Worst: Worst{Delay: c.of(evtchn.Time(b.worst)), Port: b.by.port, From: b.from, Seq: b.by.seq, VCPU: b.by.vcpu, At: c.of(b.by.at)}})
	}
	return list
}

// latencyReport puts together what was measured.
func (a *Analyzer) latencyReport() Latency {
	h, c := &a.latency, a.clock
	if h.count == 0 {
		return Latency{}
	}
	return Latency{P50: c.of(evtchn.Time(h.quantile(50))), P90: c.of(evtchn.Time(h.quantile(90))),
		P99: c.of(evtchn.Time(h.quantile(99))), Max: c.of(evtchn.Time(h.max)), Count: h.count, Sum: h.sum,
		MaxDescheduled: c.of(a.maxDescheduled), Excused: a.excused, Buckets: h.list(c)}
}
