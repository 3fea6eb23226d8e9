package main

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/store"
)

// vacant makes sure that an output may be written, before any work is done for it.
func vacant(name string, force bool) error {
	st, err := os.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		dir := filepath.Dir(name)
		if st, err := os.Stat(dir); err != nil {
			return unwritable(name, err)
		} else if !st.IsDir() {
			return unwritable(name, fmt.Errorf("%s is not a directory", dir))
		}
		return nil
	case err != nil:
		return unwritable(name, err)
	case st.IsDir():
		return usageErrorf("-o gives another name", "%s: it is a directory, want the name of a file", name)
	case !force:
		return unwritable(name, fmt.Errorf("%s: %w", name, fs.ErrExist))
	}
	return nil
}

// otherFile makes sure that an output is not the input.
func otherFile(in, out string) error {
	i, ierr := os.Stat(in)
	o, oerr := os.Stat(out)
	if in != "-" && ierr == nil && oerr == nil && i.Mode().IsRegular() && os.SameFile(i, o) {
		return usageErrorf("-o gives another name", "%s: it is the input, which must not be replaced", out)
	}
	return nil
}

// vacantOut makes sure that text made of an input may be written, before any work is done for it; - is stdout.
func vacantOut(in, out string, force bool) error {
	if out == "-" {
		return nil
	}
	if err := otherFile(in, out); err != nil {
		return err
	}
	return vacantText(out, force)
}

// vacantText is vacant for text, which may also go to a device.
func vacantText(name string, force bool) error {
	if st, err := os.Stat(name); err == nil && !st.IsDir() && !st.Mode().IsRegular() {
		return nil
	}
	return vacant(name, force)
}

// createStore begins a trace file.
func createStore(name string, meta evtchn.Meta, force bool) (*store.Writer, error) {
	if err := vacant(name, force); err != nil {
		return nil, err
	}
	if st, err := os.Stat(name); err == nil && !st.Mode().IsRegular() {
		return nil, usageErrorf("-o - writes the text form to stdout", "%s: it is not a plain file, and a trace file cannot be made of it", name)
	}
	w, err := store.Create(name, meta, store.Options{Force: force})
	if err != nil {
		return nil, unwritable(name, err)
	}
	return w, nil
}

// closeStore ends a trace file. After an error nothing is left of it, except a whole trace whose name was taken meanwhile.
func closeStore(w *store.Writer, name string, complete bool) error {
	end := w.Close
	if !complete {
		end = w.CloseIncomplete
	}
	err := end()
	if err != nil && !errors.Is(err, store.ErrExists) {
		w.Abort()
	}
	return unwritable(name, err)
}

// storeSink names the file in errors of writing to it, and tells them from those of reading.
type storeSink struct {
	w    *store.Writer
	name string
}

func (s *storeSink) Add(ev *evtchn.Event) error { return unwritable(s.name, s.w.Add(ev)) }

// textOut is a text file that gets its name when it is complete. A name that ends in .zst or .gz has it compressed.
type textOut struct {
	io.Writer
	name    string
	file    *os.File // nil: stdout, or a device
	partial string
	closers []io.Closer
	written int64 // bytes, before they are compressed
}

func (o *textOut) Write(p []byte) (int, error) {
	n, err := o.Writer.Write(p)
	o.written += int64(n)
	return n, err
}

// createText begins a text file; - is stdout.
func (a *app) createText(name string, force bool) (*textOut, error) {
	if name == "-" {
		return &textOut{Writer: a.out, name: "stdout"}, nil
	}
	o := &textOut{name: name}
	st, err := os.Stat(name)
	if err == nil && !st.IsDir() && !st.Mode().IsRegular() {
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			return nil, unwritable(name, err)
		}
		o.Writer, o.closers = f, []io.Closer{f}
		return o, nil
	}
	if err := vacantText(name, force); err != nil {
		return nil, err
	}
	o.partial = name + store.PartialSuffix
	o.file, err = os.OpenFile(o.partial, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) && force {
		if err = os.Remove(o.partial); err == nil {
			o.file, err = os.OpenFile(o.partial, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		}
	}
	if err != nil {
		return nil, unwritable(name, err)
	}
	o.Writer, o.closers = o.file, []io.Closer{o.file}
	switch {
	case strings.HasSuffix(name, ".zst"):
		z, err := zstd.NewWriter(o.file, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderConcurrency(1))
		if err != nil {
			o.abort()
			return nil, err
		}
		o.Writer, o.closers = z, append(o.closers, z)
	case strings.HasSuffix(name, ".gz"):
		z, _ := gzip.NewWriterLevel(o.file, gzip.BestCompression) // the level exists
		o.Writer, o.closers = z, append(o.closers, z)
	}
	return o, nil
}

// fail names the place of an error of writing.
func (o *textOut) fail(err error) error {
	if err != nil && o.name == "stdout" {
		return onStdout(err)
	}
	return unwritable(o.name, err)
}

// commit gives the file its name. After an error nothing is left.
func (o *textOut) commit() error {
	var err error
	for i := len(o.closers) - 1; i >= 0; i-- {
		if i == 0 && o.file != nil && err == nil {
			err = o.file.Sync()
		}
		err = errors.Join(err, o.closers[i].Close())
	}
	o.closers = nil
	if o.file == nil {
		return o.fail(err)
	}
	if err == nil {
		err = os.Rename(o.partial, o.name)
	}
	if err != nil {
		os.Remove(o.partial)
	}
	o.file = nil
	return o.fail(err)
}

// abort leaves nothing of the file. After commit it does nothing.
func (o *textOut) abort() {
	for i := len(o.closers) - 1; i >= 0; i-- {
		o.closers[i].Close()
	}
	if o.file != nil {
		os.Remove(o.partial)
	}
	o.closers, o.file = nil, nil
}

// interrupted reports whether an error is that of a signal.
func interrupted(err error) bool { return errors.Is(err, context.Canceled) }
