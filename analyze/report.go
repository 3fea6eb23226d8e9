package analyze

import (
	"fmt"
	"slices"

	"github.com/evtrace/evtrace/evtchn"
)

// Report is what was found in a trace. It is the same for the text and for JSON (analyze --json).
type Report struct {
	Trace    TraceInfo         `json:"trace"`
	Verdict  Verdict           `json:"verdict"`
	Findings []Finding         `json:"findings"` // by kind, the worst first, then in the order in which they arose
	Omitted  uint64            `json:"findings_omitted"`
	Groups   []Group           `json:"groups"` // all findings, the omitted ones too, counted by kind, cause and port
	Doubts   []string          `json:"doubts"` // why the trace cannot be called clean, whatever was found in it
	Totals   Totals            `json:"totals"`
	Latency  Latency           `json:"latency"`
	Ports    []PortInfo        `json:"ports"`  // those that were handled
	Counts   map[string]uint64 `json:"counts"` // events by kind
	Costs    Costs             `json:"costs"`
	Requests Requests          `json:"requests"`
	Vouched  *Vouched          `json:"vouched,omitempty"` // of a trace with gaps: for what the report speaks
	Missing  []string          `json:"missing"`           // what the trace lacks that an answer may need
	Settle   []string          `json:"settle"`            // what would settle the doubts, and the findings that are undecided
}

// maxSettle is how many ways to settle undecided findings a report has.
const maxSettle = 12

// ExitCode is that of the verdict.
func (r *Report) ExitCode() int { return r.Verdict.ExitCode() }

// TraceInfo describes the trace that was judged.
type TraceInfo struct {
	Events    uint64  `json:"events"`
	VCPUs     int     `json:"vcpus"`
	ABI       string  `json:"abi"`      // "2l" or "fifo"
	Source    string  `json:"source"`   // "sim" or "observed"
	Complete  bool    `json:"complete"` // false: it ends early, and nothing is said of what came after
	Window    bool    `json:"window"`   // its beginning was lost, as in a ring buffer: the report speaks of what is left
	Records   uint64  `json:"records"`  // of a capture: what the events were made from; else the events
	WordBits  int     `json:"word_bits"`
	Gaps      uint64  `json:"gaps"`
	Clock     string  `json:"clock"`
	Unit      string  `json:"unit"` // of every time in the report: "ns", or "ticks" where their length is not known
	NsPerTick float64 `json:"ns_per_tick"`
	Policy    string  `json:"policy,omitempty"`
	First     int64   `json:"first"` // time of the first event
	Last      int64   `json:"last"`  // and of the last, or the end of a simulation that was recorded to its end
}

// Totals counts findings by kind, those that the report omits included, and what they are to be seen against. Every episode ended in
// one way:
//
//	episodes = delivered - delivered_again + cleared + closed + in_flight + masked_at_end + unnoticed_at_end + unclear_at_end
type Totals struct {
	Lost           uint64 `json:"lost"`
	Late           uint64 `json:"late"`
	Duplicate      uint64 `json:"duplicate"`
	Concurrent     uint64 `json:"concurrent"`
	WrongVCPU      uint64 `json:"wrong_vcpu"`
	Unknown        uint64 `json:"unknown"`
	Episodes       uint64 `json:"episodes"`     // times that PEND was set, and ports that were pending since before the trace
	SinceBefore    uint64 `json:"since_before"` // of those, the latter
	Delivered      uint64 `json:"delivered"`
	DeliveredAgain uint64 `json:"delivered_again"`  // of those, deliveries for which PEND had not been set anew
	Cleared        uint64 `json:"cleared"`          // PEND was cleared, and no delivery was seen: polled for, or not recorded
	Closed         uint64 `json:"closed"`           // pending when the port was closed
	InFlight       uint64 `json:"in_flight"`        // exposed at the end, with somebody about to look
	MaskedAtEnd    uint64 `json:"masked_at_end"`    // pending and masked at the end: not a finding
	UnnoticedAtEnd uint64 `json:"unnoticed_at_end"` // exposed at the end, with nobody about to look
	UnclearAtEnd   uint64 `json:"unclear_at_end"`   // not delivered, and the trace does not tell whether masked, or whether somebody looks
	NotRecognised  uint64 `json:"not_recognised"`   // events of kinds, vcpus or ports that the trace's dimensions do not have
	SwallowedSends uint64 `json:"swallowed_sends"`  // by episodes that were unnoticed
}

func (t *Totals) of(k Kind) *uint64 {
	switch k {
	case KindLost:
		return &t.Lost
	case KindLate:
		return &t.Late
	case KindDuplicate:
		return &t.Duplicate
	case KindConcurrent:
		return &t.Concurrent
	case KindWrongVCPU:
		return &t.WrongVCPU
	}
	return &t.Unknown
}

// verdict is the worst of what was found.
func (t *Totals) verdict() Verdict {
	switch {
	case t.Lost > 0:
		return VerdictLost
	case t.Duplicate+t.Concurrent+t.WrongVCPU > 0:
		return VerdictViolated
	case t.Late > 0:
		return VerdictLate
	case t.Unknown > 0:
		return VerdictUnknown
	}
	return VerdictClean
}

// Costs is what the trace spent on events. Replay compares policies by it.
type Costs struct {
	Hypercalls       uint64 `json:"hypercalls"` // EVTCHNOP_*; SCHEDOP_block and SCHEDOP_poll are not counted
	UnmaskHypercalls uint64 `json:"unmask_hypercalls"`
	IPIs             uint64 `json:"ipis"`    // physical IPIs to running vcpus
	Wakeups          uint64 `json:"wakeups"` // of sleeping vcpus
	Upcalls          uint64 `json:"upcalls"` // passes of the upcall handler, one that starts over counted anew
	SpuriousUpcalls  uint64 `json:"spurious_upcalls"`
	ForeignSkipped   uint64 `json:"foreign_skipped"` // pending, unmasked ports of other vcpus passed over in reading a word
	SwallowedSends   uint64 `json:"swallowed_sends"` // all sends that found PEND set; that is how events coalesce, too
}

// report puts together what Finish found.
func (a *Analyzer) report() *Report {
	a.corroborate()
	if a.disordered() {
		a.distrust()
	}
	a.sortFindings()
	c, m := a.clock, &a.meta
	r := &Report{
		Trace: TraceInfo{Events: a.events, VCPUs: m.VCPUs, ABI: m.ABI, Source: m.Source, Complete: a.complete(), Gaps: a.gaps,
			Window: a.beginLost > 0, Records: a.records(), WordBits: m.WordBits, Clock: m.Clock, Unit: c.unit(), NsPerTick: c.factor, Policy: m.Policy, First: c.of(a.first), Last: c.of(a.now)},
		Verdict:  a.totals.verdict(),
		Findings: a.findings,
		Totals:   a.totals,
		Costs:    a.costs,
		Requests: a.requests,
		Counts:   make(map[string]uint64),
		Groups:   a.tally.list(),
		Vouched:  a.vouched(),
		Ports:    a.portInfos(),
		Latency:  a.latencyReport(),
	}
	r.Doubts, r.Settle = a.doubts()
	for i := range a.findings {
		for _, s := range a.findings[i].Settle {
			if len(r.Settle) < maxSettle && !slices.Contains(r.Settle, s) {
				r.Settle = append(r.Settle, s)
			}
		}
	}
	if r.Verdict == VerdictClean && len(r.Doubts) > 0 {
		r.Verdict = VerdictUnknown
	}
	if r.Findings == nil {
		r.Findings = []Finding{}
	}
	number(r.Findings)
	for _, k := range kinds {
		r.Omitted += *a.totals.of(k) - uint64(a.tally.kept[k.rank()])
	}
	for k, n := range a.counts {
		if n > 0 {
			r.Counts[kindName(evtchn.Kind(k))] += n
		}
	}
	r.Missing = a.missing()
	return r
}

func kindName(k evtchn.Kind) string {
	if k.Valid() {
		return k.String()
	}
	return fmt.Sprintf("kind:%d", k)
}

// number gives the findings their names.
func number(fs []Finding) {
	type key struct {
		kind Kind
		port evtchn.Port
	}
	n := make(map[key]int)
	for i := range fs {
		k := key{fs[i].Kind, fs[i].Port}
		n[k]++
		fs[i].ID = fmt.Sprintf("%s:%d#%d", k.kind, k.port, n[k])
	}
}
