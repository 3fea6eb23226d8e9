// Package dumptest makes console dumps for tests: a model of a system with domains, vcpus and ports, in which faults can be planted,
// and the text that Xen's console would show of it, as people paste it.
//
// It shares no code with the reader of dumps nor with those who judge them.
package dumptest

import (
	"slices"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/dump"
)

// Fault is something wrong that can be planted.
type Fault string

// The faults.
const (
	Lost       Fault = "lost"        // pending, unmasked, no selector bit, or on no queue
	UpClear    Fault = "up-clear"    // selected, and UP is clear
	NotWoken   Fault = "not-woken"   // selected, UP set, and the vcpu sleeps
	PeerAbsent Fault = "peer-absent" // no such domain
	PeerFree   Fault = "peer-free"   // the peer's port is not in use
	PeerOther  Fault = "peer-other"  // the peer's port is bound to somebody else
	VCPUDown   Fault = "vcpu-down"   // the notify vcpu is offline
	VCPUNone   Fault = "vcpu-none"   // there is no such vcpu
	PollerHung Fault = "poller"      // a vcpu polls for a port that is pending
	BusyStuck  Fault = "busy"        // FIFO: BUSY stays set
)

// Faults lists the faults that a domain of an ABI can have.
func Faults(abi string) []Fault {
	fs := []Fault{Lost, UpClear, NotWoken, PeerAbsent, PeerFree, PeerOther, VCPUDown, VCPUNone, PollerHung}
	if abi == "fifo" {
		fs = append(fs, BusyStuck)
	}
	return fs
}

// Class is what the fault is called in a report.
func (f Fault) Class() string {
	switch f {
	case Lost:
		return "lost"
	case UpClear, NotWoken:
		return "not-kicked"
	case PeerAbsent, PeerFree, PeerOther:
		return "peer-gone"
	case VCPUDown, VCPUNone:
		return "vcpu-offline"
	case PollerHung:
		return "poller"
	}
	return "busy"
}

// World is a system at rest.
type World struct {
	Domains []*Domain
	pick    func(n int) int
	busy    map[where]bool // ports and words that noise must leave alone
	sample  int
}

type where struct {
	dom  int
	vcpu evtchn.VCPU
	word int
}

// Domain is one of its domains.
type Domain struct {
	ID    int
	ABI   string // "2l" or "fifo"
	Ports []dump.Port
	VCPUs []dump.VCPU
	sel   map[where]bool
	poll  []evtchn.VCPU
}

const (
	wordBits = 64
	absent   = 2 // a number that no domain has, between two that are there
)

// New makes a world without faults. pick(n) chooses a number below n.
func New(abi string, pick func(n int) int) *World {
	w := &World{pick: pick, busy: map[where]bool{}}
	for _, id := range []int{0, 1, absent + 1, absent + 2}[:3+pick(2)] {
		d := &Domain{ID: id, ABI: abi, sel: map[where]bool{}}
		if id > 0 && pick(3) == 0 {
			d.ABI = [...]string{"2l", "fifo"}[pick(2)]
		}
		for v := range 2 + pick(4) {
			d.VCPUs = append(d.VCPUs, dump.VCPU{ID: evtchn.VCPU(v), CPU: pick(4), Running: evtchn.Bit(pick(2)), Up: evtchn.Zero, Umask: evtchn.Zero,
				PollKnown: true, HasFlags: true})
			c := &d.VCPUs[v]
			if c.Running == evtchn.Zero {
				c.Flags = 1 // blocked
			}
			notify := evtchn.VCPU(v)
			d.add(dump.Port{Status: evtchn.PortVIRQ, Notify: notify, VIRQ: 0})
			for range 4 {
				d.add(dump.Port{Status: evtchn.PortIPI, Notify: notify})
			}
			d.add(dump.Port{Status: evtchn.PortIPI, Notify: notify, Masked: evtchn.One, Pending: evtchn.Bit(pick(2))}) // the kicker
			d.add(dump.Port{Status: evtchn.PortVIRQ, Notify: notify, VIRQ: 1})
		}
		if id == 0 {
			for irq := range 1 + pick(12) {
				d.add(dump.Port{Status: evtchn.PortPIRQ, Notify: d.anyVCPU(pick), PIRQ: 640 + irq})
			}
			d.add(dump.Port{Status: evtchn.PortVIRQ, Notify: d.anyVCPU(pick), VIRQ: 2})
		}
		for range pick(3) {
			d.add(dump.Port{Status: evtchn.PortUnbound, Notify: 0, Remote: 0, Masked: evtchn.One})
		}
		w.Domains = append(w.Domains, d)
	}
	for _, d := range w.Domains[1:] {
		for range 3 + pick(30) {
			w.connect(w.Domains[0], d)
		}
	}
	return w
}

// connect makes an interdomain channel.
func (w *World) connect(a, b *Domain) {
	p := a.add(dump.Port{Status: evtchn.PortInterdomain, Notify: a.anyVCPU(w.pick), Remote: b.ID})
	q := b.add(dump.Port{Status: evtchn.PortInterdomain, Notify: b.anyVCPU(w.pick), Remote: a.ID})
	a.port(p).RemotePort, b.port(q).RemotePort = q, p
	if w.pick(8) == 0 { // with its consumer
		a.port(p).Masked, a.port(p).Pending = evtchn.One, evtchn.Bit(w.pick(2))
	}
}

func (d *Domain) anyVCPU(pick func(int) int) evtchn.VCPU { return evtchn.VCPU(pick(len(d.VCPUs))) }

// add gives a port the next number.
func (d *Domain) add(p dump.Port) evtchn.Port {
	e := dump.Empty(evtchn.Port(len(d.Ports) + 1))
	e.Status, e.Notify, e.Pending, e.Masked = p.Status, p.Notify, p.Pending, p.Masked
	switch p.Status {
	case evtchn.PortVIRQ:
		e.VIRQ = p.VIRQ
	case evtchn.PortPIRQ:
		e.PIRQ = p.PIRQ
	case evtchn.PortUnbound, evtchn.PortInterdomain:
		e.Remote = p.Remote
	}
	d.Ports = append(d.Ports, e)
	return e.Port
}

func (d *Domain) port(p evtchn.Port) *dump.Port { return &d.Ports[p-1] }

// Plant plants a fault in a domain and gives the port.
func (w *World) Plant(f Fault, d *Domain) evtchn.Port {
	var able []evtchn.Port
	for i := range d.Ports {
		p := &d.Ports[i]
		if p.Pending == evtchn.Zero && p.Masked == evtchn.Zero && p.Status == evtchn.PortInterdomain && !w.busy[w.place(d, p)] {
			able = append(able, p.Port)
		}
	}
	if len(able) == 0 {
		return evtchn.NoPort
	}
	p := d.port(able[w.pick(len(able))])
	w.busy[w.place(d, p)] = true
	w.busy[where{d.ID, p.Notify, -1}] = true
	v := &d.VCPUs[p.Notify]
	switch f {
	case Lost:
		p.Pending = evtchn.One
	case UpClear, NotWoken:
		p.Pending = evtchn.One
		d.sel[w.place(d, p)] = true
		p.Link = dump.Linked
		if f == NotWoken {
			v.Up, v.Running, v.Flags = evtchn.One, evtchn.Zero, 1
		}
	case PeerAbsent:
		p.Remote = absent
	case PeerFree:
		o := w.domain(p.Remote)
		q := o.port(p.RemotePort)
		q.Status = evtchn.PortFree
	case PeerOther:
		w.domain(p.Remote).port(p.RemotePort).RemotePort = p.Port + 1000
	case VCPUDown:
		p.Pending = evtchn.One
		v.Running, v.Flags = evtchn.Zero, 2
	case VCPUNone:
		p.Pending = evtchn.One
		p.Notify = evtchn.VCPU(len(d.VCPUs) + 1)
	case PollerHung:
		p.Pending, p.Masked = evtchn.One, evtchn.One
		v.Running, v.Flags, v.Poll = evtchn.Zero, 1, int(p.Port)
		d.poll = append(d.poll, v.ID)
	case BusyStuck:
		p.Busy, p.Link = true, dump.Linked
	}
	return p.Port
}

func (w *World) domain(id int) *Domain {
	i := slices.IndexFunc(w.Domains, func(d *Domain) bool { return d.ID == id })
	return w.Domains[i]
}

func (w *World) place(d *Domain, p *dump.Port) where {
	return where{d.ID, p.Notify, int(p.Port) / wordBits}
}

// Sample is what one press of key e and one of key q would print now: ports in flight come and go from one sample to the next.
func (w *World) Sample(q bool) (ds []*dump.Dump) {
	w.sample++
	for _, d := range w.Domains {
		ds = append(ds, w.ports(d))
	}
	if q {
		for _, d := range w.Domains {
			ds = append(ds, &dump.Dump{Source: dump.KeyQ, Domain: d.ID, VCPUs: slices.Clone(d.VCPUs), Dying: evtchn.Zero, Printer: evtchn.NoVCPU, Whole: true,
				Pressed: true})
		}
	}
	return ds
}

// ports is a domain's table.
func (w *World) ports(d *Domain) *dump.Dump {
	out := &dump.Dump{Source: dump.KeyE, Format: dump.FormatTwoLevel, Domain: d.ID, Pollers: slices.Clone(d.poll), PollersKnown: true, Whole: true, Pressed: true,
		Dying: evtchn.Unknown, Printer: evtchn.NoVCPU}
	if d.ABI == "fifo" {
		out.Format = dump.FormatFIFO
	}
	// In flight: some ports of vcpus without a fault, other ones in each sample.
	sel := map[where]bool{}
	flying := map[evtchn.Port]bool{}
	for i := range d.Ports {
		p := &d.Ports[i]
		if int(p.Port)%4 == w.sample%4 && p.Pending == evtchn.Zero && p.Masked == evtchn.Zero && w.pick(5) == 0 && int(p.Notify) < len(d.VCPUs) &&
			!w.busy[where{d.ID, p.Notify, -1}] && p.Status != evtchn.PortFree {
			flying[p.Port] = true
			sel[w.place(d, p)] = true
		}
	}
	for _, p := range d.Ports {
		if p.Status == evtchn.PortFree {
			continue
		}
		fly := flying[p.Port]
		if fly {
			p.Pending = evtchn.One
		}
		if d.ABI == "fifo" {
			if p.Link == dump.LinkUnknown {
				p.Link = dump.Unlinked
			}
			if fly {
				p.Link = dump.Linked
				p.Next = evtchn.Port(w.pick(2) * w.pick(len(d.Ports)))
			}
			p.Sel = evtchn.Unknown
		} else {
			p.Link = dump.LinkUnknown
			p.Sel = evtchn.Zero
			if at := w.place(d, &p); sel[at] || d.sel[at] {
				p.Sel = evtchn.One
			}
		}
		out.Ports = append(out.Ports, p)
	}
	return out
}
