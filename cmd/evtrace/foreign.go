package main

import (
	"bytes"
	"fmt"
	"path/filepath"
	"regexp"

	"github.com/evtrace/evtrace/recorder/ftrace"
	"github.com/evtrace/evtrace/store"
)

// bom is the mark that some editors put before a text in UTF-8. Readers of text pass over it.
var bom = []byte("\xef\xbb\xbf")

// foreign is about an input that is nothing that can be read. Where its first bytes tell what it is, the hint does.
func foreign(name string, head []byte) error {
	hint := `"evtrace help traces" lists what is read`
	switch {
	case bytes.HasPrefix(head, []byte("\xff\xfe")), bytes.HasPrefix(head, []byte("\xfe\xff")):
		hint = "it is text in UTF-16: iconv -f UTF-16 -t UTF-8 makes UTF-8 of it"
	case bytes.HasPrefix(head, []byte("\x89PNG")), bytes.HasPrefix(head, []byte("\xff\xd8\xff")):
		hint = "it is a picture: the text itself is needed"
	case isPage(head):
		hint = "it is a web page: what it shows must be downloaded by itself (raw, plain text, or the attachment)"
	case isPerf(head):
		hint = "it looks like the output of perf script; evtrace reads what ftrace writes for the same probes: docs/capture.md"
	case besideCapture.Match(head):
		hint = "it belongs beside a capture, and tells by itself nothing about events: evtrace import TRACE --context " + filepath.Dir(name)
	case ftrace.Sniff(bytes.TrimPrefix(head, bom)):
		hint = "it begins with a byte order mark, which ftrace does not write: tail -c +4 " + name + " leaves it out"
	}
	return &failure{codeUnreadable, fmt.Errorf("%s: %w", name, errForeign), hint}
}

// errForeign is what foreign says.
var errForeign = error(&renamed{"neither a trace file, a trace in text form, a capture nor a console's dump", store.ErrNotTrace})

// isPage reports whether a file begins as a page of HTML.
func isPage(head []byte) bool {
	head = bytes.ToLower(bytes.TrimSpace(head[:min(len(head), 512)]))
	return bytes.HasPrefix(head, []byte("<!doctype html")) || bytes.HasPrefix(head, []byte("<html"))
}

// besideCapture matches the beginnings of the files that go with a capture: lsevtchn's table, /proc/interrupts, kprobe_profile, the list
// of kprobes and the trace clocks.
var besideCapture = regexp.MustCompile(`^(?: *[0-9]+: VCPU [0-9]+: | +CPU0 |  [A-Za-z0-9_]+ +[0-9]+ +[0-9]+\n|[pr][0-9]*:[A-Za-z0-9_]+/|\[?local\]? \[?global\]? )`)

// perfLine is a line of perf script: "comm pid [cpu] time: group:event:".
var perfLine = regexp.MustCompile(`(?m)^ *\S.* +[0-9]+ +\[[0-9]+\] +[0-9]+\.[0-9]+: +[a-z0-9_]+:[A-Za-z0-9_]+:`)

func isPerf(head []byte) bool { return perfLine.Match(head) }
