package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/analyze/redact"
	"github.com/evtrace/evtrace/cmd/evtrace/bundle"
	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/replay"
)

// redactReport is what redact says, in text and in JSON.
type redactReport struct {
	File    string          `json:"file"`
	Verdict analyze.Verdict `json:"verdict"`
	Events  uint64          `json:"events"`
	Before  uint64          `json:"events_before"`
	Again   bool            `json:"replayable"` // it can be run again
	Why     string          `json:"not_replayable_because,omitempty"`
	Ports   string          `json:"ports_kept_because,omitempty"`
	Changes []redact.Change `json:"changes"`
}

// redactFlags are the flags of the verb redact.
type redactFlags struct {
	out   string
	force bool
	start time.Duration
	drop  bool
	note  string
	in    inputOptions
}

func newRedact(a *app) *cobra.Command {
	var (
		f    redactFlags
		json bool
	)
	c := &cobra.Command{
		Use:     "redact TRACE|BUNDLE -o FILE",
		GroupID: groupMake,
		Short:   "take names and what does not matter out of a trace, and keep its verdict",
		Long: `Redact makes a trace that can be shown: tasks, unknown records and the scenario get other names; notes, comments, prose, the capture's
name and side files go; the domains of a capture are numbered anew; its clock starts at 0; and events of ports that no
finding is about are dropped. It lists what it took out, and writes nothing unless the verdict and every finding, with ports, causes and
delays, are the same as before.

What stays is which vcpu did what to which port when: that is the bug. Read what you send.

A recording can still be run again afterwards, with the same events, under the same seed; --start, which sets the clock, and --drop-ports take its scenario
away, since that would no longer be true. Of a capture ports are dropped unless --drop-ports=false: those in the event words of findings and
their rescuers stay, and all do if the verdict needs them.

FILE is a bundle if its name ends in .evb, with a report made from the verdict, or from --note; otherwise it is the trace in text form, and may
end in .zst or .gz.`,
		Example: `  evtrace redact trace.txt.zst -o dom0.evb
  evtrace redact bug.evb -o public.evb
  evtrace redact a.evt --drop-ports --start 1s -o public.txt --json`,
		Args: exactly(1, "one: the trace, or the bundle"),
		RunE: func(cmd *cobra.Command, args []string) error {
			suffix := filepath.Ext(f.out)
			switch {
			case f.out == "":
				return usageErrorf("NAME.evb makes a bundle", "redact: -o is needed: the FILE to write")
			case suffix == ".evt":
				return usageErrorf("redact to text, and evtrace import that", "-o: redact writes bundles (.evb) and text, not trace files")
			case f.out == "-" && json:
				return usageErrorf("", "--json: stdout has the trace")
			case f.note != "" && suffix != bundleSuffix:
				return usageErrorf("", "--note: only a bundle (.evb) has a report")
			}
			if err := otherFile(args[0], f.out); err != nil {
				return err
			}
			if f.out != "-" {
				if err := vacantText(f.out, f.force); err != nil {
					return err
				}
			}
			t, err := a.openTrace(cmd.Context(), args[0], f.in)
			if err != nil {
				return err
			}
			defer t.Close()
			if !cmd.Flags().Changed("drop-ports") {
				f.drop = t.Meta().Source == evtchn.SourceObserved
			}
			r, err := a.redact(cmd.Context(), t, &f)
			if err != nil {
				return err
			}
			switch {
			case f.out == "-":
				fmt.Fprint(a.err, r.text())
				return nil
			case json:
				return a.printJSON(r)
			}
			return a.print(r.text())
		},
	}
	fl := c.Flags()
	fl.StringVarP(&f.out, "out", "o", "", "`FILE` to write: NAME.evb, or text; - is stdout")
	fl.BoolVar(&f.force, "force", false, "replace the file if there is one")
	fl.DurationVar(&f.start, "start", 0, "`TIME` of the first event (default: 0, or a simulation's own)")
	fl.BoolVar(&f.drop, "drop-ports", false, "drop ports that no finding is about (default: of captures)")
	fl.StringVar(&f.note, "note", "", "`FILE` with the report in prose, for a bundle, or - for stdin")
	fl.StringVar(&f.in.context, "context", "", "`DIR` of the files that go with a capture (default: beside it)")
	fl.Float64Var(&f.in.tscHz, "tsc-hz", 0, "frequency of the TSC in `HZ`, for a capture with the clock x86-tsc")
	fl.BoolVar(&json, "json", false, "list what was taken out as JSON")
	return c
}

// redacted is a trace as it may be shown.
type redacted struct {
	of   *trace
	plan *redact.Plan
}

func (r *redacted) Meta() evtchn.Meta { return r.plan.Meta }

func (r *redacted) Events(from evtchn.Seq) evtchn.Source {
	return &skipping{r.plan.Source(r.of.Events(1)), from}
}

// redact writes a trace as it may be shown.
func (a *app) redact(ctx context.Context, t *trace, f *redactFlags) (*redactReport, error) {
	if f.start < 0 {
		return nil, usageErrorf("", "--start: got %v, want a duration such as 5ms", f.start)
	}
	start, err := inUnits(f.start, t)
	if err != nil {
		return nil, err
	}
	p := a.newProgress("judging", "events", false)
	survey, err := redact.Look(t.Meta(), &watched{ctx: ctx, src: t.Events(1), p: p, total: t.Meta().Events})
	p.done()
	if err != nil {
		return nil, unreadable(about(t.name, err))
	}
	r := &redactReport{File: f.out, Verdict: survey.Report.Verdict, Before: survey.Report.Trace.Events}
	res, after, err := a.leastThatHolds(ctx, t, survey, f.drop, start, r)
	if err != nil {
		return nil, err
	}
	r.Events = after.Trace.Events
	if res.plan.Again {
		if err := a.stillAgain(ctx, res); err != nil {
			return nil, err
		}
	}
	r.Again, r.Why, r.Changes = res.plan.Again, res.plan.Why, res.plan.Changes
	for _, part := range t.manifest.Parts {
		if !slices.Contains([]string{bundle.ExpectName, bundle.TraceName}, part.Name) {
			what := "side file"
			if part.Name == bundle.ReportName {
				what = "report"
			}
			r.Changes = append(r.Changes, redact.Change{What: what, From: part.Name})
		}
	}
	return r, a.writeRedacted(ctx, t, res, f)
}

// leastThatHolds drops as much as can be dropped without another verdict.
func (a *app) leastThatHolds(ctx context.Context, t *trace, survey *redact.Survey, drop bool, start evtchn.Time, r *redactReport) (*redacted, *analyze.Report, error) {
	degrees := []redact.Drop{redact.DropNothing}
	if drop {
		degrees = []redact.Drop{redact.DropAll, redact.DropPorts, redact.DropNothing}
	}
	why := ""
	for _, d := range degrees {
		res := &redacted{t, survey.Plan(redact.Options{Start: start, Drop: d})}
		if drop && d != redact.DropNothing && len(res.plan.Dropped) == 0 {
			why = "there is none that no finding is about"
			continue
		}
		after, err := a.judgeRedacted(ctx, res)
		if err == nil {
			if why = redact.Judged(survey.Report, after, d != redact.DropNothing); why == "" {
				return res, after, nil
			}
		} else if interrupted(err) || d == redact.DropNothing {
			return nil, nil, err
		}
		r.Ports = "without some of them " + why
	}
	return nil, nil, &failure{codeInternal, fmt.Errorf("%s: redacted it would say something else: %s; nothing was written", t.name, why), ""}
}

func (a *app) judgeRedacted(ctx context.Context, res *redacted) (*analyze.Report, error) {
	p := a.newProgress("judging again", "events", false)
	defer p.done()
	r, err := analyze.Run(res.Meta(), &watched{ctx: ctx, src: res.Events(1), p: p, total: res.of.Meta().Events}, analyze.Options{})
	return r, about(res.of.name, err)
}

// stillAgain takes the scenario out if the redacted trace does not come out of it event for event.
func (a *app) stillAgain(ctx context.Context, res *redacted) error {
	_, err := replay.Verify(ctx, res, replay.Options{})
	if interrupted(err) {
		return err
	}
	if err != nil {
		res.plan.GiveUp(err.Error())
	}
	return nil
}

// writeRedacted writes the trace as text, or as a bundle.
func (a *app) writeRedacted(ctx context.Context, t *trace, res *redacted, f *redactFlags) error {
	if filepath.Ext(f.out) != bundleSuffix {
		_, err := a.exportText(ctx, t.name, res, f.out, f.force)
		return err
	}
	dir, err := os.MkdirTemp("", "evtrace-")
	if err != nil {
		return &failure{codeInternal, err, "TMPDIR says where temporary files go"}
	}
	defer os.RemoveAll(dir)
	text := filepath.Join(dir, "redacted.txt.zst")
	if _, err := a.exportText(ctx, t.name, res, text, false); err != nil {
		return err
	}
	shown, err := a.openTrace(ctx, text, inputOptions{quiet: true})
	if err != nil {
		return err
	}
	defer shown.Close()
	opt := bundleOptions{out: f.out, force: f.force, note: f.note, redacted: true}
	if res.plan.Again {
		opt.policies, err = t.expectedPolicies()
	}
	if err == nil {
		_, err = a.bundle(ctx, shown, &opt)
	}
	return err
}

// expectedPolicies lists the policies that the expectation of a bundle names.
func (t *trace) expectedPolicies() ([]string, error) {
	if len(t.expected) == 0 {
		return nil, nil
	}
	e, err := parseExpectation(bundle.ExpectName, t.expected)
	if err != nil {
		return nil, unreadable(about(t.name, err))
	}
	list, err := e.Replay.list()
	if err != nil {
		return nil, unreadable(errors.Join(fmt.Errorf("%s: %s", t.name, bundle.ExpectName), err))
	}
	var specs []string
	for _, p := range list {
		specs = append(specs, p.String())
	}
	return specs, nil
}

// text lists what was taken out, kind by kind.
func (r *redactReport) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s, as before; %s", r.File, r.Verdict, plural(r.Events, "event"))
	if r.Events != r.Before {
		fmt.Fprintf(&b, " of %s", group(r.Before))
	}
	b.WriteString("\n")
	var kinds []string
	by := make(map[string][]string)
	for _, c := range r.Changes {
		if by[c.What] == nil {
			kinds = append(kinds, c.What)
		}
		from := strings.Join(strings.Fields(c.From), " ")
		if n := 60; utf8.RuneCountInString(from) > n {
			from = fmt.Sprintf("%s... (%s)", string([]rune(from)[:n]), bytesText(int64(len(c.From))))
		}
		if c.To != "" {
			from += " -> " + c.To
		}
		by[c.What] = append(by[c.What], from)
	}
	for _, k := range kinds {
		b.WriteString(wrap("  ", fmt.Sprintf("%s (%d): %s", k, len(by[k]), strings.Join(by[k], ", ")), tableWidth))
	}
	if len(r.Changes) == 0 {
		b.WriteString("  nothing had to go\n")
	}
	if r.Ports != "" {
		b.WriteString(wrap("  ", "ports stay: "+r.Ports, tableWidth))
	}
	if r.Again {
		b.WriteString("  it can be run again: evtrace replay\n")
	} else if r.Why != "" {
		b.WriteString(wrap("  ", "it cannot be run again: "+r.Why, tableWidth))
	}
	return b.String()
}
