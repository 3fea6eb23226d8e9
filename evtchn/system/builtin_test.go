package system

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBuiltins(t *testing.T) {
	for i, sc := range Builtins() {
		t.Run(sc.Name, func(t *testing.T) {
			if sc.Name != builtinNames[i] {
				t.Errorf("builtin/%s.yaml is called %s", builtinNames[i], sc.Name)
			}
			if sc.About == "" || sc.Story == "" || len(sc.Domains) == 0 {
				t.Errorf("about, story or domains are missing")
			}
			again, err := Parse("again", []byte(sc.Text))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(sc, again); diff != "" {
				t.Errorf("its own text gives another scenario (-first +again):\n%s", diff)
			}
			byName, err := Builtin(sc.Name)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(sc, byName); diff != "" {
				t.Errorf("Builtin and Builtins differ:\n%s", diff)
			}
		})
	}
}

func TestBuiltinFilesAreListed(t *testing.T) {
	files, err := builtinFiles.ReadDir("builtin")
	if err != nil {
		t.Fatal(err)
	}
	if names := len(builtinNames) + len(boundedNames); len(files) != names {
		t.Errorf("%d files, %d names", len(files), names)
	}
}

func TestBuiltinUnknown(t *testing.T) {
	_, err := Builtin("seed-port64")
	if !errors.Is(err, ErrScenario) {
		t.Fatalf("got %v, want an ErrScenario", err)
	}
	if want := `no scenario is called "seed-port64"; did you mean "seed-port65"?; built in: seed-port65, `; !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q in it", err, want)
	}
}
