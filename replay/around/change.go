package around

import (
	"fmt"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/text"
)

// ChangeKind is a way in which a neighbour differs.
type ChangeKind uint8

// The kinds of change.
const (
	Reorder ChangeKind = iota // a step comes after a later one of another context, on which it depends
	Swap                      // two inputs change places
	Preempt                   // a vcpu loses its physical CPU right before a step
	Hold                      // what is no step of a vcpu comes later: a kick, a wakeup, a path of the hypervisor
	Choose                    // of an explored schedule: another choice
)

var changeNames = [...]string{"reorder", "swap", "preempt", "hold", "choose"}

// String gives the kind's name.
func (k ChangeKind) String() string { return changeNames[k] }

// Change is one difference of a neighbour from the run that it was made of: the recording, or a neighbour with fewer changes.
type Change struct {
	Kind  ChangeKind
	First evtchn.Event // the step that was held back; with Choose, the first event of what the recording chose
	Then  evtchn.Event // Reorder, Swap: what came before it instead; Choose: the first event of the other choice
	For   evtchn.Time  // Preempt, Hold: how long
	Turn  evtchn.Turn  // whose turn was held
	Which int
}

// Text says what was changed, with the numbers of the steps.
func (c *Change) Text(meta *evtchn.Meta) string { return c.text(meta, true) }

// Group says it without numbers and contexts: what changes of the same kind have in common.
func (c *Change) Group(meta *evtchn.Meta) string { return c.text(meta, false) }

func (c *Change) text(meta *evtchn.Meta, seqs bool) string {
	first, then := name(&c.First, meta, seqs), name(&c.Then, meta, seqs)
	switch c.Kind {
	case Reorder:
		return first + " after " + then
	case Swap:
		return first + " after " + then + " (inputs)"
	case Preempt:
		return fmt.Sprintf("v%d preempted for %s before %s", c.Which, span(c.For), first)
	case Hold:
		return fmt.Sprintf("%s %s late", first, span(c.For))
	}
	return then + " instead of " + first
}

// name names a step: "v5 mask.clear 65 (#12363)".
func name(ev *evtchn.Event, meta *evtchn.Meta, seq bool) string {
	who := "xen"
	switch {
	case ev.VCPU != evtchn.NoVCPU:
		who = fmt.Sprintf("v%d", ev.VCPU)
	case ev.Ctx == evtchn.CtxNone && ev.Target() != evtchn.NoVCPU:
		who = fmt.Sprintf("v%d's", ev.Target())
	case ev.Ctx == evtchn.CtxNone:
		who = "the"
	}
	s := who + " " + ev.Kind.String()
	if p := string(text.AppendPort(nil, ev)); p != "-" && p != "" {
		s += " " + p
	}
	if seq && ev.Seq > 0 {
		s += fmt.Sprintf(" (#%d)", ev.Seq)
	}
	return s
}

// span writes a time of the simulation, which counts nanoseconds.
func span(t evtchn.Time) string {
	switch {
	case t < 1_000:
		return fmt.Sprintf("%d ns", t)
	case t < 1_000_000:
		return fmt.Sprintf("%.4g us", float64(t)/1e3)
	}
	return fmt.Sprintf("%.4g ms", float64(t)/1e6)
}
