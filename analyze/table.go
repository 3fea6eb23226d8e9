package analyze

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/evtrace/evtrace/evtchn"
)

// fewOfEach is how many rows a kind of finding has in the table at least.
const fewOfEach = 3

// Told gives the findings in the order of the text: the one with the ID first, if there is one, then the heaviest.
func (r *Report) Told(first string) []*Finding {
	list := make([]*Finding, len(r.Findings))
	for i := range r.Findings {
		list[i] = &r.Findings[i]
	}
	slices.SortStableFunc(list, heavier)
	if at := slices.IndexFunc(list, func(f *Finding) bool { return f.ID == first }); at > 0 {
		f := list[at]
		list = slices.Insert(slices.Delete(list, at, at+1), 0, f)
	}
	return list
}

// Foremost gives the finding that the text tells first, nil if there is none.
func (r *Report) Foremost() *Finding {
	if len(r.Findings) == 0 {
		return nil
	}
	return r.Told("")[0]
}

// Choose gives the findings that a table of so many rows shows: some of each kind, the first ones. Negative rows take all.
func Choose(findings []*Finding, rows int) []*Finding {
	if rows < 0 || rows >= len(findings) {
		rows = len(findings)
	}
	var of, quota [len(kinds) + 1]int
	for _, f := range findings {
		of[f.Kind.rank()]++
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
	for _, f := range findings {
		if k := f.Kind.rank(); quota[k] > 0 {
			quota[k]--
			list = append(list, f)
		}
	}
	return list
}

// heavier orders the findings of a table: the worse kind first, then the better evidence, then the longer delay. What was never noticed is the
// longest.
func heavier(a, b *Finding) int {
	delay := func(f *Finding) int64 {
		if f.Delay == nil {
			return math.MaxInt64
		}
		return *f.Delay
	}
	return cmp.Or(cmp.Compare(a.Kind.rank(), b.Kind.rank()), cmp.Compare(a.Strength.rank(), b.Strength.rank()), cmp.Compare(delay(b), delay(a)))
}

// table lists further findings, one on a line, and counts those that it leaves out. The first ones were told in full.
func (p *page) table(r *Report, findings []*Finding, full, rows int) {
	list := Choose(findings[full:], rows)
	if len(list) > 0 {
		const row = "%-18s %5s  %-4s %-12s %-8s %-7s %-8s "
		p.line(row+"cause", "finding", "owner", "left", "exposed", "delay", "rescuer", "evidence")
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
			} else if f.Kind == KindLate && f.UnnoticedSeq != 0 && f.NoticedSeq != 0 {
				rescuer = "again" // something told a vcpu of it again: its why says what
			}
			s := fmt.Sprintf(row, f.ID, vcpuText(f.OwnerVCPU), vcpuText(f.UnnoticedVCPU), exposed, delay, rescuer, f.Strength)
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
		for _, f := range findings[:full] {
			if f.Kind == k {
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
		p.wrap("", "owner: the vcpu that the port was bound to; left: the vcpu that read its word and left it; rescuer: the other port that made its vcpu look, or again: it was signalled again itself. evidence: how well the trace supports it, from seen to weak.")
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
