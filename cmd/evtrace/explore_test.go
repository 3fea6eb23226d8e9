package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/system"
	"github.com/evtrace/evtrace/replay/explore"
)

// The matrix of docs/explore.md has a row for every named policy and a column for every bounded scenario, and the cells that are
// decided in a few thousand states are what a search gives today.
func TestMatrix(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(repoRoot(t), "docs", "explore.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(text), "\n| policy |")
	if !found {
		t.Fatal("no table that begins with | policy |")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	rows := make(map[string][]string)
	var columns []string
	for i, line := range strings.Split(strings.TrimSpace(table), "\n") {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for j := range cells {
			cells[j] = strings.TrimSpace(cells[j])
		}
		switch i {
		case 0:
			columns = cells
		case 1:
		default:
			rows[cells[0]] = cells[1:]
		}
	}
	limit := uint64(8000)
	if testing.Short() {
		limit = 1000
	}
	a := &app{in: strings.NewReader(""), out: io.Discard, err: io.Discard}
	checked := 0
	for i, sc := range system.BoundedBuiltins() {
		if i >= len(columns) || columns[i] != sc.Name {
			t.Fatalf("columns are %q, want %s as number %d", columns, sc.Name, i+1)
		}
		for _, pre := range evtchn.Presets() {
			row := rows[pre.Name]
			if len(row) != len(columns) {
				t.Errorf("row %s has %d cells, want %d", pre.Name, len(row), len(columns))
				continue
			}
			sys, err := explore.New(sc, pre.Policy)
			if err != nil {
				t.Fatal(err)
			}
			r, err := a.exploreOne(context.Background(), sys, explore.Options{MaxStates: limit}, &exploreFlags{quiet: true})
			if err != nil {
				t.Fatal(err)
			}
			if r.Verdict == explore.Undecided.String() {
				continue
			}
			checked++
			if got := r.cell(); got != row[i] {
				t.Errorf("%s under %s: %s, and docs/explore.md says %s", sc.Name, pre.Name, got, row[i])
			}
		}
	}
	t.Logf("%d of %d cells", checked, len(columns)*len(rows))
	if checked < 15 {
		t.Errorf("only %d cells were decided in %d states", checked, limit)
	}
}
