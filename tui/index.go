package tui

import (
	"math/bits"

	tea "github.com/charmbracelet/bubbletea"

	"github.com/evtrace/evtrace/evtchn"
)

// sliceEvents is how many events an index looks at in one go; jobSlices how many goes a command of its own makes.
const (
	sliceEvents = 4096
	jobSlices   = 16
)

// match says which events an index is about. Exactly one of its functions is set.
type match struct {
	event func(ev *evtchn.Event) bool
	// state is asked about the state after each event, and answers for up to 64 conditions, a bit for each; the index has the events at
	// which any of the bits becomes 1.
	state func(ev *evtchn.Event, st *evtchn.State) uint64
}

// index knows which events fit a description, as far as it was asked: it is filled slice by slice, from where somebody looks and in
// the direction in which he looks.
type index struct {
	name  string
	match match
	tr    Trace
	n     evtchn.Seq
	bits  []uint64
	known []bool // by slice
	left  int    // slices not known
	count uint64 // of the events that fit in the slices that are known
}

func newIndex(tr Trace, name string, m match) *index {
	n := evtchn.Seq(tr.Len())
	x := &index{name: name, match: m, tr: tr, n: n, bits: make([]uint64, n/64+1)}
	x.known = make([]bool, (n+sliceEvents-1)/sliceEvents)
	x.left = len(x.known)
	return x
}

// only notes that nothing outside the ranges fits.
func (x *index) only(rs []Range) {
	for i := range x.known {
		first, last := evtchn.Seq(i)*sliceEvents+1, evtchn.Seq(i+1)*sliceEvents
		for len(rs) > 0 && rs[0].Last < first {
			rs = rs[1:]
		}
		if len(rs) == 0 || rs[0].First > last {
			x.known[i] = true
			x.left--
		}
	}
}

// percent is how much of the trace has been looked at.
func (x *index) percent() int { return (len(x.known) - x.left) * 100 / max(len(x.known), 1) }

// next finds the next event after seq that fits (dir 1), or the last before it (dir -1); 0 if there is none. If it is not known
// yet, want is the slice that has to be filled to go on, else -1.
func (x *index) next(seq evtchn.Seq, dir int) (found evtchn.Seq, want int) {
	if dir > 0 {
		for i := seq; i < x.n; { // i is the event after seq, counted from 0
			if s := i / sliceEvents; !x.known[s] {
				return 0, int(s)
			}
			if w := x.bits[i/64] >> (i % 64); w != 0 {
				return i + evtchn.Seq(bits.TrailingZeros64(w)) + 1, -1
			}
			i = (i/64 + 1) * 64
		}
		return 0, -1
	}
	for i := min(seq, x.n+1); i > 1; { // the event before i, counted from 1
		j := i - 2 // counted from 0
		if s := j / sliceEvents; !x.known[s] {
			return 0, int(s)
		}
		if w := x.bits[j/64] << (63 - j%64); w != 0 {
			return j - evtchn.Seq(bits.LeadingZeros64(w)) + 1, -1
		}
		i = j/64*64 + 1
	}
	return 0, -1
}

// filled is what a look at some slices gave.
type filled struct {
	x     *index
	parts []part
	err   error
}

type part struct {
	slice int
	bits  [sliceEvents / 64]uint64
}

// fill looks at up to n slices that are not known yet, from one on in a direction. It changes nothing.
func (x *index) fill(from, dir, n int, known func(int) bool) filled {
	out := filled{x: x}
	evs := make([]evtchn.Event, sliceEvents)
	var st *evtchn.State
	var src evtchn.Source
	next := evtchn.Seq(0)
	for s := from; s >= 0 && s < len(x.known) && n > 0; s += dir {
		if known(s) {
			src, st = nil, nil
			continue
		}
		n--
		first := evtchn.Seq(s)*sliceEvents + 1
		evs = evs[:min(sliceEvents, int(x.n-first)+1)]
		if src == nil || next != first {
			src = x.tr.Events(first)
			st = nil
		}
		for i := range evs {
			if out.err = src.Next(&evs[i]); out.err != nil {
				return out
			}
		}
		next = first + evtchn.Seq(len(evs))
		p := part{slice: s}
		if x.match.event != nil {
			for i := range evs {
				if x.match.event(&evs[i]) {
					p.bits[i/64] |= 1 << (i % 64)
				}
			}
		} else if st, out.err = x.watch(&p, st, first, evs); out.err != nil {
			return out
		}
		out.parts = append(out.parts, p)
		evs = evs[:cap(evs)]
	}
	return out
}

// watch finds where any of the conditions on the state becomes true.
func (x *index) watch(p *part, st *evtchn.State, first evtchn.Seq, evs []evtchn.Event) (*evtchn.State, error) {
	var err error
	if st == nil {
		if st, err = x.tr.StateAt(first - 1); err != nil {
			return nil, err
		}
	}
	none := evtchn.Event{}
	was := uint64(0)
	if first > 1 {
		was = x.match.state(&none, st)
	}
	for i := range evs {
		if err := apply(st, &evs[i]); err != nil {
			return nil, err
		}
		is := x.match.state(&evs[i], st)
		if is&^was != 0 {
			p.bits[i/64] |= 1 << (i % 64)
		}
		was = is
	}
	return st, nil
}

// merge takes over what was found.
func (x *index) merge(f filled) {
	for _, p := range f.parts {
		if x.known[p.slice] {
			continue
		}
		x.known[p.slice] = true
		x.left--
		for i, w := range p.bits {
			if w != 0 {
				x.bits[p.slice*(sliceEvents/64)+i] = w
				x.count += uint64(bits.OnesCount64(w))
			}
		}
	}
}

// filledMsg brings what a command found.
type filledMsg struct {
	filled
	job *job
}

// job is what the program is busy with on an index.
type job struct {
	x    *index
	dir  int
	what string
	// done is called whenever more is known; it returns the slice that it still wants, or -1.
	more func(m *Model) (want int)
}

// fillCmd looks at the next slices in a goroutine of its own.
func (j *job) fillCmd(from int) tea.Cmd {
	x, known := j.x, append([]bool(nil), j.x.known...)
	return func() tea.Msg {
		return filledMsg{x.fill(from, j.dir, jobSlices, func(i int) bool { return known[i] }), j}
	}
}
