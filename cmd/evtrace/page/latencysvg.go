package page

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Measures of a drawn distribution.
const (
	latLeft = 76.0
	latPlot = 560.0
	latHigh = 250.0
	latBars = 96.0
)

// styles of the lines that are told apart: by colour, by dashes, and by their names.
var lineStyles = []struct {
	role role
	dash string
}{{roleFirst, "7 4"}, {roleSecond, "2 3"}, {roleThird, "10 3 2 3"}, {roleFourth, "5 2"}}

// draw draws the curves, and the buckets below them.
func (l *Latency) draw(p *picture, top float64) {
	names := boldWidth("deliveries of this trace")
	for i := range l.Curves {
		names = max(names, boldWidth(l.Curves[i].Label))
	}
	p.w = latLeft + latPlot + 20 + names + 8
	lo, hi, least := math.Inf(1), 1.0, 1.0
	for i := range l.Curves {
		c := &l.Curves[i]
		for _, pt := range c.Points {
			hi = max(hi, float64(pt.Delay))
		}
		if c.Total > 0 {
			least = min(least, 1/float64(c.Total))
		}
	}
	for _, b := range l.Buckets {
		if b.From > 0 {
			lo = min(lo, float64(b.From))
		}
		hi = max(hi, float64(b.To))
	}
	if math.IsInf(lo, 1) {
		lo = 1
	}
	top += 26
	bottom := top + latHigh
	x := newLogScale(lo*.7, hi*1.25, latLeft, latLeft+latPlot)
	y := newLogScale(least*.7, 1, bottom, top)
	p.text(8, top-14, "share of events still waiting", "start", roleDim, "")
	for _, v := range y.decades(6) {
		p.line(latLeft, y.pos(v), latLeft+latPlot, y.pos(v), roleLine, 1, "")
		p.text(latLeft-8, y.pos(v)+4.5, percent(v), "end", roleDim, "")
	}
	for _, v := range x.decades(8) {
		p.line(x.pos(v), top, x.pos(v), bottom+latBars+34, roleLine, 1, "")
		p.text(x.pos(v), bottom+19, axisText(v, l.Unit), "middle", roleDim, "")
	}
	p.line(latLeft, bottom, latLeft+latPlot, bottom, roleDim, 1, "")
	l.lines(p, x, y, bottom)
	l.bars(p, x, bottom+34, bottom+34+latBars)
	p.h = bottom + 34 + latBars + 26
}

// lines draws the curves, and their names where they end.
func (l *Latency) lines(p *picture, x, y logScale, bottom float64) {
	type name struct {
		y    float64
		text string
		role role
		from float64
	}
	var names []name
	style, crowd := 0, uint64(0)
	for i := range l.Curves {
		c := &l.Curves[i]
		r, width, more := roleDim, 1.0, `opacity="0.55"`
		switch {
		case c.Own:
			r, width, more = roleKey, 3, ""
		case c.Label != "":
			s := lineStyles[style%len(lineStyles)]
			style++
			r, width, more = s.role, 2, fmt.Sprintf(`stroke-dasharray="%s"`, s.dash)
		default:
			crowd++
		}
		d := "M" + num(x.at) + " " + num(y.pos(1))
		share, end := 1.0, x.at
		for _, pt := range c.Points {
			end = x.pos(float64(pt.Delay))
			share = pt.Share
			to := bottom
			if share > 0 {
				to = y.pos(share)
			}
			d += "L" + num(end) + " " + num(to)
		}
		at := bottom
		if share > 0 {
			end, at = x.to, y.pos(share)
			d += "L" + num(end) + " " + num(at)
		}
		p.path(d, r, width, more)
		if share == 0 && (c.Own || c.Label != "") {
			p.dot(end, bottom, 4, r, roleBack)
		}
		if c.Label != "" {
			names = append(names, name{at, c.Label, r, end})
		}
	}
	if crowd > 0 {
		names = append(names, name{bottom, count(crowd, "other policy") + " (thin)", roleDim, x.to})
	}
	// Names keep their order and a line's distance, upwards from the bottom.
	slices.SortStableFunc(names, func(a, b name) int {
		switch {
		case a.y != b.y:
			return int(math.Copysign(1, b.y-a.y))
		case a.from > b.from:
			return -1
		case a.from < b.from:
			return 1
		}
		return 0
	})
	free := math.Inf(1)
	for _, n := range names {
		at := min(n.y, free)
		free = at - 18
		p.line(x.to+3, n.y, x.to+16, at, n.role, 1, "")
		p.text(x.to+20, at+4.5, n.text, "start", n.role, bold)
	}
}

// bars draws the buckets.
func (l *Latency) bars(p *picture, x logScale, top, bottom float64) {
	most := uint64(1)
	for _, b := range l.Buckets {
		most = max(most, b.Count)
	}
	scale := newLogScale(.5, float64(most), bottom, top+8)
	for _, b := range l.Buckets {
		x1, x2 := x.pos(float64(b.From)), x.pos(float64(b.To))
		x2 = max(x2, x1+6) // that of no delay at all has no width
		if !p.bare {
			p.rect(x1+.5, scale.pos(float64(b.Count)), max(x2-x1-1, 1), bottom-scale.pos(float64(b.Count)), roleKey, "")
			continue
		}
		fmt.Fprintf(&p.b, `<a href="#%s"><title>%s</title>`+"\n", escaped(b.Link), escaped(b.Text))
		p.rect(x1, top, x2-x1, bottom-top, roleBack, `opacity="0"`)
		p.rect(x1+.5, scale.pos(float64(b.Count)), max(x2-x1-1, 1), bottom-scale.pos(float64(b.Count)), roleKey, "")
		p.b.WriteString("</a>\n")
	}
	for _, v := range scale.decades(3) {
		p.text(latLeft-8, scale.pos(v)+4.5, group(int64(v)), "end", roleDim, "")
	}
	p.line(latLeft, bottom, latLeft+latPlot, bottom, roleDim, 1, "")
	p.text(x.to+20, top+14, "deliveries of this trace", "start", roleKey, bold)
	if p.bare {
		p.text(x.to+20, top+32, "a bar leads to its slowest", "start", roleDim, "")
	}
	p.text(latLeft+latPlot/2, bottom+19, "time from exposure to handler", "middle", roleDim, "")
}

func percent(v float64) string {
	s := strings.TrimRight(strings.TrimRight(fmt.Sprintf("%.6f", v*100), "0"), ".")
	return s + " %"
}
