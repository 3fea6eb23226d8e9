package page

import "github.com/evtrace/evtrace/analyze"

// Document is a report, ready to be written.
type Document struct {
	Title    string          `json:"title"`
	Verdict  analyze.Verdict `json:"verdict"`
	Headline string          `json:"headline"` // the verdict in a sentence
	Lead     []string        `json:"lead"`     // what a reader has to know first, in sentences
	Facts    []analyze.Fact  `json:"facts"`
	Sections []Section       `json:"sections"`
}

// Section is a chapter of a document, or, at level 3, a part of one.
type Section struct {
	ID     string  `json:"id"`
	Title  string  `json:"title"`
	Level  int     `json:"level"` // 2 or 3
	Blocks []Block `json:"blocks"`
}

// Block is a piece of a section. One of its fields is set.
type Block struct {
	Text     string    `json:"text,omitempty"`
	List     *List     `json:"list,omitempty"`
	Table    *Table    `json:"table,omitempty"`
	Figure   *Figure   `json:"figure,omitempty"`
	State    *State    `json:"state,omitempty"`
	Commands []Command `json:"commands,omitempty"`
}

// List is a list of sentences.
type List struct {
	Numbered bool     `json:"numbered"`
	Items    []string `json:"items"`
}

// Table is a table. Rows have as many cells as there are columns.
type Table struct {
	Caption string   `json:"caption"`
	Columns []Column `json:"columns"`
	Rows    []Row    `json:"rows"`
	Note    string   `json:"note,omitempty"` // explains the columns, and says what is left out
}

// Column is a column of a table.
type Column struct {
	Name  string `json:"name"`
	Right bool   `json:"right,omitempty"` // numbers
	Wide  bool   `json:"wide,omitempty"`  // left out of the plain text, which has no room for it
}

// Row is a row of a table.
type Row struct {
	ID    string   `json:"id,omitempty"`   // of its place in the page, for links to it
	Mark  Mark     `json:"mark,omitempty"` // how much it weighs
	Cells []string `json:"cells"`
	Note  string   `json:"note,omitempty"` // said below it
}

// Mark says what a row or a word stands for.
type Mark string

// The marks.
const (
	MarkNone Mark = ""
	MarkBad  Mark = "bad"  // lost, unnoticed
	MarkWarn Mark = "warn" // late, violated, undecided
	MarkGood Mark = "good"
	MarkKey  Mark = "key" // the row that the others are compared with
)

// markOf gives the mark of a verdict.
func markOf(v analyze.Verdict) Mark {
	switch v {
	case analyze.VerdictLost:
		return MarkBad
	case analyze.VerdictClean:
		return MarkGood
	}
	return MarkWarn
}

// Command is a command line and what it is for.
type Command struct {
	Line string `json:"line"`
	What string `json:"what,omitempty"`
}

// Figure is a picture and what it shows in words. One of its last fields is set.
type Figure struct {
	ID      string `json:"id"`
	Title   string `json:"title"`
	Alt     string `json:"alt"`     // for those who do not see it
	Caption string `json:"caption"` // how to read it

	Timeline *Timeline `json:"timeline,omitempty"`
	Latency  *Latency  `json:"latency,omitempty"`
	Policies *Bars     `json:"policies,omitempty"`
}

// The kinds of figure, as Document.Figure names them.
const (
	FigureTimeline = "timeline"
	FigureLatency  = "latency"
	FigurePolicies = "policies"
)

// Figures lists the kinds.
func Figures() []string { return []string{FigureTimeline, FigureLatency, FigurePolicies} }

// Figure gives the first figure of a kind, nil if the document has none.
func (d *Document) Figure(kind string) *Figure {
	for i := range d.Sections {
		for _, b := range d.Sections[i].Blocks {
			if f := b.Figure; f != nil && f.kind() == kind {
				return f
			}
		}
	}
	return nil
}

func (f *Figure) kind() string {
	switch {
	case f.Timeline != nil:
		return FigureTimeline
	case f.Latency != nil:
		return FigureLatency
	}
	return FigurePolicies
}

func (s *Section) text(t string) {
	if t != "" {
		s.Blocks = append(s.Blocks, Block{Text: t})
	}
}

func (s *Section) list(items []string) {
	if len(items) > 0 {
		s.Blocks = append(s.Blocks, Block{List: &List{Items: items}})
	}
}

func (s *Section) table(t *Table) {
	if t != nil && len(t.Rows) > 0 {
		s.Blocks = append(s.Blocks, Block{Table: t})
	}
}

func (s *Section) figure(f *Figure) {
	if f != nil {
		s.Blocks = append(s.Blocks, Block{Figure: f})
	}
}
