package filter

import (
	"fmt"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"

	"github.com/evtrace/evtrace/evtchn"
)

// walker looks a parsed tree over before its types are checked: it refuses what does not belong here, in the words of traces, and
// rewrites the indexing of state into calls. It keeps the first error.
type walker struct {
	state bool // the state may be asked for
	err   *Error
}

func (w *walker) fail(e *Error) {
	if w.err == nil || e.Column < w.err.Column {
		w.err = e
	}
}

func (w *walker) walk(p *ast.Node) {
	switch n := (*p).(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.StringNode:
	case *ast.IdentifierNode:
		w.name(n)
	case *ast.UnaryNode:
		w.walk(&n.Node)
	case *ast.ConditionalNode:
		w.walk(&n.Cond)
		w.walk(&n.Exp1)
		w.walk(&n.Exp2)
	case *ast.ArrayNode:
		for i := range n.Nodes {
			w.walk(&n.Nodes[i])
		}
	case *ast.BuiltinNode:
		for i := range n.Arguments {
			w.walk(&n.Arguments[i])
		}
		if !slices.Contains(functions, n.Name) {
			w.fail(unknownName(n.Location().From, "function", n.Name, functions))
		}
	case *ast.BinaryNode:
		if r, ok := n.Right.(*ast.BinaryNode); ok && n.Operator == "in" && r.Operator == ".." {
			w.walk(&n.Left)
			w.walk(&r.Left)
			w.walk(&r.Right)
			*p = between(n, r)
			return
		}
		if n.Operator == ".." {
			w.fail(errorAt(n.Location().From, "a range can stand only behind in, as in port in 60..70"))
			return
		}
		w.walk(&n.Left)
		w.walk(&n.Right)
		n.Right = truth(n.Operator, n.Left, n.Right)
		if b := truth(n.Operator, n.Right, n.Left); b != n.Left {
			n.Left, n.Right = n.Right, b
		}
		w.words(n)
	case *ast.MemberNode:
		if n.Optional || n.Method {
			w.fail(errorAt(n.Location().From, "a ?. cannot be used here"))
			return
		}
		w.index(p, n.Node, n.Property)
	case *ast.CallNode:
		id, ok := n.Callee.(*ast.IdentifierNode)
		if !ok {
			w.fail(errorAt(n.Location().From, "this cannot be called"))
			return
		}
		if _, ok := arrayByName(id.Value); !ok {
			w.fail(unknownName(id.Location().From, "function", id.Value, functions))
			return
		}
		if len(n.Arguments) != 1 {
			w.fail(errorAt(n.Location().From, "%s wants one index", id.Value))
			return
		}
		w.index(p, id, n.Arguments[0])
	case nil:
		w.fail(errorAt(0, "the expression is not complete"))
	default:
		w.fail(errorAt(n.Location().From, "%s cannot be used here", construct(n)))
	}
}

// names lists what can stand for itself.
func (w *walker) names() []string {
	if !w.state {
		return fieldNames[:]
	}
	return append(slices.Clone(fieldNames[:]), arrayNames[:]...)
}

func (w *walker) name(n *ast.IdentifierNode) {
	from := n.Location().From
	if f, ok := fieldByName(n.Value); ok {
		n.Value = f.String()
		return
	}
	if a, ok := arrayByName(n.Value); ok {
		w.array(from, a)
		if w.state {
			w.fail(errorAt(from, "%s wants an index in brackets, as in %s", n.Value, example(a)))
		}
		return
	}
	if _, ok := evtchn.ParseKind(n.Value); ok {
		w.fail(errorAt(from, "in an expression, a kind is text: kind == %q", n.Value))
		return
	}
	if a, ok := arrayByName(strings.ToUpper(n.Value)); ok && w.state {
		w.fail(errorAt(from, "unknown name %q; did you mean %q?", n.Value, example(a)))
		return
	}
	w.fail(unknownName(from, "name", n.Value, w.names()))
}

// array says whether the state can be asked for.
func (w *walker) array(from int, a array) bool {
	if !w.state {
		w.fail(errorAt(from, "%s is of the state after an event: a condition can ask for it, a filter cannot (names: %s)", arrayNames[a],
			strings.Join(fieldNames[:], ", ")))
	}
	return w.state
}

func example(a array) string {
	if a.byVCPU() {
		return arrayNames[a] + "[3]"
	}
	return arrayNames[a] + "[65]"
}

// index rewrites PEND[65] as a call, of which the language can check the types.
func (w *walker) index(p *ast.Node, of, at ast.Node) {
	from := (*p).Location().From
	id, ok := of.(*ast.IdentifierNode)
	if !ok {
		w.fail(errorAt(from, "only the state has an index, as in PEND[65]"))
		return
	}
	from = id.Location().From
	if s, ok := at.(*ast.StringNode); ok {
		name := id.Value + "." + s.Value
		if _, ok := evtchn.ParseKind(name); ok {
			w.fail(errorAt(from, "in an expression, a kind is text: kind == %q", name))
			return
		}
	}
	a, ok := arrayByName(id.Value)
	if !ok {
		if _, isField := fieldByName(id.Value); isField {
			w.fail(errorAt(from, "%s has no index and no parts", id.Value))
		} else {
			w.name(id)
		}
		return
	}
	if !w.array(from, a) {
		return
	}
	w.walk(&at)
	if o, ok := number(at); ok && !o.isField {
		what, least, most := "port", int64(1), int64(maxPort)
		if a.byVCPU() {
			what, least, most = "vcpu", 0, evtchn.MaxVCPUs-1
		}
		if o.v < least || o.v > most {
			w.fail(errorAt(at.Location().From, "%s[%d]: want a %s from %d to %d", id.Value, o.v, what, least, most))
		}
	}
	call := &ast.CallNode{Callee: id, Arguments: []ast.Node{at}}
	call.SetLocation(id.Location())
	*p = call
}

// between rewrites x in a..b as two comparisons, for the language would make a list of all numbers of the range. It leaves alone short
// ranges of a field: splitIn makes sets of them.
func between(n, r *ast.BinaryNode) ast.Node {
	if _, short := splitIn(n).(*numberIn); short {
		return n
	}
	atLeast := &ast.BinaryNode{Operator: ">=", Left: n.Left, Right: r.Left}
	atMost := &ast.BinaryNode{Operator: "<=", Left: n.Left, Right: r.Right}
	both := &ast.BinaryNode{Operator: "&&", Left: atLeast, Right: atMost}
	for _, x := range []ast.Node{atLeast, atMost, both} {
		x.SetLocation(n.Location())
	}
	return both
}

// truth lets bits be compared with 0 and 1: it gives the right side as true or false if the left one is a bit.
func truth(operator string, left, right ast.Node) ast.Node {
	v, ok := right.(*ast.IntegerNode)
	if !ok || operator != "==" && operator != "!=" || v.Value != 0 && v.Value != 1 {
		return right
	}
	isBit := false
	switch l := left.(type) {
	case *ast.IdentifierNode:
		f, ok := fieldByName(l.Value)
		isBit = ok && f.IsFlag()
	case *ast.CallNode:
		id, ok := l.Callee.(*ast.IdentifierNode)
		if ok {
			a, ok := arrayByName(id.Value)
			isBit = ok && a.isBit()
		}
	}
	if !isBit {
		return right
	}
	b := &ast.BoolNode{Value: v.Value == 1}
	b.SetLocation(v.Location())
	return b
}

// words checks texts that are compared with something that takes only certain values.
func (w *walker) words(n *ast.BinaryNode) {
	if n.Operator != "==" && n.Operator != "!=" && n.Operator != "in" {
		return
	}
	w.word(n.Left, n.Right)
	if n.Operator != "in" {
		w.word(n.Right, n.Left)
	}
}

func (w *walker) word(of, text ast.Node) {
	switch t := text.(type) {
	case *ast.ArrayNode:
		for _, c := range t.Nodes {
			if _, ok := c.(*ast.StringNode); ok {
				w.word(of, c)
			}
		}
	case *ast.StringNode:
		from := t.Location().From
		switch of := of.(type) {
		case *ast.IdentifierNode:
			if f, ok := fieldByName(of.Value); ok {
				w.vocabulary(from, f, t.Value)
			}
		case *ast.CallNode:
			if id, ok := of.Callee.(*ast.IdentifierNode); ok && id.Value == arrayNames[arrayRun] && !slices.Contains(runNames(), t.Value) {
				w.fail(unknownName(from, "run state", t.Value, runNames()))
			}
		}
	}
}

func (w *walker) vocabulary(from int, f Field, text string) {
	if err := checkWord(from, f, text); err != nil {
		w.fail(err)
	}
}

// checkWord says whether the field can be that text.
func checkWord(from int, f Field, text string) *Error {
	switch f {
	case fieldKind:
		if _, ok := evtchn.ParseKind(text); !ok {
			return unknownKind(from, text)
		}
	case fieldCtx:
		if !slices.Contains(ctxNames[:ctxNamed], text) {
			return unknownName(from, "context", text, ctxNames[:ctxNamed])
		}
	}
	return nil
}

// unknownKind is unknownName for kinds, of which there are too many to list them one by one.
func unknownKind(from int, name string) *Error {
	var all, short []string
	for _, k := range evtchn.Kinds() {
		s := k.String()
		all = append(all, s)
		if i := strings.IndexByte(s, '.'); i > 0 {
			s = s[:i] + ".*"
		}
		if !slices.Contains(short, s) {
			short = append(short, s)
		}
	}
	e := unknownName(from, "kind", name, all)
	i := strings.LastIndex(e.Msg, " (kinds: ")
	msg := e.Msg[:i]
	if !strings.Contains(msg, "did you mean") {
		for _, s := range short { // as in unmask, of which there are mask.clear and mask.tac
			if family, ok := strings.CutSuffix(s, ".*"); ok && strings.Contains(name, family) {
				msg += fmt.Sprintf("; did you mean one of %s?", strings.Join(kindsOf(family), ", "))
				break
			}
		}
	}
	e.Msg = msg + " (kinds: " + strings.Join(short, ", ") + ")"
	return e
}

// kindsOf lists the kinds of a family.
func kindsOf(family string) []string {
	var names []string
	for _, k := range evtchn.Kinds() {
		if strings.HasPrefix(k.String(), family+".") {
			names = append(names, k.String())
		}
	}
	return names
}

func construct(n ast.Node) string {
	switch n.(type) {
	case *ast.NilNode:
		return "nil"
	case *ast.VariableDeclaratorNode:
		return "let"
	case *ast.SequenceNode:
		return "a semicolon"
	case *ast.MapNode, *ast.PairNode:
		return "a map"
	case *ast.PredicateNode, *ast.PointerNode:
		return "a loop"
	case *ast.ChainNode:
		return "a ?."
	case *ast.SliceNode:
		return "a slice"
	}
	return "this"
}
