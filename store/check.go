package store

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	bolt "go.etcd.io/bbolt"

	"github.com/evtrace/evtrace/evtchn"
)

// Problem is one thing that is wrong with a file.
type Problem struct {
	Where string `json:"where"` // "pages", "meta", "chunk 12 (events 196609 to 212992)", ...
	Err   error  `json:"-"`
	Text  string `json:"text"` // what Err says
}

// String gives the problem as a line.
func (p Problem) String() string { return p.Where + ": " + p.Text }

// Report is the result of Check.
type Report struct {
	Events    uint64    `json:"events"`    // that the file claims
	Decoded   uint64    `json:"decoded"`   // that could be read
	Chunks    int       `json:"chunks"`    // verified
	Keyframes int       `json:"keyframes"` // compared with the state computed from the events
	Complete  bool      `json:"complete"`
	Problems  []Problem `json:"problems"`
	Warnings  []Problem `json:"warnings,omitempty"` // what is damaged, and of which the file has another copy: nothing is lost
}

// OK reports whether nothing is wrong: Open gives all that was written. A trace that is merely incomplete is not wrong, and
// warnings do not count.
func (r *Report) OK() bool { return len(r.Problems) == 0 }

// maxProblems keeps a report of a thoroughly damaged file readable.
const maxProblems = 1000

// checker is one run of Check.
type checker struct {
	f   *File
	rep *Report
}

// Check verifies everything in a file: the database's pages, every checksum, that Seqs have no gaps, that every event
// decodes, that keyframes equal the state computed from the events before, that the index and the port index tell the truth, and that findings can be
// read. It lists every problem and goes on as far as that makes sense. The error is for a file that cannot be opened as a trace at all.
func Check(path string) (*Report, error) {
	rep := &Report{}
	c := &checker{rep: rep}
	f, err := open(path)
	if errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrTruncated) {
		// What else is wrong with the pages? With a damaged tree of pages bbolt must not be let near the file: that is all then.
		_ = inspect(path, func(t *pageTree) error { c.pages(t); return nil })
		if !slices.ContainsFunc(rep.Problems, func(p Problem) bool { return p.Text == err.Error() }) {
			c.add("meta", err)
		}
		return rep, nil
	}
	if err != nil {
		return nil, inFile(path, err)
	}
	defer f.Close()
	c.f = f
	rep.Events, rep.Complete = f.tip.events, f.meta.Complete
	if err := inspect(path, func(t *pageTree) error { c.pages(t); return nil }); err != nil {
		c.add("pages", err)
	}
	if err := f.ending(); err != nil {
		c.add("file", err)
	}
	c.keys()
	ports := c.events()
	c.ports(ports)
	c.findings()
	return rep, nil
}

func (c *checker) add(where string, err error) {
	if n := len(c.rep.Problems); n < maxProblems {
		c.rep.Problems = append(c.rep.Problems, Problem{where, err, err.Error()})
	} else if n == maxProblems {
		c.rep.Problems = append(c.rep.Problems, Problem{where, err, "and more"})
	}
}

func (c *checker) pages(t *pageTree) {
	if t.badMeta >= 0 {
		err := corrupt("page %d: the meta page is damaged; the other one is used", t.badMeta)
		if c.f != nil && c.f.tip.closed != 0 { // both lead to the finished trace
			c.rep.Warnings = append(c.rep.Warnings, Problem{"pages", err, err.Error()})
		} else {
			c.add("pages", err)
		}
	}
	n := len(c.rep.Problems)
	t.walk(func(err error) { c.add("pages", err) })
	if len(c.rep.Problems) == n {
		t.freelist()
	}
}

// keys compares the keys that are there with the index.
func (c *checker) keys() {
	var x index
	err := c.f.view(func(tx *bolt.Tx) error {
		g := &File{}
		if err := g.gather(tx); err != nil {
			return err
		}
		x = g.index
		return nil
	})
	if err != nil {
		c.add("index", err)
		return
	}
	have := c.f.index
	if len(have.chunks) != len(x.chunks) {
		c.add("index", corrupt("%d chunks, want %d", len(x.chunks), len(have.chunks)))
	}
	if len(have.frames) != len(x.frames) {
		c.add("index", corrupt("%d keyframes, want %d", len(x.frames), len(have.frames)))
	}
	for i := range min(len(have.chunks), len(x.chunks)) {
		if have.chunks[i] != x.chunks[i] {
			c.add("index", corrupt("chunk %d is %+v, want %+v", i, x.chunks[i], have.chunks[i]))
			break
		}
	}
	for i := range min(len(have.frames), len(x.frames)) {
		if have.frames[i] != x.frames[i] {
			c.add("index", corrupt("keyframe %d is after event %d, want %d", i, x.frames[i], have.frames[i]))
			break
		}
	}
}

// events decodes every chunk and follows the machine. It returns, for every chunk that could be read, its ports.
func (c *checker) events() []map[evtchn.Port]bool {
	f := c.f
	ports := make([]map[evtchn.Port]bool, len(f.index.chunks))
	d := new(decoder)
	st, err := evtchn.NewState(f.meta)
	if err != nil {
		c.add("meta", err)
	}
	frames := f.index.frames
	sums := tip{keyframes: f.tip.keyframes, segments: f.tip.segments, findings: f.tip.findings, closed: f.tip.closed, frameBytes: f.tip.frameBytes}
	for i, ref := range f.index.chunks {
		where := fmt.Sprintf("chunk %d (events %d to %d)", i, ref.first, f.lastOf(i))
		seen, h, err := c.chunk(d, i, st)
		if err != nil {
			c.add(where, err)
			st = nil // what follows cannot be compared until the next keyframe
		} else {
			ports[i] = seen
			c.rep.Chunks++
			if sums.events == 0 {
				sums.min, sums.max = h.min, h.max
			}
			sums.min, sums.max = min(sums.min, h.min), max(sums.max, h.max)
			sums.rawBytes += uint64(h.raw)
		}
		sums.chunks++
		sums.events += uint64(f.lastOf(i) - ref.first + 1)
		sums.chunkBytes += uint64(ref.bytes)
		for len(frames) > 0 && frames[0] <= f.lastOf(i) {
			st = c.frame(frames[0], f.lastOf(i), st)
			frames = frames[1:]
		}
	}
	if c.rep.Chunks == len(f.index.chunks) && sums != f.tip {
		c.add("meta", corrupt("the summary says %+v, want %+v", f.tip, sums))
	}
	return ports
}

// chunk decodes chunk i and applies its events to st, unless that is nil.
func (c *checker) chunk(d *decoder, i int, st *evtchn.State) (map[evtchn.Port]bool, chunkHeader, error) {
	var h chunkHeader
	if err := c.f.openChunk(d, i); err != nil {
		return nil, h, err
	}
	ref := c.f.index.chunks[i]
	seen := map[evtchn.Port]bool{}
	var ev evtchn.Event
	var n int
	for {
		err := d.next(&ev)
		if err == errDone {
			break
		}
		if err != nil {
			return nil, h, err
		}
		if n == 0 {
			h.min, h.max = ev.Time, ev.Time
			if ev.Time != ref.time {
				return nil, h, corrupt("event %d is at %d, want %d", ev.Seq, ev.Time, ref.time)
			}
		}
		n++
		h.min, h.max = min(h.min, ev.Time), max(h.max, ev.Time)
		if ev.Port != evtchn.NoPort {
			seen[ev.Port] = true
		}
		if st != nil {
			if err := apply(st, &ev); err != nil {
				return nil, h, err
			}
		}
		c.rep.Decoded++
	}
	h.raw = len(d.in.raw)
	return seen, h, nil
}

// frame compares the keyframe after event at with the state st, nil if it is not known, that the events up to last lead to. It gives the
// state to go on with.
func (c *checker) frame(at, last evtchn.Seq, st *evtchn.State) *evtchn.State {
	where := "keyframe after event " + strconv.FormatUint(uint64(at), 10)
	kept, err := evtchn.NewState(c.f.meta)
	if err == nil {
		err = c.f.loadFrame(kept, at)
	}
	switch {
	case err != nil:
		c.add(where, err)
		return st
	case at != last:
		c.add(where, corrupt("it is not at the end of a chunk: the next one is %d", last))
		return st
	case st != nil && !st.Equal(kept):
		c.add(where, corrupt("it differs from the state that the events lead to"))
		return st
	}
	c.rep.Keyframes++
	return kept
}

// ports compares the port index with the ports of the chunks.
func (c *checker) ports(chunks []map[evtchn.Port]bool) {
	covered := 0
	var segments uint64
	err := c.f.view(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketPorts).ForEach(func(k, v []byte) error {
			segments++
			s, ok := keySeq(k)
			where := fmt.Sprintf("port index of event %d", s)
			body, err := unseal(bucketPorts, k, v)
			switch {
			case err != nil:
				c.add(where, err)
				return nil
			case !ok || s == 0 || uint64(s) > c.f.tip.events || c.f.index.chunks[c.f.chunkOf(s)].first != s:
				c.add(where, corrupt("no chunk begins there"))
				return nil
			}
			first := c.f.chunkOf(s)
			claims := make([]map[evtchn.Port]bool, segmentChunks)
			n, err := eachPort(body, func(p evtchn.Port, mask uint32) bool {
				for j := range claims {
					if mask&(1<<j) != 0 {
						if claims[j] == nil {
							claims[j] = map[evtchn.Port]bool{}
						}
						claims[j][p] = true
					}
				}
				return true
			})
			if err != nil {
				c.add(where, err)
				return nil
			}
			for j := range n {
				i := first + j
				if i >= len(chunks) {
					c.add(where, corrupt("it covers chunk %d of %d", i, len(chunks)))
					break
				}
				covered++
				if chunks[i] != nil && !samePorts(chunks[i], claims[j]) {
					c.add(where, corrupt("it differs from the ports that chunk %d has", i))
				}
			}
			return nil
		})
	})
	if err != nil {
		c.add("port index", err)
	} else if len(c.rep.Problems) == 0 && (covered != len(chunks) || segments != c.f.tip.segments) {
		c.add("port index", corrupt("it covers %d chunks in %d pieces, want %d in %d", covered, segments, len(chunks), c.f.tip.segments))
	}
}

func samePorts(a, b map[evtchn.Port]bool) bool {
	if len(a) != len(b) {
		return false
	}
	for p := range a {
		if !b[p] {
			return false
		}
	}
	return true
}

// findings reads all findings.
func (c *checker) findings() {
	var n uint64
	err := c.f.view(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketFindings).ForEach(func(k, v []byte) error {
			n++
			if _, err := c.f.findings(tx, k); err != nil {
				c.add("findings", err)
			}
			return nil
		})
	})
	if err == nil && n != c.f.tip.findings {
		err = corrupt("%d versions, want %d", n, c.f.tip.findings)
	}
	if err != nil {
		c.add("findings", err)
	}
}
