package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
)

// bbolt trusts its pages: a wrong page number can send it into a recursion that no recover can end. So the skeleton of the
// file, which is to say meta pages, branches and the element tables of leaves, is checked here before bbolt sees it. The bytes
// of the values are guarded by their own checksums.

// The layout of bbolt's pages (bbolt v1.5, internal/common). Numbers are in the byte order of the machine.
const (
	boltMagic   = 0xED0CDAED
	boltVersion = 2

	pageHeader  = 16
	elementSize = 16
	metaSize    = 64

	flagBranch   = 0x01
	flagLeaf     = 0x02
	flagMeta     = 0x04
	flagFreelist = 0x10

	leafIsBucket = 0x01
	maxDepth     = 32
	noFreelist   = ^uint64(0)
)

var native = binary.NativeEndian

// boltMeta is one of the two meta pages.
type boltMeta struct {
	version  uint32
	pageSize uint32
	root     uint64
	freelist uint64
	pages    uint64 // all pages of the file are below
	txid     uint64
}

// parseMeta reads a meta page's contents, at least metaSize bytes. magic tells whether it looks like one at all.
func parseMeta(b []byte) (m boltMeta, magic, ok bool) {
	magic = native.Uint32(b) == boltMagic
	m = boltMeta{version: native.Uint32(b[4:]), pageSize: native.Uint32(b[8:]), root: native.Uint64(b[16:]),
		freelist: native.Uint64(b[32:]), pages: native.Uint64(b[40:]), txid: native.Uint64(b[48:])}
	h := fnv.New64a()
	h.Write(b[:56])
	ok = magic && h.Sum64() == native.Uint64(b[56:]) && m.pageSize >= 512 && m.pageSize <= 1<<24 && m.pageSize&(m.pageSize-1) == 0
	return m, magic, ok
}

// pageTree is the skeleton of a database file.
type pageTree struct {
	r       io.ReaderAt
	size    int64
	meta    boltMeta
	badMeta int // the meta page that is damaged, -1: none
	seen    []uint64
	report  func(error) // takes every problem
	buf     []byte
}

// readMetas finds the database's valid meta page and compares the file's size with it. Errors are ErrNotTrace, ErrFormat,
// ErrCorrupt, ErrTruncated.
func readMetas(r io.ReaderAt, size int64) (*pageTree, error) {
	if size == 0 {
		return nil, fmt.Errorf("%w: the file is empty", ErrNotTrace)
	}
	t := &pageTree{r: r, size: size, badMeta: -1}
	var b [pageHeader + metaSize]byte
	var anyMagic bool
	read := func(off int64) (boltMeta, bool) {
		if n, err := r.ReadAt(b[:], off); n < len(b) || (err != nil && err != io.EOF) {
			return boltMeta{}, false
		}
		m, magic, ok := parseMeta(b[pageHeader:])
		anyMagic = anyMagic || magic
		return m, ok && native.Uint16(b[8:]) == flagMeta && native.Uint64(b[:]) == uint64(off)/uint64(m.pageSize)
	}
	m0, ok0 := read(0)
	m1, ok1 := boltMeta{}, false
	if ok0 {
		m1, ok1 = read(int64(m0.pageSize))
	} else {
		for ps := int64(512); ps <= 1<<16 && !ok1; ps <<= 1 {
			if m1, ok1 = read(ps); ok1 && int64(m1.pageSize) != ps {
				ok1 = false
			}
		}
	}
	switch {
	case ok0 && ok1:
		t.meta = m0
		if m1.txid > m0.txid {
			t.meta = m1
		}
	case ok0:
		t.meta, t.badMeta = m0, 1
	case ok1:
		t.meta, t.badMeta = m1, 0
	case anyMagic:
		return nil, corrupt("offset 0: neither of the two meta pages is intact")
	default:
		return nil, fmt.Errorf("%w: it does not begin as a trace file does", ErrNotTrace)
	}
	if t.meta.version != boltVersion {
		return nil, fmt.Errorf("%w: bbolt file version %d, this evtrace knows %d: upgrade evtrace", ErrFormat, t.meta.version, boltVersion)
	}
	if want := t.meta.pages; want > uint64(size)/uint64(t.meta.pageSize) {
		return nil, fmt.Errorf("%w: the file has %d bytes, want %d (%d pages of %d)", ErrTruncated, size,
			want*uint64(t.meta.pageSize), want, t.meta.pageSize)
	}
	return t, nil
}

// walk checks the tree from the root down and gives every problem to report.
func (t *pageTree) walk(report func(error)) {
	t.report = report
	t.seen = make([]uint64, t.meta.pages/64+1)
	t.claim(0, 2)
	t.page(t.meta.root, 0, true)
}

// intact is walk for those who want only the first problem.
func (t *pageTree) intact() error {
	var first error
	t.walk(func(err error) {
		if first == nil {
			first = err
		}
	})
	return first
}

func (t *pageTree) problem(id uint64, format string, args ...any) {
	t.report(corrupt("page %d (offset %d): %s", id, id*uint64(t.meta.pageSize), fmt.Sprintf(format, args...)))
}

// claim notes that the pages belong to somebody, and reports whether they exist and were free.
func (t *pageTree) claim(id, n uint64) bool {
	if id > t.meta.pages || n > t.meta.pages-id {
		return false
	}
	for i := id; i < id+n; i++ {
		if t.seen[i/64]&(1<<(i%64)) != 0 {
			return false
		}
		t.seen[i/64] |= 1 << (i % 64)
	}
	return true
}

// read gives n bytes of the file from the page on, which are valid until the next read.
func (t *pageTree) read(id, off uint64, n int) ([]byte, error) {
	if cap(t.buf) < n {
		t.buf = make([]byte, n)
	}
	b := t.buf[:n]
	at := int64(id*uint64(t.meta.pageSize) + off)
	if got, err := t.r.ReadAt(b, at); got < n {
		if err == io.EOF || err == nil {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return b, nil
}

// page checks the page and everything below it. top: its leaves hold the buckets.
func (t *pageTree) page(id uint64, depth int, top bool) {
	if id < 2 || id >= t.meta.pages {
		t.problem(id, "no such page: the file has %d", t.meta.pages)
		return
	}
	ps := int(t.meta.pageSize)
	b, err := t.read(id, 0, ps)
	if err != nil {
		t.problem(id, "%v", err)
		return
	}
	flags, count, overflow := native.Uint16(b[8:]), int(native.Uint16(b[10:])), uint64(native.Uint32(b[12:]))
	switch {
	case native.Uint64(b) != id:
		t.problem(id, "calls itself page %d", native.Uint64(b))
		return
	case depth > maxDepth:
		t.problem(id, "the tree is more than %d levels deep", maxDepth)
		return
	case flags != flagBranch && flags != flagLeaf:
		t.problem(id, "type %#x, want a branch or a leaf", flags)
		return
	case !t.claim(id, overflow+1):
		t.problem(id, "it and its %d further pages are used twice, or end past the file's %d", overflow, t.meta.pages)
		return
	}
	extent := (overflow + 1) * uint64(ps)
	need := pageHeader + count*elementSize
	if uint64(need) > extent {
		t.problem(id, "%d elements do not fit", count)
		return
	}
	// A branch is needed as a whole, for its keys; so is the leaf of the buckets, which may hold a bucket's contents.
	if flags == flagBranch || top {
		need = int(min(extent, 1<<24))
	}
	if need > ps {
		if b, err = t.read(id, 0, need); err != nil {
			t.problem(id, "%v", err)
			return
		}
	}
	if flags == flagLeaf {
		t.leaf(id, bytes.Clone(b[:max(need, pageHeader)]), extent, top)
		return
	}
	children, err := branchChildren(b, count)
	if err != nil {
		t.problem(id, "%v", err)
	}
	for _, c := range children {
		t.page(c, depth+1, top)
	}
}

// branchChildren lists the pages below a branch. Keys must ascend and lie one behind the other.
func branchChildren(b []byte, count int) ([]uint64, error) {
	if count == 0 {
		return nil, errors.New("a branch without children")
	}
	children := make([]uint64, 0, count)
	end := pageHeader + count*elementSize
	var last []byte
	for i := range count {
		e := b[pageHeader+i*elementSize:]
		at := uint64(pageHeader+i*elementSize) + uint64(native.Uint32(e))
		size := uint64(native.Uint32(e[4:]))
		if at != uint64(end) || at+size > uint64(len(b)) {
			return children, fmt.Errorf("element %d: key of %d bytes at %d, want it at %d", i, size, at, end)
		}
		key := b[at : at+size]
		if i > 0 && bytes.Compare(last, key) >= 0 {
			return children, fmt.Errorf("element %d: key %x does not come after %x", i, key, last)
		}
		last, end = key, int(at+size)
		children = append(children, native.Uint64(e[8:]))
	}
	return children, nil
}

// leaf checks the element table of a leaf and, in the leaf of the buckets, the buckets. b begins with the page.
func (t *pageTree) leaf(id uint64, b []byte, extent uint64, top bool) {
	count := int(native.Uint16(b[10:]))
	if pageHeader+count*elementSize > len(b) {
		t.problem(id, "%d elements do not fit", count)
		return
	}
	end := uint64(pageHeader + count*elementSize)
	for i := range count {
		e := b[pageHeader+i*elementSize:]
		flags := native.Uint32(e)
		at := uint64(pageHeader+i*elementSize) + uint64(native.Uint32(e[4:]))
		ksize, vsize := uint64(native.Uint32(e[8:])), uint64(native.Uint32(e[12:]))
		if at != end || ksize+vsize > extent-min(extent, at) {
			t.problem(id, "element %d: %d+%d bytes at %d, want them at %d and to end by %d", i, ksize, vsize, at, end, extent)
			return
		}
		if flags&leafIsBucket != flags || (flags != 0) != top {
			t.problem(id, "element %d has the flags %#x", i, flags)
			return
		}
		end = at + ksize + vsize
		if !top {
			continue
		}
		if end > uint64(len(b)) || vsize < 16 {
			t.problem(id, "element %d: a bucket of %d bytes", i, vsize)
			return
		}
		value := b[at+ksize : end]
		if root := native.Uint64(value); root != 0 {
			t.page(root, 1, false)
		} else if in := value[16:]; len(in) < pageHeader || native.Uint16(in[8:]) != flagLeaf {
			t.problem(id, "element %d: the bucket inside it is not a leaf", i)
		} else {
			t.leaf(id, in, uint64(len(in)), false)
		}
	}
}

// freelist checks that every page is either in use or free, and none both. It follows walk. Readers do not need the
// freelist: damage there does no harm to the trace.
func (t *pageTree) freelist() {
	id := t.meta.freelist
	if id == noFreelist {
		return
	}
	if id < 2 || id >= t.meta.pages {
		t.problem(id, "no such page, though it is said to be the list of free pages")
		return
	}
	head, err := t.read(id, 0, pageHeader+8)
	if err != nil {
		t.problem(id, "%v", err)
		return
	}
	flags, count, overflow := native.Uint16(head[8:]), uint64(native.Uint16(head[10:])), uint64(native.Uint32(head[12:]))
	off := uint64(pageHeader)
	if count == 0xffff {
		count, off = native.Uint64(head[pageHeader:]), off+8
	}
	if native.Uint64(head) != id || flags != flagFreelist || !t.claim(id, overflow+1) ||
		count > t.meta.pages || off+count*8 > (overflow+1)*uint64(t.meta.pageSize) {
		t.problem(id, "the list of free pages is damaged")
		return
	}
	b, err := t.read(id, off, int(count*8))
	if err != nil {
		t.problem(id, "%v", err)
		return
	}
	for i := range count {
		if p := native.Uint64(b[i*8:]); !t.claim(p, 1) {
			t.problem(p, "free, and yet used or out of range")
		}
	}
	for p := range t.meta.pages {
		if t.seen[p/64]&(1<<(p%64)) == 0 {
			t.problem(p, "neither used nor free")
		}
	}
}

// inspect opens the file beside bbolt and checks its skeleton.
func inspect(path string, f func(t *pageTree) error) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	st, err := file.Stat()
	if err != nil {
		return err
	}
	t, err := readMetas(file, st.Size())
	if err != nil {
		return err
	}
	return f(t)
}
