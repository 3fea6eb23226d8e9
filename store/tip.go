package store

import (
	"encoding/binary"

	"github.com/evtrace/evtrace/evtchn"
)

// Names of buckets and keys.
var (
	bucketMeta      = []byte("meta")
	bucketChunks    = []byte("chunks")
	bucketKeyframes = []byte("keyframes")
	bucketPorts     = []byte("ports")
	bucketFindings  = []byte("findings")

	buckets = [][]byte{bucketMeta, bucketChunks, bucketKeyframes, bucketPorts, bucketFindings}

	keyVersion = []byte("version")
	keyTrace   = []byte("trace")
	keyTip     = []byte("tip")
	keyIndex   = []byte("index")
)

// tip sums up what is committed. Every transaction writes it, so that a file whose end was lost shows it.
type tip struct {
	events     uint64
	chunks     uint64
	keyframes  uint64
	segments   uint64 // values of the port index
	findings   uint64
	closed     uint64 // 1: by Close or CloseIncomplete, and there is an index
	chunkBytes uint64
	rawBytes   uint64 // of the chunks before compression
	frameBytes uint64
	min, max   evtchn.Time
}

func (t *tip) words() [9]*uint64 {
	return [9]*uint64{&t.events, &t.chunks, &t.keyframes, &t.segments, &t.findings, &t.closed, &t.chunkBytes, &t.rawBytes, &t.frameBytes}
}

func (t *tip) encode() []byte {
	var b []byte
	for _, w := range t.words() {
		b = binary.AppendUvarint(b, *w)
	}
	b = binary.AppendVarint(b, int64(t.min))
	return binary.AppendVarint(b, int64(t.max))
}

func (t *tip) decode(b []byte) error {
	r := fields{b: b}
	for _, w := range t.words() {
		*w = r.uvarint()
	}
	t.min, t.max = evtchn.Time(r.varint()), evtchn.Time(r.varint())
	if r.bad || len(r.b) != 0 {
		return corrupt("summary of %d bytes does not parse", len(b))
	}
	return nil
}

// index lists the chunks and keyframes of a trace.
type index struct {
	chunks []chunkRef
	frames []evtchn.Seq
}

type chunkRef struct {
	first evtchn.Seq
	time  evtchn.Time
	bytes uint32
}

func (x *index) encode() []byte {
	b := binary.AppendUvarint(nil, uint64(len(x.chunks)))
	var last chunkRef
	for _, c := range x.chunks {
		b = binary.AppendUvarint(b, uint64(c.first-last.first))
		b = binary.AppendVarint(b, int64(c.time-last.time))
		b = binary.AppendUvarint(b, uint64(c.bytes))
		last = c
	}
	b = binary.AppendUvarint(b, uint64(len(x.frames)))
	var f evtchn.Seq
	for _, s := range x.frames {
		b = binary.AppendUvarint(b, uint64(s-f))
		f = s
	}
	return b
}

func (x *index) decode(b []byte) error {
	r := fields{b: b}
	n := r.uvarint()
	if n > uint64(len(b)) {
		return corrupt("index of %d bytes claims %d chunks", len(b), n)
	}
	x.chunks = make([]chunkRef, 0, n)
	var last chunkRef
	for range n {
		last.first += evtchn.Seq(r.uvarint())
		last.time += evtchn.Time(r.varint())
		last.bytes = uint32(r.uvarint())
		x.chunks = append(x.chunks, last)
	}
	m := r.uvarint()
	if m > uint64(len(b)) {
		return corrupt("index of %d bytes claims %d keyframes", len(b), m)
	}
	var f evtchn.Seq
	for range m {
		f += evtchn.Seq(r.uvarint())
		x.frames = append(x.frames, f)
	}
	if r.bad || len(r.b) != 0 {
		return corrupt("index of %d bytes does not parse", len(b))
	}
	return nil
}
