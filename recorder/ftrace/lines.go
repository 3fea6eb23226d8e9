package ftrace

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// maxLine bounds a line. The kernel's longest are below 1 KB; anything far beyond is not a capture.
const maxLine = 64 << 10

// lines cuts a stream into lines without copying them.
type lines struct {
	r     io.Reader
	buf   []byte
	pos   int // of the next line in buf
	end   int
	off   int64 // of buf[0] in the text
	line  int64 // number of the line returned last
	start int64 // its offset
	err   error // what ended the stream
	cut   bool  // the text ended within a line
	long  bool  // the line returned last was cut because it is too long
}

func newLines(r io.Reader) *lines { return &lines{r: r, buf: make([]byte, 512<<10)} }

// fill reads more, keeping what is unread.
func (l *lines) fill() {
	if l.pos > 0 {
		copy(l.buf, l.buf[l.pos:l.end])
		l.off += int64(l.pos)
		l.end -= l.pos
		l.pos = 0
	}
	for empty := 0; l.err == nil && l.end < len(l.buf); {
		n, err := l.r.Read(l.buf[l.end:])
		l.end += n
		l.err = err
		if n > 0 && l.end > len(l.buf)/2 {
			return
		}
		if n == 0 {
			if empty++; empty > 100 {
				l.err = io.ErrNoProgress
			}
		}
	}
}

// peek gives what is buffered, up to the whole buffer.
func (l *lines) peek() []byte {
	l.fill()
	return l.buf[l.pos:l.end]
}

// next gives the next whole line without its end, or nil when there is none. The slice is valid until the next call.
func (l *lines) next() []byte {
	for {
		if i := bytes.IndexByte(l.buf[l.pos:l.end], '\n'); i >= 0 {
			b := l.buf[l.pos : l.pos+i]
			l.start = l.off + int64(l.pos)
			l.pos += i + 1
			l.line++
			l.long = len(b) > maxLine
			if len(b) > 0 && b[len(b)-1] == '\r' {
				b = b[:len(b)-1]
			}
			return b
		}
		if l.end-l.pos > maxLine {
			// Not a line of a capture: give it in pieces.
			b := l.buf[l.pos : l.pos+maxLine]
			l.start = l.off + int64(l.pos)
			l.pos += maxLine
			l.line++
			l.long = true
			return b
		}
		if l.err != nil {
			if l.pos < l.end && !l.cut {
				// An unterminated line: its last number may have lost digits.
				l.cut = true
				l.line++
				l.start = l.off + int64(l.pos)
			}
			return nil
		}
		l.fill()
	}
}

// counter counts the bytes that were read through it.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}

// decompressor wraps r according to its first bytes: zstd, gzip, or nothing. It gives a closer for its own resources.
func decompressor(r io.Reader) (io.Reader, func(), error) {
	br := bufio.NewReaderSize(r, 64<<10)
	head, err := br.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, err
	}
	switch {
	case len(head) >= 4 && head[0] == 0x28 && head[1] == 0xb5 && head[2] == 0x2f && head[3] == 0xfd:
		z, err := zstd.NewReader(br, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return nil, nil, fmt.Errorf("zstd: %w", err)
		}
		return z, z.Close, nil
	case len(head) >= 2 && head[0] == 0x1f && head[1] == 0x8b:
		z, err := gzip.NewReader(br)
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, nil, fmt.Errorf("gzip: %w", err)
		}
		return z, func() {}, nil
	}
	return br, func() {}, nil
}
