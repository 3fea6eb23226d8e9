package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/evtrace/evtrace/analyze"
)

// nasty is an input of testdata/nasty, what makes it nasty, and what import must say to it.
type nasty struct {
	file string
	why  string
	code int
	says []string // each a regular expression that something on stderr must match
	// verdict is what import must give, "" if it gives none. Nothing in the corpus may be called lost or late, but where
	// that is the point.
	verdict string
	args    []string // besides the file
}

// beside are the side files of the corpus' dom0, for captures.
var beside = besides("dom0")

// besides gives the side files of that folder of the corpus.
func besides(dir string) []string {
	return []string{"--context", filepath.Join("testdata", "nasty", dir)}
}

// nastyInputs are what people send. Where a tool of this kind is known to have stumbled over the like, the report is named.
var nastyInputs = []nasty{
	{file: "missed-probes.txt", why: "kprobes are skipped without a trace while another is being handled: only irq_handler_entry shows the handler",
		says: []string{`note: 1 handler ran though no probe saw its delivery: that was deduced from irq_handler_entry`}, verdict: "clean", args: beside},
	{file: "clamped-clock.txt", why: "the clock stands still, and a delivery stands before its send",
		says: []string{`note: 1 send was taken before records that stand before it: its effect came first`}, verdict: "clean", args: beside},
	{file: "foreign-send.txt", why: "nothing shows who sent",
		says: []string{`note: 3 deliveries without a visible send: another domain, a VIRQ or a PIRQ`}, verdict: "clean", args: beside},
	{file: "spinlock-kicker.txt", why: "the port of the spinlock IPI stays masked and pending for ever, by design", verdict: "clean", args: beside},
	{file: "trace-pipe-lost.txt", why: "markers of lost records, one of them without a number (iovisor/bcc#3476)", verdict: "unknown", args: beside},
	{file: "overrun.txt", why: "the ring buffer was overwritten, and only two numbers in the header tell",
		says: []string{`note: the ring buffer was overwritten: 128 of 154,686 records are left`}, verdict: "unknown", args: beside},
	{file: "back-in-time.txt", why: "trace_pipe goes back in time",
		says: []string{`note: 1 record goes back in time and was set to the time before it: line 101, by 2,947,000 ns`}, verdict: "clean", args: beside},
	{file: "shuffled.txt", why: "somebody sorted the lines",
		says: []string{`note: \d+ records go back in time and were set to the time before them, the first: line 9`}, verdict: "unknown", args: beside},
	{file: "odd-tasks.txt", why: "names of tasks hold blanks, colons, brackets and dashes", verdict: "clean", args: beside},
	{file: "report.txt", why: "trace-cmd report: raw addresses, no column of flags", verdict: "clean", args: beside},
	{file: "stale-words.txt", why: "a write() of 4 bytes, and four words recorded of which three are stale", verdict: "clean", args: beside},
	{file: "uptime.txt", why: "times in 10 ms, and the side file names another clock",
		says: []string{`note: trace_clock.txt says mono, whose times are seconds, but the trace has bare integers`}, args: beside},
	{file: "counter.txt", why: "times that only count records",
		says: []string{`note: trace_clock.txt says mono, whose times are seconds, but the trace has bare integers`}, args: beside},
	{file: "unknown-probe.txt", why: "a probe of the user's own", verdict: "clean", args: beside},
	{file: "fault.txt", why: "the kernel could not read a field",
		says: []string{`note: 1 broken line: line 9, byte 369: a field is missing: `}, verdict: "clean", args: beside},
	{file: "fault.txt", why: "the same, and nothing broken is to pass", code: codeUnreadable,
		says: []string{`error: .*fault\.txt:9: broken line: a field is missing: `}, args: append([]string{"--strict"}, beside...)},
	{file: "big-numbers.txt", why: "a time, a port and a vcpu out of range",
		says: []string{`note: 1 broken line: line 17, byte 1158: a number is out of range: `, `note: 1 record of a vcpu that the trace should not have: line 34: vcpu 400 of 2`}, args: beside},
	{file: "long-line.txt.gz", why: "a line of 70,000 bytes",
		says: []string{`note: 1 broken line: line 17, byte 1158: no TASK-PID \[cpu\] in front: `}, verdict: "clean", args: beside},
	{file: "unprobed-unmask.txt", why: "a module clears MASK by itself, and no probe missed that",
		verdict: "unknown", args: besides("dom0-missed-none")},
	{file: "unprobed-unmask.txt", why: "the same, but the kernel skipped as many unmasks", verdict: "clean", args: besides("dom0-missed-three")},
	{file: "unprobed-unmask.txt", why: "the same, and nothing tells how many the kernel skipped", verdict: "clean", args: beside},
	{file: "holes.txt", why: "a crash left a hole of zero bytes in the file",
		says: []string{`note: 1 broken line: line 25, byte 1969: `, `note: the header counts 128 records, and 123 are here`}, verdict: "clean", args: beside},
	{file: "crlf.txt", why: "it went through a mail program that ends lines its own way", verdict: "clean", args: beside},
	{file: "bom.txt", why: "an editor put a byte order mark before it",
		says: []string{`note: 1 broken line: line 1, byte 0: `}, verdict: "clean", args: beside},
	{file: "utf16.txt", why: "an editor made UTF-16 of it", code: codeUnreadable,
		says: []string{`error: .*utf16\.txt: neither a trace`, `hint: it is text in UTF-16: iconv -f UTF-16 -t UTF-8`}},
	{file: "two-captures.txt", why: "cat a b > c",
		says: []string{`note: 1 further capture follows in the same file, with a gap of every vcpu before it: line 71`}, verdict: "unknown", args: beside},
	{file: "cut-line.txt", why: "the disk was full (golang/go#65316)",
		says: []string{`note: line 134: the text ends within a line, which was dropped`, `note: the trace is not complete`}, args: beside},
	{file: "cut-half.txt", why: "the file is shorter than its header says (rr-debugger/rr#1639)",
		says: []string{`note: the header counts 256 records, and 128 are here: the capture is cut`, `note: the trace is not complete`}, args: beside},
	{file: "cut.txt.gz", why: "a download that broke off", code: codeUnreadable,
		says: []string{`error: .*cut\.txt\.gz: after line 426, byte 41759 of the text: the compressed file is cut off at byte 2395`, `hint: evtrace import --salvage`}, args: beside},
	{file: "cut.txt.zst", why: "another", code: codeUnreadable,
		says: []string{`error: .*cut\.txt\.zst: after line 629, byte 61880 of the text: the compressed file is cut off at byte 3060`, `hint: evtrace import --salvage`}, args: beside},
	{file: "cut.txt.zst", why: "the same, of which everything that is there is wanted",
		says: []string{`note: salvaged: what follows event \d+ could not be read`}, args: append([]string{"--salvage"}, beside...)},
	{file: "fifo.txt", why: "the other ABI", says: []string{`FIFO`}, verdict: "unknown", args: beside},
	{file: "other-events.txt", why: "a capture without one probe on event channels (eclipse-cdt-cloud/theia-trace-extension#322)", code: codeUnreadable,
		says: []string{`error: .*no record in it is about event channels`, `hint: `}, args: beside},
	{file: "header-only.txt", why: "nothing happened while it ran", code: codeUnreadable,
		says: []string{`error: .*no record in it is about event channels`, `hint: `}, args: beside},
	{file: "empty.txt", why: "an empty file", code: codeUnreadable, says: []string{`error: .*empty\.txt: the file is empty`}},
	{file: "picture.txt", why: "a screenshot of the capture", code: codeUnreadable,
		says: []string{`error: .*picture\.txt: neither a trace`, `hint: it is a picture`}},
	{file: "page.html", why: "the page that shows the file, not the file", code: codeUnreadable,
		says: []string{`error: .*page\.html: neither a trace`, `hint: it is a web page`}},
	{file: "dom0/lsevtchn.before.txt", why: "a file that goes with the capture, instead of it", code: codeUnreadable,
		says: []string{`error: .*lsevtchn\.before\.txt: neither a trace`, `hint: it belongs beside a capture, .*: evtrace import TRACE --context .*dom0`}},
	{file: "perf.txt", why: "what perf script prints", code: codeUnreadable,
		says: []string{`error: .*perf\.txt: neither a trace`, `hint: it looks like the output of perf script`}},
}

// TestNasty imports the corpus: each input gives the message that it must, and nobody finds a lost event where there is none.
func TestNasty(t *testing.T) {
	used := make(map[string]bool)
	for _, in := range nastyInputs {
		used[in.file] = true
		t.Run(in.file, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "x.evt")
			r := evtrace(t, append([]string{"import", filepath.Join("testdata", "nasty", in.file), "-o", out}, in.args...)...)
			if r.code != in.code {
				t.Fatalf("%s: exit code %d, want %d\n%s", in.why, r.code, in.code, r.err)
			}
			for _, re := range in.says {
				if !regexp.MustCompile(re).MatchString(r.err) {
					t.Errorf("%s: want a line that matches %q, got\n%s", in.why, re, r.err)
				}
			}
			if in.code != 0 {
				if _, err := os.Stat(out); err == nil {
					t.Errorf("%s: it is refused, and leaves %s", in.why, out)
				}
				return
			}
			for _, v := range []string{"lost", "late", "violated"} {
				if v != in.verdict && strings.Contains(r.err, "verdict: "+v) {
					t.Errorf("%s: got a false alarm\n%s", in.why, r.err)
				}
			}
			if in.verdict != "" && !strings.Contains(r.err, "verdict: "+in.verdict) {
				t.Errorf("%s: want verdict %s, got\n%s", in.why, in.verdict, r.err)
			}
			// It can be read again.
			if r := evtrace(t, "check", out); r.code != 0 {
				t.Errorf("%s: check: exit code %d\n%s%s", in.why, r.code, r.out, r.err)
			}
		})
	}
	if len(nastyInputs) < 30 {
		t.Errorf("%d inputs, want 30 or more", len(nastyInputs))
	}
	files, err := os.ReadDir(filepath.Join("testdata", "nasty"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !f.IsDir() && !used[f.Name()] && f.Name() != "README.md" {
			t.Errorf("testdata/nasty/%s: nobody says what must be said to it", f.Name())
		}
	}
}

// TestUnprobedUnmask wants a trace to be undecided in which a port is unmasked by something that is not probed, and the port named.
func TestUnprobedUnmask(t *testing.T) {
	for _, tt := range []struct {
		dir    string
		code   int
		says   string
		unseen int
	}{
		{"dom0-missed-none", 20, "3 deliveries are of ports that the records have as masked, and the probe unmask missed nothing", 1},
		{"dom0-missed-three", 0, "", 0},
		{"dom0", 0, "3 unmasks were not recorded, as deliveries of masked ports show", 0},
	} {
		out := filepath.Join(t.TempDir(), "x.evt")
		must(t, 0, append([]string{"import", "-q", filepath.Join("testdata", "nasty", "unprobed-unmask.txt"), "-o", out}, besides(tt.dir)...)...)
		r := decode[analyze.Report](t, must(t, tt.code, "analyze", "--json", out))
		if text := strings.Join(append(r.Doubts, r.Missing...), "\n"); !strings.Contains(text, tt.says) {
			t.Errorf("%s: want %q in\n%s", tt.dir, tt.says, text)
		}
		if len(r.Findings) != tt.unseen {
			t.Fatalf("%s: got %d findings, want %d", tt.dir, len(r.Findings), tt.unseen)
		}
		for _, f := range r.Findings {
			why := strings.Join(f.Why, " ")
			if f.Kind != analyze.KindUnknown || f.Cause != analyze.CauseUnseenUnmask || f.Port != 65 || f.NoticedVCPU != 0 ||
				f.PendingAt == nil || !strings.Contains(why, "2 more times") || !strings.Contains(why, "went unnoticed for up to 20.1 ms") {
				t.Errorf("%s: got %+v", tt.dir, f)
			}
		}
	}
}
