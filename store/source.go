package store

import (
	"fmt"
	"io"
	"sort"

	bolt "go.etcd.io/bbolt"

	"github.com/evtrace/evtrace/evtchn"
)

// source streams the events of a file.
type source struct {
	f    *File
	dec  *decoder
	next int        // chunk to open
	from evtchn.Seq // events before it are skipped
	err  error
}

// Events streams the events from the one with that Seq on; 0 means from the first, and past the last there is nothing. It needs memory for one
// chunk. Next allocates nothing but the first time.
func (f *File) Events(from evtchn.Seq) evtchn.Source {
	from = max(from, 1)
	s := &source{f: f, from: from, next: len(f.index.chunks)}
	if uint64(from) <= f.tip.events {
		s.next = f.chunkOf(from)
	}
	s.dec = f.decoder()
	return s
}

// decoder gives a decoder to use, which should be put back.
func (f *File) decoder() *decoder {
	d, _ := f.idle.Get().(*decoder)
	if d == nil {
		d = new(decoder)
	}
	d.left = 0
	return d
}

// release gives the source's memory back. The source must not be used again.
func (s *source) release() {
	if s.dec != nil {
		s.f.idle.Put(s.dec)
		s.dec, s.err = nil, io.ErrClosedPipe
	}
}

// Next implements evtchn.Source.
func (s *source) Next(ev *evtchn.Event) error {
	if s.err != nil {
		return s.err
	}
	if s.dec.left > 0 {
		if err := s.dec.next(ev); err != nil {
			return s.fail(s.next-1, err)
		}
		return nil
	}
	return s.advance(ev)
}

func (s *source) fail(chunk int, err error) error {
	s.err = s.f.chunkError(chunk, err)
	return s.err
}

// advance opens the next chunk and reads its first event that is wanted.
func (s *source) advance(ev *evtchn.Event) error {
	if s.next == len(s.f.index.chunks) {
		s.err = io.EOF
		return io.EOF
	}
	i := s.next
	if err := s.f.openChunk(s.dec, i); err != nil {
		return s.fail(i, err)
	}
	s.next++
	for {
		if err := s.dec.next(ev); err != nil {
			return s.fail(i, err)
		}
		if ev.Seq >= s.from {
			return nil
		}
	}
}

// openChunk readies d for the events of chunk i.
func (f *File) openChunk(d *decoder, i int) error {
	return f.viewChunk(i, func(h *chunkHeader, packed []byte) error { return d.openColumns(h, packed) })
}

// viewChunk calls fn with the header and the compressed columns of chunk i, which are valid during the call.
func (f *File) viewChunk(i int, fn func(h *chunkHeader, packed []byte) error) error {
	return f.view(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketChunks)
		if b == nil {
			return corrupt("bucket chunks is missing")
		}
		key := seqKey(f.index.chunks[i].first)
		v := b.Get(key)
		if v == nil {
			return corrupt("it is missing")
		}
		h, packed, err := parseChunk(key, v)
		if err != nil {
			return err
		}
		if got, want := h.first+evtchn.Seq(h.count)-1, f.lastOf(i); got != want {
			return corrupt("it ends with event %d, want %d", got, want)
		}
		return fn(&h, packed)
	})
}

func (f *File) chunkError(i int, err error) error {
	return fmt.Errorf("%s: chunk %d (events %d to %d): %w", f.path, i, f.index.chunks[i].first, f.lastOf(i), err)
}

// At reads one event. It decodes the chunk up to it.
func (f *File) At(seq evtchn.Seq) (ev evtchn.Event, err error) {
	if seq == 0 || uint64(seq) > f.tip.events {
		return ev, fmt.Errorf("%s: event %d: %w: the trace has events 1 to %d", f.path, seq, ErrRange, f.tip.events)
	}
	s := f.Events(seq).(*source)
	defer s.release()
	err = s.Next(&ev)
	return ev, err
}

// StateAt gives the machine's state after the event seq; with 0, before the first. It loads the keyframe before and applies
// the events since, about KeyframeEvents at most.
func (f *File) StateAt(seq evtchn.Seq) (*evtchn.State, error) {
	if uint64(seq) > f.tip.events {
		return nil, fmt.Errorf("%s: event %d: %w: the trace has events 1 to %d", f.path, seq, ErrRange, f.tip.events)
	}
	st, at, err := f.frameBefore(seq)
	if err != nil {
		return nil, err
	}
	if at == seq {
		return st, nil
	}
	s := f.Events(at + 1).(*source)
	defer s.release()
	var ev evtchn.Event
	for at < seq {
		if err := s.Next(&ev); err != nil {
			return nil, err
		}
		if err := apply(st, &ev); err != nil {
			return nil, fmt.Errorf("%s: %w", f.path, err)
		}
		at++
	}
	return st, nil
}

// apply applies one event. An event that no machine of that shape can have, in a file that somebody made by hand, is an error.
func apply(st *evtchn.State, ev *evtchn.Event) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = corrupt("event %v does not fit the machine: %v", ev, r)
		}
	}()
	st.Apply(ev)
	return nil
}

// frameBefore gives the state of the last keyframe at or before seq, and its Seq.
func (f *File) frameBefore(seq evtchn.Seq) (*evtchn.State, evtchn.Seq, error) {
	st, err := evtchn.NewState(f.meta)
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w: %w", f.path, ErrCorrupt, err)
	}
	i := sort.Search(len(f.index.frames), func(i int) bool { return f.index.frames[i] > seq }) - 1
	if i < 0 {
		return st, 0, nil
	}
	at := f.index.frames[i]
	if err := f.loadFrame(st, at); err != nil {
		return nil, 0, fmt.Errorf("%s: keyframe after event %d: %w", f.path, at, err)
	}
	return st, at, nil
}

// loadFrame reads the keyframe after the event into st.
func (f *File) loadFrame(st *evtchn.State, at evtchn.Seq) error {
	var packed []byte
	err := f.view(func(tx *bolt.Tx) error {
		for part, parts := 0, 1; part < parts; part++ {
			body, err := value(tx, bucketKeyframes, frameKey(at, part))
			if err != nil {
				return err
			}
			if len(body) < 2 {
				return corrupt("part %d of %d is missing", part, parts)
			}
			n := int(body[0])<<8 | int(body[1])
			if n == 0 || part > 0 && n != parts {
				return corrupt("part %d says that there are %d parts, want %d", part, n, parts)
			}
			parts = n
			packed = append(packed, body[2:]...)
		}
		return nil
	})
	if err != nil {
		return err
	}
	raw, err := f.blobs.unpack(packed)
	if err != nil {
		return err
	}
	if err := st.UnmarshalBinary(raw); err != nil {
		return corrupt("%v", err)
	}
	if st.Seq != at {
		return corrupt("it is the state after event %d", st.Seq)
	}
	return nil
}

// SeqAt gives the Seq of the first event at or after the time, Len+1 if there is none. Where times go back, as in some
// captures, it gives one of the places that fit.
func (f *File) SeqAt(t evtchn.Time) (evtchn.Seq, error) {
	// The event is in the last chunk that begins before t, or is the first of the chunk after that.
	i := sort.Search(len(f.index.chunks), func(i int) bool { return f.index.chunks[i].time >= t })
	if i == 0 {
		return 1, nil
	}
	s := f.Events(f.index.chunks[i-1].first).(*source)
	defer s.release()
	var ev evtchn.Event
	for seq := f.index.chunks[i-1].first; seq <= f.lastOf(i-1); seq++ {
		if err := s.Next(&ev); err != nil {
			return 0, err
		}
		if ev.Time >= t {
			return seq, nil
		}
	}
	return f.lastOf(i-1) + 1, nil
}
