package tui

import (
	"fmt"
	"strings"

	tea "github.com/charmbracelet/bubbletea"
)

// toggleHelp shows what the keys do.
func (m *Model) toggleHelp() tea.Cmd {
	m.open(m.helpLines())
	return nil
}

// open shows lines over the panes.
func (m *Model) open(lines []string) {
	m.mode, m.overlay, m.scroll = modeOverlay, nil, 0
	for _, l := range lines {
		m.overlay = append(m.overlay, wrap(l, max(m.w-2, 20))...)
	}
}

// helpLines is made from the key map. What belongs to the focused pane comes first.
func (m *Model) helpLines() []string {
	lines := []string{
		"An event of a port gets lost when the port is pending and unmasked and no vcpu is going to look. evtrace opens at the step after which nobody was: " +
			"go back with k or , to see how it came to that, read the why, and try p to see what another policy would have made of it.",
		"",
	}
	switch m.focus {
	case paneWhy:
		lines = append(lines, "You are in the why: j and k go from event to event of the story.", "")
	case paneMachine:
		lines = append(lines, "You are in the machine: the port's record, its event word bit by bit (1 set, . clear, ? not known), and the vcpus that matter.",
			"UP: upcall pending. UMASK: upcalls off. SEL: the words that the vcpu has been told to look at.", "")
	}
	if m.focus == paneStrip {
		lines = append(lines, m.stripHelp()...)
		lines = append(lines, "")
	}
	for _, s := range m.acts {
		lines = append(lines, s.title)
		for _, a := range s.actions {
			h := a.binding.Help()
			lines = append(lines, fmt.Sprintf("  %-12s %s", h.Key, h.Desc))
		}
	}
	lines = append(lines, "Signs in the list of events")
	for _, l := range m.glyphs.legend() {
		lines = append(lines, "  "+l)
	}
	if m.focus != paneStrip {
		lines = append(lines, "Signs in the timeline")
		for _, l := range m.strip.legend() {
			lines = append(lines, "  "+l)
		}
	}
	return lines
}

// legend explains the signs of the list of events and of the machine.
func (g *glyphs) legend() []string {
	return []string{
		fmt.Sprintf("%s the cursor  %s evidence of the finding  %s the step after which nobody was going to look  a-z marks", g.cursor, g.evidence, g.unnoticed),
		fmt.Sprintf("%s came from outside  %s inferred: not recorded, but it must have been  %s records are missing", g.input, g.inferred, g.gap),
		fmt.Sprintf("%s only one of the two policies has it  %s in the machine: changed by this step  ? not known", g.departs, g.changed),
	}
}

func (m *Model) overlayView() string {
	h := m.h - 2
	m.scroll = max(min(m.scroll, len(m.overlay)-h), 0)
	lines := []string{m.titleView()}
	for i := range h {
		text := ""
		if i+m.scroll < len(m.overlay) {
			text = m.overlay[i+m.scroll]
		}
		lines = append(lines, fit(" "+text, m.w))
	}
	left := " any other key closes this"
	if len(m.overlay) > h {
		left = fmt.Sprintf(" j k scroll, %d of %d; any other key closes this", min(m.scroll+h, len(m.overlay)), len(m.overlay))
	}
	return strings.Join(append(lines, m.styles.Status.Render(fit(left, m.w))), "\n")
}

func (m *Model) inOverlay(k tea.KeyMsg) tea.Cmd {
	h := m.h - 2
	switch k.String() {
	case "j", "down":
		m.scroll++
	case "k", "up":
		m.scroll--
	case "ctrl+d", "pgdown", " ", "ctrl+f":
		m.scroll += h - 1
	case "ctrl+u", "pgup", "ctrl+b":
		m.scroll -= h - 1
	default:
		m.mode = modeNormal
	}
	m.scroll = max(min(m.scroll, len(m.overlay)-h), 0)
	return nil
}

// equivalent shows the command lines that give what is on the screen.
func (m *Model) equivalent() tea.Cmd {
	name := m.opt.Name
	if name == "" {
		name = "TRACE"
	}
	name = quote(clean(name))
	at := fmt.Sprintf("evtrace tui %s --at %d", name, m.seq)
	lines := []string{"This step again:", "  " + at}
	if m.other != nil {
		lines = append(lines, "  "+at+" --policy "+quote(m.other.rerun.Policy))
	}
	lines = append(lines, "", "As text:", "  "+at+" --plain", "", "The findings:", "  evtrace analyze "+name)
	if m.opt.Rerun != nil {
		policy := "all"
		if m.other != nil {
			policy = quote(m.other.rerun.Policy)
		}
		lines = append(lines, "", "Other policies:", "  evtrace replay "+name+" --policy "+policy)
	}
	lines = append(lines, "", "Every event as text:", "  evtrace export "+name)
	m.open(lines)
	return nil
}

// quote makes a word for the shell.
func quote(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:=,+-") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
