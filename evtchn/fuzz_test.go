package evtchn_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	. "github.com/evtrace/evtrace/evtchn"
)

// corpus is the log of a short run under a policy.
func corpus(t testing.TB, policy string) *driver {
	d, err := newDriver(policy, 2, 4, 3)
	if err != nil {
		t.Fatal(err)
	}
	for v := range VCPU(2) {
		d.boot(v)
		for _, op := range []OpCode{OpBindVIRQ, OpBindIPI} {
			a, b := uint64(v), uint64(0)
			if op == OpBindVIRQ {
				a, b = VIRQTimer, uint64(v)
			}
			if err := d.start(v, 0, op, 0, a, b); err != nil {
				t.Fatal(err)
			}
			d.settle(100)
		}
	}
	d.m.AddRemote(1, 9)
	for _, op := range []struct {
		op   OpCode
		port Port
		a, b uint64
	}{{OpBindRemote, 0, 1, 9}, {OpAffinity, 5, 1, 0}, {OpWrite, 5, 0, 0}, {OpPoll, 5, 0, 0}} {
		d.settle(100)
		if err := d.start(1, 1, op.op, op.port, op.a, op.b); err != nil {
			t.Fatal(err)
		}
		if _, err := d.m.StartForeign(5); err != nil {
			t.Fatal(err)
		}
		d.settle(3) // and no further: procedures are under way
	}
	return d
}

const eventBytes = 1 + 1 + 1 + 2 + 2 + 3*8 + 8

// pack writes an event in as few bytes as a fuzzer needs to change it; unpack reads it.
func pack(b []byte, ev *Event) []byte {
	b = append(b, byte(ev.Kind), byte(ev.VCPU), byte(ev.Port))
	b = binary.LittleEndian.AppendUint16(b, uint16(ev.Ctx))
	b = append(b, byte(ev.Flags), byte(ev.Port>>8))
	for _, a := range append(ev.Args[:], ev.Res) {
		b = binary.LittleEndian.AppendUint64(b, a)
	}
	return b
}

func unpack(b []byte) (ev Event, rest []byte) {
	ev.Kind, ev.VCPU, ev.Port = Kind(b[0]), VCPU(int8(b[1])), Port(b[2])|Port(b[6])<<8
	ev.Ctx, ev.Flags = Context(binary.LittleEndian.Uint16(b[3:])), Flags(b[5])
	for i := range ev.Args {
		ev.Args[i] = binary.LittleEndian.Uint64(b[7+8*i:])
	}
	ev.Res = binary.LittleEndian.Uint64(b[31:])
	return ev, b[eventBytes:]
}

// exercise asks a state everything that it can be asked.
func exercise(s *State) {
	s.Check()
	_ = s.Describe()
	for _, p := range s.ExposedPorts() {
		s.Unnoticed(p)
		s.Owed(p)
	}
}

func reread(t *testing.T, s *State) {
	snap, err := s.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	var back State
	if err := back.UnmarshalBinary(snap); err != nil {
		t.Fatalf("its own snapshot: %v\n%s", err, s.Describe())
	}
	if !back.Equal(s) || back.Describe() != s.Describe() {
		t.Fatalf("the snapshot reads back as another state:\n%s\nwant:\n%s", back.Describe(), s.Describe())
	}
}

// Any events in any order on a state: no panic, and its snapshot reads back. Events are numbered, as everywhere, from 1.
func FuzzApply(f *testing.F) {
	for _, p := range Presets() {
		var b []byte
		d := corpus(f, p.Name)
		for i := range d.log {
			b = pack(b, &d.log[i])
		}
		f.Add(byte(0), b)
	}
	f.Add(byte(3), []byte{})
	f.Fuzz(func(t *testing.T, how byte, b []byte) {
		meta := Meta{Source: SourceSim, ABI: "2l", VCPUs: 2, WordBits: 4}
		if how&1 != 0 {
			meta.Source = SourceObserved
		}
		if how&2 != 0 {
			meta.VCPUs, meta.WordBits = 70, 64
		}
		if how&4 != 0 {
			meta.Policy = "sender-recheck"
		}
		s, err := NewState(meta)
		if err != nil {
			t.Fatal(err)
		}
		for n := Seq(1); len(b) >= eventBytes && n < 2000; n++ {
			var ev Event
			ev, b = unpack(b)
			ev.Seq, ev.Time = n, Time(n)
			_ = ev.String()
			ev.Target()
			s.Apply(&ev)
		}
		exercise(s)
		reread(t, s)
	})
}

// Any bytes as a snapshot: refused with ErrSnapshot, or read, written again alike, and good for any event.
func FuzzSnapshot(f *testing.F) {
	for _, p := range []string{"xen-2005", "linux-2021", "sender-recheck", "owner-ipi-resend"} {
		d := corpus(f, p)
		snap, err := d.m.State.AppendBinary(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(snap)
	}
	d := corpus(f, "xen-2005")
	f.Fuzz(func(t *testing.T, b []byte) {
		var s State
		if err := s.UnmarshalBinary(b); err != nil {
			if !errors.Is(err, ErrSnapshot) {
				t.Fatalf("error %v, want one of class ErrSnapshot", err)
			}
			return
		}
		again, err := s.AppendBinary(nil)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("written again as %x, %v", again, err)
		}
		exercise(&s)
		for i := range d.log {
			ev := d.log[i]
			s.Apply(&ev)
		}
		exercise(&s)
		reread(t, &s)
	})
}

// What parses as a policy prints as something that parses as the same.
func FuzzParsePolicy(f *testing.F) {
	for _, p := range Presets() {
		f.Add(p.Name)
	}
	for _, s := range []string{"", "unmask=hypercall,rebind=2013", "linux-2021,send=recheck", "unmask=hypercal", "xen-2005,xen-2005", " unmask=local ,,=", "upcall=any,ack=2021"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, spec string) {
		p, err := ParsePolicy(spec)
		if err != nil {
			if !errors.Is(err, ErrPolicy) {
				t.Fatalf("%q: error %v, want one of class ErrPolicy", spec, err)
			}
			return
		}
		if q, err := ParsePolicy(p.String()); err != nil || q != p {
			t.Fatalf("%q: prints itself as %q, which is %v, %v", spec, p, q, err)
		}
	})
}
