package page

import (
	"fmt"
	"io"
	"strings"
)

// Markdown writes the document for the issue tracker of GitHub and its like. Pictures are drawn in characters. Errors are those of w.
func (d *Document) Markdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n**%s.** %s\n\n", prose(d.Title), strings.ToUpper(string(d.Verdict)), prose(d.Headline))
	for _, t := range d.Lead {
		b.WriteString(prose(t) + "\n\n")
	}
	for _, f := range d.Facts {
		fmt.Fprintf(&b, "- **%s**: %s\n", prose(f.Name), prose(f.Text))
	}
	for i := range d.Sections {
		s := &d.Sections[i]
		fmt.Fprintf(&b, "\n%s %s\n", strings.Repeat("#", s.Level), prose(s.Title))
		for j := range s.Blocks {
			b.WriteString("\n")
			s.Blocks[j].markdown(&b)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (k *Block) markdown(b *strings.Builder) {
	switch {
	case k.List != nil:
		for i, item := range k.List.Items {
			bullet := "-"
			if k.List.Numbered {
				bullet = fmt.Sprintf("%d.", i+1)
			}
			fmt.Fprintf(b, "%s %s\n", bullet, prose(item))
		}
	case k.Table != nil:
		k.Table.markdown(b)
	case k.Figure != nil:
		if art := k.Figure.Art(); len(art) > 0 {
			fmt.Fprintf(b, "**%s**\n\n```text\n%s\n```\n", prose(k.Figure.Title), strings.Join(art, "\n"))
		}
	case k.State != nil:
		fmt.Fprintf(b, "**%s**\n\n%s\n\n```text\n%s\n```\n\n%s\n\n", prose(k.State.Title), prose(k.State.Port), strings.Join(k.State.lines(), "\n"), prose(k.State.Note))
		k.State.VCPUs.markdown(b)
	case len(k.Commands) > 0:
		b.WriteString("```sh\n")
		for _, c := range k.Commands {
			if c.What != "" {
				fmt.Fprintf(b, "# %s\n", clean(c.What))
			}
			b.WriteString(clean(c.Line) + "\n")
		}
		b.WriteString("```\n")
	default:
		b.WriteString(prose(k.Text) + "\n")
	}
}

func (t *Table) markdown(b *strings.Builder) {
	if t.Caption != "" {
		fmt.Fprintf(b, "**%s**\n\n", prose(t.Caption))
	}
	for i, c := range t.Columns {
		if i == 0 {
			b.WriteString("|")
		}
		b.WriteString(" " + prose(c.Name) + " |")
	}
	b.WriteString("\n|")
	for _, c := range t.Columns {
		if c.Right {
			b.WriteString("--:|")
		} else {
			b.WriteString("---|")
		}
	}
	b.WriteString("\n")
	for _, r := range t.Rows {
		b.WriteString("|")
		for i, c := range r.Cells {
			c = prose(c)
			if r.Note != "" && i == len(r.Cells)-1 {
				c += " **(" + prose(r.Note) + ")**"
			}
			b.WriteString(" " + c + " |")
		}
		b.WriteString("\n")
	}
	if t.Note != "" {
		b.WriteString("\n" + prose(t.Note) + "\n")
	}
}

// escapes are the characters that mean something in a line of Markdown.
var escapes = strings.NewReplacer(`\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "<", "&lt;", ">", "&gt;", "|", `\|`, "[", `\[`, "]", `\]`, "&", "&amp;", "~", `\~`, "@", "&#64;")

// prose escapes a text. Numbers of events are set as code, or they would be links to issues.
func prose(s string) string {
	s = clean(s)
	var b strings.Builder
	at := 0
	for _, m := range eventNumber.FindAllStringIndex(s, -1) {
		b.WriteString(escapes.Replace(s[at:m[0]]) + "`" + s[m[0]:m[1]] + "`")
		at = m[1]
	}
	b.WriteString(escapes.Replace(s[at:]))
	return b.String()
}
