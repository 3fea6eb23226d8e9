package text

import (
	"testing"

	"github.com/evtrace/evtrace/evtchn"
)

// The report's story reads as people tell it.
func TestWhat(t *testing.T) {
	meta := &evtchn.Meta{WordBits: 64, Tasks: []string{"idle", "irqbalance", "qemu"}, Unknown: []string{"sched_wake"}}
	for _, c := range []struct{ line, ctx, port, what string }{
		{"101 0 v3 task:2 op op=bind_interdomain a=1 b=12 input", "task:qemu", "-", "bind_interdomain dom=1 rport=12"},
		{"101 0 v3 task:2 hypercall call=bind_interdomain a=1 b=12", "task:qemu", "-", "bind_interdomain dom=1 rport=12"},
		{"102 0 v3 xen port.bind p65 state=interdomain notify=v0 peer=0x10000000c", "xen", "65", "free -> interdomain, notify=v0, peer=d1 port 12"},
		{"103 0 v3 xen pend.tas p65 = 0", "xen", "65", "0 -> 1"},
		{"104 0 v3 xen mask.read p65 = 1", "xen", "65", "1: stop"},
		{"105 0 v3 xen return errno=0 value=65 = 0", "xen", "-", "ok, 65: no callback"},
		{"105 0 v3 xen return errno=-22 value=0 = 1", "xen", "-", "EINVAL: UP[3]=1, UMASK[3]=0: callback"},
		{"105 0 v3 xen return errno=-77 value=0 = ?", "xen", "-", "error 77: callback?"},
		{"106 0 v3 task:2 mask.clear p65 = 1", "task:qemu", "65", "1 -> 0"},
		{"107 0 v3 task:9 pend.read p65 = ?", "task:9", "65", "?"},
		{"108 0 v3 task:2 sel.tas target=v3 word=w1 = 0", "task:qemu", "w1", "SEL[3] 0 -> 1"},
		{"109 0 v3 task:2 up.write target=v3 value=1 = 1", "task:qemu", "-", "UP[3]=1, UMASK[3]=0: callback"},
		{"110 0 v3 upcall up.write target=v3 value=0 = 0", "upcall", "-", "UP[3]=0"},
		{"111 0 v3 upcall sel.xchg unknown=0x0 = 0x2", "upcall", "-", "SEL[3] {1} -> {}"},
		{"111 0 v3 upcall sel.xchg unknown=0xf8 = 0x103", "upcall", "-", "SEL[3] {0,1,?3-7,8} -> {}"},
		{"111 0 v3 upcall sel.xchg unknown=0xffffffffffffffff = 0x0", "upcall", "-", "SEL[3] ? -> {}"},
		{"112 0 v3 upcall word.read word=w1 foreign=0x0 unknown=0x0 = 0x0", "upcall", "w1", "PEND & accept[3] & ~MASK = 0"},
		{"112 0 v3 upcall word.read word=w1 foreign=0x2 unknown=0x0 = 0x0", "upcall", "w1", "PEND & accept[3] & ~MASK = 0, of other vcpus {65}"},
		{"112 0 v3 upcall word.read word=w2 foreign=0x0 unknown=0x10 = 0x9", "upcall", "w2", "PEND & accept[3] & ~MASK = {128,131,?132}"},
		{"113 0 v3 upcall upcall.exit handled=0 = 0", "upcall", "-", "nothing dispatched: a spurious upcall"},
		{"114 0 - foreign:0 pend.tas p65 = 1", "foreign:0", "65", "1 -> 1: stop"},
		{"115 0 v0 xen blocked.tac target=v0 = 1", "xen", "-", "blocked[0] 1 -> 0: wake"},
		{"116 0 - - task.move target=v5 task=2", "-", "-", "qemu to v5"},
		{"117 0 - - record name=0", "-", "-", "sched_wake"},
		{"117 0 - - sched.state target=v1 from=running to=runnable = 3", "-", "-", "v1 running -> runnable, CPU 3"},
		{"117 0 v1 xen xen.call number=32", "xen", "-", "evtchn_op, which is not known"},
		{"118 0 v1 - snap word=w0 pend=0x2 mask=0x0", "-", "w0", "PEND {1}, MASK {}"},
	} {
		ev, err := ParseEvent([]byte(c.line))
		if err != nil {
			t.Errorf("%s: %v", c.line, err)
			continue
		}
		ctx, port, what := string(AppendContext(nil, &ev, meta)), string(AppendPort(nil, &ev)), string(AppendWhat(nil, &ev, meta))
		if ctx != c.ctx || port != c.port || what != c.what {
			t.Errorf("%s\n got %q %q %q\nwant %q %q %q", c.line, ctx, port, what, c.ctx, c.port, c.what)
		}
	}
	ev := evtchn.Event{Kind: evtchn.KindWordRead, VCPU: 3, Args: [3]uint64{1}, Res: 2}
	if got, want := string(AppendWhat(nil, &ev, nil)), "PEND & accept[3] & ~MASK = bits {1}"; got != want {
		t.Errorf("without meta: got %q, want %q", got, want)
	}
}
