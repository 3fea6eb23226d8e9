package evtchn

import (
	"fmt"
	"io"
)

// Event is one step of a trace: an indivisible memory operation, or something that reached the machine from outside. What
// Args and Res mean depends on the kind: see Kind.Spec.
type Event struct {
	Seq   Seq
	Time  Time
	Args  [3]uint64
	Res   uint64
	Cause Seq // the event that made this one happen; 0: the one before it in its context
	Port  Port
	VCPU  VCPU // the vcpu that executed the step
	Dom   DomID
	Ctx   Context
	Kind  Kind
	Flags Flags
}

// Flags qualify an event.
type Flags uint8

// Event flags.
const (
	FlagInput    Flags = 1 << iota // came from outside the machine: replay feeds it in, and recomputes everything else
	FlagInferred                   // not in the capture: the importer deduced it
	FlagForeign                    // concerns another domain's end of a channel
)

// Has reports whether all flags of f are set.
func (fl Flags) Has(f Flags) bool { return fl&f == f }

// Input reports whether the event came from outside the machine.
func (e *Event) Input() bool { return e.Flags&FlagInput != 0 }

// Inferred reports whether an importer deduced the event.
func (e *Event) Inferred() bool { return e.Flags&FlagInferred != 0 }

// Bit gives the result as a three-valued bit.
func (e *Event) Bit() Bit {
	if e.Res > 1 {
		return Unknown
	}
	return Bit(e.Res)
}

// Target gives the vcpu that the event acts on: the argument of that name where the kind has one, else the event's own vcpu.
func (e *Event) Target() VCPU {
	if e.Kind.Spec().target {
		return VCPU(int16(e.Args[0]))
	}
	return e.VCPU
}

// String gives a short form for messages, e.g. "#106 1205100 v3 mask.clear port 65". The text form of a trace is in
// package text.
func (e Event) String() string {
	s := fmt.Sprintf("#%d %d v%d %s", e.Seq, e.Time, e.VCPU, e.Kind)
	if e.Port != NoPort {
		s += fmt.Sprintf(" port %d", e.Port)
	}
	return s
}

// Source is an ordered stream of events. Next fills ev and returns nil; it returns io.EOF at a clean end, and an error that
// names the place for anything else.
type Source interface {
	Next(ev *Event) error
}

// List is a source of events that are in memory: it gives its first and drops it.
type List []Event

// Next gives the next event, or io.EOF after the last.
func (l *List) Next(ev *Event) error {
	if len(*l) == 0 {
		return io.EOF
	}
	*ev, *l = (*l)[0], (*l)[1:]
	return nil
}

// Sink takes events in order. The event is only valid during the call.
type Sink interface {
	Add(ev *Event) error
}
