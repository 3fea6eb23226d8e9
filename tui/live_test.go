package tui

import (
	"context"
	"errors"
	"strings"
	"testing"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/evtrace/evtrace/evtchn"
)

// TestLive records in the background, shows it, and goes on to step through it.
func TestLive(t *testing.T) {
	r, rep := scenario(t, "seed-port65")
	half, gone := make(chan struct{}), make(chan struct{})
	l, err := NewLive(context.Background(), LiveOptions{Name: "a.evt", Meta: r.meta, Until: r.meta.Duration, Styles: DefaultStyles(ColorsPlain),
		Record: func(ctx context.Context, sink evtchn.Sink) (Trace, Options, error) {
			for i := range r.events {
				if err := sink.Add(&r.events[i]); err != nil {
					return nil, Options{}, err
				}
				if i == 20_000 {
					close(half)
					<-gone
				}
			}
			return r, Options{Name: "a.evt", Report: rep, Styles: DefaultStyles(ColorsPlain)}, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	record := l.Init()().(tea.BatchMsg)[1]
	l.Update(tea.WindowSizeMsg{Width: 120, Height: 40})
	done := make(chan tea.Msg)
	go func() { done <- record() }()
	<-half
	l.Update(lookMsg{})
	view := l.View()
	for _, want := range []string{"20,001 events", "#20001", "port 65 is unnoticed since #12369", "interdomain"} {
		if !strings.Contains(view, want) {
			t.Errorf("no %q in:\n%s", want, view)
		}
	}
	if n := strings.Count(view, "\n") + 1; n != 40 {
		t.Errorf("%d lines, want 40", n)
	}
	close(gone)
	next, _ := l.Update(<-done)
	m, ok := next.(*Model)
	if !ok {
		t.Fatalf("after the recording: a %T, %v", next, l.Err())
	}
	defer m.Close()
	if m.seq != rep.Findings[0].UnnoticedSeq || !strings.Contains(m.View(), "UNNOTICED here") {
		t.Errorf("at #%d:\n%s", m.seq, m.View())
	}
}

func TestLiveFails(t *testing.T) {
	r, _ := scenario(t, "clean")
	full := errors.New("disk full")
	l, err := NewLive(context.Background(), LiveOptions{Name: "a.evt", Meta: r.meta,
		Record: func(context.Context, evtchn.Sink) (Trace, Options, error) { return nil, Options{}, full }})
	if err != nil {
		t.Fatal(err)
	}
	if _, cmd := l.Update(l.Init()().(tea.BatchMsg)[1]()); cmd == nil || !errors.Is(l.Err(), full) {
		t.Errorf("got %v, want %v and the end", l.Err(), full)
	}
}
