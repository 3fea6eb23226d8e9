package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestExamples runs every example of every help text, in a folder where what they name exists.
func TestExamples(t *testing.T) {
	if raceDetector {
		t.Skip("it runs what other tests run in this process")
	}
	root := newRoot(&app{in: strings.NewReader(""), out: io.Discard, err: io.Discard})
	for _, c := range root.Commands() {
		if !c.Runnable() || c.Hidden {
			continue
		}
		if c.Example == "" {
			t.Errorf("%s has no examples", c.Name())
		}
		if c.Long == "" || c.Short == "" {
			t.Errorf("%s has no text", c.Name())
		}
		for _, line := range strings.Split(c.Example, "\n") {
			t.Run(c.Name(), func(t *testing.T) { runExample(t, c, strings.TrimSpace(line)) })
		}
	}
}

func runExample(t *testing.T, c *cobra.Command, line string) {
	if !strings.HasPrefix(line, "evtrace "+c.Name()) {
		t.Fatalf("%q is not an example of %s", line, c.Name())
	}
	for _, tool := range []string{"jq", "head", "grep"} {
		if _, err := exec.LookPath(tool); strings.Contains(line, "| "+tool) && err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	if strings.Contains(line, "/etc/") || strings.Contains(line, "~") || strings.Contains(line, "fpath") {
		line, _, _ = strings.Cut(line, " >") // the script, not its place on the user's machine
	}
	dir := t.TempDir()
	capture := filepath.Join(repoRoot(t), "fixtures", "2l-bugkernel-small")
	dumps := filepath.Join(repoRoot(t), "cmd", "evtrace", "testdata", "dumps") + "/"
	for name, from := range map[string]string{"trace.txt.zst": filepath.Join(capture, "trace.txt.zst"), "fixtures": filepath.Dir(capture),
		"dump.txt": dumps + "2l-lost.txt", "first.txt": dumps + "2l-load.txt", "second.txt": dumps + "fifo-load.txt"} {
		if err := os.Symlink(from, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if c.Name() != "record" {
		must(t, 0, "record", "-q", "--scenario", "seed-port65", "-o", filepath.Join(dir, "a.evt"))
		must(t, 0, "export", filepath.Join(dir, "a.evt"), "-o", filepath.Join(dir, "a.txt"))
	}
	if c.Name() != "bundle" && strings.Contains(line, "bug.evb") {
		must(t, 0, "bundle", filepath.Join(dir, "a.evt"), "-o", filepath.Join(dir, "bug.evb"))
	}
	if c.Name() == "import" && strings.Contains(line, "--force") {
		must(t, 0, "import", "-q", filepath.Join(dir, "trace.txt.zst"), "-o", filepath.Join(dir, "dom0.evt"))
	}
	if strings.Contains(line, "--resume small.evt") {
		must(t, 10, "minimize", filepath.Join(dir, "a.evt"), "-o", filepath.Join(dir, "small.evt"), "--force")
	}
	if strings.Contains(line, "per_cpu") {
		for i, text := range []string{"<idle>-0 [000] d.h1. 1.000001: clear: (evtchn_2l_x) port=1\n", "<idle>-0 [001] d.h1. 1.000003: clear: (evtchn_2l_x) port=2\n"} {
			sub := filepath.Join(dir, "per_cpu", fmt.Sprintf("cpu%d", i))
			if err := os.MkdirAll(sub, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(sub, "trace"), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	if strings.Contains(line, "System.map") {
		if err := os.WriteFile(filepath.Join(dir, "System.map"), []byte("ffffffff81700000 T xen_evtchn_do_upcall\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if strings.Contains(line, "mine.yaml") {
		if err := os.WriteFile(filepath.Join(dir, "mine.yaml"), []byte(must(t, 0, "scenarios", "seed-port65")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if c.Name() == "pprof" && !strings.Contains(line, "--listing") {
		for _, name := range []string{"before.evt", "after.evt"} {
			if err := os.Symlink("a.evt", filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		runPages(t, dir, strings.Replace(line, ":8080", ":0", 1)) // that port may be in use here
		return
	}
	cmd := exec.Command("sh", "-c", line)
	cmd.Dir = dir
	if c.Name() == "man" { // a home where there is the folder
		if err := os.MkdirAll(filepath.Join(dir, ".local", "share", "man", "man1"), 0o755); err != nil {
			t.Fatal(err)
		}
		cmd.Env = append(os.Environ(), "HOME="+dir)
	}
	out, err := cmd.CombinedOutput()
	code := cmd.ProcessState.ExitCode()
	if c.Name() == "tui" && !strings.Contains(line, "--plain") {
		// There is no terminal here. That it says so means that it has understood its arguments.
		if code != codeUsage || !strings.Contains(string(out), "not a terminal") {
			t.Errorf("%s: exit code %d, want %d without a terminal\n%s", line, code, codeUsage, out)
		}
		return
	}
	if c.Name() == "probes" && !strings.Contains(line, "--kernel") {
		// The same of Xen, unless this is a guest of it.
		if _, err := os.Stat("/sys/hypervisor/type"); err != nil && (code != codeUsage || !strings.Contains(string(out), "no Xen guest")) {
			t.Errorf("%s: exit code %d, want %d off Xen\n%s", line, code, codeUsage, out)
		}
		return
	}
	switch { // verdicts are no failures
	case err == nil, code == 10, code == 11:
	default:
		t.Errorf("%s: %v\n%s", line, err, out)
	}
	if strings.Contains(string(out), "evtrace: error") || len(out) == 0 && !strings.Contains(line, " -o ") && !strings.Contains(line, ">") {
		t.Errorf("%s gives:\n%s", line, out)
	}
}

// runPages runs a command that serves pages until a signal, and ends it when it does.
func runPages(t *testing.T, dir, line string) {
	t.Helper()
	cmd := exec.Command("sh", "-c", "exec "+line)
	cmd.Dir = dir
	pipe, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	said := bufio.NewReader(pipe)
	first, _ := said.ReadString('\n')
	if !strings.Contains(first, "until Ctrl-C") {
		rest, _ := io.ReadAll(said)
		t.Errorf("%s: %s%s", line, first, rest)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%s: %v, want exit code 0", line, err)
	}
}
