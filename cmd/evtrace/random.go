package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/system"
	"github.com/evtrace/evtrace/replay/random"
)

// maxRuns is the most runs that explore --random makes.
const maxRuns = 10_000_000

// randomFlags are the flags of explore --random.
type randomFlags struct {
	runs     int
	seed     uint64
	inputs   uint64
	pct      int
	horizon  time.Duration
	duration time.Duration
}

const randomHelp = `With --random it makes N runs of a scenario of any size, each with an order of steps drawn at random: a walk that takes any of the
things that could happen next, or, with --pct D, priorities at random that change at D-1 points (PCT, Burckhardt et al., ASPLOS 2010), of which a
bound says how likely a bug that needs D orderings is found. Run i has the seed --seed + i - 1, and --random 1 --seed X makes that one
again. In a timed scenario what is due within --horizon may come in any order, and inputs come at their times, as --inputs-seed has them.
-o DIR writes the runs that are not clean as traces named by their seeds. The exit code is that of the worst run; 20 if it was stopped and none is
worse than clean.`

const randomExample = `  evtrace explore --random 20 --scenario seed-port65 --policy unmask-hypercall
  evtrace explore --random 200 --pct 3 --scenario stale-notify --policy linux-2021 -o failures`

func (f *randomFlags) register(c *cobra.Command) {
	fl := c.Flags()
	fl.IntVar(&f.runs, "random", 0, "make `N` runs of a scenario in an order of steps drawn at random")
	fl.Uint64Var(&f.seed, "seed", 1, "with --random: `SEED` of the first run's order; the next run has the next")
	fl.Uint64Var(&f.inputs, "inputs-seed", 1, "with --random: `SEED` of a timed scenario's inputs, the same in all runs")
	fl.IntVar(&f.pct, "pct", 0, "with --random: PCT of that `DEPTH` in place of a walk")
	fl.DurationVar(&f.horizon, "horizon", defaultHorizon, "with --random: how far apart things may be and still change places, in a timed scenario")
	fl.DurationVar(&f.duration, "duration", 0, "with --random: run a timed scenario for that long (default: the scenario's)")
}

// randomReport is what came of random runs.
type randomReport struct {
	Scenario  string          `json:"scenario"`
	Policy    string          `json:"policy"`
	Method    string          `json:"method"` // walk or pct
	Depth     int             `json:"depth,omitempty"`
	Asked     int             `json:"asked"`
	Runs      int             `json:"runs"`
	Seed      uint64          `json:"seed"`
	Inputs    uint64          `json:"inputs_seed"`
	Horizon   int64           `json:"horizon"`  // in ns; 0 of a bounded scenario
	Contexts  int             `json:"contexts"` // of the first run
	Choices   uint64          `json:"choices"`
	Bound     float64         `json:"bound,omitempty"` // of one run of PCT
	Found     float64         `json:"found,omitempty"` // of all
	Complete  bool            `json:"complete"`
	Stopped   string          `json:"stopped,omitempty"`
	Counts    map[string]int  `json:"counts"`
	Failures  []failureReport `json:"failures"`  // runs that are not clean
	Different []sortReport    `json:"different"` // the same by what was wrong
	Seconds   float64         `json:"seconds"`

	first *analyze.Finding
	name  string
	flags string // that make the same run
}

type failureReport struct {
	Seed    uint64 `json:"seed"`
	Verdict string `json:"verdict"`
	Story   string `json:"story"` // the worst finding: kind, port, cause
	Events  uint64 `json:"events"`
	File    string `json:"file,omitempty"`
}

// sortReport is a sort of failure.
type sortReport struct {
	Story string   `json:"story"`
	Runs  int      `json:"runs"`
	Seeds []uint64 `json:"seeds"` // the first of them
}

const (
	maxSeeds       = 5
	defaultHorizon = 20 * time.Microsecond
)

// randomScenario finds the one scenario and policy.
func (a *app) randomScenario(f *exploreFlags) (*system.Scenario, evtchn.Policy, error) {
	var p evtchn.Policy
	g := &f.random
	switch {
	case g.runs < 1 || g.runs > maxRuns:
		return nil, p, usageErrorf("", "--random: got %d, want the number of runs, 1 to %d", g.runs, maxRuns)
	case g.pct < 0 || g.pct > random.MaxDepth:
		return nil, p, usageErrorf("", "--pct: got %d, want a depth from 1 to %d", g.pct, random.MaxDepth)
	case g.horizon <= 0:
		return nil, p, usageErrorf("", "--horizon: got %v, want a duration such as 20us", g.horizon)
	case g.duration < 0:
		return nil, p, usageErrorf("", "--duration: got %v, want a duration such as 200ms", g.duration)
	case len(f.scenarios) == 0:
		return nil, p, usageErrorf(`"evtrace scenarios" lists those that are built in`, "explore: --scenario is missing")
	case len(f.scenarios) > 1 || f.scenarios[0] == "all":
		return nil, p, usageErrorf("", "explore: --random takes one scenario")
	}
	sc, err := a.findScenario(f.scenarios[0])
	if err != nil {
		return nil, p, err
	}
	if g.duration > 0 {
		if sc.Bounded != nil {
			return nil, p, usageErrorf("", "--duration: scenario %s is of kind bounded, and has no times", sc.Name)
		}
		if sc, err = sc.Override(0, 0, evtchn.Time(g.duration)); err != nil {
			return nil, p, err
		}
	}
	policies, err := parsePolicies(f.policies)
	switch {
	case err != nil:
		return nil, p, err
	case len(policies) > 1:
		return nil, p, usageErrorf("", "explore: --random takes one policy, and got %d", len(policies))
	case len(policies) == 1:
		return sc, policies[0], nil
	}
	p, err = evtchn.ParsePolicy(sc.Policy)
	return sc, p, err
}

func (a *app) random(ctx context.Context, f *exploreFlags) error {
	g := &f.random
	sc, policy, err := a.randomScenario(f)
	if err != nil {
		return err
	}
	if err := f.checkOut(false); err != nil {
		return err
	}
	if f.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, f.timeout)
		defer cancel()
	}
	p := a.newProgress("running", "runs", f.quiet)
	start := time.Now()
	w, err := random.New(ctx, sc, policy, (*analyze.Finding)(nil).Judge(), random.Options{Seed: g.seed, Inputs: g.inputs, Depth: g.pct,
		Horizon: evtchn.Time(g.horizon), Workers: f.workers, Progress: func(n int) { p.at(n64(n), part(n64(n), n64(g.runs))) }})
	var res *random.Result
	if err == nil {
		res, err = w.Explore(ctx, g.runs)
	}
	p.done()
	switch {
	case interrupted(err), errors.Is(err, context.DeadlineExceeded):
		return &failure{codeUndecided, fmt.Errorf("scenario %s: stopped before a run was done", sc.Name), ""}
	case err != nil:
		return err
	}
	r := &randomReport{Scenario: sc.Name, Policy: policyName(policy), Method: "walk", Depth: g.pct, Asked: g.runs, Runs: len(res.Runs), Seed: g.seed,
		Inputs: g.inputs, Contexts: res.Contexts, Choices: res.Choices, Bound: res.Bound, Found: res.Found, Complete: !res.Stopped,
		Counts: map[string]int{}, Failures: []failureReport{}, Different: []sortReport{}, name: f.scenarios[0]}
	if g.pct > 0 {
		r.Method = "pct"
	}
	if sc.Bounded == nil {
		r.Horizon = int64(g.horizon)
	}
	if g.pct > 0 {
		r.flags += fmt.Sprintf(" --pct %d", g.pct)
	}
	if g.duration > 0 {
		r.flags += fmt.Sprintf(" --duration %v", g.duration)
	}
	if g.horizon != defaultHorizon {
		r.flags += fmt.Sprintf(" --horizon %v", g.horizon)
	}
	if g.inputs != 1 {
		r.flags += fmt.Sprintf(" --inputs-seed %d", g.inputs)
	}
	if res.Stopped {
		r.Stopped = "it was interrupted"
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			r.Stopped = "the time was up"
		}
	}
	r.take(res)
	ctx = context.WithoutCancel(ctx)
	if err := a.writeRandom(ctx, w, res, r, f); err != nil {
		return err
	}
	if err := r.tellFirst(ctx, w); err != nil {
		return err
	}
	r.Seconds = time.Since(start).Seconds()
	if f.json {
		err = a.printJSON(r)
	} else {
		err = a.print(r.text())
	}
	if err != nil {
		return err
	}
	return exitCode(worstCode(r.Counts, r.Complete))
}

// take sorts the runs.
func (r *randomReport) take(res *random.Result) {
	for i := range res.Runs {
		run := &res.Runs[i]
		r.Counts[run.Outcome.Verdict]++
		if run.Outcome.Verdict == string(analyze.VerdictClean) {
			continue
		}
		r.Failures = append(r.Failures, failureReport{Seed: run.Seed, Verdict: run.Outcome.Verdict, Story: run.Outcome.Story, Events: run.Events})
		at := slices.IndexFunc(r.Different, func(s sortReport) bool { return s.Story == run.Outcome.Story })
		if at < 0 {
			at = len(r.Different)
			r.Different = append(r.Different, sortReport{Story: run.Outcome.Story})
		}
		s := &r.Different[at]
		if s.Runs++; len(s.Seeds) < maxSeeds {
			s.Seeds = append(s.Seeds, run.Seed)
		}
	}
	slices.SortStableFunc(r.Different, func(a, b sortReport) int { return b.Runs - a.Runs })
}

// writeRandom writes the runs that are not clean, or all, as traces.
func (a *app) writeRandom(ctx context.Context, w *random.Walker, res *random.Result, r *randomReport, f *exploreFlags) error {
	if f.out == "" {
		return nil
	}
	files := map[int]string{}
	for i := range res.Runs {
		if f.around.all || res.Runs[i].Outcome.Verdict != string(analyze.VerdictClean) {
			files[i] = filepath.Join(f.out, fmt.Sprintf("%d.evt", res.Runs[i].Seed))
		}
	}
	if err := makeDir(f.out, files, f.force); err != nil {
		return err
	}
	for i := range res.Runs {
		name, ok := files[i]
		if !ok {
			continue
		}
		seed := res.Runs[i].Seed
		if err := a.writeRun(name, f.force, func(open func(evtchn.Meta) (evtchn.Sink, error)) error { return w.Play(ctx, seed, open) }); err != nil {
			return err
		}
		for j := range r.Failures {
			if r.Failures[j].Seed == seed {
				r.Failures[j].File = name
			}
		}
	}
	return nil
}

// tellFirst judges the first run that is not clean once more, for its story.
func (r *randomReport) tellFirst(ctx context.Context, w *random.Walker) error {
	if len(r.Failures) == 0 {
		return nil
	}
	var an *analyze.Analyzer
	err := w.Play(ctx, r.Failures[0].Seed, func(meta evtchn.Meta) (_ evtchn.Sink, err error) {
		an, err = analyze.NewAnalyzer(meta, analyze.Options{})
		return an, err
	})
	if err == nil {
		r.first = an.Finish().Foremost()
	}
	return err
}

// formula is that of the bound.
func (r *randomReport) formula() string {
	switch r.Depth {
	case 1:
		return "1/n"
	case 2:
		return "1/(n*k)"
	}
	return fmt.Sprintf("1/(n*k^%d)", r.Depth-1)
}

// text tells about random runs.
func (r *randomReport) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s under %s: %s\n\n", r.Scenario, r.Policy, countsText(r.Counts, "run"))
	row := func(key, text string) {
		b.WriteString("  " + key + strings.Repeat(" ", 10-len(key)) + wrap(strings.Repeat(" ", 12), text, 100)[12:])
	}
	method := "a random walk"
	if r.Depth > 0 {
		method = fmt.Sprintf("PCT of depth %d", r.Depth)
	}
	seeds := fmt.Sprintf("%s, seed %d", method, r.Seed)
	if r.Runs > 1 {
		seeds = fmt.Sprintf("%s, seeds %d to %d", method, r.Seed, r.Seed+uint64(r.Runs)-1)
	}
	if r.Horizon > 0 {
		seeds += fmt.Sprintf("; what is due within %s in any order, inputs of seed %d at their times", durationText(r.Horizon, "ns"), r.Inputs)
	}
	row("drawn", seeds)
	if r.Stopped != "" {
		row("stopped", fmt.Sprintf("%s, after %d of %s", r.Stopped, r.Runs, plural(n64(r.Asked), "run")))
	}
	row("measured", fmt.Sprintf("n = %s, k = %s", plural(n64(r.Contexts), "context"), plural(r.Choices, "choice")))
	if r.Depth > 0 {
		row("bound", fmt.Sprintf("a bug that needs %s is found by one run with a probability of at least %s = %.2g, by these %s with %.2g",
			plural(n64(r.Depth), "ordering"), r.formula(), r.Bound, plural(n64(r.Runs), "run"), r.Found))
		limits := "n and k are those of a first run, and others may have more"
		if r.Horizon > 0 {
			limits = "orders within the horizon only, with these inputs at these times; " + limits
		}
		row("covers", limits)
	}
	row("cost", fmt.Sprintf("%.1f s", r.Seconds))
	if len(r.Different) > 0 {
		b.WriteString("\n   runs  seeds                 what was wrong\n")
	}
	for i := range r.Different {
		s := &r.Different[i]
		var seeds []string
		for _, n := range s.Seeds[:min(len(s.Seeds), 3)] {
			seeds = append(seeds, fmt.Sprint(n))
		}
		if s.Runs > 3 {
			seeds = append(seeds, "...")
		}
		fmt.Fprintf(&b, "  %5d  %-20s  %s\n", s.Runs, strings.Join(seeds, " "), s.Story)
	}
	if len(r.Failures) == 0 {
		return b.String()
	}
	first := r.Failures[0].Seed
	fmt.Fprintf(&b, "\nThe first, of seed %d\n", first)
	if r.first != nil {
		for i, s := range r.first.Why {
			b.WriteString(fmt.Sprintf("  %d. ", i+1) + strings.TrimPrefix(wrap("     ", s, 100), "     "))
		}
	}
	again := fmt.Sprintf("evtrace explore --random 1 --seed %d --scenario %s --policy %s%s", first, r.name, r.Policy, r.flags)
	fmt.Fprintf(&b, "\nNext\n  %s -o DIR\n      that run again, as a trace\n", again)
	return b.String()
}
