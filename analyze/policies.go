package analyze

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/text"
	"github.com/evtrace/evtrace/replay"
)

// PolicyReport compares what a trace's inputs lead to under several policies (replay --json).
type PolicyReport struct {
	Trace          TraceInfo       `json:"trace"`
	RecordedPolicy string          `json:"recorded_policy"`     // "": of a capture, where nobody knows
	Identical      bool            `json:"identical"`           // the recorded policy reproduces the trace event for event
	Predicted      bool            `json:"predicted"`           // the trace is a capture: the first row is what it shows, the others are predictions
	Latencies      []Latencies     `json:"latencies,omitempty"` // of a capture: what the predictions are drawn from
	NotShown       string          `json:"not_shown,omitempty"` // of a capture: why nothing can be predicted about its unmasks
	Divergence     *DivergenceInfo `json:"divergence,omitempty"`
	Policies       []PolicyResult  `json:"policies"`
}

// DivergenceInfo says where a replay under the recorded policy first differs from the recording.
type DivergenceInfo struct {
	Seq      evtchn.Seq `json:"seq"`
	Recorded string     `json:"recorded"`
	Replayed string     `json:"replayed"`
}

// PolicyResult is what one policy makes of the trace.
type PolicyResult struct {
	Policy         string     `json:"policy"`
	Claim          string     `json:"claim"` // what is said of the policy: safe, unsafe, open; "" for a composed one
	Verdict        Verdict    `json:"verdict"`
	Events         uint64     `json:"events"`
	Lost           uint64     `json:"lost"`
	Late           uint64     `json:"late"`
	Duplicate      uint64     `json:"duplicate"`
	Concurrent     uint64     `json:"concurrent"`
	WrongVCPU      uint64     `json:"wrong_vcpu"`
	Unknown        uint64     `json:"unknown"`
	Delivered      uint64     `json:"delivered"`
	MaxDelay       int64      `json:"max_delay"` // of a delivered event, from its exposure
	P50            int64      `json:"p50"`
	P90            int64      `json:"p90"`
	P99            int64      `json:"p99"`
	FirstDeparture evtchn.Seq `json:"first_departure_seq"` // 0: none
	Departed       string     `json:"departed,omitempty"`  // the recorded event there
	Instead        string     `json:"instead,omitempty"`   // and what happens in its place
	Predicted      bool       `json:"predicted"`           // false: computed, with every step of the system
	Requests       Requests   `json:"requests"`
	Costs          Costs      `json:"costs"`
	Buckets        []Bucket   `json:"-"` // the distribution of delays: of a prediction, that of its first draw

	// Of a capture.
	Observed bool            `json:"observed,omitempty"` // no policy: what the capture shows
	Spread   *Spread         `json:"spread,omitempty"`
	Reruns   uint64          `json:"reruns,omitempty"`   // operations of the capture that the policy does otherwise
	Changed  uint64          `json:"changed,omitempty"`  // events whose story changes by that
	Episodes []EpisodeChange `json:"episodes,omitempty"` // the first of those, one by one
	Doubts   []string        `json:"doubts,omitempty"`   // what had to be assumed
}

// ExitCode is that of the worst verdict among the policies; 15 if the recorded policy was verified and diverged.
func (r *PolicyReport) ExitCode() int {
	if r.Divergence != nil {
		return ExitDiverged
	}
	v := VerdictClean
	for i := range r.Policies {
		if !r.Policies[i].Observed && r.Policies[i].Verdict.Worse(v) {
			v = r.Policies[i].Verdict
		}
	}
	return v.ExitCode()
}

// ExitDiverged is the exit code for a trace that its own policy does not reproduce.
const ExitDiverged = 15

// Worse reports whether a verdict outweighs another.
func (v Verdict) Worse(w Verdict) bool { return v.weight() > w.weight() }

func (v Verdict) weight() int {
	for i, o := range []Verdict{VerdictClean, VerdictUnknown, VerdictLate, VerdictViolated, VerdictLost} {
		if v == o {
			return i
		}
	}
	return 0
}

// Policies runs a trace's inputs under each of the policies and judges what comes of it. With verify it first replays the
// recorded policy and compares every event. Errors are those of replay.Run.
func Policies(ctx context.Context, tr replay.Trace, policies []evtchn.Policy, verify bool, opt Options, ropt replay.Options) (*PolicyReport, error) {
	meta := tr.Meta()
	recorded, err := replay.Policy(tr)
	if err != nil {
		return nil, err
	}
	r := &PolicyReport{RecordedPolicy: recorded.String(), Policies: []PolicyResult{}}
	seen := false
	for _, p := range policies {
		seen = seen || p == recorded
	}
	run := policies
	if verify && !seen {
		run = append([]evtchn.Policy{recorded}, policies...)
	}
	for i, p := range run {
		res, info, out, err := judgePolicy(ctx, tr, meta, p, opt, ropt)
		if err != nil {
			return nil, fmt.Errorf("policy %s: %w", p, err)
		}
		if p == recorded {
			r.Identical = out.Departure == 0
			r.Trace = info
			if !r.Identical && verify {
				d := replay.Divergence{Seq: out.Departure, Recorded: out.Departed, Replayed: out.Instead}
				r.Divergence = &DivergenceInfo{Seq: d.Seq, Recorded: describe(d.Recorded), Replayed: describe(d.Replayed)}
			}
		}
		if r.Trace.Events == 0 {
			r.Trace = info
		}
		if i > 0 || seen || !verify {
			r.Policies = append(r.Policies, *res)
		}
	}
	return r, nil
}

// describe writes an event as the text form does, so that whatever differs can be seen.
func describe(ev *evtchn.Event) string {
	if ev == nil {
		return "nothing more"
	}
	return string(text.AppendEvent(nil, ev))
}

// judgePolicy runs and judges one policy.
func judgePolicy(ctx context.Context, tr replay.Trace, meta evtchn.Meta, p evtchn.Policy, opt Options, ropt replay.Options) (*PolicyResult, TraceInfo, *replay.Outcome, error) {
	m := meta
	m.Policy = p.String()
	m.Complete = true
	a, err := NewAnalyzer(m, opt)
	if err != nil {
		return nil, TraceInfo{}, nil, err
	}
	out, err := replay.Run(ctx, tr, p, a, ropt)
	if err != nil {
		return nil, TraceInfo{}, nil, err
	}
	rep := a.Finish()
	res := &PolicyResult{Policy: p.String(), Verdict: rep.Verdict, Events: out.Events, Lost: rep.Totals.Lost, Late: rep.Totals.Late,
		Duplicate: rep.Totals.Duplicate, Concurrent: rep.Totals.Concurrent, WrongVCPU: rep.Totals.WrongVCPU, Unknown: rep.Totals.Unknown,
		Delivered: rep.Totals.Delivered, MaxDelay: rep.Latency.Max, P50: rep.Latency.P50, P90: rep.Latency.P90, P99: rep.Latency.P99, Buckets: rep.Latency.Buckets,
		FirstDeparture: out.Departure, Requests: rep.Requests, Costs: rep.Costs}
	if out.Departure != 0 {
		res.Departed, res.Instead = describe(out.Departed), describe(out.Instead)
	}
	if pre, ok := evtchn.FindPreset(res.Policy); ok {
		res.Claim = pre.Claim.String()
	}
	info := rep.Trace
	info.Complete = meta.Complete
	return res, info, out, nil
}

// WriteText writes whether the recorded policy reproduces the trace, and the comparison. Lines have at most 100 columns.
func (r *PolicyReport) WriteText(w io.Writer) error {
	var b bytes.Buffer
	if r.Predicted {
		r.predicted(&b)
		_, err := w.Write(b.Bytes())
		return err
	}
	switch {
	case r.Divergence != nil:
		fmt.Fprintf(&b, "Replaying the recorded policy, %s, DIVERGED at event %s.\n  recorded  %s\n  replayed  %s\n",
			r.RecordedPolicy, group(uint64(r.Divergence.Seq)), r.Divergence.Recorded, r.Divergence.Replayed)
	case r.Identical:
		fmt.Fprintf(&b, "Recorded under %s: replaying that gives the same %s events.\n", r.RecordedPolicy, group(r.Trace.Events))
	default:
		fmt.Fprintf(&b, "Recorded under %s.\n", r.RecordedPolicy)
	}
	if len(r.Policies) > 0 {
		b.WriteByte('\n')
		r.table(&b)
	}
	if len(r.Policies) > 0 && len(r.Policies) <= 3 {
		for i := range r.Policies {
			if p := &r.Policies[i]; p.FirstDeparture != 0 {
				fmt.Fprintf(&b, "\n%s departs from the recording at event %s:\n  recorded  %s\n  instead   %s\n", p.Policy, group(uint64(p.FirstDeparture)), p.Departed, p.Instead)
			}
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

// WriteTable writes the comparison alone, with a legend.
func (r *PolicyReport) WriteTable(w io.Writer) error {
	var b bytes.Buffer
	r.table(&b)
	_, err := w.Write(b.Bytes())
	return err
}

func (r *PolicyReport) table(b *bytes.Buffer) {
	const row = "%-24s %-8s %5s %6s %6s %6s %4s %8s %7s %6s %8s\n"
	fmt.Fprintf(b, row, "policy", "verdict", "lost", "late", "other", "served", "hung", "slowest", "calls", "IPIs", "departs")
	c := clock{factor: 1}
	for i := range r.Policies {
		p := &r.Policies[i]
		slowest, departs := c.duration(p.MaxDelay), "-"
		if p.Lost > 0 {
			slowest = "never"
		}
		if p.FirstDeparture != 0 {
			departs = fmt.Sprintf("#%d", p.FirstDeparture)
		}
		name, rest := p.Policy, ""
		if len(name) > 24 {
			name, rest = "", name+"\n"
		}
		b.WriteString(rest)
		fmt.Fprintf(b, row, name, p.Verdict, group(p.Lost), group(p.Late), group(p.Duplicate+p.Concurrent+p.WrongVCPU+p.Unknown),
			group(p.Requests.Served), group(p.Requests.Hung), slowest, group(p.Costs.Hypercalls), group(p.Costs.IPIs), departs)
	}
	b.WriteString(`
lost, late: events. other: handled twice, by two vcpus at once, or by the wrong one.
served, hung: I/O requests of other domains. slowest: from exposure to handler.
calls: event-channel hypercalls. departs: the first recorded event that does not happen so.
`)
}
