package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/system"
	"github.com/evtrace/evtrace/replay"
	"github.com/evtrace/evtrace/replay/explore"
)

func newReplay(a *app) *cobra.Command {
	var (
		policies []string
		json     bool
		popt     analyze.PredictOptions
	)
	c := &cobra.Command{
		Use:     "replay TRACE [--policy P]...",
		GroupID: groupJudge,
		Short:   "run a trace again, under its own policy or under others",
		Long: `Replay takes what reached the recorded system from outside (interrupts, sends, system calls, the scheduler) and runs everything else
again.

Without --policy it runs the recorded policy and compares: every event must come out as it was recorded. If not, it names the
first that does not, and the exit code is 15.

With --policy it says what would have become of the system under each of those policies: what would have been lost or late, and at
what cost. "all" stands for all named policies. The exit code is that of the policy's verdict, or of the worst among several; 15 if
the recorded policy does not reproduce the trace.

A capture of a real system has no actors, and cannot be run again. With --policy it is predicted: every operation that it shows is
carried out as the policy does it, at its time; whoever is told of a port looks after a time drawn from the latencies of the same
capture; nobody reacts. The first row is what the capture shows. Latencies are drawn several times, and numbers come with their
spread. The exit code is that of the worst predicted verdict; 20 without --policy, and for captures with the FIFO ABI.`,
		Example: `  evtrace replay a.evt
  evtrace replay a.evt --policy all
  evtrace replay a.evt --policy unmask-hypercall
  evtrace replay a.evt --policy unmask=hypercall,rebind=2013 --policy linux-2021 --json
  evtrace replay trace.txt.zst --policy xen-2005,linux-2021 --draws 5`,
		Args: exactly(1, "one: the trace"),
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := parsePolicies(policies)
			if err != nil {
				return err
			}
			t, err := a.openTrace(cmd.Context(), args[0], inputOptions{})
			if err != nil {
				return err
			}
			defer t.Close()
			var r *analyze.PolicyReport
			switch observed := t.Meta().Source == evtchn.SourceObserved; {
			case observed && len(list) == 0:
				return about(t.name, replay.ErrObserved)
			case observed:
				r, err = a.predict(cmd.Context(), t, list, popt)
			case cmd.Flags().Changed("draws") || cmd.Flags().Changed("seed"):
				return usageErrorf("", "--draws and --seed are for predictions: %s is a recording, and is computed", t.name)
			default:
				r, err = a.replay(cmd.Context(), t, list)
			}
			if err != nil {
				return err
			}
			if json {
				err = a.printJSON(r)
			} else if err = onStdout(r.WriteText(a.out)); err == nil && len(list) == 0 && r.Identical {
				err = a.print("\nNext\n  evtrace replay --policy all " + args[0] + "    what would have become of it under other policies\n")
			}
			if err != nil {
				return err
			}
			return exitCode(r.ExitCode())
		},
	}
	fl := c.Flags()
	fl.StringArrayVar(&policies, "policy", nil, "`POLICY` to run under: a preset, choices, or all; may be repeated")
	fl.BoolVar(&json, "json", false, "as JSON")
	fl.IntVar(&popt.Draws, "draws", 3, "of a capture: how many `TIMES` latencies are drawn, for the spread")
	fl.Uint64Var(&popt.Seed, "seed", 1, "of a capture: `SEED` of the first draw")
	_ = c.RegisterFlagCompletionFunc("policy", completePolicies)
	return c
}

// parsePolicies reads the values of --policy. Each policy is there once.
func parsePolicies(specs []string) ([]evtchn.Policy, error) {
	var list []evtchn.Policy
	seen := make(map[evtchn.Policy]bool)
	add := func(p evtchn.Policy) {
		if !seen[p] {
			seen[p] = true
			list = append(list, p)
		}
	}
	for _, spec := range specs {
		if spec == "all" {
			for _, pre := range evtchn.Presets() {
				add(pre.Policy)
			}
			continue
		}
		for _, part := range splitPolicies(spec) {
			p, err := evtchn.ParsePolicy(part)
			if err != nil {
				return nil, err
			}
			add(p)
		}
	}
	return list, nil
}

// splitPolicies takes "linux-2013,linux-2021" apart, and leaves "linux-2013,tick=sweep" and "unmask=always,tick=sweep" whole: a
// preset begins a policy, choices go on with it.
func splitPolicies(spec string) []string {
	var list []string
	for i, part := range strings.Split(spec, ",") {
		if i > 0 && strings.Contains(part, "=") {
			list[len(list)-1] += "," + part
			continue
		}
		list = append(list, part)
	}
	return list
}

// replay runs a trace under its own policy, and under others.
func (a *app) replay(ctx context.Context, t *trace, list []evtchn.Policy) (*analyze.PolicyReport, error) {
	if _, err := replay.Policy(t); err != nil {
		return nil, unreadable(fmt.Errorf("%s: the recorded policy: %w", t.name, err))
	}
	p := a.newProgress("replaying", "events", false)
	defer p.done()
	var before, last uint64 // events of the policies that are done, and of the one under way
	total := t.Meta().Events * uint64(len(list)+1)
	opt := replay.Options{Progress: func(n uint64, _ evtchn.Time) {
		if n < last {
			before += last
		}
		last = n
		p.at(before+n, part(before+n, total))
	}}
	r, err := analyze.Policies(ctx, t, list, true, analyze.Options{MaxFindings: 1}, opt)
	if errors.Is(err, system.ErrScenario) || errors.Is(err, explore.ErrSchedule) || errors.Is(err, explore.ErrSetup) || errors.Is(err, evtchn.ErrConfig) ||
		errors.Is(err, analyze.ErrOrder) {
		err = unreadable(about(t.name, err)) // the scenario is the trace's own
	}
	return r, about(t.name, err)
}

// predict says what a capture would have been under some policies.
func (a *app) predict(ctx context.Context, t *trace, list []evtchn.Policy, opt analyze.PredictOptions) (*analyze.PolicyReport, error) {
	if opt.Draws < 1 {
		return nil, usageErrorf("", "--draws: got %d, want 1 or more", opt.Draws)
	}
	p := a.newProgress("predicting", "events", false)
	defer p.done()
	total := t.Meta().Events * uint64(1+len(list)*opt.Draws)
	opt.Progress = func(n uint64) { p.at(n, part(n, total)) }
	r, err := analyze.Predict(ctx, t, list, analyze.Options{MaxFindings: 1}, opt)
	if errors.Is(err, evtchn.ErrConfig) || errors.Is(err, analyze.ErrOrder) {
		err = unreadable(about(t.name, err))
	}
	return r, about(t.name, err)
}
