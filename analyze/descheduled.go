package analyze

import "github.com/evtrace/evtrace/evtchn"

// waits keeps when a vcpu was descheduled: runnable, and without a physical CPU. Only a capture beside which the run states were
// recorded tells that (evtchn.KindRunState).
type waits struct {
	known bool        // a change was recorded
	on    bool        // it is descheduled now
	since evtchn.Time // with on
	last  [32]stretch // the last ones that have ended
	n     int         // how many have ended
}

type stretch struct{ from, to evtchn.Time }

// note takes a change of the vcpu's run state.
func (w *waits) note(to evtchn.RunState, at evtchn.Time) {
	if w.on && at > w.since {
		w.last[w.n%len(w.last)] = stretch{w.since, at}
		w.n++
	}
	w.known = true
	w.on, w.since = to == evtchn.Runnable, at
}

// within gives for how long of that time the vcpu was descheduled, or less if that was more often than is kept.
func (w *waits) within(from, to evtchn.Time) evtchn.Time {
	var sum evtchn.Time
	if w.on && w.since < to {
		sum = to - max(from, w.since)
	}
	for i := w.n - 1; i >= 0 && i >= w.n-len(w.last); i-- {
		s := w.last[i%len(w.last)]
		if s.to <= from {
			break
		}
		sum += max(min(s.to, to)-max(s.from, from), 0)
	}
	return sum
}

// late reports whether a delivery is past the bound. The time for which the vcpu that picked the port had no physical CPU is not the
// event channel's, and does not count; if that is what decides, the delivery is counted as excused.
func (a *Analyzer) late(pk *pick, exposedAt evtchn.Time) bool {
	delay := pk.at - exposedAt
	if a.opt.LateAfter <= 0 || delay <= a.opt.LateAfter {
		return false
	}
	if delay-a.v[pk.vcpu].waits.within(exposedAt, pk.at) <= a.opt.LateAfter {
		a.excused++
		return false
	}
	return true
}

// addLatency takes the delay of a delivery. exposedBy is the event that exposed the port, 0 if only the time is known.
func (a *Analyzer) addLatency(pk *pick, exposedAt evtchn.Time, exposedBy evtchn.Seq) {
	delay := pk.at - exposedAt
	if delay > evtchn.Time(a.latency.max) {
		a.maxDescheduled = a.v[pk.vcpu].waits.within(exposedAt, pk.at)
	}
	a.latency.add(delay, a.clock, exposedBy, &pk.step)
}
