package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/evtrace/evtrace/recorder/probes"
)

// anyKernel is the name that stands for no kernel in particular.
const anyKernel = "any"

// probesReport is what probes says of a plan in JSON, and in text.
type probesReport struct {
	Kernel      string          `json:"kernel"`            // where the symbols are from, or "any"
	Version     string          `json:"version,omitempty"` // as in /proc/version
	ABI         string          `json:"abi"`               // "2l", "fifo", or "auto": the script finds out
	Seconds     int             `json:"seconds"`
	Clock       string          `json:"clock"`
	BufferKB    int             `json:"buffer_kb"`
	Archive     string          `json:"archive,omitempty"`
	Changed     []probes.Change `json:"changed,omitempty"` // what is not the kernel's own in its table of ABI functions
	Notes       []string        `json:"notes,omitempty"`
	Probes      []probeInfo     `json:"probes"`
	Definitions []string        `json:"definitions"`
	Script      string          `json:"script"`
}

// probeInfo is one probe of a plan.
type probeInfo struct {
	Name        string   `json:"name"`
	ABI         string   `json:"abi,omitempty"`     // "": both
	Instead     string   `json:"instead,omitempty"` // the kernel's function in whose place another is, which this is on
	Own         bool     `json:"own,omitempty"`     // on a function that --probe names
	Guest       string   `json:"guest,omitempty"`   // "pv" or "hvm"; "": both
	Definitions []string `json:"definitions"`       // of which the first is taken that the kernel accepts
	Dropped     string   `json:"dropped,omitempty"`
	Says        string   `json:"says"`
	Without     string   `json:"without"`
	Rate        string   `json:"rate"`
	Cost        string   `json:"cost"` // "entry", "return" or "inside"
}

func newProbes(a *app) *cobra.Command {
	var (
		opt                     probes.Options
		kernel, out             string
		list, definitions, json bool
		force                   bool
		own                     []string
	)
	c := &cobra.Command{
		Use:     "probes [-o SCRIPT]",
		GroupID: groupMake,
		Short:   "print a script that records on a real system",
		Long: `Probes prints a shell script that records the event channels of a dom0, or of another Linux guest of Xen, into a tar archive. Import and all other verbs
take the archive as it is. The script needs a POSIX shell, root and tracefs; it compiles nothing, loads nothing, and leaves nothing behind.

The script is made for a kernel: the running one, or that of --kernel. Functions that the kernel does not have are left out, with a note. The places just
before hypercalls differ with every build of a kernel; they are found in the kernel's own code, in /proc/kcore or a vmlinux, and are left out where they are not
certain. --kernel any makes a script for machines that are not at hand: it checks there, and has no places of hypercalls.

A module can put functions of its own into the kernel's table of event channel functions. If one has done so, that is said, and they are recorded as
well. A function that is not in the table, but does what one of the kernel's does, is named by --probe KIND=[MODULE:]FUNCTION with the fields that the record
needs, in the language of kprobe_events: %di is the first argument, %si the second, %dx the third. Its module may be loaded later.

--list says of each probe what it is good for and what it costs, --definitions prints the lines for kprobe_events alone.`,
		Example: `  evtrace probes -o record.sh && sh record.sh -s 30 -o hang.tar && evtrace analyze hang.tar
  evtrace probes --list
  evtrace probes --kernel System.map --abi 2l --definitions
  evtrace probes --kernel any -o record.sh
  evtrace probes -o record.sh --probe 'unmask=mymod:my_unmask port=%di'`,
		Args: exactly(0, "none: --kernel names a kernel"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			modes := 0
			for _, on := range []bool{list, definitions, json, out != ""} {
				if on {
					modes++
				}
			}
			fl := cmd.Flags()
			switch {
			case modes > 1:
				return usageErrorf("", "probes: --list, --definitions, --json and -o: want one of them")
			case fl.Changed("seconds") && opt.Seconds < 1:
				return usageErrorf("the script's own -s 0 records until Ctrl-C", "--seconds: got %d, want 1 to %d", opt.Seconds, probes.MaxSeconds)
			case fl.Changed("buffer-kb") && opt.BufferKB < 1:
				return usageErrorf("", "--buffer-kb: got %d, want %d to %d", opt.BufferKB, probes.MinBufferKB, probes.MaxBufferKB)
			case opt.ABI == "auto":
				opt.ABI = ""
			}
			for _, s := range own {
				o, err := probes.ParseOwn(s)
				if err != nil {
					return usageErrorf("", "probes: %v", err)
				}
				opt.Own = append(opt.Own, o)
			}
			plan, err := makePlan(kernel, opt)
			if err != nil {
				return err
			}
			r := describePlan(plan)
			switch {
			case json:
				return a.printJSON(r)
			case list:
				return a.print(r.text())
			}
			for _, n := range plan.Notes() {
				a.say("note: %s", n)
			}
			switch {
			case definitions:
				return a.print(strings.Join(r.Definitions, "\n") + "\n")
			case out != "":
				return a.writeScript(out, r.Script, force)
			}
			return a.print(r.Script)
		},
	}
	fl := c.Flags()
	fl.StringVarP(&out, "out", "o", "", "`SCRIPT` to write (default: stdout)")
	fl.StringVar(&kernel, "kernel", "", "kernel to make it for: a vmlinux, System.map or copy of /proc/kallsyms in `FILE`, or any (default: the running one)")
	fl.StringVar(&opt.ABI, "abi", "auto", "ABI of event channels: 2l, fifo, or auto")
	fl.IntVar(&opt.Seconds, "seconds", probes.DefaultSeconds, "how long the script records, in `S`")
	fl.StringVar(&opt.Clock, "clock", probes.DefaultClock, "trace `CLOCK`")
	fl.IntVar(&opt.BufferKB, "buffer-kb", probes.DefaultBufferKB, "ring buffer for each vcpu, in `KB`; the script takes no more than a quarter of the free memory")
	fl.StringVar(&opt.Archive, "tar", "", "archive that the script makes, in `FILE` (default: named after the machine and the time)")
	fl.BoolVar(&opt.NoHypercalls, "no-hypercalls", false, "no probes before hypercalls")
	fl.BoolVar(&opt.NoDump, "no-dump", false, "do not have Xen print its ports, which takes long over a slow serial console")
	fl.StringArrayVar(&own, "probe", nil, "function of your own to record as well: `KIND=FUNCTION FIELDS`, such as 'unmask=mymod:my_unmask port=%di' (may be repeated)")
	fl.BoolVar(&list, "list", false, "list the probes, with what they are good for and what they cost")
	fl.BoolVar(&definitions, "definitions", false, "print the lines for kprobe_events alone")
	fl.BoolVar(&json, "json", false, "as JSON")
	fl.BoolVar(&force, "force", false, "replace an existing SCRIPT")
	return c
}

// makePlan reads a kernel and decides what to probe in it.
func makePlan(kernel string, opt probes.Options) (*probes.Plan, error) {
	var k *probes.Kernel
	var err error
	guest := ""
	switch kernel {
	case anyKernel:
	case "":
		if k, err = probes.Running(""); err == nil {
			if data, err := os.ReadFile("/sys/hypervisor/guest_type"); err == nil {
				guest = strings.TrimSpace(string(data))
			}
		}
	default:
		k, err = probes.Open(kernel)
	}
	switch {
	case errors.Is(err, probes.ErrNotXen):
		return nil, usageErrorf("--kernel FILE makes a script for another machine's kernel, --kernel any for whichever it will be", "this machine is no Xen guest: %v", err)
	case errors.Is(err, probes.ErrNotKernel):
		return nil, &failure{codeUnreadable, err, kernelHint(kernel)}
	case err != nil:
		return nil, unreadable(err)
	}
	if k != nil {
		defer k.Close()
	}
	plan, err := probes.MakePlan(k, guest, opt)
	if errors.Is(err, probes.ErrOptions) {
		return nil, usageErrorf("", "probes: %v", err)
	}
	return plan, err
}

// kernelHint says what to do with a file that is no list of symbols and no vmlinux.
func kernelHint(name string) string {
	f, err := os.Open(name)
	if err != nil {
		return ""
	}
	defer f.Close()
	head := make([]byte, 0x206)
	if n, _ := f.ReadAt(head, 0); n == len(head) && string(head[0x202:]) == "HdrS" {
		return "it is a bootable image: scripts/extract-vmlinux of Linux' source unpacks it, and the symbols are in the System.map beside it"
	}
	return "want a vmlinux with its symbols, a System.map, or a copy of /proc/kallsyms that root made"
}

func describePlan(p *probes.Plan) *probesReport {
	r := &probesReport{Kernel: p.Kernel, Version: p.Version, ABI: p.ABI, Seconds: p.Seconds, Clock: p.Clock, BufferKB: p.BufferKB, Archive: p.Archive,
		Changed: p.Changes, Notes: p.Notes(), Definitions: p.Definitions(), Script: p.Script()}
	if r.Kernel == "" {
		r.Kernel = anyKernel
	}
	if r.ABI == "" {
		r.ABI = "auto"
	}
	for i := range p.Choices {
		c := &p.Choices[i]
		info := probeInfo{Name: c.Name, ABI: c.ABI, Instead: c.Instead, Own: c.Own, Guest: c.Guest, Definitions: c.Lines, Dropped: c.Dropped, Says: c.Says, Without: c.Without, Rate: c.Rate,
			Cost: string(c.Cost())}
		if info.Definitions == nil {
			info.Definitions = []string{}
		}
		r.Probes = append(r.Probes, info)
	}
	return r
}

func (r *probesReport) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "kernel  %s\nabi     %s\n", wrapRest("        ", strings.TrimSpace(r.Kernel+" "+r.Version)), r.ABI)
	for _, c := range r.Changed {
		fmt.Fprintf(&b, "changed %s\n", wrapRest("        ", fmt.Sprintf("%s is in the place of %s", cmp.Or(c.By, "something unknown"), c.Own)))
	}
	for i := range r.Probes {
		p := &r.Probes[i]
		title := p.Name
		instead := ""
		if p.Instead != "" {
			instead = "in the place of " + p.Instead
		}
		yours := ""
		if p.Own {
			yours = "your own"
		}
		for _, s := range []string{p.ABI, p.Guest, instead, yours} {
			if s != "" {
				title += ", " + s
			}
		}
		fmt.Fprintf(&b, "\n%s\n", title)
		for _, line := range []struct{ key, text string }{{"says", p.Says}, {"without", p.Without}, {"cost", p.Cost + ": " + p.Rate}, {"dropped", p.Dropped}} {
			if line.text != "" {
				fmt.Fprintf(&b, "  %-9s %s\n", line.key, wrapRest("            ", line.text))
			}
		}
		for _, d := range p.Definitions {
			fmt.Fprintf(&b, "  %s\n", d)
		}
	}
	b.WriteString("\nWhat a hit costs:\n")
	costs := probes.Costs()
	for _, c := range []probes.Cost{probes.CostEntry, probes.CostReturn, probes.CostInside} {
		fmt.Fprintf(&b, "  %-9s %s\n", c, wrapRest("            ", costs[c]))
	}
	return b.String()
}

// wrapRest wraps a text that goes on behind a prefix of that width, which is already there.
func wrapRest(prefix, text string) string {
	return strings.TrimSuffix(wrap(prefix, text, tableWidth)[len(prefix):], "\n")
}

// writeScript writes the script to a file, which may be run.
func (a *app) writeScript(name, script string, force bool) error {
	o, err := a.createText(name, force)
	if err != nil {
		return err
	}
	defer o.abort()
	if _, err := o.Write([]byte(script)); err != nil {
		return o.fail(err)
	}
	if o.file != nil {
		if err := o.file.Chmod(0o755); err != nil && !errors.Is(err, fs.ErrPermission) {
			return o.fail(err)
		}
	}
	return o.commit()
}
