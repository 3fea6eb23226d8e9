package tracedat

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"slices"
	"testing"
)

// typed reports whether an error is of a class that the package promises, and has its place.
func typed(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Offset >= 0 && (errors.Is(err, ErrFormat) || errors.Is(err, ErrCorrupt) || errors.Is(err, io.ErrUnexpectedEOF))
}

// within wants the events of a damaged file to be some of the whole file's, in their order. What is said of missing ones is left out.
func within(t *testing.T, what string, got []string) {
	t.Helper()
	var whole []string
	for _, l := range wantSample {
		whole = append(whole, bare(l))
	}
	at := 0
	for _, l := range got {
		l = bare(l)
		if l == "" {
			continue
		}
		i := slices.Index(whole[at:], l)
		if i < 0 {
			t.Errorf("%s: got event %q, which is not in the whole file after number %d", what, l, at)
			return
		}
		at += i + 1
	}
}

// bare leaves out what a line says of missing events; of a mark, nothing is left.
func bare(l string) string {
	before, after, ok := bytes.Cut([]byte(l), []byte(" lost "))
	if !ok {
		return l
	}
	_, rest, ok := bytes.Cut(after, []byte(" "))
	if !ok {
		return ""
	}
	return string(before) + " " + string(rest)
}

// TestTruncated cuts files everywhere. What is read is right, and where the file was cut is said.
func TestTruncated(t *testing.T) {
	for _, s := range shapes() {
		if testing.Short() && s.big {
			continue
		}
		t.Run(s.String(), func(t *testing.T) {
			b := sample(s).Bytes()
			most := 0
			for n := range b {
				lines, damage, err := all(t, b[:n])
				if err == nil || !errors.Is(err, io.ErrUnexpectedEOF) || !typed(err) {
					t.Fatalf("cut to %d of %d bytes: got %v, want an unexpected end with its place", n, len(b), err)
				}
				if len(damage) > 0 {
					t.Fatalf("cut to %d of %d bytes: got damage %v", n, len(b), damage)
				}
				var e *Error
				if errors.As(err, &e); e.Offset > int64(n) {
					t.Fatalf("cut to %d bytes: the place is %d", n, e.Offset)
				}
				within(t, "cut", lines)
				most = max(most, len(lines))
			}
			if s.version == 6 && most < len(wantSample) {
				t.Errorf("got at most %d lines of a file that is cut, want %d", most, len(wantSample))
			}
		})
	}
}

// TestFlipped changes each byte in turn.
func TestFlipped(t *testing.T) {
	list := shapes()
	if testing.Short() {
		list = list[:4]
	}
	for _, s := range list {
		t.Run(s.String(), func(t *testing.T) {
			b := sample(s).Bytes()
			damaged := 0
			for i := range b {
				c := bytes.Clone(b)
				c[i] ^= []byte{0xff, 0x80, 1 << (i % 8)}[i%3]
				_, damage, err := all(t, c)
				if err != nil && !typed(err) {
					t.Fatalf("byte %d: got %v, which has no class or no place", i, err)
				}
				for _, err := range damage {
					if !typed(err) {
						t.Fatalf("byte %d: got %v, which has no place", i, err)
					}
				}
				damaged += len(damage)
			}
			if damaged == 0 {
				t.Error("no damage was found in any page")
			}
		})
	}
}

// TestPage: damage costs the rest of a page, and the next event of the cpu says so.
func TestPage(t *testing.T) {
	for _, s := range shapes() {
		f := sample(s)
		f.CPUs[0][0].Items[1].Long = true
		f.CPUs[0][0].Commit = 400
		f.CPUs[0][0].Items[1].Data = append(f.CPUs[0][0].Items[1].Data, make([]byte, 900)...)
		got, damage, err := all(t, f.Bytes())
		if err != nil || len(damage) != 1 || !typed(damage[0]) {
			t.Fatalf("%s: got %v and damage %v, want one", s, err, damage)
		}
		want := []string{wantSample[0], wantSample[2], wantSample[3],
			"3000000000 cpu0 lost -1 <...>-77 9 2 evtchn:unmask __probe_ip=ffffffff81664d0a port=42",
			wantSample[6], wantSample[7], wantSample[8]}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got\n%q, want\n%q", s, got, want)
		}
		f = sample(s)
		f.CPUs[0][1].Commit = 600
		got, damage, err = all(t, f.Bytes())
		if err != nil || len(damage) != 1 || !typed(damage[0]) {
			t.Fatalf("%s: got %v and damage %v, want one", s, err, damage)
		}
		if want := append(slices.Clone(wantSample[:5]), wantSample[7], "4000000003 cpu0 lost -1"); !slices.Equal(got, want) {
			t.Errorf("%s: got\n%q, want\n%q", s, got, want)
		}
	}
}

// TestClaims: sizes that a file claims are not believed.
func TestClaims(t *testing.T) {
	for _, s := range shapes()[:4] {
		b := sample(s).Bytes()
		for i := 0; i+8 <= len(b); i += 3 {
			c := bytes.Clone(b)
			copy(c[i:], "\xff\xff\xff\x0f\x00\x00\x00\x00")
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, _, _ = all(t, c) // any error will do
			runtime.ReadMemStats(&after)
			// An unpacked section needs a decoder of some megabytes.
			if n := after.TotalAlloc - before.TotalAlloc; n > 64<<20 {
				t.Fatalf("%s: byte %d: %d bytes of memory were needed for a file of %d", s, i, n, len(b))
			}
		}
	}
}

// failing is a source that cannot be read from some place on.
type failing struct {
	r  io.ReaderAt
	at int64
}

var errDisk = errors.New("the disk is broken")

func (f failing) ReadAt(b []byte, at int64) (int, error) {
	if at+int64(len(b)) > f.at {
		return 0, errDisk
	}
	return f.r.ReadAt(b, at)
}

// TestSourceError: an error of the source is not taken for a cut.
func TestSourceError(t *testing.T) {
	b := sample(shape{6, false, 8, "none"}).Bytes()
	for n := range b {
		r, err := Open(failing{bytes.NewReader(b), int64(n)}, int64(len(b)))
		if err == nil {
			var ev Event
			for err == nil {
				err = r.Next(&ev)
			}
			r.Close()
		}
		if !errors.Is(err, errDisk) {
			t.Fatalf("broken at byte %d: got %v, want the source's error", n, err)
		}
	}
}

func FuzzReader(f *testing.F) {
	for _, s := range shapes() {
		f.Add(sample(s).Bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<20 {
			t.Skip("it is too long to be read often")
		}
		_, damage, err := all(t, b)
		if err != nil && !typed(err) {
			t.Errorf("got %v, which has no class or no place", err)
		}
		for _, err := range damage {
			if !typed(err) {
				t.Errorf("got %v, which has no place", err)
			}
		}
		r, err := Open(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		defer r.Close()
		_, _ = r.Symbols([]uint64{1 << 63}) // damage in there is its own
		if text, err := r.Text(); err == nil && text != nil {
			_, _ = io.Copy(io.Discard, io.LimitReader(text, 16<<20)) // it may be damaged as well
		}
	})
}
