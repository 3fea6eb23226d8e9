package around

import (
	"cmp"
	"context"
	"slices"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/replay"
)

// Return is the point of no return of what went wrong in a trace.
type Return struct {
	// Seq is the last step at which a schedule that departs from the trace still sets it right: up to that step it can be done, from
	// then on none does. 0: none at all.
	Seq       evtchn.Seq
	From      evtchn.Seq // the first step at which departing was tried
	Changes   []Change   // what that schedule does otherwise
	Schedule  string     // of an explored schedule: the whole one that delivers
	Tried     int        // schedules that were tried; of an explored schedule, states looked at
	States    bool       // it is states
	Exact     bool       // every schedule was tried
	Undecided bool       // a limit ended the search: nothing is known of departing at Seq, if that is not 0, or before
}

// FindReturn finds the point of no return of what the judge calls Again. For an explored schedule it is exact, unless Options.Max, which
// counts states then (0: 200,000), ends the search. For a recording in time, the neighbours with one change that depart in the window or
// up to Options.Reach before it are tried, the last first, all inputs being as recorded but for the change: what it says of them is no
// proof that no other schedule would do. Errors are those of Run, and explore.ErrDelivered.
func FindReturn(ctx context.Context, tr replay.Trace, judge Judge, opt Options) (*Return, error) {
	meta := tr.Meta()
	if meta.Schedule != "" {
		return returnBounded(ctx, &meta, uint64(cmp.Or(opt.Max, defaultStates)))
	}
	opt.defaults()
	if err := opt.validate(); err != nil {
		return nil, err
	}
	r, err := newRunner(ctx, tr, judge)
	if err != nil {
		return nil, err
	}
	lo, hi, err := times(tr, &opt)
	if err != nil {
		return nil, err
	}
	v := &view{lo: lo - opt.Reach, hi: hi + opt.Reach}
	if err := r.play(ctx, r.in.Events, v, sinkFunc(func(*evtchn.Event) error { return nil })); err != nil {
		return nil, err
	}
	if err := compare(tr, v); err != nil {
		return nil, err
	}
	f := &finder{v: v, bits: r.meta.WordBits, from: opt.From, until: opt.Until, port: opt.Port, length: opt.For}
	edits := f.all()
	slices.SortStableFunc(edits, func(a, b edit) int { return cmp.Compare(b.change.First.Seq, a.change.First.Seq) })
	out := &Return{From: opt.From}
	if n := len(edits); n > 0 {
		out.From = min(out.From, edits[n-1].change.First.Seq)
	}
	batch := 4 // whatever the number of workers, so that as many are tried
	for from := 0; from < len(edits); from += batch {
		if from >= opt.Max || ctx.Err() != nil {
			out.Seq, out.Undecided = edits[from].change.First.Seq, true
			return out, nil
		}
		part := edits[from:min(from+batch, len(edits))]
		rans := make([]ran, len(part))
		errs := make([]error, len(part))
		each(opt.Workers, len(part), func(i int) {
			rans[i], errs[i] = r.run(ctx, f.apply(r.in.Events, &part[i]), part[i].at, nil)
		})
		for i := range part {
			if errs[i] != nil && ctx.Err() == nil {
				return nil, errs[i]
			}
			if errs[i] != nil {
				out.Seq, out.Undecided = part[i].change.First.Seq, true
				return out, nil
			}
			out.Tried++
			if !rans[i].outcome.Again {
				out.Seq, out.Changes = part[i].change.First.Seq, []Change{part[i].change}
				return out, nil
			}
		}
	}
	return out, nil
}

const defaultStates = 200_000
