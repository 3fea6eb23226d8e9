// Package dump holds what a console dump of event channels says: the table that Xen prints for debug key e, the vcpus that it
// prints for key q, what Linux answers to that, and lsevtchn's table.
//
// It is the language between the reader of dumps (recorder/consoledump) and those who judge them (analyze/doctor): types, and no
// parsing or judging. A dump is a photograph with a slow shutter: rows are printed one after the other while the system runs, so no
// two rows are of the same moment.
package dump

import (
	"strconv"
	"time"

	"github.com/evtrace/evtrace/evtchn"
)

// Source is what printed a dump.
type Source uint8

// The sources of dumps.
const (
	KeyE     Source = iota // Xen, debug key e: domain_dump_evtchn_info of xen/common/event_channel.c
	KeyQ                   // Xen, debug key q: dump_domains of xen/common/keyhandler.c
	Guest                  // Linux' answer to key q: xen_debug_interrupt of drivers/xen/events/events_2l.c
	Lsevtchn               // the tool of that name, which asks EVTCHNOP_status: no pending or mask bits
)

var sourceNames = [...]string{"key e", "key q", "guest", "lsevtchn"}

// String gives the source's name.
func (s Source) String() string {
	if int(s) >= len(sourceNames) {
		return "#" + strconv.Itoa(int(s))
	}
	return sourceNames[s]
}

// Format is how the rows of a dump are laid out, which tells the ABI of the domain.
type Format uint8

// The formats of dumps.
const (
	FormatNone     Format = iota // no rows about ports
	FormatTwoLevel               // [p/m/s]: the last is the SEL bit of the port's word on its notify vcpu
	FormatFIFO                   // [p/m/B LINK]: the last is the FIFO event word's state
	Format2008                   // [p/m]: Xen 3.4 to 4.3, which has the 2-level ABI only
	FormatTable                  // lsevtchn
	FormatPending                // the guest's list of pending ports
)

var formatNames = [...]string{"none", "2l", "fifo", "2008", "lsevtchn", "guest"}

// String gives the format's name.
func (f Format) String() string {
	if int(f) >= len(formatNames) {
		return "#" + strconv.Itoa(int(f))
	}
	return formatNames[f]
}

// ABI is the domain's ABI, as evtchn.Meta has it: "2l", "fifo", or "" if the format does not tell.
func (f Format) ABI() string {
	switch f {
	case FormatTwoLevel, Format2008, FormatPending:
		return "2l"
	case FormatFIFO:
		return "fifo"
	}
	return ""
}

// NoDomain stands where a dump does not say which domain it is of.
const NoDomain = -1

// Dump is what was printed about one domain at one time.
type Dump struct {
	Source Source
	Format Format
	Domain int    // NoDomain: not said, or cut off
	Press  int    // number of the key press in its file, from 1: a press prints all domains, one after the other
	Name   string // of the file
	Line   int    // of the first line
	Last   int    // of the last line
	Time   Stamp  // of the first line

	Ports   []Port        // ascending, unless the source jumbled them
	VCPUs   []VCPU        // ascending
	Pollers []evtchn.VCPU // vcpus in SCHEDOP_poll, where PollersKnown
	Whole   bool          // the first and the last row are here: what is not listed does not exist

	Pressed      bool // the line that announces the key press was seen
	PollersKnown bool
	Dying        evtchn.Bit  // key q: the domain is being destroyed
	Pauses       int         // key q: the domain's pause_count; 0 if not said
	Printer      evtchn.VCPU // Guest: the vcpu that printed, to which the tags of its rows refer
	WordBits     int         // bits of an event word, where the dump tells; 0: not said
	Broken       int         // rows that could not be read
}

// Port gives the row of a port, or nil.
func (d *Dump) Port(p evtchn.Port) *Port {
	lo, hi := 0, len(d.Ports)
	for lo < hi {
		if m := (lo + hi) / 2; d.Ports[m].Port < p {
			lo = m + 1
		} else {
			hi = m
		}
	}
	if lo < len(d.Ports) && d.Ports[lo].Port == p {
		return &d.Ports[lo]
	}
	return nil
}

// VCPU gives the row of a vcpu, or nil.
func (d *Dump) VCPU(v evtchn.VCPU) *VCPU {
	for i := range d.VCPUs {
		if d.VCPUs[i].ID == v {
			return &d.VCPUs[i]
		}
	}
	return nil
}

// Link is the state of a FIFO event word's link.
type Link uint8

// The states of a link.
const (
	LinkUnknown Link = iota // not a FIFO dump
	Unlinked                // "-": on no queue
	Linked                  // a number: the next port of the queue, 0 at its end
	NoPage                  // "?": the guest has not mapped the array page that would hold the event word
)

// Port is the row of one port.
type Port struct {
	Line   int
	Port   evtchn.Port
	Status evtchn.PortStatus

	Pending, Masked evtchn.Bit
	Sel             evtchn.Bit // 2-level: the SEL bit of the port's word on the notify vcpu, or in a guest's list on the printer
	Link            Link
	Next            evtchn.Port // LINK, where Linked
	Busy            bool        // FIFO: Xen is linking another port behind this one
	InFlux          bool        // it was locked and not printed: nothing but the number is known

	Notify     evtchn.VCPU // NoVCPU: not said
	Consumer   int         // xen_consumer: not 0 if this end is inside Xen, which takes its events without bits
	Remote     int         // unbound, interdomain: the other domain; NoDomain: not said
	RemotePort evtchn.Port // interdomain; NoPort: not said
	VIRQ       int         // -1: none
	PIRQ       int         // -1: none
	Label      string      // XSM label

	Owner      evtchn.VCPU // a guest's list: the vcpu that the guest has bound it to; NoVCPU: not said
	LocalClear evtchn.Bit  // a guest's list: the printer does not accept the port (locally-masked)
}

// Empty gives a row in which nothing but the number is known.
func Empty(p evtchn.Port) Port {
	return Port{Port: p, Status: evtchn.PortUnknown, Pending: evtchn.Unknown, Masked: evtchn.Unknown, Sel: evtchn.Unknown,
		Notify: evtchn.NoVCPU, Remote: NoDomain, VIRQ: -1, PIRQ: -1, Owner: evtchn.NoVCPU, LocalClear: evtchn.Unknown}
}

// Exposed reports whether the port is pending and unmasked, and its events are the guest's.
func (p *Port) Exposed() bool {
	return p.Pending == evtchn.One && p.Masked == evtchn.Zero && p.Consumer == 0
}

// Peer gives the port's binding as evtchn.PortState has it: remote domain << 32 | remote port, the VIRQ or the PIRQ.
func (p *Port) Peer() uint64 {
	switch p.Status {
	case evtchn.PortUnbound, evtchn.PortInterdomain:
		if p.Remote >= 0 {
			return uint64(p.Remote)<<32 | uint64(p.RemotePort)
		}
	case evtchn.PortVIRQ:
		return uint64(max(p.VIRQ, 0))
	case evtchn.PortPIRQ:
		return uint64(max(p.PIRQ, 0))
	}
	return 0
}

// SameBinding reports whether two rows are of the same binding of the port, wherever it notifies.
func (p *Port) SameBinding(q *Port) bool {
	return p.Port == q.Port && p.Status == q.Status && p.Peer() == q.Peer() && p.Consumer == q.Consumer
}

// PollMany is VCPU.Poll of a vcpu that polls more than one port.
const PollMany = -1

// VCPU is the row of one vcpu.
type VCPU struct {
	Line      int
	ID        evtchn.VCPU
	CPU       int        // the physical CPU
	Running   evtchn.Bit // on it now
	Up, Umask evtchn.Bit
	Sel       uint64
	SelKnown  bool
	PollKnown bool
	Poll      int    // 0: it polls nothing; PollMany; else the port
	Flags     uint64 // pause_flags: VPF_* of xen/include/xen/sched.h
	HasFlags  bool
	Pauses    int // pause_count
}

// Bits of VCPU.Flags.
const (
	flagBlocked = 1 << 0 // VPF_blocked: in SCHEDOP_block or SCHEDOP_poll
	flagDown    = 1 << 1 // VPF_down
)

// Blocked says whether the vcpu sleeps until somebody clears its blocked flag.
func (v *VCPU) Blocked() evtchn.Bit { return v.flag(flagBlocked) }

// Down says whether the vcpu is offline.
func (v *VCPU) Down() evtchn.Bit { return v.flag(flagDown) }

func (v *VCPU) flag(m uint64) evtchn.Bit {
	switch {
	case !v.HasFlags:
		return evtchn.Unknown
	case v.Flags&m != 0:
		return evtchn.One
	}
	return evtchn.Zero
}

// Run is what the vcpu is doing.
func (v *VCPU) Run() evtchn.RunState {
	switch {
	case v.Down() == evtchn.One:
		return evtchn.Offline
	case v.Running == evtchn.One:
		return evtchn.Running
	case v.PollKnown && v.Poll != 0 && v.Blocked() != evtchn.Zero:
		return evtchn.Polling
	case v.Blocked() == evtchn.One:
		return evtchn.Blocked
	case v.HasFlags && v.Running == evtchn.Zero:
		return evtchn.Runnable
	}
	return evtchn.RunUnknown
}

// Clock is what a time stamp counts.
type Clock uint8

// The clocks of time stamps.
const (
	ClockNone    Clock = iota
	ClockBoot          // seconds since boot
	ClockDate          // a date and a time of day, in whatever zone
	ClockYearly        // the same without a year
	ClockCounter       // a number of ticks, which Xen prints before it knows their length
)

// Stamp is a time stamp of a console line: nanoseconds, or ticks with ClockCounter.
type Stamp struct {
	Clock Clock
	At    int64
}

// Known reports whether there is a stamp.
func (s Stamp) Known() bool { return s.Clock != ClockNone }

// Since gives the time from t to s; ok is false where they cannot be compared.
func (s Stamp) Since(t Stamp) (_ time.Duration, ok bool) {
	if s.Clock != t.Clock || s.Clock == ClockNone || s.Clock == ClockCounter {
		return 0, false
	}
	return time.Duration(s.At - t.At), true
}

// String writes the stamp for people, or "".
func (s Stamp) String() string {
	switch s.Clock {
	case ClockBoot:
		return strconv.FormatFloat(float64(s.At)/1e9, 'f', 3, 64) + " s"
	case ClockDate:
		return time.Unix(0, s.At).UTC().Format("2006-01-02 15:04:05")
	case ClockYearly:
		return time.Unix(0, s.At).UTC().Format("Jan _2 15:04:05")
	case ClockCounter:
		return strconv.FormatInt(s.At, 10) + " ticks"
	}
	return ""
}
