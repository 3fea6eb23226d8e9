package filter

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/expr-lang/expr/file"

	"github.com/evtrace/evtrace/evtchn"
)

// Error says what is wrong with a filter or a condition, and where.
type Error struct {
	Column int    // from 1, in characters of the source, whatever lines it has
	Msg    string // what was found, what was wanted
}

// Error gives one line: "column 5: unknown name "prot"; did you mean "port"? (names: seq, t, ...)".
func (e *Error) Error() string { return fmt.Sprintf("column %d: %s", e.Column, e.Msg) }

// errorAt makes an error about the character at that offset, counted in characters from 0.
func errorAt(from int, format string, args ...any) *Error {
	return &Error{Column: from + 1, Msg: fmt.Sprintf(format, args...)}
}

// unknownName says that there is no such thing, what was probably meant, and what there is.
func unknownName(from int, what, name string, names []string) *Error {
	hint := ""
	for _, n := range names {
		if strings.EqualFold(n, name) {
			hint = fmt.Sprintf("; did you mean %q?", n)
		}
	}
	if hint == "" {
		hint = evtchn.Suggest(name, names)
	}
	return errorAt(from, "unknown %s %q%s (%ss: %s)", what, clip(name), hint, what, strings.Join(names, ", "))
}

// clip keeps a message on one line.
func clip(s string) string {
	const limit = 40
	if utf8.RuneCountInString(s) <= limit {
		return s
	}
	return string([]rune(s)[:limit]) + "..."
}

// fromExpr makes one line of an error of the expression language.
func fromExpr(err error) *Error {
	var fe *file.Error
	if !errors.As(err, &fe) {
		return &Error{Column: 1, Msg: oneLine(err.Error())}
	}
	msg := oneLine(fe.Message)
	if strings.Contains(msg, `Operator("=")`) {
		msg += `; in an expression, equality is ==`
	}
	return &Error{Column: fe.From + 1, Msg: msg}
}

// The most columns that Caret shows, and how many of them lie before the place at least.
const caretWidth, caretBefore = 70, 40

// Caret shows the place in the source: its line, or the part of a long one, and a caret under the place in a second line. Both end with a
// line feed.
func (e *Error) Caret(src string) string {
	runes := []rune(src)
	at := max(0, min(e.Column-1, len(runes)))
	from, to := at, at
	for from > 0 && runes[from-1] != '\n' {
		from--
	}
	for to < len(runes) && runes[to] != '\n' {
		to++
	}
	before, after := "", ""
	if to-from > caretWidth {
		if at-from > caretBefore {
			from, before = at-caretBefore, "..."
		}
		if to-from > caretWidth {
			to, after = from+caretWidth, "..."
		}
	}
	line := []rune(before + string(runes[from:to]) + after)
	for i, r := range line {
		if !unicode.IsPrint(r) {
			line[i] = ' ' // a tab would move the caret
		}
	}
	return string(line) + "\n" + strings.Repeat(" ", len(before)+at-from) + "^\n"
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
