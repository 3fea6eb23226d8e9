package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/text"
	"github.com/evtrace/evtrace/replay"
)

// fixtureFiles are the files of a fixture that minimize makes.
var fixtureFiles = []string{expectName, "report.md", "trace.txt"}

// vacantFixture makes sure that a fixture may be made in a folder. One that is there is only replaced if it is one of ours.
func vacantFixture(dir string, force bool) error {
	list, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		if _, err := os.Stat(filepath.Dir(filepath.Clean(dir))); err != nil {
			return unwritable(dir, err)
		}
		return nil
	case err != nil:
		return unwritable(dir, err)
	case len(list) == 0:
		return nil
	}
	for _, e := range list {
		if !slices.Contains(fixtureFiles, e.Name()) {
			return usageErrorf("--fixture gives another name", "--fixture: %s is there, with %s in it, which is not of a fixture that could be replaced", dir, e.Name())
		}
	}
	if !force {
		return usageErrorf("--force replaces it, --fixture gives another name", "--fixture: %s is there already", dir)
	}
	return nil
}

// writeFixture makes a fixture of the result. It gets its name when it is complete, and has been found to hold.
func (m *minimizing) writeFixture(ctx context.Context) (err error) {
	dir := filepath.Clean(m.flags.fixture)
	tmp, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+".*")
	if err != nil {
		return unwritable(dir, err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	replayed, err := m.replayed(ctx)
	if err != nil {
		return err
	}
	for name, data := range map[string]string{expectName: m.expectation(replayed), "report.md": m.reportMD(), "trace.txt": ""} {
		if name == "trace.txt" {
			err = writeText(m.meta, m.events, filepath.Join(tmp, name))
		} else {
			err = os.WriteFile(filepath.Join(tmp, name), []byte(data), 0o644)
		}
		if err != nil {
			return unwritable(dir, err)
		}
	}
	res, err := m.app.verifyAt(ctx, tmp)
	if err != nil {
		return fmt.Errorf("the fixture: %w", err)
	}
	if !res.OK {
		return fmt.Errorf("internal error: the fixture does not hold: %s", strings.Join(res.Problems, "; "))
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return unwritable(dir, err)
	}
	for _, name := range fixtureFiles { // vacantFixture has looked what is in it; what came since stays
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return unwritable(dir, err)
		}
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return unwritable(dir, err)
	}
	return unwritable(dir, os.Rename(tmp, dir))
}

// replayed says what the fixture is to promise of replays; nil if it cannot be replayed.
func (m *minimizing) replayed(ctx context.Context) (*analyze.PolicyReport, error) {
	if m.meta.Source != evtchn.SourceSim || m.meta.Schedule != "" {
		return nil, nil
	}
	recorded, err := evtchn.ParsePolicy(m.meta.Policy)
	if err != nil {
		return nil, err
	}
	list := m.kept.policies
	if list == nil {
		list = []evtchn.Policy{recorded}
	}
	return analyze.Policies(ctx, &heldTrace{m.meta, m.events}, list, true, analyze.Options{MaxFindings: 1}, replay.Options{})
}

// expectation writes the expect.yaml.
func (m *minimizing) expectation(replayed *analyze.PolicyReport) string {
	var b strings.Builder
	r := m.result
	fmt.Fprintf(&b, "# evtrace minimize --keep %s %s\n", m.kept.text, filepath.Base(m.t.name))
	fmt.Fprintf(&b, "format: trace\nverdict: %s\nexit: %d\n", r.Verdict, r.ExitCode())
	var entries []string
	count := make(map[string]int)
	for i := range r.Findings {
		f := &r.Findings[i]
		e := fmt.Sprintf("  - kind: %s\n    port: %d\n    word: %d\n    owner_vcpu: %d\n    unnoticed_vcpu: %d\n    rescued_by_port: %d\n    cause: %s\n",
			f.Kind, f.Port, f.Word, f.OwnerVCPU, f.UnnoticedVCPU, f.RescuedByPort, f.Cause)
		if f.Delay != nil && r.Trace.Unit == "ns" {
			e += fmt.Sprintf("    delay: %s\n", time.Duration(*f.Delay))
		}
		if count[e]++; count[e] == 1 {
			entries = append(entries, e)
		}
	}
	if len(entries) > 0 {
		b.WriteString("findings:\n")
	}
	for _, e := range entries {
		b.WriteString(e)
		if n := count[e]; n > 1 {
			fmt.Fprintf(&b, "    count: %d\n", n)
		}
	}
	if replayed != nil {
		b.WriteString("replay:\n  identical: true\n  policies:\n")
		for i := range replayed.Policies {
			p := &replayed.Policies[i]
			fmt.Fprintf(&b, "    - {policy: %s, verdict: %s, lost: %d, late: %d}\n", strconv.Quote(p.Policy), p.Verdict, p.Lost, p.Late)
		}
	}
	return b.String()
}

// reportMD writes the report.md, which whoever knows what was seen is to complete.
func (m *minimizing) reportMD() string {
	var b strings.Builder
	r := m.report
	title := "What two policies differ in"
	if f := r.Finding; f != nil && m.kept.finding != nil {
		title = fmt.Sprintf("Port %d is %s", f.Port, f.Kind)
	}
	fmt.Fprintf(&b, "# %s\n\n", title)
	b.WriteString(wrap("", fmt.Sprintf("*`evtrace minimize --keep %s %s`, of a trace of %s.*", m.kept.text, filepath.Base(m.t.name), plural(r.Whole.Events, "event")), 100))
	b.WriteString("\n")
	for _, p := range r.Policies {
		fmt.Fprintf(&b, "- under %s: %s\n", p.Policy, p.Verdict)
	}
	if f := r.Finding; f != nil {
		fmt.Fprintf(&b, "%s, cause: %s.\n\n", f.ID, f.Cause)
		for i, s := range f.Why {
			fmt.Fprintf(&b, "%d. %s\n", i+1, wrapRest("   ", s))
		}
	}
	return b.String()
}

// writeText writes events as text into a file.
func writeText(meta evtchn.Meta, events []evtchn.Event, name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	w := text.NewWriter(f, meta)
	for i := range events {
		if err = w.Add(&events[i]); err != nil {
			break
		}
	}
	return errors.Join(err, w.Close(), f.Close())
}
