package tui

import (
	"fmt"
	"strings"

	tea "github.com/charmbracelet/bubbletea"
)

// item is a line of a list to choose from.
type item struct {
	text string
	do   func(m *Model) tea.Cmd
}

// offer shows a list to choose from.
func (m *Model) offer(title string, items []item) {
	m.mode, m.picks, m.pick, m.pickTitle = modePick, items, 0, title
}

// inPick carries out a key in the list.
func (m *Model) inPick(k tea.KeyMsg) tea.Cmd {
	switch k.String() {
	case "j", "down", "ctrl+n":
		m.pick = min(m.pick+1, len(m.picks)-1)
	case "k", "up", "ctrl+p":
		m.pick = max(m.pick-1, 0)
	case "g", "home":
		m.pick = 0
	case "G", "end":
		m.pick = len(m.picks) - 1
	case "enter", "ctrl+j":
		m.mode = modeNormal
		return m.picks[m.pick].do(m)
	case "esc", "q", "p", "M":
		m.mode = modeNormal
	}
	return nil
}

func (m *Model) pickView() string {
	h := m.h - 3
	first := max(min(m.pick-h/2, len(m.picks)-h), 0)
	lines := []string{m.titleView(), titleLine(m.styles, m.glyphs, m.pickTitle, m.w, true)}
	for i := range h {
		n := first + i
		switch {
		case n >= len(m.picks):
			lines = append(lines, strings.Repeat(" ", m.w))
		case n == m.pick:
			lines = append(lines, m.styles.Cursor.Render(fit(m.glyphs.cursor+" "+m.picks[n].text, m.w)))
		default:
			lines = append(lines, fit("  "+m.picks[n].text, m.w))
		}
	}
	left := fmt.Sprintf(" j k move, enter chooses, esc leaves   %d of %d", m.pick+1, len(m.picks))
	return strings.Join(append(lines, m.styles.Status.Render(fit(left, m.w))), "\n")
}
