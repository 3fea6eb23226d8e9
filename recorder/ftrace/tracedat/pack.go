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
	name    string // none, zstd or zlib
	section *zstd.Decoder
	zstd    *zstd.Decoder // of chunks
	zlib    io.ReadCloser // of chunks
	in      bytes.Reader
}

func newPacking(name string) (*packing, error) {
	p := &packing{name: name}
	switch name {
	case "none", "zlib", "zstd":
		return p, nil
	}
	return nil, fmt.Errorf("compression: got %q, want zstd, zlib or none", name)
}

// stream unpacks a section. It can be read until the next one is unpacked.
func (p *packing) stream(r io.Reader) (io.Reader, error) {
	switch p.name {
	case "zstd":
		if p.section == nil {
			z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(64<<20))
			p.section = z
			return z, err
		}
		return p.section, p.section.Reset(r)
	case "zlib":
		z, err := zlib.NewReader(r)
		return z, wholly(err)
	}
	return nil, errors.New("a packed section in a file without compression")
}

// chunk unpacks a chunk of size bytes, at most maxChunk, into the memory of dst.
func (p *packing) chunk(dst, packed []byte, size int) ([]byte, error) {
	switch p.name {
	case "zstd":
		if p.zstd == nil {
			var err error
			if p.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(maxChunk)); err != nil {
				return nil, err
			}
		}
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
	if p == nil {
		return
	}
	for _, z := range []*zstd.Decoder{p.section, p.zstd} {
		if z != nil {
			z.Close()
		}
	}
}
