package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/recorder"
	"github.com/evtrace/evtrace/recorder/ftrace"
	"github.com/evtrace/evtrace/recorder/xentrace"
)

// importXentrace turns a binary trace of xentrace into a trace file of what it tells of a domain's vcpus.
func (a *app) importXentrace(ctx context.Context, t *trace, out string, force bool) (*recordSummary, error) {
	span, err := scanXentrace(t.path, t.name, &t.opt)
	if err != nil {
		return nil, err
	}
	hz, err := t.tscHz()
	if err != nil {
		return nil, err
	}
	p := a.newProgress("importing", "bytes", t.opt.quiet)
	defer p.done()
	f, err := openPacked(t.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	im, err := xentrace.New(f, filepath.Base(t.name), xentrace.Options{Strict: t.opt.strict, Domain: t.opt.domain, VCPUs: span.VCPUs, TSCHz: hz,
		Progress: func(int64) { p.at(uint64(f.read), part(f.read, t.size)) }})
	if err != nil {
		return nil, err
	}
	origin := func(m evtchn.Meta) evtchn.Meta {
		m.Origin = filepath.Base(t.name)
		return m
	}
	return a.fill(ctx, t, im, origin(im.Meta()), func() evtchn.Meta { return origin(im.FinalMeta()) }, out, force)
}

// tscHz is the frequency of the TSC: the option's, or that of the side files; 0 if neither tells.
func (t *trace) tscHz() (float64, error) {
	if t.opt.tscHz != 0 {
		return t.opt.tscHz, nil
	}
	dir := t.opt.context
	if dir == "" {
		dir = filepath.Dir(t.path)
	}
	side, err := ftrace.ReadSideFiles(dir)
	return side.TSCHz(), err
}

// companion is a trace of xentrace of the same seconds as a capture.
type companion struct {
	name    string
	main    string // the capture's name
	file    *packed
	im      *xentrace.Importer
	span    xentrace.Range
	domain  evtchn.DomID
	witness *xentrace.Witness
}

// openCompanion opens the trace of --xentrace, for a capture with that meta.
func openCompanion(t *trace, meta evtchn.Meta) (*companion, error) {
	c := &companion{name: t.opt.xentrace, main: t.name, domain: t.opt.domain}
	if meta.Clock != xentrace.ClockTSC {
		return nil, usageErrorf("take the capture with echo x86-tsc > trace_clock; docs/capture.md says how to take both",
			"--xentrace: the times of %s are of the clock %s, those of %s are time stamp counters: they cannot be compared", c.main, meta.Clock, c.name)
	}
	var err error
	if c.span, err = scanXentrace(c.name, c.name, &t.opt); err != nil {
		return nil, err
	}
	if c.file, err = openPacked(c.name); err != nil {
		return nil, err
	}
	c.im, err = xentrace.New(c.file, filepath.Base(c.name), xentrace.Options{Strict: t.opt.strict, Domain: t.opt.domain, VCPUs: meta.VCPUs})
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// merge gives the capture's events with those of the trace beside it among them.
func (c *companion) merge(main evtchn.Source) evtchn.Source {
	c.witness = xentrace.NewWitness(recorder.Merge(&dated{c: c, src: main}, c.im))
	return c.witness
}

// dated is a capture that must have some time in common with the trace beside it.
type dated struct {
	c     *companion
	src   evtchn.Source
	first evtchn.Time
	last  evtchn.Time
	begun bool
}

func (d *dated) Next(ev *evtchn.Event) error {
	err := d.src.Next(ev)
	switch {
	case err == io.EOF && d.begun && d.last < d.c.span.First:
		return d.apart(fmt.Sprintf("to %d", d.last))
	case err != nil:
		return err
	case !d.begun:
		d.first, d.begun = ev.Time, true
		if d.first > d.c.span.Last {
			return d.apart("and later")
		}
	}
	d.last = ev.Time
	return nil
}

// apart refuses two traces without a time in common.
func (d *dated) apart(to string) error {
	c := d.c
	return usageErrorf("both must be taken in the same seconds, on one machine, without a reboot in between",
		"--xentrace: %s has nothing of the time of %s: it is of the time stamps %d to %d, the capture of %d %s", c.name, c.main,
		c.span.First, c.span.Last, d.first, to)
}

// meta adds to a capture's meta what the trace beside it tells of itself.
func (c *companion) meta(m evtchn.Meta) evtchn.Meta {
	m.Tool += " and xentrace"
	m.Origin += " and " + filepath.Base(c.name)
	m.Notes = append(m.Notes[:len(m.Notes):len(m.Notes)], c.im.Notes()...)
	if seen, wrong := c.witness.Verdict(); wrong*50 > seen {
		m.Notes = append(m.Notes, fmt.Sprintf("%s of %s are of a vcpu that was not running, as %s has it: the two clocks are not the same, or the capture is not of domain %d",
			group(wrong), plural(seen, "event"), filepath.Base(c.name), c.domain))
	}
	return m
}

func (c *companion) Close() { c.file.Close() }

// scanXentrace reads a trace of xentrace for its range of times. It must tell of the domain, if the user named one.
func scanXentrace(path, name string, opt *inputOptions) (xentrace.Range, error) {
	f, err := openPacked(path)
	if err != nil {
		return xentrace.Range{}, err
	}
	defer f.Close()
	span, err := xentrace.Scan(f, opt.domain)
	if err != nil && span.Records == 0 {
		return span, fmt.Errorf("%s: %w", path, err)
	}
	if opt.domained && len(span.Domains) > 0 && !slices.Contains(span.Domains, opt.domain) {
		return span, usageErrorf("--domain takes the number of one that it tells of", "--domain: %s tells nothing of domain %d: it has the vcpus of %s", name, opt.domain,
			xentrace.DomainsText(span.Domains))
	}
	return span, nil // the importer will come upon the error
}

// packed is a file that may be compressed, unpacked.
type packed struct {
	io.ReadCloser
	file *os.File
	read int64 // bytes of the file, as it is
}

func openPacked(path string) (*packed, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	p := &packed{file: f}
	p.ReadCloser, _, err = decompress(p.counted())
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

func (p *packed) counted() io.Reader { return countedFile{p} }

func (p *packed) Close() error { return errors.Join(p.ReadCloser.Close(), p.file.Close()) }

// countedFile counts what is read of a packed file.
type countedFile struct{ p *packed }

func (c countedFile) Read(b []byte) (int, error) {
	n, err := c.p.file.Read(b)
	c.p.read += int64(n)
	return n, err
}
