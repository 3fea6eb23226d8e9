package tui

import (
	"fmt"
	"sort"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/evtrace/evtrace/evtchn"
)

// goTo puts the cursor on an event. After an error it stays where it is.
func (m *Model) goTo(seq evtchn.Seq) error {
	if seq == 0 {
		return m.tape.seek(0)
	}
	if err := m.tape.seek(seq); err != nil {
		_ = m.tape.seek(m.seq)
		return err
	}
	ev, err := m.tape.event(seq)
	if err != nil {
		return err
	}
	m.seq = seq
	m.view.seq, m.view.ev, m.view.cur, m.view.prev = seq, ev, m.tape.cur, m.tape.prev
	return nil
}

// move does so for a key, and puts errors into the status line.
func (m *Model) move(seq evtchn.Seq) bool {
	if err := m.goTo(seq); err != nil {
		m.fail(err)
		return false
	}
	return true
}

// jump is a move that can be taken back.
func (m *Model) jump(seq evtchn.Seq) bool {
	from := m.seq
	if seq == from {
		return true
	}
	if !m.move(seq) {
		return false
	}
	m.jumps = append(m.jumps[:m.jumpAt], from)
	if len(m.jumps) > 200 {
		m.jumps = m.jumps[len(m.jumps)-100:]
	}
	m.jumpAt = len(m.jumps)
	return true
}

func (m *Model) jumpBack() tea.Cmd {
	if m.jumpAt == 0 {
		m.say("no jump to take back")
		return nil
	}
	if m.jumpAt == len(m.jumps) {
		m.jumps = append(m.jumps, m.seq) // so that one can come forth again
	}
	m.jumpAt--
	m.move(m.jumps[m.jumpAt])
	return nil
}

func (m *Model) jumpForth() tea.Cmd {
	if m.jumpAt+1 >= len(m.jumps) {
		m.say("no jump was taken back")
		return nil
	}
	m.jumpAt++
	m.move(m.jumps[m.jumpAt])
	return nil
}

// stepBy moves by lines of the list, or in the why by links.
func (m *Model) stepBy(n int) tea.Cmd {
	if m.seq == 0 {
		return nil
	}
	if m.focus == paneWhy && m.at >= 0 {
		return m.stepWhy(n)
	}
	if m.filter != nil && m.other == nil {
		return m.stepFiltered(n)
	}
	switch to := int64(m.seq) + int64(n); {
	case to < 1:
		m.atEnd(m.seq == 1, "the beginning of the trace")
		m.move(1)
	case to > int64(m.n):
		m.atEnd(m.seq == m.n, "the end of the trace")
		m.move(m.n)
	default:
		m.move(evtchn.Seq(to))
	}
	return nil
}

func (m *Model) atEnd(already bool, where string) {
	if already {
		m.say("this is %s", where)
	}
}

func (m *Model) stepWhy(n int) tea.Cmd {
	m.port = m.spots[m.at].finding.Port
	dir, end := 1, "last"
	if n < 0 {
		dir, end = -1, "first"
	}
	for ; n != 0; n -= dir {
		seq := m.why.next(m.seq, dir)
		if dir > 0 && seq == 0 && m.why.goBeyond(m.seq) || dir < 0 && m.why.comeBack(m.seq) {
			return nil
		}
		if seq == 0 || seq > m.n {
			m.say("this is the %s event of the story", end)
			return nil
		}
		m.move(seq)
	}
	return nil
}

func (m *Model) page(dir int) tea.Cmd {
	return m.stepBy(dir * max(m.events.Len()-2, 1))
}

func (m *Model) jumpEnd(last bool, n int) tea.Cmd {
	switch {
	case m.seq == 0:
	case n > 0 && evtchn.Seq(n) > m.n:
		m.fail(fmt.Errorf("%w: #%d, the trace has #1 to #%d", errNoEvent, n, m.n))
	case n > 0:
		m.jump(evtchn.Seq(n))
	case last:
		m.jump(m.n)
	default:
		m.jump(1)
	}
	return nil
}

// toFinding puts the cursor where a finding went unnoticed, and looks at its port.
func (m *Model) toFinding(i int) {
	if m.jump(m.spots[i].seq) {
		m.at = i
		m.port = m.spots[i].finding.Port
		m.fitStory()
	}
}

func (m *Model) nextFinding(dir int) tea.Cmd {
	switch {
	case m.report == nil:
		m.say("the trace is still being judged")
		return nil
	case len(m.spots) == 0:
		m.say("the trace has no findings")
		return nil
	}
	i := m.at + dir
	if m.at < 0 || m.spots[m.at].seq != m.seq {
		i = m.beside(dir)
	}
	switch {
	case i < 0:
		i = len(m.spots) - 1
		m.say("wrapped to the last finding")
	case i >= len(m.spots):
		i = 0
		m.say("wrapped to the first finding")
	}
	m.toFinding(i)
	return nil
}

// beside is the finding that is nearest to the cursor in a direction: -1 if there is none before it, their number if none after it.
func (m *Model) beside(dir int) int {
	i := sort.Search(len(m.spots), func(i int) bool { return m.spots[i].seq > m.seq })
	if dir > 0 {
		return i
	}
	for i--; i >= 0 && m.spots[i].seq == m.seq; i-- {
	}
	return i
}

// seekMatch goes to the next event that an index has, once it is known.
func (m *Model) seekMatch(x *index, dir int, what string) tea.Cmd {
	from := m.seq
	j := &job{x: x, dir: dir, what: what}
	j.more = func(m *Model) int {
		seq, want := x.next(from, dir)
		switch {
		case want >= 0:
			return want
		case seq == 0:
			m.say("%s: none %s", what, map[bool]string{true: "after this", false: "before this"}[dir > 0])
		default:
			m.jump(seq)
		}
		return -1
	}
	return m.start(j)
}

// start carries a job as far as it goes at once, and the rest in the background.
func (m *Model) start(j *job) tea.Cmd {
	want := j.more(m)
	if want < 0 {
		return nil
	}
	// One slice takes about a millisecond: most jobs are done with it.
	f := j.x.fill(want, j.dir, 1, func(i int) bool { return j.x.known[i] })
	j.x.merge(f)
	if f.err != nil {
		m.fail(f.err)
		return nil
	}
	if want = j.more(m); want < 0 {
		return nil
	}
	m.job = j
	return j.fillCmd(want)
}

// filled takes what a command found for a job, and goes on with it if it is still wanted.
func (m *Model) filled(msg filledMsg) tea.Cmd {
	msg.job.x.merge(msg.filled)
	if m.filling == msg.job {
		m.filling = nil // refresh asks again if the list still lacks something
		if msg.err != nil {
			m.clearFilter()
			m.fail(msg.err)
		}
		return nil
	}
	if m.job != msg.job {
		return nil
	}
	if msg.err != nil {
		m.job = nil
		m.fail(msg.err)
		return nil
	}
	m.job = nil
	want := msg.job.more(m)
	if want < 0 {
		return nil
	}
	m.job = msg.job
	return msg.job.fillCmd(want)
}

// find gives the index of that name, a new one if need be.
func (m *Model) find(name string, make func() *index) *index {
	for i, x := range m.indexes {
		if x.name == name {
			m.indexes = append(append(m.indexes[:i], m.indexes[i+1:]...), x)
			return x
		}
	}
	x := make()
	m.indexes = append(m.indexes, x)
	if len(m.indexes) > 8 {
		m.indexes = m.indexes[1:]
	}
	return x
}

func (m *Model) nextOfPort(dir int) tea.Cmd {
	if m.seq == 0 {
		return nil
	}
	p := m.port
	if p == evtchn.NoPort {
		p = m.view.ev.Port
	}
	if p == evtchn.NoPort {
		x := m.find("any port", func() *index {
			return newIndex(m.tr, "any port", match{event: func(ev *evtchn.Event) bool { return ev.Port != evtchn.NoPort }})
		})
		return m.seekMatch(x, dir, "an event of a port")
	}
	m.port = p
	name := fmt.Sprintf("port %d", p)
	x := m.find(name, func() *index {
		x := newIndex(m.tr, name, match{event: func(ev *evtchn.Event) bool { return ev.Port == p }})
		x.only(m.tr.PortRanges(p))
		return x
	})
	return m.seekMatch(x, dir, "an event of "+name)
}

func (m *Model) nextOfVCPU(dir int) tea.Cmd {
	if m.seq == 0 {
		return nil
	}
	v := m.view.ev.VCPU
	if v == evtchn.NoVCPU {
		m.say("this event is of no vcpu: v and V follow that of the event under the cursor")
		return nil
	}
	return m.followVCPU(v, dir)
}

func (m *Model) followVCPU(v evtchn.VCPU, dir int) tea.Cmd {
	name := fmt.Sprintf("vcpu %d", v)
	x := m.find(name, func() *index {
		return newIndex(m.tr, name, match{event: func(ev *evtchn.Event) bool { return ev.VCPU == v }})
	})
	return m.seekMatch(x, dir, "an event of "+name)
}

func (m *Model) nextInput(dir int) tea.Cmd {
	if m.seq == 0 {
		return nil
	}
	x := m.find("input", func() *index {
		return newIndex(m.tr, "input", match{event: func(ev *evtchn.Event) bool { return ev.Input() }})
	})
	return m.seekMatch(x, dir, "an input")
}

// cause goes to what made the event happen: what it names, or the step before it in its own context.
func (m *Model) cause() tea.Cmd {
	if m.seq == 0 {
		return nil
	}
	ev := *m.view.ev
	if ev.Cause > 0 && ev.Cause < m.seq {
		m.jump(ev.Cause)
		return nil
	}
	if ev.Input() {
		m.say("nothing in the trace made this happen: it came from outside")
		return nil
	}
	return m.seekMatch(m.contextIndex(&ev), -1, "a step of this context")
}

// effect goes to the first event that names this one as its cause, or else to the next step of the same context.
func (m *Model) effect() tea.Cmd {
	if m.seq == 0 {
		return nil
	}
	ev, seq := *m.view.ev, m.seq
	// What a step causes elsewhere comes soon after it, if at all: a bounded look is enough for the named cause.
	for s := seq + 1; s <= min(seq+stateEvents, m.n); s++ {
		e, err := m.tape.event(s)
		if err != nil {
			m.fail(err)
			return nil
		}
		if e.Cause == seq || e.Cause == 0 && !e.Input() && e.Ctx == ev.Ctx && e.VCPU == ev.VCPU && e.Dom == ev.Dom {
			m.jump(s)
			return nil
		}
	}
	return m.seekMatch(m.contextIndex(&ev), 1, "an effect of this event")
}

func (m *Model) contextIndex(of *evtchn.Event) *index {
	ctx, v, d := of.Ctx, of.VCPU, of.Dom
	name := fmt.Sprintf("context %v %d %d", ctx, v, d)
	return m.find(name, func() *index {
		return newIndex(m.tr, name, match{event: func(ev *evtchn.Event) bool { return ev.Ctx == ctx && ev.VCPU == v && ev.Dom == d }})
	})
}

// takePort looks at the port of the event under the cursor from now on.
func (m *Model) takePort() tea.Cmd {
	switch {
	case m.seq == 0:
	case m.view.ev.Port == evtchn.NoPort:
		m.say("this event is of no port")
	default:
		m.port = m.view.ev.Port
		m.say("port %d", m.port)
	}
	return nil
}
