package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/evtrace/evtrace/evtchn"
)

// Sizes of the layout.
const (
	ChunkEvents    = 1 << 14 // most events of a chunk
	KeyframeEvents = 1 << 15 // about so many events lie between keyframes

	maxValue      = 65500 // fills 16 pages of bbolt; a larger value would waste most of a 17th
	segmentChunks = 32    // chunks that share a value of the port index

	codecVersion  = 1
	layoutVersion = 1

	maxBlob = 1 << 30 // largest keyframe or set of findings before compression
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// seal appends the checksum of a value under its bucket and key, room for which must be the first 4 bytes of the value.
func seal(bucket, key, value []byte) {
	binary.LittleEndian.PutUint32(value, sum(bucket, key, value[4:]))
}

// sealed copies a body behind its checksum.
func sealed(bucket, key, body []byte) []byte {
	v := append(make([]byte, 4, 4+len(body)), body...)
	seal(bucket, key, v)
	return v
}

func sum(bucket, key, body []byte) uint32 {
	c := crc32.Update(0, castagnoli, bucket)
	c = crc32.Update(c, castagnoli, key)
	return crc32.Update(c, castagnoli, body)
}

// unseal checks the checksum of a value and returns its body.
func unseal(bucket, key, value []byte) ([]byte, error) {
	if len(value) < 4 {
		return nil, corrupt("value of %d bytes, want at least 4", len(value))
	}
	if got, want := sum(bucket, key, value[4:]), binary.LittleEndian.Uint32(value); got != want {
		return nil, corrupt("checksum %08x, want %08x", got, want)
	}
	return value[4:], nil
}

// chunkHeader is what a chunk says about itself before its compressed columns.
type chunkHeader struct {
	first    evtchn.Seq
	count    int
	time     evtchn.Time // of the first event
	min, max evtchn.Time
	raw      int // bytes of the columns before compression
}

func (h *chunkHeader) append(b []byte) []byte {
	b = append(b, codecVersion)
	b = binary.AppendUvarint(b, uint64(h.first))
	b = binary.AppendUvarint(b, uint64(h.count))
	b = binary.AppendVarint(b, int64(h.time))
	b = binary.AppendVarint(b, int64(h.min))
	b = binary.AppendVarint(b, int64(h.max))
	return binary.AppendUvarint(b, uint64(h.raw))
}

// parse reads the header of a chunk's body and returns what follows it.
func (h *chunkHeader) parse(b []byte) ([]byte, error) {
	if len(b) == 0 {
		return nil, corrupt("empty chunk")
	}
	if b[0] != codecVersion {
		return nil, fmt.Errorf("%w: chunk codec %d, this evtrace knows %d: upgrade evtrace", ErrFormat, b[0], codecVersion)
	}
	r := fields{b: b[1:]}
	h.first = evtchn.Seq(r.uvarint())
	count := r.uvarint()
	h.time = evtchn.Time(r.varint())
	h.min = evtchn.Time(r.varint())
	h.max = evtchn.Time(r.varint())
	raw := r.uvarint()
	if r.bad || h.first == 0 || count == 0 || count > ChunkEvents || raw > maxRaw {
		return nil, corrupt("chunk header: first %d, %d events, %d bytes", h.first, count, raw)
	}
	h.count, h.raw = int(count), int(raw)
	return r.b, nil
}

// fields reads varints one after the other; bad is set once they do not suffice.
type fields struct {
	b   []byte
	bad bool
}

func (f *fields) uvarint() uint64 {
	x, n := binary.Uvarint(f.b)
	if n <= 0 {
		f.bad, f.b = true, nil
		return 0
	}
	f.b = f.b[n:]
	return x
}

func (f *fields) varint() int64 { return unzigzag(f.uvarint()) }

// pack appends the sealed value of a chunk of these events to dst.
func (e *encoder) pack(dst []byte, evs []evtchn.Event) ([]byte, chunkHeader) {
	h := chunkHeader{first: evs[0].Seq, count: len(evs), time: evs[0].Time, min: evs[0].Time, max: evs[0].Time}
	e.columns(evs)
	for i := range evs {
		h.min, h.max = min(h.min, evs[i].Time), max(h.max, evs[i].Time)
	}
	for _, c := range e.cols {
		h.raw += len(c)
	}
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = h.append(dst)
	for _, c := range e.cols {
		dst = appendColumn(dst, c, &e.huff)
	}
	seal(bucketChunks, seqKey(h.first), dst[at:])
	return dst, h
}

// parseChunk checks the value under the key, and gives its header and its compressed columns.
func parseChunk(key, value []byte) (h chunkHeader, packed []byte, err error) {
	body, err := unseal(bucketChunks, key, value)
	if err != nil {
		return h, nil, err
	}
	if packed, err = h.parse(body); err != nil {
		return h, nil, err
	}
	if first, ok := keySeq(key); !ok || first != h.first {
		return h, nil, corrupt("chunk of event %d under the key of %d", h.first, first)
	}
	return h, packed, nil
}

// openChunk checks the value under the key and readies the decoder for its first event.
func (d *decoder) openChunk(key, value []byte) (h chunkHeader, err error) {
	d.left = 0
	h, packed, err := parseChunk(key, value)
	if err != nil {
		return h, err
	}
	return h, d.openColumns(&h, packed)
}

// openColumns readies the decoder for the first event of the chunk.
func (d *decoder) openColumns(h *chunkHeader, packed []byte) error {
	if err := d.open(packed, h.first, h.time, h.count); err != nil {
		return corrupt("%v", err)
	}
	if got := len(d.in.raw); got != h.raw {
		d.left = 0
		return corrupt("%d bytes decompressed, want %d", got, h.raw)
	}
	return nil
}

// next decodes the next event of the open chunk, errDone after the last.
func (d *decoder) next(ev *evtchn.Event) error {
	if d.left == 0 {
		return errDone
	}
	d.event(ev)
	if !ev.Kind.Valid() {
		return corrupt("event %d has the unknown kind %d", ev.Seq, uint8(ev.Kind))
	}
	if d.left == 0 {
		if err := d.finish(); err != nil {
			return corrupt("%v", err)
		}
	}
	return nil
}

var errDone = errors.New("end of chunk")

func seqKey(s evtchn.Seq) []byte { return binary.BigEndian.AppendUint64(nil, uint64(s)) }

func keySeq(key []byte) (evtchn.Seq, bool) {
	if len(key) != 8 {
		return 0, false
	}
	return evtchn.Seq(binary.BigEndian.Uint64(key)), true
}

func frameKey(s evtchn.Seq, part int) []byte {
	return binary.BigEndian.AppendUint16(seqKey(s), uint16(part))
}
