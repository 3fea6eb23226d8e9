package store

import (
	"errors"
	"fmt"
	"runtime/debug"
)

// Classes of errors. Every error of this package that concerns a file names it.
var (
	// ErrCorrupt: the file is a trace, and something in it is not as it was written.
	ErrCorrupt = errors.New("corrupt trace")
	// ErrTruncated: the file is shorter than it says. It is also ErrCorrupt.
	ErrTruncated = fmt.Errorf("%w: truncated", ErrCorrupt)
	// ErrFormat: the file was written by a newer version of evtrace.
	ErrFormat = errors.New("unknown trace format")
	// ErrNotTrace: the file is something else: text, another database, empty, a directory.
	ErrNotTrace = errors.New("not a trace file")
	// ErrExists: the output exists, and Options.Force was not given.
	ErrExists = errors.New("file exists")
	// ErrLocked: another process is writing the file.
	ErrLocked = errors.New("in use by a recording")
	// ErrRange: an event was asked for that the trace does not have.
	ErrRange = errors.New("no such event")
	// ErrOrder: events were added out of order, or the trace's shape was changed under way.
	ErrOrder = errors.New("event out of order")
)

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}

// guard runs f, which reads mapped memory that may be damaged or may vanish, and turns a panic of bbolt or a fault of
// the memory (somebody shortens the file meanwhile) into an error of class ErrCorrupt.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = corrupt("reading the database: %v", r)
		}
	}()
	return f()
}
