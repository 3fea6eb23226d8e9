package consoledump

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/dump"
	"github.com/evtrace/evtrace/evtchn/dump/dumptest"
	"github.com/evtrace/evtrace/evtchn/text"
)

func opener(s string) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(s)), nil }
}

// importAll gives all events of a text.
func importAll(t rapid.TB, s string, opt ImportOptions) ([]evtchn.Event, *Importer) {
	t.Helper()
	im, err := NewImporter(opener(s), "x", opt)
	if err != nil {
		t.Fatalf("%v\n%s", err, s)
	}
	var evs []evtchn.Event
	for {
		var ev evtchn.Event
		if err := im.Next(&ev); err == io.EOF {
			return evs, im
		} else if err != nil {
			t.Fatalf("%v\n%s", err, s)
		}
		evs = append(evs, ev)
	}
}

// TestStateIsTheDump: the state that the events add up to says what the last dump says, and the events survive the text form.
func TestStateIsTheDump(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := dumptest.New(rapid.SampledFrom([]string{"2l", "fifo"}).Draw(t, "abi"), pick(t))
		st := drawStyle(t)
		st.Old = false
		pr := dumptest.Printer{Style: st}
		dom := rapid.SampledFrom([]int{Lowest, 0, 1}).Draw(t, "domain")
		var last []*dump.Dump
		var b strings.Builder
		for range rapid.IntRange(1, 3).Draw(t, "samples") {
			last = w.Sample(true)
			b.WriteString(pr.Print(last, 3))
		}
		evs, im := importAll(t, b.String(), ImportOptions{Domain: dom})
		meta := im.FinalMeta()
		s, err := evtchn.NewState(meta)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		tw := text.NewWriter(&out, meta)
		for i := range evs {
			ev := &evs[i]
			if ev.Seq != evtchn.Seq(i+1) || i > 0 && ev.Time < evs[i-1].Time {
				t.Fatalf("event %d is %v after %v", i+1, ev, evs[max(i, 1)-1])
			}
			s.Apply(ev)
			if err := tw.Add(ev); err != nil {
				t.Fatal(err)
			}
		}
		for _, d := range last {
			if d.Domain != max(dom, 0) {
				continue
			}
			for i := range d.Ports {
				p := &d.Ports[i]
				ps := s.PortAt(p.Port)
				if s.Pending(p.Port) != p.Pending || s.Masked(p.Port) != p.Masked || ps.Status != p.Status || ps.Notify != p.Notify || ps.Peer != p.Peer() {
					t.Fatalf("port %d: pending %s, masked %s, %s, notify %d, peer %#x\nwant %+v", p.Port, s.Pending(p.Port), s.Masked(p.Port), ps.Status,
						ps.Notify, ps.Peer, *p)
				}
				if got := s.Selected(p.Notify, s.Word(p.Port)); meta.ABI == "2l" && got != p.Sel {
					t.Fatalf("port %d: selector bit %s, want %s", p.Port, got, p.Sel)
				}
			}
			for i := range d.VCPUs {
				v := &d.VCPUs[i]
				if got := s.V[v.ID]; got.Up != v.Up || got.Umask != v.Umask || got.Run != v.Run() {
					t.Fatalf("vcpu %d: UP %s, UMASK %s, %s; want %s, %s, %s", v.ID, got.Up, got.Umask, got.Run, v.Up, v.Umask, v.Run())
				}
			}
		}
	})
}

func TestImportDomains(t *testing.T) {
	const two = `(XEN) Event channel information for domain 3:
(XEN)        1 [0/0/0]: s=5 n=0 x=0 v=0
(XEN)        2 [1/0/0]: s=3 n=1 x=0 d=5 p=1
(XEN) Event channel information for domain 5:
(XEN)        1 [0/0/  -   ]: s=3 n=0 x=0 d=3 p=2
`
	evs, im := importAll(t, two, ImportOptions{Domain: Lowest})
	m := im.FinalMeta()
	if m.ABI != "2l" || m.VCPUs != 2 || m.Unit != "ticks" || m.Clock != "ordinal" || evs[len(evs)-1].Dom != 3 {
		t.Errorf("%+v\n%+v", m, evs)
	}
	if notes := strings.Join(m.Notes, "\n"); !strings.Contains(notes, "the trace is of domain 3; the text has dumps of domains 3 (1 dump), 5 (1 dump)") {
		t.Errorf("notes:\n%s", notes)
	}
	if evs, im := importAll(t, two, ImportOptions{Domain: 5}); im.Meta().ABI != "fifo" || len(evs) != 3 {
		t.Errorf("%+v\n%+v", im.Meta(), evs)
	}
	if _, err := NewImporter(opener(two), "x", ImportOptions{Domain: 4}); !errors.Is(err, ErrDomain) {
		t.Errorf("domain 4: %v, want %v", err, ErrDomain)
	}
	if _, err := NewImporter(opener("nothing\n"), "x", ImportOptions{}); !errors.Is(err, ErrNone) {
		t.Errorf("nothing: %v, want %v", err, ErrNone)
	}
}

// TestPlaces: what cannot be read is counted and located.
func TestPlaces(t *testing.T) {
	const s = `(XEN) Event channel information for domain 0:
(XEN)        1 [0/0/0]: s=5 n=0 x=0 v=0
(XEN)        2 [0/7/0]: s=6 n=0 x=0
(XEN)        3 [0/0/0]: s=9 n=0 x=0
(XEN) printk: 12 messages suppressed.
(XEN)        4 [0/0/0]: s=3 n=0
other text
(XEN)        5 [0/0/0]: s=6 n=0 x=0(XEN)        6 [0/0/0]: s=6 n=1 x=0
	`
	ds, sum, err := ReadAll(strings.NewReader(s), "x", Options{})
	if err != nil || len(ds) != 1 {
		t.Fatal(err, ds)
	}
	var got []evtchn.Port
	for _, p := range ds[0].Ports {
		got = append(got, p.Port)
	}
	if d := cmp.Diff([]evtchn.Port{1, 5, 6}, got); d != "" || ds[0].Whole {
		t.Errorf("ports (-want +got)\n%s", d)
	}
	if sum.Broken != 3 || sum.First.Line != 3 || sum.Lost != 1 || sum.LostAt.Line != 5 || sum.Headless != 0 {
		t.Errorf("%+v", sum)
	}
	if _, _, err := ReadAll(strings.NewReader(s), "x", Options{Strict: true}); !errors.Is(err, ErrLine) || !strings.Contains(err.Error(), "x:3: ") {
		t.Errorf("strict: %v", err)
	}
}
