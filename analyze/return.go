package analyze

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/replay"
	"github.com/evtrace/evtrace/replay/around"
	"github.com/evtrace/evtrace/replay/explore"
)

// NoReturn is a finding's point of no return: the last step at which another schedule still delivers its event in time.
type NoReturn struct {
	Seq      evtchn.Seq `json:"seq"`                // once it is done it is too late; 0: no schedule that was tried delivers
	From     evtchn.Seq `json:"from"`               // the first step at which departing from the trace was tried
	Exact    bool       `json:"exact"`              // every schedule was tried
	Decided  bool       `json:"decided"`            // false: a limit ended the search, and nothing is known of departing at seq or before
	Tried    int        `json:"tried"`              // schedules; of an explored schedule, states
	States   bool       `json:"states"`             // it is states
	SavedBy  string     `json:"saved_by"`           // what the schedule that delivers does otherwise; "": there is none
	Schedule string     `json:"schedule,omitempty"` // that schedule, of an explored one
}

// String says it in a sentence.
func (n *NoReturn) String() string {
	switch {
	case !n.Decided && n.Seq == 0:
		return fmt.Sprintf("not known: the search was stopped after %s", count(uint64(n.Tried), "state"))
	case !n.Decided:
		return fmt.Sprintf("after #%d at the latest: none of %s that depart later delivers the event in time; the search was stopped there",
			n.Seq, count(uint64(n.Tried), "schedule"))
	case n.Exact && n.Seq == 0:
		return fmt.Sprintf("from the start: no schedule delivers the event in time (%s looked at)", count(uint64(n.Tried), "state"))
	case n.Exact:
		return fmt.Sprintf("from #%d on: no continuation delivers the event in time; before it one does: %s (all schedules, %s)",
			n.Seq, n.SavedBy, count(uint64(n.Tried), "state"))
	case n.Seq == 0:
		return fmt.Sprintf("already at #%d: none of %s that depart from there on delivers the event in time, so it is hardly a matter of order",
			n.From, count(uint64(n.Tried), "schedule"))
	}
	return fmt.Sprintf("from #%d on: none of %s that depart later delivers the event in time; one that departs there does: %s", n.Seq,
		count(uint64(n.Tried-1), "schedule"), n.SavedBy)
}

// Window is the steps of a finding's story: from its first evidence to where it went unnoticed, or, if it never did, to its last evidence.
func (f *Finding) Window() (from, until evtchn.Seq) {
	from, until = f.UnnoticedSeq, f.UnnoticedSeq
	for _, seq := range f.Evidence {
		if from == 0 || seq < from {
			from = seq
		}
		if f.UnnoticedSeq == 0 {
			until = max(until, seq)
		}
	}
	return from, until
}

// nearby is how far from its time in the trace, in ns, a neighbour may have the finding's episode.
const nearby = evtchn.Time(5_000_000)

// Judge gives a judge for neighbours of a simulated trace that f was found in: it happens again if the same port has a finding of the
// same sort about that time (in an explored schedule, at any). f may be nil: any finding will do.
func (f *Finding) Judge() around.Judge {
	return func(meta evtchn.Meta, play func(evtchn.Sink) error) (around.Outcome, error) {
		a, err := NewAnalyzer(meta, Options{})
		if err != nil {
			return around.Outcome{}, err
		}
		if err := play(a); err != nil {
			return around.Outcome{}, err
		}
		r := a.Finish()
		out := around.Outcome{Verdict: string(r.Verdict)}
		if len(r.Findings) > 0 {
			g := &r.Findings[0]
			out.Story = fmt.Sprintf("%s, port %d: %s", g.Kind, g.Port, g.Cause)
		}
		for i := range r.Findings {
			if g := &r.Findings[i]; f == nil || f.again(g, meta.Schedule != "") {
				out.Again = true
				break
			}
		}
		return out, nil
	}
}

// missed reports whether a finding is that an event was not delivered in time.
func (k Kind) missed() bool { return k == KindLost || k == KindLate }

// again reports whether a finding of a neighbour is the same thing.
func (f *Finding) again(g *Finding, anyTime bool) bool {
	if g.Port != f.Port || g.Kind != f.Kind && !(g.Kind.missed() && f.Kind.missed()) {
		return false
	}
	if anyTime {
		return true
	}
	at := func(f *Finding) int64 {
		for _, t := range []*int64{f.UnnoticedAt, f.ExposedAt, f.PendingAt, f.NoticedAt} {
			if t != nil {
				return *t
			}
		}
		return 0
	}
	d := at(g) - at(f)
	return max(d, -d) <= int64(nearby)
}

// ErrNoReturn is the error for a finding or a trace that has no point of no return to look for.
var ErrNoReturn = errors.New("it has no point of no return")

// ReturnOptions bound the search for a point of no return. The zero value is good.
type ReturnOptions struct {
	Schedules int // that are tried of a recording in time; 0: 500
	States    int // that are looked at of an explored schedule; 0: 200,000
	_         struct{}
}

// Cheap bounds the search to what takes a part of a second: so many schedules that no more than two million events are run, and 20,000
// states. ok is false if that leaves too few to say anything.
func (o ReturnOptions) Cheap(meta *evtchn.Meta) (_ ReturnOptions, ok bool) {
	const events, states, few, many = 2_000_000, 20_000, 12, 200
	o.States = states
	o.Schedules = int(min(events/max(meta.Events, 1), many))
	return o, meta.Source == evtchn.SourceSim && (meta.Schedule != "" || meta.Events > 0 && o.Schedules >= few)
}

// FindNoReturn finds the point of no return of a finding of a simulated trace: see around.FindReturn. Errors are ErrNoReturn for a finding
// that is not about an event that was missed, replay.ErrObserved, and those of the trace.
func FindNoReturn(ctx context.Context, tr replay.Trace, f *Finding, opt ReturnOptions) (*NoReturn, error) {
	from, until := f.Window()
	meta := tr.Meta()
	switch {
	case meta.Source != evtchn.SourceSim:
		return nil, replay.ErrObserved
	case !f.Kind.missed() || from == 0:
		return nil, fmt.Errorf("%s: %w", f.ID, ErrNoReturn)
	}
	most := opt.Schedules
	if meta.Schedule != "" {
		most = opt.States
	}
	r, err := around.FindReturn(ctx, tr, f.Judge(), around.Options{From: from, Until: until, Port: f.Port, Max: most})
	if errors.Is(err, explore.ErrDelivered) {
		return nil, fmt.Errorf("%s: %w: %w", f.ID, ErrNoReturn, err)
	} else if err != nil {
		return nil, err
	}
	n := &NoReturn{Seq: r.Seq, From: cmp.Or(r.From, from), Exact: r.Exact, Decided: !r.Undecided, Tried: r.Tried, States: r.States, Schedule: r.Schedule}
	if len(r.Changes) > 0 {
		n.SavedBy = r.Changes[0].Text(&meta)
	}
	return n, nil
}
