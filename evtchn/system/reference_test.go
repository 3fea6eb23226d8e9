package system

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite docs/scenarios.md")

func TestReference(t *testing.T) {
	page := filepath.Join("..", "..", "docs", "scenarios.md")
	want := FieldsMarkdown()
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("docs/scenarios.md is not what the table of fields says; write it with go test ./evtchn/system -run TestReference -update (-want +got):\n%s", diff)
	}
}

// The example on the page must be one.
func TestReferenceExample(t *testing.T) {
	_, rest, _ := strings.Cut(FieldsMarkdown(), "```yaml\n")
	example, _, found := strings.Cut(rest, "```")
	if !found {
		t.Fatal("no example")
	}
	if _, err := Parse("example", []byte(example)); err != nil {
		t.Error(err)
	}
}

func TestFieldsText(t *testing.T) {
	text := FieldsText()
	for line := range strings.Lines(text) {
		if len(line) > 101 {
			t.Errorf("a line of %d columns: %s", len(line)-1, line)
		}
	}
	text = strings.Join(strings.Fields(text), " ")
	for _, f := range Fields() {
		if !strings.Contains(text, f.Path) || !strings.Contains(text, f.Doc) {
			t.Errorf("%s is missing", f.Path)
		}
	}
}
