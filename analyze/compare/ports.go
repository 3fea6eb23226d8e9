package compare

import (
	"cmp"
	"maps"
	"slices"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/evtchn"
)

// fates follows what becomes of the raises that both traces have. Since a delivery of a port answers all of its raises before it, a port
// needs three counters, however long it waits.
type fates struct {
	ports map[evtchn.Port]*fate
}

type fate struct {
	raised       uint64
	neither      waiting // raises that neither has delivered
	onlyA, onlyB waiting // that one of them has
}

// waiting is raises for which a delivery is awaited.
type waiting struct {
	n     uint64
	first evtchn.Seq // in A
}

func (w *waiting) add(o waiting) {
	if w.n == 0 {
		w.first = o.first
	}
	w.n += o.n
}

func newFates() *fates { return &fates{ports: make(map[evtchn.Port]*fate)} }

func (f *fates) of(p evtchn.Port) *fate {
	t := f.ports[p]
	if t == nil {
		t = &fate{}
		f.ports[p] = t
	}
	return t
}

// line takes a line of the two traces.
func (f *fates) line(l, r *evtchn.Event) {
	if l != nil && r != nil && raises(l) {
		t := f.of(l.Port)
		t.raised++
		t.neither.add(waiting{1, l.Seq})
	}
	if l != nil && l.Kind == evtchn.KindDeliver {
		t := f.of(l.Port)
		t.onlyB = waiting{}
		t.onlyA.add(t.neither)
		t.neither = waiting{}
	}
	if r != nil && r.Kind == evtchn.KindDeliver {
		t := f.of(r.Port)
		t.onlyA = waiting{}
		t.onlyB.add(t.neither) // none, if both deliver it now
		t.neither = waiting{}
	}
}

// raises reports whether an event raises its port by itself: it reaches the domain from outside, or is Xen's step in a hypercall of it.
func raises(ev *evtchn.Event) bool {
	switch ev.Kind {
	case evtchn.KindSend, evtchn.KindVIRQ, evtchn.KindPIRQ:
		return ev.Port != evtchn.NoPort
	case evtchn.KindPendTAS:
		return ev.Ctx.Class() == evtchn.CtxXen
	}
	return false
}

// ports puts together what both have of each port.
func (c *Comparison) ports(f *fates) {
	all := make(map[evtchn.Port]*Port)
	of := func(p evtchn.Port) *Port {
		if all[p] == nil {
			all[p] = &Port{Port: p}
		}
		return all[p]
	}
	for p, t := range f.ports {
		q := of(p)
		q.Raised, q.Gained, q.Missed = t.raised, t.onlyB.n, t.onlyA.n
		for _, w := range []waiting{t.onlyA, t.onlyB} {
			if w.n > 0 && (q.First == 0 || w.first < q.First) {
				q.First = w.first
			}
		}
	}
	for i, s := range []*Side{&c.A, &c.B} {
		side := func(p evtchn.Port) *PortSide {
			if i == 0 {
				return &of(p).A
			}
			return &of(p).B
		}
		for j := range s.ports {
			in := &s.ports[j]
			t := side(in.Port)
			t.Delivered, t.Mean, t.Slowest = in.Delivered, in.Mean, in.Slowest
		}
		for _, g := range s.Groups {
			t := side(g.Port)
			switch g.Kind {
			case analyze.KindLost:
				t.Lost += g.Count
			case analyze.KindLate:
				t.Late += g.Count
			default:
				t.Other += g.Count
			}
		}
	}
	c.Ports = []Port{}
	for _, p := range slices.SortedFunc(maps.Keys(all), cmp.Compare[evtchn.Port]) {
		c.Ports = append(c.Ports, *all[p])
	}
}
