package bundle

import (
	"errors"
	"fmt"
)

// Classes of errors.
var (
	// ErrNotBundle is the error for a file that does not begin as a bundle does.
	ErrNotBundle = errors.New("not a bundle of evtrace")

	// ErrVersion is the class of errors for a bundle of a layout that is newer than Format.
	ErrVersion = errors.New("a newer bundle")

	// ErrDamaged is the class of errors for a bundle that is not, byte for byte, what was written: see Error.
	ErrDamaged = errors.New("the bundle is damaged")
)

// Error says what is wrong with a bundle, and where.
type Error struct {
	Part string // name of the part, or "directory" for the list of parts at the archive's end
	Msg  string
}

// Error names the part.
func (e *Error) Error() string { return fmt.Sprintf("%v: %s: %s", ErrDamaged, e.Part, e.Msg) }

// Unwrap makes the error one of class ErrDamaged.
func (e *Error) Unwrap() error { return ErrDamaged }

func damaged(part, format string, args ...any) error {
	return &Error{part, fmt.Sprintf(format, args...)}
}
