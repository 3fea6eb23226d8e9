package xentrace

import "github.com/evtrace/evtrace/evtchn"

// Witness passes on the events of a source, and compares what vcpus did with the run states among them: a vcpu that does something is
// running. If many were not, the clocks of the two traces are not the same.
type Witness struct {
	src    evtchn.Source
	states []evtchn.RunState
	seen   uint64 // records of a vcpu whose run state was known
	wrong  uint64 // of those, that were made while it was not running
}

// NewWitness gives a source that passes on the events of src.
func NewWitness(src evtchn.Source) *Witness { return &Witness{src: src} }

// Next gives the next event of the source, and its errors.
func (w *Witness) Next(ev *evtchn.Event) error {
	err := w.src.Next(ev)
	if err != nil {
		return err
	}
	if ev.Kind == evtchn.KindRunState {
		for t := int(ev.Target()); t >= 0 && t >= len(w.states); {
			w.states = append(w.states, evtchn.RunUnknown)
		}
		if t := ev.Target(); t >= 0 {
			w.states[t] = evtchn.RunState(ev.Args[2])
		}
		return nil
	}
	if ev.VCPU < 0 || int(ev.VCPU) >= len(w.states) || ev.Inferred() || ev.Kind == evtchn.KindGap || ev.Kind == evtchn.KindXenCall {
		return nil
	}
	if s := w.states[ev.VCPU]; s != evtchn.RunUnknown {
		w.seen++
		if s != evtchn.Running {
			w.wrong++
		}
	}
	return nil
}

// Verdict tells how many events could be compared, and how many of those were of a vcpu that was not running.
func (w *Witness) Verdict() (seen, wrong uint64) { return w.seen, w.wrong }
