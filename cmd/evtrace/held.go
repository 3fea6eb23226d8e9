package main

import (
	"context"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/text"
	"github.com/evtrace/evtrace/recorder"
)

// heldTrace is a trace in memory. It is a replay.Trace.
type heldTrace struct {
	meta   evtchn.Meta
	events []evtchn.Event
}

func (t *heldTrace) Meta() evtchn.Meta { return t.meta }

func (t *heldTrace) Events(from evtchn.Seq) evtchn.Source {
	list := evtchn.List(t.events[min(int(from)-1, len(t.events)):])
	return &list
}

// watchEvents judges a trace that is in memory.
func watchEvents(meta evtchn.Meta, events []evtchn.Event) (*analyze.Watch, *analyze.Report, error) {
	w, err := analyze.NewWatch(meta)
	if err != nil {
		return nil, nil, err
	}
	for i := range events {
		if err := w.Add(&events[i]); err != nil {
			return nil, nil, err
		}
	}
	return w, w.Finish(), nil
}

// writeHeld writes a trace that is in memory to a trace file; - is text on stdout.
func (a *app) writeHeld(ctx context.Context, meta evtchn.Meta, events []evtchn.Event, out string, force bool) error {
	list := evtchn.List(events)
	src := &list
	if out == "-" {
		w := text.NewWriter(a.out, meta)
		if _, err := recorder.Run(ctx, src, recorder.Options{}, sinkFunc(func(ev *evtchn.Event) error { return onStdout(w.Add(ev)) })); err != nil {
			return err
		}
		return onStdout(w.Close())
	}
	an, err := analyze.NewAnalyzer(meta, analyze.Options{})
	if err != nil {
		return err
	}
	w, err := createStore(out, meta, force)
	if err != nil {
		return err
	}
	if _, err = recorder.Run(context.WithoutCancel(ctx), src, recorder.Options{}, &storeSink{w, out}, an); err == nil {
		err = putFindings(w, an.Finish())
	}
	if err != nil {
		w.Abort()
		return unwritable(out, err)
	}
	return closeStore(w, out, meta.Complete)
}
