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
	// BatchEvents is how many events are committed together. A kill loses at most the batch that is being collected and the one that is
	// being written. 0 means 262,144; below ChunkEvents it has no effect: for less, call Writer.Flush.
	BatchEvents int
	// OpenFile opens the file; nil means os.OpenFile. Tests inject errors through it.
	OpenFile func(name string, flag int, perm os.FileMode) (*os.File, error)

	chunkEvents, frameEvents int  // instead of ChunkEvents and KeyframeEvents: tests want much in a small file
	noSync                   bool // do not wait for the disk: for tests with many commits
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
	batchEvents   int
	frameEvents   evtchn.Seq

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

	batch    *batch      // what the next transaction puts
	spare    *batch      // the one before, once it is committed
	inFlight chan *batch // holds the one that is being committed
	segment  segment
	findings map[string][]byte

	tip       tip
	index     index
	lastFrame evtchn.Seq
	snapshot  []byte
}

// batch is what one transaction writes.
type batch struct {
	puts   []put
	arena  []byte // bytes of the chunks
	events int
	err    error // of the transaction
}

func (b *batch) put(bucket, key, value []byte) {
	b.puts = append(b.puts, put{bucket, key, value})
}

func (b *batch) reset() {
	clear(b.puts)
	b.puts, b.arena, b.events = b.puts[:0], b.arena[:0], 0
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
	if path == "" {
		return nil, errors.New("store: no name for the trace file")
	}
	if opt.chunkEvents == 0 {
		opt.chunkEvents = ChunkEvents
	}
	if opt.frameEvents == 0 {
		opt.frameEvents = KeyframeEvents
	}
	state, err := evtchn.NewState(meta)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	w := &Writer{path: path, partial: path + PartialSuffix, force: opt.Force, batchEvents: opt.BatchEvents, meta: meta, shape: meta,
		state: state, next: 1, buf: make([]evtchn.Event, 0, opt.chunkEvents), frameEvents: evtchn.Seq(opt.frameEvents), findings: map[string][]byte{}, metaDirty: true}
	w.meta.Complete = false
	w.batch, w.spare, w.inFlight = new(batch), new(batch), make(chan *batch, 1)
	if w.batchEvents == 0 {
		w.batchEvents = defaultBatch
	}
	if w.zw, err = newZstdWriter(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := w.claim(); err != nil {
		return nil, err
	}
	if w.db, err = createDB(w.partial, &opt); err != nil {
		if !errors.Is(err, ErrExists) {
			os.Remove(w.partial)
		}
		return nil, err
	}
	w.putMeta(keyVersion, []byte(strconv.Itoa(layoutVersion)))
	if err := w.commit(); err != nil {
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
	return w.commit()
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
	if last-w.lastFrame >= w.frameEvents {
		if err := w.keyframe(last); err != nil {
			return w.fail(err)
		}
	}
	if b := w.batch; b.events+cap(w.buf) > w.batchEvents || len(b.arena) >= batchBytes {
		return w.startCommit()
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
	if w.segment.chunks == segmentChunks {
		if err := w.startCommit(); err != nil {
			return err
		}
	}
	b := w.batch
	at := len(b.arena)
	value, h := w.enc.pack(b.arena, evs)
	size := len(value) - at
	if size > maxValue && len(evs) > 1 {
		if err := w.packEvents(evs[:len(evs)/2]); err != nil {
			return err
		}
		return w.packEvents(evs[len(evs)/2:])
	}
	b.arena = value
	b.put(bucketChunks, seqKey(h.first), value[at:len(value):len(value)])
	b.events += len(evs)
	w.segment.add(evs)
	w.index.chunks = append(w.index.chunks, chunkRef{h.first, h.time, uint32(size)})

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
		w.batch.put(bucketKeyframes, key, sealed(bucketKeyframes, key, body))
		w.tip.frameBytes += uint64(len(body) + 4)
	}
	w.tip.keyframes++
	w.index.frames = append(w.index.frames, seq)
	w.lastFrame = seq
	return nil
}

// framePart is how much of a compressed keyframe goes into one value.
const framePart = maxValue - 16

// commit writes the batch and returns when it is on the disk.
func (w *Writer) commit() error {
	if err := w.startCommit(); err != nil {
		return err
	}
	return w.wait()
}

// startCommit closes the batch and has it written in the background: most of a commit is waiting for the disk. An error of the
// batch before comes out here.
func (w *Writer) startCommit() error {
	if err := w.wait(); err != nil {
		return err
	}
	if key, value := w.segment.encode(); key != nil {
		w.batch.put(bucketPorts, key, value)
		w.tip.segments++
		w.segment.reset()
	}
	if w.metaDirty {
		j, err := json.Marshal(w.meta)
		if err != nil {
			return w.fail(fmt.Errorf("%s: meta: %w", w.path, err))
		}
		w.putMeta(keyTrace, j)
		w.metaDirty = false
	}
	w.putMeta(keyTip, w.tip.encode())
	b, db, done := w.batch, w.db, w.inFlight
	w.batch, w.spare = w.spare, nil
	go func() {
		b.err = guard(func() error { return db.Update(b.write) })
		done <- b
	}()
	return nil
}

// wait waits for the batch that is being written, if any.
func (w *Writer) wait() error {
	if w.spare != nil {
		return w.err
	}
	w.spare = <-w.inFlight
	if err := w.spare.err; err != nil {
		return w.fail(fmt.Errorf("%s: writing: %w", w.partial, err))
	}
	w.spare.reset()
	return w.err
}

// write puts everything in one transaction.
func (b *batch) write(tx *bolt.Tx) error {
	for _, name := range buckets {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return err
		}
	}
	for _, p := range b.puts {
		bucket := tx.Bucket(p.bucket)
		bucket.FillPercent = 1 // keys come in order: nothing is ever inserted into a full page
		if err := bucket.Put(p.key, p.value); err != nil {
			return err
		}
	}
	return nil
}

func (w *Writer) putMeta(key, body []byte) {
	w.batch.put(bucketMeta, key, sealed(bucketMeta, key, body))
}
