package evtchn_test

import (
	"bytes"
	"slices"
	"testing"

	. "github.com/evtrace/evtrace/evtchn"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// forget drops from events what a key does not hold.
func forget(log []Event) []Event {
	out := append([]Event(nil), log...)
	for i := range out {
		out[i].Seq, out[i].Time, out[i].Cause = 0, 0, 0
		if out[i].Kind == KindUpcallExit {
			out[i].Args[0] = 0
		}
		if out[i].Ctx.Class() == CtxForeign {
			out[i].Ctx = CtxForeign
		}
	}
	return out
}

// A machine made of a key has that key, and whatever it is made to do it does as the one that the key was made of. So does a
// copy made by CopyFrom into a machine that was used for something else.
func TestKeys(t *testing.T) {
	eachPolicy(t, func(t *rapid.T, policy string) {
		s := newScheduled(t, policy, rapid.SampledFrom([]int{4, 8, 64}).Draw(t, "wordbits"))
		s.moves = rapid.Bool().Draw(t, "moves")
		keys := NewKeys(s.m, rapid.Bool().Draw(t, "symmetric"))
		used, copied := s.m.Clone(), s.m.Clone()
		s.random(t, rapid.IntRange(0, 100).Draw(t, "elsewhere"))
		used.CopyFrom(s.m)
		copied.CopyFrom(s.m)
		s.random(t, rapid.IntRange(0, 150).Draw(t, "before"))

		key := keys.Append(nil, s.m)
		copied.CopyFrom(s.m)
		if !copied.State.Equal(&s.m.State) {
			t.Fatalf("the copy is in another state:\n%s\nwant:\n%s", copied.Describe(), s.m.Describe())
		}
		rest, err := keys.Load(used, append(append([]byte(nil), key...), 1, 2, 3))
		if err != nil || !bytes.Equal(rest, []byte{1, 2, 3}) {
			t.Fatalf("Load: %v, left %x, want 010203", err, rest)
		}
		for name, m := range map[string]*Machine{"copy": copied, "loaded": used} {
			if got := keys.Append(nil, m); !bytes.Equal(got, key) {
				t.Fatalf("the key of the %s is\n%x, want\n%x\n%s", name, got, key, s.m.Describe())
			}
		}
		for p := range s.m.P {
			if used.Unnoticed(Port(p)) != s.m.Unnoticed(Port(p)) || used.Owed(Port(p)) != s.m.Owed(Port(p)) {
				t.Fatalf("port %d: unnoticed %t, owed %t, want %t, %t", p, used.Unnoticed(Port(p)), used.Owed(Port(p)), s.m.Unnoticed(Port(p)), s.m.Owed(Port(p)))
			}
		}

		from, at := len(s.choices), len(s.log)
		s.random(t, 100)
		again := &scheduled{driver: &driver{m: copied, meta: s.meta, idle: s.idle}}
		loaded := &scheduled{driver: &driver{m: used, meta: s.meta, idle: s.idle}}
		for _, c := range s.choices[from:] {
			// Paths are told apart by what they do: their numbers are free.
			a, b := slices.Clone(keys.Contexts(again.m)), keys.Contexts(loaded.m)
			again.do(t, c)
			if i := slices.Index(a, c.ctx); c.kind == 's' && i >= 0 && i < len(b) {
				c.ctx = b[i]
			}
			loaded.do(t, c)
		}
		if diff := cmp.Diff(forget(s.log[at:]), forget(again.log)); diff != "" {
			t.Fatalf("the copy went another way (-original +copy):\n%s", diff)
		}
		if diff := cmp.Diff(forget(s.log[at:]), forget(loaded.log)); diff != "" {
			t.Fatalf("the machine made of the key went another way (-original +made of key):\n%s", diff)
		}
		if got, want := keys.Append(nil, used), keys.Append(nil, s.m); !bytes.Equal(got, want) {
			t.Fatalf("at the end the keys are\n%x, want\n%x", got, want)
		}
	})
}

// Nothing that is read as a key makes Load panic.
func FuzzKeys(f *testing.F) {
	d, err := newDriver("linux-2021", 2, 8, 2)
	if err != nil {
		f.Fatal(err)
	}
	d.boot(0)
	keys := NewKeys(d.m, true)
	f.Add(keys.Append(nil, d.m))
	if err := d.start(0, 0, OpBindVIRQ, 0, VIRQTimer, 0); err != nil {
		f.Fatal(err)
	}
	for range 12 {
		f.Add(keys.Append(nil, d.m))
		d.step(0)
	}
	m := d.m.Clone()
	f.Fuzz(func(t *testing.T, b []byte) {
		if rest, err := keys.Load(m, b); err == nil && len(rest) > len(b) {
			t.Fatalf("%d bytes left of %d", len(rest), len(b))
		}
	})
}

// BenchmarkKeys is what an exploration does with each state: copy, step, write a key, read one.
func BenchmarkKeys(b *testing.B) {
	d, err := newDriver("linux-2021", 2, 8, 2)
	if err != nil {
		b.Fatal(err)
	}
	for v := range VCPU(2) {
		d.boot(v)
		if err := d.start(v, 0, OpBindIPI, 0, uint64(v), 0); err != nil {
			b.Fatal(err)
		}
		d.settle(100)
	}
	keys := NewKeys(d.m, true)
	if err := d.start(1, 0, OpIPI, d.m.IPIPort(0), 0, 0); err != nil {
		b.Fatal(err)
	}
	for range 6 {
		d.step(1)
	}
	m, key := d.m.Clone(), keys.Append(nil, d.m)
	b.Run("copy", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			m.CopyFrom(d.m)
		}
	})
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			key = keys.Append(key[:0], d.m)
		}
		b.ReportMetric(float64(len(key)), "bytes")
	})
	b.Run("load", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := keys.Load(m, key); err != nil {
				b.Fatal(err)
			}
		}
	})
}
