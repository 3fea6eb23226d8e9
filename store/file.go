package store

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sort"
	"strconv"
	"sync"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/evtrace/evtrace/evtchn"
)

// File is a trace that is open for reading. Its methods may be called concurrently; a Source belongs to one goroutine.
type File struct {
	path  string
	size  int64
	db    *bolt.DB
	meta  evtchn.Meta
	tip   tip
	index index
	idle  sync.Pool // of *decoder
	blobs unpacker
}

// Open opens a trace, or the partial of a recording that was killed, for reading.
// Errors are of the classes ErrNotTrace, ErrFormat, ErrCorrupt, ErrTruncated, ErrLocked, or come from the file system.
func Open(path string) (*File, error) {
	f, err := open(path)
	if err == nil {
		if err = f.ending(); err != nil {
			f.Close()
		}
	}
	if err != nil {
		return nil, inFile(path, err)
	}
	return f, nil
}

// inFile names the file in an error that does not do so yet.
func inFile(path string, err error) error {
	var pe *os.PathError
	if err == nil || errors.As(err, &pe) {
		return err
	}
	return fmt.Errorf("%s: %w", path, err)
}

// open does what Open does, but for naming the file in errors.
func open(path string) (*File, error) {
	st, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		if _, perr := os.Stat(path + PartialSuffix); perr == nil {
			return nil, fmt.Errorf("%w; there is %s, of a recording that was not closed", err, path+PartialSuffix)
		}
	}
	if err != nil {
		return nil, err
	}
	switch {
	case st.IsDir():
		return nil, fmt.Errorf("%w: it is a directory", ErrNotTrace)
	case !st.Mode().IsRegular():
		return nil, fmt.Errorf("%w: it is not a plain file", ErrNotTrace)
	}
	f := &File{path: path, size: st.Size()}
	// First only what cannot change under a recording in progress: is it a database at all? bbolt's lock then keeps writers out.
	if err := inspect(path, func(*pageTree) error { return nil }); err != nil && !errors.Is(err, ErrTruncated) {
		return nil, err
	}
	err = guard(func() error {
		f.db, err = bolt.Open(path, 0, &bolt.Options{ReadOnly: true, Timeout: lockWait})
		return err
	})
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return nil, fmt.Errorf("%w: wait until it is done, or stop it", ErrLocked)
	case errors.Is(err, os.ErrPermission), errors.Is(err, ErrCorrupt):
		return nil, err
	case err != nil:
		return nil, corrupt("%v", err)
	}
	err = inspect(path, (*pageTree).intact)
	if err == nil {
		err = f.view(f.load)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// ending finds out whether a closed file ends where its database ends.
func (f *File) ending() error {
	if f.tip.closed == 0 {
		return nil // a recording allocates pages in advance
	}
	return f.view(func(tx *bolt.Tx) error {
		if f.size > tx.Size() {
			return corrupt("the file has %d bytes, want %d: something was appended", f.size, tx.Size())
		}
		return nil
	})
}

// Close closes the file. States and events that were read remain valid.
func (f *File) Close() error {
	return guard(f.db.Close)
}

// view runs fn in a read transaction.
func (f *File) view(fn func(tx *bolt.Tx) error) error {
	return guard(func() error { return f.db.View(fn) })
}

// value gets and verifies a value of a bucket; its bytes are valid during the transaction. It is nil if there is none.
func value(tx *bolt.Tx, bucket, key []byte) ([]byte, error) {
	b := tx.Bucket(bucket)
	if b == nil {
		return nil, corrupt("bucket %s is missing", bucket)
	}
	v := b.Get(key)
	if v == nil {
		return nil, nil
	}
	body, err := unseal(bucket, key, v)
	if err != nil {
		return nil, fmt.Errorf("%s %q: %w", bucket, key, err)
	}
	return body, nil
}

// load reads what a file says about itself.
func (f *File) load(tx *bolt.Tx) error {
	if tx.Bucket(bucketMeta) == nil {
		if tx.Bucket(bucketChunks) != nil || tx.Bucket(bucketKeyframes) != nil {
			return corrupt("bucket meta is missing")
		}
		return fmt.Errorf("%w: it is a bbolt database of something else", ErrNotTrace)
	}
	version, err := value(tx, bucketMeta, keyVersion)
	switch n, perr := strconv.Atoi(string(version)); {
	case err != nil:
		return err
	case version == nil && tx.Bucket(bucketChunks) == nil:
		return fmt.Errorf("%w: it is a bbolt database of something else", ErrNotTrace)
	case version == nil:
		return corrupt("meta has no version")
	case perr != nil || n > layoutVersion:
		return fmt.Errorf("%w: layout version %s, this evtrace knows %d: upgrade evtrace", ErrFormat, version, layoutVersion)
	case n != layoutVersion:
		return fmt.Errorf("%w: layout version %d, want %d", ErrFormat, n, layoutVersion)
	}
	trace, err := value(tx, bucketMeta, keyTrace)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(trace, &f.meta); err != nil {
		return corrupt("meta: %v", err)
	}
	if f.meta.Format > evtchn.FormatVersion {
		return fmt.Errorf("%w: event format %d, this evtrace knows %d: upgrade evtrace", ErrFormat, f.meta.Format, evtchn.FormatVersion)
	}
	b, err := value(tx, bucketMeta, keyTip)
	if err != nil {
		return err
	}
	if err := f.tip.decode(b); err != nil {
		return err
	}
	f.meta.Events = f.tip.events
	if b, err = value(tx, bucketMeta, keyIndex); err != nil {
		return err
	}
	switch {
	case b != nil:
		err = f.index.decode(b)
	case f.tip.closed != 0:
		err = corrupt("meta has no index")
	default:
		f.meta.Complete = false
		err = f.gather(tx)
	}
	if err != nil {
		return err
	}
	return f.indexFits()
}

// indexFits compares the index with the tip.
func (f *File) indexFits() error {
	x, t := &f.index, &f.tip
	if uint64(len(x.chunks)) != t.chunks || uint64(len(x.frames)) != t.keyframes {
		return corrupt("%d chunks and %d keyframes, want %d and %d", len(x.chunks), len(x.frames), t.chunks, t.keyframes)
	}
	if (t.chunks == 0) != (t.events == 0) {
		return corrupt("%d events in %d chunks", t.events, t.chunks)
	}
	for i, c := range x.chunks {
		want := evtchn.Seq(1)
		if i > 0 {
			want = x.chunks[i-1].first + 1
		}
		if c.first < want || i == 0 && c.first != 1 || uint64(c.first) > t.events {
			return corrupt("chunk %d begins with event %d, want at least %d", i, c.first, want)
		}
	}
	for i, s := range x.frames {
		if uint64(s) > t.events || i > 0 && s <= x.frames[i-1] {
			return corrupt("keyframe %d is after event %d", i, s)
		}
	}
	return nil
}

// gather makes the index of a trace that was not closed, from the keys alone. Times are not in the keys: they come from the
// chunks' headers, which chunkTime reads when it is asked.
func (f *File) gather(tx *bolt.Tx) error {
	b := tx.Bucket(bucketChunks)
	if b == nil {
		return corrupt("bucket chunks is missing")
	}
	c := b.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		s, ok := keySeq(k)
		if !ok {
			return corrupt("chunk key %x", k)
		}
		ref := chunkRef{first: s, bytes: uint32(len(v))}
		var h chunkHeader
		if len(v) > 4 {
			if _, err := h.parse(v[4:]); err == nil {
				ref.time = h.time
			}
		}
		f.index.chunks = append(f.index.chunks, ref)
	}
	if b = tx.Bucket(bucketKeyframes); b == nil {
		return corrupt("bucket keyframes is missing")
	}
	c = b.Cursor()
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
		if len(k) != 10 {
			return corrupt("keyframe key %x", k)
		}
		if s := evtchn.Seq(binary.BigEndian.Uint64(k)); len(f.index.frames) == 0 || f.index.frames[len(f.index.frames)-1] != s {
			f.index.frames = append(f.index.frames, s)
		}
	}
	return nil
}

// Path gives the name that the file was opened under.
func (f *File) Path() string { return f.path }

// Meta gives what the trace says about itself. Events is the number of events that the file has, and Complete is false if the
// trace was not closed, whatever the recorder had announced.
func (f *File) Meta() evtchn.Meta { return f.meta }

// Len gives the number of events: their Seqs are 1 to Len.
func (f *File) Len() uint64 { return f.tip.events }

// Keyframes lists the Seqs after which a snapshot of the state was kept.
func (f *File) Keyframes() []evtchn.Seq { return append([]evtchn.Seq(nil), f.index.frames...) }

// ChunkRange is a run of events that lie together in the file.
type ChunkRange struct {
	First, Last evtchn.Seq  // both included
	Time        evtchn.Time // of the first event
	Bytes       int         // in the file
}

// Chunks lists the chunks of the trace.
func (f *File) Chunks() []ChunkRange {
	rs := make([]ChunkRange, len(f.index.chunks))
	for i := range rs {
		rs[i] = f.chunkRange(i)
	}
	return rs
}

func (f *File) chunkRange(i int) ChunkRange {
	c := f.index.chunks[i]
	return ChunkRange{First: c.first, Last: f.lastOf(i), Time: c.time, Bytes: int(c.bytes)}
}

// lastOf gives the Seq of the last event of chunk i.
func (f *File) lastOf(i int) evtchn.Seq {
	if i+1 < len(f.index.chunks) {
		return f.index.chunks[i+1].first - 1
	}
	return evtchn.Seq(f.tip.events)
}

// chunkOf gives the number of the chunk that has the event, which must exist.
func (f *File) chunkOf(seq evtchn.Seq) int {
	return sort.Search(len(f.index.chunks), func(i int) bool { return f.index.chunks[i].first > seq }) - 1
}

// PortChunks lists the chunks with events whose Port is p, in order. A damaged piece of the index counts as if it named all its
// chunks: a reader misses nothing, and Check tells.
func (f *File) PortChunks(p evtchn.Port) []ChunkRange {
	var rs []ChunkRange
	for i, has := range f.chunksOf([]evtchn.Port{p}) {
		if has {
			rs = append(rs, f.chunkRange(i))
		}
	}
	return rs
}

// chunksOf tells of each chunk whether it may have events of one of the ports, which are in order. Port 0 is not in the index.
func (f *File) chunksOf(ports []evtchn.Port) []bool {
	has := make([]bool, len(f.index.chunks))
	for i := range has {
		has[i] = true
	}
	_ = f.view(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketPorts)
		if b == nil {
			return nil
		}
		return b.ForEach(func(k, v []byte) error {
			s, ok := keySeq(k)
			body, err := unseal(bucketPorts, k, v)
			if !ok || err != nil || s == 0 || uint64(s) > f.tip.events {
				return nil
			}
			i := f.chunkOf(s)
			var mask uint32
			rest := ports
			n, err := eachPort(body, func(q evtchn.Port, m uint32) bool {
				for len(rest) > 0 && rest[0] < q {
					rest = rest[1:]
				}
				if len(rest) > 0 && rest[0] == q {
					mask |= m
				}
				return len(rest) > 0
			})
			if err != nil || i+n > len(has) {
				return nil
			}
			for j := range n {
				has[i+j] = mask&(1<<j) != 0
			}
			return nil
		})
	})
	return has
}

// Findings gives what an analyser of that version found when the trace was made, false if there is nothing of that
// version or it is damaged (Check tells): it can be computed again.
func (f *File) Findings(version string) ([]byte, bool) {
	var out []byte
	err := f.view(func(tx *bolt.Tx) (err error) {
		out, err = f.findings(tx, []byte(version))
		return err
	})
	return out, err == nil && out != nil
}

func (f *File) findings(tx *bolt.Tx, version []byte) ([]byte, error) {
	body, err := value(tx, bucketFindings, version)
	if body == nil || err != nil {
		return nil, err
	}
	out, err := f.blobs.unpack(body)
	if err != nil {
		return nil, fmt.Errorf("findings %q: %w", version, err)
	}
	return out, nil
}
