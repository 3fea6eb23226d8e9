package analyze

import (
	"io"
	"slices"

	"github.com/evtrace/evtrace/evtchn"
)

// Limits of a story in events.
const (
	storySpan = 200 // so many events are looked at for what belongs to the story besides the evidence
	storyRows = 60  // so many are told
)

// Turn is a turning point of a finding.
type Turn string

// The turning points.
const (
	TurnExposed   Turn = "exposed"   // from here on somebody must look
	TurnUnnoticed Turn = "unnoticed" // nobody is going to look now
	TurnNoticed   Turn = "noticed"
)

// Text says the turning point in words.
func (t Turn) Text() string {
	switch t {
	case TurnExposed:
		return "from here on somebody must look"
	case TurnUnnoticed:
		return "nobody is going to look now"
	}
	return string(t)
}

// StoryEvent is an event of the story of a finding.
type StoryEvent struct {
	Event    evtchn.Event
	Evidence bool   // it is among the finding's evidence
	Turn     Turn   // "": none
	Skipped  uint64 // events before it that are left out, where that must be said
}

// FirstSeq is the number of the event at which the finding's story begins, 0 if it has none.
func (f *Finding) FirstSeq() evtchn.Seq {
	first := f.UnnoticedSeq
	for _, seq := range f.Evidence {
		if first == 0 || seq < first {
			first = seq
		}
	}
	return first
}

// Events tells a finding by its events: the evidence, and, up to the step at which the port went unnoticed, what else concerned the
// port or, once somebody had to look, the vcpu that looked away. It has at most 60 events. The source begins with the event
// FirstSeq, or before. Errors are those of the source.
func (f *Finding) Events(src evtchn.Source) ([]StoryEvent, error) {
	wanted := make(map[evtchn.Seq]bool)
	for _, seq := range f.Evidence {
		wanted[seq] = true
	}
	for _, seq := range []evtchn.Seq{f.UnnoticedSeq, f.NoticedSeq} {
		if seq != 0 {
			wanted[seq] = true
		}
	}
	if len(wanted) == 0 {
		return nil, nil
	}
	from, to := evtchn.Seq(0), evtchn.Seq(0)
	for seq := range wanted {
		if from == 0 || seq < from {
			from = seq
		}
		to = max(to, seq)
	}
	dense := f.UnnoticedSeq // up to there everything that belongs to it is told
	if dense < from || dense-from > storySpan {
		dense = 0
	}
	var list []StoryEvent
	exposed, left := false, uint64(0)
	var ev evtchn.Event
	for len(list) < storyRows {
		err := src.Next(&ev)
		if err == io.EOF || err == nil && ev.Seq > to {
			break
		}
		if err != nil {
			return nil, err
		}
		if ev.Seq < from {
			continue
		}
		near := ev.Seq <= dense && (ev.Port == f.Port || exposed && ev.VCPU >= 0 && ev.VCPU == f.UnnoticedVCPU)
		if !wanted[ev.Seq] && !near {
			left++
			continue
		}
		e := StoryEvent{Event: ev, Evidence: slices.Contains(f.Evidence, ev.Seq)}
		if len(list) > 0 && (ev.Seq > dense || !exposed) {
			e.Skipped = left
		}
		left = 0
		switch {
		case ev.Seq == f.UnnoticedSeq:
			e.Turn = TurnUnnoticed
		case ev.Seq == f.NoticedSeq:
			e.Turn = TurnNoticed
		case !exposed && ev.Port == f.Port && (ev.Kind == evtchn.KindMaskClear || ev.Kind == evtchn.KindMaskTAC) && e.Evidence:
			exposed, e.Turn = true, TurnExposed
		}
		list = append(list, e)
	}
	return list, nil
}
