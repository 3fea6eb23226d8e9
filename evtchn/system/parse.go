package system

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/evtrace/evtrace/evtchn"
	"go.yaml.in/yaml/v3"
)

// maxText is the largest scenario file that is read, in bytes.
const maxText = 1 << 20

// Parse reads a scenario from the text of a YAML file; name is the file's, for messages. Keys that are left out get their
// defaults: see Fields. The error is a *FileError, of class ErrScenario, that lists all problems.
//
// Only plain YAML is read: one document, without anchors, aliases, merge keys and tags, and no key twice.
func Parse(name string, text []byte) (*Scenario, error) {
	p := &parser{file: name, sc: &Scenario{Text: string(text)}, lines: make(map[string]int)}
	if root := p.document(text); root != nil {
		p.plain(root)
		fields, check := table, p.consistent
		if isBounded(root) {
			p.sc.Bounded = &Bounded{}
			fields, check = boundedTable, p.bounded
		}
		p.mapping(root, "", fields, 0)
		if len(p.problems) == 0 {
			check()
		}
	}
	if len(p.problems) > 0 {
		slices.SortStableFunc(p.problems, func(a, b Problem) int { return a.Line - b.Line })
		return nil, &FileError{p.problems}
	}
	return p.sc, nil
}

// isBounded says whether the file is of kind bounded, which decides what keys it has.
func isBounded(root *yaml.Node) bool {
	for k := 0; k+1 < len(root.Content); k += 2 {
		if root.Content[k].Value == "kind" {
			return root.Content[k+1].Value == boundedKind
		}
	}
	return false
}

type parser struct {
	file     string
	sc       *Scenario
	problems []Problem
	lines    map[string]int // by path: where the key is
}

func (p *parser) problem(line int, path, format string, args ...any) {
	p.problems = append(p.problems, Problem{p.file, line, path, fmt.Sprintf(format, args...)})
}

// document finds the mapping that the file consists of. It returns nil, with a problem noted, if there is none.
func (p *parser) document(text []byte) *yaml.Node {
	if len(text) > maxText {
		p.problem(1, "", "%d bytes, want at most %d: this is not a scenario", len(text), maxText)
		return nil
	}
	if at := badByte(text); at >= 0 {
		p.problem(lineOf(text, at), "", "byte 0x%02x at offset %d is not text: want a YAML file in UTF-8", text[at], at)
		return nil
	}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var doc yaml.Node
	err := dec.Decode(&doc)
	switch {
	case errors.Is(err, io.EOF):
		p.problem(1, "", "nothing in it: want the keys of a scenario, at least name")
		return nil
	case err != nil:
		p.syntax(text, err)
		return nil
	}
	var next yaml.Node
	switch err := dec.Decode(&next); {
	case errors.Is(err, io.EOF):
	case err != nil:
		p.syntax(text, err)
		return nil
	default:
		p.problem(max(next.Line, 1), "", "a second document begins: want one scenario in a file")
		return nil
	}
	if len(doc.Content) != 1 {
		p.problem(1, "", "nothing in it: want the keys of a scenario, at least name")
		return nil
	}
	root := doc.Content[0]
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" {
		p.problem(1, "", "nothing in it: want the keys of a scenario, at least name")
		return nil
	}
	if root.Kind != yaml.MappingNode {
		p.problem(max(root.Line, 1), "", "got %s, want the keys of a scenario, such as name: my-scenario", describe(root))
		return nil
	}
	return root
}

// badByte finds the first byte that no text file in UTF-8 has, or -1.
func badByte(text []byte) int {
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && n == 1 || r < ' ' && r != '\n' && r != '\r' && r != '\t' || r == 0x7f {
			return i
		}
		i += n
	}
	return -1
}

func lineOf(text []byte, offset int) int { return 1 + bytes.Count(text[:offset], []byte("\n")) }

var (
	yamlLine   = regexp.MustCompile(`^(?:line (\d+): )?(.*)`)
	yamlParser = regexp.MustCompile(`^did not find expected (key|node content|'-' indicator|',' or|<document start>)`)
	yamlAnchor = regexp.MustCompile(`^unknown anchor '(.*)' referenced`)
)

// syntax notes an error of the YAML reader, which says "yaml: line 3: ..." at best.
func (p *parser) syntax(text []byte, err error) {
	m := yamlLine.FindStringSubmatch(strings.TrimPrefix(err.Error(), "yaml: "))
	line, what := 1, m[2]
	if n, err := strconv.Atoi(m[1]); err == nil && n > 0 {
		line = n
		if yamlParser.MatchString(what) {
			line++ // the errors of yaml's parser, unlike those of its scanner, count lines from 0
		}
	}
	if a := yamlAnchor.FindStringSubmatch(what); a != nil {
		if at := bytes.Index(text, []byte("*"+a[1])); at >= 0 {
			line = lineOf(text, at)
		}
		what = fmt.Sprintf("alias *%s: %s", a[1], plainOnly)
	}
	p.problem(min(line, lineOf(text, len(text))), "", "not YAML: %s", what)
}

const plainOnly = "anchors, aliases and tags are not read: write the value itself"

// plain notes every use of YAML that Parse does not read.
func (p *parser) plain(n *yaml.Node) {
	switch {
	case n.Kind == yaml.AliasNode:
		p.problem(n.Line, "", "alias *%s: %s", n.Value, plainOnly)
	case n.Anchor != "":
		p.problem(n.Line, "", "anchor &%s: %s", n.Anchor, plainOnly)
	case n.Style&yaml.TaggedStyle != 0:
		p.problem(n.Line, "", "tag %s: %s", n.Tag, plainOnly)
	}
	for _, c := range n.Content {
		p.plain(c)
	}
}

// mapping reads the keys of a mapping into the scenario; i is the element of the list that it is, if it is one. A nil node
// stands for a mapping that is not there: its fields get their defaults.
func (p *parser) mapping(n *yaml.Node, path string, fields []field, i int) {
	given := make(map[string]*yaml.Node)
	line := 1
	if n != nil {
		line = n.Line
		for k := 0; k+1 < len(n.Content); k += 2 {
			key, value := n.Content[k], n.Content[k+1]
			if key.Kind == yaml.AliasNode {
				continue // noted by plain
			}
			if key.Kind != yaml.ScalarNode {
				p.problem(key.Line, path, "got %s for a key, want one of %s", describe(key), list(keys(fields), "or"))
				continue
			}
			at := join(path, key.Value)
			if !slices.Contains(keys(fields), key.Value) {
				p.problem(key.Line, at, "no such key%s; keys here: %s", evtchn.Suggest(key.Value, keys(fields)), list(keys(fields), "and"))
				continue
			}
			if given[key.Value] != nil {
				p.problem(key.Line, at, "given twice, first in line %d", p.lines[at])
				continue
			}
			given[key.Value], p.lines[at] = value, key.Line
		}
	}
	for k := range fields {
		f := &fields[k]
		value, at := given[f.key], join(path, f.key)
		switch {
		case f.grow != nil:
			p.list(value, at, f)
		case f.sub != nil:
			if value != nil && !p.isA(value, yaml.MappingNode, at, "keys: "+list(keys(f.sub), "and")) {
				value = nil
			}
			p.mapping(value, at, f.sub, i)
		case value == nil && f.required:
			if n != nil {
				p.problem(line, at, "missing: want %s", f.allowed())
			}
		default:
			p.value(value, at, f, i)
		}
	}
}

// list reads the elements of a list.
func (p *parser) list(n *yaml.Node, path string, f *field) {
	want := fmt.Sprintf("a list, each element with keys: %s", list(keys(f.sub), "and"))
	if n == nil || !p.isA(n, yaml.SequenceNode, path, want) {
		return
	}
	for k, e := range n.Content {
		at := fmt.Sprintf("%s[%d]", path, k)
		p.lines[at] = e.Line
		if p.isA(e, yaml.MappingNode, at, "keys: "+list(keys(f.sub), "and")) {
			p.mapping(e, at, f.sub, f.grow(p.sc))
		} else {
			f.grow(p.sc) // keeps the numbers of those that follow
		}
	}
}

// isA checks the kind of a node that is not a scalar.
func (p *parser) isA(n *yaml.Node, kind yaml.Kind, path, want string) bool {
	if n.Kind == kind {
		return true
	}
	if n.Kind != yaml.AliasNode {
		p.problem(n.Line, path, "got %s, want %s", describe(n), want)
	}
	return false
}

// value reads a scalar, or its default if n is nil.
func (p *parser) value(n *yaml.Node, path string, f *field, i int) {
	s := scalar{text: f.def, tag: "!!str", field: f}
	switch {
	case n == nil && f.def == "":
		return
	case n == nil:
		s.isDefault = true
	case n.Kind == yaml.AliasNode:
		return
	case n.Kind != yaml.ScalarNode || n.Tag == "!!null":
		p.problem(n.Line, path, "got %s, want %s", describe(n), f.allowed())
		return
	default:
		s.text, s.tag = n.Value, n.Tag
	}
	if problem := s.store(f.at(p.sc, i)); problem != "" {
		line := 0
		if n != nil {
			line = n.Line
		}
		p.problem(line, path, "%s", problem)
	}
}

// describe names a node's kind for messages.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		if n.Tag == "!!null" {
			return "nothing"
		}
		return quote(n.Value)
	}
	return "an alias"
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func keys(fields []field) []string {
	names := make([]string, len(fields))
	for i := range fields {
		names[i] = fields[i].key
	}
	return names
}

// list writes words as people do: "a, b and c".
func list(words []string, and string) string {
	if n := len(words) - 1; n > 0 {
		return strings.Join(words[:n], ", ") + " " + and + " " + words[n]
	}
	return strings.Join(words, "")
}
