package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/replay/minimize"
)

// capture minimises a capture of a real system.
func (m *minimizing) capture(ctx context.Context) error {
	events, err := m.readAll(ctx)
	if err != nil {
		return err
	}
	meta := m.t.Meta()
	w, whole, err := watchEvents(meta, events)
	if err != nil {
		return unreadable(err)
	}
	if err := m.kept.find(w, whole, true); err != nil {
		return err
	}
	if err := m.whole(w, whole, len(events), "event"); err != nil {
		return err
	}
	f := m.kept.finding
	c := &minimize.Capture{Meta: meta, Events: events, Ports: concern(f).Ports, From: f.FirstSeq(), Until: f.NoticedSeq}
	for _, seq := range []evtchn.Seq{f.UnnoticedSeq, f.NoticedSeq} {
		if seq != 0 && (c.From == 0 || seq < c.From) {
			c.From = seq
		}
	}
	if n := len(f.Evidence); n > 0 && c.Until == 0 { // lost: to the end, unless the port was closed
		if last := f.Evidence[n-1]; events[last-events[0].Seq].Kind == evtchn.KindPortClose {
			c.Until = last
		}
	}
	there := make(map[string]bool) // findings of the whole: nothing that was left out may make another
	for i := range whole.Findings {
		there[moment(&whole.Findings[i])] = true
	}
	want := moment(f)
	search, cancel, opt, p := m.options(ctx)
	defer cancel()
	res, cut, err := minimize.Records(search, c, func(ctx context.Context, cut *minimize.Cut) (minimize.Fact, error) {
		if err := ctx.Err(); err != nil {
			return minimize.Fact{}, err
		}
		w, r, err := watchEvents(cut.Meta, cut.Events)
		if err != nil {
			return minimize.Fact{}, err
		}
		fact := minimize.Fact{Switches: w.Switches, Events: w.Events}
		for i := range r.Findings {
			switch got := moment(&r.Findings[i]); {
			case !there[got]:
				return minimize.Fact{}, nil
			case got == want:
				fact.Holds = true
			}
		}
		return fact, nil
	}, opt)
	p.done()
	if err != nil {
		return err
	}
	done(m, res)
	m.meta, m.events = cut.Meta, cut.Events
	m.report.Result.Inputs = len(cut.Events)
	m.report.Cut = &minimizeCut{Before: cut.Before, After: cut.After, Gone: cut.Gone}
	if n := len(events) - len(cut.Events); n > 0 {
		m.meta.Notes = append(m.meta.Notes[:len(m.meta.Notes):len(m.meta.Notes)], fmt.Sprintf("minimised to %s: %s of %s left out", f.ID, group(uint64(n)), plural(uint64(len(events)), "event")))
	}
	return nil
}

// goneText lists what was left out of a capture: ports that follow one another together, then the rest.
func goneText(gone []string) string {
	var ports []int
	var rest []string
	for _, name := range gone {
		if n, err := strconv.Atoi(strings.TrimPrefix(name, "port ")); err == nil {
			ports = append(ports, n)
		} else {
			rest = append(rest, name)
		}
	}
	slices.Sort(ports)
	slices.Sort(rest)
	var parts []string
	for i := 0; i < len(ports); {
		j := i + 1
		for j < len(ports) && ports[j] == ports[j-1]+1 {
			j++
		}
		if j-i > 2 {
			parts = append(parts, fmt.Sprintf("ports %d to %d", ports[i], ports[j-1]))
		} else {
			for _, n := range ports[i:j] {
				parts = append(parts, fmt.Sprintf("port %d", n))
			}
		}
		i = j
	}
	return strings.Join(append(parts, rest...), ", ")
}

// readAll takes all events into memory.
func (m *minimizing) readAll(ctx context.Context) ([]evtchn.Event, error) {
	p := m.app.newProgress("reading", "events", m.flags.quiet)
	defer p.done()
	src := &watched{ctx: ctx, src: m.t.Events(1), p: p, total: m.t.Meta().Events}
	events := make([]evtchn.Event, 0, min(m.t.Meta().Events, 1<<20)) // a header can say anything
	var ev evtchn.Event
	for {
		if err := src.Next(&ev); err == io.EOF {
			return events, nil
		} else if err != nil {
			return nil, err
		}
		events = append(events, ev)
	}
}

// moment tells all of a finding that does not depend on how events are numbered: what leaving out records must not change.
func moment(f *analyze.Finding) string {
	var b strings.Builder
	fmt.Fprint(&b, f.Kind, " ", f.Port, " ", f.OwnerVCPU, " ", f.Cause, " ", f.Strength, " ", f.UnnoticedVCPU, " ", f.NoticedVCPU, " ", f.RescuedByPort)
	for _, at := range []*int64{f.PendingAt, f.ExposedAt, f.UnnoticedAt, f.NoticedAt} {
		if at == nil {
			b.WriteString(" -")
		} else {
			fmt.Fprint(&b, " ", *at)
		}
	}
	return b.String()
}
