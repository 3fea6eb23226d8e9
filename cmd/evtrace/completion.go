package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/evtrace/evtrace/evtchn"
)

func newCompletion(a *app) *cobra.Command {
	shells := []string{"bash", "zsh", "fish"}
	return &cobra.Command{
		Use:     "completion bash|zsh|fish",
		GroupID: groupKnow,
		Short:   "print a completion script for a shell",
		Long: `Completion prints a script that teaches a shell to complete evtrace's verbs, flags, and the names of policies and scenarios. Put it
where the shell looks for such scripts, or read it in for a session.`,
		Example: `  evtrace completion bash > /etc/bash_completion.d/evtrace
  evtrace completion zsh > "${fpath[1]}/_evtrace"
  evtrace completion fish > ~/.config/fish/completions/evtrace.fish`,
		Args:      exactly(1, "one: the shell"),
		ValidArgs: shells,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch args[0] {
			case "bash":
				return onStdout(cmd.Root().GenBashCompletionV2(a.out, true))
			case "zsh":
				return onStdout(cmd.Root().GenZshCompletion(a.out))
			case "fish":
				return onStdout(cmd.Root().GenFishCompletion(a.out, true))
			}
			return usageErrorf("", "completion: no script for %q%s; there are scripts for %s", args[0], evtchn.Suggest(args[0], shells), strings.Join(shells, ", "))
		},
	}
}
