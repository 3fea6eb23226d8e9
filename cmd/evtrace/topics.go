package main

import "github.com/spf13/cobra"

func newHelp(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "help [VERB|TOPIC]",
		GroupID: groupKnow,
		Short:   "explain a verb or a topic",
		Long:    "Help explains a verb with its flags and with examples, or a topic.",
		Example: "  evtrace help\n  evtrace help replay\n  evtrace help exit-codes",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return unknownVerb(cmd.Root(), args[0])
			}
			c.InitDefaultHelpFlag()
			c.SetOut(a.out)
			return c.Help()
		},
	}
}

// Help topics: commands that only have a text.

func newExitCodes() *cobra.Command {
	return &cobra.Command{
		Use:   "exit-codes",
		Short: "what the exit codes mean",
		Long: `The exit code of analyze, replay, minimize and doctor is the verdict; the worst finding decides (of compare: 0 if both traces have the same verdict, else the worse one):

    0   clean: no event was missed
   10   an event was lost
   11   an event was noticed too late: thanks to another port, because it was signalled again, or by a vcpu that was slow to look
   12   an invariant was broken: delivered twice, at once on two vcpus, or on a wrong vcpu
   15   replay, minimize: the trace's own policy does not reproduce it
   20   undecided: the trace lacks what would tell; minimize: the budget was over before all was tried

Every verb:

    0   done; record, import, report and plot say nothing about what the trace shows
    1   evtrace failed: an output could not be written (nothing is left of it), a fixture does not hold, or a defect in evtrace
    2   the command line, a policy or a scenario is wrong, or an output exists and --force was not given
   75   an input cannot be read: it is missing, damaged, cut, of a newer format, or something else
  130   stopped by a signal; a recording under way was kept, and is marked incomplete
  141   whoever read the output has closed it`,
	}
}

func newTraces() *cobra.Command {
	return &cobra.Command{
		Use:   "traces",
		Short: "which forms of a trace are read",
		Long: `Where a verb wants a TRACE, it takes any of these, and tells them apart by their content:

  NAME.evt           a trace file, as record and import write it
  NAME.evt.partial   what a killed recording had written, or what one under way will leave
  text               the text form, as export writes it; comments (# ...) and blank lines may be added
  ftrace             a capture of Linux: tracefs' trace or trace_pipe, what trace-cmd report prints, or trace-cmd's own
                     trace.dat. It is imported into a temporary file each time: "evtrace import" does that once and for all
  bundle             NAME.evb, as bundle and redact make it: the trace in it, if all of the bundle is as it was made
  tar                a tar archive of such a capture and its side files, as the script of "evtrace probes" makes it
  xentrace           a binary trace of Xen's own tracing: when vcpus ran, and nothing about ports
  dump               dumps of Xen's console (xl debug-keys e and q), in whatever they were pasted into; "evtrace doctor" judges
                     them without making a trace of them
  -                  any of them on stdin

Text, captures and archives may be compressed by zstd or gzip. Reading never changes a file. What is cut or damaged is refused;
"evtrace import --salvage" keeps the beginning that can be read.`,
	}
}
