package main

import (
	"context"
	"errors"
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
		ask  bool   // --but-for
		mute bool   // --no-but-for
		when string // to look for the point of no return
	)
	c := &cobra.Command{
		Use:     "analyze TRACE",
		GroupID: groupJudge,
		Short:   "say which events were lost or late, where they went unnoticed, and why",
		Long: `Analyze judges every episode of every port: each time that the port was set pending until it was handled. It tells the first finding
with its story, event by event, and lists the others; --finding tells another one, and --json gives them all, with their
evidence.

Of a simulated trace it also says what would have changed the verdict: had the unmask run on another vcpu, had another port of the word rung,
had the send come a little later. Each such change was made and run. That is done for traces of up to 2 million events, for the finding
that is told in full; --but-for does it for longer ones, for JSON, and without a limit to speak of.

Of a simulated trace it also says from which step on the first finding's event could not be delivered in time any more ("too late"): of a
counterexample of explore exactly, of a recording by running schedules that depart from it, at most 200 of them and 2,000,000 events
(--too-late always: 500 schedules, 1,000,000 states; never: none).

TRACE is a trace file, a trace in text form, or a capture, which is imported for the occasion; - is stdin. The exit code is that of
the worst finding: 0 clean, 10 lost, 11 late, 12 an invariant broken, 20 undecided.`,
		Example: `  evtrace analyze a.evt
  evtrace analyze --json a.evt | jq '.findings[0].why'
  evtrace analyze --finding lost:65#1 a.evt
  evtrace analyze --but-for --json a.evt | jq '.findings[0].but_for'
  evtrace analyze --late-after 5ms a.evt
  evtrace analyze trace.txt.zst`,
		Args: exactly(1, "one: the trace"),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case late < 0:
				return usageErrorf("", "--late-after: got %v, want a duration such as 5ms", late)
			case ask && mute:
				return usageErrorf("", "--but-for and --no-but-for: want one of them")
			case most < 0:
				return usageErrorf("", "--max-findings: got %d, want 0 or more", most)
			case !slices.Contains(returnWhen, when):
				return usageErrorf("", "--too-late: got %q, want %s", when, strings.Join(returnWhen, ", "))
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
			judged := analyze.Options{LateAfter: bound, MaxFindings: most}
			r, err := a.analyze(cmd.Context(), t, judged)
			if err != nil {
				return err
			}
			code := exitCode(r.ExitCode())
			if only != "" {
				at := slices.IndexFunc(r.Findings, func(f analyze.Finding) bool { return f.ID == only })
				if at < 0 {
					return noFinding(only, r)
				}
				if json {
					r.Findings = r.Findings[at : at+1]
				}
			}
			if ask || !json && !mute {
				told := 1
				if all || json {
					told = len(r.Findings)
				}
				if err := a.butFor(cmd.Context(), t, r.Trace.Events, r.Told(only)[:min(told, len(r.Findings))], ask, judged); err != nil {
					return err
				}
			}
			if err := a.noReturn(cmd.Context(), t, r, only, when); err != nil {
				return err
			}
			if json {
				err = a.printJSON(r)
			} else {
				opt := analyze.TextOptions{Name: args[0], First: only}
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
	fl.BoolVar(&ask, "but-for", false, "say what would have changed the verdict, of up to 10 findings, however long that takes")
	fl.BoolVar(&mute, "no-but-for", false, "do not say what would have changed the verdict")
	fl.StringVar(&when, "too-late", "auto", "of a simulated trace, find the point of no return of the finding told first: `WHEN` is auto (if it is cheap), always or never")
	fl.BoolVar(&port, "ports", false, "also list how often each port was handled, on which vcpus, and how fast")
	fl.StringVar(&in.context, "context", "", "`DIR` of the files that go with a capture (default: beside it)")
	fl.Float64Var(&in.tscHz, "tsc-hz", 0, "frequency of the TSC in `HZ`, for a capture with the clock x86-tsc")
	fl.BoolVar(&json, "json", false, "report as JSON")
	return c
}

var returnWhen = []string{"auto", "always", "never"}

// noReturn finds the point of no return of the finding that is told first.
func (a *app) noReturn(ctx context.Context, t *trace, r *analyze.Report, only, when string) error {
	meta := t.Meta()
	meta.Events = r.Trace.Events
	var opt analyze.ReturnOptions
	cheap, ok := opt.Cheap(&meta)
	var f *analyze.Finding
	if told := r.Told(only); len(told) > 0 {
		f = told[0]
	}
	switch {
	case when == "always" && meta.Source != evtchn.SourceSim:
		return usageErrorf("", "--too-late: %s is a capture of a real system, which cannot be run again", t.name)
	case when == "never" || f == nil || when == "auto" && !ok:
		return nil
	case when == "auto":
		opt = cheap
	default:
		opt.States = 1_000_000
	}
	p := a.newProgress("looking for the point of no return", "schedules", false)
	defer p.done()
	n, err := analyze.FindNoReturn(ctx, t, f, opt)
	switch {
	case err == nil:
		f.NoReturn = n
	case interrupted(err):
		return err
	case when == "always" && !errors.Is(err, analyze.ErrNoReturn):
		return about(t.name, err)
	}
	return nil // what cannot be run again is judged as it is
}

// writeReport writes a report as text, with a table of the events of the finding that it tells first.
func (a *app) writeReport(r *analyze.Report, t *trace, opt analyze.TextOptions, events bool) error {
	var b strings.Builder
	if err := r.WriteText(&b, opt); err != nil {
		return err
	}
	told := r.Told(opt.First)
	if !events || len(told) == 0 || told[0].FirstSeq() == 0 {
		return a.print(b.String())
	}
	f, meta := told[0], t.Meta()
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
	near := evtchn.Suggest(id, ids)
	hint := "there are none"
	if len(ids) > 0 {
		if len(ids) > 5 {
			ids = append(ids[:5], "...")
		}
		hint = "there are " + strings.Join(ids, ", ")
	}
	return usageErrorf(hint, "--finding: no finding is called %q%s", id, near)
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
