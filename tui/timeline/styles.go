package timeline

import (
	"strings"

	"github.com/charmbracelet/lipgloss"
)

// Styles are the colours and attributes of a strip. Only attributes of text have an effect: no margins, padding or borders.
// The glyphs alone tell everything; styles make it quicker to see.
type Styles struct {
	Label, Selected, Axis, Density, Sampled                   lipgloss.Style
	Running, Upcall, Xen, Blocked, Runnable, Polling, Offline lipgloss.Style
	Unknown, Clear, Masked, Exposed, Delivered, Unnoticed     lipgloss.Style
	Finding, NoReturn, Bookmark, Gap, Cursor                  lipgloss.Style
	Column                                                    lipgloss.Style // the cells above the cursor, on top of their own style
}

// DefaultStyles are for dark and light terminals of 16 colours and more.
func DefaultStyles() Styles {
	fg := func(light, dark string) lipgloss.Style {
		return lipgloss.NewStyle().Foreground(lipgloss.AdaptiveColor{Light: light, Dark: dark})
	}
	faint := lipgloss.NewStyle().Faint(true)
	return Styles{
		Label: faint, Selected: lipgloss.NewStyle().Bold(true), Axis: faint, Density: fg("4", "12"), Sampled: faint,
		Running: fg("2", "10"), Upcall: fg("4", "14").Bold(true), Xen: fg("5", "13"), Blocked: faint, Runnable: fg("3", "11"),
		Polling: faint, Offline: faint, Unknown: faint,
		Clear: faint, Masked: fg("3", "11"), Exposed: fg("5", "13").Bold(true), Delivered: fg("2", "10").Bold(true),
		Unnoticed: fg("1", "9").Bold(true).Reverse(true),
		Finding:   fg("1", "9").Bold(true), NoReturn: fg("1", "9"), Bookmark: fg("4", "14"), Gap: fg("3", "11"), Cursor: lipgloss.NewStyle().Bold(true),
		Column: lipgloss.NewStyle().Reverse(true),
	}
}

// PlainStyles change nothing: what View gives has no escape sequences.
func PlainStyles() Styles { return Styles{} }

// class is a style in the form in which cells refer to it.
type class uint8

const (
	classNone class = iota
	classLabel
	classSelected
	classAxis
	classDensity
	classSampled
	classFinding
	classNoReturn
	classBookmark
	classGap
	classCursor
	classColumn
	classActivity                                     // + Activity
	classLife     = classActivity + class(activities) // + Life
	classes       = classLife + class(lives)
)

// ink is the escape sequences around a text of a class.
type ink struct{ on, off string }

// inks renders every style once, so that drawing is a matter of joining strings.
func (s *Styles) inks() [classes]ink {
	var t [classes]ink
	for c, st := range map[class]lipgloss.Style{
		classLabel: s.Label, classSelected: s.Selected, classAxis: s.Axis, classDensity: s.Density, classSampled: s.Sampled,
		classFinding: s.Finding, classNoReturn: s.NoReturn, classBookmark: s.Bookmark, classGap: s.Gap, classCursor: s.Cursor, classColumn: s.Column,
		classActivity + class(ActUnknown): s.Unknown, classActivity + class(ActOffline): s.Offline,
		classActivity + class(ActBlocked): s.Blocked, classActivity + class(ActPolling): s.Polling,
		classActivity + class(ActRunnable): s.Runnable, classActivity + class(ActRunning): s.Running,
		classActivity + class(ActXen): s.Xen, classActivity + class(ActUpcall): s.Upcall,
		classLife + class(LifeUnknown): s.Unknown, classLife + class(LifeClear): s.Clear,
		classLife + class(LifeMasked): s.Masked, classLife + class(LifeExposed): s.Exposed,
		classLife + class(LifeDelivered): s.Delivered, classLife + class(LifeUnnoticed): s.Unnoticed,
	} {
		const probe = "x"
		if on, off, ok := strings.Cut(st.Inline(true).Render(probe), probe); ok {
			t[c] = ink{on, off}
		}
	}
	return t
}

// glyphs are the characters of a mode.
type glyphs struct {
	act                                    [activities]rune
	life                                   [lives]rune
	axis, wave, tick                       rune
	finding, bookmark, gap, cursor, onMark rune
	noReturn                               rune
	dense                                  [4]rune // 10, 100, 1000, 10000 events and more
	micro                                  string
}

var unicode = glyphs{
	act:  [activities]rune{ActUnknown: '?', ActOffline: ' ', ActBlocked: '·', ActPolling: 'p', ActRunnable: 'r', ActRunning: '━', ActXen: 'X', ActUpcall: 'U'},
	life: [lives]rune{LifeUnknown: '?', LifeClear: '·', LifeMasked: '▒', LifeExposed: '▓', LifeDelivered: '✓', LifeUnnoticed: '!'},
	axis: '─', wave: '~', tick: '┬', finding: '◆', noReturn: '◇', bookmark: '▾', gap: '╳', cursor: '▲', onMark: '◈', dense: [4]rune{'▂', '▄', '▆', '█'}, micro: "µ",
}

var ascii = glyphs{
	act:  [activities]rune{ActUnknown: '?', ActOffline: ' ', ActBlocked: '.', ActPolling: 'p', ActRunnable: 'r', ActRunning: '=', ActXen: 'X', ActUpcall: 'U'},
	life: [lives]rune{LifeUnknown: '?', LifeClear: '.', LifeMasked: 'm', LifeExposed: 'e', LifeDelivered: 'd', LifeUnnoticed: '!'},
	axis: '-', wave: '~', tick: '|', finding: 'F', noReturn: 'T', bookmark: 'v', gap: '%', cursor: '^', onMark: '&', dense: [4]rune{'x', 'c', 'k', '#'}, micro: "u",
}
