package analyze

import (
	"errors"
	"fmt"
	"io"
	"math/bits"

	"github.com/evtrace/evtrace/evtchn"
)

// Options say what counts as a finding, and how many are kept.
type Options struct {
	// LateAfter is the bound past which an event that was noticed counts as late, in the units of the trace. 0: none.
	LateAfter evtchn.Time
	// MaxFindings is how many findings of each kind a report holds, the first ones; the others are counted, by kind, cause and
	// port (Report.Groups). So that no port is hidden by another, the first finding of each further port is held, too, for
	// at most 256 ports of each kind. 0: 10,000.
	MaxFindings int
	// Episode is told of each episode when it is over, and of each finding. The episode is valid during the call. nil: nobody is.
	Episode func(*Episode)
	_       struct{}
}

const defaultMaxFindings = 10_000

func (o *Options) validate() error {
	switch {
	case o.LateAfter < 0:
		return fmt.Errorf("analyze: LateAfter is %d, want 0 or more", o.LateAfter)
	case o.MaxFindings < 0:
		return fmt.Errorf("analyze: MaxFindings is %d, want 0 or more", o.MaxFindings)
	case o.MaxFindings == 0:
		o.MaxFindings = defaultMaxFindings
	}
	return nil
}

// ErrOrder is the class of errors about events whose numbers do not increase.
var ErrOrder = errors.New("analyze: events out of order")

// Analyzer judges the events of one trace as they come. It is an evtchn.Sink.
type Analyzer struct {
	meta  evtchn.Meta
	opt   Options
	clock clock
	state *evtchn.State

	v         []vcpuTrack
	ports     []*portTrack // by port; nil: nothing known of it
	fifo      bool         // the ABI has queues, of which nothing is known, in place of selectors
	anyVCPU   bool         // the policy lets every vcpu handle every port, or hands it on: a SEL bit is never on a wrong vcpu
	deferring bool         // the policy lets a vcpu step back from a port that it has picked: judge with the next event
	gapAll    gap          // last gap of which the vcpu is not known
	holes     holes        // all gaps but a lost beginning

	last       evtchn.Seq
	first, now evtchn.Time
	events     uint64
	gaps       uint64
	counts     [256]uint64
	costs      Costs
	totals     Totals
	latency    histogram
	excused    uint64 // deliveries past the bound whose vcpu was descheduled

	maxDescheduled evtchn.Time // how long of the longest latency its vcpu was descheduled

	tally       tally
	model       model
	slowest     evtchn.Time // delivery of an event that was signalled as it should be
	findings    []Finding
	endRecorded bool
	gapInside   bool   // records were lost after the first that was kept
	beginLost   uint64 // gaps before the first record that was kept
	unmasks     uint64 // that were recorded, or deduced from the hypercall's record
	unseen      uint64 // unmasks that are not among the records, as the handling of a masked port shows
	aboutPorts  bool   // there is a record about a port
	sweeps      bool   // the policy's tick looks at every word
	requests    Requests

	dumpNo uint64 // of the console dump under way

	emitted func(d *draft, e *ending) // of every finding, counted or not; nil: nobody asks

	slowestRequest evtchn.Time
	told           []*portTrack // whose episodes Options.Episode is to be told of
	domains        []*requestTrack
}

// NewAnalyzer gives an analyzer for a trace with that meta. Errors are those of evtchn.NewState, or about the options.
func NewAnalyzer(meta evtchn.Meta, opt Options) (*Analyzer, error) {
	if err := opt.validate(); err != nil {
		return nil, err
	}
	s, err := evtchn.NewState(meta)
	if err != nil {
		return nil, err
	}
	a := &Analyzer{meta: meta, opt: opt, clock: newClock(&meta), state: s, v: make([]vcpuTrack, len(s.V)), latency: newHistogram(), tally: newTally()}
	a.fifo = meta.ABI == "fifo"
	if p, err := evtchn.ParsePolicy(meta.Policy); err == nil && !s.Observed {
		a.follow(p)
		a.deferring = p.Ack == evtchn.Ack2021
	}
	return a, nil
}

// follow makes the judgement one of a system under that policy: who may come to look at a port that nobody was told of.
func (a *Analyzer) follow(p evtchn.Policy) {
	a.anyVCPU = p.Upcall == evtchn.UpcallAny || p.Upcall == evtchn.UpcallResend
	a.sweeps = p.Tick == evtchn.TickSweep
}

// Run judges all events of a source. If the source has a method FinalMeta, as an importer has, that is asked at the end for what the
// trace says about itself. Errors of the source are returned as they are.
func Run(meta evtchn.Meta, src evtchn.Source, opt Options) (*Report, error) {
	a, err := NewAnalyzer(meta, opt)
	if err != nil {
		return nil, err
	}
	var ev evtchn.Event
	for {
		if err := src.Next(&ev); err == io.EOF {
			if f, ok := src.(interface{ FinalMeta() evtchn.Meta }); ok {
				a.SetMeta(f.FinalMeta())
			}
			return a.Finish(), nil
		} else if err != nil {
			return nil, err
		}
		if err := a.Add(&ev); err != nil {
			return nil, err
		}
	}
}

// Add judges the next event. The error is of class ErrOrder; the event is then not counted.
func (a *Analyzer) Add(ev *evtchn.Event) error {
	if ev.Seq <= a.last {
		return fmt.Errorf("%w: number %d after %d, want a higher one", ErrOrder, ev.Seq, a.last)
	}
	a.judge(ev)
	if len(a.told) > 0 {
		a.tellEpisodes()
	}
	return nil
}

func (a *Analyzer) judge(ev *evtchn.Event) {
	a.last = ev.Seq
	a.now = max(a.now, ev.Time)
	if a.events == 0 {
		a.first = ev.Time
	}
	a.events++
	a.counts[ev.Kind]++
	if a.deferring && ev.VCPU >= 0 && int(ev.VCPU) < len(a.v) && a.v[ev.VCPU].picked.pending {
		a.settlePick(ev)
	}
	s := a.state
	s.Apply(ev)
	target := ev.VCPU
	if ev.Kind.Valid() {
		target = ev.Target()
	}
	if ev.VCPU < evtchn.NoVCPU || int(ev.VCPU) >= len(a.v) || int(ev.Port) >= s.Ports() || !ev.Kind.Valid() ||
		target < evtchn.NoVCPU || int(target) >= len(a.v) {
		a.totals.NotRecognised++
		return
	}
	if ev.Ctx.Class() == evtchn.CtxTask && ev.VCPU >= 0 {
		a.v[ev.VCPU].task = ev.Ctx
	}
	a.aboutPorts = a.aboutPorts || ev.Port != evtchn.NoPort && !hearsay(ev)
	if s.Observed {
		a.noteUrge(ev)
	}
	a.note(ev, target)
	if ev.VCPU >= 0 && recorded(ev) {
		a.v[ev.VCPU].heard, a.v[ev.VCPU].lastAt = true, ev.Time
	}
	switch ev.Kind {
	case evtchn.KindIOReq, evtchn.KindSend, evtchn.KindPortBind:
		a.noteRequest(ev)
	}
	for _, p := range s.Changed() {
		a.settled(p, ev)
	}
}

// recorded reports whether the event is a record of its vcpu.
func recorded(ev *evtchn.Event) bool {
	switch ev.Kind {
	case evtchn.KindGap, evtchn.KindTie, evtchn.KindRunState, evtchn.KindXenCall:
		return false
	}
	return !ev.Inferred()
}

// hearsay reports whether the event only says how a port was bound when the trace began, which a side file of a capture told.
func hearsay(ev *evtchn.Event) bool {
	switch ev.Kind {
	case evtchn.KindPortBind, evtchn.KindOwnerWrite, evtchn.KindPortVCPU:
		return ev.Inferred()
	}
	return false
}

// SetMeta replaces what the trace says about itself, for sources that know some of it only at their end: notes, counts, names of
// tasks, whether it is complete. The dimensions, the clock and the policy stay as they were.
func (a *Analyzer) SetMeta(meta evtchn.Meta) {
	old := &a.meta
	meta.VCPUs, meta.WordBits, meta.ABI, meta.Source, meta.Policy = old.VCPUs, old.WordBits, old.ABI, old.Source, old.Policy
	meta.Clock, meta.Unit, meta.NsPerTick = old.Clock, old.Unit, old.NsPerTick
	a.meta = meta
}

// port gives the record of a port.
func (a *Analyzer) port(p evtchn.Port) *portTrack {
	if int(p) >= len(a.ports) {
		a.ports = append(a.ports, make([]*portTrack, int(p)+1-len(a.ports))...)
	}
	t := a.ports[p]
	if t == nil {
		t = &portTrack{port: p, running: evtchn.NoVCPU, masked: evtchn.Unknown}
		a.ports[p] = t
	}
	return t
}

func (a *Analyzer) step(ev *evtchn.Event, target evtchn.VCPU) step {
	st := step{seq: ev.Seq, at: ev.Time, arg: ev.Args[0], port: ev.Port, vcpu: ev.VCPU, target: target, ctx: ev.Ctx,
		kind: ev.Kind, flags: ev.Flags, res: uint8(min(ev.Res, 2))}
	switch {
	case ev.Ctx.Class() == evtchn.CtxTask:
		st.task = ev.Ctx
	case ev.Ctx.Class() == evtchn.CtxXen && ev.VCPU >= 0 && !a.state.V[ev.VCPU].InUpcall:
		st.task = a.v[ev.VCPU].task
	}
	return st
}

// note keeps what the event may be evidence for. The state has the event applied already.
func (a *Analyzer) note(ev *evtchn.Event, target evtchn.VCPU) {
	p := ev.Port
	var vt *vcpuTrack
	if ev.VCPU >= 0 {
		vt = &a.v[ev.VCPU]
	}
	switch ev.Kind {
	case evtchn.KindIPI:
		a.costs.IPIs++
		a.tell(ev, target)
	case evtchn.KindBlockedTAC:
		if ev.Res == 1 {
			a.costs.Wakeups++
		}
	case evtchn.KindHypercall:
		switch evtchn.Hypercall(ev.Args[0]) {
		case evtchn.HCBlock, evtchn.HCPoll:
		case evtchn.HCUnmask:
			a.costs.UnmaskHypercalls++
			if p != evtchn.NoPort && !ev.Inferred() {
				a.port(p).viaXen = true
			}
			fallthrough
		default:
			a.costs.Hypercalls++
		}
		if vt != nil {
			vt.call = a.step(ev, target)
		}
	case evtchn.KindSelXchg:
		if vt != nil {
			vt.xchg = a.step(ev, target)
		}
	case evtchn.KindUpTAS:
		if ev.Res != 1 {
			a.tell(ev, target)
		}
	case evtchn.KindUpWrite:
		if ev.Args[1] == 1 {
			a.tell(ev, target)
		}
	case evtchn.KindWordRead, evtchn.KindSweepRead:
		if vt != nil {
			vt.look = a.step(ev, target)
			if ev.Kind == evtchn.KindSweepRead {
				vt.swept = vt.look
			}
			a.noteLook(ev)
		}
	case evtchn.KindUpcallExit:
		a.costs.Upcalls++
		if ev.Args[0] == 0 {
			a.costs.SpuriousUpcalls++
		}
		if vt != nil {
			a.stopRunning(vt, ev.VCPU)
			if a.state.Observed {
				a.noteProof(ev)
			}
		}
	case evtchn.KindGap:
		a.noteGap(ev, target)
	case evtchn.KindEnd:
		a.endRecorded = true
	case evtchn.KindRunState:
		if target >= 0 {
			a.v[target].waits.note(evtchn.RunState(min(ev.Args[2], uint64(evtchn.Offline))), ev.Time)
		}
	case evtchn.KindSnap:
		a.noteSnap(ev)
	case evtchn.KindDump:
		a.dumpNo = ev.Args[0]
	case evtchn.KindSnapBits:
		if p != evtchn.NoPort {
			a.noteBits(ev)
		}
	case evtchn.KindSnapPort:
		if p != evtchn.NoPort && ev.Args[0] == uint64(evtchn.PortFree) {
			a.endShown(p, a.port(p), KindLate)
		}
	default:
		if p != evtchn.NoPort {
			a.notePort(ev, target, vt, a.port(p))
			return
		}
		if ev.Kind == evtchn.KindSelTAS && target >= 0 {
			a.noteSel(ev, target, nil)
		}
	}
}

// notePort keeps what an event says of its port.
func (a *Analyzer) notePort(ev *evtchn.Event, target evtchn.VCPU, vt *vcpuTrack, t *portTrack) {
	switch ev.Kind {
	case evtchn.KindSend, evtchn.KindVIRQ, evtchn.KindPIRQ:
		t.raise = a.step(ev, target)
	case evtchn.KindPendTAS:
		a.notePending(ev, target, vt, t)
	case evtchn.KindPendRead:
		if ev.Res == 1 {
			t.found = a.step(ev, target)
		} else if ev.Res == 0 {
			a.cleared(t)
			if t.draft != nil {
				a.vanished(t, a.step(ev, target))
			}
		}
	case evtchn.KindPendClear:
		a.noteClear(ev, target, t)
	case evtchn.KindMaskRead:
		if ev.Res == 0 {
			a.noteOpen(ev, target, t)
		}
		if ev.Res == 1 && !t.stop.ok() {
			t.stop = a.step(ev, target)
		}
	case evtchn.KindMaskTAS:
		a.noteMask(ev, target, t)
		a.noteMasked(ev, t)
	case evtchn.KindMaskClear, evtchn.KindMaskTAC:
		a.noteUnmask(ev, target, t)
		if ev.Kind == evtchn.KindMaskTAC && ev.Res == 0 {
			return
		}
		if t.drop != nil {
			a.closeDrop(t)
		}
		t.unmask = a.step(ev, target)
		a.unmasks++
		if a.state.Pending(ev.Port) == evtchn.One {
			t.addExposure(ev.Time)
		}
	case evtchn.KindSelTAS:
		if target >= 0 {
			a.noteSel(ev, target, t)
		}
	case evtchn.KindNotifyRead:
		st := a.step(ev, target)
		st.arg = ev.Res
		if t.notify[0].ok() && t.notify[0].arg != st.arg {
			t.notify[1] = t.notify[0]
		}
		t.notify[0] = st
	case evtchn.KindPortBind:
		t.bind = a.step(ev, target)
		t.closing = false
		if t.drop != nil {
			a.closeDrop(t)
		}
	case evtchn.KindTie:
		a.noteTie(ev, target, t)
	case evtchn.KindPortVCPU:
		t.moved = a.step(ev, target)
	case evtchn.KindPortClose:
		a.noteClose(a.step(ev, target), t)
	case evtchn.KindOwnerWrite:
		before := t.owned.target
		if !t.owned.ok() {
			before = evtchn.NoVCPU
			if !a.state.Observed {
				before = 0
			}
		}
		t.owned = a.step(ev, target)
		t.owned.arg = uint64(uint16(before))
		t.accepts = t.owned
	case evtchn.KindAcceptClear:
		t.barred = a.step(ev, target)
		t.accepts = t.barred
	case evtchn.KindAcceptSet:
		t.accepts = a.step(ev, target)
	case evtchn.KindOwnerRead:
		t.asked = a.step(ev, target)
		t.asked.arg = ev.Res
	case evtchn.KindUserSet:
		t.closing = int16(ev.Args[0]) < 0
	case evtchn.KindDeliver:
		if vt == nil {
			return
		}
		a.noteHandled(ev, target, t)
		pk := a.pick(ev, target, t)
		if a.deferring {
			pk.pending = true
			vt.picked = pk
			return
		}
		a.deliver(t, &pk)
	case evtchn.KindDrop:
		a.noteDrop(a.step(ev, target), t)
		a.handlerDone(ev, vt)
	case evtchn.KindRingPush:
		a.handlerDone(ev, vt) // what is left of a device file's handler is about its task, not about the port
	case evtchn.KindHandled:
		a.handlerDone(ev, vt)
		if t.delivered && t.pickedS.vcpu == ev.VCPU && a.state.Pending(ev.Port) == evtchn.One {
			t.handled = a.step(ev, target)
		}
	}
}

// tell keeps who made a vcpu look last.
func (a *Analyzer) tell(ev *evtchn.Event, target evtchn.VCPU) {
	if target >= 0 {
		a.v[target].told = a.step(ev, target)
	}
}

func (a *Analyzer) handlerDone(ev *evtchn.Event, vt *vcpuTrack) {
	if vt != nil && vt.running == ev.Port {
		a.stopRunning(vt, ev.VCPU)
	}
}

func (a *Analyzer) stopRunning(vt *vcpuTrack, v evtchn.VCPU) {
	if vt.running != evtchn.NoPort {
		if t := a.port(vt.running); t.running == v {
			t.running = evtchn.NoVCPU
		}
		vt.running = evtchn.NoPort
	}
}

// noteSel keeps who set a SEL bit, and for which port.
func (a *Analyzer) noteSel(ev *evtchn.Event, target evtchn.VCPU, t *portTrack) {
	st := a.step(ev, target)
	if t != nil {
		t.selected(st)
	}
	if w := ev.Args[1]; w < uint64(a.state.Words) && (ev.Res != 1 || a.state.V[target].SelBy[w] == ev.Port) {
		a.v[target].selected(int(w), st)
	}
}

// notePending keeps who set PEND, or what was swallowed because it was set.
func (a *Analyzer) notePending(ev *evtchn.Event, target evtchn.VCPU, vt *vcpuTrack, t *portTrack) {
	if ev.Res == 1 {
		a.costs.SwallowedSends++
		switch {
		case t.draft != nil:
			t.draft.swallowed++
			t.draft.proof.swallow = a.step(ev, target)
			a.totals.SwallowedSends++
		case t.drop != nil:
			t.drop.swallowed++
			a.totals.SwallowedSends++
		case t.delivered:
			t.overrun++
		}
		return
	}
	ps := a.state.PortAt(ev.Port)
	if ps.PendSeq != ev.Seq {
		return // not known to have been clear: the same episode, as far as the trace tells
	}
	if t.drop != nil {
		t.drop.swallowed++
		a.totals.SwallowedSends++
	}
	st := a.step(ev, target)
	if t.draft != nil {
		a.vanished(t, st)
	}
	a.opened(t)
	t.begin(st)
	t.masked = a.state.Masked(ev.Port)
	t.atBind = t.bind.ok() && vt != nil && t.bind.vcpu == ev.VCPU && t.bind.seq > vt.call.seq && vt.call.ok() && ev.Ctx == t.bind.ctx
}

// noteLook counts ports that a reading of a word passed over, and keeps which of them it may have seen.
func (a *Analyzer) noteLook(ev *evtchn.Event) {
	s := a.state
	w := ev.Args[0]
	if w >= uint64(s.Words) || ev.Kind != evtchn.KindWordRead {
		return
	}
	rest := s.Pend.Val[w] &^ s.Mask.Val[w] & s.Mask.Known[w] &^ ev.Res
	if rest == 0 {
		return
	}
	if !s.Observed {
		a.costs.ForeignSkipped += uint64(bits.OnesCount64(rest &^ s.V[ev.VCPU].Accept[w]))
		return
	}
	for ; rest != 0; rest &= rest - 1 {
		i := bits.TrailingZeros64(rest)
		p := s.PortIn(int(w), i)
		if ev.Args[2]>>i&1 != 0 {
			a.port(p).unsure = a.step(ev, ev.VCPU)
		} else if s.Accepts(ev.VCPU, p) == evtchn.Zero {
			a.costs.ForeignSkipped++
		}
	}
}

// noteSnap ends the episodes that a reading of PEND shows to be over.
func (a *Analyzer) noteSnap(ev *evtchn.Event) {
	w := ev.Args[0]
	if w >= uint64(a.state.Words) {
		return
	}
	for i := 0; i < a.state.WordBits; i++ {
		p := a.state.PortIn(int(w), i)
		if int(p) >= len(a.ports) {
			return
		}
		if t := a.ports[p]; t != nil && a.state.Pending(p) == evtchn.Zero {
			a.cleared(t)
			if t.draft != nil {
				a.vanished(t, a.step(ev, ev.VCPU))
			}
		}
	}
}
