package analyze

import "fmt"

// tellBare says how else the records can be read of a finding that does not stand by itself.
func (w *writer) tellBare() {
	d := w.d
	var l *link
	if n := len(d.links); n > 0 {
		l = &d.links[n-1]
	}
	switch {
	case l != nil && l.unmask.ok() && l.sel.guest():
		w.say("Undecided: if a record was lost, of a hypercall after the unmask (#%d), then Xen told vcpu %d, and nothing was in vain.", l.unmask.seq, d.owner)
	default:
		w.say("Undecided: if a record was lost, of the port's being bound to another vcpu, then the right one was told.")
	}
}

// tellSettle says what would decide an undecided finding: which probe, file or clock.
func (w *writer) tellSettle() []string {
	e, d := w.e, w.d
	list := []string{}
	if e.kind != KindUnknown {
		return list
	}
	say := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	switch {
	case e.gap.ok(), e.hole.ok():
		say("a capture in which no records are lost: a larger buffer (buffer_size_kb, for each vcpu), or a shorter time around the fault; for what still is as it was, Xen's table of ports (xl debug-keys e; xl dmesg), for evtrace doctor")
	case e.noOwner:
		say("the probe bind_cpu, or the side file lsevtchn.before.txt: to which vcpu the port is bound")
	case e.tied.ok():
		say("the clock x86-tsc (echo x86-tsc > trace_clock), which tells such records apart")
	case e.bare && w.calls():
		say("a capture of which no line is missing: the probes hc_unmask_2l, upcall and upcall_ret are there, and one record of them decides")
	case e.bare && d.cause == CauseMaskedElsewhere:
		say("the probe hc_unmask_2l, which records the unmasks that go through Xen")
	case e.bare:
		say("the probes bind_cpu and hc_bind_vcpu, which record to which vcpu a port is bound")
	case e.queued:
		say("Xen's table of ports while it is so (xl debug-keys e; xl dmesg), for evtrace doctor: a port that is pending, unmasked and not linked is lost")
	case e.young:
		say("a longer capture, or Xen's table of ports after it (xl debug-keys e; xl dmesg), for evtrace doctor")
	case e.vanished.ok():
		say("the probes deliver and clear, and no missed hits in kprobe_profile.txt: who cleared it, and when")
	case e.unsure:
		say("the probes scan and deliver, and a capture of which no line is missing: what the vcpu took when it looked")
	}
	return list
}

// calls reports whether the capture shows unmasks that go through Xen.
func (w *writer) calls() bool { return w.a.costs.UnmaskHypercalls > 0 }
