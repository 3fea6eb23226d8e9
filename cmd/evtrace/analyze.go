package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/evtchn"
)

func newAnalyze(a *app) *cobra.Command {
	var (
		in   inputOptions
		late time.Duration
		most int
		all  bool
		json bool
		only string // ID of a finding
		bare bool
		port bool
	)
	c := &cobra.Command{
		Use:     "analyze TRACE",
		GroupID: groupJudge,
		Short:   "say which events were lost or late, where they went unnoticed, and why",
		Long: `Analyze judges every episode of every port: each time that the port was set pending until it was handled. It tells the first finding
with its story, event by event, and lists the others; --finding tells another one, and --json gives them all, with their
evidence.

TRACE is a trace file, a trace in text form, or a capture, which is imported for the occasion; - is stdin. The exit code is that of
the worst finding: 0 clean, 10 lost, 11 late, 12 an invariant broken, 20 undecided.`,
		Example: `  evtrace analyze a.evt
  evtrace analyze --json a.evt | jq '.findings[0].why'
  evtrace analyze --finding lost:65#1 a.evt
  evtrace analyze --late-after 5ms a.evt
  evtrace analyze trace.txt.zst`,
		Args: exactly(1, "one: the trace"),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case late < 0:
				return usageErrorf("", "--late-after: got %v, want a duration such as 5ms", late)
			case most < 0:
				return usageErrorf("", "--max-findings: got %d, want 0 or more", most)
			}
			t, err := a.openTrace(cmd.Context(), args[0], in)
			if err != nil {
				return err
			}
			defer t.Close()
			bound, err := inUnits(late, t)
			if err != nil {
				return err
			}
			r, err := a.analyze(cmd.Context(), t, analyze.Options{LateAfter: bound, MaxFindings: most})
			if err != nil {
				return err
			}
			code := exitCode(r.ExitCode())
			if only != "" {
				at := slices.IndexFunc(r.Findings, func(f analyze.Finding) bool { return f.ID == only })
				if at < 0 {
					return noFinding(only, r)
				}
				f := r.Findings[at]
				r.Findings = slices.Insert(slices.Delete(r.Findings, at, at+1), 0, f)
			}
			if json {
				if only != "" {
					r.Findings = r.Findings[:1]
				}
				err = a.printJSON(r)
			} else {
				opt := analyze.TextOptions{Name: args[0]}
				if port {
					opt.Ports = -1
				}
				if all {
					opt.Full = len(r.Findings)
				}
				err = a.writeReport(r, t, opt, !bare)
			}
			if err != nil {
				return err
			}
			return code
		},
	}
	fl := c.Flags()
	fl.DurationVar(&late, "late-after", 0, "also call late what was noticed, but took longer than this")
	fl.IntVar(&most, "max-findings", 0, "how many findings of each kind to report; the others are counted (default 10,000)")
	fl.BoolVar(&all, "all", false, "tell every finding in full, not only the first")
	fl.StringVar(&only, "finding", "", "tell the finding with this `ID`, such as lost:65#1, before the others")
	fl.BoolVar(&bare, "no-events", false, "leave out the table of the finding's events")
	fl.BoolVar(&port, "ports", false, "also list how often each port was handled, on which vcpus, and how fast")
	fl.StringVar(&in.context, "context", "", "`DIR` of the files that go with a capture (default: beside it)")
	fl.Float64Var(&in.tscHz, "tsc-hz", 0, "frequency of the TSC in `HZ`, for a capture with the clock x86-tsc")
	fl.BoolVar(&json, "json", false, "report as JSON")
	return c
}

// writeReport writes a report as text, with a table of the events of the finding that it tells first.
func (a *app) writeReport(r *analyze.Report, t *trace, opt analyze.TextOptions, events bool) error {
	var b strings.Builder
	if err := r.WriteText(&b, opt); err != nil {
		return err
	}
	if !events || len(r.Findings) == 0 || r.Findings[0].FirstSeq() == 0 {
		return a.print(b.String())
	}
	f, meta := &r.Findings[0], t.Meta()
	var table strings.Builder
	fmt.Fprintf(&table, "\nEvents of %s\n", f.ID)
	if err := writeEvidence(&table, "  ", f, &meta, t.Events(f.FirstSeq())); err != nil {
		return err
	}
	body, next, _ := strings.Cut(b.String(), "\nNext\n")
	return a.print(body + table.String() + "\nNext\n" + next)
}

// noFinding is about the ID of a finding that a report does not have.
func noFinding(id string, r *analyze.Report) error {
	var ids []string
	for i := range r.Findings {
		ids = append(ids, r.Findings[i].ID)
	}
	hint := "there are none"
	if len(ids) > 0 {
		if len(ids) > 5 {
			ids = append(ids[:5], "...")
		}
		hint = "there are " + strings.Join(ids, ", ")
	}
	return usageErrorf(hint, "--finding: no finding is called %q%s", id, evtchn.Suggest(id, ids))
}

// inUnits converts a duration to the units of a trace's times.
func inUnits(d time.Duration, t *trace) (evtchn.Time, error) {
	m := t.Meta()
	switch {
	case m.Unit != "ticks" || d == 0:
		return evtchn.Time(d), nil
	case m.NsPerTick <= 0 || m.NsPerTick == 1:
		return 0, usageErrorf("import the capture again with --tsc-hz", "--late-after: %s counts ticks, and does not say how long one is", t.name)
	}
	return evtchn.Time(float64(d) / m.NsPerTick), nil
}

// analyze judges a whole trace.
func (a *app) analyze(ctx context.Context, t *trace, opt analyze.Options) (*analyze.Report, error) {
	p := a.newProgress("judging", "events", false)
	defer p.done()
	r, err := analyze.Run(t.Meta(), &watched{ctx: ctx, src: t.Events(1), p: p, total: t.Meta().Events}, opt)
	return r, unreadable(about(t.name, err)) // the options are right: what is wrong is the trace
}

// watched is a source that shows progress and ends when a signal comes.
type watched struct {
	ctx   context.Context
	src   evtchn.Source
	p     *progress
	n     uint64
	total uint64
}

func (w *watched) Next(ev *evtchn.Event) error {
	if w.n&0xffff == 0 {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		w.p.at(w.n, part(w.n, w.total))
	}
	w.n++
	return w.src.Next(ev)
}
