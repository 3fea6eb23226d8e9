package evtchn

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// Describe draws the state as text of 80 columns or little more: every word that has something in it with its PEND and MASK
// bits, the lowest bit on the left; then the vcpus; then the ports in use. Set bits are 1, clear ones a dot, unknown ones a
// question mark. Neighbours of which there is the same to say share a line. Equal states give equal text.
func (s *State) Describe() string {
	var b strings.Builder
	fmt.Fprintf(&b, "after #%d, at %d\n", s.Seq, s.Now)
	for w := range s.Words {
		if s.wordInUse(w) {
			first := s.PortIn(w, 0)
			fmt.Fprintf(&b, "word %-3d PEND %s  ports %d-%d\n", w, s.Pend.draw(w, s.WordBits), first, int(first)+s.WordBits-1)
			fmt.Fprintf(&b, "         MASK %s\n", s.Mask.draw(w, s.WordBits))
		}
	}
	table(&b, "vcpu", " run      UP UMASK SEL", len(s.V), func(i int) string { return s.describeVCPU(VCPU(i)) })
	table(&b, "port", " state       peer     notify owner accept handler  P M", len(s.P), func(i int) string { return s.describePort(Port(i)) })
	return b.String()
}

// wordInUse reports whether a port of the word is in use or pending, or a vcpu has it selected.
func (s *State) wordInUse(w int) bool {
	if s.Pend.Val[w] != 0 {
		return true
	}
	for v := range s.V {
		if s.Selected(VCPU(v), w) == One {
			return true
		}
	}
	for p := s.PortIn(w, 0); p < s.PortIn(w+1, 0) && int(p) < len(s.P); p++ {
		if s.inUse(p) {
			return true
		}
	}
	return false
}

func (s *State) inUse(p Port) bool {
	ps := &s.P[p]
	return ps.Status != PortFree && ps.Status != PortUnknown || ps.Notify > 0 || ps.PendSeq != 0 || ps.ExposedSeq != 0 ||
		s.Pending(p) == One || ps.duties != 0
}

// draw gives the low n bits of a word, the lowest first.
func (b *Bits) draw(w, n int) string {
	out := make([]byte, n)
	for i := range out {
		switch b.get(w, 1<<i) {
		case Zero:
			out[i] = '.'
		case One:
			out[i] = '1'
		default:
			out[i] = '?'
		}
	}
	return string(out)
}

// table writes a line for each number that line has something to say about, and one line for a run of numbers about which it
// says the same.
func table(b *strings.Builder, name, head string, n int, line func(i int) string) {
	fmt.Fprintf(b, "%9s %s\n", name, strings.TrimRight(head, " "))
	for i := 0; i < n; {
		text, j := line(i), i+1
		for j < n && line(j) == text {
			j++
		}
		if text != "" {
			num := strconv.Itoa(i)
			if j > i+1 {
				num += "-" + strconv.Itoa(j-1)
			}
			fmt.Fprintf(b, "%9s  %s\n", num, text)
		}
		i = j
	}
}

func (s *State) describeVCPU(v VCPU) string {
	vc := &s.V[v]
	line := fmt.Sprintf("%-8s %-2s %-5s %s", vc.Run, vc.Up, vc.Umask, s.Selector(v))
	for _, f := range []struct {
		on   bool
		name string
	}{
		{vc.InUpcall, "in upcall"}, {vc.InXen, "in xen"}, {vc.Blocked, "blocked flag"}, {vc.Polling && vc.PollPort == NoPort, "polls"},
		{vc.Polling && vc.PollPort != NoPort, fmt.Sprintf("polls %d", vc.PollPort)}, {vc.Kicks > 0, fmt.Sprintf("kicks %d", vc.Kicks)},
		{vc.owed > 0, fmt.Sprintf("owed %d", vc.owed)}, {s.Heedless(v), "HEEDLESS"},
	} {
		if f.on {
			line += " " + f.name + ","
		}
	}
	return strings.TrimSuffix(line, ",")
}

// Selector gives the words that the vcpu has selected, those that it may have with a question mark, or ? if nothing is known.
func (s *State) Selector(v VCPU) string {
	vc := &s.V[v]
	if vc.SelKnown == 0 {
		return "?"
	}
	var words []string
	for w := range min(s.Words, 64) {
		switch s.Selected(v, w) {
		case One:
			words = append(words, strconv.Itoa(w))
		case Unknown:
			words = append(words, strconv.Itoa(w)+"?")
		}
	}
	return "{" + strings.Join(words, " ") + "}"
}

func (s *State) describePort(p Port) string {
	if p == NoPort || !s.inUse(p) {
		return ""
	}
	ps := &s.P[p]
	peer := "-"
	switch ps.Status {
	case PortInterdomain:
		peer = fmt.Sprintf("%d:%d", ps.Peer>>32, uint32(ps.Peer))
	case PortUnbound:
		peer = fmt.Sprintf("%d:?", ps.Peer>>32)
	case PortVIRQ, PortPIRQ:
		peer = strconv.FormatUint(ps.Peer, 10)
	}
	handler := ps.Handler.String()
	if ps.Handler == HandlerUser {
		handler += ":" + strconv.Itoa(int(ps.User))
	}
	line := fmt.Sprintf("%-11s %-8s %-6s %-5s %-6s %-8s %s %s", ps.Status, peer, vcpuName(ps.Notify), vcpuName(ps.Owner), s.accepters(p), handler,
		s.Pending(p), s.Masked(p))
	for _, f := range []struct {
		seq  Seq
		name string
	}{{ps.PendSeq, "pending"}, {ps.ExposedSeq, "exposed"}, {ps.UnnoticedSeq, "UNNOTICED"}} {
		if f.seq != 0 {
			line += fmt.Sprintf(" %s #%d,", f.name, f.seq)
		}
	}
	for _, f := range []struct {
		on   bool
		name string
	}{
		{ps.Swallowed > 0, fmt.Sprintf("swallowed %d", ps.Swallowed)}, {ps.Reasons != 0, fmt.Sprintf("reasons %#x", ps.Reasons)},
		{ps.Active, "active"}, {ps.Request, "request"}, {ps.duties > 0, "owed"}, {!ps.Own.Empty(), "selected on " + vcpuNames(&ps.Own)},
		{!ps.Held.Empty(), "in hand on " + vcpuNames(&ps.Held)},
	} {
		if f.on {
			line += " " + f.name + ","
		}
	}
	return strings.TrimSuffix(line, ",")
}

// accepters names the vcpus that would handle the port.
func (s *State) accepters(p Port) string {
	var set VCPUSet
	for v := range s.V {
		switch s.Accepts(VCPU(v), p) {
		case One:
			set.Add(VCPU(v))
		case Unknown:
			return "?"
		}
	}
	return vcpuNames(&set)
}

func vcpuName(v VCPU) string {
	if v == NoVCPU {
		return "?"
	}
	return strconv.Itoa(int(v))
}

func vcpuNames(set *VCPUSet) string {
	n := 0
	for _, w := range set {
		n += bits.OnesCount64(w)
	}
	if n == 0 {
		return "-"
	}
	names := make([]string, 0, n)
	for v := set.Next(0); v != NoVCPU; v = set.Next(v + 1) {
		names = append(names, strconv.Itoa(int(v)))
	}
	return strings.Join(names, "+")
}
