package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"

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
loss. The same trace always gives the same bytes. A FILE that ends in .zst or .gz is compressed.

--from, --until and --port choose a stretch, and events of one port. Then only the lines of the events are written, without a
header: such a piece is to be read, not to be imported. --to table says in words what each event did.`,
		Example: `  evtrace export a.evt | grep ' p65'
  evtrace export --from 12359 --until 12369 a.evt
  evtrace export --port 65 --to table a.evt
  evtrace export a.evt -o a.txt.zst`,
		Args: exactly(1, "one: the trace"),
		RunE: func(cmd *cobra.Command, args []string) error {
			f := findForm(to)
			if f == nil {
				return usageErrorf("", "--to: got %q, want %s%s", to, formNames(" or "), evtchn.Suggest(to, strings.Split(formNames(","), ",")))
			}
			if err := part.check(cmd); err != nil {
				return err
			}
			if out != "-" {
				if err := otherFile(args[0], out); err != nil {
					return err
				}
				if err := vacantText(out, force); err != nil {
					return err
				}
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
			return a.exportTo(cmd.Context(), t, out, force, part, f)
		},
	}
	c.Flags().Uint64Var(&part.from, "from", 0, "the `NUMBER` of the first event to write")
	c.Flags().Uint64Var(&part.until, "until", 0, "the `NUMBER` of the last event to write")
	c.Flags().Uint32Var(&part.port, "port", 0, "write the events of this `PORT` only")
	c.Flags().StringVar(&to, "to", formText, "`FORM` to write: "+formList())
	_ = c.RegisterFlagCompletionFunc("to", completeForms)
	c.Flags().StringVarP(&out, "out", "o", "-", "`FILE` to write, or - for stdout")
	c.Flags().BoolVar(&force, "force", false, "replace the file if there is one")
	return c
}

// stretch chooses events. The zero value takes all.
type stretch struct {
	from, until uint64
	port        uint32
}

// check refuses values that choose nothing.
func (s stretch) check(cmd *cobra.Command) error {
	for _, name := range []string{"from", "until", "port"} {
		if f := cmd.Flag(name); f.Changed && f.Value.String() == "0" {
			return usageErrorf("", "--%s: got 0, want 1 or more", name)
		}
	}
	if s.until != 0 && s.until < s.from {
		return usageErrorf("", "--until: got %d, want %d or more, which --from gives", s.until, s.from)
	}
	return nil
}

// exportTo writes a trace, or a part of it, in one of the forms.
func (a *app) exportTo(ctx context.Context, t *trace, out string, force bool, part stretch, to *form) error {
	o, err := a.createText(out, force)
	if err != nil {
		return err
	}
	defer o.abort()
	p := a.newProgress("exporting", "events", false)
	defer p.done()
	meta := t.Meta()
	buf := bufio.NewWriterSize(o, 64<<10)
	w, err := to.open(buf, meta)
	if err != nil {
		return o.fail(err)
	}
	src := &watched{ctx: ctx, src: t.Events(max(1, evtchn.Seq(part.from))), p: p, total: meta.Events}
	var ev evtchn.Event
	written := false
	for {
		err := src.Next(&ev)
		if err == io.EOF || err == nil && part.until != 0 && uint64(ev.Seq) > part.until {
			break
		}
		if err != nil {
			return err
		}
		if part.port != 0 && uint32(ev.Port) != part.port {
			continue
		}
		written = true
		if err := w.Add(&ev); err != nil {
			return o.fail(err)
		}
	}
	if err := errors.Join(w.Close(), buf.Flush()); err != nil {
		return o.fail(err)
	}
	if !written {
		a.say("note: %s has no such events", t.name)
	}
	return o.commit()
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
