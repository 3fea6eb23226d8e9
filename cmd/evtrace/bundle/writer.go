package bundle

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"
)

// Write writes a bundle of the files, among which the report, the expectation and the trace must be. It puts them in order and gives
// the manifest with what it filled in. Errors are of reading a file, of writing, or say which bound is not kept.
func Write(w io.Writer, m Manifest, files []File) (*Manifest, error) {
	files = inOrder(files)
	m.Format, m.Parts = Format, []Part{}
	entries := []entry{{name: ManifestName}}
	for _, f := range files {
		e := entry{name: f.Name, size: f.Data.Size()}
		h, crc := sha256.New(), crc32.NewIEEE()
		if _, err := io.Copy(io.MultiWriter(h, crc), section(f.Data)); err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		e.crc = crc.Sum32()
		entries = append(entries, e)
		m.Parts = append(m.Parts, Part{f.Name, e.size, hex.EncodeToString(h.Sum(nil))})
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	m.Chain = m.chain()
	manifest := m.encode()
	if len(manifest) > maxManifest {
		return nil, fmt.Errorf("%s has %d bytes, want at most %d", ManifestName, len(manifest), maxManifest)
	}
	entries[0].size, entries[0].crc = int64(len(manifest)), crc32.ChecksumIEEE(manifest)
	for i := range entries[1:] {
		entries[i+1].offset = entries[i].end()
	}
	last := entries[len(entries)-1].end()
	if last > maxSize {
		return nil, fmt.Errorf("the parts have %d bytes, want at most %d", last, int64(maxSize))
	}
	for i := range entries {
		if _, err := w.Write(appendLocal(nil, &entries[i])); err != nil {
			return nil, err
		}
		if i == 0 {
			if _, err := w.Write(manifest); err != nil {
				return nil, err
			}
			continue
		}
		if _, err := io.Copy(w, section(files[i-1].Data)); err != nil {
			return nil, err
		}
	}
	_, err := w.Write(appendDirectory(nil, entries, last))
	return &m, err
}

// section reads a file from its beginning.
func section(r *io.SectionReader) io.Reader { return io.NewSectionReader(r, 0, r.Size()) }

// inOrder puts the report, the expectation and the trace first, and the others in the order of their names.
func inOrder(files []File) []File {
	rank := func(name string) int {
		if i := slices.Index([]string{ReportName, ExpectName, TraceName}, name); i >= 0 {
			return i
		}
		return 3
	}
	files = slices.Clone(files)
	slices.SortStableFunc(files, func(a, b File) int {
		if d := rank(a.Name) - rank(b.Name); d != 0 {
			return d
		}
		return strings.Compare(a.Name, b.Name)
	})
	return files
}
