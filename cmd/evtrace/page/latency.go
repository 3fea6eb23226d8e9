package page

import (
	"fmt"
	"slices"

	"github.com/evtrace/evtrace/analyze"
)

// Latency is the distribution of the time from exposure to handler: that of the trace in buckets, and for each policy which share of
// the events was still waiting after a time.
type Latency struct {
	Unit    string   `json:"unit"`
	Buckets []Bucket `json:"buckets"`
	Curves  []Curve  `json:"curves"` // those that are drawn last, and told apart, at the end
}

// Bucket is a bar.
type Bucket struct {
	From  int64  `json:"from"`
	To    int64  `json:"to"`
	Count uint64 `json:"count"`
	Link  string `json:"link"` // the place of its slowest delivery
	Text  string `json:"text"` // what that is
}

// Curve says for each of its points which share of the events had not been taken up after that time: exactly, for points are the beginning of
// a bucket and the longest delay in it.
type Curve struct {
	Name   string  `json:"name"`
	Points []Point `json:"points"`
	Own    bool    `json:"own,omitempty"`   // of the trace itself
	Label  string  `json:"label,omitempty"` // "": one of the crowd
	Total  uint64  `json:"total"`
	Lost   uint64  `json:"lost"` // that never are
}

// Point is a point of a curve.
type Point struct {
	Delay int64   `json:"delay"`
	Share float64 `json:"share"` // 0 to 1
}

// maxNamed is how many curves besides the trace's own have a name and a line of their own.
const maxNamed = 4

// latency shows how long deliveries took.
func (m *maker) latency() *Section {
	s := &Section{ID: "latency", Title: "How long deliveries took", Level: 2}
	l := &m.r.Latency
	if l.Count == 0 {
		s.text("No delivery was seen from exposure to handler.")
		return s
	}
	s.text(fmt.Sprintf("From the moment at which an event was pending and unmasked to the start of its handler, over %s: half within %s, 90 %% within %s, 99 %% within %s, the slowest %s.",
		count(l.Count, "event"), m.t.Span(l.P50), m.t.Span(l.P90), m.t.Span(l.P99), m.t.Span(l.Max)))
	data := &Latency{Unit: m.t.Unit}
	t := &Table{Caption: "The slowest delivery of each bucket", Columns: []Column{{Name: "delay, up to", Right: true}, {Name: "events", Right: true}, {Name: "slowest", Right: true},
		{Name: "port", Right: true}, {Name: "exposed"}, {Name: "handled"}, {Name: "on"}}}
	for _, b := range l.Buckets {
		w := &b.Worst
		id, told := m.told[w.Seq]
		if !told || w.Seq == 0 {
			id = fmt.Sprintf("d%d", w.Seq)
		}
		exposed := "-"
		if w.From != 0 {
			exposed = fmt.Sprintf("#%d", w.From)
		} else if told {
			exposed = "see above"
		}
		row := Row{Cells: []string{m.t.Span(b.To), group(b.Count), m.t.Span(w.Delay), fmt.Sprint(w.Port), exposed, fmt.Sprintf("#%d", w.Seq), vcpuName(w.VCPU)}}
		if !told {
			row.ID = id
		}
		t.Rows = append(t.Rows, row)
		data.Buckets = append(data.Buckets, Bucket{From: b.From, To: b.To, Count: b.Count, Link: id,
			Text: fmt.Sprintf("%s from %s to %s; the slowest: port %d, %s, #%d", count(b.Count, "delivery"), m.t.Span(b.From), m.t.Span(b.To), w.Port, m.t.Span(w.Delay), w.Seq)})
	}
	data.Curves = m.curves()
	fig := &Figure{ID: FigureLatency, Title: "Events still waiting, by the time since they were exposed", Latency: data,
		Caption: "Above: the share of events that nobody had taken up after a time, both scales logarithmic; a line that stays up stands for events that were never noticed. " +
			"Below: deliveries of this trace by their delay; each bar leads to its slowest one."}
	fig.Alt = fmt.Sprintf("Distribution of delays, half within %s, the slowest %s.", m.t.Span(l.P50), m.t.Span(l.Max))
	for _, c := range data.Curves {
		if c.Label != "" {
			fig.Alt += " " + sentence(c.Label)
		}
	}
	s.figure(fig)
	t.Note = fmt.Sprintf("evtrace tui --at NUMBER %s opens the trace at an event.", m.in.Name)
	s.table(t)
	return s
}

// curves are those of the trace and of the policies. Those are named that leave events unnoticed, the worst first, and the best.
func (m *maker) curves() []Curve {
	own := m.curve("recorded", m.r.Latency.Buckets, m.r.Totals.Lost, m.r.Latency.Max)
	if m.t.Source == "observed" {
		own.Name = "captured"
	}
	own.Own = true
	if m.t.Policy != "" {
		own.Name = m.t.Policy + " (recorded)"
	}
	own.Label = m.label(&own)
	if m.in.Policies == nil {
		return []Curve{own}
	}
	var list []Curve
	for i := range m.in.Policies.Policies {
		p := &m.in.Policies.Policies[i]
		if p.Observed || !p.Predicted && p.Policy == m.in.Policies.RecordedPolicy || len(p.Buckets) == 0 {
			continue
		}
		name := p.Policy
		if p.Predicted {
			name += " (predicted)"
		}
		list = append(list, m.curve(name, p.Buckets, p.Lost, p.MaxDelay))
	}
	rank := make([]int, len(list))
	for i := range rank {
		rank[i] = i
	}
	slices.SortStableFunc(rank, func(a, b int) int { return worse(&list[a], &list[b]) })
	named := rank[:min(maxNamed-1, len(rank))]
	if len(rank) >= maxNamed {
		named = append(slices.Clone(named), rank[len(rank)-1])
	}
	for _, i := range named {
		list[i].Label = m.label(&list[i])
	}
	slices.SortStableFunc(list, func(a, b Curve) int { return boolean(a.Label != "") - boolean(b.Label != "") })
	return append(list, own)
}

// worse orders curves, the one that leaves more unnoticed or is slower first.
func worse(a, b *Curve) int {
	last := func(c *Curve) int64 { return c.Points[len(c.Points)-1].Delay }
	switch x, y := float64(a.Lost)/float64(a.Total), float64(b.Lost)/float64(b.Total); {
	case x > y:
		return -1
	case x < y:
		return 1
	case last(a) > last(b):
		return -1
	case last(a) < last(b):
		return 1
	}
	return 0
}

func (m *maker) curve(name string, buckets []analyze.Bucket, lost uint64, slowest int64) Curve {
	c := Curve{Name: name, Lost: lost, Total: lost}
	for i := range buckets {
		c.Total += buckets[i].Count
	}
	left := c.Total
	for i := range buckets {
		from := Point{buckets[i].From, float64(left) / float64(max(c.Total, 1))}
		left -= buckets[i].Count
		c.Points = append(c.Points, from, Point{buckets[i].Worst.Delay, float64(left) / float64(max(c.Total, 1))})
	}
	return c
}

func (m *maker) label(c *Curve) string {
	if c.Lost > 0 {
		return fmt.Sprintf("%s: %s lost", c.Name, group(c.Lost))
	}
	if len(c.Points) == 0 {
		return c.Name
	}
	return fmt.Sprintf("%s: all within %s", c.Name, m.t.Span(c.Points[len(c.Points)-1].Delay))
}
