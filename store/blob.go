package store

import "github.com/klauspost/compress/zstd"

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

// unpackBlob undoes the compression of packBlob.
func unpackBlob(packed []byte) ([]byte, error) {
	zr, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxBlob), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, err
	}
	defer zr.Close()
	out, err := zr.DecodeAll(packed, []byte{})
	if err != nil {
		return nil, corrupt("%v", err)
	}
	return out, nil
}
