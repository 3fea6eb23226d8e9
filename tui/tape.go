package tui

import (
	"errors"
	"fmt"
	"io"

	"github.com/evtrace/evtrace/evtchn"
)

// Sizes of what a tape keeps. A block of events is 330 kB; a state is 50 kB to 1 MB.
const (
	blockEvents  = 4096
	stateEvents  = 512 // between the states that are kept within a block
	blocksKept   = 32
	statedBlocks = 3 // of those, how many keep their states
)

// tape gives any event and any state of a trace, the same ones again and their neighbours at no cost to speak of. It keeps the
// blocks of events that were used last, and for the last few of them the states at steps of stateEvents. It belongs to one
// goroutine.
type tape struct {
	tr     Trace
	n      evtchn.Seq
	blocks map[evtchn.Seq]*block // by number
	clock  uint64

	at   evtchn.Seq // cur is the state after this event, valid if cur is not nil
	cur  *evtchn.State
	prev *evtchn.State // before it, nil if at is 0
}

type block struct {
	first  evtchn.Seq
	events []evtchn.Event
	states []*evtchn.State // before event first + i*stateEvents; nil: not asked for yet
	used   uint64
}

func newTape(tr Trace) *tape {
	return &tape{tr: tr, n: evtchn.Seq(tr.Len()), blocks: make(map[evtchn.Seq]*block)}
}

// errNoEvent is the error for an event that the trace does not have.
var errNoEvent = errors.New("no such event")

// event gives an event, valid as long as the caller does not change it.
func (t *tape) event(seq evtchn.Seq) (*evtchn.Event, error) {
	b, err := t.block(seq)
	if err != nil {
		return nil, err
	}
	return &b.events[seq-b.first], nil
}

func (t *tape) block(seq evtchn.Seq) (*block, error) {
	if seq < 1 || seq > t.n {
		return nil, fmt.Errorf("%w: #%d, the trace has #1 to #%d", errNoEvent, seq, t.n)
	}
	no := (seq - 1) / blockEvents
	t.clock++
	if b := t.blocks[no]; b != nil {
		b.used = t.clock
		return b, nil
	}
	b := &block{first: no*blockEvents + 1, used: t.clock}
	n := min(blockEvents, int(t.n-b.first)+1)
	b.events = make([]evtchn.Event, n)
	if err := readEvents(t.tr, b.first, b.events); err != nil {
		return nil, err
	}
	t.evict(blocksKept-1, func(b *block) bool { return true }, func(no evtchn.Seq) { delete(t.blocks, no) })
	t.blocks[no] = b
	return b, nil
}

// readEvents fills evs with the events from one on.
func readEvents(tr Trace, from evtchn.Seq, evs []evtchn.Event) error {
	src := tr.Events(from)
	for i := range evs {
		if err := src.Next(&evs[i]); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("event %d: %w", from+evtchn.Seq(i), err)
		}
	}
	return nil
}

// evict drops the blocks that were used longest ago until at most keep of those that count are left.
func (t *tape) evict(keep int, counts func(*block) bool, drop func(evtchn.Seq)) {
	for {
		n := 0
		var oldest evtchn.Seq
		var used uint64
		for no, b := range t.blocks {
			if !counts(b) {
				continue
			}
			n++
			if used == 0 || b.used < used {
				oldest, used = no, b.used
			}
		}
		if n <= keep {
			return
		}
		drop(oldest)
	}
}

// seek makes cur the state after an event, and prev that before it.
func (t *tape) seek(seq evtchn.Seq) (err error) {
	if seq > t.n {
		return fmt.Errorf("%w: #%d, the trace has #1 to #%d", errNoEvent, seq, t.n)
	}
	if t.cur != nil && t.at == seq {
		return nil
	}
	if seq == 0 {
		st, err := t.tr.StateAt(0)
		if err != nil {
			return err
		}
		t.cur, t.prev, t.at = st, nil, 0
		return nil
	}
	b, err := t.block(seq)
	if err != nil {
		return err
	}
	var st *evtchn.State
	var at evtchn.Seq
	if t.cur != nil && t.at < seq && seq-t.at <= stateEvents {
		st, at = t.cur, t.at
	} else {
		if err := t.state(b); err != nil {
			return err
		}
		i := (seq - b.first) / stateEvents
		st, at = b.states[i].Clone(), b.first+i*stateEvents-1
	}
	t.cur = nil // not valid if the following fails
	for ; at+1 < seq; at++ {
		ev, err := t.event(at + 1)
		if err != nil {
			return err
		}
		if err := apply(st, ev); err != nil {
			return err
		}
	}
	prev := st.Clone()
	ev, err := t.event(seq)
	if err != nil {
		return err
	}
	if err := apply(st, ev); err != nil {
		return err
	}
	t.cur, t.prev, t.at = st, prev, seq
	return nil
}

// state makes sure that a block has its states.
func (t *tape) state(b *block) error {
	if b.states != nil {
		return nil
	}
	st, err := t.tr.StateAt(b.first - 1)
	if err != nil {
		return err
	}
	var states []*evtchn.State
	for i := range b.events {
		if i%stateEvents == 0 {
			states = append(states, st.Clone())
		}
		if err := apply(st, &b.events[i]); err != nil {
			return err
		}
	}
	t.evict(statedBlocks-1, func(b *block) bool { return b.states != nil }, func(no evtchn.Seq) { t.blocks[no].states = nil })
	b.states = states
	return nil
}

// errMisfit is the error for an event that no machine of the trace's dimensions can have, in a file made by hand.
var errMisfit = errors.New("does not fit the machine")

func apply(st *evtchn.State, ev *evtchn.Event) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("event %v %w: %v", ev, errMisfit, r)
		}
	}()
	st.Apply(ev)
	return nil
}
