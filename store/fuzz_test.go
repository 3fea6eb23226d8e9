package store

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/evtrace/evtrace/evtchn"
)

// FuzzChunk decodes arbitrary bytes as a chunk, with a valid checksum. It must not panic; and what decodes must survive another round.
func FuzzChunk(f *testing.F) {
	for _, evs := range [][]evtchn.Event{traffic(1, 1, 1), traffic(100, 4, 2), noise(5, 3), {{Seq: 1 << 50, Kind: evtchn.KindEnd, Time: -5, Cause: 1 << 60}}} {
		var enc encoder
		value, h := enc.pack(nil, evs)
		f.Add(uint64(h.first), value[4:])
	}
	f.Add(uint64(1), []byte{})
	f.Fuzz(func(t *testing.T, first uint64, body []byte) {
		var dec decoder
		evs := decodeChunk(&dec, evtchn.Seq(first), body)
		if evs == nil {
			return
		}
		var enc encoder
		value, _ := enc.pack(nil, evs)
		again := decodeChunk(&dec, evtchn.Seq(first), value[4:])
		if len(again) != len(evs) {
			t.Fatalf("got %d events again, want %d", len(again), len(evs))
		}
		for i := range evs {
			if again[i] != evs[i] {
				t.Fatalf("event %d: got %+v again, want %+v", i, again[i], evs[i])
			}
		}
	})
}

// decodeChunk gives the events of a chunk's body, nil if it is no chunk.
func decodeChunk(dec *decoder, first evtchn.Seq, body []byte) []evtchn.Event {
	key := seqKey(first)
	if _, err := dec.openChunk(key, sealed(bucketChunks, key, body)); err != nil {
		return nil
	}
	evs := make([]evtchn.Event, 0, dec.left)
	var ev evtchn.Event
	for {
		switch dec.next(&ev) {
		case nil:
			evs = append(evs, ev)
		case errDone:
			return evs
		default:
			return nil
		}
	}
}

// FuzzEvents encodes events made of arbitrary bytes: decoding must give them back.
func FuzzEvents(f *testing.F) {
	f.Add([]byte("0123456789012345678901234567890123456789012345678901234567890123456789"))
	f.Fuzz(func(t *testing.T, b []byte) {
		const size = 8*6 + 4 + 2*3 + 2
		var evs []evtchn.Event
		kinds := evtchn.Kinds()
		for len(b) >= size && len(evs) < ChunkEvents {
			u := func(i int) uint64 { return binary.LittleEndian.Uint64(b[8*i:]) }
			c := b[48:]
			evs = append(evs, evtchn.Event{Seq: evtchn.Seq(len(evs) + 1), Time: evtchn.Time(u(0)), Args: [3]uint64{u(1), u(2), u(3)}, Res: u(4),
				Cause: evtchn.Seq(u(5)), Port: evtchn.Port(binary.LittleEndian.Uint32(c)), VCPU: evtchn.VCPU(binary.LittleEndian.Uint16(c[4:])),
				Dom: evtchn.DomID(binary.LittleEndian.Uint16(c[6:])), Ctx: evtchn.Context(binary.LittleEndian.Uint16(c[8:])),
				Kind: kinds[int(c[10])%len(kinds)], Flags: evtchn.Flags(c[11])})
			b = b[size:]
		}
		if len(evs) == 0 {
			return
		}
		var enc encoder
		var dec decoder
		value, _ := enc.pack(nil, evs)
		got := decodeChunk(&dec, 1, value[4:])
		if len(got) != len(evs) {
			t.Fatalf("got %d events, want %d", len(got), len(evs))
		}
		for i := range evs {
			if got[i] != evs[i] {
				t.Fatalf("event %d: got %+v, want %+v", i, got[i], evs[i])
			}
		}
	})
}

// FuzzDamage overwrites some place of a file and reads it in every way: each must give an error or the truth.
func FuzzDamage(f *testing.F) {
	s := newSample(f, 1)
	f.Add(uint32(8), []byte{2, 0})
	f.Add(uint32(4096*5+8), []byte{1, 0, 9})
	f.Add(uint32(4096*4+16), []byte{0, 0, 0, 0, 16, 0, 0, 0, 4, 0, 0, 0})
	f.Fuzz(func(t *testing.T, at uint32, patch []byte) {
		b := bytes.Clone(s.raw)
		copy(b[int(at)%len(b):], patch)
		path := filepath.Join(t.TempDir(), "damaged")
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		failed := s.judge(t, path)
		if rep, err := Check(path); err == nil && rep.OK() && failed {
			t.Error("reading fails, Check finds nothing")
		}
	})
}
