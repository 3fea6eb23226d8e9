package xentrace

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/evtrace/evtrace/evtchn"
)

// sample is a trace of three CPUs with records of many kinds, in windows that begin at those offsets.
func sample(rounds int) (b []byte, windows []int) {
	var w builder
	tsc := uint64(1 << 40)
	for range rounds {
		for cpu := range 3 {
			w.cpu(cpu)
			windows = append(windows, w.window)
			for range 4 {
				tsc += 1000
				c := uint32(cpu)
				w.state(tsc, 0, c, runnable, running).call(tsc+10, callEvtchn, 4).rec(0x20110b, tsc+20, 1, 2, 3, 4, 5, 6).
					rec(0x22209, tsc+30).rec(idContinue, tsc+40, c).plain(idWrapBuffer, 0, 0, 0).state(tsc+50, 0, c, running, blocked).
					state(tsc+60, 0, c, blocked, runnable)
			}
		}
	}
	return w.bytes(), windows
}

// records reads all that a reader gives.
func records(t *testing.T, b []byte) ([]Record, Stats) {
	t.Helper()
	r := NewReader(bytes.NewReader(b), false)
	var recs []Record
	var rec Record
	for {
		err := r.Next(&rec)
		if err == io.EOF {
			return recs, r.Stats()
		} else if err != nil {
			t.Fatal(err)
		}
		clear(rec.Data[rec.Words:])
		recs = append(recs, rec)
	}
}

// strictly gives the error that a strict reader ends with.
func strictly(b []byte) error {
	r := NewReader(bytes.NewReader(b), true)
	var rec Record
	for {
		if err := r.Next(&rec); err != nil {
			return err
		}
	}
}

// What is damaged is passed over up to the next window, and located; a single time stamp costs its record only.
func TestDamage(t *testing.T) {
	whole, windows := sample(3)
	all, st := records(t, whole)
	if st.Damage != (Damage{}) || st.Cut || len(all) != 3*3*4*8 || st.Windows != 9 || st.Bytes != int64(len(whole)) {
		t.Fatalf("sound: got %d records, %+v", len(all), st)
	}
	perWindow := len(all) / 9
	w4 := windows[4]
	second := w4 + windowHeader + 16 // its second record
	for _, c := range []struct {
		name    string
		spoil   func(b []byte) []byte
		lost    int // records
		first   string
		records uint64 // Damage.Records
	}{
		{"a header without a class", func(b []byte) []byte { b[second+2] = 0; return b }, perWindow - 1, "no record begins with 0xa000100d", 0},
		{"a record that is longer than the window", func(b []byte) []byte {
			b[windows[5]-16+3] |= 0x70
			return b
		}, 1, "does not fit into the 16 that are left", 0},
		{"a window's size", func(b []byte) []byte { b[w4+8] += 8; return b }, 0, "a window begins within a window", 0},
		{"a window's size, far too large", func(b []byte) []byte { b[w4+11] = 0x10; return b }, 0, "a window begins within a window", 0},
		{"a window's size, beyond all bounds", func(b []byte) []byte { b[w4+11] = 0xf0; return b }, perWindow, "no window begins here", 0},
		{"a window's head", func(b []byte) []byte { b[w4] ^= 1; return b }, perWindow, "no window begins here", 0},
		{"a CPU that cannot be", func(b []byte) []byte { b[w4+7] = 1; return b }, perWindow, "no window begins here", 0},
		{"bytes too many before a window", func(b []byte) []byte { return append(append(append([]byte{}, b[:w4]...), "xyz"...), b[w4:]...) },
			0, "no window begins here", 0},
		{"a hole", func(b []byte) []byte { return append(append([]byte{}, b[:second]...), b[second+160:]...) }, -1, "", 0},
		{"a time stamp that is too high", func(b []byte) []byte { b[second+9] = 0x7f; return b }, 1, "time stamp does not fit", 1},
		{"a time stamp that is too low", func(b []byte) []byte { b[second+9] = 0; return b }, 1, "time stamp does not fit", 1},
		{"a time stamp that is none", func(b []byte) []byte { b[second+11] = 0x80; return b }, 1, "time stamp does not fit", 1},
		{"the end is missing", func(b []byte) []byte { return b[:windows[8]] }, perWindow, "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := c.spoil(bytes.Clone(whole))
			recs, st := records(t, b)
			if c.lost >= 0 && len(recs) != len(all)-c.lost {
				t.Errorf("got %d records, want %d", len(recs), len(all)-c.lost)
			}
			if c.lost < 0 && (len(recs) >= len(all) || len(recs) < len(all)-2*perWindow) {
				t.Errorf("got %d of %d records", len(recs), len(all))
			}
			if st.Damage.Records != c.records || !strings.Contains(st.Damage.First, c.first) || (c.first != "") != (st.Damage.Places == 1) && c.lost >= 0 {
				t.Errorf("got %+v, want %q", st.Damage, c.first)
			}
			err := strictly(b)
			if damaged := st.Damage.Places > 0; errors.Is(err, ErrDamaged) != damaged || !damaged && err != io.EOF {
				t.Errorf("strict: got %v", err)
			} else if damaged && !strings.HasPrefix(err.Error(), "byte ") {
				t.Errorf("strict: %v: no offset", err)
			}
		})
	}
}

// What a damaged stretch took away could have changed any state, but for that of a vcpu which runs on a CPU whose records go on.
func TestDamageForgets(t *testing.T) {
	b := new(builder).cpu(0).state(100, 0, 0, runnable, running).state(110, 0, 1, running, blocked)
	b.cpu(1)
	b.words(0xffffffff)
	b.cpu(0).state(200, 0, 0, running, blocked).state(210, 0, 1, blocked, runnable)
	got, _ := imported(t, b.bytes(), Options{VCPUs: 2})
	want(t, got, `
1 100 - - sched.state target=v0 from=runnable to=running = 0
2 110 - - sched.state target=v1 from=running to=blocked = 0
3 110 - - sched.state target=v0 from=running to=unknown = 0
4 110 - - sched.state target=v1 from=blocked to=unknown = 0
5 200 - - sched.state target=v0 from=running to=blocked = 0
6 210 - - sched.state target=v1 from=blocked to=runnable = 0
`)
}

// A trace that was cut gives all records before that place, wherever it is; strictly, it is cut.
func TestCut(t *testing.T) {
	whole, windows := sample(2)
	all, _ := records(t, whole)
	for n := windowHeader; n < len(whole); n++ {
		recs, st := records(t, whole[:n])
		want := 0
		for want < len(all) && int(all[want].Offset)+sizeOf(uint32(all[want].ID)|stamp(&all[want])<<31|uint32(all[want].Words)<<28) <= n {
			want++
		}
		border := false
		for _, w := range windows {
			border = border || n == w
		}
		if len(recs) != want || st.Cut == border || st.Damage.Places > 0 || st.Bytes != int64(n) {
			t.Fatalf("cut at %d: got %d records, %+v, want %d", n, len(recs), st, want)
		}
		if err := strictly(whole[:n]); errors.Is(err, io.ErrUnexpectedEOF) == border {
			t.Fatalf("cut at %d: strictly: got %v", n, err)
		}
	}
}

func stamp(r *Record) uint32 {
	if r.TSC != 0 {
		return 1
	}
	return 0
}

// An error of the source comes with its place, after all records before it.
func TestSourceError(t *testing.T) {
	whole, _ := sample(2)
	broken := errors.New("broken")
	r := NewReader(io.MultiReader(bytes.NewReader(whole[:1000]), failing{broken}), false)
	var rec Record
	n := 0
	var err error
	for err = r.Next(&rec); err == nil; err = r.Next(&rec) {
		n++
	}
	if !errors.Is(err, broken) || n == 0 || !strings.HasPrefix(err.Error(), "after byte ") {
		t.Errorf("got %d records and %v", n, err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// With random damage, what lies in windows that it does not touch is there, and times never go back.
func TestRandomDamage(t *testing.T) {
	whole, windows := sample(6)
	all, _ := records(t, whole)
	for seed := range uint64(500) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		b := bytes.Clone(whole)
		touched := make(map[int]bool) // windows
		for range 1 + rnd.IntN(3) {
			at := rnd.IntN(len(b))
			b[at] ^= 1 << rnd.IntN(8)
			w := 0
			for w+1 < len(windows) && windows[w+1] <= at {
				w++
			}
			touched[w] = true
		}
		recs, _ := records(t, b)
		have := make(map[int64]Record, len(recs))
		for _, r := range recs {
			have[r.Offset] = r
		}
		for _, r := range all {
			w := 0
			for w+1 < len(windows) && windows[w+1] <= int(r.Offset) {
				w++
			}
			// A window that names another CPU than its own spoils what that CPU's next windows are compared with.
			if got := have[r.Offset]; !touched[w] && got != r && got != (Record{}) {
				t.Fatalf("seed %d: record at %d: got %+v, want %+v", seed, r.Offset, got, r)
			} else if !touched[w] && got == (Record{}) && len(touched) == 1 && headSound(b, windows, touched) {
				t.Fatalf("seed %d: the record at %d, outside the damage, is missing", seed, r.Offset)
			}
		}
	}
}

// headSound reports whether the heads of the windows that were touched are as they were, and no time stamp in them is of another age.
func headSound(b []byte, windows []int, touched map[int]bool) bool {
	whole, _ := sample(6)
	for w := range touched {
		if !bytes.Equal(b[windows[w]:windows[w]+windowHeader], whole[windows[w]:windows[w]+windowHeader]) {
			return false
		}
	}
	return true
}

// Whatever the bytes, reading ends, without a panic, in one of the errors that are promised; what is given is within the file, the events
// are in order, and no more memory is held than the file is long.
func FuzzImport(f *testing.F) {
	whole, windows := sample(2)
	f.Add(whole)
	f.Add(whole[:windows[3]])
	f.Add(whole[:windows[2]+30])
	lost := new(builder).cpu(0).state(100, 0, 0, runnable, running).cpu(1).lost(400, 77, 0, 1, 200).state(420, 0, 1, running, blocked).bytes()
	f.Add(lost)
	for _, at := range []int{0, 5, 9, 11, 14, 19, 27, windows[1] + 3, windows[1] + 40} {
		b := bytes.Clone(whole)
		b[at] ^= 0x40
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, strict := range []bool{false, true} {
			im, err := New(bytes.NewReader(b), "t.bin", Options{Strict: strict, VCPUs: 4})
			if err != nil {
				if !errors.Is(err, ErrFormat) && !errors.Is(err, ErrDamaged) && !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Fatalf("strict %v: got %v", strict, err)
				}
				continue
			}
			if len(b)%2 == 1 {
				var from [8]byte
				copy(from[:], b[len(b)/2:])
				im.From(evtchn.Time(binary.LittleEndian.Uint64(from[:]) >> 1))
			}
			var ev, last evtchn.Event
			for err = im.Next(&ev); err == nil; err = im.Next(&ev) {
				if ev.Seq != last.Seq+1 || ev.Time < last.Time && last.Seq > 0 || ev.Target() >= 4 || !ev.Kind.Valid() {
					t.Fatalf("%v after %v", ev, last)
				}
				last = ev
			}
			if err != io.EOF && !(strict && (errors.Is(err, ErrDamaged) || errors.Is(err, io.ErrUnexpectedEOF))) {
				t.Fatalf("strict %v: ended with %v", strict, err)
			}
			st := im.r.Stats()
			if m := im.FinalMeta(); m.Events != uint64(last.Seq) || st.Records > uint64(len(b)/headerSize) || st.Damage.Bytes > uint64(len(b)) {
				t.Fatalf("%d events, meta says %d; %+v", last.Seq, m.Events, st)
			}
			im.Totals()
		}
	})
}
