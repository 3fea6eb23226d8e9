package main

import (
	"io"

	"github.com/evtrace/evtrace/analyze/profile"
)

// profileWriter writes a trace as a profile. It is not compressed: a name that ends in .gz sees to that.
type profileWriter struct {
	*profile.Builder
	w io.Writer
}

func openProfile(w io.Writer, of formInput) (formWriter, error) {
	b, err := profile.New(of.meta, profile.Options{Name: of.name})
	if err != nil {
		return nil, err
	}
	return &profileWriter{b, w}, nil
}

func (p *profileWriter) Close() error { return p.Profile().WriteUncompressed(p.w) }
