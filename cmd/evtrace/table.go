package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/text"
)

// eventTable writes events in columns for people, with what each did in words.
type eventTable struct {
	w      io.Writer
	indent string
	meta   *evtchn.Meta
	ns     float64 // of a unit of time; 0: not known
	begun  bool
	first  evtchn.Time
	err    error
}

// eventRow is a line of the table, and eventWhat the column in which the last of its fields begins.
const (
	eventRow  = "%-8s %11s  %-4s %-15s %-11s %-4s %s"
	eventWhat = 8 + 1 + 11 + 2 + 4 + 1 + 15 + 1 + 11 + 1 + 4 + 1
)

// tableWidth is how wide a line may be.
const tableWidth = 100

func newEventTable(w io.Writer, indent string, meta *evtchn.Meta) *eventTable {
	t := &eventTable{w: w, indent: indent, meta: meta, ns: 1}
	if meta.Unit == "ticks" {
		if t.ns = meta.NsPerTick; t.ns == 1 {
			t.ns = 0
		}
	}
	return t
}

// row writes an event, with a remark at its end if there is one. Times count from the first row.
func (t *eventTable) row(ev *evtchn.Event, remark string) {
	if !t.begun {
		unit := "ns later"
		if t.ns == 0 {
			unit = "ticks later"
		}
		t.begun, t.first = true, ev.Time
		t.line(fmt.Sprintf(eventRow, "event", unit, "vcpu", "who", "step", "port", "what"))
	}
	later := int64(ev.Time - t.first)
	if t.ns != 0 {
		later = int64(float64(later) * t.ns)
	}
	vcpu := "-"
	if ev.VCPU >= 0 {
		vcpu = fmt.Sprint(ev.VCPU)
	}
	line := fmt.Sprintf(eventRow, fmt.Sprintf("#%d", ev.Seq), signed(later), vcpu,
		text.AppendContext(nil, ev, t.meta), ev.Kind, text.AppendPort(nil, ev), text.AppendWhat(nil, ev, t.meta))
	line = strings.TrimRight(line, " ")
	most := tableWidth - len(t.indent)
	if remark != "" && len(line)+len(remark)+6 <= most {
		line, remark = line+"   <- "+remark, ""
	}
	if len(line) > most {
		line = line[:most-3] + "..."
	}
	t.line(line)
	if remark != "" {
		t.line(strings.Repeat(" ", eventWhat) + "^- " + remark)
	}
}

// skipped writes that events are left out.
func (t *eventTable) skipped(n uint64) {
	if t.begun && n > 0 {
		t.line(fmt.Sprintf("%-8s %11s  %s left out", "...", "", plural(n, "other event")))
	}
}

func (t *eventTable) line(s string) {
	if t.err == nil {
		_, t.err = io.WriteString(t.w, t.indent+s+"\n")
	}
}

// signed writes a number with commas, which may be negative.
func signed(n int64) string {
	if n < 0 {
		return "-" + group(uint64(-n))
	}
	return group(uint64(n))
}

// Limits of a story in events.
const (
	storySpan = 200 // so many events are looked at for what belongs to the story besides the evidence
	storyRows = 60  // so many are shown
)

// storyRemarks are what the table says of the turning points of a finding.
const (
	remarkExposed   = "from here on somebody must look"
	remarkUnnoticed = "nobody is going to look now"
	remarkNoticed   = "noticed"
)

// writeEvidence tells a finding by its events: the evidence, and, up to the step at which the port went unnoticed, what else
// concerned the port or, once somebody had to look, the vcpu that looked away. The source begins with the first event of the evidence, or before.
func writeEvidence(w io.Writer, indent string, f *analyze.Finding, meta *evtchn.Meta, src evtchn.Source) error {
	wanted := make(map[evtchn.Seq]bool)
	for _, seq := range f.Evidence {
		wanted[seq] = true
	}
	for _, seq := range []evtchn.Seq{f.UnnoticedSeq, f.NoticedSeq} {
		if seq != 0 {
			wanted[seq] = true
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	from, to := evtchn.Seq(0), evtchn.Seq(0)
	for seq := range wanted {
		if from == 0 || seq < from {
			from = seq
		}
		to = max(to, seq)
	}
	dense := f.UnnoticedSeq // up to there everything that belongs to it is shown
	if dense < from || dense-from > storySpan {
		dense = 0
	}
	t := newEventTable(w, indent, meta)
	exposed, rows, left := false, 0, uint64(0)
	var ev evtchn.Event
	for t.err == nil {
		err := src.Next(&ev)
		if err == io.EOF || err == nil && (ev.Seq > to || rows == storyRows) {
			break
		}
		if err != nil {
			return err
		}
		if ev.Seq < from {
			continue
		}
		near := ev.Seq <= dense && (ev.Port == f.Port || exposed && ev.VCPU >= 0 && ev.VCPU == f.UnnoticedVCPU)
		if !wanted[ev.Seq] && !near {
			left++
			continue
		}
		if ev.Seq > dense || !exposed {
			t.skipped(left)
		}
		left = 0
		remark := ""
		switch {
		case ev.Seq == f.UnnoticedSeq:
			remark = remarkUnnoticed
		case ev.Seq == f.NoticedSeq:
			remark = remarkNoticed
		case !exposed && ev.Port == f.Port && (ev.Kind == evtchn.KindMaskClear || ev.Kind == evtchn.KindMaskTAC) && slices.Contains(f.Evidence, ev.Seq):
			exposed, remark = true, remarkExposed
		}
		t.row(&ev, remark)
		rows++
	}
	return t.err
}

// firstEvidence is the number of the event at which a finding's story begins, 0 if it has none.
func firstEvidence(f *analyze.Finding) evtchn.Seq {
	first := f.UnnoticedSeq
	for _, seq := range f.Evidence {
		if first == 0 || seq < first {
			first = seq
		}
	}
	return first
}
