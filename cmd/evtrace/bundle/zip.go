package bundle

import "encoding/binary"

// The records of a ZIP archive, as PKWARE's APPNOTE.TXT 6.3 has them, in the one spelling that bundles use: version 1.0, no flags,
// stored, the first date that ZIP has, no attributes, no extra fields, no comments.

// directory is what the list of parts at the end of an archive is called in errors.
const directory = "directory"

const (
	localSize   = 30 // bytes of the record before a file, without its name
	centralSize = 46 // of its entry in the directory
	endSize     = 22 // of the record at the end

	dosDate = 1<<5 | 1 // 1980-01-01
)

// entry is a file in the archive.
type entry struct {
	name   string
	size   int64
	crc    uint32 // CRC-32 of the content, as ZIP has it
	offset int64  // of its record
}

// end is where the file's content ends, and the next record begins.
func (e *entry) end() int64 { return e.content() + e.size }

// content is where the file's content begins.
func (e *entry) content() int64 { return e.offset + localSize + int64(len(e.name)) }

// appendLocal appends the record before a file's content.
func appendLocal(b []byte, e *entry) []byte {
	b = append(b, 'P', 'K', 3, 4)
	b = e.appendCommon(b)
	return append(b, e.name...)
}

// appendCommon appends what both records of a file have: from the version that is needed to the length of the extra field.
func (e *entry) appendCommon(b []byte) []byte {
	le := binary.LittleEndian
	b = le.AppendUint16(b, 10) // version 1.0
	b = le.AppendUint16(b, 0)  // flags
	b = le.AppendUint16(b, 0)  // method: stored
	b = le.AppendUint16(b, 0)  // time
	b = le.AppendUint16(b, dosDate)
	b = le.AppendUint32(b, e.crc)
	b = le.AppendUint32(b, uint32(e.size))
	b = le.AppendUint32(b, uint32(e.size))
	b = le.AppendUint16(b, uint16(len(e.name)))
	return le.AppendUint16(b, 0)
}

// appendDirectory appends the list of files, which begins at the offset, and the record at the end.
func appendDirectory(b []byte, entries []entry, offset int64) []byte {
	le := binary.LittleEndian
	from := len(b)
	for i := range entries {
		e := &entries[i]
		b = append(b, 'P', 'K', 1, 2)
		b = le.AppendUint16(b, 10) // made by version 1.0, on MS-DOS: no permissions
		b = e.appendCommon(b)
		b = append(b, make([]byte, 10)...) // comment, disk, attributes
		b = le.AppendUint32(b, uint32(e.offset))
		b = append(b, e.name...)
	}
	size := len(b) - from
	b = append(b, 'P', 'K', 5, 6, 0, 0, 0, 0)
	b = le.AppendUint16(b, uint16(len(entries)))
	b = le.AppendUint16(b, uint16(len(entries)))
	b = le.AppendUint32(b, uint32(size))
	b = le.AppendUint32(b, uint32(offset))
	return append(b, 0, 0)
}
