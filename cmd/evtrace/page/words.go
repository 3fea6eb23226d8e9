package page

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// group writes a number with commas between thousands.
func group[T ~uint64 | ~int64 | ~int](n T) string {
	s := fmt.Sprint(n)
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// count writes a number and what is counted.
func count(n uint64, what string) string {
	switch {
	case n == 1:
		return "1 " + what
	case strings.HasSuffix(what, "icy"):
		return group(n) + " " + strings.TrimSuffix(what, "y") + "ies"
	}
	return group(n) + " " + what + "s"
}

func isAre(n uint64, what string) string {
	if n == 1 {
		return "1 " + what + " is"
	}
	return count(n, what) + " are"
}

// sentence begins with a capital, unless with a name, and ends with a point.
func sentence(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	if n == 0 {
		return s
	}
	if word, _, _ := strings.Cut(s, " "); word != "vcpu" && !strings.ContainsFunc(strings.TrimRight(word, ",:"), func(r rune) bool { return !unicode.IsLetter(r) }) {
		s = string(unicode.ToUpper(r)) + s[n:]
	}
	if !strings.HasSuffix(s, ".") && !strings.HasSuffix(s, ":") {
		s += "."
	}
	return s
}

func sentences(list []string) []string {
	var out []string
	for _, s := range list {
		out = append(out, sentence(s))
	}
	return out
}

// clean makes one line of a text, without characters that do something to a terminal or a page.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, s)
	return strings.TrimSpace(s)
}

// columns is how many columns a text takes, of which every character takes one.
func columns(s string) int { return utf8.RuneCountInString(s) }
