package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/klauspost/compress/huff0"
)

// What the model leaves is close to random: a search for repeats, which is where zstd spends its time, finds next to
// nothing in it. Huffman codes, one table for each column, give within 3 % of the size that zstd's best practical level reaches,
// at a twelfth of the time: 2.40 bytes and 11 ns against 2.34 bytes and 139 ns an event, on a busy simulated system.

// How a column is kept.
const (
	columnPlain   = iota // its bytes
	columnRun            // one byte that all are equal to
	columnHuffman        // a table and four streams, as in zstd (RFC 8878, section 4.2)
)

// minHuffman is the length below which a table does not pay.
const minHuffman = 64

// appendColumn appends a column: method, length, length of what follows, and that.
func appendColumn(dst, col []byte, s *huff0.Scratch) []byte {
	body, method := col, columnPlain
	if len(col) >= minHuffman && len(col) <= huff0.BlockSizeMax {
		s.Reuse = huff0.ReusePolicyNone // every column has its own table in front of it
		switch out, _, err := huff0.Compress4X(col, s); {
		case err == nil && len(out) < len(col):
			body, method = out, columnHuffman
		case errors.Is(err, huff0.ErrUseRLE):
			body, method = col[:1], columnRun
		}
	}
	dst = append(dst, byte(method))
	dst = binary.AppendUvarint(dst, uint64(len(col)))
	dst = binary.AppendUvarint(dst, uint64(len(body)))
	return append(dst, body...)
}

// columnReader undoes appendColumn.
type columnReader struct {
	huff *huff0.Scratch
	raw  []byte // the columns, one behind the other
}

// skipColumn gives what follows the first column in b.
func skipColumn(b []byte) ([]byte, error) {
	if len(b) == 0 {
		return nil, errors.New("missing")
	}
	f := fields{b: b[1:]}
	f.uvarint()
	packed := f.uvarint()
	if f.bad || packed > uint64(len(f.b)) {
		return nil, fmt.Errorf("%d bytes, %d are left", packed, len(f.b))
	}
	return f.b[packed:], nil
}

// read appends the first column in b to raw and returns what follows it in b, and the length of the column.
func (r *columnReader) read(b []byte) (rest []byte, n int, err error) {
	if len(b) == 0 {
		return nil, 0, errors.New("missing")
	}
	f := fields{b: b[1:]}
	size, packed := f.uvarint(), f.uvarint()
	if f.bad || packed > uint64(len(f.b)) || size > uint64(maxRaw-len(r.raw)) {
		return nil, 0, fmt.Errorf("%d bytes from %d, %d are left", size, packed, len(f.b))
	}
	n = int(size)
	body, rest := f.b[:packed], f.b[packed:]
	switch method := b[0]; {
	case method == columnPlain && len(body) == n:
		r.raw = append(r.raw, body...)
	case method == columnRun && len(body) == 1:
		at := len(r.raw)
		r.raw = slices.Grow(r.raw, n)[:at+n]
		for i := range r.raw[at:] {
			r.raw[at+i] = body[0]
		}
	case method == columnHuffman && n <= huff0.BlockSizeMax:
		var streams []byte
		if r.huff, streams, err = huff0.ReadTable(body, r.huff); err != nil {
			return nil, 0, err
		}
		at := len(r.raw)
		r.raw = slices.Grow(r.raw, n)
		out, err := r.huff.Decoder().Decompress4X(r.raw[at:at:at+n], streams)
		if err != nil {
			return nil, 0, err
		}
		if len(out) != n {
			return nil, 0, fmt.Errorf("%d bytes decompressed, want %d", len(out), n)
		}
		r.raw = r.raw[:at+n]
	default:
		return nil, 0, fmt.Errorf("method %d with %d bytes for %d", method, len(body), n)
	}
	return rest, n, nil
}
