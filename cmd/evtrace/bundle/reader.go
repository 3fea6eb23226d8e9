package bundle

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// Is reports whether a file begins as a bundle does: as a ZIP archive whose first file is the manifest. 64 bytes tell.
func Is(head []byte) bool {
	return bytes.HasPrefix(head, []byte("PK\x03\x04")) && len(head) >= localSize+len(ManifestName) &&
		string(head[localSize:localSize+len(ManifestName)]) == ManifestName
}

// Bundle is a bundle that was found to be whole.
type Bundle struct {
	Manifest Manifest
	r        io.ReaderAt
	entries  []entry // of the parts, in the manifest's order
}

// Open reads a bundle of so many bytes and compares every one with what it has to be. Errors are ErrNotBundle, of class ErrVersion or
// ErrDamaged, or r's.
func Open(r io.ReaderAt, size int64) (*Bundle, error) {
	head := make([]byte, localSize+len(ManifestName))
	if _, err := r.ReadAt(head, 0); err != nil && err != io.EOF {
		return nil, err
	}
	if !Is(head) {
		return nil, ErrNotBundle
	}
	c := &checker{r: r, size: size}
	data, err := c.manifest(head)
	if err != nil {
		return nil, err
	}
	m, err := decode(data)
	if err != nil {
		return nil, err
	}
	if err := c.record(&entry{name: ManifestName, size: int64(len(data)), crc: crc32.ChecksumIEEE(data)}); err != nil {
		return nil, err
	}
	for i := range m.Parts {
		if err := c.part(&m.Parts[i]); err != nil {
			return nil, err
		}
	}
	return &Bundle{*m, r, c.entries[1:]}, c.directory()
}

// checker goes through an archive.
type checker struct {
	r       io.ReaderAt
	size    int64
	entries []entry
}

// read reads what has to be there.
func (c *checker) read(part string, at int64, n int) ([]byte, error) {
	b := make([]byte, n)
	if at+int64(n) > c.size {
		return nil, damaged(part, "the file is cut at byte %d, want %d or more", c.size, at+int64(n))
	}
	_, err := c.r.ReadAt(b, at)
	if errors.Is(err, io.EOF) {
		err = nil // at the file's very end
	}
	return b, err
}

// manifest reads the manifest's text. Its size is in the archive alone.
func (c *checker) manifest(head []byte) ([]byte, error) {
	size := binary.LittleEndian.Uint32(head[22:])
	if size > maxManifest {
		return nil, damaged(ManifestName, "%d bytes, want at most %d", size, maxManifest)
	}
	return c.read(ManifestName, localSize+int64(len(ManifestName)), int(size))
}

// record compares the record before a file with what it has to be.
func (c *checker) record(e *entry) error {
	if n := len(c.entries); n > 0 {
		e.offset = c.entries[n-1].end()
	}
	want := appendLocal(nil, e)
	got, err := c.read(e.name, e.offset, len(want))
	if err != nil {
		return err
	}
	if at := difference(got, want); at >= 0 {
		if string(got[:4]) == "PK\x03\x04" && at >= localSize {
			return damaged(e.name, "another file is in its place")
		}
		return damaged(e.name, "byte %d of the record before it is %#02x, want %#02x", at, got[at], want[at])
	}
	c.entries = append(c.entries, *e)
	return nil
}

// part compares a part with the manifest.
func (c *checker) part(p *Part) error {
	e := entry{name: p.Name, size: p.Size, offset: c.entries[len(c.entries)-1].end()}
	if e.end() > c.size {
		return damaged(p.Name, "the file is cut at byte %d, want %d or more", c.size, e.end())
	}
	h, crc := sha256.New(), crc32.NewIEEE()
	if _, err := io.Copy(io.MultiWriter(h, crc), io.NewSectionReader(c.r, e.content(), e.size)); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != p.SHA256 {
		return damaged(p.Name, "its SHA-256 is %.12s..., the manifest has %.12q", got, p.SHA256)
	}
	e.crc = crc.Sum32()
	return c.record(&e)
}

// directory compares what follows the parts with what it has to be.
func (c *checker) directory() error {
	last := c.entries[len(c.entries)-1].end()
	want := appendDirectory(nil, c.entries, last)
	got, err := c.read(directory, last, len(want))
	if err != nil {
		return err
	}
	if at := difference(got, want); at >= 0 {
		return damaged(directory, "byte %d of the list of parts is %#02x, want %#02x", at, got[at], want[at])
	}
	if more := c.size - last - int64(len(want)); more > 0 {
		return damaged(directory, "something was added: the file goes on for %d bytes", more)
	}
	return nil
}

// Part gives the content of a part, and whether there is one of that name.
func (b *Bundle) Part(name string) (*io.SectionReader, bool) {
	for i := range b.entries {
		if e := &b.entries[i]; e.name == name {
			return io.NewSectionReader(b.r, e.content(), e.size), true
		}
	}
	return nil, false
}

// Unpacked bounds what the trace unpacks to: it gives what r has, and an error instead of more than the manifest says. Its
// end is an error, too, if there is less.
func (b *Bundle) Unpacked(r io.Reader) io.Reader { return &bounded{r: r, left: b.Manifest.TextBytes} }

type bounded struct {
	r    io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if int64(n) > b.left {
		n = int(b.left)
		err = damaged(TraceName, "it unpacks to more than the text_bytes of %s", ManifestName)
	}
	b.left -= int64(n)
	if err == io.EOF && b.left > 0 {
		err = damaged(TraceName, "it unpacks to %d bytes less than the text_bytes of %s", b.left, ManifestName)
	}
	if err != nil && err != io.EOF && !errors.Is(err, ErrDamaged) {
		err = fmt.Errorf("%s: %w", TraceName, err)
	}
	return n, err
}
