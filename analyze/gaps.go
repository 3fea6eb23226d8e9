package analyze

import (
	"fmt"
	"slices"
	"strings"

	"github.com/evtrace/evtrace/evtchn"
)

// Vouched says for which part of a trace with gaps the report speaks. A port that was handled after the last gap was not lost in any of
// them for good; it may have been late there.
type Vouched struct {
	Outside   int64         `json:"outside"` // how long all vcpus were recorded
	Of        int64         `json:"of"`      // how long the trace is
	Handled   uint64        `json:"handled"` // ports that were in use and were handled after the last gap
	Unhandled uint64        `json:"unhandled"`
	Ports     []evtchn.Port `json:"ports"` // the first of those that were not
	Longest   []Gap         `json:"longest"`
}

// Gap is a time of which records of a vcpu are missing.
type Gap struct {
	VCPU evtchn.VCPU `json:"vcpu"` // -1: all
	From int64       `json:"from"` // its last record before
	To   int64       `json:"to"`
	Lost uint64      `json:"lost"` // records; 0: not known
	Seq  evtchn.Seq  `json:"seq"`  // of the gap in the trace
}

const (
	maxGaps    = 16 // gaps, and ports, that a report names
	maxHoles   = 64 // stretches of time kept apart before the oldest is only counted
	gapInWords = 8  // ports named in the headline
)

// holes is the time that lies in gaps of one vcpu or another.
type holes struct {
	open    [][2]evtchn.Time // apart and in order, the latest
	closed  evtchn.Time      // total of those before
	until   evtchn.Time      // their end
	last    evtchn.Seq       // the last gap inside
	longest []gap            // the longest first
}

type gap struct {
	step
	from evtchn.Time
}

// add notes a gap.
func (h *holes) add(g gap) {
	h.last = g.seq
	i, _ := slices.BinarySearchFunc(h.longest, g, func(x, y gap) int {
		if x.at-x.from >= y.at-y.from {
			return -1
		}
		return 1
	})
	if i < maxGaps {
		h.longest = slices.Insert(h.longest, i, g)
		h.longest = h.longest[:min(len(h.longest), maxGaps)]
	}
	from, to := max(g.from, h.until), g.at
	for n := len(h.open); n > 0 && h.open[n-1][1] >= from; n-- {
		from, to = min(from, h.open[n-1][0]), max(to, h.open[n-1][1])
		h.open = h.open[:n-1]
	}
	if to <= from {
		return
	}
	h.open = append(h.open, [2]evtchn.Time{from, to})
	if len(h.open) > maxHoles {
		h.closed += h.open[0][1] - h.open[0][0]
		h.until = h.open[0][1]
		h.open = h.open[1:]
	}
}

func (h *holes) total() evtchn.Time {
	n := h.closed
	for _, o := range h.open {
		n += o[1] - o[0]
	}
	return n
}

// noteGap keeps what the gap may have to do with ports that are pending.
func (a *Analyzer) noteGap(ev *evtchn.Event, target evtchn.VCPU) {
	a.gaps++
	g := gap{step: a.step(ev, target), from: a.first}
	g.arg = ev.Args[1]
	if a.events == a.gaps {
		a.beginLost++
	} else {
		a.gapInside = true
	}
	if target >= 0 {
		if vt := &a.v[target]; vt.heard {
			g.from = vt.lastAt
		}
		a.v[target].gap = g
	} else {
		a.gapAll = g
	}
	if !a.gapInside {
		return
	}
	a.holes.add(g)
	for _, p := range a.state.ExposedPorts() {
		if ps := a.state.PortAt(p); target < 0 || ps.Owner < 0 || ps.Owner == target || ps.Own.Has(target) {
			t := a.port(p)
			t.hole = g
		}
	}
}

// gone reports an event that was to be handled while records of its vcpu were lost, and of which nothing was recorded after.
func (a *Analyzer) gone(p evtchn.Port, t *portTrack, closed step) {
	d := a.newDraft(p, t, a.state.PortAt(p))
	a.emit(t, d, &ending{kind: KindUnknown, hole: t.hole, closed: closed})
}

// vouched says what the report speaks for, nil if there are no gaps.
func (a *Analyzer) vouched() *Vouched {
	if !a.gapInside {
		return nil
	}
	c := a.clock
	v := &Vouched{Of: c.of(a.now - a.first), Outside: c.of(max(a.now-a.first-a.holes.total(), 0)), Ports: []evtchn.Port{}, Longest: []Gap{}}
	for i, t := range a.ports {
		switch {
		case t == nil || !t.used:
		case t.handledAt > a.holes.last:
			v.Handled++
		default:
			if v.Unhandled++; len(v.Ports) < maxGaps {
				v.Ports = append(v.Ports, evtchn.Port(i))
			}
		}
	}
	for i := range a.holes.longest {
		g := &a.holes.longest[i]
		v.Longest = append(v.Longest, Gap{VCPU: g.target, From: c.of(g.from), To: c.of(g.at), Lost: g.arg, Seq: g.seq})
	}
	return v
}

// outside says for which part of the trace and for which ports the report speaks.
func (r *Report) outside(c clock) string {
	v := r.Vouched
	s := fmt.Sprintf("outside of the gaps, which is %s of %s, no event was seen to be missed (%s, %s delivered)", c.duration(v.Outside), c.duration(v.Of),
		count(r.Totals.Episodes, "event"), group(r.Totals.Delivered))
	if v.Handled > 0 {
		s += fmt.Sprintf(". %s handled after the last gap, so what was lost in one was late at worst", capital(wasPlural(v.Handled, "port")))
	}
	if v.Unhandled == 0 {
		return s
	}
	var ports []string
	for _, p := range v.Ports[:min(len(v.Ports), gapInWords)] {
		ports = append(ports, fmt.Sprint(p))
	}
	if more := v.Unhandled - uint64(len(ports)); more > 0 {
		ports = append(ports, group(more)+" more")
	}
	return s + fmt.Sprintf(". %s not handled since (%s): an event of theirs may be lost", capital(wasPlural(v.Unhandled, "port")), strings.Join(ports, ", "))
}

func wasPlural(n uint64, what string) string {
	if n == 1 {
		return "1 " + what + " was"
	}
	return count(n, what) + " were"
}
