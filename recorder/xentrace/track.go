package xentrace

// statePolling is a blocked state of which the hypercall before it tells that the vcpu polls.
const statePolling = 4

// stateUnknown stands where no record has told a vcpu's state.
const stateUnknown = 5

// cpuTrack is what is known of a physical CPU, in the order of its own records.
type cpuTrack struct {
	first   uint64 // its first and its last time stamp
	last    uint64
	hole    bool // records are missing after the last
	current *vcpuStat
	poll    bool // the current vcpu's last hypercall was sched_op with the command poll
	bytes   [len(classes)]uint64
}

// tracker goes through the records in the order of the file: it counts them, tells which vcpu those without one belong to, and makes
// items of those that matter.
type tracker struct {
	order  order
	cpus   []*cpuTrack // by number; nil: no window of it
	vcpus  map[vcpuID]*vcpuStat
	counts counts
	first  uint64 // the lowest and the highest time stamp
	last   uint64
	lost   uint64 // records
	losses uint64 // records that tell of losses
	unsure uint64 // hypercalls of which the vcpu is not known

	odd uint64 // records that are too short for what they are, or of a vcpu that cannot be

	cur *cpuTrack // of the window in hand
}

func newTracker() *tracker {
	return &tracker{vcpus: make(map[vcpuID]*vcpuStat), first: 1<<64 - 1}
}

// Bounds of what is taken for a vcpu: a damaged record could name any.
const (
	maxVCPU  = 8192
	maxVCPUs = 1 << 16
)

// vcpu gives what is known of a vcpu, or nil if there can be no such one.
func (t *tracker) vcpu(id vcpuID) *vcpuStat {
	v := t.vcpus[id]
	if v == nil {
		if id.num() >= maxVCPU || len(t.vcpus) >= maxVCPUs {
			t.odd++
			return nil
		}
		v = &vcpuStat{id: id, state: stateUnknown}
		t.vcpus[id] = v
	}
	return v
}

// window begins a window of a CPU.
func (t *tracker) window(cpu int) {
	t.order.window(cpu)
	for cpu >= len(t.cpus) {
		t.cpus = append(t.cpus, nil)
	}
	if t.cpus[cpu] == nil {
		t.cpus[cpu] = new(cpuTrack)
	}
	t.cur = t.cpus[cpu]
}

// add takes a record of the window that was begun last.
func (t *tracker) add(rec *Record) {
	class := rec.ID.class()
	c := t.cur
	size := headerSize + 4*rec.Words
	if rec.TSC != 0 {
		size += 8
		if c.first == 0 {
			c.first = rec.TSC
		}
		if c.hole {
			c.hole = false
			t.missing(c.last, rec)
		}
		c.last = rec.TSC
		t.first, t.last = min(t.first, rec.TSC), max(t.last, rec.TSC)
		t.order.saw(rec.TSC)
	}
	c.bytes[class] += uint64(size)
	t.counts.add(rec.ID)
	switch class {
	case 1:
		t.sched(rec)
	case 5:
		t.call(rec)
	case 0:
		if rec.ID == idLostRecords {
			t.noteLost(rec)
		}
	}
}

// damaged notes that a stretch of the file was passed over. Whose records those were is not known.
func (t *tracker) damaged() {
	for _, c := range t.cpus {
		if c != nil {
			c.hole = c.last != 0
			c.current, c.poll = nil, false
		}
	}
}

// missing notes that records of a CPU are missing between that time and a record.
func (t *tracker) missing(since uint64, rec *Record) {
	t.order.add(item{tsc: max(since, t.order.given), cpu: uint16(rec.CPU), kind: itemLost})
	t.order.add(item{tsc: rec.TSC, cpu: uint16(rec.CPU), kind: itemFound})
}

// sched takes a record of the scheduler.
func (t *tracker) sched(rec *Record) {
	c := t.cur
	switch id := rec.ID; {
	case id&idRunstateAll == idRunstate:
		from, to, _ := id.runstate()
		if rec.Words < 1 || int(from) >= len(runstates) || int(to) >= len(runstates) {
			t.odd++
			return
		}
		v := t.vcpu(vcpuID(rec.Data[0]))
		switch {
		case v == nil:
			return
		case to == 0:
			c.current, c.poll = v, false
		case from == 0 && to == 2 && c.poll && c.current == v:
			to = statePolling
			fallthrough
		case from == 0:
			c.current, c.poll = nil, false
		}
		t.order.add(item{tsc: rec.TSC, who: v.id, cpu: uint16(rec.CPU), kind: itemState, from: from, to: to})
	case id == idContinue:
		if rec.Words < 1 {
			t.odd++
			return
		}
		v := t.vcpu(vcpuID(rec.Data[0]))
		if v == nil {
			return
		}
		c.current = v
		t.order.add(item{tsc: rec.TSC, who: v.id, cpu: uint16(rec.CPU), kind: itemContinue})
	case id == idSwitch && rec.Words >= 4:
		// It says the same a little earlier, and is all there is where run states are not traced.
		c.current, c.poll = t.vcpu(vcpuID(rec.Data[2]<<16|rec.Data[3]&0xffff)), false
	}
}

// call takes a record of a paravirtual guest.
func (t *tracker) call(rec *Record) {
	op := uint32(0)
	switch {
	case rec.ID == idHypercallV2 || rec.ID == idHypercallSub:
		if rec.Words < 1 {
			t.odd++
			return
		}
		op = rec.Data[0] & callMask
	case rec.ID == idHypercall && rec.Words >= 2:
		op = rec.Data[1]
	case rec.ID == idHypercall64 && rec.Words >= 3:
		op = rec.Data[2]
	case rec.ID == idHypercall || rec.ID == idHypercall64:
		t.odd++
		return
	default:
		return
	}
	c := t.cur
	if c.current == nil {
		t.unsure++
		return
	}
	counts := &c.current.calls
	if rec.ID == idHypercallSub {
		counts = &c.current.subcalls
	} else {
		c.poll = op == callSched && firstArg(rec) == schedOpPoll
	}
	if *counts == nil {
		*counts = new([hypercallSlots]uint64)
	}
	(*counts)[min(op, hypercallSlots-1)]++
	if op == callEvtchn {
		t.order.add(item{tsc: rec.TSC, who: c.current.id, cpu: uint16(rec.CPU), kind: itemCall})
	}
}

// firstArg gives the lower word of a hypercall's first argument, or all ones if the record does not have it.
func firstArg(rec *Record) uint32 {
	if rec.ID != idHypercallV2 || rec.Data[0]>>20&3 == 0 || rec.Words < 2 {
		return 1<<32 - 1
	}
	return rec.Data[1]
}

// noteLost takes a record that tells how many were lost before it, since when, and which vcpu the CPU has now.
func (t *tracker) noteLost(rec *Record) {
	t.losses++
	c := t.cur
	c.current, c.poll = nil, false
	if rec.Words < 1 {
		t.odd++
		return
	}
	t.lost += uint64(rec.Data[0])
	from := rec.TSC
	if rec.Words >= 4 {
		c.current = t.vcpu(vcpuID(rec.Data[1]<<16 | rec.Data[1]>>16))
		from = min(from, uint64(rec.Data[2])|uint64(rec.Data[3])<<32)
	}
	if rec.TSC != 0 {
		t.missing(from, rec)
	}
}
