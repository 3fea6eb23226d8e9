package analyze

import "github.com/evtrace/evtrace/evtchn"

// End is what a port is bound to. It tells a port from others where numbers do not: a port gets the lowest number that is free, so it
// has another one when earlier binds are gone. The zero value is for a port of which no bind is in the trace.
type End struct {
	Status evtchn.PortStatus
	Peer   uint64      // as port.bind has it: remote domain << 32 | remote port, the VIRQ or the PIRQ
	VCPU   evtchn.VCPU // of a VIRQ or an IPI
}

// Keep says which finding another run of the same system must have for it to be the same finding: the kind, the cause, and a port that
// is bound to the same end, and to a vcpu that is up, for otherwise nobody could have noticed it under any policy. What was noticed in the
// end must be, and by another port's doing if it was. Times and numbers of events may differ.
type Keep struct {
	Kind   Kind
	Cause  Cause
	Port   evtchn.Port // its number, which counts if Number, or if the end is not known
	End    End
	Number bool

	Up      bool // the port's vcpu is up
	Noticed bool // it was noticed before the end
	Rescued bool // because another port rang
}

// admits reports whether a finding of a run is the one that is looked for.
func (k *Keep) admits(w *Watch, f *Finding) bool {
	if f.Kind != k.Kind || f.Cause != k.Cause || (k.Number || k.End == End{}) && f.Port != k.Port {
		return false
	}
	got := w.Keep(f)
	return got.End == k.End && got.Noticed == k.Noticed && got.Rescued == k.Rescued && (got.Up || !k.Up)
}

// Watch judges a run, and keeps what a search over many runs needs besides the report. It is an evtchn.Sink.
type Watch struct {
	Switches int // changes from one vcpu, or path of Xen's on behalf of somebody outside, to another
	Events   uint64

	a     *Analyzer
	who   evtchn.VCPU
	ctx   evtchn.Context
	begun bool
	binds map[evtchn.Port][]bind
	vcpus evtchn.VCPUSet // that came up
}

// bind is one bind of a port.
type bind struct {
	seq evtchn.Seq
	end End
}

// NewWatch prepares to watch a run. Errors are those of NewAnalyzer.
func NewWatch(meta evtchn.Meta) (*Watch, error) {
	a, err := NewAnalyzer(meta, Options{})
	if err != nil {
		return nil, err
	}
	return &Watch{a: a, binds: make(map[evtchn.Port][]bind)}, nil
}

// Add takes the next event. The error is of class ErrOrder.
func (w *Watch) Add(ev *evtchn.Event) error {
	w.Events++
	if ctx := ev.Ctx.Class(); ctx != evtchn.CtxNone {
		ctx := ev.Ctx
		if ev.VCPU >= 0 {
			ctx = evtchn.CtxNone // whatever it does, it is the same vcpu
		}
		if w.begun && (ev.VCPU != w.who || ctx != w.ctx) {
			w.Switches++
		}
		w.who, w.ctx, w.begun = ev.VCPU, ctx, true
	}
	switch ev.Kind {
	case evtchn.KindPortBind:
		w.bound(ev)
	case evtchn.KindStart:
		if v := ev.Target(); v >= 0 && v < evtchn.MaxVCPUs {
			w.vcpus.Add(v)
		}
	}
	return w.a.Add(ev)
}

func (w *Watch) bound(ev *evtchn.Event) {
	end := End{Status: evtchn.PortStatus(ev.Args[0]), Peer: ev.Args[2], VCPU: evtchn.NoVCPU}
	switch end.Status {
	case evtchn.PortVIRQ, evtchn.PortIPI:
		end.VCPU = evtchn.VCPU(int16(ev.Args[1]))
	}
	w.binds[ev.Port] = append(w.binds[ev.Port], bind{ev.Seq, end})
}

// Finish ends the run and gives the report.
func (w *Watch) Finish() *Report { return w.a.Finish() }

// End gives what the port of a finding was bound to at the time.
func (w *Watch) End(f *Finding) End {
	at := f.UnnoticedSeq
	if at == 0 {
		at = f.NoticedSeq
	}
	var end End
	for _, b := range w.binds[f.Port] {
		if at == 0 || b.seq <= at || end == (End{}) {
			end = b.end
		}
	}
	return end
}

// Keep describes a finding of the run.
func (w *Watch) Keep(f *Finding) Keep {
	return Keep{Kind: f.Kind, Cause: f.Cause, Port: f.Port, End: w.End(f), Up: w.vcpus.Has(f.OwnerVCPU), Noticed: f.NoticedSeq != 0,
		Rescued: f.RescuedByPort != evtchn.NoPort}
}

// Find finds the finding in a report of the run, the first if there are several; nil: there is none.
func (w *Watch) Find(r *Report, k *Keep) *Finding {
	for i := range r.Findings {
		if f := &r.Findings[i]; k.admits(w, f) {
			return f
		}
	}
	return nil
}

// Up reports whether the vcpu of the worst finding's port is up; a run without findings needs none.
func (w *Watch) Up(r *Report) bool {
	return len(r.Findings) == 0 || w.vcpus.Has(r.Findings[0].OwnerVCPU)
}

// DecidedAt is the time from which on the finding stands: it was noticed too late, or is never going to be.
func (f *Finding) DecidedAt() int64 {
	for _, at := range []*int64{f.NoticedAt, f.UnnoticedAt, f.ExposedAt, f.PendingAt} {
		if at != nil {
			return *at
		}
	}
	return 0
}

// Worse reports whether a verdict is worse than another.
func (v Verdict) Worse(than Verdict) bool { return v.rank() < than.rank() }

func (v Verdict) rank() int {
	for i, w := range []Verdict{VerdictLost, VerdictViolated, VerdictLate, VerdictUnknown} {
		if v == w {
			return i
		}
	}
	return 4
}
