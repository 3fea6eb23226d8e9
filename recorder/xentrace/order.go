package xentrace

import (
	"cmp"
	"slices"
)

// itemKind is what an item tells.
type itemKind uint8

const (
	itemState    itemKind = iota // a change of the run state
	itemContinue                 // the vcpu runs on
	itemCall                     // the vcpu makes the hypercall evtchn_op
	itemLost                     // from here on records of the CPU were lost
	itemFound                    // up to here
)

// item is a record that matters, as little of it as is needed: there can be millions.
type item struct {
	tsc      uint64
	who      vcpuID
	cpu      uint16
	kind     itemKind
	from, to uint8 // states of the hypervisor's numbering; to may be statePolling
}

// vcpuID is a vcpu of any domain, as the records have it: domain << 16 | vcpu.
type vcpuID uint32

func (v vcpuID) dom() uint16 { return uint16(v >> 16) }

func (v vcpuID) num() uint16 { return uint16(v) }

// maxPending bounds how many items are held back. It is more than the buffers of a large machine hold between two rounds.
const maxPending = 2 << 20

// order sorts items of all CPUs by time. xentrace empties the CPUs' buffers in rounds; an item can be given out once the round after
// its own has been read.
type order struct {
	pending []item
	ready   int // pending[:ready] are sorted, and before everything that is still to come
	limit   int // of pending; 0: maxPending

	rounds  int
	cpu     int    // of the window in hand
	newest  uint64 // of the round in hand
	before  uint64 // of the round before it
	given   uint64 // time of the last item that was given out
	dropped uint64 // items that came too late because too many were held back
}

// window begins a window of a CPU.
func (o *order) window(cpu int) {
	if o.rounds == 0 || cpu <= o.cpu {
		if o.rounds >= 2 {
			// What is of the round before last: nothing of its time can follow. A time stamp that is far too high would be
			// no bound, hence the smaller of the two.
			o.settle(min(o.before, o.newest))
		}
		o.before, o.newest = o.newest, 0
		o.rounds++
	}
	o.cpu = cpu
}

// saw notes the time of a record of the window in hand.
func (o *order) saw(tsc uint64) { o.newest = max(o.newest, tsc) }

// settle makes everything up to the time ready. It is only called when nothing is ready.
func (o *order) settle(upTo uint64) {
	slices.SortStableFunc(o.pending, func(a, b item) int { return cmp.Compare(a.tsc, b.tsc) })
	o.ready, _ = slices.BinarySearchFunc(o.pending, upTo, func(it item, t uint64) int {
		if it.tsc <= t {
			return -1
		}
		return 1
	})
}

// end makes everything ready.
func (o *order) end() { o.settle(1<<64 - 1) }

// add holds an item back.
func (o *order) add(it item) {
	if it.tsc < o.given {
		o.dropped++
		return
	}
	o.pending = append(o.pending, it)
}

// full reports whether no more can be held back; half of it is then made ready.
func (o *order) full() bool {
	limit := o.limit
	if limit == 0 {
		limit = maxPending
	}
	if len(o.pending) < limit {
		return false
	}
	o.settle(1<<64 - 1)
	o.ready = len(o.pending) / 2
	return true
}

// take gives all items that are ready. They are valid until the next call of any method.
func (o *order) take() []item {
	out := o.pending[:o.ready]
	if o.ready > 0 {
		o.given = out[o.ready-1].tsc
	}
	return out
}

// drop forgets the items that take gave.
func (o *order) drop() {
	o.pending = o.pending[:copy(o.pending, o.pending[o.ready:])]
	o.ready = 0
}
