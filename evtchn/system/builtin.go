package system

import (
	"embed"
	"fmt"
	"slices"

	"github.com/evtrace/evtrace/evtchn"
)

//go:embed builtin/*.yaml
var builtinFiles embed.FS

// builtinNames gives the order: the report, what is near to it, other races, volume, and nothing wrong.
var builtinNames = []string{"seed-port65", "seed-rescued", "seed-hot-word", "ack-window", "rebind-race", "mixed-load", "clean"}

// boundedNames are the scenarios of kind bounded: the report and the same at each acknowledge, moves, and the rest.
var boundedNames = []string{"bind-then-unmask", "write-back", "rebind-2005", "rebind-2013", "rebind-2021", "stale-notify", "poll-block",
	"ipi-kick", "close-reuse", "two-ports-one-word"}

// Builtins gives the built-in scenarios that can be recorded. They are the caller's to change.
func Builtins() []*Scenario { return builtins(builtinNames) }

// BoundedBuiltins gives those of kind bounded.
func BoundedBuiltins() []*Scenario { return builtins(boundedNames) }

func builtins(names []string) []*Scenario {
	all := make([]*Scenario, len(names))
	for i, name := range names {
		all[i] = builtin(name)
	}
	return all
}

// Builtin finds a built-in scenario by name. The error is of class ErrScenario; it suggests the nearest name, and lists all.
func Builtin(name string) (*Scenario, error) {
	names := slices.Concat(builtinNames, boundedNames)
	if slices.Contains(names, name) {
		return builtin(name), nil
	}
	return nil, fmt.Errorf("%w: no scenario is called %q%s; built in: %s", ErrScenario, name, evtchn.Suggest(name, names), list(names, "and"))
}

func builtin(name string) *Scenario {
	file := "builtin/" + name + ".yaml"
	text, err := builtinFiles.ReadFile(file)
	if err != nil {
		panic("system: internal error: " + err.Error())
	}
	sc, err := Parse(file, text)
	if err != nil {
		panic("system: internal error: " + err.Error())
	}
	return sc
}
