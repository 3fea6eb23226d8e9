package system

import (
	"errors"
	"fmt"
	"strings"
)

// ErrScenario is the class of errors about scenarios: a file that does not say what a scenario must, an unknown name, an
// override that cannot be applied.
var ErrScenario = errors.New("bad scenario")

// Problem is one thing that is wrong with a scenario file.
type Problem struct {
	File  string
	Line  int    // from 1
	Field string // path of the key, such as domains[0].think; "" for the file as a whole
	Text  string // what is there, and what is allowed
}

// String gives "file:line: field: text".
func (p Problem) String() string {
	if p.Field == "" {
		return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Text)
	}
	return fmt.Sprintf("%s:%d: %s: %s", p.File, p.Line, p.Field, p.Text)
}

// FileError lists everything that is wrong with a scenario file, in the order of its lines. It is an ErrScenario.
type FileError struct{ Problems []Problem }

// Error gives one line for each problem.
func (e *FileError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Unwrap makes it an ErrScenario.
func (e *FileError) Unwrap() error { return ErrScenario }
