package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func init() {
	if flag.Lookup("update") == nil { // a package of the tests may have it
		flag.Bool("update", false, "rewrite docs/img")
	}
}

// TestPictures: the pictures in docs/img are those that the commands in docs/report.md make.
func TestPictures(t *testing.T) {
	root := repoRoot(t)
	doc, err := os.ReadFile(filepath.Join(root, "docs", "report.md"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	made := make(map[string]bool)
	for line := range strings.Lines(string(doc)) {
		args := strings.Fields(line)
		if !strings.HasPrefix(line, "    evtrace ") || !strings.Contains(line, "docs/img/") && args[1] != "record" {
			continue
		}
		name := ""
		for i, a := range args {
			switch {
			case strings.HasPrefix(a, "docs/img/"):
				name = a
				args[i] = filepath.Join(dir, filepath.Base(a))
			case strings.HasPrefix(a, "fixtures/"):
				args[i] = filepath.Join(root, filepath.FromSlash(a))
			case strings.HasSuffix(a, ".evt"):
				args[i] = filepath.Join(dir, a)
			}
		}
		must(t, 0, args[1:]...)
		if name == "" {
			continue
		}
		made[filepath.Base(name)] = true
		got, err := os.ReadFile(filepath.Join(dir, filepath.Base(name)))
		if err != nil {
			t.Fatal(err)
		}
		if flag.Lookup("update").Value.String() == "true" {
			if err := os.MkdirAll(filepath.Join(root, "docs", "img"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(root, name), got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("%s is not what the command makes: go test ./cmd/evtrace -run TestPictures -update makes it anew\n%s", name, line)
		}
		if !strings.Contains(string(doc), "(img/"+filepath.Base(name)+")") && !shownInReadme(t, root, name) {
			t.Errorf("%s is shown nowhere", name)
		}
	}
	files, err := os.ReadDir(filepath.Join(root, "docs", "img"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !made[f.Name()] {
			t.Errorf("no command in docs/report.md makes docs/img/%s", f.Name())
		}
	}
}

func shownInReadme(t *testing.T, root, name string) bool {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(data), "("+name+")")
}
