package tui

import (
	"fmt"
	"io"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/evtchn"
)

// fate is what became of a finding's port under the other policy.
type fate struct {
	delivered evtchn.Seq // the first delivery at or after the finding's port was set pending, 0: none
	at        evtchn.Time
	exposed   evtchn.Time // since when it was pending and unmasked when it was taken, -1: it was not
	lost      bool        // a finding there says that it was lost, and it was not delivered again
}

// fateMsg brings it.
type fateMsg struct {
	of  *comparison
	f   *analyze.Finding
	got fate
	err error
}

// pendingTime is when a finding's story begins.
func pendingTime(f *analyze.Finding) (evtchn.Time, bool) {
	for _, at := range []*int64{f.PendingAt, f.ExposedAt, f.UnnoticedAt} {
		if at != nil {
			return evtchn.Time(*at), true // a recording that can be run again has a clock of nanoseconds
		}
	}
	return 0, false
}

// fetchFate looks what became of the selected finding under the other policy, unless that is known.
func (m *Model) fetchFate() tea.Cmd {
	f := m.view.finding
	if m.other == nil || m.exchanged || f == nil || m.other.sought[f] {
		return nil
	}
	if m.other.sought == nil {
		m.other.sought, m.other.fates = make(map[*analyze.Finding]bool), make(map[*analyze.Finding]fate)
	}
	m.other.sought[f] = true
	from, ok := pendingTime(f)
	if !ok {
		return nil
	}
	of, tr, report, held := m.other, m.other.tr, m.other.report, m.held
	return func() tea.Msg {
		if !held.begin() {
			return nil
		}
		defer held.wg.Done()
		got, err := fateOf(tr, report, f.Port, from)
		return fateMsg{of, f, got, err}
	}
}

func (m *Model) takeFate(msg fateMsg) {
	if msg.err == nil && m.other == msg.of {
		m.other.fates[msg.f] = msg.got
	}
}

// fateOf finds what became of a port in a trace from a time on.
func fateOf(tr Trace, r *analyze.Report, port evtchn.Port, from evtchn.Time) (fate, error) {
	got := fate{exposed: -1}
	first, err := tr.SeqAt(from)
	if err != nil {
		return got, err
	}
	ev, err := firstDelivery(tr, port, first)
	if err != nil {
		return got, err
	}
	if ev == nil {
		for i := range r.Findings {
			got.lost = got.lost || r.Findings[i].Port == port && r.Findings[i].Kind == analyze.KindLost
		}
		return got, nil
	}
	got.delivered, got.at = ev.Seq, ev.Time
	st, err := tr.StateAt(first - 1)
	if err != nil {
		return got, err
	}
	src := tr.Events(first)
	for seq := first; seq <= got.delivered; seq++ {
		if err := src.Next(ev); err != nil {
			return got, err
		}
		if err := apply(st, ev); err != nil {
			return got, err
		}
		if ps := portAt(st, port); ps.ExposedSeq != 0 {
			got.exposed = ps.ExposedAt
		}
	}
	return got, nil
}

// firstDelivery finds the first delivery of a port from an event on, nil if there is none.
func firstDelivery(tr Trace, port evtchn.Port, first evtchn.Seq) (*evtchn.Event, error) {
	var ev evtchn.Event
	for _, r := range tr.PortRanges(port) {
		if r.Last < first {
			continue
		}
		src := tr.Events(max(r.First, first))
		for seq := max(r.First, first); seq <= r.Last; seq++ {
			switch err := src.Next(&ev); {
			case err == io.EOF:
				return nil, io.ErrUnexpectedEOF
			case err != nil:
				return nil, err
			case ev.Port == port && ev.Kind == evtchn.KindDeliver:
				return &ev, nil
			}
		}
	}
	return nil, nil
}

// fateText says what became of the selected finding under the other policy, "" while that is not known.
func (m *Model) fateText() string {
	f := m.view.finding
	if m.other == nil || m.exchanged || f == nil {
		return ""
	}
	got, ok := m.other.fates[f]
	head := fmt.Sprintf("port %d under %s: ", f.Port, clean(m.other.rerun.Policy))
	switch {
	case !ok:
		return ""
	case got.delivered == 0 && got.lost:
		return head + "lost there too"
	case got.delivered == 0:
		return head + "not delivered there"
	case got.exposed < 0:
		return head + fmt.Sprintf("delivered at %s %s (#%d there)", m.view.clock.at(got.at), m.view.clock.unit(), got.delivered)
	}
	return head + fmt.Sprintf("delivered %s after its exposure (#%d there)", m.view.clock.span(got.at-got.exposed), got.delivered)
}
