package timeline

import (
	"math/bits"

	"github.com/evtrace/evtrace/evtchn"
)

// Activity is what a vcpu is doing. Higher ones are more telling: they win a cell.
type Activity uint8

// The activities, the least telling first.
const (
	ActUnknown  Activity = iota // the trace does not tell
	ActOffline                  // not started, or taken down
	ActBlocked                  // in SCHEDOP_block
	ActPolling                  // in SCHEDOP_poll
	ActRunnable                 // waits for a physical CPU
	ActRunning                  // in the guest, outside of the upcall handler
	ActXen                      // in the hypervisor on its own behalf
	ActUpcall                   // in the guest's upcall handler

	activities
)

// String says the activity in a word or two.
func (a Activity) String() string {
	return [activities]string{ActUnknown: "unknown", ActOffline: "offline", ActBlocked: "blocked", ActPolling: "polling", ActRunnable: "runnable",
		ActRunning: "running", ActXen: "in Xen", ActUpcall: "upcall"}[min(a, activities-1)]
}

// Life is where an event of a port stands. Higher ones are worse, or more telling: they win a cell.
type Life uint8

// The stations of a port, the least telling first.
const (
	LifeUnknown   Life = iota // PEND or MASK is not known
	LifeClear                 // not pending
	LifeMasked                // pending and masked: it waits by design
	LifeExposed               // pending and unmasked, and somebody is going to look
	LifeDelivered             // a handler was started for it
	LifeUnnoticed             // pending, unmasked, and nobody is going to look

	lives
)

// String says the station in a word or two.
func (l Life) String() string {
	return [lives]string{LifeUnknown: "unknown", LifeClear: "clear", LifeMasked: "pending, masked", LifeExposed: "pending, unmasked",
		LifeDelivered: "delivered", LifeUnnoticed: "UNNOTICED"}[min(l, lives-1)]
}

// Spec is what a builder is to make: a strip of Cols cells over the time from From up to, not including, To.
type Spec struct {
	Meta     evtchn.Meta
	From, To evtchn.Time
	Cols     int
	Port     evtchn.Port // whose life is drawn; NoPort: none
}

// valid gives the spec with its numbers in their ranges: at least one vcpu, one cell, and one unit of time.
func (s Spec) valid() Spec {
	s.Meta.VCPUs = min(max(s.Meta.VCPUs, 1), evtchn.MaxVCPUs)
	s.Cols = min(max(s.Cols, 1), maxCols)
	if s.To <= s.From {
		s.From, s.To = limit(s.From), limit(s.From)+1
	}
	return s
}

// maxCols is more cells than terminals have columns.
const maxCols = 4096

// grid maps times to cells and back. A cell c begins at the first time that col maps to it.
type grid struct {
	from evtchn.Time
	span uint64 // > 0
	cols int    // > 0
}

func (s Spec) grid() grid { return grid{s.From, uint64(s.To) - uint64(s.From), s.Cols} }

// col gives the cell of a time: -1 before the window, cols behind it.
func (g grid) col(t evtchn.Time) int {
	if t < g.from {
		return -1
	}
	hi, lo := bits.Mul64(uint64(t)-uint64(g.from), uint64(g.cols))
	if hi >= g.span {
		return g.cols
	}
	q, _ := bits.Div64(hi, lo, g.span)
	return int(min(q, uint64(g.cols)))
}

// edge gives the time at which cell c begins, 0 <= c <= cols.
func (g grid) edge(c int) evtchn.Time {
	hi, lo := bits.Mul64(g.span, uint64(c))
	q, r := bits.Div64(hi, lo, uint64(g.cols))
	if r != 0 {
		q++
	}
	return evtchn.Time(uint64(g.from) + q)
}

// Cover says how a cell came by what it shows.
type Cover uint8

// The covers.
const (
	CoverNone    Cover = iota // not read
	CoverSampled              // from a state nearby
	CoverExact                // every event of it was read
)

// Strip is what a builder makes of a window: what every vcpu and the port went through, cell by cell. Do not change it. A nil strip
// knows nothing.
type Strip struct {
	Spec  Spec
	rows  [][]uint16 // by vcpu, by cell: a bit for each Activity seen
	life  []uint16   // by cell: a bit for each Life seen
	count []uint64   // by cell: events
	cover []Cover    // by cell
	busy  []uint64   // by vcpu: events
	total uint64
}

// Activity gives the most telling activity of the vcpu in cell c; ok is false if nothing is known of the cell.
func (s *Strip) Activity(v evtchn.VCPU, c int) (a Activity, ok bool) {
	if s == nil || v < 0 || int(v) >= len(s.rows) || c < 0 || c >= s.Spec.Cols || s.rows[v][c] == 0 {
		return 0, false
	}
	return Activity(bits.Len16(s.rows[v][c]) - 1), true
}

// Life gives the most telling station of the port in cell c; ok is false if nothing is known of the cell.
func (s *Strip) Life(c int) (l Life, ok bool) {
	if s == nil || c < 0 || c >= len(s.life) || s.life[c] == 0 {
		return 0, false
	}
	return Life(bits.Len16(s.life[c]) - 1), true
}

// Count gives the number of events in cell c.
func (s *Strip) Count(c int) uint64 {
	if s == nil || c < 0 || c >= len(s.count) {
		return 0
	}
	return s.count[c]
}

// Cover says how cell c was read.
func (s *Strip) Cover(c int) Cover {
	if s == nil || c < 0 || c >= len(s.cover) {
		return CoverNone
	}
	return s.cover[c]
}

// Events gives the number of events counted.
func (s *Strip) Events() uint64 { return s.total }
