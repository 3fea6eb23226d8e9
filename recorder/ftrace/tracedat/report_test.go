package tracedat

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// captures gives the folder of the real captures, or skips the test.
func captures(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("EVTRACE_CAPTURES")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "..", "shared", "traces")
	}
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("no captures: %v", err)
		}
		t.Skipf("no captures: %v", err)
	}
	return dir
}

// open opens a file for the time of a test.
func open(t testing.TB, path string) *Reader {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	r, err := Open(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// rawLine is a line of trace-cmd report -R: task-pid [cpu] seconds: event: fields.
var rawLine = regexp.MustCompile(`^\s*(.+)-(\d+)\s+\[(\d+)\]\s+(\d+)\.(\d+): (\w+):\s*(.*)$`)

// dropped is a line of trace-cmd report that says that events are missing before the next of a cpu.
var dropped = regexp.MustCompile(`^CPU:(\d+) \[(?:(\d+) )?EVENTS DROPPED\]$`)

// compareReport reads the whole file, and compares it with what trace-cmd says of it.
func compareReport(t *testing.T, r *Reader, report io.Reader) {
	t.Helper()
	sc := bufio.NewScanner(report)
	n := 0
	var ev Event
	lost := ""
	for sc.Scan() {
		if m := dropped.FindStringSubmatch(sc.Text()); m != nil {
			if lost = m[2]; lost == "" {
				lost = "-1"
			}
			continue
		}
		m := rawLine.FindStringSubmatch(sc.Text())
		if m == nil {
			if !strings.HasPrefix(sc.Text(), "cpus=") {
				t.Fatalf("line %q is no record", sc.Text())
			}
			if want := fmt.Sprintf("cpus=%d", r.CPUs()); sc.Text() != want {
				t.Errorf("got %s, want %s", want, sc.Text())
			}
			continue
		}
		n++
		if err := next(r, &ev); err != nil {
			t.Fatalf("event %d: %v", n, err)
		}
		if missed := strconv.FormatInt(ev.Missed, 10); missed != lost && missed+lost != "0" {
			t.Errorf("event %d: got %s missing, want %s", n, missed, lost)
		}
		lost = ""
		us := (ev.Time + 500) / 1000
		got := fmt.Sprintf("%s %d %d %d.%06d %s", r.Comm(ev.PID), ev.PID, ev.CPU, us/1e6, us%1e6, ev.Format.Name)
		cpu, _ := strconv.Atoi(m[3])
		want := fmt.Sprintf("%s %s %d %s.%s %s", m[1], m[2], cpu, m[4], m[5], m[6])
		if got != want {
			t.Fatalf("event %d: got %s, want %s", n, got, want)
		}
		compareFields(t, &ev, m[7])
	}
	if err := next(r, &ev); !errors.Is(err, io.EOF) {
		t.Errorf("after %d events: got %v, want EOF", n, err)
	}
	if n == 0 {
		t.Error("the report has no events")
	}
}

// next passes over marks, which trace-cmd does not show.
func next(r *Reader, ev *Event) error {
	for {
		if err := r.Next(ev); err != nil || ev.Format != nil {
			return err
		}
	}
}

// compareFields looks at each "name=value". The last one may be text with blanks.
func compareFields(t *testing.T, ev *Event, fields string) {
	t.Helper()
	for word := range strings.FieldsSeq(fields) {
		key, want, ok := strings.Cut(word, "=")
		if !ok {
			t.Errorf("%s: %q has no value", ev.Format.Name, word)
			continue
		}
		f := ev.Format.Field(key)
		if s, ok := ev.Text(f); ok {
			if string(s) != want {
				t.Errorf("%s: %s: got %q, want %q", ev.Format.Name, key, s, want)
			}
			continue
		}
		v, ok := ev.Uint(f)
		if !ok {
			t.Errorf("%s: no field %q", ev.Format.Name, key)
			continue
		}
		got := strconv.FormatInt(int64(v), 10)
		switch {
		case strings.HasPrefix(want, "0x"):
			got = "0x" + strconv.FormatUint(v, 16)
		case strings.HasPrefix(key, "__probe"):
			got = strconv.FormatUint(v, 16)
		}
		if got != want {
			t.Errorf("%s: %s: got %s, want %s", ev.Format.Name, key, got, want)
		}
	}
}

// TestReport: the events of a real file are those that trace-cmd printed.
func TestReport(t *testing.T) {
	dir := filepath.Join(captures(t), "2l-tracecmd")
	report := unpack(t, filepath.Join(dir, "trace-cmd-report-R.txt.zst"))
	r := open(t, filepath.Join(dir, "trace.dat"))
	if got, want := r.Clock(), (Clock{Name: "mono"}); got != want {
		t.Errorf("clock: got %+v, want %+v", got, want)
	}
	if len(r.Notes()) > 0 {
		t.Errorf("got notes %q, want none", r.Notes())
	}
	compareReport(t, r, bytes.NewReader(report))
}

func unpack(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	z, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	if b, err = z.DecodeAll(b, nil); err != nil {
		t.Fatal(err)
	}
	return b
}

// TestConverted: trace-cmd writes the same capture in other versions and compressions, and they read the same.
func TestConverted(t *testing.T) {
	traceCmd, err := exec.LookPath("trace-cmd")
	if err != nil {
		t.Skip("no trace-cmd")
	}
	in := filepath.Join(captures(t), "2l-tracecmd", "trace.dat")
	for _, form := range [][]string{
		{"--file-version", "6"},
		{"--file-version", "7", "--compression", "none"},
		{"--file-version", "7", "--compression", "zstd"},
		{"--file-version", "7", "--compression", "zlib"},
	} {
		t.Run(strings.Join(form, " "), func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out.dat")
			args := append([]string{"convert", "-i", in, "-o", out}, form...)
			if b, err := exec.Command(traceCmd, args...).CombinedOutput(); err != nil || bytes.Contains(b, []byte("not supported")) {
				t.Skipf("trace-cmd does not write that: %v\n%s", err, b)
			}
			report, err := exec.Command(traceCmd, "report", "-R", "-i", out).Output()
			if err != nil {
				t.Fatal(err)
			}
			r := open(t, out)
			if got, want := strconv.Itoa(r.Version()), form[1]; got != want {
				t.Errorf("got version %s, want %s", got, want)
			}
			compareReport(t, r, bytes.NewReader(report))
		})
	}
}
