package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/cmd/evtrace/bundle"
	"github.com/evtrace/evtrace/evtchn"
)

// verifyReport is what verify says, in text and in JSON.
type verifyReport struct {
	Fixtures []*fixtureResult `json:"fixtures"`
}

// fixtureResult is what became of one fixture.
type fixtureResult struct {
	Path     string          `json:"path"`
	OK       bool            `json:"ok"`
	Bundle   *bundleInfo     `json:"bundle,omitempty"` // if it is one, and whole
	Expected *expectation    `json:"expected"`
	Got      *fixtureOutcome `json:"got"`
	Problems []string        `json:"problems"`
	Notes    []string        `json:"notes,omitempty"` // what is not as it was when the bundle was made; by itself that is no failure
}

// bundleInfo is what verify says of a bundle.
type bundleInfo struct {
	Format   int    `json:"format"`
	Tool     string `json:"tool"`
	Redacted bool   `json:"redacted"`
	Chain    string `json:"chain"`
}

// fixtureOutcome is what a fixture's trace gave.
type fixtureOutcome struct {
	Verdict  analyze.Verdict       `json:"verdict"`
	Exit     int                   `json:"exit"`
	Findings []string              `json:"findings"`
	Replay   *analyze.PolicyReport `json:"replay,omitempty"`
}

func newVerify(a *app) *cobra.Command {
	var json bool
	c := &cobra.Command{
		Use:     "verify PATH...",
		GroupID: groupJudge,
		Short:   "judge fixtures: traces that must give a known verdict",
		Long: `Verify judges the traces of bug reports and compares the verdicts with those that they must give. A fixture is a folder with a
trace, the report in prose and an expect.yaml, a .txtar file of the same, or a bundle, NAME.evb, as "evtrace bundle" makes it; PATH is a
fixture, or a folder of fixtures.

A bundle of which a byte is not as it was made is refused, with the part that it is in. If the tool or what a policy means is another than when
it was made, that is noted; what it gives decides.

The exit code is 0 if all hold, and 1 if one does not.`,
		Example: `  evtrace verify fixtures
  evtrace verify bug.evb
  evtrace verify fixtures/port65 --json`,
		Args: atLeast(1, "a fixture, or a folder of fixtures"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r := &verifyReport{Fixtures: []*fixtureResult{}}
			for _, path := range args {
				list, err := findFixtures(path)
				if err != nil {
					return unreadable(err)
				}
				for _, path := range list {
					res, err := a.verify(cmd.Context(), path)
					if err != nil {
						return err
					}
					r.Fixtures = append(r.Fixtures, res)
					if !json {
						if err := a.print(res.text()); err != nil {
							return err
						}
					}
				}
			}
			if json {
				if err := a.printJSON(r); err != nil {
					return err
				}
			} else if err := a.print(r.summary()); err != nil {
				return err
			}
			if slices.ContainsFunc(r.Fixtures, func(f *fixtureResult) bool { return !f.OK }) {
				return exitWith(codeInternal)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&json, "json", false, "as JSON")
	return c
}

// summary counts the fixtures.
func (r *verifyReport) summary() string {
	failed := 0
	for _, f := range r.Fixtures {
		if !f.OK {
			failed++
		}
	}
	n := plural(uint64(len(r.Fixtures)), "fixture")
	switch {
	case failed == 0:
		return n + ": all as expected\n"
	case failed == len(r.Fixtures):
		return n + ": none as expected\n"
	}
	return fmt.Sprintf("%s: %s failed\n", n, group(uint64(failed)))
}

// findFixtures lists the fixtures at a path, in the order of their names.
func findFixtures(path string) ([]string, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !st.IsDir() {
		if !packedFixture(path) {
			return nil, fmt.Errorf("%s: want a fixture: a folder with an %s, a .txtar file, or a bundle, NAME.evb", path, expectName)
		}
		return []string{path}, nil
	}
	var list []string
	err = fs.WalkDir(os.DirFS(path), ".", func(p string, d fs.DirEntry, err error) error {
		p = filepath.Join(path, filepath.FromSlash(p))
		switch {
		case err != nil:
			return err
		case d.IsDir():
		case d.Name() == expectName:
			list = append(list, filepath.Dir(p))
		case packedFixture(p):
			list = append(list, p)
		}
		return nil
	})
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("%s: no fixtures in it: want folders with an %s, .txtar files, or bundles", path, expectName)
	}
	return list, err
}

// packedFixture reports whether a file is a fixture by its name.
func packedFixture(name string) bool {
	return filepath.Ext(name) == ".txtar" || filepath.Ext(name) == bundleSuffix
}

// verify judges one fixture. A fixture that is broken does not hold; the error is ctx's.
func (a *app) verify(ctx context.Context, path string) (*fixtureResult, error) {
	res, err := a.verifyAt(ctx, path)
	if interrupted(err) {
		return nil, err
	}
	if err != nil {
		var msg []string
		for line := range strings.Lines(err.Error()) {
			msg = append(msg, strings.TrimSpace(line))
		}
		res = &fixtureResult{Path: path, Problems: msg}
	}
	return res, nil
}

func (a *app) verifyAt(ctx context.Context, path string) (_ *fixtureResult, err error) {
	dir := path
	if packedFixture(path) {
		if dir, err = os.MkdirTemp("", "evtrace-"); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	var b *bundle.Bundle
	switch filepath.Ext(path) {
	case ".txtar":
		err = unpackTxtar(path, dir)
	case bundleSuffix:
		var f *os.File
		if f, err = os.Open(path); err != nil {
			return nil, err
		}
		defer f.Close()
		if b, err = openBundle(path, f); err == nil {
			err = unpackBundle(b, dir, bundle.ExpectName, bundle.TraceName)
		}
	}
	if err != nil {
		return nil, err
	}
	fx, err := openFixture(path, dir)
	if err != nil {
		return nil, err
	}
	fx.bundle = b
	res, _, err := fx.judge(ctx, a)
	return res, err
}

// compare compares what a bundle says of its trace with the trace, and what it was made with with what judges it now.
func (fx *fixture) compare(res *fixtureResult, meta evtchn.Meta, r *analyze.Report) {
	m := &fx.bundle.Manifest
	res.Bundle = &bundleInfo{m.Format, m.Tool, m.Redacted, m.Chain}
	says := func(what string, says, is any) {
		if says != is {
			res.Problems = append(res.Problems, fmt.Sprintf("%s: %s is %v there, %v in the trace", bundle.ManifestName, what, says, is))
		}
	}
	says("source", m.Source, meta.Source)
	says("seed", m.Seed, meta.Seed)
	says("policy", m.Policy, meta.Policy)
	says("scenario", m.Scenario, scenarioName(meta.Scenario))
	says("events", m.Events, r.Trace.Events)
	if m.Verdict != fx.expect.Verdict {
		res.Problems = append(res.Problems, fmt.Sprintf("%s: verdict is %s there, %s in %s", bundle.ManifestName, m.Verdict, fx.expect.Verdict, bundle.ExpectName))
	}
	if own := "evtrace " + version; m.Tool != own {
		res.Notes = append(res.Notes, fmt.Sprintf("tool version: made by %s, judged by %s", m.Tool, own))
	}
	if m.TraceFormat != evtchn.FormatVersion {
		res.Notes = append(res.Notes, fmt.Sprintf("trace format: made in %d, read as %d", m.TraceFormat, evtchn.FormatVersion))
	}
	for _, p := range m.Policies {
		policy, err := evtchn.ParsePolicy(p.Policy)
		switch {
		case err != nil:
			res.Notes = append(res.Notes, fmt.Sprintf("policy semantics: %s is not known here: %v", p.Policy, err))
		case policy.Digest() != p.Digest:
			res.Notes = append(res.Notes, fmt.Sprintf("policy semantics: the steps of %s are not what they were (digest %.12s, now %.12s)", p.Policy, p.Digest, policy.Digest()))
		}
	}
}

func (r *fixtureResult) text() string {
	var b strings.Builder
	if r.OK {
		fmt.Fprintf(&b, "ok    %s: %s", r.Path, r.Got.Verdict)
		if n := len(r.Got.Findings); n > 0 {
			fmt.Fprintf(&b, ", %s", plural(uint64(n), "finding"))
		}
		if r.Got.Replay != nil {
			b.WriteString(", replayed")
			if n := len(r.Got.Replay.Policies); n > 0 {
				fmt.Fprintf(&b, " under %s", plural(uint64(n), "policy"))
			}
		}
		b.WriteString("\n")
	} else {
		fmt.Fprintf(&b, "FAIL  %s\n", r.Path)
	}
	for _, p := range r.Problems {
		fmt.Fprintf(&b, "      %s\n", p)
	}
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "      note: %s\n", n)
	}
	return b.String()
}
