package filter

import (
	"strconv"

	"github.com/evtrace/evtrace/evtchn"
)

// Reader reads the fields of a trace's events as filters see them. It may be used by several goroutines at once.
type Reader struct{ in *interpretation }

// NewReader makes a reader for the events of a trace.
func NewReader(meta evtchn.Meta) *Reader { return &Reader{newInterpretation(meta)} }

// outside is the key of the task of an event outside tasks.
const outside = -1

// Key gives the value of a field as a number that no other value of the field has: a number itself, 0 or 1 for a flag, and for text
// what AppendKey makes the text of. Two tasks of the same name have two keys.
func (r *Reader) Key(f Field, ev *evtchn.Event) int64 {
	switch {
	case f.IsNumber():
		return r.in.number(f, ev)
	case f == fieldKind:
		return int64(ev.Kind)
	case f == fieldCtx:
		return int64(ctxIndex(ev.Ctx))
	case f == fieldTask:
		if ev.Ctx.Class() != evtchn.CtxTask {
			return outside
		}
		return int64(ev.Ctx.Num())
	case flagOf(f, ev):
		return 1
	}
	return 0
}

// AppendKey appends the text of a value that Key gave: a number in decimal, true or false, or the text that filters compare with.
func (r *Reader) AppendKey(b []byte, f Field, key int64) []byte {
	switch {
	case f.IsNumber():
		return strconv.AppendInt(b, key, 10)
	case f == fieldKind:
		return append(b, evtchn.Kind(key).String()...)
	case f == fieldCtx:
		return append(b, ctxNames[key]...)
	case f == fieldTask && key == outside:
		return b
	case f == fieldTask:
		return append(b, r.in.taskName(int(key))...)
	}
	return strconv.AppendBool(b, key != 0)
}

// Append appends the text of a field.
func (r *Reader) Append(b []byte, f Field, ev *evtchn.Event) []byte {
	return r.AppendKey(b, f, r.Key(f, ev))
}
