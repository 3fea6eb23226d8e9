package text

import (
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/evtrace/evtrace/evtchn"
)

// bufSize is how much is written and read at once. No event line comes near slack bytes.
const (
	bufSize = 64 << 10
	slack   = 1 << 10
)

// Writer writes a trace. It is an evtchn.Sink.
type Writer struct {
	w   io.Writer
	buf []byte
	n   uint64
	err error // sticky
}

// NewWriter starts a trace on w with the header of meta. A Meta.Format of 0 stands for evtchn.FormatVersion. Nothing is
// written before 64 KiB have come together, or Close: errors come from Add and Close.
func NewWriter(w io.Writer, meta evtchn.Meta) *Writer {
	tw := &Writer{w: w, buf: make([]byte, 0, bufSize)}
	if meta.Format != 0 && meta.Format != evtchn.FormatVersion {
		tw.err = fmt.Errorf("text: trace of format %d, want %d: %w", meta.Format, evtchn.FormatVersion, ErrVersion)
		return tw
	}
	tw.buf = appendHeader(tw.buf, &meta)
	if len(tw.buf) > maxHeader {
		tw.err = fmt.Errorf("text: header of %d bytes, want at most %d", len(tw.buf), maxHeader)
	}
	return tw
}

// Add writes one event. An error is final: Close returns it again, and the trace has no end line.
func (w *Writer) Add(ev *evtchn.Event) error {
	if w.err != nil {
		return w.err
	}
	if !ev.Kind.Valid() {
		w.err = fmt.Errorf("text: event %d: kind %d is not one that format %d knows", ev.Seq, ev.Kind, evtchn.FormatVersion)
		return w.err
	}
	if len(w.buf) > bufSize-slack {
		w.flush()
	}
	w.buf = append(AppendEvent(w.buf, ev), '\n')
	w.n++
	return w.err
}

// Flush writes what is buffered. A trace that ends there counts as cut, after its last whole event.
func (w *Writer) Flush() error {
	if w.err == nil {
		w.flush()
	}
	return w.err
}

// Close writes the end line and everything that is still buffered. It does not close the underlying writer. Without Close the
// trace counts as cut.
func (w *Writer) Close() error {
	if w.err != nil {
		return w.err
	}
	w.buf = append(w.buf, "end "...)
	w.buf = append(strconv.AppendUint(w.buf, w.n, 10), '\n')
	w.flush()
	if err := w.err; err != nil {
		return err
	}
	w.err = errors.New("text: writer is closed")
	return nil
}

func (w *Writer) flush() {
	n, err := w.w.Write(w.buf)
	if err == nil && n < len(w.buf) {
		err = io.ErrShortWrite
	}
	if err != nil {
		w.err = fmt.Errorf("text: write: %w", err)
	}
	w.buf = w.buf[:0]
}
