package redact

import (
	"io"
	"slices"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/evtchn"
)

// Survey is what a trace has that may have to go.
type Survey struct {
	Report *analyze.Report // on the trace as it is

	meta    evtchn.Meta
	first   evtchn.Time
	any     bool
	domains []evtchn.DomID // in the order in which they appear
	ports   map[evtchn.Port]bool
}

// Look reads a trace and judges it. Errors are those of the source and of the analysis.
func Look(meta evtchn.Meta, src evtchn.Source) (*Survey, error) {
	s := &Survey{meta: meta, ports: make(map[evtchn.Port]bool)}
	an, err := analyze.NewAnalyzer(meta, analyze.Options{})
	if err != nil {
		return nil, err
	}
	var ev evtchn.Event
	for {
		err := src.Next(&ev)
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		if err := an.Add(&ev); err != nil {
			return nil, err
		}
		if !s.any {
			s.first, s.any = ev.Time, true
		}
		if ev.Port != evtchn.NoPort {
			s.ports[ev.Port] = true
		}
		eachDomain(&ev, func(d evtchn.DomID) evtchn.DomID {
			if !reserved(d) && !slices.Contains(s.domains, d) {
				s.domains = append(s.domains, d)
			}
			return d
		})
	}
	s.Report = an.Finish()
	return s, nil
}

// reserved reports whether a domain id is the control domain's or one of Xen's own (DOMID_FIRST_RESERVED and up of
// xen/include/public/xen.h), which tell nothing.
func reserved(d evtchn.DomID) bool { return d == 0 || d >= 0x7ff0 }

// eachDomain puts another domain id for each that an event carries.
func eachDomain(ev *evtchn.Event, other func(evtchn.DomID) evtchn.DomID) {
	ev.Dom = other(ev.Dom)
	arg := func(i int) { ev.Args[i] = ev.Args[i]&^0xffff | uint64(other(evtchn.DomID(ev.Args[i]))) }
	if !ev.Kind.Valid() {
		return
	}
	for i, a := range ev.Kind.Spec().Args {
		if a.Type == evtchn.ArgDom {
			arg(i)
		}
	}
	switch ev.Kind {
	case evtchn.KindPortBind, evtchn.KindSnapPort:
		if st := evtchn.PortStatus(ev.Args[0]); st == evtchn.PortInterdomain || st == evtchn.PortUnbound {
			d := other(evtchn.DomID(ev.Args[2] >> 32))
			ev.Args[2] = ev.Args[2]&(1<<32-1) | uint64(d)<<32
		}
	case evtchn.KindOp:
		switch evtchn.OpCode(ev.Args[0]) {
		case evtchn.OpBindRemote, evtchn.OpBindUnbound, evtchn.OpBindDriver, evtchn.OpAllocUnbound:
			arg(1)
		}
	case evtchn.KindHypercall:
		switch evtchn.Hypercall(ev.Args[0]) {
		case evtchn.HCBindInterdomain, evtchn.HCAllocUnbound:
			arg(1)
		}
	}
}

// Judged says what differs between two reports that must say the same: the verdict, and every finding but for the numbers of its events.
// "" is nothing. If no event was dropped, the figures must be the same, too.
func Judged(before, after *analyze.Report, dropped bool) string {
	switch {
	case before.Verdict != after.Verdict:
		return "the verdict is " + string(after.Verdict) + ", and was " + string(before.Verdict)
	case len(before.Findings) != len(after.Findings) || before.Omitted != after.Omitted:
		return "there are other findings"
	}
	for i := range before.Findings {
		a, b := &before.Findings[i], &after.Findings[i]
		if a.ID != b.ID || a.Port != b.Port || a.Kind != b.Kind || a.Word != b.Word || a.OwnerVCPU != b.OwnerVCPU || a.UnnoticedVCPU != b.UnnoticedVCPU ||
			a.NoticedVCPU != b.NoticedVCPU || a.RescuedByPort != b.RescuedByPort || a.Cause != b.Cause || a.SwallowedSends != b.SwallowedSends ||
			a.Strength != b.Strength || (a.Delay == nil) != (b.Delay == nil) || a.Delay != nil && !near(*a.Delay, *b.Delay, before) ||
			len(a.Evidence) != len(b.Evidence) {
			return "finding " + a.ID + " is not the same"
		}
	}
	if !dropped && (before.Totals != after.Totals || before.Costs != after.Costs || before.Requests != after.Requests || before.Latency.Count != after.Latency.Count) {
		return "the figures are not the same"
	}
	return ""
}

// near compares delays. Where they are made from ticks, rounding may come out otherwise by one at another time.
func near(a, b int64, r *analyze.Report) bool {
	d := a - b
	return d == 0 || r.Trace.NsPerTick != 1 && d >= -1 && d <= 1
}
