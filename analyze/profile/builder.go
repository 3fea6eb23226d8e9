package profile

import (
	"cmp"
	"fmt"
	"slices"

	pprof "github.com/google/pprof/profile"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/evtchn"
)

// Options say how a trace is judged, and what the profile says about itself.
type Options struct {
	LateAfter evtchn.Time // as in analyze.Options
	Name      string      // of the trace, for the profile's comments
	_         struct{}
}

// The sample types, in the order of a sample's values.
const (
	valEvents = iota
	valDelay
	valUnnoticed
	valHypercalls
	valUpcalls
	valFindings
	numValues
)

// maxDepth is how many places a stack has.
const maxDepth = 5

// key is what samples are added up by.
type key struct {
	stack  [maxDepth]int32 // numbers of locations, the leaf first; 0: none
	port   evtchn.Port
	vcpu   evtchn.VCPU
	domain int32 // -1: none

	kind, doubtful analyze.Kind
	end            string
}

// Builder adds up one trace. It is an evtchn.Sink.
type Builder struct {
	a     *analyze.Analyzer
	meta  evtchn.Meta
	opt   Options
	l     *listing
	sums  map[key]*[numValues]int64
	locs  map[place]int32
	known []place // by number less 1
	rep   *analyze.Report
	ups   uint64 // passes of the upcall handler so far
}

// New gives a builder for a trace with that meta. Errors are those of analyze.NewAnalyzer.
func New(meta evtchn.Meta, opt Options) (*Builder, error) {
	observed := meta.Source == evtchn.SourceObserved
	b := &Builder{meta: meta, opt: opt, l: newListing(meta.Policy, observed), sums: make(map[key]*[numValues]int64), locs: make(map[place]int32)}
	a, err := analyze.NewAnalyzer(meta, analyze.Options{LateAfter: opt.LateAfter, MaxFindings: 1, Episode: b.episode})
	if err != nil {
		return nil, err
	}
	b.a = a
	return b, nil
}

// Add takes the next event. The error is that of analyze.Analyzer.Add.
func (b *Builder) Add(ev *evtchn.Event) error {
	if err := b.a.Add(ev); err != nil {
		return err
	}
	switch ev.Kind {
	case evtchn.KindHypercall:
		if h := evtchn.Hypercall(min(ev.Args[0], 0xff)); h < evtchn.HCBlock && b.has(ev) {
			u := b.a.Use(ev.Port)
			b.sum(b.key(ev.Port, ev.VCPU, &u, "", "", b.l.hypercall(h), b.l.vcpu(ev.VCPU), b.l.at(useOf(ev.Port, &u))))[valHypercalls]++
		}
	case evtchn.KindUpcallExit:
		if b.has(ev) {
			what := useful
			if ev.Args[0] == 0 {
				what = spurious
			}
			b.upcalls(ev.VCPU, what, 1)
		}
	}
	return nil
}

// has reports whether the trace's dimensions hold the event, as the analyzer sees it.
func (b *Builder) has(ev *evtchn.Event) bool {
	return ev.VCPU >= evtchn.NoVCPU && int(ev.VCPU) < b.meta.VCPUs && b.a.HasPort(ev.Port)
}

func (b *Builder) upcalls(v evtchn.VCPU, what string, n uint64) {
	b.ups += n
	u := analyze.PortUse{}
	stack := []place{b.l.at(what), b.l.vcpu(v)}
	if p, ok := b.l.step("upcall", evtchn.KindUpcallExit); ok {
		stack = append(stack, p)
	}
	b.sum(b.key(evtchn.NoPort, v, &u, "", "", append(stack, b.l.at(noPort))...))[valUpcalls] += int64(n)
}

// SetMeta replaces what the trace says about itself, as analyze.Analyzer.SetMeta does.
func (b *Builder) SetMeta(meta evtchn.Meta) { b.a.SetMeta(meta) }

// episode adds an episode, or a finding.
func (b *Builder) episode(ep *analyze.Episode) {
	class := b.l.at(useOf(ep.Port, &ep.Use))
	exposed := b.procOf(ep.Exposed, ep)
	told := exposed
	if ep.Told.Seq >= ep.Exposed.Seq && ep.Told.Seq != 0 {
		told = b.procOf(ep.Told, ep)
	}
	end := string(ep.End)
	chain := func(leaf string, v evtchn.VCPU, procs ...place) *[numValues]int64 {
		stack := []place{b.l.at(leaf), b.l.vcpu(v)}
		for _, p := range procs {
			if p.name != stack[len(stack)-1].name {
				stack = append(stack, p)
			}
		}
		k := b.key(ep.Port, v, &ep.Use, end, ep.Kind, append(stack, class)...)
		k.doubtful = ep.Doubtful
		return b.sum(k)
	}
	upcall, ok := b.l.step("upcall", evtchn.KindWordRead)
	if !ok {
		upcall = b.l.at(notShown)
	}
	var last *[numValues]int64
	switch {
	case ep.Kind != "":
		looked := told
		v := ep.By
		if ep.LookedAt.Seq != 0 {
			looked, v = b.procOf(ep.LookedAt, ep), ep.LookedAt.VCPU
			if ep.Told.Seq != 0 {
				v = ep.Told.Target
			}
		}
		last = chain(string(ep.Cause), v, looked, told)
		last[valDelay] += ep.Delay
		last[valUnnoticed] += ep.Unnoticed
		last[valFindings]++
	case ep.Timed:
		if ep.Signal > 0 {
			chain(waitTell, ep.Exposed.VCPU, exposed)[valDelay] += ep.Signal
		}
		if ep.Wait > 0 {
			chain(waitUpcall, ep.By, told)[valDelay] += ep.Wait
		}
		last = chain(waitTurn, ep.By, upcall, told)
		last[valDelay] += ep.Delay - ep.Signal - ep.Wait
	case ep.End == analyze.EndDelivered, ep.End == analyze.EndCleared:
		last = chain(notShown, ep.By, exposed)
	default:
		last = chain(waitEnd, evtchn.NoVCPU, exposed)
	}
	if ep.End != analyze.EndNone && !ep.Again {
		last[valEvents]++
	}
}

// procOf finds the step of a procedure that a step of the trace is.
func (b *Builder) procOf(s analyze.Step, ep *analyze.Episode) place {
	role := "upcall"
	switch s.Kind {
	case evtchn.KindNone:
		return b.l.at(notShown)
	case evtchn.KindMaskClear, evtchn.KindUpWrite:
		role = "unmask"
		if b.meta.Source == evtchn.SourceObserved && !(ep.Told.Guest && ep.Told.Seq >= s.Seq) {
			role = roleToday
		}
	case evtchn.KindMaskTAC:
		role = "EVTCHNOP_unmask"
	case evtchn.KindPendTAS, evtchn.KindMaskRead, evtchn.KindUpTAS:
		role = "set_pending"
	case evtchn.KindSelTAS:
		switch {
		case s.Guest:
			role = "unmask"
		case ep.Exposed.Kind == evtchn.KindMaskTAC && ep.Exposed.Seq < s.Seq:
			if p, ok := b.l.step("EVTCHNOP_unmask", evtchn.KindPendRead); ok {
				return p // whose text goes on with SEL
			}
		default:
			role = "set_pending"
		}
	case evtchn.KindPortBind, evtchn.KindUserSet:
		role = "EVTCHNOP_bind_interdomain"
	case evtchn.KindSweepRead:
		role = "tick"
	}
	if p, ok := b.l.step(role, s.Kind); ok {
		return p
	}
	for _, p := range b.l.procs {
		if p.role == role {
			return b.l.at(p.name)
		}
	}
	return b.l.at(notShown)
}

func useOf(p evtchn.Port, u *analyze.PortUse) string {
	switch {
	case p == evtchn.NoPort:
		return noPort
	case u.Status == evtchn.PortIPI:
		return useIPI
	case u.Status == evtchn.PortVIRQ:
		return useVIRQ
	case u.Status == evtchn.PortPIRQ:
		return usePIRQ
	case u.Handler == evtchn.HandlerUser:
		return useDevice
	case u.Handler == evtchn.HandlerIRQ:
		return useDriver
	case u.Status == evtchn.PortUnbound:
		return useUnbound
	case u.Status == evtchn.PortInterdomain:
		return useChannel
	}
	return useUnknown
}

// key puts a sample's key together. The stack has the leaf first.
func (b *Builder) key(p evtchn.Port, v evtchn.VCPU, u *analyze.PortUse, end string, kind analyze.Kind, stack ...place) key {
	k := key{port: p, vcpu: v, domain: -1, end: end, kind: kind}
	if p != evtchn.NoPort && (u.Status == evtchn.PortInterdomain || u.Status == evtchn.PortUnbound) {
		k.domain = int32(min(u.Peer>>32, 0x7fff))
	}
	for i, pl := range stack {
		k.stack[i] = b.loc(pl)
	}
	return k
}

func (b *Builder) loc(p place) int32 {
	n, ok := b.locs[p]
	if !ok {
		b.known = append(b.known, p)
		n = int32(len(b.known))
		b.locs[p] = n
	}
	return n
}

func (b *Builder) sum(k key) *[numValues]int64 {
	s := b.sums[k]
	if s == nil {
		s = new([numValues]int64)
		b.sums[k] = s
	}
	return s
}

// Report is what the profile adds up, without most findings. It is there after Profile.
func (b *Builder) Report() *analyze.Report { return b.rep }

// Profile ends the trace and gives the profile. The builder is of no use afterwards.
func (b *Builder) Profile() *pprof.Profile {
	b.rep = b.a.Finish()
	r := b.rep
	if n := r.Costs.Upcalls; n > b.ups {
		b.upcalls(evtchn.NoVCPU, underWay, n-b.ups)
	}
	p := b.head()
	m := &pprof.Mapping{ID: 1, Limit: 1 << 40, File: "evtrace", HasFunctions: true, HasFilenames: true, HasLineNumbers: true}
	p.Mapping = []*pprof.Mapping{m}
	functions := make(map[string]*pprof.Function)
	for i, pl := range b.known {
		f := functions[pl.name]
		if f == nil {
			start := b.l.start[pl.name]
			if start == 0 {
				start = pl.line
			}
			f = &pprof.Function{ID: uint64(len(functions) + 1), Name: pl.name, SystemName: pl.name, Filename: ListingName, StartLine: start}
			functions[pl.name] = f
			p.Function = append(p.Function, f)
		}
		p.Location = append(p.Location, &pprof.Location{ID: uint64(i + 1), Mapping: m, Line: []pprof.Line{{Function: f, Line: pl.line}}})
	}
	sums := make(map[key]*[numValues]int64, len(b.sums))
	for k, v := range b.sums {
		k.kind = b.a.Settled(&analyze.Episode{Port: k.port, Kind: k.kind, Doubtful: k.doubtful})
		k.doubtful = ""
		if have := sums[k]; have != nil {
			for i := range v {
				have[i] += v[i]
			}
			continue
		}
		sum := *v
		sums[k] = &sum
	}
	keys := make([]key, 0, len(sums))
	for k := range sums {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(x, y key) int {
		return cmp.Or(slices.Compare(x.stack[:], y.stack[:]), cmp.Compare(x.port, y.port), cmp.Compare(x.vcpu, y.vcpu), cmp.Compare(x.domain, y.domain),
			cmp.Compare(x.kind, y.kind), cmp.Compare(x.end, y.end))
	})
	for _, k := range keys {
		if *sums[k] == ([numValues]int64{}) {
			continue
		}
		p.Sample = append(p.Sample, b.sample(p, k, sums[k]))
	}
	return p.Compact()
}

// head is the profile without samples.
func (b *Builder) head() *pprof.Profile {
	tr := &b.rep.Trace
	unit := "nanoseconds"
	if tr.Unit == "ticks" {
		unit = "ticks"
	}
	p := &pprof.Profile{
		SampleType: []*pprof.ValueType{{Type: "events", Unit: "count"}, {Type: "delay", Unit: unit}, {Type: "unnoticed", Unit: unit},
			{Type: "hypercalls", Unit: "count"}, {Type: "upcalls", Unit: "count"}, {Type: "findings", Unit: "count"}},
		DefaultSampleType: "delay",
		PeriodType:        &pprof.ValueType{Type: "events", Unit: "count"},
		Period:            1,
	}
	if unit == "nanoseconds" {
		p.TimeNanos, p.DurationNanos = tr.First, tr.Last-tr.First
	}
	say := func(format string, args ...any) { p.Comments = append(p.Comments, fmt.Sprintf(format, args...)) }
	if b.opt.Name != "" {
		say("trace %s", b.opt.Name)
	}
	say("%s, policy %s, %d vcpus, %d events, verdict %s", tr.Source, b.policy(), tr.VCPUs, tr.Events, b.rep.Verdict)
	if b.meta.Origin != "" {
		say("from the capture %s", b.meta.Origin)
	}
	say("times are those of the trace's clock, %s", tr.Clock)
	say("lines are those of %s: evtrace pprof --listing prints it", ListingName)
	return p
}

func (b *Builder) policy() string {
	if b.meta.Source == evtchn.SourceObserved || b.meta.Policy == "" {
		return "observed"
	}
	return b.meta.Policy
}

func (b *Builder) sample(p *pprof.Profile, k key, values *[numValues]int64) *pprof.Sample {
	s := &pprof.Sample{Value: slices.Clone(values[:]), Label: map[string][]string{"policy": {b.policy()}},
		NumLabel: make(map[string][]int64), NumUnit: make(map[string][]string)}
	for _, n := range k.stack {
		if n != 0 {
			s.Location = append(s.Location, p.Location[n-1])
		}
	}
	number := func(name string, n int64) { s.NumLabel[name], s.NumUnit[name] = []int64{n}, []string{name} }
	if k.port != evtchn.NoPort {
		number("port", int64(k.port))
		number("word", int64(k.port)/int64(b.meta.WordBits))
	}
	if k.vcpu >= 0 {
		number("vcpu", int64(k.vcpu))
	}
	if k.domain >= 0 {
		number("domain", int64(k.domain))
	}
	if k.end != "" {
		s.Label["end"] = []string{k.end}
	}
	switch {
	case k.kind != "":
		s.Label["verdict"] = []string{string(k.kind)}
	case k.end != "":
		s.Label["verdict"] = []string{"ok"}
	}
	return s
}
