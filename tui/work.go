package tui

import (
	"context"
	"sync/atomic"
	"time"

	tea "github.com/charmbracelet/bubbletea"
)

// progressMsg comes now and then while something runs in the background.
type progressMsg struct {
	what  string
	done  *atomic.Uint64
	again tea.Cmd
}

// work runs something in the background. Its message must take it out of m.running.
func (m *Model) work(what string, fn func(ctx context.Context, progress func(uint64)) tea.Msg) tea.Cmd {
	m.running[what] = 0
	done := new(atomic.Uint64)
	ctx, every := m.background, m.every
	var tick tea.Cmd
	tick = func() tea.Msg {
		t := time.NewTimer(every)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
		}
		return progressMsg{what, done, tick}
	}
	return tea.Batch(tick, func() tea.Msg { return fn(ctx, done.Store) })
}
