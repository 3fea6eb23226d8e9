package page

import (
	"fmt"
	"math"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/tui/timeline"
)

// Measures of a drawn timeline.
const (
	tlGutter = 104.0
	tlHead   = 44.0
	tlLane   = 46.0
	tlBand   = 24.0
)

// draw draws the timeline below top.
func (t *Timeline) draw(p *picture, top float64) {
	n := float64(len(t.Columns))
	pitch := t.pitch()
	p.w = tlGutter + pitch*n + 12
	x := func(pos float64) float64 { return tlGutter + pos*pitch }
	lane := func(i int) float64 { return top + tlHead + (float64(i)+.5)*tlLane }
	port := lane(len(t.Lanes)) + 8
	axis := port + tlLane*.5 + 12
	for i := range t.Columns {
		t.column(p, i, x(float64(i)+.5), top, lane(0)-tlLane/2, axis)
	}
	for i := range t.Lanes {
		l := &t.Lanes[i]
		y := lane(i)
		p.text(8, y+5-boolOffset(l.Role != ""), fmt.Sprintf("vcpu %d", l.VCPU), "start", roleInk, bold)
		if l.Role != "" {
			p.text(8, y+14, l.Role, "start", roleDim, "")
		}
		for _, s := range l.Stretches {
			act(p, x(s.From), x(s.To), y, s, pitch)
		}
	}
	p.line(8, port-tlLane*.5-4, p.w-8, port-tlLane*.5-4, roleLine, 1, "")
	p.text(8, port+5, fmt.Sprintf("port %d", t.Port), "start", roleInk, bold)
	for _, s := range t.Life {
		live(p, x(s.From), x(s.To), port, s)
	}
	for i := range t.Columns {
		t.links(p, i, x(float64(i)+.5), lane, port)
	}
	for i := range t.Columns {
		t.after(p, i, x, axis)
	}
	p.line(x(0), axis, p.w-12, axis, roleDim, 1, "")
	p.text(8, axis+19, "time", "start", roleDim, "")
	p.h = axis + 30
	t.legend(p)
}

// pitch is how far apart the columns are: their heads have room.
func (t *Timeline) pitch() float64 {
	w := 82.0
	for i := range t.Columns {
		w = max(w, boldWidth(t.Columns[i].label())+8, textWidth(t.Columns[i].Step)+8)
	}
	return w
}

// label names the event.
func (c *Moment) label() string {
	s := fmt.Sprintf("#%d", c.Seq)
	if c.Inferred {
		s += "*"
	}
	return s
}

func boolOffset(b bool) float64 {
	if b {
		return 6
	}
	return 0
}

// column writes the head of a column and its guide.
func (t *Timeline) column(p *picture, i int, x, top, from, to float64) {
	c := &t.Columns[i]
	r, dash := roleLine, `stroke-dasharray="2 3"`
	switch c.Turn {
	case analyze.TurnUnnoticed:
		r, dash = roleBad, ""
	case analyze.TurnExposed:
		r, dash = roleWarn, ""
	case analyze.TurnNoticed:
		r, dash = roleGood, ""
	}
	p.line(x, from-2, x, to, r, 1.2, dash)
	head := roleInk
	if c.Turn != "" {
		head = r
	}
	if c.Seq == 0 {
		p.text(x, top+28, c.Step, "middle", roleBad, bold)
		return
	}
	p.text(x, top+14, c.label(), "middle", head, bold)
	p.text(x, top+31, c.Step, "middle", head, "")
}

// act draws what a vcpu does.
func act(p *picture, x1, x2, y float64, s Stretch, pitch float64) {
	const h = tlBand
	if s.left {
		p.text((x1+x2)/2, y+3, "· · ·", "middle", roleDim, bold)
		return
	}
	fill, on := role(""), roleInk
	switch s.activity {
	case timeline.ActRunning:
		fill = roleSoft
	case timeline.ActUpcall:
		fill, on = roleStrong, roleOn
	case timeline.ActXen:
		p.rect(x1, y-h/2, x2-x1, h, rolePanel, "")
		p.frame(x1+.5, y-h/2+.5, x2-x1-1, h-1, roleDim, `stroke-dasharray="4 2"`)
	case timeline.ActUnknown, timeline.ActOffline:
		p.line(x1, y, x2, y, roleDim, 1.5, `stroke-dasharray="1 4"`)
	default:
		p.line(x1, y, x2, y, roleDim, 3, "")
	}
	if fill != "" {
		p.rect(x1, y-h/2, x2-x1, h, fill, "")
	}
	band := fill != "" || s.activity == timeline.ActXen
	word := s.What
	if s.activity == timeline.ActUnknown {
		word = "not known"
	}
	if x2-x1 < textWidth(word)+10 || s.activity == timeline.ActUnknown && x2-x1 < 1.5*pitch {
		return
	}
	at := label(x1, x2, word, pitch)
	if band {
		p.text(at, y+4.5, word, "middle", on, "")
	} else {
		p.text(at, y-6, word, "middle", roleDim, "")
	}
}

// label finds a place for a word in a stretch: in its middle, but between two columns, where no dot is.
func label(x1, x2 float64, word string, pitch float64) float64 {
	w, best := textWidth(word), (x1+x2)/2
	off := math.Inf(1)
	for mid := tlGutter + pitch; mid < x2; mid += pitch {
		if d := math.Abs(mid - (x1+x2)/2); mid-w/2 >= x1+2 && mid+w/2 <= x2-2 && d < off {
			best, off = mid, d
		}
	}
	return best
}

// live draws how the port stands.
func live(p *picture, x1, x2, y float64, s Stretch) {
	const h = 26.0
	on := roleInk
	word := s.What
	switch s.life {
	case timeline.LifeMasked:
		p.rect(x1, y-h/2, x2-x1, h, rolePanel, "")
		p.frame(x1+.5, y-h/2+.5, x2-x1-1, h-1, roleDim, "")
		word = "masked"
	case timeline.LifeExposed:
		p.rect(x1, y-h/2, x2-x1, h, roleBack, "")
		p.frame(x1+1, y-h/2+1, x2-x1-2, h-2, roleWarn, `stroke-width="2"`)
		word = "exposed"
	case timeline.LifeUnnoticed:
		p.rect(x1, y-h/2, x2-x1, h, roleBad, "")
		on = roleOn
	case timeline.LifeDelivered:
		p.rect(x1, y-h/2, x2-x1, h, roleGood, "")
		on = roleOn
	case timeline.LifeClear:
		p.line(x1, y, x2, y, roleDim, 1.5, "")
		word = "clear"
	default:
		p.line(x1, y, x2, y, roleLine, 2, `stroke-dasharray="1 5"`)
		word = "not known"
	}
	if x2-x1 < textWidth(word)+6 {
		return
	}
	dy := 4.5
	if s.life == timeline.LifeClear || s.life == timeline.LifeUnknown {
		dy, on = -6, roleDim
	}
	p.text((x1+x2)/2, y+dy, word, "middle", on, "")
}

// links draws the dot of an event and its arrows.
func (t *Timeline) links(p *picture, i int, x float64, lane func(int) float64, port float64) {
	c := &t.Columns[i]
	if c.Seq == 0 {
		return
	}
	r := roleInk
	switch c.Turn {
	case analyze.TurnUnnoticed:
		r = roleBad
	case analyze.TurnExposed:
		r = roleWarn
	case analyze.TurnNoticed:
		r = roleGood
	}
	y := lane(0) - tlLane/2
	if c.Lane >= 0 {
		y = lane(c.Lane)
	}
	if c.Told >= 0 && c.Told != c.Lane {
		end := lane(c.Told)
		d := 5.0
		if t.banded(c.Told, i) {
			d = tlBand/2 + 1
		}
		if end < y {
			d = -d
		}
		p.arrow(x, y, x, end-d, r)
	}
	switch c.Port {
	case TouchWrite:
		p.arrow(x, y, x, port-14, r)
	case TouchRead:
		p.arrow(x, port-14, x, y+5, r)
	}
	fill := r
	if c.Inferred {
		fill = roleBack
	}
	p.dot(x, y, 4.5, fill, r)
}

// banded reports whether the vcpu has a band at the column, and not just a line.
func (t *Timeline) banded(lane, column int) bool {
	for _, s := range t.Lanes[lane].Stretches {
		if at := float64(column) + .5; s.From <= at && at <= s.To && !s.left {
			switch s.activity {
			case timeline.ActRunning, timeline.ActUpcall, timeline.ActXen:
				return true
			}
		}
	}
	return false
}

// after writes how much time passed since the column before.
func (t *Timeline) after(p *picture, i int, x func(float64) float64, axis float64) {
	at := x(float64(i) + .5)
	p.line(at, axis-3, at, axis+3, roleDim, 1, "")
	if i == 0 {
		return
	}
	c := &t.Columns[i]
	mid := x(float64(i))
	r := roleDim
	if c.Break {
		r = roleInk
		p.rect(mid-5, axis-2, 10, 4, roleBack, "")
		p.path(fmt.Sprintf("M%s %sl3 -5l4 10l3 -5", num(mid-5), num(axis)), roleInk, 1.4, "")
	}
	p.text(mid, axis+19, c.After, "middle", r, "")
}

// legend explains the shapes.
func (t *Timeline) legend(p *picture) {
	y := p.h + 12
	x := 8.0
	item := func(draw func(x, y float64), word string) {
		draw(x, y)
		p.text(x+32, y+4.5, word, "start", roleDim, "")
		x += 32 + textWidth(word) + 16
		if x > p.w-90 {
			x, y = 8, y+22
		}
	}
	band := func(a timeline.Activity) func(x, y float64) {
		return func(x, y float64) { act(p, x, x+24, y, Stretch{activity: a}, 24) }
	}
	seen := make(map[timeline.Activity]bool)
	for i := range t.Lanes {
		for _, s := range t.Lanes[i].Stretches {
			seen[s.activity] = seen[s.activity] || !s.left
		}
	}
	for _, a := range []timeline.Activity{timeline.ActRunning, timeline.ActUpcall, timeline.ActXen, timeline.ActBlocked, timeline.ActUnknown} {
		if seen[a] {
			word := map[timeline.Activity]string{timeline.ActRunning: "runs in the guest", timeline.ActUpcall: "in the upcall", timeline.ActXen: "in Xen", timeline.ActBlocked: "asleep",
				timeline.ActUnknown: "not known"}[a]
			item(band(a), word)
		}
	}
	item(func(x, y float64) { p.arrow(x, y, x+24, y, roleInk) }, "tells, changes, reads")
	p.h = y + 18
}
