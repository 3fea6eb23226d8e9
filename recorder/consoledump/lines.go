package consoledump

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// maxLine bounds a line; a dump's are below 200 bytes.
const maxLine = 16 << 10

// lines cuts a stream into lines.
type lines struct {
	r    *bufio.Reader
	n    int   // number of the line returned last
	at   int64 // bytes read
	cut  bool  // the text ended within a line
	long int   // lines beyond maxLine, which are passed over
	err  error
	tmp  []byte
}

func newLines(r io.Reader) *lines { return &lines{r: bufio.NewReaderSize(r, maxLine)} }

// next gives the next line without its end, cleaned of what terminals and encodings add. The slice is valid until the next call; ok is
// false at the end, of which err says more.
func (l *lines) next() (_ []byte, ok bool) {
	if l.err != nil {
		return nil, false
	}
	b, err := l.r.ReadSlice('\n')
	l.at += int64(len(b))
	if errors.Is(err, bufio.ErrBufferFull) {
		l.n++
		l.long++
		for errors.Is(err, bufio.ErrBufferFull) {
			b, err = l.r.ReadSlice('\n')
			l.at += int64(len(b))
		}
		if l.err = err; err == io.EOF {
			l.err = nil
		}
		return nil, l.err == nil
	}
	if err != nil {
		l.err = err
		if len(b) == 0 {
			return nil, false
		}
		l.cut = errors.Is(err, io.EOF)
	}
	l.n++
	return l.clean(b), true
}

// clean drops the line's end and what is no text of it.
func (l *lines) clean(b []byte) []byte {
	for len(b) > 0 && (b[len(b)-1] == '\n' || b[len(b)-1] == '\r') {
		b = b[:len(b)-1]
	}
	odd := bytes.Contains(b, []byte("=3D"))
	for _, c := range b {
		if c < ' ' && c != '\t' || c >= 0x7f {
			odd = true
			break
		}
	}
	if !odd {
		return b
	}
	b = bytes.ReplaceAll(b, []byte("=3D"), []byte("="))
	out := l.tmp[:0]
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c == 0x1b && i+1 < len(b) && b[i+1] == '[': // CSI ... final byte
			for i += 2; i < len(b) && (b[i] < 0x40 || b[i] > 0x7e); i++ {
			}
		case c == 0x1b:
			i++
		case c == 0xc2 && i+1 < len(b) && b[i+1] == 0xa0: // no-break space
			out = append(out, ' ')
			i++
		case c == '\t':
			out = append(out, ' ')
		case c < ' ' || c == 0x7f:
		default:
			out = append(out, c)
		}
	}
	l.tmp = out
	return out
}
