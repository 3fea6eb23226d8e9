package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"

	"github.com/klauspost/compress/zstd"
	bolt "go.etcd.io/bbolt"

	"github.com/evtrace/evtrace/evtchn"
)

// Options are the choices of Create. The zero value works.
type Options struct {
	// Force lets an existing file, and what a killed recording of that name left behind, be replaced.
	Force bool
	// BatchEvents is how many events a kill may lose: at most so many are held before they are committed. 0 means 262,144,
	// and nothing below ChunkEvents has an effect: for less, call Writer.Flush.
	BatchEvents int
	// OpenFile opens the file; nil means os.OpenFile. Tests inject errors through it.
	OpenFile func(name string, flag int, perm os.FileMode) (*os.File, error)
}

func (o *Options) validate() error {
	if o.BatchEvents < 0 {
		return fmt.Errorf("store: BatchEvents is %d, want 0 or more", o.BatchEvents)
	}
	return nil
}

const (
	defaultBatch = segmentChunks / 2 * ChunkEvents
	batchBytes   = 1 << 20 // packed chunks are committed before they take more memory than about this
)

// PartialSuffix ends the name of a trace that is being recorded.
const PartialSuffix = ".partial"

// Writer writes a trace. It is not safe for concurrent use. An error makes it useless but for Abort, and is given again by every call.
type Writer struct {
	path, partial string
	force         bool
	batch         int

	db    *bolt.DB
	meta  evtchn.Meta
	shape evtchn.Meta // what the state depends on
	state *evtchn.State
	next  evtchn.Seq
	buf   []evtchn.Event
	enc   encoder
	zw    *zstd.Encoder
	err   error
	done  bool

	metaDirty bool // the meta differs from what the file has

	// What the next transaction puts.
	pending  []put
	arena    []byte
	held     int // events in pending
	segment  segment
	findings map[string][]byte

	tip       tip
	index     index
	lastFrame evtchn.Seq
	snapshot  []byte
}

// put is a value that waits for its transaction.
type put struct {
	bucket, key []byte
	value       []byte
}

// Create begins a trace at path: until Close it is path+PartialSuffix, which exists and is readable when Create returns. The
// meta must already have the machine's shape (ABI, VCPUs, WordBits, Source, Policy): the rest can come with SetMeta.
// Errors are ErrExists, ErrLocked, those of evtchn.NewState, and those of the file system.
func Create(path string, meta evtchn.Meta, opt Options) (*Writer, error) {
	if err := opt.validate(); err != nil {
		return nil, err
	}
	state, err := evtchn.NewState(meta)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	w := &Writer{path: path, partial: path + PartialSuffix, force: opt.Force, batch: opt.BatchEvents, meta: meta, shape: meta,
		state: state, next: 1, buf: make([]evtchn.Event, 0, ChunkEvents), findings: map[string][]byte{}, metaDirty: true}
	w.meta.Complete = false
	if w.batch == 0 {
		w.batch = defaultBatch
	}
	if w.zw, err = newZstdWriter(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := w.claim(); err != nil {
		return nil, err
	}
	if w.db, err = createDB(w.partial, opt.OpenFile); err != nil {
		if !errors.Is(err, ErrExists) {
			os.Remove(w.partial)
		}
		return nil, err
	}
	err = w.update(func(tx *bolt.Tx) error {
		for _, b := range buckets {
			if _, err := tx.CreateBucket(b); err != nil {
				return err
			}
		}
		return w.putMeta(tx, keyVersion, []byte(strconv.Itoa(layoutVersion)))
	})
	if err != nil {
		w.Abort()
		return nil, err
	}
	return w, nil
}

// Add takes the next event: its Seq must be one more than the last one's, the first's 1.
func (w *Writer) Add(ev *evtchn.Event) error {
	if w.err != nil {
		return w.err
	}
	if ev.Seq != w.next || !ev.Kind.Valid() {
		return w.refuse(ev)
	}
	w.next++
	w.buf = append(w.buf, *ev)
	if len(w.buf) == cap(w.buf) {
		return w.packBuffer()
	}
	return nil
}

func (w *Writer) refuse(ev *evtchn.Event) error {
	if ev.Seq != w.next {
		return w.fail(fmt.Errorf("%s: %w: got %d, want %d", w.path, ErrOrder, ev.Seq, w.next))
	}
	return w.fail(fmt.Errorf("%s: event %d has the unknown kind %d", w.path, ev.Seq, uint8(ev.Kind)))
}

// SetMeta replaces the meta that the file will have. It must keep the machine's shape: ABI, VCPUs, WordBits, Source and Policy
// (otherwise the keyframes would no longer fit); a change of it is an error of the next call.
func (w *Writer) SetMeta(m evtchn.Meta) {
	s := &w.shape
	if w.err == nil && (m.ABI != s.ABI || m.VCPUs != s.VCPUs || m.WordBits != s.WordBits || m.Source != s.Source || m.Policy != s.Policy) {
		w.err = fmt.Errorf("%s: %w: the meta changes abi, vcpus, word bits, source or policy from %s/%d/%d/%s/%q to %s/%d/%d/%s/%q", w.path,
			ErrOrder, s.ABI, s.VCPUs, s.WordBits, s.Source, s.Policy, m.ABI, m.VCPUs, m.WordBits, m.Source, m.Policy)
		return
	}
	w.meta, w.metaDirty = m, true
}

// PutFindings keeps what an analyser of that version found, instead of what the same version found before.
func (w *Writer) PutFindings(version string, data []byte) error {
	if w.err != nil {
		return w.err
	}
	if version == "" || len(version) > 1024 || len(data) > maxBlob {
		return w.fail(fmt.Errorf("%s: findings of version %q with %d bytes: want a version of 1 to 1024 bytes and at most %d bytes of data",
			w.path, version, len(data), maxBlob))
	}
	w.findings[version] = slices.Clone(data)
	return nil
}

// Flush commits everything that was added, so that a kill from now on cannot lose it. It is for slow streams: the chunks
// that it makes are small.
func (w *Writer) Flush() error {
	if w.err != nil {
		return w.err
	}
	if err := w.packBuffer(); err != nil {
		return err
	}
	return w.update(nil)
}

func (w *Writer) fail(err error) error {
	if w.err == nil {
		w.err = err
	}
	return w.err
}

// packBuffer turns the buffered events into pending chunks and, when it is time, a keyframe; and commits a full batch.
func (w *Writer) packBuffer() error {
	if len(w.buf) == 0 {
		return nil
	}
	if err := w.apply(); err != nil {
		return w.fail(err)
	}
	if err := w.packEvents(w.buf); err != nil {
		return err
	}
	w.buf = w.buf[:0]
	last := w.next - 1
	if last-w.lastFrame >= KeyframeEvents {
		if err := w.keyframe(last); err != nil {
			return w.fail(err)
		}
	}
	if w.held+ChunkEvents > w.batch || len(w.arena) >= batchBytes {
		return w.update(nil)
	}
	return nil
}

// apply lets the machine's state follow the buffered events.
func (w *Writer) apply() (err error) {
	i := 0
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%s: event %v does not fit the machine: %v", w.path, w.buf[i], r)
		}
	}()
	for i = range w.buf {
		w.state.Apply(&w.buf[i])
	}
	return nil
}

// packEvents makes one chunk of the events, or several if their value would be too large.
func (w *Writer) packEvents(evs []evtchn.Event) error {
	at := len(w.arena)
	var h chunkHeader
	w.arena, h = w.enc.pack(w.arena, evs)
	size := len(w.arena) - at
	if size > maxValue && len(evs) > 1 {
		w.arena = w.arena[:at]
		if err := w.packEvents(evs[:len(evs)/2]); err != nil {
			return err
		}
		return w.packEvents(evs[len(evs)/2:])
	}
	if w.segment.chunks == segmentChunks {
		if err := w.update(nil); err != nil {
			return err
		}
		return w.packEvents(evs)
	}
	w.pending = append(w.pending, put{bucketChunks, seqKey(h.first), w.arena[at:len(w.arena):len(w.arena)]})
	w.segment.add(evs)
	w.index.chunks = append(w.index.chunks, chunkRef{h.first, h.time, uint32(size)})
	w.held += len(evs)

	t := &w.tip
	if t.events == 0 {
		t.min, t.max = h.min, h.max
	}
	t.min, t.max = min(t.min, h.min), max(t.max, h.max)
	t.events += uint64(h.count)
	t.chunks++
	t.chunkBytes += uint64(size)
	t.rawBytes += uint64(h.raw)
	return nil
}

// keyframe adds a snapshot of the state after the event seq, in parts.
func (w *Writer) keyframe(seq evtchn.Seq) error {
	var err error
	if w.snapshot, err = w.state.AppendBinary(w.snapshot[:0]); err != nil {
		return fmt.Errorf("%s: state after event %d: %w", w.path, seq, err)
	}
	packed := w.zw.EncodeAll(w.snapshot, nil)
	parts := (len(packed) + framePart - 1) / framePart
	for i := range parts {
		piece := packed[i*framePart : min((i+1)*framePart, len(packed))]
		key := frameKey(seq, i)
		body := append([]byte{byte(parts >> 8), byte(parts)}, piece...)
		w.pending = append(w.pending, put{bucketKeyframes, key, sealed(bucketKeyframes, key, body)})
		w.tip.frameBytes += uint64(len(body) + 4)
	}
	w.tip.keyframes++
	w.index.frames = append(w.index.frames, seq)
	w.lastFrame = seq
	return nil
}

// framePart is how much of a compressed keyframe goes into one value.
const framePart = maxValue - 16

// update commits what f adds and what is pending in one transaction.
func (w *Writer) update(f func(tx *bolt.Tx) error) error {
	if key, value := w.segment.encode(); key != nil {
		w.pending = append(w.pending, put{bucketPorts, key, value})
		w.tip.segments++
	}
	err := w.db.Update(func(tx *bolt.Tx) error {
		if f != nil {
			if err := f(tx); err != nil {
				return err
			}
		}
		for _, p := range w.pending {
			b := tx.Bucket(p.bucket)
			b.FillPercent = 1 // keys come in order: nothing is ever inserted into a full page
			if err := b.Put(p.key, p.value); err != nil {
				return err
			}
		}
		if w.metaDirty {
			j, err := json.Marshal(w.meta)
			if err != nil {
				return err
			}
			if err := w.putMeta(tx, keyTrace, j); err != nil {
				return err
			}
		}
		return w.putMeta(tx, keyTip, w.tip.encode())
	})
	if err != nil {
		return w.fail(fmt.Errorf("%s: writing: %w", w.partial, err))
	}
	clear(w.pending)
	w.pending, w.arena, w.held = w.pending[:0], w.arena[:0], 0
	w.segment.reset()
	w.metaDirty = false
	return nil
}

func (w *Writer) putMeta(tx *bolt.Tx, key, body []byte) error {
	return tx.Bucket(bucketMeta).Put(key, sealed(bucketMeta, key, body))
}
