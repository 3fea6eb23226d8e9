package timeline

import (
	"math"
	"math/bits"
	"slices"

	"github.com/evtrace/evtrace/evtchn"
)

// Model is a strip on the screen: a window of time, what is known of it, and what is marked in it. Make it with New.
type Model struct {
	meta     evtchn.Meta
	inks     [classes]ink
	g        *glyphs
	w, h     int
	from, to evtchn.Time // window: from < to
	lo, hi   evtchn.Time // bounds: lo < hi
	port     evtchn.Port
	cursor   evtchn.Time
	shown    bool // the cursor is
	focus    []evtchn.VCPU
	marks    []Mark
	strip    *Strip
}

// MarkKind is what a mark stands for.
type MarkKind uint8

// The kinds of mark. In a cell with several, the first of these is drawn.
const (
	Finding  MarkKind = iota // a finding of the analysis
	NoReturn                 // the last step at which another schedule still delivers the event
	Bookmark                 // a place that the reader has marked
	Gap                      // records were lost
)

// Mark is something to point out at a time, or from At to To.
type Mark struct {
	Kind  MarkKind
	At    evtchn.Time
	To    evtchn.Time // at or before At: a moment
	Label rune        // of a bookmark: its letter; 0: a glyph
}

// New gives a strip without size and without data. Its window is the trace's whole length where Meta tells it.
func New(meta evtchn.Meta, styles Styles) *Model {
	meta.VCPUs = Spec{Meta: meta}.valid().Meta.VCPUs
	m := &Model{meta: meta, g: &unicode, lo: math.MinInt64, hi: math.MaxInt64}
	m.SetStyles(styles)
	m.SetWindow(0, max(meta.Duration, 1))
	return m
}

// SetStyles changes the colours.
func (m *Model) SetStyles(s Styles) { m.inks = s.inks() }

// SetASCII chooses glyphs for a terminal that has no others.
func (m *Model) SetASCII(on bool) {
	m.g = &unicode
	if on {
		m.g = &ascii
	}
}

// SetSize sets the size of what View gives, in cells.
func (m *Model) SetSize(width, height int) {
	m.w, m.h = min(max(width, 0), maxCols), min(max(height, 0), maxCols)
}

// SetBounds sets the first time of the trace and the last one: the window stays within them, so far as it is not longer than one
// unit of time per cell.
func (m *Model) SetBounds(first, last evtchn.Time) {
	m.lo, m.hi = limit(first), limit(max(first, last))+1
	m.place(m.from, m.span())
}

// SetWindow shows the time from one time up to, not including, another.
func (m *Model) SetWindow(from, to evtchn.Time) {
	if to <= from {
		from, to = limit(from), limit(from)+1
	}
	m.place(from, uint64(to)-uint64(from))
}

// Window gives the time that is shown: from, up to and not including to.
func (m *Model) Window() (from, to evtchn.Time) { return m.from, m.to }

func (m *Model) span() uint64 { return uint64(m.to) - uint64(m.from) }

// place sets the window so that it begins at from, or as near to that as the bounds allow.
func (m *Model) place(from evtchn.Time, span uint64) {
	span = max(span, 1)
	if all := uint64(m.hi) - uint64(m.lo); span >= all {
		m.from, m.to = m.lo, m.hi
		return
	}
	from = max(from, m.lo)
	if from > m.hi || uint64(m.hi)-uint64(from) < span {
		from = evtchn.Time(uint64(m.hi) - span)
	}
	m.from, m.to = from, evtchn.Time(uint64(from)+span)
}

// Zoom makes the window shorter by the factor, or longer if it is below 1. The time at stays in its cell if it is shown, and
// comes to the middle if not. A cell is not made shorter than one unit of time.
func (m *Model) Zoom(factor float64, at evtchn.Time) {
	if !(factor > 0) || math.IsInf(factor, 0) {
		return
	}
	if at < m.from || at >= m.to {
		m.Center(at)
		at = min(max(at, m.from), m.to-1)
	}
	span := m.span()
	wanted := float64(span) / factor
	const most = 1 << 63
	next := uint64(most)
	if wanted < most {
		next = uint64(math.Round(wanted))
	}
	next = max(next, uint64(max(m.cols(), 1)))
	if factor >= 1 {
		next = min(next, span) // never longer on the way in, however many cells there are
	}
	before := float64(uint64(at)-uint64(m.from)) / float64(span) * float64(next)
	m.place(back(at, uint64(before)), next)
}

// Pan moves the window by cells: to later times, or to earlier ones if cells is negative.
func (m *Model) Pan(cells int) {
	n := uint64(max(m.cols(), 1))
	hi, lo := bits.Mul64(m.span(), magnitude(cells))
	by := uint64(math.MaxInt64)
	if hi < n {
		q, _ := bits.Div64(hi, lo, n)
		by = min(max(q, 1), by)
	}
	switch {
	case cells > 0:
		m.place(forth(m.from, by), m.span())
	case cells < 0:
		m.place(back(m.from, by), m.span())
	}
}

// Center moves the window so that the time is in its middle, or as near as the bounds allow.
func (m *Model) Center(at evtchn.Time) { m.place(back(at, m.span()/2), m.span()) }

// Show moves the window as little as needed to have the time in it, with some room around it. It reports whether it moved.
func (m *Model) Show(at evtchn.Time) bool {
	if at >= m.from && at < m.to {
		return false
	}
	was := m.from
	span := m.span()
	if at < m.from {
		m.place(back(at, span/8), span)
	} else {
		m.place(back(at, span-span/8-1), span)
	}
	return m.from != was
}

// SetPort chooses the port whose life is drawn. The strip has it only if it was made for that port.
func (m *Model) SetPort(p evtchn.Port) { m.port = p }

// SetCursor shows the cursor at a time.
func (m *Model) SetCursor(at evtchn.Time) { m.cursor, m.shown = at, true }

// HideCursor shows none.
func (m *Model) HideCursor() { m.shown = false }

// SetFocus names vcpus that must have a row even where there is not room for all. The first is the selected one.
func (m *Model) SetFocus(vcpus ...evtchn.VCPU) { m.focus = slices.Clone(vcpus) }

// SetMarks sets what is pointed out.
func (m *Model) SetMarks(marks []Mark) {
	m.marks = slices.Clone(marks)
	slices.SortStableFunc(m.marks, func(a, b Mark) int { return int(b.Kind) - int(a.Kind) })
}

// SetStrip sets what is known, nil for nothing.
func (m *Model) SetStrip(s *Strip) { m.strip = s }

// Spec gives what a builder is to make for the present window, size and port.
func (m *Model) Spec() Spec {
	return Spec{Meta: m.meta, From: m.from, To: m.to, Cols: max(m.cols(), 1), Port: m.port}
}

// Stale reports whether the strip is another one than the present Spec asks for, or is missing.
func (m *Model) Stale() bool {
	if m.strip == nil {
		return true
	}
	have, want := m.strip.Spec, m.Spec()
	return have.From != want.From || have.To != want.To || have.Cols != want.Cols || have.Port != want.Port
}

// TimeAt gives the time at which the cell under column x of the view begins. Columns beside the cells count as the nearest.
func (m *Model) TimeAt(x int) evtchn.Time {
	c := min(max(x-m.gutter(), 0), max(m.cols()-1, 0))
	return min(m.Spec().grid().edge(c), m.to-1)
}

// ColumnOf gives the column of the view under which the time is; ok is false if it is not shown.
func (m *Model) ColumnOf(t evtchn.Time) (x int, ok bool) {
	if m.cols() < 1 || t < m.from || t >= m.to {
		return 0, false
	}
	return m.gutter() + m.Spec().grid().col(t), true
}

// VCPUAt gives the vcpu whose row is at line y of the view, or NoVCPU.
func (m *Model) VCPUAt(y int) evtchn.VCPU {
	if rows := m.rows(); y >= 0 && y < len(rows) && rows[y].kind == rowVCPU {
		return rows[y].vcpu
	}
	return evtchn.NoVCPU
}

func magnitude(n int) uint64 {
	if n < 0 {
		return -uint64(n)
	}
	return uint64(n)
}

// back gives the time d before t, or the first time that there is.
func back(t evtchn.Time, d uint64) evtchn.Time {
	if uint64(t)^1<<63 < d { // its distance from the first time
		return math.MinInt64
	}
	return evtchn.Time(uint64(t) - d)
}

// forth gives the time d after t, or the last time that there is.
func forth(t evtchn.Time, d uint64) evtchn.Time {
	if uint64(math.MaxInt64)-uint64(t) < d {
		return math.MaxInt64
	}
	return evtchn.Time(uint64(t) + d)
}
