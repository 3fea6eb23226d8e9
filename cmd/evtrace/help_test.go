package main

import (
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
