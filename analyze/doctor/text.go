package doctor

import (
	"fmt"
	"io"
	"strings"

	"github.com/evtrace/evtrace/evtchn/dump"
)

// TextOptions change how a report is written. The zero value is good.
type TextOptions struct {
	All bool // also the pending ports that are no suspects, and everything that moved
	_   struct{}
}

const (
	width     = 80
	fewDumps  = 12
	fewMoves  = 8
	fewStands = 8
)

// WriteText writes the report for people, in at most 80 columns where names allow.
func (r *Report) WriteText(w io.Writer, opt TextOptions) error {
	p := &page{}
	p.wrap("", "    ", r.headline())
	p.dumps(r, opt)
	p.suspects(r)
	p.moved(r, opt)
	p.cleared(r, opt)
	if len(r.Notes) > 0 {
		p.line("\nNotes")
		for _, n := range r.Notes {
			p.wrap("  ", "  ", n)
		}
	}
	if len(r.Next) > 0 {
		p.line("\nNext")
		for _, n := range r.Next {
			command, why, _ := strings.Cut(n, "\n")
			p.line("  " + command)
			p.wrap("    ", "    ", why)
		}
	}
	_, err := io.WriteString(w, p.b.String())
	return err
}

// headline is the answer in words.
func (r *Report) headline() string {
	stood, open := 0, 0
	for i := range r.Suspects {
		if standing(r.Suspects[i]) > 0 {
			stood++
		} else {
			open++
		}
	}
	switch {
	case len(r.Suspects) == 0 && r.Verdict == VerdictUndecided:
		return "undecided: nothing here shows which ports are pending."
	case len(r.Suspects) == 0:
		return "nothing suspect: no pending, unmasked port that nobody is going to look at."
	case r.Verdict == VerdictLost && open > 0:
		return fmt.Sprintf("lost: %s over two dumps or more; %d more to be confirmed.", stands(stood), open)
	case r.Verdict == VerdictLost:
		return fmt.Sprintf("lost: %s over two dumps or more.", stands(stood))
	case stood > 0:
		return fmt.Sprintf("undecided: %s over two dumps or more, and none of them is a lost event by itself.", stands(stood))
	}
	return fmt.Sprintf("undecided: %s, and may be in flight. Take a second dump.", suspectsText(open))
}

func stands(n int) string {
	if n == 1 {
		return "1 suspect has stood"
	}
	return fmt.Sprintf("%d suspects have stood", n)
}

func suspectsText(n int) string {
	if n == 1 {
		return "1 suspect"
	}
	return fmt.Sprintf("%d suspects", n)
}

type page struct{ b strings.Builder }

func (p *page) line(s string) { p.b.WriteString(strings.TrimRight(s, " ") + "\n") }

// wrap writes text in lines of at most width columns: the first behind first, the others behind rest.
func (p *page) wrap(first, rest, text string) {
	col := 0
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
			p.b.WriteString(first)
			col = len(first)
		case col+1+len(word) > width:
			p.b.WriteString("\n" + rest)
			col = len(rest)
		default:
			p.b.WriteByte(' ')
			col++
		}
		p.b.WriteString(word)
		col += len(word)
	}
	p.b.WriteByte('\n')
}

func domainName(d *int) string {
	if d == nil {
		return "unknown domain"
	}
	return fmt.Sprintf("domain %d", *d)
}

// dumps lists what was read: the first and the last ones, and those that a suspect refers to, if there are many.
func (p *page) dumps(r *Report, opt TextOptions) {
	p.line("\nDumps")
	files := map[string]bool{}
	for i := range r.Dumps {
		files[r.Dumps[i].File] = true
	}
	timed, domains := false, 0
	for i := range r.Dumps {
		timed = timed || r.Dumps[i].Time != ""
		domains = max(domains, len(domainName(r.Dumps[i].Domain)))
	}
	cited := map[int]bool{}
	for i := range r.Suspects {
		s := &r.Suspects[i]
		cited[s.Ended] = true
		for _, n := range s.Dumps {
			cited[n] = true
		}
	}
	hidden := 0
	for i := range r.Dumps {
		d := &r.Dumps[i]
		if n := len(r.Dumps); n > fewDumps && i >= fewDumps/2 && i < n-fewDumps/2 && !opt.All && !cited[d.Number] {
			hidden++
			continue
		}
		if hidden > 0 {
			p.line(fmt.Sprintf("  ... %d more (--all)", hidden))
			hidden = 0
		}
		s := fmt.Sprintf("%3d  ", d.Number)
		if timed {
			s += fmt.Sprintf("%-12s ", d.Time)
		}
		s += fmt.Sprintf("%-9s %-*s ", d.Source, max(domains, 10), domainName(d.Domain))
		switch {
		case d.Source == dump.KeyQ.String() && d.VCPUs == 0:
			s += "no row that can be read"
		case d.Ports == 0 && d.VCPUs > 0:
			s += fmt.Sprintf("%d vcpus", d.VCPUs)
		case d.Source == "lsevtchn":
			s += fmt.Sprintf("%d ports", d.Ports)
		default:
			s += fmt.Sprintf("%d ports (%s), %d pending", d.Ports, d.Format, d.Pending)
			if d.Masked > 0 {
				s += fmt.Sprintf(", %d masked", d.Masked)
			}
		}
		if d.Again {
			s += ", again"
		}
		if len(files) > 1 {
			s += "  " + d.File
		}
		p.line(s)
	}
}

// suspects tells each suspect.
func (p *page) suspects(r *Report) {
	if len(r.Suspects) == 0 {
		return
	}
	p.line("\nSuspects")
	for i := range r.Suspects {
		s := &r.Suspects[i]
		head := fmt.Sprintf("%3d. %s, %s: %s", i+1, domainName(s.Domain), portName(s.Port, s.VCPU), strings.ToUpper(string(s.Class)))
		switch {
		case standing(*s) > 0 && s.Ended != 0:
			head += fmt.Sprintf(", until dump %d", s.Ended)
		case standing(*s) > 0:
			head += ", and it stands"
		default:
			head += "? It may be in flight"
		}
		p.line(head)
		if s.Row != "" {
			p.line(fmt.Sprintf("     %s   %s", s.Row, s.Kind))
		}
		p.wrap("     ", "     ", s.Reason+".")
		p.wrap("     ", "     ", s.seen()+fmt.Sprintf(" (%s, line %d).", s.File, s.Line))
	}
}

// seen says which dumps show the suspect.
func (s *Suspect) seen() string {
	if len(s.Dumps) == 1 {
		return fmt.Sprintf("Seen in dump %d only", s.Dumps[0])
	}
	t := fmt.Sprintf("Seen in dumps %d to %d", s.Dumps[0], s.Dumps[1])
	if s.Count == 2 {
		t = fmt.Sprintf("Seen in dumps %d and %d", s.Dumps[0], s.Dumps[1])
	}
	if s.Span != "" {
		t += ", " + s.Span + " apart"
	}
	if s.Persisted == nil {
		t += ", which is too close to tell"
	}
	return t
}

// moved tells what moved between the last two dumps of each domain, and what did not.
func (p *page) moved(r *Report, opt TextOptions) {
	for i := range r.Moved {
		iv := &r.Moved[i]
		span := ""
		if iv.Span != "" {
			span = ", " + iv.Span + " apart"
		}
		p.line(fmt.Sprintf("\nBetween dumps %d and %d of %s%s", iv.From, iv.To, domainName(iv.Domain), span))
		p.list(fmt.Sprintf("%d of %d ports moved", iv.Moved, iv.Ports), iv.Moves, fewMoves, opt.All, true)
		p.list(fmt.Sprintf("%d stayed pending as they were", len(iv.Stood)), iv.Stood, fewStands, opt.All, false)
	}
}

// list writes moves, the first few unless all are wanted.
func (p *page) list(head string, moves []Move, few int, all, both bool) {
	if len(moves) == 0 {
		p.line("  " + head + ".")
		return
	}
	p.line("  " + head + ":")
	for i := range moves {
		m := &moves[i]
		if i == few && len(moves) > few+1 && !all {
			p.line(fmt.Sprintf("    ... %d more (--all)", len(moves)-few))
			return
		}
		s := fmt.Sprintf("    %5d  %s", m.Port, m.From)
		if both {
			to := m.To
			if a, ok := strings.CutPrefix(m.From, brackets(m.From)); ok && strings.TrimPrefix(m.To, brackets(m.To)) == a {
				to = brackets(m.To) // only the bits have moved
			}
			s += " -> " + to
		}
		p.line(s)
	}
}

func brackets(row string) string {
	if i := strings.IndexByte(row, ']'); i > 0 {
		return row[:i+1]
	}
	return row
}

// cleared tells why other pending ports are no suspects.
func (p *page) cleared(r *Report, opt TextOptions) {
	if len(r.Cleared) == 0 {
		return
	}
	if !opt.All {
		p.line(fmt.Sprintf("\nPending, and no suspects: %d (--all says why)", len(r.Cleared)))
		return
	}
	p.line("\nPending, and no suspects")
	for i := range r.Cleared {
		c := &r.Cleared[i]
		p.line(fmt.Sprintf("  %s, port %d: %s", domainName(c.Domain), c.Port, c.Why))
		p.line("     " + c.Row)
		p.wrap("     ", "     ", c.Reason+".")
	}
}
