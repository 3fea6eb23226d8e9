package main

import (
	"fmt"
	"io"
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

// writeEvidence tells a finding by its events: see analyze.Finding.Events.
func writeEvidence(w io.Writer, indent string, f *analyze.Finding, meta *evtchn.Meta, src evtchn.Source) error {
	story, err := f.Events(src)
	if err != nil {
		return err
	}
	t := newEventTable(w, indent, meta)
	for i := range story {
		e := &story[i]
		t.skipped(e.Skipped)
		t.row(&e.Event, e.Turn.Text())
	}
	return t.err
}
