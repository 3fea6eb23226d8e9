package tui

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"

	"github.com/charmbracelet/lipgloss"

	"github.com/evtrace/evtrace/evtchn"
)

// machinePane draws the state after the step: the port's record, its word bit by bit, and the vcpus.
type machinePane struct {
	w, h   int
	styles *Styles
	glyphs *glyphs
}

func (p *machinePane) SetSize(w, h int) { p.w, p.h = w, max(h, 0) }

// labelWidth is that of what stands before the bits.
const labelWidth = 11

func (p *machinePane) View(s *step, focused bool) string {
	title := fmt.Sprintf("machine after #%d    %s changed by this step, ? not known", s.seq, p.glyphs.changed)
	if s.meta.ABI == "fifo" {
		title += "    FIFO: its queues are not shown"
	}
	lines := []string{titleLine(p.styles, p.glyphs, title, p.w, focused)}
	if s.cur == nil {
		return canvas(append(lines, "no state"), p.w, p.h, p.glyphs)
	}
	left := p.w
	side := p.w >= 76
	if side {
		left = max(min(labelWidth+1+s.cur.WordBits, p.w-42), labelWidth+1+16)
	}
	lines = append(lines, p.record(s)...)
	word := p.word(s, left, p.h-len(lines))
	if side {
		v := p.vcpus(s, p.w-left-2, p.h-len(lines))
		for i := range max(len(word), len(v)) {
			a, b := "", ""
			if i < len(word) {
				a = word[i]
			}
			if i < len(v) {
				b = v[i]
			}
			lines = append(lines, clip(a, left, p.glyphs)+"  "+b)
		}
	} else {
		lines = append(lines, word...)
		lines = append(lines, p.vcpus(s, p.w, p.h-len(lines))...)
	}
	return canvas(lines, p.w, p.h, p.glyphs)
}

// canvas makes a block of exactly w by h of the lines.
func canvas(lines []string, w, h int, g *glyphs) string {
	out := make([]string, h)
	for i := range out {
		if i < len(lines) {
			out[i] = clip(lines[i], w, g)
		} else {
			out[i] = strings.Repeat(" ", max(w, 0))
		}
	}
	return strings.Join(out, "\n")
}

// record says what the port is and how it stands.
func (p *machinePane) record(s *step) []string {
	if s.port == evtchn.NoPort || int(s.port) >= s.cur.Ports() {
		return []string{p.styles.Dim.Render("no port is looked at: . finds the next event of a port, enter takes this event's")}
	}
	is := portAt(s.cur, s.port)
	was := is
	if s.prev != nil {
		was = portAt(s.prev, s.port)
	}
	var b strings.Builder
	b.WriteString(p.styles.Header.Render(fmt.Sprintf("port %d", s.port)))
	put := func(name, value string, changed bool) {
		if changed {
			value = p.styles.Changed.Render(value + p.glyphs.changed)
		}
		if name != "" {
			name += " "
		}
		b.WriteString("  " + name + value)
	}
	put("", is.Status.String()+peerText(is), was.Status != is.Status)
	put("notify", vcpuOr(is.Notify), was.Notify != is.Notify)
	put("owner", vcpuOr(is.Owner), was.Owner != is.Owner)
	put("handler", p.handler(s, is), was.Handler != is.Handler || was.User != is.User)
	for _, f := range []struct {
		name    string
		is, was bool
	}{
		{fmt.Sprintf("mask reasons %#x", is.Reasons), is.Reasons != 0, was.Reasons != 0}, {"active", is.Active, was.Active}, {"request", is.Request, was.Request},
	} {
		if f.is {
			put("", f.name, !f.was)
		}
	}
	return []string{b.String(), p.standing(s, is)}
}

// standing says in words how it stands with the port.
func (p *machinePane) standing(s *step, is *evtchn.PortState) string {
	pend, mask := s.cur.Pending(s.port), s.cur.Masked(s.port)
	since := func(what string, seq evtchn.Seq, t evtchn.Time) string {
		text := what
		if seq != 0 {
			text += fmt.Sprintf(" since #%d", seq)
			if s.ev != nil && s.ev.Time > t {
				text += " (" + s.clock.span(s.ev.Time-t) + ")"
			}
		}
		return text
	}
	var parts []string
	switch pend {
	case evtchn.One:
		parts = append(parts, since("pending", is.PendSeq, is.PendAt))
	case evtchn.Zero:
		parts = append(parts, "not pending")
	default:
		parts = append(parts, "pending?")
	}
	switch {
	case is.ExposedSeq != 0 && pend == evtchn.One:
		parts = append(parts, since("unmasked", is.ExposedSeq, is.ExposedAt))
	case mask == evtchn.One:
		parts = append(parts, "masked")
	case mask == evtchn.Zero:
		parts = append(parts, "unmasked")
	default:
		parts = append(parts, "masked?")
	}
	text := strings.Join(parts, ", ")
	switch {
	case is.UnnoticedSeq != 0:
		who := "nobody is going to look"
		if s.rescue.ok {
			who = s.rescue.String()
		}
		head := since("UNNOTICED", is.UnnoticedSeq, is.UnnoticedAt) + ": " + who + "; " + text
		if is.Swallowed > 0 {
			head = fmt.Sprintf("%s; %d swallowed", head, is.Swallowed)
		}
		if s.rescue.ok {
			return p.styles.Header.Render("  " + head)
		}
		return p.styles.Bad.Render(p.glyphs.unnoticed + " " + head)
	case is.ExposedSeq != 0 && s.cur.Owed(s.port):
		text += ": somebody is about to tell a vcpu"
	case is.ExposedSeq != 0:
		text += ": a vcpu is going to look"
	}
	if is.Swallowed > 0 {
		text += fmt.Sprintf("; %d sends swallowed", is.Swallowed)
	}
	return "  " + text
}

func peerText(ps *evtchn.PortState) string {
	switch ps.Status {
	case evtchn.PortInterdomain:
		return fmt.Sprintf(" d%d:%d", ps.Peer>>32, uint32(ps.Peer))
	case evtchn.PortUnbound:
		return fmt.Sprintf(" for d%d", ps.Peer>>32)
	case evtchn.PortVIRQ, evtchn.PortPIRQ:
		return fmt.Sprintf(" %d", ps.Peer)
	}
	return ""
}

func vcpuOr(v evtchn.VCPU) string {
	if v == evtchn.NoVCPU {
		return "?"
	}
	return vcpuName(v)
}

func (p *machinePane) handler(s *step, ps *evtchn.PortState) string {
	if ps.Handler == evtchn.HandlerUser && ps.User >= 0 {
		if int(ps.User) < len(s.meta.Tasks) {
			return "user:" + clean(s.meta.Tasks[ps.User])
		}
		return fmt.Sprintf("user:%d", ps.User)
	}
	return ps.Handler.String()
}

// word draws the port's word, or as much of it around the port as fits.
func (p *machinePane) word(s *step, w, h int) []string {
	port := s.port
	if port == evtchn.NoPort || int(port) >= s.cur.Ports() {
		if s.ev == nil || s.ev.Port == evtchn.NoPort || int(s.ev.Port) >= s.cur.Ports() {
			port = 1
		} else {
			port = s.ev.Port
		}
	}
	word := s.cur.Word(port)
	n := min(s.cur.WordBits, (w-labelWidth-1)/8*8)
	if n < 8 {
		n = max(min(s.cur.WordBits, w-labelWidth-1), 1)
	}
	bit := int(port) % s.cur.WordBits
	first := 0
	if bit >= n {
		first = min((bit-n/2)/8*8, s.cur.WordBits-n)
	}
	base := s.cur.PortIn(word, first)
	rows := []string{p.ruler(fmt.Sprintf("word %d", word), int(base), n)}
	draw := func(label, note string, get func(*evtchn.State, evtchn.Port) evtchn.Bit) {
		rows = append(rows, p.bits(s, label, note, base, n, get))
	}
	draw("PEND", "", (*evtchn.State).Pending)
	draw("MASK", "", (*evtchn.State).Masked)
	for _, v := range s.mattering() {
		if len(rows) >= max(h-1, 4) {
			break
		}
		draw(fmt.Sprintf("accept[%d]", v), "", func(st *evtchn.State, q evtchn.Port) evtchn.Bit {
			if int(v) >= len(st.V) {
				return evtchn.Unknown
			}
			return accepts(st, v, q)
		})
	}
	if at := int(port) - int(base); at >= 0 && at < n {
		number := strconv.Itoa(int(port))
		caret := strings.Repeat(" ", labelWidth+at) + p.glyphs.caret + number
		if lipgloss.Width(caret) > w {
			caret = strings.Repeat(" ", max(labelWidth+at-len(number), 0)) + number + p.glyphs.caret
		}
		rows = append(rows, p.styles.Header.Render(caret))
	}
	return rows
}

// ruler writes port numbers above each eighth bit.
func (p *machinePane) ruler(label string, first, n int) string {
	b := []byte(fmt.Sprintf("%-*s", labelWidth, label))
	for i := 0; i < n; i += 8 {
		b = append(b, fmt.Sprintf("%-8d", first+i)...)
	}
	return p.styles.Dim.Render(strings.TrimRight(string(b), " "))
}

// bits draws a row of bits, and says which of them the step changed.
func (p *machinePane) bits(s *step, label, note string, base evtchn.Port, n int, get func(*evtchn.State, evtchn.Port) evtchn.Bit) string {
	var b strings.Builder
	any := false
	var run strings.Builder
	flush := func() {
		b.WriteString(run.String())
		run.Reset()
	}
	for i := range n {
		port := base + evtchn.Port(i)
		is := get(s.cur, port)
		was := is
		if s.prev != nil {
			was = get(s.prev, port)
		}
		ch := bitText(is)
		switch {
		case was != is:
			any = true
			flush()
			b.WriteString(p.styles.Changed.Render(ch))
		case port == s.port:
			flush()
			b.WriteString(p.styles.Cursor.Render(ch))
		default:
			run.WriteString(ch)
		}
	}
	flush()
	mark := " "
	if any {
		mark = p.styles.Changed.Render(p.glyphs.changed)
	}
	return fmt.Sprintf("%-*s%s%s%s", labelWidth-1, label, mark, b.String(), note)
}

func bitText(b evtchn.Bit) string {
	if b == evtchn.Zero {
		return "."
	}
	return b.String()
}

// vcpus lists those that matter, and counts the others.
func (p *machinePane) vcpus(s *step, w, h int) []string {
	lines := []string{p.styles.Dim.Render(fit("vcpu  does      UP UMASK SEL", w))}
	list := s.mattering()
	shown := make(map[evtchn.VCPU]bool)
	room := h - 2
	if len(s.cur.V) <= h-1 {
		room = h - 1
		for v := range s.cur.V {
			shownLater := true
			for _, o := range list {
				shownLater = shownLater && o != evtchn.VCPU(v)
			}
			if shownLater {
				list = append(list, evtchn.VCPU(v))
			}
		}
	}
	for _, v := range list {
		if len(lines) > room {
			break
		}
		shown[v] = true
		lines = append(lines, p.vcpu(s, v))
	}
	if rest := p.rest(s, shown); rest != "" {
		lines = append(lines, p.styles.Dim.Render(rest))
	}
	return lines
}

func (p *machinePane) vcpu(s *step, v evtchn.VCPU) string {
	is := &s.cur.V[v]
	was := is
	if s.prev != nil {
		was = &s.prev.V[v]
	}
	cell := func(text string, w int, changed bool) string {
		if !changed {
			return fmt.Sprintf("%-*s", w, text)
		}
		return p.styles.Changed.Render(text+p.glyphs.changed) + strings.Repeat(" ", max(w-lipgloss.Width(text)-1, 0))
	}
	role := "  "
	if s.ev != nil && s.ev.VCPU == v {
		role = p.glyphs.cursor + " "
	}
	line := role + cell(fmt.Sprintf("v%d", v), 4, false) + cell(doing(is), 10, doing(was) != doing(is)) +
		cell(is.Up.String(), 3, was.Up != is.Up) + cell(is.Umask.String(), 6, was.Umask != is.Umask)
	line += cell(selText(s.cur, v), 0, was.Sel != is.Sel || was.SelKnown != is.SelKnown)
	if s.port != evtchn.NoPort && int(s.port) < s.cur.Ports() {
		ps := portAt(s.cur, s.port)
		switch {
		case ps.Status != evtchn.PortFree && ps.Owner == v:
			line += fmt.Sprintf("  owns %d", s.port)
		case ps.Held.Has(v):
			line += fmt.Sprintf("  has %d in hand", s.port)
		}
	}
	if s.cur.Heedless(v) {
		line += p.styles.Bad.Render("  will not look")
	}
	if is.Kicks > 0 && !s.cur.Observed { // a capture does not show when it arrives
		line += "  IPI under way"
	}
	return line
}

// doing is what a vcpu is at, in a word.
func doing(v *evtchn.VCPUState) string {
	switch {
	case v.Run == evtchn.RunUnknown && v.InUpcall:
		return "upcall"
	case v.Run == evtchn.RunUnknown:
		return "?"
	case v.Run != evtchn.Running:
		return v.Run.String()
	case v.InXen:
		return "in Xen"
	case v.InUpcall:
		return "upcall"
	}
	return "guest"
}

// selText gives the words that a vcpu has selected.
func selText(st *evtchn.State, v evtchn.VCPU) string {
	vc := &st.V[v]
	if vc.SelKnown == 0 {
		return "?"
	}
	var words []string
	for sel := vc.Sel; sel != 0; sel &= sel - 1 {
		words = append(words, strconv.Itoa(bits.TrailingZeros64(sel)))
	}
	text := "{" + strings.Join(words, ",") + "}"
	if vc.SelKnown != ^uint64(0) {
		text += "?"
	}
	return text
}

// rest counts the vcpus that are not shown by what they do.
func (p *machinePane) rest(s *step, shown map[evtchn.VCPU]bool) string {
	var names []string
	count := make(map[string]int)
	total := 0
	for v := range s.cur.V {
		if shown[evtchn.VCPU(v)] {
			continue
		}
		total++
		d := doing(&s.cur.V[v])
		if s.cur.V[v].Sel != 0 {
			d += " (SEL set)"
		}
		if count[d] == 0 {
			names = append(names, d)
		}
		count[d]++
	}
	if total == 0 {
		return ""
	}
	parts := make([]string, len(names))
	for i, n := range names {
		parts[i] = fmt.Sprintf("%d %s", count[n], n)
	}
	return fmt.Sprintf("  %d others: %s", total, strings.Join(parts, ", "))
}
