package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"evtrace": main})
}

// TestScripts runs testdata/script/*.txtar through the real main. Each script says what it is about in its first lines.
func TestScripts(t *testing.T) {
	traces := capturesDir(t)
	p := testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("TRACES", traces)
			env.Setenv("ROOT", repoRoot(t))
			env.Setenv("FIXTURES", filepath.Join(repoRoot(t), "fixtures"))
			env.Setenv("TMPDIR", filepath.Join(env.WorkDir, "tmp"))
			header := "evtrace text 1\nsource: sim\nabi: 2l\nvcpus: 2\nword_bits: 64\nclock: virtual\nunit: ns\nns_per_tick: 1\ncomplete: true\npolicy: xen-2005\n\n"
			for name, data := range map[string]string{"bom.txt": "\xef\xbb\xbf" + header + "end 0\n", "utf16.txt": "\xff\xfee\x00v\x00"} {
				if err := os.WriteFile(filepath.Join(env.WorkDir, name), []byte(data), 0o644); err != nil {
					return err
				}
			}
			return os.MkdirAll(filepath.Join(env.WorkDir, "tmp"), 0o755)
		},
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "captures":
				return traces != "", nil
			case "root":
				return os.Geteuid() == 0, nil
			}
			return false, errors.New("no such condition")
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":   exits,
			"cut":     cut,
			"flip":    flip,
			"append":  appendTo,
			"nothing": nothing,
			"json":    jsonCmd,
		},
	}
	if raceDetector { // each command is a process that takes long; what runs in this process is tested elsewhere
		p.Dir, p.Files = "", []string{"testdata/script/record.txtar", "testdata/script/output.txtar"}
	}
	testscript.Run(t, p)
}

// exits runs a command and wants an exit code: exits 10 evtrace analyze a.evt
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
	if out := ts.ReadFile("stderr"); got != 0 && strings.Contains(out, "goroutine ") {
		ts.Fatalf("it panicked:\n%s", out)
	}
}

// cut shortens a copy of a file: cut FILE COPY BYTES; a negative number is counted from the end.
func cut(ts *testscript.TestScript, _ bool, args []string) {
	data, n := damage(ts, args)
	if n < 0 {
		n += len(data)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), data[:n], 0o644))
}

// flip changes one bit of a copy of a file: flip FILE COPY OFFSET
func flip(ts *testscript.TestScript, _ bool, args []string) {
	data, n := damage(ts, args)
	data[n] ^= 4
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), data, 0o644))
}

// appendTo makes a copy of a file with something behind it: append FILE COPY TEXT
func appendTo(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: append FILE COPY TEXT")
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(ts.ReadFile(args[0])+args[2]), 0o644))
}

func damage(ts *testscript.TestScript, args []string) ([]byte, int) {
	if len(args) != 3 {
		ts.Fatalf("usage: FILE COPY NUMBER")
	}
	n, err := strconv.Atoi(args[2])
	ts.Check(err)
	return []byte(ts.ReadFile(args[0])), n
}

// nothing wants a directory to be empty, such as that of temporary files.
func nothing(ts *testscript.TestScript, _ bool, args []string) {
	for _, dir := range args {
		entries, err := os.ReadDir(ts.MkAbs(dir))
		ts.Check(err)
		for _, e := range entries {
			ts.Fatalf("%s was left in %s", e.Name(), dir)
		}
	}
}

// repoRoot is where go.mod is.
func repoRoot(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above the test")
		}
		dir = filepath.Dir(dir)
	}
}

// capturesDir is where the real captures are, "" if they are not here.
func capturesDir(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(filepath.Dir(repoRoot(t)), "shared", "traces")
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("the captures are missing: %v", err)
		}
		t.Logf("the captures are missing, and what needs them is left out: %v", err)
		return ""
	}
	return dir
}

// result is what a command line gave.
type result struct {
	code     int
	out, err string
}

// evtrace runs a command line in this process.
func evtrace(t testing.TB, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	code := run(args, strings.NewReader(""), &out, &errs)
	return result{code, out.String(), errs.String()}
}

// must runs a command line that must give the exit code, and returns its stdout.
func must(t testing.TB, code int, args ...string) string {
	t.Helper()
	r := evtrace(t, args...)
	if r.code != code {
		t.Fatalf("evtrace %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), r.code, code, r.out, r.err)
	}
	return r.out
}
