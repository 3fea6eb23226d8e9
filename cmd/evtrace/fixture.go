package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	"golang.org/x/tools/txtar"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/cmd/evtrace/bundle"
	"github.com/evtrace/evtrace/evtchn"
)

// expectation is what a fixture must give: its expect.yaml. fixtures/README.md documents the fields.
type expectation struct {
	Format   string            `yaml:"format" json:"format"` // trace or capture
	File     string            `yaml:"file" json:"file,omitempty"`
	Verdict  string            `yaml:"verdict" json:"verdict"`
	Exit     *int              `yaml:"exit" json:"exit,omitempty"`
	Findings []expectedFinding `yaml:"findings" json:"findings"`
	Replay   *expectedReplay   `yaml:"replay" json:"replay,omitempty"`
}

// expectedFinding describes one finding, or several that are alike. What is left out can be anything.
type expectedFinding struct {
	Kind          string  `yaml:"kind" json:"kind"`
	Port          *bounds `yaml:"port" json:"port,omitempty"`
	Word          *bounds `yaml:"word" json:"word,omitempty"`
	OwnerVCPU     *bounds `yaml:"owner_vcpu" json:"owner_vcpu,omitempty"`
	UnnoticedVCPU *bounds `yaml:"unnoticed_vcpu" json:"unnoticed_vcpu,omitempty"`
	RescuedByPort *bounds `yaml:"rescued_by_port" json:"rescued_by_port,omitempty"`
	Cause         string  `yaml:"cause" json:"cause,omitempty"`
	Delay         *delays `yaml:"delay" json:"delay,omitempty"`
	Count         *bounds `yaml:"count" json:"count,omitempty"` // how many such findings there are; nil: one
}

// expectedReplay is what replay must give.
type expectedReplay struct {
	Identical bool             `yaml:"identical" json:"identical"`
	Policies  []expectedPolicy `yaml:"policies" json:"policies,omitempty"`
}

// expectedPolicy is what one policy must make of the trace.
type expectedPolicy struct {
	Policy  string  `yaml:"policy" json:"policy"`
	Verdict string  `yaml:"verdict" json:"verdict"`
	Lost    *bounds `yaml:"lost" json:"lost,omitempty"`
	Late    *bounds `yaml:"late" json:"late,omitempty"`
	Hung    *bounds `yaml:"hung" json:"hung,omitempty"`
	Served  *bounds `yaml:"served" json:"served,omitempty"`
}

// bounds is a number, or two with .. between them. It is written as it was read.
type bounds struct {
	lo, hi int64
	text   string
}

// UnmarshalYAML reads "65" or "64..127".
func (b *bounds) UnmarshalYAML(n *yaml.Node) error {
	return b.read(n, "a number such as 65, or two such as 64..127", func(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) })
}

func (b *bounds) read(n *yaml.Node, want string, parse func(string) (int64, error)) error {
	first, second, two := strings.Cut(n.Value, "..")
	if !two {
		second = first
	}
	lo, err1 := parse(strings.TrimSpace(first))
	hi, err2 := parse(strings.TrimSpace(second))
	if n.Kind != yaml.ScalarNode || err1 != nil || err2 != nil || lo > hi {
		return fmt.Errorf("line %d: got %q, want %s", n.Line, n.Value, want)
	}
	*b = bounds{lo, hi, n.Value}
	return nil
}

// MarshalText gives the text that was read.
func (b bounds) MarshalText() ([]byte, error) { return []byte(b.text), nil }

func (b *bounds) admits(n int64) bool { return b == nil || n >= b.lo && n <= b.hi }

// delays are bounds of a duration.
type delays struct{ bounds }

// UnmarshalYAML reads "521ms" or "510ms..532ms".
func (d *delays) UnmarshalYAML(n *yaml.Node) error {
	return d.read(n, "a duration such as 521ms, or two such as 510ms..532ms", func(s string) (int64, error) {
		t, err := time.ParseDuration(s)
		return int64(t), err
	})
}

// kinds of findings and verdicts that a fixture may expect.
var (
	findingKinds = []string{string(analyze.KindLost), string(analyze.KindLate), string(analyze.KindDuplicate), string(analyze.KindConcurrent),
		string(analyze.KindWrongVCPU), string(analyze.KindUnknown)}
	verdicts = []string{string(analyze.VerdictClean), string(analyze.VerdictLate), string(analyze.VerdictLost), string(analyze.VerdictViolated),
		string(analyze.VerdictUnknown)}
	fixtureFormats = []string{"trace", "capture"}
)

// parseExpectation reads an expect.yaml. It refuses fields and values that it does not know.
func parseExpectation(name string, data []byte) (*expectation, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	var e expectation
	err := plainYAML(dec.Decode(&e))
	if err == io.EOF {
		err = errors.New("nothing in it: want format and verdict")
	}
	if err == nil {
		var more yaml.Node
		if err = dec.Decode(&more); err == nil {
			err = errors.New("a second document begins: want one")
		} else if err == io.EOF {
			err = e.validate()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &e, nil
}

// unknownKey is what the YAML package says of a key that a Go type does not have.
var unknownKey = regexp.MustCompile(`field (\S+) not found in type (\S+)`)

// wrongType is what it says of a value that a Go type cannot hold.
var wrongType = regexp.MustCompile("cannot unmarshal (\\S+) (`[^`]*` )?into (\\S+)")

// plainYAML puts the YAML package's errors, which speak of Go types, into the words of the file.
func plainYAML(err error) error {
	var te *yaml.TypeError
	if !errors.As(err, &te) {
		return err
	}
	keys := []string{"format", "file", "verdict", "exit", "findings", "replay", "kind", "port", "word", "owner_vcpu", "unnoticed_vcpu", "rescued_by_port",
		"cause", "delay", "count", "identical", "policies", "policy", "lost", "late", "hung", "served"}
	lines := make([]string, len(te.Errors))
	for i, line := range te.Errors {
		if m := unknownKey.FindStringSubmatch(line); m != nil {
			line = strings.Replace(line, m[0], fmt.Sprintf("no key is called %q here%s", m[1], evtchn.Suggest(m[1], keys)), 1)
		} else if m := wrongType.FindStringSubmatch(line); m != nil {
			want := map[string]string{"int": "a number", "bool": "true or false", "string": "a word"}[m[3]]
			if want == "" {
				want = "a list or a mapping, as in fixtures/README.md"
			}
			line = strings.Replace(line, m[0], fmt.Sprintf("got %s, want %s", strings.TrimSpace(m[2]), want), 1)
		}
		lines[i] = line
	}
	return errors.New(strings.Join(lines, "\n"))
}

func (e *expectation) validate() error {
	word := func(field, got string, allowed []string) error {
		if slices.Contains(allowed, got) {
			return nil
		}
		return fmt.Errorf("%s: got %q, want %s%s", field, got, strings.Join(allowed, ", "), evtchn.Suggest(got, allowed))
	}
	errs := []error{word("format", e.Format, fixtureFormats), word("verdict", e.Verdict, verdicts)}
	if e.File != "" && e.File != filepath.Base(e.File) {
		errs = append(errs, fmt.Errorf("file: got %q, want a name in the fixture's folder", e.File))
	}
	for i, f := range e.Findings {
		errs = append(errs, word(fmt.Sprintf("findings[%d].kind", i), f.Kind, findingKinds))
		if f.Count != nil && f.Count.lo < 0 {
			errs = append(errs, fmt.Errorf("findings[%d].count: got %s, want 0 or more", i, f.Count.text))
		}
	}
	if e.Replay != nil {
		for i, p := range e.Replay.Policies {
			errs = append(errs, word(fmt.Sprintf("replay.policies[%d].verdict", i), p.Verdict, verdicts))
			if _, err := evtchn.ParsePolicy(p.Policy); err != nil || p.Policy == "" {
				errs = append(errs, fmt.Errorf("replay.policies[%d].policy: got %q: %w", i, p.Policy, err))
			}
		}
	}
	return errors.Join(errs...)
}

// String describes the findings that are expected.
func (f *expectedFinding) String() string {
	s := f.Kind
	add := func(name string, b *bounds) {
		if b != nil {
			s += " " + name + "=" + b.text
		}
	}
	add("port", f.Port)
	add("word", f.Word)
	add("owner_vcpu", f.OwnerVCPU)
	add("unnoticed_vcpu", f.UnnoticedVCPU)
	add("rescued_by_port", f.RescuedByPort)
	if f.Cause != "" {
		s += " cause=" + f.Cause
	}
	if f.Delay != nil {
		s += " delay=" + f.Delay.text
	}
	return s
}

// admits reports whether a finding is of the expected kind. Its delay is in nanoseconds only if the report's unit is.
func (f *expectedFinding) admits(g *analyze.Finding, unit string) bool {
	if f.Delay != nil && (g.Delay == nil || unit != "ns" || !f.Delay.admits(*g.Delay)) {
		return false
	}
	return f.Kind == string(g.Kind) && (f.Cause == "" || f.Cause == string(g.Cause)) &&
		f.Port.admits(int64(g.Port)) && f.Word.admits(int64(g.Word)) && f.OwnerVCPU.admits(int64(g.OwnerVCPU)) &&
		f.UnnoticedVCPU.admits(int64(g.UnnoticedVCPU)) && f.RescuedByPort.admits(int64(g.RescuedByPort))
}

// differences compares a report with what is expected of it. Every finding must be one of the expected ones, and the first
// entry that admits it counts it.
func (e *expectation) differences(r *analyze.Report) []string {
	var diffs []string
	if string(r.Verdict) != e.Verdict {
		diffs = append(diffs, fmt.Sprintf("verdict %s, want %s", r.Verdict, e.Verdict))
	}
	if e.Exit != nil && *e.Exit != r.ExitCode() {
		diffs = append(diffs, fmt.Sprintf("exit code %d, want %d", r.ExitCode(), *e.Exit))
	}
	n := make([]int64, len(e.Findings))
	others := 0
	for i := range r.Findings {
		g := &r.Findings[i]
		at := slices.IndexFunc(e.Findings, func(f expectedFinding) bool { return f.admits(g, r.Trace.Unit) })
		if at >= 0 {
			n[at]++
			continue
		}
		if others++; others <= 5 {
			diffs = append(diffs, "not expected: "+describeFinding(g, r.Trace.Unit))
		}
	}
	if others > 5 {
		diffs = append(diffs, fmt.Sprintf("and %d more that are not expected", others-5))
	}
	for i := range e.Findings {
		f := &e.Findings[i]
		want := f.Count
		if want == nil {
			want = &bounds{1, 1, "1"}
		}
		if !want.admits(n[i]) {
			diffs = append(diffs, fmt.Sprintf("%s, want %s, of: %s", plural(uint64(n[i]), "finding"), want.text, f))
		}
	}
	return diffs
}

func describeFinding(g *analyze.Finding, unit string) string {
	s := fmt.Sprintf("%s port=%d word=%d owner_vcpu=%d unnoticed_vcpu=%d rescued_by_port=%d cause=%s", g.Kind, g.Port, g.Word, g.OwnerVCPU,
		g.UnnoticedVCPU, g.RescuedByPort, g.Cause)
	if g.Delay != nil {
		s += " delay=" + strings.ReplaceAll(durationText(*g.Delay, unit), " ", "")
	}
	return s
}

// list gives the policies that are expected to be tried, in order.
func (e *expectedReplay) list() ([]evtchn.Policy, error) {
	if e == nil {
		return nil, nil
	}
	var list []evtchn.Policy
	for _, p := range e.Policies {
		policy, err := evtchn.ParsePolicy(p.Policy)
		if err != nil {
			return nil, err
		}
		list = append(list, policy)
	}
	return list, nil
}

// unlike compares a report, and replays if there are any, with what is expected.
func (e *expectation) unlike(r *analyze.Report, rep *analyze.PolicyReport) []string {
	diffs := e.differences(r)
	switch {
	case e.Replay != nil && rep == nil:
		diffs = append(diffs, "the trace cannot be run again")
	case e.Replay != nil:
		diffs = append(diffs, e.Replay.differences(rep)...)
	}
	return diffs
}

// differences compares replays with what is expected of them.
func (e *expectedReplay) differences(r *analyze.PolicyReport) []string {
	var diffs []string
	if r.Identical != e.Identical {
		d := fmt.Sprintf("replay identical is %t, want %t", r.Identical, e.Identical)
		if r.Divergence != nil {
			d += fmt.Sprintf(": at event %d recorded %s, replayed %s", r.Divergence.Seq, r.Divergence.Recorded, r.Divergence.Replayed)
		}
		diffs = append(diffs, d)
	}
	for i := range e.Policies {
		want, got := &e.Policies[i], &r.Policies[i]
		check := func(what string, n uint64, b *bounds) {
			if !b.admits(int64(n)) {
				diffs = append(diffs, fmt.Sprintf("policy %s: %d %s, want %s", want.Policy, n, what, b.text))
			}
		}
		if string(got.Verdict) != want.Verdict {
			diffs = append(diffs, fmt.Sprintf("policy %s: verdict %s, want %s", want.Policy, got.Verdict, want.Verdict))
		}
		check("lost", got.Lost, want.Lost)
		check("late", got.Late, want.Late)
		check("requests hung", got.Requests.Hung, want.Hung)
		check("requests served", got.Requests.Served, want.Served)
	}
	return diffs
}

// fixture is a trace as it was attached to a bug report, with the verdict that it must give.
type fixture struct {
	path   string // as it is shown
	dir    string // where its files are
	expect *expectation
	trace  string // its trace file
	bundle *bundle.Bundle
}

// expectName is the file that makes a folder a fixture.
const expectName = "expect.yaml"

// openFixture reads a fixture's folder.
func openFixture(path, dir string) (*fixture, error) {
	data, err := os.ReadFile(filepath.Join(dir, expectName))
	if err != nil {
		return nil, err
	}
	fx := &fixture{path: path, dir: dir}
	if fx.expect, err = parseExpectation(expectName, data); err != nil {
		return nil, err
	}
	if fx.expect.File != "" {
		fx.trace = filepath.Join(dir, fx.expect.File)
		return fx, nil
	}
	var found []string
	for _, name := range []string{"trace.txt", "trace.txt.zst", "trace.txt.gz", "trace.evt"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			found = append(found, name)
		}
	}
	if len(found) != 1 {
		return nil, fmt.Errorf("%d files trace.txt, .txt.zst, .txt.gz and .evt (%s), want one, or file in %s", len(found), strings.Join(found, ", "), expectName)
	}
	fx.trace = filepath.Join(dir, found[0])
	return fx, nil
}

// unpackTxtar writes the files of an archive to a folder.
func unpackTxtar(file, dir string) error {
	ar, err := txtar.ParseFile(file)
	if err != nil {
		return err
	}
	for _, f := range ar.Files {
		if f.Name != filepath.Base(f.Name) || f.Name == "." || f.Name == ".." {
			return fmt.Errorf("file %q: want a plain name", f.Name)
		}
		if err := os.WriteFile(filepath.Join(dir, f.Name), f.Data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// unpackFS writes a folder of a file system to a directory.
func unpackFS(fsys fs.FS, folder, dir string) error {
	entries, err := fs.ReadDir(fsys, folder)
	if err != nil {
		return err
	}
	for _, e := range entries {
		data, err := fs.ReadFile(fsys, folder+"/"+e.Name())
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, e.Name()), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// judge runs a fixture. The error is for a trace that cannot be read, or ctx's.
func (fx *fixture) judge(ctx context.Context, a *app) (*fixtureResult, *analyze.Report, error) {
	t, err := a.openTrace(ctx, fx.trace, inputOptions{})
	if err != nil {
		return nil, nil, err
	}
	defer t.Close()
	if fx.bundle != nil {
		t.unpacked = fx.bundle.Unpacked
	}
	if capture := t.form == formFtrace; capture != (fx.expect.Format == "capture") {
		return nil, nil, fmt.Errorf("%s is of the form %s, but the fixture's format is %s", filepath.Base(fx.trace), t.form, fx.expect.Format)
	}
	r, err := a.analyze(ctx, t, analyze.Options{})
	if err != nil {
		return nil, nil, err
	}
	res := &fixtureResult{Path: fx.path, Expected: fx.expect, Got: &fixtureOutcome{Verdict: r.Verdict, Exit: r.ExitCode(), Findings: []string{}}}
	for i := range r.Findings {
		res.Got.Findings = append(res.Got.Findings, describeFinding(&r.Findings[i], r.Trace.Unit))
	}
	res.Problems = append([]string{}, fx.expect.differences(r)...)
	if fx.expect.Replay != nil {
		list, err := fx.expect.Replay.list()
		if err != nil {
			return nil, nil, err
		}
		if res.Got.Replay, err = a.replay(ctx, t, list); err != nil {
			return nil, nil, err
		}
		res.Problems = append(res.Problems, fx.expect.Replay.differences(res.Got.Replay)...)
	}
	if fx.bundle != nil {
		fx.compare(res, t.Meta(), r)
	}
	res.OK = len(res.Problems) == 0
	return res, r, nil
}
