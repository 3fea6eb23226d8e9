package explore

import (
	"fmt"

	"github.com/evtrace/evtrace/evtchn"
)

// Race is the cause of a violation, by what its trace shows: one of the races that are inherent in the event-channel ABI, R1 to
// R10, or something else that has no number.
type Race struct {
	Number int // 0: none of those
	What   string
}

// String gives "R7 stale notify", or what it is without a number.
func (r Race) String() string {
	if r.Number == 0 {
		return r.What
	}
	return fmt.Sprintf("R%d %s", r.Number, r.What)
}

// The races, by number.
var races = [...]string{
	1:  "masked when it was set, unmasked by a vcpu that is not its own",
	2:  "the selector was taken by a vcpu that does not handle the port",
	3:  "the selector is set, the pending flag is not",
	4:  "swallowed: the port was pending already",
	5:  "cleared after its data was looked at",
	6:  "a store by another vcpu hid Xen's own kick",
	7:  "the sender told the vcpu that it had read before the port moved",
	8:  "the unmasker told itself, and the port had moved since it looked whose it was",
	9:  "sent to a port that was closed and bound anew meanwhile",
	10: "fell asleep on it",
}

func race(n int) Race { return Race{n, races[n]} }

// story is what a trace says of one port, up to its end.
type story struct {
	state  *evtchn.State
	port   evtchn.Port
	set    evtchn.Event // pend.tas that found it not pending
	sel    evtchn.Event // sel.tas for it since
	read   evtchn.Event // what the teller had read before of whose the port is: notify.read, owner.read, the entry of unmask
	looked evtchn.Event // word.read of the vcpu told, after the sel.tas
	moved  []evtchn.Event
	closed evtchn.Seq
	drop   bool
}

// Classify says what the violation at the end of a trace comes from. It goes by the trace alone.
func Classify(tr *Trace, kind Kinds) Race {
	s, err := evtchn.NewState(tr.Meta)
	if err != nil {
		return Race{What: err.Error()}
	}
	for i := range tr.Events {
		s.Apply(&tr.Events[i])
	}
	switch kind {
	case Lost:
		for _, p := range s.ExposedPorts() {
			if s.Unnoticed(p) {
				return tell(tr, s, p).lost()
			}
		}
	case Unserved:
		return unserved(tr, s)
	case Asleep:
		for _, p := range s.ExposedPorts() {
			if s.Unnoticed(p) {
				if r := tell(tr, s, p).lost(); r.Number != 0 {
					return r
				}
			}
		}
		return race(10)
	case Duplicate, Concurrent, WrongVCPU:
		return picked(tr)
	case Invariant:
		return invariant(tr, s)
	}
	return Race{What: "unknown"}
}

// lane tells apart whose step an event is: a vcpu's, or a foreign path's.
func lane(ev *evtchn.Event) int {
	if ev.VCPU >= 0 {
		return int(ev.VCPU)
	}
	return -1 - ev.Ctx.Num()
}

// byGuest reports whether a step is the guest's own, not the hypervisor's.
func byGuest(ev *evtchn.Event) bool {
	return ev.Ctx.Class() == evtchn.CtxTask || ev.Ctx.Class() == evtchn.CtxUpcall
}

// tell collects a port's story.
func tell(tr *Trace, s *evtchn.State, p evtchn.Port) *story {
	st := &story{state: s, port: p}
	reads := make(map[int]evtchn.Event)
	for i := range tr.Events {
		ev := tr.Events[i]
		if ev.Kind == evtchn.KindWordRead && st.sel.Seq != 0 && ev.VCPU == st.sel.Target() && int(ev.Args[0]) == s.Word(p) {
			st.looked = ev
		}
		if ev.Port != p {
			continue
		}
		switch ev.Kind {
		case evtchn.KindNotifyRead, evtchn.KindOwnerRead:
			reads[lane(&ev)] = ev
		case evtchn.KindHypercall:
			if evtchn.Hypercall(ev.Args[0]) == evtchn.HCUnmask {
				reads[lane(&ev)] = ev
			}
		case evtchn.KindPendTAS:
			if ev.Res == 0 {
				st.set, st.sel, st.looked = ev, evtchn.Event{}, evtchn.Event{}
				st.read = reads[lane(&ev)]
			}
		case evtchn.KindSelTAS:
			st.sel, st.looked = ev, evtchn.Event{}
			st.read = reads[lane(&ev)]
		case evtchn.KindPortVCPU, evtchn.KindOwnerWrite, evtchn.KindAcceptClear:
			if i >= tr.Beginning {
				st.moved = append(st.moved, ev)
			}
		case evtchn.KindPortClose:
			if i >= tr.Beginning {
				st.closed = ev.Seq
			}
		case evtchn.KindDrop:
			st.drop = true
		}
	}
	return st
}

// movedBetween reports whether Xen's or the guest's record of the port changed between two events.
func (st *story) movedBetween(from, to evtchn.Seq) bool {
	for i := range st.moved {
		if q := st.moved[i].Seq; q > from && q < to {
			return true
		}
	}
	return false
}

// lost says why nobody looks at the port.
func (st *story) lost() Race {
	s, p := st.state, st.port
	setBy := st.readBefore(st.set)
	if st.closed != 0 && setBy != 0 && setBy < st.closed && st.set.Seq > st.closed {
		return race(9)
	}
	if st.sel.Seq == 0 {
		return Race{What: "nobody was told"}
	}
	t := st.sel.Target()
	vc := &s.V[t]
	if s.Selected(t, s.Word(p)) == evtchn.One {
		switch {
		case byGuest(&st.sel) && st.sel.VCPU != t, vc.Up == evtchn.One:
			return race(6)
		case st.sel.Res == 1 || vc.Up != evtchn.One:
			if st.remoteSel(t) {
				return race(6)
			}
			return race(3)
		}
		return race(10)
	}
	end := st.looked.Seq
	if end == 0 {
		end = s.Seq
	}
	switch {
	case byGuest(&st.sel) && st.read.Kind == evtchn.KindOwnerRead && st.movedBetween(st.read.Seq, end):
		return race(8)
	case byGuest(&st.sel) && st.movedBetween(st.sel.Seq, end):
		return race(2)
	case byGuest(&st.sel) && s.Accepts(t, p) != evtchn.One:
		return race(1)
	case !byGuest(&st.sel) && st.read.Seq != 0 && st.vcpuBetween(st.read.Seq, st.sel.Seq):
		return race(7)
	}
	return race(2)
}

// remoteSel reports whether a vcpu's selector bit may have been set by another vcpu's guest code.
func (st *story) remoteSel(t evtchn.VCPU) bool {
	by := st.state.V[t].SelBy[st.state.Word(st.port)]
	return by != evtchn.NoPort && st.sel.Res == 0 && byGuest(&st.sel) || by != st.port
}

// vcpuBetween reports whether Xen's record of the port's vcpu changed between two events.
func (st *story) vcpuBetween(from, to evtchn.Seq) bool {
	for i := range st.moved {
		if ev := &st.moved[i]; ev.Kind == evtchn.KindPortVCPU && ev.Seq > from && ev.Seq < to {
			return true
		}
	}
	return false
}

// readBefore is when whoever set the port pending had looked at its record.
func (st *story) readBefore(set evtchn.Event) evtchn.Seq {
	if st.read.Seq != 0 && lane(&st.read) == lane(&set) && st.read.Seq < set.Seq {
		return st.read.Seq
	}
	return 0
}

// unserved says why nobody looked at an event's data although no port goes unnoticed.
func unserved(tr *Trace, s *evtchn.State) Race {
	for _, p := range s.ExposedPorts() {
		if s.Unnoticed(p) {
			return tell(tr, s, p).lost()
		}
	}
	closed := false
	for i := len(tr.Events) - 1; i >= tr.Beginning; i-- {
		ev := &tr.Events[i]
		switch {
		case ev.Kind == evtchn.KindPortClose:
			closed = true
		case ev.Kind == evtchn.KindDrop:
			return Race{What: "handled before anybody had it open: dropped"}
		case ev.Kind == evtchn.KindSend && ev.Port == evtchn.NoPort && !closed:
			return Race{What: "sent before the port was bound: dropped"}
		}
	}
	if closed {
		return race(9)
	}
	return race(5)
}

// picked says how a handler came to begin twice, at once, or on the wrong vcpu.
func picked(tr *Trace) Race {
	if p, err := evtchn.ParsePolicy(tr.Meta.Policy); err == nil && p.Upcall == evtchn.UpcallAny {
		return Race{What: "every vcpu takes every port"}
	}
	moved := false
	for i := tr.Beginning; i < len(tr.Events); i++ {
		moved = moved || tr.Events[i].Kind == evtchn.KindPortVCPU || tr.Events[i].Kind == evtchn.KindOwnerWrite
	}
	if moved {
		return Race{What: "the port moved while its handler ran"}
	}
	return Race{What: "two vcpus took the port"}
}

func invariant(tr *Trace, s *evtchn.State) Race {
	for _, v := range s.Check() {
		switch v.Invariant {
		case evtchn.InvFreePort:
			return race(9)
		case evtchn.InvSelected:
			return race(3)
		case evtchn.InvNoticed:
			return tell(tr, s, v.Port).lost()
		default:
			return Race{What: v.Invariant.String()}
		}
	}
	return Race{What: "unknown"}
}
