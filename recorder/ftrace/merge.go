package ftrace

import (
	"errors"
	"fmt"
	"io"

	"github.com/evtrace/evtrace/evtchn"
)

// merged gives the records of several files of one ring buffer in the order of their times, as the kernel's own trace file does:
// where times are equal, the file that was named first comes first. Each file keeps its own order, even where its times go back.
type merged struct {
	files []*mergedFile
	heap  []*mergedFile // by key, then by index
	last  *mergedFile   // the file whose record was given last; its words must stay until the next call
	head  facts
}

// mergedFile is a file of several, with the record that it has to give next.
type mergedFile struct {
	src   source
	name  string
	index int
	only  int16 // the vcpu that all its early records are of, or -1
	key   int64 // time of the record, or of one before it that is later
	rec   record
	p     parts
	gaps  []record // gaps before the record
	err   error    // in place of the record
}

// newMerged joins files. Their names are for messages. An error is of class ErrMixed and names the file that does not fit.
func newMerged(srcs []source, names []string) (*merged, error) {
	m := &merged{}
	for i, src := range srcs {
		f := &mergedFile{src: src, name: names[i], index: i}
		m.files = append(m.files, f)
		if err := m.join(f); err != nil {
			return nil, err
		}
	}
	for _, f := range m.files {
		f.advance()
		m.heap = append(m.heap, f)
	}
	for i := len(m.heap)/2 - 1; i >= 0; i-- {
		m.down(i)
	}
	return m, m.twice()
}

// join adds what a file's header says to that of the whole.
func (m *merged) join(f *mergedFile) error {
	h, x := &m.head, f.src.facts()
	misfit := func(what, got, want string) error {
		return fmt.Errorf("%s: %w as %s: %s: got %s, want %s", f.name, ErrMixed, m.files[0].name, what, got, want)
	}
	units := func(f *facts) string {
		switch {
		case f.ticks:
			return "whole numbers"
		case f.latency:
			return "those of the latency format"
		}
		return "seconds"
	}
	switch {
	case x.records && h.records && (x.ticks != h.ticks || x.latency != h.latency):
		return misfit("times", units(&x), units(h))
	case x.clock != "" && h.clock != "" && x.clock != h.clock:
		return misfit("trace clock", x.clock, h.clock)
	case x.nsTick != 0 && h.nsTick != 0 && x.nsTick != h.nsTick:
		return misfit("nanoseconds per tick", fmt.Sprint(x.nsTick), fmt.Sprint(h.nsTick))
	case x.abi != "" && h.abi != "" && x.abi != h.abi:
		return misfit("ABI", x.abi, h.abi)
	}
	if x.records && (!h.records || x.first < h.first) {
		h.first = x.first
	}
	if x.records && !h.records {
		h.records, h.ticks, h.latency = true, x.ticks, x.latency
	}
	h.cpus = max(h.cpus, x.cpus)
	f.only = int16(x.of.Next(0))
	if x.of.Next(evtchn.VCPU(f.only)+1) != evtchn.NoVCPU {
		f.only = int16(evtchn.NoVCPU)
	}
	// Only if all files count can it be said what is missing of the whole.
	h.counted = x.counted && (h.counted || f.index == 0)
	h.kept += x.kept
	h.written += x.written
	if h.clock == "" {
		h.clock = x.clock
	}
	if h.nsTick == 0 {
		h.nsTick = x.nsTick
	}
	if h.abi == "" {
		h.abi = x.abi
	}
	h.unmaskHC = h.unmaskHC || x.unmaskHC
	for _, n := range x.notes {
		h.note(f.name + ": " + n)
	}
	return nil
}

// twice finds a file that begins with the same record as another: it was named twice, or is a copy.
func (m *merged) twice() error {
	for i, f := range m.files {
		for _, g := range m.files[:i] {
			if f.err == nil && g.err == nil && f.rec.time == g.rec.time && f.rec.cpu == g.rec.cpu && f.rec.pid == g.rec.pid && f.rec.name == g.rec.name {
				return fmt.Errorf("%s: %w: it begins with the same record as %s: want each part of a capture once", f.name, ErrMixed, g.name)
			}
		}
	}
	return nil
}

// advance reads the file's next record, with the gaps before it.
func (f *mergedFile) advance() {
	f.gaps = f.gaps[:0]
	for {
		if f.err = f.src.next(&f.rec, &f.p); f.err != nil || f.rec.id != prGap {
			break
		}
		if f.rec.cpu < 0 {
			f.rec.cpu = f.only
		}
		f.gaps = append(f.gaps, f.rec)
	}
	if f.err == nil {
		f.key = max(f.key, f.rec.time)
	}
}

func (m *merged) less(f, g *mergedFile) bool {
	return f.key < g.key || f.key == g.key && f.index < g.index
}

// down moves the file at a place of the heap to where it belongs.
func (m *merged) down(i int) {
	for {
		c := 2*i + 1
		if c >= len(m.heap) {
			return
		}
		if c+1 < len(m.heap) && m.less(m.heap[c+1], m.heap[c]) {
			c++
		}
		if !m.less(m.heap[c], m.heap[i]) {
			return
		}
		m.heap[i], m.heap[c] = m.heap[c], m.heap[i]
		i = c
	}
}

func (m *merged) next(r *record, p *parts) error {
	if f := m.last; f != nil {
		m.last = nil
		f.advance()
		m.down(0)
	}
	for len(m.heap) > 0 {
		f := m.heap[0]
		if len(f.gaps) > 0 {
			*r = f.gaps[0]
			r.time = f.key
			f.gaps = f.gaps[:copy(f.gaps, f.gaps[1:])]
			return nil
		}
		if f.err == nil {
			*r, *p = f.rec, f.p
			m.last = f
			return nil
		}
		if !errors.Is(f.err, io.EOF) {
			return f.err
		}
		n := len(m.heap) - 1
		m.heap[0] = m.heap[n]
		m.heap = m.heap[:n]
		m.down(0)
	}
	return io.EOF
}

func (m *merged) place() string {
	if m.last == nil {
		return fmt.Sprintf("the end of %d files", len(m.files))
	}
	return m.last.name + ", " + m.last.src.place()
}

func (m *merged) facts() facts { return m.head }

func (m *merged) reading() reading {
	var sum reading
	for _, f := range m.files {
		x := f.src.reading()
		sum.bytes += x.bytes
		sum.lines += x.lines
		sum.broken.join(f.name, x.broken)
		sum.seams.join(f.name, x.seams)
		if x.cut != "" && sum.cut == "" {
			sum.cut = f.name + ", " + x.cut
		}
	}
	return sum
}

// join adds the oddities of one of several files.
func (t *tally) join(name string, x tally) {
	if t.n == 0 && x.n > 0 {
		t.first = name + ", " + x.first
	}
	t.n += x.n
}

func (m *merged) close() {
	for _, f := range m.files {
		f.src.close()
	}
}
