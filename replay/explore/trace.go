package explore

import (
	"fmt"
	"slices"
	"strings"

	"github.com/evtrace/evtrace/evtchn"
)

// Trace is a schedule carried out: a complete trace, from the coming up of the vcpus to the end of the schedule.
type Trace struct {
	Meta      evtchn.Meta
	Events    []evtchn.Event
	Beginning int      // how many of them come before the first choice
	Made      []Choice // the schedule
	Starts    []int    // by choice made: how many events come before its first
	Wrong     []string // what is wrong at the end, in words
}

// Source gives the trace's events.
func (t *Trace) Source() evtchn.Source {
	list := evtchn.List(t.Events)
	return &list
}

// ErrSchedule is the class of errors about a schedule that the system cannot follow.
var ErrSchedule = fmt.Errorf("bad schedule")

// Trace carries a schedule out, from the start of the system, and gives what happens. Errors are of class ErrSchedule.
func (s *System) Trace(schedule []Choice) (*Trace, error) {
	f := s.follow()
	for i, c := range schedule {
		if !f.try(c) {
			return nil, fmt.Errorf("%w: choice %d of %d is %s, which cannot be made then", ErrSchedule, i+1, len(schedule), c)
		}
	}
	return f.end(), nil
}

// maxRest bounds how many choices Follow makes of its own accord.
const maxRest = 10_000

// Follow carries a schedule out as far as it can be: a choice that cannot be made in its turn is made as soon as it can, and if it never
// can, it is passed over. Then it goes on until the world is at rest, by what must happen sooner or later, each in its turn.
// It is for schedules of which something was changed. Trace.Made says what was made of it.
func (s *System) Follow(schedule []Choice) *Trace {
	f := s.follow()
	var waiting []Choice
	retry := func() {
		for i := 0; i < len(waiting); {
			if f.try(waiting[i]) {
				waiting = append(waiting[:i], waiting[i+1:]...)
				i = 0
			} else {
				i++
			}
		}
	}
	for _, c := range schedule {
		retry()
		if !f.try(c) {
			waiting = append(waiting, c)
		}
	}
	var last Choice
	for range maxRest {
		retry()
		all, must := f.w.Choices(nil)
		if must == 0 {
			break
		}
		// The first that comes after the last: one that always can must not keep the others from their turns.
		i := max(0, slices.IndexFunc(all[:must], func(c Choice) bool { return c > last }))
		last = all[i]
		f.try(last)
	}
	return f.end()
}

// Part carries out what can be made of a schedule: a choice that cannot be made in its turn is passed over, and nothing is added. It is
// for schedules of which choices were left out. Trace.Made says what was made of it.
func (s *System) Part(schedule []Choice) *Trace {
	f := s.follow()
	for _, c := range schedule {
		f.try(c)
	}
	return f.end()
}

// following is a schedule that is being carried out.
type following struct {
	t   *Trace
	w   *World
	all []Choice
}

func (s *System) follow() *following {
	f := &following{t: &Trace{Meta: s.meta, Events: append([]evtchn.Event(nil), s.start...), Beginning: len(s.start)}, w: s.Start()}
	f.w.record(func(ev *evtchn.Event) { f.t.Events = append(f.t.Events, *ev) })
	f.w.rec.seq, f.w.rec.now = evtchn.Seq(len(s.start)), s.start[len(s.start)-1].Time
	return f
}

// try makes a choice if it can be made.
func (f *following) try(c Choice) bool {
	f.all, _ = f.w.Choices(f.all[:0])
	if !slices.Contains(f.all, c) {
		return false
	}
	f.t.Made, f.t.Starts = append(f.t.Made, c), append(f.t.Starts, len(f.t.Events))
	f.w.Do(c, nil)
	return true
}

// end ends the trace.
func (f *following) end() *Trace {
	t, w := f.t, f.w
	t.Wrong = w.Violations()
	w.ev = evtchn.Event{Kind: evtchn.KindEnd, VCPU: evtchn.NoVCPU, Flags: evtchn.FlagInput}
	w.commit(&w.ev)
	t.Meta.Duration = t.Events[len(t.Events)-1].Time
	t.Meta.Schedule = Schedule(t.Made)
	return t
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
