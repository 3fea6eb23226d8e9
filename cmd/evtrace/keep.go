package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/replay/minimize"
)

// kept is what a minimization keeps: the value of --keep, and what it stands for in the trace.
type kept struct {
	text     string          // as the user gave it, or the finding's ID
	policies []evtchn.Policy // two that disagree; nil: a finding is kept
	id       string          // of a finding; "": by kind and port
	kind     analyze.Kind    // "": the worst
	port     evtchn.Port     // NoPort: any

	finding *analyze.Finding // in the whole trace
	keep    analyze.Keep
	verdict analyze.Verdict // of the whole trace
}

// keepForms says what --keep takes.
const keepForms = "a finding such as lost:65#1, lost:65 or late, or disagree:P,Q with two policies"

// parseKeep reads the value of --keep.
func parseKeep(s string) (*kept, error) {
	k := &kept{text: s}
	head, rest, more := strings.Cut(s, ":")
	switch {
	case s == "":
		return k, nil
	case head == "disagree":
		list := splitPolicies(rest)
		if !more || len(list) != 2 || slices.Contains(list, "") {
			return nil, usageErrorf("choices such as unmask=hypercall belong to the preset before them, so a policy of choices alone comes first", "--keep: got %q, want two policies, as in disagree:xen-2005,linux-2021", s)
		}
		for _, name := range list {
			p, err := evtchn.ParsePolicy(name)
			if err != nil {
				return nil, err
			}
			k.policies = append(k.policies, p)
		}
		if k.policies[0] == k.policies[1] {
			return nil, usageErrorf("", "--keep %s: it is the same policy twice, which cannot disagree", s)
		}
		return k, nil
	case !slices.Contains(findingKinds, head):
		return nil, usageErrorf("want "+keepForms, "--keep: no kind of finding is called %q%s", head, evtchn.Suggest(head, append([]string{"disagree"}, findingKinds...)))
	}
	k.kind = analyze.Kind(head)
	if !more {
		return k, nil
	}
	number, nth, ordinal := strings.Cut(rest, "#")
	n, err := strconv.ParseUint(number, 10, 17)
	if err != nil {
		return nil, usageErrorf("", "--keep: got %q, want %s", s, keepForms)
	}
	k.port = evtchn.Port(n)
	if ordinal {
		if i, err := strconv.Atoi(nth); err != nil || i < 1 {
			return nil, usageErrorf("", "--keep: got %q, want %s", s, keepForms)
		}
		k.id = s
	}
	return k, nil
}

// names reports whether a policy is one of the two.
func (k *kept) names(p evtchn.Policy) bool { return slices.Contains(k.policies, p) }

// find finds the finding to be kept in the report of the whole trace.
func (k *kept) find(w *analyze.Watch, r *analyze.Report, number bool) error {
	if len(r.Findings) == 0 {
		hint := "--keep disagree:P,Q keeps what two policies differ in"
		if r.Trace.Source == evtchn.SourceObserved {
			hint = "evtrace analyze tells why"
		}
		return usageErrorf(hint, "there is no finding to keep: the verdict is %s", r.Verdict)
	}
	at := slices.IndexFunc(r.Findings, func(f analyze.Finding) bool {
		return (k.id == "" || f.ID == k.id) && (k.kind == "" || f.Kind == k.kind) && (k.port == evtchn.NoPort || f.Port == k.port)
	})
	if at < 0 {
		var ids []string
		for i := range r.Findings {
			ids = append(ids, r.Findings[i].ID)
		}
		near := evtchn.Suggest(k.text, ids)
		if len(ids) > 5 {
			ids = append(ids[:5], fmt.Sprintf("and %d more", len(r.Findings)-5))
		}
		return usageErrorf("there are "+strings.Join(ids, ", "), "--keep: there is no finding %s%s", k.text, near)
	}
	f := r.Findings[at]
	k.finding, k.keep, k.verdict = &f, w.Keep(&f), r.Verdict
	k.keep.Number = number
	k.text = f.ID
	return nil
}

// fact is what a run has of it. A result whose verdict is worse than that of the whole trace would show something else.
func (k *kept) fact(w *analyze.Watch, r *analyze.Report) minimize.Fact {
	f := w.Find(r, &k.keep)
	if f == nil || r.Verdict.Worse(k.verdict) {
		return minimize.Fact{}
	}
	return minimize.Fact{Holds: true, Switches: w.Switches, Events: w.Events, Decided: evtchn.Time(f.DecidedAt())}
}

// concern is what a finding rests on.
func concern(f *analyze.Finding) minimize.Concern {
	c := minimize.Concern{Ports: []evtchn.Port{f.Port}, Steps: f.Evidence, Until: max(f.UnnoticedSeq, f.NoticedSeq)}
	if f.RescuedByPort != evtchn.NoPort {
		c.Ports = append(c.Ports, f.RescuedByPort)
	}
	return c
}
