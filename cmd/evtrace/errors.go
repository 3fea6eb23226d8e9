package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/system"
	"github.com/evtrace/evtrace/replay"
	"github.com/evtrace/evtrace/replay/predict"
	"github.com/evtrace/evtrace/store"
)

// The exit codes. "evtrace help exit-codes" explains them. Those of verdicts are analyze.Verdict.ExitCode's.
const (
	codeClean       = 0
	codeLost        = 10
	codeInternal    = 1
	codeUsage       = 2
	codeViolated    = 12
	codeDiverged    = 15
	codeUndecided   = 20
	codeUnreadable  = 75
	codeInterrupted = 130
	codePipe        = 141
)

// failure is an error that has a code of its own, and perhaps a hint at what to do.
type failure struct {
	code int
	err  error
	hint string
}

func (f *failure) Error() string { return f.err.Error() }

func (f *failure) Unwrap() error { return f.err }

// exitWith ends the command with a code and without a message: the output has said it all.
type exitWith int

func (e exitWith) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// exitCode turns the code of a verdict into an error, nil for 0.
func exitCode(code int) error {
	if code == codeClean {
		return nil
	}
	return exitWith(code)
}

// usageErrorf is about the command line.
func usageErrorf(hint, format string, args ...any) error {
	return &failure{codeUsage, fmt.Errorf(format, args...), hint}
}

// unreadable marks an error of an input. It keeps the code of an error that has one.
func unreadable(err error) error {
	var f *failure
	if err == nil || errors.As(err, &f) || errors.Is(err, context.Canceled) {
		return err
	}
	var pe *fs.PathError
	if errors.As(err, &pe) && pe.Error() == err.Error() {
		err = &renamed{fmt.Sprintf("%s: %v", pe.Path, pe.Err), err}
	}
	return &failure{codeUnreadable, err, inputHint(err)}
}

// about puts the name of the trace before an error that does not have it.
func about(name string, err error) error {
	if err == nil || interrupted(err) || strings.Contains(err.Error(), name) {
		return err
	}
	return fmt.Errorf("%s: %w", name, err)
}

func inputHint(err error) string {
	switch {
	case errors.Is(err, store.ErrFormat):
		return "a newer evtrace wrote it: use that one, or have it export the trace as text"
	case errors.Is(err, store.ErrCorrupt):
		return "whoever sent it has the original"
	case errors.Is(err, store.ErrNotTrace):
		return `"evtrace help traces" lists what is read`
	}
	return ""
}

// unwritable marks an error of an output, which is named.
func unwritable(name string, err error) error {
	var f *failure
	switch {
	case err == nil || errors.As(err, &f):
		return err
	case errors.Is(err, store.ErrExists), errors.Is(err, fs.ErrExist):
		hint := "--force replaces it, -o gives another name"
		if strings.Contains(err.Error(), store.PartialSuffix) {
			hint = "read it under that name (evtrace info " + name + store.PartialSuffix + "), or replace it with --force"
		}
		return &failure{codeUsage, err, hint}
	case errors.Is(err, store.ErrLocked):
		return &failure{codeUsage, err, "wait until that recording is done, or give another name with -o"}
	}
	if !strings.Contains(err.Error(), name) {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return &failure{codeInternal, fmt.Errorf("cannot write: %w", err), "nothing was left behind; -o writes to another place"}
}

// codeOf gives the exit code of an error.
func codeOf(err error) int {
	var f *failure
	switch {
	case errors.Is(err, context.Canceled):
		return codeInterrupted
	case errors.As(err, &f):
		return f.code
	case errors.Is(err, evtchn.ErrPolicy), errors.Is(err, system.ErrScenario):
		return codeUsage
	case errors.Is(err, replay.ErrDivergence):
		return codeDiverged
	case errors.Is(err, replay.ErrObserved), errors.Is(err, replay.ErrNoScenario), errors.Is(err, predict.ErrFIFO):
		return codeUndecided
	}
	return codeInternal
}

// hintOf gives the hint that belongs to an error, "" for none.
func hintOf(err error) string {
	var f *failure
	switch {
	case errors.As(err, &f):
		return f.hint
	case errors.Is(err, evtchn.ErrPolicy):
		return `"evtrace policies" lists them`
	case errors.Is(err, system.ErrScenario):
		return `"evtrace scenarios" lists those that are built in, "evtrace scenarios --fields" the keys of a file`
	case errors.Is(err, replay.ErrObserved):
		return "evtrace replay --policy P predicts what it might have been under a policy; evtrace analyze judges it as it is"
	case errors.Is(err, predict.ErrFIFO), errors.Is(err, replay.ErrNoScenario):
		return "evtrace analyze judges it as it is"
	}
	return ""
}

// flagError is about a flag that the verb does not have, or a value that it does not take.
func flagError(cmd *cobra.Command, err error) error {
	if errors.Is(err, pflag.ErrHelp) {
		return err
	}
	hint := fmt.Sprintf(`"%s --help" lists the flags`, cmd.CommandPath())
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, "--"+f.Name) })
		if s := evtchn.Suggest("--"+unknown.GetSpecifiedName(), names); s != "" && len(unknown.GetSpecifiedName()) > 1 {
			return usageErrorf(hint, "%v%s", err, s)
		}
	}
	var value *pflag.InvalidValueError
	if errors.As(err, &value) {
		want := map[string]string{"duration": "a duration with its unit, such as 200ms", "bool": "true or false", "float64": "a number", "int": "a whole number",
			"uint32": "a whole number, 0 or more", "uint64": "a whole number, 0 or more"}[value.GetFlag().Value.Type()]
		if value.GetFlag().Name == "tsc-hz" {
			want = "a frequency in Hz, such as 2596e6"
		}
		if want != "" {
			return usageErrorf(hint, "--%s: got %q, want %s", value.GetFlag().Name, value.GetValue(), want)
		}
	}
	return usageErrorf(hint, "%v", err)
}

// nothingEmpty refuses arguments and values of flags that are empty, as those of unset variables of a shell are.
func nothingEmpty(cmd *cobra.Command, args []string) error {
	if strings.HasPrefix(cmd.Name(), "__") {
		return nil // the completion of a shell, which may well ask about nothing
	}
	for i, arg := range args {
		if arg == "" {
			return usageErrorf("usage: "+cmd.UseLine(), "%s: argument %d is empty", cmd.Name(), i+1)
		}
	}
	var err error
	cmd.Flags().Visit(func(f *pflag.Flag) {
		empty := f.Value.Type() == "string" && f.Value.String() == ""
		if list, ok := f.Value.(pflag.SliceValue); ok {
			empty = slices.Contains(list.GetSlice(), "")
		}
		if empty && err == nil {
			err = usageErrorf(fmt.Sprintf(`"%s --help" lists the flags`, cmd.CommandPath()), "--%s: the value is empty", f.Name)
		}
	})
	return err
}

// unknownVerb is about a first word that is no verb.
func unknownVerb(root *cobra.Command, word string) error {
	var names []string
	for _, c := range root.Commands() {
		names = append(names, c.Name())
	}
	return usageErrorf(`"evtrace help" lists the verbs`, "no verb is called %q%s", word, evtchn.Suggest(word, names))
}

// exactly wants n arguments, which what names.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == n {
			return nil
		}
		return wrongCount(cmd, len(args), what)
	}
}

// atLeast wants n arguments or more.
func atLeast(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) >= n {
			return nil
		}
		return wrongCount(cmd, len(args), what)
	}
}

func wrongCount(cmd *cobra.Command, got int, what string) error {
	return usageErrorf(fmt.Sprintf("usage: %s", cmd.UseLine()), "%s: got %s, want %s", cmd.Name(), plural(uint64(got), "argument"), what)
}
