package analyze

import (
	"fmt"
	"slices"
	"strings"

	"github.com/evtrace/evtrace/evtchn"
)

// Strength says how well the trace supports a finding.
type Strength string

// The strengths.
const (
	StrengthSeen     Strength = "seen"     // the trace has every step of it; or two independent groups of records cannot be otherwise
	StrengthInferred Strength = "inferred" // a link is deduced, and records that were made for something else bear it out
	StrengthWeak     Strength = "weak"     // a link is deduced, and nothing but the absence of a record speaks for it
)

// rank counts from the best.
func (s Strength) rank() int {
	switch s {
	case StrengthSeen:
		return 0
	case StrengthInferred:
		return 1
	}
	return 2
}

// Text says the strength in words.
func (s Strength) Text() string {
	switch s {
	case StrengthSeen:
		return "what the capture cannot show is deduced, and what it shows cannot be otherwise."
	case StrengthInferred:
		return "what the capture cannot show is deduced, and some of what it shows bears it out."
	}
	return "what the capture cannot show is deduced, and only the absence of a record speaks for it."
}

// strength judges what bears out that nobody was going to look at the port.
func (a *Analyzer) strength(d *draft) Strength {
	p := &d.proof
	switch {
	case !a.state.Observed, p.ignored.ok(), p.left.ok() && p.passed.ok():
		return StrengthSeen
	case p.left.ok(), p.passed.ok():
		return StrengthInferred
	}
	return StrengthWeak
}

// stands reports whether the finding counts by its own strength. Without, it is undecided, unless findings of the same trace show that
// its kernel does such things: see corroborate.
func (a *Analyzer) stands(d *draft, e *ending) bool {
	switch s := a.strength(d); {
	case s == StrengthSeen:
		return true
	case s == StrengthWeak || e.kind == KindLost:
		return false
	case d.proof.passed.ok():
		return e.rescuer != evtchn.NoPort
	}
	return d.exposed && e.noticed.ok() && e.noticed.at-d.exposedAt > a.slowest // the owner was not seen to look; it did not sleep that long
}

// Story is the why, and after it what bears it out and what would decide it, for readers who have room for nothing but sentences.
func (f *Finding) Story() []string {
	story := slices.Clone(f.Why)
	if len(f.Deduced) > 0 || f.Strength != StrengthSeen {
		story = append(story, strings.Join(append([]string{"Evidence: " + string(f.Strength) + "."}, f.Proof...), " "))
	}
	if len(f.Settle) > 0 {
		story = append(story, "To decide it: "+strings.Join(f.Settle, "; ")+".")
	}
	if f.NoReturn != nil {
		story = append(story, "Too late "+f.NoReturn.String()+".")
	}
	return story
}

// model is the first finding that cannot be read otherwise.
type model struct {
	port evtchn.Port
	seq  evtchn.Seq
}

// doubt makes a finding undecided that does not stand by itself, and keeps what it is if others bear it out.
func (a *Analyzer) doubt(t *portTrack, d *draft, e *ending) {
	if !a.state.Observed || e.kind != KindLost && e.kind != KindLate || e.late || d.cause == CauseDropped {
		return
	}
	s := a.strength(d)
	if a.stands(d, e) {
		if s == StrengthSeen && d.cause == CauseMaskedElsewhere && a.model.seq == 0 {
			a.model = model{d.port, d.unnoticed.seq}
		}
		return
	}
	e.bare = true
	e.tied = d.tied()
	if d.cause == CauseMaskedElsewhere && !e.tied.ok() && (e.kind == KindLate || s != StrengthWeak) {
		e.doubtful = e.kind
		a.tally.doubtful[groupKey{e.kind, d.cause, d.port}]++
	}
	e.kind = KindUnknown
}

// corroborate lets findings count whose own evidence leaves room for another reading, a record that is missing: if another finding of
// the trace cannot be read otherwise, then its kernel does unmask ports so. A port that it was seen to unmask through
// Xen is excepted: that there is no such record this once is better explained by its having been lost.
func (a *Analyzer) corroborate() {
	if a.model.seq == 0 {
		return
	}
	ta := &a.tally
	for k, n := range ta.doubtful {
		if a.port(k.port).viaXen {
			continue
		}
		from := groupKey{KindUnknown, k.cause, k.port}
		if ta.groups[from] -= n; ta.groups[from] == 0 {
			delete(ta.groups, from)
		}
		ta.groups[k] += n
		*a.totals.of(KindUnknown) -= n
		*a.totals.of(k.kind) += n
	}
	for i := range a.findings {
		f := &a.findings[i]
		if f.doubtful == "" || a.port(f.Port).viaXen {
			continue
		}
		ta.kept[f.Kind.rank()]--
		ta.kept[f.doubtful.rank()]++
		f.Kind = f.doubtful
		f.Why = f.Why[:len(f.Why)-1] // that it is undecided
		f.Settle = []string{}
		f.Proof = append(f.Proof, fmt.Sprintf("The same kernel did the same to port %d (#%d), and those records cannot be read otherwise.",
			a.model.port, a.model.seq))
	}
}

// tellProof says what bears the finding out, in sentences.
func (w *writer) tellProof() []string {
	p, d := &w.d.proof, w.d
	list := []string{}
	say := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	if p.left.ok() {
		say("vcpu %d took an upcall right after its unmask (#%d), and handled nothing: it had told itself.", p.left.vcpu, p.left.seq)
	}
	if p.passed.ok() {
		took := "an upcall"
		if p.passes > 1 {
			took = fmt.Sprintf("%s upcalls", group(p.passes))
		}
		say("vcpu %d, to which the port belongs, took %s meanwhile, from #%d on, and passed it over: its selector was not set.",
			p.passed.vcpu, took, p.passed.seq)
	}
	if p.ignored.ok() {
		say("A send found it pending %s, and the upcall of vcpu %d after that (#%d) passed it over, too.", w.plain(&p.swallow),
			p.ignored.vcpu, p.ignored.seq)
	}
	if q := w.e.rescuer; q != evtchn.NoPort && d.proof.passed.ok() {
		say("It was handled together with port %d, whose selector bit it shares.", q)
	}
	return list
}

// plain gives the time and the number of an event that is not evidence for a link of the story.
func (w *writer) plain(st *step) string {
	return fmt.Sprintf("at %s (#%d)", w.a.clock.when(st.at), st.seq)
}
