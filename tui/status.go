package tui

import (
	"fmt"
	"sort"
	"strings"

	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/x/ansi"

	"github.com/evtrace/evtrace/analyze"
)

// titleView is the first line: what trace this is and where in it the cursor stands.
func (m *Model) titleView() string {
	left := " " + clean(m.opt.Name)
	if m.opt.Name == "" {
		left = " evtrace"
	}
	v := m.meta.Policy
	if m.exchanged {
		v += " INSTEAD of " + m.other.meta.Policy
	}
	if m.meta.Source == "observed" {
		v = "capture"
	} else if v == "" {
		v = "policy not known"
	}
	left += fmt.Sprintf("  %s, %d vcpus", clean(v), m.meta.VCPUs)
	if !m.meta.Complete {
		left += ", incomplete"
	}
	if m.meta.Gaps > 0 {
		left += fmt.Sprintf(", %d gaps", m.meta.Gaps)
	}
	right := fmt.Sprintf("#%d of %s ", m.seq, group(m.n))
	if m.view.ev != nil {
		right = "t=" + m.view.clock.at(m.view.ev.Time) + " " + m.view.clock.unit() + "  " + right
	}
	return m.styles.Status.Render(bar(left, right, m.w, m.glyphs))
}

// bar puts two texts at the ends of a line; the right one has precedence.
func bar(left, right string, w int, g *glyphs) string {
	n := lipgloss.Width(right)
	return fit(fit(shorten(left, w-n-1, g), max(w-n-1, 0))+" "+right, w)
}

// shorten cuts a text to a width, and shows that it was cut.
func shorten(s string, w int, g *glyphs) string { return ansi.Truncate(s, max(w, 0), g.more) }

// whole joins as many of the parts as have room, the first one in any case.
func whole(parts []string, sep string, w int) string {
	text := ""
	for i, part := range parts {
		if i > 0 && lipgloss.Width(text+sep+part) > w {
			break
		}
		if i > 0 {
			text += sep
		}
		text += part
	}
	return text
}

// messageLines is how many lines a message may take.
const messageLines = 4

// statusLines are the last lines: the input, or a message, or the keys to begin with. A message comes before what else there is to say,
// and takes more than one line if it needs them.
func (m *Model) statusLines() []string {
	if m.mode == modeInput {
		return []string{m.inputView()}
	}
	var right []string // the most important first
	if f := m.findingText(); f != "" {
		right = append(right, f)
	}
	switch {
	case m.filter != nil && m.other != nil:
		right = append(right, "filter: not beside a policy")
	case m.filter != nil:
		right = append(right, "filter "+clean(m.filterSrc))
	}
	if len(m.breaks) > 0 {
		right = append(right, count(len(m.breaks), "breakpoint"))
	}
	left := m.doing()
	if len(m.running) > 0 {
		left = strings.TrimLeft(m.runningText()+"  "+left, " ")
	}
	st := m.styles.Status
	if m.bad {
		st = m.styles.Bad
	}
	room := m.w - 2 // without the blanks at the ends
	if left == "" {
		facts := whole(right, "  ", room/2)
		room -= lipgloss.Width(facts) + 2
		return []string{st.Render(bar(" "+m.standing(room), facts+" ", m.w, m.glyphs))}
	}
	if lipgloss.Width(left) > room {
		lines := wrap(left, room)
		if len(lines) > messageLines {
			lines = lines[:messageLines]
			last := &lines[messageLines-1]
			*last = ansi.Truncate(*last, room-lipgloss.Width(m.glyphs.more), "") + m.glyphs.more
		}
		for i, l := range lines {
			lines[i] = st.Render(fit(" "+l, m.w))
		}
		return lines
	}
	room -= lipgloss.Width(left) + 2
	facts := whole(right, "  ", room)
	if lipgloss.Width(facts) > room {
		facts = ""
	}
	return []string{st.Render(bar(" "+left, facts+" ", m.w, m.glyphs))}
}

// doing is what the status line says of what was asked for, "" for nothing.
func (m *Model) doing() string {
	switch {
	case m.mode == modeSetMark:
		return "mark this event: type a letter"
	case m.mode == modeGoMark:
		return "go to which mark? type its letter, or ' for where the last jump began"
	case m.count > 0:
		return fmt.Sprint(m.count)
	case m.job != nil:
		return m.jobText()
	}
	return m.message
}

// standing is what the status line says in w columns while nothing was asked for.
func (m *Model) standing(w int) string {
	if m.other != nil {
		return whole(m.policyParts(), ", ", w)
	}
	long := "j k step  u finding  . , this port  [ ] cause, effect  p policy  tab pane  : go  ? help  q quit"
	if m.w >= 110 && lipgloss.Width(long) <= w {
		return long
	}
	if short := "j k step  u finding  . , port  p policy  ? help  q quit"; lipgloss.Width(short) <= w {
		return short
	}
	return "j k step  ? help  q quit"
}

// runningText says what is done in the background.
func (m *Model) runningText() string {
	var names []string
	for name := range m.running {
		names = append(names, name)
	}
	sort.Strings(names)
	for i, name := range names {
		names[i] = name
		if m.n > 0 {
			names[i] += fmt.Sprintf(" %d %%", min(m.running[name]*100/uint64(m.n), 100))
		}
	}
	return strings.Join(names, ", ")
}

func (m *Model) jobText() string {
	return fmt.Sprintf("%s: %d %% of the trace looked at; any key stops it", m.job.what, m.job.x.percent())
}

func (m *Model) findingText() string {
	switch {
	case m.report == nil:
		return ""
	case len(m.spots) == 0:
		return "no findings"
	case m.at < 0:
		return count(len(m.spots), "finding")
	}
	return fmt.Sprintf("finding %d of %d", m.at+1, len(m.spots))
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return group(n) + " " + what + "s"
}

func (m *Model) eventsTitle() string {
	if m.other != nil {
		a, b := clean(m.meta.Policy), clean(m.other.meta.Policy)
		return fmt.Sprintf("events, time in %s   left: %s   right: %s   %s only one has it", m.view.clock.unit(), a, b, m.glyphs.departs)
	}
	t := fmt.Sprintf("events, time in %s   %s from outside", m.view.clock.unit(), m.glyphs.input)
	if x := m.filter; x != nil {
		t = fmt.Sprintf("events that the filter shows: %s of %s", group(x.count), group(m.n))
		if x.left > 0 {
			t += fmt.Sprintf(", %d %% looked at", x.percent())
		}
	}
	if m.meta.Source == "observed" {
		t += fmt.Sprintf("  %s inferred", m.glyphs.inferred)
	}
	if m.at >= 0 {
		t += fmt.Sprintf("  %s evidence", m.glyphs.evidence)
	}
	return t
}

func (m *Model) whyTitle() string {
	if m.at < 0 {
		return "why"
	}
	f := m.spots[m.at].finding
	return fmt.Sprintf("why: port %d %s (%s)", f.Port, kindText(f), f.Cause)
}

func kindText(f *analyze.Finding) string {
	switch f.Kind {
	case analyze.KindLost:
		return "was lost"
	case analyze.KindLate:
		return "was noticed late"
	case analyze.KindDuplicate:
		return "was handled twice"
	case analyze.KindConcurrent:
		return "was handled on two vcpus at once"
	case analyze.KindWrongVCPU:
		return "was handled on a wrong vcpu"
	}
	return "is undecided"
}

// whyNotes is what the why pane says without a finding.
func (m *Model) whyNotes() []string {
	switch {
	case m.report == nil:
		return []string{"The trace is being judged: findings appear here."}
	case len(m.spots) > 0:
		next := "u goes to the next"
		switch i := m.beside(1); i {
		case 0:
			next = "u goes to the first"
		case len(m.spots):
			next = "U goes to the one before, u to the first"
		}
		return []string{fmt.Sprintf("The trace has %s, and none has to do with this step. %s.", count(len(m.spots), "finding"), next)}
	case m.n == 0:
		return []string{"The trace has no events."}
	}
	r := m.report
	var notes []string
	switch r.Verdict {
	case analyze.VerdictClean:
		notes = append(notes, fmt.Sprintf("No event was missed: of %s events that ports were set pending for, %s were delivered, the slowest after %s.",
			group(r.Totals.Episodes), group(r.Totals.Delivered), m.view.clock.spanNs(r.Latency.Max)))
	case "":
		notes = append(notes, "The trace was not judged.")
	default:
		notes = append(notes, "The verdict is "+string(r.Verdict)+", and there is no event to show for it.")
	}
	for _, miss := range r.Missing {
		notes = append(notes, "Missing: "+clean(miss))
	}
	return append(notes, "Walk with j and k; enter takes an event's port, and . and , follow it.")
}
