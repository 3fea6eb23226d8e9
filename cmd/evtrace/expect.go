package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/evtchn"
)

// mostExpected is how many entries an expectation made from a report has. With more, all ports of a kind and cause are one.
const mostExpected = 100

// span is the smallest and the largest of some numbers.
type span struct {
	lo, hi int64
	any    bool
}

func (s *span) add(n int64) {
	if !s.any {
		*s = span{n, n, true}
		return
	}
	s.lo, s.hi = min(s.lo, n), max(s.hi, n)
}

// text writes the numbers as an expectation has them.
func (s *span) text() string {
	if s.lo == s.hi {
		return fmt.Sprint(s.lo)
	}
	return fmt.Sprintf("%d..%d", s.lo, s.hi)
}

// alikeFindings are findings that make one entry of an expectation.
type alikeFindings struct {
	kind                                   analyze.Kind
	cause                                  analyze.Cause
	port, word, owner, unnoticed, rescuers span
	delay                                  span
	count                                  int
}

// alikeOf counts the findings of a report by kind, cause and port, or by kind and cause alone if there are too many.
func alikeOf(r *analyze.Report) []alikeFindings {
	type key struct {
		kind  analyze.Kind
		cause analyze.Cause
		port  evtchn.Port
	}
	for _, byPort := range []bool{true, false} {
		var list []alikeFindings
		at := make(map[key]int)
		for i := range r.Findings {
			f := &r.Findings[i]
			k := key{f.Kind, f.Cause, f.Port}
			if !byPort {
				k.port = evtchn.NoPort
			}
			n, ok := at[k]
			if !ok {
				n = len(list)
				at[k] = n
				list = append(list, alikeFindings{kind: f.Kind, cause: f.Cause})
			}
			g := &list[n]
			g.count++
			g.port.add(int64(f.Port))
			g.word.add(int64(f.Word))
			g.owner.add(int64(f.OwnerVCPU))
			g.unnoticed.add(int64(f.UnnoticedVCPU))
			g.rescuers.add(int64(f.RescuedByPort))
			if f.Delay != nil {
				g.delay.add(*f.Delay)
			} else {
				g.delay.add(-1) // which no bounds of a duration admit
			}
		}
		if len(list) <= mostExpected || !byPort {
			slices.SortStableFunc(list, func(a, b alikeFindings) int { return cmp.Compare(a.port.lo, b.port.lo) })
			return list
		}
	}
	return nil
}

// entry writes the findings as one entry of an expectation. unit is that of the delays.
func (g *alikeFindings) entry(unit string) string {
	s := fmt.Sprintf("{kind: %s, port: %s, word: %s, owner_vcpu: %s, unnoticed_vcpu: %s, rescued_by_port: %s, cause: %s", g.kind, g.port.text(),
		g.word.text(), g.owner.text(), g.unnoticed.text(), g.rescuers.text(), g.cause)
	if lo, hi := time.Duration(g.delay.lo), time.Duration(g.delay.hi); lo >= 0 && unit == "ns" {
		s += fmt.Sprintf(", delay: %v", lo)
		if hi > lo {
			s += fmt.Sprintf("..%v", hi)
		}
	}
	if g.count > 1 {
		s += fmt.Sprintf(", count: %d", g.count)
	}
	return s + "}"
}

// expectationText makes an expect.yaml of what a trace gives: of its report and, if it can be run again, of its replays.
func expectationText(r *analyze.Report, rep *analyze.PolicyReport) string {
	var b strings.Builder
	fmt.Fprintf(&b, "format: trace\nverdict: %s\nexit: %d\n", r.Verdict, r.ExitCode())
	if len(r.Findings) > 0 {
		b.WriteString("findings:\n")
		for _, g := range alikeOf(r) {
			fmt.Fprintf(&b, "  - %s\n", g.entry(r.Trace.Unit))
		}
	}
	if rep != nil {
		fmt.Fprintf(&b, "replay:\n  identical: %t\n", rep.Identical)
		if len(rep.Policies) > 0 {
			b.WriteString("  policies:\n")
		}
		for i := range rep.Policies {
			p := &rep.Policies[i]
			fmt.Fprintf(&b, "    - {policy: %q, verdict: %s, lost: %d, late: %d, hung: %d, served: %d}\n", p.Policy, p.Verdict, p.Lost, p.Late, p.Requests.Hung,
				p.Requests.Served)
		}
	}
	return b.String()
}
