package predict

import (
	"errors"

	"github.com/evtrace/evtrace/evtchn"
)

// ErrFIFO is the error for a capture with the FIFO ABI, whose procedures this package does not have.
var ErrFIFO = errors.New("a capture with the FIFO ABI cannot be predicted: evtrace has the procedures of the 2-level ABI alone")

// ErrSource is the error for a trace that is not a capture: a recording is run again, not predicted.
var ErrSource = errors.New("not a capture: a recording is replayed, not predicted")

// Options change how a prediction is made. The zero value is good.
type Options struct {
	// Seed is that of the draws. Each draw depends on it, on the operation and on the port, and on nothing else.
	Seed uint64
	// MaxEpisodes is how many episodes are told one by one, the first ones. 0: 1,000.
	MaxEpisodes int

	_ struct{}
}

const defaultMaxEpisodes = 1000

// Prediction turns the events of a capture into those that it might have had under a policy. It is an evtchn.Sink, and gives its events to
// another.
type Prediction struct {
	to      evtchn.Sink
	err     error // the sink's
	policy  evtchn.Policy
	opt     Options
	samples *Samples
	obs     *evtchn.State // what the events of the capture add up to
	pre     *evtchn.State // what those of the prediction do
	b       *bench
	timers  []evtchn.Port // by vcpu, for the tick

	seq   evtchn.Seq
	now   evtchn.Time
	looks looks
	drawn bool // the look in work is a drawn one
	lanes []lane
	cpus  []cpu
	ports []portNote // by port, grown on demand
	log   episodes
	out   Outcome
}

// lane is what is known of one context of the capture: a vcpu's task, its upcall, a path of the hypervisor.
type lane struct {
	rerun   evtchn.Port // the rest of the operation on this port is not passed on: it was run again, or is left out
	call    bool        // and so is the return from its hypercall
	binding evtchn.Hypercall
	bound   evtchn.Port // the port that the hypercall under way has bound
	moved   evtchn.Port // the guest's part of the move of this port is not passed on: it was run again
}

// cpu is what is known of a vcpu.
type cpu struct {
	took    uint64      // the SEL word that the scan under way took, in the prediction
	seen    uint64      // and in the capture
	handled uint64      // ports handled by the upcall under way, in the prediction
	gone    evtchn.Port // the handler that runs in the capture, and not in the prediction
	again   bool        // a look is due when the upcall under way ends
}

// portNote is what is known of a port beside the two states.
type portNote struct {
	unmaskGone bool        // the unmask to come answers a handler that does not run in the prediction
	fresh      bool        // bound, and not yet handed to its user
	opened     bool        // policy bind=unmasked has unmasked it already
	unsure     bool        // the policy would have lost it at its last unmask, had it been pending then
	unmasked   evtchn.Time // when that was
	handed     uint8       // how often it was handed on since it was handled last
	unkicked   bool        // everything was set for its vcpu, which nobody kicked
	unclear    bool        // and UP is among it: the vcpu may look of its own
}

// New predicts the events of a capture under a policy, and gives them to a sink. samples are those of the same capture. Errors are ErrSource, ErrFIFO and those of
// evtchn.NewState.
func New(meta evtchn.Meta, p evtchn.Policy, samples *Samples, to evtchn.Sink, opt Options) (*Prediction, error) {
	if err := Refuse(meta); err != nil {
		return nil, err
	}
	if opt.MaxEpisodes <= 0 {
		opt.MaxEpisodes = defaultMaxEpisodes
	}
	obs, err := evtchn.NewState(meta)
	if err != nil {
		return nil, err
	}
	p = Reduce(p)
	b, err := newBench(meta, p)
	if err != nil {
		return nil, err
	}
	n := len(obs.V)
	return &Prediction{to: to, policy: p, opt: opt, samples: samples, obs: obs, pre: obs.Clone(), b: b, timers: make([]evtchn.Port, n),
		lanes: make([]lane, 2*n+1), cpus: make([]cpu, n), log: newEpisodes(opt.MaxEpisodes)}, nil
}

// Refuse says why a trace with that meta cannot be predicted, or nil.
func Refuse(meta evtchn.Meta) error {
	switch {
	case meta.Source != evtchn.SourceObserved:
		return ErrSource
	case meta.ABI == "fifo":
		return ErrFIFO
	}
	return nil
}

// Add takes the next event of the capture. The error is that of the sink.
func (p *Prediction) Add(ev *evtchn.Event) error {
	for {
		l, ok := p.looks.due(ev.Time)
		if !ok {
			break
		}
		p.drawnLook(l)
	}
	p.take(ev)
	return p.err
}

// Finish ends the prediction where the capture ends, and says what was found. The error is that of the sink.
func (p *Prediction) Finish() (*Outcome, error) {
	p.out.Episodes, p.out.Departures = p.log.finish()
	return &p.out, p.err
}

// emit gives out an event of the prediction.
func (p *Prediction) emit(ev evtchn.Event) {
	p.seq++
	p.now = max(p.now, ev.Time)
	ev.Seq, ev.Time, ev.Cause = p.seq, p.now, 0
	p.pre.Apply(&ev)
	p.log.unnoticed(p.pre, false)
	if p.err == nil {
		p.err = p.to.Add(&ev)
	}
}

// depart notes that the event of the capture does not happen so. What happens instead is the event given out next.
func (p *Prediction) depart(ev *evtchn.Event) {
	p.out.Reruns++
	if p.out.Departed == nil {
		c := *ev
		p.out.Departed = &c
	}
}

// instead notes what happens in the place of the first departure.
func (p *Prediction) instead(ev *evtchn.Event) {
	if p.out.Departed != nil && p.out.Instead == nil {
		c := *ev
		p.out.Instead = &c
	}
}

func (p *Prediction) note(q evtchn.Port) *portNote {
	if int(q) >= len(p.ports) {
		p.ports = append(p.ports, make([]portNote, int(q)+1-len(p.ports))...)
	}
	return &p.ports[q]
}

// lane finds the context of an event of the capture.
func (p *Prediction) lane(ev *evtchn.Event) *lane {
	n := len(p.cpus)
	switch {
	case ev.VCPU >= 0 && p.obs.V[ev.VCPU].InUpcall:
		return &p.lanes[n+int(ev.VCPU)]
	case ev.VCPU >= 0:
		return &p.lanes[ev.VCPU]
	}
	l := 2 * n
	if ev.Ctx.Class() == evtchn.CtxForeign {
		l += 1 + ev.Ctx.Num()
	}
	for l >= len(p.lanes) {
		p.lanes = append(p.lanes, lane{})
	}
	return &p.lanes[l]
}

// alike reports whether a port is the same in the capture and in the prediction.
func (p *Prediction) alike(q evtchn.Port) bool {
	if p.obs.Pending(q) != p.pre.Pending(q) || p.obs.Masked(q) != p.pre.Masked(q) {
		return false
	}
	o, r := p.obs.PortAt(q), p.pre.PortAt(q)
	return o.Owner == r.Owner && o.Notify == r.Notify
}

// told reports whether a vcpu's SEL bit for the port is the same in both.
func (p *Prediction) told(v evtchn.VCPU, q evtchn.Port) bool {
	w := p.obs.Word(q)
	return v < 0 || p.obs.Selected(v, w) == p.pre.Selected(v, w)
}

// notify gives the vcpu that Xen tells of the port, or NoVCPU.
func notify(s *evtchn.State, q evtchn.Port) evtchn.VCPU {
	ps := s.PortAt(q)
	v := ps.Notify
	if v < 0 {
		v = ps.Owner
	}
	if int(v) >= len(s.V) {
		return evtchn.NoVCPU
	}
	return v
}

// owner gives the vcpu that handles the port, or NoVCPU.
func owner(s *evtchn.State, q evtchn.Port) evtchn.VCPU {
	v := s.PortAt(q).Owner
	if v < 0 || int(v) >= len(s.V) {
		return evtchn.NoVCPU
	}
	return v
}

// Reduce takes from a policy what a prediction does not tell apart: two policies that are alike then have the same predictions.
func Reduce(p evtchn.Policy) evtchn.Policy {
	p.Ack, p.Send = evtchn.Ack2005, evtchn.SendPlain
	if p.Upcall == evtchn.UpcallSnapshot {
		p.Upcall = evtchn.Upcall2005
	}
	if p.Rebind == evtchn.Rebind2021 {
		p.Rebind = evtchn.Rebind2013
	}
	return p
}
