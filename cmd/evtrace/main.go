// Command evtrace records, replays and judges traces of Xen event channels, and says which events nobody noticed, and why.
//
// "evtrace demo" shows it at work, "evtrace help" lists the verbs, and "evtrace help exit-codes" says how a script learns the
// verdict. Each verb is in the file of its name.
package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/evtrace/evtrace/cmd/evtrace/termquery"
)

func main() {
	termquery.Restore()
	signal.Ignore(syscall.SIGPIPE) // writing fails instead, so that temporary files are removed
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// app is what a verb works with.
type app struct {
	in       io.Reader
	out, err io.Writer
}

// run carries out a command line and gives its exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP) // the last: the terminal is gone
	defer stop()
	go func() {
		<-ctx.Done()
		stop() // a second signal ends the process at once
	}()
	a := &app{in: stdin, out: stdout, err: stderr}
	root := newRoot(a)
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return a.finish(root.ExecuteContext(ctx))
}

// newRoot builds the command tree.
func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "evtrace",
		Short: "record, replay and judge traces of Xen event channels",
		Long: `evtrace records every step of a system's event channels, replays the recording under other fix policies, and says
which events were lost, at which step they went unnoticed, and why.

To see what it is about, run "evtrace demo".`,
		Args:              cobra.ArbitraryArgs, // so that an unknown verb gets here
		SilenceErrors:     true,
		SilenceUsage:      true,
		Version:           version,
		PersistentPreRunE: func(cmd *cobra.Command, args []string) error { return nothingEmpty(cmd, args) },
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				cmd.SetOut(a.err)
				_ = cmd.Help()
				return exitWith(codeUsage)
			}
			return unknownVerb(cmd, args[0])
		},
	}
	root.SetVersionTemplate("evtrace {{.Version}}\n")
	root.SetFlagErrorFunc(flagError)
	root.AddGroup(
		&cobra.Group{ID: groupMake, Title: "Make and convert traces:"},
		&cobra.Group{ID: groupJudge, Title: "Judge them:"},
		&cobra.Group{ID: groupKnow, Title: "Look things up:"},
	)
	root.AddCommand(
		newRecord(a), newProbes(a), newImport(a), newExport(a), newBundle(a), newRedact(a), newReport(a),
		newPlot(a), newTUI(a), newAnalyze(a), newDoctor(a), newReplay(a), newCompare(a), newExplore(a),
		newMinimize(a), newQuery(a), newPprof(a), newInfo(a), newCheck(a), newVerify(a), newDemo(a),
		newPolicies(a), newScenarios(a), newVersion(a), newCompletion(a), newMan(a), newExitCodes(),
		newTraces(),
	)
	root.SetHelpCommand(newHelp(a))
	layOut(root)
	return root
}

// The groups of verbs in the help.
const (
	groupMake  = "make"
	groupJudge = "judge"
	groupKnow  = "know"
)

// finish reports an error and turns it into an exit code.
func (a *app) finish(err error) int {
	if err == nil {
		return codeClean
	}
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, io.ErrClosedPipe) {
		return codePipe // whoever read our output has seen enough
	}
	var quiet exitWith
	if errors.As(err, &quiet) {
		return int(quiet)
	}
	a.report(err)
	return codeOf(err)
}
