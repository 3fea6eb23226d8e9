package timeline

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/x/ansi"
	"github.com/google/go-cmp/cmp"
	"github.com/muesli/termenv"
	"pgregory.net/rapid"

	"github.com/evtrace/evtrace/evtchn"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// reportModel stands at the step at which the report's port goes unnoticed.
func reportModel(tr *trace, styles Styles, w, h int) *Model {
	const at = 1205450
	m := New(tr.meta, styles)
	m.SetSize(w, h)
	m.SetBounds(0, tr.meta.Duration)
	m.SetPort(65)
	m.SetWindow(1204000, 1206000)
	m.SetCursor(at)
	m.SetFocus(3, 0)
	m.SetMarks([]Mark{{Kind: Bookmark, At: 1204100, Label: 'a'}, {Kind: Bookmark, At: 1205600}, {Kind: Gap, At: 1204800, To: 1204900}, {Kind: Finding, At: at}})
	return m
}

func TestGolden(t *testing.T) {
	tr := report()
	for _, size := range [][2]int{{120, 8}, {80, 6}, {80, 11}, {20, 5}} {
		for _, mode := range []string{"unicode", "ascii"} {
			t.Run(fmt.Sprintf("%dx%d-%s", size[0], size[1], mode), func(t *testing.T) {
				m := reportModel(tr, PlainStyles(), size[0], size[1])
				m.SetASCII(mode == "ascii")
				m.SetStrip(tr.scan(t, m.Spec()))
				golden(t, m)
				if mode != "ascii" {
					return
				}
				for _, r := range m.View() {
					if r > 0x7e {
						t.Fatalf("%q is not ASCII", r)
					}
				}
			})
		}
	}
	t.Run("whole", func(t *testing.T) {
		m := reportModel(tr, PlainStyles(), 80, 9)
		m.SetWindow(0, tr.meta.Duration)
		m.SetStrip(tr.scan(t, m.Spec()))
		golden(t, m)
	})
	t.Run("sampled", func(t *testing.T) {
		m := reportModel(tr, PlainStyles(), 80, 9)
		m.SetWindow(0, tr.meta.Duration)
		b, st := NewBuilder(m.Spec()), tr.state(t)
		for i := range tr.evs {
			st.Apply(&tr.evs[i])
			if i == 2 || i == 14 {
				b.Sample(st)
			}
		}
		b.Unnoticed(65, 1205450, 1950000)
		b.AddCount(0, 2_000_000, 4_000_000)
		m.SetStrip(b.Strip())
		golden(t, m)
	})
	t.Run("after-zoom", func(t *testing.T) { // the old strip, until there is a new one
		m := reportModel(tr, PlainStyles(), 80, 9)
		m.SetStrip(tr.scan(t, m.Spec()))
		m.Zoom(0.5, 1205450)
		if !m.Stale() {
			t.Error("the strip is not stale after a zoom")
		}
		golden(t, m)
	})
	t.Run("observed", func(t *testing.T) {
		obs := *tr
		obs.meta.Source, obs.meta.Unit, obs.meta.NsPerTick = evtchn.SourceObserved, "ticks", 1
		m := reportModel(&obs, PlainStyles(), 80, 9)
		m.SetStrip(obs.scan(t, m.Spec()))
		golden(t, m)
	})
}

func golden(t *testing.T, m *Model) {
	t.Helper()
	var b strings.Builder
	for line := range strings.SplitSeq(m.View(), "\n") {
		b.WriteString("|" + line + "|\n") // so that no editor takes the spaces away
	}
	checkSize(t, m)
	path := filepath.Join("testdata", strings.ReplaceAll(strings.TrimPrefix(t.Name(), "TestGolden/"), "/", "-")+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (rewrite with -update)", err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

type failer interface {
	Helper()
	Fatalf(string, ...any)
}

func checkSize(t failer, m *Model) {
	t.Helper()
	view := m.View()
	if m.w == 0 || m.h == 0 {
		if view != "" {
			t.Fatalf("size %dx%d: got %q, want nothing", m.w, m.h, view)
		}
		return
	}
	lines := strings.Split(view, "\n")
	if len(lines) != m.h {
		t.Fatalf("size %dx%d: got %d lines", m.w, m.h, len(lines))
	}
	for _, l := range lines {
		if got := ansi.StringWidth(l); got != m.w {
			t.Fatalf("size %dx%d: got a line of %d columns: %q", m.w, m.h, got, l)
		}
	}
}

// Colours change nothing that is to be read.
func TestStyles(t *testing.T) {
	r := lipgloss.NewRenderer(io.Discard)
	r.SetColorProfile(termenv.TrueColor)
	s := DefaultStyles()
	for _, p := range []*lipgloss.Style{&s.Label, &s.Selected, &s.Axis, &s.Density, &s.Sampled, &s.Running, &s.Upcall, &s.Xen, &s.Blocked, &s.Runnable,
		&s.Polling, &s.Offline, &s.Unknown, &s.Clear, &s.Masked, &s.Exposed, &s.Delivered, &s.Unnoticed, &s.Finding, &s.Bookmark, &s.Gap, &s.Cursor, &s.Column} {
		*p = p.Renderer(r)
	}
	tr := report()
	m := reportModel(tr, s, 100, 10)
	m.SetStrip(tr.scan(t, m.Spec()))
	colour := m.View()
	m.SetStyles(PlainStyles())
	plain := m.View()
	if strings.Contains(plain, "\x1b") {
		t.Error("plain styles have escape sequences")
	}
	if diff := cmp.Diff(plain, ansi.Strip(colour)); diff != "" {
		t.Errorf("colours change the text (-plain +colour):\n%s", diff)
	}
	if !strings.Contains(colour, "\x1b[1;7;") && !strings.Contains(colour, ";7m") {
		t.Errorf("the unnoticed cells are not in reverse: %q", colour)
	}
	for i, l := range strings.Split(colour, "\n") {
		if on, off := strings.LastIndex(l, "\x1b["), strings.LastIndex(l, "\x1b[0m"); on != off {
			t.Errorf("line %d does not end in a reset: %q", i, l)
		}
	}
}

// Whatever is done to it, a view has its size, and a window its bounds.
func TestAnything(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		tr := randomTrace(rt)
		m := New(tr.meta, PlainStyles())
		anyTime := rapid.OneOf(rapid.Int64Range(-100, 600), rapid.Int64())
		when := func() evtchn.Time { return evtchn.Time(anyTime.Draw(rt, "time")) }
		lo, hi := evtchn.Time(-1<<63), evtchn.Time(1<<63-1)
		for range rapid.IntRange(1, 20).Draw(rt, "steps") {
			switch rapid.IntRange(0, 12).Draw(rt, "step") {
			case 0, 1:
				m.SetSize(rapid.IntRange(-2, 90).Draw(rt, "w"), rapid.IntRange(-2, 14).Draw(rt, "h"))
			case 2:
				m.SetWindow(when(), when())
			case 3:
				m.Zoom(rapid.OneOf(rapid.Float64Range(0.1, 10), rapid.Float64()).Draw(rt, "factor"), when())
			case 4:
				m.Pan(rapid.OneOf(rapid.IntRange(-50, 50), rapid.Int()).Draw(rt, "cells"))
			case 5:
				m.Center(when())
			case 6:
				lo, hi = limit(when()), limit(when()) // the last time has none behind it
				m.SetBounds(lo, hi)
				if hi < lo {
					hi = lo
				}
			case 7:
				m.SetPort(evtchn.Port(rapid.SampledFrom([]int{0, 65, 131071}).Draw(rt, "port")))
			case 8:
				m.SetCursor(when())
				m.Show(m.cursor)
			case 9:
				m.SetFocus(evtchn.VCPU(rapid.IntRange(-1, 200).Draw(rt, "vcpu")))
			case 10:
				m.SetMarks([]Mark{{Kind: MarkKind(rapid.IntRange(0, 2).Draw(rt, "kind")), At: when(), To: when(), Label: rapid.Rune().Draw(rt, "label")}})
			case 11:
				b := NewBuilder(m.Spec())
				tr.fill(t, b, m.Spec())
				b.AddCount(when(), when(), rapid.Uint64().Draw(rt, "n"))
				b.Unnoticed(65, when(), when())
				st := tr.state(t)
				st.Now = when()
				b.Sample(st)
				m.SetStrip(b.Strip())
			case 12:
				m.SetASCII(rapid.Bool().Draw(rt, "ascii"))
			}
			checkSize(rt, m)
			from, to := m.Window()
			if from >= to {
				rt.Fatalf("got window from %d to %d", from, to)
			}
			if from < lo || to-1 > hi {
				rt.Fatalf("window from %d to %d is not within %d to %d", from, to, lo, hi)
			}
			for _, x := range []int{-1, 0, m.w / 2, m.w} {
				if at := m.TimeAt(x); at < from || at >= to {
					rt.Fatalf("column %d is %d, outside of the window from %d to %d", x, at, from, to)
				}
				m.VCPUAt(x)
			}
		}
	})
}

// The time under the mouse stays there.
func TestZoomKeepsPlace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := New(evtchn.Meta{VCPUs: 4}, PlainStyles())
		m.SetSize(rapid.IntRange(20, 200).Draw(t, "w"), 8)
		m.SetWindow(1_000_000, 1_000_000+evtchn.Time(rapid.IntRange(1000, 1_000_000).Draw(t, "span")))
		at := m.TimeAt(rapid.IntRange(0, m.w-1).Draw(t, "x"))
		before, ok := m.ColumnOf(at)
		if !ok {
			t.Fatalf("time %d has no column", at)
		}
		m.Zoom(rapid.Float64Range(0.2, 5).Draw(t, "factor"), at)
		after, ok := m.ColumnOf(at)
		if !ok || after < before-1 || after > before+1 {
			t.Fatalf("column of %d: %d before, %d after (shown: %t)", at, before, after, ok)
		}
	})
}

func TestPan(t *testing.T) {
	m := New(evtchn.Meta{VCPUs: 4, Duration: 10_000}, PlainStyles())
	m.SetSize(84, 8)
	m.SetBounds(0, 9_999)
	m.SetWindow(1000, 1800)
	if m.cols() != 80 {
		t.Fatalf("got %d cells, want 80", m.cols())
	}
	for _, tt := range []struct {
		cells    int
		from, to evtchn.Time
	}{{8, 1080, 1880}, {-16, 920, 1720}, {-1000, 0, 800}, {5000, 9200, 10_000}, {0, 9200, 10_000}} {
		m.Pan(tt.cells)
		if from, to := m.Window(); from != tt.from || to != tt.to {
			t.Errorf("pan by %d: got %d to %d, want %d to %d", tt.cells, from, to, tt.from, tt.to)
		}
	}
	m.SetWindow(5000, 5010) // less than one unit of time per cell, as was asked for
	m.Zoom(2, 5005)
	if from, to := m.Window(); to-from != 10 {
		t.Errorf("zoom: got %d to %d, want the same length", from, to)
	}
	if m.Show(5005) || !m.Show(9000) || m.TimeAt(0) > 9000 {
		t.Errorf("show: window is at %d", m.TimeAt(0))
	}
}

func TestRows(t *testing.T) {
	m := New(evtchn.Meta{VCPUs: 16}, PlainStyles())
	m.SetPort(65)
	m.SetSize(80, 6)
	m.SetFocus(9, 4)
	var got []evtchn.VCPU
	for y := range 6 {
		got = append(got, m.VCPUAt(y))
	}
	if diff := cmp.Diff([]evtchn.VCPU{-1, 0, 4, 9, -1, -1}, got); diff != "" {
		t.Errorf("vcpus by line (-want +got):\n%s", diff)
	}
}

func TestClock(t *testing.T) {
	ns, ticks := clockOf(evtchn.Meta{Unit: "ns", NsPerTick: 1}, &ascii), clockOf(evtchn.Meta{Unit: "ticks", NsPerTick: 0.5}, &ascii)
	bare := clockOf(evtchn.Meta{Unit: "ticks", NsPerTick: 1}, &ascii)
	for _, tt := range []struct {
		c    clock
		t    evtchn.Time
		span uint64
		want string
	}{
		{ns, 1204380, 2000, "1204.38us"},
		{ns, 1204380, 900, "1204380ns"},
		{ns, 1204380, 3_000_000_000, "0.00s"},
		{ns, 123_456_789_012_345_678, 3_000_000_000, "123456789.01s"},
		{ns, -1_204_380, 2000, "-1204.38us"},
		{ns, -204, 2000, "-0.20us"},
		{ticks, 2_408_760, 4000, "1204.38us"},
		{bare, 1204380, 2000, "1204380"},
	} {
		if got := tt.c.time(tt.t, tt.span, 100); got != tt.want {
			t.Errorf("time %d in %d: got %s, want %s", tt.t, tt.span, got, tt.want)
		}
	}
	for span, want := range map[uint64]string{900: "1204380ns", 2000: "1204.38us", 3_000_000: "1.20438ms"} {
		if got := ns.full(1204380, span); got != want {
			t.Errorf("full time in %d: got %s, want %s", span, got, want)
		}
	}
	for n, want := range map[int64]string{200: "200ns", 1200: "1.2us", 2_000_000: "2ms", 1_500_000_000: "1.5s"} {
		if got := ns.amount(n); got != want {
			t.Errorf("amount %d: got %s, want %s", n, got, want)
		}
	}
}

func TestLegend(t *testing.T) {
	m := New(evtchn.Meta{VCPUs: 1}, PlainStyles())
	for _, asc := range []bool{false, true} {
		m.SetASCII(asc)
		for _, l := range m.Legend() {
			if n := ansi.StringWidth(l); n > 110 {
				t.Errorf("%d columns: %s", n, l)
			}
		}
	}
}

func BenchmarkView(b *testing.B) {
	tr := report()
	tr.meta.VCPUs = 16
	m := reportModel(tr, DefaultStyles(), 120, 20)
	m.SetStrip(tr.scan(b, m.Spec()))
	b.ReportAllocs()
	for b.Loop() {
		m.View()
	}
}
