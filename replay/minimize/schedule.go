package minimize

import (
	"context"
	"slices"

	"github.com/evtrace/evtrace/replay/explore"
)

// Schedule makes a schedule of a bounded system small: the fewest choices, then the fewest changes from one vcpu or path to another. A
// choice that cannot be made when its turn comes is passed over. Errors are ErrGone, and those of the test, which is given what happens.
func Schedule(ctx context.Context, sys *explore.System, whole []explore.Choice, test func(context.Context, *explore.Trace) (Fact, error),
	opt Options) (*Result[explore.Choice], error) {
	s, err := start(ctx, whole, func(ctx context.Context, c []explore.Choice) (Fact, error) {
		return test(ctx, sys.Part(c))
	}, &opt)
	if err != nil {
		return nil, err
	}
	if !s.fact.Holds {
		return nil, ErrGone
	}
	sc := schedule{s, sys}
	none := func(*explore.Choice) bool { return false }
	minimal, exact := false, false
	for range maxRounds {
		s.phase = "choices"
		sc.made()
		s.reduce(s.singles(none))
		sc.made()
		if sc.switches() && !s.over() {
			continue
		}
		minimal = !s.over()
		s.phase = "sets"
		var fewer bool
		if exact, fewer = s.exact(none); !fewer {
			break
		}
		minimal, exact = false, false
	}
	sc.made()
	r, err := s.result()
	if r != nil {
		r.Minimal, r.Exact = minimal && !r.Stopped, exact && !r.Stopped
	}
	return r, err
}

// schedule is a search over the choices of a schedule.
type schedule struct {
	*search[explore.Choice]
	sys *explore.System
}

// made drops choices that are passed over.
func (s *schedule) made() { s.best = s.sys.Part(s.best).Made }

// switches brings choices of the same vcpu or path together. It reports whether anything became better.
func (s *schedule) switches() bool {
	s.phase = "switches"
	changed := false
	for again := true; again && !s.over(); {
		base, have, n := s.best, s.fact.Switches, len(s.best)
		// Every choice is tried at every other place: a schedule is short.
		k := s.first(n*n, func(k int) []explore.Choice {
			from, to := k/n, k%n
			if from == to || from == to+1 {
				return nil // the same as moving the other
			}
			c := slices.Clone(base)
			el := c[from]
			c = slices.Delete(c, from, from+1)
			return slices.Insert(c, to, el)
		}, func(f *Fact) bool { return f.Holds && f.Switches < have })
		if again = k >= 0; again {
			changed = true
			s.made()
		}
	}
	return changed
}
