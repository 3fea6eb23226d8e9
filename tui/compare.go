package tui

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/analyze/compare"
	"github.com/evtrace/evtrace/evtchn"
)

// recording is a trace with what is known of it.
type recording struct {
	tr     Trace
	meta   evtchn.Meta
	n      evtchn.Seq
	last   evtchn.Time // of the last event
	tape   *tape
	report *analyze.Report
	spots  []spot
}

func newRecording(tr Trace) (recording, error) {
	r := recording{tr: tr, meta: tr.Meta(), n: evtchn.Seq(tr.Len()), tape: newTape(tr)}
	if r.n > 0 {
		ev, err := r.tape.event(r.n)
		if err != nil {
			return r, err
		}
		r.last = ev.Time
	}
	return r, nil
}

// Len, Event and SeqAt make it a tape that another one can be laid beside.
func (r *recording) Len() evtchn.Seq { return r.n }

func (r *recording) Event(seq evtchn.Seq) (*evtchn.Event, error) { return r.tape.event(seq) }

func (r *recording) SeqAt(t evtchn.Time) (evtchn.Seq, error) { return r.tr.SeqAt(t) }

// comparison is another policy's recording beside the trace.
type comparison struct {
	recording
	rerun  *Rerun
	sought map[*analyze.Finding]bool // findings of the recording whose fate was asked for
	fates  map[*analyze.Finding]fate
}

var errCapture = errors.New("a capture cannot be run again: policies are for recordings")

// choosePolicy offers the policies.
func (m *Model) choosePolicy() tea.Cmd {
	switch {
	case m.opt.Rerun == nil:
		// Over the panes, so that the enter which would have chosen a policy does not take it away unread.
		m.say("p is for recordings: a capture cannot be run again")
		m.open([]string{"p works on recordings, not on captures.", "",
			"To show what another policy would have made of a trace, it is run again from what came from outside. A capture of a real " +
				"system tells what was done, and not by which program, so there is nothing to run.", "",
			"What a policy might have made of it is predicted on the command line:", "  evtrace replay --policy all " + m.opt.Name, "",
			"The same bug in a recording, on which p works:", "  evtrace record --scenario seed-port65 -o seed-port65.evt", "  evtrace tui seed-port65.evt"})
		return nil
	case m.exchanged:
		m.say("x goes back to the recording first")
		return nil
	}
	var items []item
	if m.other != nil {
		items = append(items, item{"none: the recording alone", func(m *Model) tea.Cmd { m.dropOther(); return nil }})
	}
	recorded, _ := evtchn.ParsePolicy(m.meta.Policy)
	for _, pre := range evtchn.Presets() {
		if pre.Policy == recorded {
			continue
		}
		items = append(items, item{fmt.Sprintf("%-24s %s", pre.Name, pre.Doc), func(m *Model) tea.Cmd { return m.startPolicy(pre.Policy) }})
	}
	m.offer("under which policy? :policy=unmask=hypercall,rebind=2013 composes one", items)
	return nil
}

// setPolicy runs the trace under a policy that was typed.
func (m *Model) setPolicy(spec string) (tea.Cmd, error) {
	if m.opt.Rerun == nil {
		return nil, errCapture
	}
	if m.exchanged {
		return nil, fmt.Errorf("x goes back to the recording first")
	}
	if spec == "" || spec == "none" {
		m.dropOther()
		return nil, nil
	}
	p, err := evtchn.ParsePolicy(spec)
	if err != nil {
		return nil, err
	}
	return m.startPolicy(p), nil
}

// rerunMsg brings a trace under another policy.
type rerunMsg struct {
	rerun *Rerun
	err   error
}

const rerunning = "replaying"

func (m *Model) startPolicy(p evtchn.Policy) tea.Cmd {
	if _, busy := m.running[rerunning]; busy {
		m.say("a replay is under way: wait for it, or esc stops it")
		return nil
	}
	m.dropOther()
	ctx, stop := context.WithCancel(m.background)
	m.stopRerun = stop
	run, held := m.opt.Rerun, m.held
	return m.work(rerunning, func(_ context.Context, progress func(uint64)) tea.Msg {
		r, err := run(ctx, p, progress)
		if err == nil {
			held.hold(r)
		}
		return rerunMsg{r, err}
	})
}

func (m *Model) dropOther() {
	if m.exchanged {
		m.exchange()
	}
	if m.other != nil {
		m.held.drop(m.other.rerun)
		m.other = nil
		m.events.rows = nil
	}
}

// takeRerun shows a trace under another policy beside the recording.
func (m *Model) takeRerun(msg rerunMsg) tea.Cmd {
	delete(m.running, rerunning)
	if msg.err != nil {
		if m.background.Err() == nil && !errors.Is(msg.err, context.Canceled) {
			m.fail(msg.err)
		}
		return nil
	}
	if err := m.setOther(msg.rerun); err != nil {
		m.fail(err)
		return nil
	}
	m.message, m.bad = "", false // the status line says what became of it
	return nil
}

// setOther puts a trace under another policy beside the recording.
func (m *Model) setOther(r *Rerun) error {
	rec, err := newRecording(r.Trace)
	if err != nil {
		m.held.drop(r)
		return err
	}
	rec.report = r.Report
	if rec.report == nil {
		rec.report = &analyze.Report{}
	}
	rec.spots = spotsOf(rec.report, rec.n)
	m.other = &comparison{recording: rec, rerun: r}
	m.events.rows = nil
	return nil
}

// departure goes to where the other policy first does something else.
func (m *Model) departure() tea.Cmd {
	switch {
	case m.other == nil:
		m.say("no other policy is shown: p chooses one")
	case m.exchanged:
		m.say("x goes back to the recording first")
	case m.other.rerun.Departure == 0:
		m.say("%s does exactly the same", m.other.rerun.Policy)
	default:
		m.events.rows = nil // so that there is room below it
		m.jump(min(m.other.rerun.Departure, m.n))
	}
	return nil
}

// findingOf is the finding that is looked at if it is of the port, else the port's first one, nil if it has none.
func (m *Model) findingOf(port evtchn.Port) *analyze.Finding {
	if f := m.view.finding; f != nil && f.Port == port {
		return f
	}
	for i := range m.spots {
		if f := m.spots[i].finding; f.Port == port {
			return f
		}
	}
	return nil
}

// portDeparture goes to the next event of the port that does not happen under the other policy; first to the one that follows the
// beginning of the finding's story.
func (m *Model) portDeparture() tea.Cmd {
	switch {
	case m.other == nil:
		m.say("no other policy is shown: p chooses one")
		return nil
	case m.exchanged:
		m.say("x goes back to the recording first")
		return nil
	case m.port == evtchn.NoPort || m.seq == 0:
		m.say("no port is looked at: enter takes that of an event")
		return nil
	}
	port, name := m.port, fmt.Sprintf("departures of port %d, %p", m.port, m.other)
	x := m.find(name, func() *index {
		var mu sync.Mutex // a look that was given up may still be under way
		theirs := recording{tr: m.other.tr, n: m.other.n, tape: newTape(m.other.tr)}
		x := newIndex(m.tr, name, match{event: func(ev *evtchn.Event) bool {
			if ev.Port != port {
				return false
			}
			mu.Lock()
			defer mu.Unlock()
			at := compare.AlignedTo(&theirs, ev)
			if at == 0 {
				return true
			}
			e, err := theirs.tape.event(at)
			return err == nil && !compare.Alike(e, ev)
		}})
		x.only(m.tr.PortRanges(port))
		return x
	})
	from := m.seq
	if f := m.findingOf(port); f != nil && m.departed != m.seq {
		if at, ok := pendingTime(f); ok {
			first, err := m.tr.SeqAt(at)
			if err != nil {
				m.fail(err)
				return nil
			}
			from = first - 1
		}
	}
	j := &job{x: x, dir: 1, what: fmt.Sprintf("where port %d departs", port)}
	j.more = func(m *Model) int {
		seq, want := x.next(from, 1)
		switch {
		case want >= 0:
			return want
		case seq == 0:
			m.say("port %d: every event after #%d happens under %s, too", port, from, m.other.rerun.Policy)
		default:
			m.events.rows = nil // so that there is room below it
			if m.jump(seq) {
				m.departed = seq
			}
		}
		return -1
	}
	return m.start(j)
}

// exchange steps through the other policy's trace, with the recording beside it, or back.
func (m *Model) exchange() tea.Cmd {
	if m.other == nil {
		m.say("no other policy is shown: p chooses one")
		return nil
	}
	seq := m.aligned()
	if seq == 0 {
		seq = 1
	}
	m.recording, m.other.recording = m.other.recording, m.recording
	m.exchanged = !m.exchanged
	m.indexes, m.jumps, m.jumpAt, m.at = nil, nil, 0, -1
	src := m.filterSrc
	m.clearFilter()
	m.strip.model.SetStrip(nil)
	if err := m.goTo(min(seq, m.n)); err != nil {
		m.fail(err)
	}
	if src != "" {
		_ = m.setFilter(src)
	}
	return nil
}

// aligned gives the event of the other trace at the cursor's: the same one, or the last that is not later. 0: it has none.
func (m *Model) aligned() evtchn.Seq {
	if m.other == nil || m.seq == 0 {
		return 0
	}
	return compare.AlignedTo(&m.other.recording, m.view.ev)
}

// policyParts say how the other policy did, and at what cost, the most important first.
func (m *Model) policyParts() []string {
	if m.exchanged {
		return []string{fmt.Sprintf("this is what %s would have made of it", m.meta.Policy), "x goes back to the recording"}
	}
	parts := m.verdictAndCosts()
	return slices.Insert(parts, min(3, len(parts)), "d: where it departs, x: step there")
}

// verdictAndCosts say how the other policy did, each cost with that of the recorded one before it.
func (m *Model) verdictAndCosts() []string {
	r := m.other.report
	text := fmt.Sprintf("%s: %s", m.other.rerun.Policy, r.Verdict)
	if r.Totals.Lost > 0 {
		text += fmt.Sprintf(", %d lost", r.Totals.Lost)
	}
	if r.Totals.Late > 0 {
		text += fmt.Sprintf(", %d late", r.Totals.Late)
	}
	if m.report == nil {
		return []string{text}
	}
	cost := func(what string, is, was uint64) string { return fmt.Sprintf("%s %d -> %d", what, was, is) }
	c, own := &r.Costs, &m.report.Costs
	return []string{text, cost("hypercalls", c.Hypercalls, own.Hypercalls), cost("IPIs", c.IPIs, own.IPIs),
		cost("spurious upcalls", c.SpuriousUpcalls, own.SpuriousUpcalls)}
}
