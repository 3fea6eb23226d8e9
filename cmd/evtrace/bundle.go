package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/cmd/evtrace/bundle"
	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/replay"
)

// bundleSuffix is how the name of a bundle ends.
const bundleSuffix = ".evb"

// bundleOptions say what goes into a bundle beside the trace.
type bundleOptions struct {
	out      string
	force    bool
	note     string   // file with the report in prose; -: stdin; "": made from the verdict
	expect   string   // file with the expectation; "": made from the verdict
	attach   []string // side files
	policies []string
	redacted bool
}

func newBundle(a *app) *cobra.Command {
	var opt bundleOptions
	var in inputOptions
	c := &cobra.Command{
		Use:     "bundle TRACE -o FILE.evb",
		GroupID: groupMake,
		Short:   "pack a trace with its verdict and a report, for a bug report or as a fixture",
		Long: `Bundle packs into one file, to be mailed: the trace in text form, with its seed, scenario and policy; the verdict that it gives now,
finding by finding; the versions of tool and trace format, and what the policies meant; a report in prose; and hashes that bind all of
it. "evtrace verify FILE.evb" judges it again anywhere, and says what differs. A bundle is a fixture as it is; unzip takes it apart,
and makes a fixture's folder of it. Every verb that takes a trace takes a bundle.

Of a recording the bundle also expects that its own policy reproduces it, and what the policies of --policy make of it. --note gives
the report; without it, it tells the verdict and the first finding's story. --expect takes the expectation from a file instead, as in
fixtures/README.md; it must hold. --attach adds side files, by their base names.

The same trace, files and evtrace give the same bytes. A capture is packed as the events that were made of it: "evtrace redact"
takes out what is nobody's business.`,
		Example: `  evtrace bundle a.evt -o bug.evb
  evtrace bundle a.evt --policy unmask-hypercall --policy linux-2021 -o bug.evb
  evtrace bundle a.evt --note fixtures/port65/report.md -o bug.evb
  evtrace bundle trace.txt.zst --attach fixtures/2l-lost-bug/lsevtchn.before.txt -o bug.evb`,
		Args: exactly(1, "one: the trace"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if opt.out == "" {
				return usageErrorf("a name that ends in .evb", "bundle: -o is needed: the FILE to write")
			}
			if opt.note == "-" && args[0] == "-" {
				return usageErrorf("one of them can come from a file", "--note: stdin is the trace already")
			}
			if opt.out != "-" && filepath.Ext(opt.out) != bundleSuffix {
				return usageErrorf("-o NAME"+bundleSuffix, "-o: got %s, want a name that ends in %s, by which verify and the others know a bundle", opt.out, bundleSuffix)
			}
			if err := otherFile(args[0], opt.out); err != nil {
				return err
			}
			if opt.out != "-" {
				if err := vacant(opt.out, opt.force); err != nil {
					return err
				}
			}
			t, err := a.openTrace(cmd.Context(), args[0], in)
			if err != nil {
				return err
			}
			defer t.Close()
			m, err := a.bundle(cmd.Context(), t, &opt)
			if err != nil {
				return err
			}
			a.say("%s: %s, %s, %s; chain %.12s", opt.out, m.Verdict, plural(m.Events, "event"), plural(uint64(len(m.Parts)), "part"), m.Chain)
			return nil
		},
	}
	fl := c.Flags()
	fl.StringVarP(&opt.out, "out", "o", "", "`FILE` to write, NAME.evb, or - for stdout")
	fl.BoolVar(&opt.force, "force", false, "replace the file if there is one")
	fl.StringVar(&opt.note, "note", "", "`FILE` with the report in prose, or - for stdin")
	fl.StringVar(&opt.expect, "expect", "", "`FILE` with what the trace must give (default: what it gives)")
	fl.StringArrayVar(&opt.attach, "attach", nil, "side `FILE` to put in; may be repeated")
	fl.StringArrayVar(&opt.policies, "policy", nil, "of a recording: `POLICY` whose verdict is expected, too; may be repeated")
	fl.StringVar(&in.context, "context", "", "`DIR` of the files that go with a capture (default: beside it)")
	fl.Float64Var(&in.tscHz, "tsc-hz", 0, "frequency of the TSC in `HZ`, for a capture with the clock x86-tsc")
	_ = c.RegisterFlagCompletionFunc("policy", completePolicies)
	return c
}

// bundle judges a trace and packs it.
func (a *app) bundle(ctx context.Context, t *trace, opt *bundleOptions) (*bundle.Manifest, error) {
	given, e, err := opt.expectation()
	if err != nil {
		return nil, err
	}
	list, err := parsePolicies(opt.policies)
	if err == nil && e != nil {
		list, err = e.Replay.list()
	}
	if err != nil {
		return nil, err
	}
	r, rep, err := a.judgeForBundle(ctx, t, list)
	if err != nil {
		return nil, err
	}
	if e == nil {
		given = []byte(expectationText(r, rep))
		if e, err = parseExpectation(bundle.ExpectName, given); err != nil {
			return nil, err
		}
	} else if diffs := e.unlike(r, rep); len(diffs) > 0 {
		return nil, &failure{codeInternal, fmt.Errorf("%s does not give what %s expects:\n%s", t.name, opt.expect, strings.Join(diffs, "\n")),
			"without --expect the bundle expects what the trace gives"}
	}
	note, err := a.reportText(opt.note, r, t)
	if err != nil {
		return nil, err
	}
	meta := t.Meta()
	m := bundle.Manifest{Tool: "evtrace " + version, TraceFormat: evtchn.FormatVersion, Source: meta.Source, Events: r.Trace.Events, Scenario: scenarioName(meta.Scenario),
		Seed: meta.Seed, Policy: meta.Policy, Verdict: string(r.Verdict), Redacted: opt.redacted, Policies: policiesOf(&meta, e)}
	return a.pack(ctx, t, m, note, given, opt)
}

// expectation reads the file that --expect names. Without one it gives nil.
func (opt *bundleOptions) expectation() ([]byte, *expectation, error) {
	if opt.expect == "" {
		return nil, nil, nil
	}
	data, err := os.ReadFile(opt.expect)
	if err != nil {
		return nil, nil, unreadable(err)
	}
	e, err := parseExpectation(opt.expect, data)
	switch {
	case err != nil:
		return nil, nil, usageErrorf("fixtures/README.md lists the fields", "--expect: %v", err)
	case e.Format != "trace" || e.File != "":
		return nil, nil, usageErrorf("", "--expect: %s: want format: trace and no file: a bundle holds the events, under a name of its own", opt.expect)
	case len(opt.policies) > 0:
		return nil, nil, usageErrorf("", "--policy: %s says which policies are to be tried", opt.expect)
	}
	return data, e, nil
}

// judgeForBundle judges a trace, and replays it, under the policies too, if it can be run again.
func (a *app) judgeForBundle(ctx context.Context, t *trace, list []evtchn.Policy) (*analyze.Report, *analyze.PolicyReport, error) {
	meta := t.Meta()
	again := meta.Source == evtchn.SourceSim && meta.Scenario != ""
	if len(list) > 0 && !again {
		if meta.Source == evtchn.SourceObserved {
			return nil, nil, about(t.name, replay.ErrObserved)
		}
		return nil, nil, usageErrorf("", "--policy: %s does not hold its scenario, and cannot be run again", t.name)
	}
	r, err := a.analyze(ctx, t, analyze.Options{})
	if err != nil || !again {
		return r, nil, err
	}
	rep, err := a.replay(ctx, t, list)
	if err == nil && !rep.Identical {
		a.say("note: %s: its own policy does not reproduce it, and the bundle expects that", t.name)
	}
	return r, rep, err
}

// policiesOf lists the policies that a trace and an expectation name, with what they mean here.
func policiesOf(meta *evtchn.Meta, e *expectation) []bundle.Policy {
	var specs []string
	if meta.Source == evtchn.SourceSim {
		specs = append(specs, meta.Policy)
	}
	if e.Replay != nil {
		for _, p := range e.Replay.Policies {
			specs = append(specs, p.Policy)
		}
	}
	var list []bundle.Policy
	seen := make(map[evtchn.Policy]bool)
	for _, spec := range specs {
		if p, err := evtchn.ParsePolicy(spec); err == nil && !seen[p] {
			seen[p] = true
			list = append(list, bundle.Policy{Policy: p.String(), Digest: p.Digest()})
		}
	}
	return list
}

// maxNote is the largest report in prose, in bytes.
const maxNote = 1 << 20

// reportText reads the report in prose, or makes one of the verdict.
func (a *app) reportText(file string, r *analyze.Report, t *trace) ([]byte, error) {
	if file == "" {
		return []byte(proseOf(r, t.Meta())), nil
	}
	src := a.in
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, unreadable(err)
		}
		defer f.Close()
		src = f
	}
	data, err := io.ReadAll(io.LimitReader(src, maxNote+1))
	switch {
	case err != nil:
		return nil, unreadable(fmt.Errorf("--note: %w", err))
	case len(data) > maxNote:
		return nil, usageErrorf("--attach takes larger files", "--note: more than %s, want a report in prose", bytesText(maxNote))
	case len(bytes.TrimSpace(data)) == 0:
		return nil, usageErrorf("without --note the report tells the verdict", "--note: there is nothing in it")
	}
	return data, nil
}

// proseOf tells the verdict, where the trace comes from and the story of the first finding.
func proseOf(r *analyze.Report, meta evtchn.Meta) string {
	var b strings.Builder
	b.WriteString("# " + r.Headline() + "\n\n")
	from := "A capture"
	if meta.Source == evtchn.SourceSim {
		from = fmt.Sprintf("A simulation: scenario %s, seed %d, policy %s", scenarioName(meta.Scenario), meta.Seed, meta.Policy)
		if meta.Scenario == "" {
			from = "A simulation without its scenario: policy " + meta.Policy
		}
	}
	b.WriteString(wrap("", fmt.Sprintf("*%s. %s, %d vcpus.*", from, plural(r.Trace.Events, "event"), meta.VCPUs), 100))
	if len(r.Findings) > 0 {
		f := &r.Findings[0]
		fmt.Fprintf(&b, "\n%s:\n\n", f.ID)
		for i, s := range f.Why {
			key := fmt.Sprintf("%d. ", i+1)
			b.WriteString(key + wrap("   ", s, 100)[3:])
		}
	}
	return b.String()
}

// pack writes the bundle.
func (a *app) pack(ctx context.Context, t *trace, m bundle.Manifest, note, expected []byte, opt *bundleOptions) (*bundle.Manifest, error) {
	dir, err := os.MkdirTemp("", "evtrace-")
	if err != nil {
		return nil, &failure{codeInternal, err, "TMPDIR says where temporary files go"}
	}
	defer os.RemoveAll(dir)
	packed := filepath.Join(dir, bundle.TraceName)
	if m.TextBytes, err = a.exportText(ctx, t.name, t, packed, false); err != nil {
		return nil, err
	}
	files := []bundle.File{bundle.Text(bundle.ReportName, note), bundle.Text(bundle.ExpectName, expected)}
	for _, path := range append([]string{packed}, opt.attach...) {
		f, err := os.Open(path)
		if err != nil {
			return nil, unreadable(err)
		}
		defer f.Close()
		st, err := f.Stat()
		if err != nil {
			return nil, unreadable(err)
		}
		if !st.Mode().IsRegular() {
			return nil, usageErrorf("", "--attach: %s: it is not a plain file", path)
		}
		files = append(files, bundle.File{Name: filepath.Base(path), Data: io.NewSectionReader(f, 0, st.Size())})
	}
	o, err := a.createText(opt.out, opt.force)
	if err != nil {
		return nil, err
	}
	defer o.abort()
	failed := false
	done, err := bundle.Write(sinkWriter{o, &failed}, m, files)
	switch {
	case err != nil && failed:
		return nil, o.fail(err)
	case err != nil:
		return nil, usageErrorf("", "bundle: %v", err) // what was attached
	}
	return done, o.commit()
}

// sinkWriter notes that an error is one of writing.
type sinkWriter struct {
	w      io.Writer
	failed *bool
}

func (s sinkWriter) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	*s.failed = *s.failed || err != nil
	return n, err
}

// openBundle opens a bundle and compares all of it with its hashes. Errors are of the code codeUnreadable.
func openBundle(name string, f *os.File) (*bundle.Bundle, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	b, err := bundle.Open(f, st.Size())
	switch {
	case err == nil:
		return b, nil
	case errors.Is(err, bundle.ErrVersion):
		return nil, &failure{codeUnreadable, fmt.Errorf("%s: %w", name, err), "take the evtrace that made it, or a newer one"}
	case errors.Is(err, bundle.ErrDamaged):
		return nil, &failure{codeUnreadable, fmt.Errorf("%s: %w", name, err), "whoever sent it has the original; unzip takes it apart as it is"}
	}
	return nil, unreadable(about(name, err))
}

// unpackBundle writes the parts of a bundle to a folder.
func unpackBundle(b *bundle.Bundle, dir string, names ...string) error {
	for _, name := range names {
		r, ok := b.Part(name)
		if !ok {
			continue
		}
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return &failure{codeInternal, err, "TMPDIR says where temporary files go"}
		}
		_, err = io.Copy(f, r)
		if err := errors.Join(err, f.Close()); err != nil {
			return &failure{codeInternal, err, "TMPDIR says where temporary files go"}
		}
	}
	return nil
}

// sniffBundle takes the trace out of a bundle, if all of it is as it was made.
func (t *trace) sniffBundle(f *os.File) error {
	b, err := openBundle(t.name, f)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "evtrace-")
	if err != nil {
		return &failure{codeInternal, err, "TMPDIR says where temporary files go"}
	}
	t.temp = append(t.temp, dir)
	if err := unpackBundle(b, dir, bundle.TraceName); err != nil {
		return err
	}
	t.manifest = b.Manifest
	if r, ok := b.Part(bundle.ExpectName); ok && r.Size() <= maxNote {
		if t.expected, err = io.ReadAll(r); err != nil {
			return err
		}
	}
	t.path, t.unpacked, t.form = filepath.Join(dir, bundle.TraceName), b.Unpacked, ""
	return t.sniff() // which takes text alone now
}
