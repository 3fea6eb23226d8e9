package explore

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// ErrCheckpoint is the class of errors about a checkpoint that cannot be gone on from: of another system, of other options,
// damaged, cut, or of another version.
var ErrCheckpoint = errors.New("bad checkpoint")

const checkpointMagic = "evtrace explore checkpoint 2\n"

// identity is what a checkpoint belongs to: the scenario, the policy, and the options on which its states depend.
func (s *search) identity() [sha256.Size]byte {
	return sha256.Sum256(fmt.Appendf(nil, "%s\x00%v\x00%d %t %t %t %t %t", s.sys.sc.Text, s.sys.policy.Choices(), s.check, s.opt.Every, s.opt.NoReduction,
		s.opt.NoSymmetry, s.opt.Exact, s.opt.Wide))
}

// save lets the caller write a checkpoint, if he wants one.
func (s *search) save(last bool) error {
	if s.opt.Save == nil {
		return nil
	}
	return s.opt.Save(last, s.write)
}

// write writes the search as it is between two batches.
func (s *search) write(w io.Writer) error {
	sum := crc32.NewIEEE()
	b := bufio.NewWriterSize(io.MultiWriter(w, sum), 1<<16)
	e := &encoder{w: b}
	e.bytes([]byte(checkpointMagic))
	id := s.identity()
	e.bytes(id[:])
	e.nums(uint64(s.depth), s.states, s.expanded, s.trans, s.rest, s.lostRest)
	for _, v := range s.found {
		if v == nil {
			e.nums(0)
			continue
		}
		e.nums(1, uint64(v.depth), uint64(v.state), uint64(v.how), uint64(flag(v.step)))
	}
	for _, bk := range s.books.ofWorlds() {
		e.nums(uint64(bk.n))
		for id := range bk.n {
			text := bk.textOf(bk.get(id))
			e.nums(uint64(len(text)))
			e.bytes(text)
		}
	}
	for i := range s.shards {
		sh := &s.shards[i]
		e.nums(uint64(len(sh.hi)), uint64(len(sh.lo)), uint64(sh.used), uint64(len(sh.exact)))
		e.nums(sh.hi...)
		e.nums(sh.lo...)
		for row := range sh.exact {
			e.nums(uint64(len(row)))
			e.bytes([]byte(row))
		}
	}
	e.nums(uint64(s.links.n))
	for id := range s.links.n {
		parent, how := s.links.get(id)
		e.num32(parent)
		e.bytes([]byte{byte(how)})
	}
	e.blocks(s.level[s.at:])
	e.blocks(s.next)
	if err := errors.Join(e.err, b.Flush()); err != nil {
		return err
	}
	_, err := w.Write(binary.LittleEndian.AppendUint32(nil, sum.Sum32()))
	return err
}

type encoder struct {
	w   *bufio.Writer
	err error
	buf [8]byte
}

func (e *encoder) bytes(b []byte) {
	if _, err := e.w.Write(b); e.err == nil {
		e.err = err
	}
}

func (e *encoder) nums(vs ...uint64) {
	for _, v := range vs {
		binary.LittleEndian.PutUint64(e.buf[:], v)
		e.bytes(e.buf[:])
	}
}

func (e *encoder) num32(v uint32) {
	binary.LittleEndian.PutUint32(e.buf[:4], v)
	e.bytes(e.buf[:4])
}

func (e *encoder) blocks(bs []block) {
	e.nums(uint64(len(bs)))
	for i := range bs {
		e.nums(uint64(bs[i].first), uint64(bs[i].n), uint64(len(bs[i].rows)))
		e.bytes(bs[i].rows)
	}
}

// restore goes on from a checkpoint.
func (s *search) restore(r io.Reader) error {
	d := &decoder{r: bufio.NewReaderSize(r, 1<<16), sum: crc32.NewIEEE()}
	magic := d.bytes(len(checkpointMagic))
	if d.err == nil && string(magic) != checkpointMagic {
		return fmt.Errorf("%w: it does not begin with %q: it is none, or of another version", ErrCheckpoint, checkpointMagic[:len(checkpointMagic)-1])
	}
	id := s.identity()
	if got := d.bytes(len(id)); d.err == nil && string(got) != string(id[:]) {
		return fmt.Errorf("%w: it is of another run: the scenario, the policy, --property, --every, --no-reduction, --no-symmetry, --exact and --wide must be the same", ErrCheckpoint)
	}
	s.depth = int(d.num())
	s.states, s.expanded, s.trans, s.rest, s.lostRest = d.num(), d.num(), d.num(), d.num(), d.num()
	for i := range s.found {
		if d.num() == 1 {
			s.found[i] = &violation{depth: int(d.num()), state: uint32(d.num()), how: Choice(d.num()), step: d.num() == 1}
		}
	}
	var texts [5][][]byte
	for i := range texts {
		for n := d.count(); n > 0 && d.err == nil; n-- {
			texts[i] = append(texts[i], d.bytes(d.count()))
		}
	}
	for i := range s.shards {
		s.restoreShard(&s.shards[i], d)
	}
	for n := d.count(); n > 0 && d.err == nil; n-- {
		s.links.add(d.num32(), Choice(d.byte()))
	}
	s.level = d.blocks()
	s.next = d.blocks()
	want := d.sum.Sum32()
	if got := d.num32(); d.err == nil && got != want {
		d.err = fmt.Errorf("%w: its checksum is %#x, want %#x: it is damaged", ErrCheckpoint, got, want)
	}
	if d.err != nil {
		return d.err
	}
	return s.restoreBooks(&texts)
}

// restoreShard reads the states of a shard.
func (s *search) restoreShard(sh *shard, d *decoder) {
	hi, lo, used, exact := d.count(), d.count(), d.count(), d.count()
	sh.used = used
	if d.err == nil && exact > 0 && !s.opt.Exact {
		d.err = fmt.Errorf("%w: whole states in a table of fingerprints", ErrCheckpoint)
	}
	if d.err != nil {
		return
	}
	for range hi {
		if sh.hi = append(sh.hi, d.num()); d.err != nil {
			return
		}
	}
	for range lo {
		if sh.lo = append(sh.lo, d.num()); d.err != nil {
			return
		}
	}
	if s.opt.Exact {
		sh.exact = make(map[string]struct{})
	}
	for range exact {
		row := d.bytes(d.count())
		if d.err != nil {
			return
		}
		sh.exact[string(row)] = struct{}{}
		sh.bytes += int64(len(row)) + 48
	}
	taken := 0
	for _, h := range sh.hi {
		if h != 0 {
			taken++
		}
	}
	if d.err == nil && !s.opt.Exact && (hi == 0 || taken != used || used >= hi || (lo != 0) != s.opt.Wide || lo != 0 && lo != hi) {
		d.err = fmt.Errorf("%w: a table of %d and %d slots, %d of them used", ErrCheckpoint, hi, lo, used)
	}
}

// restoreBooks writes the parts of worlds into the books, in the order of their numbers: what is known of each comes from a world
// that has it.
func (s *search) restoreBooks(texts *[5][][]byte) error {
	k, w := s.workers[0].k, s.sys.Start()
	for i, bk := range s.books.ofWorlds() {
		for id, text := range texts[i] {
			if got, err := k.putText(bk, text, w); err != nil || got != partID(id) {
				return fmt.Errorf("%w: part %d of book %d is none: %v", ErrCheckpoint, id, i, err)
			}
		}
	}
	var r row
	for _, bs := range [...][]block{s.level, s.next} {
		for i := range bs {
			rows := bs[i].rows
			s.rowBytes += int64(cap(rows))
			for range bs[i].n {
				var ok bool
				if r, rows, ok = k.checkRow(r[:0], rows); !ok {
					return fmt.Errorf("%w: a state of parts that there are not", ErrCheckpoint)
				}
			}
		}
	}
	return nil
}

type decoder struct {
	r   *bufio.Reader
	sum interface {
		io.Writer
		Sum32() uint32
	}
	buf [8]byte
	err error
}

func (d *decoder) read(b []byte) {
	if d.err != nil {
		return
	}
	if _, err := io.ReadFull(d.r, b); err != nil {
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			err = fmt.Errorf("%w: it is cut", ErrCheckpoint)
		}
		d.err = err
		return
	}
	d.sum.Write(b)
}

func (d *decoder) num() uint64 {
	d.read(d.buf[:8])
	if d.err != nil {
		return 0
	}
	return binary.LittleEndian.Uint64(d.buf[:8])
}

func (d *decoder) num32() uint32 {
	d.read(d.buf[:4])
	if d.err != nil {
		return 0
	}
	return binary.LittleEndian.Uint32(d.buf[:4])
}

func (d *decoder) byte() byte {
	d.read(d.buf[:1])
	return d.buf[0]
}

// count reads how many of something there are.
func (d *decoder) count() int {
	n := d.num()
	if n > 1<<40 {
		if d.err == nil {
			d.err = fmt.Errorf("%w: a count of %d", ErrCheckpoint, n)
		}
		return 0
	}
	return int(n)
}

// bytes reads n bytes, in pieces: a wrong n must not take all the memory.
func (d *decoder) bytes(n int) []byte {
	var out []byte
	for len(out) < n && d.err == nil {
		piece := make([]byte, min(n-len(out), 1<<20))
		d.read(piece)
		out = append(out, piece...)
	}
	return out
}

func (d *decoder) blocks() []block {
	var bs []block
	for n := d.count(); n > 0 && d.err == nil; n-- {
		b := block{first: uint32(d.num()), n: d.count()}
		b.rows = d.bytes(d.count())
		bs = append(bs, b)
	}
	return bs
}
