package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestCatch: what docs/catch.md shows of the real capture is what the tool prints of it. Blocks of the language console hold
// commands, each with its output; "..." stands for lines left out.
func TestCatch(t *testing.T) {
	root := repoRoot(t)
	data, err := os.ReadFile(filepath.Join(root, "docs", "catch.md"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 100 {
			t.Errorf("a line of %d columns:\n%s", n, line)
		}
	}
	t.Chdir(filepath.Join(root, "fixtures", "2l-lost-bug"))
	blocks := strings.Split(string(data), "```console\n$ evtrace ")[1:]
	if len(blocks) < 3 {
		t.Fatalf("%d commands with output, want 3 or more", len(blocks))
	}
	for _, block := range blocks {
		block, _, _ = strings.Cut(block, "\n```")
		command, want, _ := strings.Cut(block, "\n")
		r := evtrace(t, strings.Fields(command)...)
		if strings.HasPrefix(r.err, "evtrace: error:") {
			t.Errorf("evtrace %s: %s", command, r.err)
		}
		at, from := 0, strings.Split(r.out, "\n")
		skip := false
		for _, line := range strings.Split(want, "\n") {
			if line == "..." {
				skip = true
				continue
			}
			for skip && at < len(from) && from[at] != line {
				at++
			}
			if at == len(from) || from[at] != line {
				t.Errorf("evtrace %s does not print, in its place:\n%s\nbut\n%s", command, line, r.out)
				break
			}
			at++
			skip = false
		}
	}
}
