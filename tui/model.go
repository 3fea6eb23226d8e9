package tui

import (
	"context"
	"fmt"
	"strings"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/evtchn"
)

// The smallest terminal that the program is drawn for.
const (
	MinWidth  = 80
	MinHeight = 24
)

// pane names a pane.
type pane int

const (
	paneEvents pane = iota
	paneMachine
	paneWhy
	panes
)

var paneNames = [panes]string{"events", "machine", "why"}

// Model is the program. It is a tea.Model; New makes one.
type Model struct {
	opt    Options
	tr     Trace
	meta   evtchn.Meta
	n      evtchn.Seq
	last   evtchn.Time // of the last event
	keys   KeyMap
	acts   []section
	styles *Styles
	glyphs *glyphs
	w, h   int

	tape   *tape
	seq    evtchn.Seq // the cursor, 0 only in an empty trace
	port   evtchn.Port
	view   step
	report *analyze.Report
	spots  []spot
	at     int // the finding that is looked at, -1: none

	focus   pane
	zoomed  bool
	events  eventsPane
	machine machinePane
	why     whyPane

	mode    mode
	input   line
	asked   prompt
	history [promptEnd][]string
	recall  int // which line of the history is shown
	scroll  int // of an overlay
	overlay []string

	jumps   []evtchn.Seq
	jumpAt  int
	indexes []*index
	job     *job
	count   int // the number typed before a key
	message string
	bad     bool // the message is an error

	background context.Context
	stop       context.CancelFunc
	running    map[string]uint64 // what is done in the background, and how far it is
	quitting   bool
}

// mode is what keys mean.
type mode uint8

const (
	modeNormal mode = iota
	modeInput
	modeOverlay
	modeSetMark
	modeGoMark
	modePick
)

// New makes the program for a trace. Errors are those of reading its first screen.
func New(tr Trace, opt Options) (*Model, error) {
	m := &Model{opt: opt, tr: tr, meta: tr.Meta(), n: evtchn.Seq(tr.Len()), tape: newTape(tr), at: -1, keys: DefaultKeyMap(), styles: opt.Styles,
		glyphs: &unicodeGlyphs, running: make(map[string]uint64)}
	if m.styles == nil {
		m.styles = DefaultStyles(ColorsBasic)
	}
	if opt.ASCII {
		m.glyphs = &asciiGlyphs
	}
	m.background, m.stop = context.WithCancel(context.Background())
	m.acts = m.keys.sections()
	m.events = eventsPane{styles: m.styles, glyphs: m.glyphs}
	m.machine = machinePane{styles: m.styles, glyphs: m.glyphs}
	m.why = whyPane{styles: m.styles, glyphs: m.glyphs}
	if m.n > 0 {
		ev, err := m.tape.event(m.n)
		if err != nil {
			return nil, err
		}
		m.last = ev.Time
	}
	m.view = step{meta: &m.meta, clock: newClock(&m.meta, m.last)}
	start := min(max(opt.At, 1), m.n)
	if opt.At == 0 && opt.Report == nil && opt.Analyze == nil {
		opt.Report = &analyze.Report{}
	}
	if opt.Report != nil {
		m.setReport(opt.Report)
		if opt.At == 0 && len(m.spots) > 0 {
			start = m.spots[m.first()].seq
		}
	}
	if err := m.goTo(start); err != nil {
		return nil, err
	}
	m.settle()
	if opt.Report != nil {
		m.welcome()
	}
	if opt.Notice != "" {
		m.say("%s", opt.Notice)
	}
	return m, nil
}

// first is the finding to begin with: the first of the worst kind.
func (m *Model) first() int {
	if len(m.report.Findings) > 0 {
		for i := range m.spots {
			if m.spots[i].finding == &m.report.Findings[0] {
				return i
			}
		}
	}
	return 0
}

// settle looks at the finding whose place the cursor is at, or at the event's port.
func (m *Model) settle() {
	for i := range m.spots {
		if m.spots[i].seq == m.seq && (m.at < 0 || m.report.Findings[0].ID == m.spots[i].finding.ID) {
			m.at, m.port = i, m.spots[i].finding.Port
		}
	}
	if m.at < 0 && m.seq > 0 && m.opt.At > 0 {
		m.port = m.view.ev.Port
	}
}

// welcome says what there is to see.
func (m *Model) welcome() {
	switch {
	case m.n == 0:
		m.say("the trace is empty: there is nothing to step through")
	case len(m.spots) > 0:
		m.say("press ? for help")
	case m.report.Verdict == analyze.VerdictClean:
		m.say("clean: no event was missed, so this is the start of the trace")
	default:
		m.say("no finding to show, so this is the start of the trace")
	}
}

// setReport takes the findings.
func (m *Model) setReport(r *analyze.Report) {
	m.report = r
	m.spots = spotsOf(r, m.n)
}

// reportMsg brings the analysis.
type reportMsg struct {
	report *analyze.Report
	err    error
}

// Init starts what runs in the background.
func (m *Model) Init() tea.Cmd {
	if m.report == nil && m.opt.Analyze != nil {
		return m.work("judging", func(ctx context.Context, progress func(uint64)) tea.Msg {
			r, err := m.opt.Analyze(ctx, progress)
			return reportMsg{r, err}
		})
	}
	return nil
}

// Idle reports whether nothing is under way that would change the screen by itself.
func (m *Model) Idle() bool { return m.job == nil && len(m.running) == 0 }

// Update carries out what happened. It never waits.
func (m *Model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	cmd := m.update(msg)
	m.refresh()
	return m, cmd
}

func (m *Model) update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.w, m.h = msg.Width, msg.Height
		return nil
	case tea.KeyMsg:
		return m.press(msg)
	case filledMsg:
		return m.filled(msg)
	case reportMsg:
		delete(m.running, "judging")
		if msg.err != nil {
			if m.background.Err() == nil {
				m.fail(fmt.Errorf("judging the trace: %w", msg.err))
			}
			m.setReport(&analyze.Report{})
			return nil
		}
		m.setReport(msg.report)
		if m.opt.At == 0 && len(m.spots) > 0 && len(m.jumps) == 0 && m.seq <= 1 {
			m.toFinding(m.first())
		}
		m.welcome()
		return nil
	case progressMsg:
		if _, ok := m.running[msg.what]; ok {
			m.running[msg.what] = msg.done.Load()
			return msg.again
		}
	}
	return nil
}

// press carries out a key.
func (m *Model) press(k tea.KeyMsg) tea.Cmd {
	if k.String() == "ctrl+c" {
		return m.quit()
	}
	switch m.mode {
	case modeInput:
		return m.typed(k)
	case modeOverlay:
		return m.inOverlay(k)
	}
	if s := k.String(); len(s) == 1 && (s[0] >= '1' && s[0] <= '9' || s[0] == '0' && m.count > 0) {
		if m.count < 1e17 {
			m.count = m.count*10 + int(s[0]-'0')
		}
		return nil
	}
	n := m.count
	m.count = 0
	m.message, m.bad = "", false
	for i := range m.acts {
		for j := range m.acts[i].actions {
			if a := &m.acts[i].actions[j]; key.Matches(k, a.binding) {
				m.job = nil // a key interrupts what is under way
				return a.do(m, n)
			}
		}
	}
	m.say("%q does nothing here; ? lists the keys", k.String())
	return nil
}

// say puts a message into the status line.
func (m *Model) say(format string, args ...any) {
	m.message, m.bad = clean(fmt.Sprintf(format, args...)), false
}

// fail does so with an error.
func (m *Model) fail(err error) { m.message, m.bad = clean(err.Error()), true }

func (m *Model) quit() tea.Cmd {
	m.quitting = true
	m.job = nil
	m.stop()
	return tea.Quit
}

// abort stops what is under way, or takes away what is open.
func (m *Model) abort() tea.Cmd {
	switch {
	case m.zoomed:
		m.zoomed = false
	}
	return nil
}

func (m *Model) moveFocus(dir int) tea.Cmd {
	m.focus = (m.focus + pane(dir) + panes) % panes
	return nil
}

func (m *Model) toggleZoom() tea.Cmd {
	m.zoomed = !m.zoomed
	return nil
}

// layout gives each pane its place.
func (m *Model) layout() {
	h := m.h - 2 // title and status
	if m.zoomed {
		m.events.SetSize(m.w, h)
		m.machine.SetSize(m.w, h)
		m.why.SetSize(m.w, h)
		return
	}
	machine := 9
	why := 5
	if m.h >= 30 {
		machine, why = 11, 8
	}
	if m.h >= 38 {
		machine, why = 12, 9
	}
	m.machine.SetSize(m.w, machine)
	m.why.SetSize(m.w, why)
	m.events.SetSize(m.w, h-machine-why)
}

// refresh brings the panes up to the cursor.
func (m *Model) refresh() {
	if m.w < MinWidth || m.h < MinHeight {
		return
	}
	m.layout()
	v := &m.view
	v.port = m.port
	v.finding = nil
	if m.at >= 0 {
		v.finding = m.spots[m.at].finding
	}
	m.why.SetFinding(v.finding)
	if m.seq == 0 {
		m.events.rows = nil
		return
	}
	m.arrange()
}

// arrange puts the events around the cursor on the list.
func (m *Model) arrange() {
	m.events.arrange(m.seq, m.near)
	m.events.fitColumns(&m.view, m.n, m.last)
	for i := range m.events.rows {
		m.fillRow(&m.events.rows[i])
	}
}

// near gives the event beside another one in the list.
func (m *Model) near(seq evtchn.Seq, dir int) (evtchn.Seq, bool) {
	if dir < 0 {
		return seq - 1, false
	}
	if seq >= m.n {
		return 0, false
	}
	return seq + 1, false
}

// fillRow reads what a line of the list shows.
func (m *Model) fillRow(r *row) {
	if r.note != "" {
		return
	}
	ev, err := m.tape.event(r.seq)
	if err != nil {
		r.note = clean(err.Error())
		return
	}
	r.ev = *ev
	if f := m.view.finding; f != nil {
		if f.UnnoticedSeq == r.seq {
			r.sign = signUnnoticed
			return
		}
		for _, e := range f.Evidence {
			if e == r.seq {
				r.sign = signEvidence
			}
		}
	}
}

// View draws the screen.
func (m *Model) View() string {
	switch {
	case m.quitting:
		return ""
	case m.w == 0:
		return "" // the size is not known yet
	case m.w < MinWidth || m.h < MinHeight:
		return fmt.Sprintf("This terminal has %d columns and %d lines: evtrace needs %d by %d.\nMake it larger, or use: evtrace tui --plain", m.w, m.h, MinWidth, MinHeight)
	}
	if m.mode == modeOverlay {
		return m.overlayView()
	}
	blocks := []string{m.titleView()}
	if m.zoomed {
		blocks = append(blocks, m.paneView(m.focus))
	} else {
		for p := range panes {
			blocks = append(blocks, m.paneView(p))
		}
	}
	blocks = append(blocks, m.statusView())
	return strings.Join(blocks, "\n")
}

func (m *Model) paneView(p pane) string {
	focused := p == m.focus
	switch p {
	case paneMachine:
		return m.machine.View(&m.view, focused)
	case paneWhy:
		return m.why.View(&m.view, m.whyTitle(), m.whyNotes(), focused)
	}
	return m.events.View(&m.view, m.eventsTitle(), focused)
}
