package explore

import (
	"errors"
	"fmt"
	"math/bits"
	"strings"

	"github.com/evtrace/evtrace/evtchn"
)

// Kinds is a set of kinds of violation, or of properties to check: each kind stands for the property that it does not happen.
type Kinds uint8

// The kinds of violation.
const (
	Lost       Kinds = 1 << iota // at rest, a port is pending and unmasked, and nobody will look
	Unserved                     // at rest, an event has come and its data has not been looked at since
	Asleep                       // at rest, a vcpu or a task sleeps on what is there
	Duplicate                    // a handler begins for an event that was picked already
	WrongVCPU                    // a handler begins on a vcpu that does not accept the port
	Concurrent                   // a handler begins while another vcpu is in it
	Invariant                    // at rest, an invariant of evtchn.State.Check does not hold, apart from what Lost says

	AllKinds = Lost | Unserved | Asleep | Duplicate | WrongVCPU | Concurrent | Invariant

	AtRest = Lost | Unserved | Asleep | Invariant // those that are judged at rest, not at a step
)

var kindNames = []string{"lost", "unserved", "asleep", "duplicate", "wrong-vcpu", "concurrent", "invariant"}

// Names lists the kinds of the set, the worst first.
func (k Kinds) Names() []string {
	names := []string{}
	for i, name := range kindNames {
		if k>>i&1 != 0 {
			names = append(names, name)
		}
	}
	return names
}

// String gives the names with commas between them.
func (k Kinds) String() string { return strings.Join(k.Names(), ",") }

// Each calls f for every kind of the set, the worst first.
func (k Kinds) Each(f func(Kinds)) {
	for ; k != 0; k &= k - 1 {
		f(1 << bits.TrailingZeros8(uint8(k)))
	}
}

// ErrProperty is the class of errors about a property that there is not.
var ErrProperty = errors.New("no such property")

// ParseKinds reads a list of kinds such as "lost,duplicate", or "all".
func ParseKinds(list string) (Kinds, error) {
	var ks Kinds
	for _, name := range strings.Split(list, ",") {
		name = strings.TrimSpace(name)
		if name == "all" {
			ks = AllKinds
			continue
		}
		found := false
		for i, n := range kindNames {
			if n == name {
				ks |= 1 << i
				found = true
			}
		}
		if !found {
			return 0, fmt.Errorf("%w: %q%s; properties: all, %s", ErrProperty, name, evtchn.Suggest(name, kindNames), strings.Join(kindNames, ", "))
		}
	}
	return ks, nil
}

// watch judges the step that is about to be committed, with the machine's memory as it was before it.
func (w *World) watch(ev *evtchn.Event) {
	if w.sys.fixed && w.sys.policy.Upcall != evtchn.UpcallAny {
		return // one vcpu accepts the port for ever, and does one thing after the other
	}
	m := w.m
	switch {
	case ev.Kind == evtchn.KindDeliver && (w.sys.policy.Ack == evtchn.Ack2005 || m.PortAt(ev.Port).Handler == evtchn.HandlerPerCPU):
	case ev.Kind == evtchn.KindActiveXchg && ev.Res == 0:
	default:
		return
	}
	p := ev.Port
	if m.PortAt(p).Status == evtchn.PortFree {
		return // closed meanwhile: an event of nobody's
	}
	if m.Pending(p) == evtchn.Zero {
		w.bad |= Duplicate
	}
	if w.alone != nil {
		w.alone.asked = p
	}
	for v := range evtchn.VCPU(len(m.V)) {
		if v != ev.VCPU {
			w.bad |= meets(m, v, p)
		}
	}
	if w.sys.policy.Upcall == evtchn.UpcallAny && m.PortAt(p).Owner != ev.VCPU && m.Accepts(ev.VCPU, p) == evtchn.Zero {
		w.bad |= WrongVCPU // under the others nobody picks what he does not accept
	}
}

// meets says what is wrong if a handler of the port begins while vcpu v is where it is.
func meets(m *evtchn.Machine, v evtchn.VCPU, p evtchn.Port) Kinds {
	switch in, cleared := m.InHandler(v, p); {
	case !in:
		return 0
	case cleared:
		return Concurrent
	}
	return Concurrent | Duplicate
}

// Judge says what is wrong with a world at rest.
func (w *World) Judge() Kinds {
	will, able := w.willing(), w.sys.able(w.m)
	return judge(&will, &able, judgeShared(w.m))
}

// judge puts together what is wrong: with the actors, and with what the contexts share.
func judge(w *willing, a *able, shared Kinds) Kinds {
	if w.unserved {
		shared |= Unserved
	}
	if w.asleep&a.queued != 0 {
		shared |= Asleep
	}
	return shared
}

// judgeShared says what is wrong, at rest, with what the contexts share.
func judgeShared(m *evtchn.Machine) (k Kinds) {
	for _, p := range m.ExposedPorts() {
		if m.Unnoticed(p) {
			k |= Lost
		}
	}
	for v := range m.V {
		if vc := &m.V[v]; vc.Run == evtchn.Polling && vc.PollPort != evtchn.NoPort && m.Pending(vc.PollPort) == evtchn.One {
			k |= Asleep
		}
	}
	for _, v := range m.Check() {
		switch v.Invariant {
		case evtchn.InvNoticed:
		case evtchn.InvAwake:
			k |= Asleep
		default:
			k |= Invariant
		}
	}
	return k
}

// Violations says in words what Judge found, the worst first.
func (w *World) Violations() []string {
	var out []string
	m := w.m
	for i := range w.ports {
		if w.ports[i].data {
			out = append(out, fmt.Sprintf("port %s (%d): an event came, and nobody has looked since at what it was about", w.sys.b.Ports[i].Name, w.ports[i].port))
		}
	}
	for v := range m.V {
		if vc := &m.V[v]; vc.Run == evtchn.Polling && vc.PollPort != evtchn.NoPort && m.Pending(vc.PollPort) == evtchn.One {
			out = append(out, fmt.Sprintf("vcpu %d polls port %d, which is pending", v, vc.PollPort))
		}
	}
	for t := range w.tasks {
		if w.tasks[t].asleep && len(m.Queued(t)) > 0 {
			out = append(out, fmt.Sprintf("task %s sleeps in select, and port %d is queued for it", w.sys.b.Tasks[t].Name, m.Queued(t)[0]))
		}
	}
	for _, v := range m.Check() {
		out = append(out, v.String())
	}
	return out
}
