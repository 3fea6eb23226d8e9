package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/analyze/compare"
	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/replay"
)

func newCompare(a *app) *cobra.Command {
	var (
		policy string
		json   bool
	)
	c := &cobra.Command{
		Use:     "compare A B | compare A --policy P",
		GroupID: groupJudge,
		Short:   "lay two traces, or two policies on one trace, side by side",
		Long: `Compare says what two traces have in common: how many events happen in both, where they first part, which ports were delivered in one of
them alone, were lost or late, and latency and costs side by side. With --policy the second one is the first, run again under that
policy.

Events are compared by what they do and when, counted from each trace's beginning: two runs of the same inputs. Of traces that share no
inputs, such as two captures, it compares the numbers alone, and says so. Gained is what both raise and B alone delivers before it
ends, missed what A alone does.

The exit code is 0 if the verdicts are the same, and otherwise that of the worse one: 10 lost, 11 late, 12 an invariant broken, 20
undecided. docs/compare.md explains the output.`,
		Example: `  evtrace compare a.evt --policy unmask-hypercall
  evtrace compare a.evt bug.evb
  evtrace compare a.evt --policy linux-2021 --json | jq '.departure'`,
		Args: func(cmd *cobra.Command, args []string) error {
			if want := 2; len(args) != want && !(len(args) == 1 && policy != "") {
				return wrongCount(cmd, len(args), "two traces, or one and --policy")
			}
			if len(args) == 2 && policy != "" {
				return usageErrorf("run it twice", "--policy: it says what the second trace is, and there is %s", args[1])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := a.compare(cmd.Context(), args, policy)
			if err != nil {
				return err
			}
			if json {
				err = a.printJSON(r)
			} else {
				err = onStdout(r.WriteText(a.out))
			}
			if err != nil {
				return err
			}
			return exitCode(r.ExitCode())
		},
	}
	c.Flags().StringVar(&policy, "policy", "", "`POLICY` to run the first trace under, for the second")
	c.Flags().BoolVar(&json, "json", false, "as JSON")
	_ = c.RegisterFlagCompletionFunc("policy", completePolicies)
	return c
}

// compare compares two traces, or one with itself under another policy.
func (a *app) compare(ctx context.Context, names []string, policy string) (*compare.Comparison, error) {
	p, err := evtchn.ParsePolicy(policy)
	if err != nil {
		return nil, err
	}
	if len(names) == 2 && names[0] == "-" && names[1] == "-" {
		return nil, usageErrorf("", "compare: stdin can be one of the traces, not both")
	}
	var inputs []compare.Input
	prog := a.newProgress("comparing", "events", false)
	defer prog.done()
	var total uint64
	for _, name := range names {
		t, err := a.openTrace(ctx, name, inputOptions{})
		if err != nil {
			return nil, err
		}
		defer t.Close()
		meta := t.Meta()
		total += meta.Events
		inputs = append(inputs, compare.Input{Name: name, Meta: meta, Source: t.Events(1)})
		if policy == "" {
			continue
		}
		if meta.Source == evtchn.SourceObserved {
			return nil, about(t.name, replay.ErrObserved)
		}
		r, err := t.rerun(ctx, p, func(n uint64) { prog.at(n, part(n, 2*meta.Events)) })
		if err != nil {
			return nil, about(t.name, err)
		}
		defer r.Close()
		inputs = append(inputs, compare.Input{Name: name + " again", Meta: r.Trace.Meta(), Source: r.Trace.Events(1)})
	}
	inputs[0].Source = &watched{ctx: ctx, src: inputs[0].Source, p: prog, total: total}
	r, err := compare.Run(inputs[0], inputs[1], analyze.Options{MaxFindings: 1})
	if err != nil {
		return nil, unreadable(fmt.Errorf("compare: %w", err))
	}
	return r, nil
}
