package ftrace

import (
	"strings"
	"testing"
)

func TestParseLine(t *testing.T) {
	tests := []struct {
		line string
		want record
		task string
	}{
		{"          <idle>-0       [000] d.h1.    52.953562: clear: (evtchn_2l_clear_pending+0x0/0x20) port=1",
			record{time: 52953562000, a: 1, id: prClear, have: fPort, fl: rfFlags | rfIRQsOff | rfHardIRQ}, "<idle>"},
		{"     kworker/0:1-17      [002] ..... 153571794784: bind_cpu: (evtchn_2l_bind_to_cpu+0x0/0x40) port=45 cpu=1 old=3",
			record{time: 153571794784, a: 45, b: 1, d: 3, pid: 17, cpu: 2, id: prBindCPU, have: fPort | fCPU | fOld, fl: rfFlags | rfTicks}, "kworker/0:1"},
		{"vif1.0-q1-guest-195     [003] d..2.   227.080147: hc_bind_vcpu: (set_affinity_irq+0x10b/0x260) cmd=8 port=130 vcpu=0",
			record{time: 227080147000, a: 130, cmd: 8, pid: 195, cpu: 3, id: prHCBindVCPU, have: fPort | fCPU | fCmd, fl: rfFlags | rfIRQsOff}, "vif1.0-q1-guest"},
		{"           <...>-123     [001] .....     5.000001: dev_ioctl: (evtchn_ioctl+0x0/0x470 [xen_evtchn]) cmd=0x84501 a0=0 a1=44",
			record{time: 5000001000, d: 44, cmd: 0x84501, pid: 123, cpu: 1, id: prDevIoctl, have: fCmd | fA0 | fA1, fl: rfFlags}, "<...>"},
		{"  a [001] 5-3-77      [001] .....     5.000001: dev_ioctl_ret: (x <- evtchn_ioctl) ret=-22",
			record{time: 5000001000, b: 0xffffffea, pid: 77, cpu: 1, id: prDevIoctlRet, have: fRet, fl: rfFlags}, "a [001] 5-3"},
		{"          <idle>-0     [001]   227.080183: ipi:                 (ffffffff81665110) cpu=1 vec=3",
			record{time: 227080183000, b: 1, d: 3, cpu: 1, id: prIPI, have: fCPU | fVec}, "<idle>"},
		{"          <idle>-0     [001]   227.080183: ipi:                  __probe_ip=ffffffff81661470 cpu=1 vec=3",
			record{time: 227080183000, b: 1, d: 3, cpu: 1, id: prIPI, have: fCPU | fVec}, "<idle>"},
		{"      sh-148       1d..2. 176100us!: hc_ipi: (xen_send_IPI_one+0x4b/0xb0) cmd=4 port=23",
			record{time: 176100000, a: 23, cmd: 4, pid: 148, cpu: 1, id: prHCIPI, have: fPort | fCmd, fl: rfFlags | rfIRQsOff | rfLatency}, "sh"},
		{"  <idle>-0         2d.h1. 176084us : irq_handler_exit: irq=38 ret=handled",
			record{time: 176084000, c: 38, cpu: 2, id: prIRQExit, have: fIRQ, fl: rfFlags | rfIRQsOff | rfHardIRQ | rfLatency}, "<idle>"},
		{"              sh-1       [000] .....     1.5: irq_handler_entry: irq=7 name=a port=b irq=9",
			record{time: 1500000000, c: 7, pid: 1, id: prIRQEntry, have: fIRQ, fl: rfFlags}, "sh"},
		{"              sh-1       [000] .....     1.5: dev_write: (evtchn_write+0x0/0x120 [xen_evtchn]) bytes=4 p0=(fault) p1=1",
			record{time: 1500000000, b: 4, pid: 1, id: prDevWrite, have: fBytes, fl: rfFlags}, "sh"},
	}
	ns := newNames()
	for _, tt := range tests {
		var r record
		var p parts
		if err := parseLine([]byte(tt.line), &r, &p, ns); err != nil {
			t.Errorf("%q: %v", tt.line, err)
			continue
		}
		tt.want.name = r.name
		if r != tt.want || string(p.task) != tt.task {
			t.Errorf("%q:\n got %+v of %q\nwant %+v of %q", tt.line, r, p.task, tt.want, tt.task)
		}
	}
}

func TestParseBadLine(t *testing.T) {
	for line, want := range map[string]error{
		"":                                     errNoCPU,
		"hello":                                errNoCPU,
		"  sh-1  [000] .....  1.5":             errNoTime,
		"  sh-1  [000] .....  : upcall:":       errNoTime,
		"  sh-1  [000] .....  1.: upcall:":     errNoTime,
		"  sh-1  [000] .....  1.5: upcall":     errNoEvent,
		"  sh-1  [000] .....  1.5: clear: (x)": errField,
		"  sh-1  [000] .....  1.5: clear: (x) port=":                 errNumber,
		"  sh-1  [000] .....  1.5: clear: (x) port=12x":              errNumber,
		"  sh-1  [000] .....  1.5: clear: (x) port=99999999999":      errNumber,
		"  sh-1  [000] .....  99999999999999999999: clear: port=1":   errRange,
		"  sh-1  [000] .....  9999999999999.5: clear: (x) port=1":    errRange,
		"  sh-1  [000] .....  1.5: bind_cpu: (x) port=1":             errField,
		"  sh-1  [000] .....  1.5: hc_ipi: (x) cmd=4 prt=1":          errField,
		"  sh-1  [000] .....  1.5: irq_handler_entry: name=x irqq=1": errField,
	} {
		var r record
		var p parts
		if err := parseLine([]byte(line), &r, &p, newNames()); err != want {
			t.Errorf("%q: got %v, want %v", line, err, want)
		}
	}
}

func TestParseLost(t *testing.T) {
	for line, want := range map[string][2]uint64{
		"CPU:3 [LOST 971 EVENTS]":    {3, 971},
		"  CPU:11 [LOST 1 EVENTS]\t": {11, 1},
		"CPU:0 [LOST EVENTS]":        {0, 0},
		"CPU:2 [12 EVENTS DROPPED]":  {2, 12},
		"CPU:2 [EVENTS DROPPED]":     {2, 0},
	} {
		cpu, lost, ok := parseLost([]byte(line))
		if !ok || uint64(cpu) != want[0] || lost != want[1] {
			t.Errorf("%q: got vcpu %d, %d lost, %v, want %v", line, cpu, lost, ok, want)
		}
	}
	for _, line := range []string{"CPU:", "CPU:x [LOST 1 EVENTS]", "CPU:1 [LOST 1", "CPU:1 [12 EVENTS]", "CPU:1 [LOST 12 EVENTS DROPPED]", "CPU:1 buffer started"} {
		if _, _, ok := parseLost([]byte(line)); ok {
			t.Errorf("%q: got a marker, want none", line)
		}
	}
}

// FuzzLine: no line makes the parser panic, and what it reads is in range.
func FuzzLine(f *testing.F) {
	f.Add("          <idle>-0       [000] d.h1.    52.953562: clear: (evtchn_2l_clear_pending+0x0/0x20) port=1")
	f.Add("      sh-148       1d..2. 176100us!: hc_ipi: (xen_send_IPI_one+0x4b/0xb0) cmd=4 port=23")
	f.Add("          <idle>-0     [001]   227.080147: snap_upcall:          (ffffffff81661470) pend0=0x20c106 pend1=0x0")
	f.Add("CPU:3 [LOST 971 EVENTS]")
	f.Add("# entries-in-buffer/entries-written: 9682/154686   #P:4")
	f.Add("sh-1 [1] 1:a:0x1f=-0x")
	f.Fuzz(func(t *testing.T, line string) {
		var r record
		var p parts
		ns := newNames()
		if err := parseLine([]byte(line), &r, &p, ns); err == nil {
			if r.cpu < 0 || r.pid < 0 || r.time < 0 || int(r.name) >= len(ns.list) || r.id >= probeEnd {
				t.Errorf("%q: got %+v out of range", line, r)
			}
			if !strings.Contains(line, string(p.task)) {
				t.Errorf("%q: got task %q", line, p.task)
			}
		}
		parseLost([]byte(line))
		var h header
		h.comment([]byte(line))
		parsePorts(line)
		tscMHz(line)
		clockInForce(line)
		timerIRQs(line)
		(&SideFiles{Profile: line}).missed(newNames())
		if n := cpusOfInterrupts(line); n < 0 || n > 128 {
			t.Errorf("%q: got %d vcpus", line, n)
		}
	})
}
