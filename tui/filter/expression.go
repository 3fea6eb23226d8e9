package filter

import (
	"fmt"
	"math"
	"reflect"
	"slices"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/checker"
	"github.com/expr-lang/expr/compiler"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/optimizer"
	"github.com/expr-lang/expr/parser"

	"github.com/evtrace/evtrace/evtchn"
)

// parseExpression compiles a source in the expression language. Parts that have a form of their own here are evaluated without the
// language's machine: see split.
func parseExpression(src string, state bool) (n node, err error) {
	defer func() {
		if r := recover(); r != nil { // the language's parser, not ours, may not be proof against everything
			n, err = nil, errorAt(0, "the expression cannot be read: %s", oneLine(fmt.Sprint(r)))
		}
	}()
	config := conf.CreateNew()
	for _, o := range []expr.Option{expr.Env(&env{}), expr.DisableAllBuiltins()} {
		o(config)
	}
	for _, name := range functions {
		expr.EnableBuiltin(name)(config)
	}
	for name := range config.Disabled {
		delete(config.Builtins, name)
	}
	config.Check()
	tree, err := parser.ParseWithConfig(src, config)
	if err != nil {
		return nil, fromExpr(err)
	}
	w := walker{state: state}
	w.walk(&tree.Node)
	if w.err != nil {
		return nil, w.err
	}
	t, err := checker.Check(tree, config)
	if err != nil {
		return nil, fromExpr(err)
	}
	if t.Kind() != reflect.Bool {
		return nil, errorAt(0, "the expression is of type %s, want true or false", t)
	}
	s := splitter{config: config, source: tree.Source}
	n = s.split(tree.Node)
	if s.err != nil {
		return nil, fromExpr(s.err)
	}
	return n, nil
}

// functions are those of the language that can be used: they depend on their arguments alone, and have no loops.
var functions = []string{"abs", "bitand", "bitnot", "bitor", "bitshl", "bitshr", "bitushr", "bitxor", "hasPrefix", "hasSuffix",
	"indexOf", "len", "lower", "max", "min", "upper"}

// splitter turns a checked tree into nodes, as far as there are any, and the rest into scripts.
type splitter struct {
	config *conf.Config
	source file.Source
	err    error
}

func (s *splitter) split(n ast.Node) node {
	switch n := n.(type) {
	case *ast.BoolNode:
		return constant(bitOf(n.Value))
	case *ast.UnaryNode:
		if n.Operator == "!" || n.Operator == "not" {
			return &negation{s.split(n.Node)}
		}
	case *ast.IdentifierNode:
		if f, ok := fieldByName(n.Value); ok && f.IsFlag() {
			return flag(f)
		}
	case *ast.CallNode:
		if a, at, ok := access(n); ok && a.isBit() {
			return &bitAt{a, at}
		}
	case *ast.BinaryNode:
		switch n.Operator {
		case "&&", "and":
			return &conjunction{[]node{s.split(n.Left), s.split(n.Right)}}
		case "||", "or":
			return &disjunction{[]node{s.split(n.Left), s.split(n.Right)}}
		case "in":
			if m := splitIn(n); m != nil {
				return m
			}
		}
		if op, ok := comparisons[n.Operator]; ok {
			if b, ok := n.Right.(*ast.BoolNode); ok && op <= unequal {
				if m := s.split(n.Left); b.Value == (op == equal) {
					return m
				} else {
					return &negation{m}
				}
			}
			if m := splitCompare(n.Left, op, n.Right); m != nil {
				return m
			}
			if m := splitCompare(n.Right, op.mirrored(), n.Left); m != nil {
				return m
			}
		}
	}
	return s.script(n)
}

func (s *splitter) script(n ast.Node) node {
	t := &parser.Tree{Node: n, Source: s.source}
	err := optimizer.Optimize(&t.Node, s.config)
	if err == nil {
		var sc script
		if sc.prog, err = compiler.Compile(t, s.config); err == nil {
			if reads(n, fieldKind) {
				if k := sc.byKind(); k != nil {
					return k
				}
			}
			return &sc
		}
	}
	if s.err == nil {
		s.err = err
	}
	return constant(evtchn.Unknown)
}

// reads reports whether the field is the only thing that the tree reads.
func reads(n ast.Node, f Field) bool {
	r := &readers{only: fieldNames[f]}
	ast.Walk(&n, r)
	return r.some && !r.other
}

type readers struct {
	only        string
	some, other bool
}

func (r *readers) Visit(n *ast.Node) {
	if id, ok := (*n).(*ast.IdentifierNode); ok {
		r.some = r.some || id.Value == r.only
		r.other = r.other || id.Value != r.only
	}
}

// byKind evaluates a script that depends on nothing but the kind for every kind, once and for all. It gives nil if the script cannot be evaluated.
func (n *script) byKind() node {
	in := newInterpretation(evtchn.Meta{})
	var set kindIn
	for k := range 256 {
		switch n.eval(&evtchn.Event{Kind: evtchn.Kind(k)}, nil, in) {
		case evtchn.One:
			set.add(evtchn.Kind(k))
		case evtchn.Unknown:
			return nil
		}
	}
	return &set
}

// access takes apart PEND[65], which the walker has made a call.
func access(n ast.Node) (a array, at operand, ok bool) {
	call, ok := n.(*ast.CallNode)
	if !ok || len(call.Arguments) != 1 {
		return 0, operand{}, false
	}
	id, ok := call.Callee.(*ast.IdentifierNode)
	if !ok {
		return 0, operand{}, false
	}
	if a, ok = arrayByName(id.Value); !ok {
		return 0, operand{}, false
	}
	at, ok = number(call.Arguments[0])
	return a, at, ok
}

// number takes a constant or a numeric field.
func number(n ast.Node) (operand, bool) {
	switch n := n.(type) {
	case *ast.IntegerNode:
		return operand{v: int64(n.Value)}, true
	case *ast.FloatNode:
		if n.Value == math.Trunc(n.Value) && math.Abs(n.Value) < 1<<53 {
			return operand{v: int64(n.Value)}, true
		}
	case *ast.UnaryNode:
		if o, ok := number(n.Node); ok && !o.isField && n.Operator == "-" {
			return operand{v: -o.v}, true
		}
	case *ast.IdentifierNode:
		if f, ok := fieldByName(n.Value); ok && f.IsNumber() {
			return operand{isField: true, f: f}, true
		}
	}
	return operand{}, false
}

// splitCompare gives the node of a comparison, or nil if it has none.
func splitCompare(left ast.Node, op comparison, right ast.Node) node {
	if a, at, ok := access(left); ok {
		switch {
		case a == arrayRun:
			if text, ok := right.(*ast.StringNode); ok && op <= unequal {
				return runNode(at, []string{text.Value}, op == unequal)
			}
		case !a.isBit():
			if to, ok := number(right); ok {
				return &compareAt{a, at, op, to}
			}
		}
		return nil
	}
	id, ok := left.(*ast.IdentifierNode)
	if !ok {
		return nil
	}
	f, ok := fieldByName(id.Value)
	if !ok {
		return nil
	}
	if f.IsNumber() {
		to, ok := number(right)
		if !ok {
			return nil
		}
		return compareNode(f, op, to)
	}
	if text, ok := right.(*ast.StringNode); ok && op <= unequal && !f.IsFlag() {
		n := textNode(f, []string{text.Value})
		if op == unequal {
			return &negation{n}
		}
		return n
	}
	return nil
}

// compareNode compares a numeric field with a constant or another one.
func compareNode(f Field, op comparison, to operand) node {
	if !to.isField && op <= unequal {
		return &numberIn{f, op == unequal, []int64{to.v}}
	}
	return &compare{f, op, to}
}

// textNode compares a field of text with alternatives.
func textNode(f Field, texts []string) node {
	switch f {
	case fieldKind:
		var set kindIn
		for _, s := range texts {
			if k, ok := evtchn.ParseKind(s); ok {
				set.add(k)
			}
		}
		return &set
	case fieldCtx:
		var set ctxIn
		for _, s := range texts {
			if i := slices.Index(ctxNames[:ctxNamed], s); i >= 0 {
				set |= 1 << i
			}
		}
		return set
	}
	var d disjunction
	for _, s := range texts {
		d.list = append(d.list, &taskIs{s, taskNumber(s)})
	}
	return &d
}

func runNode(at operand, texts []string, not bool) node {
	n := &runIs{at: at}
	for _, s := range texts {
		n.set |= 1 << (slices.Index(runNames(), s) + 1)
	}
	if not {
		n.set = ^n.set
	}
	return n
}

// splitIn gives the node of a membership in a list of constants or a range, or nil if it has none.
func splitIn(n *ast.BinaryNode) node {
	var nums []int64
	var texts []string
	switch r := n.Right.(type) {
	case *ast.ArrayNode:
		for _, c := range r.Nodes {
			if s, ok := c.(*ast.StringNode); ok {
				texts = append(texts, s.Value)
			} else if o, ok := number(c); ok && !o.isField {
				nums = append(nums, o.v)
			} else {
				return nil
			}
		}
		if len(texts) > 0 && len(nums) > 0 {
			return nil
		}
		if len(r.Nodes) == 0 {
			return constant(evtchn.Zero)
		}
	case *ast.BinaryNode:
		lo, ok1 := number(r.Left)
		hi, ok2 := number(r.Right)
		if r.Operator != ".." || !ok1 || !ok2 || lo.isField || hi.isField {
			return nil
		}
		if a, at, ok := access(n.Left); ok && !a.isBit() && a != arrayRun {
			return &conjunction{[]node{&compareAt{a, at, atLeast, lo}, &compareAt{a, at, atMost, hi}}}
		}
		if id, ok := n.Left.(*ast.IdentifierNode); ok {
			if f, ok := fieldByName(id.Value); ok && f.IsNumber() {
				return rangeNode(f, lo.v, hi.v)
			}
		}
		return nil
	default:
		return nil
	}
	if a, at, ok := access(n.Left); ok {
		switch {
		case a == arrayRun && nums == nil:
			return runNode(at, texts, false)
		case !a.isBit() && a != arrayRun && texts == nil:
			var d disjunction
			for _, v := range nums {
				d.list = append(d.list, &compareAt{a, at, equal, operand{v: v}})
			}
			return &d
		}
		return nil
	}
	id, ok := n.Left.(*ast.IdentifierNode)
	if !ok {
		return nil
	}
	f, ok := fieldByName(id.Value)
	switch {
	case ok && f.IsNumber() && texts == nil:
		return numbersNode(f, nums)
	case ok && !f.IsNumber() && !f.IsFlag() && nums == nil:
		return textNode(f, texts)
	}
	return nil
}

func numbersNode(f Field, nums []int64) node {
	slices.Sort(nums)
	return &numberIn{f, false, slices.Compact(nums)}
}

// rangeNode compares a field with a range that includes both ends. Short ones become sets, which implied understands.
func rangeNode(f Field, lo, hi int64) node {
	const short = 256
	if lo > hi {
		return constant(evtchn.Zero)
	}
	if uint64(hi)-uint64(lo) < short {
		n := &numberIn{f: f}
		for v := lo; ; v++ {
			n.list = append(n.list, v)
			if v == hi {
				return n
			}
		}
	}
	return &conjunction{[]node{&compare{f, atLeast, operand{v: lo}}, &compare{f, atMost, operand{v: hi}}}}
}
