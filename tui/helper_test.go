package tui

import (
	"context"
	"io"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/system"
	"github.com/evtrace/evtrace/replay"
)

// memory is a trace in memory, with states here and there.
type memory struct {
	meta   evtchn.Meta
	events []evtchn.Event
	states []*evtchn.State // after every memoryFrames events
	keys   []evtchn.Seq
}

const memoryFrames = 500

func (r *memory) Meta() evtchn.Meta       { return r.meta }
func (r *memory) Len() uint64             { return uint64(len(r.events)) }
func (r *memory) Keyframes() []evtchn.Seq { return r.keys }

func (r *memory) PortRanges(p evtchn.Port) []Range {
	var list []Range
	for i := range r.events {
		if r.events[i].Port == p {
			seq := evtchn.Seq(i + 1)
			list = append(list, Range{seq, seq})
		}
	}
	return list
}

func (r *memory) Events(from evtchn.Seq) evtchn.Source {
	return &memorySource{r.events[min(max(int(from), 1)-1, len(r.events)):]}
}

type memorySource struct{ left []evtchn.Event }

func (s *memorySource) Next(ev *evtchn.Event) error {
	if len(s.left) == 0 {
		return io.EOF
	}
	*ev, s.left = s.left[0], s.left[1:]
	return nil
}

func (r *memory) StateAt(seq evtchn.Seq) (*evtchn.State, error) {
	i := min(int(seq)/memoryFrames, len(r.states)-1)
	st := r.states[i].Clone()
	for j := i * memoryFrames; j < int(seq); j++ {
		st.Apply(&r.events[j])
	}
	return st, nil
}

func (r *memory) SeqAt(t evtchn.Time) (evtchn.Seq, error) {
	return evtchn.Seq(sort.Search(len(r.events), func(i int) bool { return r.events[i].Time >= t }) + 1), nil
}

func newMemory(t testing.TB, meta evtchn.Meta, src evtchn.Source) *memory {
	t.Helper()
	r := &memory{meta: meta}
	st, err := evtchn.NewState(meta)
	if err != nil {
		t.Fatal(err)
	}
	r.states = append(r.states, st.Clone())
	var ev evtchn.Event
	for {
		err := src.Next(&ev)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		r.events = append(r.events, ev)
		st.Apply(&ev)
		if len(r.events)%memoryFrames == 0 {
			r.states = append(r.states, st.Clone())
			r.keys = append(r.keys, ev.Seq)
		}
	}
	r.meta.Events, r.meta.Complete = uint64(len(r.events)), true
	return r
}

// cache keeps what the tests share: traces are not changed.
var cache = struct {
	sync.Mutex
	traces  map[string]*memory
	reports map[string]*analyze.Report
}{traces: make(map[string]*memory), reports: make(map[string]*analyze.Report)}

// scenario records a built-in scenario.
func scenario(t testing.TB, name string) (*memory, *analyze.Report) {
	t.Helper()
	cache.Lock()
	defer cache.Unlock()
	if r := cache.traces[name]; r != nil {
		return r, cache.reports[name]
	}
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
	r := newMemory(t, sys.Meta(), sys)
	rep, err := analyze.Run(r.meta, r.Events(1), analyze.Options{})
	if err != nil {
		t.Fatal(err)
	}
	cache.traces[name], cache.reports[name] = r, rep
	return r, rep
}

// rerunner runs a trace under other policies, in memory.
func rerunner(t testing.TB, r *memory) func(context.Context, evtchn.Policy, func(uint64)) (*Rerun, error) {
	return func(ctx context.Context, p evtchn.Policy, progress func(uint64)) (*Rerun, error) {
		meta := r.meta
		meta.Policy = p.String()
		an, err := analyze.NewAnalyzer(meta, analyze.Options{})
		if err != nil {
			return nil, err
		}
		var kept kept
		out, err := replay.Run(ctx, r, p, both{&kept, an}, replay.Options{Progress: func(n uint64, _ evtchn.Time) { progress(n) }})
		if err != nil {
			return nil, err
		}
		other := newMemory(t, meta, &memorySource{kept})
		return &Rerun{Policy: p.String(), Trace: other, Report: an.Finish(), Departure: out.Departure, Close: func() {}}, nil
	}
}

type kept []evtchn.Event

func (k *kept) Add(ev *evtchn.Event) error { *k = append(*k, *ev); return nil }

type both [2]evtchn.Sink

func (b both) Add(ev *evtchn.Event) error {
	if err := b[0].Add(ev); err != nil {
		return err
	}
	return b[1].Add(ev)
}

// program drives a model without a terminal: whatever a message starts is done when send returns.
type program struct {
	t testing.TB
	m *Model
}

func start(t testing.TB, tr Trace, opt Options, w, h int) *program {
	t.Helper()
	if opt.Styles == nil {
		opt.Styles = DefaultStyles(ColorsPlain)
	}
	m, err := New(tr, opt)
	if err != nil {
		t.Fatal(err)
	}
	m.every = 1
	p := &program{t, m}
	t.Cleanup(m.Close)
	p.send(tea.WindowSizeMsg{Width: w, Height: h})
	p.do(m.Init())
	return p
}

func open(t testing.TB, name string, w, h int) *program {
	t.Helper()
	r, rep := scenario(t, name)
	return start(t, r, Options{Name: name + ".evt", Report: rep, Rerun: rerunner(t, r)}, w, h)
}

func (p *program) send(msg tea.Msg) {
	_, cmd := p.m.Update(msg)
	p.do(cmd)
}

func (p *program) do(cmd tea.Cmd) {
	if cmd == nil {
		return
	}
	switch msg := cmd().(type) {
	case nil, tea.QuitMsg:
	case tea.BatchMsg:
		for _, c := range slices.Backward(msg) { // work before its progress
			p.do(c)
		}
	default:
		p.send(msg)
	}
}

// keys types keys: names in spaces, such as "j", "enter", "ctrl+d"; a word in quotes is typed letter by letter.
func (p *program) keys(names ...string) {
	for _, n := range names {
		if text, ok := strings.CutPrefix(n, "\""); ok {
			for _, r := range text {
				p.send(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune{r}})
			}
			continue
		}
		p.send(keyMsg(n))
	}
}

// keyMsg is the inverse of tea.KeyMsg.String for the keys that the program has.
func keyMsg(name string) tea.KeyMsg {
	for k := tea.KeyType(-80); k < 128; k++ {
		if k != tea.KeyRunes && (tea.KeyMsg{Type: k}).String() == name {
			return tea.KeyMsg{Type: k}
		}
	}
	if name == " " {
		return tea.KeyMsg{Type: tea.KeySpace, Runes: []rune{' '}}
	}
	return tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(name)}
}

// check finds fault with a screen that has not the right size, or is not that of the cursor.
func (p *program) check() {
	p.t.Helper()
	m := p.m
	if m.quitting {
		return
	}
	if !m.Idle() {
		p.t.Fatalf("not idle: job %v, running %v", m.job != nil, m.running)
	}
	lines := strings.Split(m.View(), "\n")
	if m.w < MinWidth || m.h < MinHeight {
		return
	}
	if len(lines) != m.h {
		p.t.Fatalf("%d lines, want %d:\n%s", len(lines), m.h, m.View())
	}
	for i, l := range lines {
		if got := width(l); got != m.w {
			p.t.Fatalf("line %d has %d columns, want %d: %q", i, got, m.w, l)
		}
	}
	if m.seq == 0 {
		return
	}
	want, err := m.tr.StateAt(m.seq)
	if err != nil {
		p.t.Fatal(err)
	}
	if !want.Equal(m.view.cur) {
		p.t.Fatalf("at #%d the state is not that of the trace", m.seq)
	}
	before, err := m.tr.StateAt(m.seq - 1)
	if err != nil {
		p.t.Fatal(err)
	}
	if !before.Equal(m.view.prev) {
		p.t.Fatalf("at #%d the state before is not that of the trace", m.seq)
	}
}
