package main

import (
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/store"
	"github.com/evtrace/evtrace/tui"
)

// BenchmarkTUI shows steps and jumps in a trace file. With EVTRACE_BENCH_SECONDS=4 the trace has some 12 M events.
func BenchmarkTUI(b *testing.B) {
	path := filepath.Join(b.TempDir(), "b.evt")
	n := benchRecord(b, path)
	f, err := store.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	key := func(s string) tea.KeyMsg { return tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(s)} }
	for _, move := range []string{"j", "k", ".", ",", "jump"} {
		b.Run(move, func(b *testing.B) {
			m, err := tui.New(tuiTrace{f}, tui.Options{Report: &analyze.Report{}, Styles: tui.DefaultStyles(tui.ColorsBasic), At: evtchn.Seq(n / 2)})
			if err != nil {
				b.Fatal(err)
			}
			defer m.Close()
			m.Update(tea.WindowSizeMsg{Width: 120, Height: 40})
			m.Update(key("."))
			far := uint64(7919)
			var times []time.Duration
			for b.Loop() {
				begin := time.Now()
				if move == "jump" {
					far = far*6364136223846793005 + 1442695040888963407
					m.Update(key(":"))
					m.Update(key(strconv.FormatUint(far%n+1, 10)))
					m.Update(tea.KeyMsg{Type: tea.KeyEnter})
				} else {
					m.Update(key(move))
				}
				if len(m.View()) == 0 {
					b.Fatal("an empty screen")
				}
				times = append(times, time.Since(begin))
			}
			slices.Sort(times)
			b.ReportMetric(float64(times[len(times)*99/100].Microseconds())/1000, "p99-ms")
			b.ReportMetric(float64(n), "events")
		})
	}
}
