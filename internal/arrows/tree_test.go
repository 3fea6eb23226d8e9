package arrows

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// No file of the repository tells on which machine it was written, no Go file is too long, and no test is skipped in silence.
func TestFiles(t *testing.T) {
	root, files := repository(t)
	for _, f := range files {
		src := read(t, root, f)
		if src == nil || bytes.IndexByte(src, 0) >= 0 || !utf8.Valid(src) {
			continue // deleted, or not text
		}
		for _, problem := range checkFile(f, src) {
			t.Error(problem)
		}
	}
}

// checkFile lists what is wrong with a text file.
func checkFile(name string, src []byte) []string {
	found := machinePaths(name, src)
	if filepath.Ext(name) != ".go" {
		return found
	}
	if n := bytes.Count(src, []byte("\n")); n > maxLines {
		found = append(found, fmt.Sprintf("%s: %d lines, want at most %d: split it by noun", name, n, maxLines))
	}
	if strings.HasSuffix(name, "_test.go") {
		found = append(found, silentSkips(name, src)...)
	}
	return found
}

// machinePath is a path that exists on one machine only. The names are apart so that this file passes its own test.
var machinePath = regexp.MustCompile(`(?:^|[^\w.$)}~/-])(/(?:` + strings.Join([]string{"work", "root", "home", "srv"}, "|") + `)/[^\s"'` + "`" + `]*)`)

func machinePaths(name string, src []byte) []string {
	var found []string
	for i, line := range bytes.Split(src, []byte("\n")) {
		for _, m := range machinePath.FindAllSubmatch(line, -1) {
			found = append(found, fmt.Sprintf("%s:%d: path %s of one machine, want one relative to the repository", name, i+1, m[1]))
		}
	}
	return found
}

// silentSkips finds calls that skip a test and give no reason.
func silentSkips(name string, src []byte) []string {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, src, 0)
	if err != nil {
		return []string{err.Error()}
	}
	var found []string
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		silent := false
		switch sel.Sel.Name {
		case "SkipNow":
			silent = len(call.Args) == 0
		case "Skip", "Skipf":
			lit, isLit := first(call.Args).(*ast.BasicLit)
			silent = len(call.Args) == 0 || isLit && len(lit.Value) == 2
		}
		if x, ok := sel.X.(*ast.Ident); silent && ok && (x.Name == "t" || x.Name == "b" || x.Name == "f" || x.Name == "tb") {
			found = append(found, fmt.Sprintf("%s: %s.%s gives no reason: say what was missing", fset.Position(call.Pos()), x.Name, sel.Sel.Name))
		}
		return true
	})
	return found
}

func first(args []ast.Expr) ast.Expr {
	if len(args) == 0 {
		return nil
	}
	return args[0]
}

func TestCheckFile(t *testing.T) {
	const w = "/wor" + "k/"
	const h = "/hom" + "e/"
	for _, tt := range []struct {
		name, file, src string
		want            []string
	}{
		{"clean", "a.md", "See docs/adr and $WORK/x, a" + w + "b, ../wor" + "k/c.", nil},
		{"absolute", "a.md", "x\nsee `" + w + "main/x.go`", []string{"a.md:2: path " + w + "main/x.go of one machine, want one relative to the repository"}},
		{"at the start", "a.yaml", h + "me/x " + h + "you", []string{
			"a.yaml:1: path " + h + "me/x of one machine, want one relative to the repository",
			"a.yaml:1: path " + h + "you of one machine, want one relative to the repository"}},
		{"long", "a.go", strings.Repeat("\n", maxLines+1) + "package a", []string{"a.go: 801 lines, want at most 800: split it by noun"}},
		{"long enough", "a.go", strings.Repeat("\n", maxLines) + "package a", nil},
		{"long prose", "a.md", strings.Repeat("\n", 2*maxLines), nil},
		{"skips", "a_test.go", "package a\n\nfunc x(t T, o T) {\n\tt.Skip()\n\tt.Skip(\"\")\n\tt.SkipNow()\n\tt.Skip(\"why\")\n\tt.Skipf(\"%v\", 1)\n\to.Skip()\n}", []string{
			"a_test.go:4:2: t.Skip gives no reason: say what was missing",
			"a_test.go:5:2: t.Skip gives no reason: say what was missing",
			"a_test.go:6:2: t.SkipNow gives no reason: say what was missing"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, checkFile(tt.file, []byte(tt.src))); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

// repository finds the root of the module, and lists its files relative to that: those that Git knows or would take, or, where there is
// no Git, all.
func repository(t *testing.T) (root string, files []string) {
	t.Helper()
	root, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
			break
		}
		up := filepath.Dir(root)
		if up == root {
			t.Fatal("no go.mod here or above")
		}
		root = up
	}
	all := walk(t, root)
	cmd := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil || len(out) == 0 {
		t.Logf("git ls-files: %v: taking every file", err)
		return root, all
	}
	for _, f := range strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		files = append(files, filepath.FromSlash(f))
	}
	return root, files
}

// walk lists all files but those of Git. It opens every directory, so that a new file makes a cached test result stale.
func walk(t *testing.T, root string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // somebody else's temporary file
		case err != nil:
			return err
		case d.IsDir() && d.Name() == ".git":
			return fs.SkipDir
		case !d.Type().IsRegular():
			return nil
		}
		rel, err := filepath.Rel(root, path)
		files = append(files, rel)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// read gives a file's bytes, nil if it has been deleted.
func read(t *testing.T, root, name string) []byte {
	t.Helper()
	src, err := os.ReadFile(filepath.Join(root, name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return src
}
