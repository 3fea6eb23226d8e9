package tui

import (
	"strings"

	tea "github.com/charmbracelet/bubbletea"
)

// pane names a pane.
type pane int

const (
	paneEvents pane = iota
	paneMachine
	paneWhy
	paneStrip
	panes
)

// roomy is the height from which all panes are shown at once.
const roomy = 32

// shown lists the panes on the screen, from the top.
func (m *Model) shown() []pane {
	switch {
	case m.zoomed:
		return []pane{m.focus}
	case m.h >= roomy:
		return []pane{paneEvents, paneMachine, paneWhy, paneStrip}
	case m.focus == paneStrip:
		return []pane{paneEvents, paneMachine, paneStrip}
	}
	return []pane{paneEvents, paneMachine, paneWhy}
}

// height is that of a pane that is shown, its title included.
func (m *Model) height(p pane) int {
	all := m.h - 2 // without the title and the status
	if m.zoomed {
		return all
	}
	// What the lower panes need; the events take the rest.
	machine, why, strip := 9, 6, 6
	switch {
	case m.h >= 48:
		machine, why, strip = 12, 10, 11
	case m.h >= 38:
		machine, why, strip = 9, 9, 8
	case m.h >= roomy:
		machine, why, strip = 9, 7, 6
	case m.h >= 28:
		machine, why, strip = 9, 7, 7
	}
	switch p {
	case paneMachine:
		return machine
	case paneWhy:
		return why
	case paneStrip:
		return strip
	}
	for _, q := range m.shown() {
		if q != paneEvents {
			all -= m.height(q)
		}
	}
	return all
}

// layout gives each pane its size.
func (m *Model) layout() {
	m.events.SetSize(m.w, m.height(paneEvents))
	m.machine.SetSize(m.w, m.height(paneMachine))
	m.why.SetSize(m.w, m.height(paneWhy))
	m.strip.SetSize(m.w, m.height(paneStrip))
}

func (m *Model) paneView(p pane) string {
	focused := p == m.focus
	switch p {
	case paneMachine:
		return m.machine.View(&m.view, focused)
	case paneWhy:
		m.why.reach = m.reach(paneWhy)
		return m.why.View(&m.view, m.whyTitle(), m.fateText(), m.whyNotes(), focused)
	case paneStrip:
		return m.strip.View(&m.view, focused)
	}
	return m.events.View(&m.view, m.eventsTitle(), focused)
}

// reach gives the keys that make a pane the one to which j and k go, each with a blank after it.
func (m *Model) reach(p pane) string {
	n := int(p-m.focus+panes) % int(panes)
	if back := int(panes) - n; back < n {
		return strings.Repeat(m.keys.FocusBack.Help().Key+" ", back)
	}
	return strings.Repeat(m.keys.Focus.Help().Key+" ", n)
}

func (m *Model) moveFocus(dir int) tea.Cmd {
	m.focus = (m.focus + pane(dir) + panes) % panes
	return nil
}

func (m *Model) toggleZoom() tea.Cmd {
	m.zoomed = !m.zoomed
	return nil
}
