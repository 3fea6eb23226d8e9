package store

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/evtrace/evtrace/evtchn"
)

const childEnv = "EVTRACE_STORE_TEST_CHILD"

// TestMain lets the test binary stand in for a recorder that is killed or runs out of disk: the variable says which.
func TestMain(m *testing.M) {
	if arg := os.Getenv(childEnv); arg != "" {
		mode, path, _ := strings.Cut(arg, ":")
		if err := child(mode, path); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func child(mode, path string) error {
	if mode == "full" {
		// Writing past the limit is EFBIG then, instead of a signal: what a full disk is to the program.
		signal.Ignore(syscall.SIGXFSZ)
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 6 << 20, Max: 6 << 20}); err != nil {
			return err
		}
	}
	evs := traffic(20000, 4, 42)
	w, err := Create(path, simMeta(4), Options{BatchEvents: ChunkEvents})
	if err != nil {
		return err
	}
	fmt.Println("created")
	for seq := evtchn.Seq(1); seq <= 5_000_000; seq++ {
		ev := evs[(seq-1)%evtchn.Seq(len(evs))]
		ev.Seq, ev.Cause = seq, 0
		if err := w.Add(&ev); err != nil {
			fmt.Println("error:", err)
			if w.Close() == nil {
				return errors.New("and yet it closed")
			}
			return w.Abort()
		}
		if seq%ChunkEvents == 0 {
			fmt.Println("added", seq)
		}
	}
	return w.Close()
}

func startChild(t *testing.T, mode, path string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+mode+":"+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd, bufio.NewScanner(out)
}

// A recording that is killed leaves a partial that is whole up to some batch and says that it is incomplete. While it runs, the partial is
// locked and its name is taken.
func TestKilled(t *testing.T) {
	for _, after := range []string{"created", "added 65536", "added 212992"} {
		path := filepath.Join(t.TempDir(), "t.evt")
		cmd, lines := startChild(t, "kill", path)
		for lines.Scan() && lines.Text() != after {
		}
		if after == "created" {
			if _, err := Open(path + PartialSuffix); !errors.Is(err, ErrLocked) {
				t.Errorf("open while recording: got %v, want ErrLocked", err)
			}
			if _, err := Create(path, simMeta(4), Options{Force: true}); !errors.Is(err, ErrLocked) {
				t.Errorf("create while recording: got %v, want ErrLocked", err)
			}
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		cmd.Wait()
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: got %v, want no such file", path, err)
		}
		if _, err := Open(path); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), path+PartialSuffix) {
			t.Errorf("got %v, want an error that points to the partial", err)
		}
		f := mustOpen(t, path+PartialSuffix)
		if m := f.Meta(); m.Complete || m.Events != f.Len() || f.Info().Closed {
			t.Errorf("after %s: got meta %+v, want an incomplete trace", after, m)
		}
		n := 0
		evs := traffic(20000, 4, 42)
		s := f.Events(1)
		var ev evtchn.Event
		for {
			err := s.Next(&ev)
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if want := evs[n%len(evs)]; ev.Time != want.Time || ev.Args != want.Args || ev.Seq != evtchn.Seq(n+1) {
				t.Fatalf("got %v, want %v as event %d", ev, want, n+1)
			}
			n++
		}
		if uint64(n) != f.Len() || n == 0 && after == "added 212992" {
			t.Errorf("after %s: got %d events, want %d", after, n, f.Len())
		}
		if _, err := f.StateAt(evtchn.Seq(n)); err != nil {
			t.Error(err)
		}
		if got := f.PortChunks(evs[0].Port); n > 0 && len(got) == 0 {
			t.Error("the port index names no chunk")
		}
		f.Close()
		if _, err := Create(path, simMeta(4), Options{}); !errors.Is(err, ErrExists) {
			t.Errorf("create beside what was left: got %v, want ErrExists", err)
		}
		w, err := Create(path, simMeta(4), Options{Force: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Abort(); err != nil {
			t.Error(err)
		}
		write(t, path+PartialSuffix, nil, simMeta(4), Options{}) // for the check at the end
	}
}

// When the disk is full there is an error, and no file of the final name.
func TestFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.evt")
	cmd, lines := startChild(t, "full", path)
	var text []string
	for lines.Scan() {
		text = append(text, lines.Text())
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err, text)
	}
	last := ""
	if len(text) > 0 {
		last = text[len(text)-1]
	}
	if !strings.HasPrefix(last, "error: ") || !strings.Contains(last, path) || !strings.Contains(last, "file too large") {
		t.Errorf("got %q, want an error that names the file and the reason", last)
	}
	for _, p := range []string{path, path + PartialSuffix} {
		if _, err := os.Lstat(p); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: got %v, want no such file", p, err)
		}
	}
}

func TestCreateRefuses(t *testing.T) {
	dir := t.TempDir()
	existing := filepath.Join(dir, "there")
	if err := os.WriteFile(existing, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	readOnly := func(name string, flag int, perm os.FileMode) (*os.File, error) {
		f, err := os.OpenFile(name, flag, perm)
		if err != nil {
			return nil, err
		}
		f.Close()
		return os.Open(name)
	}
	broken := errors.New("no more files")
	meta := simMeta(4)
	bad := meta
	bad.VCPUs = 0
	for _, c := range []struct {
		name string
		path string
		meta evtchn.Meta
		opt  Options
		want error
	}{
		{"existing file", existing, meta, Options{}, ErrExists},
		{"directory", dir, meta, Options{Force: true}, ErrExists},
		{"device", os.DevNull, meta, Options{Force: true}, ErrExists},
		{"missing folder", filepath.Join(dir, "no", "t"), meta, Options{}, os.ErrNotExist},
		{"a file as folder", filepath.Join(existing, "t"), meta, Options{}, syscall.ENOTDIR},
		{"no vcpus", filepath.Join(dir, "t"), bad, Options{}, evtchn.ErrConfig},
		{"open fails", filepath.Join(dir, "t"), meta, Options{OpenFile: func(string, int, os.FileMode) (*os.File, error) { return nil, broken }}, broken},
		{"write fails", filepath.Join(dir, "t"), meta, Options{OpenFile: readOnly}, syscall.EBADF},
		{"negative batch", filepath.Join(dir, "t"), meta, Options{BatchEvents: -1}, nil},
	} {
		w, err := Create(c.path, c.meta, c.opt)
		if err == nil {
			w.Abort()
			t.Errorf("%s: no error", c.name)
		} else if c.want != nil && (!errors.Is(err, c.want) || !strings.Contains(err.Error(), c.path)) {
			t.Errorf("%s: got %v, want %v and the name", c.name, err, c.want)
		}
		left, err := os.ReadDir(dir)
		if err != nil || len(left) != 1 {
			t.Fatalf("%s: left %v, %v", c.name, left, err)
		}
	}
	if b, err := os.ReadFile(existing); err != nil || string(b) != "precious" {
		t.Errorf("got %q, %v: the existing file was touched", b, err)
	}
	write(t, existing, traffic(10, 4, 1), meta, Options{Force: true})
	mustOpen(t, existing)
}

// A file that appears under the final name meanwhile is not overwritten; what was recorded stays in the partial.
func TestNameTakenMeanwhile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.evt")
	w, err := Create(path, simMeta(1), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); !errors.Is(err, ErrExists) || !strings.Contains(err.Error(), path+PartialSuffix) {
		t.Errorf("got %v, want ErrExists and where the trace is", err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "precious" {
		t.Errorf("got %q, %v: the file was touched", b, err)
	}
	mustOpen(t, path+PartialSuffix)
}

func TestWriterRefusesEvents(t *testing.T) {
	good := evtchn.Event{Seq: 1, Kind: evtchn.KindEnd}
	for name, ev := range map[string]evtchn.Event{
		"seq 0": {Kind: evtchn.KindEnd}, "seq 2": {Seq: 2, Kind: evtchn.KindEnd}, "no kind": {Seq: 1}, "unknown kind": {Seq: 1, Kind: 250},
	} {
		path := filepath.Join(t.TempDir(), "t.evt")
		w, err := Create(path, simMeta(1), Options{})
		if err != nil {
			t.Fatal(err)
		}
		first := w.Add(&ev)
		if first == nil || !strings.Contains(first.Error(), path) {
			t.Errorf("%s: got %v, want an error with the name", name, first)
		}
		if err := w.Add(&good); err != first {
			t.Errorf("%s: afterwards got %v, want the same error again", name, err)
		}
		if err := w.Close(); err == nil {
			t.Errorf("%s: a broken trace was closed as if it were whole", name)
		}
		if err := w.Abort(); err != nil {
			t.Error(err)
		}
		if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 0 {
			t.Errorf("%s: left %v", name, left)
		}
	}
	w, err := Create(filepath.Join(t.TempDir(), "t"), simMeta(1), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	w.SetMeta(simMeta(2))
	if err := w.Add(&good); !errors.Is(err, ErrOrder) {
		t.Errorf("meta of another shape: got %v, want ErrOrder", err)
	}
}

func TestCloseIncomplete(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.evt")
	w, err := Create(path, simMeta(4), Options{})
	if err != nil {
		t.Fatal(err)
	}
	evs := traffic(1000, 4, 1)
	for i := range evs {
		if err := w.Add(&evs[i]); err != nil {
			t.Fatal(err)
		}
	}
	m := simMeta(4)
	m.Notes, m.Gaps, m.Complete = []string{"interrupted"}, 3, true
	w.SetMeta(m)
	if err := w.CloseIncomplete(); err != nil {
		t.Fatal(err)
	}
	if err := w.Add(&evs[0]); !errors.Is(err, os.ErrClosed) {
		t.Errorf("add after close: got %v", err)
	}
	if err := w.Abort(); err != nil {
		t.Error(err)
	}
	f := mustOpen(t, path)
	if m := f.Meta(); m.Complete || m.Gaps != 3 || !slices.Equal(m.Notes, []string{"interrupted"}) || m.Events != 1000 {
		t.Errorf("got meta %+v", m)
	}
}

// Flush makes everything that was added safe from a kill at once.
func TestFlush(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.evt")
	w, err := Create(path, simMeta(4), Options{})
	if err != nil {
		t.Fatal(err)
	}
	evs := traffic(300, 4, 1)
	for i := range evs {
		if err := w.Add(&evs[i]); err != nil {
			t.Fatal(err)
		}
		if i%7 == 0 {
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
	snap := filepath.Join(t.TempDir(), "as-it-was")
	if err := os.WriteFile(snap, raw, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := all(t, mustOpen(t, snap), 1); !slices.Equal(got, evs) {
		t.Errorf("after Flush the file has %d events, want %d", len(got), len(evs))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got := all(t, mustOpen(t, path), 1); !slices.Equal(got, evs) {
		t.Errorf("got %d events, want %d", len(got), len(evs))
	}
}

// Whatever the sizes of chunks, batches and keyframes, and wherever Flush was called, the events and states are the same.
func TestAnyShape(t *testing.T) {
	dir := t.TempDir()
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		path := filepath.Join(dir, fmt.Sprint(n))
		evs := traffic(rapid.IntRange(1, 1000).Draw(t, "events"), 3, rapid.Uint64().Draw(t, "seed"))
		opt := Options{chunkEvents: rapid.IntRange(1, 300).Draw(t, "chunk"), frameEvents: rapid.IntRange(1, 500).Draw(t, "frame"),
			BatchEvents: rapid.IntRange(1, 2000).Draw(t, "batch"), noSync: true}
		flushes := rapid.SliceOfN(rapid.IntRange(0, len(evs)-1), 0, 3).Draw(t, "flushes")
		w, err := Create(path, simMeta(3), opt)
		if err != nil {
			t.Fatal(err)
		}
		for i := range evs {
			if err := w.Add(&evs[i]); err != nil {
				t.Fatal(err)
			}
			if slices.Contains(flushes, i) {
				if err := w.Flush(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		rep, err := Check(path)
		if err != nil || !rep.OK() {
			t.Fatalf("check: %+v, %v", rep, err)
		}
		f, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if got, err := drain(f.Events(1)); err != nil || !slices.Equal(got, evs) {
			t.Fatalf("got %d events, %v, want %d", len(got), err, len(evs))
		}
		at := rapid.IntRange(0, len(evs)).Draw(t, "at")
		want, err := evtchn.NewState(simMeta(3))
		if err != nil {
			t.Fatal(err)
		}
		for i := range at {
			want.Apply(&evs[i])
		}
		if got, err := f.StateAt(evtchn.Seq(at)); err != nil || !got.Equal(want) {
			t.Fatalf("state at %d differs from that of all events before (%v)", at, err)
		}
	})
}

// The writer waits for nobody longer than it must.
func TestLockedReaderDoesNotBlock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.evt")
	w, err := Create(path, simMeta(1), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	start := time.Now()
	if _, err := Open(path + PartialSuffix); !errors.Is(err, ErrLocked) {
		t.Errorf("got %v, want ErrLocked", err)
	}
	if d := time.Since(start); d > 10*lockWait {
		t.Errorf("took %v, want about %v", d, lockWait)
	}
}

// Events that fit no machine, from a hand-written text say, are stored or refused: no panic, and what was stored reads back.
func TestStrangeEvents(t *testing.T) {
	dir := t.TempDir()
	n, stored := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		path := filepath.Join(dir, fmt.Sprint(n))
		w, err := Create(path, simMeta(2), Options{chunkEvents: 10, frameEvents: 20, noSync: true})
		if err != nil {
			t.Fatal(err)
		}
		var evs []evtchn.Event
		for i := range rapid.IntRange(1, 40).Draw(t, "events") {
			ev := anyEvent(evtchn.Seq(i+1)).Draw(t, "event")
			evs = append(evs, ev)
			if w.Add(&ev) != nil {
				break
			}
		}
		if err := w.Close(); err != nil {
			if !strings.Contains(err.Error(), path) {
				t.Fatalf("got %v, want an error with the name", err)
			}
			if err := w.Abort(); err != nil {
				t.Fatal(err)
			}
			return
		}
		stored++
		f, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if got, err := drain(f.Events(1)); err != nil || !slices.Equal(got, evs) {
			t.Fatalf("got %d events, %v, want %d", len(got), err, len(evs))
		}
	})
	t.Logf("%d of %d traces were stored", stored, n)
}
