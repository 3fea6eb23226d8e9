package timeline

import (
	"math"
	"slices"
	"sort"

	"github.com/evtrace/evtrace/evtchn"
)

// Builder makes a strip of a window of a trace, from all events of the window or from samples of the state. It costs a few
// nanoseconds an event, whatever the number of vcpus.
type Builder struct {
	g       grid
	strip   *Strip
	act     []Activity // of each vcpu, now
	since   []int      // the cell up to which the vcpu's row is filled; -1: none
	life    Life
	lifeAt  int
	started bool
	at      int // the cell of the last event
	samples []sample
	touched bool // anything was added since the strip was last taken
}

type sample struct {
	at   evtchn.Time
	act  []Activity
	life Life
}

// NewBuilder gives an empty builder. A spec outside of the ranges is put right: see Strip.Spec.
func NewBuilder(spec Spec) *Builder {
	spec = spec.valid()
	n := spec.Meta.VCPUs
	s := &Strip{Spec: spec, rows: make([][]uint16, n), life: make([]uint16, spec.Cols), count: make([]uint64, spec.Cols),
		cover: make([]Cover, spec.Cols), busy: make([]uint64, n)}
	cells := make([]uint16, n*spec.Cols)
	for v := range s.rows {
		s.rows[v], cells = cells[:spec.Cols:spec.Cols], cells[spec.Cols:]
	}
	b := &Builder{g: spec.grid(), strip: s, act: make([]Activity, n), since: make([]int, n), lifeAt: -1, at: -1}
	for v := range b.since {
		b.since[v] = -1
	}
	return b
}

// Start tells the state before the first event of the window. Without it all is unknown until an event tells.
func (b *Builder) Start(st *evtchn.State) {
	for v := range min(len(b.act), len(st.V)) {
		b.act[v] = ActivityOf(st, evtchn.VCPU(v))
	}
	b.life = LifeOf(st, b.strip.Spec.Port)
	b.started, b.touched = true, true
}

// Add tells an event, and the state after it. It reports whether the window may have more: after an event at or behind its end it
// does not. Events before the window count as Start.
func (b *Builder) Add(ev *evtchn.Event, st *evtchn.State) bool {
	c := b.g.col(ev.Time)
	if c >= b.g.cols {
		b.reach(b.g.cols - 1)
		return false
	}
	b.touched = true
	if !b.started {
		b.Start(st)
	}
	if c >= 0 && c < b.at {
		c = b.at // a clock that steps back does not undo what was drawn
	}
	if c >= 0 {
		if c > b.at {
			b.at = c
		}
		b.strip.count[c]++
		b.strip.total++
	}
	b.vcpu(ev, st, ev.VCPU, c)
	if t := target(ev); t != ev.VCPU {
		b.vcpu(ev, st, t, c)
	}
	if p := b.strip.Spec.Port; p != evtchn.NoPort {
		l := LifeOf(st, p)
		if l != b.life {
			b.fillLife(c)
			b.life = l
		}
		if c >= 0 {
			m := uint16(1) << l
			if ev.Port == p && ev.Kind == evtchn.KindDeliver {
				m |= 1 << LifeDelivered
			}
			b.strip.life[c] |= m
		}
	}
	return true
}

// vcpu notes what the vcpu does from cell c on, and what the event itself shows that it was doing.
func (b *Builder) vcpu(ev *evtchn.Event, st *evtchn.State, v evtchn.VCPU, c int) {
	if v < 0 || int(v) >= len(b.act) || int(v) >= len(st.V) {
		return
	}
	a := ActivityOf(st, v)
	if a != b.act[v] {
		b.fillRow(int(v), c)
		b.act[v] = a
	}
	if c < 0 {
		return
	}
	row := b.strip.rows[v]
	row[c] |= 1 << a
	if v != ev.VCPU {
		return
	}
	b.strip.busy[v]++
	switch ev.Ctx.Class() {
	case evtchn.CtxTask:
		row[c] |= 1 << ActRunning
	case evtchn.CtxXen:
		row[c] |= 1 << ActXen
	case evtchn.CtxUpcall:
		row[c] |= 1 << ActUpcall
	}
}

// fillRow draws what the vcpu has been doing up to and with cell c.
func (b *Builder) fillRow(v, c int) {
	if c < 0 {
		return
	}
	m := uint16(1) << b.act[v]
	row := b.strip.rows[v]
	for i := max(b.since[v], 0); i <= c; i++ {
		row[i] |= m
	}
	b.since[v] = c
}

func (b *Builder) fillLife(c int) {
	if c < 0 || b.strip.Spec.Port == evtchn.NoPort {
		return
	}
	for i := max(b.lifeAt, 0); i <= c; i++ {
		b.strip.life[i] |= 1 << b.life
	}
	b.lifeAt = c
}

// reach draws everything up to and with cell c, of which all events are known.
func (b *Builder) reach(c int) {
	if !b.started || c < 0 {
		return
	}
	b.touched = true
	b.at = max(b.at, c)
	for v := range b.act {
		b.fillRow(v, b.at)
	}
	b.fillLife(b.at)
	for i := b.at; i >= 0 && b.strip.cover[i] != CoverExact; i-- {
		b.strip.cover[i] = CoverExact
	}
}

// Finish says that the window has no more events. It is for the end of a trace: an Add behind the window does the same.
func (b *Builder) Finish() { b.reach(b.g.cols - 1) }

// Sample tells a state somewhere in the window, in place of the events: the state's own time says where. Cells between samples show
// what the sample before them showed. Samples may come in any order.
func (b *Builder) Sample(st *evtchn.State) {
	s := sample{at: st.Now, act: make([]Activity, len(b.act)), life: LifeOf(st, b.strip.Spec.Port)}
	for v := range min(len(b.act), len(st.V)) {
		s.act[v] = ActivityOf(st, evtchn.VCPU(v))
	}
	i := sort.Search(len(b.samples), func(i int) bool { return b.samples[i].at > s.at })
	b.samples = slices.Insert(b.samples, i, s)
	b.touched = true
}

// AddCount tells that there are n events from one time up to, not including, another, as the index of a store knows without reading
// them. They are spread evenly over the cells.
func (b *Builder) AddCount(from, to evtchn.Time, n uint64) {
	if to <= from {
		to = limit(from) + 1
	}
	lo, hi := max(from, b.strip.Spec.From), min(to, b.strip.Spec.To)
	if lo >= hi || n == 0 {
		return
	}
	b.touched = true
	whole := float64(uint64(to) - uint64(from))
	done := uint64(float64(n) * (float64(uint64(lo)-uint64(from)) / whole))
	for c := b.g.col(lo); c < b.g.cols; c++ {
		end := min(b.g.edge(c+1), hi)
		if end < lo {
			end = lo
		}
		upTo := uint64(float64(n) * (float64(uint64(end)-uint64(from)) / whole))
		if upTo > done {
			b.strip.count[c] += upTo - done
			b.strip.total += upTo - done
			done = upTo
		}
		if end >= hi {
			return
		}
	}
}

// Unnoticed tells that a port was pending, unmasked and unnoticed from one time up to another, as a finding of the analysis says. It is for samples,
// which may miss it; ports other than the spec's are ignored.
func (b *Builder) Unnoticed(p evtchn.Port, from, to evtchn.Time) {
	if p == evtchn.NoPort || p != b.strip.Spec.Port || to < b.strip.Spec.From || from >= b.strip.Spec.To {
		return
	}
	b.touched = true
	for c := max(b.g.col(from), 0); c < b.g.cols; c++ {
		b.strip.life[c] |= 1 << LifeUnnoticed
		if b.g.edge(c+1) > to {
			return
		}
	}
}

// Strip gives a copy of what is known so far, for the screen; later additions do not change it.
func (b *Builder) Strip() *Strip {
	if b.at >= 0 {
		b.reach(b.at)
	}
	b.touched = false
	s := *b.strip
	s.rows = make([][]uint16, len(b.strip.rows))
	for v, r := range b.strip.rows {
		s.rows[v] = slices.Clone(r)
	}
	s.life, s.count = slices.Clone(s.life), slices.Clone(s.count)
	s.cover, s.busy = slices.Clone(s.cover), slices.Clone(s.busy)
	b.drawSamples(&s)
	return &s
}

// Changed reports whether anything was added since the strip was last taken.
func (b *Builder) Changed() bool { return b.touched }

// drawSamples fills the cells that no event has told of. What is before the first sample stays blank, except in its own cell.
func (b *Builder) drawSamples(s *Strip) {
	for i, smp := range b.samples {
		from, to := b.g.col(smp.at), b.g.cols-1
		if i+1 < len(b.samples) {
			to = b.g.col(b.samples[i+1].at) - 1
		}
		own := from
		for c := max(from, 0); c <= min(max(to, own), b.g.cols-1); c++ {
			if s.cover[c] == CoverExact {
				continue
			}
			s.cover[c] = CoverSampled
			for v, a := range smp.act {
				s.rows[v][c] |= 1 << a
			}
			if s.Spec.Port != evtchn.NoPort {
				s.life[c] |= 1 << smp.life
			}
		}
	}
}

// ActivityOf says what the vcpu is doing.
func ActivityOf(st *evtchn.State, v evtchn.VCPU) Activity {
	vc := &st.V[v]
	switch vc.Run {
	case evtchn.Offline:
		return ActOffline
	case evtchn.Blocked:
		return ActBlocked
	case evtchn.Polling:
		return ActPolling
	case evtchn.Runnable:
		return ActRunnable
	}
	switch {
	case vc.InXen:
		return ActXen
	case vc.InUpcall:
		return ActUpcall
	case vc.Run == evtchn.Running:
		return ActRunning
	}
	return ActUnknown
}

// LifeOf says where the port's event stands.
func LifeOf(st *evtchn.State, p evtchn.Port) Life {
	if p == evtchn.NoPort || int(p) >= st.Ports() {
		return LifeUnknown
	}
	switch pend := st.Pending(p); {
	case pend == evtchn.Zero:
		return LifeClear
	case pend == evtchn.Unknown:
		return LifeUnknown
	}
	switch {
	case st.Masked(p) == evtchn.One:
		return LifeMasked
	case st.Masked(p) == evtchn.Unknown:
		return LifeUnknown
	case st.Unnoticed(p):
		return LifeUnnoticed
	}
	return LifeExposed
}

// target is Event.Target for any event, also one of a kind that does not exist.
func target(ev *evtchn.Event) evtchn.VCPU {
	if !ev.Kind.Valid() {
		return ev.VCPU
	}
	return ev.Target()
}

// limit keeps a time one below the last, so that there is one behind it.
func limit(t evtchn.Time) evtchn.Time { return min(t, math.MaxInt64-1) }
