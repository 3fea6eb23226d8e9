package analyze

import (
	"io"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/system"
	"github.com/evtrace/evtrace/recorder/ftrace"
)

// ledger adds up what Options.Episode is told, for comparison with a report.
type ledger struct{ eps []Episode }

func (l *ledger) add(ep *Episode) { l.eps = append(l.eps, *ep) }

// check holds what was told against the report: the same episodes by ending, the same findings by kind and cause, the same delays.
func (l *ledger) check(t interface{ Errorf(string, ...any) }, a *Analyzer, r *Report) {
	ends := make(map[Ending]uint64)
	groups := make(map[groupKey]uint64)
	var timed Latency
	var again uint64
	for i := range l.eps {
		ep := &l.eps[i]
		if ep.Again {
			again++
		} else if ep.End != EndNone {
			ends[ep.End]++
		}
		if k := a.Settled(ep); k != "" {
			groups[groupKey{k, ep.Cause, ep.Port}]++
		}
		if ep.Timed {
			timed.Count++
			timed.Sum += ep.Delay
			timed.Max = max(timed.Max, ep.Delay)
		}
		if ep.Signal < 0 || ep.Wait < 0 || ep.Unnoticed < 0 || ep.Signal+ep.Wait > ep.Delay || ep.Unnoticed > ep.Delay {
			t.Errorf("port %d: the parts do not fit into the whole: %+v", ep.Port, ep)
		}
	}
	tot := &r.Totals
	want := map[Ending]uint64{EndDelivered: tot.Delivered - tot.DeliveredAgain, EndCleared: tot.Cleared, EndClosed: tot.Closed, EndInFlight: tot.InFlight,
		EndMasked: tot.MaskedAtEnd, EndUnnoticed: tot.UnnoticedAtEnd, EndUnclear: tot.UnclearAtEnd}
	for e, n := range want {
		if ends[e] != n {
			t.Errorf("%s: told of %d episodes, the report has %d", e, ends[e], n)
		}
	}
	if again != tot.DeliveredAgain {
		t.Errorf("delivered again: told of %d, the report has %d", again, tot.DeliveredAgain)
	}
	reported := make(map[groupKey]uint64)
	for _, g := range r.Groups {
		reported[groupKey{g.Kind, g.Cause, g.Port}] = g.Count
	}
	if diff := cmp.Diff(reported, groups, cmp.AllowUnexported(groupKey{})); diff != "" {
		t.Errorf("findings (-reported +told):\n%s", diff)
	}
	if l := r.Latency; timed.Count != l.Count || timed.Sum != l.Sum || timed.Max != l.Max {
		t.Errorf("told of %d delays of %d altogether, at most %d; the report has %+v", timed.Count, timed.Sum, timed.Max, l)
	}
}

// judge gives all that is told of a source.
func (l *ledger) judge(t *testing.T, meta evtchn.Meta, src evtchn.Source) {
	t.Helper()
	a, err := NewAnalyzer(meta, Options{Episode: l.add})
	if err != nil {
		t.Fatal(err)
	}
	var ev evtchn.Event
	for {
		if err := src.Next(&ev); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if err := a.Add(&ev); err != nil {
			t.Fatal(err)
		}
	}
	if f, ok := src.(interface{ FinalMeta() evtchn.Meta }); ok {
		a.SetMeta(f.FinalMeta())
	}
	l.check(t, a, a.Finish())
}

// What is told of each episode adds up to the report: in every scenario under every policy, cut off somewhere, and in captures.
func TestEpisodes(t *testing.T) {
	for _, sc := range system.Builtins() {
		for i, pre := range evtchn.Presets() {
			if testing.Short() && i%4 != 0 {
				continue
			}
			t.Run(sc.Name+"/"+pre.Name, func(t *testing.T) {
				meta, evs := simulate(t, sc.Name, pre.Name, 1, 3000+997*i)
				var l ledger
				l.judge(t, meta, &slice{evs: evs})
				if len(l.eps) == 0 {
					t.Error("told of nothing")
				}
			})
		}
	}
	for _, name := range []string{"2l-lost-bug", "2l-bugkernel-small", "fifo-small", "2l-overrun"} {
		t.Run(name, func(t *testing.T) {
			im, err := ftrace.Open(filepath.Join(capture(t, name), "trace.txt.zst"), ftrace.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer im.Close()
			var l ledger
			l.judge(t, im.Meta(), im)
		})
	}
}

// The report's story, as an episode: raised masked, unmasked on another vcpu, told to that one, closed by nobody.
func TestEpisodeOfSeed(t *testing.T) {
	meta, evs := simulate(t, "seed-port65", "xen-2005", 1, 1<<20)
	var l ledger
	l.judge(t, meta, &slice{evs: evs})
	for i := range l.eps {
		ep := &l.eps[i]
		if ep.Port != 65 {
			continue
		}
		if ep.End != EndUnnoticed || ep.Kind != KindLost || ep.Cause != CauseMaskedElsewhere || ep.Use.Handler != evtchn.HandlerUser ||
			ep.Exposed.Kind != evtchn.KindMaskClear || !ep.Exposed.Guest || ep.Told.Kind != evtchn.KindSelTAS || ep.Told.Target != ep.Told.VCPU ||
			ep.LookedAt.Kind != evtchn.KindWordRead || ep.By != evtchn.NoVCPU || ep.Timed || ep.Delay <= ep.Unnoticed || ep.Unnoticed < 200_000_000 {
			t.Errorf("got %+v", ep)
		}
		return
	}
	t.Error("nothing was told of port 65")
}
