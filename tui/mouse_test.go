package tui

import (
	"testing"

	tea "github.com/charmbracelet/bubbletea"
)

func TestMouse(t *testing.T) {
	p := open(t, "seed-port65", 120, 40)
	m := p.m
	top := make(map[pane]int)
	y := 1
	for _, q := range m.shown() {
		top[q] = y
		y += m.height(q)
	}
	click := func(x, y int, a tea.MouseAction) {
		p.send(tea.MouseMsg{X: x, Y: y, Button: tea.MouseButtonLeft, Action: a})
		p.check()
	}
	want := m.events.rows[1].seq
	if click(20, top[paneEvents]+2, tea.MouseActionPress); m.seq != want || m.focus != paneEvents {
		t.Errorf("a click on a line: at #%d, want #%d", m.seq, want)
	}
	p.send(tea.MouseMsg{X: 20, Y: top[paneEvents] + 2, Button: tea.MouseButtonWheelDown, Action: tea.MouseActionPress})
	if m.seq != want+wheelLines {
		t.Errorf("the wheel: at #%d, want #%d", m.seq, want+wheelLines)
	}
	p.keys("u")
	x, ok := m.strip.model.ColumnOf(m.view.ev.Time)
	if !ok {
		t.Fatal("the finding is not on the timeline")
	}
	for _, a := range []tea.MouseAction{tea.MouseActionPress, tea.MouseActionMotion} {
		p.keys("g")
		m.strip.model.SetWindow(114_441_000, 114_443_000)
		m.panned = true
		p.send(tea.WindowSizeMsg{Width: 120, Height: 40})
		at := m.strip.model.TimeAt(x)
		click(x, top[paneStrip]+2, a)
		seq, _ := m.tr.SeqAt(at)
		if m.seq != seq {
			t.Errorf("the timeline at %d: at #%d, want #%d", at, m.seq, seq)
		}
	}
	p.keys("u")
	p.check()
	for i, s := range m.why.rows {
		if s == 1 { // the second sentence
			click(10, top[paneWhy]+i, tea.MouseActionPress)
			if f := m.report.Findings[0]; m.seq != f.Evidence[4] && m.seq != f.Evidence[3] && m.seq != f.Evidence[2] {
				t.Errorf("a click on the second sentence: at #%d, want one of %v", m.seq, f.Evidence)
			}
			break
		}
	}
	click(-1, -1, tea.MouseActionPress)
	click(500, 500, tea.MouseActionPress)
}
