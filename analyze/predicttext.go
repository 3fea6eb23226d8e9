package analyze

import (
	"bytes"
	"fmt"
	"strings"
)

// predicted writes the comparison of policies for a capture. Lines have at most 100 columns.
func (r *PolicyReport) predicted(b *bytes.Buffer) {
	c := r.Trace.clock()
	fmt.Fprintf(b, "A capture of %s events. The first row is what it shows. The others are predictions: what each policy\n"+
		"would have made of the same operations, with latencies drawn from the capture, and nobody reacting.\n\n", group(r.Trace.Events))
	if r.NotShown != "" {
		b.WriteString(wrap(r.NotShown, 100, "") + "\n")
	}
	r.predictedTable(b, c)
	named := 0
	for i := range r.Policies {
		if !r.Policies[i].Observed {
			named++
		}
	}
	for i := range r.Policies {
		if p := &r.Policies[i]; named <= 3 && !p.Observed {
			p.story(b, c, r.NotShown)
		}
	}
	if named <= 3 {
		r.latencies(b, c)
	}
}

func (r *PolicyReport) predictedTable(b *bytes.Buffer, c clock) {
	const row = "%-24s %-8s %7s %7s %7s %8s %8s %8s %7s %7s\n"
	fmt.Fprintf(b, row, "policy", "verdict", "lost", "late", "other", "p50", "p99", "slowest", "calls", "departs")
	for i := range r.Policies {
		p := &r.Policies[i]
		lost, late, departs, slowest := group(p.Lost), group(p.Late), "-", c.brief(p.MaxDelay)
		if s := p.Spread; s != nil {
			lost, late = s.Lost.span(), s.Late.span()
		}
		if p.Lost > 0 {
			slowest = "never"
		}
		switch {
		case p.FirstDeparture != 0:
			departs = fmt.Sprintf("#%d", p.FirstDeparture)
		case !p.Observed && r.NotShown != "":
			departs = "unknown"
		case !p.Observed:
			departs = "nowhere"
		}
		name := p.Policy
		if len(name) > 24 {
			b.WriteString(name + "\n")
			name = ""
		}
		fmt.Fprintf(b, row, name, p.Verdict, lost, late, group(p.Duplicate+p.Concurrent+p.WrongVCPU+p.Unknown), c.brief(p.P50), c.brief(p.P99),
			slowest, group(p.Costs.Hypercalls), departs)
	}
	b.WriteString(`
lost, late: events, from the least to the most of the draws. other: by the wrong vcpu, or undecided.
p50, p99, slowest: from exposure to handler. calls: event-channel hypercalls.
departs: the first event of the capture that does not happen so.
`)
}

// maxTold is how many episodes the text tells.
const maxTold = 10

// story tells where a policy departs from the capture, and how the first episodes end.
func (p *PolicyResult) story(b *bytes.Buffer, c clock, notShown string) {
	switch {
	case p.FirstDeparture == 0 && notShown != "":
		fmt.Fprintf(b, "\n%s: nothing predicted, for want of the unmasks. That says nothing about whether the policy would help.\n", p.Policy)
		return
	case p.FirstDeparture == 0:
		fmt.Fprintf(b, "\n%s: predicted to do nothing otherwise than this capture shows.\n", p.Policy)
		return
	}
	fmt.Fprintf(b, "\n%s departs from the capture at event %s:\n  captured  %s\n  predicted %s\n", p.Policy, group(uint64(p.FirstDeparture)),
		unnumbered(p.Departed), unnumbered(p.Instead))
	fmt.Fprintf(b, "  %s run again, %s with another story", pluralOf(p.Reruns, "operation"), pluralOf(p.Changed, "event"))
	if s := p.Spread; s != nil && s.Draws > 1 {
		fmt.Fprintf(b, "; over %d draws p50 %s, p90 %s, p99 %s", s.Draws, s.P50.times(c), s.P90.times(c), s.P99.times(c))
	}
	b.WriteString("\n")
	for _, d := range p.Doubts {
		b.WriteString(wrap("  assumed: "+d, 100, "    "))
	}
	if len(p.Episodes) == 0 {
		return
	}
	const row = "  %-6s %-12s %-7s %-26s %s\n"
	fmt.Fprintf(b, row, "port", "exposed", "by", "captured", "predicted")
	for i := range p.Episodes {
		if i == maxTold {
			fmt.Fprintf(b, "  and %s more (--json has the first %s)\n", group(p.Changed-maxTold), group(uint64(len(p.Episodes))))
			break
		}
		e := &p.Episodes[i]
		fmt.Fprintf(b, row, fmt.Sprint(e.Port), c.moment(e.At), e.Op, e.Observed.text(c), e.Predicted.text(c))
	}
}

func (r *PolicyReport) latencies(b *bytes.Buffer, c clock) {
	if len(r.Latencies) == 0 {
		b.WriteString("\nThe capture shows no latency to draw from.\n")
		return
	}
	b.WriteString("\nDrawn from (told by itself: own; by somebody else: kick):\n")
	for _, l := range r.Latencies {
		fmt.Fprintf(b, "  %-14s %7s samples, p10 %s, p50 %s, p90 %s\n", l.Of, group(l.Count), c.duration(l.P10), c.duration(l.P50), c.duration(l.P90))
	}
}

// text says how an episode ended.
func (e *EpisodeEnd) text(c clock) string {
	switch {
	case e.Delay == nil:
		return "never: " + map[bool]string{true: "port closed", false: "capture ends"}[e.Fate == "closed"]
	case e.RescuedByPort != 0:
		return fmt.Sprintf("%s, rescued by %d", c.duration(*e.Delay), e.RescuedByPort)
	case e.Fate == "rescued":
		return c.duration(*e.Delay) + ", rescued"
	}
	return fmt.Sprintf("%s on vcpu %d", c.duration(*e.Delay), e.NoticedBy)
}

// text says how it would end.
func (e *EpisodeForced) text(c clock) string {
	if e.Delay == nil || e.Samples == 0 {
		return e.EpisodeEnd.text(c)
	}
	return fmt.Sprintf("%s (%s) on vcpu %d", c.duration(*e.P50), Range{*e.P10, *e.P90}.times(c), e.NoticedBy)
}

func (r Range) span() string {
	if r.Min == r.Max {
		return signed(r.Min)
	}
	return signed(r.Min) + "-" + signed(r.Max)
}

func (r Range) times(c clock) string {
	least, most := c.duration(r.Min), c.duration(r.Max)
	if least == most {
		return least
	}
	return least + " to " + most
}

// unnumbered is an event in the text form without its number: that of the capture's event is told beside it, and a predicted one is of
// another stream.
func unnumbered(ev string) string {
	if seq, rest, ok := strings.Cut(ev, " "); ok && strings.Trim(seq, "0123456789") == "" {
		return rest
	}
	return ev
}

// clock gives the clock that the report's times are in.
func (t *TraceInfo) clock() clock { return clock{factor: 1, ticks: t.Unit == "ticks"} }

// brief writes a duration into a column.
func (c clock) brief(v int64) string {
	if c.ticks && v >= 1e6 {
		return digits(float64(v)/1e6) + " M"
	}
	return strings.TrimSuffix(c.duration(v), " ticks")
}

func pluralOf(n uint64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return group(n) + " " + what + "s"
}

// wrap breaks a text at blanks; the lines after the first begin with indent.
func wrap(s string, width int, indent string) string {
	var b strings.Builder
	col := 0
	for i, word := range strings.SplitAfter(s, " ") {
		if i > 0 && col+len(strings.TrimSuffix(word, " ")) > width {
			b.WriteString("\n" + indent)
			col = len(indent)
		}
		b.WriteString(word)
		col += len(word)
	}
	return strings.ReplaceAll(b.String(), " \n", "\n") + "\n"
}
