package filter

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/evtrace/evtrace/evtchn"
)

// MaxLength is how many bytes a filter or a condition may have.
const MaxLength = 4096

// Filter says of each event whether a reader wants to see it. The zero Filter is not useful: see Compile.
type Filter struct{ program }

// Condition says of each event and the state after it whether a run should stop there. See CompileCondition.
type Condition struct{ program }

// program is what filters and conditions have in common.
type program struct {
	src  string
	root node
	in   *interpretation
}

// Compile compiles a filter: terms in the short form, or an expression. An empty one matches every event. Errors are of type *Error.
func Compile(src string) (*Filter, error) {
	p, err := compile(src, false)
	if err != nil {
		return nil, err
	}
	return &Filter{*p}, nil
}

// CompileCondition compiles a breakpoint: a filter in which the state after the event can stand. An empty one is an error.
// Errors are of type *Error.
func CompileCondition(src string) (*Condition, error) {
	if strings.TrimSpace(src) == "" {
		return nil, errorAt(0, "no condition, want one like PEND[65] && !MASK[65] && SEL[0] == 0")
	}
	p, err := compile(src, true)
	if err != nil {
		return nil, err
	}
	return &Condition{*p}, nil
}

// Bind gives the same filter for the events of a trace: names of tasks, the size of event words and the unit of time are the
// trace's. An unbound filter assumes words of 64 bits, nanoseconds and no names.
func (f *Filter) Bind(meta evtchn.Meta) *Filter { return &Filter{f.bind(meta)} }

// Bind gives the same condition for the events of a trace: see Filter.Bind.
func (c *Condition) Bind(meta evtchn.Meta) *Condition { return &Condition{c.bind(meta)} }

func (p *program) bind(meta evtchn.Meta) program {
	return program{src: p.src, root: p.root, in: newInterpretation(meta)}
}

// Match reports whether the event is wanted.
func (f *Filter) Match(ev *evtchn.Event) bool { return f.root.eval(ev, nil, f.in) == evtchn.One }

// Fires reports whether the condition holds after the event, st being the state that the event led to. What is unknown does not
// fire: see the package documentation. A condition fires at every event after which it holds; who wants the moment
// at which it begins to hold looks for one that fires after one that did not.
func (c *Condition) Fires(ev *evtchn.Event, st *evtchn.State) bool {
	return c.Value(ev, st) == evtchn.One
}

// Value gives the condition's three-valued truth after the event.
func (c *Condition) Value(ev *evtchn.Event, st *evtchn.State) evtchn.Bit {
	return c.root.eval(ev, st, c.in)
}

// String gives the source.
func (p *program) String() string { return p.src }

// Err gives an error such as a division by zero that an event caused while it was looked at, or nil: that of the first in the trace, of
// those that were looked at so far. Such an event does not match.
func (p *program) Err() error {
	if e := p.in.err.Load(); e != nil {
		return fmt.Errorf("event #%d: %w", e.seq, fromExpr(e.err))
	}
	return nil
}

// Ports lists, in order, the ports outside of which nothing matches; ok is false if any port can match. With ok, an empty list means
// that nothing matches at all.
func (p *program) Ports() (ports []evtchn.Port, ok bool) {
	s := implied(p.root, fieldPort)
	if s == nil {
		return nil, false
	}
	for _, v := range s.list {
		if v >= 0 && v <= int64(maxPort) {
			ports = append(ports, evtchn.Port(v))
		}
	}
	return ports, true
}

// Kinds lists, in order, the kinds outside of which nothing matches; ok is false if any kind can match. Numbers that are not valid kinds
// are among them where they match.
func (p *program) Kinds() (kinds []evtchn.Kind, ok bool) {
	s := implied(p.root, fieldKind)
	if s == nil {
		return nil, false
	}
	for _, v := range s.list {
		kinds = append(kinds, evtchn.Kind(v))
	}
	return kinds, true
}

// VCPUs lists, in order, the vcpus outside of which nothing matches; ok is false if any vcpu can match.
func (p *program) VCPUs() (vcpus []evtchn.VCPU, ok bool) {
	s := implied(p.root, fieldVCPU)
	if s == nil {
		return nil, false
	}
	for _, v := range s.list {
		if v == int64(evtchn.VCPU(v)) {
			vcpus = append(vcpus, evtchn.VCPU(v))
		}
	}
	return vcpus, true
}

// All reports whether the filter matches every event without looking at it.
func (f *Filter) All() bool { c, ok := f.root.(constant); return ok && evtchn.Bit(c) == evtchn.One }

func compile(src string, state bool) (*program, error) {
	if len(src) > MaxLength {
		return nil, errorAt(utf8.RuneCountInString(src[:MaxLength]), "%d bytes, want at most %d", len(src), MaxLength)
	}
	if !utf8.ValidString(src) {
		good := len(src) - len(strings.TrimLeftFunc(src, func(r rune) bool { return r != utf8.RuneError }))
		return nil, errorAt(utf8.RuneCountInString(src[:good]), "not UTF-8")
	}
	p := &program{src: src, in: newInterpretation(evtchn.Meta{})}
	root, isTerms, err := parseTerms(src)
	if err != nil {
		return nil, err
	}
	if !isTerms {
		if root, err = parseExpression(src, state); err != nil {
			return nil, err
		}
	}
	p.root = simplify(root)
	return p, nil
}
