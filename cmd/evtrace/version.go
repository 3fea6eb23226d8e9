package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/evtrace/evtrace/evtchn"
)

// version is evtrace's. It is in every trace that evtrace writes.
const version = "0.1.0"

// versionInfo is what version says.
type versionInfo struct {
	Version string `json:"version"`
	Format  int    `json:"format"` // newest trace format that is read
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
}

func newVersion(a *app) *cobra.Command {
	var json bool
	c := &cobra.Command{
		Use:     "version",
		GroupID: groupKnow,
		Short:   "print the version",
		Long:    "Version prints the version of evtrace and of the trace format that it writes.",
		Example: "  evtrace version\n  evtrace version --json",
		Args:    exactly(0, "none"),
		RunE: func(*cobra.Command, []string) error {
			v := versionInfo{version, evtchn.FormatVersion, runtime.Version(), runtime.GOOS, runtime.GOARCH}
			if json {
				return a.printJSON(v)
			}
			return a.print(fmt.Sprintf("evtrace %s (trace format %d, %s, %s/%s)\n", v.Version, v.Format, v.Go, v.OS, v.Arch))
		},
	}
	c.Flags().BoolVar(&json, "json", false, "as JSON")
	return c
}
