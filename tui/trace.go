package tui

import (
	"context"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/evtchn"
)

// Trace is a recording of which every part can be read at once. Its methods may be called concurrently; a Source belongs to one
// goroutine. A trace of package store does all of this but PortRanges, which differs by a type.
type Trace interface {
	Meta() evtchn.Meta
	// Len is the number of events: their Seqs are 1 to Len.
	Len() uint64
	// Events streams the events from one on.
	Events(from evtchn.Seq) evtchn.Source
	// StateAt gives the state after an event, before the first with 0. The caller may change it.
	StateAt(seq evtchn.Seq) (*evtchn.State, error)
	// SeqAt gives the first event at or after a time, Len+1 if there is none.
	SeqAt(t evtchn.Time) (evtchn.Seq, error)
	// Keyframes lists the events after which a state can be had at little cost, in order.
	Keyframes() []evtchn.Seq
	// PortRanges lists the parts of the trace, in order, that may have events of a port: what lies outside has none.
	PortRanges(p evtchn.Port) []Range
}

// Range is a run of events, both ends included.
type Range struct{ First, Last evtchn.Seq }

// Rerun is a trace run again under another policy.
type Rerun struct {
	Policy string
	Trace  Trace
	Report *analyze.Report
	// Departure is the first event of the recording that does not happen under this policy, 0 if all do.
	Departure evtchn.Seq
	Close     func() // gives up what the trace takes; not nil
}

// Mark is a place that a reader has named.
type Mark struct {
	Name string      `json:"name"`
	Seq  evtchn.Seq  `json:"seq"`
	Port evtchn.Port `json:"port,omitempty"`
	Note string      `json:"note,omitempty"`
}

// Options say what the program shows and what it can do. The zero value works: it shows what the trace alone gives.
type Options struct {
	// Name of the trace, as the user gave it: for the title and for the commands that are suggested.
	Name string
	// Report is what is known to be wrong in the trace. With nil the program asks Analyze, in the background.
	Report *analyze.Report
	// Analyze judges the trace. progress may be called with the number of events that are done.
	Analyze func(ctx context.Context, progress func(events uint64)) (*analyze.Report, error)
	// Rerun runs the trace again under another policy. Nil: it cannot be done.
	Rerun func(ctx context.Context, p evtchn.Policy, progress func(events uint64)) (*Rerun, error)
	// ButFor asks what would have changed the verdict about a finding of the recording. Nil: it cannot be asked.
	ButFor func(ctx context.Context, f *analyze.Finding, progress func(events uint64)) (*analyze.Answer, error)
	// NoReturn finds the point of no return of a finding, for its story and the timeline; the finding is a copy. Nil: nobody looks for it.
	NoReturn func(ctx context.Context, f *analyze.Finding) (*analyze.NoReturn, error)
	// Marks of former readers, and a way to keep them; SaveMarks may be nil.
	Marks     []Mark
	SaveMarks func([]Mark) error
	// Save writes a range of events as text to a file. Nil: it cannot be done.
	Save func(name string, r Range) error
	// At is where to begin: an event, 0 for the first finding, or the beginning if there is none.
	At evtchn.Seq
	// Finding is the ID of the finding to begin with if At is 0, "" for the first of the worst kind.
	Finding string
	// Policy to show beside the recorded one from the beginning, "" for none.
	Policy string
	// Notice is shown first, such as that a file of marks was refused.
	Notice string
	// ASCII draws with ASCII characters alone.
	ASCII bool
	// Styles, nil for DefaultStyles.
	Styles *Styles

	_ struct{}
}
