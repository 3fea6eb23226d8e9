package tui

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/tui/filter"
	"github.com/evtrace/evtrace/tui/timeline"
)

// The smallest terminal that the program is drawn for.
const (
	MinWidth  = 80
	MinHeight = 24
)

// Model is the program. It is a tea.Model; New makes one.
type Model struct {
	recording // that is stepped through
	opt       Options
	keys      KeyMap
	acts      []section
	styles    *Styles
	glyphs    *glyphs
	w, h      int

	seq   evtchn.Seq // the cursor, 0 only in an empty trace
	port  evtchn.Port
	view  step
	at    int // the finding that is looked at, -1: none
	marks []Mark

	focus   pane
	zoomed  bool
	events  eventsPane
	machine machinePane
	why     whyPane
	strip   stripPane
	panned  bool // the reader has chosen the timeline's window

	mode      mode
	input     line
	asked     prompt
	history   [promptEnd][]string
	draft     [promptEnd]string // what was refused, to be mended
	recall    int               // which line of the history is shown
	scroll    int               // of an overlay
	overlay   []string
	picks     []item
	pick      int
	pickTitle string

	jumps    []evtchn.Seq
	jumpAt   int
	indexes  []*index
	job      *job // a move that is under way
	filling  *job // what the list lacks because of the filter
	lacks    int  // the slice that it lacks, -1: none
	lacksDir int
	count    int // the number typed before a key
	message  string
	bad      bool // the message is an error

	searched  string
	filter    *index
	filterSrc string
	breaks    []*filter.Condition

	other     *comparison
	exchanged bool       // it is the other policy's trace that is stepped through
	departed  evtchn.Seq // where the cursor was last put by portDeparture
	stopRerun context.CancelFunc

	background context.Context
	stop       context.CancelFunc
	running    map[string]uint64 // what is done in the background, and how far it is
	held       *holdings
	butFor     map[*analyze.Finding][]string // what would have changed the verdict; absent: not asked yet
	returns    returns
	every      time.Duration // between looks at how far
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
	rec, err := newRecording(tr)
	if err != nil {
		return nil, err
	}
	m := &Model{recording: rec, opt: opt, at: -1, lacks: -1, keys: DefaultKeyMap(), styles: opt.Styles, glyphs: &unicodeGlyphs,
		running: make(map[string]uint64), held: new(holdings), every: 150 * time.Millisecond, marks: opt.Marks}
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
	m.view = step{meta: &m.meta, clock: newClock(&m.meta, m.last)}
	var first evtchn.Time
	if m.n > 0 {
		ev, err := m.tape.event(1)
		if err != nil {
			return nil, err
		}
		first = ev.Time
	}
	m.strip = newStripPane(m.meta, m.styles, m.glyphs, opt.ASCII, first, max(m.last, m.meta.Duration))
	if opt.Report == nil && opt.Analyze == nil {
		opt.Report = &analyze.Report{}
	}
	start := min(max(opt.At, 1), m.n)
	if opt.Report != nil {
		m.setReport(opt.Report)
		if opt.At == 0 && len(m.spots) > 0 {
			m.at = m.first()
			start, m.port = m.spots[m.at].seq, m.spots[m.at].finding.Port
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

// first is the finding to begin with: the one that was asked for, or else the first of the worst kind.
func (m *Model) first() int {
	for i := range m.spots {
		if m.opt.Finding != "" && m.spots[i].finding.ID == m.opt.Finding {
			return i
		}
	}
	if len(m.report.Findings) > 0 {
		for i := range m.spots {
			if m.spots[i].finding == &m.report.Findings[0] {
				return i
			}
		}
	}
	return 0
}

// settle looks at the port of the finding that has to do with the event at which the program opens, or else at the event's.
func (m *Model) settle() {
	m.follow()
	switch {
	case m.at >= 0:
		m.port = m.spots[m.at].finding.Port
	case m.seq > 0 && m.opt.At > 0:
		m.port = m.view.ev.Port
		m.follow()
	}
	m.fitStory()
}

// follow chooses the finding that has to do with the cursor: the one that is looked at as long as no other has more to do with it.
func (m *Model) follow() {
	best, at := 0, -1
	for i := range m.spots {
		n := 2 * m.spots[i].bears(m.seq, m.port)
		if n > 0 && i == m.at {
			n++
		}
		if n > best {
			best, at = n, i
		}
	}
	m.at, m.view.finding = at, nil
	if at >= 0 {
		m.view.finding = m.spots[at].finding
	}
	m.why.SetFinding(m.view.finding)
	m.why.SetButFor(m.butFor[m.view.finding])
}

// welcome says what there is to see.
func (m *Model) welcome() {
	switch {
	case m.n == 0:
		m.say("the trace is empty: there is nothing to step through")
	case len(m.spots) > 0:
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

const judging = "judging"

// Init starts what runs in the background.
func (m *Model) Init() tea.Cmd {
	var cmds []tea.Cmd
	if m.report == nil && m.opt.Analyze != nil {
		judge := m.opt.Analyze
		cmds = append(cmds, m.work(judging, func(ctx context.Context, progress func(uint64)) tea.Msg {
			r, err := judge(ctx, progress)
			return reportMsg{r, err}
		}))
	}
	if m.opt.Policy != "" {
		cmd, err := m.setPolicy(m.opt.Policy)
		if err != nil {
			m.fail(err)
		}
		cmds = append(cmds, cmd)
	}
	return tea.Batch(cmds...)
}

// Idle reports whether nothing is under way that would change the screen by itself.
func (m *Model) Idle() bool {
	return m.job == nil && m.filling == nil && len(m.running) == 0 && !m.strip.drawn && !m.returns.busy
}

// Update carries out what happened. It never waits.
func (m *Model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	cmd := m.update(msg)
	if m.quitting {
		return m, cmd
	}
	m.follow()
	m.refresh()
	return m, tea.Batch(cmd, m.fillList(), m.fetchStrip(), m.fetchFate(), m.fetchButFor(), m.fetchReturn())
}

// fetchStrip reads what the timeline lacks. Only one command does so at a time.
func (m *Model) fetchStrip() tea.Cmd {
	if m.w < MinWidth || m.h < MinHeight || m.mode == modeOverlay || m.n == 0 {
		return nil
	}
	for _, p := range m.shown() {
		if p == paneStrip {
			_, lost := m.timeMarks()
			return m.strip.fetch(m.background, m.tr, lost)
		}
	}
	return nil
}

func (m *Model) update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.w, m.h = msg.Width, msg.Height
	case tea.KeyMsg:
		return m.presses(msg)
	case tea.MouseMsg:
		return m.mouse(msg)
	case filledMsg:
		return m.filled(msg)
	case stripMsg:
		m.strip.take(msg)
	case fateMsg:
		m.takeFate(msg)
	case butForMsg:
		m.takeButFor(msg)
	case returnMsg:
		m.takeReturn(msg)
	case rerunMsg:
		return m.takeRerun(msg)
	case reportMsg:
		m.takeReport(msg)
	case progressMsg:
		if _, ok := m.running[msg.what]; ok {
			m.running[msg.what] = msg.done.Load()
			return msg.again
		}
	}
	return nil
}

func (m *Model) takeReport(msg reportMsg) {
	delete(m.running, judging)
	if msg.err != nil {
		if m.background.Err() == nil {
			m.fail(fmt.Errorf("judging the trace: %w", msg.err))
		}
		m.setReport(&analyze.Report{})
		return
	}
	m.setReport(msg.report)
	if m.opt.At == 0 && len(m.spots) > 0 && len(m.jumps) == 0 && m.seq <= 1 {
		m.toFinding(m.first())
		m.fitStory()
	}
	m.welcome()
}

// presses carries out what may be several keys: those that arrive together, as over a slow line, come as one message.
func (m *Model) presses(k tea.KeyMsg) tea.Cmd {
	if k.Type != tea.KeyRunes || len(k.Runes) < 2 || k.Alt {
		return m.press(k)
	}
	if k.Paste && m.mode != modeInput {
		m.say("pasted text goes into an input line: : / f or b opens one")
		return nil
	}
	var cmds []tea.Cmd
	for _, r := range k.Runes {
		if m.quitting {
			break
		}
		cmds = append(cmds, m.press(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune{r}}))
		m.follow()
	}
	return tea.Batch(cmds...)
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
	case modePick:
		return m.inPick(k)
	case modeSetMark:
		return m.setMark(k)
	case modeGoMark:
		return m.goMark(k)
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
	m.job, m.filling = nil, nil
	m.stop()
	return tea.Quit
}

// Close stops what is under way, waits for it, and gives up what the program has made for itself. It is for when the program has
// ended; the trace stays open.
func (m *Model) Close() {
	m.stop()
	m.held.close()
}

// abort stops what is under way, or takes away what is open.
func (m *Model) abort() tea.Cmd {
	if _, busy := m.running[rerunning]; busy && m.stopRerun != nil {
		m.stopRerun()
		m.say("stopped")
		return nil
	}
	m.zoomed = false
	return nil
}

// refresh brings the panes up to the cursor.
func (m *Model) refresh() {
	if m.w < MinWidth || m.h < MinHeight {
		return
	}
	m.layout()
	v := &m.view
	v.meta, v.clock = &m.meta, newClock(&m.meta, m.last)
	v.port = m.port
	v.rescue = m.rescued()
	if m.seq == 0 {
		m.events.rows = nil
		return
	}
	m.arrange()
	marks, _ := m.timeMarks()
	if m.panned {
		// The reader moves the window: it need not follow the cursor until the cursor moves.
		m.panned = false
		m.strip.ShowStill(v, marks)
	} else {
		m.strip.Show(v, marks)
	}
}

// arrange puts the events around the cursor on the list.
func (m *Model) arrange() {
	m.lacks = -1
	if m.other != nil {
		m.events.arrangePairs(&m.recording, &m.other.recording, m.seq)
	} else {
		m.events.arrange(m.seq, m.near)
	}
	m.events.fitColumns(&m.view, m.n, m.last)
	for i := range m.events.rows {
		m.fillRow(&m.events.rows[i])
	}
}

// near gives the event beside another one in the list.
func (m *Model) near(seq evtchn.Seq, dir int) (evtchn.Seq, bool) {
	if m.filter != nil {
		next, want := m.filter.next(seq, dir)
		if want >= 0 && m.lacks < 0 {
			m.lacks, m.lacksDir = want, dir
		}
		return next, want >= 0
	}
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
	if r.seq > 0 {
		ev, err := m.tape.event(r.seq)
		if err != nil {
			r.note = clean(err.Error())
			return
		}
		r.ev = *ev
		r.mark, r.sign = 0, signNone
		if !m.exchanged {
			r.mark = m.letterAt(r.seq)
		}
		r.sign = m.signOf(r.seq)
	}
	if r.right > 0 && m.other != nil {
		if ev, err := m.other.tape.event(r.right); err == nil {
			r.rightEv = *ev
		}
	}
}

func (m *Model) signOf(seq evtchn.Seq) sign {
	f := m.view.finding
	if f == nil {
		return signNone
	}
	if f.UnnoticedSeq == seq {
		return signUnnoticed
	}
	for _, e := range f.Evidence {
		if e == seq {
			return signEvidence
		}
	}
	return signNone
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
	case m.mode == modeOverlay:
		return m.overlayView()
	case m.mode == modePick:
		return m.pickView()
	}
	blocks := []string{m.titleView()}
	for _, p := range m.shown() {
		blocks = append(blocks, m.paneView(p))
	}
	lines := strings.Split(strings.Join(blocks, "\n"), "\n")
	status := m.statusLines()
	return strings.Join(append(lines[:m.h-len(status)], status...), "\n")
}

// ShowStill updates everything but the window.
func (p *stripPane) ShowStill(s *step, marks []timeline.Mark) {
	from, to := p.model.Window()
	p.Show(s, marks)
	p.model.SetWindow(from, to)
}
