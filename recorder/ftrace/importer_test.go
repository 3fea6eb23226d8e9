package ftrace

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/evtrace/evtrace/evtchn"
)

// drain reads all events and gives the error that ended them; nil for io.EOF.
func drain(im *Importer) (evs []evtchn.Event, err error) {
	for {
		var ev evtchn.Event
		if err := im.Next(&ev); err != nil {
			if err == io.EOF {
				err = nil
			}
			return evs, err
		}
		evs = append(evs, ev)
	}
}

// importText imports a text with side files.
func importText(t testing.TB, text string, side SideFiles) ([]evtchn.Event, *Importer) {
	t.Helper()
	im, err := New(strings.NewReader(text), "test", side, Options{})
	if err != nil {
		t.Fatal(err)
	}
	evs, err := drain(im)
	if err != nil {
		t.Fatal(err)
	}
	return evs, im
}

// capture writes records in the kernel's layout: "cpu flags time event fields", one a line. The pid is 100 plus the cpu, or 0 where the
// flags begin with i (the idle task).
func capture(lines string) string {
	var b strings.Builder
	b.WriteString("# tracer: nop\n#\n# entries-in-buffer/entries-written: 10/10   #P:4\n#\n")
	for line := range strings.Lines(lines) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if strings.HasPrefix(f[0], "CPU:") {
			b.WriteString(line)
			continue
		}
		task, flags := "task", f[1]
		var pid int
		fmt.Sscan(f[0], &pid)
		pid += 100
		if rest, ok := strings.CutPrefix(flags, "i"); ok {
			task, flags, pid = "<idle>", rest, 0
		}
		fmt.Fprintf(&b, "%16s-%-7d [%03s] %s %s: %s: (evtchn_2l_x+0x0/0x10) %s\n", task, pid, f[0], flags, f[2], f[3], strings.Join(f[4:], " "))
	}
	return b.String()
}

// ports is a port table with a channel of dom0 with itself: 128 (owner vcpu 3) to 129 (owner vcpu 0), 130 to 131 likewise.
const ports = `   1: VCPU 0: Virtual IRQ 0
   5: VCPU 1: IPI
  66: VCPU 0: Physical IRQ 12
 128: VCPU 3: Interdomain (Connected) - Remote Domain 0, Port 129
 129: VCPU 0: Interdomain (Connected) - Remote Domain 0, Port 128
 130: VCPU 3: Interdomain (Connected) - Remote Domain 0, Port 131
 131: VCPU 0: Interdomain (Connected) - Remote Domain 0, Port 130
`

// story gives the events of the given ports and kinds as words, for comparison.
func story(evs []evtchn.Event, p evtchn.Port) string {
	var b strings.Builder
	for _, ev := range evs {
		if ev.Port != p {
			continue
		}
		switch ev.Kind {
		case evtchn.KindPortBind, evtchn.KindOwnerWrite, evtchn.KindNotifyRead, evtchn.KindHypercall, evtchn.KindHandled:
			continue
		}
		mark := ""
		if ev.Inferred() {
			mark = "~"
		}
		fmt.Fprintf(&b, "%sv%d:%v", mark, ev.VCPU, ev.Kind)
		if ev.Kind.Spec().Res.Type != evtchn.ArgNone {
			fmt.Fprintf(&b, "=%d", ev.Res)
		}
		b.WriteByte(' ')
	}
	return strings.TrimSpace(b.String())
}

func TestStories(t *testing.T) {
	const deliver129 = `
0 id.h1. 2.000 upcall
0 id.h1. 2.001 scan cpu=0
0 id.h1. 2.002 deliver port=129
0 id.h1. 2.003 clear port=129
0 id.h1. 2.004 irq_handler_entry irq=70 name=x
0 id.h1. 2.005 irq_handler_exit irq=70 ret=handled
0 id.h1. 2.006 upcall_ret
`
	tests := []struct {
		name, text string
		port       evtchn.Port
		want       string
		lost       int
	}{
		{"the report's case", `
0 d.... 1.000 mask port=129
3 ..... 1.100 hc_dev_notify cmd=4 port=128
3 ..... 1.101 dev_ioctl_ret ret=0
1 d.... 1.200 unmask port=129
1 d.h.. 1.201 upcall
1 d.h.. 1.202 scan cpu=1
1 d.h.. 1.203 upcall_ret
1 ..... 1.300 dev_read_ret bytes=4
3 ..... 1.400 hc_dev_notify cmd=4 port=130
3 ..... 1.401 dev_ioctl_ret ret=0
`, 129, "v0:mask.tas=2 ~v3:pend.tas=2 ~v3:mask.read=1 v1:mask.clear=1 ~v1:pend.read=1 ~v1:sel.tas=2 ~v1:up.write=2", 1},
		{"a send that arrives after the unmask", `
0 d.... 1.000 mask port=129
0 d.... 1.001 clear port=129
3 ..... 1.100 hc_dev_notify cmd=4 port=128
1 d.... 1.101 unmask port=129
1 ..... 1.102 dev_read_ret bytes=4
3 ..... 1.103 dev_ioctl_ret ret=0
`, 129, "v0:mask.tas=2 v0:pend.clear=2 v1:mask.clear=1 ~v1:pend.read=0 ~v3:pend.tas=0 ~v3:mask.read=0 ~v3:sel.tas=2 ~v3:up.tas=2", 0},
		{"a send that stands after the unmask and arrives before it", `
0 d.... 1.000 mask port=129
0 d.... 1.001 clear port=129
1 d.... 1.100 unmask port=129
3 ..... 1.101 hc_dev_notify cmd=4 port=128
3 ..... 1.102 dev_ioctl_ret ret=0
1 d.h.. 1.103 upcall
1 d.h.. 1.104 scan cpu=1
1 d.h.. 1.105 upcall_ret
1 ..... 1.106 dev_read_ret bytes=4
`, 129, "v0:mask.tas=2 v0:pend.clear=2 ~v3:pend.tas=0 ~v3:mask.read=1 v1:mask.clear=1 ~v1:pend.read=1 ~v1:sel.tas=2 ~v1:up.write=2", 1},
		{"the hypercall", `
0 d.... 1.000 mask port=129
3 ..... 1.100 hc_dev_notify cmd=4 port=128
3 ..... 1.101 dev_ioctl_ret ret=0
1 d.... 1.200 unmask port=129
1 d.... 1.201 hc_unmask_2l cmd=9 port=129
1 ..... 1.202 dev_read_ret bytes=4
` + deliver129, 129, "v0:mask.tas=2 ~v3:pend.tas=2 ~v3:mask.read=1 ~v1:mask.tac=1 ~v1:pend.read=1 ~v1:sel.tas=2 ~v1:up.tas=2 v0:deliver v0:pend.clear=1", 0},
		{"the hypercall's record lost in a gap", `
0 d.... 1.000 mask port=129
3 ..... 1.100 hc_dev_notify cmd=4 port=128
3 ..... 1.101 dev_ioctl_ret ret=0
1 d.... 1.200 unmask port=129
CPU:1 [LOST 7 EVENTS]
1 ..... 1.202 dev_read_ret bytes=4
` + deliver129, 129, "v0:mask.tas=2 ~v3:pend.tas=2 ~v3:mask.read=1 ~v1:mask.tac=1 ~v1:pend.read=1 ~v1:sel.tas=2 ~v1:up.tas=2 v0:deliver v0:pend.clear=1", 0},
		{"another domain's send", deliver129, 129,
			"~v-1:send ~v-1:pend.tas=2 ~v-1:mask.read=0 ~v-1:sel.tas=2 ~v-1:up.tas=2 ~v-1:ipi v0:deliver v0:pend.clear=1", 0},
		{"a delivery that ties with its send, and precedes it", `
0 id.h1. 2.000 upcall
0 id.h1. 2.000 scan cpu=0
0 id.h1. 2.000 deliver port=129
0 id.h1. 2.000 clear port=129
3 ..... 2.000 hc_dev_notify cmd=4 port=128
3 ..... 2.009 dev_ioctl_ret ret=0
`, 129, "~v3:pend.tas=2 ~v3:mask.read=2 ~v3:sel.tas=2 ~v3:up.tas=2 ~v0:mask.read=0 v0:deliver v0:pend.clear=1", 0},
		{"a handler whose delivery no probe saw", deliver129 + `
3 ..... 2.100 hc_dev_notify cmd=4 port=128
3 ..... 2.101 dev_ioctl_ret ret=0
0 id.h1. 2.200 irq_handler_entry irq=70 name=x
0 id.h1. 2.201 irq_handler_exit irq=70 ret=handled
`, 129, "~v-1:send ~v-1:pend.tas=2 ~v-1:mask.read=0 ~v-1:sel.tas=2 ~v-1:up.tas=2 ~v-1:ipi v0:deliver v0:pend.clear=1 " +
			"~v3:pend.tas=0 ~v3:mask.read=0 ~v3:sel.tas=0 ~v3:up.tas=2 ~v0:deliver v0:irq ~v0:pend.clear=1", 0},
		{"a clear that no probe saw", strings.Replace(deliver129, "0 id.h1. 2.003 clear port=129\n", "", 1), 129,
			"~v-1:send ~v-1:pend.tas=2 ~v-1:mask.read=0 ~v-1:sel.tas=2 ~v-1:up.tas=2 ~v-1:ipi v0:deliver ~v0:pend.clear=1", 0},
		{"the timer has no deliver", `
0 id.h1. 1.000 upcall
0 id.h1. 1.001 scan cpu=0
0 id.h1. 1.002 clear port=1
0 id.h1. 1.003 irq_handler_entry irq=24 name=timer0
0 id.h1. 1.004 irq_handler_exit irq=24 ret=handled
0 id.h1. 1.005 upcall_ret
`, 1, "~v-1:virq ~v-1:pend.tas=2 ~v-1:mask.read=0 ~v-1:sel.tas=2 ~v-1:up.tas=2 ~v-1:ipi ~v0:deliver v0:pend.clear=1", 0},
		{"a spinlock's IPI stays masked", `
2 d.... 1.000 ipi cpu=1 vec=3
2 d.... 1.001 hc_ipi cmd=4 port=5
2 ..... 1.002 dev_read_ret bytes=4
`, 5, "~v2:mask.read=1 ~v2:pend.tas=2 ~v2:mask.read=1", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			side := SideFiles{Before: ports}
			tt.text = "3 d.... 0.500 unmask port=131\n3 d.... 0.501 hc_unmask_2l cmd=9 port=131\n" + tt.text // it is probed for
			evs, im := importText(t, capture(tt.text), side)
			if got := story(evs, tt.port); got != tt.want {
				t.Errorf("port %d:\n got %s\nwant %s", tt.port, got, tt.want)
			}
			if n := im.FinalMeta().Notes; im.src.reading().broken.n > 0 {
				t.Errorf("broken lines: %q", n)
			}
			again, err := New(strings.NewReader(capture(tt.text)), "test", side, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if es, _ := judge(t, again); len(es) != tt.lost {
				t.Errorf("got %d lost, want %d", len(es), tt.lost)
			}
		})
	}
}

func TestBindInterdomain(t *testing.T) {
	evs, _ := importText(t, capture(`
1 ..... 1.000 dev_ioctl cmd=0x44502 a0=0 a1=0
1 ..... 1.001 bind_evtchn port=64
1 ..... 1.002 bind_cpu port=64 cpu=0 old=0
1 ..... 1.003 bind_evtchn_ret irq=61
1 ..... 1.004 dev_ioctl_ret ret=64
1 ..... 1.005 dev_ioctl cmd=0x84501 a0=0 a1=64
1 ..... 1.006 bind_evtchn port=65
1 ..... 1.007 bind_cpu port=65 cpu=0 old=0
1 ..... 1.008 bind_evtchn_ret irq=62
1 d.... 1.009 unmask port=65
1 d.h.. 1.010 upcall
1 d.h.. 1.011 scan cpu=1
1 d.h.. 1.012 upcall_ret
1 ..... 1.013 dev_ioctl_ret ret=65
3 ..... 1.100 hc_dev_notify cmd=4 port=65
3 ..... 1.101 dev_ioctl_ret ret=0
3 ..... 1.102 hc_dev_notify cmd=4 port=64
3 ..... 1.103 dev_ioctl_ret ret=0
3 ..... 1.104 dev_ioctl_ret ret=0
`), SideFiles{Probes: "hc_unmask_2l"})
	want := "~v1:pend.tas=0 ~v1:mask.read=1 v1:accept.set v1:mask.clear=1 ~v1:pend.read=1 ~v1:sel.tas=2 ~v1:up.write=2 ~v3:pend.tas=1"
	if got := story(evs, 65); got != want {
		t.Errorf("port 65:\n got %s\nwant %s", got, want)
	}
	if got := story(evs, 64); !strings.Contains(got, "~v3:pend.tas=") {
		t.Errorf("port 64: got %s, want the send on port 65 to reach it", got)
	}
}

// TestSameHowever: neither compression nor the size of the reads changes an event.
func TestSameHowever(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(captures(t), "2l-clock-x86-tsc", "trace.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var gz, zs bytes.Buffer
	g := gzip.NewWriter(&gz)
	g.Write(text)
	g.Close()
	z, _ := zstd.NewWriter(&zs)
	z.Write(text)
	z.Close()
	want, _ := importText(t, string(text), SideFiles{})
	for name, r := range map[string]io.Reader{
		"one byte": iotest.OneByteReader(bytes.NewReader(text)),
		"half":     iotest.HalfReader(bytes.NewReader(text)),
		"data err": iotest.DataErrReader(bytes.NewReader(text)),
		"gzip":     &gz, "zstd": &zs,
		"crlf": bytes.NewReader(bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))),
	} {
		im, err := New(r, "test", SideFiles{}, Options{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := drain(im)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: (-want +got)\n%s", name, d[:min(len(d), 2000)])
		}
	}
}

// TestCut: a cut input gives what there is, and then says so.
func TestCut(t *testing.T) {
	dir := captures(t)
	text, err := os.ReadFile(filepath.Join(dir, "2l-clock-counter", "trace.txt"))
	if err != nil {
		t.Fatal(err)
	}
	whole, _ := importText(t, string(text), SideFiles{})
	half := len(text) / 2
	im, err := New(bytes.NewReader(text[:half]), "test", SideFiles{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	evs, err := drain(im)
	if err != nil || len(evs) == 0 || len(evs) >= len(whole) {
		t.Errorf("half a text: got %d events and %v, want some of the %d", len(evs), err, len(whole))
	}
	if m := im.FinalMeta(); m.Complete || !strings.Contains(strings.Join(m.Notes, "\n"), "ends within a line") {
		t.Errorf("half a text: got complete %v and notes %q", m.Complete, m.Notes)
	}

	packed, err := os.ReadFile(filepath.Join(dir, "2l-bugkernel-sparse-tsc", "trace.txt.zst"))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{len(packed) - 1, len(packed) / 2, 5} {
		im, err := New(bytes.NewReader(packed[:n]), "cut.zst", SideFiles{}, Options{})
		if err == nil {
			_, err = drain(im)
			if im.FinalMeta().Complete {
				t.Errorf("%d bytes of zstd: got a complete trace", n)
			}
		}
		if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), "byte") {
			t.Errorf("%d bytes of zstd: got %v, want an unexpected EOF with its place", n, err)
		}
	}
	bad := bytes.Clone(packed)
	bad[len(bad)/2] ^= 0x10
	if im, err = New(bytes.NewReader(bad), "bad.zst", SideFiles{}, Options{}); err == nil {
		_, err = drain(im)
	}
	if err == nil {
		t.Error("a flipped bit in zstd: got no error")
	}
}

func TestNotACapture(t *testing.T) {
	for name, text := range map[string]string{"empty": "", "prose": strings.Repeat("hello world\n", 20), "binary": "\x00\x01\x02\xff\n\x03", "no newline": "abc"} {
		_, err := New(strings.NewReader(text), name, SideFiles{}, Options{})
		if !errors.Is(err, ErrFormat) {
			t.Errorf("%s: got %v, want ErrFormat", name, err)
		}
	}
	if _, err := Open(t.TempDir(), Options{}); err == nil || !strings.Contains(err.Error(), "directory") {
		t.Errorf("a directory: got %v", err)
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none"), Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: got %v", err)
	}
}

func TestBrokenLine(t *testing.T) {
	text := capture("0 d.h1. 1.000 clear port=1\n0 d.h1. 1.001 clear port=2\n") + "garbage here\n" + capture("0 d.h1. 1.002 clear port=zz\n")
	_, im := importText(t, text, SideFiles{})
	broken := im.src.reading().broken
	if broken.n != 2 || !strings.Contains(strings.Join(im.FinalMeta().Notes, "\n"), "line 7") {
		t.Errorf("got %d broken lines, the first %s, want 2 from line 7 on", broken.n, broken.first)
	}
	im, err := New(strings.NewReader(text), "test", SideFiles{}, Options{Strict: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = drain(im); !errors.Is(err, ErrLine) || !strings.Contains(err.Error(), "test:7:") {
		t.Errorf("strict: got %v, want line 7", err)
	}
}

// A record of a port that the ABI lacks is left out, counted and located; with Strict it is fatal.
func TestPortOfNoABI(t *testing.T) {
	text := capture("0 d.h1. 1.000 clear port=1\n0 d.h1. 1.001 clear port=4096\n0 d.h1. 1.002 clear port=4095\n")
	evs, im := importText(t, text, SideFiles{})
	if notes := strings.Join(im.FinalMeta().Notes, "\n"); !strings.Contains(notes, "1 record of a port that the ABI lacks: line 6: port 4096") {
		t.Errorf("got %s", notes)
	}
	for i := range evs {
		if evs[i].Port > 4095 {
			t.Errorf("got %+v", evs[i])
		}
	}
	im, err := New(strings.NewReader(text), "test", SideFiles{}, Options{Strict: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = drain(im); !errors.Is(err, ErrLine) || !strings.Contains(err.Error(), "port 4096, want 1 to 4095") {
		t.Errorf("strict: got %v, want the port", err)
	}
}

func TestMeta(t *testing.T) {
	side := SideFiles{TraceClock: "local global [x86-tsc]\n", Console: "(XEN) [ 0.4] Detected 2500.000 MHz processor.\n"}
	text := "# entries-in-buffer/entries-written: 1/5   #P:4\n          <idle>-0       [003] d.h1. 153552854953: mystery: x\nCPU:2 [LOST 9 EVENTS]\n"
	evs, im := importText(t, text, side)
	m := im.FinalMeta()
	if m.VCPUs != 4 || m.Clock != "x86-tsc" || m.Unit != "ticks" || m.NsPerTick != 0.4 || m.ABI != "2l" || m.Gaps != 2 || m.Lost != 13 || !m.Complete ||
		m.Source != evtchn.SourceObserved || m.Counts["mystery"] != 1 || len(m.Unknown) != 1 || m.Events != uint64(len(evs)) {
		t.Errorf("got %+v", m)
	}
	if evs[0].Kind != evtchn.KindGap || evs[0].Target() != evtchn.NoVCPU || evs[1].Kind != evtchn.KindUnknownEvt || evs[2].Kind != evtchn.KindGap || evs[2].Target() != 2 {
		t.Errorf("got %v, want a gap of all vcpus, a record and a gap of vcpu 2", evs)
	}
}

// FuzzImport: no bytes make the importer panic, give events out of order, or last for ever.
func FuzzImport(f *testing.F) {
	f.Add([]byte(capture("3 ..... 1.1 hc_dev_notify cmd=4 port=128\n1 d.... 1.2 unmask port=129\n1 d.h.. 1.3 upcall\n1 d.h.. 1.3 scan cpu=1\n1 d.h.. 1.3 deliver port=129\nCPU:1 [LOST 3 EVENTS]\n")), ports)
	f.Add([]byte(capture("1 ..... 1.0 dev_ioctl cmd=0x84501 a0=0 a1=64\n1 ..... 1.0 bind_evtchn port=65\n1 ..... 1.1 bind_cpu port=65 cpu=0 old=9\n1 ..... 1.2 hc_close cmd=3 port=65\n")), "")
	f.Add([]byte("  <idle>-0         2d.h1. 176003us+: clear: (x) port=15\n"), ports)
	f.Add([]byte{0x28, 0xb5, 0x2f, 0xfd, 1, 2, 3}, "")
	f.Add([]byte{0x1f, 0x8b, 8, 0}, "")
	f.Fuzz(func(t *testing.T, data []byte, table string) {
		im, err := New(bytes.NewReader(data), "fuzz", SideFiles{Before: table, Later: []string{table}}, Options{})
		if err != nil {
			return
		}
		defer im.Close()
		st, err := evtchn.NewState(im.Meta())
		if err != nil {
			t.Fatal(err)
		}
		var ev evtchn.Event
		var seq evtchn.Seq
		var now evtchn.Time
		for im.Next(&ev) == nil {
			if ev.Seq != seq+1 || ev.Time < now {
				t.Fatalf("got %v after seq %d at %d", ev, seq, now)
			}
			seq, now = ev.Seq, ev.Time
			st.Apply(&ev)
		}
		im.FinalMeta()
	})
}

// A send that is under way while PEND is cleared comes after that if the next one tells nobody, which an upcall that passes the port
// over shows.
func TestSendAfterClear(t *testing.T) {
	side := SideFiles{Before: "  65: VCPU 0: Interdomain (Connected) - Remote Domain 0, Port 66\n  66: VCPU 1: Interdomain (Connected) - Remote Domain 0, Port 65\n" +
		"  70: VCPU 1: Interdomain (Connected) - Remote Domain 0, Port 71\n   1: VCPU 0: Virtual IRQ 0\n   8: VCPU 1: Virtual IRQ 0\n"}
	begin := `1 d..1. 1.000000 unmask port=70
1 d..2. 1.000001 hc_unmask_2l cmd=9 port=70
2 ..... 1.000010 hc_dev_notify cmd=4 port=66
2 ..... 1.000015 dev_ioctl_ret ret=0
0 d.h1. 1.000020 upcall
0 d.h1. 1.000021 scan cpu=0
0 d.h1. 1.000022 deliver port=65
0 d.h3. 1.000023 mask port=65
2 ..... 1.000024 hc_dev_notify cmd=4 port=66
0 d.h2. 1.000030 clear port=65
2 ..... 1.000031 dev_ioctl_ret ret=0
0 d.h1. 1.000040 upcall_ret
1 d..1. 1.000100 unmask port=65
1 d.h1. 1.000200 upcall
1 d.h1. 1.000201 scan cpu=1
1 d.h1. 1.000202 clear port=8
1 d.h1. 1.000203 upcall_ret
2 ..... 1.000300 hc_dev_notify cmd=4 port=66
2 ..... 1.000310 dev_ioctl_ret ret=0
0 d.h1. 1.000400 upcall
0 d.h1. 1.000401 scan cpu=0
`
	for _, tt := range []struct {
		port string // which vcpu 0 handles then
		want evtchn.Bit
	}{{"1", evtchn.One}, {"65", evtchn.Zero}} {
		evs, _ := importText(t, capture(begin+"0 d.h1. 1.000402 clear port="+tt.port+"\n0 d.h1. 1.000410 upcall_ret\n"), side)
		got := evtchn.Unknown
		for i := range evs {
			if e := &evs[i]; e.Kind == evtchn.KindPendRead && e.Port == 65 {
				got = evtchn.Bit(e.Res)
			}
		}
		if got != tt.want {
			t.Errorf("vcpu 0 handles port %s: got PEND %v when it was unmasked, want %v", tt.port, got, tt.want)
		}
	}
}
