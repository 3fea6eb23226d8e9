package tui

import (
	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/tui/timeline"
)

// KeyMap says which keys do what. Every binding has a help text, from which the help is made.
type KeyMap struct {
	Down, Up, PageDown, PageUp, First, Last               key.Binding
	NextOfPort, PrevOfPort, NextOfVCPU, PrevOfVCPU        key.Binding
	NextInput, PrevInput, NextFinding, PrevFinding        key.Binding
	Cause, Effect, TakePort                               key.Binding
	Back, Forth                                           key.Binding
	Command, Search, NextMatch, PrevMatch                 key.Binding
	SetMark, GoMark, ListMarks                            key.Binding
	Focus, FocusBack, Zoom, Help, Equivalent, Abort, Quit key.Binding
	Filter, Unfilter                                      key.Binding
	Break, RunOn, RunBack                                 key.Binding
	Policy, Departure, PortDeparture, Exchange            key.Binding
	ZoomIn, ZoomOut, PanLeft, PanRight, Fit               key.Binding
}

// DefaultKeyMap is in the manner of vi, less and tig.
func DefaultKeyMap() KeyMap {
	b := func(keys, desc string, list ...string) key.Binding {
		return key.NewBinding(key.WithKeys(list...), key.WithHelp(keys, desc))
	}
	return KeyMap{
		Down:          b("j down", "the next event", "j", "down"),
		Up:            b("k up", "the event before", "k", "up"),
		PageDown:      b("ctrl+d pgdn", "a page forward", "ctrl+d", "pgdown", "ctrl+f", " "),
		PageUp:        b("ctrl+u pgup", "a page back", "ctrl+u", "pgup", "ctrl+b"),
		First:         b("g home", "the first event", "g", "home"),
		Last:          b("G end", "the last event; 120G: event 120", "G", "end"),
		NextOfPort:    b(".", "the next event of this port", "."),
		PrevOfPort:    b(",", "the previous event of this port", ","),
		NextOfVCPU:    b("v", "the next event of this vcpu", "v"),
		PrevOfVCPU:    b("V", "the previous event of this vcpu", "V"),
		NextInput:     b("i", "the next input: what came from outside", "i"),
		PrevInput:     b("I", "the previous input", "I"),
		NextFinding:   b("u", "the next finding, where it went unnoticed", "u"),
		PrevFinding:   b("U", "the previous finding", "U"),
		Cause:         b("[", "what made this event happen", "["),
		Effect:        b("]", "what this event made happen", "]"),
		TakePort:      b("enter o", "look at this event's port from now on", "enter", "o", "ctrl+j"),
		Back:          b("ctrl+o z", "back to where the last jump began", "ctrl+o", "z"),
		Forth:         b("Z", "forth again", "Z"),
		Command:       b(":", "a command: :1234  :t=1.2ms  :port=65  :vcpu=2  :q", ":"),
		Search:        b("/", "search, such as /mask.clear or /port==65 && vcpu!=0", "/"),
		NextMatch:     b("n", "the next match", "n"),
		PrevMatch:     b("N", "the previous match", "N"),
		SetMark:       b("m a-z", "mark this event", "m"),
		GoMark:        b("' a-z", "go to a mark", "'"),
		ListMarks:     b("M", "list the marks", "M"),
		Focus:         b("tab", "the next pane", "tab"),
		FocusBack:     b("shift+tab", "the pane before", "shift+tab"),
		Zoom:          b("\\", "this pane alone, and back", "\\"),
		Help:          b("?", "help", "?"),
		Equivalent:    b("@", "the command line that shows this", "@"),
		Abort:         b("esc", "stop what is under way; close what is open", "esc"),
		Quit:          b("q", "quit", "q", "ctrl+c"),
		Filter:        b("f", "show only some events: kinds, port==65 && vcpu!=0", "f"),
		Unfilter:      b("F", "show all events again", "F"),
		Break:         b("b", "a breakpoint: PEND[65] && !MASK[65] && SEL[0]==0", "b"),
		RunOn:         b("r", "run to the next breakpoint", "r"),
		RunBack:       b("R", "run back to the breakpoint before", "R"),
		Policy:        b("p", "the same under another policy, beside it", "p"),
		Departure:     b("d", "where the other policy first goes another way", "d"),
		PortDeparture: b("D", "the finding's next event that the other policy lacks", "D"),
		Exchange:      b("x", "step through the other policy's trace instead, and back", "x"),
		ZoomIn:        b("+ =", "timeline: a shorter stretch of time", "+", "="),
		ZoomOut:       b("-", "timeline: a longer stretch", "-"),
		PanLeft:       b("left", "timeline: earlier", "left"),
		PanRight:      b("right", "timeline: later", "right"),
		Fit:           b("0", "timeline: the whole trace", "0"),
	}
}

// action is what a key does. n is the number typed before it, 0 if none.
type action struct {
	binding key.Binding
	do      func(m *Model, n int) tea.Cmd
}

// section is a group of keys in the help.
type section struct {
	title   string
	actions []action
}

// sections is everything that keys do outside of an input line, in the order of the help.
func (k *KeyMap) sections() []section {
	step := func(dir int) func(*Model, int) tea.Cmd {
		return func(m *Model, n int) tea.Cmd { return m.stepBy(dir * max(n, 1)) }
	}
	return []section{
		{"Move", []action{
			{k.Down, step(1)}, {k.Up, step(-1)},
			{k.PageDown, func(m *Model, n int) tea.Cmd { return m.page(1) }},
			{k.PageUp, func(m *Model, n int) tea.Cmd { return m.page(-1) }},
			{k.First, func(m *Model, n int) tea.Cmd { return m.jumpEnd(false, n) }},
			{k.Last, func(m *Model, n int) tea.Cmd { return m.jumpEnd(true, n) }},
			{k.Back, func(m *Model, n int) tea.Cmd { return m.jumpBack() }},
			{k.Forth, func(m *Model, n int) tea.Cmd { return m.jumpForth() }},
		}},
		{"Follow", []action{
			{k.NextFinding, func(m *Model, n int) tea.Cmd { return m.nextFinding(1) }},
			{k.PrevFinding, func(m *Model, n int) tea.Cmd { return m.nextFinding(-1) }},
			{k.NextOfPort, func(m *Model, n int) tea.Cmd { return m.nextOfPort(1) }},
			{k.PrevOfPort, func(m *Model, n int) tea.Cmd { return m.nextOfPort(-1) }},
			{k.NextOfVCPU, func(m *Model, n int) tea.Cmd { return m.nextOfVCPU(1) }},
			{k.PrevOfVCPU, func(m *Model, n int) tea.Cmd { return m.nextOfVCPU(-1) }},
			{k.NextInput, func(m *Model, n int) tea.Cmd { return m.nextInput(1) }},
			{k.PrevInput, func(m *Model, n int) tea.Cmd { return m.nextInput(-1) }},
			{k.Cause, func(m *Model, n int) tea.Cmd { return m.cause() }},
			{k.Effect, func(m *Model, n int) tea.Cmd { return m.effect() }},
			{k.TakePort, func(m *Model, n int) tea.Cmd { return m.takePort() }},
		}},
		{"Panes", []action{
			{k.Focus, func(m *Model, n int) tea.Cmd { return m.moveFocus(1) }},
			{k.FocusBack, func(m *Model, n int) tea.Cmd { return m.moveFocus(-1) }},
			{k.Zoom, func(m *Model, n int) tea.Cmd { return m.toggleZoom() }},
		}},
		{"Find", []action{
			{k.Search, func(m *Model, n int) tea.Cmd { return m.prompt(promptSearch) }},
			{k.NextMatch, func(m *Model, n int) tea.Cmd { return m.nextMatch(1) }},
			{k.PrevMatch, func(m *Model, n int) tea.Cmd { return m.nextMatch(-1) }},
			{k.Filter, func(m *Model, n int) tea.Cmd { return m.prompt(promptFilter) }},
			{k.Unfilter, func(m *Model, n int) tea.Cmd { return m.unfilter() }},
			{k.SetMark, func(m *Model, n int) tea.Cmd { m.mode = modeSetMark; return nil }},
			{k.GoMark, func(m *Model, n int) tea.Cmd { m.mode = modeGoMark; return nil }},
			{k.ListMarks, func(m *Model, n int) tea.Cmd { return m.listMarks() }},
			{k.Break, func(m *Model, n int) tea.Cmd { return m.prompt(promptBreak) }},
			{k.RunOn, func(m *Model, n int) tea.Cmd { return m.run(1) }},
			{k.RunBack, func(m *Model, n int) tea.Cmd { return m.run(-1) }},
		}},
		{"Compare", []action{
			{k.Policy, func(m *Model, n int) tea.Cmd { return m.choosePolicy() }},
			{k.Departure, func(m *Model, n int) tea.Cmd { return m.departure() }},
			{k.PortDeparture, func(m *Model, n int) tea.Cmd { return m.portDeparture() }},
			{k.Exchange, func(m *Model, n int) tea.Cmd { return m.exchange() }},
		}},
		{"Timeline", []action{
			{k.ZoomIn, func(m *Model, n int) tea.Cmd {
				return m.onStrip(func(t *timeline.Model, at evtchn.Time) { t.Zoom(2, at) })
			}},
			{k.ZoomOut, func(m *Model, n int) tea.Cmd {
				return m.onStrip(func(t *timeline.Model, at evtchn.Time) { t.Zoom(0.5, at) })
			}},
			{k.PanLeft, func(m *Model, n int) tea.Cmd {
				return m.onStrip(func(t *timeline.Model, _ evtchn.Time) { t.Pan(-m.w / 8) })
			}},
			{k.PanRight, func(m *Model, n int) tea.Cmd {
				return m.onStrip(func(t *timeline.Model, _ evtchn.Time) { t.Pan(m.w / 8) })
			}},
			{k.Fit, func(m *Model, n int) tea.Cmd {
				return m.onStrip(func(t *timeline.Model, at evtchn.Time) { t.Zoom(1e-18, at) })
			}},
		}},
		{"Other", []action{
			{k.Command, func(m *Model, n int) tea.Cmd { return m.prompt(promptCommand) }},
			{k.Equivalent, func(m *Model, n int) tea.Cmd { return m.equivalent() }},
			{k.Help, func(m *Model, n int) tea.Cmd { return m.toggleHelp() }},
			{k.Abort, func(m *Model, n int) tea.Cmd { return m.abort() }},
			{k.Quit, func(m *Model, n int) tea.Cmd { return m.quit() }},
		}},
	}
}
