package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/text"
)

// minimizeReport is what minimize says, in text and in JSON.
type minimizeReport struct {
	Trace      string           `json:"trace"`
	Keep       string           `json:"keep"`       // ID of the finding in the trace, or disagree:P,Q
	InputsAre  string           `json:"inputs_are"` // input, choice (of a schedule) or event (of a capture)
	Unit       string           `json:"unit"`       // of times
	Whole      minimizeSize     `json:"whole"`
	Result     minimizeSize     `json:"result"`
	Runs       int              `json:"runs"` // attempts
	Seconds    float64          `json:"seconds"`
	Minimal    bool             `json:"minimal"` // without any one of its inputs it does not have it
	Exact      bool             `json:"exact"`   // nor without several
	Stopped    bool             `json:"stopped"` // the budget was over, or a signal came
	Stays      *bool            `json:"stays_lost,omitempty"`
	StaysUntil int64            `json:"stays_until,omitempty"` // to when that was tried
	Policies   []minimizePolicy `json:"policies,omitempty"`
	Inputs     []string         `json:"inputs,omitempty"` // in the text form
	Schedule   string           `json:"schedule,omitempty"`
	Cut        *minimizeCut     `json:"cut,omitempty"` // of a capture
	Finding    *analyze.Finding `json:"finding"`       // in the result
	File       string           `json:"file,omitempty"`
	Fixture    string           `json:"fixture,omitempty"`
}

// minimizeSize is how big a trace is.
type minimizeSize struct {
	Inputs   int             `json:"inputs"`
	Events   uint64          `json:"events"`
	Switches int             `json:"context_switches"`
	Duration int64           `json:"duration"`
	Verdict  analyze.Verdict `json:"verdict"`
}

// minimizePolicy is the verdict under a policy, of the whole and of the result.
type minimizePolicy struct {
	Policy  string          `json:"policy"`
	Verdict analyze.Verdict `json:"verdict"`
}

// minimizeCut is what was left out of a capture.
type minimizeCut struct {
	Before int      `json:"before"` // events
	After  int      `json:"after"`
	Gone   []string `json:"gone"`
}

// setInputs puts the inputs among events into the report.
func (r *minimizeReport) setInputs(list []evtchn.Event) {
	for i := range list {
		if list[i].Input() {
			r.Inputs = append(r.Inputs, string(text.AppendEvent(nil, &list[i])))
		}
	}
}

// inMemory is a sink that keeps events.
type inMemory struct{ events []evtchn.Event }

func (m *inMemory) Add(ev *evtchn.Event) error {
	m.events = append(m.events, *ev)
	return nil
}

// give judges the result, writes what was asked for, and reports.
func (m *minimizing) give(ctx context.Context) error {
	m.meta.Events = uint64(len(m.events))
	w, judged, err := watchEvents(m.meta, m.events)
	if err != nil {
		return err
	}
	m.result = judged
	r, f := m.report, m.flags
	r.Result.Events, r.Result.Switches, r.Result.Verdict = w.Events, w.Switches, m.result.Verdict
	r.Result.Duration = m.result.Trace.Last - m.result.Trace.First
	m.foremost(w)
	if f.out != "" && f.out != "-" {
		if err := m.app.writeHeld(ctx, m.meta, m.events, f.out, f.force); err != nil {
			return err
		}
		r.File = f.out
	}
	if f.fixture != "" {
		if err := m.writeFixture(ctx); err != nil {
			return err
		}
		r.Fixture = f.fixture
	}
	r.Seconds = time.Since(m.began).Seconds()
	switch {
	case f.json:
		err = m.app.printJSON(r)
	case f.out == "-":
		if err = m.app.writeHeld(ctx, m.meta, m.events, f.out, f.force); err == nil {
			m.app.say("%s", strings.TrimSpace(m.summary()))
		}
	default:
		err = m.print()
	}
	if err != nil {
		return err
	}
	if r.Stopped {
		return exitWith(codeUndecided)
	}
	return exitCode(m.result.ExitCode())
}

// foremost puts the finding that was kept before the others of the result.
func (m *minimizing) foremost(w *analyze.Watch) {
	list := m.result.Findings
	if len(list) == 0 {
		return
	}
	m.report.Finding = &list[0]
	if m.kept.finding == nil {
		return
	}
	for i := range list {
		same := w.Find(m.result, &m.kept.keep) == &list[i]
		if m.report.Cut != nil {
			same = moment(&list[i]) == moment(m.kept.finding)
		}
		if same {
			f := list[i]
			copy(list[1:i+1], list[:i])
			list[0] = f
			return
		}
	}
}

// summary says in a paragraph what became of the trace.
func (m *minimizing) summary() string {
	r := m.report
	s := fmt.Sprintf("%s of %s, ", group(uint64(r.Result.Inputs)), plural(uint64(r.Whole.Inputs), r.InputsAre))
	if r.Cut == nil {
		s += plural(r.Result.Events, "event") + ", "
	}
	s += fmt.Sprintf("%s, %s; verdict %s", plural(uint64(r.Result.Switches), "context switch"), durationText(r.Result.Duration, r.Unit), r.Result.Verdict)
	if f := r.Finding; f != nil && m.kept.finding != nil {
		s += "; " + f.ID
		if f.Port != m.kept.finding.Port {
			s += fmt.Sprintf(", which is port %d of the whole trace: it gets a lower number when others are not bound", m.kept.finding.Port)
		}
	}
	sizes := wrap("", s+".", 100)
	s = ""
	attempts := fmt.Sprintf("%s in %s", plural(uint64(r.Runs), "attempt"), durationText(time.Since(m.began).Nanoseconds(), "ns"))
	switch {
	case r.Stopped:
		s += "Not minimal: the time was up, or it was interrupted, after " + attempts + "."
	case r.Cut != nil:
		s += "None of the ports, vcpus and kinds left can be left out: " + attempts + "."
	case r.Exact:
		s += fmt.Sprintf("No part of these %ss has it, and without any one of them it is gone: %s.", r.InputsAre, attempts)
	case r.Minimal:
		s += fmt.Sprintf("1-minimal, without any one of these %ss it is gone: %s.", r.InputsAre, attempts)
	default:
		s += attempts + "."
	}
	sizes += wrap("", s, 100)
	s = ""
	if r.Stays != nil && *r.Stays {
		s += fmt.Sprintf("It stays lost if the same inputs run on to %s.", durationText(r.StaysUntil, r.Unit))
	} else if r.Stays != nil {
		s += fmt.Sprintf("If the same inputs run on to %s, it is no longer lost for good: something that follows from them finds it later.", durationText(r.StaysUntil, r.Unit))
	}
	if s != "" {
		sizes += wrap("", s, 100)
	}
	return sizes
}

// maxInputsShown is how many inputs the text lists.
const maxInputsShown = 40

// print writes the report for a reader.
func (m *minimizing) print() error {
	var b strings.Builder
	r := m.report
	b.WriteString("\n" + m.summary())
	for _, p := range r.Policies {
		fmt.Fprintf(&b, "  under %s: %s\n", p.Policy, p.Verdict)
	}
	if n := len(r.Inputs); n > 0 {
		b.WriteString("\nInputs\n")
		for _, line := range r.Inputs[:min(n, maxInputsShown)] {
			b.WriteString("  " + line + "\n")
		}
		if n > maxInputsShown {
			fmt.Fprintf(&b, "  and %s more\n", group(uint64(n-maxInputsShown)))
		}
	}
	if r.Schedule != "" {
		b.WriteString("\nSchedule\n" + wrap("  ", r.Schedule, 100))
	}
	if c := r.Cut; c != nil {
		b.WriteString("\nLeft out\n")
		if c.Before > 0 {
			fmt.Fprintf(&b, "  %s before, for which a gap stands\n", plural(uint64(c.Before), "event"))
		}
		if c.After > 0 {
			fmt.Fprintf(&b, "  %s after\n", plural(uint64(c.After), "event"))
		}
		if len(c.Gone) > 0 {
			b.WriteString(wrap("  ", "all of "+goneText(c.Gone), 100))
		}
	}
	if err := m.story(&b); err != nil {
		return err
	}
	b.WriteString("\nNext\n" + m.next())
	return m.app.print(b.String())
}

// story tells the finding in words and in events.
func (m *minimizing) story(b *strings.Builder) error {
	f := m.report.Finding
	if f == nil {
		return nil
	}
	var told strings.Builder
	if err := m.result.WriteText(&told, analyze.TextOptions{}); err != nil {
		return err
	}
	body, _, _ := strings.Cut(told.String(), "\nNext\n")
	b.WriteString("\n" + body)
	from := f.FirstSeq()
	if from == 0 {
		return nil
	}
	fmt.Fprintf(b, "\nEvents of %s\n", f.ID)
	list := evtchn.List(m.events[from-1:])
	return writeEvidence(b, "  ", f, &m.meta, &list)
}

// next suggests what to do with the result.
func (m *minimizing) next() string {
	r := m.report
	if r.File == "" && r.Fixture == "" {
		return fmt.Sprintf("  evtrace minimize -o FILE %s    keeps the result as a trace; --fixture DIR makes a fixture of it\n", r.Trace)
	}
	var s string
	if r.File != "" {
		if r.Stopped && r.Cut == nil && r.Schedule == "" {
			s += fmt.Sprintf("  evtrace minimize --resume %s -o %s --force %s    goes on\n", r.File, r.File, r.Trace)
		}
		s += fmt.Sprintf("  evtrace tui %s    steps through it\n", r.File)
	}
	if r.Fixture != "" {
		s += fmt.Sprintf("  evtrace verify %s    judges it as it must be; write what was seen into its report.md\n", r.Fixture)
	}
	return s
}
