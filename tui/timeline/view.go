package timeline

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/evtrace/evtrace/evtchn"
)

// rowKind is what a line of the view is for.
type rowKind uint8

const (
	rowBlank rowKind = iota
	rowAxis
	rowDensity
	rowVCPU
	rowPort
	rowMarks
	rowCursor
)

type row struct {
	kind rowKind
	vcpu evtchn.VCPU
}

// gutter is the width of the labels on the left, 0 where there is no room for them.
func (m *Model) gutter() int {
	n := len("v") + len(strconv.Itoa(m.meta.VCPUs-1))
	if m.port != evtchn.NoPort {
		n = max(n, len("p")+len(strconv.Itoa(int(m.port))))
	}
	n = max(n, len("+99")) + 1
	if m.w < 3*n {
		return 0
	}
	return n
}

// cols is the number of cells.
func (m *Model) cols() int { return m.w - m.gutter() }

// rows lays out the lines: the axis, the port and the marks first; then as many vcpus as fit; then what is good to have.
func (m *Model) rows() []row {
	room := m.h
	take := func(want bool) bool {
		if !want || room == 0 {
			return false
		}
		room--
		return true
	}
	axis := take(true)
	port := take(m.port != evtchn.NoPort)
	marks := take(true)
	vcpus := m.vcpus(room)
	room -= len(vcpus)
	cursor := take(true)
	density := take(true)
	rows := make([]row, 0, m.h)
	add := func(want bool, k rowKind) {
		if want {
			rows = append(rows, row{kind: k})
		}
	}
	add(axis, rowAxis)
	add(density, rowDensity)
	for _, v := range vcpus {
		rows = append(rows, row{rowVCPU, v})
	}
	add(port, rowPort)
	add(marks, rowMarks)
	add(cursor, rowCursor)
	for len(rows) < m.h {
		rows = append(rows, row{})
	}
	return rows
}

// vcpus chooses which n vcpus have a row: all if they fit, else those in focus and then the busiest, in the order of their numbers.
func (m *Model) vcpus(n int) []evtchn.VCPU {
	all := make([]evtchn.VCPU, m.meta.VCPUs)
	for i := range all {
		all[i] = evtchn.VCPU(i)
	}
	if n >= len(all) {
		return all
	}
	rank := func(v evtchn.VCPU) (focus int, busy uint64) {
		if focus = slices.Index(m.focus, v); focus < 0 {
			focus = len(m.focus)
		}
		if m.strip != nil && int(v) < len(m.strip.busy) {
			busy = m.strip.busy[v]
		}
		return focus, busy
	}
	slices.SortStableFunc(all, func(a, b evtchn.VCPU) int {
		fa, ba := rank(a)
		fb, bb := rank(b)
		switch {
		case fa != fb:
			return fa - fb
		case ba > bb:
			return -1
		case ba < bb:
			return 1
		}
		return 0
	})
	all = all[:max(n, 0)]
	slices.Sort(all)
	return all
}

// cell is one character and how it is drawn.
type cell struct {
	r  rune
	in class
}

// View draws the strip: exactly as many lines as SetSize said, each as wide.
func (m *Model) View() string {
	if m.w == 0 || m.h == 0 {
		return ""
	}
	d := drawing{m: m, gutter: m.gutter(), cells: make([]cell, m.w)}
	d.grid = m.Spec().grid()
	d.cursor = -1
	if x, ok := m.ColumnOf(m.cursor); ok && m.shown {
		d.cursor = x
	}
	d.source()
	rows := m.rows()
	separate := slices.ContainsFunc(rows, func(r row) bool { return r.kind == rowCursor })
	var b strings.Builder
	b.Grow(m.h * m.w * 4)
	for i, r := range rows {
		if i > 0 {
			b.WriteByte('\n')
		}
		for x := range d.cells {
			d.cells[x] = cell{' ', classNone}
		}
		switch r.kind {
		case rowAxis:
			d.axis(rows)
		case rowDensity:
			d.density()
		case rowVCPU:
			d.vcpu(r.vcpu)
		case rowPort:
			d.port()
		case rowMarks:
			d.marks(!separate)
		case rowCursor:
			d.caret()
		}
		d.flush(&b, r.kind == rowVCPU || r.kind == rowPort)
	}
	return b.String()
}

// drawing is one call of View.
type drawing struct {
	m      *Model
	grid   grid
	gutter int
	cursor int   // column, or -1
	from   []int // by cell: the cell of the strip that shows it, or -1
	cells  []cell
}

// source finds for every cell the one of the strip, which may have been made for another window.
func (d *drawing) source() {
	d.from = make([]int, d.grid.cols)
	s := d.m.strip
	if s == nil {
		for c := range d.from {
			d.from[c] = -1
		}
		return
	}
	g := s.Spec.grid()
	for c := range d.from {
		if g == d.grid {
			d.from[c] = c
			continue
		}
		lo, hi := d.grid.edge(c), d.grid.edge(c+1)
		at := lo
		if hi > lo {
			at = lo + evtchn.Time((uint64(hi)-uint64(lo))/2)
		}
		if d.from[c] = g.col(at); d.from[c] >= g.cols {
			d.from[c] = -1
		}
	}
}

func (d *drawing) label(text string, in class) {
	if d.gutter > 0 {
		d.text(0, d.gutter-1, text, in)
	}
}

// text writes what fits into the columns from x to end, and gives the column after it.
func (d *drawing) text(x, end int, text string, in class) int {
	for _, r := range text {
		if x < 0 || x >= min(end, len(d.cells)) {
			break
		}
		d.cells[x] = cell{r, in}
		x++
	}
	return x
}

// flush writes the line; with column, the cursor's cell is marked by style.
func (d *drawing) flush(b *strings.Builder, column bool) {
	inks := &d.m.inks
	for x := 0; x < len(d.cells); {
		c := d.cells[x]
		if column && x == d.cursor {
			b.WriteString(inks[c.in].on)
			b.WriteString(inks[classColumn].on)
			b.WriteRune(c.r)
			b.WriteString(inks[classColumn].off)
			b.WriteString(inks[c.in].off)
			x++
			continue
		}
		b.WriteString(inks[c.in].on)
		for y := x; x < len(d.cells) && d.cells[x].in == c.in && (x == y || !column || x != d.cursor); x++ {
			b.WriteRune(d.cells[x].r)
		}
		b.WriteString(inks[c.in].off)
	}
}

// axis draws the line that says when, and how the cells below were read.
func (d *drawing) axis(rows []row) {
	m := d.m
	vcpus := 0
	for _, r := range rows {
		if r.kind == rowVCPU {
			vcpus++
		}
	}
	if n := m.meta.VCPUs - vcpus; n > 0 {
		d.label("+"+strconv.Itoa(n), classLabel)
	}
	for c := range d.grid.cols {
		x := d.gutter + c
		switch m.strip.Cover(d.from[c]) {
		case CoverExact:
			d.cells[x] = cell{m.g.axis, classAxis}
		case CoverSampled:
			d.cells[x] = cell{m.g.wave, classSampled}
		}
	}
	ck := clockOf(m.meta, m.g)
	end := d.text(d.gutter, m.w, ck.time(m.from, m.span(), d.grid.cols), classLabel)
	const apart = 12
	step := ck.step(m.span(), d.grid.cols, apart)
	for i := int64(1); ; i++ {
		off, ok := ck.offset(step, i)
		if !ok || off >= m.span() {
			return
		}
		x := d.gutter + d.grid.col(evtchn.Time(uint64(m.from)+off))
		if x <= end {
			continue
		}
		label := "+" + ck.amount(step*i)
		d.cells[x] = cell{m.g.tick, classAxis}
		if x+1+utf8.RuneCountInString(label) <= m.w {
			end = d.text(x+1, m.w, label, classLabel)
		}
	}
}

// density draws how many events there are: up to nine as a digit, more as a bar.
func (d *drawing) density() {
	d.label("ev", classLabel)
	for c := range d.grid.cols {
		n := d.m.strip.Count(d.from[c])
		if n == 0 {
			continue
		}
		r := '0' + rune(min(n, 9))
		for i, least := 0, uint64(10); i < len(d.m.g.dense) && n >= least; i, least = i+1, least*10 {
			r = d.m.g.dense[i]
		}
		d.cells[d.gutter+c] = cell{r, classDensity}
	}
}

func (d *drawing) vcpu(v evtchn.VCPU) {
	in := classLabel
	if len(d.m.focus) > 0 && d.m.focus[0] == v {
		in = classSelected
	}
	d.label("v"+strconv.Itoa(int(v)), in)
	for c := range d.grid.cols {
		if a, ok := d.m.strip.Activity(v, d.from[c]); ok {
			d.cells[d.gutter+c] = cell{d.m.g.act[a], classActivity + class(a)}
		}
	}
}

func (d *drawing) port() {
	d.label("p"+strconv.Itoa(int(d.m.port)), classSelected)
	if d.m.strip == nil || d.m.strip.Spec.Port != d.m.port {
		return
	}
	for c := range d.grid.cols {
		if l, ok := d.m.strip.Life(d.from[c]); ok {
			d.cells[d.gutter+c] = cell{d.m.g.life[l], classLife + class(l)}
		}
	}
}

// marks draws what is pointed out, and the cursor too where it has no line of its own.
func (d *drawing) marks(cursor bool) {
	for _, k := range d.m.marks {
		to := max(k.At, k.To)
		if to < d.m.from || k.At >= d.m.to {
			continue
		}
		r, in := d.m.g.finding, classFinding
		switch k.Kind {
		case NoReturn:
			r, in = d.m.g.noReturn, classNoReturn
		case Bookmark:
			if r, in = d.m.g.bookmark, classBookmark; k.Label > ' ' && k.Label < 0x7f {
				r = k.Label
			}
		case Gap:
			r, in = d.m.g.gap, classGap
		}
		for c := max(d.grid.col(k.At), 0); c <= min(d.grid.col(to), d.grid.cols-1); c++ {
			d.cells[d.gutter+c] = cell{r, in}
		}
	}
	if !cursor || d.cursor < 0 {
		return
	}
	r := d.m.g.cursor
	if d.cells[d.cursor].in != classNone {
		r = d.m.g.onMark
	}
	d.cells[d.cursor] = cell{r, classCursor}
}

// caret draws the cursor and its time.
func (d *drawing) caret() {
	if d.cursor < 0 {
		return
	}
	d.cells[d.cursor] = cell{d.m.g.cursor, classCursor}
	text := clockOf(d.m.meta, d.m.g).full(d.m.cursor, d.m.span())
	n := utf8.RuneCountInString(text)
	x := d.cursor + 2
	if x+n > d.m.w {
		x = d.cursor - 1 - n
	}
	if x >= d.gutter {
		d.text(x, d.m.w, text, classCursor)
	}
}

// Legend explains the glyphs, in a line each for vcpus, the port, marks, numbers of events, and the axis.
func (m *Model) Legend() []string {
	line := func(pairs ...any) string {
		var b strings.Builder
		for i := 0; i < len(pairs); i += 2 {
			if b.Len() > 0 {
				b.WriteString("  ")
			}
			fmt.Fprintf(&b, "%c %s", pairs[i], pairs[i+1])
		}
		return b.String()
	}
	g := m.g
	var acts, lives []any
	for _, a := range []Activity{ActRunning, ActUpcall, ActXen, ActRunnable, ActPolling, ActBlocked, ActUnknown} {
		acts = append(acts, g.act[a], a)
	}
	for _, l := range []Life{LifeUnnoticed, LifeDelivered, LifeExposed, LifeMasked, LifeClear, LifeUnknown} {
		lives = append(lives, g.life[l], l)
	}
	return []string{
		"vcpu: " + line(acts...),
		"port: " + line(lives...),
		"marks: " + line(g.finding, "finding", g.noReturn, "too late", g.bookmark, "bookmark", g.gap, "records lost", g.cursor, "cursor", g.onMark, "cursor on a mark"),
		"events: 1-9 a cell  " + line(g.dense[0], "10+", g.dense[1], "100+", g.dense[2], "1000+", g.dense[3], "10000+"),
		"axis: " + line(g.axis, "every event read", g.wave, "sampled", '+', "N: so many vcpus have no row"),
	}
}
