package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/tui"
)

// opened records a scenario and opens it as the verb tui does.
func opened(t *testing.T, scenario, name string) *trace {
	t.Helper()
	must(t, 0, "record", "-q", "--scenario", scenario, "--duration", "120ms", "-o", name)
	a := &app{}
	tr, err := a.openTrace(context.Background(), name, inputOptions{quiet: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tr.Close)
	return tr
}

// TestBookmarks: marks are kept beside the trace, which does not change, and are refused for another trace of that name.
func TestBookmarks(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "a.evt")
	tr := opened(t, "seed-port65", name)
	before, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	book := &bookmarks{path: name + marksSuffix, of: tr}
	if got, err := book.load(); got != nil || err != nil {
		t.Fatalf("without a file: %v, %v", got, err)
	}
	want := []tui.Mark{{Name: "a", Seq: 12, Port: 65}, {Name: "b", Seq: 900, Note: "here"}}
	if err := book.save(want); err != nil {
		t.Fatal(err)
	}
	got, err := book.load()
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	if after, err := os.ReadFile(name); err != nil || string(after) != string(before) {
		t.Errorf("the trace has changed, or is gone: %v", err)
	}
	other := opened(t, "clean", filepath.Join(dir, "b.evt"))
	if got, err := (&bookmarks{path: book.path, of: other}).load(); got != nil || err == nil || !strings.Contains(err.Error(), "belongs to another trace") {
		t.Errorf("marks of another trace: %v, %v", got, err)
	}
	opt, err := (&app{}).tuiOptions(context.Background(), tr, &tuiFlags{})
	if err != nil || opt.SaveMarks == nil || len(opt.Marks) != 2 {
		t.Errorf("marks %v, kept %v, %v", opt.Marks, opt.SaveMarks != nil, err)
	}
	for _, bad := range []string{"", "{", `{"version":2}`, "[]"} {
		if err := os.WriteFile(book.path, []byte(bad), 0o644); err != nil {
			t.Fatal(err)
		}
		opt, err := (&app{}).tuiOptions(context.Background(), tr, &tuiFlags{})
		if err != nil || opt.SaveMarks != nil || opt.Notice == "" {
			t.Errorf("%q: kept %v, notice %q, %v", bad, opt.SaveMarks != nil, opt.Notice, err)
		}
	}
}

// TestRerun: another policy's trace is a trace, and goes when it is closed.
func TestRerun(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	tr := opened(t, "seed-port65", filepath.Join(t.TempDir(), "a.evt"))
	p, err := evtchn.ParsePolicy("unmask-hypercall")
	if err != nil {
		t.Fatal(err)
	}
	r, err := tr.rerun(context.Background(), p, func(uint64) {})
	if err != nil {
		t.Fatal(err)
	}
	if r.Report.Verdict != "clean" || r.Departure == 0 || r.Trace.Len() == 0 || r.Policy != "unmask-hypercall" {
		t.Errorf("verdict %s, departure #%d, %d events, %s", r.Report.Verdict, r.Departure, r.Trace.Len(), r.Policy)
	}
	r.Close()
	left, err := os.ReadDir(os.TempDir())
	if err != nil || len(left) > 0 {
		t.Errorf("left in TMPDIR: %v, %v", left, err)
	}
}

// TestSaveRange: what is saved reads back as those events.
func TestSaveRange(t *testing.T) {
	dir := t.TempDir()
	tr := opened(t, "clean", filepath.Join(dir, "a.evt"))
	out := filepath.Join(dir, "part.txt")
	a := &app{}
	if err := a.saveRange(tr, out, tui.Range{First: 5, Last: 9}); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	whole := must(t, 0, "export", filepath.Join(dir, "a.evt"), "-o", "-")
	if n := strings.Count(string(data), "\n"); n != 5 || !strings.Contains(whole, string(data)) {
		t.Errorf("%d lines:\n%s", n, data)
	}
	if err := a.saveRange(tr, out, tui.Range{First: 1, Last: 2}); err == nil {
		t.Error("a file was replaced")
	}
}

// TestFindPlace: the name of a finding leads to the step where it went unnoticed, and not to where it was noticed.
func TestFindPlace(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a.evt")
	tr := opened(t, "mixed-load", name)
	opt, err := (&app{}).tuiOptions(context.Background(), tr, &tuiFlags{plain: true})
	if err != nil || len(opt.Report.Findings) == 0 {
		t.Fatalf("findings %v, %v", opt.Report, err)
	}
	for _, f := range opt.Report.Findings[:min(len(opt.Report.Findings), 4)] {
		if f.NoticedSeq <= f.UnnoticedSeq || f.UnnoticedSeq == 0 {
			t.Fatalf("%s unnoticed #%d, noticed #%d: not what this is to test", f.ID, f.UnnoticedSeq, f.NoticedSeq)
		}
		if opt.At, opt.Finding, err = findPlace(tr, f.ID, opt.Report); err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if err := tui.Plain(context.Background(), &b, tuiTrace{tr.file}, opt); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{fmt.Sprintf("#%d of ", f.UnnoticedSeq), fmt.Sprintf("why: port %d was noticed late", f.Port), f.Why[0][:40]} {
			if !strings.Contains(b.String(), want) {
				t.Errorf("--at %s: the text lacks %q:\n%s", f.ID, want, b.String())
			}
		}
	}
	if _, _, err := findPlace(tr, "late:1#99", opt.Report); err == nil {
		t.Error("a finding that does not exist was found")
	}
}
