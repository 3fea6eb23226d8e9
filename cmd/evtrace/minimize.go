package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/replay"
	"github.com/evtrace/evtrace/replay/minimize"
)

// minimizeFlags are the flags of minimize.
type minimizeFlags struct {
	keep    string
	number  bool
	asIs    bool
	budget  time.Duration
	workers int
	out     string
	fixture string
	resume  string
	force   bool
	quiet   bool
	json    bool
	in      inputOptions
}

func newMinimize(a *app) *cobra.Command {
	var f minimizeFlags
	c := &cobra.Command{
		Use:     "minimize TRACE [--keep WHAT] [-o FILE] [--fixture DIR]",
		GroupID: groupJudge,
		Short:   "the smallest trace that still gives a finding",
		Long: `Minimize leaves out of a trace what a finding does not need: the fewest inputs, then the fewest context switches, then the shortest
times. The result is a trace like any other, and with --fixture a fixture that "evtrace verify" takes.

WHAT is a finding, by ID (lost:65#1), by kind and port (lost:65), or by kind alone (late); without --keep it is the worst. It is the
same finding if kind and cause are the same and the port is bound to the same end. Its number may change, since a port gets the
lowest that is free; --number keeps that, too. disagree:P,Q keeps that the verdicts under two policies are those of the whole trace.

A recording is run again for every attempt. The result of explore is made smaller choice by choice. Of a capture only
records can be left out, never single ones: time before and after, ports, vcpus, and the finding stays as it is to the nanosecond.

What was not tried when the budget is over, or when a signal comes (Ctrl-C), is not; the smallest trace so far is still
written, and --resume FILE goes on with it. The exit code is that of the result's verdict, or then 20.`,
		Example: `  evtrace minimize a.evt -o small.evt
  evtrace minimize a.evt --keep lost:65 --fixture my-bug
  evtrace minimize a.evt --keep disagree:xen-2005,linux-2021 --budget 30s -o small.evt
  evtrace minimize a.evt --resume small.evt -o small.evt --force`,
		Args: exactly(1, "one: the trace"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.minimize(cmd.Context(), args[0], &f) },
	}
	fl := c.Flags()
	fl.StringVar(&f.keep, "keep", "", "`WHAT` the result must have: a finding, or disagree:P,Q (default: the worst finding)")
	fl.BoolVar(&f.number, "number", false, "the port must keep its number, too")
	fl.BoolVar(&f.asIs, "as-is", false, "inputs stay on their vcpus and at their times: only leave some out")
	fl.DurationVar(&f.budget, "budget", time.Minute, "how long to search (0: no limit)")
	fl.IntVar(&f.workers, "workers", 0, "attempts at once; the result does not depend on it (0: one for each processor)")
	fl.StringVarP(&f.out, "out", "o", "", "trace `FILE` for the result, or - for text on stdout")
	fl.StringVar(&f.fixture, "fixture", "", "make a fixture of the result in `DIR`")
	fl.StringVar(&f.resume, "resume", "", "start from the result of an earlier run, in `FILE`")
	fl.BoolVar(&f.force, "force", false, "replace the file or the fixture if there is one")
	fl.BoolVarP(&f.quiet, "quiet", "q", false, "no progress")
	fl.BoolVar(&f.json, "json", false, "as JSON")
	fl.StringVar(&f.in.context, "context", "", "`DIR` of the files that go with a capture (default: beside it)")
	fl.Float64Var(&f.in.tscHz, "tsc-hz", 0, "frequency of the TSC in `HZ`, for a capture with the clock x86-tsc")
	return c
}

func (f *minimizeFlags) check(name string) error {
	switch {
	case f.budget < 0:
		return usageErrorf("", "--budget: got %v, want a duration such as 30s, or 0", f.budget)
	case f.workers < 0:
		return usageErrorf("", "--workers: got %d, want 0 or more", f.workers)
	case f.out == "-" && f.json:
		return usageErrorf("-o FILE --json puts the trace in a file", "minimize: stdout cannot take both the trace and the report")
	}
	if f.workers == 0 {
		f.workers = runtime.GOMAXPROCS(0)
	}
	if f.out != "" && f.out != "-" {
		if err := otherFile(name, f.out); err != nil {
			return err
		}
		if err := vacant(f.out, f.force); err != nil {
			return err
		}
	}
	if f.fixture != "" {
		return vacantFixture(f.fixture, f.force)
	}
	return nil
}

func (a *app) minimize(ctx context.Context, name string, f *minimizeFlags) error {
	if err := f.check(name); err != nil {
		return err
	}
	kept, err := parseKeep(f.keep)
	if err != nil {
		return err
	}
	if kept.policies != nil && f.number {
		return usageErrorf("", "--number is about a finding's port, and --keep %s names no finding", f.keep)
	}
	t, err := a.openTrace(ctx, name, f.in)
	if err != nil {
		return err
	}
	defer t.Close()
	m := &minimizing{app: a, flags: f, t: t, kept: kept, began: time.Now()}
	m.report = &minimizeReport{Trace: name}
	meta := t.Meta()
	if f.resume != "" && meta.Source == evtchn.SourceSim && meta.Schedule == "" {
		if m.resumed, err = a.openResumed(ctx, t, f.resume); err != nil {
			return err
		}
		defer m.resumed.Close()
	}
	switch {
	case meta.Source == evtchn.SourceObserved && (kept.policies != nil || f.resume != ""):
		if f.resume != "" {
			return usageErrorf("evtrace minimize "+f.resume, "--resume: %s is a capture, and the result of minimising it is minimised further as it is", t.name)
		}
		return usageErrorf("evtrace minimize --keep KIND:PORT keeps a finding", "--keep %s: %s is a capture, which cannot be run under a policy", f.keep, t.name)
	case meta.Source == evtchn.SourceObserved:
		err = m.capture(ctx)
	case meta.Schedule != "":
		err = m.schedule(ctx)
	default:
		err = m.recording(ctx)
	}
	if err != nil {
		return about(t.name, err)
	}
	return m.give(context.WithoutCancel(ctx))
}

// minimizing is a minimization under way.
type minimizing struct {
	app    *app
	flags  *minimizeFlags
	t      *trace
	kept   *kept
	began  time.Time
	report *minimizeReport

	resumed *trace // to start from; nil: from the trace itself

	meta   evtchn.Meta    // of the result
	events []evtchn.Event // of the result
	result *analyze.Report
}

// options are those of the search, and the context that the budget ends.
func (m *minimizing) options(ctx context.Context) (context.Context, context.CancelFunc, minimize.Options, *progress) {
	cancel := context.CancelFunc(func() {})
	if m.flags.budget > 0 {
		ctx, cancel = context.WithTimeout(ctx, m.flags.budget)
	}
	p := m.app.newProgress("minimising", "attempts", m.flags.quiet)
	opt := minimize.Options{Workers: m.flags.workers, AsIs: m.flags.asIs, Progress: func(g minimize.Progress) {
		p.what = fmt.Sprintf("minimising (%s): %s left", g.Phase, group(uint64(g.Left)))
		p.at(uint64(g.Runs), 0)
	}}
	return ctx, cancel, opt, p
}

// whole says at once what there is before anything is left out.
func (m *minimizing) whole(w *analyze.Watch, r *analyze.Report, inputs int, what string) error {
	m.report.Whole = minimizeSize{Inputs: inputs, Events: w.Events, Switches: w.Switches, Duration: r.Trace.Last - r.Trace.First, Verdict: r.Verdict}
	m.report.Unit, m.report.InputsAre = r.Trace.Unit, what
	keeping := m.kept.text
	if f := m.kept.finding; f != nil {
		keeping = fmt.Sprintf("%s (%s)", f.ID, f.Cause)
	}
	m.report.Keep = m.kept.text
	line := fmt.Sprintf("%s: %s, ", m.t.name, plural(w.Events, "event"))
	if what != "event" {
		line += plural(uint64(inputs), what) + ", "
	}
	line += fmt.Sprintf("%s; verdict %s; keeping %s\n", durationText(m.report.Whole.Duration, m.report.Unit), r.Verdict, keeping)
	if m.flags.json || m.flags.out == "-" {
		m.app.say("%s", line[:len(line)-1])
		return nil
	}
	return m.app.print(wrap("", line, 100))
}

// done notes how a search went.
func done[T any](m *minimizing, res *minimize.Result[T]) {
	m.report.Runs, m.report.Minimal, m.report.Exact, m.report.Stopped = res.Runs, res.Minimal, res.Exact, res.Stopped
}

// --- recordings ---

// recording minimises the recording of a simulated system.
func (m *minimizing) recording(ctx context.Context) error {
	policy, err := replay.Policy(m.t)
	if err != nil {
		return unreadable(fmt.Errorf("the recorded policy: %w", err))
	}
	w, err := m.reproduce(ctx, policy)
	if err != nil {
		return err
	}
	in, err := replay.ReadInputs(ctx, m.t)
	if err != nil {
		return err
	}
	whole := w.Finish()
	var test minimize.Test[evtchn.Event]
	if m.kept.policies != nil {
		if !m.kept.names(policy) {
			policy = m.kept.policies[0]
		}
		if test, err = m.disagreement(ctx, in, policy); err != nil {
			return err
		}
	} else {
		if err := m.kept.find(w, whole, m.flags.number); err != nil {
			return err
		}
		test = func(ctx context.Context, inputs []evtchn.Event) (minimize.Fact, error) {
			w, r, err := judge(ctx, in, inputs, policy)
			if err != nil || r == nil {
				return minimize.Fact{}, err
			}
			return m.kept.fact(w, r), nil
		}
	}
	if err := m.whole(w, whole, len(in.Events), "input"); err != nil {
		return err
	}
	from, list := m.t, in.Events
	if m.resumed != nil {
		from = m.resumed
		if list, w, whole, err = m.resume(ctx); err != nil {
			return err
		}
	}
	guesses, err := m.guesses(from, w, whole)
	if err != nil {
		return err
	}
	search, cancel, opt, p := m.options(ctx)
	defer cancel()
	res, err := minimize.Inputs(search, list, guesses, test, opt)
	p.done()
	if err != nil {
		return m.gone(err)
	}
	done(m, res)
	ctx = context.WithoutCancel(ctx)
	out := &inMemory{}
	if err := in.Run(ctx, res.Candidate, policy, out); err != nil {
		return err
	}
	m.meta, m.events = candidateMeta(in, res.Candidate, policy), out.events
	m.report.Result.Inputs = len(res.Candidate)
	m.report.setInputs(out.events)
	if m.kept.finding != nil && m.kept.keep.Kind == analyze.KindLost {
		return m.staysLost(ctx, in, res.Candidate, policy)
	}
	return nil
}

// reproduce runs the recording again as it is: without that nothing can be said of parts of it.
func (m *minimizing) reproduce(ctx context.Context, policy evtchn.Policy) (*analyze.Watch, error) {
	w, err := analyze.NewWatch(m.t.Meta())
	if err != nil {
		return nil, unreadable(err)
	}
	p := m.app.newProgress("running", "events", m.flags.quiet)
	defer p.done()
	total := m.t.Meta().Events
	out, err := replay.Run(ctx, m.t, policy, w, replay.Options{Progress: func(n uint64, _ evtchn.Time) { p.at(n, part(n, total)) }})
	switch {
	case err != nil:
		return nil, unreadable(err)
	case out.Departure != 0:
		d := &replay.Divergence{Seq: out.Departure, Recorded: out.Departed, Replayed: out.Instead}
		return nil, &failure{codeDiverged, d, "its inputs do not lead to it, so parts of them say nothing about it; was it edited, or recorded by another version?"}
	}
	return w, nil
}

// candidateMeta describes what follows from a list of inputs that ends with the end.
func candidateMeta(in *replay.Inputs, inputs []evtchn.Event, policy evtchn.Policy) evtchn.Meta {
	meta := in.Meta(policy)
	meta.Tool = "evtrace " + version
	if n := len(inputs); n > 0 {
		meta.Duration = inputs[n-1].Time
	}
	return meta
}

// judge runs inputs. No report means that they cannot be run.
func judge(ctx context.Context, in *replay.Inputs, inputs []evtchn.Event, policy evtchn.Policy) (*analyze.Watch, *analyze.Report, error) {
	w, err := analyze.NewWatch(candidateMeta(in, inputs, policy))
	if err != nil {
		return nil, nil, err
	}
	if err := in.Run(ctx, inputs, policy, w); err != nil {
		return nil, nil, ctx.Err() // what no system can take is not a candidate
	}
	return w, w.Finish(), nil
}

// disagreement gives the test that the verdicts under two policies are those of the whole.
func (m *minimizing) disagreement(ctx context.Context, in *replay.Inputs, written evtchn.Policy) (minimize.Test[evtchn.Event], error) {
	var want []analyze.Verdict
	var up []bool
	for _, p := range m.kept.policies {
		w, r, err := judge(ctx, in, in.Events, p)
		if err != nil {
			return nil, err
		}
		if r == nil {
			return nil, fmt.Errorf("its inputs cannot be run under %s", policyName(p))
		}
		want, up = append(want, r.Verdict), append(up, w.Up(r))
		m.report.Policies = append(m.report.Policies, minimizePolicy{policyName(p), r.Verdict})
	}
	if want[0] == want[1] {
		return nil, usageErrorf("evtrace replay --policy all "+m.t.name+" lists the verdict of each", "--keep %s: the policies agree: the verdict is %s under both", m.kept.text, want[0])
	}
	return func(ctx context.Context, inputs []evtchn.Event) (minimize.Fact, error) {
		fact := minimize.Fact{Holds: true}
		for i, p := range m.kept.policies {
			w, r, err := judge(ctx, in, inputs, p)
			if err != nil || r == nil || r.Verdict != want[i] || up[i] && !w.Up(r) {
				return minimize.Fact{}, err
			}
			if len(r.Findings) > 0 {
				fact.Decided = max(fact.Decided, evtchn.Time(r.Findings[0].DecidedAt()))
			}
			if p == written {
				fact.Switches, fact.Events = w.Switches, w.Events
			}
		}
		return fact, nil
	}, nil
}

// guesses guesses which inputs of a recording the finding needs.
func (m *minimizing) guesses(t *trace, w *analyze.Watch, r *analyze.Report) ([][]int, error) {
	if m.kept.finding == nil {
		return nil, nil
	}
	f := w.Find(r, &m.kept.keep)
	if f == nil {
		return nil, nil // the search will say so
	}
	return minimize.Guesses(t.Events(1), concern(f))
}

// openResumed opens the result of an earlier run.
func (a *app) openResumed(ctx context.Context, t *trace, name string) (*trace, error) {
	r, err := a.openTrace(ctx, name, inputOptions{})
	if err != nil {
		return nil, err
	}
	if was, is := t.Meta(), r.Meta(); is.Scenario != was.Scenario || is.Seed != was.Seed || is.Source != was.Source {
		r.Close()
		return nil, usageErrorf("", "--resume: %s is not of the same system as %s: want its scenario and its seed", name, t.name)
	}
	return r, nil
}

// resume reads the inputs to which an earlier run came, and judges what it wrote.
func (m *minimizing) resume(ctx context.Context) ([]evtchn.Event, *analyze.Watch, *analyze.Report, error) {
	r := m.resumed
	in, err := replay.ReadInputs(ctx, r)
	if err != nil {
		return nil, nil, nil, unreadable(about(r.name, err))
	}
	w, err := analyze.NewWatch(r.Meta())
	if err != nil {
		return nil, nil, nil, unreadable(about(r.name, err))
	}
	src := &watched{ctx: ctx, src: r.Events(1), p: &progress{}}
	var ev evtchn.Event
	for {
		if err = src.Next(&ev); err == io.EOF {
			return in.Events, w, w.Finish(), nil
		}
		if err == nil {
			err = w.Add(&ev)
		}
		if err != nil {
			return nil, nil, nil, unreadable(about(r.name, err))
		}
	}
}

// gone is about a start that does not have what is to be kept.
func (m *minimizing) gone(err error) error {
	if errors.Is(err, minimize.ErrGone) && m.flags.resume != "" {
		return usageErrorf("without --resume it starts from the whole trace", "--resume: %s does not have %s", m.flags.resume, m.kept.text)
	}
	return err
}

// staysLost looks whether what is lost at the end of the result is lost still at the end of the whole trace, with the same inputs.
func (m *minimizing) staysLost(ctx context.Context, in *replay.Inputs, inputs []evtchn.Event, policy evtchn.Policy) error {
	longer := append([]evtchn.Event(nil), inputs...)
	end := &longer[len(longer)-1]
	end.Time = max(end.Time, in.Events[len(in.Events)-1].Time)
	w, r, err := judge(ctx, in, longer, policy)
	if err != nil {
		return err
	}
	stays := r != nil && w.Find(r, &m.kept.keep) != nil
	m.report.Stays, m.report.StaysUntil = &stays, int64(end.Time)
	return nil
}
