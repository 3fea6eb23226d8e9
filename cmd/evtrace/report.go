package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/cmd/evtrace/page"
	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/system"
	"github.com/evtrace/evtrace/replay/predict"
)

// reportFlags are the flags that report and plot have in common.
type reportFlags struct {
	policies []string
	finding  string
	late     time.Duration
	out      string
	force    bool
	in       inputOptions
	full     int
}

func (f *reportFlags) add(c *cobra.Command) {
	fl := c.Flags()
	fl.StringArrayVar(&f.policies, "policy", []string{"all"}, "`POLICY` to compare: a preset, choices, all, or none; may be repeated")
	_ = c.RegisterFlagCompletionFunc("policy", completePolicies)
	fl.StringVar(&f.finding, "finding", "", "tell the finding with this `ID`, such as lost:65#1, first")
	fl.DurationVar(&f.late, "late-after", 0, "also call late what was noticed, but took longer than this")
	fl.StringVarP(&f.out, "out", "o", "-", "`FILE` to write, or - for stdout")
	fl.BoolVar(&f.force, "force", false, "replace the file if there is one")
	fl.StringVar(&f.in.context, "context", "", "`DIR` of the files that go with a capture (default: beside it)")
	fl.Float64Var(&f.in.tscHz, "tsc-hz", 0, "frequency of the TSC in `HZ`, for a capture with the clock x86-tsc")
}

// check refuses what cannot be done before any work is done for it.
func (f *reportFlags) check(in string) error {
	if f.late < 0 {
		return usageErrorf("", "--late-after: got %v, want a duration such as 5ms", f.late)
	}
	if _, err := f.list(); err != nil {
		return err
	}
	if f.out == "-" {
		return nil
	}
	if err := otherFile(in, f.out); err != nil {
		return err
	}
	return vacantText(f.out, f.force)
}

// list reads the values of --policy, nil for none.
func (f *reportFlags) list() ([]evtchn.Policy, error) {
	if len(f.policies) == 1 && f.policies[0] == "none" {
		return nil, nil
	}
	return parsePolicies(f.policies)
}

// docForms are the forms of a report, by the ends of names.
var docForms = []struct {
	name  string
	ends  []string
	write func(*page.Document, io.Writer) error
}{
	{"html", []string{".html", ".htm"}, (*page.Document).HTML},
	{"md", []string{".md", ".markdown"}, (*page.Document).Markdown},
	{"txt", []string{".txt", ".text"}, (*page.Document).Text},
}

// docForm finds the form of a report by its name, or by that of the file.
func docForm(to, out string) (func(*page.Document, io.Writer) error, error) {
	ext := filepath.Ext(strings.TrimSuffix(strings.TrimSuffix(out, ".gz"), ".zst"))
	var names []string
	for _, f := range docForms {
		if to == f.name || to == "" && slices.Contains(f.ends, strings.ToLower(ext)) {
			return f.write, nil
		}
		names = append(names, f.name)
	}
	want := strings.Join(names, ", ")
	switch {
	case to != "":
		return nil, usageErrorf("", "--to: got %q, want one of %s%s", to, want, evtchn.Suggest(to, names))
	case out == "-":
		return (*page.Document).Text, nil
	}
	return nil, usageErrorf("--to says which form the file is to have", "%s: the name does not say the form, want one that ends in .html, .md or .txt", out)
}

func newReport(a *app) *cobra.Command {
	var (
		f    reportFlags
		to   string
		json bool
	)
	c := &cobra.Command{
		Use:     "report TRACE [-o FILE.html|FILE.md|FILE.txt]",
		GroupID: groupJudge,
		Short:   "write all that is found in a trace as a page, for a bug report or a mail",
		Long: `Report writes one document about a trace: the verdict, the story of the worst findings with a picture of each, the machine at the
step where a port went unnoticed, what other policies make of it and at what cost, how long deliveries took, what was missing, and
how to get the same again. docs/report.md has examples.

The end of the FILE's name says the form, or --to does: html is one page that needs nothing else, no network and no script; md is
for issues; txt has 72 columns, for mails. Without a FILE, text goes to stdout.

All named policies are compared, as replay --policy all does it, which takes time with a large trace; --policy none leaves that out.
The exit code says whether the report could be written, not what it says: for that, ask "evtrace analyze".`,
		Example: `  evtrace report a.evt -o report.html
  evtrace report a.evt -o report.md --policy linux-2021
  evtrace report a.evt --policy none
  evtrace report trace.txt.zst -o report.txt`,
		Args: exactly(1, "one: the trace"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if json && (to != "" || f.out != "-") {
				return usageErrorf("", "--json: goes to stdout, and has no other form")
			}
			write, err := docForm(to, f.out)
			if err != nil {
				return err
			}
			if f.full < 0 || f.full > maxFull {
				return usageErrorf("", "--full: got %d, want 0 to %d", f.full, maxFull)
			}
			if err := f.check(args[0]); err != nil {
				return err
			}
			d, err := a.document(cmd.Context(), args[0], &f)
			if err != nil {
				return err
			}
			if json {
				return a.printJSON(d)
			}
			var b bytes.Buffer
			if err := write(d, &b); err != nil {
				return err
			}
			return a.writeOut(f.out, f.force, b.Bytes())
		},
	}
	f.add(c)
	c.Flags().StringVar(&to, "to", "", "`FORM` to write: html, md or txt (default: by the name of the file)")
	c.Flags().IntVar(&f.full, "full", 0, "`HOW` many findings are told with pictures and events; others are listed or counted (default: one of each kind, cause and port, up to 3)")
	c.Flags().BoolVar(&json, "json", false, "the document as JSON")
	return c
}

// maxFull is how many findings can be told in full.
const maxFull = 50

// writeOut writes a file that appears when it is complete.
func (a *app) writeOut(name string, force bool, data []byte) error {
	o, err := a.createText(name, force)
	if err != nil {
		return err
	}
	defer o.abort()
	if _, err := o.Write(data); err != nil {
		return o.fail(err)
	}
	return o.commit()
}

// document reads a trace and makes the document about it.
func (a *app) document(ctx context.Context, name string, f *reportFlags) (*page.Document, error) {
	list, err := f.list()
	if err != nil {
		return nil, err
	}
	t, err := a.openTrace(ctx, name, f.in)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	if err := t.keep(ctx, a); err != nil {
		return nil, t.named(err)
	}
	bound, err := inUnits(f.late, t)
	if err != nil {
		return nil, err
	}
	r, err := a.analyze(ctx, t, analyze.Options{LateAfter: bound})
	if err != nil {
		return nil, err
	}
	if f.finding != "" && !slices.ContainsFunc(r.Findings, func(x analyze.Finding) bool { return x.ID == f.finding }) {
		return nil, noFinding(f.finding, r)
	}
	in := page.Input{Name: shellWord(filepath.Base(t.name)), Trace: t.file, Report: r}
	if len(list) > 0 {
		if t.Meta().Source == evtchn.SourceObserved {
			in.Policies, err = a.predict(ctx, t, list, analyze.PredictOptions{Draws: 3, Seed: 1})
		} else {
			in.Policies, err = a.replay(ctx, t, list)
		}
		switch {
		case errors.Is(err, predict.ErrFIFO):
			in.NoPolicy = "Policies are not compared: " + err.Error() + "."
		case err != nil:
			return nil, err
		}
	}
	if in.Origin, err = a.origin(t, name, in.Name); err != nil {
		return nil, err
	}
	d, err := page.New(in, page.Options{Full: f.full, First: f.finding})
	return d, t.named(err)
}

// shellWord is a name as a shell takes it for one word.
func shellWord(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-+,:=@%") == "" && s[0] != '-' {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// origin says where the trace came from, and how to have it again.
func (a *app) origin(t *trace, name, short string) (page.Origin, error) {
	o := page.Origin{Tool: "evtrace " + version}
	files := t.parts
	if len(files) == 0 && name != "-" {
		files = []string{name}
	}
	for _, file := range files {
		fd, err := fileDigest(file)
		if err != nil {
			return o, unreadable(err)
		}
		if fd != nil {
			o.Files = append(o.Files, *fd)
		}
	}
	meta := t.Meta()
	switch {
	case meta.Source == evtchn.SourceObserved:
		o.Commands = append(o.Commands, page.Command{Line: "evtrace import " + short + " -o my.evt", What: "take the capture into a trace file, once and for all; what lies beside it is read, too"})
	case meta.Schedule != "":
		o.Commands = append(o.Commands, page.Command{Line: "evtrace replay " + short, What: "follow its schedule again: every step must come out the same"})
	default:
		o.Scenario = scenarioName(meta.Scenario)
		file := o.Scenario
		if sc, err := system.Builtin(o.Scenario); err != nil || sc.Text != meta.Scenario {
			file = shellWord(o.Scenario + ".yaml")
			o.Scenario += ", changed or not built in"
			o.Commands = append(o.Commands, page.Command{Line: "evtrace info --json --all " + short + " | jq -r .meta.scenario > " + file, What: "the scenario is in the trace"})
		}
		o.Commands = append(o.Commands, page.Command{Line: "evtrace record --scenario " + file + " --seed " + strconv.FormatUint(meta.Seed, 10) + " --policy " + shellWord(meta.Policy) + " -o again.evt",
			What: "record the same once more: the same scenario, seed and policy always give the same trace"})
	}
	return o, nil
}

// fileDigest describes a plain file; nil for another one, and for a directory.
func fileDigest(name string) (*page.File, error) {
	st, err := os.Stat(name)
	if err != nil || !st.Mode().IsRegular() {
		return nil, err
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &page.File{Name: shellWord(filepath.Base(name)), Bytes: n, SHA256: hex.EncodeToString(h.Sum(nil))}, nil
}
