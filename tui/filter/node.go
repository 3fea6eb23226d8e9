package filter

import (
	"slices"

	"github.com/evtrace/evtrace/evtchn"
)

// node is a part of a filter that is true, false or unknown of an event and the state after it. Filters give no state.
type node interface {
	eval(ev *evtchn.Event, st *evtchn.State, in *interpretation) evtchn.Bit
}

func bitOf(b bool) evtchn.Bit {
	if b {
		return evtchn.One
	}
	return evtchn.Zero
}

func invert(b evtchn.Bit) evtchn.Bit {
	if b <= evtchn.One {
		return evtchn.One - b
	}
	return evtchn.Unknown
}

type constant evtchn.Bit

func (n constant) eval(*evtchn.Event, *evtchn.State, *interpretation) evtchn.Bit {
	return evtchn.Bit(n)
}

// conjunction is true if all are, and false if one is.
type conjunction struct{ list []node }

func (n *conjunction) eval(ev *evtchn.Event, st *evtchn.State, in *interpretation) evtchn.Bit {
	r := evtchn.One
	for _, c := range n.list {
		switch c.eval(ev, st, in) {
		case evtchn.Zero:
			return evtchn.Zero
		case evtchn.Unknown:
			r = evtchn.Unknown
		}
	}
	return r
}

// disjunction is true if one is, and false if all are.
type disjunction struct{ list []node }

func (n *disjunction) eval(ev *evtchn.Event, st *evtchn.State, in *interpretation) evtchn.Bit {
	r := evtchn.Zero
	for _, c := range n.list {
		switch c.eval(ev, st, in) {
		case evtchn.One:
			return evtchn.One
		case evtchn.Unknown:
			r = evtchn.Unknown
		}
	}
	return r
}

type negation struct{ n node }

func (n *negation) eval(ev *evtchn.Event, st *evtchn.State, in *interpretation) evtchn.Bit {
	return invert(n.n.eval(ev, st, in))
}

// kindIn compares the kind with a set of kinds, a bit for each.
type kindIn [4]uint64

func (n *kindIn) has(k evtchn.Kind) bool { return n[k>>6]>>(k&63)&1 != 0 }
func (n *kindIn) add(k evtchn.Kind)      { n[k>>6] |= 1 << (k & 63) }

func (n *kindIn) eval(ev *evtchn.Event, _ *evtchn.State, _ *interpretation) evtchn.Bit {
	return bitOf(n.has(ev.Kind))
}

// ctxIn compares the class of the context with a set, a bit for each index.
type ctxIn uint8

func (n ctxIn) eval(ev *evtchn.Event, _ *evtchn.State, _ *interpretation) evtchn.Bit {
	return bitOf(n>>ctxIndex(ev.Ctx)&1 != 0)
}

// taskIs compares the task with a name, be it its own or that in the text form.
type taskIs struct {
	name string
	num  int // of "task:N", else -1
}

func (n *taskIs) eval(ev *evtchn.Event, _ *evtchn.State, in *interpretation) evtchn.Bit {
	if ev.Ctx.Class() != evtchn.CtxTask {
		return bitOf(n.name == "")
	}
	num := ev.Ctx.Num()
	return bitOf(num == n.num || num < len(in.tasks) && n.name != "" && in.tasks[num] == n.name)
}

type flag Field

func (n flag) eval(ev *evtchn.Event, _ *evtchn.State, _ *interpretation) evtchn.Bit {
	return bitOf(flagOf(Field(n), ev))
}

// numberIn compares a field with a set of numbers, which is in order.
type numberIn struct {
	f    Field
	not  bool
	list []int64
}

func (n *numberIn) eval(ev *evtchn.Event, _ *evtchn.State, in *interpretation) evtchn.Bit {
	v := in.number(n.f, ev)
	if len(n.list) <= 8 {
		for _, x := range n.list {
			if x == v {
				return bitOf(!n.not)
			}
		}
		return bitOf(n.not)
	}
	_, found := slices.BinarySearch(n.list, v)
	return bitOf(found != n.not)
}

// operand is a number: a constant, or a field of the event.
type operand struct {
	isField bool
	f       Field
	v       int64
}

func (o operand) value(ev *evtchn.Event, in *interpretation) int64 {
	if o.isField {
		return in.number(o.f, ev)
	}
	return o.v
}

type comparison uint8

const (
	equal comparison = iota
	unequal
	less
	atMost
	greater
	atLeast
)

var comparisons = map[string]comparison{"==": equal, "!=": unequal, "<": less, "<=": atMost, ">": greater, ">=": atLeast}

// mirrored is the comparison with its sides exchanged.
func (c comparison) mirrored() comparison {
	return [...]comparison{equal, unequal, greater, atLeast, less, atMost}[c]
}

// inverse is true where the comparison is false.
func (c comparison) inverse() comparison {
	return [...]comparison{unequal, equal, atLeast, greater, atMost, less}[c]
}

func (c comparison) holds(a, b int64) bool {
	switch c {
	case equal:
		return a == b
	case unequal:
		return a != b
	case less:
		return a < b
	case atMost:
		return a <= b
	case greater:
		return a > b
	}
	return a >= b
}

// compare compares a field with a number.
type compare struct {
	f  Field
	op comparison
	to operand
}

func (n *compare) eval(ev *evtchn.Event, _ *evtchn.State, in *interpretation) evtchn.Bit {
	return bitOf(n.op.holds(in.number(n.f, ev), n.to.value(ev, in)))
}

// simplify brings a tree into the form in which implied sees most and eval does least: negations are at the leaves, conjunctions are
// not nested, and scripts come last. Three-valued logic allows all that.
func simplify(n node) node {
	switch n := n.(type) {
	case *negation:
		return simplifyNot(n)
	case *conjunction:
		var list []node
		for _, c := range n.list {
			switch c := simplify(c).(type) {
			case *conjunction:
				list = append(list, c.list...)
			case constant:
				if evtchn.Bit(c) == evtchn.Zero {
					return c
				}
				if evtchn.Bit(c) == evtchn.Unknown {
					list = append(list, c)
				}
			default:
				list = append(list, c)
			}
		}
		return joined(list, evtchn.One, func(l []node) node { return &conjunction{l} })
	case *disjunction:
		var list []node
		for _, c := range n.list {
			switch c := simplify(c).(type) {
			case *disjunction:
				list = append(list, c.list...)
			case constant:
				if evtchn.Bit(c) == evtchn.One {
					return c
				}
				if evtchn.Bit(c) == evtchn.Unknown {
					list = append(list, c)
				}
			default:
				list = append(list, c)
			}
		}
		return joined(list, evtchn.Zero, func(l []node) node { return &disjunction{l} })
	}
	return n
}

func joined(list []node, none evtchn.Bit, join func([]node) node) node {
	switch len(list) {
	case 0:
		return constant(none)
	case 1:
		return list[0]
	}
	slices.SortStableFunc(list, func(a, b node) int { return cost(a) - cost(b) })
	return join(list)
}

// cost orders the parts of a conjunction.
func cost(n node) int {
	switch n := n.(type) {
	case constant, *kindIn, ctxIn, flag:
		return 0
	case *script:
		return 3
	case *negation:
		return cost(n.n)
	case *conjunction:
		return 1 + cost(n.list[len(n.list)-1])
	case *disjunction:
		return 1 + cost(n.list[len(n.list)-1])
	}
	return 1
}

func simplifyNot(n *negation) node {
	switch c := n.n.(type) {
	case constant:
		return constant(invert(evtchn.Bit(c)))
	case *negation:
		return simplify(c.n)
	case *kindIn:
		return &kindIn{^c[0], ^c[1], ^c[2], ^c[3]}
	case ctxIn:
		return ^c
	case *numberIn:
		return &numberIn{c.f, !c.not, c.list}
	case *compare:
		return &compare{c.f, c.op.inverse(), c.to}
	case *conjunction:
		return simplify(&disjunction{negated(c.list)})
	case *disjunction:
		return simplify(&conjunction{negated(c.list)})
	}
	return n
}

func negated(list []node) []node {
	out := make([]node, len(list))
	for i, c := range list {
		out[i] = &negation{c}
	}
	return out
}
