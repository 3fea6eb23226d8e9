package tui

import (
	"slices"
	"unicode"

	tea "github.com/charmbracelet/bubbletea"
)

// line is an input line. (textinput of bubbles would bring a clipboard, for which there is no use on a serial console.)
type line struct {
	text []rune
	at   int // the cursor is before this rune
}

// maxLine is the most that a line takes: a paste can be anything.
const maxLine = 500

func (l *line) String() string { return string(l.text) }

// Set replaces the text; the cursor is at its end.
func (l *line) Set(s string) {
	l.text = []rune(s)
	l.at = len(l.text)
}

// Update carries out a key, and reports whether it changed the text.
func (l *line) Update(k tea.KeyMsg) bool {
	switch k.String() {
	case "left", "ctrl+b":
		l.at = max(l.at-1, 0)
	case "right", "ctrl+f":
		l.at = min(l.at+1, len(l.text))
	case "home", "ctrl+a":
		l.at = 0
	case "end", "ctrl+e":
		l.at = len(l.text)
	case "backspace", "ctrl+h":
		return l.cut(l.at-1, l.at)
	case "delete", "ctrl+d":
		return l.cut(l.at, l.at+1)
	case "ctrl+u":
		return l.cut(0, l.at)
	case "ctrl+k":
		return l.cut(l.at, len(l.text))
	case "ctrl+w":
		i := l.at
		for i > 0 && l.text[i-1] == ' ' {
			i--
		}
		for i > 0 && l.text[i-1] != ' ' {
			i--
		}
		return l.cut(i, l.at)
	default:
		if k.Type != tea.KeyRunes && k.Type != tea.KeySpace || k.Alt {
			return false
		}
		var add []rune
		for _, r := range k.Runes {
			if unicode.IsPrint(r) && len(l.text)+len(add) < maxLine {
				add = append(add, r)
			}
		}
		l.text = slices.Insert(l.text, l.at, add...)
		l.at += len(add)
		return len(add) > 0
	}
	return false
}

func (l *line) cut(from, to int) bool {
	from, to = max(from, 0), min(to, len(l.text))
	if from >= to {
		return false
	}
	l.text = slices.Delete(l.text, from, to)
	l.at = from
	return true
}

// View draws the line behind its prompt in w columns, scrolled so that the cursor is in them.
func (l *line) View(st *Styles, prompt string, w int) string {
	room := max(w-len(prompt)-1, 1)
	first := max(l.at-room+1, 0)
	before := string(l.text[first:l.at])
	under, after := " ", ""
	if l.at < len(l.text) {
		under = string(l.text[l.at])
		after = string(l.text[l.at+1:])
	}
	return fit(prompt+before+st.Cursor.Render(under)+after, w)
}
