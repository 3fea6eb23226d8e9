package tui

import (
	"fmt"
	"io"
	"strings"
)

// plainWidth is how wide the text of Plain is.
const plainWidth = 100

// Plain writes the step that the program would open at as text: the events around it, the machine, and the why. Errors are those
// of reading the trace and of w.
func Plain(w io.Writer, tr Trace, opt Options) error {
	opt.Styles = DefaultStyles(ColorsPlain)
	opt.ASCII = true
	m, err := New(tr, opt)
	if err != nil {
		return err
	}
	defer m.Close()
	var b strings.Builder
	put := func(block string) {
		for _, l := range strings.Split(block, "\n") {
			if l = strings.TrimRight(l, " "); l != "" {
				b.WriteString(l + "\n")
			}
		}
	}
	m.w, m.h = plainWidth, 60
	m.refresh()
	m.events.SetSize(plainWidth, 14)
	m.events.rows = m.events.rows[:0]
	m.arrange()
	m.machine.SetSize(plainWidth, 40)
	m.why.SetSize(plainWidth, 40)
	put(strings.TrimSpace(m.titleView()))
	if f := m.findingText(); f != "" {
		put(f)
	}
	if opt.Notice != "" {
		put(clean(opt.Notice))
	}
	for p := range paneStrip {
		fmt.Fprintln(&b)
		put(m.paneView(p))
	}
	_, err = io.WriteString(w, b.String())
	return err
}
