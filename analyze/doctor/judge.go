package doctor

import (
	"fmt"
	"slices"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/dump"
)

// judgement looks at one dump of key e.
type judgement struct {
	e       *Examiner
	h       *history
	dom     int
	d       numbered
	s       *sample
	q       *dump.Dump // of the same domain, or nil
	near    bool       // it was printed at about the same time, as far as can be told
	timed   bool       // that can be told
	marks   map[key]mark
	cleared []Cleared
}

// suspect raises a suspicion of a port.
func (j *judgement) suspect(c Class, p *dump.Port, m mark) {
	m.row, m.vcpu = *p, p.Notify
	j.marks[key{dom: j.dom, port: p.Port, class: c}] = m
}

// clear says why a pending port is no suspect.
func (j *judgement) clear(why string, p *dump.Port, format string, args ...any) {
	if len(j.cleared) < maxListed {
		j.cleared = append(j.cleared, Cleared{domainOf(j.dom), p.Port, why, fmt.Sprintf(format, args...), rowOf(p), j.d.no})
	}
}

// rows looks at every port.
func (j *judgement) rows() {
	for i := range j.d.Ports {
		p := &j.d.Ports[i]
		if p.InFlux {
			continue
		}
		offline := j.offline(p)
		switch {
		case p.Consumer != 0:
			if p.Pending == evtchn.One {
				j.clear(XenConsume, p, "this end is inside Xen, which takes its events without the bits")
			}
		case p.Exposed():
			j.exposed(p, offline)
		case p.Pending == evtchn.One:
			j.masked(p)
			fallthrough
		default:
			if offline != "" && p.Masked == evtchn.Zero {
				j.suspect(ClassOffline, p, mark{reason: offline + ": the next event of the port will reach nobody"})
			}
		}
		if p.Busy {
			j.suspect(ClassBusy, p, mark{reason: "BUSY is set, which Xen sets only for the moment of linking another port behind this one: " +
				"unmasking the port waits for it"})
		}
		if p.Status == evtchn.PortInterdomain {
			if why := j.peer(p); why != "" {
				j.suspect(ClassPeer, p, mark{reason: why})
			}
		}
		if p.Pending == evtchn.One {
			j.poller(p)
		}
	}
}

// offline says what is wrong with the vcpu that a port notifies, or "".
func (j *judgement) offline(p *dump.Port) string {
	if p.Notify == evtchn.NoVCPU {
		return ""
	}
	if j.q != nil {
		if v := j.q.VCPU(p.Notify); v != nil && v.Down() == evtchn.One {
			return fmt.Sprintf("it notifies vcpu %d, which is offline (pause_flags=%x)", p.Notify, v.Flags)
		}
	}
	if n := j.h.size; n > 0 && int(p.Notify) >= n {
		return fmt.Sprintf("it notifies vcpu %d, and key q lists %d vcpus only (0 to %d)", p.Notify, n, n-1)
	}
	return ""
}

// exposed looks at a port that is pending and unmasked.
func (j *judgement) exposed(p *dump.Port, offline string) {
	told, queued := p.Sel == evtchn.One, p.Link == dump.Linked
	if offline != "" {
		j.suspect(ClassOffline, p, mark{reason: "pending and unmasked, and " + offline + ": nobody is going to look", event: true})
		return
	}
	untold := p.Sel == evtchn.Zero || p.Link == dump.Unlinked || p.Link == dump.NoPage || !told && !queued
	if !untold {
		j.notKicked(p)
		return
	}
	m := mark{event: true}
	switch {
	case p.Sel == evtchn.Zero:
		m.reason = fmt.Sprintf("pending and unmasked, and the selector bit of its word on vcpu %d, which it notifies, is clear: nobody is going to "+
			"look at it, and each further send is swallowed", p.Notify)
	case p.Link == dump.Unlinked:
		m.reason = fmt.Sprintf("pending and unmasked, and linked into no queue: vcpu %d will not come across it, and each further send is swallowed", p.Notify)
	case p.Link == dump.NoPage:
		m.reason = "pending and unmasked, and the guest has mapped no page for its event word: it cannot be queued"
	default:
		m.reason = fmt.Sprintf("pending and unmasked; this form does not show the selector, so it may be that vcpu %d is still to look at it", p.Notify)
	}
	m.reason += j.vcpuSays(p)
	m.fresh = hot(p) && j.served(p)
	j.suspect(ClassLost, p, m)
}

// hot reports whether a port is of those that are raised so often that any number of dumps may show another of their events.
func hot(p *dump.Port) bool {
	return p.Status == evtchn.PortIPI || p.Status == evtchn.PortVIRQ && p.VIRQ == evtchn.VIRQTimer
}

// served reports whether the port's vcpu has served another port since the dump before.
func (j *judgement) served(p *dump.Port) bool {
	before := j.h.last.Dump
	if before == nil {
		return false
	}
	for i := range before.Ports {
		o := &before.Ports[i]
		if o.Port == p.Port || o.Notify != p.Notify || !o.Exposed() {
			continue
		}
		if q := j.d.Port(o.Port); q != nil && q.Pending == evtchn.Zero {
			return true
		}
	}
	return false
}

// vcpuSays adds what key q tells of the vcpu that a port notifies.
func (j *judgement) vcpuSays(p *dump.Port) string {
	if j.q == nil || !j.near {
		return ""
	}
	v := j.q.VCPU(p.Notify)
	if v == nil {
		return ""
	}
	switch {
	case v.Blocked() == evtchn.One && v.Up == evtchn.Zero:
		return fmt.Sprintf(". Key q: vcpu %d sleeps and has no upcall to come", v.ID)
	case v.Umask == evtchn.One:
		return fmt.Sprintf(". Key q: vcpu %d has its upcalls disabled, and may be in the middle of one", v.ID)
	case v.Run() == evtchn.Running:
		return fmt.Sprintf(". Key q: vcpu %d is running", v.ID)
	}
	return ""
}

// notKicked looks at an exposed port that its vcpu is told of.
func (j *judgement) notKicked(p *dump.Port) {
	how := fmt.Sprintf("the selector bit of its word on vcpu %d is set", p.Notify)
	if p.Link == dump.Linked {
		how = fmt.Sprintf("it is queued for vcpu %d", p.Notify)
	}
	m := mark{weak: true, need: 2, event: true}
	if j.dom == 0 {
		m.need = 3 // the vcpu that pressed the key is inside Xen while the dump is printed, each time
	}
	var v *dump.VCPU
	if j.q != nil && j.near && (!hot(p) || j.timed) {
		v = j.q.VCPU(p.Notify)
	}
	switch {
	case v == nil:
		m.reason = fmt.Sprintf("pending and unmasked, and %s, but the vcpu does not look", how)
	case v.Up == evtchn.Zero:
		m.weak = false
		m.reason = fmt.Sprintf("pending and unmasked, and %s, but its UP is clear: whoever set the one did not set the other, and each further notification "+
			"stops there", how)
	case v.Up == evtchn.One && v.Umask == evtchn.Zero && v.Blocked() == evtchn.One:
		m.weak = false
		m.reason = fmt.Sprintf("pending and unmasked, and %s, and its UP, but the vcpu sleeps: nobody has woken it", how)
	case v.Umask == evtchn.One:
		m.reason = fmt.Sprintf("pending and unmasked, and %s, and its UP, but the vcpu keeps its upcalls disabled", how)
	case v.Run() == evtchn.Runnable:
		m.reason = fmt.Sprintf("pending and unmasked, and %s, and its UP, but the vcpu waits for a physical CPU", how)
	default:
		m.reason = fmt.Sprintf("pending and unmasked, and %s, and its UP, but the vcpu has not looked", how)
	}
	if m.weak {
		j.clear(InFlight, p, "%s: it is going to look, unless the next dump shows the same", how)
	}
	if m.weak && (hot(p) || j.served(p)) {
		return
	}
	j.suspect(ClassNotKicked, p, m)
}

// masked says why a port that is pending and masked is no suspect.
func (j *judgement) masked(p *dump.Port) {
	switch p.Status {
	case evtchn.PortIPI:
		j.clear(ByDesign, p, "masked by design: the IPI by which spinlocks wake a waiting vcpu is polled, never delivered, and stays pending")
	case evtchn.PortInterdomain, evtchn.PortUnbound:
		j.clear(Unacked, p, "masked until its consumer comes back: a device model or daemon has yet to write the port back, or a driver's late EOI "+
			"is outstanding. If that never happens, it is the consumer that hangs")
	case evtchn.PortPIRQ:
		j.clear(Unacked, p, "masked while the driver of PIRQ %d has it, or nobody has asked for the interrupt", p.PIRQ)
	default:
		j.clear(Unacked, p, "masked by whoever handles it")
	}
}

// poller looks whether a vcpu sleeps until this port is pending.
func (j *judgement) poller(p *dump.Port) {
	if j.q == nil {
		return
	}
	for i := range j.q.VCPUs {
		v := &j.q.VCPUs[i]
		if !v.PollKnown || v.Poll != int(p.Port) || v.Blocked() == evtchn.Zero || v.Running == evtchn.One {
			continue
		}
		if j.d.PollersKnown && !slices.Contains(j.d.Pollers, v.ID) {
			continue // it began to poll after key e
		}
		j.suspect(ClassPoller, p, mark{weak: !j.near, need: 2,
			reason: fmt.Sprintf("vcpu %d sleeps in SCHEDOP_poll until this port is pending, and it is: nobody has woken it", v.ID)})
	}
}

// peer says what is wrong with the other end of an interdomain port, or "".
func (j *judgement) peer(p *dump.Port) string {
	if q, ok := j.s.q[p.Remote]; ok && q.Dying == evtchn.One {
		return fmt.Sprintf("its other end is in domain %d, which is dying", p.Remote)
	}
	if p.Remote == j.dom && j.dom == dump.NoDomain || p.Remote < 0 {
		return ""
	}
	other, ok := j.s.e[p.Remote]
	if !ok {
		if j.listed(p.Remote) {
			return fmt.Sprintf("its other end is in domain %d, and there is no such domain", p.Remote)
		}
		return ""
	}
	q := other.Port(p.RemotePort)
	switch {
	case q == nil && !other.Whole, q != nil && q.InFlux:
		return ""
	case q == nil:
		return fmt.Sprintf("its other end, port %d of domain %d, is not in use", p.RemotePort, p.Remote)
	case q.Status != evtchn.PortInterdomain:
		return fmt.Sprintf("its other end, port %d of domain %d, is %s", p.RemotePort, p.Remote, q.Status)
	case q.Remote != j.dom || q.RemotePort != p.Port:
		return fmt.Sprintf("its other end, port %d of domain %d, is bound to port %d of domain %d", p.RemotePort, p.Remote, q.RemotePort, q.Remote)
	}
	return ""
}

// listed reports whether the press would show the domain if it existed: Xen prints all domains in the order of their numbers, so the one
// after it, or the end of the list, must be there.
func (j *judgement) listed(dom int) bool {
	if !j.d.Pressed {
		return false
	}
	higher := false
	for id, d := range j.s.e {
		if !d.Pressed || d.Press != j.d.Press {
			return false
		}
		higher = higher || id > dom
	}
	if higher {
		return true
	}
	// The highest domain of the press: is it the last one?
	q, ok := j.s.q[dom]
	return len(j.s.q) > 0 && !ok && q.Dump == nil
}

// judgeVCPUs looks at a dump of key q that no dump of key e goes with.
func (e *Examiner) judgeVCPUs(dom int, q numbered) {
	marks := map[key]mark{}
	for i := range q.VCPUs {
		v := &q.VCPUs[i]
		if v.Up == evtchn.One && v.Umask == evtchn.Zero && v.Blocked() == evtchn.One && v.Down() != evtchn.One && v.Running != evtchn.One {
			m := mark{vcpu: v.ID, reason: fmt.Sprintf("vcpu %d sleeps although its UP is set and its upcalls are enabled: nobody has woken it", v.ID)}
			m.row.Line = v.Line
			marks[key{dom: dom, vcpu: v.ID, class: ClassNotKicked}] = m
		}
	}
	h := e.domain(dom)
	for k := range e.tracks {
		if k.dom == dom && k.port != evtchn.NoPort {
			return // dumps of key e decide
		}
	}
	e.settle(h, q, marks)
}

// judgeGuests looks at what guests answered to key q.
func (e *Examiner) judgeGuests(s *sample) {
	byDomain := map[int]*judgement{}
	for _, g := range s.guests {
		dom := e.guestDomain(g.Dump, s)
		if d, ok := s.e[dom]; ok && d.Dump != nil {
			continue // Xen's own dump of the same sample decides
		}
		j := byDomain[dom]
		if j == nil {
			j = &judgement{e: e, h: e.domain(dom), dom: dom, d: g, s: s, marks: map[key]mark{}}
			byDomain[dom] = j
		}
		j.d = g
		for i := range g.Ports {
			p := g.Ports[i]
			p.Notify = p.Owner
			switch {
			case p.Masked == evtchn.One:
				j.masked(&p)
			case p.Owner != g.Printer && g.Printer != evtchn.NoVCPU, p.LocalClear == evtchn.One:
				// Its tags are about another vcpu's selector.
			case p.Sel == evtchn.Zero:
				j.suspect(ClassLost, &p, mark{event: true, reason: fmt.Sprintf("the guest itself says so: pending, unmasked, accepted by vcpu %d, and that "+
					"vcpu's selector bit is clear (l2-clear)", p.Owner)})
			default:
				j.clear(InFlight, &p, "vcpu %d's selector bit is set: it is going to look", p.Owner)
			}
		}
	}
	for _, dom := range sortedKeys(byDomain) {
		j := byDomain[dom]
		e.settle(j.h, j.d, j.marks)
		j.h.cleared = j.cleared
	}
}

// guestDomain is the domain that a guest's answer is of: the one that its lines name, or else the only one of the sample.
func (e *Examiner) guestDomain(d *dump.Dump, s *sample) int {
	if d.Domain != dump.NoDomain {
		return d.Domain
	}
	if len(s.q) == 1 {
		return sortedKeys(s.q)[0]
	}
	if len(s.q) > 1 || len(s.e) > 1 {
		return 0 // what stands on Xen's console by itself is the control domain's
	}
	if len(s.e) == 1 {
		return sortedKeys(s.e)[0]
	}
	return dump.NoDomain
}

// kindOf says what a port is.
func kindOf(p *dump.Port) string {
	switch p.Status {
	case evtchn.PortUnbound:
		return fmt.Sprintf("unbound, for domain %d", p.Remote)
	case evtchn.PortInterdomain:
		return fmt.Sprintf("interdomain, to domain %d port %d", p.Remote, p.RemotePort)
	case evtchn.PortPIRQ:
		return fmt.Sprintf("PIRQ %d", p.PIRQ)
	case evtchn.PortVIRQ:
		if name := virqName(p.VIRQ); name != "" {
			return fmt.Sprintf("VIRQ %d (%s)", p.VIRQ, name)
		}
		return fmt.Sprintf("VIRQ %d", p.VIRQ)
	case evtchn.PortIPI:
		return "IPI"
	case evtchn.PortReserved:
		return "reserved"
	}
	return "not said"
}

// virqName names the virtual interrupts of xen/include/public/xen.h.
func virqName(n int) string {
	names := [...]string{0: "timer", 1: "debug", 2: "console", 3: "domain exception", 4: "trace buffer", 6: "debugger", 7: "profiler", 8: "console ring",
		9: "pcpu state", 10: "memory event", 11: "argo", 12: "no memory", 13: "performance counters"}
	if n >= 0 && n < len(names) {
		return names[n]
	}
	return ""
}

// rowOf writes a row as the dump has it, without its number: "[1/0/0] s=3 n=0 d=7 p=10".
func rowOf(p *dump.Port) string {
	s := "["
	switch {
	case p.InFlux:
		return "in flux"
	case p.Pending == evtchn.Unknown && p.Masked == evtchn.Unknown:
		s += "?"
	default:
		s += p.Pending.String() + "/" + p.Masked.String()
	}
	busy := ""
	if p.Busy {
		busy = "B "
	}
	switch {
	case p.Link == dump.Unlinked:
		s += "/" + busy + "-"
	case p.Link == dump.NoPage:
		s += "/" + busy + "?"
	case p.Link == dump.Linked:
		s += fmt.Sprintf("/%s%d linked", busy, p.Next)
	case p.Sel != evtchn.Unknown:
		s += "/" + p.Sel.String()
	}
	s += "]"
	if p.Status != evtchn.PortUnknown {
		s += fmt.Sprintf(" s=%d", p.Status)
	}
	if p.Notify != evtchn.NoVCPU {
		s += fmt.Sprintf(" n=%d", p.Notify)
	}
	switch p.Status {
	case evtchn.PortUnbound:
		s += fmt.Sprintf(" d=%d", p.Remote)
	case evtchn.PortInterdomain:
		s += fmt.Sprintf(" d=%d p=%d", p.Remote, p.RemotePort)
	case evtchn.PortPIRQ:
		s += fmt.Sprintf(" p=%d", p.PIRQ)
	case evtchn.PortVIRQ:
		s += fmt.Sprintf(" v=%d", p.VIRQ)
	}
	return s
}
