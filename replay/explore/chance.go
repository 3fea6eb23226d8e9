package explore

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/evtrace/evtrace/evtchn"
)

// Chance is how long, in a schedule that loses an event, the event could still have been delivered.
type Chance struct {
	// Choices is the length of the longest beginning of the schedule from which the event can still be delivered: the choice that
	// follows is the point of no return. -1: it cannot, even from the start.
	Choices int
	Saved   []Choice // a schedule that delivers it, with that beginning
	States  uint64   // that were looked at
	// Exact is false if the search was stopped. What Choices says of longer beginnings holds all the same; nothing is known of it and
	// of shorter ones.
	Exact bool
}

// ErrDelivered is the error for a schedule at whose end no event is lost.
var ErrDelivered = errors.New("the schedule does not end with a lost event")

// LastChance finds the point of no return of a schedule that ends at rest with a lost event (Lost, Unserved). Delivered is an event if a
// continuation comes to rest in which everything has come from outside that had come at the schedule's end, all tasks are as far at
// least, and the lost ports are not pending, their events were looked at, and at no time in between they went unnoticed or were picked
// by luck: a port that something else rescues counts as lost, as it does for package analyze (late).
//
// Every continuation is tried, without reduction, up to maxStates states in all (0: no limit). Errors are ErrDelivered and of class
// ErrSchedule.
func (s *System) LastChance(ctx context.Context, schedule []Choice, maxStates uint64) (*Chance, error) {
	worlds := []*World{s.Start()}
	for i, c := range schedule {
		w := worlds[i].Clone()
		if all, _ := w.Choices(nil); !slices.Contains(all, c) {
			return nil, fmt.Errorf("%w: choice %d of %d is %s, which cannot be made then", ErrSchedule, i+1, len(schedule), c)
		}
		w.Do(c, nil)
		worlds = append(worlds, w)
	}
	h := &hope{end: worlds[len(schedule)], max: maxStates, seen: make(map[string]bool), k: newWriter(newBooks(s, true, false))}
	if !h.aim() {
		return nil, ErrDelivered
	}
	for n := len(schedule); n >= 0; n-- {
		links, stop := h.search(ctx, worlds[n])
		switch {
		case stop:
			return &Chance{Choices: n, States: uint64(len(h.seen))}, nil
		case links != nil:
			saved := slices.Clone(schedule[:n])
			return &Chance{Choices: n, Saved: append(saved, h.follow(worlds[n], links)...), States: uint64(len(h.seen)), Exact: true}, nil
		}
	}
	return &Chance{Choices: -1, States: uint64(len(h.seen)), Exact: true}, nil
}

// hope is the search for a continuation that delivers what is lost at the end.
type hope struct {
	end  *World
	lost []evtchn.Port // that go unnoticed there
	data []int         // ports of the scenario that nobody has looked at there
	max  uint64
	seen map[string]bool // rows of worlds that were looked at: none of a longer beginning delivers
	k    *writer
	row  row
}

// aim finds out what is lost at the end.
func (h *hope) aim() bool {
	for _, p := range h.end.m.ExposedPorts() {
		if h.end.m.Unnoticed(p) {
			h.lost = append(h.lost, p)
		}
	}
	for i := range h.end.ports {
		if h.end.ports[i].data {
			h.data = append(h.data, i)
		}
	}
	return len(h.lost)+len(h.data) > 0
}

// dead reports whether what is lost has gone unnoticed.
func (h *hope) dead(w *World) bool { return slices.ContainsFunc(h.lost, w.m.Unnoticed) }

// lucky reports whether a step picks a lost port, or masks it, of which only vcpus had been told that would not have picked it: what
// comes then is thanks to somebody else.
func (h *hope) lucky(before *World, ev *evtchn.Event) bool {
	p, m := ev.Port, before.m
	picks := ev.Kind == evtchn.KindDeliver || ev.Kind == evtchn.KindMaskTAS
	if up := before.sys.policy.Upcall; !picks || up == evtchn.UpcallAny || up == evtchn.UpcallResend || !slices.Contains(h.lost, p) || !m.Exposed(p) {
		return false
	}
	ps := m.PortAt(p)
	if m.Owed(p) || ps.Request || ps.Own.Empty() || ev.Kind == evtchn.KindDeliver && ps.Own.Has(ev.VCPU) {
		return false
	}
	for v := ps.Own.Next(0); v != evtchn.NoVCPU; v = ps.Own.Next(v + 1) {
		if m.Accepts(v, p) != evtchn.Zero && !m.Heedless(v) {
			return false
		}
	}
	return true
}

// delivered judges a world at rest.
func (h *hope) delivered(w *World) bool {
	for i := range w.ports {
		if w.ports[i].left > h.end.ports[i].left {
			return false
		}
	}
	for t := range w.tasks {
		if w.tasks[t].op < h.end.tasks[t].op {
			return false
		}
	}
	return !slices.ContainsFunc(h.data, func(i int) bool { return w.ports[i].data }) &&
		!slices.ContainsFunc(h.lost, func(p evtchn.Port) bool { return w.m.Pending(p) == evtchn.One })
}

// search looks at every world that a beginning leads to and that was not looked at before. It gives the links to one that delivers, nil if
// there is none; stop: it was stopped.
func (h *hope) search(ctx context.Context, from *World) (links []Choice, stop bool) {
	type node struct {
		key    string
		parent int
		how    Choice
	}
	var nodes []node
	visit := func(w *World, parent int, how Choice) {
		if h.dead(w) {
			return
		}
		h.row = h.k.put(h.row[:0], w)
		key := string(h.k.appendRow(nil, h.row))
		if !h.seen[key] {
			h.seen[key] = true
			nodes = append(nodes, node{key, parent, how})
		}
	}
	visit(from, -1, 0)
	at, next := from.Clone(), from.Clone()
	var all []Choice
	for i := 0; i < len(nodes); i++ {
		if i&0xff == 0 && ctx.Err() != nil || h.max > 0 && uint64(len(h.seen)) > h.max {
			return nil, true
		}
		h.row, _ = h.k.readRow(h.row[:0], []byte(nodes[i].key))
		h.k.get(at, h.row)
		nodes[i].key = "" // seen has it
		var must int
		all, must = at.Choices(all[:0])
		if must == 0 && h.delivered(at) {
			for ; nodes[i].parent >= 0; i = nodes[i].parent {
				links = append(links, nodes[i].how)
			}
			slices.Reverse(links)
			return append([]Choice{}, links...), false
		}
		for _, c := range all {
			next.CopyFrom(at)
			next.Do(c, nil)
			if !h.lucky(at, &next.ev) {
				visit(next, i, c)
			}
		}
	}
	return nil, false
}

// follow makes choices of links, which name foreign paths by their places in a row.
func (h *hope) follow(from *World, links []Choice) (cs []Choice) {
	w := from.Clone()
	for _, c := range links {
		if c.Kind() == Step {
			c = choice(Step, h.k.contextOf(w, c.Who()))
		}
		cs = append(cs, c)
		w.Do(c, nil)
	}
	return cs
}
