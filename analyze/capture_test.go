package analyze

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/recorder/ftrace"
)

// capture finds a real capture. The data lie beside the repository; without them the test is skipped, but not in CI.
func capture(t *testing.T, name string) string {
	t.Helper()
	dir, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above the package")
		}
		dir = filepath.Dir(dir)
	}
	dir = filepath.Join(dir, "..", "shared", "traces", name)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		if os.Getenv("CI") == "true" {
			t.Fatalf("the capture %s is missing, want it at %s", name, dir)
		}
		t.Skipf("the capture %s is not at %s", name, dir)
	}
	return dir
}

func judgeCapture(t *testing.T, name string) (*Report, string) {
	t.Helper()
	dir := capture(t, name)
	im, err := ftrace.Open(filepath.Join(dir, "trace.txt.zst"), ftrace.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer im.Close()
	r, err := Run(im.Meta(), im, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r, dir
}

// The four rounds with the code of 2005, and nothing else: not the eight correct rounds, not the spinlock IPIs.
func TestLostBugCapture(t *testing.T) {
	r, _ := judgeCapture(t, "2l-lost-bug")
	if r.Verdict != VerdictLate || len(r.Findings) != 4 {
		t.Fatalf("got %s with %d findings, want late with 4", r.Verdict, len(r.Findings))
	}
	for i, want := range []float64{521.271, 503.466, 509.709, 526.656} { // ms, latency_from_unmask_us of truth.txt
		f := &r.Findings[i]
		if f.Port != 130 || f.Word != 2 || f.OwnerVCPU != 0 || f.UnnoticedVCPU != 1 || f.RescuedByPort != 132 || f.Cause != CauseMaskedElsewhere {
			t.Errorf("round %d: got %+v", i, f)
		}
		if got := float64(*f.Delay) / 1e6; math.Abs(got-want) > 0.02*want {
			t.Errorf("round %d: got a delay of %.3f ms, want %.3f", i, got, want)
		}
	}
}

// verdicts is what each capture has to be judged: clean where nothing is missing from it.
var verdicts = []struct {
	file string
	want Verdict
}{
	{"2l-goodkernel-sparse-tsc/trace.txt.zst", VerdictClean},
	{"2l-small/trace.txt.zst", VerdictClean},
	{"2l-domu/trace.txt.zst", VerdictClean},
	{"2l-clock-counter/trace.txt", VerdictClean},
	{"2l-clock-mono_raw/trace.txt", VerdictClean},
	{"2l-clock-uptime/trace.txt", VerdictClean},
	{"2l-clock-x86-tsc/trace.txt", VerdictClean},
	{"2l-rawlatfmt/trace.txt", VerdictClean},
	{"2l-tracecmd/trace-cmd-report.txt.zst", VerdictClean},
	{"2l-xentrace/ftrace-x86-tsc.txt.zst", VerdictClean},
	{"2l-pipe/trace_pipe.txt.zst", VerdictUnknown},    // gaps inside
	{"2l-overrun/trace.txt.zst", VerdictUnknown},      // the beginning was overwritten
	{"fifo-small/trace.txt.zst", VerdictUnknown},      // not judged
	{"2l-lost-bug/trace.txt.zst", VerdictLate},        // see TestLostBugCapture
	{"2l-bugkernel-small/trace.txt.zst", VerdictLost}, // see TestCapturesTable
}

func TestCaptures(t *testing.T) {
	for _, tt := range verdicts {
		t.Run(tt.file, func(t *testing.T) {
			path := filepath.Join(capture(t, filepath.Dir(tt.file)), filepath.Base(tt.file))
			im, err := ftrace.Open(path, ftrace.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer im.Close()
			r, err := Run(im.Meta(), im, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if r.Verdict != tt.want || r.Totals.Delivered == 0 {
				t.Errorf("got %s with %d delivered, want %s: %q", r.Verdict, r.Totals.Delivered, tt.want, r.Headline())
			}
			if b := r.Totals.Balance(); b != 0 {
				t.Errorf("the totals are out by %d: %+v", b, r.Totals)
			}
			if window := strings.HasPrefix(tt.file, "2l-overrun"); r.Trace.Window != window {
				t.Errorf("got window %v, want %v", r.Trace.Window, window)
			}
			if len(im.FinalMeta().Unprobed) > 0 {
				t.Errorf("got %q as not probed for, want none", im.FinalMeta().Unprobed)
			}
		})
	}
}

// unpack gives the text of a capture.
func unpack(t *testing.T, path string) []byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := zstd.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A capture of a good kernel that something was done to cannot be called clean, nor can its kernel be blamed.
func TestSpoiltCaptures(t *testing.T) {
	dir := capture(t, "2l-goodkernel-sparse-tsc")
	whole := unpack(t, filepath.Join(dir, "trace.txt.zst"))
	side, err := ftrace.ReadSideFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(whole, []byte("\n"))
	drop := func(events ...string) []byte { // with a header that does not count them
		var out []byte
	line:
		for _, l := range lines {
			if bytes.Contains(l, []byte("entries-in-buffer")) {
				continue
			}
			for _, e := range events {
				if bytes.Contains(l, []byte(": "+e+":")) {
					continue line
				}
			}
			out = append(out, l...)
		}
		return out
	}
	unlisted := func(names ...string) string {
		s := side.Probes
		for _, n := range names {
			s = regexp.MustCompile("(?m)^[pr]:evtchn/"+n+" .*\n").ReplaceAllString(s, "")
		}
		return s
	}
	shuffled := func(part int) []byte { // one line in so many stands a thousand lines too late
		ls := slices.Clone(lines)
		for i := 100; i+1000 < len(ls); i += part {
			copy(ls[i:], ls[i+1:i+1000])
			ls[i+999] = lines[i]
		}
		return bytes.Join(ls, nil)
	}
	tests := []struct {
		name    string
		text    []byte
		probes  string
		want    Verdict
		missing string
	}{
		{"as it is", whole, side.Probes, VerdictClean, ""},
		{"no list of probes", whole, "", VerdictClean, ""},
		{"unmask not listed", drop("unmask", "hc_unmask_2l"), unlisted("unmask", "hc_unmask_2l"), VerdictUnknown, "no record of evtchn_2l_unmask: whether and where ports were unmasked is not known; define p:evtrace/unmask evtchn_2l_unmask port=%di:u32 (docs/capture.md)"},
		{"unmask listed and not enabled", drop("unmask", "hc_unmask_2l"), side.Probes, VerdictUnknown, "no record of evtchn_2l_unmask"},
		{"unmask, no list", drop("unmask", "hc_unmask_2l"), "", VerdictUnknown, "no record of evtchn_2l_unmask"},
		{"mask, no list", drop("mask"), "", VerdictUnknown, "no record of evtchn_2l_mask"},
		{"mask and unmask, no list", drop("mask", "unmask", "hc_unmask_2l"), "", VerdictUnknown, "no record of evtchn_2l_mask"},
		{"mask not listed", drop("mask"), unlisted("mask"), VerdictUnknown, "no record of evtchn_2l_mask"},
		{"clear, no list", drop("clear"), "", VerdictUnknown, "no record of evtchn_2l_clear_pending"},
		{"upcall, no list", drop("upcall"), "", VerdictUnknown, "no record of xen_evtchn_do_upcall"},
		{"upcall_ret, no list", drop("upcall_ret"), "", VerdictUnknown, "no record of xen_evtchn_do_upcall's return"},
		{"scan, no list", drop("scan"), "", VerdictUnknown, "no record of evtchn_2l_handle_events"},
		{"twice", append(slices.Clone(whole), whole...), side.Probes, VerdictUnknown, "records stand far out of the order of their times"},
		{"one line in 20 late", shuffled(20), side.Probes, VerdictUnknown, "records stand far out of the order of their times"},
		{"half of it", bytes.Join(lines[:len(lines)/2], nil), side.Probes, VerdictClean, "the capture is cut"},
		{"half of it, within a line", whole[:len(whole)/2], side.Probes, VerdictClean, "the text ends within a line"},
		{"only other events", regexp.MustCompile(`: [a-z_0-9]+: `).ReplaceAll(whole, []byte(": sched_switch: ")), side.Probes, VerdictUnknown, "records without a meaning to the importer: "},
		{"only interrupts", regexp.MustCompile(`: [a-z_0-9]+: \(`).ReplaceAll(whole, []byte(": sched_switch: (")), side.Probes, VerdictUnknown, "no record of evtchn_2l_clear_pending"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := side
			s.Probes = tt.probes
			im, err := ftrace.New(bytes.NewReader(tt.text), "spoilt", s, ftrace.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer im.Close()
			r, err := Run(im.Meta(), im, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if r.Verdict != tt.want {
				t.Errorf("got %s, want %s: %s", r.Verdict, tt.want, r.Headline())
			}
			if all := strings.Join(r.Missing, "\n"); !strings.Contains(all, tt.missing) {
				t.Errorf("got missing\n%s\nwant %s", all, tt.missing)
			}
			if cut := strings.HasPrefix(tt.name, "half"); r.Trace.Complete == cut || strings.Contains(r.Headline(), "ends early") != cut {
				t.Errorf("got complete %v: %s", r.Trace.Complete, r.Headline())
			}
			for i := range r.Findings {
				if f := &r.Findings[i]; f.Kind != KindUnknown {
					t.Errorf("got %s: %q, want no verdict about it", f.ID, f.Why)
				}
			}
			if b := r.Totals.Balance(); b != 0 {
				t.Errorf("the totals are out by %d: %+v", b, r.Totals)
			}
		})
	}
}

var _ evtchn.Source = (*ftrace.Importer)(nil)
