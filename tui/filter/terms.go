package filter

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/evtrace/evtrace/evtchn"
)

// A term of the short form; everything else is an expression.
var termPattern = regexp.MustCompile(`^(?:([A-Za-z]+)(!=|<=|>=|=|<|>))?([A-Za-z0-9_.,:*µ+-]+)$`)

// keywords begin or join expressions: a word that is one of them is not the name of a kind.
var keywords = []string{"and", "or", "not", "in", "matches", "contains", "startsWith", "endsWith", "true", "false", "nil", "let", "if", "else"}

// term is one term of the short form.
type term struct {
	from  int // in characters
	name  string
	op    string
	value string
	at    int // of the value, in characters
}

// parseTerms compiles the short form. ok is false if the source is not in the short form.
func parseTerms(src string) (n node, ok bool, err error) {
	terms, ok := scanTerms(src)
	if !ok {
		return nil, false, nil
	}
	all := &conjunction{}
	for _, t := range terms {
		n, err := t.compile()
		if err != nil {
			return nil, true, err
		}
		all.list = append(all.list, n)
	}
	return all, true, nil
}

func scanTerms(src string) (terms []term, ok bool) {
	joined := true // nothing may be joined to what comes first
	for off := 0; off < len(src); {
		r, size := utf8.DecodeRuneInString(src[off:])
		if unicode.IsSpace(r) {
			off += size
			continue
		}
		end := off
		for end < len(src) {
			r, size := utf8.DecodeRuneInString(src[end:])
			if unicode.IsSpace(r) {
				break
			}
			end += size
		}
		word, from := src[off:end], utf8.RuneCountInString(src[:off])
		off = end
		if word == "&&" || word == "and" {
			if joined {
				return nil, false
			}
			joined = true
			continue
		}
		m := termPattern.FindStringSubmatch(word)
		if m == nil || !termLike(m[1], m[2], m[3]) {
			return nil, false
		}
		joined = false
		terms = append(terms, term{from: from, name: m[1], op: m[2], value: m[3], at: from + len(m[1]) + len(m[2])})
	}
	return terms, len(terms) == 0 || !joined
}

// termLike tells terms from expressions that look like them, such as port or vcpu!=target.
func termLike(name, op, value string) bool {
	if op == "" {
		if slices.Contains(keywords, value) {
			return false
		}
		f, isField := fieldByName(value)
		_, isArray := arrayByName(value)
		return !isArray && (!isField || f.IsFlag())
	}
	if op == "=" {
		return true
	}
	f, ok := fieldByName(name)
	if !ok {
		return false
	}
	if f.IsNumber() {
		_, isField := fieldByName(value)
		return !isField
	}
	return op == "!="
}

func (t term) compile() (node, *Error) {
	if t.op == "" {
		return t.bare()
	}
	f, ok := fieldByName(t.name)
	if !ok {
		if _, ok := arrayByName(t.name); ok {
			return nil, errorAt(t.from, "%s is of the state: a condition asks for it as an expression", t.name)
		}
		return nil, unknownName(t.from, "name", t.name, fieldNames[:])
	}
	var n node
	var err *Error
	switch {
	case t.op == "=" || t.op == "!=":
		if n, err = t.alternatives(f); err == nil && t.op == "!=" {
			n = &negation{n}
		}
	case !f.IsNumber():
		err = errorAt(t.from, "%s is not a number: want = or !=", t.name)
	default:
		var v int64
		if v, err = parseNumber(t.at, f, t.value); err == nil {
			n = compareNode(f, comparisons[t.op], operand{v: v})
		}
	}
	return n, err
}

// bare compiles a term without a name: a port, a flag, or a kind.
func (t term) bare() (node, *Error) {
	if f, ok := fieldByName(t.value); ok {
		return flag(f), nil
	}
	if t.value[0] >= '0' && t.value[0] <= '9' {
		return t.alternatives(fieldPort)
	}
	return t.alternatives(fieldKind)
}

// alternatives compiles values separated by commas.
func (t term) alternatives(f Field) (node, *Error) {
	d := &disjunction{}
	at := t.at
	for v := range strings.SplitSeq(t.value, ",") {
		if v == "" {
			return nil, errorAt(at, "a value is missing")
		}
		n, err := oneOf(at, f, v)
		if err != nil {
			return nil, err
		}
		d.list = append(d.list, n)
		at += utf8.RuneCountInString(v) + 1
	}
	return merge(d), nil
}

// merge makes one set of sets of the same field.
func merge(d *disjunction) node {
	var kinds *kindIn
	var numbers *numberIn
	var rest []node
	for _, n := range d.list {
		switch n := n.(type) {
		case *kindIn:
			if kinds == nil {
				kinds = &kindIn{}
			}
			for i := range n {
				kinds[i] |= n[i]
			}
		case *numberIn:
			if numbers == nil {
				numbers = &numberIn{f: n.f}
			}
			numbers.list = append(numbers.list, n.list...)
		default:
			rest = append(rest, n)
		}
	}
	if kinds != nil {
		rest = append(rest, kinds)
	}
	if numbers != nil {
		rest = append(rest, numbersNode(numbers.f, numbers.list))
	}
	return &disjunction{rest}
}

// oneOf compiles the comparison of a field with one value: a number, a range, a name, a family of kinds.
func oneOf(at int, f Field, v string) (node, *Error) {
	switch {
	case f == fieldKind:
		if family, ok := strings.CutSuffix(v, "*"); ok {
			return kindFamily(at, family)
		}
		if err := checkWord(at, f, v); err != nil {
			return nil, err
		}
		return textNode(f, []string{v}), nil
	case f == fieldCtx:
		if v == "-" { // as the text form writes it
			v = ctxNames[0]
		}
		if err := checkWord(at, f, v); err != nil {
			return nil, err
		}
		return textNode(f, []string{v}), nil
	case f == fieldTask:
		return textNode(f, []string{v}), nil
	case f.IsFlag():
		switch v {
		case "1", "true", "yes":
			return flag(f), nil
		case "0", "false", "no":
			return &negation{flag(f)}, nil
		}
		return nil, errorAt(at, "%s: got %q, want 0 or 1", fieldNames[f], clip(v))
	}
	if i := strings.IndexByte(v[1:], '-'); i >= 0 {
		i++
		if e := v[i-1]; f != fieldTime || e != 'e' && e != 'E' {
			lo, err := parseNumber(at, f, v[:i])
			if err != nil {
				return nil, err
			}
			hi, err := parseNumber(at+utf8.RuneCountInString(v[:i+1]), f, v[i+1:])
			if err != nil {
				return nil, err
			}
			if lo > hi {
				return nil, errorAt(at, "range %s: want the lower end first", clip(v))
			}
			return rangeNode(f, lo, hi), nil
		}
	}
	n, err := parseNumber(at, f, v)
	if err != nil {
		return nil, err
	}
	return &numberIn{f, false, []int64{n}}, nil
}

func kindFamily(at int, prefix string) (node, *Error) {
	var set kindIn
	found := false
	for _, k := range evtchn.Kinds() {
		if strings.HasPrefix(k.String(), prefix) {
			set.add(k)
			found = true
		}
	}
	if !found {
		return nil, unknownKind(at, prefix+"*")
	}
	return &set, nil
}

// parseNumber reads the value of a numeric field: v3, p65 and w1 as the text form writes them, too, and times with a unit.
func parseNumber(at int, f Field, v string) (int64, *Error) {
	switch f {
	case fieldTime:
		return parseTime(at, v)
	case fieldVCPU, fieldTarget:
		if v == "-" {
			return int64(evtchn.NoVCPU), nil
		}
		v = strings.TrimPrefix(v, "v")
	case fieldPort:
		v = strings.TrimPrefix(v, "p")
	case fieldWord:
		v = strings.TrimPrefix(v, "w")
	}
	n, err := strconv.ParseInt(v, 0, 64)
	if err != nil {
		return 0, errorAt(at, "%s: got %q, want a number", fieldNames[f], clip(v))
	}
	return n, nil
}

var timeUnits = []struct {
	name string
	ns   float64
}{{"ns", 1}, {"us", 1e3}, {"µs", 1e3}, {"ms", 1e6}, {"s", 1e9}, {"", 1}}

func parseTime(at int, v string) (int64, *Error) {
	for _, u := range timeUnits {
		digits, ok := strings.CutSuffix(v, u.name)
		if !ok {
			continue
		}
		if n, err := strconv.ParseInt(digits, 10, 64); err == nil && u.ns == 1 {
			return n, nil
		}
		x, err := strconv.ParseFloat(digits, 64)
		if x *= u.ns; err == nil && math.Abs(x) < math.MaxInt64 {
			return int64(math.Round(x)), nil
		}
		break
	}
	return 0, errorAt(at, "t: got %q, want a time such as 1204380, 1.2ms or 3s", clip(v))
}
