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
)

// verifyReport is what verify says, in text and in JSON.
type verifyReport struct {
	Fixtures []*fixtureResult `json:"fixtures"`
}

// fixtureResult is what became of one fixture.
type fixtureResult struct {
	Path     string          `json:"path"`
	OK       bool            `json:"ok"`
	Expected *expectation    `json:"expected"`
	Got      *fixtureOutcome `json:"got"`
	Problems []string        `json:"problems"`
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
trace, the report in prose and an expect.yaml, or a .txtar file of the same; PATH is a fixture, or a folder of fixtures.

The exit code is 0 if all hold, and 1 if one does not.`,
		Example: `  evtrace verify fixtures
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
		if filepath.Ext(path) != ".txtar" {
			return nil, fmt.Errorf("%s: want a fixture: a folder with an %s, or a .txtar file", path, expectName)
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
		case filepath.Ext(p) == ".txtar":
			list = append(list, p)
		}
		return nil
	})
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("%s: no fixtures in it: want folders with an %s, or .txtar files", path, expectName)
	}
	return list, err
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
	if filepath.Ext(path) == ".txtar" {
		if dir, err = os.MkdirTemp("", "evtrace-"); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
		if err := unpackTxtar(path, dir); err != nil {
			return nil, err
		}
	}
	fx, err := openFixture(path, dir)
	if err != nil {
		return nil, err
	}
	res, _, err := fx.judge(ctx, a)
	return res, err
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
		return b.String()
	}
	fmt.Fprintf(&b, "FAIL  %s\n", r.Path)
	for _, p := range r.Problems {
		fmt.Fprintf(&b, "      %s\n", p)
	}
	return b.String()
}
