package tui

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/charmbracelet/x/ansi"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/evtchn"
)

// whyPane tells the finding's story, sentence by sentence, each with the events that prove it.
type whyPane struct {
	w, h    int
	styles  *Styles
	glyphs  *glyphs
	finding *analyze.Finding
	story   []string   // of the finding
	told    int        // sentences of it that tell what was; those after them what would have been
	beyond  evtchn.Seq // where the cursor was when the end of the story was asked for
	links   []link
	rows    []int  // the sentence of each line on the screen, -1: none
	reach   string // the keys that bring j and k to the pane, each with a blank after it
}

// link is an event that a sentence names.
type link struct {
	seq      evtchn.Seq
	sentence int
	aside    bool // a sentence about what would have been: the cursor does not come to it
}

var seqPattern = regexp.MustCompile(`#([0-9]+)`)

func (p *whyPane) SetSize(w, h int) { p.w, p.h = w, max(h, 0) }

// SetFinding chooses the story.
func (p *whyPane) SetFinding(f *analyze.Finding) {
	if p.finding == f {
		return
	}
	p.finding, p.story, p.links, p.told, p.beyond = f, nil, nil, 0, 0
	if f == nil {
		return
	}
	p.story = f.Story()
	p.told = len(p.story)
	p.link(0)
}

// SetButFor adds what would have changed the verdict to the story.
func (p *whyPane) SetButFor(told []string) {
	if p.finding == nil || slices.Equal(p.story[p.told:], told) {
		return
	}
	p.story = append(p.story[:p.told:p.told], told...)
	p.links = slices.DeleteFunc(p.links, func(l link) bool { return l.aside })
	p.link(p.told)
}

// link finds the events that the sentences from one on name.
func (p *whyPane) link(from int) {
	for i, s := range p.story[from:] {
		for _, m := range seqPattern.FindAllStringSubmatch(s, -1) {
			if n, err := strconv.ParseUint(m[1], 10, 64); err == nil && n > 0 {
				p.links = append(p.links, link{evtchn.Seq(n), from + i, from >= p.told})
			}
		}
	}
}

// goBeyond shows the end of the story, what would have changed the verdict, while the cursor stays at its last event. It reports false
// if there is none, or it is shown already.
func (p *whyPane) goBeyond(at evtchn.Seq) bool {
	if len(p.story) == p.told || p.beyond == at {
		return false
	}
	p.beyond = at
	return true
}

// comeBack shows the place of the cursor again, and reports whether it was left.
func (p *whyPane) comeBack(at evtchn.Seq) bool {
	left := p.beyond == at && at > 0
	if left {
		p.beyond = 0
	}
	return left
}

// next gives the link after or before the cursor in the order of the story, 0 if there is none.
func (p *whyPane) next(at evtchn.Seq, dir int) evtchn.Seq {
	var best evtchn.Seq
	for _, l := range p.links {
		switch {
		case l.aside:
		case dir > 0 && l.seq > at && (best == 0 || l.seq < best):
			best = l.seq
		case dir < 0 && l.seq < at && l.seq > best:
			best = l.seq
		}
	}
	return best
}

// at gives the event that a line of the pane names, 0 if none: the last of its sentence that is not the cursor's.
func (p *whyPane) at(y int, cursor evtchn.Seq) evtchn.Seq {
	if y < 1 || y >= len(p.rows) || p.rows[y] < 0 {
		return 0
	}
	var seq evtchn.Seq
	for _, l := range p.links {
		if l.sentence == p.rows[y] && (l.seq != cursor || seq == 0) {
			seq = l.seq
		}
	}
	return seq
}

// current is the sentence that the cursor has got to, -1 before the first.
func (p *whyPane) current(at evtchn.Seq) int {
	best, cur := evtchn.Seq(0), -1
	for _, l := range p.links {
		if !l.aside && l.seq <= at && l.seq > best {
			best, cur = l.seq, l.sentence
		}
	}
	return cur
}

// View draws the pane. aside is what is to be said of the finding besides its story, "" for nothing.
func (p *whyPane) View(s *step, title, aside string, notes []string, focused bool) string {
	lines := []string{titleLine(p.styles, p.glyphs, title, p.w, focused)}
	if s.ev != nil {
		doc, _, _ := strings.Cut(s.ev.Kind.Spec().Doc, ";")
		now := fmt.Sprintf("this step: %s. %s", s.ev.Kind, capital(doc))
		if text, bad := s.news(); text != "" {
			mark := "  "
			st := p.styles.Header
			if bad {
				mark, st = p.glyphs.unnoticed+" ", p.styles.Bad
			}
			lines = append(lines, st.Render(clip(mark+text, p.w, p.glyphs)))
		}
		if p.h > 6 || len(lines) == 1 && p.h > 4 {
			lines = append(lines, p.styles.Dim.Render(clip("  "+now, p.w, p.glyphs)))
		}
	}
	if aside != "" {
		if named := fmt.Sprintf("port %d ", p.findingPort()); ansi.StringWidth(aside) > p.w-2 {
			aside = strings.TrimPrefix(aside, named) // the pane's title names it
		}
		lines = append(lines, p.styles.Header.Render(fit("  "+shorten(aside, p.w-2, p.glyphs), p.w)))
	}
	p.rows = p.rows[:0]
	if p.finding == nil {
		for _, n := range notes {
			for _, l := range wrap(n, p.w-2) {
				lines = append(lines, "  "+l)
			}
		}
		return canvas(lines, p.w, p.h, p.glyphs)
	}
	cur := p.current(s.seq)
	var story []string
	var of []int
	from, to := 0, 0 // lines of the current sentence
	for i, why := range p.story {
		mark := "  "
		if i == cur {
			mark, from = p.glyphs.cursor+" ", len(story)
		}
		head := fmt.Sprintf("%d. ", i+1)
		if i >= p.told {
			head = "But for: "
		}
		for j, l := range wrap(head+clean(why), p.w-5) {
			if j > 0 {
				mark = "     "
			}
			text := mark + l
			if i == cur {
				text = p.styles.Header.Render(text)
			}
			story, of = append(story, text), append(of, i)
		}
		if i == cur {
			to = len(story)
		}
	}
	for range lines {
		p.rows = append(p.rows, -1)
	}
	room, more := p.h-len(lines), ""
	if len(story) > room && room > 1 {
		room--
		// From the first sentence on if that leaves room for the current one.
		skip := min(max(to-room, 0), from)
		if p.beyond == s.seq && len(p.story) > p.told {
			for skip = len(story) - room; skip > 0 && skip < len(of)-1 && of[skip] == of[skip-1]; skip++ {
			}
		}
		for skip > 0 && skip < from && of[skip] == of[skip-1] {
			skip++ // no sentence's end by itself
		}
		end := min(skip+room, len(story))
		more = p.more(of, skip, end)
		story, of = story[skip:end], of[skip:end]
	}
	lines, p.rows = append(lines, story...), append(p.rows, of...)
	if more != "" {
		lines, p.rows = append(lines, p.styles.Dim.Render(clip("  "+more, p.w, p.glyphs))), append(p.rows, -1)
	}
	return canvas(lines, p.w, p.h, p.glyphs)
}

// more says how many sentences are not wholly among the lines from, inclusive, to to, exclusive. of has the sentence of each line.
func (p *whyPane) more(of []int, from, to int) string {
	var parts []string
	if from > 0 {
		parts = append(parts, fmt.Sprintf("%s %d more above (%sk)", p.glyphs.caret, of[from-1]+1, p.reach))
	}
	if to < len(of) {
		parts = append(parts, fmt.Sprintf("%s %d more below (%sj)", p.glyphs.below, of[len(of)-1]-of[to]+1, p.reach))
	}
	return strings.Join(parts, "   ")
}

func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

func (p *whyPane) findingPort() evtchn.Port {
	if p.finding == nil {
		return evtchn.NoPort
	}
	return p.finding.Port
}
