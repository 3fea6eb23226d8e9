package evtchntest

import (
	"io"

	"github.com/evtrace/evtrace/evtchn"
)

// Last is what the validator makes of a trace's last state, and of the handlers that began on the way to it. It is worked out from the
// definitions (domain.md, invariant I), not from what the machine's State keeps.
type Last struct {
	Stuck    []evtchn.Port // pending and unmasked; no vcpu has its word's SEL bit and is going to look
	Asleep   []evtchn.VCPU // asleep although an upcall is due, or the port polled for is pending
	Unread   []uint64      // tasks whose device file holds a port and that have gone to sleep in select
	Twice    bool          // a handler began and its port was not pending, or was picked already and not yet cleared
	Together bool          // a handler began while it ran on another vcpu
	Foreign  bool          // a handler began on a vcpu that does not accept the port
	Moving   bool          // something is still under way: a step, an IPI, a vcpu that is about to run
}

// End is Validate, and says where the trace ends.
func End(meta evtchn.Meta, src evtchn.Source) (Last, []Problem, error) {
	v, err := validatorFor(meta)
	if err != nil {
		return Last{}, nil, err
	}
	w := watcher{v: v, runs: make([]map[evtchn.Port]bool, meta.VCPUs), asleep: make(map[uint64]bool)}
	for i := range w.runs {
		w.runs[i] = make(map[evtchn.Port]bool)
	}
	for {
		var ev evtchn.Event
		if err := src.Next(&ev); err == io.EOF {
			w.end()
			return w.last, v.problems, nil
		} else if err != nil {
			return w.last, v.problems, err
		}
		w.before(&ev)
		v.event(ev)
		w.after(&ev)
	}
}

// watcher follows which handlers run where.
type watcher struct {
	v      *validator
	last   Last
	runs   []map[evtchn.Port]bool // by vcpu: handlers under way, and whether PEND was cleared since they began
	asleep map[uint64]bool        // tasks
}

// begins reports whether a handler begins with the event. Since 2021 Linux first takes is_active, and leaves if it was taken.
func (w *watcher) begins(ev *evtchn.Event) bool {
	if ev.Kind == evtchn.KindActiveXchg {
		return ev.Res == 0
	}
	return ev.Kind == evtchn.KindDeliver && (w.v.policy.Ack == evtchn.Ack2005 || w.v.port(ev.Port).handler == evtchn.HandlerPerCPU)
}

func (w *watcher) before(ev *evtchn.Event) {
	v := w.v
	if ev.VCPU < 0 || int(ev.VCPU) >= len(v.vcpus) || !w.begins(ev) || v.port(ev.Port).status == evtchn.PortFree {
		return
	}
	w.last.Twice = w.last.Twice || !v.pend[ev.Port]
	w.last.Foreign = w.last.Foreign || !v.vcpus[ev.VCPU].accepts(ev.Port)
	for u := range w.runs {
		if cleared, in := w.runs[u][ev.Port]; in && u != int(ev.VCPU) {
			w.last.Together = true
			w.last.Twice = w.last.Twice || !cleared
		}
	}
	w.runs[ev.VCPU][ev.Port] = false
}

func (w *watcher) after(ev *evtchn.Event) {
	switch ev.Kind {
	case evtchn.KindPendClear:
		for u := range w.runs {
			if _, in := w.runs[u][ev.Port]; in && u == int(ev.VCPU) {
				w.runs[u][ev.Port] = true
			}
		}
	case evtchn.KindHandled, evtchn.KindRingPush, evtchn.KindDrop:
		if ev.VCPU >= 0 {
			delete(w.runs[ev.VCPU], ev.Port)
		}
	case evtchn.KindSelect:
		w.asleep[ev.Args[0]] = ev.Res == 0
	case evtchn.KindWake:
		w.asleep[ev.Args[1]] = false
	}
}

func (w *watcher) end() {
	v := w.v
	for i, c := range v.vcpus {
		w.last.Moving = w.last.Moving || c.kicks > 0 || c.run == evtchn.Runnable || c.run == evtchn.Running && (c.inXen || c.inUpcall)
		sleeps := c.run == evtchn.Blocked || c.run == evtchn.Polling
		if sleeps && (c.due() || c.run == evtchn.Polling && v.pend[c.pollPort]) {
			w.last.Asleep = append(w.last.Asleep, evtchn.VCPU(i))
		}
	}
	for p := evtchn.Port(1); int(p) < v.wordBits*v.wordBits; p++ {
		if !v.pend[p] || v.masked(p) {
			continue
		}
		told := false
		for _, c := range v.vcpus {
			looks := c.kicks > 0 || c.run == evtchn.Runnable || c.inUpcall || c.inXen
			told = told || c.sel[v.word(p)] && c.up && looks
		}
		if !told {
			w.last.Stuck = append(w.last.Stuck, p)
		}
	}
	for t := range uint64(len(w.asleep) + 64) {
		if w.asleep[t] && len(v.rings[t]) > 0 {
			w.last.Unread = append(w.last.Unread, t)
		}
	}
}
