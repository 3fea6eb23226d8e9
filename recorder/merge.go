package recorder

import (
	"fmt"
	"io"

	"github.com/evtrace/evtrace/evtchn"
)

// Beside is a source of what went on beside a trace, on the same clock.
type Beside interface {
	evtchn.Source

	// From passes over what was before t: the source begins with events of time t that tell what that left. It is called once, before Next.
	From(t evtchn.Time)
}

// Merged is a trace with the events of another source among its own.
type Merged struct {
	main   evtchn.Source
	beside Beside

	ev, other         evtchn.Event // the next of each
	haveEv, haveOther bool
	besideEnds        bool
	own, added        uint64                 // events of each that were given
	number            [causeReach]evtchn.Seq // of main's last events, by their own number: what it is now
}

// causeReach is how many events of main back a cause is found again.
const causeReach = 1 << 16

// Merge gives the events of main, with those of beside among them in the order of time, and numbers them anew; of one time, main's come
// first. What beside has from before main's first event and from after its last is left out, so that the trace begins, ends and
// is judged as it would be alone. Causes keep meaning the same events; one that lies 65,536 events of main back, or more,
// becomes 0.
func Merge(main evtchn.Source, beside Beside) *Merged { return &Merged{main: main, beside: beside} }

// Added is how many events of beside were given so far.
func (m *Merged) Added() uint64 { return m.added }

// Next gives the next event. Errors are those of the two sources, or of class ErrOrder.
func (m *Merged) Next(ev *evtchn.Event) error {
	if err := m.ahead(); err != nil {
		return err
	}
	if m.haveOther && m.other.Time < m.ev.Time {
		m.haveOther = false
		m.added++
		*ev = m.other
		ev.Seq, ev.Cause = evtchn.Seq(m.own+m.added), 0
		return nil
	}
	m.haveEv = false
	m.own++
	*ev = m.ev
	ev.Seq = evtchn.Seq(m.own + m.added)
	m.number[m.ev.Seq%causeReach] = ev.Seq
	switch c := m.ev.Cause; {
	case c >= m.ev.Seq: // as wrong as it was
	case m.ev.Seq-c >= causeReach:
		ev.Cause = 0
	case c > 0:
		ev.Cause = m.number[c%causeReach]
	}
	return nil
}

// ahead reads the next event of each source.
func (m *Merged) ahead() error {
	if !m.haveEv {
		switch err := m.main.Next(&m.ev); {
		case err != nil:
			return err
		case m.ev.Seq != evtchn.Seq(m.own+1):
			return fmt.Errorf("%w: event %d follows event %d", ErrOrder, m.ev.Seq, m.own)
		}
		m.haveEv = true
		if m.own == 0 {
			m.beside.From(m.ev.Time)
		}
	}
	if m.haveOther || m.besideEnds {
		return nil
	}
	switch err := m.beside.Next(&m.other); {
	case err == io.EOF:
		m.besideEnds = true
	case err != nil:
		return err
	default:
		m.haveOther = true
	}
	return nil
}
