package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/system"
	"github.com/evtrace/evtrace/fixtures"
)

// What the demonstration runs.
const (
	demoScenario = "seed-port65"
	demoCapture  = "2l-lost-bug"
	demoSeed     = 1
)

// demoReport is what the demonstration finds, in JSON.
type demoReport struct {
	Recording *recordSummary        `json:"recording"`
	Analysis  *analyze.Report       `json:"analysis"`
	Replay    *analyze.PolicyReport `json:"replay"`
	Capture   *analyze.Report       `json:"capture"`
}

func newDemo(a *app) *cobra.Command {
	var json bool
	c := &cobra.Command{
		Use:     "demo",
		GroupID: groupKnow,
		Short:   "show what it is about: a lost event, why, and which fixes would have noticed it",
		Long: `Demo records the lost event of 2005, tells at which step it went unnoticed and why, runs the recording again under every policy,
and judges a capture of a real system with the same bug. It takes a few seconds and leaves no files behind.`,
		Example: "  evtrace demo\n  evtrace demo --json",
		Args:    exactly(0, "none"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := os.MkdirTemp("", "evtrace-")
			if err != nil {
				return &failure{codeInternal, err, "TMPDIR says where temporary files go"}
			}
			defer os.RemoveAll(dir)
			d := &demo{app: a, dir: dir}
			defer d.close()
			for _, part := range []func(context.Context) error{d.record, d.story, d.policies, d.capture, d.next} {
				if err := part(cmd.Context()); err != nil {
					return err
				}
				if !json {
					if err := a.print(d.b.String()); err != nil {
						return err
					}
				}
				d.b.Reset()
			}
			if json {
				return a.printJSON(&d.found)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&json, "json", false, "what was found, as JSON")
	return c
}

// demo is a run of the demonstration. Each part writes to b.
type demo struct {
	*app
	dir   string
	b     strings.Builder
	trace *trace
	found demoReport
}

func (d *demo) heading(text string) {
	fmt.Fprintf(&d.b, "%s\n%s\n", text, strings.Repeat("=", len(text)))
}

func (d *demo) para(text string) { d.b.WriteString(wrap("", text, 100)) }

// record makes the trace that the other parts look at.
func (d *demo) record(ctx context.Context) error {
	sc, err := system.Builtin(demoScenario)
	if err != nil {
		return err
	}
	policy, err := evtchn.ParsePolicy(sc.Policy)
	if err != nil {
		return err
	}
	src, err := system.New(sc, demoSeed, policy, system.Inputs(sc, demoSeed))
	if err != nil {
		return err
	}
	rec := &recording{app: d.app, src: src, meta: src.Meta(), out: filepath.Join(d.dir, "demo.evt"), quiet: true, until: sc.Duration}
	sum, err := rec.run(ctx)
	if err != nil {
		return err
	}
	sum.File, sum.Scenario, sum.Seed, sum.Policy, sum.Expected = "", sc.Name, demoSeed, policy.String(), sc.Expect.Verdict
	d.found.Recording = sum
	d.heading("1. An event that nobody noticed")
	d.para(fmt.Sprintf(`A guest's disk hangs. Its requests are served by a process of the control domain (here %d vcpus), its device model, which
sleeps until an event channel rings: port %d. Three kinds of bits, shared with Xen, decide whether it does:`, sc.VCPUs, sc.Expect.Port))
	d.b.WriteString(`
  PEND[port]   an event is there          MASK[port]   do not disturb now
  SEL[vcpu]    one bit for each word of 64 ports: this vcpu is to look there (UP[vcpu]: at all)

`)
	d.para(fmt.Sprintf(`A port belongs to one vcpu, and others leave it alone. Recorded just now: scenario %s, seed %d, policy %s, %s in %s.`, sc.Name,
		demoSeed, policy, plural(sum.Events, "event"), durationText(sum.Duration, sum.Unit)))
	d.trace, err = d.openTrace(ctx, rec.out, inputOptions{})
	return err
}

// story tells the first finding.
func (d *demo) story(ctx context.Context) error {
	r, err := d.analyze(ctx, d.trace, analyze.Options{})
	if err != nil {
		return err
	}
	d.found.Analysis = r
	if len(r.Findings) == 0 {
		d.para("The analysis finds nothing wrong with it, which is not what this demonstration is for.")
		return nil
	}
	if err := d.butFor(ctx, d.trace, r.Trace.Events, []*analyze.Finding{&r.Findings[0]}, false, analyze.Options{}); err != nil {
		return err
	}
	f := &r.Findings[0]
	fmt.Fprintf(&d.b, "Verdict: %s. Port %d, which belongs to vcpu %d:\n\n", r.Verdict, f.Port, f.OwnerVCPU)
	meta := d.trace.Meta()
	if err := writeEvidence(&d.b, "  ", f, &meta, d.trace.Events(f.FirstSeq())); err != nil {
		return err
	}
	d.b.WriteString("\n")
	for i, s := range f.Why {
		lines := wrap("     ", s, 98)
		fmt.Fprintf(&d.b, "  %d. %s", i+1, lines[5:])
	}
	if told := f.ButForStory(); len(told) > 0 {
		fmt.Fprintf(&d.b, "  But for: %s", wrap("     ", told[0], 90)[5:]) // analyze tells them all
	}
	d.b.WriteString("\n")
	return nil
}

// policies runs the recording under all of them.
func (d *demo) policies(ctx context.Context) error {
	d.heading("2. Which fixes would have noticed it, and at what cost")
	var list []evtchn.Policy
	for _, pre := range evtchn.Presets() {
		list = append(list, pre.Policy)
	}
	r, err := d.replay(ctx, d.trace, list)
	if err != nil {
		return err
	}
	d.found.Replay = r
	if err := r.WriteTable(&d.b); err != nil {
		return err
	}
	d.b.WriteString("\n")
	var base, taken *analyze.PolicyResult
	for i := range r.Policies {
		switch p := &r.Policies[i]; p.Policy {
		case r.RecordedPolicy:
			base = p
		case "unmask-hypercall":
			taken = p
		}
	}
	if base != nil && taken != nil {
		d.para(fmt.Sprintf(`Xen took unmask-hypercall, on 2005-12-13: a vcpu that unmasks another one's port asks Xen to do it. It serves %s where
%s serves %s, for %s to unmask.`, plural(taken.Requests.Served, "request"), base.Policy, group(base.Requests.Served),
			plural(taken.Costs.UnmaskHypercalls, "hypercall")))
		d.para(`A policy that is clean here may lose events in another order: "evtrace policies" says of which that is known.`)
	}
	if r.Identical {
		d.para(fmt.Sprintf("Under its own policy the recording comes out again as it was, all %s.", plural(r.Trace.Events, "event")))
	}
	d.b.WriteString("\n")
	return nil
}

// capture judges a real one.
func (d *demo) capture(ctx context.Context) error {
	d.heading("3. The same bug on a real system")
	dir := filepath.Join(d.dir, demoCapture)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	if err := unpackFS(fixtures.FS(), demoCapture, dir); err != nil {
		return err
	}
	fx, err := openFixture(demoCapture, dir)
	if err != nil {
		return err
	}
	res, r, err := fx.judge(ctx, d.app)
	if err != nil {
		return err
	}
	d.found.Capture = r
	d.para(fmt.Sprintf(`fixtures/%s is an ftrace capture of a dom0 (Xen 4.17, Linux 6.1, %d vcpus) with a module that unmasks as in 2005, in 4 rounds of
12. %s in it, %s delivered; verdict: %s.`, demoCapture, r.Trace.VCPUs, plural(r.Trace.Events, "event"), group(r.Totals.Delivered), r.Verdict))
	d.b.WriteString("\n")
	for i := range r.Findings {
		f := &r.Findings[i]
		delay := "never"
		if f.Delay != nil {
			delay = durationText(*f.Delay, r.Trace.Unit)
		}
		fmt.Fprintf(&d.b, "  %-11s belongs to vcpu %d, vcpu %d looked away; %s late, rescued by port %d\n", f.ID, f.OwnerVCPU, f.UnnoticedVCPU, delay, f.RescuedByPort)
	}
	if res.OK {
		d.b.WriteString("\n")
		d.para("These are the four rounds, and the delays that the module measured itself (521, 503, 510, 527 ms).")
	} else {
		d.b.WriteString("\n")
		d.para("This is not what the module measured: " + strings.Join(res.Problems, "; ") + ".")
	}
	d.b.WriteString("\n")
	return nil
}

func (d *demo) close() {
	if d.trace != nil {
		d.trace.Close()
	}
}

func (d *demo) next(context.Context) error {
	d.heading("4. Next")
	d.b.WriteString(`  evtrace record --scenario seed-port65 --seed 2 -o a.evt   another run of the same story
  evtrace analyze a.evt                                     say what went wrong in a trace, and why
  evtrace tui a.evt                                         step through it, from where it was lost
  evtrace replay a.evt --policy all                         what other policies make of it
  evtrace policies unmask-hypercall                         explain a policy, step by step
  evtrace scenarios                                         other races; write your own
  evtrace analyze fixtures/2l-lost-bug/trace.txt.zst        that capture, in full; docs/capture.md
                                                            says how to take one of your own dom0
`)
	return nil
}
