package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/evtrace/evtrace/evtchn"
)

// readingReport is what an importer read, and what it did not find, in text and in JSON.
type readingReport struct {
	Lines    uint64            `json:"lines,omitempty"` // of text
	Records  uint64            `json:"records"`
	Broken   uint64            `json:"broken"` // what should be a record and cannot be read
	BrokenAt string            `json:"broken_at,omitempty"`
	Unknown  map[string]uint64 `json:"unknown,omitempty"` // records without meaning here, by name
	Gaps     uint64            `json:"gaps"`
	Lost     uint64            `json:"lost"`               // records known to be lost in the gaps
	Ties     uint64            `json:"ties"`               // records with the time of one before them, of another vcpu
	TieShare float64           `json:"tie_share"`          // of the records
	Backward uint64            `json:"backward,omitempty"` // records that go back in time
	Missed   map[string]uint64 `json:"missed,omitempty"`   // hits that kprobes missed while the kernel ran (kprobe_profile), by probe
	Deduced  map[string]uint64 `json:"deduced,omitempty"`  // records that are missing, as others prove, by name
}

// reading gives what the importer of a trace read, or nil if it was not imported from a capture.
func reading(m *evtchn.Meta) *readingReport {
	if m.Records == 0 && m.Broken == 0 {
		return nil
	}
	r := &readingReport{Lines: m.Lines, Records: m.Records, Broken: m.Broken, BrokenAt: m.BrokenAt, Gaps: m.Gaps, Lost: m.Lost, Ties: m.Ties,
		Backward: m.Backward, Missed: m.Missed, Deduced: m.Deduced}
	if r.Records > 0 {
		r.TieShare = float64(r.Ties) / float64(r.Records)
	}
	for _, name := range m.Unknown {
		if n := m.Counts[name]; n > 0 {
			if r.Unknown == nil {
				r.Unknown = make(map[string]uint64)
			}
			r.Unknown[name] = n
		}
	}
	return r
}

// sentences gives the report as short sentences, the first of which is always there.
func (r *readingReport) sentences() []string {
	first := plural(r.Records, "record")
	if r.Lines > 0 {
		first += " in " + plural(r.Lines, "line")
	}
	if r.Broken > 0 {
		first += ", " + group(r.Broken) + " broken"
	}
	if r.Ties > 0 {
		first += fmt.Sprintf(", %s with the time of another vcpu's before them (%.1f%%)", group(r.Ties), 100*r.TieShare)
	}
	if r.Backward > 0 {
		first += fmt.Sprintf(", %s back in time", group(r.Backward))
	}
	if r.Gaps > 0 {
		first += fmt.Sprintf(", %s with %s lost", plural(r.Gaps, "gap"), group(r.Lost))
	}
	s := []string{first}
	if len(r.Unknown) > 0 {
		s = append(s, "not understood: "+byCount(r.Unknown))
	}
	if missed := byCount(r.Missed); missed != "" {
		s = append(s, "missed by kprobes, as kprobe_profile counts: "+missed)
	}
	if len(r.Deduced) > 0 {
		s = append(s, "missing, as other records prove: "+byCount(r.Deduced))
	}
	return s
}

// maxCounted is how many names byCount gives.
const maxCounted = 12

// byCount lists names with their numbers, the largest first, those with 0 left out.
func byCount(m map[string]uint64) string {
	names := slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		return cmp.Or(cmp.Compare(m[b], m[a]), cmp.Compare(a, b))
	})
	names = slices.DeleteFunc(names, func(name string) bool { return m[name] == 0 })
	var parts []string
	for i, n := range names {
		if i == maxCounted {
			var rest uint64
			for _, n := range names[i:] {
				rest += m[n]
			}
			parts = append(parts, fmt.Sprintf("and %s under %s", group(rest), plural(uint64(len(names)-i), "other name")))
			break
		}
		parts = append(parts, n+" "+group(m[n]))
	}
	return strings.Join(parts, ", ")
}
