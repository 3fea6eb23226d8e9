package tui

import (
	tea "github.com/charmbracelet/bubbletea"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/tui/timeline"
)

// returns are the points of no return that were looked for: the last step at which another schedule still delivers a finding's event.
type returns struct {
	sought map[*analyze.Finding]bool
	at     map[*analyze.Finding]evtchn.Time // of those that were found
	busy   bool
}

// returnMsg brings one; found is nil if there is none to speak of.
type returnMsg struct {
	f     *analyze.Finding
	found *analyze.NoReturn
}

// fetchReturn looks for the point of no return of the selected finding, unless that was done. Only one command does so at a time.
func (m *Model) fetchReturn() tea.Cmd {
	f, r := m.view.finding, &m.returns
	if m.opt.NoReturn == nil || m.exchanged || f == nil || r.busy || r.sought[f] {
		return nil
	}
	if r.sought == nil {
		r.sought, r.at = make(map[*analyze.Finding]bool), make(map[*analyze.Finding]evtchn.Time)
	}
	r.sought[f], r.busy = true, true
	ctx, find, held, of := m.background, m.opt.NoReturn, m.held, *f
	return func() tea.Msg {
		if !held.begin() {
			return nil
		}
		defer held.wg.Done()
		found, err := find(ctx, &of)
		if err != nil {
			found = nil // what cannot be run again has a story all the same
		}
		return returnMsg{f, found}
	}
}

// takeReturn tells it as the end of the finding's story, and marks it in the timeline.
func (m *Model) takeReturn(msg returnMsg) {
	m.returns.busy = false
	if msg.found == nil {
		return
	}
	msg.f.NoReturn = msg.found
	if m.why.finding == msg.f {
		m.why.SetFinding(nil)
		m.why.SetFinding(msg.f)
	}
	if msg.found.Seq == 0 || m.exchanged {
		return
	}
	if ev, err := m.tape.event(msg.found.Seq); err == nil {
		m.returns.at[msg.f] = ev.Time
	}
}

// returnMark is the selected finding's mark in the timeline, if it has one.
func (m *Model) returnMark() []timeline.Mark {
	if at, ok := m.returns.at[m.view.finding]; ok && m.view.finding != nil && !m.exchanged {
		return []timeline.Mark{{Kind: timeline.NoReturn, At: at}}
	}
	return nil
}
