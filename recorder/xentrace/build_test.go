package xentrace

import "encoding/binary"

// builder writes traces for tests.
type builder struct {
	b      []byte
	window int // where the present window's head is
}

// cpu begins a window.
func (b *builder) cpu(n int) *builder {
	b.close()
	b.window = len(b.b)
	b.words(uint32(idCPUChange)|2<<28, uint32(n), 0)
	return b
}

// close fills in how long the window is.
func (b *builder) close() *builder {
	if len(b.b) > 0 {
		binary.LittleEndian.PutUint32(b.b[b.window+8:], uint32(len(b.b)-b.window-windowHeader))
	}
	return b
}

func (b *builder) words(ws ...uint32) {
	for _, w := range ws {
		b.b = binary.LittleEndian.AppendUint32(b.b, w)
	}
}

// rec writes a record with a time stamp.
func (b *builder) rec(id ID, tsc uint64, data ...uint32) *builder {
	b.words(uint32(id)|uint32(len(data))<<28|1<<31, uint32(tsc), uint32(tsc>>32))
	b.words(data...)
	return b
}

// plain writes a record without a time stamp.
func (b *builder) plain(id ID, data ...uint32) *builder {
	b.words(uint32(id) | uint32(len(data))<<28)
	b.words(data...)
	return b
}

// state writes a change of a vcpu's run state.
func (b *builder) state(tsc uint64, dom, vcpu uint32, from, to ID) *builder {
	return b.rec(idRunstate|from<<8|to<<4, tsc, dom<<16|vcpu)
}

// call writes a hypercall with a 32-bit argument.
func (b *builder) call(tsc uint64, op, arg uint32) *builder {
	return b.rec(idHypercallV2, tsc, op|1<<20, arg)
}

// lost writes a record about lost ones.
func (b *builder) lost(tsc uint64, n, dom, vcpu uint32, since uint64) *builder {
	return b.rec(idLostRecords, tsc, n, dom|vcpu<<16, uint32(since), uint32(since>>32))
}

func (b *builder) bytes() []byte { return b.close().b }

// The hypervisor's states.
const (
	running, runnable, blocked, offline ID = 0, 1, 2, 3
)
