package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/text"
	"github.com/evtrace/evtrace/recorder"
	"github.com/evtrace/evtrace/store"
)

// checkReport is what check says of a trace, in text and in JSON.
type checkReport struct {
	Path      string         `json:"path"`
	Form      string         `json:"form"`
	OK        bool           `json:"ok"`
	Complete  bool           `json:"complete"`
	Events    uint64         `json:"events"`    // that the file claims; of a text, those that were read
	Decoded   uint64         `json:"decoded"`   // that could be read
	Chunks    int            `json:"chunks"`    // verified
	Keyframes int            `json:"keyframes"` // compared with the state that the events lead to
	Problems  []checkProblem `json:"problems"`
	Warnings  []checkProblem `json:"warnings"` // what is damaged without loss
}

// checkProblem is one thing that is wrong.
type checkProblem struct {
	Where string `json:"where"`
	Text  string `json:"text"`
}

func newCheck(a *app) *cobra.Command {
	var json bool
	c := &cobra.Command{
		Use:     "check TRACE",
		GroupID: groupJudge,
		Short:   "verify that a trace is intact",
		Long: `Check verifies that a trace is as it was written: in a trace file the database's pages, every checksum, that snapshots agree
with the events before them, and that the indexes tell the truth; in any form that numbers and times of events do not go
back, that each cause comes before its effect, that vcpus and ports exist, and that the policy is known. It lists every
problem that it finds, but reads a text only up to the first line that is wrong.

It does not verify that the events are what the machine would have done: for a simulated trace "evtrace replay" does. Nor
does it judge them: that is analyze.

The exit code is 0 if the trace is intact, and 75 if it is not. A trace that is merely incomplete is intact.`,
		Example: `  evtrace check a.evt
  evtrace check --json a.evt | jq .problems`,
		Args: exactly(1, "one: the trace"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := a.check(cmd.Context(), args[0])
			if err != nil {
				if json && codeOf(err) == codeUnreadable {
					r := &checkReport{Path: args[0], Problems: []checkProblem{{"file", err.Error()}}, Warnings: []checkProblem{}}
					if err := a.printJSON(r); err != nil {
						return err
					}
				}
				return err
			}
			if json {
				err = a.printJSON(r)
			} else {
				err = a.print(r.text())
			}
			if err == nil && !r.OK {
				return exitWith(codeUnreadable)
			}
			return err
		},
	}
	c.Flags().BoolVar(&json, "json", false, "as JSON")
	return c
}

// check verifies a trace. The error is for an input that is no trace at all.
func (a *app) check(ctx context.Context, name string) (*checkReport, error) {
	t, err := a.findTrace(name, inputOptions{})
	if err != nil {
		return nil, err
	}
	defer t.Close()
	r := &checkReport{Path: t.name, Form: t.form, Problems: []checkProblem{}, Warnings: []checkProblem{}}
	if t.form == formStore {
		rep, err := store.Check(t.path)
		if errors.Is(err, store.ErrTruncated) {
			r.Problems = append(r.Problems, checkProblem{"file", strings.TrimPrefix(err.Error(), t.path+": ")})
			return r, nil
		}
		if err != nil {
			return nil, t.named(t.nothingElse(err))
		}
		r.Complete, r.Events, r.Decoded, r.Chunks, r.Keyframes = rep.Complete, rep.Events, rep.Decoded, rep.Chunks, rep.Keyframes
		for _, p := range rep.Problems {
			r.Problems = append(r.Problems, checkProblem{p.Where, p.Text})
		}
		for _, p := range rep.Warnings {
			r.Warnings = append(r.Warnings, checkProblem{p.Where, p.Text})
		}
		if !rep.OK() {
			return r, nil
		}
	}
	if err := r.order(ctx, a, t); err != nil {
		return nil, err
	}
	r.OK = len(r.Problems) == 0
	return r, nil
}

// order reads all events and makes sure that they make a trace.
func (r *checkReport) order(ctx context.Context, a *app, t *trace) error {
	err := t.load(ctx, a)
	if err != nil {
		err = t.named(err)
	} else {
		err = r.events(ctx, a, t)
	}
	switch {
	case err == nil:
	case errors.Is(err, recorder.ErrOrder), codeOf(err) == codeUnreadable:
		r.Complete = false
		r.Problems = append(r.Problems, problemOf(t.name, err))
	default:
		return err
	}
	return nil
}

func (r *checkReport) events(ctx context.Context, a *app, t *trace) error {
	sound, err := newSoundness(t.meta)
	if err != nil {
		return unreadable(about(t.name, err))
	}
	p := a.newProgress("checking", "events", false)
	defer p.done()
	total := t.Meta().Events
	opt := recorder.Options{Progress: func(n uint64, _ evtchn.Time) { p.at(n, part(n, total)) }}
	res, err := recorder.Run(ctx, t.Events(1), opt, sound)
	r.Complete = t.Meta().Complete
	r.Problems = append(r.Problems, sound.list()...)
	if t.form != formStore {
		r.Events, r.Decoded = res.Events, res.Events
	}
	return err
}

// problemOf turns an error of reading into a problem, with the line of a text as its place.
func problemOf(name string, err error) checkProblem {
	var te *text.Error
	if errors.As(err, &te) {
		return checkProblem{fmt.Sprintf("line %d", te.Line), te.Msg}
	}
	return checkProblem{"events", strings.TrimPrefix(err.Error(), name+": ")}
}

func (r *checkReport) text() string {
	var b strings.Builder
	list := func(problems []checkProblem) {
		for _, p := range problems {
			lines := wrap("    ", p.Where+": "+p.Text, 100)
			b.WriteString("  " + lines[4:])
		}
	}
	switch {
	case r.OK:
		fmt.Fprintf(&b, "%s: intact: %s", r.Path, plural(r.Events, "event"))
		if r.Form == formStore {
			fmt.Fprintf(&b, ", %s, %s", plural(uint64(r.Chunks), "chunk"), plural(uint64(r.Keyframes), "keyframe"))
		}
		if !r.Complete {
			b.WriteString("; it is incomplete")
		}
		if len(r.Warnings) > 0 {
			b.WriteString("; nothing is lost by this damage:")
		}
		b.WriteString("\n")
	case r.Form == formStore:
		fmt.Fprintf(&b, "%s: damaged: %s", r.Path, plural(uint64(len(r.Problems)), "problem"))
		if r.Events > 0 {
			fmt.Fprintf(&b, "; %s of %s could be read", group(r.Decoded), plural(r.Events, "event"))
		}
		b.WriteString("\n")
	default:
		fmt.Fprintf(&b, "%s: damaged: %s", r.Path, plural(uint64(len(r.Problems)), "problem"))
		if r.Decoded > 0 {
			fmt.Fprintf(&b, "; %s could be read", plural(r.Decoded, "event"))
		}
		b.WriteString("\n")
	}
	list(r.Problems)
	list(r.Warnings)
	return b.String()
}
