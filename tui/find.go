package tui

import (
	"fmt"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/text"
	"github.com/evtrace/evtrace/tui/filter"
)

// compileSearch understands what is searched for: a filter, or else any part of the line that the list shows.
func (m *Model) compileSearch(src string) (*index, error) {
	name := "search " + src
	f, err := filter.Compile(src)
	if err == nil {
		return m.find(name, func() *index { return m.filterIndex(name, f) }), nil
	}
	if strings.ContainsAny(src, "=<>()&|") {
		return nil, err
	}
	meta, want := m.meta, strings.ToLower(src)
	return m.find(name, func() *index {
		return newIndex(m.tr, name, match{event: func(ev *evtchn.Event) bool {
			var buf [200]byte
			b := append(append(buf[:0], ev.Kind.String()...), ' ')
			b = append(text.AppendContext(b, ev, &meta), ' ')
			b = text.AppendWhat(b, ev, &meta)
			return strings.Contains(strings.ToLower(string(b)), want)
		}})
	}), nil
}

// filterIndex makes the index of what a filter lets through.
func (m *Model) filterIndex(name string, f *filter.Filter) *index {
	f = f.Bind(m.meta)
	x := newIndex(m.tr, name, match{event: f.Match})
	if ports, ok := f.Ports(); ok && len(ports) == 1 && ports[0] != evtchn.NoPort {
		x.only(m.tr.PortRanges(ports[0]))
	}
	return x
}

// search goes to the next event that fits.
func (m *Model) search(src string) (tea.Cmd, error) {
	x, err := m.compileSearch(src)
	if err != nil {
		return nil, err
	}
	m.searched = src
	return m.seekMatch(x, 1, "/"+src), nil
}

func (m *Model) nextMatch(dir int) tea.Cmd {
	if m.searched == "" {
		m.say("nothing was searched for yet: / searches")
		return nil
	}
	x, err := m.compileSearch(m.searched)
	if err != nil {
		m.fail(err)
		return nil
	}
	return m.seekMatch(x, dir, "/"+m.searched)
}

// setFilter shows only the events that fit.
func (m *Model) setFilter(src string) error {
	f, err := filter.Compile(src)
	if err != nil {
		return err
	}
	if f.All() {
		m.clearFilter()
		return nil
	}
	name := "filter " + src
	m.filter = m.find(name, func() *index { return m.filterIndex(name, f) })
	m.filterSrc = src
	m.events.rows = nil
	return nil
}

func (m *Model) clearFilter() {
	m.filter, m.filterSrc = nil, ""
	m.events.rows = nil
}

func (m *Model) unfilter() tea.Cmd {
	if m.filter == nil {
		m.say("no filter is set: f sets one")
	}
	m.clearFilter()
	return nil
}

// stepFiltered moves by lines that the filter shows.
func (m *Model) stepFiltered(n int) tea.Cmd {
	dir := 1
	if n < 0 {
		dir = -1
	}
	x, from := m.filter, m.seq
	j := &job{x: x, dir: dir, what: "the next event that the filter shows"}
	j.more = func(m *Model) int {
		for n != 0 {
			seq, want := x.next(from, dir)
			if want >= 0 {
				return want
			}
			if seq == 0 {
				m.say("the filter shows nothing %s", map[bool]string{true: "after this", false: "before this"}[dir > 0])
				break
			}
			from = seq
			n -= dir
		}
		m.move(from)
		return -1
	}
	return m.start(j)
}

// fillList looks for what the list still lacks because of the filter.
func (m *Model) fillList() tea.Cmd {
	if m.filter == nil || m.filling != nil || m.lacks < 0 {
		return nil
	}
	j := &job{x: m.filter, dir: m.lacksDir, what: "filter"}
	m.filling = j
	return j.fillCmd(m.lacks)
}

const maxBreaks = 64

// addBreak adds a breakpoint.
func (m *Model) addBreak(src string) error {
	c, err := filter.CompileCondition(src)
	if err != nil {
		return err
	}
	for _, b := range m.breaks {
		if b.String() == src {
			return nil
		}
	}
	if len(m.breaks) == maxBreaks {
		return fmt.Errorf("there are %d breakpoints already: :nobreak drops them", maxBreaks)
	}
	m.breaks = append(m.breaks, c)
	m.say("%s: r runs on, R runs back, :nobreak drops them", count(len(m.breaks), "breakpoint"))
	return nil
}

// run goes to the next place where a breakpoint's condition becomes true, or to the last before.
func (m *Model) run(dir int) tea.Cmd {
	if len(m.breaks) == 0 {
		m.say("no breakpoint is set: b sets one, such as UNNOTICED[65]")
		return nil
	}
	if m.seq == 0 {
		return nil
	}
	names := make([]string, len(m.breaks))
	conds := make([]*filter.Condition, len(m.breaks))
	for i, b := range m.breaks {
		names[i], conds[i] = b.String(), b.Bind(m.meta)
	}
	name := "break " + strings.Join(names, " || ")
	x := m.find(name, func() *index {
		return newIndex(m.tr, name, match{state: func(ev *evtchn.Event, st *evtchn.State) (fire uint64) {
			for i, c := range conds {
				if c.Fires(ev, st) {
					fire |= 1 << i
				}
			}
			return fire
		}})
	})
	return m.seekMatch(x, dir, "run to "+strings.Join(names, " || "))
}

// check says while it is typed whether a line can be understood.
func (m *Model) check(src string) string {
	if strings.TrimSpace(src) == "" {
		return ""
	}
	var err error
	switch m.asked {
	case promptFilter:
		_, err = filter.Compile(src)
	case promptSearch:
		if _, err = filter.Compile(src); err != nil && !strings.ContainsAny(src, "=<>()&|") {
			return "as text"
		}
	case promptBreak:
		_, err = filter.CompileCondition(src)
	default:
		return ""
	}
	if err != nil {
		return fmt.Sprint(err)
	}
	return "ok"
}
