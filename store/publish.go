package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// lockWait is how long to wait for a file that another process may have open.
const lockWait = 200 * time.Millisecond

// claim makes sure that the output and its partial may be written: neither is there, or Force allows to replace them and nobody
// holds the partial.
func (w *Writer) claim() error {
	if err := w.freeName(); err != nil {
		return err
	}
	st, err := os.Lstat(w.partial)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !st.Mode().IsRegular():
		return fmt.Errorf("%s: %w, and is not a plain file", w.partial, ErrExists)
	}
	var held bool
	_ = guard(func() error {
		db, err := bolt.Open(w.partial, 0, &bolt.Options{ReadOnly: true, Timeout: lockWait})
		if err == nil {
			return db.Close()
		}
		held = errors.Is(err, berrors.ErrTimeout)
		return nil
	})
	if held {
		return fmt.Errorf("%s: %w", w.partial, ErrLocked)
	}
	if !w.force {
		return fmt.Errorf("%s: %w: it is what a killed recording left", w.partial, ErrExists)
	}
	return os.Remove(w.partial)
}

// freeName makes sure that the final name may be taken.
func (w *Writer) freeName() error {
	st, err := os.Stat(w.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case st.IsDir():
		return fmt.Errorf("%s: %w, and is a directory", w.path, ErrExists)
	case !st.Mode().IsRegular(): // not even by force: the file would take the place of a device
		return fmt.Errorf("%s: %w, and is not a plain file", w.path, ErrExists)
	case !w.force:
		return fmt.Errorf("%s: %w", w.path, ErrExists)
	}
	return nil
}

// createDB opens a new database. The file must not exist.
func createDB(path string, o *Options) (*bolt.DB, error) {
	open := o.OpenFile
	if open == nil {
		open = os.OpenFile
	}
	opt := bolt.Options{
		Timeout: lockWait,
		NoSync:  o.noSync,
		OpenFile: func(name string, flag int, perm os.FileMode) (*os.File, error) {
			return open(name, flag|os.O_EXCL, perm)
		},
	}
	if strconv.IntSize == 64 && runtime.GOOS != "windows" {
		// Without room to grow, bbolt maps the file anew each time that it doubles, which costs more than half of the
		// writing speed. This is address space, not memory, but a process may have a limit on it (RLIMIT_AS).
		opt.InitialMmapSize = 1 << 30
	}
	db, err := bolt.Open(path, 0o644, &opt)
	if err != nil && opt.InitialMmapSize != 0 && !errors.Is(err, fs.ErrExist) && !errors.Is(err, fs.ErrPermission) {
		if st, serr := os.Stat(path); serr == nil && st.Mode().IsRegular() && os.Remove(path) == nil {
			opt.InitialMmapSize = 0
			db, err = bolt.Open(path, 0o644, &opt)
		}
	}
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil, fmt.Errorf("%s: %w", path, ErrExists)
	case errors.Is(err, berrors.ErrTimeout):
		return nil, fmt.Errorf("%s: %w", path, ErrLocked)
	case err != nil:
		var pe *fs.PathError
		if errors.As(err, &pe) && pe.Path == path {
			return nil, err
		}
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	db.AllocSize = allocSize
	return db, nil
}

// allocSize is by how much the partial grows at a time.
const allocSize = 4 << 20

// Close commits the rest, marks the trace complete and gives the file its name. After an error the partial is still there.
func (w *Writer) Close() error { return w.close(true) }

// CloseIncomplete does what Close does but leaves the trace marked incomplete: its recording was interrupted.
func (w *Writer) CloseIncomplete() error { return w.close(false) }

func (w *Writer) close(complete bool) error {
	if w.done {
		return w.err
	}
	if w.err == nil {
		w.finish(complete)
	}
	w.done = true
	w.wait() // also after an error: the batch uses the database
	if w.db != nil {
		if err := w.db.Close(); err != nil && w.err == nil {
			w.err = fmt.Errorf("%s: %w", w.partial, err)
		}
		w.db = nil
	}
	if w.err != nil {
		return w.err
	}
	if err := w.publish(); err != nil {
		return w.fail(fmt.Errorf("%w (the trace is in %s)", err, w.partial))
	}
	w.err = fmt.Errorf("%s: %w", w.path, os.ErrClosed)
	return nil
}

// finish commits all there is, the index, and the final meta, and cuts what bbolt allocated beyond it.
func (w *Writer) finish(complete bool) {
	if w.packBuffer() != nil {
		return
	}
	w.meta.Complete, w.metaDirty = complete, true
	w.meta.Events = uint64(w.next - 1)
	w.tip.findings, w.tip.closed = uint64(len(w.findings)), 1
	versions := make([]string, 0, len(w.findings))
	for v := range w.findings {
		versions = append(versions, v)
	}
	slices.Sort(versions)
	for _, v := range versions {
		key := []byte(v)
		w.batch.put(bucketFindings, key, packBlob(w.zw, bucketFindings, key, w.findings[v]))
	}
	w.putMeta(keyIndex, w.index.encode())
	if w.commit() != nil {
		return
	}
	// One more transaction, so that both meta pages of the database lead to the finished trace: damage to one of them must
	// not bring back the state before.
	if w.commit() != nil {
		return
	}
	var size int64
	if err := w.db.View(func(tx *bolt.Tx) error { size = tx.Size(); return nil }); err != nil {
		w.fail(fmt.Errorf("%s: %w", w.partial, err))
		return
	}
	err := w.db.Close()
	w.db = nil
	if err == nil {
		err = shrink(w.partial, size)
	}
	if err != nil {
		w.fail(fmt.Errorf("%s: %w", w.partial, err))
	}
}

// shrink cuts the file to its size and has it written to the disk.
func shrink(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err = f.Truncate(size); err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// publish gives the partial its name.
func (w *Writer) publish() error {
	if err := w.freeName(); err != nil {
		return err
	}
	if err := os.Rename(w.partial, w.path); err != nil {
		return err
	}
	if d, err := os.Open(filepath.Dir(w.path)); err == nil {
		_ = d.Sync() // not every file system can
		_ = d.Close()
	}
	return nil
}

// Abort gives up: nothing of the trace remains. After Close it does nothing.
func (w *Writer) Abort() error {
	if w.done && w.db == nil && errors.Is(w.err, os.ErrClosed) {
		return nil
	}
	w.done = true
	w.wait()
	if w.db != nil {
		_ = w.db.Close()
		w.db = nil
	}
	w.fail(fmt.Errorf("%s: aborted: %w", w.path, os.ErrClosed))
	if err := os.Remove(w.partial); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
