package analyze

import (
	"context"
	"errors"
	"slices"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/replay"
)

// scene is what a recording shows around a finding.
type scene struct {
	in      *replay.Inputs // of a recording with times
	bounded *bounded       // of one without
	policy  evtchn.Policy
	opt     Options
	meta    evtchn.Meta
	clock   clock
	f       *Finding
	port    evtchn.Port

	draft  draft
	found  bool
	link   link           // the first signalling in vain; none: it has no unmask, no look
	origin evtchn.Event   // what raised the event
	nth    int            // which of its kind for the port it was, from 1
	window []evtchn.Event // the recording around it
	mates  []mate         // ports of the same vcpu that could have rung
	owner  evtchn.VCPU    // that vcpu, when the event went unnoticed
	raised map[raiser]int // how many events of the port may be what raised it
	marks  []mark
	events uint64

	spare int // a number that no physical interrupt has
}

// raiser is who may raise events of the port.
type raiser struct {
	kind evtchn.Kind
	who  uint64
}

// mark is an event that may have raised one of the port's.
type mark struct {
	seq evtchn.Seq
	nth int
}

// mate is a port that another input can ring.
type mate struct {
	port evtchn.Port
	ring evtchn.Event // the input, without its time
	what string
}

// The window of a scene begins so many events before the first that is evidence, and ends so many after the last; it has no more
// than windowMax in between.
const (
	windowMargin = 4096
	windowMax    = 1 << 18
)

// errEnough ends a run that has shown what was asked.
var errEnough = errors.New("analyze: internal error: enough")

// raises reports whether an event of the kind may be what raised its port.
func raises(k evtchn.Kind) bool {
	switch k {
	case evtchn.KindSend, evtchn.KindVIRQ, evtchn.KindPIRQ, evtchn.KindPortBind, evtchn.KindHypercall:
		return true
	}
	return false
}

// newScene runs the recording up to a little after the finding. The error is ErrNotReproduced if it does not come to it, or that of the
// trace.
func newScene(ctx context.Context, tr replay.Trace, f *Finding, opt Options) (*scene, error) {
	s := &scene{opt: opt, f: f, port: f.Port, raised: make(map[raiser]int)}
	run, err := s.open(ctx, tr)
	if err != nil {
		return nil, err
	}
	s.clock = newClock(&s.meta)
	a, err := NewAnalyzer(s.meta, opt)
	if err != nil {
		return nil, err
	}
	hi := max(f.UnnoticedSeq, 1)
	if f.UnnoticedSeq == 0 {
		hi = max(f.NoticedSeq, 1)
	}
	lo := hi
	for _, seq := range f.Evidence {
		lo = min(lo, seq)
	}
	lo = max(lo, windowMargin+1, evtchn.Seq(max(int64(hi)-windowMax, 0))) - windowMargin
	a.emitted = func(d *draft, e *ending) {
		if d.port == f.Port && d.unnoticed.seq == f.UnnoticedSeq && e.noticed.seq == f.NoticedSeq {
			s.draft, s.found = *d, true
		}
	}
	err = run(sinkFunc(func(ev *evtchn.Event) error {
		if err := a.Add(ev); err != nil {
			return err
		}
		s.events++
		if ev.Port == s.port && raises(ev.Kind) {
			k := raiser{ev.Kind, ev.Args[0]}
			s.raised[k]++
			s.marks = append(s.marks, mark{ev.Seq, s.raised[k]})
		}
		if ev.Seq < lo {
			return nil
		}
		s.window = append(s.window, *ev)
		for _, d := range []*draft{a.port(s.port).draft, a.port(s.port).drop} {
			if d != nil && d.unnoticed.seq == f.UnnoticedSeq && f.UnnoticedSeq != 0 {
				s.draft, s.found = *d, true
				s.draft.links = slices.Clone(d.links)
			}
		}
		if ev.Seq == hi {
			s.owner = a.state.PortAt(s.port).Owner
			if s.bounded == nil {
				s.mates = s.matesOf(a.state)
			}
		}
		if ev.Seq >= hi+windowMargin {
			return errEnough
		}
		return nil
	}))
	if err == nil {
		a.Finish()
	} else if err != errEnough {
		return nil, err
	}
	if !s.found || !s.findOrigin() {
		return nil, ErrNotReproduced
	}
	if len(s.draft.links) > 0 {
		s.link = s.draft.links[0]
	}
	return s, nil
}

// open finds how the recording is run, and gives a function that does so, unchanged.
func (s *scene) open(ctx context.Context, tr replay.Trace) (run func(evtchn.Sink) error, err error) {
	if s.policy, err = replay.Policy(tr); err != nil {
		return nil, err
	}
	s.meta = tr.Meta()
	if s.meta.Schedule != "" {
		if s.bounded, err = newBounded(&s.meta, s.policy); err != nil {
			return nil, err
		}
		return func(sink evtchn.Sink) error { return s.bounded.recorded(sink) }, nil
	}
	in, err := replay.ReadInputs(ctx, tr)
	if err != nil {
		return nil, err
	}
	s.in, s.meta = in, in.Meta(s.policy)
	for i := range in.Events {
		if ev := &in.Events[i]; ev.Kind == evtchn.KindPIRQ || ev.Kind == evtchn.KindOp && evtchn.OpCode(ev.Args[0]) == evtchn.OpBindPIRQ {
			n := ev.Args[0]
			if ev.Kind == evtchn.KindOp {
				n = ev.Args[1]
			}
			s.spare = max(s.spare, int(n)+1)
		}
	}
	return func(sink evtchn.Sink) error { return in.Run(ctx, in.Events, s.policy, sink) }, nil
}

// sinkFunc is a function that is a sink.
type sinkFunc func(*evtchn.Event) error

// Add calls the function.
func (f sinkFunc) Add(ev *evtchn.Event) error { return f(ev) }

// at gives the event of that number in the window, nil if it is not there.
func (s *scene) at(seq evtchn.Seq) *evtchn.Event {
	if i := s.index(seq); i >= 0 {
		return &s.window[i]
	}
	return nil
}

func (s *scene) index(seq evtchn.Seq) int {
	if len(s.window) == 0 || seq < s.window[0].Seq || seq > s.window[len(s.window)-1].Seq {
		return -1
	}
	return int(seq - s.window[0].Seq) // a simulation numbers its events without a gap
}

// findOrigin finds what raised the finding's event.
func (s *scene) findOrigin() bool {
	i := s.index(s.draft.pending.seq)
	if i < 0 {
		return false
	}
	pend := s.window[i]
	if pend.Ctx.Class() == evtchn.CtxForeign {
		for ; i >= 0; i-- {
			if ev := &s.window[i]; ev.Ctx == pend.Ctx && ev.Cause != 0 {
				return s.setOrigin(s.at(ev.Cause))
			}
		}
		return false
	}
	for ; i >= 0; i-- {
		if ev := &s.window[i]; ev.VCPU == pend.VCPU && ev.Port == s.port && (ev.Kind == evtchn.KindPortBind || ev.Kind == evtchn.KindHypercall) {
			return s.setOrigin(ev)
		}
	}
	return false
}

func (s *scene) setOrigin(ev *evtchn.Event) bool {
	if ev == nil || !raises(ev.Kind) {
		return false
	}
	for _, m := range s.marks {
		if m.seq == ev.Seq {
			s.origin, s.nth = *ev, m.nth
			return true
		}
	}
	return false
}

// matesOf lists the ports that could have been rung by one more input.
func (s *scene) matesOf(st *evtchn.State) []mate {
	var list []mate
	for p := evtchn.Port(1); int(p) < len(st.P); p++ {
		ps := st.PortAt(p)
		if p == s.port || ps.Owner != s.owner || st.Masked(p) != evtchn.Zero {
			continue
		}
		m := mate{port: p}
		switch ps.Status {
		case evtchn.PortPIRQ:
			m.ring = evtchn.Event{Kind: evtchn.KindPIRQ, VCPU: evtchn.NoVCPU, Args: [3]uint64{ps.Peer}}
			m.what = "by a physical interrupt"
		case evtchn.PortInterdomain:
			m.ring = evtchn.Event{Kind: evtchn.KindSend, VCPU: evtchn.NoVCPU, Args: [3]uint64{ps.Peer >> 32}}
			m.what = "by a send"
			if s.domain(evtchn.DomID(ps.Peer>>32)) >= 0 {
				continue // it sends when it has a request, not because somebody wants it to
			}
		case evtchn.PortVIRQ:
			m.ring = evtchn.Event{Kind: evtchn.KindVIRQ, VCPU: evtchn.NoVCPU, Args: [3]uint64{uint64(uint16(s.owner)), evtchn.VIRQTimer}}
			m.what = "by a tick"
		default:
			continue
		}
		list = append(list, m)
	}
	return list
}

// domain gives the place in the scenario of a domain whose I/O is served, -1 if it is none.
func (s *scene) domain(id evtchn.DomID) int {
	n := 0
	for i := range s.in.Scenario().Domains {
		n += s.in.Scenario().Domains[i].Count
	}
	if id >= 1 && int(id) <= n {
		return int(id) - 1
	}
	return -1
}

// domainVCPUs is how many vcpus such a domain has.
func (s *scene) domainVCPUs(i int) int {
	for _, d := range s.in.Scenario().Domains {
		if i < d.Count {
			return max(1, d.VCPUs)
		}
		i -= d.Count
	}
	return 0
}

// task gives the number of a task, -1 if there is none of that name.
func (s *scene) task(name string) int { return slices.Index(s.meta.Tasks, name) }

// taskName names a task as stories do.
func (s *scene) taskName(n int) string {
	if n >= 0 && n < len(s.meta.Tasks) && s.meta.Tasks[n] != "" {
		return s.meta.Tasks[n]
	}
	return "the task"
}

// end is when the recording ends.
func (s *scene) end() evtchn.Time {
	if n := len(s.in.Events); n > 0 {
		return s.in.Events[n-1].Time
	}
	return 0
}
