package tracedat

import (
	"bytes"
	"compress/zlib"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// maxChunk bounds a chunk of packed pages. trace-cmd makes them of ten pages.
const maxChunk = 4 << 20

// packing is the compression of a file of version 7.
type packing struct {
	name string // none, zstd or zlib
	zstd *zstd.Decoder
	zlib io.ReadCloser
	in   bytes.Reader
}

func newPacking(name string) (*packing, error) {
	p := &packing{name: name}
	switch name {
	case "none", "zlib":
	case "zstd":
		z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(64<<20), zstd.WithDecoderMaxMemory(maxChunk))
		if err != nil {
			return nil, fmt.Errorf("zstd: %w", err)
		}
		p.zstd = z
	default:
		return nil, fmt.Errorf("compression: got %q, want zstd, zlib or none", name)
	}
	return p, nil
}

// stream unpacks a section. The function releases what it needed.
func (p *packing) stream(r io.Reader) (io.Reader, func(), error) {
	switch p.name {
	case "zstd":
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(64<<20))
		if err != nil {
			return nil, nil, err
		}
		return z, z.Close, nil
	case "zlib":
		z, err := zlib.NewReader(r)
		if err != nil {
			return nil, nil, wholly(err)
		}
		return z, func() { z.Close() }, nil
	}
	return nil, nil, errors.New("a packed section in a file without compression")
}

// chunk unpacks a chunk of size bytes, at most maxChunk, into the memory of dst.
func (p *packing) chunk(dst, packed []byte, size int) ([]byte, error) {
	switch p.name {
	case "zstd":
		b, err := p.zstd.DecodeAll(packed, dst[:0])
		if err != nil {
			return nil, err
		}
		dst = b
	case "zlib":
		p.in.Reset(packed)
		var err error
		if p.zlib == nil {
			p.zlib, err = zlib.NewReader(&p.in)
		} else {
			err = p.zlib.(zlib.Resetter).Reset(&p.in, nil)
		}
		if err != nil {
			return nil, wholly(err)
		}
		b := bytes.NewBuffer(dst[:0])
		if _, err := io.Copy(b, io.LimitReader(p.zlib, int64(size)+1)); err != nil {
			return nil, wholly(err)
		}
		dst = b.Bytes()
	default:
		return nil, errors.New("a packed chunk in a file without compression")
	}
	if len(dst) != size {
		return nil, fmt.Errorf("got %d bytes, want %d", len(dst), size)
	}
	return dst, nil
}

func (p *packing) close() {
	if p != nil && p.zstd != nil {
		p.zstd.Close()
	}
}
