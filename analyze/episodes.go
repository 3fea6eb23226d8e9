package analyze

import "github.com/evtrace/evtrace/evtchn"

// Every episode that a trace shows ends in exactly one of the ways that Totals counts, so that they add up: see Totals.Balance. A
// portTrack is open while its episode has not ended yet.

// opened counts the beginning of an episode. One that is open still has ended unseen: PEND had been clear in between.
func (a *Analyzer) opened(t *portTrack) {
	a.cleared(t)
	a.totals.Episodes++
	t.open, t.used = true, true
	if a.opt.Episode != nil {
		a.noteUse(t.port, t)
	}
}

// sinceBefore counts an episode of which the trace shows that it is under way, and not where it began.
func (a *Analyzer) sinceBefore(t *portTrack) {
	if !t.open && !t.delivered {
		a.totals.SinceBefore++
		a.opened(t)
	}
}

// cleared ends an episode of which no delivery was seen.
func (a *Analyzer) cleared(t *portTrack) {
	if t.open {
		t.open = false
		a.totals.Cleared++
		a.ended(t, EndCleared, false)
	}
}

// picked counts a delivery, and ends the episode with it if it is the first.
func (a *Analyzer) picked(t *portTrack) {
	a.totals.Delivered++
	if a.state.Observed && !t.pickedS.ok() {
		a.sinceBefore(t)
	}
	if !t.open {
		a.totals.DeliveredAgain++
	}
	a.ended(t, EndDelivered, !t.open)
	t.open = false
}

// closed ends an episode with its port.
func (a *Analyzer) closed(t *portTrack) {
	if t.open {
		t.open = false
		a.totals.Closed++
		a.ended(t, EndClosed, false)
	}
}

// standing counts what the end of the trace leaves of the port's episode. decided tells that it is known whether somebody will look.
func (a *Analyzer) standing(p evtchn.Port, t *portTrack, decided bool) {
	s := a.state
	if s.Pending(p) == evtchn.One {
		a.sinceBefore(t)
	}
	if !t.open {
		return
	}
	t.open = false
	tot, end := &a.totals, EndInFlight
	switch {
	case s.Pending(p) == evtchn.Zero:
		tot.Cleared++
		end = EndCleared
	case s.Pending(p) == evtchn.One && s.Masked(p) == evtchn.One:
		tot.MaskedAtEnd++
		end = EndMasked
	case !s.Exposed(p) || !decided:
		tot.UnclearAtEnd++
		end = EndUnclear
	case s.Unnoticed(p):
		tot.UnnoticedAtEnd++
		end = EndUnnoticed
	default:
		tot.InFlight++
	}
	a.ended(t, end, false)
}

// Balance is 0: the episodes less all the ways in which they ended.
func (t *Totals) Balance() int64 {
	return int64(t.Episodes) - int64(t.Delivered-t.DeliveredAgain) - int64(t.Cleared+t.Closed+t.InFlight+t.MaskedAtEnd+t.UnnoticedAtEnd+t.UnclearAtEnd)
}
