package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/system"
	"github.com/evtrace/evtrace/evtchn/text"
	"github.com/evtrace/evtrace/recorder"
	"github.com/evtrace/evtrace/store"
)

// recordFlags are the flags of record.
type recordFlags struct {
	scenario string
	seed     uint64
	policy   string
	out      string
	vcpus    int
	domains  int
	duration time.Duration
	force    bool
	quiet    bool
	json     bool
	tui      bool
}

func newRecord(a *app) *cobra.Command {
	var f recordFlags
	c := &cobra.Command{
		Use:     "record --scenario NAME|FILE [-o FILE]",
		GroupID: groupMake,
		Short:   "record a simulated system",
		Long: `Record runs a scenario in virtual time and writes every step of its event channels to a trace file. The same scenario, seed
and policy always give the same trace.

The trace grows in FILE.partial and gets its name when it is complete. A signal (Ctrl-C) ends the recording early: the file is
kept, marked incomplete, and the exit code is 130. After a kill, FILE.partial can be read as it is.

-o - writes the text form to stdout. The exit code says whether the recording worked, not what it shows: for that, ask
"evtrace analyze".`,
		Example: `  evtrace record --scenario seed-port65 -o a.evt
  evtrace record --scenario seed-port65 --seed 7 --policy unmask-hypercall -o fixed.evt
  evtrace record --scenario mixed-load --vcpus 16 --domains 40 --duration 200ms -o load.evt
  evtrace record --scenario seed-rescued -o - | evtrace analyze -`,
		Args: exactly(0, "none: the scenario is given by --scenario"),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.record(cmd, &f) },
	}
	fl := c.Flags()
	fl.StringVar(&f.scenario, "scenario", "", "`NAME` of a built-in scenario, or a scenario file")
	fl.Uint64Var(&f.seed, "seed", 1, "seed of everything that is drawn")
	fl.StringVar(&f.policy, "policy", "", "policy in force (default: the scenario's)")
	fl.StringVarP(&f.out, "out", "o", "", "trace `FILE` to write, or - for text on stdout (default SCENARIO-SEED.evt)")
	fl.IntVar(&f.vcpus, "vcpus", 0, "another number of vcpus than the scenario's")
	fl.IntVar(&f.domains, "domains", 0, "another number of domains")
	fl.DurationVar(&f.duration, "duration", 0, "another duration, such as 200ms")
	fl.BoolVar(&f.force, "force", false, "replace the file if there is one")
	fl.BoolVarP(&f.quiet, "quiet", "q", false, "no summary and no progress")
	fl.BoolVar(&f.json, "json", false, "summary as JSON on stdout")
	fl.BoolVar(&f.tui, "tui", false, "show the recording as it runs, then step through it")
	_ = c.RegisterFlagCompletionFunc("policy", completePolicies)
	_ = c.RegisterFlagCompletionFunc("scenario", completeScenarios)
	return c
}

// recordSummary is what record and import say about the file that they wrote.
type recordSummary struct {
	File          string          `json:"file"`
	Scenario      string          `json:"scenario,omitempty"`
	Seed          uint64          `json:"seed,omitempty"`
	Policy        string          `json:"policy,omitempty"`
	Events        uint64          `json:"events"`
	VCPUs         int             `json:"vcpus"`
	Duration      int64           `json:"duration"` // from the first event to the last
	Unit          string          `json:"unit"`
	Complete      bool            `json:"complete"`
	Gaps          uint64          `json:"gaps"`
	FileBytes     int64           `json:"file_bytes,omitempty"`
	BytesPerEvent float64         `json:"bytes_per_event,omitempty"`
	Verdict       analyze.Verdict `json:"verdict,omitempty"`
	Expected      string          `json:"expected,omitempty"` // the scenario's expectation, where it applies
	Read          *readingReport  `json:"read,omitempty"`     // of an import: what of the capture was read
	Notes         []string        `json:"notes,omitempty"`
}

func (a *app) record(cmd *cobra.Command, f *recordFlags) error {
	if f.scenario == "" {
		return usageErrorf(`"evtrace scenarios" lists those that are built in`, "record: --scenario is missing")
	}
	for _, flag := range []struct {
		name string
		bad  bool
	}{{"vcpus", f.vcpus < 1}, {"domains", f.domains < 1}, {"duration", f.duration <= 0}} {
		if cmd.Flags().Changed(flag.name) && flag.bad {
			return usageErrorf("", "--%s: got %s, want more than 0", flag.name, cmd.Flag(flag.name).Value)
		}
	}
	sc, err := a.findScenario(f.scenario)
	if err != nil {
		return err
	}
	if f.vcpus != 0 || f.domains != 0 || f.duration != 0 {
		if sc, err = f.override(sc); err != nil {
			return err
		}
	}
	policy := sc.Policy
	if f.policy != "" {
		policy = f.policy
	}
	p, err := evtchn.ParsePolicy(policy)
	if err != nil {
		return err
	}
	if f.out == "" {
		f.out = fmt.Sprintf("%s-%d.evt", sc.Name, f.seed)
	}
	if f.out == "-" && f.json {
		return usageErrorf("-o FILE --json puts the trace in a file", "record: stdout cannot take both the trace and the summary")
	}
	if f.tui {
		switch {
		case f.out == "-" || f.json:
			return usageErrorf("", "record: --tui shows the trace, and neither -o - nor --json can be had with it")
		case !isTerminal(a.out) || !isInputTerminal(a.in):
			return noTerminal("record")
		}
		f.quiet = true
	}
	src, err := system.New(sc, f.seed, p, system.Inputs(sc, f.seed))
	if err != nil {
		return err
	}
	rec := &recording{app: a, src: src, meta: src.Meta(), out: f.out, force: f.force, quiet: f.quiet, until: sc.Duration}
	rec.meta.Tool = "evtrace " + version
	if f.tui {
		return a.recordLive(cmd.Context(), rec)
	}
	sum, err := rec.run(cmd.Context())
	if err != nil && !interrupted(err) || sum == nil {
		return err
	}
	sum.Scenario, sum.Seed, sum.Policy = sc.Name, f.seed, p.String()
	if own, perr := evtchn.ParsePolicy(sc.Policy); perr == nil && own == p && err == nil && f.vcpus == 0 && f.domains == 0 && f.duration == 0 {
		sum.Expected = sc.Expect.Verdict
	}
	if f.json {
		return errors.Join(a.printJSON(sum), err)
	}
	if !f.quiet {
		a.sayRecorded(sum)
	}
	return err
}

// override applies the flags that change a scenario. Errors name the flag: the scenario was good without it.
func (f *recordFlags) override(sc *system.Scenario) (*system.Scenario, error) {
	changed, err := sc.Override(f.vcpus, f.domains, evtchn.Time(f.duration))
	if err == nil {
		return changed, nil
	}
	flag, which := "", "" // which flag is wrong by itself, or else all that were given
	for _, o := range []recordFlags{{scenario: "vcpus", vcpus: f.vcpus}, {scenario: "domains", domains: f.domains}, {scenario: "duration", duration: f.duration}} {
		if o.vcpus == 0 && o.domains == 0 && o.duration == 0 {
			continue
		}
		if which != "" {
			which += ", "
		}
		which += "--" + o.scenario
		if _, alone := sc.Override(o.vcpus, o.domains, evtchn.Time(o.duration)); alone != nil && flag == "" {
			flag, err = o.scenario, alone
		}
	}
	if flag != "" {
		which = "--" + flag
	}
	msg := strings.TrimPrefix(err.Error(), system.ErrScenario.Error()+": "+sc.Name+": ")
	var fe *system.FileError
	if errors.As(err, &fe) && len(fe.Problems) > 0 {
		if msg = fe.Problems[0].Text; fe.Problems[0].Field != flag {
			msg = fe.Problems[0].Field + ": " + msg
		}
	}
	return nil, usageErrorf("", "%s: %s", which, strings.TrimPrefix(msg, flag+": "))
}

func (a *app) sayRecorded(s *recordSummary) {
	where := s.File
	if s.FileBytes > 0 {
		where += fmt.Sprintf(" (%s, %.2f bytes an event)", bytesText(s.FileBytes), s.BytesPerEvent)
	}
	a.say("%s: seed %d, policy %s: %s in %s, on %s: %s", s.Scenario, s.Seed, s.Policy, plural(s.Events, "event"), durationText(s.Duration, s.Unit),
		plural(uint64(s.VCPUs), "vcpu"), where)
	if !s.Complete {
		a.say("the recording was interrupted: %s is marked incomplete", s.File)
		return
	}
	a.say("verdict: %s%s", s.Verdict, asExpected(s))
	if s.Verdict != analyze.VerdictClean && s.File != "stdout" {
		a.say(`"evtrace analyze %s" says why`, s.File)
	}
}

func asExpected(s *recordSummary) string {
	switch {
	case s.Expected == "":
		return ""
	case s.Expected == string(s.Verdict):
		return ", as the scenario wants"
	}
	return ", but the scenario wants " + s.Expected
}

// recording moves the events of a simulated system to a file.
type recording struct {
	*app
	src   evtchn.Source
	meta  evtchn.Meta
	out   string
	force bool
	quiet bool
	until evtchn.Time
	watch evtchn.Sink // sees every event as it is recorded; may be nil
}

// run records. When a signal ends it, the error is context.Canceled, and what there is was kept.
func (r *recording) run(ctx context.Context) (*recordSummary, error) {
	meta := r.meta
	meta.Complete = true // as far as the analysis is concerned: an interruption says otherwise
	an, err := analyze.NewAnalyzer(meta, analyze.Options{})
	if err != nil {
		return nil, err
	}
	p := r.newProgress("recording", "events", r.quiet)
	defer p.done()
	opt := recorder.Options{Progress: func(n uint64, at evtchn.Time) { p.at(n, part(int64(at), int64(r.until))) }}
	if r.out == "-" {
		return r.toText(ctx, meta, an, opt)
	}
	w, err := createStore(r.out, r.meta, r.force)
	if err != nil {
		return nil, err
	}
	sinks := []evtchn.Sink{&storeSink{w, r.out}, an}
	if r.watch != nil {
		sinks = append(sinks, r.watch)
	}
	res, runErr := recorder.Run(ctx, r.src, opt, sinks...)
	if runErr != nil && !interrupted(runErr) {
		w.Abort()
		return nil, runErr
	}
	report := an.Finish()
	if runErr == nil {
		err = putFindings(w, report)
	}
	if err == nil {
		err = closeStore(w, r.out, runErr == nil)
	} else {
		w.Abort()
	}
	if err != nil {
		return nil, unwritable(r.out, err)
	}
	return r.summary(res, report, runErr == nil), runErr
}

// toText records to stdout.
func (r *recording) toText(ctx context.Context, meta evtchn.Meta, an *analyze.Analyzer, opt recorder.Options) (*recordSummary, error) {
	w := text.NewWriter(r.app.out, meta)
	res, err := recorder.Run(ctx, r.src, opt, sinkFunc(func(ev *evtchn.Event) error { return onStdout(w.Add(ev)) }), an)
	if interrupted(err) {
		// What there is goes out. Without an end line it counts as cut, which is what it is.
		if ferr := w.Flush(); ferr != nil {
			return nil, onStdout(ferr)
		}
		return nil, &failure{codeInterrupted, err, "the text has no end: evtrace import --salvage makes a trace file of what was written"}
	}
	if err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, onStdout(err)
	}
	r.out = "stdout"
	return r.summary(res, an.Finish(), true), nil
}

func (r *recording) summary(res recorder.Result, report *analyze.Report, complete bool) *recordSummary {
	s := &recordSummary{File: r.out, Events: res.Events, VCPUs: r.meta.VCPUs, Duration: int64(res.Last - res.First), Unit: r.meta.Unit,
		Complete: complete, Gaps: res.Gaps}
	if complete {
		s.Verdict = report.Verdict
	}
	s.measure()
	return s
}

// measure looks up the size of the file.
func (s *recordSummary) measure() {
	if st, err := os.Stat(s.File); err == nil && st.Mode().IsRegular() {
		s.FileBytes = st.Size()
		if s.Events > 0 {
			s.BytesPerEvent = float64(st.Size()) / float64(s.Events)
		}
	}
}

// findingsVersion tells the findings in a trace file from those of other versions of the analysis.
const findingsVersion = "evtrace " + version

// putFindings keeps a report in the trace file, for info.
func putFindings(w *store.Writer, report *analyze.Report) error {
	data, err := json.Marshal(report)
	if err != nil {
		return err
	}
	return w.PutFindings(findingsVersion, data)
}

// sinkFunc is a function that is a sink.
type sinkFunc func(*evtchn.Event) error

// Add calls the function.
func (f sinkFunc) Add(ev *evtchn.Event) error { return f(ev) }

// findScenario finds a built-in scenario, or reads a file.
func (a *app) findScenario(name string) (*system.Scenario, error) {
	sc, err := system.Builtin(name)
	if err == nil {
		return sc, nil
	}
	st, serr := os.Stat(name)
	switch {
	case serr == nil && st.IsDir():
		return nil, unreadable(fmt.Errorf("%s: it is a directory, want a scenario", name))
	case serr != nil && !strings.ContainsAny(name, "/.\\"):
		return nil, err // no such name, with the nearest one
	}
	return readScenario(name)
}

func readScenario(name string) (*system.Scenario, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, unreadable(err)
	}
	return system.Parse(name, data)
}
