package system

import (
	"embed"
	"fmt"

	"github.com/evtrace/evtrace/evtchn"
)

//go:embed builtin/*.yaml
var builtinFiles embed.FS

// builtinNames gives the order: the report, what is near to it, other races, volume, and nothing wrong.
var builtinNames = []string{"seed-port65", "seed-rescued", "seed-hot-word", "ack-window", "rebind-race", "mixed-load", "clean"}

// Builtins gives the built-in scenarios. They are the caller's to change.
func Builtins() []*Scenario {
	all := make([]*Scenario, len(builtinNames))
	for i, name := range builtinNames {
		all[i] = builtin(name)
	}
	return all
}

// Builtin finds a built-in scenario by name. The error is of class ErrScenario; it suggests the nearest name, and lists all.
func Builtin(name string) (*Scenario, error) {
	for _, n := range builtinNames {
		if n == name {
			return builtin(n), nil
		}
	}
	return nil, fmt.Errorf("%w: no scenario is called %q%s; built in: %s", ErrScenario, name, evtchn.Suggest(name, builtinNames), list(builtinNames, "and"))
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
