package page

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/text"
	"github.com/evtrace/evtrace/tui/timeline"
)

// Timeline is the story of a finding in time: a column for each of its events, equally far apart however long it took from one to
// the next, a lane for each vcpu that has a part in it, and the life of the port.
type Timeline struct {
	Port    evtchn.Port `json:"port"`
	Columns []Moment    `json:"columns"`
	Lanes   []Lane      `json:"lanes"`
	Life    []Stretch   `json:"life"`
	Art     []string    `json:"art"` // the same time, to scale, in characters
	Start   string      `json:"start"`
}

// Moment is a column of a timeline.
type Moment struct {
	Seq      evtchn.Seq   `json:"seq"` // 0: the end of the trace
	Step     string       `json:"step"`
	What     string       `json:"what"`
	Lane     int          `json:"lane"`           // of the vcpu that did it; -1: none
	Told     int          `json:"told"`           // lane of the vcpu that it told; -1: none
	Port     Touch        `json:"port,omitempty"` // what it does to the port
	Turn     analyze.Turn `json:"turn,omitempty"`
	Inferred bool         `json:"inferred,omitempty"`
	After    string       `json:"after,omitempty"` // time since the column before
	Break    bool         `json:"break,omitempty"` // with so many events in it that what the vcpus did is left out
	Skipped  uint64       `json:"skipped,omitempty"`
}

// Touch is what an event does to the bits of a port.
type Touch string

// The touches.
const (
	TouchNone  Touch = ""
	TouchRead  Touch = "reads"
	TouchWrite Touch = "writes"
)

func touch(ev *evtchn.Event, p evtchn.Port, wordBits int) Touch {
	switch ev.Kind {
	case evtchn.KindPendTAS, evtchn.KindPendClear, evtchn.KindMaskTAS, evtchn.KindMaskTAC, evtchn.KindMaskClear:
		if ev.Port == p {
			return TouchWrite
		}
	case evtchn.KindPendRead, evtchn.KindMaskRead:
		if ev.Port == p {
			return TouchRead
		}
	case evtchn.KindWordRead, evtchn.KindSweepRead:
		if wordBits > 0 && ev.Args[0] == uint64(p)/uint64(wordBits) {
			return TouchRead
		}
	}
	return TouchNone
}

// Lane is the row of a vcpu.
type Lane struct {
	VCPU      evtchn.VCPU `json:"vcpu"`
	Role      string      `json:"role,omitempty"`
	Stretches []Stretch   `json:"stretches"`
}

// Stretch is a time in which something was the case. Positions count columns; the event of column i is at i + 0.5.
type Stretch struct {
	From float64 `json:"from"`
	To   float64 `json:"to"`
	What string  `json:"what"`

	left     bool
	activity timeline.Activity
	life     timeline.Life
}

// Limits of a timeline.
const (
	maxMoments = 10      // columns
	maxLanes   = 5       // vcpus
	maxBetween = 100     // events between two columns up to which it is drawn what the vcpus did
	gapCells   = 32      // how finely the time between two columns is told apart
	scanBudget = 200_000 // events between two columns that are read; of more only the ends are shown
)

// timeline draws the story of a finding; nil if there is nothing to draw.
func (m *maker) timeline(f *analyze.Finding, story []analyze.StoryEvent) (*Figure, error) {
	chosen := chooseMoments(story)
	if len(chosen) == 0 {
		return nil, nil
	}
	b := &drawing{maker: m, f: f, story: chosen, tl: &Timeline{Port: f.Port, Start: m.t.Moment(m.units(chosen[0].Event.Time))}}
	b.lanes()
	b.moments()
	if err := b.stretches(); err != nil {
		return nil, err
	}
	b.vain()
	if err := b.art(); err != nil {
		return nil, err
	}
	fig := &Figure{ID: "timeline-" + identifier(f.ID), Title: fmt.Sprintf("Port %d, event by event", f.Port), Timeline: b.tl, Alt: b.alt()}
	fig.Caption = "Each column is an event, equally far apart; the bottom line says how much time lies between them. A dot shows which vcpu did it. An arrow down to the port " +
		"changes it, one up from the port reads it, one between vcpus tells the other to look."
	if slices.ContainsFunc(b.tl.Columns, func(c Moment) bool { return c.Break }) {
		fig.Caption += " Where the time axis is broken, what the vcpus did is left out."
	}
	if slices.ContainsFunc(b.tl.Columns, func(c Moment) bool { return c.Seq != 0 && c.Lane < 0 }) {
		fig.Caption += " A dot above the lines is Xen on behalf of another domain."
	}
	if slices.ContainsFunc(b.tl.Columns, func(c Moment) bool { return c.Inferred }) {
		fig.Caption += " Hollow dots and a * are deduced: the capture does not show them."
	}
	return fig, nil
}

// chooseMoments picks the events that get a column: the evidence, and of that, if it is too much, the first and the last ones.
func chooseMoments(story []analyze.StoryEvent) []analyze.StoryEvent {
	list := slices.Clone(story)
	if len(list) > maxMoments {
		var left uint64
		list = list[:0]
		for _, e := range story {
			left += e.Skipped
			if !e.Evidence && e.Turn == "" {
				left++
				continue
			}
			e.Skipped, left = left, 0
			list = append(list, e)
		}
	}
	for len(list) > maxMoments {
		at := slices.IndexFunc(list[3:], func(e analyze.StoryEvent) bool { return e.Turn == "" })
		if at < 0 {
			return list[:maxMoments]
		}
		at += 3
		if at+1 < len(list) {
			list[at+1].Skipped += list[at].Skipped + 1
		}
		list = slices.Delete(list, at, at+1)
	}
	return list
}

// drawing is a timeline in the making.
type drawing struct {
	*maker
	f     *analyze.Finding
	story []analyze.StoryEvent
	tl    *Timeline
	end   bool // the last column is the end of the trace
}

// lanes finds the vcpus that have a part in the story.
func (d *drawing) lanes() {
	add := func(v evtchn.VCPU, role string) {
		if v < 0 || int(v) >= d.meta.VCPUs {
			return
		}
		i := d.lane(v)
		if i < 0 && len(d.tl.Lanes) < maxLanes {
			i = len(d.tl.Lanes)
			d.tl.Lanes = append(d.tl.Lanes, Lane{VCPU: v})
		}
		if i >= 0 && d.tl.Lanes[i].Role == "" {
			d.tl.Lanes[i].Role = role
		}
	}
	add(d.f.OwnerVCPU, "owner")
	add(d.f.UnnoticedVCPU, "looked away")
	add(d.f.NoticedVCPU, "noticed it")
	for i := range d.story {
		ev := &d.story[i].Event
		add(ev.VCPU, "")
		add(ev.Target(), "")
	}
	slices.SortFunc(d.tl.Lanes, func(a, b Lane) int { return int(a.VCPU) - int(b.VCPU) })
}

func (d *drawing) lane(v evtchn.VCPU) int {
	return slices.IndexFunc(d.tl.Lanes, func(l Lane) bool { return l.VCPU == v })
}

// moments makes the columns.
func (d *drawing) moments() {
	var before int64
	seq := evtchn.Seq(0)
	// after says what lies between a column and the one before it.
	after := func(c *Moment, at int64, seq, before evtchn.Seq, was int64) {
		c.After, c.Break = d.span(at-was), seq-before > maxBetween
	}
	for i := range d.story {
		e := &d.story[i]
		ev := &e.Event
		at := d.units(ev.Time)
		c := Moment{Seq: ev.Seq, Step: ev.Kind.String(), What: clean(string(text.AppendWhat(nil, ev, &d.meta))), Lane: d.lane(ev.VCPU), Told: -1,
			Port: touch(ev, d.f.Port, d.meta.WordBits), Turn: e.Turn, Inferred: ev.Inferred(), Skipped: e.Skipped}
		if to := ev.Target(); to != ev.VCPU {
			c.Told = d.lane(to)
		}
		if i > 0 {
			after(&c, at, ev.Seq, seq, before)
		}
		before, seq = at, ev.Seq
		d.tl.Columns = append(d.tl.Columns, c)
	}
	if d.f.Kind == analyze.KindLost && d.f.NoticedSeq == 0 && d.t.Last >= before {
		d.end = true
		c := Moment{Step: "trace ends", What: "still unnoticed", Lane: -1, Told: -1}
		after(&c, d.t.Last, evtchn.Seq(d.t.Events), seq, before)
		d.tl.Columns = append(d.tl.Columns, c)
	}
}

func (d *drawing) span(v int64) string { return "+" + d.t.Span(v) }

// stretches reads what the vcpus and the port went through from column to column.
func (d *drawing) stretches() error {
	first := d.story[0].Event.Seq
	st, err := d.in.Trace.StateAt(first - 1)
	if err != nil {
		return err
	}
	d.still(st, 0, .5)
	src := d.in.Trace.Events(first)
	var ev evtchn.Event
	if err := next(src, &ev); err != nil {
		return err
	}
	st.Apply(&ev)
	for i := range d.tl.Columns {
		at, to := float64(i)+.5, float64(i)+1.5
		if i+1 == len(d.tl.Columns) {
			d.still(st, at, at+.5)
			if d.tl.Columns[i].Turn == analyze.TurnNoticed {
				d.tl.Life[len(d.tl.Life)-1].To = at
				d.live(timeline.LifeDelivered, at, at+.5)
			}
			return nil
		}
		until := evtchn.Seq(d.t.Events)
		if i+1 < len(d.story) {
			until = d.story[i+1].Event.Seq
		}
		if until-ev.Seq > scanBudget {
			d.leave(at, to)
			if d.f.UnnoticedSeq != 0 && ev.Seq >= d.f.UnnoticedSeq {
				d.live(timeline.LifeUnnoticed, at, to)
			}
			if st, err = d.in.Trace.StateAt(until - 1); err != nil {
				return err
			}
			src = d.in.Trace.Events(until)
			if err := next(src, &ev); err != nil {
				return err
			}
			st.Apply(&ev)
			continue
		}
		end := evtchn.Time(d.meta.Duration)
		if i+1 < len(d.story) {
			end = d.story[i+1].Event.Time
		}
		spec := timeline.Spec{Meta: d.meta, From: ev.Time, To: max(end, ev.Time+1), Cols: gapCells, Port: d.f.Port}
		b := timeline.NewBuilder(spec)
		b.Add(&ev, st)
		for ev.Seq < until {
			if err := next(src, &ev); err != nil {
				return err
			}
			st.Apply(&ev)
			if ev.Seq < until || i+1 == len(d.story) {
				b.Add(&ev, st)
			}
		}
		b.Finish()
		if d.tl.Columns[i+1].Break {
			d.leave(at, to)
		}
		d.take(b.Strip(), at, !d.tl.Columns[i+1].Break)
	}
	return nil
}

// vain marks the port as unnoticed where the finding says so and the machine does not: a vcpu has been told and is going to look, but the port
// will not be its own any more.
func (d *drawing) vain() {
	from, to := -1.0, float64(len(d.tl.Columns))
	for i, c := range d.tl.Columns {
		switch c.Turn {
		case analyze.TurnUnnoticed:
			from = float64(i) + .5
		case analyze.TurnNoticed:
			to = float64(i) + .5
		}
	}
	if from < 0 || slices.ContainsFunc(d.tl.Life, func(s Stretch) bool { return s.life == timeline.LifeUnnoticed }) {
		return
	}
	life := d.tl.Life
	d.tl.Life = nil
	for _, s := range life {
		if s.life != timeline.LifeExposed || s.To <= from || s.From >= to {
			d.live(s.life, s.From, s.To)
			continue
		}
		a, b := max(s.From, from), min(s.To, to)
		if s.From < a {
			d.live(s.life, s.From, a)
		}
		d.live(timeline.LifeUnnoticed, a, b)
		if b < s.To {
			d.live(s.life, b, s.To)
		}
	}
}

// leave leaves out what the vcpus did.
func (d *drawing) leave(from, to float64) {
	for i := range d.tl.Lanes {
		list := &d.tl.Lanes[i].Stretches
		*list = append(*list, Stretch{From: from, To: to, What: "left out", left: true})
	}
}

func next(src evtchn.Source, ev *evtchn.Event) error {
	err := src.Next(ev)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF // the story has an event that is not there
	}
	return err
}

// still shows one state.
func (d *drawing) still(st *evtchn.State, from, to float64) {
	for i := range d.tl.Lanes {
		d.act(i, timeline.ActivityOf(st, d.tl.Lanes[i].VCPU), from, to)
	}
	d.live(timeline.LifeOf(st, d.f.Port), from, to)
}

// take adds what a strip of the time between two columns shows.
func (d *drawing) take(s *timeline.Strip, from float64, vcpus bool) {
	for c := range s.Spec.Cols {
		a, b := from+float64(c)/float64(s.Spec.Cols), from+float64(c+1)/float64(s.Spec.Cols)
		for i := range d.tl.Lanes {
			if act, ok := s.Activity(d.tl.Lanes[i].VCPU, c); ok && vcpus {
				d.act(i, act, a, b)
			}
		}
		if l, ok := s.Life(c); ok {
			d.live(l, a, b)
		}
	}
}

func (d *drawing) act(lane int, a timeline.Activity, from, to float64) {
	list := &d.tl.Lanes[lane].Stretches
	if n := len(*list); n > 0 && !(*list)[n-1].left && (*list)[n-1].activity == a && (*list)[n-1].To >= from-1e-9 {
		(*list)[n-1].To = to
		return
	}
	*list = append(*list, Stretch{From: from, To: to, What: a.String(), activity: a})
}

func (d *drawing) live(l timeline.Life, from, to float64) {
	list := &d.tl.Life
	if n := len(*list); n > 0 && (*list)[n-1].life == l && (*list)[n-1].To >= from-1e-9 {
		(*list)[n-1].To = to
		return
	}
	*list = append(*list, Stretch{From: from, To: to, What: l.String(), life: l})
}

// artWidth is that of the strip in characters.
const artWidth = 72

// art draws the time around the step at which the port went unnoticed to scale, in characters.
func (d *drawing) art() error {
	first, last := &d.story[0].Event, &d.story[len(d.story)-1].Event
	exposed := first
	for i := range d.story {
		switch d.story[i].Turn {
		case analyze.TurnExposed:
			exposed = &d.story[i].Event
		case analyze.TurnUnnoticed:
			last = &d.story[i].Event
		}
	}
	from := first
	if last.Time-first.Time > 50*max(last.Time-exposed.Time, 1) {
		from = exposed
	}
	if last.Seq-from.Seq > scanBudget || last.Time < from.Time {
		return nil
	}
	mod := timeline.New(d.meta, timeline.PlainStyles())
	mod.SetASCII(true)
	mod.SetSize(artWidth, len(d.tl.Lanes)+3)
	mod.SetPort(d.f.Port)
	mod.SetWindow(from.Time, last.Time+max((last.Time-from.Time)/8, 1))
	var focus []evtchn.VCPU
	for _, l := range d.tl.Lanes {
		focus = append(focus, l.VCPU)
	}
	mod.SetFocus(focus...)
	mod.SetMarks([]timeline.Mark{{Kind: timeline.Finding, At: last.Time}})
	b := timeline.NewBuilder(mod.Spec())
	st, err := d.in.Trace.StateAt(from.Seq - 1)
	if err != nil {
		return err
	}
	b.Start(st)
	src := d.in.Trace.Events(from.Seq)
	var ev evtchn.Event
	for n := 0; n < 2*scanBudget; n++ {
		if err := src.Next(&ev); err == io.EOF {
			b.Finish()
			break
		} else if err != nil {
			return err
		}
		st.Apply(&ev)
		if !b.Add(&ev, st) {
			break
		}
	}
	mod.SetStrip(b.Strip())
	for _, l := range strings.Split(mod.View(), "\n") {
		d.tl.Art = append(d.tl.Art, strings.TrimRight(l, " "))
	}
	d.tl.Art = append(d.tl.Art, "")
	for _, l := range mod.Legend()[:3] {
		d.tl.Art = append(d.tl.Art, wrapped(strings.ReplaceAll(l, "  ", ", "), artWidth, "      ")...)
	}
	return nil
}

// alt says what the picture shows.
func (d *drawing) alt() string {
	var parts []string
	for i := range d.tl.Columns {
		c := &d.tl.Columns[i]
		s := c.Step
		if c.Seq != 0 {
			s = fmt.Sprintf("#%d %s", c.Seq, c.Step)
			if c.Lane >= 0 {
				s += fmt.Sprintf(" by vcpu %d", d.tl.Lanes[c.Lane].VCPU)
			}
		}
		if c.Turn != "" {
			s += ", " + c.Turn.Text()
		}
		parts = append(parts, s)
	}
	return fmt.Sprintf("Timeline of port %d in %s: %s.", d.f.Port, count(uint64(len(parts)), "column"), strings.Join(parts, "; "))
}
