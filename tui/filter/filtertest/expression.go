// Package filtertest makes random expressions, for tests of those that evaluate them. Start with [Expression]. It does not evaluate
// anything itself.
package filtertest

import (
	"fmt"
	"strings"

	"pgregory.net/rapid"

	"github.com/evtrace/evtrace/evtchn"
)

// Expression makes an expression that filters and the bare language of github.com/expr-lang/expr take alike, nested up to the depth.
// Constants that fields are compared with come from number.
func Expression(t *rapid.T, depth int, number func(*rapid.T) int64) string {
	expression := func(t *rapid.T, depth int) string { return Expression(t, depth, number) }
	num := func() string { return fmt.Sprint(number(t)) }
	numField := func() string {
		return rapid.SampledFrom([]string{"seq", "t", "vcpu", "target", "port", "word", "res", "cause", "dom"}).Draw(t, "field")
	}
	list := func(one func() string) string {
		var l []string
		for range rapid.IntRange(0, 12).Draw(t, "length") {
			l = append(l, one())
		}
		return "[" + strings.Join(l, ", ") + "]"
	}
	kind := func() string { return fmt.Sprintf("%q", rapid.SampledFrom(evtchn.Kinds()).Draw(t, "kind").String()) }
	op := func(ops ...string) string { return " " + rapid.SampledFrom(ops).Draw(t, "op") + " " }
	in := func() string { return op("in", "not in") }
	compare := func() string { return op("==", "!=", "<", "<=", ">", ">=") }
	if depth > 0 && rapid.IntRange(0, 3).Draw(t, "deeper") > 0 {
		switch rapid.IntRange(0, 4).Draw(t, "node") {
		case 0:
			return "!(" + expression(t, depth-1) + ")"
		case 1, 2:
			return "(" + expression(t, depth-1) + op("&&", "and") + expression(t, depth-1) + ")"
		case 3:
			return "(" + expression(t, depth-1) + op("||", "or") + expression(t, depth-1) + ")"
		}
		return "(" + expression(t, depth-1) + " ? " + expression(t, depth-1) + " : " + expression(t, depth-1) + ")"
	}
	switch rapid.IntRange(0, 11).Draw(t, "leaf") {
	case 0, 1:
		return numField() + compare() + num()
	case 2:
		return num() + compare() + numField()
	case 3:
		return numField() + compare() + numField()
	case 4:
		return numField() + in() + list(num)
	case 5:
		a, b := number(t), rapid.Int64Range(0, 600).Draw(t, "length")
		return fmt.Sprintf("%s%s%d..%d", rapid.SampledFrom([]string{"", "1 + "}).Draw(t, "plus")+numField(), in(), a, a+b)
	case 6:
		return "kind" + op("==", "!=") + kind()
	case 7:
		return "kind" + in() + list(kind)
	case 8:
		return "kind" + op("startsWith", "contains", "<") + fmt.Sprintf("%q", rapid.SampledFrom([]string{"sel.", "e", "pend"}).Draw(t, "text"))
	case 9:
		return "ctx" + op("==", "!=") + fmt.Sprintf("%q", rapid.SampledFrom([]string{"none", "xen", "upcall", "task", "foreign"}).Draw(t, "ctx"))
	case 10:
		return "task" + op("==", "!=") + rapid.SampledFrom([]string{`"qemu"`, `""`, `"task:2"`}).Draw(t, "task")
	}
	return rapid.SampledFrom([]string{"input", "inferred", "true", "false", "input == true", "port + vcpu > 3", "1.5 < t"}).Draw(t, "other")
}
