package consoledump

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/evtrace/evtrace/analyze/doctor"
	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/dump"
	"github.com/evtrace/evtrace/evtchn/dump/dumptest"
)

// TestPlantedInText: whatever a dump is pasted into, each planted fault is found, as one that stands if two dumps show it, and nothing
// is called lost that is not.
func TestPlantedInText(t *testing.T) {
	for _, abi := range []string{"2l", "fifo", "2008"} {
		world := strings.Replace(abi, "2008", "2l", 1)
		faults := dumptest.Faults(world)
		if abi == "2008" { // this form shows no selector
			faults = slices.DeleteFunc(faults, func(f dumptest.Fault) bool { return f == dumptest.UpClear || f == dumptest.NotWoken })
		}
		t.Run(abi, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				plantedInText(t, world, rapid.SampledFrom(faults).Draw(t, "fault"), abi == "2008")
			})
		})
	}
}

func plantedInText(t *rapid.T, abi string, f dumptest.Fault, old bool) {
	w := dumptest.New(abi, pick(t))
	d := w.Domains[0]
	port := w.Plant(f, d)
	if port == evtchn.NoPort {
		t.Skip("no port for it")
	}
	pr := dumptest.Printer{Style: drawStyle(t)}
	pr.Old = old
	both := pr.Print(calm(w.Sample(true), port), 3) + "\nand again:\n" + pr.Print(calm(w.Sample(true), port), 5)
	cut := rapid.SampledFrom([]string{"", "", "begin", "end"}).Draw(t, "cut")
	lines := strings.SplitAfter(both, "\n")
	switch n := rapid.IntRange(1, 8).Draw(t, "lines"); cut {
	case "begin": // a ring buffer that has wrapped: the announcement and the header may be gone
		lines = lines[n:]
	case "end":
		lines = lines[:len(lines)-n]
	}
	text := strings.Join(lines, "")
	ds, sum, err := ReadAll(strings.NewReader(text), "x", Options{})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	e := doctor.New(doctor.Options{})
	for _, d := range ds {
		e.Add(d)
	}
	r := e.Finish()
	found := false
	for i := range r.Suspects {
		s := &r.Suspects[i]
		at := s.Domain != nil && *s.Domain == d.ID && s.Port == port
		switch {
		case at && string(s.Class) == f.Class():
			found = true
			if cut == "" && (s.Persisted == nil || !*s.Persisted) {
				t.Fatalf("it stands in both, and persisted is %v\n%s", s.Persisted, text)
			}
		case s.Class == doctor.ClassLost:
			t.Fatalf("it is not lost: %+v\n%+v\n%s", *s, sum, text)
		}
	}
	if !found {
		t.Fatalf("port %d of domain %d is not among the suspects: %+v\n%+v\n%s", port, d.ID, r.Suspects, sum, text)
	}
}

// calm takes out of a sample what is in flight: key q, printed right after key e, would have to show it, too.
func calm(ds []*dump.Dump, port evtchn.Port) []*dump.Dump {
	for _, d := range ds {
		for i := range d.Ports {
			if p := &d.Ports[i]; p.Exposed() && (d.Domain != 0 || p.Port != port) {
				p.Pending = evtchn.Zero
			}
		}
	}
	return ds
}
