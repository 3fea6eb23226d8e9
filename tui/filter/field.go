package filter

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/evtrace/evtrace/evtchn"
)

// Field is something that an event has: a name of the language. The package documentation says what each means.
type Field uint8

const (
	fieldSeq Field = iota
	fieldTime
	fieldVCPU
	fieldTarget
	fieldPort
	fieldWord
	fieldRes
	fieldCause
	fieldDom
	fieldKind // from here on, text
	fieldCtx
	fieldTask
	fieldInput // from here on, true or false
	fieldInferred

	fields
)

var fieldNames = [fields]string{"seq", "t", "vcpu", "target", "port", "word", "res", "cause", "dom", "kind", "ctx", "task", "input", "inferred"}

// timeAlias is another name of t.
const timeAlias = "time"

func fieldByName(name string) (Field, bool) {
	if name == timeAlias {
		return fieldTime, true
	}
	for f, n := range fieldNames {
		if n == name {
			return Field(f), true
		}
	}
	return 0, false
}

// Fields lists all fields.
func Fields() []Field {
	list := make([]Field, fields)
	for i := range list {
		list[i] = Field(i)
	}
	return list
}

// ParseField finds a field by its name. The error says what there is, and what was probably meant; more are names that the caller
// knows besides.
func ParseField(name string, more ...string) (Field, error) {
	f, ok := fieldByName(name)
	if !ok {
		return 0, errors.New(unknownName(0, "field", name, append(fieldNames[:], more...)).Msg)
	}
	return f, nil
}

// String gives the name.
func (f Field) String() string { return fieldNames[f] }

// IsNumber reports whether the field is a number; what is neither a number nor a flag is text.
func (f Field) IsNumber() bool { return f < fieldKind }

// IsFlag reports whether the field is true or false.
func (f Field) IsFlag() bool { return f == fieldInput || f == fieldInferred }

// maxPort is the highest port of any ABI (FIFO: 2^17 ports).
const maxPort = 1<<17 - 1

// The names of contexts, by index as ctxIndex gives it. The last one is for numbers of no class: it has no name to compare with.
var ctxNames = [...]string{"none", "xen", "upcall", "task", "foreign", "other"}

const ctxNamed = len(ctxNames) - 1

func ctxIndex(c evtchn.Context) int {
	switch c.Class() {
	case evtchn.CtxNone:
		return 0
	case evtchn.CtxXen:
		return 1
	case evtchn.CtxUpcall:
		return 2
	case evtchn.CtxTask:
		return 3
	case evtchn.CtxForeign:
		return 4
	}
	return ctxNamed
}

// interpretation is what it takes to read events of a trace: the names and units of its meta. It also keeps what scripts use.
type interpretation struct {
	wordBits int
	scale    float64 // nanoseconds, or ticks of unknown length, per unit of Event.Time
	tasks    []string
	err      atomic.Pointer[failure]
	scripts  sync.Pool // of *scene
}

func newInterpretation(meta evtchn.Meta) *interpretation {
	in := &interpretation{wordBits: meta.WordBits, scale: 1, tasks: meta.Tasks}
	if in.wordBits < 1 {
		in.wordBits = 64
	}
	if s := meta.NsPerTick; meta.Unit == "ticks" && s > 0 && !math.IsInf(s, 0) {
		in.scale = s
	}
	in.scripts.New = func() any { return newScene() }
	return in
}

// number gives the value of a numeric field.
func (in *interpretation) number(f Field, ev *evtchn.Event) int64 {
	switch f {
	case fieldSeq:
		return int64(ev.Seq)
	case fieldTime:
		if in.scale != 1 {
			return int64(float64(ev.Time) * in.scale)
		}
		return int64(ev.Time)
	case fieldVCPU:
		return int64(ev.VCPU)
	case fieldTarget:
		if !ev.Kind.Valid() {
			return int64(ev.VCPU)
		}
		return int64(ev.Target())
	case fieldPort:
		return int64(ev.Port)
	case fieldWord:
		return in.word(ev)
	case fieldRes:
		if ev.Kind.Spec().Res.Type == evtchn.ArgVCPU {
			return int64(int16(ev.Res))
		}
		return int64(ev.Res)
	case fieldCause:
		return int64(ev.Cause)
	case fieldDom:
		return int64(ev.Dom)
	}
	return 0
}

func (in *interpretation) word(ev *evtchn.Event) int64 {
	if ev.Port != evtchn.NoPort {
		return int64(ev.Port) / int64(in.wordBits)
	}
	for i, a := range ev.Kind.Spec().Args {
		if a.Type == evtchn.ArgWord {
			return int64(ev.Args[i])
		}
	}
	return -1
}

const taskPrefix = "task:"

// task gives the name of the event's task, "" outside tasks.
func (in *interpretation) task(ev *evtchn.Event) string {
	if ev.Ctx.Class() != evtchn.CtxTask {
		return ""
	}
	return in.taskName(ev.Ctx.Num())
}

func (in *interpretation) taskName(n int) string {
	if n < len(in.tasks) && in.tasks[n] != "" {
		return in.tasks[n]
	}
	return taskPrefix + strconv.Itoa(n)
}

// taskNumber gives N of "task:N", or -1.
func taskNumber(name string) int {
	if s, ok := strings.CutPrefix(name, taskPrefix); ok {
		if n, err := strconv.ParseUint(s, 10, 12); err == nil && strconv.FormatUint(n, 10) == s {
			return int(n)
		}
	}
	return -1
}

func flagOf(f Field, ev *evtchn.Event) bool {
	if f == fieldInput {
		return ev.Input()
	}
	return ev.Inferred()
}
