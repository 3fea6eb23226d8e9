package explore

import "github.com/evtrace/evtrace/evtchn"

// Partial-order reduction: where a context's next step is its own (evtchn.Machine.Own), only that choice is tried.
//
// Why that loses nothing at rest. Let t be such a step, enabled in a world s, and let a schedule lead from s to a world at rest.
// At rest no procedure is under way on a vcpu that runs or will run, so the schedule contains t. Everything before t commutes with
// it, and is not disabled by it; so t can be moved to the front, and the schedule leads to the same world at rest in as many
// choices. By induction on the length every world at rest is reached, by a shortest schedule too. Nothing is put off for ever: the
// schedules that count are finite, and each step taken makes what is left of them shorter, so no proviso about cycles is needed.
//
// Why that loses no wrong step. A handler that begins twice, at once, or on a wrong vcpu is a choice v at the end of a schedule. If
// the schedule does not contain t, v can be made after t as well, since t disables nothing and v depends on nothing that t
// changes: steps on which these properties depend are not counted as own where the properties can be violated at all (Still.Ports).
// A schedule found in this way can have choices that it does not need; trim drops them.
//
// It is checked: the verdicts with and without it agree.

// still says what does not change in the system's schedules.
func (s *System) still() evtchn.Still {
	return evtchn.Still{Ports: s.fixed && s.policy.Upcall != evtchn.UpcallAny, Polls: !s.polls}
}

// reduce leaves of the choices of a world only what must be tried. own reports whether a context's step is its own.
func reduce(all []Choice, must int, own func(ctx int) bool) []Choice {
	for i := range must {
		if c := all[i]; c.Kind() == Step && own(c.Who()) {
			all[0] = c
			return all[:1]
		}
	}
	return all
}

// trim drops choices that a schedule to a wrong step does not need.
func (s *System) trim(schedule []Choice, kind Kinds) []Choice {
	for i := len(schedule) - 2; i >= 0; i-- {
		shorter := append(append([]Choice(nil), schedule[:i]...), schedule[i+1:]...)
		if s.leads(shorter, kind) {
			schedule = shorter
		}
	}
	return schedule
}

// leads reports whether a schedule can be made, and its last choice violates what kind says.
func (s *System) leads(schedule []Choice, kind Kinds) bool {
	w := s.Start()
	var all []Choice
	var bad Kinds
	for _, c := range schedule {
		all, _ = w.Choices(all[:0])
		ok := false
		for _, d := range all {
			ok = ok || c == d
		}
		if !ok {
			return false
		}
		bad = w.Do(c, nil)
	}
	return bad&kind != 0
}
