package explore

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/evtrace/evtrace/evtchn"
)

// Trace is a schedule carried out: a complete trace, from the coming up of the vcpus to the end of the schedule.
type Trace struct {
	Meta      evtchn.Meta
	Events    []evtchn.Event
	Beginning int      // how many of them come before the first choice
	Wrong     []string // what is wrong at the end, in words
}

// Source gives the trace's events.
func (t *Trace) Source() evtchn.Source { return &source{t.Events} }

type source struct{ left []evtchn.Event }

func (s *source) Next(ev *evtchn.Event) error {
	if len(s.left) == 0 {
		return io.EOF
	}
	*ev, s.left = s.left[0], s.left[1:]
	return nil
}

// ErrSchedule is the class of errors about a schedule that the system cannot follow.
var ErrSchedule = fmt.Errorf("bad schedule")

// Trace carries a schedule out, from the start of the system, and gives what happens. Errors are of class ErrSchedule.
func (s *System) Trace(schedule []Choice) (*Trace, error) {
	t, made := s.follow(schedule, false)
	if i := len(made); i < len(schedule) {
		return nil, fmt.Errorf("%w: choice %d of %d is %s, which cannot be made then", ErrSchedule, i+1, len(schedule), schedule[i])
	}
	return t, nil
}

// Follow carries out what can be made of a schedule: a choice that cannot be made when its turn comes is passed over. It gives what
// happens, and the choices that were made.
func (s *System) Follow(schedule []Choice) (*Trace, []Choice) { return s.follow(schedule, true) }

// follow carries out a schedule, to its end or, unless it is lenient, to the first choice that cannot be made.
func (s *System) follow(schedule []Choice, lenient bool) (*Trace, []Choice) {
	t := &Trace{Meta: s.meta, Events: append([]evtchn.Event(nil), s.start...), Beginning: len(s.start)}
	add := func(ev *evtchn.Event) { t.Events = append(t.Events, *ev) }
	w := s.Start()
	w.record(add)
	w.rec.seq = evtchn.Seq(len(s.start))
	var all []Choice
	made := make([]Choice, 0, len(schedule))
	for _, c := range schedule {
		all, _ = w.Choices(all[:0])
		if slices.Contains(all, c) {
			w.Do(c, nil)
			made = append(made, c)
		} else if !lenient {
			break
		}
	}
	t.Wrong = w.Violations()
	w.ev = evtchn.Event{Kind: evtchn.KindEnd, VCPU: evtchn.NoVCPU, Flags: evtchn.FlagInput}
	w.commit(&w.ev)
	t.Meta.Duration = t.Events[len(t.Events)-1].Time
	t.Meta.Schedule = Schedule(made)
	return t, made
}

// letters name the kinds of choice in a schedule's text.
const letters = "skwtnizp"

// Schedule writes a schedule as text, such as "t0 s1 s1 k0": a letter for the kind (step, kick, wake, task, n for send, i for tick,
// z for sleep, preempt) and a number.
func Schedule(cs []Choice) string {
	var b strings.Builder
	for i, c := range cs {
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%c%d", letters[c.Kind()], c.Who())
	}
	return b.String()
}

// ParseSchedule reads what Schedule wrote. Errors are of class ErrSchedule.
func ParseSchedule(text string) ([]Choice, error) {
	var cs []Choice
	for i, word := range strings.Fields(text) {
		var who int
		k := strings.IndexByte(letters, word[0])
		if n, err := fmt.Sscanf(word[1:], "%d", &who); k < 0 || n != 1 || err != nil || who < 0 || who > maxWho || fmt.Sprintf("%c%d", word[0], who) != word {
			return nil, fmt.Errorf("%w: choice %d is %q, want one of the letters %s and a number from 0 to %d", ErrSchedule, i+1, word, letters, maxWho)
		}
		cs = append(cs, choice(ChoiceKind(k), who))
	}
	return cs, nil
}

// ScheduleOf reads the schedule in the meta of a trace that System.Trace made. Errors are of class ErrSchedule.
func ScheduleOf(meta *evtchn.Meta) (cs []Choice, ok bool, err error) {
	if meta.Schedule == "" {
		return nil, false, nil
	}
	cs, err = ParseSchedule(meta.Schedule)
	return cs, true, err
}
