package tui

import (
	"context"
	"sync"
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
	held := m.held
	return tea.Batch(tick, func() tea.Msg {
		if !held.begin() {
			return nil
		}
		defer held.wg.Done()
		return fn(ctx, done.Store)
	})
}

// holdings are the reruns that are open, and the work under way that may open more. It outlives the program's last message.
type holdings struct {
	mu     sync.Mutex
	wg     sync.WaitGroup
	closed bool
	open   map[*Rerun]bool
}

// begin reports whether work may still begin, and counts it if so.
func (h *holdings) begin() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		h.wg.Add(1)
	}
	return !h.closed
}

func (h *holdings) hold(r *Rerun) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.open == nil {
		h.open = make(map[*Rerun]bool)
	}
	h.open[r] = true
}

func (h *holdings) drop(r *Rerun) {
	h.mu.Lock()
	held := h.open[r]
	delete(h.open, r)
	h.mu.Unlock()
	if held {
		r.Close()
	}
}

// close waits for the work under way, which has been told to stop, and gives everything up.
func (h *holdings) close() {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.wg.Wait()
	for r := range h.open {
		h.drop(r)
	}
}
