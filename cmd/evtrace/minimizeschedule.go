package main

import (
	"context"

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
	policy, err := replay.Policy(m.t)
	if err != nil {
		return unreadable(err)
	}
	sys, choices, err := explore.Again(&meta, policy)
	if err != nil {
		return unreadable(err)
	}
	if _, err := replay.Verify(ctx, m.t, replay.Options{}); err != nil {
		return &failure{codeDiverged, err, "its schedule does not lead to it; was it edited, or made by another version?"}
	}
	tr, err := sys.Trace(choices)
	if err != nil {
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
	small := sys.Part(res.Candidate)
	small.Meta.Tool = "evtrace " + version
	m.meta, m.events = small.Meta, small.Events
	m.report.Result.Inputs, m.report.Schedule = len(small.Made), small.Meta.Schedule
	return nil
}
