package tui_test

import (
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/system"
	"github.com/evtrace/evtrace/store"
	"github.com/evtrace/evtrace/tui"
)

// stored is a trace file as the program sees it.
type stored struct{ *store.File }

func (s stored) PortRanges(p evtchn.Port) []tui.Range {
	var list []tui.Range
	for _, c := range s.PortChunks(p) {
		list = append(list, tui.Range{First: c.First, Last: c.Last})
	}
	return list
}

// benchEvents is the size of the trace that the benchmarks step through.
const benchEvents = 1_000_000

// bigTrace records a loaded system of 16 vcpus until it has benchEvents events.
func bigTrace(b *testing.B) stored {
	b.Helper()
	dir := b.TempDir()
	sc, err := system.Builtin("mixed-load")
	if err != nil {
		b.Fatal(err)
	}
	if sc, err = sc.Override(16, 0, 60e9); err != nil {
		b.Fatal(err)
	}
	p, err := evtchn.ParsePolicy(sc.Policy)
	if err != nil {
		b.Fatal(err)
	}
	sys, err := system.New(sc, 1, p, system.Inputs(sc, 1))
	if err != nil {
		b.Fatal(err)
	}
	name := filepath.Join(dir, "big.evt")
	w, err := store.Create(name, sys.Meta(), store.Options{})
	if err != nil {
		b.Fatal(err)
	}
	var ev evtchn.Event
	for range benchEvents {
		if err := sys.Next(&ev); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			b.Fatal(err)
		}
		if err := w.Add(&ev); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.CloseIncomplete(); err != nil {
		b.Fatal(err)
	}
	f, err := store.Open(name)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close() })
	return stored{f}
}

// BenchmarkStep measures a key from Update to the finished View, and the slowest one in a hundred.
func BenchmarkStep(b *testing.B) {
	tr := bigTrace(b)
	far := uint64(7919)
	for _, bm := range []struct {
		name string
		msg  func(i int) tea.Msg
	}{
		{"forward", func(int) tea.Msg { return runes("j") }},
		{"back", func(int) tea.Msg { return runes("k") }},
		{"page-back", func(int) tea.Msg { return tea.KeyMsg{Type: tea.KeyPgUp} }},
		{"next-of-port", func(int) tea.Msg { return runes(".") }},
		{"cause", func(int) tea.Msg { return runes("[") }},
		{"jump", nil},
	} {
		b.Run(bm.name, func(b *testing.B) {
			m, err := tui.New(tr, tui.Options{Report: &analyze.Report{}, Styles: tui.DefaultStyles(tui.ColorsBasic), At: evtchn.Seq(tr.Len() / 2)})
			if err != nil {
				b.Fatal(err)
			}
			defer m.Close()
			m.Update(tea.WindowSizeMsg{Width: 120, Height: 40})
			m.Update(runes("."))
			times := make([]time.Duration, 0, b.N)
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				if bm.msg == nil {
					b.StopTimer()
					m.Update(runes(":"))
					far = far*6364136223846793005 + 1442695040888963407
					m.Update(runes(strconv.FormatUint(far%tr.Len()+1, 10)))
					b.StartTimer()
				}
				begin := time.Now()
				if bm.msg != nil {
					m.Update(bm.msg(i))
				} else {
					m.Update(tea.KeyMsg{Type: tea.KeyEnter})
				}
				if len(m.View()) == 0 {
					b.Fatal("an empty screen")
				}
				times = append(times, time.Since(begin))
			}
			b.StopTimer()
			slices.Sort(times)
			b.ReportMetric(float64(times[len(times)*99/100].Microseconds())/1000, "p99-ms")
		})
	}
}

func runes(s string) tea.Msg { return tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(s)} }
