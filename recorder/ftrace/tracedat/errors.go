package tracedat

import (
	"errors"
	"fmt"
	"io"
	"strconv"
)

// Classes of errors. A file that was cut gives io.ErrUnexpectedEOF. Errors of the io.ReaderAt come as they are, with their place.
var (
	// ErrFormat: it is no trace.dat file, or one of a kind that is not read.
	ErrFormat = errors.New("not a trace.dat file that can be read")
	// ErrCorrupt: something in the file contradicts something else. From Next, it concerns one page or chunk of one cpu: Next may be
	// called again.
	ErrCorrupt = errors.New("trace.dat is damaged")
	// ErrNoData: the file is cut before the place that says where the cpus' data are. It is of the class io.ErrUnexpectedEOF as well.
	ErrNoData = errors.New("cut so short that none of it can be read")
)

// Error is an error with its place.
type Error struct {
	Offset int64  // in the file
	Inside int64  // in the unpacked data of the section or chunk at Offset; -1: they are not packed
	What   string // what was being read, and what is wrong with it
	Err    error  // its class
}

func (e *Error) Error() string {
	at := "byte " + strconv.FormatInt(e.Offset, 10)
	if e.Inside >= 0 {
		at += " (unpacked: " + strconv.FormatInt(e.Inside, 10) + ")"
	}
	return at + ": " + e.What + ": " + e.Err.Error()
}

// Unwrap gives the class.
func (e *Error) Unwrap() error { return e.Err }

func errorAt(at int64, class error, format string, args ...any) *Error {
	return &Error{at, -1, fmt.Sprintf(format, args...), class}
}

// wholly makes an end of file one that comes too early.
func wholly(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
