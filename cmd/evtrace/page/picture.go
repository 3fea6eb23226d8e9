package page

import (
	"encoding/xml"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// picture collects the shapes of a drawing. Colours are roles, which the style sheet gives a value for each theme.
type picture struct {
	b    strings.Builder
	w, h float64
	id   string
	bare bool // it stands in a page: neither title nor links out of it
}

// role is what a colour is for.
type role string

// The roles. Each differs from those beside it in lightness or shape, too, so that a print in grey can be read.
const (
	roleInk    role = "ink"
	roleDim    role = "dim"
	roleLine   role = "line"
	roleBack   role = "back"
	rolePanel  role = "panel"
	roleBad    role = "bad"
	roleWarn   role = "warn"
	roleGood   role = "good"
	roleKey    role = "key"
	roleSoft   role = "soft" // filled with text on it: running
	roleStrong role = "strong"
	roleOn     role = "on" // text on strong, bad
	roleFirst  role = "first"
	roleSecond role = "second"
	roleThird  role = "third"
	roleFourth role = "fourth"
)

// palette gives each role its colour on a light and on a dark ground.
var palette = []struct {
	role        role
	light, dark string
}{
	{roleInk, "#1f2328", "#e6edf3"},
	{roleDim, "#59636e", "#9aa4af"},
	{roleLine, "#d1d9e0", "#3d444d"},
	{roleBack, "#ffffff", "#0d1117"},
	{rolePanel, "#f4f6f8", "#161b22"},
	{roleBad, "#b3261e", "#ff8078"},
	{roleWarn, "#8a5a00", "#e3b341"},
	{roleGood, "#1a7f37", "#56d364"},
	{roleKey, "#0a5cb8", "#79b8ff"},
	{roleSoft, "#cfe3f7", "#234a72"},
	{roleStrong, "#0a4a8f", "#79b8ff"},
	{roleOn, "#ffffff", "#0d1117"},
	{roleFirst, "#b3261e", "#ff8078"},
	{roleSecond, "#8a5a00", "#e3b341"},
	{roleThird, "#7a3fb0", "#d2a8ff"},
	{roleFourth, "#1a7f37", "#56d364"},
}

// sheet is the style sheet of a drawing on its own: colours as they are, since not all programs know variables, and the dark ones where
// the viewer asks for them.
func sheet() string {
	var b strings.Builder
	b.WriteString("text{font-family:" + strings.ReplaceAll(fontSans, `"`, "'") + "}")
	rules := func(dark bool) {
		for _, p := range palette {
			c := p.light
			if dark {
				c = p.dark
			}
			fmt.Fprintf(&b, ".f-%s{fill:%s}.s-%s{stroke:%s}", p.role, c, p.role, c)
		}
	}
	rules(false)
	b.WriteString("@media (prefers-color-scheme:dark){")
	rules(true)
	b.WriteString("}")
	return b.String()
}

const (
	fontSans = `system-ui, -apple-system, "Segoe UI", "Noto Sans", "DejaVu Sans", Helvetica, Arial, sans-serif`
	fontMono = `ui-monospace, "Cascadia Mono", "DejaVu Sans Mono", Menlo, Consolas, monospace`
)

// num writes a coordinate.
func num(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		v = 0
	}
	return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64)
}

func escaped(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(clean(s))) // a Builder takes everything
	return b.String()
}

func (p *picture) rect(x, y, w, h float64, fill role, more string) {
	fmt.Fprintf(&p.b, `<rect x="%s" y="%s" width="%s" height="%s" class="f-%s"%s/>`+"\n", num(x), num(y), num(max(w, 0)), num(max(h, 0)), fill, space(more))
}

func (p *picture) frame(x, y, w, h float64, stroke role, more string) {
	fmt.Fprintf(&p.b, `<rect x="%s" y="%s" width="%s" height="%s" fill="none" class="s-%s"%s/>`+"\n", num(x), num(y), num(max(w, 0)), num(max(h, 0)), stroke, space(more))
}

func (p *picture) line(x1, y1, x2, y2 float64, stroke role, width float64, more string) {
	fmt.Fprintf(&p.b, `<line x1="%s" y1="%s" x2="%s" y2="%s" class="s-%s" stroke-width="%s"%s/>`+"\n", num(x1), num(y1), num(x2), num(y2), stroke, num(width), space(more))
}

func (p *picture) path(d string, stroke role, width float64, more string) {
	fmt.Fprintf(&p.b, `<path d="%s" fill="none" class="s-%s" stroke-width="%s"%s/>`+"\n", d, stroke, num(width), space(more))
}

func (p *picture) dot(x, y, r float64, fill, stroke role) {
	fmt.Fprintf(&p.b, `<circle cx="%s" cy="%s" r="%s" class="f-%s s-%s" stroke-width="1.6"/>`+"\n", num(x), num(y), num(r), fill, stroke)
}

// arrow goes from one point to another, with a head.
func (p *picture) arrow(x1, y1, x2, y2 float64, stroke role) {
	p.line(x1, y1, x2, y2, stroke, 1.6, "")
	l := math.Hypot(x2-x1, y2-y1)
	if l == 0 {
		return
	}
	ux, uy := (x2-x1)/l, (y2-y1)/l
	const long, wide = 7, 3.6
	bx, by := x2-ux*long, y2-uy*long
	fmt.Fprintf(&p.b, `<path d="M%s %sL%s %sL%s %sZ" class="f-%s"/>`+"\n", num(x2), num(y2), num(bx-uy*wide), num(by+ux*wide), num(bx+uy*wide), num(by-ux*wide), stroke)
}

// text writes at a point: anchor is start, middle or end.
func (p *picture) text(x, y float64, s, anchor string, fill role, more string) {
	fmt.Fprintf(&p.b, `<text x="%s" y="%s" font-size="%d" text-anchor="%s" class="f-%s"%s>%s</text>`+"\n", num(x), num(y), textSize, anchor, fill, space(more), escaped(s))
}

const (
	textSize = 13
	bold     = `font-weight="600"`
)

// textWidth is how wide a text is at most, nearly: fonts differ.
func textWidth(s string) float64 { return float64(columns(s)) * textSize * 0.6 }

// boldWidth is the same for bold text.
func boldWidth(s string) float64 { return float64(columns(s)) * textSize * 0.66 }

// letters is how many characters fit.
func letters(width float64) int { return int(width / textWidth("x")) }

func space(more string) string {
	if more == "" {
		return ""
	}
	return " " + more
}

// svg gives the drawing as an element.
func (p *picture) svg(f *Figure) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %s %s" width="%s" height="%s" role="img" aria-labelledby="%s-t %s-d">`+"\n",
		num(p.w), num(p.h), num(p.w), num(p.h), p.id, p.id)
	fmt.Fprintf(&b, "<title id=\"%s-t\">%s</title>\n<desc id=\"%s-d\">%s</desc>\n", p.id, escaped(f.Title), p.id, escaped(f.Alt))
	if !p.bare {
		b.WriteString("<style>" + sheet() + "</style>\n")
		fmt.Fprintf(&b, `<rect width="%s" height="%s" class="f-back"/>`+"\n", num(p.w), num(p.h))
	}
	b.WriteString(p.b.String())
	b.WriteString("</svg>\n")
	return b.String()
}

// SVG draws the figure on its own: with its title in it, and with colours for a light and for a dark ground.
func (f *Figure) SVG() string { return f.draw(false) }

// draw draws the figure, bare for a page that has a style sheet and writes the title itself.
func (f *Figure) draw(bare bool) string {
	p := &picture{id: f.ID, bare: bare}
	top := 8.0
	if !bare {
		p.text(12, 24, f.Title, "start", roleInk, bold)
		top = 38
	}
	switch {
	case f.Timeline != nil:
		f.Timeline.draw(p, top)
	case f.Latency != nil:
		f.Latency.draw(p, top)
	case f.Policies != nil:
		f.Policies.draw(p, top)
	}
	return p.svg(f)
}
