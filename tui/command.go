package tui

import (
	"fmt"
	"strconv"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/evtrace/evtrace/evtchn"
)

// prompt is what an input line asks for.
type prompt uint8

const (
	promptCommand prompt = iota
	promptEnd
)

var promptSigns = [promptEnd]string{":"}

// prompt opens the input line.
func (m *Model) prompt(p prompt) tea.Cmd {
	m.mode, m.asked = modeInput, p
	m.input.Set("")
	m.recall = len(m.history[p])
	return nil
}

func (m *Model) inputView() string { return m.input.View(m.styles, promptSigns[m.asked], m.w) }

// typed carries out a key in the input line.
func (m *Model) typed(k tea.KeyMsg) tea.Cmd {
	switch k.String() {
	case "esc":
		m.closeInput()
		return nil
	case "enter":
		text := strings.TrimSpace(m.input.String())
		m.closeInput()
		m.message = ""
		if text == "" {
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
	cmd, err := m.command(text)
	if err != nil {
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
	n, err := strconv.ParseUint(strings.TrimPrefix(name, "#"), 10, 64)
	switch {
	case err != nil:
		return nil, fmt.Errorf(":%s is no command: want a number, t=, port=, vcpu=, or q", line)
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
