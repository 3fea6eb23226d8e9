package main

// What evtrace prints, and where:
//
//   - What was asked for goes to stdout: a report, a trace in text form, JSON. Nothing else does.
//   - Everything about the run goes to stderr: progress, what was written where, errors.
//   - An error is one line "evtrace: error: ...", if need be with further lines that are indented, and where there is something
//     that the user can do about it, a line "evtrace: hint: ...".
//   - Progress is shown only on a terminal, and only after a second. There are no colours.
//   - The text of a report and its JSON come from the same value.
//   - A file appears under its name when it is complete, or not at all. A recording that was stopped by a signal is the
//     exception: it is kept, and says that it is incomplete.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
)

// say prints a line about the run.
func (a *app) say(format string, args ...any) {
	fmt.Fprintf(a.err, "evtrace: %s\n", fmt.Sprintf(format, args...))
}

// report prints an error with its hint.
func (a *app) report(err error) {
	msg := err.Error()
	if errors.Is(err, context.Canceled) {
		msg = "interrupted"
	}
	a.say("error: %s", strings.ReplaceAll(strings.TrimRight(msg, "\n"), "\n", "\n  "))
	if hint := hintOf(err); hint != "" {
		a.say("hint: %s", hint)
	}
}

// printJSON writes a report to stdout.
func (a *app) printJSON(v any) error {
	return writeJSON(a.out, v)
}

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return onStdout(enc.Encode(v))
}

// onStdout names the place of an error of writing to stdout.
func onStdout(err error) error {
	if err == nil {
		return nil
	}
	return &failure{codeInternal, fmt.Errorf("stdout: %w", err), ""}
}

// print writes text to stdout.
func (a *app) print(text string) error {
	_, err := io.WriteString(a.out, text)
	return onStdout(err)
}

// group writes a number with commas between thousands.
func group(n uint64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// plural writes a number and what is counted.
func plural(n uint64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	if strings.HasSuffix(what, "icy") {
		what = strings.TrimSuffix(what, "y") + "ie"
	} else if strings.HasSuffix(what, "ch") {
		what += "e"
	}
	return group(n) + " " + what + "s"
}

// bytesText writes a size for people.
func bytesText(n int64) string {
	switch {
	case n < 10_000:
		return plural(uint64(n), "byte")
	case n < 10_000_000:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	case n < 10_000_000_000:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1f GB", float64(n)/1e9)
}

// durationText writes a time of a trace's clock with the unit that fits it, or as ticks.
func durationText(t int64, unit string) string {
	if unit == "ticks" {
		return group(uint64(max(t, 0))) + " ticks"
	}
	f := float64(t)
	switch {
	case t < 1_000:
		return fmt.Sprintf("%d ns", t)
	case t < 1_000_000:
		return digits(f/1e3) + " us"
	case t < 1_000_000_000:
		return digits(f/1e6) + " ms"
	}
	return digits(f/1e9) + " s"
}

// digits writes a number of at least 1 to three digits, with commas between thousands.
func digits(f float64) string {
	switch {
	case f < 9.995:
		return fmt.Sprintf("%.2f", f)
	case f < 99.95:
		return fmt.Sprintf("%.1f", f)
	}
	return group(uint64(math.Round(f)))
}

// momentText writes a moment of a trace's clock, to the microsecond, or as ticks.
func momentText(t int64, unit string) string {
	switch {
	case unit == "ticks":
		return signed(t) + " ticks"
	case t < 1e9 && t > -1e9:
		return fmt.Sprintf("%.3f ms", float64(t)/1e6)
	}
	return fmt.Sprintf("%.6f s", float64(t)/1e9)
}

// wrap breaks a text into lines of at most width columns, each behind the prefix.
func wrap(prefix, text string, width int) string {
	var b strings.Builder
	col := 0
	for _, word := range strings.Fields(text) {
		switch {
		case col == 0:
			b.WriteString(prefix)
			col = len(prefix)
		case col+1+len(word) > width:
			b.WriteString("\n" + prefix)
			col = len(prefix)
		default:
			b.WriteByte(' ')
			col++
		}
		b.WriteString(word)
		col += len(word)
	}
	b.WriteByte('\n')
	return b.String()
}
