package tui

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/evtrace/evtrace/evtchn"
)

// LiveOptions say what a recording that is shown as it runs is, and how it is carried out.
type LiveOptions struct {
	Name  string
	Meta  evtchn.Meta
	Until evtchn.Time // when the recording will end, 0 if that is not known
	// Record carries out the recording and gives every event to the sink. When ctx is done it ends early. It returns what is needed
	// to step through what was recorded.
	Record func(ctx context.Context, sink evtchn.Sink) (Trace, Options, error)
	ASCII  bool
	Styles *Styles

	_ struct{}
}

// Live shows a recording as it runs. When it is done, the program goes on as one that steps through it: NewLive makes one.
type Live struct {
	opt     LiveOptions
	styles  *Styles
	glyphs  *glyphs
	feed    *feed
	events  eventsPane
	machine machinePane
	w, h    int
	ctx     context.Context
	stop    context.CancelFunc
	every   time.Duration
	shown   frame
	ending  bool
	err     error
}

// NewLive makes the program for a recording. Errors are about the meta.
func NewLive(ctx context.Context, opt LiveOptions) (*Live, error) {
	st, err := evtchn.NewState(opt.Meta)
	if err != nil {
		return nil, err
	}
	l := &Live{opt: opt, styles: opt.Styles, glyphs: &unicodeGlyphs, feed: &feed{state: st}, every: 100 * time.Millisecond}
	if l.styles == nil {
		l.styles = DefaultStyles(ColorsBasic)
	}
	if opt.ASCII {
		l.glyphs = &asciiGlyphs
	}
	l.events = eventsPane{styles: l.styles, glyphs: l.glyphs}
	l.machine = machinePane{styles: l.styles, glyphs: l.glyphs}
	l.ctx, l.stop = context.WithCancel(ctx)
	return l, nil
}

// Err says why there is nothing to step through: the recording's error, nil if there was none.
func (l *Live) Err() error { return l.err }

// Close ends the recording early, if it is still under way.
func (l *Live) Close() { l.stop() }

// feed takes the events of a recording, and lets the screen have a look now and then.
type feed struct {
	mu    sync.Mutex
	state *evtchn.State
	tail  [feedTail]evtchn.Event // the last events, in a ring
	n     uint64
	port  evtchn.Port // the first that went unnoticed and still is
	since evtchn.Seq
}

const feedTail = 64

// Add implements evtchn.Sink.
func (f *feed) Add(ev *evtchn.Event) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tail[f.n%feedTail] = *ev
	f.n++
	if err := apply(f.state, ev); err != nil {
		return err
	}
	if f.port != evtchn.NoPort && !f.state.Unnoticed(f.port) {
		f.port = evtchn.NoPort
	}
	for _, p := range f.state.Changed() {
		if f.port == evtchn.NoPort && f.state.Unnoticed(p) {
			f.port, f.since = p, ev.Seq
		}
	}
	return nil
}

// frame is what the screen shows of a recording.
type frame struct {
	state  *evtchn.State
	events []evtchn.Event
	n      uint64
	port   evtchn.Port
}

func (f *feed) frame(rows int) frame {
	f.mu.Lock()
	defer f.mu.Unlock()
	fr := frame{state: f.state.Clone(), n: f.n, port: f.port}
	for i := f.n - min(f.n, feedTail, uint64(max(rows, 0))); i < f.n; i++ {
		fr.events = append(fr.events, f.tail[i%feedTail])
	}
	return fr
}

// recordedMsg brings what was recorded.
type recordedMsg struct {
	tr  Trace
	opt Options
	err error
}

// lookMsg says that it is time to look again.
type lookMsg struct{}

// Init starts the recording.
func (l *Live) Init() tea.Cmd {
	record, feed, ctx := l.opt.Record, l.feed, l.ctx
	return tea.Batch(l.look(), func() tea.Msg {
		tr, opt, err := record(ctx, feed)
		return recordedMsg{tr, opt, err}
	})
}

func (l *Live) look() tea.Cmd { return tea.Tick(l.every, func(time.Time) tea.Msg { return lookMsg{} }) }

// Update carries out what happened.
func (l *Live) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		l.w, l.h = msg.Width, msg.Height
		l.shown = l.feed.frame(l.h)
	case lookMsg:
		l.shown = l.feed.frame(l.h)
		return l, l.look()
	case tea.KeyMsg:
		switch msg.String() {
		case "q", "ctrl+c", "esc":
			l.ending = true
			l.stop()
		}
	case recordedMsg:
		return l.recorded(msg)
	}
	return l, nil
}

// recorded goes on to step through what was recorded.
func (l *Live) recorded(msg recordedMsg) (tea.Model, tea.Cmd) {
	l.stop()
	if msg.err == nil && msg.tr == nil {
		msg.err = errors.New("nothing was recorded")
	}
	if msg.err != nil {
		l.err = msg.err
		return l, tea.Quit
	}
	m, err := New(msg.tr, msg.opt)
	if err != nil {
		l.err = err
		return l, tea.Quit
	}
	m.w, m.h = l.w, l.h
	cmd := m.Init()
	if l.ending {
		m.say("the recording was stopped; this is what there is of it")
	}
	m.refresh()
	return m, tea.Batch(cmd, m.fetchStrip())
}

// View draws the end of the recording so far.
func (l *Live) View() string {
	switch {
	case l.w == 0 || l.err != nil:
		return ""
	case l.w < MinWidth || l.h < MinHeight:
		return fmt.Sprintf("recording: %s events\nThis terminal has %d columns and %d lines: evtrace needs %d by %d.", group(l.shown.n), l.w, l.h, MinWidth, MinHeight)
	}
	fr := &l.shown
	s := &step{meta: &l.opt.Meta, clock: newClock(&l.opt.Meta, l.opt.Until), seq: evtchn.Seq(fr.n), cur: fr.state, port: fr.port}
	if n := len(fr.events); n > 0 {
		s.ev = &fr.events[n-1]
	}
	machine := 11
	l.machine.SetSize(l.w, machine)
	l.events.SetSize(l.w, l.h-2-machine)
	l.events.rows = l.events.rows[:0]
	for _, ev := range fr.events[max(len(fr.events)-l.events.Len(), 0):] {
		l.events.rows = append(l.events.rows, row{seq: ev.Seq, ev: ev})
	}
	l.events.fitColumns(s, evtchn.Seq(max(fr.n, 100_000)), l.opt.Until)
	title := bar(" recording "+clean(l.opt.Name)+"  "+clean(l.opt.Meta.Policy), fmt.Sprintf("%s events ", group(fr.n)), l.w, l.glyphs)
	return strings.Join([]string{l.styles.Status.Render(title), l.events.View(s, "the latest events, time in "+s.clock.unit(), false),
		l.machine.View(s, false), l.status(s)}, "\n")
}

func (l *Live) status(s *step) string {
	left := " recording: q stops it and steps through what there is"
	if l.ending {
		left = " stopping"
	}
	right := ""
	if s.port != evtchn.NoPort {
		right = fmt.Sprintf("port %d is unnoticed since #%d  ", s.port, portAt(s.cur, s.port).UnnoticedSeq)
	}
	if s.ev != nil && l.opt.Until > 0 {
		right += fmt.Sprintf("%d %% ", min(int64(s.ev.Time)*100/int64(l.opt.Until), 100))
	}
	return l.styles.Status.Render(bar(left, right, l.w, l.glyphs))
}
