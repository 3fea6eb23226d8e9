package tui

import (
	"io"

	"github.com/charmbracelet/lipgloss"
	"github.com/muesli/termenv"

	"github.com/evtrace/evtrace/tui/timeline"
)

// Styles are the looks of what is on the screen. Nothing is told by them alone: there is a character for each meaning, too.
type Styles struct {
	Title, Focused, Header, Status, Dim, Cursor lipgloss.Style
	Input, Inferred, Gap, Port                  lipgloss.Style
	Changed, Bad, Good                          lipgloss.Style

	timeline timeline.Styles
}

// Colors says how many colours a terminal shows.
type Colors int

// What a terminal can show.
const (
	ColorsNone  Colors = iota // bold, reverse and underlined only (NO_COLOR)
	ColorsBasic               // the 16 that the user has chosen for his terminal, be it light or dark
	ColorsPlain               // not even bold (TERM=dumb, tests)
)

// DefaultStyles are for a terminal with those colours. They use the terminal's own 16 colours only, so that they go with a dark
// and with a light one.
func DefaultStyles(c Colors) *Styles {
	r := lipgloss.NewRenderer(io.Discard)
	r.SetColorProfile(termenv.ANSI)
	if c == ColorsPlain {
		r.SetColorProfile(termenv.Ascii)
	}
	color := func(s lipgloss.Style, n string) lipgloss.Style {
		if c != ColorsBasic {
			return s
		}
		return s.Foreground(lipgloss.Color(n))
	}
	s := r.NewStyle()
	return &Styles{
		Title: color(s, "6"), Focused: color(s.Bold(true), "6"), Header: s.Bold(true), Status: s.Reverse(true), Dim: s.Faint(true),
		Cursor: s.Reverse(true), Input: color(s, "4"), Inferred: s.Italic(true), Gap: color(s.Bold(true), "5"), Port: s.Bold(true),
		Changed: color(s.Bold(true).Underline(true), "3"), Bad: color(s.Bold(true), "1"), Good: color(s, "2"),
		timeline: timeline.Styles{
			Label: s, Selected: s.Bold(true), Axis: s.Faint(true), Density: color(s, "4"), Sampled: s.Faint(true),
			Running: color(s, "2"), Upcall: color(s.Bold(true), "6"), Xen: color(s, "5"), Blocked: s.Faint(true), Runnable: color(s, "3"),
			Polling: s.Faint(true), Offline: s.Faint(true), Unknown: s.Faint(true),
			Clear: s.Faint(true), Masked: color(s, "3"), Exposed: color(s.Bold(true), "5"), Delivered: color(s.Bold(true), "2"),
			Unnoticed: color(s.Bold(true).Reverse(true), "1"),
			Finding:   color(s.Bold(true), "1"), Bookmark: color(s, "6"), Gap: color(s, "3"), Cursor: s.Bold(true), Column: s.Reverse(true),
		},
	}
}

// glyphs are the characters that have a meaning.
type glyphs struct {
	cursor, input, inferred, gap string
	unnoticed, evidence, departs string
	more                         string // in place of what was cut off
	line, changed, arrow, dots   string
	caret, below                 string
}

var unicodeGlyphs = glyphs{cursor: "▶", input: "→", inferred: "~", gap: "!", unnoticed: "✗", evidence: "•", departs: "≠", more: "…", line: "─",
	changed: "*", caret: "▲", below: "▼", arrow: "→", dots: "…"}

var asciiGlyphs = glyphs{cursor: ">", input: "+", inferred: "~", gap: "!", unnoticed: "X", evidence: "o", departs: "#", more: "...", line: "-",
	changed: "*", caret: "^", below: "v", arrow: "->", dots: ".."}
