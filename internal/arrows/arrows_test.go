package arrows

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The packages of the repository keep the rules.
func TestPackages(t *testing.T) {
	root, files := repository(t)
	fset := token.NewFileSet()
	packages := load(t, fset, root, files)
	if len(packages) < 5 {
		t.Fatalf("go list names %d packages, want the whole module", len(packages))
	}
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			for _, p := range packages {
				for _, problem := range c.find(fset, p) {
					t.Error(problem)
				}
			}
		})
	}
}

// Every rule about a package that exists is about one that exists: a typing error in the table would let everything pass.
func TestRulesNamePackages(t *testing.T) {
	root, files := repository(t)
	packages := load(t, token.NewFileSet(), root, files)
	later := []string{"tui/...", "fixtures", "evtchn/evtchntest"} // foreseen by the layout
	for _, a := range arrows {
		if slices.Contains(later, a.from) {
			continue
		}
		if !slices.ContainsFunc(packages, func(p *pkg) bool { return fits(a.from, p.path) }) {
			t.Errorf("arrows: no package is covered by %q", a.from)
		}
	}
}

// load lists the module's packages with go list, and parses the files that they ship. Directories that Git ignores are left out.
func load(t *testing.T, fset *token.FileSet, root string, files []string) []*pkg {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command("go", "list", "-json=ImportPath,Name,Dir,GoFiles,CgoFiles,IgnoredGoFiles", "./...")
	cmd.Dir, cmd.Stderr = root, &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	dirs := make(map[string]bool)
	for _, f := range files {
		dirs[filepath.Dir(f)] = true
	}
	var list []*pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var l struct {
			ImportPath, Name, Dir             string
			GoFiles, CgoFiles, IgnoredGoFiles []string
		}
		if err := dec.Decode(&l); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		rel, ok := inModule(l.ImportPath)
		if !ok {
			t.Fatalf("go list: package %s, want one of %s", l.ImportPath, module)
		}
		if !dirs[filepath.FromSlash(rel)] {
			continue
		}
		p := &pkg{path: rel, name: l.Name}
		for _, f := range slices.Concat(l.GoFiles, l.CgoFiles, l.IgnoredGoFiles) {
			if strings.HasSuffix(f, "_test.go") {
				continue
			}
			short := filepath.Join(filepath.FromSlash(rel), f)
			src := read(t, root, short)
			file, err := parser.ParseFile(fset, short, src, parser.ParseComments)
			if err != nil {
				t.Errorf("%v", err)
				continue
			}
			p.files = append(p.files, file)
		}
		list = append(list, p)
	}
}

// The checks find what they are there for. Each row is a package in breach of one rule, or of none.
func TestChecks(t *testing.T) {
	const doc = "// Package x is.\n"
	for _, tt := range []struct {
		name, path, src string
		want            []string // beginnings of the messages
	}{
		{"leaf", "evtchn", doc + "package x\n\nimport \"fmt\"", nil},
		{"leaf imports a module", "evtchn", doc + "package x\n\nimport \"golang.org/x/sys/unix\"", []string{"x.go:4:8: evtchn imports golang.org/x/sys/unix, want besides the standard library only: nothing"}},
		{"leaf imports upwards", "evtchn", doc + "package x\n\nimport \"" + module + "/evtchn/text\"", []string{"x.go:4:8: evtchn imports evtchn/text, want of this module only: nothing"}},
		{"text imports system", "evtchn/text", doc + "package x\n\nimport \"" + module + "/evtchn/system\"", []string{"x.go:4:8: evtchn/text imports evtchn/system"}},
		{"system may read YAML", "evtchn/system", doc + "package x\n\nimport \"go.yaml.in/yaml/v3\"", nil},
		{"system may read YAML only", "evtchn/system", doc + "package x\n\nimport \"go.yaml.in/yaml/v4\"", []string{"x.go:4:8: evtchn/system imports go.yaml.in/yaml/v4"}},
		{"store imports replay", "store", doc + "package x\n\nimport \"" + module + "/replay\"", []string{"x.go:4:8: store imports replay, want of this module only: evtchn/..."}},
		{"importer imports store", "recorder/ftrace", doc + "package x\n\nimport \"" + module + "/store\"", []string{"x.go:4:8: recorder/ftrace imports store"}},
		{"importer imports recorder", "recorder/ftrace", doc + "package x\n\nimport (\n\t\"os\"\n\t\"" + module + "/recorder\"\n)", nil},
		{"replay imports recorder", "replay/explore", doc + "package x\n\nimport \"" + module + "/recorder\"", []string{"x.go:4:8: replay/explore imports recorder"}},
		{"analyze imports store", "analyze", doc + "package x\n\nimport \"" + module + "/store\"", []string{"x.go:4:8: analyze imports store"}},
		{"analyze imports replay", "analyze", doc + "package x\n\nimport \"" + module + "/replay\"", nil},
		{"the command wires", "cmd/evtrace", "// Command evtrace is.\npackage main\n\nimport (\n\t\"os\"\n\t\"" + module + "/store\"\n)", nil},
		{"the command imports tests", "cmd/evtrace", "// Command evtrace is.\npackage main\n\nimport \"" + module + "/internal/arrows\"", []string{"x.go:4:8: cmd/evtrace imports internal/arrows"}},
		{"nobody foresaw it", "graph", doc + "package x", []string{"graph: no rule covers this package"}},
		{"a name alike", "storefront", doc + "package x", []string{"storefront: no rule covers this package"}},

		{"clock", "analyze", doc + "package x\n\nimport \"time\"\n\nvar t = time.Now()", []string{"x.go:6:9: analyze uses time.Now"}},
		{"clock by another name", "replay", doc + "package x\n\nimport clk \"time\"\n\nvar t = clk.Tick", []string{"x.go:6:9: replay uses time.Tick"}},
		{"durations", "evtchn/system", doc + "package x\n\nimport \"time\"\n\nvar _ = time.ParseDuration", nil},
		{"clock elsewhere", "store", doc + "package x\n\nimport \"time\"\n\nvar _ = time.Now", nil},
		{"a variable called time", "replay", doc + "package x\n\nimport \"time\"\n\ntype T struct{ Now time.Duration }\n\nfunc f(time T) any { return time.Now }", nil},
		{"network", "replay", doc + "package x\n\nimport \"net/http\"", []string{"x.go:4:8: replay imports net/http, want no clock"}},
		{"file in a pure package", "replay", doc + "package x\n\nimport \"os\"", []string{"x.go:4:8: replay imports os, want no clock", "x.go:4:8: replay imports os, want that only in"}},
		{"file in the recorder", "recorder", doc + "package x\n\nimport \"os\"", []string{"x.go:4:8: recorder imports os, want that only in"}},
		{"signals are not files", "tui", doc + "package x\n\nimport \"os/signal\"", nil},

		{"global chance", "store", doc + "package x\n\nimport \"math/rand/v2\"\n\nvar _ = rand.N(3)", []string{"x.go:6:9: store uses math/rand/v2.N"}},
		{"seeded chance", "store", doc + "package x\n\nimport \"math/rand/v2\"\n\nvar _ *rand.Rand = rand.New(rand.NewPCG(1, 2))", nil},

		{"vague", "store/util", "// Package util is.\npackage util", []string{`store/util: "util" says nothing`}},
		{"no comment", "store", "package x", []string{`store: no package comment, want one that starts "Package x "`}},
		{"comment about something else", "store", "// This is x.\npackage x", []string{`x.go:1:1: package comment starts "This is x.", want "Package x "`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, "x.go", tt.src, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			p := &pkg{path: tt.path, name: file.Name.Name}
			p.files = append(p.files, file)
			var got []string
			for _, c := range checks {
				got = append(got, c.find(fset, p)...)
			}
			for i, w := range tt.want {
				if i < len(got) && strings.HasPrefix(got[i], w) {
					got[i] = w
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}
