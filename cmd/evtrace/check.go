package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/evtrace/evtrace/evtchn"
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
		Long: `Check verifies everything in a trace file: the database's pages, every checksum, the order of the events, that snapshots agree
with the events before them, and that the indexes tell the truth. It lists every problem that it finds. A text is read to its end.

The exit code is 0 if the trace is intact, and 75 if it is not. A trace that is merely incomplete is intact.`,
		Example: `  evtrace check a.evt
  evtrace check --json a.evt | jq .problems`,
		Args: exactly(1, "one: the trace"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := a.check(cmd.Context(), args[0])
			if err != nil {
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
	r := &checkReport{Path: t.name, Form: t.form, Problems: []checkProblem{}}
	if t.form == formStore {
		rep, err := store.Check(t.path)
		if err != nil {
			return nil, t.named(nothingElse(err))
		}
		r.Complete, r.Events, r.Decoded, r.Chunks, r.Keyframes = rep.Complete, rep.Events, rep.Decoded, rep.Chunks, rep.Keyframes
		for _, p := range rep.Problems {
			r.Problems = append(r.Problems, checkProblem{p.Where, p.Text})
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
		var res recorder.Result
		p := a.newProgress("checking", "events", false)
		defer p.done()
		total := t.Meta().Events
		opt := recorder.Options{Progress: func(n uint64, _ evtchn.Time) { p.at(n, part(n, total)) }}
		res, err = recorder.Run(ctx, t.Events(1), opt)
		r.Complete = t.Meta().Complete
		if t.form != formStore {
			r.Events, r.Decoded = res.Events, res.Events
		}
	}
	switch {
	case err == nil:
	case errors.Is(err, recorder.ErrOrder), codeOf(err) == codeUnreadable:
		r.Complete = false
		r.Problems = append(r.Problems, checkProblem{"events", strings.TrimPrefix(err.Error(), t.name+": ")})
	default:
		return err
	}
	return nil
}

func (r *checkReport) text() string {
	if r.OK {
		s := fmt.Sprintf("%s: intact: %s", r.Path, plural(r.Events, "event"))
		if r.Form == formStore {
			s += fmt.Sprintf(", %s, %s", plural(uint64(r.Chunks), "chunk"), plural(uint64(r.Keyframes), "keyframe"))
		}
		if !r.Complete {
			s += "; it is incomplete"
		}
		return s + "\n"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: damaged: %s, %s of %s could be read\n", r.Path, plural(uint64(len(r.Problems)), "problem"), group(r.Decoded), plural(r.Events, "event"))
	for _, p := range r.Problems {
		fmt.Fprintf(&b, "  %s: %s\n", p.Where, p.Text)
	}
	return b.String()
}
