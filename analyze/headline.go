package analyze

import (
	"fmt"
	"slices"
	"strings"

	"github.com/evtrace/evtrace/evtchn"
)

// Headline is the verdict in words: one line, however long.
func (r *Report) Headline() string {
	t := &r.Totals
	var parts []string
	add := func(k Kind, what string) {
		if n := *t.of(k); n > 0 {
			parts = append(parts, group(n)+" "+what+r.ports(k))
		}
	}
	of := fmt.Sprintf(" of %s ", count(t.Episodes, "event"))
	head := string(r.Verdict)
	switch r.Verdict {
	case VerdictClean:
		return fmt.Sprintf("clean: no event was missed (%s, %s delivered)%s.%s%s", count(t.Episodes, "event"), group(t.Delivered), r.left(), r.early(), r.before())
	case VerdictLost:
		add(KindLost, strings.TrimSpace(of+"lost"))
	case VerdictViolated:
		parts = append(parts, "no event was lost, but some were handled as they must not be")
	case VerdictLate:
		add(KindLate, strings.TrimSpace(of+"noticed too late"))
	default:
		head = "unknown (undecided)"
		if len(r.Doubts) > 0 {
			parts = append(parts, strings.Join(r.Doubts, "; "))
		}
		if t.Unknown > 0 {
			add(KindUnknown, strings.TrimSpace(of+"undecided, for what would tell is missing"))
		} else if r.Vouched != nil && t.Episodes > 0 {
			parts = append(parts, r.outside(clock{factor: 1, ticks: r.Trace.Unit == "ticks"}))
		} else if t.Episodes > 0 {
			parts = append(parts, fmt.Sprintf("no event was seen to be missed (%s, %s delivered)%s", count(t.Episodes, "event"), group(t.Delivered), r.left()))
		}
		for i := range parts[1:] {
			parts[i+1] = capital(parts[i+1])
		}
		return head + ": " + strings.Join(parts, ". ") + "." + r.early()
	}
	add(KindDuplicate, "delivered twice")
	add(KindConcurrent, "handled on two vcpus at once")
	add(KindWrongVCPU, "handled on a wrong vcpu")
	if r.Verdict != VerdictLate {
		add(KindLate, "noticed too late")
	}
	add(KindUnknown, "undecided")
	return head + ": " + strings.Join(parts, ", ") + r.left() + "." + r.early()
}

// left says that the report speaks of a part of the recording only.
func (r *Report) left() string {
	if !r.Trace.Window {
		return ""
	}
	if r.Trace.Records == 1 {
		return " in the 1 record that is left of the recording"
	}
	return fmt.Sprintf(" in the %s that are left of the recording", count(r.Trace.Records, "record"))
}

// early says that the recording was not closed.
func (r *Report) early() string {
	if r.Trace.Complete || r.Trace.Events == 0 {
		return ""
	}
	return " The recording ends early: this is about what came before."
}

// before says what a capture that is clean cannot speak of: it begins in the middle of things.
func (r *Report) before() string {
	if r.Trace.Source == "sim" {
		return ""
	}
	return " An event that was lost before the capture began does not show in it: evtrace doctor tells of such."
}

// ports names the ports of the findings of a kind, if they are few.
func (r *Report) ports(k Kind) string {
	var ports []evtchn.Port
	for i := range r.Groups {
		if g := &r.Groups[i]; g.Kind == k && !slices.Contains(ports, g.Port) {
			ports = append(ports, g.Port)
		}
		if len(ports) > 4 {
			return ""
		}
	}
	if len(ports) == 0 {
		return ""
	}
	slices.Sort(ports)
	s := " (port "
	if len(ports) > 1 {
		s = " (ports "
	}
	for i, p := range ports {
		if i > 0 {
			s += ", "
		}
		s += fmt.Sprint(p)
	}
	return s + ")"
}

// terms explains the words that the report uses.
func (p *page) terms(r *Report) {
	if slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.UnnoticedSeq != 0 }) {
		p.line("Unnoticed: the port is pending and unmasked, and no vcpu is going to look at it.")
	}
	if r.Totals.Late > 0 {
		p.line("Late: handled in the end, but only by luck, for no vcpu was going to look; or later than allowed.")
	}
	if r.Verdict == VerdictViolated {
		p.line("Violated: handled twice, on two vcpus at once, or on a vcpu that the port is not bound to.")
	}
	if slices.ContainsFunc(r.Findings, func(f Finding) bool {
		return slices.ContainsFunc(f.Why, func(s string) bool { return strings.Contains(s, "SEL[") })
	}) {
		p.wrap("SEL[v], vcpu v's selector: ", fmt.Sprintf("its bit w makes v read event word w, which holds ports w*%d to w*%d+%d.",
			r.Trace.WordBits, r.Trace.WordBits, r.Trace.WordBits-1))
	}
}
