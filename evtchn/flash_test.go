package evtchn_test

import (
	"fmt"
	"testing"

	. "github.com/evtrace/evtrace/evtchn"
	"pgregory.net/rapid"
)

// lane is one level of a context: the tasks of a vcpu, the upcalls of a vcpu, a foreign path.
type lane struct {
	ctx    int
	upcall bool
}

// flashes watches a schedule for ports that are called unnoticed while somebody is in the middle of telling a vcpu about
// them: what a reader would see flash up in a trace. A port flashes if the step that ends its unnoticed stretch is one that
// tells a vcpu, and belongs to an operation that had begun with the port before the stretch did.
type flashes struct {
	s     *scheduled
	seen  int              // events of the log that were looked at
	op    map[lane]int     // which operation the lane is at
	about map[lane]Port    // which port that operation has exposed or found pending
	last  map[lane]Kind    // its step before
	open  map[Port]stretch // unnoticed ports
	found []string
}

type stretch struct {
	from  Event
	op    map[lane]int
	about map[lane]Port
}

func (f *flashes) started(ctx int) { f.op[lane{ctx, false}]++ }

func (f *flashes) look() {
	for ; f.seen < len(f.s.log); f.seen++ {
		ev := &f.s.log[f.seen]
		l := lane{ctx: int(ev.VCPU)}
		if ev.VCPU >= 0 {
			l.upcall = f.s.m.V[ev.VCPU].InUpcall || ev.Kind == KindUpcallExit
		} else {
			l.ctx = len(f.s.m.V) + ev.Ctx.Num()
		}
		before := f.last[l]
		f.last[l] = ev.Kind
		switch ev.Kind {
		case KindPendTAS, KindMaskClear, KindMaskTAC:
			f.op[l]++
			f.about[l] = ev.Port
		case KindDeliver, KindUpcallExit, KindOpDone, KindReturn:
			defer func() { f.op[l]++ }()
		}
		if ev.Ctx == CtxNone {
			continue
		}
		for _, p := range f.s.m.Changed() {
			now := f.s.m.Unnoticed(p)
			st, was := f.open[p]
			if now && !was {
				st = stretch{*ev, map[lane]int{}, map[lane]Port{}}
				for k, v := range f.op {
					st.op[k], st.about[k] = v, f.about[k]
				}
				f.open[p] = st
			} else if !now && was {
				delete(f.open, p)
				// A poller that is woken looks at UP too, but that is not what it is woken for.
				poller := before == KindPollTAC
				if tells(ev) && !poller && ev.Port == p && st.about[l] == p && st.op[l] == f.op[l] {
					f.found = append(f.found, fmt.Sprintf("port %d is unnoticed from %s to %s, by a procedure that was under way", p, line(&st.from), line(ev)))
				}
			}
		}
	}
}

// tells reports whether the event is a store or a kick that makes a vcpu look.
func tells(ev *Event) bool {
	switch ev.Kind {
	case KindSelTAS, KindUpTAS, KindUpWrite, KindIPI, KindBlockedTAC, KindRequestPush:
		return true
	}
	return false
}

// Under no policy is a port called unnoticed while a procedure is under way that goes on to tell a vcpu about it.
func TestUnnoticedDoesNotFlash(t *testing.T) {
	eachPolicy(t, func(t *rapid.T, policy string) {
		s := newScheduled(t, policy, rapid.SampledFrom([]int{4, 8}).Draw(t, "wordbits"))
		s.moves = rapid.Bool().Draw(t, "moves")
		f := &flashes{s: s, seen: len(s.log), op: map[lane]int{}, about: map[lane]Port{}, last: map[lane]Kind{}, open: map[Port]stretch{}}
		s.watch = f
		s.random(t, rapid.IntRange(10, 400).Draw(t, "n"))
		for _, e := range f.found {
			t.Errorf("%s", e)
		}
	})
}
