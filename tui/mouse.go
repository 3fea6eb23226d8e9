package tui

import (
	tea "github.com/charmbracelet/bubbletea"
)

// wheelLines is how far a turn of the wheel goes.
const wheelLines = 3

// mouse carries out what the mouse does: a click selects, the wheel scrolls, a drag on the timeline moves the cursor.
func (m *Model) mouse(e tea.MouseMsg) tea.Cmd {
	if m.mode == modeOverlay {
		switch e.Button {
		case tea.MouseButtonWheelUp:
			m.scroll -= wheelLines
		case tea.MouseButtonWheelDown:
			m.scroll += wheelLines
		}
		m.scroll = max(min(m.scroll, len(m.overlay)-m.h+2), 0)
		return nil
	}
	if m.mode != modeNormal || m.seq == 0 {
		return nil
	}
	p, y, ok := m.paneAt(e.Y)
	if !ok {
		return nil
	}
	switch {
	case e.Button == tea.MouseButtonWheelUp || e.Button == tea.MouseButtonWheelDown:
		dir := 1
		if e.Button == tea.MouseButtonWheelUp {
			dir = -1
		}
		m.job = nil
		if p == paneStrip {
			factor := 2.0
			if dir > 0 {
				factor = 0.5
			}
			m.strip.model.Zoom(factor, m.strip.model.TimeAt(e.X))
			m.panned = true
			return nil
		}
		return m.stepBy(dir * wheelLines)
	case e.Button == tea.MouseButtonLeft && e.Action == tea.MouseActionPress:
		m.focus = p
		return m.click(p, e.X, y)
	case e.Button == tea.MouseButtonLeft && e.Action == tea.MouseActionMotion && p == paneStrip:
		return m.click(p, e.X, y)
	}
	return nil
}

// paneAt gives the pane at a line of the screen, and the line within it; 0 is its title.
func (m *Model) paneAt(y int) (pane, int, bool) {
	at := 1
	for _, p := range m.shown() {
		h := m.height(p)
		if y >= at && y < at+h {
			return p, y - at, true
		}
		at += h
	}
	return 0, 0, false
}

func (m *Model) click(p pane, x, y int) tea.Cmd {
	m.message, m.bad, m.job = "", false, nil
	switch p {
	case paneEvents:
		if i := y - 1; i >= 0 && i < len(m.events.rows) && m.events.rows[i].seq > 0 {
			m.move(m.events.rows[i].seq)
		}
	case paneWhy:
		if seq := m.why.at(y, m.seq); seq > 0 && seq <= m.n {
			m.jump(seq)
		}
	case paneStrip:
		if y == 0 {
			return nil
		}
		t := m.strip.model.TimeAt(x)
		seq, err := m.tr.SeqAt(t)
		if err != nil {
			m.fail(err)
			return nil
		}
		m.move(min(max(seq, 1), m.n))
	}
	return nil
}
