package page

import (
	"fmt"
	"slices"
	"strings"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/tui/timeline"
)

// State is the machine after the step at which a port went unnoticed: the port's record, its event word bit by bit, and the vcpus
// that matter.
type State struct {
	Title string   `json:"title"`
	Port  string   `json:"port"` // its record in a sentence
	Ruler string   `json:"ruler"`
	Bits  []BitRow `json:"bits"`
	At    int      `json:"at"` // which bit is the port's
	Note  string   `json:"note"`
	VCPUs *Table   `json:"vcpus"`
}

// BitRow is a row of bits of a word, the lowest first: 1, a dot for 0, ? for what is not known.
type BitRow struct {
	Name string `json:"name"`
	Bits string `json:"bits"`
}

// maxStateVCPUs is how many vcpus a state lists.
const maxStateVCPUs = 8

// state reads the machine after the step at which the finding's port went unnoticed; nil if it never did, or if the ABI has no words.
func (m *maker) state(f *analyze.Finding) (*State, error) {
	if f.UnnoticedSeq == 0 || m.t.ABI == "fifo" {
		return nil, nil
	}
	st, err := m.in.Trace.StateAt(f.UnnoticedSeq)
	if err != nil {
		return nil, err
	}
	if int(f.Port) >= len(st.P) {
		return nil, nil
	}
	ps := &st.P[f.Port]
	s := &State{Title: fmt.Sprintf("The machine after #%d", f.UnnoticedSeq), Port: m.record(st, f.Port)}
	word := st.Word(f.Port)
	base := st.PortIn(word, 0)
	s.At = int(f.Port - base)
	for i := 0; i < st.WordBits; i += 8 {
		s.Ruler += fmt.Sprintf("%-8d", int(base)+i)
	}
	s.Ruler = strings.TrimRight(s.Ruler, " ")
	add := func(name string, get func(evtchn.Port) evtchn.Bit) {
		row := make([]byte, st.WordBits)
		for i := range row {
			row[i] = "01?"[bitIndex(get(base+evtchn.Port(i)))]
			if row[i] == '0' {
				row[i] = '.'
			}
		}
		s.Bits = append(s.Bits, BitRow{name, string(row)})
	}
	add("PEND", st.Pending)
	add("MASK", st.Masked)
	var shown []evtchn.VCPU
	for _, v := range []evtchn.VCPU{ps.Owner, f.UnnoticedVCPU} {
		if v >= 0 && int(v) < len(st.V) && !slices.Contains(shown, v) {
			shown = append(shown, v)
			add(fmt.Sprintf("v%d", v), func(p evtchn.Port) evtchn.Bit { return st.Accepts(v, p) })
		}
	}
	s.Note = "1: set; dot: clear; ?: not known."
	if len(shown) > 0 {
		s.Note += " v" + fmt.Sprint(shown[0]) + " and the like: the ports of the word that this vcpu handles."
	}
	s.VCPUs = m.vcpus(st, f)
	return s, nil
}

func bitIndex(b evtchn.Bit) int {
	switch b {
	case evtchn.Zero:
		return 0
	case evtchn.One:
		return 1
	}
	return 2
}

// record says what the port is and how it stands.
func (m *maker) record(st *evtchn.State, p evtchn.Port) string {
	ps := &st.P[p]
	var b strings.Builder
	fmt.Fprintf(&b, "Port %d: %s", p, ps.Status)
	if ps.Status == evtchn.PortInterdomain {
		fmt.Fprintf(&b, " (domain %d, port %d)", ps.Peer>>32, uint32(ps.Peer))
	}
	if ps.Notify >= 0 {
		fmt.Fprintf(&b, "; Xen notifies vcpu %d", ps.Notify)
	}
	if ps.Owner >= 0 {
		fmt.Fprintf(&b, "; the guest has bound it to vcpu %d", ps.Owner)
	}
	for _, x := range []struct {
		what string
		seq  evtchn.Seq
	}{{"pending", ps.PendSeq}, {"exposed", ps.ExposedSeq}, {"UNNOTICED", ps.UnnoticedSeq}} {
		if x.seq != 0 {
			fmt.Fprintf(&b, "; %s since #%d", x.what, x.seq)
		}
	}
	return b.String() + "."
}

// vcpus lists those that matter and counts the others.
func (m *maker) vcpus(st *evtchn.State, f *analyze.Finding) *Table {
	ps := &st.P[f.Port]
	var list []evtchn.VCPU
	add := func(v evtchn.VCPU) {
		if v >= 0 && int(v) < len(st.V) && !slices.Contains(list, v) && len(list) < maxStateVCPUs {
			list = append(list, v)
		}
	}
	add(ps.Owner)
	add(f.UnnoticedVCPU)
	add(ps.Notify)
	for v := range st.V {
		if vc := &st.V[v]; vc.Sel != 0 || vc.Up == evtchn.One || vc.InUpcall || vc.InXen || vc.Kicks > 0 {
			add(evtchn.VCPU(v))
		}
	}
	for v := range st.V {
		if len(st.V) <= maxStateVCPUs {
			add(evtchn.VCPU(v))
		}
	}
	slices.Sort(list)
	t := &Table{Caption: "vcpus at that step", Columns: []Column{{Name: "vcpu"}, {Name: "does"}, {Name: "UP"}, {Name: "UMASK"}, {Name: "SEL"}, {Name: ""}}}
	for _, v := range list {
		vc := &st.V[v]
		var notes []string
		row := Row{}
		if ps.Owner == v {
			notes = append(notes, fmt.Sprintf("owns port %d", f.Port))
		}
		if f.UnnoticedVCPU == v {
			notes = append(notes, "looked away")
			row.Mark = MarkBad
		}
		if st.Heedless(v) {
			notes = append(notes, "has a selector set, and nothing makes it look")
		}
		row.Cells = []string{vcpuName(v), timeline.ActivityOf(st, v).String(), vc.Up.String(), vc.Umask.String(), st.Selector(v), strings.Join(notes, ", ")}
		t.Rows = append(t.Rows, row)
	}
	t.Note = others(st, list)
	return t
}

// others counts the vcpus that are not listed by what they do.
func others(st *evtchn.State, list []evtchn.VCPU) string {
	n := make(map[timeline.Activity]uint64)
	var all uint64
	for v := range st.V {
		if !slices.Contains(list, evtchn.VCPU(v)) {
			n[timeline.ActivityOf(st, evtchn.VCPU(v))]++
			all++
		}
	}
	if all == 0 {
		return ""
	}
	var parts []string
	for a := timeline.ActUnknown; a <= timeline.ActUpcall; a++ {
		if n[a] > 0 {
			parts = append(parts, fmt.Sprintf("%s %s", group(n[a]), a))
		}
	}
	return fmt.Sprintf("%s: %s.", count(all, "other"), strings.Join(parts, ", "))
}
