package xentrace

import (
	"encoding/binary"
	"math/bits"
)

// ID is the id of an event: a class (one of 12 bits), a subclass of 4 bits, and a number of 12 bits.
type ID uint32

// The ids that have a meaning here (xen/include/public/trace.h).
const (
	idLostRecords ID = 0x1f001
	idWrapBuffer  ID = 0x1f002
	idCPUChange   ID = 0x1f003

	idRunstate    ID = 0x21001   // TRC_SCHED_RUNSTATE_CHANGE: the old state << 8 and the new one << 4 are part of the id
	idRunstateAll ID = 0xffff00f // the bits of the id that are not
	idContinue    ID = 0x21002
	idSwitch      ID = 0x2800a

	idHypercall    ID = 0x201001 // the first form: eip, eax
	idHypercall64  ID = 0x201101
	idHypercallV2  ID = 0x20100d
	idHypercallSub ID = 0x20200e // one of a multicall's
	idVMExit       ID = 0x81002
	idVMExit64     ID = 0x81102
	idVMCall       ID = 0x82012
)

// The hypercalls that have a meaning here (__HYPERVISOR_* of xen/include/public/xen.h).
const (
	callSched      = 29
	callEvtchn     = 32
	callMask       = 0xfffff // of the first word of a hypercall's record in its second form; above are flags of arguments
	schedOpPoll    = 3       // SCHEDOP_poll of xen/include/public/sched.h
	hypercallSlots = 64
)

// maxWords is how many words of data a record has at most.
const maxWords = 7

// Record is one record of a trace.
type Record struct {
	ID     ID
	CPU    int    // the physical CPU that wrote it
	TSC    uint64 // its time stamp counter; 0 for a record without one
	Words  int    // of Data that are valid
	Data   [maxWords]uint32
	Offset int64 // of the record in the file, unpacked
}

const headerSize = 4

// header splits the first word of a record.
func header(w uint32) (id ID, stamped bool, words int) {
	return ID(w & 0x0fffffff), w>>31 != 0, int(w >> 28 & 7)
}

// sizeOf is the size in bytes of a record with that first word.
func sizeOf(w uint32) int { return headerSize + int(w>>31)*8 + int(w>>28&7)*4 }

// sound reports whether there are ids of that kind: with exactly one class and some subclass.
func (id ID) sound() bool {
	return bits.OnesCount32(uint32(id)>>16) == 1 && id>>12&0xf != 0
}

// class is the number of the id's class bit, 0 to 11.
func (id ID) class() int { return bits.TrailingZeros32(uint32(id) >> 16) }

// runstate gives the states of a record TRC_SCHED_RUNSTATE_CHANGE.
func (id ID) runstate() (from, to uint8, ok bool) {
	return uint8(id >> 8 & 0xf), uint8(id >> 4 & 0xf), id&idRunstateAll == idRunstate
}

// decode fills rec from the record that b begins with, of which size has been checked.
func (rec *Record) decode(b []byte) (size int) {
	w := binary.LittleEndian.Uint32(b)
	var stamped bool
	rec.ID, stamped, rec.Words = header(w)
	o := headerSize
	rec.TSC = 0
	if stamped {
		rec.TSC = binary.LittleEndian.Uint64(b[o:])
		o += 8
	}
	for i := 0; i < rec.Words; i++ {
		rec.Data[i] = binary.LittleEndian.Uint32(b[o:])
		o += 4
	}
	return o
}
