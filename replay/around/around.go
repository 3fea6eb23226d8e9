package around

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/replay"
)

// Outcome is what a judge says of a run.
type Outcome struct {
	Verdict string // in a word: clean, late, lost, ...
	Again   bool   // what the neighbourhood is about goes wrong in it as well
	Story   string // the worst that is wrong, in a few words; "" for nothing
}

// Judge judges a run: play gives its events to a sink, once. A judge must be safe for concurrent use.
type Judge func(meta evtchn.Meta, play func(evtchn.Sink) error) (Outcome, error)

// Options say which neighbours are tried. From and Until are needed, of a recording in time.
type Options struct {
	From, Until evtchn.Seq  // the window: the steps that are held back, or for which others are
	Port        evtchn.Port // that it is about; NoPort: all

	// Preemptions is how many times in a run somebody is kept from a step for a while; 0: never. Of an explored schedule, how many
	// choices are made otherwise; 0: one.
	Preemptions int
	For         evtchn.Time // how long, in ns; 0: 100 us
	Reach       evtchn.Time // how far from the window the partner of a step may be, in ns; 0: 2 ms
	Max         int         // neighbours that are tried at most; 0: 500
	Workers     int         // goroutines; 0: as many as there are processors to use. The result does not depend on it

	Progress func(tried, of int) // called now and then, from one goroutine at a time

	_ struct{}
}

const (
	defaultFor   = evtchn.Time(100_000)
	defaultReach = evtchn.Time(2_000_000)
	defaultMax   = 500
)

// ErrWindow is the class of errors about a window that the trace does not have.
var ErrWindow = errors.New("bad window")

func (o *Options) validate() error {
	if o.From < 1 || o.Until < o.From {
		return fmt.Errorf("%w: steps %d to %d, want the first from 1 on and the last not before it", ErrWindow, o.From, o.Until)
	}
	if o.Preemptions < 0 || o.Max < 0 || o.For < 0 || o.Reach < 0 {
		return fmt.Errorf("around: a number of the options is negative")
	}
	return nil
}

func (o *Options) defaults() {
	if o.For == 0 {
		o.For = defaultFor
	}
	if o.Reach == 0 {
		o.Reach = defaultReach
	}
	if o.Max == 0 {
		o.Max = defaultMax
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
}

// Neighbour is a run that differs in little from the recorded one.
type Neighbour struct {
	N       int        // its number, from 1
	Changes []Change   // what was changed, in order
	Departs evtchn.Seq // the step of the recording that does not come at its time
	Ways    int        // changes that come to the same steps as this one, itself included
	Events  uint64
	Outcome Outcome

	inputs   func() []evtchn.Event
	schedule string
	view     *view
}

// Result is a neighbourhood.
type Result struct {
	Recorded   Outcome
	Neighbours []Neighbour
	Tried      int  // changes that were made
	Same       int  // of those, that came to the same steps as the recording, or as an earlier neighbour
	Left       int  // changes that were found and not tried, because of Options.Max
	Stopped    bool // the context ended it first: Neighbours are those known by then

	meta evtchn.Meta
	play func(ctx context.Context, n *Neighbour, sink evtchn.Sink) (evtchn.Meta, error)
}

// Complete reports whether everything that was found was tried.
func (r *Result) Complete() bool { return r.Left == 0 && !r.Stopped }

// Meta describes the traces of neighbours that are recordings in time.
func (r *Result) Meta() evtchn.Meta { return r.meta }

// Play gives a neighbour, event by event, to the sink that open makes for its meta. Errors are those of open and of the sink.
func (r *Result) Play(ctx context.Context, n *Neighbour, open func(evtchn.Meta) (evtchn.Sink, error)) error {
	return r.playTo(ctx, n, open)
}

// candidate is a change that is to be made to a run.
type candidate struct {
	changes []Change
	departs evtchn.Seq
	inputs  func() []evtchn.Event // made when they are wanted: a list of them for each candidate would take all memory
	from    evtchn.Time           // from which on it may differ from what it was made of
	keep    bool                  // further changes are to be made to it
}

// Run tries the neighbours of a trace. A context that ends is no error: the result says what was known by then. Errors are
// replay.ErrObserved, of class ErrWindow or replay.ErrDivergence, and those of the trace and of the judge.
func Run(ctx context.Context, tr replay.Trace, judge Judge, opt Options) (*Result, error) {
	meta := tr.Meta()
	opt.defaults()
	if meta.Schedule != "" {
		return runBounded(ctx, &meta, judge, &opt)
	}
	if err := opt.validate(); err != nil {
		return nil, err
	}
	r, err := newRunner(ctx, tr, judge)
	if err != nil {
		return nil, err
	}
	lo, hi, err := times(tr, &opt)
	if err != nil {
		return nil, err
	}
	v := &view{lo: lo - opt.Reach, hi: hi + opt.Reach}
	base, err := r.run(ctx, r.in.Events, lo, v)
	if err != nil {
		return nil, err
	}
	if err := compare(tr, v); err != nil {
		return nil, err
	}
	res := &Result{Recorded: base.outcome, meta: r.meta}
	res.play = func(ctx context.Context, n *Neighbour, sink evtchn.Sink) (evtchn.Meta, error) {
		return r.meta, r.in.Run(ctx, n.inputs(), r.policy, sink)
	}
	f := &finder{v: v, bits: r.meta.WordBits, from: opt.From, until: opt.Until, port: opt.Port, length: opt.For}
	edits := slices.Concat(f.reorders(), f.swaps())
	if opt.Preemptions > 0 {
		edits = f.all()
	}
	level := f.candidates(nil, func() []evtchn.Event { return r.in.Events }, edits)
	for i := range level {
		level[i].keep = opt.Preemptions > 1 && stopping(level[i].changes)
	}
	t := &trier{r: r, opt: &opt, res: res, prints: map[uint64]int{base.print: -1}, lo: lo - opt.Reach, hi: hi}
	for depth := 1; len(level) > 0; depth++ {
		from := len(res.Neighbours)
		if err := t.try(ctx, level); err != nil {
			return nil, err
		}
		if depth >= opt.Preemptions || res.Stopped {
			break
		}
		level = level[:0]
		for i := from; i < len(res.Neighbours); i++ {
			level = append(level, t.further(&res.Neighbours[i], depth+1 < opt.Preemptions)...)
		}
	}
	return res, nil
}

func stopping(cs []Change) bool {
	for i := range cs {
		if cs[i].Kind != Preempt && cs[i].Kind != Hold {
			return false
		}
	}
	return true
}

// candidates makes runs of the changes to one.
func (f *finder) candidates(before []Change, inputs func() []evtchn.Event, edits []edit) []candidate {
	var all []candidate
	for i := range edits {
		e := &edits[i]
		all = append(all, candidate{changes: append(slices.Clone(before), e.change), departs: e.change.First.Seq,
			inputs: func() []evtchn.Event { return f.apply(inputs(), e) }, from: e.at})
	}
	return all
}

// trier tries candidates.
type trier struct {
	r      *runner
	opt    *Options
	res    *Result
	prints map[uint64]int // to neighbours; -1: the recording
	lo, hi evtchn.Time
}

// try runs candidates, in parallel, and adds those that come to something new, in order.
func (t *trier) try(ctx context.Context, level []candidate) error {
	if room := t.opt.Max - t.res.Tried; len(level) > room {
		t.res.Left += len(level) - room
		level = level[:room]
	}
	rans := make([]*ran, len(level))
	errs := make([]error, len(level))
	var done atomic.Int64
	var telling sync.Mutex
	each(t.opt.Workers, len(level), func(i int) {
		if ctx.Err() != nil {
			return
		}
		c := &level[i]
		var look *view
		if c.keep {
			look = &view{lo: c.from, hi: t.hi + t.opt.For*evtchn.Time(len(c.changes))}
		}
		got, err := t.r.run(ctx, c.inputs(), t.lo, look)
		if err == nil {
			rans[i] = &got
		} else if ctx.Err() == nil {
			errs[i] = err
		}
		n := int(done.Add(1))
		if t.opt.Progress != nil && telling.TryLock() {
			t.opt.Progress(t.res.Tried+n, t.res.Tried+len(level))
			telling.Unlock()
		}
	})
	for i := range level {
		if errs[i] != nil {
			return fmt.Errorf("%s: %w", level[i].changes[len(level[i].changes)-1].Text(&t.r.meta), errs[i])
		}
	}
	t.res.Stopped = t.res.Stopped || ctx.Err() != nil
	for i := range level {
		got, c := rans[i], &level[i]
		if got == nil {
			continue
		}
		t.res.Tried++
		if at, ok := t.prints[got.print]; ok {
			t.res.Same++
			if at >= 0 {
				t.res.Neighbours[at].Ways++
			}
			continue
		}
		t.prints[got.print] = len(t.res.Neighbours)
		t.res.Neighbours = append(t.res.Neighbours, Neighbour{N: len(t.res.Neighbours) + 1, Changes: c.changes, Departs: c.departs, Ways: 1,
			Events: got.events, Outcome: got.outcome, inputs: c.inputs, view: got.view})
	}
	return nil
}

// further finds the changes that can be made to a neighbour after those that were.
func (t *trier) further(n *Neighbour, keep bool) []candidate {
	if n.view == nil {
		return nil
	}
	last := n.Changes[len(n.Changes)-1]
	f := &finder{v: n.view, bits: t.r.meta.WordBits, from: last.First.Seq + 1, until: ^evtchn.Seq(0), port: t.opt.Port, length: t.opt.For}
	cs := f.candidates(n.Changes, n.inputs, f.stops())
	for i := range cs {
		cs[i].departs, cs[i].keep = n.Departs, keep
	}
	n.view = nil
	return cs
}

// each calls do for 0 to n-1 on so many goroutines.
func each(workers, n int, do func(i int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(workers, n) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	wg.Wait()
}

// times finds the times of the window's ends.
func times(tr replay.Trace, opt *Options) (lo, hi evtchn.Time, err error) {
	var ev evtchn.Event
	src := tr.Events(opt.From)
	for n := 0; ; n++ {
		switch err := src.Next(&ev); {
		case err == io.EOF:
			return 0, 0, fmt.Errorf("%w: steps %d to %d, and the trace has %d", ErrWindow, opt.From, opt.Until, max(ev.Seq, evtchn.Seq(tr.Meta().Events)))
		case err != nil:
			return 0, 0, err
		}
		if n == 0 {
			lo = ev.Time
		}
		if ev.Seq >= opt.Until {
			return lo, ev.Time, nil
		}
	}
}

// compare makes sure that the recorded system does again what the trace says.
func compare(tr replay.Trace, v *view) error {
	if len(v.steps) == 0 {
		return nil
	}
	var ev evtchn.Event
	src := tr.Events(v.steps[0].ev.Seq)
	for i := range v.steps {
		switch err := src.Next(&ev); {
		case err == io.EOF:
			return nil // a trace that was cut short
		case err != nil:
			return err
		}
		if ev != v.steps[i].ev {
			was := ev
			return &replay.Divergence{Seq: ev.Seq, Recorded: &was, Replayed: &v.steps[i].ev}
		}
	}
	return nil
}

// playTo opens a sink and plays into it.
func (r *Result) playTo(ctx context.Context, n *Neighbour, open func(evtchn.Meta) (evtchn.Sink, error)) error {
	var sink evtchn.Sink
	var err error
	meta := r.meta
	if n.schedule != "" {
		meta.Schedule = n.schedule
	}
	if sink, err = open(meta); err != nil {
		return err
	}
	_, err = r.play(ctx, n, sink)
	return err
}
