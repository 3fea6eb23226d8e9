package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/evtrace/evtrace/analyze"
)

// labKit is the folder of the kit that boots a real Xen with a real Linux dom0, "" if the test is not asked for. It takes minutes.
func labKit(t *testing.T) string {
	t.Helper()
	kit := os.Getenv("EVTRACE_LAB")
	if kit == "" {
		t.Skip("EVTRACE_LAB does not name the kit that boots a real Xen: see DEVELOPMENT.md")
	}
	if !filepath.IsAbs(kit) {
		kit = filepath.Join(repoRoot(t), kit)
	}
	if _, err := os.Stat(filepath.Join(kit, "run.sh")); err != nil {
		t.Fatalf("EVTRACE_LAB: %v", err)
	}
	return kit
}

// labBoot is a boot of the lab, and the captures that are taken in it.
type labBoot struct {
	name  string
	abi   string
	kinds []string // as testdata/lab/capture.sh explains; a number makes a second one of a kind
	tui   string   // the capture that the terminal UI shows on the guest's console
}

var labBoots = []labBoot{
	{"2l", "2l", []string{"bug1", "lost1", "good1", "lost2", "bug2", "good2"}, "lost1"},
	{"fifo", "fifo", []string{"load1", "load2"}, ""},
}

// TestLab: what evtrace probes prints in a real dom0 records there, leaves nothing behind, and what comes back is judged right: the losses
// that were planted are found, and none on the kernel as it is. EVTRACE_LAB names the kit, XENLAB_DIR its cache (run its setup.sh
// first), EVTRACE_LAB_OUT a folder in which the captures are kept, and from which those that are there already are taken.
func TestLab(t *testing.T) {
	kit := labKit(t)
	out := os.Getenv("EVTRACE_LAB_OUT")
	if out == "" {
		out = t.TempDir()
	}
	bin := t.TempDir()
	for name, pkg := range map[string]string{"evtrace": ".", "press": "./testdata/lab/press"} {
		c := exec.Command("go", "build", "-o", filepath.Join(bin, name), pkg)
		c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOAMD64=v1")
		if text, err := c.CombinedOutput(); err != nil {
			t.Fatalf("go build %s: %v\n%s", pkg, err, text)
		}
	}
	for _, b := range labBoots {
		t.Run(b.name, func(t *testing.T) {
			dir := filepath.Join(out, b.name)
			if _, err := os.Stat(filepath.Join(dir, "job.rc")); errors.Is(err, os.ErrNotExist) {
				b.boot(t, kit, bin, dir)
			}
			if rc := strings.TrimSpace(readText(t, dir, "job.rc")); rc != "0" {
				t.Fatalf("the job ended with %s:\n%s", rc, readText(t, dir, "job.log"))
			}
			labDefinitions(t, dir, b.abi)
			for _, kind := range b.kinds {
				t.Run(kind, func(t *testing.T) { labCapture(t, filepath.Join(dir, kind), b.abi) })
			}
			if b.tui != "" {
				labScreen(t, dir)
			}
		})
	}
}

func (b *labBoot) boot(t *testing.T, kit, bin, dir string) {
	t.Helper()
	job, err := filepath.Abs(filepath.Join("testdata", "lab", "capture.sh"))
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(filepath.Join(kit, "run.sh"), "--abi", b.abi, "--timeout", "1800", "--put", filepath.Join(bin, "evtrace"), "--put", filepath.Join(bin, "press"),
		"--out", dir, "--", job, "kinds="+strings.Join(b.kinds, ","), "tui="+b.tui)
	if text, err := c.CombinedOutput(); err != nil {
		t.Fatalf("run.sh: %v\n%s", err, text)
	}
}

func readText(t *testing.T, elem ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(elem...))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// labDefinitions compares the places of hypercalls with those that the kit finds by itself.
func labDefinitions(t *testing.T, dir, abi string) {
	t.Helper()
	var r probesReport
	if err := json.Unmarshal([]byte(readText(t, dir, "probes.json")), &r); err != nil {
		t.Fatal(err)
	}
	if r.ABI != abi {
		t.Errorf("probes: got ABI %s, want %s", r.ABI, abi)
	}
	for _, p := range r.Probes {
		if p.Dropped != "" {
			t.Errorf("probes: no %s: %s", p.Name, p.Dropped)
		}
	}
	ours := strings.ReplaceAll(strings.Join(r.Definitions, "\n")+"\n", ":evtrace/", ":evtchn/")
	theirs := 0
	for line := range strings.Lines(readText(t, dir, "hcsites.txt")) {
		if !strings.HasPrefix(line, "p:evtchn/") || strings.Contains(line, "hc_unmask_") && !strings.Contains(line, "hc_unmask_"+abi) {
			continue
		}
		theirs++
		if !strings.Contains(ours, line) {
			t.Errorf("the kit finds %sand probes does not:\n%s", line, ours)
		}
	}
	if theirs < 7 {
		t.Errorf("the kit finds %d places, want 7", theirs)
	}
}

// labCapture judges a capture by what the load and the modules know.
func labCapture(t *testing.T, dir, abi string) {
	evt := filepath.Join(t.TempDir(), "capture.evt")
	must(t, 0, "import", "-q", "-o", evt, filepath.Join(dir, "capture.tar"))
	r := evtrace(t, "analyze", "--json", evt)
	var report analyze.Report
	if err := json.Unmarshal([]byte(r.out), &report); err != nil {
		t.Fatalf("exit code %d: %v\n%s", r.code, err, r.err)
	}
	t.Logf("%d records, %d events, verdict %s: %d lost, %d late, %d unknown", report.Trace.Records, report.Trace.Events, report.Verdict,
		report.Totals.Lost, report.Totals.Late, report.Totals.Unknown)
	for _, d := range report.Doubts {
		t.Logf("doubt: %s", d)
	}
	if report.Trace.ABI != abi || report.Trace.Clock != "x86-tsc" || report.Trace.Unit != "ns" || report.Trace.Records == 0 {
		t.Errorf("got %+v, want ABI %s and the clock x86-tsc in ns", report.Trace, abi)
	}
	if code := report.Verdict.ExitCode(); r.code != code {
		t.Errorf("exit code %d of verdict %s, want %d", r.code, report.Verdict, code)
	}
	switch kind := filepath.Base(dir); {
	case strings.HasPrefix(kind, "bug"):
		labBug(t, dir, &report)
	case strings.HasPrefix(kind, "lost"):
		labLost(t, dir, &report)
	default:
		for i := range report.Findings {
			if f := &report.Findings[i]; f.Kind == analyze.KindLost || f.Kind == analyze.KindLate {
				t.Errorf("nothing was planted, got %s: %v", f.ID, f.Why)
			}
		}
	}
}

// labLosses matches the moments in a text with the findings.
var labLosses = regexp.MustCompile(`\s(\d+): bug_lost: .* port=(\d+) cpu=(\d+)`)

// labBug wants a finding for every unmask of a pending port on another vcpu, and none besides; and that probes says whose unmask it is.
func labBug(t *testing.T, dir string, r *analyze.Report) {
	t.Helper()
	for _, log := range []string{"probes.log", "record.log"} {
		if text := readText(t, dir, log); !strings.Contains(text, "with evbug:evbug_unmask in the place of evtchn_2l_unmask") {
			t.Errorf("%s does not say that the kernel's unmask was replaced:\n%s", log, text)
		}
	}
	used := make([]bool, len(r.Findings))
	lines, found := 0, 0
	for _, m := range labLosses.FindAllStringSubmatch(readText(t, dir, "truth-trace.txt"), -1) {
		at, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		at *= r.Trace.NsPerTick
		lines++
		hit := false
		for i := range r.Findings {
			f := &r.Findings[i]
			near := func(e int64) bool { return math.Abs(float64(e)-at) <= 1e6 }
			if (f.Kind == analyze.KindLost || f.Kind == analyze.KindLate) && fmt.Sprint(f.Port) == m[2] && slices.ContainsFunc(f.Exposures, near) {
				used[i], hit = true, true
			}
		}
		if hit {
			found++
		} else {
			t.Logf("no finding for %s", m[0])
		}
	}
	all, right := 0, 0
	for i := range r.Findings {
		if f := &r.Findings[i]; f.Kind == analyze.KindLost || f.Kind == analyze.KindLate {
			if all++; used[i] {
				right++
			} else {
				t.Logf("no truth for %s: %v", f.ID, f.Why)
			}
		}
	}
	t.Logf("recall %d of %d, precision %d of %d", found, lines, right, all)
	if lines == 0 || float64(found) < 0.99*float64(lines) || float64(right) < 0.99*float64(all) {
		t.Errorf("got recall %d of %d, precision %d of %d, want 0.99 of each", found, lines, right, all)
	}
}

var labRounds = regexp.MustCompile(`mode=0 .* port=(\d+) word=(\d+) home=(\d+) other=(\d+) handled_in_wait=0 handled_total=1 latency_from_unmask_us=(\d+)`)

// labLost wants the rounds with the unmask of 2005, with their delays, and nothing else.
func labLost(t *testing.T, dir string, r *analyze.Report) {
	t.Helper()
	rounds := labRounds.FindAllStringSubmatch(readText(t, dir, "truth.txt"), -1)
	if len(rounds) == 0 || r.Verdict != analyze.VerdictLate || len(r.Findings) != len(rounds) {
		t.Fatalf("got %s with %d findings, want late with the %d rounds of truth.txt", r.Verdict, len(r.Findings), len(rounds))
	}
	for i, m := range rounds {
		f := &r.Findings[i]
		us, err := strconv.ParseFloat(m[5], 64)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(f.Port, f.Word, f.OwnerVCPU, f.UnnoticedVCPU); got != strings.Join(m[1:5], " ") || f.Delay == nil || math.Abs(float64(*f.Delay)-us*1e3) > 0.03*us*1e3 {
			t.Errorf("round %d: got port, word, owner and other vcpu %s after %v ns, want %s after %s us", i, got, f.Delay, strings.Join(m[1:5], " "), m[5])
		}
	}
}

// labScreen wants the terminal UI's screens in the log of the guest's console: the finding, the help, and a clean end.
func labScreen(t *testing.T, dir string) {
	t.Helper()
	console := readText(t, dir, "console.log")
	_, console, ok := strings.Cut(console, "== the terminal UI")
	screens, rest, ok2 := strings.Cut(console, "== the end of the terminal UI: ")
	if !ok || !ok2 || !strings.HasPrefix(rest, "0") {
		t.Fatalf("the terminal UI did not end well: %.40q", rest)
	}
	text := regexp.MustCompile("\x1b\\[[0-9;?]*[A-Za-z]").ReplaceAllString(screens, "")
	for _, want := range []string{"capture, 4 vcpus", "machine after #", "PEND", "vcpu"} {
		if !strings.Contains(text, want) {
			t.Errorf("the screens have no %q", want)
		}
	}
}
