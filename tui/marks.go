package tui

import (
	"fmt"
	"sort"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/evtrace/evtrace/evtchn"
)

// setMark marks the event under the cursor with a letter, and keeps the marks.
func (m *Model) setMark(k tea.KeyMsg) tea.Cmd {
	m.mode = modeNormal
	name := k.String()
	if m.seq == 0 || len(name) != 1 || !letter(name[0]) {
		m.say("no mark set: a mark is a letter")
		return nil
	}
	set := []Mark{{Name: name, Seq: m.seq, Port: m.port}}
	for _, old := range m.marks {
		if old.Name != name {
			set = append(set, old)
		}
	}
	sort.Slice(set, func(i, j int) bool { return set[i].Name < set[j].Name })
	m.marks = set
	m.say("mark %s is #%d", name, m.seq)
	if m.opt.SaveMarks != nil && !m.exchanged {
		if err := m.opt.SaveMarks(set); err != nil {
			m.fail(fmt.Errorf("mark %s is set, but not kept: %w", name, err))
		}
	}
	return nil
}

func letter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

// goMark goes to a mark, or with ' back to where the last jump began.
func (m *Model) goMark(k tea.KeyMsg) tea.Cmd {
	m.mode = modeNormal
	if k.String() == "'" {
		return m.jumpBack()
	}
	mark := m.markOf(k.String())
	if mark == nil {
		m.say("there is no mark %s; M lists the marks", k.String())
		return nil
	}
	m.toMark(*mark)
	return nil
}

func (m *Model) markOf(name string) *Mark {
	for i := range m.marks {
		if m.marks[i].Name == name {
			return &m.marks[i]
		}
	}
	return nil
}

func (m *Model) toMark(mark Mark) {
	if m.jump(min(max(mark.Seq, 1), m.n)) && mark.Port != evtchn.NoPort {
		m.port = mark.Port
	}
}

// listMarks offers the marks.
func (m *Model) listMarks() tea.Cmd {
	if len(m.marks) == 0 {
		m.say("there are no marks: m and a letter sets one")
		return nil
	}
	var items []item
	for _, mark := range m.marks {
		text := fmt.Sprintf("%s  #%d", mark.Name, mark.Seq)
		if ev, err := m.tape.event(mark.Seq); err == nil {
			text += fmt.Sprintf("  %s %s  %s %s  %s", m.view.clock.at(ev.Time), m.view.clock.unit(), ev.Kind, portName(ev), what(ev, &m.meta))
		}
		if mark.Note != "" {
			text += "  " + clean(mark.Note)
		}
		items = append(items, item{text, func(m *Model) tea.Cmd { m.toMark(mark); return nil }})
	}
	m.offer("marks", items)
	return nil
}

// letterAt gives the mark's letter at an event, 0 if there is none.
func (m *Model) letterAt(seq evtchn.Seq) byte {
	for i := range m.marks {
		if m.marks[i].Seq == seq && m.marks[i].Name != "" {
			return m.marks[i].Name[0]
		}
	}
	return 0
}
