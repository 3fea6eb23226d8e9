package around

import (
	"context"
	"fmt"
	"slices"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/replay/explore"
)

// systemOf gives the system and the schedule of a trace that package explore made.
func systemOf(meta *evtchn.Meta) (*explore.System, []explore.Choice, error) {
	p, err := evtchn.ParsePolicy(meta.Policy)
	if err != nil {
		return nil, nil, err
	}
	return explore.Again(meta, p)
}

// maxTail is how many choices a schedule may need to come to rest.
const maxTail = 10_000

// deviation is a schedule with some choices made otherwise.
type deviation struct {
	changes []Change
	cs      []explore.Choice
	after   int // choices up to which it is fixed
	departs evtchn.Seq
}

// runBounded tries the schedules that make another choice at some points.
func runBounded(ctx context.Context, meta *evtchn.Meta, judge Judge, opt *Options) (*Result, error) {
	sys, recorded, err := systemOf(meta)
	if err != nil {
		return nil, err
	}
	res := &Result{meta: sys.Meta()}
	res.meta.Tool = meta.Tool
	b := &bounded{sys: sys, judge: judge, tool: meta.Tool}
	base, err := b.run(recorded)
	if err != nil {
		return nil, err
	}
	res.Recorded = base.outcome
	res.play = func(_ context.Context, n *Neighbour, sink evtchn.Sink) (evtchn.Meta, error) {
		cs, err := explore.ParseSchedule(n.schedule)
		if err != nil {
			return evtchn.Meta{}, err
		}
		tr, err := b.trace(cs)
		if err != nil {
			return evtchn.Meta{}, err
		}
		return tr.Meta, feed(tr, sink)
	}
	prints := map[uint64]int{base.print: -1}
	level := b.deviate(&deviation{cs: recorded})
	for depth := 1; len(level) > 0; depth++ {
		if room := opt.Max - res.Tried; len(level) > room {
			res.Left += len(level) - room
			level = level[:room]
		}
		rans := make([]*ran, len(level))
		errs := make([]error, len(level))
		each(opt.Workers, len(level), func(i int) {
			if ctx.Err() == nil {
				got, err := b.run(level[i].cs)
				rans[i], errs[i] = &got, err
			}
		})
		var next []deviation
		for i := range level {
			d, got := &level[i], rans[i]
			if errs[i] != nil {
				return nil, errs[i]
			}
			if got == nil {
				continue
			}
			res.Tried++
			if at, ok := prints[got.print]; ok {
				res.Same++
				if at >= 0 {
					res.Neighbours[at].Ways++
				}
				continue
			}
			prints[got.print] = len(res.Neighbours)
			res.Neighbours = append(res.Neighbours, Neighbour{N: len(res.Neighbours) + 1, Changes: d.changes, Departs: d.departs, Ways: 1,
				Events: got.events, Outcome: got.outcome, schedule: explore.Schedule(d.cs)})
			if depth < opt.Preemptions {
				next = append(next, b.deviate(d)...)
			}
		}
		if opt.Progress != nil {
			opt.Progress(res.Tried, res.Tried+len(next))
		}
		if res.Stopped = ctx.Err() != nil; res.Stopped {
			break
		}
		level = next
	}
	return res, nil
}

// bounded runs schedules of a system.
type bounded struct {
	sys   *explore.System
	judge Judge
	tool  string
}

func (b *bounded) trace(cs []explore.Choice) (*explore.Trace, error) {
	tr, err := b.sys.Trace(cs)
	if err == nil {
		tr.Meta.Tool = b.tool
	}
	return tr, err
}

func feed(tr *explore.Trace, sink evtchn.Sink) error {
	for i := range tr.Events {
		if err := sink.Add(&tr.Events[i]); err != nil {
			return err
		}
	}
	return nil
}

// run carries a schedule out and has it judged. What the judge calls clean and package explore does not is called by that one's name.
func (b *bounded) run(cs []explore.Choice) (ran, error) {
	tr, err := b.trace(cs)
	if err != nil {
		return ran{}, err
	}
	out := ran{events: uint64(len(tr.Events))}
	if out.outcome, err = b.judge(tr.Meta, func(sink evtchn.Sink) error { return feed(tr, sink) }); err != nil {
		return out, err
	}
	w := b.sys.Start()
	var bad explore.Kinds
	for _, c := range cs {
		bad |= w.Do(c, nil)
	}
	if _, must := w.Choices(nil); must == 0 {
		bad |= w.Judge()
	}
	if names := bad.Names(); len(names) > 0 && out.outcome.Verdict == "clean" {
		out.outcome.Verdict = names[0]
		if len(tr.Wrong) > 0 {
			out.outcome.Story = tr.Wrong[0]
		}
	}
	f := newPrints(tr.Meta.WordBits)
	for i := tr.Beginning; i < len(tr.Events); i++ {
		f.add(&tr.Events[i])
	}
	out.print = f.sum()
	return out, nil
}

// deviate makes one more choice of a schedule otherwise, at every point after those that are fixed.
func (b *bounded) deviate(d *deviation) []deviation {
	var list []deviation
	w := b.sys.Start()
	seq := evtchn.Seq(b.sys.Beginning())
	for k, c := range d.cs {
		if k >= d.after {
			all, _ := w.Choices(nil)
			for _, other := range all {
				if other == c {
					continue
				}
				was, is := b.first(w, c), b.first(w, other)
				was.Seq, is.Seq = seq+1, 0
				cs, ok := b.finish(w, d.cs[:k], other, d.cs[k:])
				if !ok {
					continue
				}
				n := deviation{changes: append(slices.Clone(d.changes), Change{Kind: Choose, First: was, Then: is}), cs: cs, after: k + 1, departs: d.departs}
				if n.departs == 0 {
					n.departs = seq + 1
				}
				list = append(list, n)
			}
		}
		w.Do(c, func(*evtchn.Event) { seq++ })
	}
	return list
}

// first gives the first event of a choice.
func (b *bounded) first(w *explore.World, c explore.Choice) (first evtchn.Event) {
	w.Clone().Do(c, func(ev *evtchn.Event) {
		if first.Kind == evtchn.KindNone {
			first = *ev
		}
	})
	return first
}

// finish makes the other choice, then those of the rest in their order as far as they can be made, and comes to rest.
func (b *bounded) finish(from *explore.World, begun []explore.Choice, other explore.Choice, rest []explore.Choice) ([]explore.Choice, bool) {
	w := from.Clone()
	cs := append(slices.Clone(begun), other)
	w.Do(other, nil)
	rest = slices.Clone(rest)
	if i := slices.Index(rest, other); i >= 0 {
		rest = slices.Delete(rest, i, i+1)
	}
	var all []explore.Choice
	var must int
	for range maxTail {
		all, must = w.Choices(all[:0])
		i := slices.IndexFunc(rest, func(c explore.Choice) bool { return slices.Contains(all, c) })
		switch {
		case i >= 0:
			cs = append(cs, rest[i])
			rest = slices.Delete(rest, i, i+1)
		case must > 0:
			cs = append(cs, all[0])
		default:
			return cs, true
		}
		w.Do(cs[len(cs)-1], nil)
	}
	return nil, false
}

// returnBounded finds the point of no return of an explored schedule.
func returnBounded(ctx context.Context, meta *evtchn.Meta, maxStates uint64) (*Return, error) {
	sys, recorded, err := systemOf(meta)
	if err != nil {
		return nil, err
	}
	ch, err := sys.LastChance(ctx, recorded, maxStates)
	if err != nil {
		return nil, err
	}
	r := &Return{Exact: ch.Exact, Tried: int(ch.States), States: true}
	if !ch.Exact {
		r.Undecided = true
	}
	w := sys.Start()
	seq := evtchn.Seq(sys.Beginning())
	r.From = seq + 1
	for k, c := range recorded {
		if k == ch.Choices {
			break
		}
		w.Do(c, func(*evtchn.Event) { seq++ })
	}
	if ch.Choices >= 0 && ch.Choices < len(recorded) {
		r.Seq = seq + 1
	}
	if ch.Saved != nil && ch.Choices < len(recorded) {
		b := &bounded{sys: sys}
		was, is := b.first(w, recorded[ch.Choices]), b.first(w, ch.Saved[ch.Choices])
		was.Seq, is.Seq = seq+1, 0
		r.Changes = []Change{{Kind: Choose, First: was, Then: is}}
		r.Schedule = explore.Schedule(ch.Saved)
	}
	if ch.Choices == len(recorded) {
		return nil, fmt.Errorf("%w at its end", explore.ErrDelivered)
	}
	return r, nil
}
