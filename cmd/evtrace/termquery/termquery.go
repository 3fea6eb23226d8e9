// Package termquery keeps the terminal from being asked for its background colour each time that evtrace starts.
//
// The library of the terminal UI does so when it is initialised, whatever the verb: it writes an escape sequence to the terminal
// and waits for the answer, for seconds on a serial console that gives none. It leaves a terminal in peace whose TERM is dumb. So
// this package says that it is, from before that library is initialised until main calls [Restore].
//
// The order is that of the language specification: of the packages whose imports are initialised, the one whose path is first in
// the alphabet is next. This one imports syscall alone; termenv, which the library needs, comes behind it.
package termquery

import "syscall"

var term, isSet = syscall.Getenv("TERM")

func init() { _ = syscall.Setenv("TERM", "dumb") }

// Restore gives TERM the value that the user has given it.
func Restore() {
	if isSet {
		_ = syscall.Setenv("TERM", term)
	} else {
		_ = syscall.Unsetenv("TERM")
	}
}
