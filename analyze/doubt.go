package analyze

import (
	"fmt"
	"slices"
	"strings"
)

// complete reports whether the trace was recorded to its end.
func (a *Analyzer) complete() bool { return a.meta.Complete || a.endRecorded }

// records is how many records of a capture the events were made from; the number of events if the trace does not tell.
func (a *Analyzer) records() uint64 {
	var n uint64
	for _, c := range a.meta.Counts {
		n += c
	}
	if n == 0 {
		n = a.events
	}
	return n
}

// disordered reports whether the order of the records is not that of time: one in a hundred may be out of its place, which is what a
// capture taken from a pipe shows now and then.
func (a *Analyzer) disordered() bool { return a.meta.Unordered*100 > a.records() }

// doubts lists what stands against calling the trace clean, each of which completes the sentence "The verdict is undecided: ...", and
// what would settle it.
func (a *Analyzer) doubts() (list, settle []string) {
	m := &a.meta
	list, settle = []string{}, []string{}
	say := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	by := func(format string, args ...any) { settle = append(settle, fmt.Sprintf(format, args...)) }
	switch {
	case a.events == 0:
		say("the trace has no events")
	case !a.aboutPorts:
		say("no record of the trace is about a port")
	}
	if len(list) > 0 {
		by("the probes that evtrace probes prints, with the script that records them")
	}
	switch {
	case a.ofDumps():
		say("what happened between the console dumps is not known")
		by("a capture of the time between (evtrace probes); of the dumps themselves, evtrace doctor speaks")
	case a.fifo:
		say("the trace is of the FIFO ABI, and whether a port stands in one of its queues is not recorded")
		by("Xen's table of ports (xl debug-keys e; xl dmesg), for evtrace doctor: a port that is pending, unmasked and not linked, twice in a row, is lost")
	}
	if n := a.totals.NotRecognised; n > 0 {
		say("%s of a vcpu, a port or a kind that the trace does not have", isAre(n, "event"))
	}
	if a.disordered() {
		say("the records do not stand in the order of their times")
		by("the capture as the kernel wrote it, not joined and not sorted")
	}
	switch n := len(m.Unprobed); {
	case n == 1:
		say("%s was not probed for", m.Unprobed[0])
		by("the probe %s, as evtrace probes prints it", m.Unprobed[0])
	case n > 1:
		names := strings.Join(m.Unprobed[:n-1], ", ") + " and " + m.Unprobed[n-1]
		say("%s were not probed for", names)
		by("the probes %s, as evtrace probes prints them", names)
	}
	if a.unmasksMissing() {
		say("%s", a.doubtUnseen())
		by("%s", a.settleUnmasks())
	}
	if a.gapInside {
		gaps := a.gaps - a.beginLost
		if m.Lost > 0 {
			say("%s in the trace, with %s lost", count(gaps, "gap"), count(m.Lost, "record"))
		} else {
			say("%s in the trace", count(gaps, "gap"))
		}
		by("a capture in which no records are lost: a larger buffer for each vcpu (buffer_size_kb), a shorter time, or trace instead of trace_pipe")
	}
	if a.beginLost > 0 {
		say("the beginning of the recording was lost, and which ports were pending since then is not known")
		by("a larger buffer for each vcpu (buffer_size_kb), or tracing stopped sooner after the fault")
	}
	return list, settle
}

// missing lists what the trace lacks, as sentences without their full stop.
func (a *Analyzer) missing() []string {
	m := &a.meta
	list := append([]string{}, m.Notes...)
	say := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	if !a.complete() {
		say("the recording ends early: what came after its last event is not known")
	}
	if m.ABI == "fifo" && !a.ofDumps() && !slices.ContainsFunc(list, func(s string) bool { return strings.Contains(s, "FIFO") }) {
		say("the trace is of the FIFO ABI: deliveries and how long they took are known, but not whether a port stands in a queue, so a lost event would not be found")
	}
	if a.disordered() {
		say("%s of %s far out of the order of their times, as when files were joined or lines sorted: what came before what is not known",
			group(m.Unordered), stand(a.records(), "record"))
	}
	if len(m.Unprobed) > 0 && !slices.ContainsFunc(list, func(s string) bool { return strings.Contains(s, m.Unprobed[0]) }) {
		say("not probed for: %s (docs/capture.md)", strings.Join(m.Unprobed, ", "))
	}
	if a.gaps > 0 || m.Lost > 0 {
		lost := "an unknown number of records"
		if m.Lost > 0 {
			lost = count(m.Lost, "record")
		}
		say("%s: %s lost", count(a.gaps, "gap"), lost)
	}
	if s := a.missingUnseen(); s != "" {
		list = append(list, s)
	}
	if len(m.Unknown) > 0 {
		say("records without a meaning to the importer: %s", strings.Join(m.Unknown, ", "))
	}
	if n := a.totals.NotRecognised; n > 0 {
		say("%s left out: vcpu, port or kind outside the trace's dimensions", count(n, "event"))
	}
	return list
}

func isAre(n uint64, what string) string {
	if n == 1 {
		return "1 " + what + " is"
	}
	return count(n, what) + " are"
}

func stand(n uint64, what string) string {
	if n == 1 {
		return "1 " + what + " stands"
	}
	return count(n, what) + " stand"
}
