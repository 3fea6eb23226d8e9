package tui

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

// keyTable is the table of keys in docs/tui.md, made from the key map.
func keyTable() string {
	var b strings.Builder
	keys := DefaultKeyMap()
	b.WriteString("| key | what it does |\n|---|---|\n")
	for _, s := range keys.sections() {
		fmt.Fprintf(&b, "| | **%s** |\n", s.title)
		for _, a := range s.actions {
			h := a.binding.Help()
			var names []string
			for _, k := range strings.Fields(h.Key) {
				names = append(names, "`"+k+"`")
			}
			fmt.Fprintf(&b, "| %s | %s |\n", strings.Join(names, " "), strings.ReplaceAll(h.Desc, "|", "\\|"))
		}
	}
	return b.String()
}

// TestDocs keeps the table of keys in the manual that of the key map.
func TestDocs(t *testing.T) {
	const name, from, to = "../docs/tui.md", "<!-- keys: made by go test ./tui -update -->\n", "<!-- end of keys -->"
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(data), from)
	old, after, ok2 := strings.Cut(rest, to)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the keys", name)
	}
	if want := keyTable(); old != want {
		if f := flag.Lookup("update"); f != nil && f.Value.String() == "true" {
			if err := os.WriteFile(name, []byte(before+from+want+to+after), 0o644); err != nil {
				t.Fatal(err)
			}
			return
		}
		t.Errorf("the keys in %s are not those of the key map: go test ./tui -update makes them anew", name)
	}
}
