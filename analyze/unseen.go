package analyze

import (
	"fmt"
	"slices"
	"strings"

	"github.com/evtrace/evtrace/evtchn"
)

// An unmask that no record shows is known by what follows: a port that was masked is handled. Kprobes that the kernel skipped explain as
// many of them as kprobe_profile counts. Whatever is more was done by something that is not probed, and such an unmask is what loses
// events: if it was on another vcpu while the port was pending, nobody was told.

// unseen is a port's unmasks that no record shows.
type unseen struct {
	n       uint64
	unmask  step        // the last that was recorded, of a port that was masked or not
	mask    step        // the recorded mask since which no unmask was; not ok: it is not masked, or not surely so
	last    hidden      // may still turn out to have an unmask whose record stands behind it
	longest hidden      // of those that no record explained
	lasted  evtchn.Time // from its mask, or its event if that was seen later, to its handling
}

// hidden is a mask and the handling that was possible only after an unmask.
type hidden struct{ mask, handled, set step }

// noteMask keeps a mask that only an unmask can end. One within an upcall that was not seen to pick the port is its handler's: it
// is that delivery's record that is missing. One at the very time of another vcpu's unmask may have come first.
func (a *Analyzer) noteMask(ev *evtchn.Event, target evtchn.VCPU, t *portTrack) {
	t.unseen.mask = step{}
	tied := t.unseen.unmask.ok() && t.unseen.unmask.at == ev.Time && t.unseen.unmask.vcpu != ev.VCPU
	handlers := ev.Ctx.Class() == evtchn.CtxUpcall && t.running != ev.VCPU
	if a.state.Observed && !a.fifo && !ev.Inferred() && !tied && !handlers {
		t.unseen.mask = a.step(ev, target)
	}
}

// noteUnmask ends the mask. If it has the time of a handling that seemed to have no unmask, it is that one's.
func (a *Analyzer) noteUnmask(ev *evtchn.Event, target evtchn.VCPU, t *portTrack) {
	u := &t.unseen
	u.unmask, u.mask = a.step(ev, target), step{}
	if u.last.handled.ok() && u.last.handled.at == ev.Time {
		u.last = hidden{}
	}
}

// noteOpen is called when a port is found unmasked, as a port is that is handled. Of a trace with gaps nothing is to be learned from
// that: the unmask may be in one of them.
func (a *Analyzer) noteOpen(ev *evtchn.Event, target evtchn.VCPU, t *portTrack) {
	u := &t.unseen
	m := u.mask
	if !m.ok() || !ev.Inferred() {
		return
	}
	u.mask = step{}
	if a.gaps > 0 || m.at == ev.Time && m.vcpu != ev.VCPU {
		return
	}
	a.settleUnseen(t)
	u.last = hidden{mask: m, handled: a.step(ev, target)}
	if t.open && t.set.vcpu >= 0 && t.set.at > m.at {
		u.last.set = t.set
	}
}

// noteHandled puts the delivery in the place of what was deduced before it.
func (a *Analyzer) noteHandled(ev *evtchn.Event, target evtchn.VCPU, t *portTrack) {
	if h := &t.unseen.last; h.handled.ok() && h.handled.kind != evtchn.KindDeliver {
		h.handled = a.step(ev, target)
	}
}

// since is when the port was both masked and pending, as far as was seen, or masked.
func (h *hidden) since() evtchn.Time { return max(h.mask.at, h.set.at) }

// settleUnseen counts what no later record has explained.
func (a *Analyzer) settleUnseen(t *portTrack) {
	u := &t.unseen
	h := u.last
	if !h.handled.ok() {
		return
	}
	u.last = hidden{}
	u.n++
	a.unseen++
	if d := h.handled.at - h.since(); u.n == 1 || d > u.lasted {
		u.longest, u.lasted = h, d
	}
}

// profiled gives how many hits of the probe unmask the kernel skipped, if the capture tells.
func (a *Analyzer) profiled() (missed uint64, ok bool) {
	missed, ok = a.meta.Missed["unmask"]
	return missed, ok
}

// unmasksMissing reports whether more unmasks are missing than skipped kprobes explain. Where the capture does not tell how many were
// skipped, those are taken to be one in twenty at most, and ten in any case.
func (a *Analyzer) unmasksMissing() bool {
	if slices.Contains(a.meta.Unprobed, "unmask") {
		return false // which says it
	}
	if missed, ok := a.profiled(); ok {
		return a.unseen > missed+a.meta.Broken
	}
	return a.unseen > 10 && a.unseen*20 > a.unmasks
}

// finishUnseen makes a finding for each port that was unmasked by something that is not probed.
func (a *Analyzer) finishUnseen() {
	for _, t := range a.ports {
		if t != nil {
			a.settleUnseen(t)
		}
	}
	if !a.unmasksMissing() {
		return
	}
	for i, t := range a.ports {
		if t != nil && t.unseen.n > 0 {
			a.emitUnseen(evtchn.Port(i), &t.unseen)
		}
	}
}

func (a *Analyzer) emitUnseen(p evtchn.Port, u *unseen) {
	a.alone(p, KindUnknown, "", CauseUnseenUnmask)
	if !a.count(KindUnknown, CauseUnseenUnmask, p) {
		return
	}
	c, h := a.clock, &u.longest
	f := Finding{Kind: KindUnknown, Port: p, Word: a.state.Word(p), OwnerVCPU: a.state.PortAt(p).Owner, UnnoticedVCPU: evtchn.NoVCPU,
		NoticedAt: c.at(h.handled.at), NoticedSeq: h.handled.seq, NoticedVCPU: h.handled.vcpu, Cause: CauseUnseenUnmask,
		Exposures: []int64{}, Evidence: []evtchn.Seq{h.mask.seq}, Deduced: []evtchn.Seq{}, Proof: []string{},
		Strength: StrengthWeak, order: h.handled.seq}
	say := func(format string, args ...any) { f.Why = append(f.Why, fmt.Sprintf(format, args...)) }
	say("Port %d was masked at %s (#%d) and handled at %s (#%d), and no record unmasks it in between: whatever did is not probed.", p,
		c.when(h.mask.at), h.mask.seq, c.when(h.handled.at), h.handled.seq)
	if h.set.ok() {
		f.PendingAt = c.at(h.set.at)
		f.Evidence = append(f.Evidence, h.set.seq)
		if h.set.inferred() {
			f.Deduced = append(f.Deduced, h.set.seq)
		}
		say("It was pending since %s (#%d).", c.when(h.set.at), h.set.seq)
	}
	f.Evidence = append(f.Evidence, h.handled.seq)
	if h.handled.inferred() {
		f.Deduced = append(f.Deduced, h.handled.seq)
	}
	say("If that was on another vcpu while it was pending, it went unnoticed for up to %s.", c.span(u.lasted))
	if u.n > 1 {
		say("The same happened to the port %s.", more(u.n-1))
	}
	f.Settle = append(f.Settle, a.settleUnmasks())
	if _, ok := a.profiled(); !ok {
		f.Settle = append(f.Settle, "kprobe_profile of the same capture, which tells how many unmasks the kernel did not record")
	}
	a.findings = append(a.findings, f)
}

func more(n uint64) string {
	if n == 1 {
		return "once more"
	}
	return group(n) + " more times"
}

// doubtUnseen says why unmasks that are missing stand against calling the trace clean.
func (a *Analyzer) doubtUnseen() string {
	what := group(a.unseen) + " deliveries are of ports that the records have as masked"
	if a.unseen == 1 {
		what = "1 delivery is of a port that the records have as masked"
	}
	missed, ok := a.profiled()
	switch {
	case !ok:
		return what + ", so unmasks were not recorded, too many of them for kprobes that the kernel skipped (without kprobe_profile, that is one in twenty)"
	case missed == 0:
		return what + ", and the probe unmask missed nothing, so something unmasks ports that is not probed"
	}
	return fmt.Sprintf("%s, and the probe unmask missed only %s, so something unmasks ports that is not probed", what, group(missed))
}

// settleUnmasks says how unmasks that are missing would come into a capture.
func (a *Analyzer) settleUnmasks() string {
	for _, name := range a.meta.Unknown {
		if strings.Contains(name, "unmask") {
			return fmt.Sprintf("the records called %s, if they are unmasks: import the capture with --map %s=unmask, or give the probe the name unmask", name, name)
		}
	}
	return "a probe on the function that unmasks it: evtrace probes --probe 'unmask=MODULE:FUNCTION port=%di:u32'"
}

// missingUnseen says that unmasks are missing, too few of them for a doubt, and nothing tells how many kprobes the kernel skipped. It
// gives "" if that is not so.
func (a *Analyzer) missingUnseen() string {
	if _, ok := a.profiled(); ok || a.unseen == 0 || a.unmasksMissing() {
		return ""
	}
	were := " were"
	if a.unseen == 1 {
		were = " was"
	}
	return count(a.unseen, "unmask") + were + " not recorded, as deliveries of masked ports show: taken to be kprobes that the kernel skipped, for kprobe_profile, which would tell, is not there"
}
