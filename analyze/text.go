package analyze

import (
	"fmt"
	"io"
	"strings"

	"github.com/evtrace/evtrace/evtchn"
)

// TextOptions say how much of a report is written as text.
type TextOptions struct {
	Name  string // of the trace, for the commands that are suggested; "": TRACE
	Full  int    // findings told in full; 0: 1
	Rows  int    // further findings in the table; 0: 15, negative: all
	Ports int    // ports in the table of deliveries; 0: none, with FIFO 10; negative: all
	Width int    // columns; 0: 100
	_     struct{}
}

func (o *TextOptions) defaults() {
	if o.Name == "" {
		o.Name = "TRACE"
	}
	if o.Full == 0 {
		o.Full = 1
	}
	if o.Rows == 0 {
		o.Rows = 15
	}
	if o.Width < 40 {
		o.Width = 100
	}
}

// WriteText writes the report for a reader: the verdict, the findings, the first of them with its story, how long deliveries took,
// what the trace lacks, and what to do next. Errors are those of w.
func (r *Report) WriteText(w io.Writer, opt TextOptions) error {
	opt.defaults()
	p := &page{width: opt.Width, fifo: r.Trace.ABI == "fifo", c: clock{factor: 1, ticks: r.Trace.Unit == "ticks"}}
	p.wrap("", r.Headline())
	p.terms(r)
	p.line("")
	full := min(opt.Full, len(r.Findings))
	findings := r.heaviest()
	for _, f := range findings[:full] {
		p.finding(f)
	}
	p.table(r, findings, full, opt.Rows)
	p.figures(r)
	if opt.Ports == 0 && r.Trace.ABI == "fifo" {
		opt.Ports = 10
	}
	p.ports(r, opt.Ports)
	if len(r.Missing) > 0 {
		p.line("")
		p.line("Missing")
		for _, m := range r.Missing {
			p.wrap("  - ", m)
		}
	}
	if len(r.Settle) > 0 {
		p.line("")
		p.line("What would settle it")
		for _, m := range r.Settle {
			p.wrap("  - ", m)
		}
	}
	p.line("")
	p.line("Next")
	next := r.next(findings, opt.Name)
	width := 0
	longest := 0
	for _, n := range next {
		width, longest = max(width, len(n[0])), max(longest, len(n[1]))
	}
	for _, n := range next {
		if 2+width+2+longest <= p.width {
			p.line("  %-*s  %s", width, n[0], n[1])
		} else {
			p.line("  %s", n[0])
			p.line("      %s", n[1])
		}
	}
	_, err := io.WriteString(w, p.b.String())
	return err
}

// next suggests what to do with the trace: commands, and what for.
func (r *Report) next(findings []*Finding, name string) [][2]string {
	if len(findings) == 0 {
		return [][2]string{{"evtrace info " + name, "what is in the trace"}}
	}
	f := findings[0]
	to := f.UnnoticedSeq
	if to == 0 {
		to = f.NoticedSeq
	}
	from := to
	for _, seq := range f.Evidence {
		from = min(from, seq)
	}
	next := [][2]string{{fmt.Sprintf("evtrace export --from %d --until %d %s", max(from, 1), max(to, 1), name), "every event of that time"}}
	if r.Trace.Source == evtchn.SourceSim {
		next = append(next, [2]string{"evtrace replay --policy all " + name, "which fixes would have noticed it, and what they cost"})
	}
	return append(next, [2]string{"evtrace analyze --json " + name, "every finding, with its evidence"})
}

// page collects lines.
type page struct {
	b     strings.Builder
	width int
	fifo  bool
	c     clock
}

func (p *page) line(format string, args ...any) {
	if len(args) > 0 {
		format = fmt.Sprintf(format, args...)
	}
	p.b.WriteString(strings.TrimRight(format, " "))
	p.b.WriteByte('\n')
}

// hardSpace is a space in a paragraph at which no line ends.
const hardSpace = "\x00"

// wrap writes a paragraph behind a prefix, under which its further lines are indented.
func (p *page) wrap(prefix, text string) {
	col := len(prefix)
	p.b.WriteString(prefix)
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
		case col+1+len(word) > p.width:
			p.b.WriteByte('\n')
			p.b.WriteString(strings.Repeat(" ", len(prefix)))
			col = len(prefix)
		default:
			p.b.WriteByte(' ')
			col++
		}
		p.b.WriteString(strings.ReplaceAll(word, hardSpace, " "))
		col += len(word)
	}
	p.b.WriteByte('\n')
}

// finding tells one finding in full.
func (p *page) finding(f *Finding) {
	owner := "bound to a vcpu that the trace does not name"
	if f.OwnerVCPU >= 0 {
		owner = fmt.Sprintf("bound to vcpu %d", f.OwnerVCPU)
	}
	word := fmt.Sprintf("word %d, ", f.Word)
	if p.fifo {
		word = ""
	}
	p.line("%s  port %d, %s%s", f.ID, f.Port, word, owner)
	if f.PendingAt != nil {
		p.line("  pending    %s", p.c.moment(*f.PendingAt))
	}
	if f.ExposedAt != nil {
		p.line("  exposed    %s", p.c.moment(*f.ExposedAt))
	}
	if f.UnnoticedAt != nil {
		by := ""
		if f.UnnoticedVCPU >= 0 {
			by = fmt.Sprintf(", vcpu %d", f.UnnoticedVCPU)
		}
		p.line("  unnoticed  %s, from #%d on%s", p.c.moment(*f.UnnoticedAt), f.UnnoticedSeq, by)
	}
	switch {
	case f.NoticedAt == nil && f.Kind == KindLost:
		p.line("  noticed    never")
	case f.NoticedAt != nil:
		s := fmt.Sprintf("  noticed    %s, vcpu %d", p.c.moment(*f.NoticedAt), f.NoticedVCPU)
		if f.Delay != nil {
			s += fmt.Sprintf(", after %s", p.c.duration(*f.Delay))
		}
		if f.RescuedByPort != evtchn.NoPort {
			s += fmt.Sprintf(", thanks to port %d", f.RescuedByPort)
		}
		p.line("%s", s)
	}
	p.wrap("  cause      ", string(f.Cause)+": "+f.Cause.text())
	for i, s := range f.Why {
		p.wrap(fmt.Sprintf("  %d. ", i+1), s)
	}
	p.support(f)
	p.line("")
}

// support writes what the finding rests on, and what would decide it.
func (p *page) support(f *Finding) {
	if f.Strength != StrengthSeen || len(f.Deduced) > 0 {
		s := string(f.Strength) + ": " + f.Strength.text()
		if n := len(f.Deduced); n > 0 {
			s += fmt.Sprintf(" Of the %s above, %s recorded and %s deduced.", count(uint64(len(f.Evidence)), "event"),
				wasWere(uint64(len(f.Evidence)-n)), wasWere(uint64(n)))
		}
		p.wrap("  evidence   ", s)
	}
	for _, s := range f.Proof {
		p.wrap("  - ", s)
	}
	for _, s := range f.Settle {
		p.wrap("  to decide  ", s)
	}
}

func wasWere(n uint64) string {
	if n == 1 {
		return "1 was"
	}
	return group(n) + " were"
}

// figures writes what the trace is, how long deliveries took, and what they cost.
func (p *page) figures(r *Report) {
	t, l, k := &r.Trace, &r.Latency, &r.Costs
	what := t.Source
	if t.Policy != "" {
		what += ", policy " + t.Policy
	}
	p.wrap("Trace      ", fmt.Sprintf("%s, %s, %d vcpus, %s, ABI %s", count(t.Events, "event"), p.c.duration(max(t.Last-t.First, 0)),
		t.VCPUs, what, t.ABI))
	if l.Count > 0 {
		s := fmt.Sprintf("%s; from exposure to handler: half within %s, 90%% %s, 99%% %s, the slowest %s",
			group(r.Totals.Delivered), p.c.duration(l.P50), p.c.duration(l.P90), p.c.duration(l.P99), p.c.duration(l.Max))
		if l.MaxDescheduled > 0 {
			s += ", its vcpu descheduled for " + p.c.duration(l.MaxDescheduled) + " of that"
		}
		if l.Excused > 0 {
			s += fmt.Sprintf("; %s took longer than the bound only because the vcpu was descheduled", group(l.Excused))
		}
		p.wrap("Delivered  ", s)
	} else {
		p.line("Delivered  %s", group(r.Totals.Delivered))
	}
	p.wrap("Cost       ", fmt.Sprintf("%s (%s of them unmask), %s, %s, %s (%s of them spurious), %s passed over, %s found PEND set",
		count(k.Hypercalls, "hypercall"), group(k.UnmaskHypercalls), count(k.IPIs, "IPI"), count(k.Wakeups, "wakeup"),
		count(k.Upcalls, "upcall"), group(k.SpuriousUpcalls), count(k.ForeignSkipped, "foreign port"), count(k.SwallowedSends, "send")))
	if q := &r.Requests; q.Made > 0 {
		s := fmt.Sprintf("%s by other domains: %s served", group(q.Made), group(q.Served))
		if n := q.Open - q.Hung; n > 0 {
			s += fmt.Sprintf(", %s under way at the end", group(n))
		}
		if q.Hung > 0 {
			s += fmt.Sprintf(", %s hung", group(q.Hung))
		}
		p.wrap("Requests   ", s)
	}
	if v := r.Vouched; v != nil {
		g := &v.Longest[0]
		whose := "some vcpu"
		if g.VCPU >= 0 {
			whose = fmt.Sprintf("vcpu %d", g.VCPU)
		}
		p.wrap("Gaps       ", fmt.Sprintf("%s, in %s of the time; the longest: %s of %s before %s (#%d)", count(t.Gaps, "gap"),
			p.c.duration(max(v.Of-v.Outside, 0)), p.c.duration(max(g.To-g.From, 0)), whose, p.c.moment(g.To), g.Seq))
	}
	if s := r.Totals.others(); s != "" {
		p.wrap("Others     ", s)
	}
}

// others says what became of the episodes that were not delivered, or "" if all were.
func (t *Totals) others() string {
	var parts []string
	add := func(n uint64, what string) {
		if n > 0 {
			parts = append(parts, group(n)+" "+what)
		}
	}
	add(t.Cleared, "cleared without a delivery that was seen")
	add(t.Closed, "closed with the port")
	add(t.MaskedAtEnd, "pending and masked at the end, which is not a fault")
	add(t.InFlight, "on the way at the end")
	add(t.UnnoticedAtEnd, "unnoticed at the end")
	add(t.UnclearAtEnd, "pending at the end, and what keeps them so is not known")
	s := strings.Join(parts, ", ")
	if s != "" {
		s = "not seen to be delivered: " + s
	}
	if t.DeliveredAgain > 0 {
		if s != "" {
			s += "; "
		}
		s += "delivered again without a new event: " + group(t.DeliveredAgain)
	}
	return s
}

// group writes a number with commas between thousands.
func group(n uint64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
