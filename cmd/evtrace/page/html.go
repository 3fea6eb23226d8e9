package page

import (
	_ "embed"
	"fmt"
	"html"
	"html/template"
	"io"
	"regexp"
	"strings"
)

//go:embed page.html.tmpl
var pageText string

//go:embed page.css
var pageStyle string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"mark":     func(Mark) string { return "" },
	"text":     func(string) template.HTML { return "" },
	"picture":  func(*Figure) template.HTML { return "" },
	"bits":     func(*State) template.HTML { return "" },
	"style":    style,
	"markOf":   func(d *Document) Mark { return markOf(d.Verdict) },
	"contents": contents,
}).Parse(pageText))

// HTML writes the document as one page that needs nothing else. Errors are those of w.
func (d *Document) HTML(w io.Writer) error {
	t, err := pageTemplate.Clone()
	if err != nil {
		return fmt.Errorf("page: internal error: %w", err)
	}
	ids := d.ids()
	return t.Funcs(template.FuncMap{
		"text":    func(s string) template.HTML { return linked(s, ids) },
		"picture": func(f *Figure) template.HTML { return template.HTML(f.draw(true)) }, // which escapes its texts
		"bits":    func(s *State) template.HTML { return s.html() },
	}).Execute(w, d)
}

// ids are the places in the page.
func (d *Document) ids() map[string]bool {
	ids := make(map[string]bool)
	for i := range d.Sections {
		ids[d.Sections[i].ID] = true
		for _, b := range d.Sections[i].Blocks {
			if b.Table == nil {
				continue
			}
			for _, r := range b.Table.Rows {
				if r.ID != "" {
					ids[r.ID] = true
				}
			}
		}
	}
	return ids
}

// contents are the sections of the first level.
func contents(d *Document) []Section {
	var list []Section
	for _, s := range d.Sections {
		if s.Level == 2 {
			list = append(list, s)
		}
	}
	return list
}

// eventNumber is how texts name an event.
var eventNumber = regexp.MustCompile(`\B#(\d+)`)

// linked escapes a text, and makes links of the events that have a row in the page.
func linked(s string, ids map[string]bool) template.HTML {
	s = clean(s)
	var b strings.Builder
	at := 0
	for _, m := range eventNumber.FindAllStringSubmatchIndex(s, -1) {
		b.WriteString(html.EscapeString(s[at:m[0]]))
		id, word := "e"+s[m[2]:m[3]], s[m[0]:m[1]]
		if ids[id] {
			fmt.Fprintf(&b, `<a class="ev" href="#%s">%s</a>`, id, word)
		} else {
			fmt.Fprintf(&b, `<span class="ev">%s</span>`, word)
		}
		at = m[1]
	}
	b.WriteString(html.EscapeString(s[at:]))
	return template.HTML(b.String())
}

// html writes the bits with the port's column marked.
func (s *State) html() template.HTML {
	var b strings.Builder
	pad := func(name string) string { return fmt.Sprintf("%-6s", name) }
	b.WriteString(html.EscapeString(pad("")+s.Ruler) + "\n")
	for _, r := range s.Bits {
		fmt.Fprintf(&b, "%s%s<mark>%s</mark>%s\n", html.EscapeString(pad(r.Name)), r.Bits[:s.At], r.Bits[s.At:s.At+1], r.Bits[s.At+1:])
	}
	b.WriteString(pad("") + strings.Repeat(" ", s.At) + "▲\n")
	return template.HTML(b.String())
}

// style is the style sheet of the page: the palette for both themes, and the rest.
func style() template.CSS {
	var b strings.Builder
	set := func(dark bool) string {
		var v strings.Builder
		for _, p := range palette {
			c := p.light
			if dark {
				c = p.dark
			}
			fmt.Fprintf(&v, "--%s:%s;", p.role, c)
		}
		scheme := "light"
		if dark {
			scheme = "dark"
		}
		return v.String() + "color-scheme:" + scheme
	}
	fmt.Fprintf(&b, ":root{%s;--sans:%s;--mono:%s}\n", set(false), fontSans, fontMono)
	fmt.Fprintf(&b, "@media screen and (prefers-color-scheme:dark){:root:not([data-theme=light]){%s}}\n", set(true))
	fmt.Fprintf(&b, "@media screen{:root[data-theme=dark]{%s}}\n", set(true))
	for _, p := range palette {
		fmt.Fprintf(&b, ".f-%s{fill:var(--%s)}.s-%s{stroke:var(--%s)}\n", p.role, p.role, p.role, p.role)
	}
	return template.CSS(b.String() + pageStyle)
}
