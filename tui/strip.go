package tui

import (
	"context"
	"fmt"
	"io"
	"slices"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/tui/timeline"
)

// stripPane is the timeline: what every vcpu was doing, and the life of the port.
type stripPane struct {
	w, h   int
	styles *Styles
	glyphs *glyphs
	model  *timeline.Model
	drawn  bool          // a command is reading a window
	want   timeline.Spec // of that command
	err    error
}

func newStripPane(meta evtchn.Meta, st *Styles, g *glyphs, ascii bool, first, last evtchn.Time) stripPane {
	p := stripPane{styles: st, glyphs: g, model: timeline.New(meta, st.timeline)}
	p.model.SetASCII(ascii)
	p.model.SetBounds(first, last)
	p.model.SetWindow(first, last+1)
	return p
}

func (p *stripPane) SetSize(w, h int) {
	p.w, p.h = w, max(h, 0)
	p.model.SetSize(p.w, max(p.h-1, 0))
}

// Show brings the step into the window.
func (p *stripPane) Show(s *step, marks []timeline.Mark) {
	p.model.SetPort(s.port)
	if s.ev != nil {
		p.model.SetCursor(s.ev.Time)
		p.model.Show(s.ev.Time)
	}
	if s.cur != nil {
		var focus []evtchn.VCPU
		if s.ev != nil && s.ev.VCPU >= 0 {
			focus = append(focus, s.ev.VCPU)
		}
		for _, v := range s.mattering() {
			if !slices.Contains(focus, v) {
				focus = append(focus, v)
			}
		}
		p.model.SetFocus(focus...)
	}
	p.model.SetMarks(marks)
}

func (p *stripPane) View(s *step, focused bool) string {
	from, to := p.model.Window()
	title := fmt.Sprintf("timeline %s to %s %s (%s)", s.clock.at(from), s.clock.at(to), s.clock.unit(), s.clock.span(to-from))
	switch {
	case p.err != nil:
		title += "   " + clean(p.err.Error())
	case p.model.Stale():
		title += "   reading"
	}
	out := titleLine(p.styles, p.glyphs, title, p.w, focused)
	if p.h > 1 {
		out += "\n" + p.model.View()
	}
	return out
}

// legend explains the characters of the strip.
func (p *stripPane) legend() []string { return p.model.Legend() }

// stripMsg brings a window that was read.
type stripMsg struct {
	spec  timeline.Spec
	strip *timeline.Strip
	err   error
}

// fetch starts to read the window if what is known is of another one.
func (p *stripPane) fetch(ctx context.Context, tr Trace, lost []timeline.Mark) tea.Cmd {
	if p.drawn || p.h < 2 || !p.model.Stale() || p.err != nil {
		return nil
	}
	spec := p.model.Spec()
	p.drawn, p.want = true, spec
	return func() tea.Msg {
		strip, err := readStrip(ctx, tr, spec, lost)
		return stripMsg{spec, strip, err}
	}
}

// take takes over a window that was read.
func (p *stripPane) take(msg stripMsg) {
	p.drawn = false
	p.err = msg.err
	if msg.err == nil {
		p.model.SetStrip(msg.strip)
	}
}

// readStrip reads a window: every event of it, or if these are too many, states here and there.
func readStrip(ctx context.Context, tr Trace, spec timeline.Spec, lost []timeline.Mark) (*timeline.Strip, error) {
	b := timeline.NewBuilder(spec)
	n := evtchn.Seq(tr.Len())
	from, err := tr.SeqAt(spec.From)
	if err != nil {
		return nil, err
	}
	to, err := tr.SeqAt(spec.To)
	if err != nil {
		return nil, err
	}
	if from < 1 || from > n {
		return b.Strip(), nil
	}
	plan := timeline.Plan(spec, uint64(max(to, from)-from))
	if plan.Scan {
		err := scanStrip(ctx, tr, b, from)
		return b.Strip(), err
	}
	for _, m := range lost {
		b.Unnoticed(spec.Port, m.At, max(m.To, m.At))
	}
	b.AddCount(spec.From, spec.To, uint64(to-from))
	keys := tr.Keyframes()
	lo, _ := slices.BinarySearch(keys, from)
	hi, _ := slices.BinarySearch(keys, to)
	keys = keys[lo:hi]
	every := max((len(keys)+timeline.SampleLimit-1)/timeline.SampleLimit, 1)
	for i := 0; i < len(keys); i += every {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		st, err := tr.StateAt(keys[i])
		if err != nil {
			return nil, err
		}
		b.Sample(st)
	}
	return b.Strip(), nil
}

func scanStrip(ctx context.Context, tr Trace, b *timeline.Builder, from evtchn.Seq) error {
	st, err := tr.StateAt(from - 1)
	if err != nil {
		return err
	}
	b.Start(st)
	src := tr.Events(from)
	var ev evtchn.Event
	for i := 0; ; i++ {
		if i&0xfff == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		switch err := src.Next(&ev); {
		case err == io.EOF:
			b.Finish()
			return nil
		case err != nil:
			return err
		}
		if err := apply(st, &ev); err != nil {
			return err
		}
		if !b.Add(&ev, st) {
			return nil
		}
	}
}

// ticksOf turns a time of the report, in nanoseconds, into one of the trace's clock.
func (c clock) ticksOf(ns int64) evtchn.Time {
	if c.ticks || c.perTick == 1 {
		return evtchn.Time(ns)
	}
	return evtchn.Time(float64(ns) / c.perTick)
}

// timeMarksKept is more marks than a timeline has cells.
const timeMarksKept = 1000

// timeMarks are the findings in the window, the bookmarks, and the stretches in which the port was unnoticed.
func (m *Model) timeMarks() (marks, lost []timeline.Mark) {
	c := m.view.clock
	from, to := m.strip.model.Window()
	for _, s := range m.spots {
		f := s.finding
		if f.UnnoticedAt == nil {
			continue
		}
		mark := timeline.Mark{Kind: timeline.Finding, At: c.ticksOf(*f.UnnoticedAt)}
		if mark.At >= to {
			continue
		}
		if mark.At >= from && len(marks) < timeMarksKept {
			marks = append(marks, mark)
		}
		if f.Port == m.port && len(lost) < timeMarksKept {
			mark.To = m.last
			if f.NoticedAt != nil {
				mark.To = c.ticksOf(*f.NoticedAt)
			}
			if mark.To >= from {
				lost = append(lost, mark)
			}
		}
	}
	marks = append(marks, m.returnMark()...)
	for _, b := range m.marks {
		if ev, err := m.tape.event(b.Seq); err == nil {
			marks = append(marks, timeline.Mark{Kind: timeline.Bookmark, At: ev.Time, Label: []rune(b.Name + "?")[0]})
		}
	}
	return marks, lost
}

// fitStory makes the timeline show the finding's story: from before the port became pending until after it went unnoticed.
func (m *Model) fitStory() {
	if m.at < 0 {
		return
	}
	f, c := m.spots[m.at].finding, m.view.clock
	lo, hi := m.view.ev.Time, m.view.ev.Time
	for _, t := range []*int64{f.PendingAt, f.ExposedAt, f.UnnoticedAt} {
		if t != nil {
			lo, hi = min(lo, c.ticksOf(*t)), max(hi, c.ticksOf(*t))
		}
	}
	room := max((hi-lo)/2, 100)
	m.strip.model.SetWindow(lo-room, hi+room+1)
}

// onStrip carries out what the keys of the timeline do.
func (m *Model) onStrip(do func(t *timeline.Model, at evtchn.Time)) tea.Cmd {
	if m.view.ev != nil {
		do(m.strip.model, m.view.ev.Time)
		m.strip.err = nil
		m.panned = true
	}
	return nil
}

// stripHelp is what the help says of the timeline.
func (m *Model) stripHelp() []string {
	lines := []string{"You are in the timeline: a row per vcpu, and the life of the port. + and - zoom, left and right pan, 0 shows the whole trace."}
	return append(lines, m.strip.legend()...)
}
