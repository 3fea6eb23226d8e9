package page

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/system"
	"github.com/evtrace/evtrace/replay"
)

// memory is a trace in memory.
type memory struct {
	meta evtchn.Meta
	evs  []evtchn.Event
}

func (m *memory) Meta() evtchn.Meta { return m.meta }

func (m *memory) Events(from evtchn.Seq) evtchn.Source {
	return &stream{m.evs[min(int(max(from, 1)-1), len(m.evs)):]}
}

func (m *memory) StateAt(seq evtchn.Seq) (*evtchn.State, error) {
	st, err := evtchn.NewState(m.meta)
	for i := 0; err == nil && i < len(m.evs) && m.evs[i].Seq <= seq; i++ {
		st.Apply(&m.evs[i])
	}
	return st, err
}

type stream struct{ evs []evtchn.Event }

func (s *stream) Next(ev *evtchn.Event) error {
	if len(s.evs) == 0 {
		return io.EOF
	}
	*ev, s.evs = s.evs[0], s.evs[1:]
	return nil
}

// simulate records a built-in scenario, for a shorter time if limit is not 0.
func simulate(t testing.TB, name string, limit evtchn.Time) *memory {
	t.Helper()
	sc, err := system.Builtin(name)
	if err != nil {
		t.Fatal(err)
	}
	p, err := evtchn.ParsePolicy(sc.Policy)
	if err != nil {
		t.Fatal(err)
	}
	sys, err := system.New(sc, 1, p, system.Inputs(sc, 1))
	if err != nil {
		t.Fatal(err)
	}
	m := &memory{meta: sys.Meta()}
	for {
		var ev evtchn.Event
		if err := sys.Next(&ev); err == io.EOF || err == nil && limit != 0 && ev.Time > limit {
			m.meta.Events = uint64(len(m.evs))
			return m
		} else if err != nil {
			t.Fatal(err)
		}
		m.evs = append(m.evs, ev)
	}
}

func input(t testing.TB, m *memory, policies ...string) Input {
	t.Helper()
	r, err := analyze.Run(m.meta, m.Events(1), analyze.Options{})
	if err != nil {
		t.Fatal(err)
	}
	in := Input{Name: "a.evt", Trace: m, Report: r, Origin: Origin{Tool: "evtrace test", Scenario: "x",
		Files: []File{{Name: "a.evt", Bytes: 17, SHA256: strings.Repeat("0123456789abcdef", 4)}}, Commands: []Command{{Line: "evtrace record --scenario x", What: "again"}}}}
	var list []evtchn.Policy
	for _, name := range policies {
		p, err := evtchn.ParsePolicy(name)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
	if len(list) > 0 {
		if in.Policies, err = analyze.Policies(context.Background(), m, list, true, analyze.Options{MaxFindings: 1}, replay.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	return in
}

// documents are those that the tests look at, each made once: lost, late, nothing found, and undecided with nothing in it.
var documents = sync.OnceValues(func() (map[string]*Document, error) {
	t := &recorder{}
	docs := make(map[string]*Document)
	func() {
		defer func() { _ = recover() }()
		for _, name := range []string{"seed-port65", "seed-rescued", "clean"} {
			d, err := New(input(t, simulate(t, name, 300e6), "xen-2005", "unmask-hypercall", "any-vcpu", "tick-sweep", "remote-selector-ipi", "linux-2021"), Options{})
			if err != nil {
				t.Fatal(err)
			}
			docs[name] = d
		}
		m := simulate(t, "clean", 1)
		m.evs = nil
		d, err := New(input(t, m), Options{})
		if err != nil {
			t.Fatal(err)
		}
		docs["empty"] = d
	}()
	return docs, t.err
})

// recorder takes the place of a test where there is none yet.
type recorder struct {
	testing.TB
	err error
}

func (r *recorder) Helper()           {}
func (r *recorder) Fatal(args ...any) { r.err = fmt.Errorf("%s", fmt.Sprint(args...)); panic(r.err) }

func each(t *testing.T, f func(t *testing.T, d *Document)) {
	docs, err := documents()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"seed-port65", "seed-rescued", "clean", "empty"} {
		t.Run(name, func(t *testing.T) { f(t, docs[name]) })
	}
}

func written(t *testing.T, write func(io.Writer) error) string {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// The page is well-formed, refers to nothing outside of itself, and its links lead somewhere.
func TestHTML(t *testing.T) {
	each(t, func(t *testing.T, d *Document) {
		checkPage(t, written(t, d.HTML))
	})
}

func checkPage(t *testing.T, page string) {
	t.Helper()
	body, _, _ := strings.Cut(page, "<script>")
	_, rest, _ := strings.Cut(page, "</script>")
	if strings.Count(page, "<script") != 1 {
		t.Errorf("got %d scripts, want the one that switches the theme", strings.Count(page, "<script"))
	}
	dec := xml.NewDecoder(strings.NewReader(strings.TrimPrefix(body, "<!DOCTYPE html>") + rest))
	dec.Entity = xml.HTMLEntity
	dec.Strict = false
	dec.AutoClose = []string{"meta"}
	ids, links := make(map[string]int), make(map[string]bool)
	var open []string
	for {
		tok, err := dec.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			open = append(open, tok.Name.Local)
			for _, a := range tok.Attr {
				switch a.Name.Local {
				case "id":
					ids[a.Value]++
				case "href":
					if !strings.HasPrefix(a.Value, "#") {
						t.Errorf("got a link to %s, want none out of the page", a.Value)
					}
					links[strings.TrimPrefix(a.Value, "#")] = true
				case "aria-labelledby":
					for _, id := range strings.Fields(a.Value) {
						links[id] = true
					}
				case "src", "srcset", "action", "data", "style", "onclick":
					t.Errorf("<%s> has %s=%q", tok.Name.Local, a.Name.Local, a.Value)
				}
			}
		case xml.EndElement:
			if n := len(open); n == 0 || open[n-1] != tok.Name.Local {
				t.Fatalf("</%s> closes %v", tok.Name.Local, open)
			}
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		t.Errorf("not closed: %v", open)
	}
	for id, n := range ids {
		if n > 1 {
			t.Errorf("%d elements have the id %s", n, id)
		}
	}
	for id := range links {
		if ids[id] == 0 {
			t.Errorf("a link leads to #%s, which is not there", id)
		}
	}
	for _, bad := range []string{"url(", "@import", "<link", "<img", "<iframe"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	if text := strings.ReplaceAll(page, `xmlns="http://www.w3.org/2000/svg"`, ""); strings.Contains(text, "http:") || strings.Contains(text, "https:") {
		t.Error("the page names an address")
	}
}

// Every bar leads to the slowest delivery of its bucket: a row of the table, or the finding that it is.
func TestBucketLinks(t *testing.T) {
	each(t, func(t *testing.T, d *Document) {
		f := d.Figure(FigureLatency)
		if f == nil {
			if d.Verdict != analyze.VerdictUnknown {
				t.Error("no picture of the delays")
			}
			return
		}
		ids := d.ids()
		page := written(t, d.HTML)
		for _, b := range f.Latency.Buckets {
			if !ids[b.Link] || !strings.Contains(page, `<a href="#`+b.Link+`"><title>`) {
				t.Errorf("bucket %d to %d: no link to %q", b.From, b.To, b.Link)
			}
		}
	})
}

var (
	viewBox = regexp.MustCompile(`viewBox="0 0 ([\d.]+) ([\d.]+)"`)
	svgText = regexp.MustCompile(`<text x="([-\d.]+)" y="([-\d.]+)" font-size="(\d+)" text-anchor="(\w+)" class="[^"]*"( font-weight="600")?>([^<]*)</text>`)
)

// Pictures are well-formed, have a title and a description, text of 12 pixels or more, and nothing sticks out.
func TestSVG(t *testing.T) {
	each(t, func(t *testing.T, d *Document) {
		for _, kind := range Figures() {
			f := d.Figure(kind)
			if f == nil {
				continue
			}
			if f.Title == "" || f.Alt == "" || f.Caption == "" {
				t.Errorf("%s: title %q, alt %q, caption %q: want all", kind, f.Title, f.Alt, f.Caption)
			}
			svg := f.SVG()
			dec := xml.NewDecoder(strings.NewReader(svg))
			for {
				if _, err := dec.Token(); err == io.EOF {
					break
				} else if err != nil {
					t.Fatalf("%s: %v", kind, err)
				}
			}
			box := viewBox.FindStringSubmatch(svg)
			if box == nil {
				t.Fatalf("%s: no viewBox", kind)
			}
			w, h := number(t, box[1]), number(t, box[2])
			found := svgText.FindAllStringSubmatch(svg, -1)
			if len(found) < 5 || len(found) != strings.Count(svg, "<text ") {
				t.Fatalf("%s: %d texts read of %d", kind, len(found), strings.Count(svg, "<text "))
			}
			for _, m := range found {
				x, y, s := number(t, m[1]), number(t, m[2]), m[6]
				long := textWidth(s)
				if m[5] != "" {
					long = boldWidth(s)
				}
				switch m[4] {
				case "middle":
					x -= long / 2
				case "end":
					x -= long
				}
				if number(t, m[3]) < 12 || x < -4 || x+long > w+4 || y < 10 || y > h {
					t.Errorf("%s of %gx%g: %q of size %s from %g to %g at %g", kind, w, h, s, m[3], x, x+long, y)
				}
			}
			if strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
				t.Errorf("%s has coordinates that are no numbers", kind)
			}
		}
	})
}

func number(t *testing.T, s string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Text has 72 columns, but for commands, which are to be copied, and ASCII alone.
func TestText(t *testing.T) {
	each(t, func(t *testing.T, d *Document) {
		for line := range strings.Lines(written(t, d.Text)) {
			line = strings.TrimSuffix(line, "\n")
			if columns(line) > textColumns && !strings.HasPrefix(line, "evtrace ") {
				t.Errorf("%d columns: %s", columns(line), line)
			}
			if strings.TrimRight(line, " ") != line || strings.IndexFunc(line, func(r rune) bool { return r < ' ' || r > '~' }) >= 0 {
				t.Errorf("not plain: %q", line)
			}
		}
	})
}

// All three forms say the same: the verdict, every sentence of the why, every policy, every command.
func TestFormsAgree(t *testing.T) {
	strip := regexp.MustCompile(`<[^>]*>|[\s\\` + "`" + `*_#-]+|&\w+;|&#\d+;|[><|&"']`)
	flat := func(s string) string { return strip.ReplaceAllString(s, "") }
	each(t, func(t *testing.T, d *Document) {
		forms := map[string]string{"html": flat(written(t, d.HTML)), "md": flat(written(t, d.Markdown)), "txt": flat(written(t, d.Text))}
		var want []string
		want = append(want, d.Headline)
		for _, s := range d.Sections {
			for _, b := range s.Blocks {
				want = append(want, b.Text)
				if b.List != nil {
					want = append(want, b.List.Items...)
				}
				for _, c := range b.Commands {
					want = append(want, c.Line)
				}
			}
		}
		for name, text := range forms {
			for _, s := range want {
				if !strings.Contains(text, flat(s)) {
					t.Errorf("%s lacks %q", name, s)
				}
			}
		}
	})
}

// Rows of tables in Markdown have a cell for each column, and no number of an event is taken for an issue.
func TestMarkdown(t *testing.T) {
	issue := regexp.MustCompile("(^|[^`\\w])#\\d")
	each(t, func(t *testing.T, d *Document) {
		md := written(t, d.Markdown)
		cells, code := 0, false
		for i, line := range strings.Split(md, "\n") {
			if strings.HasPrefix(line, "```") {
				code = !code
			}
			if code {
				continue
			}
			if issue.MatchString(line) {
				t.Errorf("line %d: %s", i+1, line)
			}
			n := strings.Count(strings.ReplaceAll(line, `\|`, ""), "|")
			if strings.HasPrefix(line, "|") && cells > 0 && n != cells {
				t.Errorf("line %d has %d bars, the one before it %d: %s", i+1, n, cells, line)
			}
			if cells = n; !strings.HasPrefix(line, "|") {
				cells = 0
			}
		}
		if code {
			t.Error("a block of code does not end")
		}
	})
}

// The same trace gives the same document.
func TestSame(t *testing.T) {
	m := simulate(t, "seed-rescued", 100e6)
	var first string
	for i := range 2 {
		d, err := New(input(t, m, "xen-2005", "tick-sweep"), Options{})
		if err != nil {
			t.Fatal(err)
		}
		text := written(t, d.HTML) + written(t, d.Text)
		if i > 0 && text != first {
			t.Error("two documents about one trace differ")
		}
		first = text
	}
}

// Names that the trace brings along do nothing in the page, in Markdown or on a terminal.
func TestHostileNames(t *testing.T) {
	m := simulate(t, "seed-port65", 120e6)
	for i := range m.meta.Tasks {
		m.meta.Tasks[i] = "<script>alert(1)</script>\x1b[31m\n# x | `y` \"'&"
	}
	in := input(t, m)
	in.Name = "a\n<b>.evt"
	in.Report.Missing = append(in.Report.Missing, "<img src=x> \x1b[2J | @everyone #1 [x](http:x)")
	d, err := New(in, Options{})
	if err != nil {
		t.Fatal(err)
	}
	page := written(t, d.HTML)
	for _, bad := range []string{"<script>alert", "<img", "<b>", "\x1b"} {
		for name, text := range map[string]string{"html": page, "md": outsideCode(written(t, d.Markdown)), "svg": d.Figure(FigureTimeline).SVG()} {
			if strings.Contains(text, bad) {
				t.Errorf("%s has %q", name, bad)
			}
		}
	}
	if text := written(t, d.Text); strings.Contains(text, "\x1b") {
		t.Error("the text has an escape character")
	}
	if md := written(t, d.Markdown); strings.Contains(outsideCode(md), "@everyone") || strings.Contains(outsideCode(md), "[x](") {
		t.Error("Markdown has a mention or a link of the trace's")
	}
}

// outsideCode leaves out blocks of code.
func outsideCode(md string) string {
	var b strings.Builder
	for i, part := range strings.Split(md, "```") {
		if i%2 == 0 {
			b.WriteString(part)
		}
	}
	return b.String()
}

// A document does not grow with the number of findings, and says how many it leaves out.
func TestBounded(t *testing.T) {
	m := simulate(t, "seed-port65", 120e6)
	in := input(t, m, "xen-2005", "unmask-hypercall")
	r := in.Report
	f := r.Findings[0]
	for i := range 10_000 {
		f.ID, f.Port = fmt.Sprintf("lost:%d#1", 100+i), evtchn.Port(100+i)
		r.Findings = append(r.Findings, f)
		r.Groups = append(r.Groups, analyze.Group{Kind: f.Kind, Cause: f.Cause, Port: f.Port, Count: 1})
	}
	r.Omitted = 90_000
	for range 10 {
		in.Policies.Policies = append(in.Policies.Policies, in.Policies.Policies...)
	}
	d, err := New(in, Options{})
	if err != nil {
		t.Fatal(err)
	}
	page := written(t, d.HTML)
	if len(page) > 400_000 {
		t.Errorf("the page has %d bytes, want at most 400,000", len(page))
	}
	for _, want := range []string{"99,958 findings are left out here", "9,971 more rows", "policies are left out"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	checkPage(t, page)
}

func TestOptions(t *testing.T) {
	m := simulate(t, "clean", 5e6)
	in := input(t, m)
	for _, opt := range []Options{{Full: -1}, {Rows: -1}, {Full: 51}} {
		if _, err := New(in, opt); err == nil {
			t.Errorf("%+v: no error", opt)
		}
	}
}

// The timeline of the report's bug has its turning points and the vcpus that have a part in it.
func TestTimeline(t *testing.T) {
	docs, err := documents()
	if err != nil {
		t.Fatal(err)
	}
	tl := docs["seed-port65"].Figure(FigureTimeline).Timeline
	var turns []string
	for i, c := range tl.Columns {
		if c.Turn != "" {
			turns = append(turns, string(c.Turn)+" "+c.Step)
		}
		if i > 0 && c.Seq != 0 && c.Seq <= tl.Columns[i-1].Seq {
			t.Errorf("column %d: #%d after #%d", i, c.Seq, tl.Columns[i-1].Seq)
		}
	}
	if got, want := strings.Join(turns, ", "), "exposed mask.clear, unnoticed word.read"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if len(tl.Lanes) != 2 || tl.Lanes[0].Role != "owner" || tl.Lanes[1].Role != "looked away" {
		t.Errorf("got the lanes %+v, want the owner and who looked away", tl.Lanes)
	}
	var life []string
	for _, s := range tl.Life {
		life = append(life, s.What)
	}
	if got, want := strings.Join(life, ", "), "clear, pending, masked, pending, unmasked, UNNOTICED"; got != want {
		t.Errorf("got the life %s, want %s", got, want)
	}
	for _, l := range append([]Lane{{Stretches: tl.Life}}, tl.Lanes...) {
		at := 0.0
		for _, s := range l.Stretches {
			if s.From < at-1e-9 || s.From > at+1e-9 || s.To <= s.From {
				t.Errorf("a stretch from %g to %g after %g", s.From, s.To, at)
			}
			at = s.To
		}
		if at != float64(len(tl.Columns)) {
			t.Errorf("the stretches end at %g, want %d", at, len(tl.Columns))
		}
	}
}

func TestSentence(t *testing.T) {
	for in, want := range map[string]string{"": "", "lost: 1 of 2": "Lost: 1 of 2.", "vcpu 1 took it": "vcpu 1 took it.", "a.bin.zst has none.": "a.bin.zst has none.",
		"1 of 2": "1 of 2.", "so:": "So:"} {
		if got := sentence(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
