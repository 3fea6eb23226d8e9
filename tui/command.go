package tui

import (
	"fmt"
	"strconv"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/charmbracelet/x/ansi"

	"github.com/evtrace/evtrace/evtchn"
)

// prompt is what an input line asks for.
type prompt uint8

const (
	promptCommand prompt = iota
	promptSearch
	promptFilter
	promptBreak
	promptEnd
)

var promptSigns = [promptEnd]string{":", "/", "filter: ", "break when: "}

// prompt opens the input line.
func (m *Model) prompt(p prompt) tea.Cmd {
	m.mode, m.asked = modeInput, p
	m.input.Set("")
	switch {
	case p == promptFilter:
		m.input.Set(m.filterSrc)
	case p == promptBreak && m.port != evtchn.NoPort && len(m.breaks) == 0:
		m.input.Set(fmt.Sprintf("UNNOTICED[%d]", m.port))
	}
	if m.draft[p] != "" {
		m.input.Set(m.draft[p])
	}
	m.recall = len(m.history[p])
	return nil
}

// inputView draws the input line, and says while it is typed what is wrong with it.
func (m *Model) inputView() string {
	note := m.check(m.input.String())
	if note == "" {
		return m.input.View(m.styles, promptSigns[m.asked], m.w)
	}
	w := min(max(ansi.StringWidth(note), 2), m.w*3/5)
	st := m.styles.Bad
	if note == "ok" || note == "as text" {
		st = m.styles.Good
	}
	return m.input.View(m.styles, promptSigns[m.asked], m.w-w-2) + "  " + st.Render(fit(note, w))
}

// typed carries out a key in the input line.
func (m *Model) typed(k tea.KeyMsg) tea.Cmd {
	switch k.String() {
	case "esc":
		m.closeInput()
		return nil
	case "enter", "ctrl+j":
		text := strings.TrimSpace(m.input.String())
		m.closeInput()
		m.message = ""
		if text == "" {
			m.draft[m.asked] = ""
			if m.asked == promptFilter {
				m.clearFilter()
			}
			return nil
		}
		m.remember(text)
		return m.enter(text)
	case "up", "ctrl+p":
		m.again(-1)
		return nil
	case "down", "ctrl+n":
		m.again(1)
		return nil
	case "backspace":
		if m.input.String() == "" {
			m.closeInput()
			return nil
		}
	}
	m.input.Update(k)
	return nil
}

func (m *Model) closeInput() { m.mode = modeNormal }

// remember keeps what was typed, for the arrow keys.
func (m *Model) remember(text string) {
	h := m.history[m.asked]
	if len(h) == 0 || h[len(h)-1] != text {
		m.history[m.asked] = append(h, text)
	}
}

// again brings back what was typed before.
func (m *Model) again(dir int) {
	h := m.history[m.asked]
	m.recall = max(min(m.recall+dir, len(h)), 0)
	if m.recall == len(h) {
		m.input.Set("")
		return
	}
	m.input.Set(h[m.recall])
}

// enter carries out what was typed.
func (m *Model) enter(text string) tea.Cmd {
	m.job = nil
	var cmd tea.Cmd
	var err error
	switch m.asked {
	case promptSearch:
		cmd, err = m.search(text)
	case promptFilter:
		err = m.setFilter(text)
	case promptBreak:
		err = m.addBreak(text)
	default:
		cmd, err = m.command(text)
	}
	m.draft[m.asked] = ""
	if err != nil {
		m.draft[m.asked] = text
		m.fail(err)
	}
	return cmd
}

// command carries out a line of the : prompt.
func (m *Model) command(line string) (tea.Cmd, error) {
	name, value, _ := strings.Cut(line, "=")
	name, value = strings.TrimSpace(name), strings.TrimSpace(value)
	switch name {
	case "q", "quit":
		return m.quit(), nil
	case "help", "h":
		return m.toggleHelp(), nil
	case "policy":
		return m.setPolicy(value)
	case "nobreak":
		m.breaks = nil
		m.say("no breakpoints")
		return nil, nil
	case "marks":
		return m.listMarks(), nil
	case "filter":
		if value == "" {
			return m.unfilter(), nil
		}
		return nil, m.setFilter(value)
	case "t", "time":
		return nil, m.toTime(value)
	case "port":
		p, err := strconv.ParseUint(value, 10, 32)
		if err != nil || p == 0 || m.view.cur != nil && p >= uint64(m.view.cur.Ports()) {
			return nil, fmt.Errorf(":port=%s: want a port from 1 to %d", value, m.ports()-1)
		}
		m.port = evtchn.Port(p)
		return m.nearest(), nil
	case "vcpu":
		v, err := strconv.ParseUint(strings.TrimPrefix(value, "v"), 10, 16)
		if err != nil || v >= uint64(m.meta.VCPUs) {
			return nil, fmt.Errorf(":vcpu=%s: want a vcpu from 0 to %d", value, m.meta.VCPUs-1)
		}
		if m.seq == 0 {
			return nil, nil
		}
		return m.followVCPU(evtchn.VCPU(v), 1), nil
	}
	if file, ok := strings.CutPrefix(line, "w "); ok {
		return nil, m.save(strings.TrimSpace(file))
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(name, "#"), 10, 64)
	switch {
	case err != nil:
		return nil, fmt.Errorf(":%s is no command: want a number, t=, port=, vcpu=, policy=, w FILE or q", line)
	case n < 1 || n > uint64(m.n):
		return nil, fmt.Errorf("%w: #%d, the trace has #1 to #%d", errNoEvent, n, m.n)
	}
	m.jump(evtchn.Seq(n))
	return nil, nil
}

func (m *Model) ports() int {
	if m.view.cur == nil {
		return 0
	}
	return m.view.cur.Ports()
}

// nearest stays where it is if this event is of the port, else it goes to the next one of it, or the last before.
func (m *Model) nearest() tea.Cmd {
	if m.seq == 0 || m.view.ev.Port == m.port {
		return nil
	}
	m.say("port %d", m.port)
	return m.nextOfPort(1)
}

func (m *Model) toTime(value string) error {
	t, err := m.view.clock.parse(value)
	if err != nil {
		return fmt.Errorf(":t=: %w", err)
	}
	if m.seq == 0 {
		return nil
	}
	seq, err := m.tr.SeqAt(t)
	if err != nil {
		return err
	}
	if seq > m.n {
		m.say("the trace ends at %s %s", m.view.clock.at(m.last), m.view.clock.unit())
	}
	m.jump(min(max(seq, 1), m.n))
	return nil
}

// save writes a range of events as text: from mark a to mark b if these are set, else the finding's story.
func (m *Model) save(file string) error {
	switch {
	case m.opt.Save == nil:
		return fmt.Errorf(":w cannot write here")
	case m.exchanged:
		return fmt.Errorf(":w writes the recording: x goes back to it")
	case file == "":
		return fmt.Errorf(":w: want the name of a file")
	case m.seq == 0:
		return fmt.Errorf(":w: the trace has no events")
	}
	r := Range{m.seq, m.seq}
	a, b := m.markOf("a"), m.markOf("b")
	switch {
	case a != nil && b != nil:
		r = Range{min(a.Seq, b.Seq), max(a.Seq, b.Seq)}
	case m.view.finding != nil:
		for _, e := range m.view.finding.Evidence {
			r.First, r.Last = min(r.First, e), max(r.Last, e)
		}
	default:
		return fmt.Errorf(":w: set the marks a and b around what is to be saved")
	}
	r.First, r.Last = max(r.First, 1), min(r.Last, m.n)
	if err := m.opt.Save(file, r); err != nil {
		return err
	}
	m.say("%s: events #%d to #%d", file, r.First, r.Last)
	return nil
}
