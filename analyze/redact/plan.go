package redact

import (
	"fmt"
	"maps"
	"slices"

	"github.com/evtrace/evtrace/evtchn"
)

// Drop says which events of ports that no finding is about are left out.
type Drop int

// The degrees.
const (
	DropNothing Drop = iota
	// DropPorts leaves out what was done to those ports, and keeps what was done to vcpus for them, without the port.
	DropPorts
	// DropAll leaves out that, too.
	DropAll
)

// Options say what is to be done. The zero value takes out names, and sets the clock of a capture to 0.
type Options struct {
	Start evtchn.Time // of the first event, in the trace's unit; of a simulation 0 leaves its time as it is
	Drop  Drop
	_     struct{}
}

// Change is something that was taken out of a trace, or renamed.
type Change struct {
	What string `json:"what"`
	From string `json:"from"`
	To   string `json:"to,omitempty"` // "": it was taken out
}

// Plan is how a trace is redacted.
type Plan struct {
	Meta    evtchn.Meta // of the result
	Changes []Change    // in order
	Again   bool        // a simulation that can still be run again
	Why     string      // of a simulation that cannot: why
	Dropped []evtchn.Port

	shift   evtchn.Time
	domains map[evtchn.DomID]evtchn.DomID
	drop    Drop
	related map[evtchn.Port]bool // nil: all ports are
	words   map[int]bool
	bits    int
}

// Plan says how the trace is to be redacted. With Drop, ports in the words of findings and of their rescuers are kept; if there are no
// findings, or with the FIFO ABI, which has no words, all are.
func (s *Survey) Plan(opt Options) *Plan {
	p := &Plan{Meta: s.meta, domains: make(map[evtchn.DomID]evtchn.DomID), bits: max(s.meta.WordBits, 1)}
	sim := s.meta.Source == evtchn.SourceSim
	p.names()
	if s.any && (!sim || opt.Start != 0) { // the time of a simulation is no time of day
		p.shift = opt.Start - s.first
	}
	if p.shift != 0 {
		p.change("start of the clock", fmt.Sprint(s.first), fmt.Sprint(opt.Start))
		if p.Meta.Duration != 0 {
			p.Meta.Duration += p.shift
		}
	}
	if !sim {
		for i, d := range s.domains {
			to := evtchn.DomID(i + 1)
			p.domains[d] = to
			if d != to {
				p.change("domain", fmt.Sprint(d), fmt.Sprint(to))
			}
		}
	}
	if opt.Drop != DropNothing {
		p.dropPorts(s, opt.Drop)
	}
	switch {
	case !sim || s.meta.Scenario == "":
	case p.shift != 0:
		p.notAgain("the times are not those of its scenario")
	case len(p.Dropped) > 0:
		p.notAgain("it has not all events")
	default:
		text, err := scenario(s.meta.Scenario, p.change)
		if err != nil {
			p.notAgain(err.Error())
			break
		}
		p.Meta.Scenario, p.Again = text, true
	}
	return p
}

func (p *Plan) change(what, from, to string) { p.Changes = append(p.Changes, Change{what, from, to}) }

// GiveUp takes the scenario out of a plan that kept it, because of what the caller found.
func (p *Plan) GiveUp(why string) { p.notAgain(why) }

// notAgain takes the scenario out.
func (p *Plan) notAgain(why string) {
	p.Again, p.Why = false, why
	p.change("scenario", p.Meta.Scenario, "")
	p.Meta.Scenario, p.Meta.Schedule = "", ""
}

// idleTask is a name of a task that says nothing.
const idleTask = "idle"

// names takes names and prose out of what the trace says of itself.
func (p *Plan) names() {
	m := &p.Meta
	m.Tasks = slices.Clone(m.Tasks)
	for i, name := range m.Tasks {
		if to := fmt.Sprintf("task-%d", i); name != to && name != idleTask && name != "" {
			p.change("task", name, to)
			m.Tasks[i] = to
		}
	}
	m.Unknown = slices.Clone(m.Unknown)
	other := make(map[string]string)
	for i, name := range m.Unknown {
		if to := fmt.Sprintf("record-%d", i); name != to {
			p.change("record", name, to)
			m.Unknown[i], other[name] = to, to
		}
	}
	renamed := func(counts map[string]uint64) map[string]uint64 {
		if counts == nil {
			return nil
		}
		out := make(map[string]uint64)
		for _, name := range slices.Sorted(maps.Keys(counts)) {
			to := name
			if o, ok := other[name]; ok {
				to = o
			}
			out[to] += counts[name]
		}
		return out
	}
	m.Counts, m.Missed, m.Deduced = renamed(m.Counts), renamed(m.Missed), renamed(m.Deduced)
	gone := func(what string, s *string) {
		if *s != "" {
			p.change(what, *s, "")
			*s = ""
		}
	}
	gone("capture's name", &m.Origin)
	gone("first broken record", &m.BrokenAt)
	for _, n := range m.Notes {
		p.change("note", n, "")
	}
	m.Notes = nil
}

// dropPorts chooses the ports that stay.
func (p *Plan) dropPorts(s *Survey, drop Drop) {
	r := s.Report
	if s.meta.ABI == "fifo" || len(r.Groups) == 0 || r.Omitted > 0 {
		return
	}
	p.words = make(map[int]bool)
	word := func(q evtchn.Port) {
		if q != evtchn.NoPort {
			p.words[int(q)/p.bits] = true
		}
	}
	for i := range r.Findings {
		word(r.Findings[i].Port)
		word(r.Findings[i].RescuedByPort)
	}
	related := make(map[evtchn.Port]bool)
	for _, q := range slices.Sorted(maps.Keys(s.ports)) {
		if p.words[int(q)/p.bits] {
			related[q] = true
			continue
		}
		p.Dropped = append(p.Dropped, q)
		p.change("port", fmt.Sprint(q), "")
	}
	if len(p.Dropped) > 0 {
		p.related, p.drop = related, drop
		p.Meta.Notes = append(p.Meta.Notes, fmt.Sprintf("redacted: the events of %d ports that no finding is about were dropped", len(p.Dropped)))
	}
}
