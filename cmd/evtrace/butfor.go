package main

import (
	"context"
	"errors"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/replay"
)

// What is asked about findings by itself, without --but-for, and with it.
const (
	butForUpTo     = 2_000_000   // events of a trace
	butForFindings = 3           // told in full
	butForForced   = 500_000_000 // events of all runs about one finding, with --but-for
	butForMost     = 10          // findings, with --but-for
)

// butFor asks about findings, the first of those, what would have changed the verdict. Without force it leaves long traces out, and says
// in the finding why it has no answer; there is nothing to say about a capture.
func (a *app) butFor(ctx context.Context, t *trace, events uint64, findings []*analyze.Finding, force bool, judged analyze.Options) error {
	meta := t.Meta()
	switch {
	case meta.Source != evtchn.SourceSim && force:
		return about(t.name, replay.ErrObserved)
	case meta.Source != evtchn.SourceSim, events > butForUpTo && !force:
		return nil
	}
	opt := analyze.ButForOptions{Options: judged}
	most := butForFindings
	if force {
		opt.MaxEvents, most = butForForced, butForMost
	}
	p := a.newProgress("asking what would have changed it", "events", false)
	defer p.done()
	opt.Progress = func(events uint64) { p.at(events, 0) }
	for _, f := range findings[:min(len(findings), most)] {
		switch ans, err := analyze.ButFor(ctx, t, f, opt); {
		case err == nil:
			f.SetButFor(ans)
		case ctx.Err() != nil:
			return ctx.Err()
		case force && !errors.Is(err, analyze.ErrNotReproduced):
			return unreadable(about(t.name, err))
		default:
			f.ButForNote = "not asked: " + err.Error()
		}
	}
	return nil
}
