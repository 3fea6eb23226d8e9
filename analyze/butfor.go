package analyze

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/replay"
	"github.com/evtrace/evtrace/replay/explore"
)

// Counterfactual is a change of what reached a recorded system that changes what becomes of a finding's event. It was run.
type Counterfactual struct {
	Text          string      `json:"text"`    // a sentence; the events that it names are those of the recording
	Verdict       Verdict     `json:"verdict"` // about the event: clean, if it would have been handled as it should be
	Delay         *int64      `json:"delay"`   // from its exposure to its handler; null: it would not have been handled, or was not exposed
	DeliveredAt   *int64      `json:"delivered_at"`
	DeliveredVCPU evtchn.VCPU `json:"delivered_vcpu"` // -1: it would not have been handled
	Edit          Edit        `json:"edit"`

	size  int         // how many things are changed
	shift evtchn.Time // and by how much the times of those that there are
	order int         // in which they were thought of
}

// Edit says which inputs of a recording are others, or which schedule is followed in place of the recorded one.
type Edit struct {
	Kind     EditKind     `json:"kind"`
	LeaveOut []evtchn.Seq `json:"leave_out"`          // inputs of the recording, by number
	Add      []string     `json:"add"`                // inputs in the text form, numbered 0: each goes before the recorded ones of its time
	Schedule string       `json:"schedule,omitempty"` // of a bounded trace, as it was followed

	added    []evtchn.Event
	schedule []explore.Choice
}

// EditKind is a kind of change.
type EditKind string

// The kinds of change.
const (
	EditRunThere  EditKind = "run-there"  // the unmask runs on another vcpu
	EditBindThere EditKind = "bind-there" // the port is bound to another vcpu before the unmask
	EditRing      EditKind = "ring"       // another port rings
	EditSend      EditKind = "send"       // the event comes earlier or later
	EditShift     EditKind = "shift"      // another input comes earlier or later
	EditLeaveOut  EditKind = "leave-out"  // an input does not come
	EditHold      EditKind = "hold"       // a vcpu comes to its next step later
	EditOrder     EditKind = "order"      // one choice of a schedule is made earlier or later
)

// Apply gives the inputs with the change made. The list that it is given stays as it is.
func (e *Edit) Apply(inputs []evtchn.Event) []evtchn.Event {
	out := slices.Clone(e.added)
	for i := range inputs {
		if !slices.Contains(e.LeaveOut, inputs[i].Seq) {
			out = append(out, inputs[i])
		}
	}
	slices.SortStableFunc(out, func(a, b evtchn.Event) int {
		switch {
		case a.Time < b.Time:
			return -1
		case a.Time > b.Time:
			return 1
		}
		return 0
	})
	return out
}

// ButForOptions bound the work of ButFor. The zero value is good.
type ButForOptions struct {
	Options           // how the recording was judged
	MaxRuns    int    // 0: 200, or 20,000 of a schedule, whose runs are short
	MaxEvents  uint64 // of all runs together; 0: 8,000,000
	MaxAnswers int    // 0: 8
	Progress   func(events uint64)
	_          struct{}
}

// Limits of ButFor that hold if none are given.
const (
	defaultButForRuns    = 200
	boundedButForRuns    = 20_000
	defaultButForEvents  = 8_000_000
	defaultButForAnswers = 8
)

// Answer is what ButFor found.
type Answer struct {
	Held []Counterfactual // those that change the verdict, the smallest change first
	Work
}

// Work is what it took to find an answer.
type Work struct {
	Tried   int    `json:"tried"`   // changes that were run, each at several times if need be
	Dropped int    `json:"dropped"` // of those, such as no run carried out as they were meant
	Untried int    `json:"untried"` // changes that were not tried because a limit was reached
	Runs    int    `json:"runs"`
	Events  uint64 `json:"events"` // of all runs
}

// Note says that not everything was tried, or "" if everything was.
func (a *Answer) Note() string {
	if a.Untried == 0 {
		return ""
	}
	were := "were"
	if a.Untried == 1 {
		were = "was"
	}
	return fmt.Sprintf("%s %s not tried: after %s of %s in all the limit was reached", count(uint64(a.Untried), "further change"), were,
		count(uint64(a.Runs), "run"), count(a.Events, "event"))
}

// none says that nothing was found, or "" if something was.
func (a *Answer) none() string {
	switch n := a.Tried - a.Dropped; {
	case len(a.Held) > 0 || n == 0:
		return ""
	case n == 1:
		return "the 1 change that was tried would not have changed it"
	default:
		return fmt.Sprintf("none of the %s that were tried would have changed it", count(uint64(n), "change"))
	}
}

// SetButFor puts an answer into the finding.
func (f *Finding) SetButFor(a *Answer) {
	f.ButFor, f.ButForNote, f.ButForWork = a.Held, a.Note(), &a.Work
	if s := a.none(); s != "" && f.ButForNote != "" {
		f.ButForNote = s + "; " + f.ButForNote
	} else if s != "" {
		f.ButForNote = s
	}
}

// ButForStory gives the sentences about what would have changed the verdict, for a reader; none if nobody asked.
func (f *Finding) ButForStory() []string {
	var story []string
	for i := range f.ButFor {
		story = append(story, f.ButFor[i].Text)
	}
	if f.ButForNote != "" {
		story = append(story, f.ButForNote+".")
	}
	return story
}

// ErrNotReproduced is the error for a recording whose inputs do not lead to its finding: another version made it.
var ErrNotReproduced = errors.New("running the recording again does not lead to the finding: nothing can be said of what would have changed it")

// ButFor asks what would have changed the verdict about a finding's event. It makes changes of the recording's inputs from the
// finding's story, one at a time, runs each, and keeps those after which the event is handled as it should be, or ends otherwise
// than it did. It speaks of this one event; what becomes of others after the change it does not say. Errors are
// replay.ErrObserved for a capture, ErrNotReproduced, those of the trace, and ctx's.
func ButFor(ctx context.Context, tr replay.Trace, f *Finding, opt ButForOptions) (*Answer, error) {
	if opt.MaxRuns <= 0 {
		opt.MaxRuns = defaultButForRuns
		if tr.Meta().Schedule != "" {
			opt.MaxRuns = boundedButForRuns
		}
	}
	if opt.MaxEvents == 0 {
		opt.MaxEvents = defaultButForEvents
	}
	if opt.MaxAnswers <= 0 {
		opt.MaxAnswers = defaultButForAnswers
	}
	meta := tr.Meta()
	if meta.Source != evtchn.SourceSim {
		return nil, replay.ErrObserved
	}
	t := &tester{ctx: ctx, opt: opt}
	if f.Kind == KindUnknown {
		return &t.answer, nil
	}
	var err error
	if t.scene, err = newScene(ctx, tr, f, opt.Options); err != nil {
		return nil, err
	}
	t.answer.Events += t.scene.events
	if err := t.all(t.scene.changes()); err != nil {
		return nil, err
	}
	if len(t.answer.Held) == 0 && t.scene.bounded != nil {
		if err := t.all(t.scene.reordered(true)); err != nil {
			return nil, err
		}
	}
	t.finish()
	return &t.answer, nil
}

// finish puts the answers in order: the smallest change first.
func (t *tester) finish() {
	held := t.answer.Held
	slices.SortStableFunc(held, func(a, b Counterfactual) int {
		switch {
		case a.Verdict != b.Verdict:
			return a.Verdict.weight() - b.Verdict.weight()
		case a.size != b.size:
			return a.size - b.size
		case a.shift != b.shift:
			if a.shift < b.shift {
				return -1
			}
			return 1
		}
		return a.order - b.order
	})
	t.answer.Held = held[:min(len(held), t.opt.MaxAnswers)]
	if t.answer.Held == nil {
		t.answer.Held = []Counterfactual{}
	}
}
