package timeline

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/evtrace/evtrace/evtchn"
)

// trace is a trace in memory.
type trace struct {
	meta evtchn.Meta
	evs  []evtchn.Event
}

// report is the lost event of 2005 on four vcpus, step by step: port 65 is bound on vcpu 3, is owned by vcpu 0, and goes unnoticed
// at 1205450. Later sends are swallowed.
func report() *trace {
	tr := &trace{meta: evtchn.Meta{Source: evtchn.SourceSim, ABI: "2l", VCPUs: 4, WordBits: 64, Unit: "ns", NsPerTick: 1,
		Duration: 2_000_000, Policy: "xen-2005", Tasks: []string{"idle", "qemu"}}}
	const none = evtchn.NoVCPU
	qemu := evtchn.TaskCtx(1)
	for _, e := range []evtchn.Event{
		{Time: 0, VCPU: none, Kind: evtchn.KindStart, Args: [3]uint64{0}},
		{Time: 10, VCPU: none, Kind: evtchn.KindStart, Args: [3]uint64{1}},
		{Time: 30, VCPU: none, Kind: evtchn.KindStart, Args: [3]uint64{3}},
		{Time: 900, VCPU: 0, Ctx: evtchn.CtxXen, Kind: evtchn.KindBlockedSet},
		{Time: 950, VCPU: 0, Ctx: evtchn.CtxXen, Kind: evtchn.KindBlock},
		{Time: 1204000, VCPU: none, Kind: evtchn.KindPreempt, Args: [3]uint64{1}},
		{Time: 1204100, VCPU: 3, Ctx: qemu, Kind: evtchn.KindHypercall, Args: [3]uint64{uint64(evtchn.HCBindInterdomain), 1, 12}},
		{Time: 1204350, VCPU: 3, Ctx: evtchn.CtxXen, Kind: evtchn.KindPortBind, Port: 65, Args: [3]uint64{uint64(evtchn.PortInterdomain), 0, 1<<32 | 12}},
		{Time: 1204380, VCPU: 3, Ctx: evtchn.CtxXen, Kind: evtchn.KindPendTAS, Port: 65},
		{Time: 1204400, VCPU: 3, Ctx: evtchn.CtxXen, Kind: evtchn.KindMaskRead, Port: 65, Res: 1},
		{Time: 1204650, VCPU: 3, Ctx: evtchn.CtxXen, Kind: evtchn.KindReturn},
		{Time: 1204800, VCPU: none, Kind: evtchn.KindGap, Args: [3]uint64{2, 5}},
		{Time: 1205100, VCPU: 3, Ctx: qemu, Kind: evtchn.KindMaskClear, Port: 65, Res: 1},
		{Time: 1205120, VCPU: 3, Ctx: qemu, Kind: evtchn.KindPendRead, Port: 65, Res: 1},
		{Time: 1205140, VCPU: 3, Ctx: qemu, Kind: evtchn.KindSelTAS, Port: 65, Args: [3]uint64{3, 1}},
		{Time: 1205160, VCPU: 3, Ctx: qemu, Kind: evtchn.KindUpWrite, Port: 65, Args: [3]uint64{3, 1}, Res: 1},
		{Time: 1205400, VCPU: 3, Ctx: evtchn.CtxUpcall, Kind: evtchn.KindUpWrite, Args: [3]uint64{3, 0}},
		{Time: 1205420, VCPU: 3, Ctx: evtchn.CtxUpcall, Kind: evtchn.KindSelXchg, Res: 2},
		{Time: 1205450, VCPU: 3, Ctx: evtchn.CtxUpcall, Kind: evtchn.KindWordRead, Args: [3]uint64{1}},
		{Time: 1205470, VCPU: 3, Ctx: evtchn.CtxUpcall, Kind: evtchn.KindUpcallExit},
		{Time: 1205600, VCPU: none, Kind: evtchn.KindRun, Args: [3]uint64{1}},
		{Time: 1900000, VCPU: none, Ctx: evtchn.ForeignCtx(0), Kind: evtchn.KindPendTAS, Port: 65, Res: 1},
		{Time: 1900100, VCPU: 0, Ctx: evtchn.CtxUpcall, Kind: evtchn.KindDeliver, Port: 65},
		{Time: 1900200, VCPU: 0, Ctx: evtchn.CtxUpcall, Kind: evtchn.KindPendClear, Port: 65, Res: 1},
		{Time: 1950000, VCPU: none, Kind: evtchn.KindEnd},
	} {
		e.Seq = evtchn.Seq(len(tr.evs) + 1)
		tr.evs = append(tr.evs, e)
	}
	return tr
}

func (tr *trace) state(t testing.TB) *evtchn.State {
	t.Helper()
	st, err := evtchn.NewState(tr.meta)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// fill gives a builder all events of its window, as a reader does.
func (tr *trace) fill(t testing.TB, b *Builder, spec Spec) {
	t.Helper()
	st := tr.state(t)
	started := false
	for i := range tr.evs {
		ev := &tr.evs[i]
		if !started && ev.Time >= spec.From {
			b.Start(st)
			started = true
		}
		st.Apply(ev)
		if started && !b.Add(ev, st) {
			return
		}
	}
	if !started {
		b.Start(st)
	}
	b.Finish()
}

func (tr *trace) scan(t testing.TB, spec Spec) *Strip {
	t.Helper()
	b := NewBuilder(spec)
	tr.fill(t, b, spec)
	return b.Strip()
}

func TestGrid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from := rapid.Int64().Draw(t, "from")
		to := rapid.Int64Min(from).Draw(t, "to")
		spec := Spec{From: evtchn.Time(from), To: evtchn.Time(to), Cols: rapid.IntRange(1, maxCols).Draw(t, "cols")}.valid()
		g := spec.grid()
		if g.edge(0) != spec.From || g.edge(g.cols) != spec.To {
			t.Fatalf("edges: got %d and %d, want %d and %d", g.edge(0), g.edge(g.cols), spec.From, spec.To)
		}
		at := evtchn.Time(rapid.Int64Range(int64(spec.From), int64(spec.To)-1).Draw(t, "at"))
		c := g.col(at)
		if c < 0 || c >= g.cols || at < g.edge(c) || at >= g.edge(c+1) {
			t.Fatalf("col(%d) = %d, which is from %d to %d", at, c, g.edge(max(c, 0)), g.edge(min(c+1, g.cols)))
		}
		if got := g.col(spec.To); got != g.cols {
			t.Fatalf("col(end) = %d, want %d", got, g.cols)
		}
		if spec.From > -1<<63 {
			if got := g.col(spec.From - 1); got != -1 {
				t.Fatalf("col(before) = %d, want -1", got)
			}
		}
	})
}

// randomTrace has events of all kinds on few vcpus and ports, so that they meet.
func randomTrace(t *rapid.T) *trace {
	tr := &trace{meta: evtchn.Meta{Source: rapid.SampledFrom([]string{evtchn.SourceSim, evtchn.SourceObserved}).Draw(t, "source"), ABI: "2l",
		VCPUs: rapid.IntRange(1, 4).Draw(t, "vcpus"), WordBits: 64, Unit: "ns", NsPerTick: 1}}
	kinds := evtchn.Kinds()
	now := evtchn.Time(0)
	for i := range rapid.IntRange(0, 60).Draw(t, "events") {
		now += evtchn.Time(rapid.IntRange(0, 9).Draw(t, "dt"))
		tr.evs = append(tr.evs, evtchn.Event{Seq: evtchn.Seq(i + 1), Time: now,
			VCPU: evtchn.VCPU(rapid.IntRange(-1, tr.meta.VCPUs-1).Draw(t, "vcpu")), Kind: rapid.SampledFrom(kinds).Draw(t, "kind"),
			Port: evtchn.Port(rapid.SampledFrom([]int{0, 65, 66}).Draw(t, "port")), Res: uint64(rapid.IntRange(0, 2).Draw(t, "res")),
			Args: [3]uint64{uint64(rapid.IntRange(0, 3).Draw(t, "arg")), uint64(rapid.IntRange(0, 2).Draw(t, "arg")), 0},
			Ctx:  rapid.SampledFrom([]evtchn.Context{0, evtchn.CtxXen, evtchn.CtxUpcall, evtchn.TaskCtx(1)}).Draw(t, "ctx")})
	}
	return tr
}

// The builder, which looks only at the vcpus that an event names, sees what one sees that looks at all of them after every event.
func TestBuilderIsComplete(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		tr := randomTrace(rt)
		from := evtchn.Time(rapid.IntRange(-5, 200).Draw(rt, "from"))
		spec := Spec{Meta: tr.meta, From: from, To: from + evtchn.Time(rapid.IntRange(1, 300).Draw(rt, "span")),
			Cols: rapid.IntRange(1, 50).Draw(rt, "cols"), Port: 65}
		got := tr.scan(t, spec)

		g, st := spec.grid(), tr.state(t)
		rows := make([][]uint16, tr.meta.VCPUs)
		for v := range rows {
			rows[v] = make([]uint16, spec.Cols)
		}
		life, count := make([]uint16, spec.Cols), make([]uint64, spec.Cols)
		last := spec.From
		mark := func(row []uint16, from, to evtchn.Time, bit uint16) {
			for c := max(g.col(from), 0); c <= min(g.col(to), spec.Cols-1); c++ {
				row[c] |= bit
			}
		}
		all := func(from, to evtchn.Time) {
			for v := range rows {
				mark(rows[v], from, to, 1<<ActivityOf(st, evtchn.VCPU(v)))
			}
			mark(life, from, to, 1<<LifeOf(st, 65))
		}
		for i := range tr.evs {
			ev := &tr.evs[i]
			if ev.Time >= spec.To {
				break
			}
			if ev.Time >= spec.From {
				all(last, ev.Time)
				last = ev.Time
			}
			st.Apply(ev)
			c := g.col(ev.Time)
			if c < 0 {
				continue
			}
			count[c]++
			all(ev.Time, ev.Time)
			if ev.VCPU >= 0 {
				bit := map[evtchn.Context]uint16{evtchn.CtxXen: 1 << ActXen, evtchn.CtxUpcall: 1 << ActUpcall, evtchn.TaskCtx(1): 1 << ActRunning}[ev.Ctx]
				rows[ev.VCPU][c] |= bit
			}
			if ev.Kind == evtchn.KindDeliver && ev.Port == 65 {
				life[c] |= 1 << LifeDelivered
			}
		}
		all(last, spec.To)
		if diff := cmp.Diff(rows, got.rows); diff != "" {
			rt.Fatalf("vcpus (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(life, got.life); diff != "" {
			rt.Fatalf("port (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(count, got.count); diff != "" {
			rt.Fatalf("counts (-want +got):\n%s", diff)
		}
		for c := range spec.Cols {
			if got.Cover(c) != CoverExact {
				rt.Fatalf("cell %d of %d is not covered", c, spec.Cols)
			}
		}
	})
}

// A strip taken in the middle of a scan knows the beginning, says that it does not know the rest, and does not change what comes out.
func TestPartialStrip(t *testing.T) {
	tr := report()
	spec := Spec{Meta: tr.meta, From: 1204000, To: 1206000, Cols: 40, Port: 65}
	b, st := NewBuilder(spec), tr.state(t)
	var part *Strip
	for i := range tr.evs {
		st.Apply(&tr.evs[i])
		b.Add(&tr.evs[i], st)
		if tr.evs[i].Time == 1205100 {
			part = b.Strip()
		}
	}
	if b.Changed() != true {
		t.Error("nothing has changed after the strip was taken")
	}
	if got := part.Cover(10); got != CoverExact {
		t.Errorf("cover of the beginning: got %d, want exact", got)
	}
	if got := part.Cover(39); got != CoverNone {
		t.Errorf("cover of the end: got %d, want none", got)
	}
	if l, _ := part.Life(22); l != LifeExposed {
		t.Errorf("life at 1205100: got %d, want exposed", l)
	}
	if diff := cmp.Diff(tr.scan(t, spec).life, b.Strip().life); diff != "" {
		t.Errorf("a strip taken between changes the next (-want +got):\n%s", diff)
	}
	if b.Changed() {
		t.Error("changed right after the strip was taken")
	}
}

func TestSamples(t *testing.T) {
	tr := report()
	spec := Spec{Meta: tr.meta, From: 1_000_000, To: 2_000_000, Cols: 10, Port: 65}
	plan := Plan(spec, ScanLimit+1)
	if plan.Scan || len(plan.At) != 10 || plan.At[0] != 1_050_000 || plan.At[9] != 1_950_000 {
		t.Fatalf("got plan %+v, want the middles of ten cells", plan)
	}
	if p := Plan(spec, ScanLimit); !p.Scan {
		t.Errorf("got plan %+v, want a scan", p)
	}
	b := NewBuilder(spec)
	st, next := tr.state(t), 0
	for _, at := range []evtchn.Time{1_150_000, 1_450_000, 1_950_000} {
		for next < len(tr.evs) && tr.evs[next].Time <= at {
			st.Apply(&tr.evs[next])
			next++
		}
		s := st.Clone()
		s.Now = at
		b.Sample(s)
	}
	b.AddCount(1_000_000, 1_500_000, 500_000)
	b.Unnoticed(65, 1_205_450, 1_500_000)
	b.Unnoticed(66, 1_600_000, 1_700_000)
	s := b.Strip()
	var lives []Life
	var covers []Cover
	for c := range spec.Cols {
		l, _ := s.Life(c)
		lives, covers = append(lives, l), append(covers, s.Cover(c))
	}
	const u, n, x = LifeUnnoticed, LifeClear, CoverSampled
	if diff := cmp.Diff([]Life{0, n, u, u, u, u, u, u, u, n}, lives); diff != "" {
		t.Errorf("life (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]Cover{0, x, x, x, x, x, x, x, x, x}, covers); diff != "" {
		t.Errorf("cover (-want +got):\n%s", diff)
	}
	if s.Count(0) != 100_000 || s.Count(4) != 100_000 || s.Count(5) != 0 || s.Events() != 500_000 {
		t.Errorf("got counts %d %d %d, in all %d", s.Count(0), s.Count(4), s.Count(5), s.Events())
	}
}

// However the events lie to the cells, none of those in the window is lost or counted twice.
func TestAddCount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from := evtchn.Time(rapid.Int64Range(-1000, 1000).Draw(t, "from"))
		to := from + evtchn.Time(rapid.Int64Range(1, 5000).Draw(t, "span"))
		b := NewBuilder(Spec{From: from, To: to, Cols: rapid.IntRange(1, 200).Draw(t, "cols")})
		n := rapid.Uint64Range(0, 1<<40).Draw(t, "n")
		a := evtchn.Time(rapid.Int64Range(int64(from), int64(to)-1).Draw(t, "a"))
		z := evtchn.Time(rapid.Int64Range(int64(a)+1, int64(to)).Draw(t, "z"))
		b.AddCount(a, z, n)
		if got := b.Strip().Events(); got != n {
			t.Fatalf("got %d events from %d to %d, want %d", got, a, z, n)
		}
	})
}

func BenchmarkBuilder(b *testing.B) {
	tr := report()
	spec := Spec{Meta: tr.meta, From: 0, To: tr.meta.Duration, Cols: 116, Port: 65}
	spec.Meta.VCPUs = 128
	tr.meta.VCPUs = 128
	st := tr.state(b)
	for i := range tr.evs {
		st.Apply(&tr.evs[i])
	}
	bld := NewBuilder(spec)
	bld.Start(st)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		ev := tr.evs[n%len(tr.evs)]
		ev.Time = evtchn.Time(n % int(tr.meta.Duration))
		bld.Add(&ev, st)
		n++
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
}
