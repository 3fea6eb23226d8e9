package page

import (
	"fmt"
	"io"
	"strings"
)

// textColumns is how wide the plain text is: as mails are.
const textColumns = 72

// Text writes the document as plain text for a mail. Errors are those of w.
func (d *Document) Text(w io.Writer) error {
	p := &plain{}
	p.para("", clean(d.Title))
	p.line(strings.Repeat("=", min(columns(clean(d.Title)), textColumns)))
	p.line("")
	p.para("", "Verdict: "+strings.ToUpper(string(d.Verdict))+". "+d.Headline)
	p.line("")
	for _, t := range d.Lead {
		p.para("", t)
		p.line("")
	}
	for _, f := range d.Facts {
		p.para(fmt.Sprintf("%-11s", f.Name), f.Text)
	}
	for i := range d.Sections {
		p.section(&d.Sections[i])
	}
	_, err := io.WriteString(w, strings.TrimRight(p.b.String(), "\n")+"\n")
	return err
}

// plain collects lines.
type plain struct{ b strings.Builder }

func (p *plain) line(s string) { p.b.WriteString(strings.TrimRight(s, " ") + "\n") }

// para writes a paragraph behind a prefix, under which its further lines are indented.
func (p *plain) para(prefix, text string) {
	for i, l := range wrapped(clean(text), textColumns-columns(prefix), "") {
		if i > 0 {
			prefix = strings.Repeat(" ", columns(prefix))
		}
		p.line(prefix + l)
	}
}

// wrapped breaks a text into lines, of which those after the first begin with indent. Words that are too long are broken.
func wrapped(s string, width int, indent string) []string {
	width = max(width, 8)
	var list []string
	line := ""
	for _, word := range strings.Fields(s) {
		for {
			head := line
			if strings.TrimSpace(line) != "" {
				head += " "
			}
			if columns(head)+columns(word) <= width {
				line = head + word
				break
			}
			if strings.TrimSpace(line) != "" {
				list = append(list, line)
				line = indent
				continue
			}
			room := width - columns(line)
			list = append(list, line+string([]rune(word)[:room]))
			word, line = string([]rune(word)[room:]), indent
		}
	}
	if strings.TrimSpace(line) != "" || len(list) == 0 {
		list = append(list, line)
	}
	return list
}

func (p *plain) section(s *Section) {
	p.line("")
	p.para("", s.Title)
	under := "-"
	if s.Level > 2 {
		under = "."
	}
	p.line(strings.Repeat(under, min(columns(s.Title), textColumns)))
	for i := range s.Blocks {
		p.line("")
		b := &s.Blocks[i]
		switch {
		case b.List != nil:
			for j, item := range b.List.Items {
				prefix := "- "
				if b.List.Numbered {
					prefix = fmt.Sprintf("%d. ", j+1)
				}
				p.para(prefix, item)
			}
		case b.Table != nil:
			p.table(b.Table)
		case b.Figure != nil:
			p.figure(b.Figure)
		case b.State != nil:
			p.state(b.State)
		case len(b.Commands) > 0:
			for _, c := range b.Commands {
				if c.What != "" {
					for _, l := range wrapped(clean(c.What), textColumns-2, "") {
						p.line("# " + l)
					}
				}
				p.line(clean(c.Line)) // whole: it is to be copied
			}
		default:
			p.para("", b.Text)
		}
	}
}

// table writes columns; the last one is wrapped.
func (p *plain) table(t *Table) {
	var show []int
	for i, c := range t.Columns {
		if !c.Wide {
			show = append(show, i)
		}
	}
	width := make([]int, len(t.Columns))
	for _, i := range show {
		width[i] = columns(t.Columns[i].Name)
		for _, r := range t.Rows {
			width[i] = max(width[i], columns(clean(r.Cells[i])))
		}
	}
	last := show[len(show)-1]
	before := 0
	for _, i := range show[:len(show)-1] {
		before += width[i] + 1
	}
	room := textColumns - before
	under := room < min(width[last], 18) // the last column has a line of its own
	if t.Caption != "" {
		p.para("", t.Caption+":")
	}
	row := func(cells []string) {
		var b strings.Builder
		for _, i := range show[:len(show)-1] {
			c := clean(cells[i])
			pad := strings.Repeat(" ", max(width[i]-columns(c), 0))
			if t.Columns[i].Right {
				c = pad + c
			} else {
				c += pad
			}
			b.WriteString(c + " ")
		}
		c := clean(cells[last])
		switch {
		case under:
			p.line(cut(b.String()))
			for _, l := range wrapped(c, textColumns-6, "") {
				if l != "" {
					p.line("      " + l)
				}
			}
			return
		case t.Columns[last].Right:
			c = strings.Repeat(" ", max(min(width[last], room)-columns(c), 0)) + c
			p.line(cut(b.String() + c))
			return
		}
		for j, l := range wrapped(c, room, "") {
			if j == 0 {
				p.line(cut(b.String() + l))
			} else {
				p.line(strings.Repeat(" ", before) + l)
			}
		}
	}
	var heads []string
	for _, c := range t.Columns {
		heads = append(heads, c.Name)
	}
	row(heads)
	for _, r := range t.Rows {
		row(r.Cells)
		if r.Note != "" {
			p.para(strings.Repeat(" ", min(before, 40))+"^- ", r.Note)
		}
	}
	if t.Note != "" {
		p.para("", t.Note)
	}
}

func cut(s string) string {
	if columns(strings.TrimRight(s, " ")) <= textColumns {
		return s
	}
	return string([]rune(s)[:textColumns-1]) + ">"
}

// figure writes what a picture shows in characters.
func (p *plain) figure(f *Figure) {
	lines := f.Art()
	if len(lines) == 0 {
		return
	}
	p.para("", f.Title+":")
	for _, l := range lines {
		p.line(l)
	}
}

// Art draws the figure in ASCII, 72 columns wide. It is empty for a figure whose table says the same.
func (f *Figure) Art() []string {
	switch {
	case f.Timeline != nil:
		return f.Timeline.Art
	case f.Latency != nil:
		return f.Latency.art()
	}
	return nil
}

// art draws the buckets as bars.
func (l *Latency) art() []string {
	most := uint64(1)
	for _, b := range l.Buckets {
		most = max(most, b.Count)
	}
	scale := newLogScale(.5, float64(most), 0, 40)
	list := []string{fmt.Sprintf("%10s %10s  (length: logarithm of the number)", "up to", "deliveries")}
	for _, b := range l.Buckets {
		list = append(list, fmt.Sprintf("%10s %10s  %s", axisShort(b.To, l.Unit), group(b.Count), strings.Repeat("#", max(int(scale.pos(float64(b.Count))), 1))))
	}
	for i := range l.Curves {
		if c := &l.Curves[i]; c.Label != "" {
			list = append(list, wrapped(c.Label, textColumns, "  ")...)
		}
	}
	return list
}

// axisShort writes a length of time to three digits.
func axisShort(v int64, unit string) string {
	if unit == "ticks" {
		return group(v)
	}
	f := float64(v)
	for _, u := range []struct {
		size float64
		name string
	}{{1e9, "s"}, {1e6, "ms"}, {1e3, "us"}} {
		if f >= u.size {
			return fmt.Sprintf("%.3g %s", f/u.size, u.name)
		}
	}
	return fmt.Sprintf("%d ns", v)
}

// lines draws the bits of a state.
func (s *State) lines() []string {
	var list []string
	put := func(name, bits string) {
		list = append(list, strings.TrimRight(fmt.Sprintf("%-5s%s", name, bits), " "))
	}
	put("", s.Ruler)
	for _, r := range s.Bits {
		put(r.Name, r.Bits)
	}
	put("", strings.Repeat(" ", s.At)+"^")
	return list
}

func (p *plain) state(s *State) {
	p.para("", s.Title+":")
	p.para("", s.Port)
	for _, l := range s.lines() {
		p.line(l)
	}
	p.para("", s.Note)
	p.line("")
	p.table(s.VCPUs)
}
