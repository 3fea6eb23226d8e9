package ftrace

import (
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/evtrace/evtrace/evtchn"
)

// captures gives the directory of the shared captures, or skips the test.
func captures(t testing.TB) string {
	t.Helper()
	if dir := os.Getenv("EVTRACE_CAPTURES"); dir != "" {
		return dir
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		dir = filepath.Dir(dir)
		if dir == "/" {
			t.Fatal("no go.mod above the package")
		}
	}
	dir = filepath.Join(dir, "..", "shared", "traces")
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("no captures: %v", err)
		}
		t.Skipf("no captures: %v", err)
	}
	return dir
}

// exposure is a time at which a port was pending and unmasked, and nobody who would handle it was going to look.
type exposure struct {
	at   evtchn.Time
	vcpu evtchn.VCPU // whose SEL was set instead, or whose scan turned away
	tied bool        // it rests on an order that the capture does not tell
}

// episode is a stay of a port in PEND with at least one such time.
type episode struct {
	port      evtchn.Port
	exposures []exposure
	unnoticed evtchn.Time // State said so: nobody at all was going to look
	turned    evtchn.VCPU // the vcpu that turned away
	ended     evtchn.Time
	by        evtchn.VCPU
	rescuer   evtchn.Port
	open      bool
}

// proven reports whether an exposure of the episode does not rest on a tie.
func (e *episode) proven() bool {
	return slices.ContainsFunc(e.exposures, func(x exposure) bool { return !x.tied })
}

// judge reads a stream to its end and lists its lost events.
func judge(t testing.TB, im *Importer) ([]*episode, evtchn.Meta) {
	t.Helper()
	st, err := evtchn.NewState(im.Meta())
	if err != nil {
		t.Fatal(err)
	}
	var all []*episode
	open := make(map[evtchn.Port]*episode)
	wasLost := make(map[evtchn.Port]bool)
	var ev evtchn.Event
	var seq evtchn.Seq
	var now evtchn.Time
	for {
		err := im.Next(&ev)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if seq++; ev.Seq != seq {
			t.Fatalf("%v: got seq %d, want %d", ev, ev.Seq, seq)
		}
		if ev.Time < now {
			t.Fatalf("%v: time goes back from %d", ev, now)
		}
		now = ev.Time
		if ev.Kind == evtchn.KindDeliver {
			if e := open[ev.Port]; e != nil && e.by < 0 {
				e.by, e.ended = ev.VCPU, ev.Time
				e.rescuer = st.V[ev.VCPU].ScanBy[st.Word(ev.Port)]
				if e.rescuer == 0 {
					e.rescuer = st.V[ev.VCPU].SelBy[st.Word(ev.Port)]
				}
			}
		}
		st.Apply(&ev)
		if ev.Kind == evtchn.KindTie && ev.Res == 0 {
			if e := open[ev.Port]; e != nil {
				e.exposures[len(e.exposures)-1].tied = true
			}
		}
		for _, p := range st.ExposedPorts() {
			if lost(st, p) && im.Meta().ABI != "fifo" { // of queues nothing is known
				e := open[p]
				if e == nil {
					e = &episode{port: p, by: -1, turned: -1}
					open[p] = e
					all = append(all, e)
				}
				if !wasLost[p] {
					wasLost[p] = true
					e.exposures = append(e.exposures, exposure{at: st.PortAt(p).ExposedAt, vcpu: ev.VCPU})
				}
				if st.Unnoticed(p) && e.unnoticed == 0 {
					e.unnoticed, e.turned = ev.Time, ev.VCPU
				}
			} else {
				wasLost[p] = false
			}
		}
		if p := ev.Port; p != 0 {
			if !st.Exposed(p) {
				wasLost[p] = false
			}
			if st.Pending(p) != evtchn.One {
				delete(open, p)
			}
		}
	}
	for _, e := range open {
		e.open = true
	}
	return slices.DeleteFunc(all, func(e *episode) bool { return !e.proven() }), im.FinalMeta()
}

func lost(st *evtchn.State, p evtchn.Port) bool {
	if st.Owed(p) {
		return false
	}
	ps := st.PortAt(p)
	if !ps.Held.Empty() {
		return false
	}
	for v := ps.Own.Next(0); v >= 0; v = ps.Own.Next(v + 1) {
		if st.Accepts(v, p) != evtchn.Zero {
			return false
		}
	}
	return true
}

// bugLost is a line of truth.txt: the port was found pending on a vcpu that is not its own.
type bugLost struct {
	at   evtchn.Time
	port evtchn.Port
	vcpu evtchn.VCPU
}

var bugLostRE = regexp.MustCompile(`(?m) ([0-9.]+): bug_lost: .*port=(\d+) cpu=(\d+) home=(\d+)`)

func readTruth(t testing.TB, path string) []bugLost {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var ls []bugLost
	for _, m := range bugLostRE.FindAllStringSubmatch(string(b), -1) {
		var at int64
		if s, us, ok := strings.Cut(m[1], "."); ok {
			a, _ := strconv.ParseInt(s, 10, 64)
			u, _ := strconv.ParseInt(us, 10, 64)
			at = a*1e9 + u*1e3
		} else {
			at, _ = strconv.ParseInt(m[1], 10, 64)
		}
		p, _ := strconv.Atoi(m[2])
		v, _ := strconv.Atoi(m[3])
		ls = append(ls, bugLost{evtchn.Time(at), evtchn.Port(p), evtchn.VCPU(v)})
	}
	return ls
}

// compare counts truth lines that an episode explains, and episodes that a truth line explains.
func compare(t testing.TB, es []*episode, truth []bugLost, nsPerTick float64) (recall, precision float64) {
	t.Helper()
	ms := evtchn.Time(1e6 / nsPerTick)
	near := func(e *episode, l bugLost) bool {
		if e.port != l.port {
			return false
		}
		for _, x := range e.exposures {
			if x.vcpu == l.vcpu && x.at > l.at-ms && x.at < l.at+ms {
				return true
			}
		}
		return false
	}
	found := 0
	for _, l := range truth {
		ok := false
		for _, e := range es {
			ok = ok || near(e, l)
		}
		if ok {
			found++
		} else {
			t.Logf("missed: port %d vcpu %d at %d", l.port, l.vcpu, l.at)
		}
	}
	right := 0
	for _, e := range es {
		ok := false
		for _, l := range truth {
			ok = ok || near(e, l)
		}
		if ok {
			right++
		} else {
			t.Logf("wrong: port %d %+v until %d on vcpu %d", e.port, e.exposures, e.ended, e.by)
		}
	}
	recall, precision = 1, 1
	if len(truth) > 0 {
		recall = float64(found) / float64(len(truth))
	}
	if len(es) > 0 {
		precision = float64(right) / float64(len(es))
	}
	t.Logf("%d truth lines, %d found: recall %.4f; %d episodes, %d right: precision %.4f", len(truth), found, recall, len(es), right, precision)
	return recall, precision
}

func open(t testing.TB, path string) *Importer {
	t.Helper()
	im, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { im.Close() })
	return im
}

func TestLostBug(t *testing.T) {
	es, meta := judge(t, open(t, filepath.Join(captures(t), "2l-lost-bug", "trace.txt.zst")))
	want := []float64{521.271, 503.466, 509.709, 526.656}
	for _, e := range es {
		t.Logf("%+v", *e)
	}
	for _, n := range meta.Notes {
		t.Log(n)
	}
	if len(es) != len(want) {
		t.Fatalf("got %d lost events, want the %d of the buggy rounds", len(es), len(want))
	}
	for i, e := range es {
		delay := float64(e.ended-e.exposures[0].at) / 1e6
		if e.port != 130 || e.exposures[0].vcpu != 1 || e.turned != 1 || e.by != 0 || e.rescuer != 132 || math.Abs(delay/want[i]-1) > 0.02 {
			t.Errorf("round %d: got %+v with a delay of %.3f ms, want port 130, vcpu 1, rescued by 132 after %.3f ms", i, *e, delay, want[i])
		}
	}
}

func TestBugKernel(t *testing.T) {
	for _, name := range []string{"2l-bugkernel-sparse-tsc", "2l-bugkernel-small"} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(captures(t), name)
			es, meta := judge(t, open(t, filepath.Join(dir, "trace.txt.zst")))
			for _, n := range meta.Notes {
				t.Log(n)
			}
			recall, precision := compare(t, es, readTruth(t, filepath.Join(dir, "truth.txt")), meta.NsPerTick)
			if recall < 0.99 || precision < 0.99 {
				t.Errorf("got recall %.4f and precision %.4f, want 0.99", recall, precision)
			}
		})
	}
}

func TestGoodKernels(t *testing.T) {
	for _, name := range []string{"2l-goodkernel-sparse-tsc/trace.txt.zst", "2l-small/trace.txt.zst", "2l-domu/trace.txt.zst",
		"2l-clock-counter/trace.txt", "2l-clock-mono_raw/trace.txt", "2l-clock-uptime/trace.txt", "2l-clock-x86-tsc/trace.txt",
		"2l-rawlatfmt/trace.txt", "2l-pipe/trace_pipe.txt.zst", "2l-overrun/trace.txt.zst", "2l-tracecmd/trace-cmd-report.txt.zst",
		"2l-tracecmd/trace-cmd-report-R.txt.zst", "2l-xentrace/ftrace-x86-tsc.txt.zst", "2l-large-tsc/trace.txt.zst", "fifo-small/trace.txt.zst"} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && strings.Contains(name, "large") {
				t.Skip("short")
			}
			es, meta := judge(t, open(t, filepath.Join(captures(t), name)))
			for _, e := range es {
				t.Errorf("got %+v, want nothing lost", *e)
			}
			t.Logf("%d vcpus, ABI %s, clock %s, %s of %g ns, %d events, %d gaps, complete %v, unknown %q", meta.VCPUs, meta.ABI, meta.Clock, meta.Unit,
				meta.NsPerTick, meta.Events, meta.Gaps, meta.Complete, meta.Unknown)
			for _, n := range meta.Notes {
				t.Log(n)
			}
			if !meta.Complete {
				t.Error("got an incomplete trace")
			}
		})
	}
}

// largeText gives the first n bytes of text of the large capture, cut at a line.
func largeText(t testing.TB, n int) []byte {
	t.Helper()
	f, err := os.Open(filepath.Join(captures(t), "2l-large-tsc", "trace.txt.zst"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := zstd.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	b := make([]byte, n)
	got, err := io.ReadFull(z, b)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
	b = b[:got]
	for len(b) > 0 && b[len(b)-1] != '\n' {
		b = b[:len(b)-1]
	}
	return b
}
