package compare

import (
	"io"

	"github.com/evtrace/evtrace/evtchn"
)

// stream is a source of which the next events can be looked at before they are taken.
type stream struct {
	src   evtchn.Source
	took  func(ev *evtchn.Event) error // of every event that is read, in order
	ahead []evtchn.Event               // a ring
	at, n int                          // the first in it, and how many
	begun bool
	start evtchn.Time // of the first event
	done  bool
}

func newStream(src evtchn.Source, took func(*evtchn.Event) error) *stream {
	return &stream{src: src, took: took, ahead: make([]evtchn.Event, sameMoment+1)}
}

// peek gives the i-th event from here, nil after the end. Its time counts from the trace's first event.
func (s *stream) peek(i int) (*evtchn.Event, error) {
	for s.n <= i && !s.done {
		ev := &s.ahead[(s.at+s.n)%len(s.ahead)]
		err := s.src.Next(ev)
		if err == io.EOF {
			s.done = true
			break
		}
		if err != nil {
			return nil, err
		}
		if err := s.took(ev); err != nil {
			return nil, err
		}
		if !s.begun {
			s.begun, s.start = true, ev.Time
		}
		ev.Time -= s.start
		s.n++
	}
	if s.n <= i {
		return nil, nil
	}
	return &s.ahead[(s.at+i)%len(s.ahead)], nil
}

func (s *stream) take() {
	s.at = (s.at + 1) % len(s.ahead)
	s.n--
}

// hasAlike reports whether an event like one comes among the next, at the same moment.
func (s *stream) hasAlike(ev *evtchn.Event) (bool, error) {
	for i := range sameMoment {
		e, err := s.peek(i)
		if e == nil || e.Time != ev.Time {
			return false, err
		}
		if Alike(e, ev) {
			return true, nil
		}
	}
	return false, nil
}

// walk goes through two traces line by line. line gets the line's events, nil for the one that is not there. They are valid during
// the call, and still the next ones of their streams.
func walk(a, b *stream, line func(l, r *evtchn.Event) error) error {
	for {
		x, err := a.peek(0)
		if err != nil {
			return err
		}
		y, err := b.peek(0)
		if err != nil {
			return err
		}
		var lerr error
		turn := next(x, y, 1, func() bool {
			var later bool
			later, lerr = b.hasAlike(x)
			return later
		})
		if lerr != nil {
			return lerr
		}
		switch turn {
		case nobody:
			return nil
		case both:
			err = line(x, y)
			a.take()
			b.take()
		case left:
			err = line(x, nil)
			a.take()
		case right:
			err = line(nil, y)
			b.take()
		}
		if err != nil {
			return err
		}
	}
}
