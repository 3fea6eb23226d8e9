package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/spf13/cobra"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/text"
	"github.com/evtrace/evtrace/replay"
	"github.com/evtrace/evtrace/store"
	"github.com/evtrace/evtrace/tui"
)

// tuiFlags are the flags of the verb tui.
type tuiFlags struct {
	at     string
	policy string
	plain  bool
	ascii  bool
	in     inputOptions
}

func newTUI(a *app) *cobra.Command {
	var f tuiFlags
	c := &cobra.Command{
		Use:     "tui TRACE [--at SEQ|TIME|FINDING]",
		GroupID: groupJudge,
		Short:   "step through a trace in the terminal, from where an event was lost",
		Long: `Tui opens a trace at the step where the first lost event went unnoticed, and shows the events around it, the bits of the machine, and
why it came to that. From there one steps forwards and backwards; ? lists the keys. --policy, or the key p, runs the same inputs under
another policy and shows both side by side.

--plain prints that step as text instead, for scripts and screen readers: the examples below are to be used without it, too.

TRACE is a trace file, a trace in text form, or a capture, which is imported for the occasion; - is stdin. The trace is never changed:
marks are kept beside it, in TRACE.marks.json.`,
		Example: `  evtrace tui a.evt --plain
  evtrace tui a.evt --at 12369 --plain
  evtrace tui a.evt --at 114.44ms --plain
  evtrace tui a.evt --at lost:65#1 --plain
  evtrace tui trace.txt.zst --plain`,
		Args: exactly(1, "one: the trace"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !f.plain && !(isTerminal(a.out) && (args[0] == "-" || isInputTerminal(a.in))) {
				return noTerminal("tui")
			}
			return a.tui(cmd, args[0], &f)
		},
	}
	fl := c.Flags()
	fl.StringVar(&f.at, "at", "", "begin at an event (`WHERE`: 1234), a time (1.2ms), or a finding (lost:65#1, or finding for the first)")
	fl.StringVar(&f.policy, "policy", "", "`POLICY` to show beside the recorded one")
	_ = c.RegisterFlagCompletionFunc("policy", completePolicies)
	fl.BoolVar(&f.plain, "plain", false, "print the step as text and exit")
	fl.BoolVar(&f.ascii, "ascii", !isUTF8(), "draw with ASCII characters alone (default: unless the locale is of UTF-8)")
	fl.StringVar(&f.in.context, "context", "", "`DIR` of the files that go with a capture (default: beside it)")
	fl.Float64Var(&f.in.tscHz, "tsc-hz", 0, "frequency of the TSC in `HZ`, for a capture with the clock x86-tsc")
	c.Flag("ascii").DefValue = "false"
	return c
}

// noTerminal is the error for a verb that needs one.
func noTerminal(verb string) error {
	return usageErrorf(`"evtrace tui TRACE --plain" prints the step as text; "evtrace analyze" tells the findings`, "%s: this is not a terminal", verb)
}

// isInputTerminal reports whether keys can come from a reader.
func isInputTerminal(r io.Reader) bool {
	f, ok := r.(*os.File)
	return ok && isTerminal(f)
}

// isUTF8 reports whether the locale says that the terminal shows more than ASCII.
func isUTF8() bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := os.Getenv(name); v != "" {
			v = strings.ToLower(v)
			return strings.Contains(v, "utf-8") || strings.Contains(v, "utf8")
		}
	}
	return false
}

// colors says what the terminal shows.
func colors() tui.Colors {
	switch {
	case os.Getenv("TERM") == "dumb":
		return tui.ColorsPlain
	case os.Getenv("NO_COLOR") != "":
		return tui.ColorsNone
	}
	return tui.ColorsBasic
}

// judgeFirst is the size of a trace, in events, up to which it is judged before it is shown.
const judgeFirst = 300_000

func (a *app) tui(cmd *cobra.Command, name string, f *tuiFlags) error {
	ctx := cmd.Context()
	t, err := a.openTrace(ctx, name, f.in)
	if err != nil {
		return err
	}
	defer t.Close()
	if err := t.keep(ctx, a); err != nil {
		return t.named(err)
	}
	opt, err := a.tuiOptions(ctx, t, f)
	if err != nil {
		return err
	}
	if opt.At, opt.Finding, err = findPlace(t, f.at, opt.Report); err != nil {
		return err
	}
	shown := tuiTrace{t.file}
	if f.plain {
		return onStdout(t.named(tui.Plain(ctx, a.out, shown, opt)))
	}
	m, err := tui.New(shown, opt)
	if err != nil {
		return t.named(err)
	}
	_, err = a.interact(ctx, m, name == "-")
	return err
}

// interact runs a program on the terminal until it ends. tty: keys come from the terminal though stdin is something else.
func (a *app) interact(ctx context.Context, m tea.Model, tty bool) (tea.Model, error) {
	opt := []tea.ProgramOption{tea.WithAltScreen(), tea.WithMouseCellMotion(), tea.WithContext(ctx), tea.WithOutput(a.out)}
	if tty {
		opt = append(opt, tea.WithInputTTY())
	} else {
		opt = append(opt, tea.WithInput(a.in))
	}
	last, err := tea.NewProgram(m, opt...).Run()
	if c, ok := last.(interface{ Close() }); ok {
		c.Close()
	}
	if errors.Is(err, tea.ErrProgramKilled) && ctx.Err() != nil {
		err = ctx.Err()
	}
	return last, err
}

// recordLive shows a recording as it runs, and then steps through it.
func (a *app) recordLive(ctx context.Context, rec *recording) (err error) {
	var t *trace
	var begun atomic.Bool
	done := make(chan struct{})
	defer func() {
		if begun.Load() {
			<-done // a recording that was told to end closes its file
		}
		if t != nil {
			t.Close()
		}
	}()
	styles := tui.DefaultStyles(colors())
	live, err := tui.NewLive(ctx, tui.LiveOptions{
		Name: rec.out, Meta: rec.meta, Until: rec.until, ASCII: !isUTF8(), Styles: styles,
		Record: func(ctx context.Context, sink evtchn.Sink) (tui.Trace, tui.Options, error) {
			begun.Store(true)
			defer close(done)
			rec.watch = sink
			if _, err := rec.run(ctx); err != nil && !interrupted(err) {
				return nil, tui.Options{}, err
			}
			var err error
			if t, err = a.openTrace(context.WithoutCancel(ctx), rec.out, inputOptions{quiet: true}); err != nil {
				return nil, tui.Options{}, err
			}
			opt, err := a.tuiOptions(context.WithoutCancel(ctx), t, &tuiFlags{ascii: !isUTF8()})
			return tuiTrace{t.file}, opt, err
		},
	})
	if err != nil {
		return err
	}
	defer live.Close()
	_, err = a.interact(ctx, live, false)
	return errors.Join(err, live.Err())
}

// tuiOptions are what the program can do with a trace.
func (a *app) tuiOptions(ctx context.Context, t *trace, f *tuiFlags) (_ tui.Options, err error) {
	opt := tui.Options{Name: t.name, ASCII: f.ascii, Styles: tui.DefaultStyles(colors())}
	if data, ok := t.file.Findings(findingsVersion); ok {
		var r analyze.Report
		if json.Unmarshal(data, &r) == nil {
			opt.Report = &r
		}
	}
	if opt.Report == nil && (f.plain || t.file.Len() <= judgeFirst || strings.HasPrefix(f.at, "finding") || strings.Contains(f.at, "#")) {
		if opt.Report, err = a.analyze(ctx, t, analyze.Options{}); err != nil {
			return opt, err
		}
	}
	opt.Analyze = func(ctx context.Context, progress func(uint64)) (*analyze.Report, error) {
		src := &counted{ctx: ctx, src: t.Events(1), progress: progress}
		return analyze.Run(t.Meta(), src, analyze.Options{})
	}
	if t.Meta().Source == evtchn.SourceSim {
		opt.Rerun = t.rerun
		if t.file.Len() <= butForUpTo {
			opt.ButFor = func(ctx context.Context, f *analyze.Finding, progress func(uint64)) (*analyze.Answer, error) {
				return analyze.ButFor(ctx, t, f, analyze.ButForOptions{Progress: progress})
			}
		}
		meta := t.Meta()
		var bound analyze.ReturnOptions
		if bound, cheap := bound.Cheap(&meta); cheap {
			opt.NoReturn = func(ctx context.Context, f *analyze.Finding) (*analyze.NoReturn, error) {
				return analyze.FindNoReturn(ctx, t, f, bound)
			}
		}
	}
	if f.policy != "" {
		switch _, err := evtchn.ParsePolicy(f.policy); {
		case err != nil:
			return opt, err
		case opt.Rerun == nil:
			return opt, about(t.name, replay.ErrObserved)
		}
		opt.Policy = f.policy
	}
	opt.Save = func(file string, r tui.Range) error { return a.saveRange(t, file, r) }
	if st, err := os.Stat(t.name); t.name != "stdin" && err == nil && st.Mode().IsRegular() {
		book := &bookmarks{path: t.name + marksSuffix, of: t}
		if opt.Marks, err = book.load(); err != nil {
			opt.Notice = err.Error()
		} else {
			opt.SaveMarks = book.save
		}
	}
	return opt, nil
}

// counted is a source that tells how far it is, and ends when it is told to.
type counted struct {
	ctx      context.Context
	src      evtchn.Source
	progress func(uint64)
	n        uint64
}

func (c *counted) Next(ev *evtchn.Event) error {
	if c.n&0x3fff == 0 {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		c.progress(c.n)
	}
	c.n++
	return c.src.Next(ev)
}

// keep turns a trace that was read from text into a temporary file, so that any part of it can be read at once.
func (t *trace) keep(ctx context.Context, a *app) error {
	if t.file != nil {
		return nil
	}
	dir, err := os.MkdirTemp("", "evtrace-")
	if err != nil {
		return &failure{codeInternal, err, "TMPDIR says where temporary files go"}
	}
	t.temp = append(t.temp, dir)
	path := filepath.Join(dir, "text.evt")
	if _, err := a.fill(ctx, t, t.Events(1), t.meta, func() evtchn.Meta { return t.meta }, path, false); err != nil {
		return err
	}
	t.file, err = store.Open(path)
	return err
}

// tuiTrace gives a trace file the shape that package tui wants.
type tuiTrace struct{ *store.File }

// PortRanges lists the parts of the file that may have events of a port.
func (t tuiTrace) PortRanges(p evtchn.Port) []tui.Range {
	var list []tui.Range
	for _, c := range t.PortChunks(p) {
		list = append(list, tui.Range{First: c.First, Last: c.Last})
	}
	return list
}

// findPlace turns the value of --at into an event, 0 for none, or into the name of a finding.
func findPlace(t *trace, at string, r *analyze.Report) (_ evtchn.Seq, finding string, _ error) {
	n := t.file.Len()
	if at == "" || at == "finding" {
		if at != "" && (r == nil || len(r.Findings) == 0) {
			return 0, "", usageErrorf("", "--at finding: %s has none", t.name)
		}
		return 0, "", nil
	}
	if seq, err := strconv.ParseUint(strings.TrimPrefix(at, "#"), 10, 64); err == nil {
		if seq < 1 || seq > n {
			return 0, "", usageErrorf("", "--at %s: %s has the events 1 to %d", at, t.name, n)
		}
		return evtchn.Seq(seq), "", nil
	}
	if strings.Contains(at, "#") && r != nil {
		var ids []string
		for i := range r.Findings {
			f := &r.Findings[i]
			if f.ID == at {
				return 0, at, nil
			}
			ids = append(ids, f.ID)
		}
		return 0, "", usageErrorf("", "--at %s: no finding is called so%s", at, evtchn.Suggest(at, ids))
	}
	d, err := time.ParseDuration(at)
	if err != nil || d < 0 {
		return 0, "", usageErrorf("", "--at: got %q, want the number of an event, a time such as 1.2ms, or a finding such as lost:65#1", at)
	}
	when, err := inUnits(d, t)
	if err != nil {
		return 0, "", fmt.Errorf("--at: %w", err)
	}
	seq, err := t.file.SeqAt(when)
	if err != nil {
		return 0, "", t.named(err)
	}
	return max(min(seq, evtchn.Seq(n)), 1), "", nil
}

// rerun runs the trace under another policy into a temporary file.
func (t *trace) rerun(ctx context.Context, p evtchn.Policy, progress func(uint64)) (_ *tui.Rerun, err error) {
	dir, err := os.MkdirTemp("", "evtrace-")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(dir)
		}
	}()
	meta := t.Meta()
	meta.Policy, meta.Complete, meta.Events = p.String(), true, 0
	path := filepath.Join(dir, "rerun.evt")
	w, err := store.Create(path, meta, store.Options{})
	if err != nil {
		return nil, err
	}
	an, err := analyze.NewAnalyzer(meta, analyze.Options{})
	if err != nil {
		w.Abort()
		return nil, err
	}
	opt := replay.Options{Progress: func(n uint64, _ evtchn.Time) { progress(n) }}
	out, err := replay.Run(ctx, t, p, sinkFunc(func(ev *evtchn.Event) error { return errors.Join(an.Add(ev), w.Add(ev)) }), opt)
	if err != nil {
		w.Abort()
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	f, err := store.Open(path)
	if err != nil {
		return nil, err
	}
	r := an.Finish()
	return &tui.Rerun{
		Policy: p.String(), Trace: tuiTrace{f}, Report: r, Departure: out.Departure,
		Close: func() {
			f.Close()
			os.RemoveAll(dir)
		},
	}, nil
}

// saveRange writes some of a trace's events as text.
func (a *app) saveRange(t *trace, name string, r tui.Range) error {
	meta := t.Meta()
	meta.Events, meta.Complete = 0, false
	if _, err := os.Lstat(name); err == nil {
		return fmt.Errorf("%s: it exists, and is not replaced", name)
	}
	o, err := a.createText(name, false)
	if err != nil {
		return err
	}
	defer o.abort()
	src := t.Events(r.First)
	var b []byte
	var ev evtchn.Event
	for seq := r.First; seq <= r.Last; seq++ {
		if err := src.Next(&ev); err != nil {
			return err
		}
		b = append(text.AppendEvent(b[:0], &ev), '\n')
		if _, err := o.Write(b); err != nil {
			return o.fail(err)
		}
	}
	return o.commit()
}
