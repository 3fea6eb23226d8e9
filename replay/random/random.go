package random

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/system"
	"github.com/evtrace/evtrace/replay/around"
	"github.com/evtrace/evtrace/replay/explore"
)

// Options say how schedules are drawn.
type Options struct {
	Seed    uint64      // of the first run; those that follow have the seeds that follow
	Inputs  uint64      // seed of a timed scenario's inputs, the same for all runs
	Depth   int         // of PCT; 0: a walk
	Horizon evtchn.Time // of a timed scenario, in ns: what is due so long after the first thing that is may come before it; 0: 20 us
	Workers int         // goroutines; 0: as many as there are processors to use. The result does not depend on it

	Progress func(runs int) // called now and then, from one goroutine at a time

	_ struct{}
}

const defaultHorizon = evtchn.Time(20_000)

// maxChoices is how many choices a run of a bounded scenario may have: none has nearly as many.
const maxChoices = 100_000

// MaxDepth is the greatest depth of PCT that is taken.
const MaxDepth = 100

// Run is a run of one seed.
type Run struct {
	Seed    uint64
	Events  uint64
	Choices uint64 // between several things that could happen
	Outcome around.Outcome
}

// Result is what came of several runs.
type Result struct {
	Runs     []Run // in the order of their seeds, those that were done
	Contexts int   // different ones among which was chosen in the first run
	Choices  uint64
	// Bound is the least probability with which one run of PCT finds a bug of its depth, and Found that of all runs together. 0: a walk
	Bound, Found float64
	Stopped      bool // the context ended it first
}

// Walker draws schedules of one scenario under one policy.
type Walker struct {
	sc     *system.Scenario
	policy evtchn.Policy
	judge  around.Judge
	opt    Options
	sys    *explore.System // of a bounded scenario
	n      int             // as the first run has them
	k      uint64
}

// ErrOptions is the class of errors about options.
var ErrOptions = errors.New("bad options")

// New prepares runs of a scenario, and measures the first one. Errors are those of the scenario, and of class ErrOptions.
func New(ctx context.Context, sc *system.Scenario, p evtchn.Policy, judge around.Judge, opt Options) (*Walker, error) {
	if opt.Depth < 0 || opt.Depth > MaxDepth || opt.Horizon < 0 {
		return nil, fmt.Errorf("%w: depth %d, horizon %d ns, want 0 to %d and 0 or more", ErrOptions, opt.Depth, opt.Horizon, MaxDepth)
	}
	if opt.Horizon == 0 {
		opt.Horizon = defaultHorizon
	}
	if opt.Workers <= 0 {
		opt.Workers = runtime.GOMAXPROCS(0)
	}
	w := &Walker{sc: sc, policy: p, judge: judge, opt: opt}
	if sc.Bounded != nil {
		var err error
		if w.sys, err = explore.New(sc, p); err != nil {
			return nil, err
		}
	}
	d := newDrawer(opt.Inputs, 1, 0) // always the same, whatever seeds come
	if err := w.play(ctx, d, func(evtchn.Meta) (evtchn.Sink, error) { return sinkFunc(func(*evtchn.Event) error { return nil }), nil }); err != nil {
		return nil, err
	}
	w.n, w.k = len(d.prio), d.n
	return w, nil
}

type sinkFunc func(*evtchn.Event) error

func (f sinkFunc) Add(ev *evtchn.Event) error { return f(ev) }

// Explore makes so many runs. A context that ends is no error: the result has the runs that were done.
func (w *Walker) Explore(ctx context.Context, runs int) (*Result, error) {
	done := make([]*Run, runs)
	errs := make([]error, runs)
	var next, n atomic.Int64
	var wg sync.WaitGroup
	var telling sync.Mutex
	for range min(w.opt.Workers, runs) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < runs && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				r, err := w.run(ctx, w.opt.Seed+uint64(i))
				if err == nil {
					done[i] = r
				} else if ctx.Err() == nil {
					errs[i] = err
				}
				k := int(n.Add(1))
				if w.opt.Progress != nil && telling.TryLock() {
					w.opt.Progress(k)
					telling.Unlock()
				}
			}
		})
	}
	wg.Wait()
	res := &Result{Contexts: w.n, Choices: w.k, Stopped: ctx.Err() != nil}
	for i := range done {
		if errs[i] != nil {
			return nil, fmt.Errorf("seed %d: %w", w.opt.Seed+uint64(i), errs[i])
		}
		if done[i] != nil {
			res.Runs = append(res.Runs, *done[i])
		}
	}
	if w.opt.Depth > 0 {
		res.Bound = 1 / (float64(max(w.n, 1)) * math.Pow(float64(max(w.k, 1)), float64(w.opt.Depth-1)))
		res.Found = -math.Expm1(float64(len(res.Runs)) * math.Log1p(-min(res.Bound, 1-1e-12)))
	}
	return res, nil
}

// run makes the run of a seed and has it judged.
func (w *Walker) run(ctx context.Context, seed uint64) (*Run, error) {
	r := &Run{Seed: seed}
	d := newDrawer(seed, w.opt.Depth, w.k)
	if w.sys != nil {
		return r, w.runBounded(d, r)
	}
	out, err := w.judge(w.meta(nil), func(sink evtchn.Sink) error {
		return w.play(ctx, d, func(evtchn.Meta) (evtchn.Sink, error) {
			return sinkFunc(func(ev *evtchn.Event) error {
				r.Events++
				return sink.Add(ev)
			}), nil
		})
	})
	r.Choices, r.Outcome = d.n, out
	return r, err
}

// runBounded does so for a bounded scenario. What the judge calls clean and package explore does not is called by that one's name.
func (w *Walker) runBounded(d *drawer, r *Run) error {
	cs, bad := w.walk(d)
	tr, err := w.sys.Trace(cs)
	if err != nil {
		return err
	}
	r.Events, r.Choices = uint64(len(tr.Events)), d.n
	r.Outcome, err = w.judge(tr.Meta, func(sink evtchn.Sink) error { return feed(tr, sink) })
	if names := bad.Names(); len(names) > 0 && r.Outcome.Verdict == "clean" {
		r.Outcome.Verdict, r.Outcome.Story = names[0], names[0]
	}
	return err
}

func feed(tr *explore.Trace, sink evtchn.Sink) error {
	for i := range tr.Events {
		if err := sink.Add(&tr.Events[i]); err != nil {
			return err
		}
	}
	return nil
}

// walk makes choices in a bounded system until there are none, and says what was wrong.
func (w *Walker) walk(d *drawer) (cs []explore.Choice, bad explore.Kinds) {
	world := w.sys.Start()
	var all []explore.Choice
	var could []who
	for range maxChoices {
		var must int
		if all, must = world.Choices(all[:0]); must == 0 {
			bad |= world.Judge() & explore.AtRest
		}
		if len(all) == 0 {
			break
		}
		i := 0
		if len(all) > 1 {
			could = could[:0]
			for _, c := range all {
				could = append(could, who(c))
			}
			i = d.pick(could)
		}
		cs = append(cs, all[i])
		bad |= world.Do(all[i], nil)
	}
	return cs, bad
}

// Play makes the run of a seed again, into the sink that open makes for its meta. Errors are those of open and of the sink.
func (w *Walker) Play(ctx context.Context, seed uint64, open func(evtchn.Meta) (evtchn.Sink, error)) error {
	return w.play(ctx, newDrawer(seed, w.opt.Depth, w.k), open)
}

func (w *Walker) meta(s *system.System) evtchn.Meta {
	if s == nil {
		var err error
		if s, err = w.system(); err != nil {
			panic("random: internal error: " + err.Error()) // New made one
		}
	}
	m := s.Meta()
	m.Complete = true
	return m
}

func (w *Walker) system() (*system.System, error) {
	return system.New(w.sc, w.opt.Inputs, w.policy, system.Inputs(w.sc, w.opt.Inputs))
}

func (w *Walker) play(ctx context.Context, d *drawer, open func(evtchn.Meta) (evtchn.Sink, error)) error {
	if w.sys != nil {
		cs, _ := w.walk(d)
		tr, err := w.sys.Trace(cs)
		if err != nil {
			return err
		}
		sink, err := open(tr.Meta)
		if err != nil {
			return err
		}
		return feed(tr, sink)
	}
	s, err := w.system()
	if err != nil {
		return err
	}
	var buf []who
	s.Steer(w.opt.Horizon, func(_ evtchn.Time, could []system.Due) int {
		buf = buf[:0]
		for i := range could {
			buf = append(buf, who(could[i].Turn)<<32|who(uint32(could[i].Which)))
		}
		return d.pick(buf)
	})
	meta := w.meta(s)
	sink, err := open(meta)
	if err != nil {
		return err
	}
	var ev evtchn.Event
	for n := 0; ; n++ {
		if n&0xfff == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		switch err := s.Next(&ev); {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
		if err := sink.Add(&ev); err != nil {
			return err
		}
	}
}
