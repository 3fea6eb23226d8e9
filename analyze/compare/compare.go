package compare

import (
	"fmt"
	"math"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/text"
)

// Input is a trace to be compared.
type Input struct {
	Name   string
	Meta   evtchn.Meta
	Source evtchn.Source // all of its events
}

// Comparison is what two traces have in common and what not. It is the same for the text and for JSON (compare --json). Times are in
// nanoseconds, or ticks where Side.Unit says so.
type Comparison struct {
	A         Side       `json:"a"`
	B         Side       `json:"b"`
	Same      bool       `json:"same_verdict"`
	Aligned   Aligned    `json:"aligned"`
	Inputs    Inputs     `json:"inputs"`
	Departure *Departure `json:"departure"` // null: there is none
	Ports     []Port     `json:"ports"`     // that were raised, handled or found in either
	Numbers   []Number   `json:"numbers"`   // latency, costs, requests

	metaA, metaB evtchn.Meta
}

// Side is one of the traces.
type Side struct {
	Name     string           `json:"name"`
	Policy   string           `json:"policy,omitempty"`
	Source   string           `json:"source"`
	Unit     string           `json:"unit"`
	Events   uint64           `json:"events"`
	Verdict  analyze.Verdict  `json:"verdict"`
	Totals   analyze.Totals   `json:"totals"`
	Latency  analyze.Latency  `json:"latency"`
	Costs    analyze.Costs    `json:"costs"`
	Requests analyze.Requests `json:"requests"`
	Groups   []analyze.Group  `json:"groups"`
	ports    []analyze.PortInfo
}

// Aligned counts the lines.
type Aligned struct {
	Both uint64 `json:"both"` // events that both have, at the same time
	A    uint64 `json:"a"`    // that A alone has
	B    uint64 `json:"b"`
}

// Inputs counts what came from outside. If not most of it is shared, the traces are not two runs of one thing, and alignment says little.
type Inputs struct {
	A      uint64 `json:"a"`
	B      uint64 `json:"b"`
	Both   uint64 `json:"both"`
	Shared bool   `json:"shared"` // of the trace with fewer, more than half are the other's, too
}

// Departure is where the two part: what comes next in each, when for the first time one has what the other has not. Steps that only read the kernel's own
// records are passed over.
type Departure struct {
	Time  int64       `json:"time"` // on A's clock
	Seq   evtchn.Seq  `json:"seq"`  // of A's event, or A's last if A has ended
	Port  evtchn.Port `json:"port"` // of the earlier event, A's if both are at one time; 0: none
	A     string      `json:"event_a"`
	B     string      `json:"event_b"`
	Words string      `json:"words"`
}

// Port is what became of one port.
type Port struct {
	Port   evtchn.Port `json:"port"`
	A      PortSide    `json:"a"`
	B      PortSide    `json:"b"`
	Raised uint64      `json:"raised"` // raises that both have
	Gained uint64      `json:"gained"` // of them, delivered in B alone
	Missed uint64      `json:"missed"` // in A alone
	First  evtchn.Seq  `json:"first"`  // the first raise, as A numbers it, that only one of them delivers; 0: none
}

// PortSide is what one trace has of a port.
type PortSide struct {
	Delivered uint64 `json:"delivered"`
	Lost      uint64 `json:"lost"`
	Late      uint64 `json:"late"`
	Other     uint64 `json:"other"` // findings of other kinds
	Mean      int64  `json:"mean"`  // from exposure to handler
	Slowest   int64  `json:"slowest"`
}

// differs reports whether the port did otherwise in a way that matters.
func (p *Port) differs() bool {
	return p.Gained+p.Missed > 0 || p.A.Lost != p.B.Lost || p.A.Late != p.B.Late || p.A.Other != p.B.Other || p.A.Delivered != p.B.Delivered
}

// Number is a number of both.
type Number struct {
	Name  string   `json:"name"`
	Unit  string   `json:"unit"` // ns, ticks, or "" for a count
	A     int64    `json:"a"`
	B     int64    `json:"b"`
	Ratio *float64 `json:"ratio"` // of B to A; null if A has none
}

// ExitCode is 0 if both have the same verdict, and otherwise that of the worse one.
func (c *Comparison) ExitCode() int {
	switch {
	case c.Same:
		return 0
	case c.B.Verdict.Worse(c.A.Verdict):
		return c.B.Verdict.ExitCode()
	}
	return c.A.Verdict.ExitCode()
}

// Run compares two traces. It reads each once. Errors are those of the sources and of the analysis.
func Run(a, b Input, opt analyze.Options) (*Comparison, error) {
	c := &Comparison{metaA: a.Meta, metaB: b.Meta}
	reports, streams := [2]*analyze.Analyzer{}, [2]*stream{}
	for i, in := range []*Input{&a, &b} {
		an, err := analyze.NewAnalyzer(in.Meta, opt)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", in.Name, err)
		}
		reports[i] = an
		streams[i] = newStream(in.Source, func(ev *evtchn.Event) error {
			if err := an.Add(ev); err != nil {
				return fmt.Errorf("%s: %w", in.Name, err)
			}
			return nil
		})
	}
	fates := newFates()
	var at evtchn.Seq // of A's last event that was passed
	err := walk(streams[0], streams[1], func(l, r *evtchn.Event) error {
		switch {
		case l != nil && r != nil:
			c.Aligned.Both++
			if l.Input() {
				c.Inputs.Both++
			}
		case l != nil:
			c.Aligned.A++
		default:
			c.Aligned.B++
		}
		if l != nil && l.Input() {
			c.Inputs.A++
		}
		if r != nil && r.Input() {
			c.Inputs.B++
		}
		fates.line(l, r)
		if c.Departure == nil && (l == nil || !silent(l)) && (r == nil || !silent(r)) && (l == nil || r == nil) {
			if err := c.depart(streams[0], streams[1], at); err != nil {
				return err
			}
		}
		if l != nil {
			at = l.Seq
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	c.A, c.B = side(&a, reports[0].Finish()), side(&b, reports[1].Finish())
	c.Same = c.A.Verdict == c.B.Verdict
	c.Inputs.Shared = c.Inputs.Both*2 > min(c.Inputs.A, c.Inputs.B) || c.Aligned.A+c.Aligned.B == 0
	if !c.Inputs.Shared {
		fates = newFates() // what looks alike is alike by chance
	}
	c.ports(fates)
	c.numbers()
	return c, nil
}

// silent reports whether a step only reads the guest's or the hypervisor's own records: two policies that differ in such a look alone
// have not parted yet. Package replay says the same.
func silent(ev *evtchn.Event) bool {
	return ev.Kind == evtchn.KindOwnerRead || ev.Kind == evtchn.KindNotifyCheck
}

// audible gives the next event of a stream that is not silent, nil if there is none near.
func audible(s *stream) (*evtchn.Event, error) {
	for i := range sameMoment {
		if ev, err := s.peek(i); ev == nil || !silent(ev) {
			return ev, err
		}
	}
	return nil, nil
}

func side(in *Input, r *analyze.Report) Side {
	return Side{Name: in.Name, Policy: in.Meta.Policy, Source: in.Meta.Source, Unit: r.Trace.Unit, Events: r.Trace.Events, Verdict: r.Verdict, Totals: r.Totals,
		Latency: r.Latency, Costs: r.Costs, Requests: r.Requests, Groups: r.Groups, ports: r.Ports}
}

// depart notes where the two part: before what comes next in each.
func (c *Comparison) depart(a, b *stream, last evtchn.Seq) error {
	x, err := audible(a)
	if err != nil {
		return err
	}
	y, err := audible(b)
	if err != nil {
		return err
	}
	d := &Departure{Seq: last, A: "nothing more", B: "nothing more"}
	c.Departure = d
	first := x
	if x == nil || y != nil && y.Time < x.Time {
		first = y
	}
	d.Port, d.Time = first.Port, inUnit(first.Time+a.start, &c.metaA)
	if x != nil {
		d.Seq, d.A = x.Seq, line(x, &c.metaA)
	}
	if y != nil {
		d.B = line(y, &c.metaB)
	}
	switch {
	case x == nil:
		d.Words = "A has ended, and B goes on: " + d.B
	case y == nil:
		d.Words = "B has ended, and A goes on: " + d.A
	case x.Time < y.Time:
		d.Words = "B does nothing then; its next: " + d.B
	case x.Time > y.Time:
		d.Words = "A does nothing then; its next: " + d.A
	default:
		d.Words = "at the same moment each does something else"
	}
	return nil
}

// line says who does what.
func line(ev *evtchn.Event, meta *evtchn.Meta) string {
	vcpu := "-"
	if ev.VCPU >= 0 {
		vcpu = fmt.Sprintf("v%d", ev.VCPU)
	}
	b := fmt.Appendf(nil, "#%d %s ", ev.Seq, vcpu)
	b = text.AppendContext(b, ev, meta)
	b = fmt.Appendf(b, " %s ", ev.Kind)
	b = text.AppendPort(b, ev)
	b = append(b, ": "...)
	return string(text.AppendWhat(b, ev, meta))
}

// inUnit converts a time of a trace to that of reports.
func inUnit(t evtchn.Time, meta *evtchn.Meta) int64 {
	if f := meta.NsPerTick; meta.Unit == "ticks" && f > 0 && f != 1 && !math.IsInf(f, 0) {
		return int64(math.Round(float64(t) * f))
	}
	return int64(t)
}

// numbers lists what is counted and measured in both.
func (c *Comparison) numbers() {
	add := func(name, unit string, a, b int64) {
		n := Number{Name: name, Unit: unit, A: a, B: b}
		if a != 0 {
			r := float64(b) / float64(a)
			n.Ratio = &r
		}
		c.Numbers = append(c.Numbers, n)
	}
	count := func(name string, a, b uint64) { add(name, "", int64(a), int64(b)) }
	a, b, unit := &c.A, &c.B, c.A.Unit
	count("events delivered", a.Totals.Delivered, b.Totals.Delivered)
	count("events lost", a.Totals.Lost, b.Totals.Lost)
	count("events late", a.Totals.Late, b.Totals.Late)
	other := func(t *analyze.Totals) uint64 { return t.Duplicate + t.Concurrent + t.WrongVCPU + t.Unknown }
	count("other findings", other(&a.Totals), other(&b.Totals))
	count("requests served", a.Requests.Served, b.Requests.Served)
	count("requests hung", a.Requests.Hung, b.Requests.Hung)
	add("latency p50", unit, a.Latency.P50, b.Latency.P50)
	add("latency p90", unit, a.Latency.P90, b.Latency.P90)
	add("latency p99", unit, a.Latency.P99, b.Latency.P99)
	add("latency max", unit, a.Latency.Max, b.Latency.Max)
	count("hypercalls", a.Costs.Hypercalls, b.Costs.Hypercalls)
	count("to unmask", a.Costs.UnmaskHypercalls, b.Costs.UnmaskHypercalls)
	count("IPIs", a.Costs.IPIs, b.Costs.IPIs)
	count("wakeups", a.Costs.Wakeups, b.Costs.Wakeups)
	count("upcalls", a.Costs.Upcalls, b.Costs.Upcalls)
	count("spurious upcalls", a.Costs.SpuriousUpcalls, b.Costs.SpuriousUpcalls)
	count("foreign ports skipped", a.Costs.ForeignSkipped, b.Costs.ForeignSkipped)
	count("swallowed sends", a.Costs.SwallowedSends, b.Costs.SwallowedSends)
}
