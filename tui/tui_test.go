package tui

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/exp/golden"
	"github.com/charmbracelet/x/exp/teatest"
	"pgregory.net/rapid"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/evtchn"
)

func width(s string) int { return ansi.StringWidth(s) }

// screen is a golden file's text: the screen without blanks at the ends of lines.
func screen(s string) []byte {
	var b strings.Builder
	for _, l := range strings.Split(ansi.Strip(s), "\n") {
		b.WriteString(strings.TrimRight(l, " ") + "\n")
	}
	return []byte(b.String())
}

func TestScreens(t *testing.T) {
	for _, tt := range []struct {
		name, scenario string
		w, h           int
		keys           []string
	}{
		{"first-120x40", "seed-port65", 120, 40, nil},
		{"first-80x24", "seed-port65", 80, 24, nil},
		{"exposed-80x24", "seed-port65", 80, 24, []string{",", ",", ","}},
		{"policy-120x40", "seed-port65", 120, 40, []string{":", "\"policy=unmask-hypercall", "enter", "d"}},
		{"policy-80x24", "seed-port65", 80, 24, []string{"p", "enter", "d"}},
		{"exchanged-120x40", "seed-port65", 120, 40, []string{":", "\"policy=unmask-hypercall", "enter", "d", "x"}},
		{"pick-80x24", "seed-port65", 80, 24, []string{"p", "j"}},
		{"help-120x60", "seed-port65", 120, 60, []string{"?"}},
		{"help-strip-80x24", "seed-port65", 80, 24, []string{"shift+tab", "?"}},
		{"strip-80x24", "seed-port65", 80, 24, []string{"shift+tab", "-", "-"}},
		{"machine-100x30", "seed-port65", 100, 30, []string{"tab", "\\"}},
		{"why-80x24", "seed-port65", 80, 24, []string{"tab", "tab", "\\", "k"}},
		{"late-120x40", "seed-rescued", 120, 40, nil},
		{"clean-80x24", "clean", 80, 24, nil},
		{"filter-80x24", "clean", 80, 24, []string{"f", "\"port=1 kind=deliver", "enter", "j", "j"}},
		{"filter-typed-80x24", "clean", 80, 24, []string{"f", "\"port=1 kind=delive"}},
		{"search-120x40", "seed-port65", 120, 40, []string{"/", "\"swallow", "enter", "/", "\"mask.clear", "enter", "n"}},
		{"marks-80x24", "clean", 80, 24, []string{"m", "a", "4", "0", "G", "m", "b", "M"}},
		{"equivalent-80x24", "clean", 80, 24, []string{"@"}},
		{"break-80x24", "seed-port65", 80, 24, []string{"g", "b", "enter", "r"}},
		{"error-80x24", "clean", 80, 24, []string{":", "\"99999999", "enter"}},
		{"small-79x24", "clean", 79, 24, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := open(t, tt.scenario, tt.w, tt.h)
			p.keys(tt.keys...)
			p.check()
			golden.RequireEqual(t, screen(p.m.View()))
		})
	}
}

func TestStyles(t *testing.T) {
	r, rep := scenario(t, "seed-port65")
	for name, c := range map[string]Colors{"basic": ColorsBasic, "none": ColorsNone} {
		t.Run(name, func(t *testing.T) {
			p := start(t, r, Options{Name: "a.evt", Report: rep, Styles: DefaultStyles(c)}, 80, 24)
			p.keys("k")
			p.check()
			view := p.m.View()
			if c == ColorsNone {
				for _, code := range []string{"\x1b[3", ";3", "\x1b[9", ";9"} { // colours of text
					if strings.Contains(strings.ReplaceAll(view, "\x1b[3m", ""), code) {
						t.Errorf("NO_COLOR: the screen has %q", code)
					}
				}
			}
			golden.RequireEqual(t, []byte(view))
		})
	}
}

func TestASCII(t *testing.T) {
	r, rep := scenario(t, "seed-port65")
	p := start(t, r, Options{Name: "a.evt", Report: rep, ASCII: true, Rerun: rerunner(t, r)}, 120, 40)
	for _, keys := range [][]string{nil, {"p"}, {"enter", "d"}, {"?"}, {"esc", "@"}, {"esc", "f"}} {
		p.keys(keys...)
		for i, c := range []byte(p.m.View()) {
			if c >= 0x80 {
				t.Fatalf("after %q: byte %d is %#x:\n%s", keys, i, c, p.m.View())
			}
		}
	}
}

func TestPlain(t *testing.T) {
	r, rep := scenario(t, "seed-port65")
	var b bytes.Buffer
	if err := Plain(context.Background(), &b, r, Options{Name: "a.evt", Report: rep}); err != nil {
		t.Fatal(err)
	}
	golden.RequireEqual(t, b.Bytes())
	alone := b.String()
	b.Reset()
	if err := Plain(context.Background(), &b, r, Options{Name: "a.evt", Report: rep, Policy: "unmask-hypercall", Rerun: rerunner(t, r)}); err != nil {
		t.Fatal(err)
	}
	rest, ok := strings.CutPrefix(b.String(), alone)
	if !ok || !strings.Contains(rest, "unmask-hypercall: clean\nhypercalls 127 -> 352\n") || !strings.Contains(rest, "#12363 at 114.441649 ms, mask.clear") {
		t.Errorf("under another policy:\n%s", rest)
	}
}

// TestEveryKey presses every key of the key map in every pane, and wants each to be listed in the help.
func TestEveryKey(t *testing.T) {
	keys := DefaultKeyMap()
	for f := range panes {
		p := open(t, "seed-port65", 100, 40)
		for _, s := range keys.sections() {
			for _, a := range s.actions {
				for _, k := range a.binding.Keys() {
					if k == "q" || k == "ctrl+c" {
						continue
					}
					p.m.mode, p.m.focus, p.m.zoomed = modeNormal, f, false
					p.keys(k)
					if strings.Contains(p.m.message, "does nothing") {
						t.Errorf("%s: %s", k, p.m.message)
					}
					p.check()
				}
				if h := a.binding.Help(); h.Key == "" || h.Desc == "" {
					t.Errorf("%v has no help", a.binding.Keys())
				}
			}
		}
	}
	p := open(t, "clean", 80, 24)
	p.keys("q")
	if !p.m.quitting {
		t.Error("q does not quit")
	}
}

// TestKeysAreDistinct: no key has two meanings, and every binding is used.
func TestKeysAreDistinct(t *testing.T) {
	keys := DefaultKeyMap()
	seen := make(map[string]string)
	for _, s := range keys.sections() {
		for _, a := range s.actions {
			for _, k := range a.binding.Keys() {
				if was, ok := seen[k]; ok {
					t.Errorf("%q: %s, and %s", k, was, a.binding.Help().Desc)
				}
				seen[k] = a.binding.Help().Desc
			}
		}
	}
}

func TestMoves(t *testing.T) {
	p := open(t, "seed-port65", 120, 40)
	f := p.m.report.Findings[0]
	if p.m.seq != f.UnnoticedSeq || p.m.port != 65 {
		t.Fatalf("opens at #%d, port %d, want #%d, port 65", p.m.seq, p.m.port, f.UnnoticedSeq)
	}
	at := func(want evtchn.Seq, keys ...string) {
		t.Helper()
		p.keys(keys...)
		p.check()
		if p.m.seq != want {
			t.Errorf("after %q at #%d, want #%d: %s", keys, p.m.seq, want, p.m.message)
		}
	}
	un := f.UnnoticedSeq
	at(un-1, "k")
	at(un+1, "j", "j")
	at(un, "u")
	prev := un - 1
	for ; p.m.tr.(*memory).events[prev-1].Port != 65; prev-- {
	}
	at(prev, ",")
	at(un, "ctrl+o")
	at(prev, "Z")
	at(un, "z")
	at(1, "g")
	at(p.m.n, "G")
	at(120, "1", "2", "0", "G")
	at(un, ":", fmt.Sprintf("\"%d", un), "enter")
	at(un, ":", "\"t=114.441999ms", "enter")
	at(un, ":", "\"t=nonsense", "enter")
	at(un, "m", "a")
	at(1, "g")
	at(un, "'", "a")
	at(1, "'", "'")
	at(un, "b", "enter", "r")
	at(un, "r") // there is no other place
	p.keys("G")
	at(un, "R")
	at(f.Evidence[len(f.Evidence)-2], "shift+tab", "shift+tab", "k") // in the why
	p.keys("tab", "tab", "G")
	at(un, "U")
	if p.m.bad {
		t.Errorf("error: %s", p.m.message)
	}
	at(un, "8", ":", "\"port=66", "enter")
}

// TestFilter compares a filtered walk with what the trace has.
func TestFilter(t *testing.T) {
	p := open(t, "seed-port65", 80, 24)
	var want []evtchn.Seq
	for _, ev := range p.m.tr.(*memory).events {
		if ev.Port == 65 && ev.VCPU != 0 {
			want = append(want, ev.Seq)
		}
	}
	p.keys("g", "f", "\"port==65 && vcpu!=0", "enter")
	for _, seq := range want {
		if p.keys("j"); p.m.seq != seq {
			t.Fatalf("at #%d, want #%d", p.m.seq, seq)
		}
		p.check()
	}
	if p.keys("j"); p.m.seq != want[len(want)-1] {
		t.Errorf("past the end: at #%d", p.m.seq)
	}
	p.keys("f", "ctrl+u", "\"port==", "enter")
	if !p.m.bad || p.m.filter == nil {
		t.Errorf("a bad filter: message %q, filter %v", p.m.message, p.m.filter != nil)
	}
	p.keys("F")
	if p.m.filter != nil {
		t.Error("F leaves the filter")
	}
}

// TestWalk: whatever is typed, nothing panics, the screen has its size, the state is that of the cursor; and back after forward gives
// the same state.
func TestWalk(t *testing.T) {
	var all []string
	keys := DefaultKeyMap()
	for _, s := range keys.sections() {
		for _, a := range s.actions {
			for _, k := range a.binding.Keys() {
				if k != "q" && k != "ctrl+c" {
					all = append(all, k)
				}
			}
		}
	}
	all = append(all, "1", "5", "9", "a", "=", "backspace", "esc", "enter", "\"12", "\"port=65", "\"t=1ms", "\"kind=mask.*", "\"PEND[65]", "\"policy=tick-sweep")
	rapid.Check(t, func(rt *rapid.T) {
		p := open(t, rapid.SampledFrom([]string{"seed-port65", "clean"}).Draw(rt, "scenario"), 80, 24)
		rt.Cleanup(p.m.Close)
		for range rapid.IntRange(1, 15).Draw(rt, "steps") {
			switch rapid.IntRange(0, 9).Draw(rt, "what") {
			case 0:
				p.send(tea.WindowSizeMsg{Width: rapid.IntRange(0, 200).Draw(rt, "w"), Height: rapid.IntRange(0, 70).Draw(rt, "h")})
			case 1:
				p.send(tea.MouseMsg{X: rapid.IntRange(-1, 200).Draw(rt, "x"), Y: rapid.IntRange(-1, 70).Draw(rt, "y"),
					Button: rapid.SampledFrom([]tea.MouseButton{tea.MouseButtonLeft, tea.MouseButtonWheelUp, tea.MouseButtonWheelDown}).Draw(rt, "button"),
					Action: rapid.SampledFrom([]tea.MouseAction{tea.MouseActionPress, tea.MouseActionMotion}).Draw(rt, "action")})
			default:
				p.keys(rapid.SampledFrom(all).Draw(rt, "key"))
			}
			p.check()
		}
		p.m.mode, p.m.focus, p.m.count = modeNormal, paneEvents, 0
		p.m.clearFilter()
		seq := p.m.seq
		n := rapid.IntRange(1, 9).Draw(rt, "n")
		before := p.m.view.cur.Clone()
		if seq+evtchn.Seq(n) <= p.m.n {
			for range n {
				p.keys("j")
			}
			for range n {
				p.keys("k")
			}
			if p.m.seq != seq || !p.m.view.cur.Equal(before) {
				rt.Fatalf("%d forward and back from #%d: at #%d, the same state: %v", n, seq, p.m.seq, p.m.view.cur.Equal(before))
			}
		}
	})
}

// TestProgram runs the whole program once.
func TestProgram(t *testing.T) {
	r, rep := scenario(t, "seed-port65")
	m, err := New(r, Options{Name: "a.evt", Report: rep, Styles: DefaultStyles(ColorsPlain)})
	if err != nil {
		t.Fatal(err)
	}
	tm := teatest.NewTestModel(t, m, teatest.WithInitialTermSize(120, 40))
	teatest.WaitFor(t, tm.Output(), func(b []byte) bool { return bytes.Contains(b, []byte("goes UNNOTICED here")) })
	tm.Type("k?")
	teatest.WaitFor(t, tm.Output(), func(b []byte) bool { return bytes.Contains(b, []byte("the event before")) })
	tm.Send(tea.KeyMsg{Type: tea.KeyEsc})
	tm.Type("q")
	tm.WaitFinished(t)
	if got, want := m.seq, rep.Findings[0].UnnoticedSeq-1; got != want {
		t.Errorf("ends at #%d, want #%d", got, want)
	}
}

// TestGivesUp: what another policy's trace takes is given up, whether it is replaced, or comes when nobody waits for it any more.
func TestGivesUp(t *testing.T) {
	r, rep := scenario(t, "clean")
	made, closed := 0, 0
	inner := rerunner(t, r)
	opt := Options{Report: rep, Styles: DefaultStyles(ColorsPlain), Rerun: func(ctx context.Context, p evtchn.Policy, progress func(uint64)) (*Rerun, error) {
		other, err := inner(ctx, p, progress)
		if err == nil {
			made++
			other.Close = func() { closed++ }
		}
		return other, err
	}}
	p := start(t, r, opt, 80, 24)
	for _, policy := range []string{"tick-sweep", "any-vcpu", "none", "linux-2021"} {
		p.keys(":", "\"policy="+policy, "enter", "x", "j")
		p.check()
		if p.m.exchanged {
			p.keys("x")
		}
	}
	if made != 3 || closed != 2 {
		t.Errorf("%d were made, %d closed, want 3 and 2", made, closed)
	}
	_, cmd := p.m.Update(keyMsg("p"))
	p.do(cmd)
	_, cmd = p.m.Update(keyMsg("j"))
	p.do(cmd)
	_, cmd = p.m.Update(keyMsg("enter"))
	p.keys("q")
	for _, c := range cmd().(tea.BatchMsg) { // the replay ends, and nobody hears of it
		c()
	}
	p.m.Close()
	if made != closed {
		t.Errorf("%d were made, %d closed", made, closed)
	}
}

// TestBurst: keys that arrive in one message do what they do one by one, and pasted text does nothing outside of an input line.
func TestBurst(t *testing.T) {
	one, all := open(t, "seed-port65", 80, 24), open(t, "seed-port65", 80, 24)
	keys := "kkk.jju,fkind=mask.*"
	for _, r := range keys {
		one.keys(string(r))
	}
	all.send(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(keys)})
	one.keys("enter", "j")
	all.keys("enter", "j")
	if a, b := one.m.View(), all.m.View(); a != b || one.m.filter == nil {
		t.Errorf("one by one:\n%s\nall at once:\n%s", a, b)
	}
	seq := all.m.seq
	all.send(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune("gq"), Paste: true})
	if all.m.seq != seq || all.m.quitting {
		t.Errorf("pasted keys were carried out")
	}
}

// broken is a trace of which a part cannot be read.
type broken struct {
	*memory
	from, to evtchn.Seq
}

var errBroken = errors.New("chunk 7 is damaged")

func (b *broken) Events(from evtchn.Seq) evtchn.Source {
	return &brokenSource{b, b.memory.Events(from), from}
}

func (b *broken) StateAt(seq evtchn.Seq) (*evtchn.State, error) {
	if seq >= b.from {
		return nil, errBroken
	}
	return b.memory.StateAt(seq)
}

type brokenSource struct {
	b    *broken
	src  evtchn.Source
	next evtchn.Seq
}

func (s *brokenSource) Next(ev *evtchn.Event) error {
	if s.next >= s.b.from && s.next <= s.b.to {
		return errBroken
	}
	s.next++
	return s.src.Next(ev)
}

// TestDamage: where the trace cannot be read the cursor does not go, and the message says why.
func TestDamage(t *testing.T) {
	r, _ := scenario(t, "clean")
	p := start(t, &broken{r, 8193, 12288}, Options{Name: "a.evt", Report: &analyze.Report{}}, 80, 24)
	p.keys("8", "1", "9", "2", "G")
	if p.m.seq != 8192 || p.m.bad {
		t.Fatalf("at #%d: %s", p.m.seq, p.m.message)
	}
	for _, keys := range [][]string{{"j"}, {"G"}, {"/", "\"seq==16000", "enter"}, {"9", "0", "0", "0", "G"}} {
		p.keys(keys...)
		if p.m.seq != 8192 || !p.m.bad || !strings.Contains(p.m.message, "damaged") {
			t.Errorf("after %q at #%d: %s", keys, p.m.seq, p.m.message)
		}
		if !p.m.Idle() {
			t.Errorf("after %q not idle", keys)
		}
	}
	p.keys("k")
	if p.m.seq != 8191 || p.m.bad {
		t.Errorf("at #%d: %s", p.m.seq, p.m.message)
	}
}

func TestEmpty(t *testing.T) {
	r, _ := scenario(t, "clean")
	empty := newMemory(t, r.meta, &memorySource{})
	p := start(t, empty, Options{Name: "empty.evt"}, 80, 24)
	for _, s := range p.m.acts {
		for _, a := range s.actions {
			for _, k := range a.binding.Keys() {
				if k != "q" && k != "ctrl+c" {
					p.keys(k, "esc")
					p.check()
				}
			}
		}
	}
}

// TestStoryFollows: the story is that of the finding that the cursor's event belongs to, however the cursor got there.
func TestStoryFollows(t *testing.T) {
	r, rep := scenario(t, "mixed-load")
	p := start(t, r, Options{Report: rep}, 120, 40)
	a, b := p.m.spots[0].finding, p.m.spots[2].finding
	told := func(want *analyze.Finding) {
		t.Helper()
		p.check()
		got := "none"
		if f := p.m.view.finding; f != nil {
			got = f.ID
		}
		if want == nil && got != "none" || want != nil && got != want.ID {
			t.Errorf("at #%d, port %d the story is %s, want %+v", p.m.seq, p.m.port, got, want)
		}
	}
	told(a)
	p.keys(":", fmt.Sprintf("\"%d", b.Evidence[0]), "enter") // evidence of another port's finding
	told(b)
	p.keys("enter", "j") // of the port, and within the stretch
	told(b)
	p.keys(":", fmt.Sprintf("\"%d", b.NoticedSeq+1), "enter")
	told(nil)
	if !strings.Contains(p.m.View(), "u goes to the next.") {
		t.Errorf("not said where the next is:\n%s", p.m.View())
	}
	p.keys("g")
	told(nil)
	if !strings.Contains(p.m.View(), "u goes to the first.") {
		t.Errorf("not said where the first is:\n%s", p.m.View())
	}
	p.keys("U")
	told(p.m.spots[len(p.m.spots)-1].finding)
	if p.m.message != "wrapped to the last finding" {
		t.Errorf("U at the beginning says %q", p.m.message)
	}
	p.keys("u")
	told(a)
	if p.m.message != "wrapped to the first finding" {
		t.Errorf("u at the end says %q", p.m.message)
	}
	for _, seq := range b.Evidence[:3] { // opened there
		p = start(t, r, Options{Report: rep, At: seq}, 120, 40)
		told(b)
		if p.m.port != b.Port {
			t.Errorf("--at %d looks at port %d, want %d", seq, p.m.port, b.Port)
		}
	}
	if p = start(t, r, Options{Report: rep, Finding: b.ID}, 120, 40); p.m.seq != b.UnnoticedSeq || p.m.port != b.Port {
		t.Errorf("%s opens at #%d, port %d", b.ID, p.m.seq, p.m.port)
	}
	told(b)
}

// TestStoryFold: sentences that do not fit are counted, none is lost sight of unsaid, and the current one is shown.
func TestStoryFold(t *testing.T) {
	for _, h := range []int{24, 28, 32, 40, 60} {
		p := open(t, "seed-port65", 80, h)
		p.keys("tab", "tab")
		for _, key := range []string{"", "k", "k", "k", "k", "k", "k", "j", "j", "j", "j", "j", "j", "j"} {
			if key != "" {
				p.keys(key)
			}
			p.check()
			view := p.m.View()
			n := len(p.m.why.finding.Why)
			above, below := strings.Contains(view, "more above (k)"), strings.Contains(view, "more below (j)")
			if got := strings.Contains(view, "  1. ") || strings.Contains(view, "▶ 1. "); got == above && !strings.Contains(view, "▲ 1 more above") {
				t.Errorf("height %d, #%d: the first sentence is shown: %v, said to be above: %v\n%s", h, p.m.seq, got, above, view)
			}
			if last := fmt.Sprintf(" %d. ", n); !strings.Contains(view, last) && !below {
				t.Errorf("height %d, #%d: the last sentence is neither shown nor said to be below\n%s", h, p.m.seq, view)
			}
			if cur := fmt.Sprintf("▶ %d. ", p.m.why.current(p.m.seq)+1); !strings.Contains(view, cur) {
				t.Errorf("height %d, #%d: the current sentence is not shown\n%s", h, p.m.seq, view)
			}
		}
	}
}

// TestRescue: from when the rescuer's port has told the owner until the owner reads the word, it is said that it will look.
func TestRescue(t *testing.T) {
	r, rep := scenario(t, "seed-rescued")
	f := &rep.Findings[0]
	sel := f.NoticedSeq
	for ; r.events[sel-1].Kind != evtchn.KindSelTAS || r.events[sel-1].Port != f.RescuedByPort; sel-- {
	}
	read := sel
	for ; r.events[read-1].Kind != evtchn.KindWordRead || r.events[read-1].VCPU != f.NoticedVCPU || int(r.events[read-1].Args[0]) != f.Word; read++ {
	}
	want := fmt.Sprintf("vcpu %d will look all the same, thanks to port %d", f.NoticedVCPU, f.RescuedByPort)
	p := start(t, r, Options{Report: rep}, 120, 40)
	for seq := sel - 3; seq <= read; seq++ {
		if err := p.m.goTo(seq); err != nil {
			t.Fatal(err)
		}
		p.m.follow()
		p.m.refresh()
		p.check()
		view := p.m.View()
		if got := strings.Contains(view, want); got != (seq >= sel && seq < read) {
			t.Errorf("#%d (the selector at #%d, the word at #%d): said that it will look: %v\n%s", seq, sel, read, got, view)
		}
		if strings.Contains(view, "nobody is going to look") != (seq < sel) {
			t.Errorf("#%d (the selector at #%d): wrong about nobody looking\n%s", seq, sel, view)
		}
	}
}
