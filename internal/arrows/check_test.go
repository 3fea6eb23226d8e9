package arrows

import (
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strconv"
	"strings"
)

// pkg is a package as the checks see it: the files that are shipped, those for other systems included.
type pkg struct {
	path  string // relative to the module
	name  string
	files []*ast.File
}

// checks are the rules about packages. Each lists all that breaks it.
var checks = []struct {
	name string
	find func(fset *token.FileSet, p *pkg) []string
}{
	{"imports", imports},
	{"purity", purity},
	{"files", opens},
	{"chance", chance},
	{"names", names},
	{"comments", comments},
}

// fits reports whether a path is covered by a pattern: a path itself, "a/..." for a and all below it, "a/*" for all below it.
func fits(pattern, path string) bool {
	if root, ok := strings.CutSuffix(pattern, "/..."); ok {
		return path == root || strings.HasPrefix(path, root+"/")
	}
	if root, ok := strings.CutSuffix(pattern, "/*"); ok {
		return strings.HasPrefix(path, root+"/")
	}
	return path == pattern
}

func fitsAny(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return fits(p, path) })
}

// inModule gives an import's path relative to the module.
func inModule(path string) (string, bool) {
	if path == module {
		return ".", true
	}
	return strings.CutPrefix(path, module+"/")
}

func standard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}

// each calls f for every import of the package.
func each(fset *token.FileSet, p *pkg, f func(at token.Position, path string)) {
	for _, file := range p.files {
		for _, im := range file.Imports {
			path, err := strconv.Unquote(im.Path.Value)
			if err != nil {
				continue // the parser has seen to that
			}
			f(fset.Position(im.Pos()), path)
		}
	}
}

// imports checks the arrows.
func imports(fset *token.FileSet, p *pkg) []string {
	i := slices.IndexFunc(arrows, func(a arrow) bool { return fits(a.from, p.path) })
	if i < 0 {
		return []string{fmt.Sprintf("%s: no rule covers this package: add it to arrows in internal/arrows/rules_test.go and to the layout in DEVELOPMENT.md", p.path)}
	}
	a := arrows[i]
	var found []string
	each(fset, p, func(at token.Position, path string) {
		rel, ours := inModule(path)
		switch {
		case ours && !fits(a.from, rel) && !fitsAny(a.to, rel):
			found = append(found, fmt.Sprintf("%s: %s imports %s, want of this module only: %s", at, p.path, rel, orNothing(a.to)))
		case !ours && !standard(path) && !slices.ContainsFunc(a.deps, func(d string) bool { return d == "*" || fits(d+"/...", path) }):
			found = append(found, fmt.Sprintf("%s: %s imports %s, want besides the standard library only: %s", at, p.path, path, orNothing(a.deps)))
		}
	})
	return found
}

func orNothing(list []string) string {
	if len(list) == 0 {
		return "nothing"
	}
	return strings.Join(list, ", ")
}

// purity checks that a package which claims to depend on its input alone has no way to anything else.
func purity(fset *token.FileSet, p *pkg) []string {
	if !fitsAny(pure, p.path) {
		return nil
	}
	var found []string
	each(fset, p, func(at token.Position, path string) {
		if fitsAny(notPure, path) {
			found = append(found, fmt.Sprintf("%s: %s imports %s, want no clock, no I/O and no chance in it: let the caller hand in what it needs", at, p.path, path))
		}
	})
	uses(fset, p, "time", func(at token.Position, name string) {
		if slices.Contains(clocks, name) {
			found = append(found, fmt.Sprintf("%s: %s uses time.%s, want no clock in it: time is that of the trace", at, p.path, name))
		}
	})
	return found
}

// opens checks who may open files.
func opens(fset *token.FileSet, p *pkg) []string {
	if fitsAny(openers, p.path) {
		return nil
	}
	var found []string
	each(fset, p, func(at token.Position, path string) {
		if path == "os" || path == "io/ioutil" {
			found = append(found, fmt.Sprintf("%s: %s imports %s, want that only in %s: take an io.Reader or a narrower interface", at, p.path, path, strings.Join(openers, ", ")))
		}
	})
	return found
}

// chance checks that nobody draws from the global generator of random numbers.
func chance(fset *token.FileSet, p *pkg) []string {
	var found []string
	for _, path := range []string{"math/rand", "math/rand/v2"} {
		uses(fset, p, path, func(at token.Position, name string) {
			if ast.IsExported(name) && !slices.Contains(seeded, name) && !isRandType(name) {
				found = append(found, fmt.Sprintf("%s: %s uses %s.%s, which draws from the global generator: draw by key, or from a seeded one", at, p.path, path, name))
			}
		})
	}
	return found
}

func isRandType(name string) bool {
	return slices.Contains([]string{"Rand", "Source", "Source64", "PCG", "ChaCha8", "Zipf"}, name)
}

// uses calls f for every name of another package that the package mentions.
func uses(fset *token.FileSet, p *pkg, path string, f func(at token.Position, name string)) {
	for _, file := range p.files {
		local := localName(file, path)
		if local == "" {
			continue
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok {
				if id, ok := sel.X.(*ast.Ident); ok && id.Name == local && id.Obj == nil {
					f(fset.Position(sel.Pos()), sel.Sel.Name)
				}
			}
			return true
		})
	}
}

// localName gives the name by which a file knows an imported package, "" if it does not import it.
func localName(file *ast.File, path string) string {
	for _, im := range file.Imports {
		if im.Path.Value != strconv.Quote(path) {
			continue
		}
		if im.Name != nil {
			return im.Name.Name
		}
		parts := strings.Split(strings.TrimSuffix(path, "/v2"), "/")
		return parts[len(parts)-1]
	}
	return ""
}

// names checks that a package is named for what it holds.
func names(_ *token.FileSet, p *pkg) []string {
	for _, part := range append(strings.Split(p.path, "/"), p.name) {
		if slices.Contains(vague, part) {
			return []string{fmt.Sprintf("%s: %q says nothing about what is in it: name the package for its noun", p.path, part)}
		}
	}
	return nil
}

// comments checks that the package says what it is.
func comments(fset *token.FileSet, p *pkg) []string {
	want := "Package " + p.name + " "
	if p.name == "main" {
		parts := strings.Split(p.path, "/")
		want = "Command " + parts[len(parts)-1] + " "
	}
	if len(p.files) == 0 {
		return nil // tests only
	}
	for _, file := range p.files {
		switch {
		case file.Doc == nil:
		case strings.HasPrefix(file.Doc.Text(), want):
			return nil
		default:
			first, _, _ := strings.Cut(file.Doc.Text(), "\n")
			return []string{fmt.Sprintf("%s: package comment starts %q, want %q", fset.Position(file.Doc.Pos()), first, want)}
		}
	}
	return []string{fmt.Sprintf("%s: no package comment, want one that starts %q", p.path, want)}
}
