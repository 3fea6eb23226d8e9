package tracedat

import "bytes"

// Event is one event. Its contents are read by its getters, which take a field of its Format.
type Event struct {
	Time    uint64 // in units of the trace clock: nanoseconds, or ticks of a clock such as x86-tsc
	CPU     int
	PID     int32
	Flags   Flags
	Preempt uint8 // how deep preemption was off; on newer kernels the upper four bits count migrate_disable
	// Missed says that events of this cpu are missing in front of this one: how many, or -1 if that is not known.
	Missed int64
	// Format is nil for a mark: it is no event, and only says by Missed that events of this cpu are missing from its last one on to the
	// end. Marks come behind all events.
	Format *Format
	Offset int64 // of its page in the file, or of the chunk that it is packed in

	data []byte
	big  bool
}

// Flags are the bits of common_flags (enum trace_flag_type of include/linux/trace_events.h).
type Flags uint8

// The flags.
const (
	IRQsOff         Flags = 1 << iota
	NeedReschedLazy       // older kernels: whether interrupts are off is not known
	NeedResched           //
	HardIRQ               // in a hard interrupt
	SoftIRQ               // in a soft interrupt
	PreemptResched        //
	NMI                   // in a non-maskable interrupt
	BottomHalvesOff       //
)

// at gives the stretch of the event that a field takes, or nil.
func (e *Event) at(f *Field) []byte {
	if f == nil || f.Offset > len(e.data) || f.Size > len(e.data)-f.Offset {
		return nil
	}
	return e.data[f.Offset : f.Offset+f.Size]
}

// Uint gives a field that is a number. It is false for a field that is nil, no number, or not within the event. A negative number of a
// signed field comes as it is extended to 64 bits.
func (e *Event) Uint(f *Field) (uint64, bool) {
	b := e.at(f)
	if b == nil || f.Array {
		return 0, false
	}
	v := number(b, e.big)
	if f.Signed {
		switch f.Size {
		case 1:
			v = uint64(int8(v))
		case 2:
			v = uint64(int16(v))
		case 4:
			v = uint64(int32(v))
		}
	}
	return v, f.Size == 1 || f.Size == 2 || f.Size == 4 || f.Size == 8
}

// Bytes gives the contents of an array, which are valid until the next event. It is false for a field that is nil, no array, or not within
// the event.
func (e *Event) Bytes(f *Field) ([]byte, bool) {
	b := e.at(f)
	if b == nil || !f.Array {
		return nil, false
	}
	if f.loc == locHere {
		if f.Size == 0 {
			return e.data[f.Offset:], true
		}
		return b, true
	}
	if f.Size != 4 {
		return nil, false
	}
	v := number(b, e.big)
	from, n := int(v&0xffff), int(v>>16)
	if f.loc == locRel {
		from += f.Offset + f.Size
	}
	if from > len(e.data) || n > len(e.data)-from {
		return nil, false
	}
	return e.data[from : from+n], true
}

// Text gives the contents of an array up to the first NUL.
func (e *Event) Text(f *Field) ([]byte, bool) {
	b, ok := e.Bytes(f)
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return b, ok
}
