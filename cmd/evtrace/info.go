package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/replay/explore"
	"github.com/evtrace/evtrace/store"
)

// infoReport is what info says of a trace, in text and in JSON.
type infoReport struct {
	Path          string          `json:"path"`
	Form          string          `json:"form"` // evt, text or ftrace
	Complete      bool            `json:"complete"`
	Closed        bool            `json:"closed"` // false: the recording was killed, and this is what it had committed
	Events        uint64          `json:"events"`
	FileBytes     int64           `json:"file_bytes"`
	BytesPerEvent float64         `json:"bytes_per_event"`
	MinTime       int64           `json:"min_time"` // on the trace's own clock, in its own units
	MaxTime       int64           `json:"max_time"`
	Duration      int64           `json:"duration"`
	Store         *store.Info     `json:"store,omitempty"`    // of a trace file
	Verdict       analyze.Verdict `json:"verdict,omitempty"`  // as found when the file was recorded
	Scenario      string          `json:"scenario,omitempty"` // its name, where its text is left out of the meta
	Read          *readingReport  `json:"read,omitempty"`     // of a capture: what of it was read
	Meta          evtchn.Meta     `json:"meta"`
}

func newInfo(a *app) *cobra.Command {
	var asJSON, all bool
	c := &cobra.Command{
		Use:     "info TRACE",
		GroupID: groupJudge,
		Short:   "say what a trace is, without judging it",
		Long: `Info says where a trace comes from, how many events it has, what period it covers, and what it lacks. For a trace file it reads the
file's summary only, however large the file is; text and captures it has to read to the end. --json leaves out the text of the
scenario, unless --all asks for it.`,
		Example: `  evtrace info a.evt
  evtrace info --json a.evt | jq .events`,
		Args: exactly(1, "one: the trace"),
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := a.openTrace(cmd.Context(), args[0], inputOptions{})
			if err != nil {
				return err
			}
			defer t.Close()
			r, err := a.info(cmd.Context(), t)
			if err != nil {
				return err
			}
			if !all {
				r.Scenario = scenarioName(r.Meta.Scenario)
				r.Meta.Scenario = ""
				if r.Store != nil {
					r.Store.Meta.Scenario = ""
				}
			}
			if asJSON {
				return a.printJSON(r)
			}
			return onStdout(r.writeText(a.out))
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	c.Flags().BoolVar(&all, "all", false, "with --json: the text of the scenario, too")
	return c
}

func (a *app) info(ctx context.Context, t *trace) (*infoReport, error) {
	r := &infoReport{Path: t.name, Form: t.form, FileBytes: t.size, Meta: t.Meta(), Complete: t.Meta().Complete, Closed: true}
	if t.file != nil {
		in := t.file.Info()
		in.Path = t.name
		r.Events, r.MinTime, r.MaxTime, r.Duration = in.Events, int64(in.MinTime), int64(in.MaxTime), int64(in.Duration)
		if t.form == formStore {
			r.Store, r.Closed, r.FileBytes = &in, in.Closed, in.FileBytes
			if data, ok := t.file.Findings(findingsVersion); ok {
				var found analyze.Report
				if json.Unmarshal(data, &found) == nil {
					r.Verdict = found.Verdict
				}
			}
		}
	} else if err := r.scan(ctx, a, t); err != nil {
		return nil, err
	}
	r.Read = reading(&r.Meta)
	if r.Events > 0 {
		r.BytesPerEvent = float64(r.FileBytes) / float64(r.Events)
	}
	return r, nil
}

// scan reads a text to its end.
func (r *infoReport) scan(ctx context.Context, a *app, t *trace) error {
	p := a.newProgress("reading", "events", false)
	defer p.done()
	src := &watched{ctx: ctx, src: t.Events(1), p: p}
	var ev evtchn.Event
	for {
		err := src.Next(&ev)
		if err == io.EOF {
			break
		} else if err != nil {
			return err
		}
		if r.Events == 0 {
			r.MinTime, r.MaxTime = int64(ev.Time), int64(ev.Time)
		}
		r.Events++
		r.MinTime, r.MaxTime = min(r.MinTime, int64(ev.Time)), max(r.MaxTime, int64(ev.Time))
	}
	r.Duration = r.MaxTime - r.MinTime
	return nil
}

// span is how long the trace is, in ns where that is known.
func (r *infoReport) span() string {
	if m := &r.Meta; m.Unit == "ticks" && m.NsPerTick > 0 && m.NsPerTick != 1 {
		return durationText(int64(float64(r.Duration)*m.NsPerTick), "ns")
	}
	return durationText(r.Duration, r.Meta.Unit)
}

func (r *infoReport) writeText(w io.Writer) error {
	m := &r.Meta
	var b strings.Builder
	row := func(key, format string, args ...any) {
		lines := wrap(strings.Repeat(" ", 13), fmt.Sprintf(format, args...), tableWidth)
		fmt.Fprintf(&b, "%-13s%s", key, lines[13:])
	}
	forms := map[string]string{formStore: "trace file", formText: "text form", formFtrace: "ftrace capture", formDump: "console dumps", formXentrace: "xentrace binary"}
	row("trace", "%s (%s, %s)", r.Path, forms[r.Form], bytesText(r.FileBytes))
	if r.Form == formFtrace || r.Form == formXentrace {
		row("events", "%s", group(r.Events))
	} else {
		row("events", "%s, %.2f bytes each", group(r.Events), r.BytesPerEvent)
	}
	row("complete", "%s", r.completeness())
	row("time", "%s to %s of clock %s: %s", r.moment(r.MinTime), r.moment(r.MaxTime), m.Clock, r.span())
	row("system", "%s, ABI %s, event words of %d bits", plural(uint64(m.VCPUs), "vcpu"), m.ABI, m.WordBits)
	switch m.Source {
	case evtchn.SourceSim:
		name := ""
		if n := r.Scenario + scenarioName(m.Scenario); n != "" {
			name = "scenario " + n + ", "
		}
		if m.Schedule == "" {
			row("source", "simulated: %sseed %d, policy %s", name, m.Seed, m.Policy)
		} else {
			row("source", "explored: %spolicy %s", name, m.Policy)
			row("schedule", "%s, an event every %d ns: %s", plural(uint64(len(strings.Fields(m.Schedule))), "choice"), explore.StepTime, m.Schedule)
		}
		if m.Tool != "" {
			row("written by", "%s", m.Tool)
		}
	default:
		by := ""
		if m.Tool != "" {
			by = " by " + m.Tool
		}
		row("source", "captured%s on %s: %s", by, plural(uint64(m.VCPUs), "vcpu"), m.Origin)
	}
	if s := r.Store; s != nil {
		row("file", "layout %d, %s, %s", s.Layout, plural(uint64(s.Chunks), "chunk"), plural(uint64(s.Keyframes), "keyframe"))
	}
	if r.Read != nil {
		for i, line := range r.Read.sentences() {
			row([]string{"read", ""}[min(i, 1)], "%s", line)
		}
	} else if len(m.Unknown) > 0 {
		row("not read", "%s", strings.Join(m.Unknown, ", "))
	}
	for _, n := range m.Notes {
		row("note", "%s", n)
	}
	if r.Verdict != "" {
		row("verdict", "%s, as found when the file was made", r.Verdict)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// completeness says whether all that happened is in the trace.
func (r *infoReport) completeness() string {
	m := &r.Meta
	gaps := ""
	if m.Gaps > 0 || m.Lost > 0 {
		gaps = fmt.Sprintf("%s, with %s lost", plural(m.Gaps, "gap"), plural(m.Lost, "record"))
	}
	switch {
	case !r.Closed:
		return "no: the recording was killed, and this is what it had written by then"
	case !r.Complete && gaps != "":
		return "no: " + gaps
	case !r.Complete && m.Source == evtchn.SourceSim:
		return "no: the recording was interrupted, or its text was cut"
	case !r.Complete:
		return "no: see the notes"
	case gaps != "":
		return "to its end, but for " + gaps
	case m.Source != evtchn.SourceSim && len(m.Notes) > 0:
		return "to its end, as far as a capture tells: see the notes"
	}
	return "yes"
}

// moment writes a time of the trace, in ns where that is known.
func (r *infoReport) moment(t int64) string {
	if m := &r.Meta; m.Unit == "ticks" && m.NsPerTick > 0 && m.NsPerTick != 1 {
		return momentText(int64(float64(t)*m.NsPerTick), "ns")
	}
	return momentText(t, r.Meta.Unit)
}

// scenarioName finds the name in the text of a scenario.
func scenarioName(text string) string {
	for line := range strings.Lines(text) {
		if n, ok := strings.CutPrefix(line, "name:"); ok {
			return strings.TrimSpace(n)
		}
	}
	return ""
}
