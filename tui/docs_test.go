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

// signs explains the signs, as the help does.
func signs(t *testing.T) string {
	p := open(t, "seed-port65", 120, 40)
	return "```\n" + strings.Join(append(p.m.glyphs.legend(), p.m.strip.legend()...), "\n") + "\n```\n"
}

// TestDocs keeps the table of keys and the signs in the manual those of the program.
func TestDocs(t *testing.T) {
	for _, part := range []struct{ name, want string }{{"keys", keyTable()}, {"signs", signs(t)}} {
		const name = "../docs/tui.md"
		from, to := "<!-- "+part.name+": made by go test ./tui -update -->\n", "<!-- end of "+part.name+" -->"
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		before, rest, ok := strings.Cut(string(data), from)
		old, after, ok2 := strings.Cut(rest, to)
		if !ok || !ok2 {
			t.Fatalf("%s has no place for the %s", name, part.name)
		}
		if old == part.want {
			continue
		}
		if f := flag.Lookup("update"); f != nil && f.Value.String() == "true" {
			if err := os.WriteFile(name, []byte(before+from+part.want+to+after), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		t.Errorf("the %s in %s are not those of the program: go test ./tui -update makes them anew", part.name, name)
	}
}

// TestHelpExplainsSigns: the help has every line of both legends, whichever pane it is asked in.
func TestHelpExplainsSigns(t *testing.T) {
	for f := range panes {
		p := open(t, "seed-port65", 120, 40)
		p.m.focus = f
		help := strings.Join(p.m.helpLines(), "\n")
		for _, l := range append(p.m.glyphs.legend(), p.m.strip.legend()...) {
			if strings.Count(help, l) != 1 {
				t.Errorf("pane %d: the help has %q %d times, want once", f, l, strings.Count(help, l))
			}
		}
	}
}
