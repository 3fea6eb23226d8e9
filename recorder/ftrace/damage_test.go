package ftrace

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// textLine is a line of a capture with its record.
type textLine struct {
	text []byte
	r    record
}

func readLines(t testing.TB, path string) []textLine {
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
	if bytes.HasPrefix(b, []byte{0x28, 0xb5, 0x2f, 0xfd}) {
		if b, err = z.DecodeAll(b, nil); err != nil {
			t.Fatal(err)
		}
	}
	ns := newNames()
	var ls []textLine
	for line := range bytes.Lines(b) {
		var r record
		var p parts
		if parseLine(bytes.TrimRight(line, "\n"), &r, &p, ns) == nil {
			ls = append(ls, textLine{line, r})
		}
	}
	return ls
}

func joinLines(ls []textLine) []byte {
	var b bytes.Buffer
	for _, l := range ls {
		b.Write(l.text)
	}
	return b.Bytes()
}

// coarse gives the capture the time stamps of a clock with steps of that many ticks, and merges the vcpus anew: file order no longer
// tells what came first within a step.
func coarse(ls []textLine, step int64) []textLine {
	out := slices.Clone(ls)
	for i := range out {
		l := &out[i]
		old := fmt.Sprintf(" %d: ", l.r.time)
		l.r.time -= l.r.time % step
		l.text = bytes.Replace(l.text, []byte(old), fmt.Appendf(nil, " %d: ", l.r.time), 1)
	}
	slices.SortStableFunc(out, func(a, b textLine) int {
		if a.r.time != b.r.time {
			return int(min(max(a.r.time-b.r.time, -1), 1))
		}
		return int(a.r.cpu) - int(b.r.cpu)
	})
	return out
}

// deaf drops what kprobes drop: all records of some upcalls, except the kernel's own of the handlers.
func deaf(ls []textLine, rate float64, seed uint64) []textLine {
	rng := rand.New(rand.NewPCG(seed, 1))
	var in [128]bool
	var out []textLine
	for _, l := range ls {
		if l.r.id == prUpcall {
			in[l.r.cpu] = rng.Float64() < rate
		}
		if in[l.r.cpu] && l.r.fl&rfHardIRQ != 0 && l.r.id != prIRQEntry && l.r.id != prIRQExit {
			in[l.r.cpu] = l.r.id != prUpcallRet
			continue
		}
		out = append(out, l)
	}
	return out
}

// gappy loses stretches of single vcpus, and says so as trace_pipe does.
func gappy(ls []textLine, seed uint64) []textLine {
	rng := rand.New(rand.NewPCG(seed, 2))
	var left, lost [128]int
	var out []textLine
	for _, l := range ls {
		c := l.r.cpu
		if left[c] > 0 {
			left[c]--
			lost[c]++
			if left[c] == 0 {
				out = append(out, textLine{text: fmt.Appendf(nil, "CPU:%d [LOST %d EVENTS]\n", c, lost[c])})
				lost[c] = 0
			}
			continue
		}
		if rng.IntN(800) == 0 {
			left[c] = 5 + rng.IntN(400)
		}
		out = append(out, l)
	}
	return out
}

// without drops the records of hypercalls: their probes sit at offsets that a user may not know.
func without(ls []textLine) []textLine {
	var out []textLine
	for _, l := range ls {
		if l.r.id < prHCSend || l.r.id > prHCClose {
			out = append(out, l)
		}
	}
	return out
}

// TestDamaged: what captures suffer from costs some findings at worst; it never makes one up.
func TestDamaged(t *testing.T) {
	const seed = 20051213
	t.Logf("seed %d", seed)
	bad := filepath.Join(captures(t), "2l-bugkernel-sparse-tsc")
	good := filepath.Join(captures(t), "2l-goodkernel-sparse-tsc")
	badLines, goodLines := readLines(t, filepath.Join(bad, "trace.txt.zst")), readLines(t, filepath.Join(good, "trace.txt.zst"))
	badSide, err := ReadSideFiles(bad)
	if err != nil {
		t.Fatal(err)
	}
	goodSide, err := ReadSideFiles(good)
	if err != nil {
		t.Fatal(err)
	}
	bare := func(s SideFiles) SideFiles { return SideFiles{TraceClock: s.TraceClock, Console: s.Console} }
	tests := []struct {
		name   string
		do     func([]textLine) []textLine
		side   func(SideFiles) SideFiles
		recall float64
	}{
		{"no side files", func(ls []textLine) []textLine { return ls }, bare, 0.99},
		{"a clock of 20 us", func(ls []textLine) []textLine { return coarse(ls, 52_000) }, nil, 0.99},
		{"a clock of 100 us", func(ls []textLine) []textLine { return coarse(ls, 260_000) }, nil, 0.99},
		{"a clock of 1 ms", func(ls []textLine) []textLine { return coarse(ls, 2_600_000) }, nil, 0.8},
		{"4 % of the upcalls missed", func(ls []textLine) []textLine { return deaf(ls, 0.04, seed) }, nil, 0.99},
		{"both", func(ls []textLine) []textLine { return coarse(deaf(ls, 0.04, seed), 52_000) }, nil, 0.98},
		{"gaps", func(ls []textLine) []textLine { return gappy(ls, seed) }, nil, 0.5},
		{"no hypercalls", without, bare, 0.7},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.side == nil {
				tt.side = func(s SideFiles) SideFiles { return s }
			}
			im, err := New(bytes.NewReader(joinLines(tt.do(badLines))), "bad", tt.side(badSide), Options{})
			if err != nil {
				t.Fatal(err)
			}
			es, meta := judge(t, im)
			recall, precision := compare(t, es, readTruth(t, filepath.Join(bad, "truth.txt")), meta.NsPerTick)
			if recall < tt.recall || precision < 0.99 {
				t.Errorf("got recall %.4f and precision %.4f, want %.2f and 0.99", recall, precision, tt.recall)
			}
			if im, err = New(bytes.NewReader(joinLines(tt.do(goodLines))), "good", tt.side(goodSide), Options{}); err != nil {
				t.Fatal(err)
			}
			if es, _ := judge(t, im); len(es) > 0 {
				t.Errorf("the good kernel: got %d lost, the first %+v, want none", len(es), *es[0])
			}
		})
	}
}

// TestEachProbe: without the records of any one kind, whether the list of probes tells so or not, nothing is found that did not happen.
func TestEachProbe(t *testing.T) {
	if testing.Short() {
		t.Skip("short")
	}
	bad := filepath.Join(captures(t), "2l-bugkernel-sparse-tsc")
	good := filepath.Join(captures(t), "2l-goodkernel-sparse-tsc")
	badLines, goodLines := readLines(t, filepath.Join(bad, "trace.txt.zst")), readLines(t, filepath.Join(good, "trace.txt.zst"))
	badSide, err := ReadSideFiles(bad)
	if err != nil {
		t.Fatal(err)
	}
	goodSide, err := ReadSideFiles(good)
	if err != nil {
		t.Fatal(err)
	}
	groups := map[string][]probe{"all hypercalls": {prHCSend, prHCIPI, prHCUnmask, prHCBindVCPU, prHCClose}, "irq handlers": {prIRQEntry, prIRQExit}}
	for name, spec := range probeByName {
		if name == spec.id.kind() {
			groups[name] = []probe{spec.id}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		gone := func(l textLine) bool { return slices.Contains(groups[name], l.r.id) }
		if !slices.ContainsFunc(badLines, gone) {
			continue
		}
		for _, listed := range []bool{true, false} {
			if !listed && groups[name][0] < prHCSend && groups[name][0] != prMask {
				continue // nothing is known from the list but what was not probed for
			}
			t.Run(fmt.Sprintf("%s listed %v", name, listed), func(t *testing.T) {
				side := func(s SideFiles) SideFiles {
					if !listed {
						s.Probes = ""
					}
					return s
				}
				im, err := New(bytes.NewReader(joinLines(slices.DeleteFunc(slices.Clone(badLines), gone))), "bad", side(badSide), Options{})
				if err != nil {
					t.Fatal(err)
				}
				es, meta := judge(t, im)
				if _, precision := compare(t, es, readTruth(t, filepath.Join(bad, "truth.txt")), meta.NsPerTick); precision < 0.95 {
					t.Errorf("got precision %.4f, want 0.95; not probed for: %q", precision, meta.Unprobed)
				}
				if im, err = New(bytes.NewReader(joinLines(slices.DeleteFunc(slices.Clone(goodLines), gone))), "good", side(goodSide), Options{}); err != nil {
					t.Fatal(err)
				}
				if es, meta := judge(t, im); len(es) > 0 {
					t.Errorf("the good kernel: got %d lost, the first %+v, want none; not probed for: %q", len(es), *es[0], meta.Unprobed)
				}
			})
		}
	}
}
