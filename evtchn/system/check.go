package system

import (
	"fmt"

	"github.com/evtrace/evtrace/evtchn"
)

// portsPerVCPU is how many ports each vcpu takes for itself: VIRQ_TIMER and the reschedule IPI.
const portsPerVCPU = 2

// consistent checks what depends on more than one field. It runs when every field is right by itself.
func (p *parser) consistent() {
	sc := p.sc
	p.place("balance.on_vcpu", sc.Balance.OnVCPU)
	for i := range sc.Domains {
		p.place(fmt.Sprintf("domains[%d].on_vcpu", i), sc.Domains[i].OnVCPU)
	}
	for i := range sc.Hot {
		h, at := &sc.Hot[i], fmt.Sprintf("hot[%d]", i)
		p.place(at+".on_vcpu", h.OnVCPU)
		if h.Late && h.OnVCPU != 0 {
			p.at(at+".on_vcpu", "got %d, want 0: late ports stay where Xen binds new ports, on vcpu 0", h.OnVCPU)
		}
		if h.Until != 0 && h.Until <= h.From {
			p.at(at+".until", "got %s, want more than from, which is %s", units(int64(h.Until)), units(int64(h.From)))
		}
	}
	if sc.IPIs.PerTick > 0 && sc.Tick == 0 {
		p.at("ipis.per_tick", "got %v, want 0: IPIs are sent at ticks, and tick is 0", sc.IPIs.PerTick)
	}
	p.expectation()
	p.ports()
}

// at notes a problem with a key, at the line of the key or, if that is left out, of the one that contains it.
func (p *parser) at(path, format string, args ...any) {
	line := 1
	for at := path; at != ""; at = parent(at) {
		if n, ok := p.lines[at]; ok {
			line = n
			break
		}
	}
	p.problem(line, path, format, args...)
}

// parent is the path of what contains a key or an element: domains[0].think, domains[0], domains, "".
func parent(path string) string {
	for i := len(path) - 1; i >= 0; i-- {
		if path[i] == '.' || path[i] == '[' {
			return path[:i]
		}
	}
	return ""
}

func (p *parser) place(path string, v int) {
	n := p.sc.VCPUs
	switch {
	case v >= n && n == 1:
		p.at(path, "got %d, want 0: vcpus is 1", v)
	case v >= n:
		p.at(path, "got %d, want 0 to %d: vcpus is %d", v, n-1, n)
	case v == OtherVCPU && n == 1:
		p.at(path, "got other, want a vcpu that there is: vcpus is 1, and other means not 0")
	}
}

func (p *parser) expectation() {
	e := &p.sc.Expect
	switch {
	case e.Verdict == "" && (e.Port != 0 || e.Cause != ""):
		p.at("expect.verdict", "missing: port and cause are those of a finding; want %s", list(verdicts[1:], "or"))
	case e.Verdict == verdicts[0] && (e.Port != 0 || e.Cause != ""):
		p.at("expect.verdict", "got clean, want %s: port and cause are those of a finding", list(verdicts[1:], "or"))
	}
	if last := p.lastPort(); e.Port > last {
		p.at("expect.port", "got %d, want at most %d, the last port with %d-bit words", e.Port, last, p.sc.WordBits)
	}
}

func (p *parser) lastPort() evtchn.Port { return evtchn.Port(p.sc.WordBits*p.sc.WordBits - 1) }

// ports checks that there are enough of them. Ports are taken from 1 up: those of the vcpus, the hot ones that are not late,
// then from FirstPort those of the domains and the late hot ones.
func (p *parser) ports() {
	sc, last := p.sc, int(p.lastPort())
	early, late := portsPerVCPU*sc.VCPUs, 0
	for i := range sc.Hot {
		if sc.Hot[i].Late {
			late += sc.Hot[i].Count
		} else {
			early += sc.Hot[i].Count
		}
	}
	for i := range sc.Domains {
		late += sc.Domains[i].Count
	}
	first := int(sc.FirstPort)
	switch {
	case first > last:
		p.at("first_port", "got %d, want at most %d, the last port with %d-bit words", first, last, sc.WordBits)
		return
	case first > 0 && first <= early:
		p.at("first_port", "got %d, want %d to %d: %d vcpus and the hot ports take the first %d ports", first, early+1, last, sc.VCPUs, early)
		return
	}
	if need := max(early, first-1) + late; need > last {
		p.at("word_bits", "got %d, which gives %d ports, want more: the scenario takes %d (%d for %d vcpus and the hot ports, %d for domains and late hot ports%s)",
			sc.WordBits, last, need, early, sc.VCPUs, late, fromFirst(first))
	}
}

func fromFirst(first int) string {
	if first == 0 {
		return ""
	}
	return fmt.Sprintf(" from first_port %d", first)
}
