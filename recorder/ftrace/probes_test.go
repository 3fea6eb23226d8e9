package ftrace

import (
	"slices"
	"strings"
	"testing"
)

const allProbes = `p:evtchn/upcall xen_evtchn_do_upcall
r8:evtchn/upcall_ret xen_evtchn_do_upcall
p:evtchn/scan evtchn_2l_handle_events cpu=%di:u32
p:evtchn/deliver handle_irq_for_port port=%di:u32
p:evtchn/clear evtchn_2l_clear_pending port=%di:u32
p:evtchn/mask evtchn_2l_mask port=%di:u32
p:evtchn/unmask evtchn_2l_unmask port=%di:u32
`

// two is two deliveries of port 129 by whole upcalls, with nothing masked.
const two = `
0 id.h1. 2.000 upcall
0 id.h1. 2.001 scan cpu=0
0 id.h1. 2.002 deliver port=129
0 id.h1. 2.003 clear port=129
0 id.h1. 2.006 upcall_ret
0 id.h1. 3.000 upcall
0 id.h1. 3.001 scan cpu=0
0 id.h1. 3.002 deliver port=129
0 id.h1. 3.003 clear port=129
0 id.h1. 3.006 upcall_ret
`

// What was not probed for is told from the list of probes, or from what cannot have been without a record.
func TestUnprobed(t *testing.T) {
	without := func(list string, names ...string) string {
		var b strings.Builder
		for line := range strings.Lines(list) {
			if !slices.ContainsFunc(names, func(n string) bool { return strings.Contains(line, n) }) {
				b.WriteString(line)
			}
		}
		return b.String()
	}
	masked := strings.Replace(two, "0 id.h1. 3.000", "0 ..... 2.500 mask port=129\n0 id.h1. 3.000", 1)
	unmasked := strings.Replace(masked, "0 id.h1. 3.000", "0 ..... 2.501 unmask port=129\n0 id.h1. 3.000", 1)
	tests := []struct {
		name, text, probes string
		want               []string
	}{
		{"nothing was masked", two, allProbes, nil},
		{"nothing was masked, as far as one can tell", two, "", nil},
		{"a list of no probes", two, "# none\nnonsense\np:mine/other f\n", nil},
		{"unmask is not listed", two, without(allProbes, "unmask"), []string{"unmask"}},
		{"mask is not listed", two, without(allProbes, "/mask"), []string{"mask"}},
		{"a delivery after a mask", masked, "", []string{"unmask"}},
		{"a delivery after a mask, though unmask is listed", masked, allProbes, []string{"unmask"}},
		{"a delivery after a mask and an unmask", unmasked, "", nil},
		{"a delivery after a mask and the hypercall", strings.Replace(unmasked, "unmask port", "hc_unmask_2l cmd=9 port", 1), "", nil},
		{"not listed, and yet there", unmasked, without(allProbes, "unmask"), nil},
		{"handlers that mask their port", two + "0 ..... 4.0 lateeoi irq=7 flags=0\n0 ..... 4.1 lateeoi irq=7 flags=0\n", "", []string{"unmask", "mask"}},
		{"deliveries without a clear", without(two, "clear"), "", []string{"clear"}},
		{"deliveries without an upcall", without(two, "upcall"), "", []string{"upcall"}},
		{"upcalls without a scan", without(two, "scan"), "", []string{"scan"}},
		{"upcalls without an end", without(two+two+two, "upcall_ret"), "", []string{"upcall_ret"}},
		{"nothing about event channels", "0 ..... 4.0 sched_switch x\n", without(allProbes, "unmask"), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, im := importText(t, capture(tt.text), SideFiles{Probes: tt.probes})
			m := im.FinalMeta()
			if !slices.Equal(m.Unprobed, tt.want) {
				t.Errorf("got %q, want %q", m.Unprobed, tt.want)
			}
			if n := strings.Count(strings.Join(m.Notes, "\n"), "no record of "); n != len(tt.want) {
				t.Errorf("got %d notes about it, want %d: %q", n, len(tt.want), m.Notes)
			}
		})
	}
	// The queues of FIFO are not judged in any case.
	_, im := importText(t, strings.ReplaceAll(capture(two), "evtchn_2l_", "evtchn_fifo_"), SideFiles{Probes: without(allProbes, "unmask")})
	if m := im.FinalMeta(); m.ABI != "fifo" || len(m.Unprobed) > 0 || !strings.Contains(strings.Join(m.Notes, "\n"), "of the FIFO ABI: deliveries") {
		t.Errorf("FIFO: got ABI %s, %q as not probed for and the notes %q", m.ABI, m.Unprobed, m.Notes)
	}
}

// A note names every file beside the capture that is missing or is not what its name says, and what is weaker for it.
func TestSideNotes(t *testing.T) {
	good := SideFiles{Before: ports, Interrupts: "      CPU0 CPU1\n 24: 1 0 xen-percpu -virq timer0\n", TraceClock: "[x86-tsc]",
		Console: "Detected 2500.000 MHz processor.", Probes: allProbes,
		Names: map[string]string{"Before": "lsevtchn.before.txt", "Interrupts": "interrupts.txt", "Console": "xl-dmesg.txt"}}
	const text = "          <idle>-0       [000] d.h1. 153552854953: clear: (x) port=15\n"
	tests := []struct {
		name string
		do   func(*SideFiles)
		want string
	}{
		{"all good", func(*SideFiles) {}, ""},
		{"no port table", func(s *SideFiles) { s.Before = ""; delete(s.Names, "Before") }, "no lsevtchn.before.txt: which vcpu a port is bound to"},
		{"no port in the table", func(s *SideFiles) { s.Before = "\x00garbage" }, "lsevtchn.before.txt has no line of lsevtchn's table"},
		{"an empty table", func(s *SideFiles) { s.Before = "" }, "lsevtchn.before.txt has no line of lsevtchn's table"},
		{"no interrupts", func(s *SideFiles) { s.Interrupts = ""; delete(s.Names, "Interrupts") }, "no interrupts.before.txt (/proc/interrupts)"},
		{"other interrupts", func(s *SideFiles) { s.Interrupts = "hello\n" }, "interrupts.txt does not begin with a line of CPUs"},
		{"no console", func(s *SideFiles) { s.Console = ""; delete(s.Names, "Console") }, "(no xl-dmesg.txt): times and delays are ticks; --tsc-hz sets it, and xl info has it in MHz, as cpu_mhz"},
		{"no frequency in the console", func(s *SideFiles) { s.Console = "(XEN) hello" }, `(xl-dmesg.txt has no "Detected ... MHz processor"): times and delays are ticks; --tsc-hz sets it, and xl info has it in MHz, as cpu_mhz`},
		{"one miss", func(s *SideFiles) { s.Profile = "  clear  10  1\n" }, "kprobes missed 1 hit, of clear"},
		{"many misses", func(s *SideFiles) { s.Profile = "  clear  10  1200\n  mask 1 34\n" }, "kprobes missed 1,234 hits, most of them of clear"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			side := good
			side.Names = map[string]string{}
			for k, v := range good.Names {
				side.Names[k] = v
			}
			tt.do(&side)
			_, im := importText(t, text, side)
			notes := slices.DeleteFunc(im.FinalMeta().Notes, func(s string) bool {
				return strings.Contains(s, "symbol") || strings.Contains(s, "hypercall was not probed") || strings.Contains(s, "delivery") || strings.Contains(s, "no record of")
			})
			if all := strings.Join(notes, "\n"); tt.want == "" && all != "" || !strings.Contains(all, tt.want) {
				t.Errorf("got the notes %q, want %q", notes, tt.want)
			}
		})
	}
}

// Records far out of the order of their times are counted; a clock's trifles are not.
func TestUnordered(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       uint64
	}{
		{"in order", two, 0},
		{"twice", two + two, 9}, // the last of the first copy ties with the last of the second
		{"by 5 us", "0 d.h1. 1.000010 clear port=1\n1 d.h1. 1.000005 clear port=2\n", 0},
		{"by 1 ms", "0 d.h1. 1.001000 clear port=1\n1 d.h1. 1.000000 clear port=2\n", 1},
	} {
		_, im := importText(t, capture(tt.text), SideFiles{})
		if m := im.FinalMeta(); m.Unordered != tt.want {
			t.Errorf("%s: got %d, want %d: %q", tt.name, m.Unordered, tt.want, m.Notes)
		}
	}
}

// Where one capture follows another in the same text, nobody knows what happened in between.
func TestJoined(t *testing.T) {
	_, im := importText(t, capture(two)+capture(strings.ReplaceAll(two, "id.h1. ", "id.h1. 1")), SideFiles{})
	m := im.FinalMeta()
	if m.Gaps != 4 || m.Lost != 0 || m.Unordered != 0 || !strings.Contains(strings.Join(m.Notes, "\n"), "1 further capture follows in the same file") {
		t.Errorf("got %d gaps, %d lost, %d unordered and the notes %q, want a gap of each of 4 vcpus", m.Gaps, m.Lost, m.Unordered, m.Notes)
	}
}

// A text that ends far from where its header says is not complete, even if it ends with a line.
func TestCutByHeader(t *testing.T) {
	line := "          <idle>-0       [000] d.h1. 1.000: clear: (x) port=15\n"
	for _, tt := range []struct {
		kept     string
		complete bool
		note     string
	}{{"100", true, ""}, {"102", true, "some lines were taken out"}, {"200", false, "the capture is cut"}} {
		_, im := importText(t, "# entries-in-buffer/entries-written: "+tt.kept+"/"+tt.kept+"   #P:4\n"+strings.Repeat(line, 100), SideFiles{})
		m := im.FinalMeta()
		all := strings.Join(m.Notes, "\n")
		if m.Complete != tt.complete || !strings.Contains(all, tt.note) || tt.note == "" && strings.Contains(all, "the header counts") {
			t.Errorf("%s records in the header, 100 in the text: got complete %v and the notes %q", tt.kept, m.Complete, m.Notes)
		}
	}
}
