package tui

import (
	"fmt"
	"slices"
	"strings"

	"github.com/charmbracelet/lipgloss"

	"github.com/evtrace/evtrace/analyze/compare"
	"github.com/evtrace/evtrace/evtchn"
)

// eventsPane is the list of events. It holds only what is on the screen.
type eventsPane struct {
	w, h    int
	styles  *Styles
	glyphs  *glyphs
	rows    []row
	widthOf columns
}

// row is a line of the list: an event, or a note where events are not known.
type row struct {
	seq  evtchn.Seq
	ev   evtchn.Event
	note string // instead of an event
	mark byte   // a letter of the reader's, 0: none
	sign sign

	pair    bool // there is a second column
	right   evtchn.Seq
	rightEv evtchn.Event
}

// sign is what the analysis says of an event.
type sign uint8

const (
	signNone sign = iota
	signEvidence
	signUnnoticed
	signDeparts
)

// columns are the widths of the list's columns.
type columns struct{ seq, time, vcpu, ctx, kind, port int }

func (p *eventsPane) SetSize(w, h int) { p.w, p.h = w, max(h, 0) }

// Len is how many events there is room for.
func (p *eventsPane) Len() int { return max(p.h-1, 0) }

// arrange chooses which events are on the screen: seq, and its neighbours in the direction that near gives. A line of context
// stays visible, and the list does not move as long as seq stays on it. near returns 0 where there is no further event; unknown
// tells that it cannot say yet.
func (p *eventsPane) arrange(seq evtchn.Seq, near func(seq evtchn.Seq, dir int) (next evtchn.Seq, unknown bool)) {
	h := p.Len()
	at := slices.IndexFunc(p.rows, func(r row) bool { return r.note == "" && r.seq == seq })
	if at < 0 && len(p.rows) > 0 {
		if last := p.rows[len(p.rows)-1]; last.note == "" {
			if next, unknown := near(last.seq, 1); !unknown && next == seq {
				at = h
			}
		}
		if first := p.rows[0]; at < 0 && first.note == "" {
			if next, unknown := near(first.seq, -1); !unknown && next == seq {
				at = 0
			}
		}
		if at < 0 {
			at = h * 2 / 5
		}
	} else if at < 0 {
		at = h * 2 / 5
	}
	margin := min(2, (h-1)/2)
	at = max(min(at, h-1-margin), margin)
	p.rows = p.rows[:0]
	if h == 0 {
		return
	}
	var up []row
	for s := seq; len(up) < at; {
		next, unknown := near(s, -1)
		if unknown {
			up = append(up, row{note: "not looked at yet"})
		}
		if unknown || next == 0 {
			break
		}
		up = append(up, row{seq: next})
		s = next
	}
	slices.Reverse(up)
	p.rows = append(p.rows, up...)
	p.rows = append(p.rows, row{seq: seq})
	for s := seq; len(p.rows) < h; {
		next, unknown := near(s, 1)
		if unknown {
			p.rows = append(p.rows, row{note: "not looked at yet"})
		}
		if unknown || next == 0 {
			break
		}
		p.rows = append(p.rows, row{seq: next})
		s = next
	}
	for s := p.rows[0]; len(p.rows) < h && s.note == ""; { // the end of the trace: more of what is before
		next, unknown := near(s.seq, -1)
		if unknown || next == 0 {
			break
		}
		s = row{seq: next}
		p.rows = slices.Insert(p.rows, 0, s)
	}
}

// arrangePairs chooses the lines of two traces side by side.
func (p *eventsPane) arrangePairs(a, b *recording, seq evtchn.Seq) {
	h := p.Len()
	at := slices.IndexFunc(p.rows, func(r row) bool { return r.seq == seq })
	if at < 0 {
		at = h * 2 / 5
	}
	margin := min(2, (h-1)/2)
	at = max(min(at, h-1-margin), margin)
	p.rows = p.rows[:0]
	if h == 0 {
		return
	}
	for _, q := range compare.Pairs(a, b, seq, h, at) {
		p.rows = append(p.rows, row{seq: q.Left, right: q.Right, pair: true})
	}
}

// fitColumns settles the widths for what is on the screen and what the trace has at most.
func (p *eventsPane) fitColumns(s *step, n evtchn.Seq, last evtchn.Time) {
	c := columns{seq: len(fmt.Sprint(n)) + 1, time: len(s.clock.at(last)), vcpu: 4, kind: 12, port: 5, ctx: 12}
	c.time = max(c.time, 9)
	if p.w >= 100 {
		c.ctx, c.kind = 17, 14
	}
	p.widthOf = c
}

func (p *eventsPane) View(s *step, title string, focused bool) string {
	var b strings.Builder
	b.WriteString(titleLine(p.styles, p.glyphs, title, p.w, focused))
	for i := range p.h - 1 {
		b.WriteByte('\n')
		if i < len(p.rows) {
			b.WriteString(p.line(s, &p.rows[i]))
		} else {
			b.WriteString(strings.Repeat(" ", max(p.w, 0)))
		}
	}
	return b.String()
}

// titleLine is the rule above a pane, with its name in it.
func titleLine(st *Styles, g *glyphs, title string, w int, focused bool) string {
	s := strings.Repeat(g.line, 2) + " " + title + " "
	if focused {
		s = strings.Repeat(g.line, 1) + g.cursor + " " + title + " "
	}
	n := lipgloss.Width(s)
	if n < w {
		s += strings.Repeat(g.line, w-n)
	}
	if focused {
		return st.Focused.Render(clip(s, w, g))
	}
	return st.Title.Render(clip(s, w, g))
}

// half draws an event for one of two columns.
func (p *eventsPane) half(s *step, ev *evtchn.Event, w int, number bool) string {
	line := ""
	if number {
		line = fmt.Sprintf("%-*s ", p.widthOf.seq, fmt.Sprintf("#%d", ev.Seq))
	}
	kind := 12
	if w < 50 {
		kind = 11
	}
	return clip(line+fmt.Sprintf("%*s %-3s %s %*s %s", p.widthOf.time, s.clock.at(ev.Time), vcpuName(ev.VCPU), fit(ev.Kind.String(), kind), 4, portName(ev), what(ev, s.meta)), w, p.glyphs)
}

// silent reports whether a step only reads somebody's own records: two policies that differ in such a look alone have not parted.
func silent(ev *evtchn.Event) bool {
	return ev.Kind == evtchn.KindOwnerRead || ev.Kind == evtchn.KindNotifyCheck
}

// linePair draws a line of two traces: what only one of them has is marked.
func (p *eventsPane) linePair(s *step, r *row) string {
	left := (p.w - 5) / 2
	if left < 44 {
		left = (p.w - 5) * 6 / 11
	}
	right := p.w - 5 - left
	a, b := strings.Repeat(" ", left), strings.Repeat(" ", right)
	sep := " = "
	if r.seq > 0 {
		a = p.half(s, &r.ev, left, p.w >= 110)
	}
	if r.right > 0 {
		b = p.half(s, &r.rightEv, right, p.w >= 110)
	}
	aside := r.seq == 0 && silent(&r.rightEv) || r.right == 0 && silent(&r.ev)
	switch {
	case aside && r.seq == 0:
		sep = " > "
	case aside:
		sep = " < "
	case r.seq == 0:
		sep = p.glyphs.departs + "> "
	case r.right == 0:
		sep = " <" + p.glyphs.departs
	}
	gutter := "  "
	switch {
	case r.seq == s.seq && r.sign == signUnnoticed:
		gutter = p.glyphs.cursor + p.glyphs.unnoticed
	case r.seq == s.seq:
		gutter = p.glyphs.cursor + " "
	case r.sign == signUnnoticed:
		gutter = " " + p.glyphs.unnoticed
	case r.mark != 0:
		gutter = " " + string(r.mark)
	case r.sign == signEvidence:
		gutter = " " + p.glyphs.evidence
	}
	line := gutter + a + sep + b
	switch {
	case r.seq == s.seq:
		return p.styles.Cursor.Render(line)
	case r.sign == signUnnoticed:
		return p.styles.Bad.Render(line)
	case aside:
		return p.styles.Dim.Render(line)
	case r.seq == 0 || r.right == 0:
		return p.styles.Changed.Underline(false).Render(line)
	}
	return line
}

// line draws one event.
func (p *eventsPane) line(s *step, r *row) string {
	if r.pair {
		return p.linePair(s, r)
	}
	if r.note != "" {
		return p.styles.Dim.Render(fit("   "+r.note, p.w))
	}
	ev, c := &r.ev, p.widthOf
	gutter := [3]string{" ", " ", " "}
	here := r.seq == s.seq
	if here {
		gutter[0] = p.glyphs.cursor
	}
	style := lipgloss.NewStyle()
	plain := true
	use := func(st lipgloss.Style) { style, plain = st, false }
	switch {
	case ev.Kind == evtchn.KindGap:
		gutter[2] = p.glyphs.gap
		use(p.styles.Gap)
	case ev.Input():
		gutter[2] = p.glyphs.input
		use(p.styles.Input)
	case ev.Inferred():
		gutter[2] = p.glyphs.inferred
		use(p.styles.Inferred)
	}
	if s.port != evtchn.NoPort && ev.Port == s.port {
		if plain {
			use(p.styles.Port)
		} else {
			use(style.Bold(true))
		}
	}
	switch {
	case r.mark != 0:
		gutter[1] = string(r.mark)
	case r.sign == signUnnoticed:
		gutter[1] = p.glyphs.unnoticed
		use(p.styles.Bad)
	case r.sign == signDeparts:
		gutter[1] = p.glyphs.departs
	case r.sign == signEvidence:
		gutter[1] = p.glyphs.evidence
	}
	line := fmt.Sprintf("%s%s%s%-*s %*s %-*s %s %s %*s  %s", gutter[0], gutter[1], gutter[2], c.seq, fmt.Sprintf("#%d", r.seq),
		c.time, s.clock.at(ev.Time), c.vcpu, vcpuName(ev.VCPU), fit(clean(contextName(ev, s.meta)), c.ctx), fit(ev.Kind.String(), c.kind),
		c.port, portName(ev), what(ev, s.meta))
	if said := line + "   " + p.glyphs.unnoticed + " unnoticed"; r.sign == signUnnoticed && lipgloss.Width(said) <= p.w {
		line = said // else the sign before the line says it
	}
	line = clip(line, p.w, p.glyphs)
	switch {
	case here:
		return p.styles.Cursor.Render(line)
	case plain:
		return line
	}
	return style.Render(line)
}
