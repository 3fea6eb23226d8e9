package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/evtchn"
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
	Store         *store.Info     `json:"store,omitempty"`   // of a trace file
	Verdict       analyze.Verdict `json:"verdict,omitempty"` // as found when the file was recorded
	Meta          evtchn.Meta     `json:"meta"`
}

func newInfo(a *app) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "info TRACE",
		GroupID: groupJudge,
		Short:   "say what a trace is, without judging it",
		Long: `Info says where a trace comes from, how many events it has, what period it covers, and what it lacks. For a trace file it reads the
file's summary only, however large the file is; text and captures it has to read to the end.`,
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
			if asJSON {
				return a.printJSON(r)
			}
			return onStdout(r.writeText(a.out))
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "as JSON")
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
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	row := func(key, format string, args ...any) {
		fmt.Fprintf(tw, "%s\t%s\n", key, fmt.Sprintf(format, args...))
	}
	forms := map[string]string{formStore: "trace file", formText: "text form", formFtrace: "ftrace capture"}
	row("trace", "%s (%s, %s)", r.Path, forms[r.Form], bytesText(r.FileBytes))
	row("events", "%s, %.2f bytes each", group(r.Events), r.BytesPerEvent)
	switch {
	case !r.Closed:
		row("complete", "no: the recording was killed, and this is what it had written by then")
	case !r.Complete:
		row("complete", "no: the recording was interrupted, or the capture is cut")
	default:
		row("complete", "yes")
	}
	row("time", "%d to %d %s of clock %s: %s", r.MinTime, r.MaxTime, m.Unit, m.Clock, r.span())
	row("system", "%d vcpus, ABI %s, event words of %d bits", m.VCPUs, m.ABI, m.WordBits)
	switch m.Source {
	case evtchn.SourceSim:
		name := ""
		for line := range strings.Lines(m.Scenario) {
			if n, ok := strings.CutPrefix(line, "name:"); ok {
				name = "scenario " + strings.TrimSpace(n) + ", "
				break
			}
		}
		row("source", "simulated: %sseed %d, policy %s", name, m.Seed, m.Policy)
	default:
		row("source", "observed: %s", m.Origin)
	}
	if m.Tool != "" {
		row("written by", "%s", m.Tool)
	}
	if m.Gaps > 0 || m.Lost > 0 {
		row("gaps", "%d, %s lost", m.Gaps, plural(m.Lost, "record"))
	}
	if s := r.Store; s != nil {
		row("file", "layout %d, %s, %s", s.Layout, plural(uint64(s.Chunks), "chunk"), plural(uint64(s.Keyframes), "keyframe"))
	}
	if len(m.Unknown) > 0 {
		row("not understood", "%s", strings.Join(m.Unknown, ", "))
	}
	for _, n := range m.Notes {
		row("note", "%s", n)
	}
	if r.Verdict != "" {
		row("verdict", "%s, as found when it was recorded", r.Verdict)
	}
	return tw.Flush()
}
