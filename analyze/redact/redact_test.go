package redact_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/analyze/redact"
	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/system"
	"github.com/evtrace/evtrace/evtchn/text"
	"github.com/evtrace/evtrace/replay"
)

// memory is a trace in memory.
type memory struct {
	meta   evtchn.Meta
	events []evtchn.Event
}

func (m *memory) Meta() evtchn.Meta                    { return m.meta }
func (m *memory) Events(from evtchn.Seq) evtchn.Source { return &cursor{m.events[from-1:]} }

type cursor struct{ events []evtchn.Event }

func (c *cursor) Next(ev *evtchn.Event) error {
	if len(c.events) == 0 {
		return io.EOF
	}
	*ev, c.events = c.events[0], c.events[1:]
	return nil
}

// secretive is a scenario whose name, prose, comments and tasks are nobody's business.
func secretive(t testing.TB, name string, seed uint64, limit evtchn.Time) *memory {
	t.Helper()
	sc, err := system.Builtin(name)
	if err != nil {
		t.Fatal(err)
	}
	if limit > 0 && limit < sc.Duration {
		if sc, err = sc.Override(0, 0, limit); err != nil {
			t.Fatal(err)
		}
	}
	src := strings.Replace(sc.Text, "\nvcpus:", "\n# zebra-customer of xylophone.example\nvcpus:", 1)
	src = strings.Replace(src, "name: "+name, "name: zebra-"+name, 1)
	src = strings.Replace(src, "start: 100ms..120ms", "start: 1ms..3ms", 1) // so that it is short
	if sc, err = system.Parse("secret.yaml", []byte(src)); err != nil {
		t.Fatal(err)
	}
	p, err := evtchn.ParsePolicy(sc.Policy)
	if err != nil {
		t.Fatal(err)
	}
	s, err := system.New(sc, seed, p, system.Inputs(sc, seed))
	if err != nil {
		t.Fatal(err)
	}
	return read(t, s.Meta(), s)
}

func read(t testing.TB, meta evtchn.Meta, src evtchn.Source) *memory {
	t.Helper()
	m := &memory{meta: meta}
	m.meta.Complete = true
	var ev evtchn.Event
	for {
		switch err := src.Next(&ev); err {
		case nil:
			m.events = append(m.events, ev)
		case io.EOF:
			return m
		default:
			t.Fatal(err)
		}
	}
}

// inText is the trace in text form, with its header.
func inText(t testing.TB, m *memory) []byte {
	t.Helper()
	var b bytes.Buffer
	w := text.NewWriter(&b, m.meta)
	for i := range m.events {
		if err := w.Add(&m.events[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// secrets are the strings that a plan took out: whole, and each line of prose.
func secrets(p *redact.Plan) []string {
	var list []string
	for _, c := range p.Changes {
		switch c.What {
		case "domain", "port", "start of the clock":
			continue
		}
		for line := range strings.Lines(c.From) {
			if line = strings.TrimSpace(line); len(line) >= 3 && (c.What != "scenario" || !strings.Contains(c.From, "\n")) {
				list = append(list, line)
			}
		}
		list = append(list, c.From)
	}
	return list
}

func analyzed(t testing.TB, m *memory) *analyze.Report {
	t.Helper()
	r, err := analyze.Run(m.meta, m.Events(1), analyze.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestSeeds: over 200 seeds of several scenarios, redacted traces keep their verdict and every finding, contain none of the strings that
// were taken out, and can be run again unless they say why not.
func TestSeeds(t *testing.T) {
	scenarios := []struct {
		name  string
		limit evtchn.Time
	}{{"seed-port65", 14_000_000}, {"seed-hot-word", 14_000_000}, {"mixed-load", 7_000_000}, {"seed-rescued", 14_000_000}, {"clean", 8_000_000}}
	seeds := 200
	if testing.Short() {
		seeds = 15
	}
	verdicts := make(map[analyze.Verdict]int)
	dropped, fell := 0, 0
	for seed := range seeds {
		sc := scenarios[seed%len(scenarios)]
		tr := secretive(t, sc.name, uint64(seed), sc.limit)
		survey, err := redact.Look(tr.meta, tr.Events(1))
		if err != nil {
			t.Fatal(err)
		}
		before := analyzed(t, tr)
		verdicts[before.Verdict]++
		for _, opt := range []redact.Options{{}, {Start: 5000}, {Drop: redact.DropPorts}, {Drop: redact.DropAll}} {
			what := fmt.Sprintf("%s, seed %d, %+v", sc.name, seed, opt)
			p := survey.Plan(opt)
			got := read(t, p.Meta, p.Source(tr.Events(1)))
			after := analyzed(t, got)
			diff := redact.Judged(before, after, len(p.Dropped) > 0)
			if len(p.Dropped) > 0 {
				dropped++
			}
			if diff != "" {
				if len(p.Dropped) == 0 {
					t.Errorf("%s: %s", what, diff)
				}
				fell++ // the caller drops less then
				continue
			}
			data := inText(t, got)
			for _, s := range secrets(p) {
				if bytes.Contains(data, []byte(s)) {
					t.Errorf("%s: %q is still in it", what, s)
				}
			}
			for _, s := range []string{"zebra", "xylophone"} {
				if bytes.Contains(data, []byte(s)) {
					t.Errorf("%s: %q is still in it", what, s)
				}
			}
			_, err := replay.Verify(context.Background(), got, replay.Options{})
			if p.Again != (err == nil) || p.Again == (p.Why != "") {
				t.Errorf("%s: again %t (%s), but %v", what, p.Again, p.Why, err)
			}
			if opt.Start == 0 && !p.Again && len(p.Dropped) == 0 {
				t.Errorf("%s: cannot be run again: %s", what, p.Why)
			}
			if len(got.events) > 0 && got.events[0].Time != opt.Start {
				t.Errorf("%s: begins at %d", what, got.events[0].Time)
			}
		}
	}
	t.Logf("verdicts before and after: %v; ports dropped in %d plans, of which %d were given up", verdicts, dropped, fell)
	if !testing.Short() && (verdicts[analyze.VerdictLost] < 5 || verdicts[analyze.VerdictClean] < 5 || dropped == 0 || fell*2 > dropped) {
		t.Errorf("got verdicts %v, %d plans with ports dropped, %d given up: want some of each, and few given up", verdicts, dropped, fell)
	}
}

// capture is a small trace with everything in it that has to go.
func capture() *memory {
	m := &memory{meta: evtchn.Meta{Format: evtchn.FormatVersion, Source: evtchn.SourceObserved, ABI: "2l", VCPUs: 2, WordBits: 64, Clock: "mono", Unit: "ns",
		NsPerTick: 1, Complete: true, Origin: "trace.acme.txt", Unknown: []string{"acme_unmask", "sched_switch"}, Notes: []string{"acme: kprobes missed 3"},
		Counts: map[string]uint64{"acme_unmask": 3, "mask": 9}, Missed: map[string]uint64{"acme_unmask": 1}, BrokenAt: "line 7: acme",
		Tasks: []string{"idle", "acme-daemon-77"}}}
	add := func(ev evtchn.Event) {
		ev.Seq = evtchn.Seq(len(m.events) + 1)
		ev.Time = 7_000_000 + evtchn.Time(ev.Seq)*100
		m.events = append(m.events, ev)
	}
	add(evtchn.Event{Kind: evtchn.KindOp, Ctx: evtchn.TaskCtx(1), Args: [3]uint64{uint64(evtchn.OpBindRemote), 41, 12}, Flags: evtchn.FlagInput})
	add(evtchn.Event{Kind: evtchn.KindHypercall, Ctx: evtchn.CtxXen, Args: [3]uint64{uint64(evtchn.HCBindInterdomain), 41, 12}})
	add(evtchn.Event{Kind: evtchn.KindPortBind, Ctx: evtchn.CtxXen, Port: 65, Args: [3]uint64{uint64(evtchn.PortInterdomain), 0, 41<<32 | 12}})
	add(evtchn.Event{Kind: evtchn.KindPortBind, Ctx: evtchn.CtxXen, Port: 66, Args: [3]uint64{uint64(evtchn.PortVIRQ), 0, 41}})
	add(evtchn.Event{Kind: evtchn.KindPortBind, Ctx: evtchn.CtxXen, Port: 67, Args: [3]uint64{uint64(evtchn.PortUnbound), 0, 0x7ff0 << 32}})
	add(evtchn.Event{Kind: evtchn.KindSend, VCPU: evtchn.NoVCPU, Port: 65, Args: [3]uint64{41}, Dom: 38, Flags: evtchn.FlagInput})
	add(evtchn.Event{Kind: evtchn.KindForeignSend, Ctx: evtchn.CtxXen, Port: 65, Args: [3]uint64{38, 4}, Cause: 6})
	add(evtchn.Event{Kind: evtchn.KindUnknownEvt, VCPU: 1, Args: [3]uint64{1}})
	return m
}

// TestCapture: domains are numbered anew wherever they are, names are gone, and nothing else has changed.
func TestCapture(t *testing.T) {
	tr := capture()
	survey, err := redact.Look(tr.meta, tr.Events(1))
	if err != nil {
		t.Fatal(err)
	}
	p := survey.Plan(redact.Options{})
	got := read(t, p.Meta, p.Source(tr.Events(1)))
	data := string(inText(t, got))
	for _, s := range []string{"acme", "41", "38", "7000"} {
		if strings.Contains(data, s) {
			t.Errorf("%q is still in it:\n%s", s, data)
		}
	}
	for _, s := range []string{"op=bind_interdomain a=1 b=12", "call=bind_interdomain a=1 b=12", "peer=0x10000000c", "peer=0x7ff000000000",
		"dom=1", "dom=2 rport=p4", "task: 0 idle", "task: 1 task-1", "unknown: 0 record-0", "count: 3 record-0", "count: 9 mask", "missed: 1 record-0"} {
		if !strings.Contains(data, s) {
			t.Errorf("%q is not in it:\n%s", s, data)
		}
	}
	if ev := got.events[3]; ev.Args[2] != 41 {
		t.Errorf("the VIRQ's number, which is no domain, became %d", ev.Args[2])
	}
	if !slices.ContainsFunc(p.Changes, func(c redact.Change) bool { return c == redact.Change{What: "domain", From: "41", To: "1"} }) {
		t.Errorf("the list does not have domain 41: %+v", p.Changes)
	}
	if p.Again || p.Why != "" {
		t.Errorf("a capture: again %t, %q", p.Again, p.Why)
	}
	if m := tr.meta; m.Tasks[1] != "acme-daemon-77" || m.Unknown[0] != "acme_unmask" {
		t.Error("the original was changed")
	}
}

// TestBounded: the names of a bounded scenario go, wherever they are mentioned.
func TestBounded(t *testing.T) {
	sc, err := system.Builtin("write-back")
	if err != nil {
		t.Fatal(err)
	}
	survey, err := redact.Look(evtchn.Meta{Format: 1, Source: evtchn.SourceSim, ABI: "2l", VCPUs: 2, WordBits: 64, Unit: "ns", NsPerTick: 1, Scenario: sc.Text, Tasks: []string{"dm"}}, &cursor{})
	if err != nil {
		t.Fatal(err)
	}
	p := survey.Plan(redact.Options{})
	if !p.Again {
		t.Fatalf("%s", p.Why)
	}
	for _, s := range []string{"hot", "dm", "evtchn.c", "device model"} {
		if strings.Contains(p.Meta.Scenario, s) {
			t.Errorf("%q is still in the scenario:\n%s", s, p.Meta.Scenario)
		}
	}
	if !strings.Contains(p.Meta.Scenario, "serve port-1") {
		t.Errorf("the task does not serve its port:\n%s", p.Meta.Scenario)
	}
}
