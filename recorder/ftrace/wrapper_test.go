package ftrace

import (
	"strings"
	"testing"
)

// TestWrapper: a wrapper's unmask counts once, as that of the function which it calls; unmasks that only look like it count each.
func TestWrapper(t *testing.T) {
	const (
		probed = "3 d.... 0.500 unmask port=131\n3 d.... 0.501 hc_unmask_2l cmd=9 port=131\n"
		raised = "0 d.... 1.000 mask port=129\n3 ..... 1.100 hc_dev_notify cmd=4 port=128\n3 ..... 1.101 dev_ioctl_ret ret=0\n"
		nobody = "1 d.h.. 1.211 upcall\n1 d.h.. 1.212 scan cpu=1\n1 d.h.. 1.213 upcall_ret\n1 ..... 1.300 dev_read_ret bytes=4\n"
		found  = "0 id.h1. 2.000 upcall\n0 id.h1. 2.001 scan cpu=0\n0 id.h1. 2.002 deliver port=129\n0 id.h1. 2.003 clear port=129\n0 id.h1. 2.006 upcall_ret\n"
		front  = "v0:mask.tas=2 ~v3:pend.tas=2 ~v3:mask.read=1 "
		local  = "v1:mask.clear=1 ~v1:pend.read=1 ~v1:sel.tas=2 ~v1:up.write=2"
		call   = "~v1:mask.tac=1 ~v1:pend.read=1 ~v1:sel.tas=2 ~v1:up.tas=2"
		taken  = " v0:deliver v0:pend.clear=1"
	)
	for _, tt := range []struct {
		name, text, want string
		lost             int // unnoticed, for however long
	}{
		{"of the hypercall", "1 d.... 1.200 unmask_own1 port=129\n1 d.... 1.201 unmask port=129\n1 d.... 1.202 hc_unmask_2l cmd=9 port=129\n1 ..... 1.203 dev_read_ret bytes=4\n" + found,
			front + call + taken, 0},
		{"of the local path", "1 d.... 1.200 unmask_own1 port=129\n1 d.... 1.201 unmask port=129\n" + nobody, front + local, 1},
		{"two of them", "1 d.... 1.199 unmask_own2 port=129\n1 d.... 1.200 unmask_own1 port=129\n1 d.... 1.201 unmask port=129\n" + nobody, front + local, 1},
		{"which lets an upcall in", "1 ..... 1.200 unmask_own1 port=129\n1 d.h.. 1.202 upcall\n1 d.h.. 1.203 scan cpu=1\n1 d.h.. 1.204 upcall_ret\n" +
			"1 d.... 1.205 unmask port=129\n1 d.... 1.206 hc_unmask_2l cmd=9 port=129\n1 ..... 1.207 dev_read_ret bytes=4\n" + found, front + call + taken, 0},
		{"no wrapper: it does the work alone", "1 d.... 1.200 unmask_own1 port=129\n" + nobody, front + local, 1},
		{"no wrapper: masked in between", "1 d.... 1.200 unmask_own1 port=129\n1 d.... 1.201 mask port=129\n1 d.... 1.205 unmask port=129\n" + nobody,
			front + local + " v1:mask.tas=0 v1:mask.clear=1 ~v1:pend.read=1 ~v1:sel.tas=1", 1},
		{"no wrapper: interrupts were off, and an upcall came after it", "1 d.... 1.200 unmask_own1 port=129\n1 d.h.. 1.202 upcall\n1 d.h.. 1.203 scan cpu=1\n1 d.h.. 1.204 upcall_ret\n" +
			"1 d.... 1.205 unmask port=129\n1 d.... 1.206 hc_unmask_2l cmd=9 port=129\n1 ..... 1.207 dev_read_ret bytes=4\n" + found,
			front + local + " ~v1:mask.tac=0 ~v1:pend.read=1 ~v1:sel.tas=2 ~v1:up.tas=2" + taken, 1},
		{"no wrapper: another vcpu's", "1 d.... 1.200 unmask_own1 port=129\n" + nobody + "2 d.... 1.400 unmask port=129\n2 d.... 1.401 hc_unmask_2l cmd=9 port=129\n2 ..... 1.402 dev_read_ret bytes=4\n" + found,
			front + local + " ~v2:mask.tac=0 ~v2:pend.read=1 ~v2:sel.tas=2 ~v2:up.tas=2" + taken, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := capture(probed + raised + tt.text)
			evs, _ := importText(t, text, SideFiles{Before: ports})
			if got := story(evs, 129); got != tt.want {
				t.Errorf("\n got %s\nwant %s", got, tt.want)
			}
			im, err := New(strings.NewReader(text), "test", SideFiles{Before: ports}, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if es, _ := judge(t, im); len(es) != tt.lost {
				t.Errorf("got %d lost, want %d", len(es), tt.lost)
			}
		})
	}
}

// TestOwnNames: KIND_ownN is a record of that kind, and nothing else is.
func TestOwnNames(t *testing.T) {
	for name, want := range map[string]string{"unmask": "unmask", "unmask_own1": "unmask", "unmask_own23": "unmask", "hc_send_own2": "hc_send",
		"unmask_ownx": "", "unmask_own1x": "", "_own1": "", "their_own1": "", "my_unmask": ""} {
		spec, ok := probeNamed(name)
		if ok != (want != "") || ok && spec.kind != want {
			t.Errorf("%s: got %q, %v, want %q", name, spec.kind, ok, want)
		}
	}
	if got := probesIn("p:evtrace/unmask_own1 mymod:my_unmask port=%di:u32\n"); !got["unmask"] {
		t.Errorf("got %v, want unmask", got)
	}
	side := SideFiles{Profile: "  unmask 100 2\n  unmask_own1 50 3\n  theirs 10 9\n"}
	if got := side.missed(newNames()); len(got) != 1 || got["unmask"] != 5 {
		t.Errorf("got %v, want 5 missed hits of unmask", got)
	}
}
