package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/store"
)

// small records a little trace, in every form.
func small(t *testing.T) (evt, text, packed string) {
	t.Helper()
	dir := t.TempDir()
	evt, text, packed = filepath.Join(dir, "a.evt"), filepath.Join(dir, "a.txt"), filepath.Join(dir, "a.txt.zst")
	must(t, 0, "record", "-q", "--scenario", "clean", "--duration", "2ms", "-o", evt)
	must(t, 0, "export", evt, "-o", text)
	must(t, 0, "export", evt, "-o", packed)
	return evt, text, packed
}

// readDamaged gives a damaged trace to the verbs that read one. It must be refused, or come out as if nothing had happened;
// strict wants it refused.
func readDamaged(t *testing.T, file, what string, offset int, want string, strict bool) {
	t.Helper()
	for _, verb := range [][]string{{"export"}, {"analyze"}, {"info"}, {"check"}} {
		r := evtrace(t, append(verb, file)...)
		switch {
		case r.code == codeUnreadable:
			if r.err == "" && verb[0] != "check" {
				t.Fatalf("%s at byte %d: %s says nothing", what, offset, verb[0])
			}
		case strict && verb[0] != "info", r.code != 0:
			t.Fatalf("%s at byte %d: %s: exit code %d, want %d\n%s%s", what, offset, verb[0], r.code, codeUnreadable, r.out, r.err)
		case verb[0] == "export" && r.out != want:
			t.Fatalf("%s at byte %d: it exports as something else", what, offset)
		}
	}
}

// TestCut cuts a trace at any byte.
func TestCut(t *testing.T) {
	evt, text, packed := small(t)
	want := must(t, 0, "export", evt)
	for _, file := range []string{evt, text, packed} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		bad := filepath.Join(t.TempDir(), "cut"+filepath.Ext(file))
		step := max(1, len(data)/100)
		if testing.Short() || raceDetector {
			step = max(1, len(data)/20)
		}
		for n := 0; n < len(data); n += step {
			if err := os.WriteFile(bad, data[:n], 0o644); err != nil {
				t.Fatal(err)
			}
			readDamaged(t, bad, filepath.Base(file)+" cut", n, want, true)
			r := evtrace(t, "import", "-q", bad, "-o", filepath.Join(t.TempDir(), "out.evt"))
			if r.code != codeUnreadable {
				t.Fatalf("%s cut at byte %d: import: exit code %d, want %d\n%s", filepath.Base(file), n, r.code, codeUnreadable, r.err)
			}
		}
	}
}

// TestDamage flips a bit anywhere. What is not part of the trace (a page that is not in use) makes no difference.
func TestDamage(t *testing.T) {
	evt, _, packed := small(t)
	want := must(t, 0, "export", evt)
	for _, file := range []string{evt, packed} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		bad := filepath.Join(t.TempDir(), "flip"+filepath.Ext(file))
		n := 300
		if testing.Short() || raceDetector {
			n = 50
		}
		refused := 0
		for i := range n {
			at := i * len(data) / n
			data[at] ^= 1 << (i % 8)
			if err := os.WriteFile(bad, data, 0o644); err != nil {
				t.Fatal(err)
			}
			data[at] ^= 1 << (i % 8)
			readDamaged(t, bad, filepath.Base(file)+" damaged", at, want, false)
			if evtrace(t, "check", bad).code == codeUnreadable {
				refused++
			}
		}
		if refused == 0 {
			t.Errorf("%s: check has found none of %d flipped bits", filepath.Base(file), n)
		}
	}
}

// startRecording starts a recording that would take an hour, and waits until it has written so many bytes.
func startRecording(t *testing.T, file string, size int64) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("evtrace", "record", "--scenario", "mixed-load", "--duration", "20h", "-o", file) // on the PATH, by testscript.Main
	var errs strings.Builder
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if st, err := os.Stat(file + store.PartialSuffix); err == nil && st.Size() >= size {
			return cmd
		}
		if time.Now().After(deadline) {
			t.Fatalf("the recording has not written %d bytes in a minute: %s", size, errs.String())
		}
	}
}

// TestInterrupt stops a recording with a signal: the file is kept, can be read, and says that it is incomplete.
func TestInterrupt(t *testing.T) {
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		file := filepath.Join(t.TempDir(), "a.evt")
		cmd := startRecording(t, file, 1)
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		if got := cmd.ProcessState.ExitCode(); got != codeInterrupted {
			t.Errorf("%v: exit code %d, want %d", sig, got, codeInterrupted)
		}
		if _, err := os.Stat(file + store.PartialSuffix); err == nil {
			t.Errorf("%v: the partial is still there", sig)
		}
		if in := readIncomplete(t, file); !in.Closed {
			t.Errorf("%v: the file was not closed", sig)
		}
	}
}

// TestInterruptText stops a recording that goes to stdout: what was written can be salvaged.
func TestInterruptText(t *testing.T) {
	dir := t.TempDir()
	file, saved := filepath.Join(dir, "a.txt"), filepath.Join(dir, "a.evt")
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command("evtrace", "record", "--scenario", "mixed-load", "--duration", "20h", "-o", "-")
	var errs strings.Builder
	cmd.Stdout, cmd.Stderr = out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if st, err := os.Stat(file); err == nil && st.Size() > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("nothing was written in a minute")
		}
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != codeInterrupted || !strings.Contains(errs.String(), "--salvage") {
		t.Errorf("exit code %d, want %d; stderr: %s", got, codeInterrupted, errs.String())
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(string(data), "\n") || strings.Contains(string(data), "\nend ") {
		t.Error("want whole lines, and no end line")
	}
	if r := evtrace(t, "analyze", file); r.code != codeUnreadable || !strings.Contains(r.err, "--salvage") {
		t.Errorf("analyze: exit code %d: %s", r.code, r.err)
	}
	must(t, 0, "import", "-q", "--salvage", file, "-o", saved)
	readIncomplete(t, saved)
}

// TestKill kills a recording: what it had committed can be read, and another recording does not take its place unasked.
func TestKill(t *testing.T) {
	if raceDetector {
		t.Skip("it takes long to fill a batch")
	}
	file := filepath.Join(t.TempDir(), "a.evt")
	cmd := startRecording(t, file, 5<<20) // the first 4 MB are allocated at once
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if _, err := os.Stat(file); err == nil {
		t.Error("a killed recording has got its name")
	}
	partial := file + store.PartialSuffix
	if in := readIncomplete(t, partial); in.Events == 0 {
		t.Error("nothing of it is left")
	}
	if r := evtrace(t, "record", "--scenario", "clean", "-o", file); r.code != codeUsage || !strings.Contains(r.err, partial) {
		t.Errorf("recording again: exit code %d, want %d: %s", r.code, codeUsage, r.err)
	}
	if r := evtrace(t, "info", file); r.code != codeUnreadable || !strings.Contains(r.err, "hint: ") {
		t.Errorf("info of the name that it would have had: exit code %d: %s", r.code, r.err)
	}
	must(t, 0, "record", "-q", "--scenario", "clean", "--force", "-o", file)
}

// readIncomplete wants every verb to read an incomplete trace, and to say that it is one.
func readIncomplete(t *testing.T, file string) *infoReport {
	t.Helper()
	in := decode[infoReport](t, must(t, 0, "info", "--json", file))
	if in.Complete {
		t.Error("info says that it is complete")
	}
	if out := must(t, 0, "check", file); !strings.Contains(out, "incomplete") {
		t.Errorf("check does not say that it is incomplete: %s", out)
	}
	r := evtrace(t, "analyze", "--json", file)
	rep := decode[analyze.Report](t, r.out)
	if rep.Trace.Events != in.Events || rep.Trace.Complete || len(rep.Missing) == 0 {
		t.Errorf("analyze: %d events, complete %t, missing %q", rep.Trace.Events, rep.Trace.Complete, rep.Missing)
	}
	must(t, 0, "replay", file)
	return in
}

// TestLocked reads a trace while it is being recorded: that is refused, and said.
func TestLocked(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.evt")
	startRecording(t, file, 1)
	r := evtrace(t, "info", file+store.PartialSuffix)
	if r.code != codeUnreadable || !strings.Contains(r.err, "in use by a recording") {
		t.Errorf("exit code %d, want %d: %s", r.code, codeUnreadable, r.err)
	}
	if r := evtrace(t, "record", "--scenario", "clean", "--force", "-o", file); r.code != codeUsage || !strings.Contains(r.err, "in use") {
		t.Errorf("recording over it: exit code %d, want %d: %s", r.code, codeUsage, r.err)
	}
}
