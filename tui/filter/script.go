package filter

import (
	"fmt"

	"github.com/expr-lang/expr/vm"

	"github.com/evtrace/evtrace/evtchn"
)

// script is a part that has no form of its own here: the expression language evaluates it.
type script struct {
	prog *vm.Program
}

func (n *script) eval(ev *evtchn.Event, st *evtchn.State, in *interpretation) evtchn.Bit {
	s := in.scripts.Get().(*scene)
	s.env.set(ev, st, in)
	out, err := s.vm.Run(n.prog, s.env)
	unknown := s.env.unknown
	s.env.st = nil
	in.scripts.Put(s)
	b, ok := out.(bool)
	switch {
	case unknown:
		return evtchn.Unknown
	case err == nil && ok:
		return bitOf(b)
	case err == nil:
		err = fmt.Errorf("result %v, want true or false", out)
	}
	in.failed(ev.Seq, err)
	return evtchn.Unknown
}

// failure is what went wrong with an event.
type failure struct {
	seq evtchn.Seq
	err error
}

// failed keeps the failure of the first event in the trace, whatever goroutine comes to it when.
func (in *interpretation) failed(seq evtchn.Seq, err error) {
	for {
		old := in.err.Load()
		if old != nil && old.seq <= seq || in.err.CompareAndSwap(old, &failure{seq, err}) {
			return
		}
	}
}

// scene is what one evaluation of a script needs to itself.
type scene struct {
	vm  *vm.VM
	env *env
}

// memory is how much a script may allocate, in the language's own units: elements of arrays, mostly.
const memory = 10_000

func newScene() *scene {
	e := &env{}
	for a, f := range map[array]*func(int) bool{arrayPend: &e.Pend, arrayMask: &e.Mask, arrayExposed: &e.Exposed,
		arrayUnnoticed: &e.Unnoticed, arrayUp: &e.Up, arrayUmask: &e.Umask} {
		*f = func(i int) bool {
			b := stateBit(e.st, a, int64(i))
			e.unknown = e.unknown || b == evtchn.Unknown
			return b == evtchn.One
		}
	}
	for a, f := range map[array]*func(int) int{arraySel: &e.Sel, arrayOwner: &e.Owner, arrayNotify: &e.Notify} {
		*f = func(i int) int {
			v, known := stateNumber(e.st, a, int64(i))
			e.unknown = e.unknown || known != ^uint64(0)
			return int(v)
		}
	}
	e.Run = func(i int) string {
		r := stateRun(e.st, int64(i))
		e.unknown = e.unknown || r == evtchn.RunUnknown
		return r.String()
	}
	return &scene{&vm.VM{MemoryBudget: memory}, e}
}

// env is what names mean in a script. The tags are those of fieldNames and arrayNames.
type env struct {
	Seq      int    `expr:"seq"`
	Time     int    `expr:"t"`
	VCPU     int    `expr:"vcpu"`
	Target   int    `expr:"target"`
	Port     int    `expr:"port"`
	Word     int    `expr:"word"`
	Res      int    `expr:"res"`
	Cause    int    `expr:"cause"`
	Dom      int    `expr:"dom"`
	Kind     string `expr:"kind"`
	Ctx      string `expr:"ctx"`
	Task     string `expr:"task"`
	Input    bool   `expr:"input"`
	Inferred bool   `expr:"inferred"`

	Pend      func(int) bool   `expr:"PEND"`
	Mask      func(int) bool   `expr:"MASK"`
	Exposed   func(int) bool   `expr:"EXPOSED"`
	Unnoticed func(int) bool   `expr:"UNNOTICED"`
	Up        func(int) bool   `expr:"UP"`
	Umask     func(int) bool   `expr:"UMASK"`
	Sel       func(int) int    `expr:"SEL"`
	Owner     func(int) int    `expr:"OWNER"`
	Notify    func(int) int    `expr:"NOTIFY"`
	Run       func(int) string `expr:"RUN"`

	st      *evtchn.State
	unknown bool // something unknown was read
}

func (e *env) set(ev *evtchn.Event, st *evtchn.State, in *interpretation) {
	e.st, e.unknown = st, false
	for f, p := range [...]*int{fieldSeq: &e.Seq, fieldTime: &e.Time, fieldVCPU: &e.VCPU, fieldTarget: &e.Target, fieldPort: &e.Port,
		fieldWord: &e.Word, fieldRes: &e.Res, fieldCause: &e.Cause, fieldDom: &e.Dom} {
		*p = int(in.number(Field(f), ev))
	}
	e.Kind, e.Ctx, e.Task = ev.Kind.String(), ctxNames[ctxIndex(ev.Ctx)], in.task(ev)
	e.Input, e.Inferred = ev.Input(), ev.Inferred()
}
