package tui

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/charmbracelet/x/ansi"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/text"
)

// step is what the panes show: a moment of the trace.
type step struct {
	meta    *evtchn.Meta
	clock   clock
	seq     evtchn.Seq
	ev      *evtchn.Event // nil in an empty trace
	prev    *evtchn.State // before the event, nil with it
	cur     *evtchn.State // after it
	port    evtchn.Port   // that is looked at, NoPort: none
	finding *analyze.Finding
	rescue  rescue
}

// rescue is why an unnoticed port will be seen nevertheless: a vcpu that accepts it is to look at its word for another port's sake.
type rescue struct {
	ok   bool
	vcpu evtchn.VCPU
	by   evtchn.Port // NoPort: not known
}

func (r rescue) String() string {
	if r.by == evtchn.NoPort {
		return fmt.Sprintf("vcpu %d will look all the same", r.vcpu)
	}
	return fmt.Sprintf("vcpu %d will look all the same, thanks to port %d", r.vcpu, r.by)
}

// rescueReach is how many events back from the cursor an upcall's taking of its selector is looked for.
const rescueReach = 200

// rescued looks for what will make a vcpu see the port though it is unnoticed.
func (m *Model) rescued() (r rescue) {
	st, p := m.view.cur, m.port
	if st == nil || m.view.ev == nil || p == evtchn.NoPort || !st.Unnoticed(p) {
		return r
	}
	w := st.Word(p)
	for v := range st.V {
		id, vc := evtchn.VCPU(v), &st.V[v]
		if accepts(st, id, p) != evtchn.One {
			continue
		}
		ev := m.view.ev
		switch {
		case st.Selected(id, w) == evtchn.One && st.Attentive(id):
			return rescue{true, id, vc.SelBy[w]}
		case ev.Kind == evtchn.KindDeliver && ev.Port == p && ev.VCPU == id, vc.InUpcall && vc.ScanBy[w] != evtchn.NoPort && m.scanning(id, w):
			return rescue{true, id, vc.ScanBy[w]}
		}
	}
	return r
}

// scanning reports whether the vcpu's upcall has taken its selector and has not come to the word yet.
func (m *Model) scanning(v evtchn.VCPU, word int) bool {
	for seq := m.seq; seq > 0 && m.seq-seq < rescueReach; seq-- {
		ev, err := m.tape.event(seq)
		switch {
		case err != nil:
			return false
		case ev.VCPU != v:
		case ev.Kind == evtchn.KindSelXchg:
			return true
		case ev.Kind == evtchn.KindWordRead && ev.Args[0] == uint64(word), ev.Kind == evtchn.KindUpcallExit:
			return false
		}
	}
	return false
}

// clock writes times.
type clock struct {
	ticks   bool
	perTick float64
	seconds bool // times are so large that they are written in seconds
	digits  int  // of a second: what the recorder's clock tells apart
}

func newClock(meta *evtchn.Meta, last evtchn.Time) clock {
	c := clock{perTick: meta.NsPerTick}
	if c.perTick <= 0 {
		c.perTick = 1
	}
	c.ticks = meta.Unit == "ticks" && c.perTick == 1
	c.seconds = c.ns(last) >= 10e9
	c.digits = 9
	if meta.Source == evtchn.SourceObserved && c.perTick == 1 {
		c.digits = 6 // ftrace writes microseconds
	}
	return c
}

func (c clock) ns(t evtchn.Time) float64 { return float64(t) * c.perTick }

// unit is that of at.
func (c clock) unit() string {
	switch {
	case c.ticks:
		return "ticks"
	case c.seconds:
		return "s"
	}
	return "ms"
}

// at writes a moment, without its unit.
func (c clock) at(t evtchn.Time) string {
	switch {
	case c.ticks:
		return strconv.FormatInt(int64(t), 10)
	case c.seconds:
		return strconv.FormatFloat(c.ns(t)/1e9, 'f', c.digits, 64)
	}
	return strconv.FormatFloat(c.ns(t)/1e6, 'f', 6, 64)
}

// span writes a duration with its unit.
func (c clock) span(t evtchn.Time) string {
	f := c.ns(t)
	switch {
	case c.ticks:
		return fmt.Sprintf("%d ticks", t)
	case f < 1e3:
		return fmt.Sprintf("%.3g ns", f)
	case f < 1e6:
		return fmt.Sprintf("%.4g us", f/1e3)
	case f < 1e9:
		return fmt.Sprintf("%.4g ms", f/1e6)
	}
	return fmt.Sprintf("%.4g s", f/1e9)
}

// parse reads a time such as 1.2ms; without a unit it is in the one that at writes.
func (c clock) parse(s string) (evtchn.Time, error) {
	num := strings.TrimRight(s, "abcdefghijklmnopqrstuvwxyzµ")
	unit := s[len(num):]
	if unit == "" {
		unit = c.unit()
	}
	f, err := strconv.ParseFloat(num, 64)
	if err != nil {
		return 0, fmt.Errorf("got %q, want a time such as 1.2ms", s)
	}
	if c.ticks {
		if unit != "ticks" && unit != "tick" {
			return 0, fmt.Errorf("got %q, but this trace counts ticks of unknown length", s)
		}
		return evtchn.Time(f), nil
	}
	scale := map[string]float64{"ns": 1, "us": 1e3, "µs": 1e3, "ms": 1e6, "s": 1e9}[unit]
	if scale == 0 {
		return 0, fmt.Errorf("got unit %q, want ns, us, ms or s", unit)
	}
	return evtchn.Time(f*scale/c.perTick + 0.5), nil
}

// vcpuName writes a vcpu.
func vcpuName(v evtchn.VCPU) string {
	if v == evtchn.NoVCPU {
		return "-"
	}
	return "v" + strconv.Itoa(int(v))
}

// mattering lists the vcpus that the step is about, the most important first: the port's owner, the event's vcpu and its target, who
// looked away, whom Xen notifies; then those that have something selected or in hand.
func (s *step) mattering() []evtchn.VCPU {
	var list []evtchn.VCPU
	add := func(v evtchn.VCPU) {
		if v >= 0 && int(v) < len(s.cur.V) && !slices.Contains(list, v) {
			list = append(list, v)
		}
	}
	var ps *evtchn.PortState
	if s.port != evtchn.NoPort {
		ps = portAt(s.cur, s.port)
	}
	if ps != nil && (ps.Status != evtchn.PortFree || ps.PendSeq != 0) {
		add(ps.Owner)
	}
	if s.ev != nil {
		add(s.ev.VCPU)
		add(s.ev.Target())
	}
	if s.finding != nil {
		add(s.finding.UnnoticedVCPU)
	}
	if ps != nil && ps.Status != evtchn.PortFree {
		add(ps.Notify)
	}
	for v := range s.cur.V {
		id := evtchn.VCPU(v)
		if ps != nil && (ps.Own.Has(id) || ps.Held.Has(id)) {
			add(id)
		}
	}
	for v := range s.cur.V {
		vc := &s.cur.V[v]
		if vc.Sel != 0 || vc.Up == evtchn.One || vc.InUpcall || vc.InXen || vc.Kicks > 0 {
			add(evtchn.VCPU(v))
		}
	}
	return list
}

// portAt gives the state of a port that the ABI has without changing the machine's, which State.PortAt may make room in.
func portAt(st *evtchn.State, p evtchn.Port) *evtchn.PortState {
	if int(p) < len(st.P) {
		return &st.P[p]
	}
	c := *st
	c.P = slices.Clip(st.P)
	return c.PortAt(p)
}

// accepts says whether the guest would handle the port on that vcpu, as State.Accepts does.
func accepts(st *evtchn.State, v evtchn.VCPU, p evtchn.Port) evtchn.Bit {
	if st.Observed && int(p) >= len(st.P) {
		return evtchn.Unknown
	}
	return st.Accepts(v, p)
}

// news says what the step changed about the port that is looked at, "" if nothing of weight.
func (s *step) news() (string, bool) {
	if s.port == evtchn.NoPort || s.prev == nil || int(s.port) >= s.cur.Ports() {
		return "", false
	}
	p := s.port
	was, is := portAt(s.prev, p), portAt(s.cur, p)
	name := fmt.Sprintf("port %d ", p)
	switch {
	case is.UnnoticedSeq == s.seq && s.seq != 0 && s.rescue.ok:
		return name + "goes UNNOTICED here, but " + s.rescue.String(), false
	case is.UnnoticedSeq == s.seq && s.seq != 0:
		return name + "goes UNNOTICED here: pending, unmasked, and nobody is going to look", true
	case was.UnnoticedSeq != 0 && is.UnnoticedSeq == 0 && is.PendSeq != 0 && is.ExposedSeq != 0:
		return name + "is noticed again", false
	case was.ExposedSeq == 0 && is.ExposedSeq != 0:
		return name + "is exposed from here on: pending and unmasked", false
	case was.PendSeq == 0 && is.PendSeq != 0:
		return name + "becomes pending", false
	case was.PendSeq != 0 && is.PendSeq == 0:
		return name + "is no longer pending", false
	case is.Swallowed > was.Swallowed:
		return name + "was pending already: this event is swallowed", is.UnnoticedSeq != 0
	}
	return "", false
}

// spot is a finding at its place in the trace.
type spot struct {
	seq     evtchn.Seq
	finding *analyze.Finding
}

// bears says how much a finding has to do with an event while a port is looked at: 0 if nothing. It does if the event is evidence, or
// if the port is the finding's and the event is not before the episode began, nor after it was noticed, if it was.
func (p *spot) bears(seq evtchn.Seq, port evtchn.Port) int {
	f := p.finding
	from, to := p.seq, max(p.seq, f.NoticedSeq)
	n := 0
	for _, e := range f.Evidence {
		from = min(from, e)
		if e == seq {
			n = 2
		}
	}
	if f.Kind == analyze.KindLost && f.NoticedSeq == 0 {
		to = seq // it goes on to the end
	}
	if p.seq == seq {
		n = 4
	}
	switch {
	case f.Port == port && (n > 0 || from <= seq && seq <= to):
		return n + 8
	case n > 0:
		return n
	}
	return 0
}

// spotsOf lists the findings in the order of their places: where they went unnoticed, or where they were noticed.
func spotsOf(r *analyze.Report, n evtchn.Seq) []spot {
	var list []spot
	for i := range r.Findings {
		f := &r.Findings[i]
		seq := f.UnnoticedSeq
		if seq == 0 {
			seq = f.NoticedSeq
		}
		if seq == 0 && len(f.Evidence) > 0 {
			seq = f.Evidence[len(f.Evidence)-1]
		}
		if seq >= 1 && seq <= n {
			list = append(list, spot{seq, f})
		}
	}
	sort.SliceStable(list, func(i, j int) bool { return list[i].seq < list[j].seq })
	return list
}

// contextName writes an event's context.
func contextName(ev *evtchn.Event, meta *evtchn.Meta) string {
	return string(text.AppendContext(nil, ev, meta))
}

func portName(ev *evtchn.Event) string { return string(text.AppendPort(nil, ev)) }

func what(ev *evtchn.Event, meta *evtchn.Meta) string {
	return clean(string(text.AppendWhat(nil, ev, meta)))
}

// clean keeps control characters of a trace's names off the terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}

// fit cuts a line to a width, and fills it up.
func fit(s string, w int) string {
	if w <= 0 {
		return ""
	}
	n := ansi.StringWidth(s)
	if n > w {
		s = ansi.Truncate(s, w, "")
		n = ansi.StringWidth(s)
	}
	if n < w {
		s += strings.Repeat(" ", w-n)
	}
	return s
}

// clip makes a text exactly w columns wide, with a sign where it was cut. It does not cut a number in two, which would be another number.
func clip(s string, w int, g *glyphs) string {
	if ansi.StringWidth(s) <= w {
		return fit(s, w)
	}
	text, more := []rune(ansi.Strip(s)), ansi.StringWidth(g.more)
	n := max(w-more, 0)
	if n < len(text) && n > 0 && numeric(text[n]) {
		for back := n; back >= max(n-maxNumber, 0); back-- {
			if back == 0 || !numeric(text[back-1]) {
				n = back
				break
			}
		}
	}
	return fit(shorten(s, n+more, g), w)
}

// maxNumber is how long a number is that is not cut; what is longer are bits.
const maxNumber = 14

func numeric(r rune) bool { return r >= '0' && r <= '9' || r == '#' || r == '.' || r == ',' }

// wrap breaks a text into lines of at most w columns.
func wrap(s string, w int) []string {
	if w < 1 {
		w = 1
	}
	return strings.Split(ansi.Wrap(s, w, ""), "\n")
}

// group writes a number with commas between thousands.
func group[T ~uint64 | ~int](n T) string {
	s := strconv.FormatUint(uint64(n), 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// spanNs writes a duration of a report, which is in nanoseconds or, with a clock of ticks of unknown length, in ticks.
func (c clock) spanNs(n int64) string {
	if !c.ticks {
		c.perTick = 1
	}
	return c.span(evtchn.Time(n))
}
