package xentrace

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/evtrace/evtrace/evtchn"
)

// captures gives the directory of the shared captures, or skips the test.
func captures(t testing.TB) string {
	t.Helper()
	if dir := os.Getenv("EVTRACE_CAPTURES"); dir != "" {
		return dir
	}
	dir := filepath.Join("..", "..", "..", "shared", "traces")
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("no captures: %v", err)
		}
		t.Skipf("no captures: %v", err)
	}
	return dir
}

// unpacked reads a capture.
func unpacked(t testing.TB, path string) []byte {
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

// summary is what xenalyze --summary prints, as far as it can be compared.
type summary struct {
	seconds float64 // at hz
	hz      float64
	bytes   map[string]map[string]uint64 // by CPU and class
	vcpus   map[string]*vcpuSummary      // by "domain:vcpu"
}

type vcpuSummary struct {
	states     map[string]Stay // Cycles: the mean of a stay
	calls      map[uint32]uint64
	total, sub uint64
}

var (
	totalLine  = regexp.MustCompile(`^Total time: ([0-9.]+) seconds \(using cpu speed ([0-9.]+) GHz\)`)
	cpuLine    = regexp.MustCompile(`^ - cpu (\d+) -`)
	volumeLine = regexp.MustCompile(`^ ([a-z0-9]+) +: +(\d+)$`)
	domainLine = regexp.MustCompile(`^\|-- Domain (\d+) --\|`)
	vcpuLine   = regexp.MustCompile(`^-- v(\d+) --`)
	stateLine  = regexp.MustCompile(`^ +(running|runnable|blocked|offline): +(\d+) +[0-9.]+s +(\d+) `)
	callLine   = regexp.MustCompile(`^    [a-z_0-9]+ +\[ *(\d+)\]: +(\d+)`)
	callsLine  = regexp.MustCompile(`^  hypercall( \(subcall\))?  (\d+)`)
)

func readSummary(t *testing.T, path string) *summary {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := &summary{bytes: make(map[string]map[string]uint64), vcpus: make(map[string]*vcpuSummary)}
	var cpu, dom string
	var v *vcpuSummary
	num := func(s string) uint64 {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for sc := bufio.NewScanner(f); sc.Scan(); {
		line := sc.Text()
		if m := totalLine.FindStringSubmatch(line); m != nil {
			s.seconds, _ = strconv.ParseFloat(m[1], 64)
			s.hz, _ = strconv.ParseFloat(m[2], 64)
			s.hz *= 1e9
		} else if m := cpuLine.FindStringSubmatch(line); m != nil {
			cpu = m[1]
			s.bytes[cpu] = make(map[string]uint64)
		} else if m := volumeLine.FindStringSubmatch(line); m != nil && dom == "" {
			s.bytes[cpu][m[1]] = num(m[2])
		} else if m := domainLine.FindStringSubmatch(line); m != nil {
			dom, v = m[1], nil
		} else if m := vcpuLine.FindStringSubmatch(line); m != nil {
			v = &vcpuSummary{states: make(map[string]Stay), calls: make(map[uint32]uint64)}
			s.vcpus[dom+":"+m[1]] = v
		} else if v == nil {
			continue
		} else if m := stateLine.FindStringSubmatch(line); m != nil {
			v.states[m[1]] = Stay{num(m[2]), num(m[3])}
		} else if m := callLine.FindStringSubmatch(line); m != nil {
			v.calls[uint32(num(m[1]))] = num(m[2])
		} else if m := callsLine.FindStringSubmatch(line); m != nil && m[1] == "" {
			v.total = num(m[2]) // with those in multicalls
		} else if m != nil {
			v.sub = num(m[2])
		}
	}
	if s.seconds == 0 || len(s.bytes) == 0 {
		t.Fatalf("%s: no summary", path)
	}
	return s
}

// What the reader adds up is what xenalyze adds up: bytes by CPU and class, stays and cycles of every run state of every vcpu of
// every domain, hypercalls by number, and the length of the trace.
func TestXenalyzeAgrees(t *testing.T) {
	dir := captures(t)
	for _, c := range []struct{ bin, summary string }{
		{"2l-xentrace/all.bin.zst", "2l-xentrace/all.xenalyze-summary.txt"},
		{"2l-xentrace/pv.bin.zst", "2l-xentrace/pv.xenalyze-summary.txt"},
		{"2l-xentrace/all-with-ftrace.bin.zst", "2l-xentrace/all-with-ftrace.xenalyze-summary.txt"},
		{"2l-domu/xentrace-all.bin.zst", "2l-domu/xentrace-all.xenalyze-summary.txt"},
	} {
		t.Run(c.bin, func(t *testing.T) {
			want := readSummary(t, filepath.Join(dir, c.summary))
			im, err := New(strings.NewReader(string(unpacked(t, filepath.Join(dir, c.bin)))), c.bin, Options{VCPUs: 4})
			if err != nil {
				t.Fatal(err)
			}
			var ev evtchn.Event
			for err = im.Next(&ev); err == nil; err = im.Next(&ev) {
			}
			if err != io.EOF {
				t.Fatal(err)
			}
			compare(t, im.Totals(), want)
			if d := im.r.Stats(); d.Damage.Places != 0 || d.Cut {
				t.Errorf("damage in a sound trace: %+v", d)
			}
		})
	}
}

func compare(t *testing.T, got Totals, want *summary) {
	if s := float64(got.Last-got.First) / want.hz; fmt.Sprintf("%.2f", s) != fmt.Sprintf("%.2f", want.seconds) {
		t.Errorf("length: got %.2f s, want %.2f s", s, want.seconds)
	}
	cpus := 0
	for _, c := range got.CPUs {
		cpus++
		for class, n := range want.bytes[strconv.Itoa(c.CPU)] {
			if c.Bytes[class] != n {
				t.Errorf("CPU %d, class %s: got %d bytes, want %d", c.CPU, class, c.Bytes[class], n)
			}
		}
		if len(c.Bytes) != len(want.bytes[strconv.Itoa(c.CPU)]) {
			t.Errorf("CPU %d: got classes %v, want %v", c.CPU, c.Bytes, want.bytes[strconv.Itoa(c.CPU)])
		}
	}
	if cpus != len(want.bytes) {
		t.Errorf("got %d CPUs, want %d", cpus, len(want.bytes))
	}
	seen := 0
	for _, v := range got.VCPUs {
		name := fmt.Sprintf("%d:%d", v.Domain, v.VCPU)
		w := want.vcpus[name]
		if w == nil {
			t.Errorf("vcpu %s is not one of xenalyze's", name)
			continue
		}
		seen++
		// xenalyze counts it as another stay when a vcpu is let run on, and does not tell polling from blocked.
		blocked := Stay{v.Blocked.Count + v.Polling.Count, v.Blocked.Cycles + v.Polling.Cycles}
		for state, s := range map[string]Stay{"running": {v.Running.Count + v.Continued, v.Running.Cycles}, "runnable": v.Runnable,
			"blocked": blocked, "offline": v.Offline} {
			ws := w.states[state]
			if state == "running" && s.Count == ws.Count+1 {
				s.Count-- // it does not count the last one if nothing of its CPU comes after it
			}
			if s.Count != ws.Count || s.Count > 0 && s.Cycles/s.Count != ws.Cycles {
				t.Errorf("vcpu %s, %s: got %d stays of %d cycles in all, want %d of %d each", name, state, s.Count, s.Cycles, ws.Count, ws.Cycles)
			}
		}
		var total, sub uint64
		calls := make(map[uint32]uint64)
		for op, n := range v.Hypercalls {
			total += n
			calls[op] += n
		}
		for op, n := range v.Subcalls {
			sub += n
			calls[op] += n
		}
		if total+sub != w.total || sub != w.sub {
			t.Errorf("vcpu %s: got %d hypercalls and %d in multicalls, want %d and %d", name, total, sub, w.total, w.sub)
		}
		for op, n := range w.calls {
			if calls[op] != n {
				t.Errorf("vcpu %s: hypercall %d: got %d, want %d", name, op, calls[op], n)
			}
		}
		if len(calls) != len(w.calls) {
			t.Errorf("vcpu %s: got hypercalls %v, want %v", name, calls, w.calls)
		}
	}
	if seen != len(want.vcpus) {
		t.Errorf("got %d vcpus, want %d", seen, len(want.vcpus))
	}
	if got.Lost != 0 {
		t.Errorf("got %d lost records, want none", got.Lost)
	}
}
