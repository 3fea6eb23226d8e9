package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/evtrace/evtrace/recorder/ftrace"
)

// addMaps takes the maps of a command line and of the files that it names.
func (o *inputOptions) addMaps(maps, files []string) error {
	for _, s := range maps {
		m, err := ftrace.ParseMap(s)
		if err != nil {
			return badMap("--map", err)
		}
		o.maps = append(o.maps, m)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			return &failure{codeUnreadable, fmt.Errorf("--map-file: %w", err), ""}
		}
		ms, err := ftrace.ParseMaps(string(text), name)
		if err != nil {
			return badMap("--map-file", err)
		}
		o.maps = append(o.maps, ms...)
	}
	return nil
}

// badMap is about a map that is none.
func badMap(flag string, err error) error {
	return usageErrorf("a map is EVENT=KIND:FIELD=NAME,... such as my_unmask=unmask:port=arg1", "%s: %v", flag, err)
}

// mapHint makes a usage error of one about maps that do not fit together.
func mapHint(err error) error {
	if errors.Is(err, ftrace.ErrMap) {
		return badMap("--map", err)
	}
	return err
}
