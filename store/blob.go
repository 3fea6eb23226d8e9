package store

import (
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Keyframes and findings are packed by zstd: they are few, and full of repeats.

func newZstdWriter() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedBetterCompression),
		zstd.WithEncoderCRC(false), zstd.WithWindowSize(1<<20))
}

// packBlob gives the sealed value that has the data.
func packBlob(zw *zstd.Encoder, bucket, key, data []byte) []byte {
	v := zw.EncodeAll(data, make([]byte, 4, 64+len(data)/4))
	seal(bucket, key, v)
	return v
}

// unpacker undoes the compression of packBlob. It may be used concurrently.
type unpacker struct {
	once sync.Once
	zr   *zstd.Decoder
	err  error
}

func (u *unpacker) unpack(packed []byte) ([]byte, error) {
	u.once.Do(func() {
		u.zr, u.err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxBlob), zstd.WithDecoderLowmem(true))
	})
	if u.err != nil {
		return nil, u.err
	}
	out, err := u.zr.DecodeAll(packed, []byte{})
	if err != nil {
		return nil, corrupt("%v", err)
	}
	return out, nil
}
