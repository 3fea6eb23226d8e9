package page

import (
	"fmt"
	"math"
)

// Measures of drawn bars.
const (
	barName   = 214.0
	barMissed = 118.0
	barDelay  = 300.0
	barCalls  = 240.0
	barRow    = 24.0
)

// draw draws the bars of the policies below top.
func (b *Bars) draw(p *picture, top float64) {
	p.w = 12 + barName + barMissed + barDelay + 70 + barCalls + 12
	lo, hi, most := math.Inf(1), 1.0, uint64(1)
	for i := range b.Rows {
		r := &b.Rows[i]
		if r.Slowest > 0 {
			lo, hi = min(lo, float64(r.Slowest)), max(hi, float64(r.Slowest))
		}
		most = max(most, r.Calls)
	}
	if math.IsInf(lo, 1) {
		lo = 1
	}
	x0 := 12 + barName + barMissed
	x := newLogScale(math.Pow(10, math.Floor(math.Log10(lo)-.3)), hi*1.6, x0, x0+barDelay)
	calls := x0 + barDelay + 70
	head := top + 14
	p.text(12, head, "policy", "start", roleDim, "")
	p.text(12+barName, head, "verdict", "start", roleDim, "")
	p.text(x0, head, "slowest delivery, log scale", "start", roleDim, "")
	p.text(calls, head, "hypercalls", "start", roleDim, "")
	y := head + 14
	bottom := y + barRow*float64(len(b.Rows)) + 4
	for _, v := range x.decades(5) {
		p.line(x.pos(v), y, x.pos(v), bottom, roleLine, 1, "")
		p.text(x.pos(v), bottom+16, axisText(v, b.Unit), "middle", roleDim, "")
	}
	for i := range b.Rows {
		b.row(p, &b.Rows[i], y+barRow*float64(i), x, calls, float64(most))
	}
	p.line(x0, y, x0, bottom, roleDim, 1, "")
	p.line(calls, y, calls, bottom, roleDim, 1, "")
	p.h = bottom + 28
	if b.Left > 0 {
		p.text(12, p.h, isAre(uint64(b.Left), "policy")+" left out", "start", roleDim, "")
		p.h += 14
	}
}

func (b *Bars) row(p *picture, r *Bar, y float64, x logScale, calls, most float64) {
	mid := y + barRow/2
	if r.Own {
		p.rect(6, y+1, p.w-12, barRow-2, rolePanel, `rx="3"`)
	}
	name, weight := r.Policy, ""
	if r.Own {
		weight = bold
		if !b.Predicted {
			name += " (recorded)"
		}
	}
	if most := letters(barName); columns(name) > most {
		name = string([]rune(name)[:most-1]) + "…"
	}
	p.text(12, mid+4.5, name, "start", roleInk, weight)
	fill := map[Mark]role{MarkBad: roleBad, MarkWarn: roleWarn, MarkGood: roleGood}[r.Mark]
	sign := map[Mark]string{MarkBad: "✗ ", MarkWarn: "! ", MarkGood: "✓ "}[r.Mark]
	missed := r.Missed
	if columns(sign+missed) > letters(barMissed) {
		missed = r.Verdict
	}
	p.text(12+barName, mid+4.5, sign+missed, "start", fill, bold)
	end := x.pos(float64(max(r.Slowest, 1)))
	if r.Never {
		end = x.to
		p.rect(x.at, y+5, end-x.at, barRow-10, roleBack, "")
		p.frame(x.at+.5, y+5.5, end-x.at-1, barRow-11, roleBad, `stroke-width="1.5" stroke-dasharray="5 3"`)
	} else {
		p.rect(x.at, y+5, end-x.at, barRow-10, fill, "")
	}
	p.text(end+6, mid+4.5, r.Text, "start", roleInk, "")
	w := (barCalls - 70) * float64(r.Calls) / most
	p.rect(calls, y+5, w, barRow-10, roleDim, "")
	p.text(calls+w+6, mid+4.5, fmt.Sprint(group(r.Calls)), "start", roleInk, "")
}
