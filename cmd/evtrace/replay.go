package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/replay"
)

// replayReport is what replay says, in text and in JSON.
type replayReport struct {
	Trace          analyze.TraceInfo `json:"trace"`
	RecordedPolicy string            `json:"recorded_policy"`
	Identical      bool              `json:"identical"` // the recorded policy reproduces the trace, event for event
	Compared       uint64            `json:"compared"`  // events that agree
	Divergence     string            `json:"divergence,omitempty"`
	Policies       []policyResult    `json:"policies"`
}

// policyResult is what became of the trace under one policy.
type policyResult struct {
	Policy            string          `json:"policy"`
	Claim             string          `json:"claim"`
	Verdict           analyze.Verdict `json:"verdict"`
	Lost              uint64          `json:"lost"`
	Late              uint64          `json:"late"`
	Duplicate         uint64          `json:"duplicate"`
	Concurrent        uint64          `json:"concurrent"`
	WrongVCPU         uint64          `json:"wrong_vcpu"`
	Delivered         uint64          `json:"delivered"`
	MaxDelay          int64           `json:"max_delay"`
	P50               int64           `json:"p50"`
	P99               int64           `json:"p99"`
	FirstDepartureSeq evtchn.Seq      `json:"first_departure_seq"` // 0: none
	Predicted         bool            `json:"predicted"`
	Costs             analyze.Costs   `json:"costs"`
}

func newReplay(a *app) *cobra.Command {
	var (
		policies []string
		json     bool
	)
	c := &cobra.Command{
		Use:     "replay TRACE [--policy P]...",
		GroupID: groupJudge,
		Short:   "run a trace again, under its own policy or under others",
		Long: `Replay takes what reached the recorded system from outside (interrupts, sends, system calls, the scheduler) and runs everything else
again.

Without --policy it runs the recorded policy and compares: every event must come out as it was recorded. If not, it names the
first that does not, and the exit code is 15.

With --policy it says what would have become of the system under each of those policies: what would have been lost or late, and at
what cost. "all" stands for all named policies. The exit code is that of the policy's verdict, or of the worst among several; 15 if
the recorded policy does not reproduce the trace.`,
		Example: `  evtrace replay a.evt
  evtrace replay a.evt --policy all
  evtrace replay a.evt --policy unmask-hypercall
  evtrace replay a.evt --policy unmask=hypercall,rebind=2013 --policy linux-2021 --json`,
		Args: exactly(1, "one: the trace"),
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := parsePolicies(policies)
			if err != nil {
				return err
			}
			t, err := a.openTrace(cmd.Context(), args[0], inputOptions{})
			if err != nil {
				return err
			}
			defer t.Close()
			r, err := a.replay(cmd.Context(), t, list)
			if err != nil {
				return nameTrace(t, err)
			}
			if json {
				err = a.printJSON(r)
			} else {
				err = r.writeText(a.out, args[0])
			}
			if err != nil {
				return err
			}
			return exitCode(r.exitCode())
		},
	}
	fl := c.Flags()
	fl.StringArrayVar(&policies, "policy", nil, "`POLICY` to run under: a preset, choices, or all; may be repeated")
	fl.BoolVar(&json, "json", false, "as JSON")
	_ = c.RegisterFlagCompletionFunc("policy", completePolicies)
	return c
}

// nameTrace puts the trace's name before an error that does not say which trace it is about.
func nameTrace(t *trace, err error) error {
	if err == nil || interrupted(err) || strings.Contains(err.Error(), t.name) {
		return err
	}
	return fmt.Errorf("%s: %w", t.name, err)
}

// parsePolicies reads the values of --policy. Each policy is there once.
func parsePolicies(specs []string) ([]evtchn.Policy, error) {
	var list []evtchn.Policy
	seen := make(map[evtchn.Policy]bool)
	add := func(p evtchn.Policy) {
		if !seen[p] {
			seen[p] = true
			list = append(list, p)
		}
	}
	for _, spec := range specs {
		if spec == "all" {
			for _, pre := range evtchn.Presets() {
				add(pre.Policy)
			}
			continue
		}
		for _, part := range splitPolicies(spec) {
			p, err := evtchn.ParsePolicy(part)
			if err != nil {
				return nil, err
			}
			add(p)
		}
	}
	return list, nil
}

// splitPolicies takes "linux-2013,linux-2021" apart, and leaves "linux-2013,tick=sweep" and "unmask=always,tick=sweep" whole: a
// preset begins a policy, choices go on with it.
func splitPolicies(spec string) []string {
	var list []string
	for i, part := range strings.Split(spec, ",") {
		if i > 0 && strings.Contains(part, "=") {
			list[len(list)-1] += "," + part
			continue
		}
		list = append(list, part)
	}
	return list
}

// replay runs a trace under its own policy, and under others.
func (a *app) replay(ctx context.Context, t *trace, list []evtchn.Policy) (*replayReport, error) {
	own, err := replay.Policy(t)
	if err != nil {
		return nil, unreadable(err)
	}
	meta := t.Meta()
	runs := uint64(len(list))
	if !contains(list, own) {
		runs++
	}
	p := a.newProgress("replaying", "events", false)
	defer p.done()
	done := uint64(0)
	opt := replay.Options{Progress: func(n uint64, _ evtchn.Time) { p.at(done*meta.Events+n, part(done*meta.Events+n, runs*meta.Events)) }}
	r := &replayReport{RecordedPolicy: own.String(), Policies: []policyResult{}}
	run := func(policy evtchn.Policy) (*analyze.Report, *replay.Outcome, error) {
		m := meta
		m.Policy = policy.String()
		an, err := analyze.NewAnalyzer(m, analyze.Options{MaxFindings: 1})
		if err != nil {
			return nil, nil, err
		}
		out, err := replay.Run(ctx, t, policy, an, opt)
		if err != nil {
			return nil, nil, err
		}
		done++
		if policy == own {
			r.compare(out)
		}
		return an.Finish(), out, nil
	}
	if !contains(list, own) {
		report, _, err := run(own)
		if err != nil {
			return nil, err
		}
		r.Trace = report.Trace
	}
	for _, policy := range list {
		report, out, err := run(policy)
		if err != nil {
			return nil, err
		}
		if policy == own {
			r.Trace = report.Trace
		}
		r.Policies = append(r.Policies, resultOf(policy, report, out))
	}
	return r, nil
}

func contains(list []evtchn.Policy, p evtchn.Policy) bool {
	for _, q := range list {
		if p == q {
			return true
		}
	}
	return false
}

// compare notes whether the recorded policy has reproduced the trace.
func (r *replayReport) compare(out *replay.Outcome) {
	r.Identical = out.Departure == 0
	r.Compared = out.Events
	if !r.Identical {
		r.Compared = uint64(out.Departure) - 1
		r.Divergence = (&replay.Divergence{Seq: out.Departure, Recorded: out.Departed, Replayed: out.Instead}).Error()
	}
}

func resultOf(p evtchn.Policy, r *analyze.Report, out *replay.Outcome) policyResult {
	t := &r.Totals
	return policyResult{Policy: p.String(), Claim: infoOf(p).Claim, Verdict: r.Verdict, Lost: t.Lost, Late: t.Late, Duplicate: t.Duplicate,
		Concurrent: t.Concurrent, WrongVCPU: t.WrongVCPU, Delivered: t.Delivered, MaxDelay: r.MaxDelay(), P50: r.Latency.P50, P99: r.Latency.P99,
		FirstDepartureSeq: out.Departure, Costs: r.Costs}
}

// exitCode is 15 if the trace was not reproduced, else that of the worst verdict.
func (r *replayReport) exitCode() int {
	if !r.Identical {
		return codeDiverged
	}
	rank := []analyze.Verdict{analyze.VerdictClean, analyze.VerdictUnknown, analyze.VerdictLate, analyze.VerdictViolated, analyze.VerdictLost}
	for i := len(rank) - 1; i > 0; i-- {
		for _, p := range r.Policies {
			if p.Verdict == rank[i] {
				return p.Verdict.ExitCode()
			}
		}
	}
	return codeClean
}

func (r *replayReport) writeText(w io.Writer, name string) error {
	var b strings.Builder
	if r.Identical {
		fmt.Fprintf(&b, "identical: policy %s reproduces all %s of the trace.\n", r.RecordedPolicy, plural(r.Compared, "event"))
	} else {
		fmt.Fprintf(&b, "diverged: policy %s does not reproduce the trace.\n", r.RecordedPolicy)
		b.WriteString(wrap("  ", r.Divergence, 100))
	}
	if len(r.Policies) > 0 {
		b.WriteString("\n")
		r.table(&b)
	} else if r.Identical {
		fmt.Fprintf(&b, "\nNext\n  evtrace replay %s --policy all    what would have become of it under other policies\n", name)
	}
	_, err := io.WriteString(w, b.String())
	return onStdout(err)
}

// table lists the policies, one on a line.
func (r *replayReport) table(b *strings.Builder) {
	fmt.Fprintf(b, "%-25s %-8s %5s %5s %10s %9s %10s %6s %7s %7s\n", "policy", "verdict", "lost", "late", "slowest", "delivered", "hypercalls", "IPIs",
		"upcalls", "departs")
	for i := range r.Policies {
		p := &r.Policies[i]
		departs := "-"
		if p.FirstDepartureSeq > 0 {
			departs = fmt.Sprintf("#%d", p.FirstDepartureSeq)
		}
		fmt.Fprintf(b, "%-25s %-8s %5d %5d %10s %9d %10d %6d %7d %7s\n", p.Policy, p.Verdict, p.Lost, p.Late, durationText(p.MaxDelay, r.Trace.Unit), p.Delivered,
			p.Costs.Hypercalls, p.Costs.IPIs, p.Costs.Upcalls, departs)
	}
}
