package consoledump

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/dump"
	"github.com/evtrace/evtrace/evtchn/dump/dumptest"
)

// drawStyle draws a way of pasting. Wrapping a squashed line is left out: nothing of a FIFO row's column is left then.
func drawStyle(t *rapid.T) dumptest.Style {
	st := dumptest.Style{
		Old:    rapid.Bool().Draw(t, "old"),
		XEN:    rapid.Bool().Draw(t, "xen"),
		Stamps: rapid.SampledFrom([]string{"", "boot", "date", "outer", "syslog", "journal"}).Draw(t, "stamps"),
		Quote:  rapid.SampledFrom([]string{"", "", "> ", "> > ", ">> ", "| "}).Draw(t, "quote"),
		Wrap:   rapid.SampledFrom([]int{0, 0, 72, 76, 60}).Draw(t, "wrap"),
		CRLF:   rapid.Bool().Draw(t, "crlf"),
		Colour: rapid.Bool().Draw(t, "colour"),
		Fence:  rapid.Bool().Draw(t, "fence"),
		Squash: rapid.Bool().Draw(t, "squash"),
		Noise:  rapid.Bool().Draw(t, "noise"),
		Label:  rapid.SampledFrom([]string{"", "system_u:object_r:domU_t-dom0_evchn"}).Draw(t, "label"),
		QP:     rapid.Bool().Draw(t, "qp"),
	}
	if st.Wrap > 0 {
		st.Colour = false // the escape at the end would be a piece of its own
		if st.Stamps == "syslog" || st.Stamps == "journal" {
			st.Wrap = 100
		}
	}
	return st
}

// pick makes the choices of a world, from a seed that is drawn.
func pick(t *rapid.T) func(int) int {
	return rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)).IntN
}

// TestReadsWhatIsPrinted: whatever a dump is pasted into, what it says comes out.
func TestReadsWhatIsPrinted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := dumptest.New(rapid.SampledFrom([]string{"2l", "fifo"}).Draw(t, "abi"), pick(t))
		st := drawStyle(t)
		pr := dumptest.Printer{Style: st}
		var want []*dump.Dump
		var text strings.Builder
		for range rapid.IntRange(1, 3).Draw(t, "samples") {
			ds := w.Sample(rapid.Bool().Draw(t, "q"))
			want = append(want, ds...)
			text.WriteString(pr.Print(ds, 3))
		}
		got, sum, err := ReadAll(strings.NewReader(text.String()), "x", Options{Strict: true})
		if err != nil {
			t.Fatalf("%v\n%s", err, text.String())
		}
		expect(want, &st)
		opts := cmp.Options{cmpopts.IgnoreFields(dump.Dump{}, "Name", "Line", "Last", "Time", "Press"), cmpopts.IgnoreFields(dump.Port{}, "Line"),
			cmpopts.IgnoreFields(dump.VCPU{}, "Line"), cmpopts.EquateEmpty()}
		if d := cmp.Diff(want, got, opts); d != "" {
			t.Fatalf("(-want +got)\n%s\n%+v\n%s", d, sum, text.String())
		}
		for i, d := range got {
			if st.Stamps != "" && (st.XEN || st.Stamps != "boot" && st.Stamps != "date") && !d.Time.Known() {
				t.Fatalf("dump %d has no time\n%s", i, text.String())
			}
			for j := range d.Ports {
				if d.Ports[j].Line < d.Line || d.Ports[j].Line > d.Last {
					t.Fatalf("port %d at line %d, the dump is from %d to %d", d.Ports[j].Port, d.Ports[j].Line, d.Line, d.Last)
				}
			}
		}
	})
}

// expect takes from the dumps what a style does not show.
func expect(ds []*dump.Dump, st *dumptest.Style) {
	for _, d := range ds {
		for i := range d.Ports {
			p := &d.Ports[i]
			p.Label = st.Label
			if st.Old {
				p.Link, p.Next, p.Sel, p.Busy = dump.LinkUnknown, 0, evtchn.Unknown, false
			}
		}
		if st.Old && d.Source == dump.KeyE {
			d.Format = dump.Format2008
		}
	}
}
