package main

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/evtrace/evtrace/cmd/evtrace/page"
	"github.com/evtrace/evtrace/evtchn"
)

func newPlot(a *app) *cobra.Command {
	var (
		f      reportFlags
		figure string
	)
	c := &cobra.Command{
		Use:     "plot TRACE [--figure timeline|latency|policies] [-o FILE.svg]",
		GroupID: groupJudge,
		Short:   "draw one picture of a report, as SVG",
		Long: `Plot draws one of the pictures that report shows: the timeline of the worst finding, or of the slowest delivery if nothing was
found; the distribution of delays under each policy; or what each policy leaves unnoticed, how slow it is and what it costs.

A picture is one SVG file, which shows light or dark as the viewer prefers, and needs nothing else. Browsers, GitHub and most word
processors take it as it is.`,
		Example: `  evtrace plot a.evt -o lost.svg
  evtrace plot a.evt --figure policies -o policies.svg
  evtrace plot a.evt --figure latency --policy linux-2013,linux-2021 -o latency.svg`,
		Args: exactly(1, "one: the trace"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains(page.Figures(), figure) {
				return usageErrorf("", "--figure: got %q, want %s%s", figure, strings.Join(page.Figures(), ", "), evtchn.Suggest(figure, page.Figures()))
			}
			switch ext := strings.ToLower(filepath.Ext(strings.TrimSuffix(strings.TrimSuffix(f.out, ".gz"), ".zst"))); {
			case f.out == "-" || ext == ".svg" || ext == ".svgz":
			case ext == ".png" || ext == ".pdf":
				return usageErrorf("write an SVG; rsvg-convert, inkscape or a browser turn that into it", "%s: plot writes SVG only", f.out)
			default:
				return usageErrorf("", "%s: want a name that ends in .svg", f.out)
			}
			if err := f.check(args[0]); err != nil {
				return err
			}
			if figure == page.FigureTimeline {
				f.policies = []string{"none"}
			}
			f.full = 1
			d, err := a.document(cmd.Context(), args[0], &f)
			if err != nil {
				return err
			}
			fig := d.Figure(figure)
			if fig == nil {
				return usageErrorf("evtrace report says what there is", "%s: there is nothing for a picture of the kind %s", args[0], figure)
			}
			return a.writeOut(f.out, f.force, []byte(fig.SVG()))
		},
	}
	f.add(c)
	c.Flags().StringVar(&figure, "figure", page.FigureTimeline, "`KIND` of picture: timeline, latency or policies")
	_ = c.RegisterFlagCompletionFunc("figure", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return page.Figures(), cobra.ShellCompDirectiveNoFileComp
	})
	return c
}
