package analyze

import (
	"fmt"
	"strings"

	"github.com/evtrace/evtrace/evtchn"
)

// fewOfEach is how many rows a kind of finding has in the table at least.
const fewOfEach = 3

// choose gives the findings, from the one at from on, that a table of so many rows shows: some of each kind, the first ones.
func (r *Report) choose(from, rows int) []*Finding {
	if rows < 0 || rows >= len(r.Findings)-from {
		rows = len(r.Findings) - from
	}
	var of, quota [len(kinds) + 1]int
	for i := from; i < len(r.Findings); i++ {
		of[r.Findings[i].Kind.rank()]++
	}
	left := rows
	for _, few := range []int{1, fewOfEach, rows} { // each kind one row, if there is room; then each a few; then the worst
		for k := range quota {
			n := min(max(min(of[k], few)-quota[k], 0), left)
			quota[k] += n
			left -= n
		}
	}
	var list []*Finding
	for i := from; i < len(r.Findings); i++ {
		if k := r.Findings[i].Kind.rank(); quota[k] > 0 {
			quota[k]--
			list = append(list, &r.Findings[i])
		}
	}
	return list
}

// table lists further findings, one on a line, and counts those that it leaves out.
func (p *page) table(r *Report, from, rows int) {
	list := r.choose(from, rows)
	if len(list) > 0 {
		const row = "%-18s %5s  %-11s %-14s %-8s %-7s "
		p.line(row+"cause", "finding", "owner", "looked away", "exposed", "delay", "rescuer")
		for _, f := range list {
			exposed, delay, rescuer := "-", "-", "-"
			if f.ExposedAt != nil {
				exposed = p.c.moment(*f.ExposedAt)
			}
			if f.Delay != nil {
				delay = p.c.duration(*f.Delay)
			}
			if f.RescuedByPort != evtchn.NoPort {
				rescuer = fmt.Sprint(f.RescuedByPort)
			}
			s := fmt.Sprintf(row, f.ID, vcpuText(f.OwnerVCPU), vcpuText(f.UnnoticedVCPU), exposed, delay, rescuer)
			if cause := string(f.Cause); len(s)+len(cause) <= p.width {
				p.line("%s", s+cause)
			} else {
				p.line("%s", s)
				p.line("%s", "  "+cause)
			}
		}
	}
	var more []string
	for _, k := range kinds {
		n := *r.Totals.of(k)
		for i := range min(from, len(r.Findings)) {
			if r.Findings[i].Kind == k {
				n--
			}
		}
		for _, f := range list {
			if f.Kind == k {
				n--
			}
		}
		if n > 0 {
			more = append(more, fmt.Sprintf("%s more %s", group(n), k))
		}
	}
	if len(more) > 0 {
		p.line("and %s", strings.Join(more, ", "))
	}
	if len(list) > 0 {
		p.wrap("", "owner: the vcpu that the port was bound to; looked away: the vcpu that read its word and left it; rescuer: the other port that made its vcpu look.")
	}
	if len(list) > 0 || len(more) > 0 {
		p.line("")
	}
	if len(more) > 0 {
		p.groups(r)
	}
}

// groupPorts is how many ports the text names for a kind and cause.
const groupPorts = 24

// groups counts the findings by kind, cause and port.
func (p *page) groups(r *Report) {
	p.line("Findings by kind, cause and port")
	for i := 0; i < len(r.Groups); {
		g := r.Groups[i]
		var ports []string
		var rest, hidden uint64
		for ; i < len(r.Groups) && r.Groups[i].Kind == g.Kind && r.Groups[i].Cause == g.Cause; i++ {
			if len(ports) < groupPorts {
				ports = append(ports, fmt.Sprintf("%d:"+hardSpace+"%s", r.Groups[i].Port, group(r.Groups[i].Count)))
			} else {
				rest++
				hidden += r.Groups[i].Count
			}
		}
		s := "port " + strings.Join(ports, ", ")
		if rest > 0 {
			s += fmt.Sprintf(", and %s on %s", group(hidden), count(rest, "more port"))
		}
		p.line("  %s  %s", g.Kind, g.Cause)
		p.wrap("      ", s)
	}
	p.line("")
}

func vcpuText(v evtchn.VCPU) string {
	if v < 0 {
		return "-"
	}
	return fmt.Sprintf("v%d", v)
}
