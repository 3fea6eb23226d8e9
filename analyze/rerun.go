package analyze

import (
	"context"
	"errors"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/replay/explore"
)

// tester runs changes, within limits.
type tester struct {
	ctx    context.Context
	opt    ButForOptions
	scene  *scene
	answer Answer
	order  int
}

// errLimit ends the trying of changes.
var errLimit = errors.New("analyze: internal error: a limit is reached")

// rerun follows one run of changed inputs up to what becomes of the finding's event.
type rerun struct {
	s      *scene
	a      *Analyzer
	strict bool // it is of no use unless the event is handled as it should be: no need to wait for luck

	made   []explore.Choice     // the schedule that was followed, of a bounded trace
	edited []evtchn.Event       // the inputs
	next   int                  // of those
	added  map[int]evtchn.Event // what became of those that were added, by place in edited
	nth    int                  // events so far that may have raised the finding's
	origin evtchn.Event         // what raised it
	path   evtchn.Context       // on whose path it is set pending
	pend   evtchn.Event         // PEND
	unmask evtchn.Event         // the first unmask after that
	owner  evtchn.VCPU          // of the port then
	taken  evtchn.Event         // the first delivery after that
	from   evtchn.Time          // since when it was exposed
	shown  bool                 // it was exposed
	wrong  Kind                 // of the finding about the event; "": none
	due    evtchn.Time          // when the event is to arise
	margin evtchn.Time          // how long to go on after the delivery, for violations
	settle evtchn.Seq           // the delivery that the next event of its vcpu settles
	events uint64
}

// overdue is how much later than recorded a bind may come before it is given up.
const overdue = evtchn.Time(10_000_000)

// run runs changed inputs until it is clear what becomes of the event, which is to arise by shift later than recorded. ok is false if
// the system did not take the inputs. Errors are errLimit and ctx's.
func (t *tester) run(e *Edit, strict bool, shift evtchn.Time) (*rerun, bool, error) {
	s := t.scene
	if t.answer.Runs >= t.opt.MaxRuns || t.answer.Events >= t.opt.MaxEvents {
		return nil, false, errLimit
	}
	t.answer.Runs++
	a, err := NewAnalyzer(s.meta, s.opt)
	if err != nil {
		return nil, false, err
	}
	r := &rerun{s: s, a: a, strict: strict && !s.violation(), added: make(map[int]evtchn.Event), due: s.origin.Time + shift}
	if s.violation() {
		r.margin = 2*(s.draftEnd()-s.origin.Time) + max(shift, 0) + 100_000
	}
	a.emitted = r.note
	if s.bounded != nil {
		r.made, err = s.bounded.run(e, r)
	} else {
		r.edited = e.Apply(s.in.Events)
		err = s.in.Run(t.ctx, r.edited, s.policy, r)
	}
	t.answer.Events += r.events
	if t.opt.Progress != nil {
		t.opt.Progress(t.answer.Events)
	}
	switch {
	case t.ctx.Err() != nil:
		return nil, false, t.ctx.Err()
	case err == nil:
		a.Finish()
	case err != errEnough:
		return nil, false, nil // the system has no actor for it
	}
	return r, true, nil
}

// violation reports whether the finding is about an event that was handled more than once, or by the wrong vcpu.
func (s *scene) violation() bool {
	switch s.f.Kind {
	case KindDuplicate, KindConcurrent, KindWrongVCPU:
		return true
	}
	return false
}

// draftEnd is when the finding's last event of the window was.
func (s *scene) draftEnd() evtchn.Time {
	if ev := s.at(s.f.NoticedSeq); ev != nil {
		return ev.Time
	}
	return s.origin.Time
}

// note takes the findings of the run that are about the event.
func (r *rerun) note(d *draft, e *ending) {
	if d.port != r.s.port || r.pend.Seq == 0 || d.pending.seq > r.pend.Seq || e.noticed.ok() && e.noticed.seq < r.pend.Seq || e.kind == KindUnknown {
		return
	}
	if r.wrong == "" || e.kind.rank() < r.wrong.rank() {
		r.wrong = e.kind
	}
	if d.exposed {
		r.from, r.shown = d.exposedAt, true
	}
}

// Add takes the next event of the run.
func (r *rerun) Add(ev *evtchn.Event) error {
	r.events++
	if ev.Input() && r.next < len(r.edited) {
		if r.edited[r.next].Seq == 0 {
			r.added[r.next] = *ev
		}
		r.next++
	}
	p := r.s.port
	if ev.Port == p && ev.Kind == evtchn.KindDeliver && r.pend.Seq != 0 && r.taken.Seq == 0 {
		r.taken, r.settle = *ev, ev.Seq
		if ps := r.a.state.PortAt(p); ps.ExposedSeq != 0 && !r.shown {
			r.from, r.shown = ps.ExposedAt, true
		}
	} else if r.settle != 0 && ev.VCPU == r.taken.VCPU {
		r.settle = 0
		if ev.Kind == evtchn.KindActiveXchg && ev.Res == 1 {
			r.taken = evtchn.Event{} // it stands back: the delivery is none
		}
	}
	if r.pend.Seq != 0 && r.unmask.Seq == 0 && ev.Port == p && (ev.Kind == evtchn.KindMaskClear || ev.Kind == evtchn.KindMaskTAC) {
		r.unmask, r.owner = *ev, r.a.state.PortAt(p).Owner
	}
	r.follow(ev)
	if err := r.a.Add(ev); err != nil {
		return err
	}
	switch {
	case r.origin.Seq == 0:
		if s := r.s; s.timed() && ev.Time > r.due || s.bounded == nil && ev.Time > r.due+overdue {
			return errEnough
		}
	case r.taken.Seq != 0 && r.settle == 0:
		if ev.Time >= r.taken.Time+r.margin {
			return errEnough
		}
	case r.strict && r.pend.Seq != 0:
		if d := r.a.port(p).draft; d != nil && d.looked {
			r.wrong = KindLost // or late, by luck
			return errEnough
		}
	}
	return nil
}

// follow looks for the event that raised the finding's, and for the setting of PEND that came of it.
func (r *rerun) follow(ev *evtchn.Event) {
	s := r.s
	switch {
	case r.origin.Seq == 0:
		if ev.Port == s.port && ev.Kind == s.origin.Kind && ev.Args[0] == s.origin.Args[0] {
			r.nth++
			if s.timed() && ev.Time == r.due || !s.timed() && r.nth == s.nth {
				r.origin, r.path = *ev, ev.Ctx
			}
		}
	case r.pend.Seq == 0:
		if ev.Cause == r.origin.Seq && ev.Ctx.Class() == evtchn.CtxForeign {
			r.path = ev.Ctx
		}
		if ev.Kind == evtchn.KindPendTAS && ev.Port == s.port && ev.Ctx == r.path && ev.VCPU == r.origin.VCPU {
			r.pend = *ev
		}
	}
}

// verdict is what is to be said of the event. known is false if the run does not tell.
func (r *rerun) verdict() (v Verdict, known bool) {
	switch r.wrong {
	case "":
		return VerdictClean, r.taken.Seq != 0
	case KindLost:
		return VerdictLost, true
	case KindLate:
		return VerdictLate, true
	}
	return VerdictViolated, true
}

// verdict is that of the finding.
func (s *scene) verdict() Verdict {
	switch s.f.Kind {
	case KindLost:
		return VerdictLost
	case KindLate:
		return VerdictLate
	}
	return VerdictViolated
}

// timed reports whether the event is known by when it arose. An event of a bind is known by the bind, which may come when its task gets to
// it, and without times it is known by its number.
func (s *scene) timed() bool { return s.bounded == nil && s.origin.Kind != evtchn.KindPortBind }

// input gives what became of the added input of that number, from 0; nil if it did not come.
func (r *rerun) input(n int) *evtchn.Event {
	for i := range r.edited {
		if r.edited[i].Seq != 0 {
			continue
		}
		if n--; n < 0 {
			if ev, ok := r.added[i]; ok {
				return &ev
			}
			return nil
		}
	}
	return nil
}
