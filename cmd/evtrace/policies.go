package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/evtrace/evtrace/evtchn"
)

// policyInfo is what policies says of a policy, in text and in JSON.
type policyInfo struct {
	Name       string            `json:"name"`
	Doc        string            `json:"doc,omitempty"`
	Provenance string            `json:"provenance,omitempty"`
	Cost       string            `json:"cost,omitempty"`
	Claim      string            `json:"claim"`
	Why        string            `json:"why,omitempty"`
	Choices    map[string]string `json:"choices"`
	Procedures []procedureInfo   `json:"procedures,omitempty"` // only of policies that were asked for by name

	policy evtchn.Policy
	asked  string // how the user put it
}

func newPolicies(a *app) *cobra.Command {
	var json bool
	c := &cobra.Command{
		Use:     "policies [NAME...]",
		GroupID: groupKnow,
		Short:   "list the fix policies, or explain one",
		Long: `Policies lists the named policies with what is said of them, and the axes on which a policy can be composed. With a name, or a
composition such as unmask=hypercall,rebind=2013, it explains that policy and what it does differently from xen-2005, the code of the
report.

The claim is what is said of a policy. safe: no event is lost while no port moves to another vcpu; unsafe: a losing schedule is
known; open: nobody has decided it.`,
		Example: `  evtrace policies
  evtrace policies unmask-hypercall
  evtrace policies unmask=hypercall,rebind=2013
  evtrace policies --json | jq -r '.[].name'`,
		ValidArgsFunction: completePolicies,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				all := presetInfos()
				if json {
					return a.printJSON(all)
				}
				return a.print(policyList(all))
			}
			var list []policyInfo
			for _, spec := range args {
				p, err := evtchn.ParsePolicy(spec)
				if err != nil {
					return err
				}
				in := infoOf(p)
				in.asked = spec
				in.Procedures = proceduresOf(p)
				list = append(list, in)
			}
			if json {
				return a.printJSON(list)
			}
			var b strings.Builder
			for i := range list {
				if i > 0 {
					b.WriteString("\n")
				}
				list[i].explain(&b)
			}
			return a.print(b.String())
		},
	}
	c.Flags().BoolVar(&json, "json", false, "as JSON")
	return c
}

func presetInfos() []policyInfo {
	var all []policyInfo
	for _, pre := range evtchn.Presets() {
		all = append(all, infoOf(pre.Policy))
	}
	return all
}

func infoOf(p evtchn.Policy) policyInfo {
	in := policyInfo{Name: p.String(), Claim: evtchn.ClaimOpen.String(), Choices: make(map[string]string), policy: p}
	if in.Name == "" {
		in.Name = evtchn.Presets()[0].Name
	}
	if pre, ok := evtchn.FindPreset(in.Name); ok {
		in.Doc, in.Provenance, in.Cost, in.Claim, in.Why = pre.Doc, pre.Provenance, pre.Cost, pre.Claim.String(), pre.Why
	}
	for i, c := range p.Choices() {
		in.Choices[evtchn.Axes()[i].Name] = c.Name
	}
	return in
}

// claimLegend says what the claims mean.
const claimLegend = `Claims: "safe": no event is lost while no port moves to another vcpu. "unsafe": a losing schedule is
known, even where a recording shows none. "open": nobody has decided it.
`

// policyList is the list of presets and axes.
func policyList(all []policyInfo) string {
	var b strings.Builder
	for _, p := range all {
		doc := wrap(strings.Repeat(" ", 33), p.Doc, tableWidth)
		fmt.Fprintf(&b, "%-24s %-6s  %s", p.Name, p.Claim, doc[33:])
		b.WriteString(wrap(strings.Repeat(" ", 33), "from: "+p.Provenance, 100))
		b.WriteString(wrap(strings.Repeat(" ", 33), "cost: "+p.Cost, 100))
	}
	b.WriteString("\n" + claimLegend)
	b.WriteString("\nA policy can also be composed of choices, such as unmask=hypercall,rebind=2013, or of a preset and\nchoices:\n\n")
	for _, ax := range evtchn.Axes() {
		var names []string
		for _, c := range ax.Choices {
			names = append(names, c.Name)
		}
		lines := wrap(strings.Repeat(" ", 14), ax.Doc+": "+strings.Join(names, ", "), tableWidth)
		fmt.Fprintf(&b, "  %-10s  %s", ax.Name, lines[14:])
	}
	b.WriteString("\nThe first choice is that of xen-2005. \"evtrace policies NAME\" explains a policy.\n")
	return b.String()
}

// heading names the policy: a preset with choices as the user put it, since all its choices together say less.
func (p *policyInfo) heading() string {
	base, choices, composed := strings.Cut(p.asked, ",")
	if _, preset := evtchn.FindPreset(base); !composed || !preset || p.Doc != "" {
		return p.Name
	}
	return base + " with " + strings.ReplaceAll(choices, ",", ", ")
}

// explain tells about one policy.
func (p *policyInfo) explain(b *strings.Builder) {
	b.WriteString(p.heading())
	if p.Doc != "" {
		b.WriteString(": " + p.Doc)
	}
	b.WriteString("\n\n")
	row := func(key, text string) {
		if text != "" {
			lines := wrap(strings.Repeat(" ", 14), text, 100)
			fmt.Fprintf(b, "  %-12s%s", key, lines[14:])
		}
	}
	row("from", p.Provenance)
	row("cost", p.Cost)
	claim := p.Claim
	if p.Why != "" {
		claim += ": " + p.Why
	}
	row("claim", claim)
	b.WriteString("\n")
	base := evtchn.Policy{}
	was, now := base.Choices(), p.policy.Choices()
	same := true
	for i, ax := range evtchn.Axes() {
		if was[i] == now[i] {
			continue
		}
		if same {
			b.WriteString("  Where it differs from xen-2005:\n")
			same = false
		}
		fmt.Fprintf(b, "\n  %s (%s)\n", ax.Name, ax.Doc)
		for _, c := range []struct {
			who string
			c   evtchn.Choice
		}{{"xen-2005", was[i]}, {"here", now[i]}} {
			lines := wrap(strings.Repeat(" ", 16), c.c.Name+": "+c.c.Doc, 100)
			fmt.Fprintf(b, "    %-12s%s", c.who, lines[16:])
		}
	}
	if !same {
		b.WriteString("\n  Step by step, with a * where they differ:\n")
		compareProcedures(b, p.heading(), proceduresOf(base), p.Procedures)
		return
	}
	b.WriteString("  It is the baseline: every other policy is told by what it does differently. Its choices:\n\n")
	for i, ax := range evtchn.Axes() {
		lines := wrap(strings.Repeat(" ", 16), now[i].Name+": "+now[i].Doc, 100)
		fmt.Fprintf(b, "    %-12s%s", ax.Name, lines[16:])
	}
	listProcedures(b, p.Procedures)
}

// completePolicies completes names of policies on the command line.
func completePolicies(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	var names []string
	for _, pre := range evtchn.Presets() {
		names = append(names, pre.Name+"\t"+pre.Doc)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
