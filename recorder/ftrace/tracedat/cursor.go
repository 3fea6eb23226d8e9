package tracedat

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// Bounds of what a file may say of itself. They are far beyond what kernels do.
const (
	maxBlob   = 1 << 20  // of a piece that is kept: a format file, an option
	maxNames  = 64 << 20 // of the names of processes
	maxString = 4096
	maxCPUs   = 4096
)

// cursor reads a stretch of a file in order. After an error it gives zeros and remembers the first error.
type cursor struct {
	r    *bufio.Reader
	at   int64 // in the file, or of the packed section
	in   int64 // how far into the stretch
	left int64 // of the stretch
	cut  bool  // the stretch goes on behind the end of the file
	big  bool
	pack bool
	err  error
}

// newCursor reads what src has from at on: n bytes, or less if the file of that size is cut.
func newCursor(src io.ReaderAt, at, n, size int64, big bool) *cursor {
	c := &cursor{at: at, left: n, big: big}
	if n > size-at {
		c.cut = true
		c.left = max(size-at, 0)
	}
	c.r = bufio.NewReaderSize(io.NewSectionReader(src, at, c.left), int(min(c.left, 32<<10)))
	return c
}

// fail remembers an error at the place of the cursor.
func (c *cursor) fail(class error, format string, args ...any) {
	if c.err != nil {
		return
	}
	e := &Error{c.at + c.in, -1, fmt.Sprintf(format, args...), class}
	if c.pack {
		e.Offset, e.Inside = c.at, c.in
	}
	c.err = e
}

// need makes sure that n more bytes are in the stretch.
func (c *cursor) need(n int64, what string) bool {
	switch {
	case c.err != nil:
		return false
	case n <= c.left:
		return true
	case c.cut:
		c.fail(io.ErrUnexpectedEOF, "%s: want %d bytes, have %d", what, n, c.left)
	default:
		c.fail(ErrCorrupt, "%s: got a size of %d bytes, want at most the %d that are left", what, n, c.left)
	}
	return false
}

// failRead is about an error of the source.
func (c *cursor) failRead(err error, what string) {
	switch err := wholly(err); {
	case c.pack && !errors.Is(err, io.ErrUnexpectedEOF):
		c.fail(ErrCorrupt, "%s: unpacking: %v", what, err)
	case c.pack:
		c.fail(ErrCorrupt, "%s: the packed data end before", what)
	default:
		c.fail(err, "%s", what)
	}
}

// bytes gives the next n bytes, which must not be more than limit.
func (c *cursor) bytes(n uint64, limit int64, what string) []byte {
	if n > uint64(limit) && c.err == nil {
		c.fail(ErrCorrupt, "%s: got a size of %d bytes, want at most %d", what, n, limit)
	}
	if c.err != nil || !c.need(int64(n), what) {
		return nil
	}
	// In a packed section only what comes out of the packing shows how much there is.
	var b bytes.Buffer
	m, err := io.CopyN(&b, c.r, int64(n))
	if err != nil {
		c.failRead(err, what)
	}
	c.in += m
	c.left -= m
	if c.err != nil {
		return nil
	}
	return b.Bytes()
}

// skip passes over n bytes.
func (c *cursor) skip(n uint64, what string) {
	if n > math.MaxInt64 {
		n = math.MaxInt64
	}
	if !c.need(int64(n), what) {
		return
	}
	m, err := io.CopyN(io.Discard, c.r, int64(n))
	c.in += m
	c.left -= m
	if err != nil {
		c.failRead(err, what)
	}
}

// uint reads a number of 1, 2, 4 or 8 bytes.
func (c *cursor) uint(n int, what string) uint64 {
	if !c.need(int64(n), what) {
		return 0
	}
	var b [8]byte
	if _, err := io.ReadFull(c.r, b[:n]); err != nil {
		c.failRead(err, what)
		return 0
	}
	c.in += int64(n)
	c.left -= int64(n)
	return number(b[:n], c.big)
}

// string reads a string up to its NUL.
func (c *cursor) string(what string) string {
	var b []byte
	for len(b) <= maxString {
		ch := byte(c.uint(1, what))
		if c.err != nil {
			return ""
		}
		if ch == 0 {
			return string(b)
		}
		b = append(b, ch)
	}
	c.fail(ErrCorrupt, "%s: got a string of more than %d bytes", what, maxString)
	return ""
}

// magic wants a string to be there, up to its NUL.
func (c *cursor) magic(want string) {
	b := c.bytes(uint64(len(want)), maxString, want)
	if c.err == nil && string(b) != want {
		c.fail(ErrCorrupt, "got %q, want %q", b, want)
	}
}

// number reads a number of 1, 2, 4 or 8 bytes; 0 if it has another length.
func number(b []byte, big bool) uint64 {
	switch len(b) {
	case 1:
		return uint64(b[0])
	case 2:
		if big {
			return uint64(binary.BigEndian.Uint16(b))
		}
		return uint64(binary.LittleEndian.Uint16(b))
	case 4:
		if big {
			return uint64(binary.BigEndian.Uint32(b))
		}
		return uint64(binary.LittleEndian.Uint32(b))
	case 8:
		if big {
			return binary.BigEndian.Uint64(b)
		}
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func newReaderCursor(src io.Reader, at, size int64, big bool) *cursor {
	return &cursor{r: bufio.NewReaderSize(src, int(min(size, 16<<10))), at: at, left: size, big: big}
}
