package probes

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the table of probes in docs/capture.md")

// probeTable is the table of probes in docs/capture.md.
func probeTable() string {
	var b strings.Builder
	b.WriteString("| record | says | without it | cost |\n|---|---|---|---|\n")
	for _, p := range All() {
		name := "`" + p.Name + "`"
		if p.ABI != "" {
			name += " (" + p.ABI + ")"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s: %s |\n", name, p.Says, p.Without, p.Cost(), p.Rate)
	}
	b.WriteString("\nWhat a hit costs:\n\n")
	costs := Costs()
	for _, c := range []Cost{CostEntry, CostReturn, CostInside} {
		fmt.Fprintf(&b, "- *%s*: %s.\n", c, costs[c])
	}
	return b.String()
}

// TestDocs keeps the table in the manual that of the package.
func TestDocs(t *testing.T) {
	name := filepath.Join("..", "..", "docs", "capture.md")
	const from, to = "<!-- probes: made by go test ./recorder/probes -update -->\n", "<!-- end of probes -->"
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(data), from)
	old, after, ok2 := strings.Cut(rest, to)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table of probes", name)
	}
	want := probeTable()
	if old == want {
		return
	}
	if *update {
		if err := os.WriteFile(name, []byte(before+from+want+to+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("the table in %s is not that of the package: go test ./recorder/probes -run TestDocs -update makes it anew", name)
}

// TestTable: a name stands for one record, and each probe says what it is good for.
func TestTable(t *testing.T) {
	seen := make(map[string]bool)
	for _, p := range All() {
		for _, abi := range []string{TwoLevel, FIFO} {
			if p.ABI != "" && p.ABI != abi {
				continue
			}
			if key := abi + " " + p.Name; seen[key] {
				t.Errorf("%s is in the table twice for %s", p.Name, abi)
			} else {
				seen[key] = true
			}
		}
		if p.Says == "" || p.Without == "" || p.Rate == "" || len(p.Symbols) == 0 || Costs()[p.Cost()] == "" {
			t.Errorf("%s: something is missing: %+v", p.Name, p)
		}
		if (p.Command != 0) != strings.HasPrefix(p.Name, "hc_") || (p.Command != 0) != (p.Args == "" && p.Name != "upcall" && p.Name != "upcall_ret") {
			t.Errorf("%s: hypercall %d with arguments %q", p.Name, p.Command, p.Args)
		}
	}
}
