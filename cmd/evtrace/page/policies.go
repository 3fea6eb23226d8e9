package page

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/evtrace/evtrace/analyze"
)

// Bars compares policies: what each of them leaves unnoticed, how slow its slowest delivery is, and what it costs.
type Bars struct {
	Unit      string `json:"unit"`
	Rows      []Bar  `json:"rows"`
	Predicted bool   `json:"predicted,omitempty"` // all but the first row
	Left      int    `json:"left,omitempty"`      // policies without a row
}

// Bar is the row of a policy.
type Bar struct {
	Policy  string `json:"policy"`
	Verdict string `json:"verdict"`
	Mark    Mark   `json:"mark"`
	Missed  string `json:"missed"`  // events lost, late or handled as they must not be, in words
	Slowest int64  `json:"slowest"` // delay of the slowest delivery
	Never   bool   `json:"never,omitempty"`
	Text    string `json:"text"` // Slowest in words
	Calls   uint64 `json:"calls"`
	Own     bool   `json:"own,omitempty"` // the recording, or what the capture shows
}

// maxBars is how many policies a picture or a table has.
const maxBars = 40

// policies compares them.
func (m *maker) policies() *Section {
	s := &Section{ID: "policies", Title: "Which fixes would have noticed it, and at what cost", Level: 2}
	if len(m.order) == 0 {
		s.Title = "What other policies make of it, and at what cost"
	}
	p := m.in.Policies
	if p == nil {
		s.text(m.in.NoPolicy)
		return s
	}
	switch {
	case p.Predicted:
		s.text(fmt.Sprintf("A real system cannot be run again, so these are predictions, but for the first row, which is what the capture shows. Each policy carries out the "+
			"operations of the capture at their times; whoever is told of a port looks after a time drawn from the latencies of the same capture; nobody reacts. "+
			"Latencies were drawn %s; a range is from the least to the most of them.", count(uint64(m.draws()), "time")))
		if p.NotShown != "" {
			s.text(p.NotShown)
		}
	case p.Divergence != nil:
		s.text(fmt.Sprintf("The recorded policy, %s, does NOT reproduce the recording: event #%d comes out otherwise. Do not trust what follows.", p.RecordedPolicy, p.Divergence.Seq))
	default:
		t := fmt.Sprintf("The same inputs (interrupts, sends, system calls, the scheduler) were run again under each policy, and everything else was computed anew. Recorded under %s",
			p.RecordedPolicy)
		if p.Identical {
			t += fmt.Sprintf(": run again under that, all %s come out as they were recorded", count(p.Trace.Events, "event"))
		}
		s.text(t + ".")
	}
	if len(p.Policies) == 0 {
		return s
	}
	bars := m.bars()
	title := "Slowest delivery and hypercalls by policy"
	if p.Predicted {
		title += ": predicted, but for the first row"
	}
	s.figure(&Figure{ID: FigurePolicies, Title: title, Policies: bars, Alt: bars.alt(),
		Caption: "Left: the time from exposure to handler of the slowest delivery, on a logarithmic scale; never: at least one event was lost. Right: event-channel hypercalls. A policy " +
			"that is clean here may lose events in another order of things: evtrace policies says of which that is known."})
	s.table(m.policyTable())
	var doubts []string
	for i := range p.Policies {
		for _, d := range p.Policies[i].Doubts {
			d = "Assumed: " + d + "."
			if !slices.Contains(doubts, d) && len(doubts) < 12 {
				doubts = append(doubts, d)
			}
		}
	}
	s.list(doubts)
	return s
}

func (m *maker) draws() int {
	n := 1
	for i := range m.in.Policies.Policies {
		if sp := m.in.Policies.Policies[i].Spread; sp != nil {
			n = max(n, sp.Draws)
		}
	}
	return n
}

// policyTable has the numbers.
func (m *maker) policyTable() *Table {
	p := m.in.Policies
	t := &Table{Caption: "Policies compared", Columns: []Column{{Name: "policy"}, {Name: "verdict"}, {Name: "lost", Right: true}, {Name: "late", Right: true},
		{Name: "other", Right: true, Wide: true}, {Name: "p50", Right: true, Wide: true}, {Name: "p99", Right: true, Wide: true}, {Name: "slowest", Right: true},
		{Name: "calls", Right: true}, {Name: "IPIs", Right: true, Wide: p.Predicted}, {Name: "departs", Right: true}}}
	for i := range p.Policies {
		r := &p.Policies[i]
		if i >= maxBars {
			t.Note = fmt.Sprintf("%s left out. ", isAre(uint64(len(p.Policies)-maxBars), "policy"))
			break
		}
		lost, late, p99, slowest := group(r.Lost), group(r.Late), m.t.Span(r.P99), m.t.Span(r.MaxDelay)
		if sp := r.Spread; sp != nil {
			lost, late = between(sp.Lost), between(sp.Late)
			p99, slowest = m.spans(sp.P99), m.spans(sp.MaxDelay)
		}
		if r.Lost > 0 {
			slowest = "never"
		}
		departs := "-"
		switch {
		case r.FirstDeparture != 0:
			departs = fmt.Sprintf("#%d", r.FirstDeparture)
		case r.Predicted && p.NotShown != "":
			departs = "unknown"
		}
		row := Row{Cells: []string{r.Policy, string(r.Verdict), lost, late, group(r.Duplicate + r.Concurrent + r.WrongVCPU + r.Unknown), m.t.Span(r.P50), p99, slowest,
			group(r.Costs.Hypercalls), group(r.Costs.IPIs), departs}, Mark: markOf(r.Verdict)}
		t.Rows = append(t.Rows, row)
	}
	t.Note += "lost, late: events; other: handled twice, at once on two vcpus, on the wrong one, or undecided; p50, p99, slowest: from exposure to handler; calls: event-channel " +
		"hypercalls; departs: the first event of the recording that does not happen so."
	if m.r.Requests.Made > 0 {
		at := len(t.Columns) - 3
		t.Columns = slices.Insert(t.Columns, at, Column{Name: "hung", Right: true})
		for i := range t.Rows {
			t.Rows[i].Cells = slices.Insert(t.Rows[i].Cells, at, group(p.Policies[i].Requests.Hung))
		}
		t.Note += " hung: I/O requests of other domains that were never served."
	}
	return t
}

func between(r analyze.Range) string {
	if r.Min == r.Max {
		return group(r.Min)
	}
	return group(r.Min) + "-" + group(r.Max)
}

func (m *maker) spans(r analyze.Range) string {
	a, b := m.t.Span(r.Min), m.t.Span(r.Max)
	if a == b {
		return a
	}
	return a + " to " + b
}

// bars are the rows of the picture: what was recorded first, then the better ones before the worse.
func (m *maker) bars() *Bars {
	p := m.in.Policies
	b := &Bars{Unit: m.t.Unit, Predicted: p.Predicted}
	for i := range p.Policies {
		r := &p.Policies[i]
		row := Bar{Policy: r.Policy, Verdict: string(r.Verdict), Mark: markOf(r.Verdict), Slowest: r.MaxDelay, Never: r.Lost > 0, Text: m.t.Span(r.MaxDelay),
			Calls: r.Costs.Hypercalls, Own: r.Observed || !p.Predicted && r.Policy == p.RecordedPolicy, Missed: missed(r)}
		if row.Never {
			row.Text = "never"
		}
		b.Rows = append(b.Rows, row)
	}
	slices.SortStableFunc(b.Rows, func(x, y Bar) int {
		return cmp.Or(boolean(y.Own)-boolean(x.Own), weight(x.Mark)-weight(y.Mark), strings.Compare(x.Verdict, y.Verdict), cmp.Compare(x.Slowest, y.Slowest))
	})
	if len(b.Rows) > maxBars {
		b.Left = len(b.Rows) - maxBars
		b.Rows = b.Rows[:maxBars]
	}
	return b
}

func boolean(b bool) int {
	if b {
		return 1
	}
	return 0
}

func weight(m Mark) int { return slices.Index([]Mark{MarkGood, MarkWarn, MarkBad}, m) }

// missed says what a policy leaves wrong.
func missed(r *analyze.PolicyResult) string {
	var parts []string
	for _, x := range []struct {
		n    uint64
		what string
	}{{r.Lost, "lost"}, {r.Late, "late"}, {r.Duplicate, "twice"}, {r.Concurrent, "at once"}, {r.WrongVCPU, "wrong vcpu"}, {r.Unknown, "undecided"}} {
		if x.n > 0 {
			parts = append(parts, group(x.n)+" "+x.what)
		}
	}
	if len(parts) == 0 {
		return string(r.Verdict)
	}
	return strings.Join(parts, ", ")
}

func (b *Bars) alt() string {
	var parts []string
	for i := range b.Rows {
		r := &b.Rows[i]
		parts = append(parts, fmt.Sprintf("%s: %s, slowest %s, %s", r.Policy, r.Missed, r.Text, count(r.Calls, "hypercall")))
	}
	return "Bars by policy. " + strings.Join(parts, "; ") + "."
}
