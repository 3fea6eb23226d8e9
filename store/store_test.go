package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/evtrace/evtrace/evtchn"
)

// all reads every event from a seq on.
func all(t testing.TB, f *File, from evtchn.Seq) []evtchn.Event {
	t.Helper()
	evs, err := drain(f.Events(from))
	if err != nil {
		t.Fatal(err)
	}
	return evs
}

func drain(s evtchn.Source) (evs []evtchn.Event, err error) {
	var ev evtchn.Event
	for {
		switch err := s.Next(&ev); err {
		case nil:
			evs = append(evs, ev)
		case io.EOF:
			return evs, nil
		default:
			return evs, err
		}
	}
}

func TestChunkRoundTrip(t *testing.T) {
	var enc encoder
	var dec decoder
	rapid.Check(t, func(t *rapid.T) {
		first := evtchn.Seq(rapid.Uint64Range(1, 1<<40).Draw(t, "first"))
		n := rapid.IntRange(1, 300).Draw(t, "events")
		evs := make([]evtchn.Event, n)
		for i := range evs {
			evs[i] = anyEvent(first+evtchn.Seq(i)).Draw(t, "event")
		}
		value, h := enc.pack(nil, evs)
		got, err := dec.openChunk(seqKey(first), value)
		if err != nil {
			t.Fatal(err)
		}
		if got != h {
			t.Fatalf("header: got %+v, want %+v", got, h)
		}
		for i := range evs {
			var ev evtchn.Event
			if err := dec.next(&ev); err != nil {
				t.Fatal(err)
			}
			if ev != evs[i] {
				t.Fatalf("event %d: got %+v, want %+v", i, ev, evs[i])
			}
		}
		if err := dec.next(&evtchn.Event{}); err != errDone {
			t.Fatalf("after the last event: got %v, want %v", err, errDone)
		}
	})
}

func TestRoundTrip(t *testing.T) {
	for _, n := range []int{0, 1, 100, ChunkEvents, ChunkEvents + 1, 3*KeyframeEvents + 12345, 45 * ChunkEvents} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "t.evt")
			evs := traffic(n, 16, 3)
			meta := simMeta(16)
			write(t, path, evs, meta, Options{})
			f := mustOpen(t, path)
			got := all(t, f, 1)
			if len(got) != n {
				t.Fatalf("got %d events, want %d", len(got), n)
			}
			for i := range evs {
				if got[i] != evs[i] {
					t.Fatalf("event %d: got %+v, want %+v", i+1, got[i], evs[i])
				}
			}
			meta.Complete, meta.Events = true, uint64(n)
			if d := cmp.Diff(meta, f.Meta()); d != "" {
				t.Errorf("meta (-want +got):\n%s", d)
			}
			if f.Len() != uint64(n) || f.Info().Events != uint64(n) || !f.Info().Closed {
				t.Errorf("got Len %d, info %+v", f.Len(), f.Info())
			}
			if want := n / KeyframeEvents; len(f.Keyframes()) != want {
				t.Errorf("got keyframes %v, want %d", f.Keyframes(), want)
			}
		})
	}
}

func TestEventsFromAnywhere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.evt")
	evs := traffic(3*ChunkEvents+77, 4, 3)
	write(t, path, evs, simMeta(4), Options{})
	f := mustOpen(t, path)
	rapid.Check(t, func(t *rapid.T) {
		from := rapid.IntRange(0, len(evs)+5).Draw(t, "from")
		s := f.Events(evtchn.Seq(from))
		for i := max(from, 1) - 1; i < min(from+100, len(evs)); i++ {
			var ev evtchn.Event
			if err := s.Next(&ev); err != nil || ev != evs[i] {
				t.Fatalf("got %+v, %v, want %+v", ev, err, evs[i])
			}
		}
		if from > len(evs) {
			if err := s.Next(&evtchn.Event{}); err != io.EOF {
				t.Fatalf("from %d of %d: got %v, want EOF", from, len(evs), err)
			}
			if _, err := f.StateAt(evtchn.Seq(from)); !errors.Is(err, ErrRange) {
				t.Fatalf("StateAt(%d): got %v, want ErrRange", from, err)
			}
		} else if from > 0 {
			if ev, err := f.At(evtchn.Seq(from)); err != nil || ev != evs[from-1] {
				t.Fatalf("At(%d): got %+v, %v, want %+v", from, ev, err, evs[from-1])
			}
			at, err := f.SeqAt(evs[from-1].Time)
			if err != nil || evs[at-1].Time != evs[from-1].Time || at > 1 && evs[at-2].Time >= evs[from-1].Time {
				t.Fatalf("SeqAt(%d): got %d, %v, want the first event of that time, about %d", evs[from-1].Time, at, err, from)
			}
		}
	})
	if s, err := f.SeqAt(1 << 60); err != nil || s != evtchn.Seq(len(evs)+1) {
		t.Errorf("SeqAt after the end: got %d, %v, want %d", s, err, len(evs)+1)
	}
}

// StateAt must give the state that all events before lead to, wherever keyframes lie.
func TestStateAt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.evt")
	evs := traffic(3*KeyframeEvents+500, 8, 9)
	write(t, path, evs, simMeta(8), Options{})
	f := mustOpen(t, path)
	want, err := evtchn.NewState(simMeta(8))
	if err != nil {
		t.Fatal(err)
	}
	for i := range len(evs) + 1 {
		if i > 0 {
			want.Apply(&evs[i-1])
		}
		if i%9973 != 0 && i%KeyframeEvents > 1 && i != len(evs) {
			continue
		}
		got, err := f.StateAt(evtchn.Seq(i))
		if err != nil {
			t.Fatal(err)
		}
		if !got.Equal(want) {
			t.Fatalf("state at %d differs from that of all events before", i)
		}
	}
}

func TestPortChunks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.evt")
	evs := traffic(40*ChunkEvents, 2, 9)
	evs[5*ChunkEvents+3].Port = 4000
	evs[37*ChunkEvents].Port = 4000
	write(t, path, evs, simMeta(2), Options{})
	f := mustOpen(t, path)
	for _, p := range []evtchn.Port{1, 17, 64, 4000, 4001, 1 << 20} {
		want := map[evtchn.Seq]bool{}
		for i := range evs {
			if evs[i].Port == p {
				want[evtchn.Seq(i/ChunkEvents*ChunkEvents+1)] = true
			}
		}
		got := map[evtchn.Seq]bool{}
		for _, r := range f.PortChunks(p) {
			got[r.First] = true
			if r.Last != r.First+ChunkEvents-1 {
				t.Errorf("port %d: range %+v, want %d events", p, r, ChunkEvents)
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("port %d (-want +got):\n%s", p, d)
		}
	}
}

func TestFindings(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.evt")
	w, err := Create(path, simMeta(1), Options{})
	if err != nil {
		t.Fatal(err)
	}
	large := bytes.Repeat([]byte("a finding "), 100000)
	for v, data := range map[string][]byte{"v1": []byte("old"), "v2": large, "empty": {}} {
		if err := w.PutFindings(v, data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.PutFindings("v1", []byte("one")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	f := mustOpen(t, path)
	for v, want := range map[string][]byte{"v1": []byte("one"), "v2": large, "empty": {}} {
		if got, ok := f.Findings(v); !ok || !bytes.Equal(got, want) {
			t.Errorf("%s: got %d bytes, %v, want %d", v, len(got), ok, len(want))
		}
	}
	if _, ok := f.Findings("v3"); ok {
		t.Error("found findings of a version that left none")
	}
}

// The same events and meta must give the same file.
func TestDeterminism(t *testing.T) {
	evs := traffic(2*KeyframeEvents, 8, 1)
	var files [2][]byte
	for i := range files {
		path := filepath.Join(t.TempDir(), "t.evt")
		write(t, path, evs, simMeta(8), Options{})
		var err error
		if files[i], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(files[0], files[1]) {
		t.Error("two files of the same events differ")
	}
}

// Reading must not change a file, not even its times.
func TestReadingChangesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.evt")
	write(t, path, traffic(70000, 8, 1), simMeta(8), Options{})
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	f := mustOpen(t, path)
	all(t, f, 1)
	if _, err := f.StateAt(69999); err != nil {
		t.Fatal(err)
	}
	f.PortChunks(3)
	f.Findings("x")
	f.Close()
	if _, err := Check(path); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	st2, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, after) || !st2.ModTime().Equal(st.ModTime()) {
		t.Error("the file was changed by reading")
	}
}

// Events without any regularity make chunks that do not fit a value: they must be split.
func TestLargeValues(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.evt")
	evs := noise(5*ChunkEvents, 4)
	write(t, path, evs, simMeta(4), Options{})
	f := mustOpen(t, path)
	for _, r := range f.Chunks() {
		if r.Bytes > maxValue {
			t.Errorf("chunk %+v has more than %d bytes", r, maxValue)
		}
	}
	if got := all(t, f, 1); len(got) != len(evs) || got[12345] != evs[12345] {
		t.Errorf("got %d events, want %d", len(got), len(evs))
	}
}

// A File serves many readers at once.
func TestConcurrentReaders(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.evt")
	evs := traffic(KeyframeEvents+2*ChunkEvents, 4, 3)
	write(t, path, evs, simMeta(4), Options{})
	f := mustOpen(t, path)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for from := 1 + i*1000; from < len(evs); from += 20011 {
				if ev, err := f.At(evtchn.Seq(from)); err != nil || ev != evs[from-1] {
					t.Errorf("got %v, %v, want %v", ev, err, evs[from-1])
				}
				if st, err := f.StateAt(evtchn.Seq(from)); err != nil || st.Seq != evtchn.Seq(from) {
					t.Errorf("state at %d: %v", from, err)
				}
				f.PortChunks(evs[from].Port)
			}
		})
	}
	wg.Wait()
}

// Reading allocates for each chunk, never for each event.
func TestNextDoesNotAllocate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.evt")
	write(t, path, traffic(ChunkEvents, 4, 3), simMeta(4), Options{})
	f := mustOpen(t, path)
	s := f.Events(1)
	var ev evtchn.Event
	if err := s.Next(&ev); err != nil {
		t.Fatal(err)
	}
	if got := testing.AllocsPerRun(1000, func() {
		if err := s.Next(&ev); err != nil {
			t.Fatal(err)
		}
	}); got != 0 {
		t.Errorf("got %v allocations for each event, want 0", got)
	}
}

// Real scenarios must stay below the four bytes an event that we promise.
func TestSize(t *testing.T) {
	for _, name := range []string{"seed-port65", "mixed-load"} {
		evs, meta := simulated(t, name, 200_000)
		path := filepath.Join(t.TempDir(), "t.evt")
		write(t, path, evs, meta, Options{})
		f := mustOpen(t, path)
		if in := f.Info(); in.BytesPerEvent > 4 {
			t.Errorf("%s: got %.2f bytes an event, want at most 4: %+v", name, in.BytesPerEvent, in)
		}
	}
}
