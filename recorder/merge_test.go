package recorder

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/evtrace/evtrace/evtchn"
)

// list is a source of events, and what goes on beside one.
type list struct {
	events []evtchn.Event
	end    error
	from   evtchn.Time
}

func (l *list) Next(ev *evtchn.Event) error {
	if len(l.events) == 0 {
		if l.end != nil {
			return l.end
		}
		return io.EOF
	}
	*ev, l.events = l.events[0], l.events[1:]
	return nil
}

func (l *list) From(t evtchn.Time) {
	l.from = t
	for len(l.events) > 0 && l.events[0].Time < t {
		l.events = l.events[1:]
	}
}

// at gives events of those times, numbered from 1, each with the vcpu as its mark.
func at(mark evtchn.VCPU, times ...evtchn.Time) []evtchn.Event {
	evs := make([]evtchn.Event, len(times))
	for i, t := range times {
		evs[i] = evtchn.Event{Seq: evtchn.Seq(i + 1), Time: t, VCPU: mark, Kind: evtchn.KindUpcall}
	}
	return evs
}

type keep struct{ events []evtchn.Event }

func (k *keep) Add(ev *evtchn.Event) error {
	k.events = append(k.events, *ev)
	return nil
}

func TestMerge(t *testing.T) {
	main := at(0, 10, 20, 20, 30, 40)
	main[1].Cause, main[4].Cause = 1, 2
	beside := &list{events: at(1, 5, 10, 20, 25, 40, 50)}
	var got keep
	m := Merge(&list{events: main}, beside)
	if _, err := Run(context.Background(), m, Options{}, &got); err != nil {
		t.Fatal(err)
	}
	type short struct {
		Seq, Cause evtchn.Seq
		Time       evtchn.Time
		Mark       evtchn.VCPU
	}
	var list []short
	for _, ev := range got.events {
		list = append(list, short{ev.Seq, ev.Cause, ev.Time, ev.VCPU})
	}
	want := []short{{1, 0, 10, 0}, {2, 0, 10, 1}, {3, 1, 20, 0}, {4, 0, 20, 0}, {5, 0, 20, 1}, {6, 0, 25, 1}, {7, 0, 30, 0}, {8, 3, 40, 0}}
	if d := cmp.Diff(want, list); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if m.Added() != 3 || beside.from != 10 {
		t.Errorf("got %d added from %d on, want 3 from 10 on", m.Added(), beside.from)
	}
}

// A cause is found again up to 65,535 events of main back, whatever was put in between.
func TestMergeCauseReach(t *testing.T) {
	const n = 70_000
	times := make([]evtchn.Time, n)
	for i := range times {
		times[i] = evtchn.Time(2 * i)
	}
	main := at(0, times...)
	for i := range times {
		times[i]++
	}
	main[causeReach].Cause = 2   // 65,535 back
	main[causeReach+1].Cause = 2 // one more
	var got keep
	if _, err := Run(context.Background(), Merge(&list{events: main}, &list{events: at(1, times...)}), Options{}, &got); err != nil {
		t.Fatal(err)
	}
	if c := got.events[2*causeReach].Cause; c != 3 {
		t.Errorf("got cause %d, want 3", c)
	}
	if c := got.events[2*(causeReach+1)].Cause; c != 0 {
		t.Errorf("beyond reach: got cause %d, want 0", c)
	}
}

// Errors of either source come after the events before them; numbers of main that do not follow one another are an error.
func TestMergeErrors(t *testing.T) {
	broken := errors.New("broken")
	for _, c := range []struct {
		name         string
		main, beside *list
		events       uint64
		want         error
	}{
		{"main", &list{events: at(0, 1, 2), end: broken}, &list{}, 2, broken},
		{"beside", &list{events: at(0, 1, 2, 9)}, &list{events: at(1, 3, 4), end: broken}, 4, broken},
		{"main's order", &list{events: append(at(0, 1, 2), evtchn.Event{Seq: 4, Time: 3})}, &list{}, 2, ErrOrder},
		{"no main", &list{}, &list{events: at(1, 3)}, 0, nil},
		{"nothing beside", &list{events: at(0, 1, 2)}, &list{}, 2, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := Run(context.Background(), Merge(c.main, c.beside), Options{})
			if r.Events != c.events || !errors.Is(err, c.want) {
				t.Errorf("got %d events and %v, want %d and %v", r.Events, err, c.events, c.want)
			}
		})
	}
}
