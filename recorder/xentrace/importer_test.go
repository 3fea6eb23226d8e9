package xentrace

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/text"
)

// imported reads a whole trace, and gives its events in the text form.
func imported(t testing.TB, b []byte, opt Options, from ...evtchn.Time) ([]string, *Importer) {
	t.Helper()
	im, err := New(bytes.NewReader(b), "t.bin", opt)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range from {
		im.From(f)
	}
	var lines []string
	var ev evtchn.Event
	for {
		err := im.Next(&ev)
		if err == io.EOF {
			return lines, im
		} else if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, string(text.AppendEvent(nil, &ev)))
	}
}

func want(t *testing.T, got []string, lines string) {
	t.Helper()
	if d := cmp.Diff(strings.Split(strings.TrimSpace(lines), "\n"), got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

// Windows of two rounds are put in order; hypercalls are the current vcpu's of their CPU, whatever the other CPUs do; other domains and
// other hypercalls are counted only.
func TestEvents(t *testing.T) {
	b := new(builder).
		cpu(0).state(100, 0, 0, runnable, running).call(110, callEvtchn, 4).state(300, 0, 0, running, blocked).state(301, 0x7fff, 0, runnable, running).
		cpu(1).state(105, 0, 1, runnable, running).call(106, callEvtchn, 4).call(107, 29, 1).state(120, 0, 1, running, runnable).
		state(121, 1, 0, runnable, running).call(122, callEvtchn, 4).
		cpu(0).state(400, 0, 1, runnable, running).rec(idContinue, 500, 0<<16|1).
		cpu(1).state(350, 0, 0, blocked, runnable).bytes()
	got, im := imported(t, b, Options{VCPUs: 2})
	want(t, got, `
1 100 - - sched.state target=v0 from=runnable to=running = 0
2 105 - - sched.state target=v1 from=runnable to=running = 1
3 106 v1 xen xen.call number=32
4 110 v0 xen xen.call number=32
5 120 - - sched.state target=v1 from=running to=runnable = 1
6 300 - - sched.state target=v0 from=running to=blocked = 0
7 350 - - sched.state target=v0 from=blocked to=runnable = 1
8 400 - - sched.state target=v1 from=runnable to=running = 0
`)
	tot := im.Totals()
	if tot.Records != 13 || tot.First != 100 || tot.Last != 500 || tot.ByName["hypercall"] != 4 || tot.ByName["runstate_change runnable->running"] != 5 {
		t.Errorf("got totals %+v", tot)
	}
	got, _ = imported(t, b, Options{Domain: 1})
	want(t, got, `
1 121 d1v- - sched.state target=v0 from=runnable to=running = 1
2 122 d1v0 xen xen.call number=32
`)
}

// A vcpu polls if the hypercall before it slept says so.
func TestPolling(t *testing.T) {
	b := new(builder).cpu(0).state(10, 0, 0, runnable, running).call(11, callSched, 1).state(12, 0, 0, running, blocked).
		state(20, 0, 0, blocked, runnable).state(21, 0, 0, runnable, running).call(22, callSched, schedOpPoll).state(23, 0, 0, running, blocked).
		state(30, 0, 0, blocked, runnable).state(31, 0, 0, runnable, running).call(32, callSched, schedOpPoll).call(33, callEvtchn, 9).
		state(34, 0, 0, running, blocked).bytes()
	got, _ := imported(t, b, Options{})
	var states []string
	for _, l := range got {
		if _, s, ok := strings.Cut(l, "from="); ok {
			states = append(states, s)
		}
	}
	want(t, states, `
runnable to=running = 0
running to=blocked = 0
blocked to=runnable = 0
runnable to=running = 0
running to=polling = 0
polling to=runnable = 0
runnable to=running = 0
running to=blocked = 0
`)
}

// Beside another trace: the states as they were when it began, and nothing is known after the end.
func TestFrom(t *testing.T) {
	b := new(builder).cpu(0).state(100, 0, 0, runnable, running).state(200, 0, 0, running, blocked).
		cpu(1).state(150, 0, 1, runnable, running).state(180, 0, 2, blocked, runnable).state(400, 0, 1, running, runnable).
		rec(idContinue, 450, 0x7fff0001).bytes()
	got, _ := imported(t, b, Options{VCPUs: 3}, 190)
	want(t, got, `
1 190 - - sched.state target=v0 from=unknown to=running = 0 inferred
2 190 - - sched.state target=v1 from=unknown to=running = 1 inferred
3 190 - - sched.state target=v2 from=unknown to=runnable = 1 inferred
4 200 - - sched.state target=v0 from=running to=blocked = 0
5 400 - - sched.state target=v1 from=running to=runnable = 1
6 450 - - sched.state target=v0 from=blocked to=unknown = 0 inferred
7 450 - - sched.state target=v1 from=runnable to=unknown = 1 inferred
8 450 - - sched.state target=v2 from=runnable to=unknown = 1 inferred
`)
	if got, _ := imported(t, b, Options{VCPUs: 3}, 1000); len(got) != 0 {
		t.Errorf("after the end: got %q, want nothing", got)
	}
}

// While records of a CPU are lost, only a vcpu that runs on another one is known to do so.
func TestLost(t *testing.T) {
	b := new(builder).cpu(0).state(100, 0, 0, runnable, running).state(101, 0, 2, running, blocked).state(500, 0, 0, running, blocked).
		cpu(1).state(110, 0, 1, runnable, running).lost(400, 77, 0, 1, 200).call(410, callEvtchn, 4).state(420, 0, 1, running, blocked).
		state(430, 0, 2, blocked, runnable).bytes()
	got, im := imported(t, b, Options{VCPUs: 3})
	want(t, got, `
1 100 - - sched.state target=v0 from=runnable to=running = 0
2 101 - - sched.state target=v2 from=running to=blocked = 0
3 110 - - sched.state target=v1 from=runnable to=running = 1
4 200 - - sched.state target=v1 from=running to=unknown = 1
5 200 - - sched.state target=v2 from=blocked to=unknown = 1
6 410 v1 xen xen.call number=32
7 420 - - sched.state target=v1 from=running to=blocked = 1
8 430 - - sched.state target=v2 from=blocked to=runnable = 1
9 500 - - sched.state target=v0 from=running to=blocked = 0
`)
	if tot := im.Totals(); tot.Lost != 77 || tot.Losses != 1 {
		t.Errorf("got %d lost at %d places, want 77 at 1", tot.Lost, tot.Losses)
	}
	if n := strings.Join(im.FinalMeta().Notes, "\n"); !strings.Contains(n, "full at 1 place: 77 records lost") {
		t.Errorf("the notes do not say it: %s", n)
	}
}

// The windows of many CPUs, in rounds as xentrace writes them, come out in the order of time, whatever the CPUs did while the others
// were emptied; and of a file whose windows are in no such order, nothing comes that is out of order.
func TestOrder(t *testing.T) {
	for seed := range uint64(100) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		cpus := 1 + rnd.IntN(6)
		var b builder
		var all []uint64
		now := uint64(1000)
		pending := make([][]uint64, cpus)
		for range 30 {
			for cpu := range cpus {
				for range rnd.IntN(5) { // the others go on while this one waits for its turn
					now += 1 + uint64(rnd.IntN(5))
					c := rnd.IntN(cpus)
					pending[c] = append(pending[c], now)
				}
				if len(pending[cpu]) > 0 {
					b.cpu(cpu)
					for _, tsc := range pending[cpu] {
						b.state(tsc, 0, uint32(cpu), running, runnable)
						all = append(all, tsc)
					}
					pending[cpu] = nil
				}
			}
		}
		for cpu := range cpus { // it is stopped: what is left
			if len(pending[cpu]) == 0 {
				continue
			}
			b.cpu(cpu)
			for _, tsc := range pending[cpu] {
				b.state(tsc, 0, uint32(cpu), running, runnable)
				all = append(all, tsc)
			}
		}
		slices.Sort(all)
		if got := times(t, b.bytes(), 0); !slices.Equal(got, all) {
			t.Fatalf("seed %d: got %v, want %v", seed, got, all)
		}
		got := times(t, b.bytes(), 10)
		if !slices.IsSorted(got) {
			t.Fatalf("seed %d, with little memory: out of order: %v", seed, got)
		}
	}
}

// times gives the times of a trace's events, with a limit to what is held back.
func times(t *testing.T, b []byte, limit int) []uint64 {
	im := &Importer{name: "t.bin", r: NewReader(bytes.NewReader(b), false), t: newTracker(), from: -1 << 63,
		states: make([]*vcpuStat, 8), shown: make([]shownState, 8)}
	im.t.order.limit = limit
	var ev evtchn.Event
	var out []uint64
	for {
		switch err := im.Next(&ev); err {
		case nil:
			out = append(out, uint64(ev.Time))
		case io.EOF:
			if n := len(out) + int(im.t.order.dropped); limit == 0 && im.t.order.dropped > 0 || n != int(im.Totals().Records) {
				t.Fatalf("got %d events and %d left out of %d records", len(out), im.t.order.dropped, im.Totals().Records)
			}
			return out
		default:
			t.Fatal(err)
		}
	}
}

// Options that make no sense, and things that are no traces.
func TestRefused(t *testing.T) {
	good := new(builder).cpu(0).state(1, 0, 0, running, runnable).bytes()
	for _, c := range []struct {
		b    []byte
		opt  Options
		want string
	}{
		{nil, Options{}, "not a trace of xentrace: it is empty"},
		{[]byte("# tracer: nop\n"), Options{}, "no record TRC_TRACE_CPU_CHANGE in 14 bytes"},
		{good[:10], Options{}, "not a trace of xentrace"},
		{good, Options{VCPUs: 129}, "129 vcpus, want 1 to 128"},
		{good, Options{TSCHz: -1}, "TSC frequency: got -1 Hz"},
	} {
		_, err := New(bytes.NewReader(c.b), "t.bin", c.opt)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v, want ... %s", c.b, err, c.want)
		}
		if format := c.opt.VCPUs == 0 && c.opt.TSCHz == 0; format != errors.Is(err, ErrFormat) {
			t.Errorf("%q: %v: class ErrFormat: %v", c.b, err, errors.Is(err, ErrFormat))
		}
	}
}

// Names of records that have one, of those of schedulers, and of others.
func TestNames(t *testing.T) {
	for id, want := range map[ID]string{0x20100d: "hypercall", 0x21021: "runstate_change running->blocked", 0x22215: "csched2:0x15",
		0x22a01: "null:0x1", 0x40f001: "shadow:0x40f001", 0x21041: "sched:0x21041"} {
		if id.String() != want {
			t.Errorf("%#x: got %s, want %s", uint32(id), id, want)
		}
		if known := !strings.Contains(want, ":0x") || id>>12 == schedulerOwn; id.Known() != known {
			t.Errorf("%#x: known %v, want %v", uint32(id), id.Known(), known)
		}
	}
	for id := range names {
		if !id.sound() {
			t.Errorf("%#x is no id", uint32(id))
		}
	}
}

func TestScan(t *testing.T) {
	b := new(builder).cpu(1).state(50, 0, 2, running, runnable).cpu(0).state(20, 3, 9, running, runnable).state(21, 0x7fff, 0, runnable, running).plain(idWrapBuffer, 0, 0).bytes()
	for dom, vcpus := range map[evtchn.DomID]int{0: 3, 3: 10, 7: 0} {
		s, err := Scan(bytes.NewReader(b), dom)
		if want := (Range{First: 20, Last: 50, VCPUs: vcpus, Records: 4, Domains: []evtchn.DomID{0, 3}}); err != nil || !cmp.Equal(s, want) {
			t.Errorf("domain %d: got %+v, %v, want %+v", dom, s, err, want)
		}
	}
}

func TestDomainsText(t *testing.T) {
	for want, doms := range map[string][]evtchn.DomID{"domain 0": {0}, "domains 0 and 1": {0, 1}, "domains 0, 1 and 7": {0, 1, 7}} {
		if got := DomainsText(doms); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestWords: the notes are for people: numbers in groups of three, and no lists as Go writes them.
func TestWords(t *testing.T) {
	b := new(builder).cpu(0)
	for i := range 1234 {
		b.call(uint64(10+i), callEvtchn, 4)
	}
	b.state(5000, 0, 0, runnable, running).state(5001, 1, 0, runnable, running)
	_, im := imported(t, b.bytes(), Options{Domain: 7})
	notes := strings.Join(im.Notes(), "\n")
	for _, want := range []string{"1,234 hypercalls not counted for a vcpu: which one the CPU was running is known only from the first record of the scheduler on that CPU, in t.bin",
		"no change of state of a vcpu of domain 7: it has those of domains 0 and 1"} {
		if !strings.Contains(notes, want) {
			t.Errorf("the notes do not say %q:\n%s", want, notes)
		}
	}
}

func ExampleReader() {
	r := NewReader(bytes.NewReader(new(builder).cpu(2).state(1000, 0, 3, running, blocked).bytes()), false)
	var rec Record
	for r.Next(&rec) == nil {
		fmt.Println(rec.CPU, rec.TSC, rec.ID)
	}
	// Output: 2 1000 runstate_change running->blocked
}
