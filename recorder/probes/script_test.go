package probes

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// shells are shells that are here, each as a command: those that dom0s have, or else what is called sh.
func shells(t *testing.T) map[string][]string {
	t.Helper()
	found := make(map[string][]string)
	for name, cmd := range map[string][]string{"dash": {"dash"}, "busybox": {"busybox", "sh"}} {
		if _, err := exec.LookPath(cmd[0]); err == nil {
			found[name] = cmd
		}
	}
	if len(found) == 0 {
		if _, err := exec.LookPath("sh"); err != nil {
			t.Skip("no shell is here")
		}
		found["sh"] = []string{"sh"}
	}
	return found
}

// scripts are scripts for a known kernel and for any.
func scripts(t *testing.T, opt Options) map[string]string {
	t.Helper()
	k, err := Running(newFakeKernel(t).uses(TwoLevel).run(t))
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	known, err := MakePlan(k, "PV", opt)
	if err != nil {
		t.Fatal(err)
	}
	unknown, err := MakePlan(nil, "", opt)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{"known": known.Script(), "any": unknown.Script()}
}

// TestSyntax: every shell here understands the script, whatever the archive's name.
func TestSyntax(t *testing.T) {
	for kernel, script := range scripts(t, Options{Archive: "it's $HOME `x` \"y\".tar"}) {
		if strings.Contains(script, "@PROBES@") || regexp.MustCompile(`@[A-Z]+@`).MatchString(script) {
			t.Errorf("%s: a place was not filled:\n%s", kernel, script)
		}
		for name, cmd := range shells(t) {
			c := exec.Command(cmd[0], append(cmd[1:len(cmd):len(cmd)], "-n")...)
			c.Stdin = strings.NewReader(script)
			if out, err := c.CombinedOutput(); err != nil || len(out) > 0 {
				t.Errorf("%s, %s: %v\n%s", kernel, name, err, out)
			}
		}
	}
}

// machine is a fake dom0: directories for /proc and /sys, and programs before those of the real machine. Its tracefs is a directory
// of plain files, so that it records nothing, and shows what was written to it.
type machine struct {
	t     *testing.T
	root  string
	bin   string
	work  string
	shell []string
}

func newMachine(t *testing.T, shell []string, fake *fakeKernel) *machine {
	t.Helper()
	m := &machine{t: t, root: fake.run(t), bin: t.TempDir(), work: t.TempDir(), shell: shell}
	write(t, m.root, map[string]string{
		"proc/xen/capabilities": "control_d\n", "proc/interrupts": "  CPU0 CPU1\n", "proc/cmdline": "xen.fifo_events=0\n",
		"proc/meminfo":                     "MemTotal: 4000000 kB\nMemAvailable:    2000000 kB\n",
		"sys/kernel/tracing/trace":         "somebody else's\n",
		"sys/kernel/tracing/tracing_on":    "1\n",
		"sys/kernel/tracing/trace_clock":   "[local] x86-tsc\n",
		"sys/kernel/tracing/kprobe_events": "p:other/theirs do_exit\n",
		"sys/kernel/tracing/kprobe_profile": "  upcall                 100               3\n  theirs                 100               9\n" +
			"  abi_2l                  10               0\n  abi_fifo                 0               0\n",
		"sys/kernel/tracing/instances/other/tracing_on": "1\n",
	})
	for name, text := range map[string]string{
		"id":    "echo ${FAKE_UID-0}",
		"uname": "case $1 in -m) echo ${FAKE_ARCH-x86_64} ;; -n) echo dom0 ;; *) echo Linux dom0 ;; esac",
		// An instance comes with its files. Its directory of a group of events is there from the beginning.
		"mkdir": `/bin/mkdir "$@" || exit 1
case $1 in */instances/evtrace)
	/bin/mkdir -p $1/events/evtrace $1/events/irq/irq_handler_entry $1/events/irq/irq_handler_exit $1/per_cpu/cpu0 $1/per_cpu/cpu1
	for f in tracing_on trace_clock buffer_size_kb events/enable events/evtrace/enable; do echo 0 > $1/$f; done
	printf 'entries: 40\noverrun: %s\n' ${FAKE_OVERRUN-0} > $1/per_cpu/cpu0/stats
	printf 'entries: 2\noverrun: 0\n' > $1/per_cpu/cpu1/stats
	echo "# tracer: nop" > $1/trace
esac`,
		"rmdir":    `case $1 in */instances/evtrace) cat $1/buffer_size_kb $1/tracing_on $1/events/enable > $WORK/at-end; rm -r $1 ;; *) /bin/rmdir "$@" ;; esac`,
		"sleep":    `case $1 in 1) exit 0 ;; 77) echo > $WORK/sleeping; exec /bin/sleep 60 ;; *) exit 0 ;; esac`,
		"xl":       `echo "xl $*" >> $WORK/xl.log; echo "(XEN) Detected 2596.101 MHz processor"`,
		"lsevtchn": `echo "   1: VCPU 0: Virtual IRQ 0"`,
	} {
		if err := os.WriteFile(filepath.Join(m.bin, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// command runs the script with arguments.
func (m *machine) command(script string, env []string, args ...string) *exec.Cmd {
	m.t.Helper()
	write(m.t, m.work, map[string]string{"record.sh": script})
	words := append(m.shell[1:len(m.shell):len(m.shell)], "record.sh")
	c := exec.Command(m.shell[0], append(words, args...)...)
	c.Dir = m.work
	c.Env = append(os.Environ(), append([]string{"PATH=" + m.bin + ":" + os.Getenv("PATH"), "EVTRACE_ROOT=" + m.root, "WORK=" + m.work}, env...)...)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return c
}

func (m *machine) run(script string, env []string, args ...string) (int, string) {
	m.t.Helper()
	out, err := m.command(script, env, args...).CombinedOutput()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return exit.ExitCode(), string(out)
	case err != nil:
		m.t.Fatal(err)
	}
	return 0, string(out)
}

func (m *machine) read(name string) string {
	m.t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		m.t.Fatal(err)
	}
	return string(data)
}

// clean wants the fake kernel to be as it was, and no file but some in the working directory.
func (m *machine) clean(want ...string) {
	m.t.Helper()
	tracing := filepath.Join(m.root, "sys/kernel/tracing")
	if _, err := os.Stat(filepath.Join(tracing, "instances/evtrace")); err == nil {
		m.t.Error("the instance is still there")
	}
	left := map[string]bool{}
	for line := range strings.Lines(m.read(filepath.Join(tracing, "kprobe_events"))) {
		line = strings.TrimSuffix(line, "\n")
		if name, ok := strings.CutPrefix(line, "-:"); ok {
			delete(left, name)
			continue
		}
		head, _, _ := strings.Cut(line, " ")
		left[head[2:]] = true
	}
	if len(left) != 1 || !left["other/theirs"] {
		m.t.Errorf("probes that are left: %v, want only other/theirs", left)
	}
	for name, want := range map[string]string{"trace": "somebody else's\n", "tracing_on": "1\n", "trace_clock": "[local] x86-tsc\n", "instances/other/tracing_on": "1\n"} {
		if got := m.read(filepath.Join(tracing, name)); got != want {
			m.t.Errorf("%s: got %q, want it as it was, %q", name, got, want)
		}
	}
	entries, err := os.ReadDir(m.work)
	if err != nil {
		m.t.Fatal(err)
	}
	for _, e := range entries {
		ok := e.Name() == "record.sh" || e.Name() == "xl.log" || e.Name() == "sleeping" || e.Name() == "at-end"
		for _, w := range want {
			ok = ok || e.Name() == w
		}
		if !ok {
			m.t.Errorf("%s was left", e.Name())
		}
	}
}

// eachShell runs a test in each shell but busybox, which runs its own programs instead of the fake machine's. (The script runs in it
// in the lab: see package main.)
func eachShell(t *testing.T, f func(t *testing.T, shell []string)) {
	found := shells(t)
	delete(found, "busybox")
	if len(found) == 0 {
		t.Skip("no shell but busybox is here")
	}
	for name, shell := range found {
		t.Run(name, func(t *testing.T) { f(t, shell) })
	}
}

// TestRecord: the script records, says what it lacks, and leaves nothing but the archive.
func TestRecord(t *testing.T) {
	eachShell(t, func(t *testing.T, shell []string) {
		for kernel, script := range scripts(t, Options{}) {
			m := newMachine(t, shell, newFakeKernel(t, "xen_irq_lateeoi").uses(TwoLevel))
			code, out := m.run(script, []string{"FAKE_OVERRUN=7"}, "-s", "5", "-o", "c.tar")
			if code != 0 {
				t.Fatalf("%s: exit code %d\n%s", kernel, code, out)
			}
			for _, want := range []string{"note: no lateeoi: the kernel has no function xen_irq_lateeoi", "recording (2l ABI, 2 vcpus, 32768 KB each) for 5 s",
				"42 records; 7 older ones were overwritten", "note: 3 hits were missed", "done: evtrace import c.tar"} {
				if !strings.Contains(out, want) {
					t.Errorf("%s: it does not say %q:\n%s", kernel, want, out)
				}
			}
			if got := m.read(filepath.Join(m.work, "at-end")); got != "32768\n0\n0\n" {
				t.Errorf("%s: buffer, tracing_on and enable at the end: %q", kernel, got)
			}
			m.clean("c.tar")
			list, err := exec.Command("tar", "-tf", filepath.Join(m.work, "c.tar")).CombinedOutput()
			if err != nil {
				t.Fatalf("%s: %v\n%s", kernel, err, list)
			}
			for _, want := range []string{"c/trace.txt.gz", "c/kprobes-accepted.txt", "c/kprobes-refused.txt", "c/kprobe_profile.txt", "c/trace_clock.txt", "c/interrupts.before.txt",
				"c/interrupts.after.txt", "c/lsevtchn.before.txt", "c/lsevtchn.after.txt", "c/xl-dmesg.before.txt", "c/xl-dmesg.after.txt", "c/stats/cpu1.txt", "c/record.log"} {
				if !strings.Contains(string(list), want+"\n") {
					t.Errorf("%s: the archive has no %s:\n%s", kernel, want, list)
				}
			}
			accepted, err := exec.Command("tar", "-xOf", filepath.Join(m.work, "c.tar"), "c/kprobes-accepted.txt").Output()
			if err != nil {
				t.Fatal(err)
			}
			// The fake kernel cannot take a probe away: two were there only to find out the ABI.
			accepted = regexp.MustCompile(`(?m)^p:evtrace/abi_.*\n`).ReplaceAll(accepted, nil)
			for _, want := range []string{"p:evtrace/scan evtchn_2l_handle_events cpu=%di:u32\n", "r:evtrace/dev_ioctl_ret xen_evtchn:evtchn_ioctl ret=$retval:s32\n"} {
				if !strings.Contains(string(accepted), want) {
					t.Errorf("%s: not accepted: %q, in\n%s", kernel, want, accepted)
				}
			}
			if strings.Contains(string(accepted), "fifo") || strings.Contains(string(accepted), "other/") {
				t.Errorf("%s: accepted what does not belong there:\n%s", kernel, accepted)
			}
			if hc := strings.Contains(string(accepted), "/hc_unmask_2l evtchn_2l_unmask+0x14 "); hc != (kernel == "known") {
				t.Errorf("%s: hypercalls are probed: %v", kernel, hc)
			}
			if log := m.read(filepath.Join(m.work, "xl.log")); strings.Count(log, "debug-keys e") != 2 || strings.Count(log, "xl dmesg") != 2 {
				t.Errorf("%s: xl was run so:\n%s", kernel, log)
			}
		}
	})
}

// TestStopped: a signal ends the recording, and the recording is kept; one before it undoes all.
func TestStopped(t *testing.T) {
	eachShell(t, func(t *testing.T, shell []string) {
		for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
			m := newMachine(t, shell, newFakeKernel(t).uses(TwoLevel))
			c := m.command(scripts(t, Options{})["known"], nil, "-s", "77", "-o", "c.tar", "-n")
			var out bytes.Buffer
			c.Stdout, c.Stderr = &out, &out
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			m.await(filepath.Join(m.work, "sleeping"))
			if err := c.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			if err := c.Wait(); err != nil {
				t.Errorf("%v: %v\n%s", sig, err, out.String())
			}
			m.clean("c.tar")
			if log := m.read(filepath.Join(m.work, "xl.log")); strings.Contains(log, "debug-keys") {
				t.Errorf("-n did not help:\n%s", log)
			}
		}
		// While it still prepares: the program that it asks for the ports does not answer.
		m := newMachine(t, shell, newFakeKernel(t).uses(TwoLevel))
		write(t, m.bin, map[string]string{"lsevtchn": "#!/bin/sh\necho > $WORK/sleeping\nexec /bin/sleep 2\n"})
		c := m.command(scripts(t, Options{})["known"], nil, "-o", "c.tar")
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		m.await(filepath.Join(m.work, "sleeping"))
		if err := c.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		var exit *exec.ExitError
		if err := c.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 130 {
			t.Errorf("got %v, want exit status 130", err)
		}
		m.clean()
	})
}

// TestSaving: while it saves, no signal stops it, nor the programs that save.
func TestSaving(t *testing.T) {
	eachShell(t, func(t *testing.T, shell []string) {
		for _, first := range []bool{false, true} { // the recording ends by a signal too
			m := newMachine(t, shell, newFakeKernel(t).uses(TwoLevel))
			write(t, m.bin, map[string]string{"gzip": "#!/bin/sh\necho > $WORK/saving\n/bin/sleep 1\nexec /bin/gzip \"$@\"\n"})
			if err := os.Chmod(filepath.Join(m.bin, "gzip"), 0o755); err != nil {
				t.Fatal(err)
			}
			seconds := "5"
			if first {
				seconds = "77"
			}
			c := m.command(scripts(t, Options{})["known"], nil, "-s", seconds, "-o", "c.tar")
			var out bytes.Buffer
			c.Stdout, c.Stderr = &out, &out
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			signal := func(sig syscall.Signal) {
				if err := syscall.Kill(-c.Process.Pid, sig); err != nil { // as a terminal does it: the programs as well
					t.Fatal(err)
				}
			}
			if first {
				m.await(filepath.Join(m.work, "sleeping"))
				signal(syscall.SIGINT)
			}
			m.await(filepath.Join(m.work, "saving"))
			for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
				signal(sig)
			}
			if err := c.Wait(); err != nil || !strings.Contains(out.String(), "done: evtrace import c.tar") {
				t.Errorf("%v\n%s", err, out.String())
			}
			m.clean("c.tar", "saving")
			if out, err := exec.Command("tar", "-xOf", filepath.Join(m.work, "c.tar"), "c/trace.txt.gz").Output(); err != nil || len(out) == 0 {
				t.Errorf("the trace: %d bytes, %v", len(out), err)
			}
		}
	})
}

// TestFull: on a full disk, what was recorded is kept, and the script says where.
func TestFull(t *testing.T) {
	eachShell(t, func(t *testing.T, shell []string) {
		for _, tt := range []struct {
			program, text string
			want          []string
			kernel        bool // the records stay there
		}{
			{"tar", "echo half > c.tar.partial; exit 1", []string{"error: cannot write c.tar: the trace and all other files are in c.tar.d/c", "hint: with room for it: tar -cf c.tar -C c.tar.d c"}, false},
			{"gzip", "echo half; exit 1", []string{"error: the trace could not be saved whole: what is there is in c.tar.d/c", "/instances/evtrace/trace > "}, true},
			{"cat", `case $1 in */instances/evtrace/trace) exit 1 ;; esac; exec /bin/cat "$@"`, []string{"error: the trace could not be saved whole"}, true},
		} {
			m := newMachine(t, shell, newFakeKernel(t).uses(TwoLevel))
			if err := os.WriteFile(filepath.Join(m.bin, tt.program), []byte("#!/bin/sh\n"+tt.text+"\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			script := scripts(t, Options{})["known"]
			code, out := m.run(script, nil, "-o", "c.tar")
			if code != 1 {
				t.Errorf("%s: exit code %d, want 1\n%s", tt.program, code, out)
			}
			for _, want := range tt.want {
				if !strings.Contains(out, want) {
					t.Errorf("%s: it does not say %q:\n%s", tt.program, want, out)
				}
			}
			for _, name := range []string{"trace.txt.gz", "kprobes-accepted.txt", "kprobe_profile.txt", "xl-dmesg.after.txt", "stats/cpu1.txt"} {
				if _, err := os.Stat(filepath.Join(m.work, "c.tar.d/c", name)); err != nil {
					t.Errorf("%s: %v", tt.program, err)
				}
			}
			_, err := os.Stat(filepath.Join(m.root, "sys/kernel/tracing/instances/evtrace/trace"))
			if kept := err == nil; kept != tt.kernel {
				t.Errorf("%s: the records are still in the kernel: %v, want %v", tt.program, kept, tt.kernel)
			}
			if tt.kernel {
				if code, out := m.run(script, nil, "clean"); code != 0 {
					t.Errorf("%s: exit code %d\n%s", tt.program, code, out)
				}
			}
			m.clean("c.tar.d")
		}
	})
}

// TestRoom: too little room beside the archive is said before anything is recorded.
func TestRoom(t *testing.T) {
	eachShell(t, func(t *testing.T, shell []string) {
		for _, tt := range []struct {
			df   string
			note bool
		}{
			{`printf 'Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/x 9 9 1999 99%% /\n'`, true},
			{`printf 'Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/x 9 9 2000 99%% /\n'`, false},
			{"exit 127", false},
		} {
			m := newMachine(t, shell, newFakeKernel(t).uses(TwoLevel))
			if err := os.WriteFile(filepath.Join(m.bin, "df"), []byte("#!/bin/sh\n"+tt.df+"\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			code, out := m.run(scripts(t, Options{})["known"], nil, "-o", "c.tar", "-b", "1000")
			if note := strings.Contains(out, "note: beside c.tar there is room for 1999 KB, and full ring buffers may need 2000 KB"); code != 0 || note != tt.note {
				t.Errorf("%s: exit code %d, note %v, want %v:\n%s", tt.df, code, note, tt.note, out)
			}
			m.clean("c.tar")
		}
	})
}

// TestEndless: -s 0 goes on for more than the day that one sleep takes, until a signal.
func TestEndless(t *testing.T) {
	eachShell(t, func(t *testing.T, shell []string) {
		m := newMachine(t, shell, newFakeKernel(t).uses(TwoLevel))
		if err := os.WriteFile(filepath.Join(m.bin, "sleep"), []byte(`#!/bin/sh
case $1 in 86400) ;; *) exit 0 ;; esac
[ -e $WORK/slept ] || { echo > $WORK/slept; exit 0; }
echo > $WORK/sleeping
exec /bin/sleep 60
`), 0o755); err != nil {
			t.Fatal(err)
		}
		c := m.command(scripts(t, Options{})["known"], nil, "-s", "0", "-o", "c.tar")
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		m.await(filepath.Join(m.work, "sleeping"))
		if err := c.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		if err := c.Wait(); err != nil {
			t.Error(err)
		}
		m.clean("c.tar", "slept")
	})
}

// await waits for a file that another process makes.
func (m *machine) await(name string) {
	m.t.Helper()
	for range 3000 {
		if _, err := os.Stat(name); err == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	m.t.Fatalf("%s did not come", name)
}

// TestRefused: where it cannot or must not record, it says so and touches nothing.
func TestRefused(t *testing.T) {
	eachShell(t, func(t *testing.T, shell []string) {
		script := scripts(t, Options{})["any"]
		for _, tt := range []struct {
			name   string
			change func(m *machine)
			env    []string
			args   []string
			code   int
			want   string
		}{
			{"off Xen", func(m *machine) { m.remove("sys/hypervisor") }, nil, nil, 1, "error: this machine does not run under Xen"},
			{"other hypervisor", func(m *machine) { write(m.t, m.root, map[string]string{"sys/hypervisor/type": "kvm"}) }, nil, nil, 1, "error: this machine does not run under Xen"},
			{"user", nil, []string{"FAKE_UID=1000"}, nil, 1, "error: only root can record\nrecord: hint: sudo sh record.sh"},
			{"arm", nil, []string{"FAKE_ARCH=aarch64"}, nil, 1, "error: these probes are for x86_64, this is aarch64"},
			{"no tracefs", func(m *machine) { m.remove("sys/kernel/tracing") }, nil, nil, 1, "error: tracefs is not mounted\nrecord: hint: mount -t tracefs"},
			{"no kprobes", func(m *machine) { m.remove("sys/kernel/tracing/kprobe_events") }, nil, nil, 1, "CONFIG_KPROBE_EVENTS"},
			{"no instances", func(m *machine) { m.remove("sys/kernel/tracing/instances") }, nil, nil, 1, "error: this kernel has no tracing instances"},
			{"no functions", func(m *machine) { write(m.t, m.root, map[string]string{"proc/kallsyms": "ffffffff81000000 T _text\n"}) }, nil, nil, 1,
				"error: this kernel lists no event channel functions"},
			{"ABI unknown", func(m *machine) {
				write(m.t, m.root, map[string]string{"sys/kernel/tracing/kprobe_profile": "abi_2l 0 0\n"})
			}, nil, nil, 1, "error: which ABI this kernel uses cannot be told"},
			{"archive exists", func(m *machine) { write(m.t, m.work, map[string]string{"c.tar": "mine"}) }, nil, []string{"-o", "c.tar"}, 1, "error: c.tar exists already"},
			{"unknown argument", nil, nil, []string{"--fast"}, 2, "error: unknown argument '--fast'\nusage: "},
			{"no value", nil, nil, []string{"-s"}, 2, "error: -s: want a value"},
			{"no number", nil, nil, []string{"-s", "1m"}, 2, "error: -s: got '1m', want a number from 0 to 86400"},
			{"buffer", nil, nil, []string{"-b", "1"}, 2, "error: -b: got 1, want 64 to"},
			{"ABI", nil, nil, []string{"-a", "3l"}, 2, "error: -a: got '3l'"},
		} {
			t.Run(tt.name, func(t *testing.T) {
				m := newMachine(t, shell, newFakeKernel(t).uses(TwoLevel))
				if tt.change != nil {
					tt.change(m)
				}
				code, out := m.run(script, tt.env, tt.args...)
				if code != tt.code || !strings.Contains(out, tt.want) {
					t.Errorf("exit code %d, want %d, and %q in\n%s", code, tt.code, tt.want, out)
				}
				if _, err := os.Stat(filepath.Join(m.root, "sys/kernel/tracing/kprobe_events")); err == nil && tt.name != "no instances" {
					m.clean("c.tar")
				}
			})
		}
	})
}

func (m *machine) remove(name string) {
	m.t.Helper()
	if err := os.RemoveAll(filepath.Join(m.root, name)); err != nil {
		m.t.Fatal(err)
	}
}

// TestSecond: a second recording leaves the first alone; clean removes what a killed one left.
func TestSecond(t *testing.T) {
	eachShell(t, func(t *testing.T, shell []string) {
		script := scripts(t, Options{})["known"]
		m := newMachine(t, shell, newFakeKernel(t).uses(TwoLevel))
		c := m.command(script, nil, "-s", "77", "-o", "c.tar")
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		m.await(filepath.Join(m.work, "sleeping"))
		events := m.read(filepath.Join(m.root, "sys/kernel/tracing/kprobe_events"))
		code, out := m.run(script, nil, "-o", "d.tar")
		if code != 1 || !strings.Contains(out, "another recording is under way, or one was killed\nrecord: hint: sh record.sh clean") {
			t.Errorf("exit code %d\n%s", code, out)
		}
		if got := m.read(filepath.Join(m.root, "sys/kernel/tracing/kprobe_events")); got != events {
			t.Error("the second changed the probes of the first")
		}
		if err := syscall.Kill(-c.Process.Pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		_ = c.Wait()
		if code, out := m.run(script, nil, "clean"); code != 0 || !strings.Contains(out, "clean: no probe and no instance called evtrace is left") {
			t.Errorf("exit code %d\n%s", code, out)
		}
		m.clean("c.tar.d")
		if code, out := m.run(script, nil, "-o", "d.tar"); code != 0 {
			t.Errorf("exit code %d\n%s", code, out)
		}
		m.clean("c.tar.d", "d.tar")
	})
}

// TestMemory: the ring buffers take no more than a quarter of the free memory.
func TestMemory(t *testing.T) {
	eachShell(t, func(t *testing.T, shell []string) {
		m := newMachine(t, shell, newFakeKernel(t).uses(TwoLevel))
		write(t, m.root, map[string]string{"proc/meminfo": "MemAvailable:    16000 kB\n"})
		code, out := m.run(scripts(t, Options{})["known"], nil, "-o", "c.tar")
		if code != 0 || !strings.Contains(out, "note: the ring buffers get 2000 KB for each of 2 vcpus") {
			t.Errorf("exit code %d\n%s", code, out)
		}
		m.clean("c.tar")
	})
}
