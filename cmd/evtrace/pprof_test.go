package main

import (
	"bufio"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestPprofPages has the pages served by a process of its own: they answer on loopback, to those who ask for it by that name; a signal
// ends them with exit code 0; and nothing is left behind.
func TestPprofPages(t *testing.T) {
	dir, home, temp := t.TempDir(), t.TempDir(), t.TempDir()
	trace := filepath.Join(dir, "a.evt")
	must(t, 0, "record", "-q", "--scenario", "seed-port65", "-o", trace)
	cmd := exec.Command("evtrace", "pprof", "--policy", "unmask-hypercall", trace) // on the PATH, by testscript.Main
	cmd.Env = append(os.Environ(), "HOME="+home, "TMPDIR="+temp, "XDG_CONFIG_HOME=", "PPROF_TMPDIR=")
	pipe, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	said := bufio.NewReader(pipe)
	line, err := said.ReadString('\n')
	url := regexp.MustCompile(`http://127\.0\.0\.1:[0-9]+/`).FindString(line)
	if err != nil || url == "" {
		t.Fatalf("got %q, %v, want the address", line, err)
	}
	client := &http.Client{Timeout: 30 * time.Second}
	get := func(page, host string) (int, string) {
		req, err := http.NewRequest("GET", url+page, nil)
		if err != nil {
			t.Fatal(err)
		}
		if host != "" {
			req.Host = host
		}
		r, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return r.StatusCode, string(body)
	}
	for _, tt := range []struct {
		page, host string
		code       int
		want       string
	}{
		{"", "", 200, "masked-then-unmasked-elsewhere"},
		{"top", "", 200, `"Name":"masked-then-unmasked-elsewhere","InlineLabel":"","Flat":-2`},
		{"source?f=unmask_evtchn", "", 200, "c being the vcpu that runs this"},
		{"flamegraph", "localhost", 200, "set_pending"},
		{"top", "evil.example", 403, "loopback only"},
		{"saveconfig?config=x", "", 403, "keeps no settings"},
		{"nothing", "", 404, ""},
	} {
		if code, body := get(tt.page, tt.host); code != tt.code || !strings.Contains(body, tt.want) {
			t.Errorf("%q for host %q: got %d, and %q in it: %v", tt.page, tt.host, code, tt.want, strings.Contains(body, tt.want))
		}
	}
	if r := evtrace(t, "pprof", "--http", strings.Trim(strings.TrimPrefix(url, "http://"), "/"), trace); r.code != codeUsage || !strings.Contains(r.err, "in use") {
		t.Errorf("a port in use: exit code %d: %s", r.code, r.err)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	rest, _ := io.ReadAll(said)
	if err := cmd.Wait(); err != nil {
		t.Errorf("after a signal: %v, want exit code 0", err)
	}
	if len(rest) > 0 {
		t.Errorf("it also said %q", rest)
	}
	for _, d := range []string{home, temp} {
		if left, err := os.ReadDir(d); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	}
}
