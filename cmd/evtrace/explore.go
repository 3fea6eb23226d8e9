package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/system"
	"github.com/evtrace/evtrace/evtchn/text"
	"github.com/evtrace/evtrace/replay/explore"
)

// exploreFlags are the flags of explore.
type exploreFlags struct {
	policies    []string
	scenarios   []string
	properties  string
	every       bool
	noReduction bool
	noSymmetry  bool
	exact       bool
	wide        bool
	maxStates   uint64
	memory      string
	timeout     time.Duration
	workers     int
	out         string
	checkpoint  string
	resume      string
	force       bool
	quiet       bool
	json        bool

	around aroundFlags
	random randomFlags
}

func newExplore(a *app) *cobra.Command {
	var f exploreFlags
	c := &cobra.Command{
		Use:     "explore --scenario S [--policy P]... | --around TRACE | --random N --scenario S",
		GroupID: groupJudge,
		Short:   "try every schedule of a small system",
		Long: `Explore takes a bounded scenario, a system small enough, and tries every order in which its vcpus, senders, interrupts and tasks can
take their steps. Unlike a replay, which shows that a policy would have worked this time, it says whether it always works.

The verdict is safe if all was seen and nothing is wrong with it; unsafe if a schedule ends in a violation, and then that schedule is a
shortest one, and -o writes it as a trace, which analyze, tui, export and check take; undecided if the search was stopped first.

The properties are that none of these happens: at rest, when nothing is under way, a port that nobody will notice (lost), an event that
nobody has looked at (unserved), a sleeper whose event is there (asleep), a broken invariant (invariant); at any time, a handler begun twice
for one event (duplicate), on two vcpus at once (concurrent), or on a vcpu that does not have the port (wrong-vcpu).

With several policies or scenarios, or "all", it prints the matrix of verdicts. The exit code is 0 if all are safe, that of the worst
violation, or 20 if one is undecided and none is unsafe. A signal (Ctrl-C) ends the search with what is known by then.

` + aroundHelp + "\n\n" + randomHelp,
		Example: `  evtrace explore --scenario bind-then-unmask -o lost.evt
  evtrace explore --scenario stale-notify --policy linux-2021
  evtrace explore --scenario rebind-2005 --policy unmask=hypercall,rebind=2013 --property lost
  evtrace explore --scenario all --policy xen-2005 --max-states 20000
` + aroundExample + "\n" + randomExample,
		Args: exactly(0, "none: the scenario is given by --scenario"),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.exploreSome(cmd, &f) },
	}
	fl := c.Flags()
	fl.StringArrayVar(&f.scenarios, "scenario", nil, "`NAME` of a bounded scenario, a scenario file, or all; may be repeated")
	fl.StringArrayVar(&f.policies, "policy", nil, "`POLICY` to explore: a preset, choices, or all; may be repeated (default: the scenario's)")
	fl.StringVar(&f.properties, "property", "all", "what must not happen: a `LIST` of lost, unserved, asleep, duplicate, wrong-vcpu, concurrent, invariant")
	fl.BoolVar(&f.every, "every", false, "go on after the first violation, and find a shortest one of each kind")
	fl.Uint64Var(&f.maxStates, "max-states", 0, "stop after `N` states (0: no limit)")
	fl.DurationVar(&f.timeout, "timeout", 0, "stop after that long, such as 10m (0: no limit)")
	fl.StringVar(&f.memory, "memory", "4G", "stop when the states take that many `BYTES`; K, M and G are understood")
	fl.BoolVar(&f.noReduction, "no-reduction", false, "take every step in every order, even where the order cannot matter")
	fl.BoolVar(&f.noSymmetry, "no-symmetry", false, "tell senders apart that do the same")
	fl.BoolVar(&f.exact, "exact", false, "keep whole states instead of fingerprints")
	fl.BoolVar(&f.wide, "wide", false, "fingerprints of 128 bits instead of 64")
	fl.IntVar(&f.workers, "workers", 0, "goroutines to use; the result does not depend on it (0: one for each processor)")
	fl.StringVarP(&f.out, "out", "o", "", "trace `FILE` for the counterexample, or - for text on stdout")
	fl.StringVar(&f.checkpoint, "checkpoint", "", "`FILE` that the search is saved in every minute, and when it is stopped")
	fl.StringVar(&f.resume, "resume", "", "go on with the search that was saved in `FILE`")
	fl.BoolVar(&f.force, "force", false, "replace the file if there is one")
	fl.BoolVarP(&f.quiet, "quiet", "q", false, "no progress")
	fl.BoolVar(&f.json, "json", false, "as JSON")
	f.around.register(c)
	f.random.register(c)
	_ = c.RegisterFlagCompletionFunc("policy", completePolicies)
	_ = c.RegisterFlagCompletionFunc("scenario", completeBounded)
	return c
}

// exploreReport is the outcome of one exploration.
type exploreReport struct {
	Policy          string                 `json:"policy"`
	Scenario        string                 `json:"scenario"`
	Bounds          string                 `json:"bounds"`
	Verdict         string                 `json:"verdict"`
	Violations      []string               `json:"violations"`
	States          uint64                 `json:"states"`
	Transitions     uint64                 `json:"transitions"`
	TerminalStates  uint64                 `json:"terminal_states"`
	LostTerminals   uint64                 `json:"lost_terminals"`
	Complete        bool                   `json:"complete"`
	Stopped         string                 `json:"stopped,omitempty"`
	Depth           int                    `json:"depth"`
	Frontier        uint64                 `json:"frontier"`
	Bytes           int64                  `json:"bytes"`
	Collision       float64                `json:"collision_bound"`
	Seconds         float64                `json:"seconds"`
	StatesPerSecond float64                `json:"states_per_second"`
	Counterexample  *counterexampleReport  `json:"counterexample"`
	Others          []counterexampleReport `json:"others,omitempty"` // with --every

	sys   *explore.System
	first *explore.Trace
	kinds explore.Kinds
}

// counterexampleReport is a schedule that ends in a violation.
type counterexampleReport struct {
	Kind     string   `json:"kind"`
	Race     string   `json:"race"` // R1 to R10, "" for none of those
	Cause    string   `json:"cause"`
	Choices  int      `json:"choices"`
	Events   int      `json:"events"`    // of the trace
	Begins   uint64   `json:"first_seq"` // of the events that the schedule chose; what is before brings the system up
	Detail   []string `json:"detail,omitempty"`
	Schedule string   `json:"schedule"`
	File     string   `json:"file,omitempty"`
}

func (a *app) explore(ctx context.Context, f *exploreFlags) error {
	opt := explore.Options{Every: f.every, NoReduction: f.noReduction, NoSymmetry: f.noSymmetry, Exact: f.exact, Wide: f.wide,
		MaxStates: f.maxStates, Workers: f.workers}
	var err error
	if opt.Properties, err = explore.ParseKinds(f.properties); err != nil {
		return usageErrorf("", "--property: %v", err)
	}
	if opt.Memory, err = parseBytes(f.memory); err != nil {
		return usageErrorf("", "--memory: %v", err)
	}
	if opt.Memory > 0 { // what is garbage must not take much beside what the states take
		defer debug.SetMemoryLimit(debug.SetMemoryLimit(opt.Memory + opt.Memory/8 + 64<<20))
	}
	systems, err := a.boundedSystems(f)
	if err != nil {
		return err
	}
	if f.out != "" && len(systems) > 1 {
		return usageErrorf("one policy and one scenario", "explore: -o takes one counterexample, and %d systems are to be explored", len(systems))
	}
	if f.out == "-" && f.json {
		return usageErrorf("-o FILE --json puts the trace in a file", "explore: stdout cannot take both the trace and the report")
	}
	if f.out != "" && f.out != "-" {
		if err := vacant(f.out, f.force); err != nil {
			return err
		}
	}
	if f.timeout < 0 {
		return usageErrorf("", "--timeout: got %v, want a duration such as 10m", f.timeout)
	}
	if f.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, f.timeout)
		defer cancel()
	}
	if (f.checkpoint != "" || f.resume != "") && len(systems) > 1 {
		return usageErrorf("one policy and one scenario", "explore: --checkpoint and --resume are about one search, and %d systems are to be explored", len(systems))
	}
	var reports []*exploreReport
	for _, sys := range systems {
		r, err := a.exploreOne(ctx, sys, opt, f)
		if err != nil {
			return err
		}
		reports = append(reports, r)
	}
	if f.out != "" && reports[0].first != nil {
		if err := a.writeTrace(ctx, reports[0].first, f); err != nil {
			return err
		}
		reports[0].Counterexample.File = f.out
	}
	switch {
	case f.json && len(reports) == 1:
		err = a.printJSON(reports[0])
	case f.json:
		err = a.printJSON(reports)
	case f.out == "-":
	case len(reports) == 1:
		err = a.print(reports[0].text())
	default:
		err = a.print(exploreMatrix(reports))
	}
	if err != nil {
		return err
	}
	return exitCode(exploreCode(reports))
}

// boundedSystems finds the scenarios and policies that were asked for: every scenario under every policy.
func (a *app) boundedSystems(f *exploreFlags) ([]*explore.System, error) {
	if len(f.scenarios) == 0 {
		return nil, usageErrorf(`"evtrace scenarios" lists those that are built in`, "explore: --scenario is missing")
	}
	policies, err := parsePolicies(f.policies)
	if err != nil {
		return nil, err
	}
	var scenarios []*system.Scenario
	for _, name := range f.scenarios {
		if name == "all" {
			scenarios = append(scenarios, system.BoundedBuiltins()...)
			continue
		}
		sc, err := a.findScenario(name)
		if err != nil {
			return nil, err
		}
		scenarios = append(scenarios, sc)
	}
	var systems []*explore.System
	for _, sc := range scenarios {
		list := policies
		if len(list) == 0 {
			p, err := evtchn.ParsePolicy(sc.Policy)
			if err != nil {
				return nil, err
			}
			list = []evtchn.Policy{p}
		}
		for _, p := range list {
			sys, err := explore.New(sc, p)
			switch {
			case errors.Is(err, explore.ErrUnbounded):
				return nil, usageErrorf("those of kind bounded can: "+boundedNames(), "%v", err)
			case err != nil:
				return nil, usageErrorf("", "%v", err)
			}
			systems = append(systems, sys)
		}
	}
	return systems, nil
}

func boundedNames() string {
	var names []string
	for _, sc := range system.BoundedBuiltins() {
		names = append(names, sc.Name)
	}
	return strings.Join(names, ", ")
}

// exploreOne explores one system.
func (a *app) exploreOne(ctx context.Context, sys *explore.System, opt explore.Options, f *exploreFlags) (*exploreReport, error) {
	r := &exploreReport{Policy: policyName(sys.Policy()), Scenario: sys.Scenario().Name, Bounds: sys.Bounds(), Violations: []string{}, sys: sys}
	p := a.newProgress("", "states", f.quiet)
	opt.Progress = func(g explore.Progress) {
		p.what = fmt.Sprintf("%s under %s, %d choices deep, %s to look at, %s", r.Scenario, r.Policy, g.Depth, group(g.Frontier), bytesText(g.Bytes))
		p.at(g.States, 0)
	}
	if f.resume != "" {
		file, err := os.Open(f.resume)
		if err != nil {
			return nil, unreadable(err)
		}
		defer file.Close()
		opt.Resume = file
	}
	start := time.Now()
	if f.checkpoint != "" {
		opt.Save = a.saver(f.checkpoint)
	}
	res, err := explore.Run(ctx, sys, opt)
	p.done()
	if errors.Is(err, explore.ErrCheckpoint) {
		return nil, unreadable(about(f.resume, err))
	} else if err != nil {
		return nil, err
	}
	r.Seconds = time.Since(start).Seconds()
	r.Verdict, r.kinds, r.Violations = res.Verdict.String(), res.Violations, res.Violations.Names()
	r.States, r.Transitions, r.TerminalStates, r.LostTerminals = res.States, res.Transitions, res.AtRest, res.LostAtRest
	r.Depth, r.Frontier, r.Bytes, r.Collision = res.Depth, res.Frontier, res.Bytes, res.Collision
	r.Complete = res.Stopped == explore.NotStopped
	if !r.Complete {
		r.Stopped = res.Stopped.String()
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			r.Stopped = "the time was up"
		}
	}
	if r.Seconds > 0 {
		r.StatesPerSecond = float64(r.States) / r.Seconds
	}
	for i := range res.Found {
		tr, err := sys.Trace(res.Found[i].Choices)
		if err != nil {
			return nil, err
		}
		tr.Meta.Tool = "evtrace " + version
		race := explore.Classify(tr, res.Found[i].Kind)
		ce := counterexampleReport{Kind: res.Found[i].Kind.String(), Cause: race.What, Choices: len(res.Found[i].Choices), Events: len(tr.Events),
			Begins: uint64(tr.Beginning + 1), Schedule: explore.Schedule(res.Found[i].Choices)}
		if race.Number > 0 {
			ce.Race = fmt.Sprintf("R%d", race.Number)
		}
		if i == 0 {
			if res.Found[i].Kind&explore.AtRest != 0 {
				ce.Detail = tr.Wrong
			}
			r.Counterexample, r.first = &ce, tr
		} else {
			r.Others = append(r.Others, ce)
		}
	}
	return r, nil
}

// saver saves a search every minute, and when it is stopped. A failure is told once: the search goes on without.
func (a *app) saver(name string) func(last bool, write func(io.Writer) error) error {
	saved, failed := time.Now(), false
	return func(last bool, write func(io.Writer) error) error {
		if failed || !last && time.Since(saved) < time.Minute {
			return nil
		}
		err := replaceFile(name, write)
		if saved = time.Now(); err != nil {
			failed = true
			a.say("checkpoint: cannot write %s: %v; the search goes on without", name, err)
		} else if last {
			a.say("the search was saved: --resume %s goes on with it", name)
		}
		return nil
	}
}

// replaceFile writes a file that gets its name when it is complete. What is not a plain file, such as a device, it does not replace.
func replaceFile(name string, write func(io.Writer) error) error {
	if st, err := os.Stat(name); err == nil && !st.Mode().IsRegular() {
		return fmt.Errorf("it is not a plain file")
	}
	tmp, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	err = write(tmp)
	if err == nil {
		err = tmp.Sync()
	}
	err = errors.Join(err, tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), name)
	}
	if err != nil {
		os.Remove(tmp.Name())
	}
	return err
}

// policyName is the policy as the user knows it.
func policyName(p evtchn.Policy) string {
	if s := p.String(); s != "" {
		return s
	}
	return evtchn.Presets()[0].Name
}

// writeTrace writes a counterexample.
func (a *app) writeTrace(ctx context.Context, tr *explore.Trace, f *exploreFlags) error {
	return a.writeHeld(ctx, tr.Meta, tr.Events, f.out, f.force)
}

// exploreCode is the exit code: the worst verdict decides.
func exploreCode(reports []*exploreReport) int {
	code := codeClean
	for _, r := range reports {
		switch {
		case r.kinds&(explore.Lost|explore.Unserved|explore.Asleep) != 0:
			return codeLost
		case r.kinds != 0:
			code = codeViolated
		case r.Verdict == explore.Undecided.String() && code == codeClean:
			code = codeUndecided
		}
	}
	return code
}

// text tells about one exploration.
func (r *exploreReport) text() string {
	var b strings.Builder
	verdict := r.Verdict
	if len(r.Violations) > 0 {
		verdict += ": " + strings.Join(r.Violations, ", ")
	}
	fmt.Fprintf(&b, "%s under %s: %s\n\n", r.Scenario, r.Policy, verdict)
	row := func(key, text string) {
		b.WriteString("  " + key + strings.Repeat(" ", 12-len(key)) + wrap(strings.Repeat(" ", 14), text, 100)[14:])
	}
	row("bounds", r.Bounds)
	row("seen", fmt.Sprintf("%s, %s, %s at rest, of which %s with a lost event", plural(r.States, "state"), plural(r.Transitions, "transition"),
		group(r.TerminalStates), group(r.LostTerminals)))
	if r.Complete {
		row("coverage", fmt.Sprintf("all that can be reached, in %d choices at most", r.Depth-1))
	} else {
		row("coverage", fmt.Sprintf("%s: all schedules of up to %d choices; %s not looked at", r.Stopped, max(r.Depth-1, 0), plural(r.Frontier, "state")))
	}
	if r.Collision > 0 {
		row("certainty", fmt.Sprintf("states are told apart by fingerprints; two of them had the same with a probability of at most %.1g", r.Collision))
	} else {
		row("certainty", "states were compared as a whole")
	}
	row("cost", fmt.Sprintf("%.1f s, %s states/s, %s (%.0f bytes a state)", r.Seconds, group(uint64(r.StatesPerSecond)), bytesText(r.Bytes), float64(r.Bytes)/float64(max(r.States, 1))))
	if r.Counterexample == nil {
		return b.String()
	}
	c := r.Counterexample
	race := c.Cause
	if c.Race != "" {
		race = c.Race + ", " + race
	}
	fmt.Fprintf(&b, "\nA shortest schedule to %s, of %s (%s):\n\n", c.Kind, plural(uint64(c.Choices), "choice"), race)
	var line []byte
	for i := r.first.Beginning; i < len(r.first.Events)-1; i++ {
		ev := &r.first.Events[i]
		who := "-"
		if ev.VCPU != evtchn.NoVCPU {
			who = fmt.Sprintf("v%d", ev.VCPU)
		}
		line = append(line[:0], fmt.Sprintf("  %4d  %-3s ", ev.Seq, who)...)
		line = append(line, fmt.Sprintf("%-12s ", text.AppendContext(nil, ev, &r.first.Meta))...)
		line = append(line, fmt.Sprintf("%-13s %-4s ", ev.Kind, text.AppendPort(nil, ev))...)
		line = text.AppendWhat(line, ev, &r.first.Meta)
		b.Write(line)
		b.WriteByte('\n')
	}
	if len(c.Detail) > 0 {
		b.WriteString("\n")
		for _, d := range c.Detail {
			b.WriteString(wrap("  ", d, 100))
		}
	}
	for i := range r.Others {
		o := &r.Others[i]
		fmt.Fprintf(&b, "\nAlso %s, after %s: %s\n", o.Kind, plural(uint64(o.Choices), "choice"), strings.TrimPrefix(o.Race+", "+o.Cause, ", "))
	}
	return b.String()
}

// exploreMatrix is the table of verdicts: a row for each policy, a column for each scenario.
func exploreMatrix(reports []*exploreReport) string {
	var policies, scenarios []string
	cells := make(map[[2]string]string)
	seen := make(map[string]bool)
	for _, r := range reports {
		if !seen["p"+r.Policy] {
			seen["p"+r.Policy] = true
			policies = append(policies, r.Policy)
		}
		if !seen["s"+r.Scenario] {
			seen["s"+r.Scenario] = true
			scenarios = append(scenarios, r.Scenario)
		}
		cells[[2]string{r.Policy, r.Scenario}] = r.cell()
	}
	var b strings.Builder
	b.WriteString("| policy |")
	for _, s := range scenarios {
		b.WriteString(" " + s + " |")
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(scenarios)) + "\n")
	for _, p := range policies {
		b.WriteString("| " + p + " |")
		for _, s := range scenarios {
			b.WriteString(" " + cells[[2]string{p, s}] + " |")
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// cell is the verdict in a word or two: safe, undecided, or what was found with its race.
func (r *exploreReport) cell() string {
	if r.Counterexample == nil {
		return r.Verdict
	}
	var out []string
	for _, c := range append([]counterexampleReport{*r.Counterexample}, r.Others...) {
		s := c.Kind
		if c.Race != "" {
			s += " " + c.Race
		}
		out = append(out, s)
	}
	return strings.Join(out, ", ")
}

// parseBytes reads a number of bytes such as 512M.
func parseBytes(s string) (int64, error) {
	var n float64
	var unit string
	if k, err := fmt.Sscanf(s, "%g%s", &n, &unit); k == 0 || err != nil && k != 1 {
		return 0, fmt.Errorf("got %q, want a number of bytes such as 512M", s)
	}
	scale, ok := map[string]float64{"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "k": 1 << 10}[strings.TrimSuffix(strings.TrimSuffix(unit, "B"), "i")]
	if !ok || n < 0 || n*scale > 1<<62 {
		return 0, fmt.Errorf("got %q, want a number of bytes such as 512M", s)
	}
	return int64(n * scale), nil
}

// completeBounded completes names of bounded scenarios on the command line.
func completeBounded(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	names := []string{"all\tall that are built in"}
	for _, sc := range system.BoundedBuiltins() {
		names = append(names, sc.Name+"\t"+sc.About)
	}
	return names, cobra.ShellCompDirectiveDefault
}
