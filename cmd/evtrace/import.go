package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/recorder"
	"github.com/evtrace/evtrace/recorder/ftrace"
	"github.com/evtrace/evtrace/recorder/xentrace"
	"github.com/evtrace/evtrace/store"
)

func newImport(a *app) *cobra.Command {
	var (
		opt    inputOptions
		out    string
		format string
		force  bool
		json   bool
		domain uint16

		maps, mapFiles []string
	)
	c := &cobra.Command{
		Use:     "import FILE...|DIR|- [-o FILE]",
		GroupID: groupMake,
		Short:   "turn a capture or a trace in text form into a trace file",
		Long: `Import reads a capture of Linux' ftrace (tracefs' trace and trace_pipe, what trace-cmd report prints, or the trace.dat that
trace-cmd record writes), or a trace in text form, and writes a trace file. What it reads is known by its content; it may be compressed by gzip or zstd, and a capture may come with
its side files in a tar archive, as evtrace probes' script makes it.

A capture is best taken together with some small files that say which port is what (lsevtchn, /proc/interrupts, trace_clock, xl
dmesg): they are looked for beside the capture, or in the directory that --context names.

Several files are the parts of one capture, which are merged by time: tracefs' per_cpu/cpu0/trace, per_cpu/cpu1/trace and so on. Of a
directory the capture in it is taken, or those of its per_cpu.

A binary trace of xentrace says when the vcpus ran, and nothing about ports. On its own it becomes a trace without a verdict; --xentrace
puts it beside a capture of the same seconds, so that a delay can be told from a vcpu that had no CPU.

Dumps of Xen's console (xl debug-keys e and q) become readings of the ports and vcpus of one domain; evtrace doctor judges them as they
are, of all domains.

A capture whose probes have other names is read with --map: --map my_unmask=unmask:port=arg1 says that records my_unmask are what
evtrace calls unmask, and that the port is in their field arg1. The names of evtrace's own are in docs/capture.md.

A text that is cut or damaged is refused. --salvage keeps what comes before the first place that cannot be read, and marks the
trace incomplete.

-o - writes the text form to stdout. The exit code says whether the import worked, not what the trace shows.`,
		Example: `  evtrace import trace.txt.zst -o dom0.evt
  evtrace import trace.txt.zst --context . --tsc-hz 2596e6 -o dom0.evt --force
  evtrace import --salvage a.txt -o salvaged.evt
  evtrace import per_cpu/cpu*/trace -o dom0.evt
  evtrace import trace.txt.zst --map my_unmask=unmask:port=arg1 -o mapped.evt
  evtrace import a.txt -o - | head`,
		Args: atLeast(1, "one or more: the files to import"),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch format {
			case "auto":
			case formText, formFtrace, formTraceDat, formXentrace, formDump:
				opt.form = format
			default:
				return usageErrorf("", "--format: got %q, want auto, ftrace, trace.dat, xentrace, dump or text%s", format,
					evtchn.Suggest(format, []string{"auto", formFtrace, formTraceDat, formXentrace, formDump, formText}))
			}
			opt.domain, opt.domained = evtchn.DomID(domain), cmd.Flags().Changed("domain")
			if err := opt.addMaps(maps, mapFiles); err != nil {
				return err
			}
			if out == "" {
				out = importName(args[0])
			}
			switch {
			case out == "-" && json:
				return usageErrorf("-o FILE --json puts the trace in a file", "import: stdout cannot take both the trace and the summary")
			case out == "-" && opt.salvage:
				return usageErrorf("-o FILE puts it in a trace file, which evtrace export turns into text", "import: --salvage cannot write to stdout")
			}
			sum, err := a.importTo(cmd.Context(), args, out, force, opt)
			switch {
			case err != nil:
				return err
			case json:
				return a.printJSON(sum)
			case out != "-" && !opt.quiet:
				a.sayImported(sum)
			}
			return nil
		},
	}
	fl := c.Flags()
	fl.StringVarP(&out, "out", "o", "", "trace `FILE` to write, or - for text on stdout (default: the input's name with .evt)")
	fl.StringVar(&opt.context, "context", "", "`DIR` of the files that go with a capture (default: beside it)")
	fl.Float64Var(&opt.tscHz, "tsc-hz", 0, "frequency of the TSC in `HZ`, such as 2596e6, for the clock x86-tsc (default: what xl dmesg or xl info says)")
	fl.StringVar(&format, "format", "auto", "auto, ftrace (text or trace.dat), trace.dat, xentrace, dump or text")
	fl.StringVar(&opt.xentrace, "xentrace", "", "binary `FILE` of xentrace that was taken beside a capture with the clock x86-tsc: its run states are put among the events")
	fl.Uint16Var(&domain, "domain", 0, "`NUMBER` of the domain whose vcpus xentrace is to tell of, or whose dumps are to be taken (default: 0, or the lowest that has dumps)")
	fl.StringArrayVar(&maps, "map", nil, "`EVENT=KIND:FIELD=NAME,...`: what an event of your own stands for, and its fields (repeatable)")
	fl.StringArrayVar(&mapFiles, "map-file", nil, "`FILE` of such maps, one a line; # begins a comment")
	fl.BoolVar(&opt.strict, "strict", false, "refuse broken lines, and comments in text, instead of passing over them")
	fl.BoolVar(&opt.salvage, "salvage", false, "keep what can be read of a trace that is cut or damaged")
	fl.BoolVar(&force, "force", false, "replace the file if there is one")
	fl.BoolVarP(&opt.quiet, "quiet", "q", false, "no summary and no progress")
	fl.BoolVar(&json, "json", false, "summary as JSON on stdout")
	return c
}

// importName is the name of an import's output: trace.evt for dir/trace.txt.zst.
func importName(in string) string {
	if in == "-" {
		return "stdin.evt"
	}
	base := filepath.Base(in)
	if abs, err := filepath.Abs(in); err == nil {
		base = filepath.Base(abs)
	}
	for _, ext := range []string{".zst", ".gz", ".tgz", ".tar", ".txt", ".text", ".trace", ".dat", ".bin"} {
		base = strings.TrimSuffix(base, ext)
	}
	return base + ".evt"
}

// importTo imports a file, or several that are one capture, into a trace file, or as text to stdout.
func (a *app) importTo(ctx context.Context, ins []string, out string, force bool, opt inputOptions) (*recordSummary, error) {
	if out != "-" {
		for _, in := range ins {
			if err := otherFile(in, out); err != nil {
				return nil, err
			}
		}
		if err := vacant(out, force); err != nil {
			return nil, err
		}
	}
	t, err := a.findParts(ins, opt)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	t.judged = true
	switch {
	case t.form == formStore:
		return nil, notForImport(t)
	case out == "-":
		if err := t.load(ctx, a); err != nil {
			return nil, t.named(err)
		}
		_, err := a.exportText(ctx, t.name, t, "-", false)
		return nil, err
	case t.form == formText:
		return a.importText(ctx, t, out, force)
	}
	sum, err := a.importForeign(ctx, t, out, force)
	return sum, t.named(err)
}

// importForeign turns what another program wrote into a trace file.
func (a *app) importForeign(ctx context.Context, t *trace, out string, force bool) (*recordSummary, error) {
	switch t.form {
	case formXentrace:
		return a.importXentrace(ctx, t, out, force)
	case formDump:
		return a.importDumps(ctx, t, out, force)
	}
	return a.importCapture(ctx, t, out, force)
}

// notForImport says what is wrong with an input that is neither text nor a capture.
func notForImport(t *trace) error {
	f, err := store.Open(t.path)
	if err != nil {
		return t.named(t.nothingElse(err))
	}
	f.Close()
	return &failure{codeUsage, fmt.Errorf("%s: it is a trace file already", t.name), "evtrace analyze and the other verbs read it as it is"}
}

// importText turns a text into a trace file.
func (a *app) importText(ctx context.Context, t *trace, out string, force bool) (*recordSummary, error) {
	if err := t.load(ctx, a); err != nil {
		return nil, t.named(err)
	}
	return a.fill(ctx, t, t.Events(1), t.meta, func() evtchn.Meta { return t.meta }, out, force)
}

// importCapture turns a capture into a trace file.
func (a *app) importCapture(ctx context.Context, t *trace, out string, force bool) (*recordSummary, error) {
	p := a.newProgress("importing", "bytes", t.opt.quiet)
	defer p.done()
	opt := ftrace.Options{Strict: t.opt.strict, TSCHz: t.opt.tscHz, Context: t.opt.context, Maps: t.opt.maps,
		Progress: func(n int64) { p.at(uint64(n), part(n, t.size)) }}
	im, err := ftrace.OpenFiles(t.files(), opt)
	if err != nil {
		return nil, mapHint(err)
	}
	defer im.Close()
	if m := im.Meta(); t.opt.tscHz != 0 && (m.Clock != xentrace.ClockTSC || m.Unit != "ticks") {
		return nil, usageErrorf("leave it out: only times of the clock x86-tsc need it", "--tsc-hz: the times of %s are %s of the clock %s, not ticks of the TSC", t.name, m.Unit, m.Clock)
	}
	origin := func(m evtchn.Meta) evtchn.Meta {
		if t.path != t.name && len(t.parts) == 0 {
			m.Origin = t.name
		}
		if t.cut != nil {
			m.Complete = false
			m.Notes = append(m.Notes[:len(m.Notes):len(m.Notes)], fmt.Sprintf("salvaged: %v", t.cut))
		}
		return m
	}
	src, final := evtchn.Source(im), func() evtchn.Meta { return origin(im.FinalMeta()) }
	if t.opt.xentrace != "" {
		b, err := openCompanion(t, im.Meta())
		if err != nil {
			return nil, err
		}
		defer b.Close()
		capture := final
		src, final = b.merge(im), func() evtchn.Meta { return b.meta(capture()) }
	}
	return a.fill(ctx, t, src, origin(im.Meta()), final, out, force)
}

// fill moves a source to a new trace file, of which nothing remains after an error. The last word on the meta is final's.
func (a *app) fill(ctx context.Context, t *trace, src evtchn.Source, meta evtchn.Meta, final func() evtchn.Meta, out string, force bool) (*recordSummary, error) {
	an, err := analyze.NewAnalyzer(meta, analyze.Options{})
	if err != nil {
		return nil, unreadable(about(t.name, err))
	}
	var judge []evtchn.Sink
	if t.judged {
		judge = []evtchn.Sink{an}
	}
	w, err := createStore(out, meta, force)
	if err != nil {
		return nil, err
	}
	res, err := recorder.Run(ctx, src, recorder.Options{}, append(judge, &storeSink{w, out})...)
	if errors.Is(err, recorder.ErrOrder) {
		err = about(t.name, err)
	}
	err = t.named(err)
	if err != nil && (!t.opt.salvage || codeOf(err) != codeUnreadable || res.Events == 0) {
		w.Abort()
		return nil, err
	}
	meta = final()
	if err != nil {
		meta.Complete = false
		meta.Notes = append(meta.Notes[:len(meta.Notes):len(meta.Notes)], fmt.Sprintf("salvaged: what follows event %d could not be read: %v", res.Events, err))
	}
	if t.form == formFtrace && understood(&meta) == 0 {
		w.Abort()
		return nil, &failure{codeUnreadable, fmt.Errorf("%s: it is an ftrace capture, and no record in it is about event channels", t.name),
			"it must be taken with probes on the kernel's event channel code, as in fixtures/2l-lost-bug/kprobes-accepted.txt"}
	}
	w.SetMeta(meta)
	var verdict analyze.Verdict
	if t.judged {
		an.SetMeta(meta)
		report := an.Finish()
		verdict = report.Verdict
		if err := putFindings(w, report); err != nil {
			w.Abort()
			return nil, unwritable(out, err)
		}
	}
	if err := closeStore(w, out, meta.Complete); err != nil {
		return nil, err
	}
	s := &recordSummary{File: out, Seed: meta.Seed, Policy: meta.Policy, Events: res.Events, VCPUs: meta.VCPUs, Duration: int64(res.Last - res.First),
		Unit: meta.Unit, Complete: meta.Complete, Gaps: res.Gaps, Verdict: verdict, Read: reading(&meta), Notes: meta.Notes}
	if meta.Unit == "ticks" && meta.NsPerTick > 0 && meta.NsPerTick != 1 {
		s.Duration, s.Unit = int64(float64(s.Duration)*meta.NsPerTick), "ns"
	}
	s.measure()
	return s, nil
}

// understood counts the records of a capture that have a meaning.
func understood(m *evtchn.Meta) uint64 {
	var n uint64
	for name, c := range m.Counts {
		if !slices.Contains(m.Unknown, name) {
			n += c
		}
	}
	return n
}

func (a *app) sayImported(s *recordSummary) {
	a.say("%s in %s, on %s: %s (%s, %.2f bytes an event)", plural(s.Events, "event"), durationText(s.Duration, s.Unit),
		plural(uint64(s.VCPUs), "vcpu"), s.File, bytesText(s.FileBytes), s.BytesPerEvent)
	if s.Read != nil {
		for _, line := range s.Read.sentences() {
			a.say("read: %s", line)
		}
	}
	for _, n := range s.Notes {
		a.say("note: %s", n)
	}
	if !s.Complete {
		a.say("note: the trace is not complete")
	}
	a.say("verdict: %s", s.Verdict)
	if s.Verdict != analyze.VerdictClean {
		a.say(`"evtrace analyze %s" says why`, s.File)
	}
}
