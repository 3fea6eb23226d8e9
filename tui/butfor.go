package tui

import (
	"context"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/evtrace/evtrace/analyze"
)

// asking is what the status line calls it.
const asking = "asking what would have changed it"

// butForMsg brings what would have changed the verdict about a finding.
type butForMsg struct {
	f     *analyze.Finding
	story []string
}

// fetchButFor asks about the selected finding, unless that is known: one at a time, for each takes many runs.
func (m *Model) fetchButFor() tea.Cmd {
	f, ask := m.view.finding, m.opt.ButFor
	if ask == nil || m.exchanged || f == nil || f.Kind == analyze.KindUnknown {
		return nil
	}
	if _, ok := m.running[asking]; ok {
		return nil // the message that it is done asks again
	}
	if _, ok := m.butFor[f]; ok {
		return nil
	}
	if m.butFor == nil {
		m.butFor = make(map[*analyze.Finding][]string)
	}
	if told := f.ButForStory(); told != nil {
		m.butFor[f] = told // the report has it
		m.why.SetButFor(told)
		return nil
	}
	m.butFor[f] = nil
	return m.work(asking, func(ctx context.Context, progress func(uint64)) tea.Msg {
		ans, err := ask(ctx, f, progress)
		if err != nil {
			return butForMsg{f, nil} // the finding stands without it
		}
		told := analyze.Finding{}
		told.SetButFor(ans)
		return butForMsg{f, told.ButForStory()}
	})
}

func (m *Model) takeButFor(msg butForMsg) {
	delete(m.running, asking)
	m.butFor[msg.f] = msg.story
	if m.view.finding == msg.f {
		m.why.SetButFor(msg.story)
	}
}
