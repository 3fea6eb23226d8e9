package profile

import (
	"bytes"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	pprof "github.com/google/pprof/profile"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/system"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// simulate builds the profile of a built-in scenario, and writes and reads it.
func simulate(t testing.TB, name, policy string) (*pprof.Profile, *analyze.Report) {
	t.Helper()
	sc, err := system.Builtin(name)
	if err != nil {
		t.Fatal(err)
	}
	p, err := evtchn.ParsePolicy(policy)
	if err != nil {
		t.Fatal(err)
	}
	sys, err := system.New(sc, 1, p, system.Inputs(sc, 1))
	if err != nil {
		t.Fatal(err)
	}
	b, err := New(sys.Meta(), Options{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	for {
		var ev evtchn.Event
		if err := sys.Next(&ev); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if err := b.Add(&ev); err != nil {
			t.Fatal(err)
		}
	}
	var buf bytes.Buffer
	if err := b.Profile().Write(&buf); err != nil {
		t.Fatal(err)
	}
	out, err := pprof.Parse(&buf)
	if err != nil {
		t.Fatal(err)
	}
	if err := out.CheckValid(); err != nil {
		t.Fatal(err)
	}
	return out, b.Report()
}

// total adds up a value of the samples that keep chooses.
func total(p *pprof.Profile, value int, keep func(*pprof.Sample) bool) int64 {
	var n int64
	for _, s := range p.Sample {
		if keep == nil || keep(s) {
			n += s.Value[value]
		}
	}
	return n
}

func has(label, value string) func(*pprof.Sample) bool {
	return func(s *pprof.Sample) bool { return s.HasLabel(label, value) }
}

// Whatever is read back adds up to what analyze reports of the same trace, in every scenario under several policies.
func TestSums(t *testing.T) {
	for _, sc := range system.Builtins() {
		for _, policy := range []string{"xen-2005", "any-vcpu", "tick-sweep", "linux-2021"} {
			if sc.Name == "mixed-load" && policy != "linux-2021" || testing.Short() && policy != "any-vcpu" {
				continue // it takes a second
			}
			t.Run(sc.Name+"/"+policy, func(t *testing.T) {
				p, r := simulate(t, sc.Name, policy)
				timed := func(s *pprof.Sample) bool {
					return s.HasLabel("end", "delivered") || s.HasLabel("end", "cleared") || !s.HasLabel("verdict", "ok") && len(s.Label["end"]) == 0
				}
				for _, x := range []struct {
					what  string
					value int
					keep  func(*pprof.Sample) bool
					want  uint64
				}{
					{"events", valEvents, nil, r.Totals.Episodes},
					{"delays with a handler", valDelay, timed, uint64(r.Latency.Sum)},
					{"hypercalls", valHypercalls, nil, r.Costs.Hypercalls},
					{"upcalls", valUpcalls, nil, r.Costs.Upcalls},
					{"lost", valFindings, has("verdict", "lost"), r.Totals.Lost},
					{"late", valFindings, has("verdict", "late"), r.Totals.Late},
					{"duplicate", valFindings, has("verdict", "duplicate"), r.Totals.Duplicate},
					{"concurrent", valFindings, has("verdict", "concurrent"), r.Totals.Concurrent},
					{"wrong vcpu", valFindings, has("verdict", "wrong-vcpu"), r.Totals.WrongVCPU},
					{"unknown", valFindings, has("verdict", "unknown"), r.Totals.Unknown},
				} {
					if got := total(p, x.value, x.keep); got != int64(x.want) {
						t.Errorf("%s: got %d, want %d", x.what, got, x.want)
					}
				}
				l := newListing(policy, false)
				for _, g := range r.Groups {
					if l.start[string(g.Cause)] == 0 {
						t.Errorf("%s: not in the listing", g.Cause)
					}
				}
				if r.Totals.Lost+r.Totals.Late == 0 && total(p, valUnnoticed, nil) != 0 {
					t.Errorf("got %d ns unnoticed, and nothing was", total(p, valUnnoticed, nil))
				}
			})
		}
	}
}

// Every line that a stack names is a line of the listing, and says what the function is.
func TestListing(t *testing.T) {
	for _, pre := range evtchn.Presets() {
		p, _ := simulate(t, "seed-port65", pre.Name)
		lines := strings.Split(string(Listing(pre.Name)), "\n")
		for _, l := range p.Location {
			f, n := l.Line[0].Function, l.Line[0].Line
			if f.Filename != ListingName || n < 1 || int(n) > len(lines) || f.StartLine < 1 || f.StartLine > n {
				t.Errorf("%s: %s at %s:%d, from %d; the listing has %d lines", pre.Name, f.Name, f.Filename, n, f.StartLine, len(lines))
				continue
			}
			if head := lines[f.StartLine-1]; !strings.Contains(head, f.Name) && !strings.HasPrefix(f.Name, "vcpu") && f.Name != "no vcpu" {
				t.Errorf("%s: %s starts at line %d: %q", pre.Name, f.Name, f.StartLine, head)
			}
		}
	}
}

// All policies that have a name have the same listing; one that is composed may add to its end.
func TestListings(t *testing.T) {
	all := Listing("")
	for _, pre := range evtchn.Presets() {
		if !bytes.Equal(Listing(pre.Name), all) {
			t.Errorf("%s has a listing of its own", pre.Name)
		}
	}
	if got := newListing("", true).text.Bytes(); !bytes.Equal(got, all) {
		t.Error("captures have a listing of their own")
	}
	if !bytes.HasPrefix(Listing("bind=quiet,unmask=request,tick=sweep"), all) {
		t.Error("a composed policy changes what is listed of the others")
	}
}

// The report's loss is the first thing to be seen, and the difference to its fix is that it is gone.
func TestSeed(t *testing.T) {
	flat := func(p *pprof.Profile) map[string]int64 {
		sums := make(map[string]int64)
		for _, s := range p.Sample {
			sums[s.Location[0].Line[0].Function.Name] += s.Value[valDelay]
		}
		return sums
	}
	bad, _ := simulate(t, "seed-port65", "xen-2005")
	good, _ := simulate(t, "seed-port65", "unmask-hypercall")
	cause := string(analyze.CauseMaskedElsewhere)
	f := flat(bad)
	for name, d := range f {
		if name != cause && d >= f[cause] {
			t.Errorf("%s has %d ns, %s only %d", name, d, cause, f[cause])
		}
	}
	bad.Scale(-1)
	diff, err := pprof.Merge([]*pprof.Profile{good, bad})
	if err != nil {
		t.Fatal(err)
	}
	if d := flat(diff); d[cause] != -f[cause] || f[cause] < 200_000_000 {
		t.Errorf("got %d ns in the difference, want %d less", d[cause], f[cause])
	}
}

func TestGolden(t *testing.T) {
	p, _ := simulate(t, "seed-port65", "xen-2005")
	for name, got := range map[string]string{"seed-port65.txt": p.String(), ListingName: string(Listing(""))} {
		path := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// A trace whose unit is not known is not said to be in nanoseconds.
func TestTicks(t *testing.T) {
	b, err := New(evtchn.Meta{Source: evtchn.SourceObserved, ABI: "2l", VCPUs: 2, WordBits: 64, Unit: "ticks", Clock: "x86-tsc"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if p := b.Profile(); p.SampleType[valDelay].Unit != "ticks" || p.DurationNanos != 0 {
		t.Errorf("got delays in %s, and a duration of %d ns", p.SampleType[valDelay].Unit, p.DurationNanos)
	}
}
