package text

import (
	"errors"
	"fmt"
	"io"
)

// Classes of errors, for errors.Is. A trace that was cut is neither: it is an io.ErrUnexpectedEOF.
var (
	// ErrFormat is the class of text that is no trace, or not in the one spelling that the format allows.
	ErrFormat = errors.New("not a trace in text form")

	// ErrVersion is the class of traces that a newer evtrace has written.
	ErrVersion = errors.New("text format of a newer version")
)

// Error says where in a text something is wrong. Its message reads "trace.txt:812: mask.clear: result ...".
type Error struct {
	Name string // of the input, as given to NewReader
	Line int    // from 1
	Msg  string
	Err  error // ErrFormat, ErrVersion, io.ErrUnexpectedEOF, or what reading returned
}

// Error gives the name, the line number and the message.
func (e *Error) Error() string { return fmt.Sprintf("%s:%d: %s", e.Name, e.Line, e.Msg) }

// Unwrap gives the class of the error.
func (e *Error) Unwrap() error { return e.Err }

// lineError is what is wrong with one line, before anybody knows which line it is. It is of the class ErrFormat.
type lineError string

func (e lineError) Error() string { return string(e) }

func (e lineError) Unwrap() error { return ErrFormat }

func lineErrorf(format string, args ...any) error { return lineError(fmt.Sprintf(format, args...)) }

// cutError is an end of the input where a trace does not end. It is of the class io.ErrUnexpectedEOF.
type cutError string

func (e cutError) Error() string { return string(e) }

func (e cutError) Unwrap() error { return io.ErrUnexpectedEOF }
