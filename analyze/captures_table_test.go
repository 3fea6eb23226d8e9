package analyze

import (
	"errors"
	"flag"
	"fmt"
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

var (
	updateTable = flag.Bool("update", false, "rewrite the table in docs/captures.md")
	otherTraces = flag.String("captures", "", "print the table of the captures in the folders of this `DIR` instead")
)

// captureNames is what a trace is called in the folder of a capture.
var captureNames = []string{"trace.txt", "trace.txt.zst", "trace_pipe.txt.zst", "trace-cmd-report.txt.zst", "trace-cmd-report-R.txt.zst", "trace.dat", "ftrace-x86-tsc.txt.zst"}

// truth is a loss that somebody else saw.
type truth struct {
	port  evtchn.Port
	vcpu  evtchn.VCPU // which unmasked it
	at    float64     // ns; NaN: not said
	delay float64     // ns; NaN: not said
}

var (
	lostLine  = regexp.MustCompile(`\s([0-9.]+): bug_lost: .* port=(\d+) cpu=(\d+)`)
	roundLine = regexp.MustCompile(`BUGGY local unmask on other vcpu .*port=(\d+) .*other=(\d+) handled_in_wait=0 .*latency_from_unmask_us=(\d+)`)
)

// readTruth reads the truth that stands beside a capture: what the module that planted the unmask of 2005 saw.
func readTruth(dir string, nsPerTick float64) []truth {
	text, err := os.ReadFile(filepath.Join(dir, "truth.txt"))
	if err != nil {
		return nil
	}
	num := func(s string) float64 { f, _ := strconv.ParseFloat(s, 64); return f }
	var list []truth
	for _, m := range lostLine.FindAllStringSubmatch(string(text), -1) {
		scale := nsPerTick
		if strings.Contains(m[1], ".") {
			scale = 1e9
		}
		list = append(list, truth{evtchn.Port(num(m[2])), evtchn.VCPU(num(m[3])), num(m[1]) * scale, math.NaN()})
	}
	for _, m := range roundLine.FindAllStringSubmatch(string(text), -1) {
		list = append(list, truth{evtchn.Port(num(m[1])), evtchn.VCPU(num(m[2])), math.NaN(), num(m[3]) * 1e3})
	}
	return list
}

// slack is how much later than the unmask the module's own line may stand: its vcpu can stop in between. The same port is not
// exposed twice in that time.
const slack = 10e6

// explains reports whether the finding is the one that the truth tells of.
func (f *Finding) explains(tr truth) bool {
	if f.Port != tr.port || f.UnnoticedVCPU != tr.vcpu || f.Kind == KindUnknown {
		return false
	}
	if !math.IsNaN(tr.delay) {
		return f.Delay != nil && math.Abs(float64(*f.Delay)-tr.delay) <= tr.delay/50
	}
	return slices.ContainsFunc(f.Exposures, func(e int64) bool { d := tr.at - float64(e); return d > -1e6 && d < slack })
}

// score compares what was found with what is true.
func score(r *Report, truths []truth) (recall, precision string, bad bool) {
	if len(truths) == 0 {
		return "", "", false
	}
	found, right, claimed := 0, 0, 0
	for _, tr := range truths {
		if slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.explains(tr) }) {
			found++
		}
	}
	for i := range r.Findings {
		f := &r.Findings[i]
		if f.Kind == KindUnknown {
			continue
		}
		claimed++
		if slices.ContainsFunc(truths, func(tr truth) bool { return f.explains(tr) }) {
			right++
		}
	}
	share := func(n, of int) string { return fmt.Sprintf("%d of %d", n, of) }
	return share(found, len(truths)), share(right, claimed), found*100 < len(truths)*99 || right*100 < claimed*95
}

// captureRow judges a capture and gives its row of the table.
func captureRow(t *testing.T, root, path string) string {
	t.Helper()
	im, err := ftrace.Open(path, ftrace.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer im.Close()
	r, err := Run(im.Meta(), im, Options{})
	if err != nil {
		t.Fatal(err)
	}
	m := im.FinalMeta()
	name, _ := filepath.Rel(root, path)
	if strings.HasPrefix(filepath.Base(name), "trace.txt") {
		name = filepath.Dir(name)
	}
	recall, precision, bad := score(r, readTruth(filepath.Dir(path), r.Trace.NsPerTick))
	if bad {
		t.Errorf("%s: recall %s, precision %s", name, recall, precision)
	}
	if b := r.Totals.Balance(); b != 0 {
		t.Errorf("%s: the totals are out by %d: %+v", name, b, r.Totals)
	}
	var found []string
	for _, k := range kinds {
		if n := *r.Totals.of(k); n > 0 {
			found = append(found, fmt.Sprintf("%s %s", group(n), k))
		}
	}
	var strengths []string
	for _, s := range []Strength{StrengthSeen, StrengthInferred, StrengthWeak} {
		n := 0
		for i := range r.Findings {
			if r.Findings[i].Strength == s {
				n++
			}
		}
		if n > 0 {
			strengths = append(strengths, fmt.Sprintf("%d %s", n, s))
		}
	}
	lines := ""
	if m.Lines > 0 {
		lines = group(m.Lines)
	}
	return fmt.Sprintf("| `%s` | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", name, m.Clock, lines, group(r.Trace.Events),
		group(r.Counts[evtchn.KindUnknownEvt.String()]), group(r.Trace.Gaps), group(m.Ties), r.Verdict, strings.Join(found, ", "),
		strings.Join(strengths, ", "), recall, precision)
}

const tableHead = "| capture | clock | lines | events | unknown records | gaps | ties | verdict | findings | strength | recall | precision |\n" +
	"|---|---|--:|--:|--:|--:|--:|---|---|---|---|---|\n"

// tableOf gives the rows of all captures in the folders of a directory.
func tableOf(t *testing.T, root string) string {
	t.Helper()
	dirs, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	b := tableHead
	for _, d := range dirs {
		if !d.IsDir() {
			continue
		}
		for _, name := range captureNames {
			path := filepath.Join(root, d.Name(), name)
			if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
				continue
			}
			b += captureRow(t, root, path)
		}
	}
	return b
}

// The table in docs/captures.md is what a judgement of every capture gives. go test ./analyze -run TestCapturesTable -update rewrites it.
func TestCapturesTable(t *testing.T) {
	if *otherTraces != "" {
		fmt.Print(tableOf(t, *otherTraces))
		return
	}
	if testing.Short() {
		t.Skip("short")
	}
	root := capture(t, ".")
	table := tableOf(t, root)
	const begin, end = "<!-- table: begin -->\n", "<!-- table: end -->\n"
	path := filepath.Join("..", "docs", "captures.md")
	doc, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok1 := strings.Cut(string(doc), begin)
	old, tail, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatalf("%s: no table between %q and %q", path, begin, end)
	}
	if *updateTable {
		if err := os.WriteFile(path, []byte(head+begin+table+end+tail), 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	if old != table {
		t.Errorf("%s has\n%s\nwant\n%s\n(go test ./analyze -run TestCapturesTable -update)", path, old, table)
	}
}
