package main

import (
	"io"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/analyze/perfetto"
	"github.com/evtrace/evtrace/evtchn"
)

// perfettoWriter writes a trace for Perfetto, and judges it for the findings, which come last.
type perfettoWriter struct {
	w *perfetto.Writer
	a *analyze.Analyzer
}

func openPerfetto(w io.Writer, of formInput) (formWriter, error) {
	a, err := analyze.NewAnalyzer(of.meta, analyze.Options{})
	if err != nil {
		return nil, err
	}
	p, err := perfetto.NewWriter(w, of.meta)
	if err != nil {
		return nil, err
	}
	return &perfettoWriter{p, a}, nil
}

func (p *perfettoWriter) Add(ev *evtchn.Event) error {
	if err := p.a.Add(ev); err != nil {
		return err
	}
	return p.w.Add(ev)
}

func (p *perfettoWriter) Close() error { return p.w.Close(p.a.Finish()) }
