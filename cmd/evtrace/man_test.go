package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMan: there is a page for every verb and topic, with its flags and examples; they are the same each time, replace nothing unasked, and
// the formatter has nothing against them.
func TestMan(t *testing.T) {
	dir := t.TempDir()
	list := strings.Fields(must(t, 0, "man", dir))
	root := newRoot(&app{})
	if len(list) != 2+len(root.Commands()) { // evtrace itself, and help, which is there only when it runs
		t.Errorf("%d pages for %d verbs and topics", len(list), len(root.Commands()))
	}
	first := make(map[string]string)
	for _, file := range list {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		first[file] = string(data)
	}
	for _, c := range root.Commands() {
		page := first[filepath.Join(dir, "evtrace-"+c.Name()+".1")]
		for _, want := range []string{".TH EVTRACE\\-", ".SH NAME\nevtrace\\-" + roff(c.Name()) + " \\- " + roff(c.Short), ".SH DESCRIPTION\n", ".BR evtrace (1)\n"} {
			if !strings.Contains(page, want) {
				t.Errorf("evtrace-%s.1: no %q in it:\n%s", c.Name(), want, page)
			}
		}
		for line := range strings.Lines(c.Example) {
			if !strings.Contains(page, "\n"+roff(strings.TrimSpace(line))+"\n") {
				t.Errorf("evtrace-%s.1: no example %q", c.Name(), line)
			}
		}
	}
	if page := first[filepath.Join(dir, "evtrace-bundle.1")]; !strings.Contains(page, "\\fB\\-o\\fR, \\fB\\-\\-out\\fR \\fIFILE\\fR\n") {
		t.Errorf("evtrace-bundle.1 does not have -o:\n%s", page)
	}
	if r := evtrace(t, "man", dir); r.code != codeUsage || !strings.Contains(r.err, "file already exists") {
		t.Errorf("again: exit code %d\n%s", r.code, r.err)
	}
	must(t, 0, "man", "--force", dir)
	for file, text := range first {
		if data, err := os.ReadFile(file); err != nil || string(data) != text {
			t.Errorf("%s is another one now, %v", file, err)
		}
	}
	if r := evtrace(t, "man", filepath.Join(dir, "none")); r.code != codeUsage || !strings.Contains(r.err, "mkdir -p") {
		t.Errorf("no such folder: exit code %d\n%s", r.code, r.err)
	}
	if _, err := exec.LookPath("groff"); err != nil {
		t.Skip("groff is not installed")
	}
	out, err := exec.Command("groff", append([]string{"-man", "-Tascii", "-ww", "-z"}, list...)...).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("groff: %v\n%s", err, out)
	}
}
