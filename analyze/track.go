package analyze

import "github.com/evtrace/evtrace/evtchn"

// step is what is kept of an event that may become evidence.
type step struct {
	seq    evtchn.Seq
	at     evtchn.Time
	arg    uint64
	port   evtchn.Port
	vcpu   evtchn.VCPU
	target evtchn.VCPU
	ctx    evtchn.Context
	task   evtchn.Context // the task on whose behalf it was done; CtxNone: not known
	kind   evtchn.Kind
	flags  evtchn.Flags
	res    uint8
}

func (s *step) ok() bool { return s.seq != 0 }

func (s *step) inferred() bool { return s.flags.Has(evtchn.FlagInferred) }

// guest reports whether the guest's own code did it, not the hypervisor.
func (s *step) guest() bool {
	return s.ctx.Class() == evtchn.CtxTask || s.ctx.Class() == evtchn.CtxUpcall
}

// vcpuTrack is what is kept of a vcpu.
type vcpuTrack struct {
	task    evtchn.Context // the task seen on it last
	call    step           // last hypercall
	xchg    step           // last taking of its SEL
	look    step           // last reading of a word
	swept   step           // its last tick that looked at every word
	gap     gap            // last gap in its records
	lastAt  evtchn.Time    // of its last record
	heard   bool           // it has one
	told    step           // last store to its UP or kick of it
	running evtchn.Port    // whose handler it runs
	sel     []selTrack     // by word, grown on demand
	waits   waits
	picked  pick // a delivery to be judged with the next event (Analyzer.deferring)
	urge    urge
	entry   step       // of the upcall under way, if it was recorded
	forced  evtchn.Seq // since when that upcall was due for the vcpu's own unmasks in vain alone; 0: it was not
}

// selTrack says who set a SEL bit: the last time, and the time before, for the bit that an upcall under way has taken.
type selTrack struct{ now, before step }

// setBy finds the step that set the SEL bit of a word which the present scan of the vcpu has taken.
func (v *vcpuTrack) setBy(word int) *step {
	if word >= len(v.sel) {
		return &step{}
	}
	if t := &v.sel[word]; t.now.seq > v.xchg.seq {
		return &t.before
	}
	return &v.sel[word].now
}

func (v *vcpuTrack) selected(word int, s step) {
	for word >= len(v.sel) {
		v.sel = append(v.sel, selTrack{})
	}
	t := &v.sel[word]
	if t.now.seq <= v.xchg.seq {
		t.before = t.now
	}
	t.now = s
}

// pick is a delivery, with what was true when it happened.
type pick struct {
	step
	own       bool // the vcpu had a SEL bit of the port's own
	lucky     bool // and nobody who had one would have looked
	exposed   bool
	exposedAt evtchn.Time
	exposedBy evtchn.Seq // the event that exposed it
	alien     bool       // the vcpu does not accept the port
	pending   bool       // there is one: the field holds a pick
}

// portTrack is what is kept of a port: its present episode, and the last of each step that its story may need.
type portTrack struct {
	// The port.
	port    evtchn.Port
	use     PortUse
	raise   step    // last send, VIRQ or PIRQ from outside
	bind    step    // last bind
	moved   step    // last EVTCHNOP_bind_vcpu
	owned   step    // last change of the guest's owner; arg: the owner before
	barred  step    // last clearing of an accept bit
	accepts step    // last change of an accept bit or of the owner
	asked   step    // last time that the guest read to which vcpu the port is bound (arg)
	notify  [2]step // last reads of the notify vcpu (arg) with different answers, the later first
	running evtchn.VCPU
	pickedS step // last delivery
	closing bool // its user has let go of it
	armed   bool // PEND has been set since the last delivery
	drop    *draft
	used    bool // it has had an event
	viaXen  bool // the capture shows an unmask of it by EVTCHNOP_unmask

	// The episode.
	set       step    // who set PEND; not ok: since before the trace
	stop      step    // mask.read that stopped the notification
	unmask    step    // last unmask
	expose    step    // what exposed it last
	found     step    // last pend.read that found it pending
	sel       step    // last setting of a SEL bit for it
	sels      [3]step // the last settings on different vcpus, the latest first
	unsure    step    // a word.read that may or may not have seen it
	masked    evtchn.Bit
	atBind    bool
	delivered bool
	open      bool // it has not ended yet: see episodes.go
	handled   step // its handler was done before PEND was cleared
	overrun   uint32
	exposures []evtchn.Time
	tie       tie // of the last unmask: it may not have been in vain
	hole      gap // records were lost that may show its handling
	draft     *draft

	shown     shown  // by console dumps
	maybe     tie    // it may have been unmasked in vain, since it was handled last
	passed    step   // then, or with FIFO: the first upcall of its vcpu, since it was exposed, that did not handle it
	passes    uint64 // how many there were
	stats     portStats
	unseen    unseen
	handledAt evtchn.Seq // last delivery, or clearing, of any episode
	over      *Episode   // what Options.Episode is told of it
	told      bool       // it is to be, now
}

// maxExposures bounds how many moments of exposure are kept of an episode, and maxLinks how many times in vain are told in full.
const (
	maxExposures = 256
	maxLinks     = 4
)

// begin starts a new episode.
func (t *portTrack) begin(set step) {
	t.set = set
	t.stop, t.unmask, t.expose, t.found, t.sel, t.unsure, t.handled = step{}, step{}, step{}, step{}, step{}, step{}, step{}
	t.sels = [3]step{}
	t.masked = evtchn.Unknown
	t.atBind, t.delivered = false, false
	t.hole, t.tie = gap{}, tie{}
	t.overrun = 0
	t.exposures = t.exposures[:0]
	t.armed = true
}

// selected keeps who set a SEL bit for the port.
func (t *portTrack) selected(s step) {
	t.sel = s
	i := 0
	for i < len(t.sels)-1 && t.sels[i].ok() && t.sels[i].target != s.target {
		i++
	}
	copy(t.sels[1:i+1], t.sels[:i])
	t.sels[0] = s
}

// selOf finds who set the vcpu's SEL bit for the port, or else any SEL bit.
func (t *portTrack) selOf(v evtchn.VCPU) step {
	for i := range t.sels {
		if s := t.sels[i]; s.ok() && s.target == v {
			return s
		}
	}
	return t.sel
}

func (t *portTrack) addExposure(at evtchn.Time) {
	if n := len(t.exposures); n < maxExposures && (n == 0 || t.exposures[n-1] != at) {
		t.exposures = append(t.exposures, at)
	}
}

// draft is a finding whose end is not yet known.
type draft struct {
	kind      Kind
	cause     Cause
	port      evtchn.Port
	owner     evtchn.VCPU
	pending   step
	exposed   bool
	exposedAt evtchn.Time
	unnoticed step
	vcpu      evtchn.VCPU // who looked away
	links     []link
	more      int // times in vain that links leaves out
	swallowed uint64
	closing   bool
	looked    bool // a vcpu has looked away, or nothing makes one look
	proof     proof
}

// link is one signalling in vain.
type link struct {
	unmask, found, sel, notify, asked, moved, barred, xchg, look, over, owned step
	tie                                                                       tie
	cause                                                                     Cause
	vcpu, owner                                                               evtchn.VCPU
	vain                                                                      bool // it was over before the wrong vcpu had looked
}
