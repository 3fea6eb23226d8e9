package analyze

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

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

var bugLost = regexp.MustCompile(`\s([0-9.]+): bug_lost: .* port=(\d+) cpu=(\d+)`)

// Every unmask on another vcpu while pending has a finding, and every finding has one.
func TestBugKernelCaptures(t *testing.T) {
	for _, name := range []string{"2l-bugkernel-small", "2l-bugkernel-sparse-tsc"} {
		t.Run(name, func(t *testing.T) {
			r, dir := judgeCapture(t, name)
			truth, err := os.ReadFile(filepath.Join(dir, "truth.txt"))
			if err != nil {
				t.Fatal(err)
			}
			var lines, found int
			used := make([]bool, len(r.Findings))
			for _, m := range bugLost.FindAllStringSubmatch(string(truth), -1) {
				lines++
				at, _ := strconv.ParseFloat(m[1], 64)
				if strings.Contains(m[1], ".") {
					at *= 1e9
				} else {
					at *= r.Trace.NsPerTick
				}
				hit := false
				for i := range r.Findings {
					if f := &r.Findings[i]; strconv.Itoa(int(f.Port)) == m[2] && f.Cause.Selector() && exposedNear(f, at) {
						used[i], hit = true, true
						if strconv.Itoa(int(f.UnnoticedVCPU)) != m[3] {
							t.Errorf("%s: got vcpu %d, want %s", f.ID, f.UnnoticedVCPU, m[3])
						}
					}
				}
				if hit {
					found++
				} else {
					t.Logf("no finding for %s", m[0])
				}
			}
			right := 0
			for i := range used {
				if used[i] {
					right++
				} else {
					t.Logf("no truth for %s", r.Findings[i].ID)
				}
			}
			recall, precision := float64(found)/float64(lines), float64(right)/float64(len(used))
			t.Logf("recall %d/%d, precision %d/%d", found, lines, right, len(used))
			if lines == 0 || recall < 0.99 || precision < 0.99 {
				t.Errorf("got recall %.3f of %d, precision %.3f of %d, want 0.99", recall, lines, precision, len(used))
			}
		})
	}
}

// exposedNear reports whether the finding was exposed, for the first time or again, within a millisecond.
func exposedNear(f *Finding, at float64) bool {
	return slices.ContainsFunc(f.Exposures, func(e int64) bool { return e >= *f.ExposedAt && math.Abs(float64(e)-at) <= 1e6 })
}

func TestCleanCaptures(t *testing.T) {
	for _, name := range []string{"2l-goodkernel-sparse-tsc", "2l-small", "2l-domu"} {
		t.Run(name, func(t *testing.T) {
			r, _ := judgeCapture(t, name)
			if r.Verdict != VerdictClean || r.Totals.Delivered == 0 {
				t.Errorf("got %s with %d delivered, want clean: %+v", r.Verdict, r.Totals.Delivered, r.Findings)
			}
		})
	}
}

var _ evtchn.Source = (*ftrace.Importer)(nil)
