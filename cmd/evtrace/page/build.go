package page

import (
	"fmt"
	"slices"
	"strings"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/evtchn"
)

// Trace is a recording of which any part can be read.
type Trace interface {
	Meta() evtchn.Meta
	// Events streams the events from one on.
	Events(from evtchn.Seq) evtchn.Source
	// StateAt gives the state after an event, before the first with 0. The caller may change it.
	StateAt(seq evtchn.Seq) (*evtchn.State, error)
}

// Input is what a document is made of.
type Input struct {
	Name     string // of the trace, as it stands in commands
	Trace    Trace
	Report   *analyze.Report
	Policies *analyze.PolicyReport // nil: not compared
	NoPolicy string                // with Policies nil: why, as a sentence; "" says nothing
	Origin   Origin
	_        struct{}
}

// Origin says where the trace came from and what made the report, for those who want to have it again.
type Origin struct {
	Tool     string    // name and version of the program
	Files    []File    // that were read
	Scenario string    // name of the built-in scenario that the trace was recorded from, "" if it was none, or was changed
	Commands []Command // that make the trace again
}

// File is a file that was read.
type File struct {
	Name   string // as it stands in commands
	Bytes  int64
	SHA256 string // in hexadecimal
}

// Options say how much a document holds. The zero value is good.
type Options struct {
	Full  int    // findings told with picture, events and state; 0: one of each kind, cause and port, up to 3
	Rows  int    // further findings in the table; 0: 40
	First string // ID of the finding to tell first; "": the worst
	_     struct{}
}

func (o *Options) validate() error {
	switch {
	case o.Full < 0 || o.Rows < 0:
		return fmt.Errorf("page: %d findings in full and %d in the table, want 0 or more", o.Full, o.Rows)
	case o.Full > 50:
		return fmt.Errorf("page: %d findings in full, want at most 50", o.Full)
	}
	if o.Rows == 0 {
		o.Rows = 40
	}
	return nil
}

// maker builds a document.
type maker struct {
	in    Input
	opt   Options
	meta  evtchn.Meta
	r     *analyze.Report
	t     *analyze.TraceInfo
	told  map[evtchn.Seq]string // the place of the finding that was noticed at that event
	shown map[evtchn.Seq]bool   // events that have a row, which links lead to
	order []*analyze.Finding    // the worst first
}

// New makes the document. Errors are those of reading the trace, and about the options.
func New(in Input, opt Options) (*Document, error) {
	if err := opt.validate(); err != nil {
		return nil, err
	}
	m := &maker{in: in, opt: opt, meta: in.Trace.Meta(), r: in.Report, t: &in.Report.Trace, told: make(map[evtchn.Seq]string), shown: make(map[evtchn.Seq]bool), order: in.Report.Told("")}
	if i := slices.IndexFunc(m.order, func(f *analyze.Finding) bool { return f.ID == opt.First }); i > 0 {
		f := m.order[i]
		m.order = slices.Insert(slices.Delete(m.order, i, i+1), 0, f)
	}
	if m.opt.Full == 0 {
		m.opt.Full = m.distinct()
	}
	d := &Document{Title: "evtrace report: " + in.Name, Verdict: m.r.Verdict, Headline: headline(m.r), Lead: m.lead(), Facts: m.r.Facts()}
	story, err := m.story()
	if err != nil {
		return nil, err
	}
	d.Sections = append(d.Sections, story...)
	for _, s := range []*Section{m.others(), m.policies(), m.latency(), m.missing(), m.reproduce(), m.words()} {
		if s != nil && len(s.Blocks) > 0 {
			d.Sections = append(d.Sections, *s)
		}
	}
	for i := range d.Sections {
		if d.Sections[i].Blocks == nil {
			d.Sections[i].Blocks = []Block{} // a heading above parts
		}
	}
	return d, nil
}

// headline is the verdict in a sentence that does not begin with it.
func headline(r *analyze.Report) string {
	s := r.Headline()
	if head, rest, ok := strings.Cut(s, ": "); ok && strings.HasPrefix(head, string(r.Verdict)) {
		s = rest
	}
	return sentence(s)
}

// maxDistinct is how many findings are told in full if nobody says.
const maxDistinct = 3

// distinct puts findings that differ in kind, cause or port before those that repeat them, and says how many differ, at most maxDistinct.
func (m *maker) distinct() int {
	n := 0
	for i := 0; i < len(m.order) && n < maxDistinct; i++ {
		f := m.order[i]
		if slices.ContainsFunc(m.order[:n], func(g *analyze.Finding) bool { return g.Kind == f.Kind && g.Cause == f.Cause && g.Port == f.Port }) {
			continue
		}
		m.order = slices.Insert(slices.Delete(m.order, i, i+1), n, f)
		n++
	}
	return max(n, 1)
}

// lead says what the report is about.
func (m *maker) lead() []string {
	what := "This is a recording of a simulated system, with every step of its event channels."
	switch {
	case m.t.Source == evtchn.SourceObserved:
		what = "This is a capture of a real system. What it cannot show is deduced, and marked so."
	case m.meta.Schedule != "":
		what = "This is a schedule of a small model of the system, as a search found it."
	}
	return []string{"A Xen guest learns of events by ports. Whoever has an event sets the port's pending bit and tells the vcpu that the port belongs " +
		"to. If a port is pending and not masked and no vcpu is going to look at it, its event is lost: whoever waits for it hangs.", what}
}

// others lists the findings that are not told in full.
func (m *maker) others() *Section {
	s := &Section{ID: "findings", Title: "Other findings", Level: 2}
	full := min(m.opt.Full, len(m.order))
	list := analyze.Choose(m.order[full:], m.opt.Rows)
	t := &Table{Caption: "Findings, the worst first", Columns: []Column{{Name: "finding"}, {Name: "owner"}, {Name: "left"}, {Name: "exposed", Right: true},
		{Name: "delay", Right: true}, {Name: "rescuer", Wide: true}, {Name: "evidence", Wide: true}, {Name: "cause"}}}
	for _, f := range list {
		row := Row{ID: findingID(f), Cells: []string{f.ID, vcpuName(f.OwnerVCPU), vcpuName(f.UnnoticedVCPU), m.moment(f.ExposedAt), m.delay(f), rescuer(f),
			string(f.Strength), string(f.Cause)}}
		m.told[f.NoticedSeq] = row.ID
		t.Rows = append(t.Rows, row)
	}
	t.Note = "owner: the vcpu that the port was bound to; left: the vcpu that read its word and left it; rescuer: the port that made a vcpu look after all; " +
		"evidence: how well the trace supports it, from seen to weak."
	s.table(t)
	if left := m.total() - uint64(full+len(list)); left > 0 {
		s.text(fmt.Sprintf("%s left out here. The next table counts all findings.", isAre(left, "finding")))
		s.table(m.groups())
	}
	return s
}

// total is the number of findings.
func (m *maker) total() uint64 { return uint64(len(m.r.Findings)) + m.r.Omitted }

// maxGroups is how many rows the table of counts has.
const maxGroups = 30

// groups counts all findings.
func (m *maker) groups() *Table {
	t := &Table{Caption: "All findings by kind, cause and port", Columns: []Column{{Name: "kind"}, {Name: "cause"}, {Name: "port", Right: true}, {Name: "findings", Right: true}}}
	var rest, more uint64
	for i, g := range m.r.Groups {
		if i >= maxGroups {
			rest += g.Count
			more++
			continue
		}
		t.Rows = append(t.Rows, Row{Cells: []string{string(g.Kind), string(g.Cause), fmt.Sprint(g.Port), group(g.Count)}})
	}
	if rest > 0 {
		t.Note = fmt.Sprintf("and %s in %s", count(rest, "finding"), count(more, "more row"))
	}
	return t
}

// missing says what cannot be known, and what would tell.
func (m *maker) missing() *Section {
	s := &Section{ID: "missing", Title: "What was missing", Level: 2}
	say := func(head string, items []string) {
		if len(items) > 0 {
			s.text(head)
			s.list(sentences(items))
		}
	}
	say("Why the trace cannot be called clean, whatever was found in it:", m.r.Doubts)
	say("What the trace lacks that an answer may need:", m.r.Missing)
	if m.in.Policies != nil && m.in.Policies.NotShown != "" {
		s.text(m.in.Policies.NotShown)
	}
	say("What would settle it:", m.r.Settle)
	if len(s.Blocks) == 0 {
		s.text("Nothing: the trace has every step.")
	}
	return s
}

// reproduce says how to get the same again.
func (m *maker) reproduce() *Section {
	s := &Section{ID: "reproduce", Title: "How to reproduce this", Level: 2}
	o := &m.in.Origin
	list := append(slices.Clone(o.Commands), commands(m.r.Next(m.in.Name, ""))...)
	for _, f := range o.Files {
		list = append(list, Command{Line: "sha256sum " + f.Name, What: f.SHA256})
	}
	s.Blocks = append(s.Blocks, Block{Commands: list})
	t := &Table{Caption: "What was used", Columns: []Column{{Name: "what"}, {Name: "which"}}}
	row := func(name, value string) {
		if value != "" {
			t.Rows = append(t.Rows, Row{Cells: []string{name, value}})
		}
	}
	row("tool", o.Tool)
	if m.meta.Tool != "" {
		row("recorded by", m.meta.Tool)
	}
	row("trace format", fmt.Sprint(m.meta.Format))
	row("captured in", m.meta.Origin)
	if m.t.Source == evtchn.SourceSim {
		row("scenario", o.Scenario)
		row("policy", m.meta.Policy)
		row("seed", fmt.Sprint(m.meta.Seed))
	}
	for _, f := range o.Files {
		row("file", fmt.Sprintf("%s, %s", f.Name, count(uint64(f.Bytes), "byte")))
	}
	s.table(t)
	return s
}

func commands(next [][2]string) []Command {
	var list []Command
	for _, n := range next {
		list = append(list, Command{Line: n[0], What: n[1]})
	}
	return list
}

// words explains the words that the report uses.
func (m *maker) words() *Section {
	s := &Section{ID: "words", Title: "Words", Level: 2}
	t := &Table{Caption: "What the words mean", Columns: []Column{{Name: "word"}, {Name: "meaning"}}}
	add := func(word, meaning string) { t.Rows = append(t.Rows, Row{Cells: []string{word, meaning}}) }
	add("port", "the guest's number for its end of an event channel")
	add("owner", "the vcpu that the guest has bound the port to: the only one that handles it")
	if m.t.ABI != "fifo" {
		add("PEND, MASK", "two bits of each port, shared with Xen: an event is there; do not disturb now")
		add("SEL[v]", fmt.Sprintf("selector of vcpu v: its bit w makes v read event word w, which holds the ports w*%d to w*%d+%d", m.t.WordBits, m.t.WordBits, m.t.WordBits-1))
		add("UP[v], UMASK[v]", "vcpu v is to take an upcall; it takes none now")
	}
	add("upcall", "the guest's handler of events, entered when Xen makes the vcpu look")
	add("exposed", "pending and not masked: from here on somebody must look")
	add("unnoticed", "exposed, and nobody is going to look: no vcpu has been told, none is about to be told, and none is reading")
	add("lost, late", "never handled; handled in the end, but only by luck, or later than allowed")
	add("swallowed", "a send that found PEND set, and so told nobody")
	if m.t.Source == evtchn.SourceObserved {
		add("inferred", "not in the capture, and deduced from what is")
	}
	s.table(t)
	return s
}

// moment writes a time of the report that may not be known.
func (m *maker) moment(v *int64) string {
	if v == nil {
		return "-"
	}
	return m.t.Moment(*v)
}

// delay says how late a finding was noticed.
func (m *maker) delay(f *analyze.Finding) string {
	switch {
	case f.Delay != nil:
		return m.t.Span(*f.Delay)
	case f.Kind == analyze.KindLost:
		return "never"
	}
	return "-"
}

func rescuer(f *analyze.Finding) string {
	switch {
	case f.RescuedByPort != evtchn.NoPort:
		return fmt.Sprintf("port %d", f.RescuedByPort)
	case f.Kind == analyze.KindLate && f.UnnoticedSeq != 0 && f.NoticedSeq != 0:
		return "again"
	}
	return "-"
}

func findingID(f *analyze.Finding) string { return "f-" + identifier(f.ID) }

func eventID(seq evtchn.Seq) string { return fmt.Sprintf("e%d", seq) }

// identifier makes a name of letters, digits and dashes.
func identifier(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, s)
}

func vcpuName(v evtchn.VCPU) string {
	if v < 0 {
		return "-"
	}
	return fmt.Sprintf("v%d", v)
}
