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

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/system"
	"github.com/evtrace/evtrace/evtchn/text"
	"github.com/evtrace/evtrace/replay/around"
)

// aroundFlags are the flags of explore --around.
type aroundFlags struct {
	trace       string
	preemptions int
	finding     string
	from, until uint64
	length      time.Duration
	reach       time.Duration
	most        int
	all         bool
	neighbour   int
}

const aroundHelp = `With --around it runs the neighbours of a simulated trace: those schedules that differ from the recorded one in one place, and says in how
many of them the same thing goes wrong. Within the steps of a finding (--finding, or --from and --until) every two steps that depend on
each other and could have come the other way round are turned, inputs that follow each other change places, and up to --preemptions
times a vcpu, a kick or a sender is kept from its next step for a while (--for). Of a counterexample of explore, which carries its schedule, up to
--preemptions choices are made otherwise. -o DIR writes the neighbours whose verdict is not the recorded one (--all: all) as traces named
by their numbers, --neighbour N -o FILE writes one. The exit code is that of the worst neighbour; 20 if some were not tried and none is
worse than clean.`

const aroundExample = `  evtrace explore --around a.evt
  evtrace explore --around a.evt --finding lost:65#1 --preemptions 2 -o neighbours
  evtrace explore --around a.evt --neighbour 3 -o 3.evt`

func (f *aroundFlags) register(c *cobra.Command) {
	fl := c.Flags()
	fl.StringVar(&f.trace, "around", "", "try the neighbours of this `TRACE`")
	fl.IntVar(&f.preemptions, "preemptions", 1, "with --around: how many `TIMES` in a run somebody is kept waiting; 0: only reorderings")
	fl.StringVar(&f.finding, "finding", "", "with --around: the `ID` of the finding around which steps are reordered (default: the one that analyze tells)")
	fl.Uint64Var(&f.from, "from", 0, "with --around: the first step of the window, by its `NUMBER`, in place of a finding's")
	fl.Uint64Var(&f.until, "until", 0, "with --around: the last step of the window")
	fl.DurationVar(&f.length, "for", 0, "with --around: how long somebody is kept waiting (default 100us)")
	fl.DurationVar(&f.reach, "reach", 0, "with --around: how far from the window the other one of two steps may be (default 2ms)")
	fl.IntVar(&f.most, "max-neighbours", 500, "with --around: try that `MANY` at most")
	fl.BoolVar(&f.all, "all", false, "with --around or --random and -o: write all, whatever their verdict")
	fl.IntVar(&f.neighbour, "neighbour", 0, "with --around: write the neighbour of that `NUMBER` to the file that -o names")
}

// Flags that the ways of exploring take. The rest are the search's own.
var (
	alwaysFlags = []string{"workers", "timeout", "out", "force", "quiet", "json", "help"}
	aroundTakes = []string{"around", "preemptions", "finding", "from", "until", "for", "reach", "max-neighbours", "all", "neighbour"}
	randomTakes = []string{"random", "seed", "inputs-seed", "pct", "horizon", "scenario", "policy", "all", "duration"}
)

// exploreSome chooses the way of exploring, and refuses the flags of the others.
func (a *app) exploreSome(cmd *cobra.Command, f *exploreFlags) error {
	fl := cmd.Flags()
	way, takes := "", []string(nil)
	switch around, random := fl.Changed("around"), fl.Changed("random"); {
	case around && random:
		return usageErrorf("", "explore: --around and --random are two ways of exploring: give one")
	case around:
		way, takes = "--around", aroundTakes
	case random:
		way, takes = "--random", randomTakes
	}
	var err error
	fl.Visit(func(g *pflag.Flag) {
		others := slices.Contains(aroundTakes, g.Name) || slices.Contains(randomTakes, g.Name) && g.Name != "scenario" && g.Name != "policy"
		switch {
		case err != nil || slices.Contains(alwaysFlags, g.Name) || slices.Contains(takes, g.Name):
		case way != "":
			err = usageErrorf("", "explore: --%s does not go with %s", g.Name, way)
		case others && slices.Contains(aroundTakes, g.Name):
			err = usageErrorf("evtrace explore --around TRACE", "explore: --%s is for neighbours of a trace, and there is no --around", g.Name)
		case others:
			err = usageErrorf("evtrace explore --random N --scenario S", "explore: --%s is for random schedules, and there is no --random", g.Name)
		}
	})
	switch {
	case err != nil:
		return err
	case way == "--around":
		return a.around(cmd.Context(), f)
	case way == "--random":
		return a.random(cmd.Context(), f)
	}
	return a.explore(cmd.Context(), f)
}

// aroundReport is a neighbourhood.
type aroundReport struct {
	Trace       string            `json:"trace"`
	Verdict     string            `json:"verdict"` // of the trace itself
	Finding     string            `json:"finding"` // "": the window was given
	From        evtchn.Seq        `json:"from"`
	Until       evtchn.Seq        `json:"until"`
	Schedule    bool              `json:"schedule"` // choices of an explored schedule were made otherwise
	Preemptions int               `json:"preemptions"`
	Tried       int               `json:"tried"`
	Same        int               `json:"same"` // of those tried, that came to the same steps as another or as the trace
	Left        int               `json:"left"` // found and not tried
	Complete    bool              `json:"complete"`
	Stopped     string            `json:"stopped,omitempty"`
	Counts      map[string]int    `json:"counts"` // neighbours by verdict
	Again       int               `json:"again"`  // neighbours in which the finding is there as well
	Neighbours  []neighbourReport `json:"neighbours"`

	opt  around.Options
	into string // the directory that traces were written into
}

type neighbourReport struct {
	N       int        `json:"n"`
	Verdict string     `json:"verdict"`
	Again   bool       `json:"again"`
	Departs evtchn.Seq `json:"departs"`
	Changes []string   `json:"changes"`
	Ways    int        `json:"ways"`
	Story   string     `json:"story"`
	Events  uint64     `json:"events"`
	File    string     `json:"file,omitempty"`

	group string
}

func (f *aroundFlags) check() error {
	for _, c := range []struct {
		flag string
		bad  bool
		got  any
		want string
	}{
		{"preemptions", f.preemptions < 0 || f.preemptions > 5, f.preemptions, "0 to 5"},
		{"max-neighbours", f.most < 1, f.most, "1 or more"},
		{"for", f.length < 0 || f.length > time.Hour, f.length, "a duration such as 100us"},
		{"reach", f.reach < 0 || f.reach > time.Hour, f.reach, "a duration such as 2ms"},
		{"neighbour", f.neighbour < 0, f.neighbour, "1 or more"},
	} {
		if c.bad {
			return usageErrorf("", "--%s: got %v, want %s", c.flag, c.got, c.want)
		}
	}
	switch {
	case f.finding != "" && (f.from != 0 || f.until != 0):
		return usageErrorf("", "explore: --finding names a window, and so do --from and --until: give one")
	case (f.from == 0) != (f.until == 0):
		return usageErrorf("", "explore: --from and --until go together")
	case f.until < f.from:
		return usageErrorf("", "--until: got %d, want %d or more, which is --from", f.until, f.from)
	}
	return nil
}

func (a *app) around(ctx context.Context, f *exploreFlags) error {
	g := &f.around
	if err := g.check(); err != nil {
		return err
	}
	if err := f.checkOut(g.neighbour > 0); err != nil {
		return err
	}
	if g.neighbour > 0 && f.out == "" {
		return usageErrorf("--neighbour 3 -o 3.evt", "explore: --neighbour writes a trace: -o is missing")
	}
	t, err := a.openTrace(ctx, g.trace, inputOptions{})
	if err != nil {
		return err
	}
	defer t.Close()
	meta := t.Meta()
	if meta.Source != evtchn.SourceSim {
		return &failure{codeUndecided, fmt.Errorf("%s: a capture of a real system has no neighbours: it cannot be run again", t.name),
			"evtrace replay --policy P predicts what it might have been under a policy"}
	}
	r := &aroundReport{Trace: g.trace, Counts: map[string]int{}, Neighbours: []neighbourReport{}, Schedule: meta.Schedule != ""}
	judge, err := a.aroundWindow(ctx, t, g, r)
	if err != nil {
		return err
	}
	if f.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, f.timeout)
		defer cancel()
	}
	p := a.newProgress("trying", "neighbours", f.quiet)
	r.opt.Workers, r.opt.Progress = f.workers, func(n, of int) { p.at(uint64(n), part(n64(n), n64(of))) }
	res, err := around.Run(ctx, t, judge, r.opt)
	p.done()
	switch {
	case errors.Is(err, around.ErrWindow):
		return usageErrorf("", "explore: %v", about(t.name, err))
	case errors.Is(err, system.ErrScenario), errors.Is(err, evtchn.ErrConfig), errors.Is(err, analyze.ErrOrder):
		return unreadable(about(t.name, err))
	case interrupted(err), errors.Is(err, context.DeadlineExceeded):
		return &failure{codeUndecided, fmt.Errorf("%s: stopped before the trace itself had been run again", t.name), ""}
	case err != nil:
		return about(t.name, err)
	}
	r.take(res, &meta, ctx)
	if err := a.writeNeighbours(context.WithoutCancel(ctx), res, r, f); err != nil {
		return err
	}
	switch {
	case f.out == "-":
	case f.json:
		err = a.printJSON(r)
	default:
		err = a.print(r.text())
	}
	if err != nil {
		return err
	}
	return exitCode(worstCode(r.Counts, r.Complete))
}

func n64(n int) uint64 { return uint64(max(n, 0)) }

// aroundWindow finds the steps that it is about.
func (a *app) aroundWindow(ctx context.Context, t *trace, g *aroundFlags, r *aroundReport) (around.Judge, error) {
	o := &r.opt
	o.Preemptions, o.Max, o.For, o.Reach = g.preemptions, g.most, evtchn.Time(g.length), evtchn.Time(g.reach)
	r.Preemptions = g.preemptions
	report, err := a.analyze(ctx, t, analyze.Options{})
	if err != nil {
		return nil, err
	}
	r.Verdict = string(report.Verdict)
	var f *analyze.Finding
	switch {
	case g.from != 0:
		o.From, o.Until = evtchn.Seq(g.from), evtchn.Seq(g.until)
	case g.finding != "":
		at := slices.IndexFunc(report.Findings, func(f analyze.Finding) bool { return f.ID == g.finding })
		if at < 0 {
			return nil, noFinding(g.finding, report)
		}
		f = &report.Findings[at]
	default:
		if f = report.Foremost(); f == nil && !r.Schedule {
			return nil, usageErrorf("--from and --until say which steps are to be reordered", "%s: it has no finding to try the neighbours of", t.name)
		}
	}
	if f != nil {
		r.Finding, o.Port = f.ID, f.Port
		if o.From, o.Until = f.Window(); o.From == 0 {
			return nil, usageErrorf("--from and --until say which steps are to be reordered", "%s: finding %s names no step", t.name, f.ID)
		}
	}
	r.From, r.Until = o.From, o.Until
	return f.Judge(), nil
}

// take takes over a result.
func (r *aroundReport) take(res *around.Result, meta *evtchn.Meta, ctx context.Context) {
	r.Tried, r.Same, r.Left, r.Complete = res.Tried, res.Same, res.Left, res.Complete()
	if res.Stopped {
		r.Stopped = "it was interrupted"
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			r.Stopped = "the time was up"
		}
	} else if res.Left > 0 {
		r.Stopped = fmt.Sprintf("the limit of %s was reached", plural(n64(r.opt.Max), "neighbour"))
	}
	for i := range res.Neighbours {
		n := &res.Neighbours[i]
		out := neighbourReport{N: n.N, Verdict: n.Outcome.Verdict, Again: n.Outcome.Again, Departs: n.Departs, Ways: n.Ways, Story: n.Outcome.Story,
			Events: n.Events}
		var groups []string
		for j := range n.Changes {
			out.Changes = append(out.Changes, n.Changes[j].Text(meta))
			groups = append(groups, n.Changes[j].Group(meta))
		}
		out.group = strings.Join(groups, ", ")
		r.Counts[out.Verdict]++
		if out.Again {
			r.Again++
		}
		r.Neighbours = append(r.Neighbours, out)
	}
}

// writeNeighbours writes the neighbours that were asked for as traces.
func (a *app) writeNeighbours(ctx context.Context, res *around.Result, r *aroundReport, f *exploreFlags) error {
	if f.out == "" {
		return nil
	}
	files := map[int]string{}
	if n := f.around.neighbour; n > 0 {
		if n > len(res.Neighbours) {
			return usageErrorf("", "--neighbour: got %d, and there are %s", n, plural(n64(len(res.Neighbours)), "neighbour"))
		}
		files[n-1] = f.out
	} else {
		for i := range res.Neighbours {
			if f.around.all || res.Neighbours[i].Outcome.Verdict != r.Verdict {
				files[i] = filepath.Join(f.out, fmt.Sprintf("%d.evt", i+1))
			}
		}
		if err := makeDir(f.out, files, f.force); err != nil {
			return err
		}
		r.into = f.out
	}
	for i := range res.Neighbours {
		name, ok := files[i]
		if !ok {
			continue
		}
		n := &res.Neighbours[i]
		if err := a.writeRun(name, f.force, func(open func(evtchn.Meta) (evtchn.Sink, error)) error { return res.Play(ctx, n, open) }); err != nil {
			return err
		}
		r.Neighbours[i].File = name
	}
	return nil
}

// checkOut compares -o with what is written: one trace, or several into a directory.
func (f *exploreFlags) checkOut(one bool) error {
	switch {
	case f.out == "":
		return nil
	case f.out == "-" && !one:
		return usageErrorf("-o DIR", "explore: -o: several traces cannot go to stdout")
	case f.out == "-" && f.json:
		return usageErrorf("-o FILE --json puts the trace in a file", "explore: stdout cannot take both the trace and the report")
	case one && f.out != "-":
		return vacant(f.out, f.force)
	case !one:
		if st, err := os.Stat(f.out); err == nil && !st.IsDir() {
			return usageErrorf("", "%s: it is a file, want a directory for the traces", f.out)
		}
	}
	return nil
}

// makeDir makes a directory for files, and makes sure that they may be written.
func makeDir(dir string, files map[int]string, force bool) error {
	if len(files) == 0 {
		return nil
	}
	if err := os.Mkdir(dir, 0o777); err != nil && !errors.Is(err, os.ErrExist) {
		return unwritable(dir, err)
	}
	for _, i := range slices.Sorted(mapKeys(files)) {
		if err := vacant(files[i], force); err != nil {
			return err
		}
	}
	return nil
}

func mapKeys(m map[int]string) func(yield func(int) bool) {
	return func(yield func(int) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// writeRun writes a run as a trace file with its findings, or as text to stdout.
func (a *app) writeRun(name string, force bool, play func(open func(evtchn.Meta) (evtchn.Sink, error)) error) error {
	if name == "-" {
		var w *text.Writer
		err := play(func(meta evtchn.Meta) (evtchn.Sink, error) {
			w = text.NewWriter(a.out, meta)
			return sinkFunc(func(ev *evtchn.Event) error { return onStdout(w.Add(ev)) }), nil
		})
		if err != nil {
			return err
		}
		return onStdout(w.Close())
	}
	var abort func() error
	var end func() error
	err := play(func(meta evtchn.Meta) (evtchn.Sink, error) {
		meta.Tool = "evtrace " + version
		an, err := analyze.NewAnalyzer(meta, analyze.Options{})
		if err != nil {
			return nil, err
		}
		w, err := createStore(name, meta, force)
		if err != nil {
			return nil, err
		}
		to := &storeSink{w, name}
		abort = w.Abort
		end = func() error {
			if err := putFindings(w, an.Finish()); err != nil {
				return err
			}
			abort = nil
			return closeStore(w, name, true)
		}
		return sinkFunc(func(ev *evtchn.Event) error { return errors.Join(to.Add(ev), an.Add(ev)) }), nil
	})
	if err == nil {
		err = end()
	}
	if err != nil && abort != nil {
		_ = abort()
	}
	return unwritable(name, err)
}

// ranking are the words for what a run comes to, the worst first, with their exit codes.
var ranking = []struct {
	name string
	code int
}{{"lost", codeLost}, {"unserved", codeLost}, {"asleep", codeLost}, {"violated", codeViolated}, {"duplicate", codeViolated},
	{"concurrent", codeViolated}, {"wrong-vcpu", codeViolated}, {"invariant", codeViolated}, {"late", 11}, {"unknown", codeUndecided}, {"clean", codeClean}}

// worstCode is the exit code of several runs: the worst verdict decides; 20 if all are clean and some were not tried.
func worstCode(counts map[string]int, complete bool) int {
	for _, v := range ranking {
		if counts[v.name] > 0 && v.code != codeClean {
			return v.code
		}
	}
	if !complete {
		return codeUndecided
	}
	return codeClean
}

// countsText says how many have which verdict: "lost in 3 of 212 (201 clean, 8 late)".
func countsText(counts map[string]int, what string) string {
	all := 0
	for _, n := range counts {
		all += n
	}
	if all == 0 {
		return "no " + what + "s"
	}
	worst, rest := "", []string(nil)
	for _, v := range ranking {
		n := counts[v.name]
		switch {
		case n == 0:
		case worst == "":
			worst = fmt.Sprintf("%s in %s of %s", v.name, group(n64(n)), plural(n64(all), what))
		default:
			rest = append(rest, fmt.Sprintf("%s %s", group(n64(n)), v.name))
		}
	}
	slices.Reverse(rest)
	if len(rest) > 0 {
		worst += " (" + strings.Join(rest, ", ") + ")"
	}
	return worst
}

// maxAroundRows is how many rows the table of neighbours has.
const maxAroundRows = 40

// text tells about a neighbourhood.
func (r *aroundReport) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s around %s\n\n", countsText(r.Counts, "neighbour"), r.Trace)
	row := func(key, text string) {
		b.WriteString("  " + key + strings.Repeat(" ", 10-len(key)) + wrap(strings.Repeat(" ", 12), text, 100)[12:])
	}
	what := "all steps"
	if r.From != 0 && !r.Schedule {
		what = fmt.Sprintf("#%d to #%d", r.From, r.Until)
	}
	if r.Finding != "" {
		what += ", finding " + r.Finding
	}
	row("recorded", fmt.Sprintf("%s; window: %s", r.Verdict, what))
	kinds := "one reordering"
	switch {
	case r.Schedule:
		kinds = fmt.Sprintf("up to %s made otherwise", plural(n64(max(r.Preemptions, 1)), "choice"))
	case r.Preemptions > 0:
		kinds += fmt.Sprintf(", or up to %s of %s", plural(n64(r.Preemptions), "delay"), durationText(int64(max(r.opt.For, 0)), "ns"))
		if r.opt.For == 0 {
			kinds = strings.TrimSuffix(kinds, "0 ns") + "100 us"
		}
	}
	row("tried", fmt.Sprintf("%s (%s); %s came to the same steps as another or as the trace", plural(n64(r.Tried), "change"), kinds, group(n64(r.Same))))
	if r.Stopped != "" {
		left := ""
		if r.Left > 0 {
			left = fmt.Sprintf("; %s not tried", group(n64(r.Left)))
		}
		row("stopped", r.Stopped+left)
	}
	if r.Finding != "" {
		row("again", fmt.Sprintf("%s goes wrong in %s of %s as well", r.Finding, group(n64(r.Again)), plural(n64(len(r.Neighbours)), "neighbour")))
	}
	if r.into != "" {
		n := 0
		for i := range r.Neighbours {
			if r.Neighbours[i].File != "" {
				n++
			}
		}
		row("written", fmt.Sprintf("%s into %s", plural(n64(n), "trace"), r.into))
	}
	r.table(&b)
	return b.String()
}

// table writes what was changed, and what came of it: neighbours whose changes read alike share a row.
func (r *aroundReport) table(b *strings.Builder) {
	type line struct {
		verdict, again, group string
		ns                    []string
	}
	var lines []*line
	at := map[string]*line{}
	for i := range r.Neighbours {
		n := &r.Neighbours[i]
		again := "no"
		if n.Again {
			again = "yes"
		}
		key := n.Verdict + again + n.group
		l := at[key]
		if l == nil {
			l = &line{verdict: n.Verdict, again: again, group: n.group}
			at[key] = l
			lines = append(lines, l)
		}
		l.ns = append(l.ns, fmt.Sprint(n.N))
	}
	if len(lines) == 0 {
		return
	}
	// What comes to something else than the trace first, then in the order of the neighbours.
	slices.SortStableFunc(lines, func(x, y *line) int {
		other := func(l *line) int {
			switch {
			case l.verdict != r.Verdict:
				return 0
			case l.again == "no":
				return 1
			}
			return 2
		}
		return other(x) - other(y)
	})
	fmt.Fprintf(b, "\n  %-10s %-5s %-16s %s\n", "verdict", "again", "neighbours", "what was changed")
	for i, l := range lines {
		if i == maxAroundRows {
			fmt.Fprintf(b, "  ... %s more; --json lists all\n", plural(n64(len(lines)-i), "row"))
			break
		}
		ns := strings.Join(l.ns, " ")
		if len(l.ns) > 3 {
			ns = fmt.Sprintf("%s ... %s (%d)", strings.Join(l.ns[:1], " "), l.ns[len(l.ns)-1], len(l.ns))
		}
		fmt.Fprintf(b, "  %-10s %-5s %-16s %s\n", l.verdict, l.again, ns, l.group)
	}
	fmt.Fprintf(b, "\nNext\n  evtrace explore --around %s --neighbour %s -o n.evt\n      one of them as a trace\n", r.Trace, lines[0].ns[0])
}
