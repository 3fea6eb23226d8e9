package analyze

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/evtrace/evtrace/evtchn"
)

// PortInfo says how often a port was handled, where, and how fast.
type PortInfo struct {
	Port      evtchn.Port `json:"port"`
	Owner     evtchn.VCPU `json:"owner_vcpu"` // to which it is bound at the end; -1: not known
	Delivered uint64      `json:"delivered"`
	VCPUs     []OnVCPU    `json:"vcpus"`   // where
	Timed     uint64      `json:"timed"`   // deliveries of which it is known since when the port was exposed
	Mean      int64       `json:"mean"`    // from then to the handler
	Slowest   int64       `json:"slowest"` // the longest
}

// OnVCPU counts deliveries on a vcpu.
type OnVCPU struct {
	VCPU      evtchn.VCPU `json:"vcpu"`
	Delivered uint64      `json:"delivered"`
}

// portStats is what is counted of a port.
type portStats struct {
	on      []OnVCPU
	timed   uint64
	total   float64
	slowest evtchn.Time
}

func (s *portStats) add(pk *pick, timed bool) {
	i := slices.IndexFunc(s.on, func(o OnVCPU) bool { return o.VCPU == pk.vcpu })
	if i < 0 {
		i = len(s.on)
		s.on = append(s.on, OnVCPU{VCPU: pk.vcpu})
	}
	s.on[i].Delivered++
	if timed {
		d := max(pk.at-pk.exposedAt, 0)
		s.timed++
		s.total += float64(d)
		s.slowest = max(s.slowest, d)
	}
}

// portInfos lists the ports that were handled, in order.
func (a *Analyzer) portInfos() []PortInfo {
	list := []PortInfo{}
	for i, t := range a.ports {
		if t == nil || len(t.stats.on) == 0 {
			continue
		}
		s := &t.stats
		in := PortInfo{Port: evtchn.Port(i), Owner: evtchn.NoVCPU, VCPUs: slices.Clone(s.on), Timed: s.timed, Slowest: a.clock.of(s.slowest)}
		if ps := a.state.PortAt(in.Port); ps != nil {
			in.Owner = ps.Owner
		}
		slices.SortFunc(in.VCPUs, func(x, y OnVCPU) int { return cmp.Compare(x.VCPU, y.VCPU) })
		for _, o := range in.VCPUs {
			in.Delivered += o.Delivered
		}
		if s.timed > 0 {
			in.Mean = a.clock.of(evtchn.Time(s.total / float64(s.timed)))
		}
		list = append(list, in)
	}
	return list
}

// ports writes the ports, those first that were handled most.
func (p *page) ports(r *Report, rows int) {
	list := slices.Clone(r.Ports)
	slices.SortStableFunc(list, func(x, y PortInfo) int { return cmp.Compare(y.Delivered, x.Delivered) })
	if rows < 0 || rows > len(list) {
		rows = len(list)
	}
	if rows == 0 {
		return
	}
	p.line("")
	const row = "%5s  %-5s %10s %11s %11s  "
	p.line(row+"on", "port", "bound", "handled", "mean", "slowest")
	for i := range list[:rows] {
		in := &list[i]
		mean, slowest := "-", "-"
		if in.Timed > 0 {
			mean, slowest = p.c.duration(in.Mean), p.c.duration(in.Slowest)
		}
		var on []string
		for _, o := range in.VCPUs[:min(len(in.VCPUs), 4)] {
			on = append(on, fmt.Sprintf("v%d: %s", o.VCPU, group(o.Delivered)))
		}
		if more := len(in.VCPUs) - len(on); more > 0 {
			on = append(on, fmt.Sprintf("%d more", more))
		}
		p.line(row+"%s", fmt.Sprint(in.Port), vcpuText(in.Owner), group(in.Delivered), mean, slowest, strings.Join(on, ", "))
	}
	if more := len(list) - rows; more > 0 {
		p.line("and %s", count(uint64(more), "more port"))
	}
}
