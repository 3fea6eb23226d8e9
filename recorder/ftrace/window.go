package ftrace

import "github.com/evtrace/evtrace/evtchn"

// The importer decides what a record means by what comes after it, so it holds a window of records: those from head on are not
// processed yet. At least half a window lies ahead of the record in work, unless the text ends. Places are counted from 1.
const (
	windowSize = 8192
	batch      = windowSize / 4
)

type window struct {
	ring []record
	head int64   // next to process
	tail int64   // next to read
	cpu  []int64 // place of the last record of each vcpu
	last int64   // time of the last record
}

func (w *window) init(cpus int) {
	w.ring = make([]record, windowSize)
	w.head, w.tail = 1, 1
	w.cpu = make([]int64, cpus)
}

func (w *window) len() int { return int(w.tail - w.head) }

// at gives the record at a place that is in the window.
func (w *window) at(pos int64) *record { return &w.ring[pos&(windowSize-1)] }

// next gives the place of the next record of the same vcpu, or 0 if it is not in the window.
func (w *window) next(pos int64) int64 { return w.at(pos).next }

func (w *window) push() *record {
	r := w.at(w.tail)
	w.tail++
	return r
}

func (w *window) unpush() { w.tail-- }

// link chains the record that was pushed last to the one before it of its vcpu.
func (w *window) link() {
	pos := w.tail - 1
	r := w.at(pos)
	if r.cpu < 0 {
		for cpu := range w.cpu { // a gap of all
			w.chain(cpu, pos, r)
		}
		return
	}
	w.chain(int(r.cpu), pos, r)
}

func (w *window) chain(cpu int, pos int64, r *record) {
	if prev := w.cpu[cpu]; prev > 0 && pos-prev < windowSize {
		q := w.at(prev)
		q.next = pos
		if r.id == prHCIPI && q.id == prIPI {
			// The target and the vector of the IPI, for whoever looks at the hypercall alone.
			r.b, r.d = q.b, q.d
			r.have |= q.have & (fCPU | fVec)
		}
	}
	w.cpu[cpu] = pos
}

// taskTable numbers the tasks.
type taskTable struct {
	byPID map[int64]uint16
	names []string
	read  []int64 // pid of each vcpu's last record that was read
	pid   []int64 // of its last record that was processed
	num   []uint16
}

// maxTasks is how many tasks contexts can tell apart; the last number stands for all others.
const maxTasks = 4000

func (t *taskTable) init(cpus int) {
	t.byPID = make(map[int64]uint16)
	t.pid = make([]int64, cpus)
	t.num = make([]uint16, cpus)
	t.read = make([]int64, cpus)
	for i := range t.pid {
		t.pid[i], t.read[i] = -1, -1
	}
}

// note numbers the record's task. Each vcpu's idle task has pid 0 and is a task of its own.
func (t *taskTable) note(r *record, name []byte) {
	key := int64(r.pid)
	if t.read[r.cpu] == key {
		return
	}
	t.read[r.cpu] = key
	if key == 0 {
		key = -1 - int64(r.cpu)
	}
	if _, ok := t.byPID[key]; ok {
		return
	}
	n := len(t.names)
	switch {
	case n == maxTasks:
		t.names = append(t.names, "(others)")
	case n > maxTasks:
		n = maxTasks
	default:
		t.names = append(t.names, string(name)+"-"+utoa(uint64(r.pid)))
	}
	t.byPID[key] = uint16(n)
}

// ctx gives the context of the record's task.
func (t *taskTable) ctx(r *record) evtchn.Context {
	if t.pid[r.cpu] != int64(r.pid) {
		key := int64(r.pid)
		if key == 0 {
			key = -1 - int64(r.cpu)
		}
		t.pid[r.cpu], t.num[r.cpu] = int64(r.pid), t.byPID[key]
	}
	return evtchn.TaskCtx(int(t.num[r.cpu]))
}

// tieCount counts the records that have the time of one before them, which is another vcpu's: their order is that of the file.
type tieCount struct {
	n     uint64
	time  int64
	cpu   int16 // whose record was the first of that time
	mixed bool  // there are others' records of it
	begun bool
}

func (t *tieCount) note(r *record) {
	switch {
	case !t.begun || r.time != t.time:
		*t = tieCount{n: t.n, time: r.time, cpu: r.cpu, begun: true}
	case t.mixed || r.cpu != t.cpu:
		t.mixed = true
		t.n++
	}
}
