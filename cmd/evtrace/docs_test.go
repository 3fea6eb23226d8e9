package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestCatch: what docs/catch.md shows of the real capture is what the tool prints of it.
func TestCatch(t *testing.T) {
	showsOutput(t, "catch.md", filepath.Join(repoRoot(t), "fixtures", "2l-lost-bug"), 3)
}

// TestCompareDoc: and so is what docs/compare.md shows of a recording.
func TestCompareDoc(t *testing.T) {
	dir := t.TempDir()
	must(t, 0, "record", "-q", "--scenario", "seed-port65", "-o", filepath.Join(dir, "a.evt"))
	showsOutput(t, "compare.md", dir, 1)
}

// TestQueryDoc: what docs/query.md shows of the report's bug is what the tool prints of it, and its table has all fields.
func TestQueryDoc(t *testing.T) {
	showsOutput(t, "query.md", filepath.Join(repoRoot(t), "fixtures", "port65"), 5)
	data, err := os.ReadFile(filepath.Join(repoRoot(t), "docs", "query.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(fieldNames(), columnArgs, columnWhat) {
		if !strings.Contains(string(data), "\n| `"+name+"` |") {
			t.Errorf("docs/query.md has no line for %s", name)
		}
	}
}

// showsOutput compares what a page of docs shows with what the tool prints in a folder. Blocks of the language console hold commands, each
// with its output; "..." stands for lines left out. There must be that many.
func showsOutput(t *testing.T, page, dir string, least int) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(repoRoot(t), "docs", page))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 100 && !strings.HasPrefix(line, "evtrace: error:") {
			t.Errorf("a line of %d columns:\n%s", n, line)
		}
	}
	t.Chdir(dir)
	blocks := strings.Split(string(data), "```console\n$ evtrace ")[1:]
	if len(blocks) < least {
		t.Fatalf("%d commands with output, want %d or more", len(blocks), least)
	}
	for _, block := range blocks {
		block, _, _ = strings.Cut(block, "\n```")
		command, want, _ := strings.Cut(block, "\n")
		r := evtrace(t, words(command)...)
		if strings.HasPrefix(r.err, "evtrace: error:") {
			if !strings.HasPrefix(want, "evtrace: error:") {
				t.Errorf("evtrace %s: %s", command, r.err)
			}
			r.out = r.err
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

// words splits a command line as a shell does that knows blanks and single quotes alone.
func words(line string) []string {
	var list []string
	for i, part := range strings.Split(line, "'") {
		if i%2 == 0 {
			list = append(list, strings.Fields(part)...)
		} else {
			list = append(list, part)
		}
	}
	return list
}
