package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/text"
	"github.com/evtrace/evtrace/recorder"
	"github.com/evtrace/evtrace/replay"
)

func newExport(a *app) *cobra.Command {
	var (
		to, out string
		force   bool
		part    stretch
	)
	c := &cobra.Command{
		Use:     "export TRACE [-o FILE]",
		GroupID: groupMake,
		Short:   "write a trace in another form",
		Long: `Export writes a trace in text form: one event on a line, for bug reports, fixtures, grep and diff. Import reads it again, without
loss. The same trace always gives the same bytes. A FILE that ends in .zst or .gz is compressed,
and without --to one in .csv, .jsonl, .pb or .pftrace gets that form.

--from, --until and --port choose a stretch, and events of one port. Then only the lines of the events are written, without a
header: such a piece is to be read, not to be imported. --to table says in words what each event did; csv and jsonl are for
other programs, and do not hold all of an event. Query chooses events by an expression.

--to pprof adds the trace up for go tool pprof: which delays come from where (docs/pprof.md). --to perfetto writes tracks, slices and
flows for ui.perfetto.dev and trace_processor (docs/perfetto.md). Both take the whole trace, and judge it.`,
		Example: `  evtrace export a.evt | grep ' p65'
  evtrace export --from 12359 --until 12369 a.evt
  evtrace export --port 65 --to table a.evt
  evtrace export --to csv a.evt -o a.csv.gz
  evtrace export a.evt -o a.txt.zst
  evtrace export --to pprof a.evt -o a.pb.gz
  evtrace export --to perfetto a.evt -o a.pftrace`,
		Args: exactly(1, "one: the trace"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !cmd.Flags().Changed("to") {
				to = formOf(out, to)
			}
			f, err := findForm(to)
			if err != nil {
				return err
			}
			if err := part.check(cmd); err != nil {
				return err
			}
			switch {
			case f.whole && part != (stretch{}):
				return usageErrorf("what reads it can choose a part: docs/"+f.name+".md", "--to %s takes the whole trace, without --from, --until and --port", f.name)
			case f.binary && out == "-" && isTerminal(a.out):
				return usageErrorf("-o gives it a file", "--to %s: it is not text, and a terminal cannot show it", f.name)
			}
			if err := vacantOut(args[0], out, force); err != nil {
				return err
			}
			t, err := a.openTrace(cmd.Context(), args[0], inputOptions{})
			if err != nil {
				return err
			}
			defer t.Close()
			if to == formText && part == (stretch{}) {
				_, err := a.exportText(cmd.Context(), t.name, t, out, force)
				return err
			}
			return a.writeEvents(cmd.Context(), t, &selection{stretch: part}, eventOut{name: out, force: force, form: f})
		},
	}
	part.flags(c)
	c.Flags().StringVar(&to, "to", formText, "`FORM` to write: "+formList())
	_ = c.RegisterFlagCompletionFunc("to", completeForms)
	c.Flags().StringVarP(&out, "out", "o", "-", "`FILE` to write, or - for stdout")
	c.Flags().BoolVar(&force, "force", false, "replace the file if there is one")
	return c
}

// exportText writes a trace as text, and gives its length in bytes. Its header leaves out the number of events, which the last line gives.
func (a *app) exportText(ctx context.Context, name string, t replay.Trace, out string, force bool) (int64, error) {
	o, err := a.createText(out, force)
	if err != nil {
		return 0, err
	}
	defer o.abort()
	p := a.newProgress("exporting", "events", false)
	defer p.done()
	meta := t.Meta()
	total := meta.Events
	meta.Events = 0
	w := text.NewWriter(o, meta)
	opt := recorder.Options{Progress: func(n uint64, _ evtchn.Time) { p.at(n, part(n, total)) }}
	if _, err := recorder.Run(ctx, t.Events(1), opt, sinkFunc(func(ev *evtchn.Event) error { return o.fail(w.Add(ev)) })); err != nil {
		if errors.Is(err, recorder.ErrOrder) {
			err = unreadable(about(name, err))
		}
		return 0, err
	}
	if err := w.Close(); err != nil {
		return 0, o.fail(err)
	}
	return o.written, o.commit()
}
