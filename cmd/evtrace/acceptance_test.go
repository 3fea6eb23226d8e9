package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/evtchn"
)

// seeds is how many seeds the acceptance tests take.
func seeds() int {
	if testing.Short() || raceDetector {
		return 3
	}
	return 50
}

func decode[T any](t testing.TB, data string) *T {
	t.Helper()
	v := new(T)
	if err := json.Unmarshal([]byte(data), v); err != nil {
		t.Fatalf("%v in %.200s", err, data)
	}
	return v
}

// TestPort65 records the report's story with many seeds, and wants the same verdict of each.
func TestPort65(t *testing.T) {
	for seed := 1; seed <= seeds(); seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "a.evt")
			must(t, 0, "record", "-q", "--scenario", "seed-port65", "--seed", fmt.Sprint(seed), "-o", file)
			r := decode[analyze.Report](t, must(t, 10, "analyze", "--json", file))
			if r.Verdict != analyze.VerdictLost || len(r.Findings) != 1 {
				t.Fatalf("verdict %s with %d findings, want lost with 1", r.Verdict, len(r.Findings))
			}
			f := r.Findings[0]
			if f.Kind != analyze.KindLost || f.Port != 65 || f.Word != 1 || f.OwnerVCPU != 0 || f.UnnoticedVCPU < 1 || f.UnnoticedSeq == 0 || f.NoticedAt != nil {
				t.Errorf("got %s port %d word %d owner %d away %d, want lost port 65 word 1 owner 0 away from vcpu 0", f.Kind, f.Port, f.Word, f.OwnerVCPU, f.UnnoticedVCPU)
			}
			p := decode[analyze.PolicyReport](t, must(t, 10, "replay", "--policy", "all", "--json", file))
			if !p.Identical || p.RecordedPolicy != "xen-2005" {
				t.Errorf("policy %s, identical %t, want xen-2005, true", p.RecordedPolicy, p.Identical)
			}
			if len(p.Policies) != len(evtchn.Presets()) {
				t.Fatalf("%d policies, want %d", len(p.Policies), len(evtchn.Presets()))
			}
			unsafe := 0
			for _, q := range p.Policies {
				switch {
				case q.Policy == "unmask-hypercall":
					if q.Verdict != analyze.VerdictClean || stuck(q) || q.FirstDeparture == 0 || q.Costs.UnmaskHypercalls == 0 {
						t.Errorf("unmask-hypercall: %+v, want clean and all requests served", q)
					}
				case q.Claim == "unsafe" && q.Verdict != analyze.VerdictClean:
					unsafe++
				case q.Claim == "safe" && (q.Lost > 0 || stuck(q)):
					t.Errorf("%s claims to be safe: %d lost, %d requests hung", q.Policy, q.Lost, q.Requests.Hung)
				}
			}
			if unsafe < 2 {
				t.Errorf("%d unsafe policies are not clean, want more than xen-2005 alone", unsafe)
			}
			must(t, 0, "replay", file, "--policy", "unmask-hypercall")
			must(t, 0, "replay", file)
		})
	}
}

// stuck reports whether the one domain of the report's story hangs.
func stuck(q analyze.PolicyResult) bool { return q.Requests.Served < 10 || q.Requests.Hung > 0 }

// TestRescued wants port 65 late, thanks to port 66.
func TestRescued(t *testing.T) {
	for seed := 1; seed <= seeds(); seed++ {
		file := filepath.Join(t.TempDir(), "a.evt")
		must(t, 0, "record", "-q", "--scenario", "seed-rescued", "--seed", fmt.Sprint(seed), "-o", file)
		r := decode[analyze.Report](t, must(t, 11, "analyze", "--json", file))
		if len(r.Findings) == 0 || r.Findings[0].Kind != analyze.KindLate || r.Findings[0].Port != 65 || r.Findings[0].RescuedByPort != 66 {
			t.Errorf("seed %d: got %+v, want port 65 late, rescued by port 66", seed, r.Findings)
		}
	}
}

// TestClean wants nothing found in the clean scenario, under its own policy and every one that claims to be safe.
func TestClean(t *testing.T) {
	for seed := 1; seed <= max(1, seeds()/5); seed++ {
		file := filepath.Join(t.TempDir(), "a.evt")
		must(t, 0, "record", "-q", "--scenario", "clean", "--seed", fmt.Sprint(seed), "-o", file)
		must(t, 0, "analyze", file)
		args := []string{"replay", file}
		for _, pre := range evtchn.Presets() {
			if pre.Claim == evtchn.ClaimSafe {
				args = append(args, "--policy", pre.Name)
			}
		}
		must(t, 0, args...)
	}
}

// TestDeterminism records twice and wants the same text; and that text survives the way through a trace file.
func TestDeterminism(t *testing.T) {
	dir := t.TempDir()
	for _, sc := range []string{"seed-port65", "rebind-race", "mixed-load"} {
		var texts []string
		for i := range 2 {
			file := filepath.Join(dir, fmt.Sprintf("%s-%d.evt", sc, i))
			must(t, 0, "record", "-q", "--scenario", sc, "--seed", "3", "--duration", "30ms", "-o", file)
			texts = append(texts, must(t, 0, "export", "--to", "text", file))
		}
		if texts[0] != texts[1] {
			t.Errorf("%s: two recordings of one seed differ", sc)
		}
		direct := must(t, 0, "record", "-q", "--scenario", sc, "--seed", "3", "--duration", "30ms", "-o", "-")
		if direct != texts[0] {
			t.Errorf("%s: recorded as text it is not what export writes", sc)
		}
		text, again := filepath.Join(dir, sc+".txt"), filepath.Join(dir, sc+"-again.evt")
		if err := os.WriteFile(text, []byte(texts[0]), 0o644); err != nil {
			t.Fatal(err)
		}
		must(t, 0, "import", "--strict", text, "-o", again)
		if must(t, 0, "export", again) != texts[0] {
			t.Errorf("%s: text -> file -> text is not the same", sc)
		}
		other := must(t, 0, "record", "-q", "--scenario", sc, "--seed", "4", "--duration", "30ms", "-o", "-")
		if other == texts[0] {
			t.Errorf("%s: seeds 3 and 4 give the same trace", sc)
		}
	}
}

// TestCaptureRoundTrip takes a real capture through a file and text and back.
func TestCaptureRoundTrip(t *testing.T) {
	dir := t.TempDir()
	capture := filepath.Join(repoRoot(t), "fixtures", "2l-lost-bug", "trace.txt.zst")
	a, b, text := filepath.Join(dir, "a.evt"), filepath.Join(dir, "b.evt"), filepath.Join(dir, "a.txt.zst")
	must(t, 0, "import", "-q", capture, "-o", a)
	must(t, 0, "export", a, "-o", text)
	must(t, 0, "import", "-q", text, "-o", b)
	if must(t, 0, "export", a) != must(t, 0, "export", b) {
		t.Error("file -> text -> file is not the same")
	}
	if must(t, 0, "import", capture, "-o", "-") != must(t, 0, "export", a) {
		t.Error("import -o - is not what export writes of the import")
	}
	want := must(t, 11, "analyze", "--json", a)
	for _, other := range []string{b, text, capture} {
		if got := must(t, 11, "analyze", "--json", other); got != want {
			t.Errorf("%s is judged otherwise than the import", filepath.Base(other))
		}
	}
}

// capturesIn lists the captures below a folder, by what their first bytes or their names say: ftrace in any form, trace.dat, binaries of
// xentrace, and what the console of Xen printed.
func capturesIn(t *testing.T, root string) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name := strings.TrimSuffix(d.Name(), ".zst")
		switch {
		case strings.HasPrefix(name, "trace") && name != "trace_clock.txt", strings.HasPrefix(name, "ftrace"), strings.HasSuffix(name, ".bin"),
			strings.HasPrefix(name, "xl-dmesg"):
			list = append(list, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestEveryCapture imports every real capture, checks it, and takes it through text and back. A console without a dump is refused, with
// a hint.
func TestEveryCapture(t *testing.T) {
	root := capturesDir(t)
	if root == "" {
		t.Skip("the captures are missing")
	}
	kinds := make(map[string]int)
	for _, path := range capturesIn(t, root) {
		name, _ := filepath.Rel(root, path)
		t.Run(name, func(t *testing.T) {
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if (testing.Short() || raceDetector) && info.Size() > 8<<20 {
				t.Skip("it is large")
			}
			dir := t.TempDir()
			a, b, text := filepath.Join(dir, "a.evt"), filepath.Join(dir, "b.evt"), filepath.Join(dir, "a.txt")
			if strings.HasPrefix(filepath.Base(path), "xl-dmesg") {
				data, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Contains(data, []byte("Event channel information for domain")) {
					kinds["refused"]++
					if r := evtrace(t, "import", "-q", path, "-o", a); r.code != codeUnreadable || !strings.Contains(r.err, "evtrace: hint: ") {
						t.Errorf("exit code %d, want %d and a hint\n%s", r.code, codeUnreadable, r.err)
					}
					return
				}
			}
			kinds[filepath.Ext(strings.TrimSuffix(path, ".zst"))]++
			must(t, 0, "import", "-q", path, "-o", a)
			must(t, 0, "check", a)
			must(t, 0, "export", a, "-o", text)
			must(t, 0, "import", "-q", "--strict", text, "-o", b)
			again := filepath.Join(dir, "b.txt")
			must(t, 0, "export", b, "-o", again)
			if !sameBytes(t, text, again) {
				t.Error("file -> text -> file -> text is not the same")
			}
		})
	}
	for _, kind := range []string{".txt", ".dat", ".bin"} {
		if kinds[kind] == 0 {
			t.Errorf("no capture of kind %s below %s: %v", kind, root, kinds)
		}
	}
}

// sameBytes compares two files.
func sameBytes(t *testing.T, a, b string) bool {
	t.Helper()
	x, err := os.ReadFile(a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := os.ReadFile(b)
	if err != nil {
		t.Fatal(err)
	}
	return len(x) > 0 && bytes.Equal(x, y)
}

// TestReadingChangesNothing wants trace files to be the same after everything that reads them.
func TestReadingChangesNothing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.evt")
	must(t, 0, "record", "-q", "--scenario", "seed-port65", "-o", file)
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	st, _ := os.Stat(file)
	for _, args := range []string{"analyze", "analyze --json", "replay", "replay --policy all", "info", "info --json", "check", "check --json", "export"} {
		evtrace(t, append(strings.Fields(args), file)...)
		after, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		st2, _ := os.Stat(file)
		if string(before) != string(after) || !st.ModTime().Equal(st2.ModTime()) {
			t.Fatalf("evtrace %s has changed the file", args)
		}
	}
	entries, _ := os.ReadDir(filepath.Dir(file))
	if len(entries) != 1 {
		t.Errorf("%v: want the trace alone", entries)
	}
}

// TestFixtures judges the fixtures of the repository.
func TestFixtures(t *testing.T) {
	r := decode[struct {
		Fixtures []struct {
			Path          string
			OK            bool
			Expected, Got any
		}
	}](t, must(t, 0, "verify", "--json", filepath.Join(repoRoot(t), "fixtures")))
	if len(r.Fixtures) < 5 {
		t.Errorf("%d fixtures, want 5 and more", len(r.Fixtures))
	}
	for _, f := range r.Fixtures {
		if !f.OK || f.Expected == nil || f.Got == nil {
			t.Errorf("%+v", f)
		}
	}
}

// TestDemo wants screens that fit: no section of the demonstration is higher than 40 lines, no line wider than 100 columns.
func TestDemo(t *testing.T) {
	lines, height := strings.Split(must(t, 0, "demo"), "\n"), 0
	for i, line := range lines {
		if len(line) > 100 {
			t.Errorf("line %d has %d columns: %s", i+1, len(line), line)
		}
		if height++; i+1 < len(lines) && strings.HasPrefix(lines[i+1], "====") {
			height = 1
		}
		if height > 40 {
			t.Errorf("line %d: the section is higher than 40 lines", i+1)
		}
	}
}
