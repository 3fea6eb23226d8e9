package analyze

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/text"
	"github.com/evtrace/evtrace/replay"
	"github.com/evtrace/evtrace/replay/predict"
)

// PredictOptions say how a prediction is made. The zero value is good.
type PredictOptions struct {
	// Draws is how many times latencies are drawn; a policy's numbers are the medians, and their spread is over the draws. 0: 3.
	Draws int
	// Seed is that of the first draw; the others count on from it.
	Seed uint64
	// MinSamples is how many latencies of a vcpu the capture must show before those of all vcpus are drawn from instead. 0: 20.
	MinSamples int
	// HoldOut are stretches of the capture whose latencies are not drawn from: to try the prediction on what it does not know.
	HoldOut []predict.Span
	// Progress is called now and then with the events read so far, in all passes together.
	Progress func(events uint64)

	_ struct{}
}

func (o *PredictOptions) validate() error {
	if o.Draws < 0 || o.MinSamples < 0 {
		return fmt.Errorf("analyze: %d draws and %d samples, want 0 or more", o.Draws, o.MinSamples)
	}
	o.Draws, o.MinSamples = cmp.Or(o.Draws, 3), cmp.Or(o.MinSamples, 20)
	return nil
}

// Observed is the name of the row of a PolicyReport that says what the capture shows.
const Observed = "observed"

// Range is the spread of a number over the draws of a prediction.
type Range struct {
	Min int64 `json:"min"`
	Max int64 `json:"max"`
}

// Spread says how much of a prediction is chance.
type Spread struct {
	Draws    int             `json:"draws"`
	Verdicts map[Verdict]int `json:"verdicts"` // how many draws have each verdict
	Lost     Range           `json:"lost"`
	Late     Range           `json:"late"`
	P50      Range           `json:"p50"`
	P90      Range           `json:"p90"`
	P99      Range           `json:"p99"`
	MaxDelay Range           `json:"max_delay"`
}

// Latencies is a distribution that predictions are drawn from.
type Latencies struct {
	Of    string `json:"of"` // which vcpu, and how it was told: by itself (own) or by somebody else (kick)
	Count uint64 `json:"count"`
	P10   int64  `json:"p10"`
	P50   int64  `json:"p50"`
	P90   int64  `json:"p90"`
}

// EpisodeChange is one event of a port that a policy treats otherwise than the capture does. Delays are from the operation at at to the start
// of the handler; null: never.
type EpisodeChange struct {
	Port      evtchn.Port   `json:"port"`
	Seq       evtchn.Seq    `json:"seq"` // the operation that was run again
	At        int64         `json:"exposed_at"`
	Op        string        `json:"op"`
	VCPU      evtchn.VCPU   `json:"vcpu"` // that ran it
	Observed  EpisodeEnd    `json:"observed"`
	Predicted EpisodeForced `json:"predicted"`
}

// EpisodeEnd is how an episode ended.
type EpisodeEnd struct {
	Fate          predict.Fate `json:"fate"`
	Delay         *int64       `json:"delay"`
	NoticedBy     evtchn.VCPU  `json:"noticed_vcpu"`
	RescuedByPort evtchn.Port  `json:"rescued_by_port"`
}

// EpisodeForced is how it would end, with the spread of its delay and the samples behind it. Without samples the delay follows from what the
// capture shows, and has no spread.
type EpisodeForced struct {
	EpisodeEnd
	P10       *int64 `json:"p10"`
	P50       *int64 `json:"p50"`
	P90       *int64 `json:"p90"`
	Samples   uint64 `json:"samples"`
	SamplesOf string `json:"samples_of,omitempty"`
}

// Predict says what a capture would have been under each of the policies, beside what it was. Errors are predict.ErrSource, predict.ErrFIFO,
// those of the trace, and ctx's.
func Predict(ctx context.Context, tr replay.Trace, policies []evtchn.Policy, opt Options, popt PredictOptions) (*PolicyReport, error) {
	if err := popt.validate(); err != nil {
		return nil, err
	}
	meta := tr.Meta()
	if err := predict.Refuse(meta); err != nil {
		return nil, err
	}
	run := &prediction{ctx: ctx, tr: tr, meta: meta, opt: opt, popt: popt, clock: newClock(&meta)}
	r := &PolicyReport{Policies: []PolicyResult{}, Predicted: true}
	rep, err := run.observe()
	if err != nil {
		return nil, err
	}
	r.Trace = rep.Trace
	for _, d := range run.samples.Keys() {
		r.Latencies = append(r.Latencies, Latencies{d.What(), d.N(), run.clock.of(d.Quantile(.1)), run.clock.of(d.Quantile(.5)), run.clock.of(d.Quantile(.9))})
	}
	row := run.result(Observed, rep)
	row.Observed = true
	r.Policies = append(r.Policies, row)
	for _, p := range policies {
		row, err := run.policy(p)
		if err != nil {
			return nil, fmt.Errorf("policy %s: %w", p, err)
		}
		r.Policies = append(r.Policies, *row)
	}
	return r, nil
}

// prediction is what the passes over a capture share.
type prediction struct {
	ctx     context.Context
	tr      replay.Trace
	meta    evtchn.Meta
	opt     Options
	popt    PredictOptions
	clock   clock
	samples *predict.Samples
	read    uint64
}

// Next and Add are the two ends of a pass: the source counts, and stops when the context is done.
type counted struct {
	evtchn.Source
	run *prediction
}

func (c counted) Next(ev *evtchn.Event) error {
	c.run.read++
	if c.run.read&0xffff == 0 {
		if err := c.run.ctx.Err(); err != nil {
			return err
		}
		if c.run.popt.Progress != nil {
			c.run.popt.Progress(c.run.read)
		}
	}
	return c.Source.Next(ev)
}

// observe judges the capture as it is, and collects its latencies.
func (r *prediction) observe() (*Report, error) {
	h, err := predict.NewHarvest(r.meta, r.popt.HoldOut...)
	if err != nil {
		return nil, err
	}
	rep, err := Run(r.meta, tee{counted{r.tr.Events(1), r}, h}, r.opt)
	r.samples = h.Samples(r.popt.MinSamples)
	return rep, err
}

// tee passes events on to a second reader.
type tee struct {
	evtchn.Source
	to evtchn.Sink
}

func (t tee) Next(ev *evtchn.Event) error {
	if err := t.Source.Next(ev); err != nil {
		return err
	}
	return t.to.Add(ev)
}

// policy predicts one policy, with several draws unless nothing is drawn.
func (r *prediction) policy(p evtchn.Policy) (*PolicyResult, error) {
	var rows []PolicyResult
	for d := range r.popt.Draws {
		row, drawn, err := r.draw(p, r.popt.Seed+uint64(d))
		if err != nil {
			return nil, err
		}
		rows = append(rows, *row)
		if !drawn {
			break
		}
	}
	return r.median(rows), nil
}

func (r *prediction) draw(p evtchn.Policy, seed uint64) (row *PolicyResult, drawn bool, err error) {
	src, err := predict.New(r.meta, counted{r.tr.Events(1), r}, p, r.samples, predict.Options{Seed: seed})
	if err != nil {
		return nil, false, err
	}
	a, err := NewAnalyzer(r.meta, r.opt)
	if err != nil {
		return nil, false, err
	}
	a.follow(p)
	var ev evtchn.Event
	for {
		if err := src.Next(&ev); err == io.EOF {
			break
		} else if err != nil {
			return nil, false, err
		}
		if err := a.Add(&ev); err != nil {
			return nil, false, err
		}
	}
	rep, out := a.Finish(), src.Outcome()
	res := r.result(p.String(), rep)
	res.Predicted, res.Reruns, res.Changed = true, out.Reruns, out.Departures
	res.WrongVCPU += out.WrongVCPU
	res.Late += out.Late
	res.Unknown += out.Unclear
	res.judge(rep.Verdict)
	res.Doubts = doubtsOf(out)
	if out.Departed != nil {
		res.FirstDeparture = out.Departed.Seq
		res.Departed, res.Instead = describe(out.Departed), "nothing"
		if out.Instead != nil {
			res.Instead = string(text.AppendEvent(nil, out.Instead))
		}
	}
	for i := range out.Episodes {
		res.Episodes = append(res.Episodes, r.change(&out.Episodes[i]))
	}
	if pre, ok := evtchn.FindPreset(res.Policy); ok {
		res.Claim = pre.Claim.String()
	}
	return &res, out.Reruns > 0, nil
}

// judge makes the verdict agree with what the prediction adds to what was found.
func (p *PolicyResult) judge(v Verdict) {
	p.Verdict = v
	for _, o := range []struct {
		n uint64
		v Verdict
	}{{p.Unknown, VerdictUnknown}, {p.Late, VerdictLate}, {p.WrongVCPU, VerdictViolated}} {
		if o.n > 0 && o.v.worse(p.Verdict) {
			p.Verdict = o.v
		}
	}
}

// doubtsOf says in words what a prediction had to assume.
func doubtsOf(o *predict.Outcome) []string {
	var ds []string
	tell := func(n uint64, one, many string) {
		if n == 1 {
			ds = append(ds, "1 "+one)
		} else if n > 1 {
			ds = append(ds, group(n)+" "+many)
		}
	}
	tell(o.Unclear, "port had everything set for its vcpu, and nobody kicked that: it looks when it next enters Xen, which a capture does not show; taken is its next upcall",
		"ports had everything set for their vcpu, and nobody kicked that: it looks when it next enters Xen, which a capture does not show; taken is its next upcall")
	tell(o.Unknown, "operation was on a port of which the capture does not tell whether it was pending: taken as not pending",
		"operations were on ports of which the capture does not tell whether they were pending: taken as not pending")
	tell(o.NoIPI, "unmask would have sent an IPI event to a vcpu of which the capture shows no IPI port: left as it was",
		"unmasks would have sent an IPI event to vcpus of which the capture shows no IPI port: left as they were")
	tell(o.NoSamples, "look has no latency to draw from in this capture: taken as none", "looks have no latency to draw from in this capture: taken as none")
	return ds
}

func (r *prediction) result(name string, rep *Report) PolicyResult {
	return PolicyResult{Policy: name, Verdict: rep.Verdict, Events: rep.Trace.Events, Lost: rep.Totals.Lost, Late: rep.Totals.Late,
		Duplicate: rep.Totals.Duplicate, Concurrent: rep.Totals.Concurrent, WrongVCPU: rep.Totals.WrongVCPU, Unknown: rep.Totals.Unknown,
		Delivered: rep.Totals.Delivered, MaxDelay: rep.Latency.Max, P50: rep.Latency.P50, P90: rep.Latency.P90, P99: rep.Latency.P99, Costs: rep.Costs}
}

func (r *prediction) change(e *predict.Episode) EpisodeChange {
	end := func(n *predict.Ending) EpisodeEnd {
		return EpisodeEnd{n.Fate, r.delay(n.Delay, n.Delay >= 0), n.VCPU, n.RescuedBy}
	}
	n := &e.Predicted
	return EpisodeChange{Port: e.Port, Seq: e.Seq, At: r.clock.of(e.At), Op: e.Op, VCPU: e.VCPU, Observed: end(&e.Observed),
		Predicted: EpisodeForced{end(n), r.delay(n.P10, n.Delay >= 0), r.delay(n.P50, n.Delay >= 0), r.delay(n.P90, n.Delay >= 0), n.Samples, n.SamplesOf}}
}

func (r *prediction) delay(t evtchn.Time, ok bool) *int64 {
	if !ok {
		return nil
	}
	return r.clock.at(t)
}

// median puts the draws of one policy together: each number is its median, its spread the least and the most.
func (r *prediction) median(rows []PolicyResult) *PolicyResult {
	res := rows[0]
	s := &Spread{Draws: len(rows), Verdicts: make(map[Verdict]int)}
	for i := range rows {
		s.Verdicts[rows[i].Verdict]++
	}
	count := func(f func(*PolicyResult) *uint64) Range {
		var v []uint64
		for i := range rows {
			v = append(v, *f(&rows[i]))
		}
		slices.Sort(v)
		*f(&res) = v[len(v)/2]
		return Range{int64(v[0]), int64(v[len(v)-1])}
	}
	delay := func(f func(*PolicyResult) *int64) Range {
		var v []int64
		for i := range rows {
			v = append(v, *f(&rows[i]))
		}
		slices.Sort(v)
		*f(&res) = v[len(v)/2]
		return Range{v[0], v[len(v)-1]}
	}
	s.Lost = count(func(p *PolicyResult) *uint64 { return &p.Lost })
	s.Late = count(func(p *PolicyResult) *uint64 { return &p.Late })
	for _, f := range []func(*PolicyResult) *uint64{
		func(p *PolicyResult) *uint64 { return &p.Unknown },
		func(p *PolicyResult) *uint64 { return &p.WrongVCPU },
		func(p *PolicyResult) *uint64 { return &p.Delivered },
		func(p *PolicyResult) *uint64 { return &p.Costs.Hypercalls },
		func(p *PolicyResult) *uint64 { return &p.Costs.UnmaskHypercalls },
		func(p *PolicyResult) *uint64 { return &p.Costs.IPIs },
		func(p *PolicyResult) *uint64 { return &p.Costs.Upcalls },
		func(p *PolicyResult) *uint64 { return &p.Costs.SpuriousUpcalls },
		func(p *PolicyResult) *uint64 { return &p.Costs.ForeignSkipped },
		func(p *PolicyResult) *uint64 { return &p.Costs.SwallowedSends },
	} {
		count(f)
	}
	s.P50 = delay(func(p *PolicyResult) *int64 { return &p.P50 })
	s.P90 = delay(func(p *PolicyResult) *int64 { return &p.P90 })
	s.P99 = delay(func(p *PolicyResult) *int64 { return &p.P99 })
	s.MaxDelay = delay(func(p *PolicyResult) *int64 { return &p.MaxDelay })
	// The verdict of most draws; of as many, the worse.
	for _, v := range []Verdict{VerdictClean, VerdictUnknown, VerdictLate, VerdictViolated, VerdictLost} {
		if s.Verdicts[v] > 0 && (s.Verdicts[v] >= s.Verdicts[res.Verdict] || s.Verdicts[res.Verdict] == 0) {
			res.Verdict = v
		}
	}
	res.Spread = s
	return &res
}
