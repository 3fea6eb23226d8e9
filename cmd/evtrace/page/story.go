package page

import (
	"fmt"
	"io"
	"strings"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/text"
)

// story tells the findings that are told in full: the heading, and a part for each.
func (m *maker) story() ([]Section, error) {
	head := Section{ID: "story", Title: "What happened", Level: 2}
	full := m.order[:min(m.opt.Full, len(m.order))]
	if len(full) == 0 {
		return m.uneventful(head)
	}
	if n := m.total(); n > uint64(len(full)) {
		told := "The worst is told in full"
		if len(full) > 1 {
			told = fmt.Sprintf("The worst %d are told in full", len(full))
		}
		head.text(fmt.Sprintf("%s in the trace. %s; the table after that has others.", count(n, "finding"), told))
	}
	list := []Section{head}
	for _, f := range full {
		s, err := m.finding(f)
		if err != nil {
			return nil, err
		}
		list = append(list, *s)
	}
	return list, nil
}

// finding tells one in full.
func (m *maker) finding(f *analyze.Finding) (*Section, error) {
	s := &Section{ID: findingID(f), Title: f.ID + ": " + f.Cause.Text(), Level: 3}
	if f.NoticedSeq != 0 {
		m.told[f.NoticedSeq] = s.ID
	}
	s.text(m.summary(f))
	if len(f.Why) > 0 {
		s.Blocks = append(s.Blocks, Block{List: &List{Numbered: true, Items: f.Why}})
	}
	if f.FirstSeq() != 0 {
		events, err := f.Events(m.in.Trace.Events(f.FirstSeq()))
		if err != nil {
			return nil, err
		}
		fig, err := m.timeline(f, events)
		if err != nil {
			return nil, err
		}
		s.figure(fig)
		s.table(m.events(f, events))
		st, err := m.state(f)
		if err != nil {
			return nil, err
		}
		if st != nil {
			s.Blocks = append(s.Blocks, Block{State: st})
		}
	}
	m.support(s, f)
	return s, nil
}

// summary says in a sentence or two when what happened.
func (m *maker) summary(f *analyze.Finding) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Port %d", f.Port)
	if m.t.ABI != "fifo" {
		fmt.Fprintf(&b, ", in event word %d", f.Word)
	}
	if f.OwnerVCPU >= 0 {
		fmt.Fprintf(&b, ", belongs to vcpu %d.", f.OwnerVCPU)
	} else {
		b.WriteString(" belongs to a vcpu that the trace does not name.")
	}
	part := func(what string, at *int64) {
		if at != nil {
			fmt.Fprintf(&b, " %s at %s.", what, m.t.Moment(*at))
		}
	}
	part("Pending", f.PendingAt)
	part("Exposed", f.ExposedAt)
	if f.UnnoticedAt != nil {
		fmt.Fprintf(&b, " Unnoticed from %s on (#%d)", m.t.Moment(*f.UnnoticedAt), f.UnnoticedSeq)
		if f.UnnoticedVCPU >= 0 {
			fmt.Fprintf(&b, ", when vcpu %d looked away", f.UnnoticedVCPU)
		}
		b.WriteString(".")
	}
	switch {
	case f.NoticedAt != nil:
		fmt.Fprintf(&b, " Noticed at %s on vcpu %d", m.t.Moment(*f.NoticedAt), f.NoticedVCPU)
		if f.Delay != nil {
			fmt.Fprintf(&b, ", after %s", m.t.Span(*f.Delay))
		}
		if f.RescuedByPort != evtchn.NoPort {
			fmt.Fprintf(&b, ", thanks to port %d", f.RescuedByPort)
		}
		b.WriteString(".")
	case f.Kind == analyze.KindLost:
		b.WriteString(" Never noticed.")
	}
	return b.String()
}

// support says what a finding rests on.
func (m *maker) support(s *Section, f *analyze.Finding) {
	if f.Strength != analyze.StrengthSeen || len(f.Deduced) > 0 {
		t := fmt.Sprintf("Evidence: %s. %s", f.Strength, sentence(f.Strength.Text()))
		if n := len(f.Deduced); n > 0 {
			t += fmt.Sprintf(" It rests on %s; %d of them not in the capture, but deduced.", count(uint64(len(f.Evidence)), "event"), n)
		}
		s.text(t)
		s.list(sentences(f.Proof))
	}
	if len(f.Settle) > 0 {
		s.text("To decide it:")
		s.list(sentences(f.Settle))
	}
}

// events is the table of a story's events.
func (m *maker) events(f *analyze.Finding, list []analyze.StoryEvent) *Table {
	t := &Table{Caption: "The events of " + f.ID, Columns: []Column{{Name: "event"}, {Name: m.later(), Right: true}, {Name: "vcpu"}, {Name: "who"}, {Name: "step"},
		{Name: "port", Right: true, Wide: true}, {Name: "what"}}}
	inferred := false
	for i := range list {
		e := &list[i]
		ev := &e.Event
		if e.Skipped > 0 {
			t.Rows = append(t.Rows, Row{Cells: []string{"...", "", "", "", "", "", count(e.Skipped, "other event") + " left out"}})
		}
		seq := fmt.Sprintf("#%d", ev.Seq)
		if ev.Inferred() {
			seq += "*"
			inferred = true
		}
		row := Row{Cells: []string{seq, group(m.units(ev.Time) - m.units(list[0].Event.Time)), vcpuName(ev.VCPU),
			clean(string(text.AppendContext(nil, ev, &m.meta))), ev.Kind.String(), string(text.AppendPort(nil, ev)), clean(string(text.AppendWhat(nil, ev, &m.meta)))}}
		if !m.shown[ev.Seq] {
			m.shown[ev.Seq] = true
			row.ID = eventID(ev.Seq)
		}
		switch e.Turn {
		case analyze.TurnUnnoticed:
			row.Mark = MarkBad
		case analyze.TurnExposed:
			row.Mark = MarkWarn
		case analyze.TurnNoticed:
			row.Mark = MarkGood
		}
		if e.Turn != "" {
			row.Note = e.Turn.Text()
		}
		t.Rows = append(t.Rows, row)
	}
	if inferred {
		t.Note = "* not in the capture, and deduced from what is."
	}
	return t
}

// later is the head of the column of times.
func (m *maker) later() string { return m.t.Unit + " later" }

// units gives a time of an event in the report's unit.
func (m *maker) units(t evtchn.Time) int64 {
	if m.meta.Unit == "ticks" && m.t.Unit == "ns" {
		return int64(float64(t) * m.meta.NsPerTick)
	}
	return int64(t)
}

// uneventful shows the slowest delivery of a trace in which nothing was found.
func (m *maker) uneventful(s Section) ([]Section, error) {
	b := m.r.Latency.Buckets
	if len(b) == 0 || b[len(b)-1].Worst.From == 0 {
		s.text(m.nothing() + " No delivery was seen from beginning to end.")
		return []Section{s}, nil
	}
	w := b[len(b)-1].Worst
	s.text(fmt.Sprintf("%s The slowest delivery: port %d was exposed (#%d), and vcpu %d took it up %s later (#%d).", m.nothing(), w.Port, w.From, w.VCPU,
		m.t.Span(w.Delay), w.Seq))
	events, err := m.delivery(&w)
	if err != nil {
		return nil, err
	}
	f := &analyze.Finding{ID: "the slowest delivery", Port: w.Port, NoticedSeq: w.Seq, NoticedVCPU: w.VCPU, NoticedAt: &w.At, OwnerVCPU: w.VCPU, UnnoticedVCPU: evtchn.NoVCPU}
	fig, err := m.timeline(f, events)
	if err != nil {
		return nil, err
	}
	s.figure(fig)
	s.table(m.events(f, events))
	return []Section{s}, nil
}

// nothing says that nothing was found.
func (m *maker) nothing() string {
	if m.r.Verdict == analyze.VerdictUnknown {
		return "Nothing was seen to be wrong, but the trace does not show enough to be sure: see what was missing."
	}
	return "Nothing was found to be wrong."
}

// delivery tells a delivery by its first and its last events.
func (m *maker) delivery(w *analyze.Worst) ([]analyze.StoryEvent, error) {
	const head, tail = 4, 5
	var list []analyze.StoryEvent
	src := m.in.Trace.Events(w.From)
	var ev evtchn.Event
	left := uint64(0)
	for n := 0; n < scanBudget; n++ {
		if err := src.Next(&ev); err == io.EOF || err == nil && ev.Seq > w.Seq {
			break
		} else if err != nil {
			return nil, err
		}
		tells := ev.Port == w.Port
		switch ev.Kind {
		case evtchn.KindSelTAS, evtchn.KindUpTAS, evtchn.KindIPI, evtchn.KindSelXchg, evtchn.KindRun:
			tells = tells || ev.Target() == w.VCPU
		}
		if !tells {
			left++
			continue
		}
		e := analyze.StoryEvent{Event: ev, Evidence: true, Skipped: left}
		left = 0
		switch ev.Seq {
		case w.From:
			e.Turn = analyze.TurnExposed
		case w.Seq:
			e.Turn = analyze.TurnNoticed
		}
		list = append(list, e)
		if len(list) > head+tail {
			list[head+1].Skipped += list[head].Skipped + 1
			list = append(list[:head], list[head+1:]...)
		}
	}
	return list, nil
}
