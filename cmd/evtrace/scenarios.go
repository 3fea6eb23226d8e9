package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/evtrace/evtrace/evtchn/system"
)

// scenarioInfo is what scenarios says of a scenario in JSON.
type scenarioInfo struct {
	Name     string `json:"name"`
	Kind     string `json:"kind"`           // timed or bounded
	File     string `json:"file,omitempty"` // "" if it is built in
	About    string `json:"about"`
	Story    string `json:"story,omitempty"`
	Source   string `json:"source,omitempty"`
	VCPUs    int    `json:"vcpus"`
	Domains  int    `json:"domains"`
	Duration int64  `json:"duration"` // ns
	Policy   string `json:"policy"`
	Expect   struct {
		Verdict string `json:"verdict,omitempty"`
		Port    uint32 `json:"port,omitempty"`
		Cause   string `json:"cause,omitempty"`
	} `json:"expect"`
	Text string `json:"text"`
}

func newScenarios(a *app) *cobra.Command {
	var json, fields, check bool
	c := &cobra.Command{
		Use:     "scenarios [NAME|FILE...]",
		GroupID: groupKnow,
		Short:   "list the scenarios, print one, or check a scenario file",
		Long: `Scenarios lists the scenarios that are built in. With a name it prints that scenario's file, to be read or to start from; with a
file it checks the file and says what is in it. --fields explains every key of a scenario file.

The exit code is 2 if a scenario file is wrong.`,
		Example: `  evtrace scenarios
  evtrace scenarios seed-port65 > mine.yaml
  evtrace scenarios --check mine.yaml
  evtrace scenarios --fields`,
		ValidArgsFunction: completeScenarios,
		RunE: func(_ *cobra.Command, args []string) error {
			switch {
			case fields && len(args) > 0:
				return usageErrorf("", "scenarios: --fields takes no names")
			case fields && json:
				return a.printJSON(fieldInfos())
			case fields:
				return a.print(system.FieldsText())
			case check && len(args) == 0:
				return usageErrorf("", "scenarios: --check wants files to check")
			case check:
				return a.checkScenarios(args, json)
			case len(args) == 0:
				return a.listScenarios(json)
			}
			return a.showScenarios(args, json)
		},
	}
	c.Flags().BoolVar(&fields, "fields", false, "explain the keys of a scenario file")
	c.Flags().BoolVar(&check, "check", false, "only check the files")
	c.Flags().BoolVar(&json, "json", false, "as JSON")
	return c
}

func (a *app) listScenarios(json bool) error {
	var list []scenarioInfo
	var b strings.Builder
	for _, sc := range append(system.Builtins(), system.BoundedBuiltins()...) {
		list = append(list, describeScenario(sc, ""))
		expect := sc.Expect.Verdict
		if sc.Bounded != nil {
			expect = "bounded"
		} else if expect == "" {
			expect = "-"
		}
		about := wrap(strings.Repeat(" ", 29), sc.About, 100)
		fmt.Fprintf(&b, "%-18s %-9s %s", sc.Name, expect, about[29:])
	}
	if json {
		return a.printJSON(list)
	}
	b.WriteString("\nThe second column is what a recording of it must give under its own policy. Those that are bounded\nhave no times: they are for \"evtrace explore\".\n\"evtrace scenarios NAME\" prints one.\n")
	return a.print(b.String())
}

func describeScenario(sc *system.Scenario, file string) scenarioInfo {
	in := scenarioInfo{Name: sc.Name, Kind: sc.Kind, File: file, About: sc.About, Story: sc.Story, Source: sc.Source, VCPUs: sc.VCPUs, Duration: int64(sc.Duration),
		Policy: sc.Policy, Text: sc.Text}
	for _, d := range sc.Domains {
		in.Domains += d.Count
	}
	in.Expect.Verdict, in.Expect.Port, in.Expect.Cause = sc.Expect.Verdict, uint32(sc.Expect.Port), sc.Expect.Cause
	return in
}

// fieldInfo is what scenarios --fields says of a key in JSON.
type fieldInfo struct {
	Path    string `json:"path"`
	Type    string `json:"type"`
	Default string `json:"default"`
	Allowed string `json:"allowed"`
	Doc     string `json:"doc"`
}

func fieldInfos() []fieldInfo {
	var list []fieldInfo
	for _, f := range system.Fields() {
		list = append(list, fieldInfo(f))
	}
	return list
}

// line says in a line what is in a scenario file.
func (in *scenarioInfo) line() string {
	if in.Kind == "bounded" {
		return fmt.Sprintf("%s: ok: bounded scenario %s, %s\n", in.File, in.Name, plural(uint64(in.VCPUs), "vcpu"))
	}
	s := fmt.Sprintf("%s: ok: scenario %s, %s, %s, %s", in.File, in.Name, plural(uint64(in.VCPUs), "vcpu"), plural(uint64(in.Domains), "domain"),
		durationText(in.Duration, "ns"))
	if in.Expect.Verdict != "" {
		s += ", expects " + in.Expect.Verdict
	}
	return s + "\n"
}

func (a *app) showScenarios(names []string, json bool) error {
	var list []scenarioInfo
	var b strings.Builder
	for _, name := range names {
		sc, err := a.findScenario(name)
		if err != nil {
			return err
		}
		file := ""
		if _, err := system.Builtin(name); err != nil {
			file = name
		}
		list = append(list, describeScenario(sc, file))
		if file != "" {
			b.WriteString(list[len(list)-1].line())
		} else {
			b.WriteString(sc.Text)
		}
	}
	if json {
		return a.printJSON(list)
	}
	return a.print(b.String())
}

// checkScenarios checks files one by one and goes on after a wrong one.
func (a *app) checkScenarios(files []string, json bool) error {
	list := []scenarioInfo{}
	var worst error
	for _, file := range files {
		if st, err := os.Stat(file); err == nil && st.IsDir() {
			err := unreadable(fmt.Errorf("%s: it is a directory, want a scenario", file))
			a.report(err)
			worst = err
			continue
		}
		sc, err := readScenario(file)
		if err != nil {
			a.report(err)
			if worst == nil || errors.Is(err, system.ErrScenario) {
				worst = err
			}
			continue
		}
		list = append(list, describeScenario(sc, file))
		if !json {
			if err := a.print(list[len(list)-1].line()); err != nil {
				return err
			}
		}
	}
	if json {
		if err := a.printJSON(list); err != nil {
			return err
		}
	}
	if worst != nil {
		return exitWith(codeOf(worst))
	}
	return nil
}

// completeScenarios completes names of scenarios on the command line.
func completeScenarios(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	var names []string
	for _, sc := range system.Builtins() {
		names = append(names, sc.Name+"\t"+sc.About)
	}
	return names, cobra.ShellCompDirectiveDefault
}
