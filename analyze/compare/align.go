package compare

import (
	"slices"

	"github.com/evtrace/evtrace/evtchn"
)

// Tape gives the events of a trace by their numbers, 1 to Len.
type Tape interface {
	Len() evtchn.Seq
	// Event gives an event, valid as long as the caller does not change it.
	Event(seq evtchn.Seq) (*evtchn.Event, error)
	// SeqAt gives the first event at or after a time, Len+1 if there is none.
	SeqAt(t evtchn.Time) (evtchn.Seq, error)
}

// Alike compares what two events do and when, not their numbers.
func Alike(a, b *evtchn.Event) bool {
	x := *a
	x.Seq, x.Cause = b.Seq, b.Cause
	return x == *b
}

// How many events of one moment are looked through.
const (
	atMoment   = 4096 // to find an event's place
	sameMoment = 64   // to find out whether an event comes later
)

// AlignedTo gives the event of a trace at the place of another trace's: the one that is alike, or the last that is earlier. 0: it has none.
func AlignedTo(t Tape, ev *evtchn.Event) evtchn.Seq {
	from, err := t.SeqAt(ev.Time)
	if err != nil {
		return 0
	}
	for s := from; s <= min(from+atMoment, t.Len()); s++ {
		e, err := t.Event(s)
		if err != nil || e.Time != ev.Time {
			break
		}
		if Alike(e, ev) {
			return s
		}
	}
	return from - 1
}

// Pair is a line of two traces side by side: an event of the one, of the other, or one that both have. 0: none.
type Pair struct{ Left, Right evtchn.Seq }

// which says whose events the next line has.
type which uint8

const (
	nobody which = iota
	both
	left
	right
)

// next decides whose turn it is, in the direction of time (1) or against it (-1). x and y are the next events of the two, nil at an
// end. later reports whether an event like x comes in the right one's same moment.
func next(x, y *evtchn.Event, dir int, later func() bool) which {
	switch {
	case x == nil && y == nil:
		return nobody
	case x != nil && y != nil && Alike(x, y):
		return both
	case y == nil:
		return left
	case x == nil:
		return right
	case (x.Time == y.Time || (x.Time < y.Time) == (dir > 0)) && !later():
		return left
	}
	return right
}

// Pairs lines up two traces around an event of the first: h lines, of which the one at a place has it. Near an end there are fewer
// before it.
func Pairs(a, b Tape, seq evtchn.Seq, h, at int) []Pair {
	ev, err := a.Event(seq)
	if err != nil {
		return nil
	}
	r := AlignedTo(b, ev)
	here := Pair{Left: seq}
	before, after := r, r+1
	if e := event(b, r); e != nil && Alike(e, ev) {
		here.Right, before = r, r-1
	}
	list := run(a, b, Pair{seq - 1, before}, at, -1)
	slices.Reverse(list)
	list = append(list, here)
	return append(list, run(a, b, Pair{seq + 1, after}, h-len(list), 1)...)
}

// run gives the next n lines from a place on, in a direction.
func run(a, b Tape, from Pair, n, dir int) []Pair {
	var list []Pair
	move := func(s *evtchn.Seq) { *s = evtchn.Seq(int64(*s) + int64(dir)) }
	for len(list) < n {
		x, y := event(a, from.Left), event(b, from.Right)
		switch next(x, y, dir, func() bool { return hasAlike(b, from.Right, x, dir) }) {
		case nobody:
			return list
		case both:
			list = append(list, from)
			move(&from.Left)
			move(&from.Right)
		case left:
			list = append(list, Pair{Left: from.Left})
			move(&from.Left)
		case right:
			list = append(list, Pair{Right: from.Right})
			move(&from.Right)
		}
	}
	return list
}

// event gives an event, nil if the trace does not have it.
func event(t Tape, s evtchn.Seq) *evtchn.Event {
	if s < 1 || s > t.Len() {
		return nil
	}
	e, err := t.Event(s)
	if err != nil {
		return nil
	}
	return e
}

// hasAlike reports whether an event like one follows in a trace, in a direction, at the same moment.
func hasAlike(t Tape, s evtchn.Seq, ev *evtchn.Event, dir int) bool {
	for range sameMoment {
		e := event(t, s)
		if e == nil || e.Time != ev.Time {
			return false
		}
		if Alike(e, ev) {
			return true
		}
		s = evtchn.Seq(int64(s) + int64(dir))
	}
	return false
}
