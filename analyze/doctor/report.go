package doctor

import (
	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/dump"
)

// Class is what is suspected of a port.
type Class string

// The classes, the gravest first.
const (
	ClassLost      Class = "lost"         // pending, unmasked, and nobody is told: no selector bit, or on no queue
	ClassOffline   Class = "vcpu-offline" // it notifies a vcpu that is down, or that does not exist
	ClassNotKicked Class = "not-kicked"   // selected or queued, and the vcpu does not look
	ClassPoller    Class = "poller"       // a vcpu sleeps in SCHEDOP_poll for a port that is pending
	ClassPeer      Class = "peer-gone"    // the other end is not there, or belongs to somebody else
	ClassBusy      Class = "busy"         // FIFO: BUSY stays set
)

func (c Class) rank() int {
	for i, k := range []Class{ClassLost, ClassOffline, ClassNotKicked, ClassPoller, ClassPeer, ClassBusy} {
		if k == c {
			return i
		}
	}
	return 99
}

// Why a pending port is no suspect.
const (
	ByDesign   = "masked-by-design" // a spinlock's kicker
	Unacked    = "masked-unacked"   // its consumer has it, or has not come back
	InFlight   = "in-flight"        // selected or queued, as is normal
	PassedBy   = "passed"           // it was suspect in one dump, and not in the next
	XenConsume = "xen-consumer"     // its events go to Xen itself
)

// DumpInfo is one dump of the report.
type DumpInfo struct {
	Domain *int   `json:"domain"` // null: not said
	Ports  int    `json:"ports"`
	Format string `json:"format"` // 2l, fifo, 2008; q, guest, lsevtchn

	Number  int    `json:"number"` // from 1, as the report refers to it
	Source  string `json:"source"`
	File    string `json:"file"`
	Line    int    `json:"line"`
	Time    string `json:"time,omitempty"` // its own time stamp
	Pending int    `json:"pending"`        // ports
	Masked  int    `json:"masked"`         // of these
	VCPUs   int    `json:"vcpus"`
	Whole   bool   `json:"whole"` // both its ends are here
	Again   bool   `json:"again"` // the same dump as an earlier one, pasted again: not counted
}

// Suspect is a port of which something is suspected.
type Suspect struct {
	Domain    *int        `json:"domain"`
	Port      evtchn.Port `json:"port"` // 0: it is about a vcpu as a whole
	Class     Class       `json:"class"`
	Reason    string      `json:"reason"`
	Persisted *bool       `json:"persisted"` // over two dumps or more; null: there is only one, or they are too close together

	VCPU  evtchn.VCPU `json:"vcpu"`            // that the port notifies; -1: not known
	Kind  string      `json:"kind"`            // what the port is
	Row   string      `json:"row"`             // as the dump has it
	Dumps []int       `json:"dumps"`           // numbers of those that show it: the first and the last of a stretch
	Count int         `json:"count"`           // how many do, one after the other
	Span  string      `json:"span,omitempty"`  // from the first to the last of them
	Ended int         `json:"ended,omitempty"` // number of the dump that no longer shows it
	File  string      `json:"file"`
	Line  int         `json:"line"` // of the last row that shows it

	event bool // an event of the port is pending and unmasked
}

// Cleared is a pending port that is no suspect, and why.
type Cleared struct {
	Domain *int        `json:"domain"`
	Port   evtchn.Port `json:"port"`
	Why    string      `json:"why"`
	Reason string      `json:"reason"`
	Row    string      `json:"row"`
	Dump   int         `json:"dump"`
}

// Move is what became of a port from one dump of its domain to the next.
type Move struct {
	Domain *int        `json:"domain"`
	Port   evtchn.Port `json:"port"`
	From   string      `json:"from"`
	To     string      `json:"to"`
}

// Interval is what moved between the last two dumps of a domain.
type Interval struct {
	Domain *int   `json:"domain"`
	From   int    `json:"from"` // numbers of the dumps
	To     int    `json:"to"`
	Span   string `json:"span,omitempty"`
	Ports  int    `json:"ports"` // in either, but for those that a dump that is not whole may lack
	Moved  int    `json:"moved"`
	Stood  []Move `json:"stood"` // pending in both, and unchanged
	Moves  []Move `json:"moves"` // at most 1000
}

// The verdicts.
const (
	VerdictLost      = "lost"      // a port is lost: it stood so over two dumps
	VerdictUndecided = "undecided" // there are suspects, or nothing that shows pending bits
	VerdictNothing   = "nothing"   // nothing is suspect
)

// Report is what the dumps show.
type Report struct {
	Verdict  string     `json:"verdict"`
	Dumps    []DumpInfo `json:"dumps"`
	Suspects []Suspect  `json:"suspects"`
	Cleared  []Cleared  `json:"cleared"` // of the last dump of each domain
	Moved    []Interval `json:"moved"`
	Passed   int        `json:"passed"` // suspects of one dump that the next did not show
	Notes    []string   `json:"notes"`
	Next     []string   `json:"next"` // what to do now

	Omitted int `json:"omitted"` // dumps beyond those listed
}

// ExitCode is the exit code of a command with that report: 0 nothing suspect, 10 lost, 20 undecided.
func (r *Report) ExitCode() int {
	switch r.Verdict {
	case VerdictLost:
		return 10
	case VerdictNothing:
		return 0
	}
	return 20
}

// domainOf gives a domain as the report has it.
func domainOf(d int) *int {
	if d == dump.NoDomain {
		return nil
	}
	return &d
}
