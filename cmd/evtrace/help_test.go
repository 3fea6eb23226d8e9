package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/evtrace/evtrace/evtchn"
)

// narrow wants no line of an output to have more than 100 columns.
func narrow(t *testing.T, args ...string) {
	t.Helper()
	out := must(t, 0, args...)
	if out == "" {
		t.Errorf("evtrace %s: nothing", strings.Join(args, " "))
	}
	for line := range strings.Lines(out) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 100 {
			t.Errorf("evtrace %s: a line of %d columns:\n%s", strings.Join(args, " "), n, line)
		}
	}
}

// TestWidth: help texts, listings and the demonstration fit a terminal of 100 columns.
func TestWidth(t *testing.T) {
	narrow(t, "help")
	for _, c := range newRoot(&app{}).Commands() {
		narrow(t, "help", c.Name())
	}
	narrow(t, "policies")
	for _, pre := range evtchn.Presets() {
		narrow(t, "policies", pre.Name)
	}
	narrow(t, "policies", "unmask=hypercall,rebind=2013", "linux-2021,unmask=local")
	narrow(t, "scenarios")
	narrow(t, "scenarios", "--fields")
	if !raceDetector {
		narrow(t, "demo")
	}
}

// TestReadme: the README and the fixtures' texts are as wide, and the README shows what the demonstration prints.
func TestReadme(t *testing.T) {
	root := repoRoot(t)
	files, err := filepath.Glob(filepath.Join(root, "fixtures", "*", "report.md"))
	if err != nil {
		t.Fatal(err)
	}
	var readme string
	for _, file := range append(files, filepath.Join(root, "fixtures", "README.md"), filepath.Join(root, "README.md")) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		readme = string(data)
		for line := range strings.Lines(readme) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 100 {
				t.Errorf("%s: a line of %d columns:\n%s", file, n, line)
			}
		}
	}
	if raceDetector {
		return
	}
	_, demo, _ := strings.Cut(must(t, 0, "demo"), "A port belongs to one vcpu")
	demo, _, found := strings.Cut(demo, "\n\n4. Next")
	if !found || !strings.Contains(readme, demo) {
		t.Errorf("README.md does not have what the demonstration prints now:\nA port belongs to one vcpu%s", demo)
	}
}

func TestReflow(t *testing.T) {
	got := reflow(`One two
three four.

  a     an item that is long
        and goes on
  bb    another

End.`, 20)
	want := `One two three four.

  a     an item that
        is long and
        goes on
  bb    another

End.`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
