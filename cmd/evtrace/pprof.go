package main

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"time"

	pprof "github.com/google/pprof/profile"
	"github.com/spf13/cobra"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/analyze/profile"
	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/system"
	"github.com/evtrace/evtrace/replay"
	"github.com/evtrace/evtrace/replay/explore"
)

func newPprof(a *app) *cobra.Command {
	var (
		in      inputOptions
		base    string
		policy  string
		web     webOptions
		late    time.Duration
		listing bool
	)
	c := &cobra.Command{
		Use:     "pprof TRACE",
		GroupID: groupJudge,
		Short:   "show where delays come from, in pprof's own pages",
		Long: `Pprof adds a trace up as a profile: delays by what the port is in use for, the procedure that told a vcpu, the one that looked away,
the vcpu, and the cause. It serves pprof's pages (flame graph, top, source, peek) on this machine only until Ctrl-C, and leaves
nothing behind. The source that they show is the list of the steps of all procedures.

With --base the pages show the difference to another trace: what TRACE has more, and what it has less. With --policy they show what
TRACE would be under another policy, less what was recorded; that needs a recording, not a capture.

"evtrace export --to pprof" writes the profile into a file for go tool pprof, and --listing prints the list of steps for its -list.`,
		Example: `  evtrace pprof a.evt
  evtrace pprof --http 127.0.0.1:8080 a.evt
  evtrace pprof --policy unmask-hypercall a.evt
  evtrace pprof --base before.evt after.evt
  evtrace pprof --listing > evtrace.steps`,
		Args: func(cmd *cobra.Command, args []string) error {
			if listing {
				return exactly(0, "none with --listing")(cmd, args)
			}
			return exactly(1, "one: the trace")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			switch {
			case base != "" && policy != "":
				return usageErrorf("", "--base and --policy: want one of them, what to compare with")
			case late < 0:
				return usageErrorf("", "--late-after: got %v, want a duration such as 5ms", late)
			}
			var other evtchn.Policy
			if policy != "" {
				var err error
				if other, err = evtchn.ParsePolicy(policy); err != nil {
					return err
				}
			}
			if listing {
				return a.print(string(profile.Listing(policy)))
			}
			ln, err := web.listen()
			if err != nil {
				return err
			}
			defer ln.Close()
			t, err := a.openTrace(ctx, args[0], in)
			if err != nil {
				return err
			}
			defer t.Close()
			if policy != "" && t.Meta().Source == evtchn.SourceObserved {
				return about(t.name, replay.ErrObserved)
			}
			p, err := a.profile(ctx, t, late)
			if err != nil {
				return err
			}
			pages := webPages{profile: p, listing: profile.Listing(t.Meta().Policy), title: filepath.Base(t.name)}
			switch {
			case policy != "":
				pages.base = p
				pages.listing = profile.Listing(policy)
				if pages.profile, err = a.profileUnder(ctx, t, other, late); err != nil {
					return err
				}
			case base != "":
				if pages.base, err = a.profileOf(ctx, base, in, late); err != nil {
					return err
				}
				if got, want := pages.base.SampleType[1].Unit, p.SampleType[1].Unit; got != want {
					return usageErrorf("import the capture again with --tsc-hz", "--base: %s counts %s, %s %s", base, got, t.name, want)
				}
			}
			return a.serve(ctx, ln, &pages, web.browser)
		},
	}
	fl := c.Flags()
	fl.StringVar(&base, "base", "", "show the difference to this `TRACE`")
	fl.StringVar(&policy, "policy", "", "show the difference that this `POLICY` would make")
	fl.StringVar(&web.addr, "http", "127.0.0.1:0", "`ADDRESS` to serve on, of this machine's loopback; port 0: any that is free")
	fl.BoolVar(&web.browser, "browser", false, "open a browser, too")
	fl.DurationVar(&late, "late-after", 0, "also call late what was noticed, but took longer than this")
	fl.StringVar(&in.context, "context", "", "`DIR` of the files that go with a capture (default: beside it)")
	fl.Float64Var(&in.tscHz, "tsc-hz", 0, "frequency of the TSC in `HZ`, for a capture with the clock x86-tsc")
	fl.BoolVar(&listing, "listing", false, "print the steps that a profile's lines refer to, and serve nothing")
	_ = c.RegisterFlagCompletionFunc("policy", completePolicies)
	return c
}

// profileOf opens a trace and adds it up.
func (a *app) profileOf(ctx context.Context, name string, in inputOptions, late time.Duration) (*pprof.Profile, error) {
	t, err := a.openTrace(ctx, name, in)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	return a.profile(ctx, t, late)
}

// newProfile begins a profile of a trace, or of what a policy makes of it.
func newProfile(t *trace, meta evtchn.Meta, late time.Duration) (*profile.Builder, error) {
	bound, err := inUnits(late, t)
	if err != nil {
		return nil, err
	}
	b, err := profile.New(meta, profile.Options{Name: filepath.Base(t.name), LateAfter: bound})
	return b, unreadable(about(t.name, err))
}

// profile adds up a trace.
func (a *app) profile(ctx context.Context, t *trace, late time.Duration) (*pprof.Profile, error) {
	b, err := newProfile(t, t.Meta(), late)
	if err != nil {
		return nil, err
	}
	p := a.newProgress("adding up", "events", false)
	defer p.done()
	src := &watched{ctx: ctx, src: t.Events(1), p: p, total: t.Meta().Events}
	var ev evtchn.Event
	for {
		if err := src.Next(&ev); err == io.EOF {
			return b.Profile(), nil
		} else if err != nil {
			return nil, unreadable(about(t.name, err))
		}
		if err := b.Add(&ev); err != nil {
			return nil, unreadable(about(t.name, err))
		}
	}
}

// profileUnder adds up what a recording would be under a policy.
func (a *app) profileUnder(ctx context.Context, t *trace, policy evtchn.Policy, late time.Duration) (*pprof.Profile, error) {
	meta := t.Meta()
	meta.Policy, meta.Complete = policy.String(), true
	b, err := newProfile(t, meta, late)
	if err != nil {
		return nil, err
	}
	p := a.newProgress("replaying", "events", false)
	defer p.done()
	opt := replay.Options{Progress: func(n uint64, _ evtchn.Time) { p.at(n, part(n, meta.Events)) }}
	_, err = replay.Run(ctx, t, policy, b, opt)
	if errors.Is(err, system.ErrScenario) || errors.Is(err, explore.ErrSchedule) || errors.Is(err, explore.ErrSetup) || errors.Is(err, analyze.ErrOrder) {
		err = unreadable(about(t.name, err)) // the scenario is the trace's own
	}
	if err != nil {
		return nil, about(t.name, err)
	}
	return b.Profile(), nil
}
