package predict_test

import (
	"testing"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/replay/predict"
)

// BenchmarkPrediction reads a capture through a prediction, under a policy that changes nothing, and under one that changes much.
func BenchmarkPrediction(b *testing.B) {
	m := capture(b, "2l-large-tsc")
	h, err := predict.NewHarvest(m.meta)
	if err != nil {
		b.Fatal(err)
	}
	for i := range m.events {
		_ = h.Add(&m.events[i])
	}
	s := h.Samples(20)
	for _, spec := range []string{"unmask-hypercall", "xen-2005", "any-vcpu"} {
		b.Run(spec, func(b *testing.B) {
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				foretell(b, m, policy(b, spec), s, nowhere{}, 0)
				n += len(m.events)
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

type nowhere struct{}

func (nowhere) Add(*evtchn.Event) error { return nil }
