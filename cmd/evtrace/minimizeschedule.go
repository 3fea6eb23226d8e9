package main

import (
	"context"
	"io"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/system"
	"github.com/evtrace/evtrace/replay"
	"github.com/evtrace/evtrace/replay/explore"
	"github.com/evtrace/evtrace/replay/minimize"
)

// schedule minimises a trace of package explore.
func (m *minimizing) schedule(ctx context.Context) error {
	meta := m.t.Meta()
	if m.kept.policies != nil || m.flags.resume != "" {
		return usageErrorf("evtrace minimize --keep KIND:PORT keeps a finding", "%s is a schedule of explore: --keep disagree and --resume are for recordings", m.t.name)
	}
	choices, _, err := explore.ScheduleOf(&meta)
	if err != nil {
		return unreadable(err)
	}
	sys, err := exploredSystem(&meta)
	if err != nil {
		return err
	}
	tr, err := sys.Trace(choices)
	if err != nil {
		return &failure{codeDiverged, err, "its schedule does not lead to it; was it edited, or made by another version?"}
	}
	if err := m.sameEvents(tr.Events); err != nil {
		return err
	}
	w, whole, err := watchEvents(tr.Meta, tr.Events)
	if err != nil {
		return err
	}
	if err := m.kept.find(w, whole, m.flags.number); err != nil {
		return err
	}
	if err := m.whole(w, whole, len(choices), "choice"); err != nil {
		return err
	}
	search, cancel, opt, p := m.options(ctx)
	defer cancel()
	res, err := minimize.Schedule(search, sys, choices, func(_ context.Context, tr *explore.Trace) (minimize.Fact, error) {
		w, r, err := watchEvents(tr.Meta, tr.Events)
		if err != nil {
			return minimize.Fact{}, err
		}
		return m.kept.fact(w, r), nil
	}, opt)
	p.done()
	if err != nil {
		return err
	}
	done(m, res)
	small, made := sys.Follow(res.Candidate)
	small.Meta.Tool = "evtrace " + version
	m.meta, m.events = small.Meta, small.Events
	m.report.Result.Inputs, m.report.Schedule = len(made), small.Meta.Schedule
	return nil
}

// sameEvents compares the trace with what its schedule leads to.
func (m *minimizing) sameEvents(want []evtchn.Event) error {
	src := m.t.Events(1)
	var ev evtchn.Event
	for i := 0; ; i++ {
		d := &replay.Divergence{Seq: evtchn.Seq(i + 1)}
		switch err := src.Next(&ev); {
		case err == io.EOF && i == len(want):
			return nil
		case err == io.EOF:
			d.Replayed = &want[i]
		case err != nil:
			return err
		case i < len(want) && ev == want[i]:
			continue
		default:
			d.Recorded = &ev
			if i < len(want) {
				d.Replayed = &want[i]
			}
		}
		return &failure{codeDiverged, d, "its schedule does not lead to it; was it edited, or made by another version?"}
	}
}

// exploredSystem is the system of a trace of explore.
func exploredSystem(meta *evtchn.Meta) (*explore.System, error) {
	sc, err := system.Parse("the trace's scenario", []byte(meta.Scenario))
	if err != nil {
		return nil, unreadable(err)
	}
	p, err := evtchn.ParsePolicy(meta.Policy)
	if err != nil {
		return nil, unreadable(err)
	}
	sys, err := explore.New(sc, p)
	return sys, unreadable(err)
}
