package text

import (
	"strconv"

	"github.com/evtrace/evtrace/evtchn"
)

const knownFlags = evtchn.FlagInput | evtchn.FlagInferred | evtchn.FlagForeign

// flagWords are the words at the end of a line, in the order of the line.
var flagWords = [...]struct {
	flag evtchn.Flags
	word string
}{
	{evtchn.FlagInput, "input"},
	{evtchn.FlagInferred, "inferred"},
	{evtchn.FlagForeign, "foreign"},
}

// AppendEvent appends the line of ev to b, without a newline, and returns the extended slice. Every event of a valid kind
// reads back as it was. One of another kind gets the word kind:N in place of a name, which no reader takes: Writer refuses it.
func AppendEvent(b []byte, ev *evtchn.Event) []byte {
	b = strconv.AppendUint(b, uint64(ev.Seq), 10)
	b = append(b, ' ')
	b = strconv.AppendInt(b, int64(ev.Time), 10)
	b = append(b, ' ')
	b = appendVCPU(b, ev.Dom, ev.VCPU)
	b = append(b, ' ')
	b = appendContext(b, ev.Ctx)
	b = append(b, ' ')
	spec := ev.Kind.Spec()
	if ev.Kind.Valid() {
		b = append(b, spec.Name...)
	} else {
		b = strconv.AppendUint(append(b, "kind:"...), uint64(ev.Kind), 10)
	}
	if ev.Port != evtchn.NoPort {
		b = strconv.AppendUint(append(b, " p"...), uint64(ev.Port), 10)
	}
	b = appendArgs(b, ev, " ")
	if spec.Res.Type != evtchn.ArgNone || ev.Res != 0 {
		b = append(b, " = "...)
		b = appendValue(b, spec.Res.Type, ev.Res)
	}
	if ev.Cause != 0 {
		b = strconv.AppendUint(append(b, " <"...), uint64(ev.Cause), 10)
	}
	if ev.Flags != 0 {
		for _, f := range flagWords {
			if ev.Flags.Has(f.flag) {
				b = append(b, ' ')
				b = append(b, f.word...)
			}
		}
		if rest := ev.Flags &^ knownFlags; rest != 0 {
			b = strconv.AppendUint(append(b, " flags:0x"...), uint64(rest), 16)
		}
	}
	return b
}

// appendVCPU appends v3, or - for no vcpu; with a domain in front as Xen writes it, d5v3 or d5v-, where it is not 0.
func appendVCPU(b []byte, dom evtchn.DomID, v evtchn.VCPU) []byte {
	if dom != 0 {
		b = strconv.AppendUint(append(b, 'd'), uint64(dom), 10)
		if v == evtchn.NoVCPU {
			return append(b, "v-"...)
		}
	} else if v == evtchn.NoVCPU {
		return append(b, '-')
	}
	return strconv.AppendInt(append(b, 'v'), int64(v), 10)
}

// appendContext appends what Context.String gives, but numbers those contexts that it does not tell apart.
func appendContext(b []byte, c evtchn.Context) []byte {
	switch {
	case c == evtchn.CtxNone:
		return append(b, '-')
	case c == evtchn.CtxXen:
		return append(b, "xen"...)
	case c == evtchn.CtxUpcall:
		return append(b, "upcall"...)
	case c.Class() == evtchn.CtxTask:
		return strconv.AppendInt(append(b, "task:"...), int64(c.Num()), 10)
	case c.Class() == evtchn.CtxForeign:
		return strconv.AppendInt(append(b, "foreign:"...), int64(c.Num()), 10)
	}
	return strconv.AppendUint(append(b, "ctx:"...), uint64(c), 10)
}

// AppendArgs appends the arguments as the line of ev has them, "target=v5 word=w1", or nothing if there are none.
func AppendArgs(b []byte, ev *evtchn.Event) []byte { return appendArgs(b, ev, "") }

// appendArgs appends the arguments with blanks between them, the first behind sep.
func appendArgs(b []byte, ev *evtchn.Event, sep string) []byte {
	spec := ev.Kind.Spec()
	for i, v := range ev.Args {
		if i < len(spec.Args) {
			b = append(b, sep...)
			b = append(b, spec.Args[i].Name...)
			b = append(b, '=')
			b = appendValue(b, spec.Args[i].Type, v)
		} else if v != 0 {
			b = append(b, sep...)
			b = append(b, "arg"...)
			b = append(b, '0'+byte(i), '=')
			b = strconv.AppendUint(b, v, 10)
		} else {
			continue
		}
		sep = " "
	}
	return b
}
