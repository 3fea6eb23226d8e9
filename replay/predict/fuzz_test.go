package predict_test

import (
	"encoding/binary"
	"testing"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/replay/predict"
)

// FuzzPrediction gives any events at all to a prediction, as a broken importer might: it must not panic, its events must come in the order
// of their times, and be as many as a policy can make of them.
func FuzzPrediction(f *testing.F) {
	for _, p := range evtchn.Presets() {
		f.Add([]byte(p.Name), []byte{1, 2, 3})
	}
	for i, spec := range []string{"xen-2005", "owner-ipi-resend", "resend-from-upcall", "unmasked-bind", "rebind-to-binder", "tick-sweep"} {
		m := degrade(record(f, "mixed-load", uint64(i+1), evtchn.Policy{}, 3_000_000))
		f.Add([]byte(spec), pack(m.events[:min(len(m.events), 600)]))
	}
	f.Fuzz(func(t *testing.T, spec, data []byte) {
		p, err := evtchn.ParsePolicy(string(spec))
		if err != nil {
			return
		}
		evs := unpack(data)
		meta := evtchn.Meta{Source: evtchn.SourceObserved, ABI: "2l", VCPUs: 8, WordBits: 64, Unit: "ns", NsPerTick: 1}
		h, err := predict.NewHarvest(meta)
		if err != nil {
			t.Fatal(err)
		}
		for i := range evs {
			_ = h.Add(&evs[i])
		}
		out := &memory{meta: meta}
		foretell(t, &memory{meta: meta, events: evs}, p, h.Samples(2), out, 1)
		for i := 1; i < len(out.events); i++ {
			if a, b := out.events[i-1], out.events[i]; b.Seq != a.Seq+1 || b.Time < a.Time {
				t.Fatalf("event %v comes after %v", b, a)
			}
		}
	})
}

const packed = 16

// pack writes what of events matters here, 16 bytes each.
func pack(evs []evtchn.Event) []byte {
	var b []byte
	for _, ev := range evs {
		b = append(b, byte(ev.Kind), byte(ev.VCPU), byte(ev.Flags), byte(ev.Res))
		b = binary.LittleEndian.AppendUint16(b, uint16(ev.Port))
		b = binary.LittleEndian.AppendUint16(b, uint16(ev.Ctx))
		b = append(b, byte(ev.Args[0]), byte(ev.Args[1]), byte(ev.Args[2]), 0)
		b = binary.LittleEndian.AppendUint32(b, uint32(ev.Time))
	}
	return b
}

func unpack(b []byte) []evtchn.Event {
	var evs []evtchn.Event
	var now evtchn.Time
	for ; len(b) >= packed && len(evs) < 4096; b = b[packed:] {
		now = max(now, evtchn.Time(binary.LittleEndian.Uint32(b[12:])))
		evs = append(evs, evtchn.Event{Seq: evtchn.Seq(len(evs) + 1), Time: now, Kind: evtchn.Kind(b[0]), VCPU: evtchn.VCPU(int8(b[1])),
			Flags: evtchn.Flags(b[2]), Res: uint64(b[3]), Port: evtchn.Port(binary.LittleEndian.Uint16(b[4:])), Ctx: evtchn.Context(binary.LittleEndian.Uint16(b[6:])),
			Args: [3]uint64{uint64(int64(int8(b[8]))), uint64(b[9]), uint64(int64(int8(b[10])))}})
	}
	return evs
}
