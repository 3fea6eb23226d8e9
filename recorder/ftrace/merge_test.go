package ftrace

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/evtrace/evtrace/evtchn"
)

// splitCPUs gives the text of each vcpu, as per_cpu/cpuN/trace has it, under the header of the whole with that vcpu's counts.
func splitCPUs(ls []textLine, cpus int, lost []int) []string {
	texts := make([]strings.Builder, cpus)
	count := make([]int, cpus)
	for _, l := range ls {
		texts[l.r.cpu].Write(l.text)
		count[l.r.cpu]++
	}
	out := make([]string, cpus)
	for i := range out {
		written := count[i]
		if lost != nil {
			written += lost[i]
		}
		out[i] = fmt.Sprintf("# tracer: nop\n#\n# entries-in-buffer/entries-written: %d/%d   #P:%d\n#\n", count[i], written, cpus) + texts[i].String()
	}
	return out
}

// perCPU writes files as tracefs has them and gives their paths.
func perCPU(t testing.TB, dir string, texts []string) []string {
	t.Helper()
	var paths []string
	for i, text := range texts {
		sub := filepath.Join(dir, "per_cpu", fmt.Sprintf("cpu%d", i))
		if err := os.MkdirAll(sub, 0o755); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(sub, "trace")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	return paths
}

// TestPerCPU: the files of single vcpus give the same events as the file of all where the clock is fine enough. The text of the others has
// microseconds only, so that the order of records within one is gone: the same is lost all the same.
func TestPerCPU(t *testing.T) {
	for _, name := range []string{"2l-lost-bug/trace.txt.zst", "2l-bugkernel-sparse-tsc/trace.txt.zst", "2l-clock-counter/trace.txt", "fifo-small/trace.txt.zst"} {
		t.Run(name, func(t *testing.T) {
			from := filepath.Join(captures(t), name)
			ls := readLines(t, from)
			dir := t.TempDir()
			for _, side := range []string{"lsevtchn.before.txt", "lsevtchn.after.txt", "interrupts.before.txt", "kprobes-accepted.txt", "trace_clock.txt", "xl-dmesg.txt"} {
				if b, err := os.ReadFile(filepath.Join(filepath.Dir(from), side)); err == nil {
					os.WriteFile(filepath.Join(dir, side), b, 0o644)
				}
			}
			whole := bytes.Buffer{}
			fmt.Fprintf(&whole, "# tracer: nop\n#\n# entries-in-buffer/entries-written: %d/%d   #P:4\n#\n", len(ls), len(ls))
			whole.Write(joinLines(ls))
			os.WriteFile(filepath.Join(dir, "trace.txt"), whole.Bytes(), 0o644)
			paths := perCPU(t, dir, splitCPUs(ls, 4, nil))

			im, err := Open(filepath.Join(dir, "trace.txt"), Options{})
			if err != nil {
				t.Fatal(err)
			}
			want, err := drain(im)
			if err != nil {
				t.Fatal(err)
			}
			wantMeta := im.FinalMeta()
			im.Close()
			if im, err = OpenFiles(paths, Options{}); err != nil {
				t.Fatal(err)
			}
			defer im.Close()
			got, err := drain(im)
			if err != nil {
				t.Fatal(err)
			}
			meta := im.FinalMeta()
			if meta.Origin != "cpu0/trace and 3 more" {
				t.Errorf("got origin %q", meta.Origin)
			}
			meta.Origin, meta.Lines = wantMeta.Origin, wantMeta.Lines
			if meta.Unit != "ticks" {
				meta.Events, meta.Notes, meta.Ties, meta.Deduced = wantMeta.Events, wantMeta.Notes, wantMeta.Ties, wantMeta.Deduced
				slices.Sort(meta.Tasks)
				slices.Sort(wantMeta.Tasks)
			}
			if d := cmp.Diff(wantMeta, meta); d != "" {
				t.Errorf("meta (-whole +per cpu):\n%s", d)
			}
			if meta.Unit == "ticks" {
				if d := cmp.Diff(want, got); d != "" {
					t.Errorf("events (-whole +per cpu):\n%s", d[:min(len(d), 3000)])
				}
				return
			}
			again, err := OpenFiles(paths, Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer again.Close()
			es, _ := judge(t, again)
			wantLost, _ := judge(t, open(t, filepath.Join(dir, "trace.txt")))
			if len(es) != len(wantLost) {
				t.Errorf("got %d lost events, want the %d of the whole", len(es), len(wantLost))
			}
		})
	}
}

const (
	cpu0 = "          <idle>-0       [000] d.h1. 1.000001: clear: (evtchn_2l_x) port=1\n          <idle>-0       [000] d.h1. 1.000005: clear: (evtchn_2l_x) port=1\n"
	cpu1 = "          <idle>-0       [001] d.h1. 1.000003: clear: (evtchn_2l_x) port=2\n          <idle>-0       [001] d.h1. 1.000009: clear: (evtchn_2l_x) port=2\n"
)

func head2(kept, written int) string {
	return fmt.Sprintf("# tracer: nop\n#\n# entries-in-buffer/entries-written: %d/%d   #P:2\n#\n", kept, written)
}

// TestPerCPULost: each file's header counts what that vcpu lost, and a LOST marker belongs to the record after it.
func TestPerCPULost(t *testing.T) {
	paths := perCPU(t, t.TempDir(), []string{head2(2, 2) + cpu0, head2(2, 9) + strings.Replace(cpu1, "\n", "\nCPU:1 [LOST 3 EVENTS]\n", 1)})
	im, err := OpenFiles(paths, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer im.Close()
	evs, err := drain(im)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, ev := range evs {
		switch ev.Kind {
		case evtchn.KindGap:
			got = append(got, fmt.Sprintf("gap of v%d: %d", ev.Target(), ev.Args[1]))
		case evtchn.KindPendClear:
			got = append(got, fmt.Sprintf("clear on v%d", ev.VCPU))
		}
	}
	want := []string{"clear on v0", "gap of v1: 7", "clear on v1", "clear on v0", "gap of v1: 3", "clear on v1"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if m := im.FinalMeta(); m.Lost != 10 || m.Gaps != 2 || !m.Complete || !strings.Contains(strings.Join(m.Notes, "\n"), "overwritten: 4 of 11 records are left") {
		t.Errorf("got %d lost, %d gaps, complete %v and the notes %q", m.Lost, m.Gaps, m.Complete, m.Notes)
	}
}

func TestMixedFiles(t *testing.T) {
	ticks := "          <idle>-0       [001] d.h1. 153552854953: clear: (evtchn_2l_x) port=2\n"
	for _, tt := range []struct {
		name  string
		files []string
		class error
		want  string
	}{
		{"units", []string{cpu0, ticks}, ErrMixed, "cpu1/trace: not of the same capture as cpu0/trace: times: got whole numbers, want seconds"},
		{"abi", []string{cpu0, strings.ReplaceAll(cpu1, "_2l_", "_fifo_")}, ErrMixed, "cpu1/trace: not of the same capture as cpu0/trace: ABI: got fifo, want 2l"},
		{"copies", []string{cpu0, cpu0}, ErrMixed, "cpu1/trace: not of the same capture: it begins with the same record as cpu0/trace"},
		{"no capture", []string{cpu0, "hello\n"}, ErrFormat, "cpu1/trace: not an ftrace text capture"},
		{"all empty", []string{"", ""}, ErrFormat, "cpu0/trace, cpu1/trace: not an ftrace text capture: it is empty"},
	} {
		_, err := OpenFiles(perCPU(t, t.TempDir(), tt.files), Options{})
		if !errors.Is(err, tt.class) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
	paths := perCPU(t, t.TempDir(), []string{cpu0, ""})
	if _, err := OpenFiles(append(paths, paths[0]), Options{}); !errors.Is(err, ErrMixed) || !strings.Contains(err.Error(), "named twice") {
		t.Errorf("the same file twice: got %v", err)
	}
	im, err := OpenFiles(paths, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer im.Close()
	if evs, err := drain(im); err != nil || len(evs) == 0 || !strings.Contains(strings.Join(im.FinalMeta().Notes, "\n"), "cpu1/trace is empty") {
		t.Errorf("an empty file beside another: got %d events, %v and the notes %q", len(evs), err, im.FinalMeta().Notes)
	}
}

func TestFind(t *testing.T) {
	write := func(dir string, files ...string) {
		for _, f := range files {
			name, text, _ := strings.Cut(f, "=")
			path := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if text == "" {
				text = head2(2, 2) + cpu0
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, tt := range []struct {
		name  string
		files []string
		want  string // names, or a part of the error
	}{
		{"one", []string{"mine.txt", "lsevtchn.before.txt=" + ports}, "mine.txt"},
		{"a capture and what a module printed", []string{"trace.txt", "truth.txt"}, "trace.txt"},
		{"trace-cmd", []string{"trace.dat=\x17\x08\x44tracing6\x00", "trace-cmd-report.txt"}, "trace.dat"},
		{"tracefs", []string{"trace", "per_cpu/cpu0/trace", "per_cpu/cpu1/trace"}, "trace"},
		{"per vcpu", []string{"per_cpu/cpu10/trace", "per_cpu/cpu9/trace", "per_cpu/cpu9/trace_pipe"}, "per_cpu/cpu9/trace per_cpu/cpu10/trace"},
		{"directly", []string{"cpu1/trace", "cpu0/trace"}, "cpu0/trace cpu1/trace"},
		{"flat", []string{"trace.cpu1.txt", "trace.cpu0.txt", "readme=hello"}, "trace.cpu0.txt trace.cpu1.txt"},
		{"several", []string{"a.txt", "b.txt"}, "several captures (a.txt, b.txt)"},
		{"none", []string{"readme=hello"}, "holds no capture"},
	} {
		dir := t.TempDir()
		write(dir, tt.files...)
		got, err := Find(dir)
		if err != nil {
			if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
			}
			continue
		}
		for i := range got {
			got[i], _ = filepath.Rel(dir, got[i])
		}
		if s := strings.Join(got, " "); s != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, s, tt.want)
		}
	}
}

// FuzzMerge: whatever the files hold, no record is lost or made up by joining them, times never go back, and nothing panics.
func FuzzMerge(f *testing.F) {
	f.Add([]byte(cpu0), []byte(cpu1))
	f.Add([]byte(head2(2, 9)+cpu0), []byte(strings.Replace(cpu1, "\n", "\nCPU:1 [LOST 3 EVENTS]\n", 1)))
	f.Add([]byte(cpu1+cpu0), []byte("# tracer: nop\n"+cpu0+"# tracer: nop\n"+cpu1))
	f.Add([]byte(cpu0), []byte{0x1f, 0x8b, 8, 0})
	f.Fuzz(func(t *testing.T, a, b []byte) {
		ns := newNames()
		var srcs []source
		var want uint64
		for i, text := range [][]byte{a, b} {
			src, err := newTextSource(bytes.NewReader(text), fmt.Sprint(i), ns, &Options{})
			if err != nil {
				return
			}
			srcs = append(srcs, src)
			alone, err := newTextSource(bytes.NewReader(text), fmt.Sprint(i), ns, &Options{})
			if err != nil {
				t.Fatal(err)
			}
			var r record
			var p parts
			for err == nil {
				if err = alone.next(&r, &p); err == nil {
					want++
				}
			}
			if err.Error() != "EOF" {
				return
			}
		}
		m, err := newMerged(srcs, []string{"a", "b"})
		if err != nil {
			return
		}
		var r record
		var p parts
		var got uint64
		for err == nil {
			if err = m.next(&r, &p); err == nil {
				got++
				m.place()
			}
		}
		if err.Error() != "EOF" {
			t.Fatalf("got %v, want the end", err)
		}
		if got != want {
			t.Fatalf("got %d records, want the %d of both files", got, want)
		}
	})
}
