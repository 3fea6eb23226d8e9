package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/store"
	"github.com/evtrace/evtrace/tui/filter"
)

// stretch chooses events by their numbers, and by a port. The zero value takes all.
type stretch struct {
	from, until uint64
	port        uint32
}

// flags gives a verb the flags of a stretch.
func (s *stretch) flags(c *cobra.Command) {
	c.Flags().Uint64Var(&s.from, "from", 0, "the `NUMBER` of the first event to write")
	c.Flags().Uint64Var(&s.until, "until", 0, "the `NUMBER` of the last event to write")
	c.Flags().Uint32Var(&s.port, "port", 0, "write the events of this `PORT` only")
}

// check refuses values that choose nothing.
func (s stretch) check(cmd *cobra.Command) error {
	if err := noZero(cmd, "from", "until", "port"); err != nil {
		return err
	}
	if s.until != 0 && s.until < s.from {
		return usageErrorf("", "--until: got %d, want %d or more, which --from gives", s.until, s.from)
	}
	return nil
}

// noZero refuses 0 where a flag was given.
func noZero(cmd *cobra.Command, names ...string) error {
	for _, name := range names {
		if f := cmd.Flag(name); f.Changed && f.Value.String() == "0" {
			return usageErrorf("", "--%s: got 0, want 1 or more", name)
		}
	}
	return nil
}

// selection chooses events: a stretch, and those of it that match an expression.
type selection struct {
	stretch
	filter *filter.Filter // bound to the trace; nil: all
}

// scan says what a scan of a trace file may leave out. The events that it yields have still to be looked at.
func (s *selection) scan() store.ScanOptions {
	opt := store.ScanOptions{From: evtchn.Seq(s.from), Until: evtchn.Seq(s.until)}
	if s.port != 0 {
		opt.Ports = []evtchn.Port{evtchn.Port(s.port)}
	}
	f := s.filter
	if f == nil {
		return opt
	}
	if ports, ok := f.Ports(); ok && (opt.Ports == nil || len(ports) == 0) {
		opt.Ports = append([]evtchn.Port{}, ports...)
	}
	if kinds, ok := f.Kinds(); ok {
		opt.Kinds = append([]evtchn.Kind{}, kinds...)
	}
	if vcpus, ok := f.VCPUs(); ok {
		opt.VCPUs = append([]evtchn.VCPU{}, vcpus...)
	}
	if from, until, ok := f.Times(); ok {
		opt.Times = &store.TimeRange{Min: from, Max: until}
	}
	if from, until, ok := f.Seqs(); ok {
		if from > until {
			opt.Ports = []evtchn.Port{} // nothing
		}
		opt.From = max(opt.From, from)
		if opt.Until == 0 || until < opt.Until {
			opt.Until = until
		}
		if opt.Until == 0 || opt.From > opt.Until {
			opt.Ports = []evtchn.Port{}
		}
	}
	return opt
}

// chosen streams the events of src that are wanted. It ends where they do, or where src does.
type chosen struct {
	src  evtchn.Source
	sel  *selection
	last evtchn.Seq // that was looked at
}

func (c *chosen) Next(ev *evtchn.Event) error {
	for {
		if err := c.src.Next(ev); err != nil {
			return err
		}
		c.last = ev.Seq
		if c.sel.until != 0 && uint64(ev.Seq) > c.sel.until {
			return io.EOF
		}
		if (c.sel.port == 0 || uint32(ev.Port) == c.sel.port) && (c.sel.filter == nil || c.sel.filter.Match(ev)) {
			return nil
		}
	}
}

// batchEvents is how many events of a text are looked at in one go.
const batchEvents = 1 << 12

// search hands the chosen events of a trace to each, some at a time, and what each makes of them to add, in the order of the trace. Of a trace
// file, each works on all processors at once. out is what an earlier call has left, for its memory. add ends the search
// with io.EOF. Errors of reading are of the code codeUnreadable.
func search[T any](ctx context.Context, t *trace, sel *selection, p *progress, each func(evs *chosen, out *T) error, add func(out *T) error) error {
	total := t.Meta().Events
	if t.file == nil {
		src := t.Events(max(1, evtchn.Seq(sel.from)))
		src = &watched{ctx: ctx, src: src, p: p, total: total}
		var out T
		for {
			some := &some{src: src, left: batchEvents}
			evs := &chosen{src: some, sel: sel}
			if err := each(evs, &out); err != nil {
				return err
			}
			if err := add(&out); err == io.EOF {
				return nil
			} else if err != nil {
				return err
			}
			if some.ended || sel.until != 0 && uint64(evs.last) >= sel.until {
				return nil
			}
		}
	}
	type batch struct {
		out  T
		last evtchn.Seq
	}
	err := store.Scan(ctx, t.file, sel.scan(), func(src evtchn.Source, b *batch) error {
		evs := &chosen{src: src, sel: sel}
		err := each(evs, &b.out)
		b.last = evs.last
		return err
	}, func(b *batch) error {
		p.at(uint64(b.last), part(uint64(b.last), total))
		return add(&b.out)
	})
	return t.named(err)
}

// some gives so many events of a source.
type some struct {
	src   evtchn.Source
	left  int
	ended bool // by the source
}

func (s *some) Next(ev *evtchn.Event) error {
	if s.left == 0 {
		return io.EOF
	}
	s.left--
	err := s.src.Next(ev)
	s.ended = err == io.EOF
	return err
}

// eventOut says where chosen events go, and how.
type eventOut struct {
	name  string // - is stdout
	force bool
	form  *form
	cols  []eventColumn // nil: the form's own
	limit uint64        // of events; 0: none
}

// found is what was found in one go: rows as they are to be written, or, in forms whose rows depend on each other, events.
type found struct {
	rows []byte
	ends []int // of each row
	evs  []evtchn.Event
}

// writeEvents writes the chosen events of a trace.
func (a *app) writeEvents(ctx context.Context, t *trace, sel *selection, to eventOut) error {
	o, err := a.createText(to.name, to.force)
	if err != nil {
		return err
	}
	defer o.abort()
	p := a.newProgress("reading", "events", false)
	defer p.done()
	buf := bufio.NewWriterSize(o, 64<<10)
	w, err := to.form.open(buf, formInput{meta: t.Meta(), name: filepath.Base(t.name), cols: to.cols})
	if err != nil {
		return o.fail(err)
	}
	rows, _ := w.(*rowWriter)
	each := func(evs *chosen, out *found) error {
		out.rows, out.ends, out.evs = out.rows[:0], out.ends[:0], out.evs[:0]
		var ev evtchn.Event
		for n := uint64(0); to.limit == 0 || n < to.limit; n++ {
			if err := evs.Next(&ev); err == io.EOF {
				break
			} else if err != nil {
				return err
			}
			if rows == nil {
				out.evs = append(out.evs, ev)
				continue
			}
			out.rows = rows.append(out.rows, &ev)
			out.ends = append(out.ends, len(out.rows))
		}
		return nil
	}
	written := uint64(0)
	add := func(out *found) error {
		n := len(out.evs) + len(out.ends)
		if to.limit != 0 {
			n = int(min(uint64(n), to.limit-written))
		}
		written += uint64(n)
		if rows == nil {
			for i := range out.evs[:n] {
				if err := w.Add(&out.evs[i]); errors.Is(err, analyze.ErrOrder) {
					return unreadable(about(t.name, err))
				} else if err != nil {
					return o.fail(err)
				}
			}
		} else if n > 0 {
			if _, err := buf.Write(out.rows[:out.ends[n-1]]); err != nil {
				return o.fail(err)
			}
		}
		if to.limit != 0 && written == to.limit {
			return io.EOF
		}
		return nil
	}
	err = search(ctx, t, sel, p, each, add)
	if err != nil {
		_ = buf.Flush() // what comes before damage is worth having on stdout; a file is removed
		return err
	}
	if err := errors.Join(w.Close(), buf.Flush()); err != nil {
		return o.fail(err)
	}
	if err := o.commit(); err != nil {
		return err
	}
	p.done()
	a.remark(t, sel, written)
	return nil
}

// remark says what the output does not: that nothing was found, or that the expression could not be evaluated everywhere.
func (a *app) remark(t *trace, sel *selection, found uint64) {
	if sel.filter != nil && sel.filter.Err() != nil {
		a.say("note: the expression has no value for some events, which are left out; the first: %v", sel.filter.Err())
	}
	if found == 0 {
		a.say("note: %s has no such events", t.name)
	}
}
