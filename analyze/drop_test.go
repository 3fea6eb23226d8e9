package analyze

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/evtrace/evtrace/recorder/ftrace"
)

// goodCaptures are captures of kernels that lose nothing.
var goodCaptures = []string{"2l-goodkernel-sparse-tsc/trace.txt.zst", "2l-small/trace.txt.zst", "2l-domu/trace.txt.zst",
	"2l-clock-counter/trace.txt", "2l-clock-mono_raw/trace.txt", "2l-clock-uptime/trace.txt", "2l-clock-x86-tsc/trace.txt",
	"2l-rawlatfmt/trace.txt", "2l-tracecmd/trace-cmd-report.txt.zst", "2l-xentrace/ftrace-x86-tsc.txt.zst"}

// captureLines gives the lines of a capture.
func captureLines(t *testing.T, name string) (lines [][]byte, side ftrace.SideFiles) {
	t.Helper()
	path := filepath.Join(capture(t, filepath.Dir(name)), filepath.Base(name))
	side, err := ftrace.ReadSideFiles(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	var b []byte
	if strings.HasSuffix(path, ".zst") {
		b = unpack(t, path)
	} else if b, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	return bytes.SplitAfter(b, []byte("\n")), side
}

func judgeText(t *testing.T, text []byte, side ftrace.SideFiles) *Report {
	t.Helper()
	im, err := ftrace.New(bytes.NewReader(text), "spoilt", side, ftrace.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer im.Close()
	r, err := Run(im.Meta(), im, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// isRecord reports whether the line is a record.
func isRecord(line []byte) bool {
	return len(line) > 1 && line[0] != '#' && bytes.Contains(line, []byte(": "))
}

// Of a good kernel nothing is said to be lost, or handled as it must not be, whatever lines are missing from its capture: some here and
// there, or all of a while. A late one needs records that bear it out, so it is not said either, but for accidents of heavy damage.
func TestMissingLines(t *testing.T) {
	type damage struct {
		name string
		rate float64
		runs int
		cut  bool // in one piece
	}
	seeds := 2
	if testing.Short() {
		seeds = 1
	}
	for _, name := range goodCaptures {
		t.Run(name, func(t *testing.T) {
			lines, side := captureLines(t, name)
			first := 0
			for first < len(lines) && !isRecord(lines[first]) {
				first++
			}
			for _, d := range []damage{{"1 in 1000", 0.001, seeds, false}, {"1 in 100", 0.01, seeds, false}, {"1 in 20", 0.05, seeds, false},
				{"a piece of 1 in 100", 0.01, seeds, true}, {"a piece of 1 in 20", 0.05, seeds, true}} {
				for seed := range uint64(d.runs) {
					rng := rand.New(rand.NewPCG(seed, uint64(d.rate*1e6)))
					n := int(float64(len(lines)) * d.rate)
					at := first + rng.IntN(len(lines)-n-first)
					var text []byte
					for i, l := range lines {
						drop := i >= first && rng.Float64() < d.rate
						if d.cut {
							drop = i >= at && i < at+n
						}
						if !drop {
							text = append(text, l...)
						}
					}
					r := judgeText(t, text, side)
					tot := &r.Totals
					if tot.Lost+tot.Duplicate+tot.Concurrent+tot.WrongVCPU > 0 || tot.Late > 0 && d.rate < 0.05 {
						t.Errorf("%s, seed %d: got %s", d.name, seed, r.Headline())
						for i := range min(len(r.Findings), 3) {
							t.Logf("%s: %s", r.Findings[i].ID, strings.Join(r.Findings[i].Story(), "\n"))
						}
					}
					for i := range r.Findings {
						if f := &r.Findings[i]; f.Kind == KindUnknown && len(f.Settle) == 0 {
							t.Errorf("%s, seed %d: %s: nothing would decide it:\n%s", d.name, seed, f.ID, strings.Join(f.Why, "\n"))
						}
					}
				}
			}
		})
	}
}

// Without the probes of a kind, nothing is lost either, and what cannot be known then is named.
func TestMissingProbes(t *testing.T) {
	for _, name := range goodCaptures {
		lines, side := captureLines(t, name)
		for _, probe := range []string{"hc_", "clear", "deliver", "scan", "bind_cpu", "irq_handler", "dev_", "unmask", "upcall"} {
			t.Run(name+" without "+probe, func(t *testing.T) {
				var text []byte
				for _, l := range lines {
					if !bytes.Contains(l, []byte(": "+probe)) && !bytes.Contains(l, []byte("entries-in-buffer")) {
						text = append(text, l...)
					}
				}
				for _, list := range []string{side.Probes, ""} {
					s := side
					s.Probes = list
					r := judgeText(t, text, s)
					if tot := &r.Totals; tot.Lost+tot.Late+tot.Duplicate+tot.Concurrent+tot.WrongVCPU > 0 {
						t.Errorf("got %s", r.Headline())
						for i := range min(len(r.Findings), 2) {
							t.Logf("%s: %s", r.Findings[i].ID, strings.Join(r.Findings[i].Story(), "\n"))
						}
					}
				}
			})
		}
	}
}

// A kernel whose own unmask is replaced calls that by another name. The verdict is then undecided, and the name is given.
func TestRenamedProbe(t *testing.T) {
	lines, side := captureLines(t, "2l-bugkernel-small/trace.txt.zst")
	text := bytes.Join(lines, nil)
	for _, port := range []string{"6", "7", "8", "9", "1"} { // as the first digit: most of the ports
		text = regexp.MustCompile(`: unmask: (.* port=`+port+`)`).ReplaceAll(text, []byte(": my_unmask: $1"))
	}
	r := judgeText(t, text, side)
	settle := strings.Join(r.Settle, "\n")
	for i := range r.Findings {
		if f := &r.Findings[i]; f.Cause != CauseUnseenUnmask {
			t.Errorf("got %s, which is %s, want nothing but %s", f.ID, f.Cause, CauseUnseenUnmask)
		}
	}
	if r.Verdict != VerdictUnknown || r.Totals.Unknown == 0 || uint64(len(r.Findings)) != r.Totals.Unknown || !strings.Contains(r.Headline(), "of ports that the records have as masked") || !strings.Contains(settle, "--map my_unmask=unmask") {
		t.Errorf("got %s\n%s", r.Headline(), settle)
	}
}
