package xentrace

import (
	"cmp"
	"maps"
	"slices"

	"github.com/evtrace/evtrace/evtchn"
)

// vcpuStat is what is known of a vcpu.
type vcpuStat struct {
	id       vcpuID
	calls    *[hypercallSlots]uint64 // by number, the last one for all beyond; nil: none
	subcalls *[hypercallSlots]uint64 // the same for those within a multicall

	// In the order of time.
	state   uint8
	cpu     uint16 // where that was noted
	since   uint64
	started bool // it was seen to run
	stays   [stateUnknown]Stay
	goesOn  uint64 // records that it runs on
	skewed  uint64 // records whose old state is not the one before
}

// Stay sums up a run state of a vcpu.
type Stay struct {
	Count  uint64
	Cycles uint64 // of the time stamp counter
}

// set carries out what an item says of the vcpu. first is the first time stamp of the CPU that noted it.
func (v *vcpuStat) set(it *item, first uint64) {
	if v.state != stateUnknown && v.state != it.from && !(v.state == statePolling && it.from == 2) {
		v.skewed++
	}
	switch {
	case it.kind == itemContinue && v.state == 0:
		if v.started {
			v.goesOn++
			return
		}
		v.started = true
	case it.kind == itemContinue && !v.started:
		// It has run since before the trace.
		v.started = true
		v.state, v.since, v.cpu = 0, min(first, it.tsc), it.cpu
		return
	case v.started:
		v.leave(it.tsc)
	default:
		v.started = it.to == 0
	}
	v.state, v.since, v.cpu = it.to, it.tsc, it.cpu
}

// leave ends the stay in the present state.
func (v *vcpuStat) leave(tsc uint64) {
	if v.state < stateUnknown && tsc > v.since {
		v.stays[v.state].Count++
		v.stays[v.state].Cycles += tsc - v.since
	}
}

// runStates maps the hypervisor's states, and those that follow them here, to the machine's.
var runStates = [...]evtchn.RunState{evtchn.Running, evtchn.Runnable, evtchn.Blocked, evtchn.Offline, evtchn.Polling, evtchn.RunUnknown}

// Totals sums up a trace.
type Totals struct {
	Records  uint64
	First    uint64 // the lowest and the highest time stamp; 0 if there is none
	Last     uint64
	ByName   map[string]uint64 // records by ID.String
	Lost     uint64            // records that the hypervisor had no room for
	Losses   uint64            // places at which it had none
	CPUs     []CPUTotals
	VCPUs    []VCPUTotals // by domain and number
	Unplaced uint64       // hypercalls of which the vcpu is not known
}

// CPUTotals sums up what a physical CPU wrote.
type CPUTotals struct {
	CPU   int
	Bytes map[string]uint64 // of records, by class
}

// VCPUTotals sums up a vcpu. Its stays count from when it is first seen to run; of those that the end cuts off only one in which
// it runs counts, up to the last record of its CPU.
type VCPUTotals struct {
	Domain, VCPU                                 uint16
	Running, Runnable, Blocked, Polling, Offline Stay
	Continued                                    uint64            // times that the scheduler let it run on
	Hypercalls                                   map[uint32]uint64 // by number; numbers from 63 on are all under 63
	Subcalls                                     map[uint32]uint64 // the same for those within a multicall
}

// totals sums up. The tracker is of no use for items afterwards.
func (t *tracker) totals() Totals {
	sum := Totals{ByName: make(map[string]uint64), Lost: t.lost, Losses: t.losses, Unplaced: t.unsure}
	t.counts.each(func(id ID, n uint64) {
		sum.Records += n
		sum.ByName[id.String()] += n
	})
	if t.first <= t.last {
		sum.First, sum.Last = t.first, t.last
	}
	for n, c := range t.cpus {
		if c == nil {
			continue
		}
		ct := CPUTotals{CPU: n, Bytes: make(map[string]uint64)}
		for class, b := range c.bytes {
			if b > 0 {
				ct.Bytes[classes[class]] = b
			}
		}
		sum.CPUs = append(sum.CPUs, ct)
	}
	for _, v := range t.vcpus {
		if v.started && v.state == 0 && int(v.cpu) < len(t.cpus) {
			v.leave(t.cpus[v.cpu].last)
			v.state = stateUnknown
		}
		vt := VCPUTotals{Domain: v.id.dom(), VCPU: v.id.num(), Running: v.stays[0], Runnable: v.stays[1], Blocked: v.stays[2],
			Offline: v.stays[3], Polling: v.stays[statePolling], Continued: v.goesOn,
			Hypercalls: byNumber(v.calls), Subcalls: byNumber(v.subcalls)}
		sum.VCPUs = append(sum.VCPUs, vt)
	}
	slices.SortFunc(sum.VCPUs, func(a, b VCPUTotals) int {
		return cmp.Or(cmp.Compare(a.Domain, b.Domain), cmp.Compare(a.VCPU, b.VCPU))
	})
	return sum
}

// sortedIDs lists the vcpus of all domains.
func (t *tracker) sortedIDs() []vcpuID { return slices.Sorted(maps.Keys(t.vcpus)) }

func byNumber(counts *[hypercallSlots]uint64) map[uint32]uint64 {
	m := make(map[uint32]uint64)
	if counts != nil {
		for op, n := range counts {
			if n > 0 {
				m[uint32(op)] = n
			}
		}
	}
	return m
}
