package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/text"
	"github.com/evtrace/evtrace/tui"
)

// marksSuffix is what the name of a trace's side file ends in.
const marksSuffix = ".marks.json"

// bookmarks is the side file with a reader's marks in a trace. The trace itself is never changed.
type bookmarks struct {
	path string
	of   *trace
}

// markFile is what the file holds. The identity keeps the marks of one trace from being shown in another that has its name.
type markFile struct {
	Version int        `json:"version"`
	Trace   traceID    `json:"trace"`
	Marks   []tui.Mark `json:"marks"`
}

type traceID struct {
	Events uint64 `json:"events"`
	First  string `json:"first"` // hash of the first event's text
	Last   string `json:"last"`
}

const marksVersion = 1

// id tells the trace from others.
func (b *bookmarks) id() (traceID, error) {
	f := b.of.file
	id := traceID{Events: f.Len()}
	if f.Len() == 0 {
		return id, nil
	}
	hash := func(seq evtchn.Seq) (string, error) {
		ev, err := f.At(seq)
		if err != nil {
			return "", err
		}
		h := fnv.New64a()
		h.Write(text.AppendEvent(nil, &ev))
		return fmt.Sprintf("%016x", h.Sum64()), nil
	}
	var err error
	if id.First, err = hash(1); err == nil {
		id.Last, err = hash(evtchn.Seq(f.Len()))
	}
	return id, err
}

// load reads the marks; there may be none. After an error the file must not be written.
func (b *bookmarks) load() ([]tui.Mark, error) {
	data, err := os.ReadFile(b.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("no marks are shown or kept: %w", err)
	}
	var m markFile
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("%s is not a file of marks, so none are shown or kept: %w", b.path, err)
	}
	if m.Version > marksVersion {
		return nil, fmt.Errorf("%s is of version %d, this evtrace knows %d: no marks are shown or kept", b.path, m.Version, marksVersion)
	}
	id, err := b.id()
	if err != nil {
		return nil, err
	}
	if m.Trace != id {
		return nil, fmt.Errorf("%s belongs to another trace (%d events, this one has %d): its marks are not shown, and none are kept", b.path, m.Trace.Events, id.Events)
	}
	kept := m.Marks[:0]
	for _, mark := range m.Marks {
		if mark.Seq >= 1 && uint64(mark.Seq) <= id.Events && mark.Name != "" {
			kept = append(kept, mark)
		}
	}
	return kept, nil
}

// save writes the marks: the file is replaced as a whole.
func (b *bookmarks) save(marks []tui.Mark) error {
	id, err := b.id()
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(b.path), ".marks-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	enc := json.NewEncoder(f)
	enc.SetIndent("", "  ")
	err = enc.Encode(markFile{Version: marksVersion, Trace: id, Marks: marks})
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), b.path)
}
