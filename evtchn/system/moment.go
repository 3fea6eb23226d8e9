package system

import "github.com/evtrace/evtrace/evtchn"

// Moment is a turn that is about to come in a run: what somebody must know who wants it to come later.
type Moment struct {
	Turn  evtchn.Turn
	Which int // as sched.hold numbers it
	At    evtchn.Time
	Turns uint64     // that came before it: a sched.hold with that number comes right before it
	Next  evtchn.Seq // the number of its first event, if it has one
}

// Watch calls f before each turn of the run. Inputs are no turns: their events, which follow one with FlagInput, belong to nobody
// whom a sched.hold could let wait. Call it before the first Next.
func (s *System) Watch(f func(Moment)) { s.watch = f }

func (s *System) tellMoment(d *due) {
	t, which := s.turn(d)
	s.watch(Moment{t, which, s.now, s.turns, s.seq + 1})
}
