package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/evtrace/evtrace/recorder/ftrace/tracedat/tracedattest"
)

// TestTraceDat wants the binary file of a capture to give the events that its report gives, but for the report's times, which are rounded
// to microseconds; whether it comes as it is or packed.
func TestTraceDat(t *testing.T) {
	from := filepath.Join(capturesDir(t), "2l-tracecmd")
	dir := t.TempDir()
	dat := filepath.Join(from, "trace.dat")
	want := must(t, 0, "import", filepath.Join(from, "trace-cmd-report.txt.zst"), "-o", "-")
	got := must(t, 0, "import", dat, "-o", "-")
	if diff := cmp.Diff(eventLines(t, want, 1), eventLines(t, got, 1000)); diff != "" {
		t.Errorf("the events of the report (-) and of the binary (+) differ:\n%.2000s", diff)
	}

	b, err := os.ReadFile(dat)
	if err != nil {
		t.Fatal(err)
	}
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	packed := filepath.Join(dir, "trace.dat.gz")
	if err := os.WriteFile(packed, z.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	again := must(t, 0, "import", packed, "--context", from, "-o", "-")
	if diff := cmp.Diff(eventLines(t, got, 1), eventLines(t, again, 1)); diff != "" {
		t.Errorf("packed, its events differ:\n%.2000s", diff)
	}

	// What is cut says where.
	for _, n := range []int{11, 18, 1000, len(b) / 2, len(b) - 1000} {
		cut := filepath.Join(dir, "cut.dat")
		if err := os.WriteFile(cut, b[:n], 0o644); err != nil {
			t.Fatal(err)
		}
		res := evtrace(t, "import", cut, "-o", filepath.Join(dir, "cut.evt"))
		if want := fmt.Sprintf("byte %d", n); res.code != codeUnreadable || !strings.Contains(res.err, want) {
			t.Errorf("cut to %d bytes: got code %d and %q, want %d and %q", n, res.code, res.err, codeUnreadable, want)
		}
	}
}

// TestTraceDatSalvaged wants what comes before the cut of a trace.dat, and a gap of the vcpu whose data are lost.
func TestTraceDatSalvaged(t *testing.T) {
	f := &tracedattest.File{Version: 6, Long: 8, PageSize: 4096, Clock: "local [mono]"}
	unmask := tracedattest.Format{System: "evtchn", Name: "unmask", ID: 100, Fields: []tracedattest.Field{
		{Decl: "unsigned long __probe_ip", Size: 8}, {Decl: "u32 port", Size: 4}}}
	f.Formats = []tracedattest.Format{unmask}
	p := tracedattest.NewPacker(f, 2)
	for i := range 20 {
		p.Add(i%2, uint64(1000*i+5000), f.Record(&unmask, 1, 0, 9, 0, 64+i))
	}
	p.Done()
	whole := f.Bytes()
	dir := t.TempDir()
	cut, out := filepath.Join(dir, "cut.dat"), filepath.Join(dir, "cut.evt")
	if err := os.WriteFile(cut, whole[:len(whole)-4096], 0o644); err != nil {
		t.Fatal(err)
	}
	if res := evtrace(t, "import", cut, "-o", out); res.code != codeUnreadable || !strings.Contains(res.err, "the data of cpu 1") || !strings.Contains(res.err, "--salvage") {
		t.Errorf("got code %d and %q", res.code, res.err)
	}
	must(t, 0, "import", "--salvage", cut, "-o", out)
	text := must(t, 0, "export", out)
	if !strings.Contains(text, "\ncount: 10 unmask\n") {
		t.Errorf("it does not count the 10 records of vcpu 0:\n%s", text)
	}
	if !strings.Contains(text, "23000 v1 - gap target=v1") {
		t.Errorf("there is no gap of vcpu 1 at the end:\n%s", text)
	}
}

// eventLines gives the lines of a text that are events, with times rounded to a number of nanoseconds.
func eventLines(t *testing.T, text string, round int64) []string {
	t.Helper()
	var out []string
	for line := range strings.Lines(text) {
		f := strings.SplitN(line, " ", 3)
		if _, err := strconv.ParseUint(f[0], 10, 64); err != nil || len(f) < 3 {
			continue
		}
		ns, err := strconv.ParseInt(f[1], 10, 64)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		out = append(out, fmt.Sprintf("%s %d %s", f[0], (ns+round/2)/round*round, f[2]))
	}
	if len(out) == 0 {
		t.Fatal("no events")
	}
	return out
}
