package store

import (
	"context"
	"io"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/evtrace/evtrace/evtchn"
)

// ScanOptions choose what a scan reads. The zero value reads everything.
//
// From and Until are exact. The other choices only leave out chunks in which nothing can be wanted: of a chunk that is read all
// events come, and the caller looks at each. A list that is nil takes everything, an empty one that is not nil takes nothing.
type ScanOptions struct {
	From, Until evtchn.Seq // both included; 0: from the first, to the last
	Times       *TimeRange // nil: any
	Ports       []evtchn.Port
	Kinds       []evtchn.Kind
	VCPUs       []evtchn.VCPU
	Workers     int // goroutines that decode; 0: one for each processor
}

// TimeRange is a range of times on the trace's own clock and in its unit, both ends included.
type TimeRange struct{ Min, Max evtchn.Time }

// Scan decodes the chosen chunks on several goroutines. each reads the events of a chunk from src and leaves in out what it makes of
// them; it is called by several goroutines at once, and finds in out what it left there for an earlier chunk, so that it can
// use the memory again. add takes the results one after the other, in the order of the trace. Memory is that of a few chunks
// and results, whatever the trace's size.
//
// If add returns io.EOF, the scan ends early and without an error; other errors of each, of add and of ctx are given as they are. The results before
// a damaged chunk reach add first. A chunk of which the events are not wanted is not decoded further than it takes to see that,
// and one that the index rules out is not looked at.
func Scan[T any](ctx context.Context, f *File, opt ScanOptions, each func(src evtchn.Source, out *T) error, add func(out *T) error) error {
	type slot struct {
		chunk int
		out   T
		read  bool
		err   error
		done  chan struct{}
	}
	s := newScanner(f, opt)
	workers := opt.Workers
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	workers = max(1, min(workers, len(s.chunks)))
	slots := make([]slot, 2*workers)
	work := make(chan *slot, len(slots))
	var stop atomic.Bool
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(work)
	defer stop.Store(true)
	for range workers {
		wg.Go(func() {
			src := &chunkSource{s: s, dec: f.decoder()}
			defer f.idle.Put(src.dec)
			for j := range work {
				if !stop.Load() {
					if j.read, j.err = src.open(j.chunk); j.read {
						j.err = each(src, &j.out)
					}
				}
				j.done <- struct{}{}
			}
		})
	}
	take := func(j *slot) error {
		<-j.done
		if err := ctx.Err(); err != nil {
			return err
		}
		if j.err != nil || !j.read {
			return j.err
		}
		return add(&j.out)
	}
	var err error
	for n := 0; n < len(s.chunks)+len(slots) && err == nil; n++ {
		j := &slots[n%len(slots)]
		if j.done != nil && n-len(slots) < len(s.chunks) {
			err = take(j)
		}
		if n < len(s.chunks) && err == nil {
			if j.done == nil {
				j.done = make(chan struct{}, 1)
			}
			j.chunk = s.chunks[n]
			work <- j
		}
	}
	if err == io.EOF {
		return nil
	}
	return err
}

// scanner is what the goroutines of a scan share.
type scanner struct {
	f      *File
	opt    ScanOptions
	chunks []int // to look at
	kinds  [4]uint64
	vcpus  [1024]uint64 // a bit for each number, as uint16
}

func newScanner(f *File, opt ScanOptions) *scanner {
	s := &scanner{f: f, opt: opt}
	for _, k := range opt.Kinds {
		s.kinds[k>>6] |= 1 << (k & 63)
	}
	for _, v := range opt.VCPUs {
		s.vcpus[uint16(v)>>6] |= 1 << (uint16(v) & 63)
	}
	s.opt.From = max(opt.From, 1)
	if s.opt.Until == 0 || uint64(opt.Until) > f.tip.events {
		s.opt.Until = evtchn.Seq(f.tip.events)
	}
	if s.opt.From > s.opt.Until || opt.Kinds != nil && len(opt.Kinds) == 0 || opt.VCPUs != nil && len(opt.VCPUs) == 0 ||
		opt.Ports != nil && len(opt.Ports) == 0 {
		return s
	}
	if t := opt.Times; t != nil && (t.Min > t.Max || t.Min > f.tip.max || t.Max < f.tip.min) {
		return s
	}
	var has []bool
	if opt.Ports != nil && !slices.Contains(opt.Ports, evtchn.NoPort) {
		ports := slices.Clone(opt.Ports)
		slices.Sort(ports)
		has = f.chunksOf(ports)
	}
	for i := f.chunkOf(s.opt.From); i <= f.chunkOf(s.opt.Until); i++ {
		if has == nil || has[i] {
			s.chunks = append(s.chunks, i)
		}
	}
	return s
}

// chunkSource streams the events of one chunk after the other.
type chunkSource struct {
	s           *scanner
	dec         *decoder
	chunk       int
	from, until evtchn.Seq
	err         error
}

// open readies the source for a chunk. wanted is false if nothing in it can be wanted.
func (c *chunkSource) open(chunk int) (wanted bool, err error) {
	s := c.s
	c.chunk, c.err, c.dec.left = chunk, nil, 0
	c.from, c.until = s.opt.From, min(s.opt.Until, s.f.lastOf(chunk))
	err = s.f.viewChunk(chunk, func(h *chunkHeader, packed []byte) error {
		if t := s.opt.Times; t != nil && (t.Min > h.max || t.Max < h.min) {
			return nil
		}
		has, err := s.mayHave(c.dec, packed)
		if err != nil || !has {
			return err
		}
		wanted = true
		return c.dec.openColumns(h, packed)
	})
	if err != nil {
		return false, c.fail(err)
	}
	return wanted, nil
}

func (c *chunkSource) fail(err error) error {
	c.err = c.s.f.chunkError(c.chunk, err)
	return c.err
}

// Next implements evtchn.Source. Its io.EOF is the end of the chunk.
func (c *chunkSource) Next(ev *evtchn.Event) error {
	if c.err != nil {
		return c.err
	}
	for {
		if c.dec.left == 0 || c.dec.seq > c.until {
			c.err = io.EOF
			return io.EOF
		}
		if err := c.dec.next(ev); err != nil {
			return c.fail(err)
		}
		if ev.Seq >= c.from {
			return nil
		}
	}
}

// mayHave reports whether the chunk can have events of the kinds and vcpus that are wanted. The model begins a chunk knowing nothing, and
// guesses only what it has seen: a kind or a vcpu that the chunk has at all is in its column at least once. A vcpu column gives the
// changes, from no vcpu on.
func (s *scanner) mayHave(d *decoder, packed []byte) (bool, error) {
	if s.opt.VCPUs != nil && s.vcpus[1023]>>63 == 0 {
		col, err := d.peek(packed, colVCPU)
		if err != nil {
			return false, err
		}
		found := false
		for c := (column{b: col}); c.i < len(c.b) && !c.bad && !found; {
			v := uint16(c.uvarint()) - 1
			found = s.vcpus[v>>6]>>(v&63)&1 != 0
		}
		if !found {
			return false, nil
		}
	}
	if s.opt.Kinds != nil {
		col, err := d.peek(packed, colKind)
		if err != nil {
			return false, err
		}
		return slices.ContainsFunc(col, func(k byte) bool { return s.kinds[k>>6]>>(k&63)&1 != 0 }), nil
	}
	return true, nil
}

// peek gives a column of a chunk, which is valid until the decoder is used again.
func (d *decoder) peek(packed []byte, col int) ([]byte, error) {
	var err error
	for i := range col {
		if packed, err = skipColumn(packed); err != nil {
			return nil, corrupt("column %d: %v", i, err)
		}
	}
	d.in.raw = d.in.raw[:0]
	if _, _, err = d.in.read(packed); err != nil {
		return nil, corrupt("column %d: %v", col, err)
	}
	return d.in.raw, nil
}
