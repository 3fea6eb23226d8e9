package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	bolt "go.etcd.io/bbolt"

	"github.com/evtrace/evtrace/evtchn"
)

// sample is a small file with several of everything, and what is in it.
type sample struct {
	raw  []byte
	evs  []evtchn.Event
	meta evtchn.Meta
}

// sparse reports whether one damaged byte in 37 is enough: the race detector makes each ten times as slow.
func sparse() bool { return raceEnabled || testing.Short() }

var smallFile = Options{chunkEvents: 100, frameEvents: 200}

func newSample(t testing.TB, vcpus int) *sample {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sample")
	s := &sample{evs: traffic(450, vcpus, 11), meta: simMeta(vcpus)}
	s.meta.ABI, s.meta.WordBits = "2l", 8 // 64 ports: keyframes stay small
	for i := range s.evs {
		e := &s.evs[i]
		e.Port %= 64
		if e.Kind == evtchn.KindSelTAS {
			e.Args[1] %= 8
		}
		if e.Kind == evtchn.KindWordRead {
			e.Args[0] %= 8
		}
	}
	w, err := Create(path, s.meta, smallFile)
	if err != nil {
		t.Fatal(err)
	}
	for i := range s.evs {
		if err := w.Add(&s.evs[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.PutFindings("v1", []byte("port 65 was lost")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	s.meta.Complete, s.meta.Events = true, uint64(len(s.evs))
	if s.raw, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	return s
}

// judge reads a damaged copy in every way there is. Each must give an error of the class ErrCorrupt or ErrNotTrace that names the file, or
// the truth. It reports whether any was an error.
func (s *sample) judge(t *testing.T, path string) bool {
	t.Helper()
	failed := false
	refused := func(err error) bool {
		if err == nil {
			return false
		}
		failed = true
		if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrNotTrace) && !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), path) {
			t.Errorf("got %q: want a class and the file's name in it", err)
		}
		return true
	}
	f, err := Open(path)
	if refused(err) {
		return true
	}
	defer f.Close()
	if d := cmp.Diff(s.meta, f.Meta()); d != "" {
		t.Errorf("wrong meta, silently:\n%s", d)
	}
	if f.Len() != uint64(len(s.evs)) {
		t.Errorf("wrong length, silently: got %d, want %d", f.Len(), len(s.evs))
	}
	got, err := drain(f.Events(1))
	if !refused(err) && len(got) != len(s.evs) {
		t.Errorf("end of events after %d, silently", len(got))
	}
	for i := range got {
		if got[i] != s.evs[i] {
			t.Errorf("wrong event, silently: got %v, want %v", got[i], s.evs[i])
			break
		}
	}
	for _, seq := range []int{0, 150, 200, 399, 450} {
		st, err := f.StateAt(evtchn.Seq(seq))
		if refused(err) {
			continue
		}
		if want := s.state(t, seq); !st.Equal(want) {
			t.Errorf("wrong state at %d, silently", seq)
		}
	}
	if data, ok := f.Findings("v1"); !ok {
		failed = true
	} else if string(data) != "port 65 was lost" {
		t.Errorf("wrong findings, silently: %q", data)
	}
	for i := range s.evs {
		if p := s.evs[i].Port; p != 0 {
			found := false
			for _, r := range f.PortChunks(p) {
				found = found || r.First <= s.evs[i].Seq && s.evs[i].Seq <= r.Last
			}
			if !found {
				t.Errorf("the port index misses event %d, silently", i+1)
			}
		}
		if i > 20 {
			break
		}
	}
	return failed
}

func (s *sample) state(t testing.TB, n int) *evtchn.State {
	t.Helper()
	st, err := evtchn.NewState(s.meta)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		st.Apply(&s.evs[i])
	}
	return st
}

// Any byte that is changed is either found out or of no consequence; and where reading finds nothing, what Check finds is no
// lie either. Nothing panics.
func TestFlippedBytes(t *testing.T) {
	s := newSample(t, 2)
	path := filepath.Join(t.TempDir(), "flipped")
	tried, found, checked := 0, 0, 0
	for at := range s.raw {
		// Deep inside a run of zeros one byte is like the other: one in 64 will do.
		if unused := len(bytes.Trim(s.raw[max(at-64, 0):min(at+64, len(s.raw))], "\x00")) == 0; unused && at%64 != 0 || sparse() && at%37 != 0 {
			continue
		}
		tried++
		b := bytes.Clone(s.raw)
		b[at] ^= []byte{0x01, 0xff, 0x80, 0x03}[at%4]
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		failed := s.judge(t, path)
		if failed {
			found++
		}
		rep, err := Check(path)
		if err != nil || !rep.OK() {
			checked++
		} else if failed {
			t.Errorf("byte %d: reading fails, Check finds nothing", at)
		}
		if t.Failed() {
			t.Fatalf("byte %d of %d (page %d+%d): %#x -> %#x", at, len(s.raw), at/os.Getpagesize(), at%os.Getpagesize(), s.raw[at], b[at])
		}
	}
	t.Logf("%d flips in %d bytes: %d were found out by reading, %d by Check, the others are in unused space", tried, len(s.raw), found, checked)
	if found == 0 || checked < found {
		t.Errorf("reading found %d, Check %d", found, checked)
	}
}

// A file that was cut, at whatever byte, is never taken for a whole one.
func TestTruncated(t *testing.T) {
	s := newSample(t, 2)
	path := filepath.Join(t.TempDir(), "cut")
	for n := range s.raw {
		// Around the borders of pages every byte, elsewhere one in 64.
		if border := (n+64)%os.Getpagesize() < 128; !border && n%64 != 0 || sparse() && n%37 != 0 {
			continue
		}
		if err := os.WriteFile(path, s.raw[:n], 0o644); err != nil {
			t.Fatal(err)
		}
		f, err := Open(path)
		if err == nil {
			f.Close()
			t.Fatalf("cut to %d of %d bytes: no error", n, len(s.raw))
		}
		if want := ErrTruncated; n >= 2*os.Getpagesize() && !errors.Is(err, want) {
			t.Fatalf("cut to %d of %d bytes: got %v, want %v", n, len(s.raw), err, want)
		}
		if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrNotTrace) || !strings.Contains(err.Error(), path) {
			t.Fatalf("cut to %d bytes: got %v", n, err)
		}
		if rep, err := Check(path); err == nil && rep.OK() {
			t.Fatalf("cut to %d bytes: Check finds nothing", n)
		}
	}
}

// A file that shrinks while it is open must give errors, not kill the process.
func TestShrinksUnderReader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t")
	write(t, path, traffic(20*ChunkEvents, 4, 1), simMeta(4), Options{})
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.Truncate(path, 3*4096); err != nil {
		t.Fatal(err)
	}
	if _, err := drain(f.Events(1)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("got %v, want ErrCorrupt", err)
	}
	if _, err := f.StateAt(19 * ChunkEvents); !errors.Is(err, ErrCorrupt) {
		t.Errorf("got %v, want ErrCorrupt", err)
	}
}

func TestNotTraces(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	other := filepath.Join(dir, "other.db")
	db, err := bolt.Open(other, 0o644, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	random := make([]byte, 100000)
	for i := range random {
		random[i] = byte(i * i >> 3)
	}
	for _, path := range []string{dir, file("empty", nil), file("text", []byte("seq time vcpu\n")), file("zeros", make([]byte, 1<<16)),
		file("random", random), other, os.DevNull} {
		if _, err := Open(path); !errors.Is(err, ErrNotTrace) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got %v, want ErrNotTrace", path, err)
		}
		if _, err := Check(path); !errors.Is(err, ErrNotTrace) {
			t.Errorf("check %s: got %v, want ErrNotTrace", path, err)
		}
	}
	if _, err := Open(filepath.Join(dir, "missing")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want ErrNotExist", err)
	}
}

// A file of a newer version is refused, by number.
func TestFutureVersions(t *testing.T) {
	s := newSample(t, 2)
	for name, change := range map[string]func(b *bolt.Bucket) error{
		"layout version 2": func(b *bolt.Bucket) error {
			return b.Put(keyVersion, sealed(bucketMeta, keyVersion, []byte("2")))
		},
		"event format 99": func(b *bolt.Bucket) error {
			return b.Put(keyTrace, sealed(bucketMeta, keyTrace, []byte(`{"format":99}`)))
		},
	} {
		path := filepath.Join(t.TempDir(), "future")
		if err := os.WriteFile(path, s.raw, 0o644); err != nil {
			t.Fatal(err)
		}
		db, err := bolt.Open(path, 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Update(func(tx *bolt.Tx) error { return change(tx.Bucket(bucketMeta)) }); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		_, err = Open(path)
		if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "upgrade") {
			t.Errorf("%s: got %v", name, err)
		}
		if _, err = Check(path); !errors.Is(err, ErrFormat) {
			t.Errorf("check: %s: got %v", name, err)
		}
	}
}

// Check must list every problem, not stop at the first, and see that a keyframe is a lie even if its checksum is right.
func TestCheckListsProblems(t *testing.T) {
	s := newSample(t, 2)
	path := filepath.Join(t.TempDir(), "bad")
	if err := os.WriteFile(path, s.raw, 0o644); err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(path, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		chunks, frames := tx.Bucket(bucketChunks), tx.Bucket(bucketKeyframes)
		for _, first := range []evtchn.Seq{101, 401} {
			v := bytes.Clone(chunks.Get(seqKey(first)))
			v[len(v)-1] ^= 1
			if err := chunks.Put(seqKey(first), v); err != nil {
				return err
			}
		}
		// The state after event 200, retold as that after 400.
		v := frames.Get(frameKey(200, 0))
		return frames.Put(frameKey(400, 0), sealed(bucketKeyframes, frameKey(400, 0), v[4:]))
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	rep, err := Check(path)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range rep.Problems {
		got = append(got, fmt.Sprint(p))
	}
	text := strings.Join(got, "\n")
	for _, want := range []string{"chunk 1 (events 101 to 200): ", "chunk 4 (events 401 to 450): ", "keyframe after event 400: "} {
		if !strings.Contains(text, want) {
			t.Errorf("problems:\n%s\nwant one with %q", text, want)
		}
	}
	if rep.Chunks != 3 {
		t.Errorf("got %d good chunks, want 3", rep.Chunks)
	}
}

// In the partial of a killed recording, too, no flip gives wrong events. Damage to the newest meta page may bring back the batch
// before: fewer events, of a trace that says that it is incomplete anyway.
func TestFlippedBytesOfPartial(t *testing.T) {
	s := newSample(t, 2)
	path := filepath.Join(t.TempDir(), "t.evt")
	w, err := Create(path, s.meta, smallFile)
	if err != nil {
		t.Fatal(err)
	}
	for i := range s.evs {
		if err := w.Add(&s.evs[i]); err != nil {
			t.Fatal(err)
		}
		if i == 250 {
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path + PartialSuffix)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Abort(); err != nil {
		t.Fatal(err)
	}
	tree, err := readMetas(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	raw = raw[:tree.meta.pages*uint64(tree.meta.pageSize)]
	older := 0
	for at := range raw {
		if unused := len(bytes.Trim(raw[max(at-64, 0):min(at+64, len(raw))], "\x00")) == 0; at%5 != 0 || unused && at%35 != 0 || sparse() && at%37 != 0 {
			continue
		}
		b := bytes.Clone(raw)
		b[at] ^= []byte{0x02, 0xff, 0x40, 0x01}[at%4]
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		f, err := Open(path)
		if err != nil {
			continue
		}
		got, err := drain(f.Events(1))
		if err == nil && uint64(len(got)) != f.Len() || len(got) > len(s.evs) || f.Meta().Complete {
			t.Fatalf("byte %d: %d events of %d, complete %v", at, len(got), f.Len(), f.Meta().Complete)
		}
		for i := range got {
			if got[i] != s.evs[i] {
				t.Fatalf("byte %d: wrong event, silently: got %v, want %v", at, got[i], s.evs[i])
			}
		}
		if err == nil && len(got) < len(s.evs) {
			older++
			if rep, err := Check(path); err == nil && rep.OK() {
				t.Errorf("byte %d: %d of %d events, and Check finds nothing", at, len(got), len(s.evs))
			}
		}
		if st, err := f.StateAt(evtchn.Seq(f.Len())); err == nil && !st.Equal(s.state(t, int(f.Len()))) {
			t.Fatalf("byte %d: wrong state, silently", at)
		}
		f.Close()
	}
	if older > 2*(pageHeader+metaSize) {
		t.Errorf("%d flips brought back an older batch: more than a meta page has bytes", older)
	}
}

// A closed file ends where its database ends: what somebody appended is reported by everything that reads it.
func TestAppended(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.evt")
	w, err := Create(path, simMeta(2), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("x"); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if _, err := Open(path); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "something was appended") {
		t.Errorf("open: got %v, want ErrCorrupt", err)
	}
	rep, err := Check(path)
	if err != nil || rep.OK() {
		t.Errorf("check: got %v and %+v, want a problem", err, rep)
	}
}

// Damage to one of the two meta pages of a closed file loses nothing: Open reads all, and Check warns.
func TestMetaPage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.evt")
	w, err := Create(path, simMeta(2), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for page := range 2 {
		data[page*os.Getpagesize()+30] ^= 1
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		data[page*os.Getpagesize()+30] ^= 1
		f, err := Open(path)
		if err != nil {
			t.Fatalf("page %d: %v", page, err)
		}
		if !f.Meta().Complete {
			t.Errorf("page %d: the trace has become incomplete", page)
		}
		f.Close()
		rep, err := Check(path)
		if err != nil || !rep.OK() || len(rep.Warnings) != 1 {
			t.Errorf("page %d: check: got %v and %+v, want a warning", page, err, rep)
		}
	}
}
