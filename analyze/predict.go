package analyze

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/evtrace/evtrace/evtchn"
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
	r.Trace, r.NotShown = rep.Trace, run.notShown
	for _, d := range run.samples.Keys() {
		r.Latencies = append(r.Latencies, Latencies{d.What(), d.N(), run.clock.of(d.Quantile(.1)), run.clock.of(d.Quantile(.5)), run.clock.of(d.Quantile(.9))})
	}
	row := run.result(Observed, rep)
	row.Observed = true
	r.Policies = append(r.Policies, row)
	rows, err := run.policies(policies)
	r.Policies = append(r.Policies, rows...)
	if err != nil {
		return nil, err
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

	notShown string // as that of the report
}

// pass reads the capture once, for all of the sinks. Each takes a good many events at a time: its own state is large, and wants to stay in
// the processor's cache.
func (r *prediction) pass(sinks ...evtchn.Sink) error {
	src := r.tr.Events(1)
	batch := make([]evtchn.Event, 0, 1<<12)
	for end := false; !end; {
		batch = batch[:0]
		for len(batch) < cap(batch) && !end {
			batch = batch[:len(batch)+1]
			if err := src.Next(&batch[len(batch)-1]); err == io.EOF {
				batch, end = batch[:len(batch)-1], true
			} else if err != nil {
				return err
			}
		}
		for _, s := range sinks {
			for i := range batch {
				if err := s.Add(&batch[i]); err != nil {
					return err
				}
			}
			if err := r.ctx.Err(); err != nil {
				return err
			}
			r.read += uint64(len(batch))
			if r.popt.Progress != nil {
				r.popt.Progress(r.read)
			}
		}
	}
	return nil
}

// observe judges the capture as it is, and collects its latencies.
func (r *prediction) observe() (*Report, error) {
	h, err := predict.NewHarvest(r.meta, r.popt.HoldOut...)
	if err != nil {
		return nil, err
	}
	a, err := NewAnalyzer(r.meta, r.opt)
	if err != nil {
		return nil, err
	}
	if err := r.pass(h, a); err != nil {
		return nil, err
	}
	r.samples = h.Samples(r.popt.MinSamples)
	rep := a.Finish()
	r.notShown = a.unmasksNotShown()
	return rep, nil
}

// unmasksNotShown says why nothing can be foretold about the unmasks of a capture, or "" if it shows them.
func (a *Analyzer) unmasksNotShown() string {
	switch {
	case a.ofDumps():
		return "Console dumps do not show the unmasks, so nothing can be predicted about them: no policy is told from another."
	case a.unmasks == 0 || slices.Contains(a.meta.Unprobed, "unmask"):
		return "The capture does not show the unmasks, so nothing can be predicted about them: no policy is told from another by what it would have done there."
	case a.unmasksMissing():
		return "The capture does not show all unmasks, so nothing can be predicted about those that are missing: a policy may do otherwise there."
	}
	return ""
}

// draw is one prediction of one policy.
type draw struct {
	policy int // in the list of those that differ
	seed   uint64
	pre    *predict.Prediction
	judge  *Analyzer
}

// policies predicts each policy: all of them in one pass, and those by which something is drawn once more in another, with the other draws.
func (r *prediction) policies(list []evtchn.Policy) ([]PolicyResult, error) {
	index := make(map[evtchn.Policy]int)
	var distinct []evtchn.Policy
	for _, p := range list {
		if q := predict.Reduce(p); index[q] == 0 {
			distinct = append(distinct, q)
			index[q] = len(distinct)
		}
	}
	rows := make([][]PolicyResult, len(distinct))
	more := make([]bool, len(distinct))
	run := func(which func(i int) bool, from, to int) error {
		var draws []draw
		var sinks []evtchn.Sink
		for i, p := range distinct {
			for d := from; d < to && which(i); d++ {
				a, err := NewAnalyzer(r.meta, r.opt)
				if err != nil {
					return err
				}
				a.follow(p)
				seed := r.popt.Seed + uint64(d)
				pre, err := predict.New(r.meta, p, r.samples, a, predict.Options{Seed: seed})
				if err != nil {
					return err
				}
				draws, sinks = append(draws, draw{i, seed, pre, a}), append(sinks, pre)
			}
		}
		if len(draws) == 0 {
			return nil
		}
		if err := r.pass(sinks...); err != nil {
			return err
		}
		for _, d := range draws {
			out, err := d.pre.Finish()
			if err != nil {
				return err
			}
			rows[d.policy] = append(rows[d.policy], r.row(d.judge.Finish(), out))
			more[d.policy] = out.Drawn
		}
		return nil
	}
	if err := run(func(int) bool { return true }, 0, 1); err != nil {
		return nil, err
	}
	if err := run(func(i int) bool { return more[i] }, 1, r.popt.Draws); err != nil {
		return nil, err
	}
	medians := make([]PolicyResult, len(distinct))
	for i := range distinct {
		medians[i] = r.median(rows[i])
	}
	var results []PolicyResult
	for _, p := range list {
		row := medians[index[predict.Reduce(p)]-1]
		row.Policy = p.String()
		if pre, ok := evtchn.FindPreset(row.Policy); ok {
			row.Claim = pre.Claim.String()
		}
		results = append(results, row)
	}
	return results, nil
}

// row puts together what one prediction gave.
func (r *prediction) row(rep *Report, out *predict.Outcome) PolicyResult {
	res := r.result("", rep)
	res.Predicted, res.Reruns, res.Changed = true, out.Reruns, out.Departures
	res.WrongVCPU += out.WrongVCPU
	res.Late += out.Late
	res.Unknown += out.Unclear + out.Undecided + out.Unseen + out.Circles
	res.judge(rep.Verdict)
	if r.notShown != "" && VerdictUnknown.Worse(res.Verdict) {
		res.Verdict = VerdictUnknown
	}
	res.Doubts = doubtsOf(out)
	if out.Departed != nil {
		res.FirstDeparture = out.Departed.Seq
		res.Departed, res.Instead = describe(out.Departed), "nothing"
		if out.Instead != nil {
			res.Instead = describe(out.Instead)
		}
	}
	for i := range out.Episodes {
		res.Episodes = append(res.Episodes, r.change(&out.Episodes[i]))
	}
	return res
}

// judge makes the verdict agree with what the prediction adds to what was found.
func (p *PolicyResult) judge(v Verdict) {
	p.Verdict = v
	for _, o := range []struct {
		n uint64
		v Verdict
	}{{p.Unknown, VerdictUnknown}, {p.Late, VerdictLate}, {p.WrongVCPU, VerdictViolated}} {
		if o.n > 0 && o.v.Worse(p.Verdict) {
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
	tell(o.Circles, "port would be handed from vcpu to vcpu without end", "ports would be handed from vcpu to vcpu without end")
	tell(o.Unseen, "event would be lost if it came before the unmask; the capture does not show its send, which is placed after it",
		"events would be lost if they came before the unmask; the capture does not show their sends, which are placed after it")
	tell(o.NoIPI, "unmask would have sent an IPI event to a vcpu of which the capture shows no IPI port: left as it was",
		"unmasks would have sent an IPI event to vcpus of which the capture shows no IPI port: left as they were")
	tell(o.NoSamples, "look has no latency to draw from in this capture: taken as none", "looks have no latency to draw from in this capture: taken as none")
	return ds
}

func (r *prediction) result(name string, rep *Report) PolicyResult {
	return PolicyResult{Policy: name, Verdict: rep.Verdict, Events: rep.Trace.Events, Lost: rep.Totals.Lost, Late: rep.Totals.Late,
		Duplicate: rep.Totals.Duplicate, Concurrent: rep.Totals.Concurrent, WrongVCPU: rep.Totals.WrongVCPU, Unknown: rep.Totals.Unknown,
		Delivered: rep.Totals.Delivered, MaxDelay: rep.Latency.Max, P50: rep.Latency.P50, P90: rep.Latency.P90, P99: rep.Latency.P99, Buckets: rep.Latency.Buckets, Costs: rep.Costs}
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

// median puts the draws of one policy together: each number is its median, its spread the least and the most. Of what is unknown it takes the
// most.
func (r *prediction) median(rows []PolicyResult) PolicyResult {
	res := rows[0]
	for i := range rows { // what had to be assumed is told of the draw with most of it
		if rows[i].Unknown > res.Unknown {
			res.Unknown, res.Doubts = rows[i].Unknown, rows[i].Doubts
		}
	}
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
	// The verdict of most draws; of as many, the worse. One draw that is not clean is a doubt of those that are.
	for _, v := range []Verdict{VerdictClean, VerdictUnknown, VerdictLate, VerdictViolated, VerdictLost} {
		if s.Verdicts[v] > 0 && (s.Verdicts[v] >= s.Verdicts[res.Verdict] || s.Verdicts[res.Verdict] == 0) {
			res.Verdict = v
		}
	}
	if res.Verdict == VerdictClean && s.Verdicts[VerdictClean] < len(rows) {
		res.Verdict = VerdictUnknown
	}
	res.Spread = s
	return res
}
