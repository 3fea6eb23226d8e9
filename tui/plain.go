package tui

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/evtrace/evtrace/evtchn"
)

// plainWidth is how wide the text of Plain is.
const plainWidth = 100

// Plain writes the step that the program would open at as text: the events around it, the machine, the why, and how the policy of the
// options does. Errors are those of reading the trace, of running it again, and of w.
func Plain(ctx context.Context, w io.Writer, tr Trace, opt Options) error {
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
	if opt.Policy != "" {
		lines, err := m.outcome(ctx, opt.Policy)
		if err != nil {
			return err
		}
		fmt.Fprintln(&b)
		put(titleLine(m.styles, m.glyphs, "under "+clean(opt.Policy), plainWidth, false))
		for _, l := range lines {
			put(strings.Join(wrap(l, plainWidth), "\n"))
		}
	}
	_, err = io.WriteString(w, b.String())
	return err
}

// outcome runs the trace under another policy and says how that does.
func (m *Model) outcome(ctx context.Context, policy string) ([]string, error) {
	p, err := evtchn.ParsePolicy(policy)
	if err != nil {
		return nil, err
	}
	if m.opt.Rerun == nil {
		return nil, errCapture
	}
	r, err := m.opt.Rerun(ctx, p, func(uint64) {})
	if err != nil {
		return nil, err
	}
	m.held.hold(r)
	if err := m.setOther(r); err != nil {
		return nil, err
	}
	lines := m.verdictAndCosts()
	if fetch := m.fetchFate(); fetch != nil {
		if msg, ok := fetch().(fateMsg); ok {
			if msg.err != nil {
				return nil, msg.err
			}
			m.takeFate(msg)
			lines = append(lines, capital(m.fateText()))
		}
	}
	if r.Departure == 0 {
		return append(lines, "It does exactly the same."), nil
	}
	ev, err := m.tape.event(r.Departure)
	if err != nil {
		return nil, err
	}
	return append(lines, fmt.Sprintf("The first recorded event that does not happen so: #%d at %s %s, %s %s", r.Departure, m.view.clock.at(ev.Time),
		m.view.clock.unit(), ev.Kind, what(ev, &m.meta))), nil
}
