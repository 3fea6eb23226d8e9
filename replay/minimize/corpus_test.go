package minimize_test

import (
	"context"
	"fmt"
	"io"
	"math/bits"
	"testing"

	"github.com/evtrace/evtrace/analyze"
	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/system"
	"github.com/evtrace/evtrace/replay"
	"github.com/evtrace/evtrace/replay/minimize"
)

// held is a trace in memory.
type held struct {
	meta   evtchn.Meta
	events []evtchn.Event
}

func (h *held) Meta() evtchn.Meta { return h.meta }

func (h *held) Add(ev *evtchn.Event) error {
	h.events = append(h.events, *ev)
	return nil
}

func (h *held) Events(from evtchn.Seq) evtchn.Source { return &cursor{h.events[from-1:]} }

type cursor struct{ left []evtchn.Event }

func (c *cursor) Next(ev *evtchn.Event) error {
	if len(c.left) == 0 {
		return io.EOF
	}
	*ev, c.left = c.left[0], c.left[1:]
	return nil
}

// record runs a scenario and gives its trace.
func record(t testing.TB, text string, seed uint64, policy string) *held {
	t.Helper()
	sc, err := system.Builtin(text)
	if err != nil {
		if sc, err = system.Parse("scenario", []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	p, err := evtchn.ParsePolicy(policy)
	if err != nil {
		t.Fatal(err)
	}
	s, err := system.New(sc, seed, p, system.Inputs(sc, seed))
	if err != nil {
		t.Fatal(err)
	}
	h := &held{meta: s.Meta()}
	h.meta.Complete = true
	var ev evtchn.Event
	for {
		if err := s.Next(&ev); err == io.EOF {
			return h
		} else if err != nil {
			t.Fatal(err)
		}
		h.events = append(h.events, ev)
	}
}

// problem is a recording and what is to be kept of it.
type problem struct {
	in      *replay.Inputs
	policy  evtchn.Policy
	test    minimize.Test[evtchn.Event]
	guesses [][]int
	keep    analyze.Keep
}

func judge(ctx context.Context, in *replay.Inputs, inputs []evtchn.Event, p evtchn.Policy) (*analyze.Watch, *analyze.Report, error) {
	meta := in.Meta(p)
	meta.Duration = inputs[len(inputs)-1].Time
	w, err := analyze.NewWatch(meta)
	if err != nil {
		return nil, nil, err
	}
	if err := in.Run(ctx, inputs, p, w); err != nil {
		return nil, nil, ctx.Err()
	}
	return w, w.Finish(), nil
}

// keeping makes a problem of the first finding of a kind, or of the verdicts under two policies.
func keeping(t testing.TB, tr *held, kind analyze.Kind, others ...string) *problem {
	t.Helper()
	ctx := context.Background()
	in, err := replay.ReadInputs(ctx, tr)
	if err != nil {
		t.Fatal(err)
	}
	p, err := replay.Policy(tr)
	if err != nil {
		t.Fatal(err)
	}
	pr := &problem{in: in, policy: p}
	w, r, err := judge(ctx, in, in.Events, p)
	if err != nil || r == nil {
		t.Fatal("the recording cannot be run", err)
	}
	if len(others) > 0 {
		other, err := evtchn.ParsePolicy(others[0])
		if err != nil {
			t.Fatal(err)
		}
		_, r2, err := judge(ctx, in, in.Events, other)
		if err != nil || r2 == nil || r.Verdict == r2.Verdict {
			t.Fatalf("the policies agree, or %v", err)
		}
		pr.test = func(ctx context.Context, c []evtchn.Event) (minimize.Fact, error) {
			w, a, err := judge(ctx, in, c, p)
			if err != nil || a == nil || a.Verdict != r.Verdict || !w.Up(a) {
				return minimize.Fact{}, err
			}
			v, b, err := judge(ctx, in, c, other)
			if err != nil || b == nil || b.Verdict != r2.Verdict || !v.Up(b) {
				return minimize.Fact{}, err
			}
			return minimize.Fact{Holds: true, Switches: w.Switches, Events: w.Events}, nil
		}
		return pr
	}
	for i := range r.Findings {
		f := &r.Findings[i]
		if f.Kind != kind {
			continue
		}
		pr.keep = w.Keep(f)
		ports := []evtchn.Port{f.Port}
		if f.RescuedByPort != 0 {
			ports = append(ports, f.RescuedByPort)
		}
		pr.guesses, err = minimize.Guesses(tr.Events(1), minimize.Concern{Ports: ports, Steps: f.Evidence, Until: max(f.UnnoticedSeq, f.NoticedSeq)})
		if err != nil {
			t.Fatal(err)
		}
		break
	}
	if pr.keep.Kind == "" {
		t.Fatalf("no finding of kind %s: %s with %d findings", kind, r.Verdict, len(r.Findings))
	}
	pr.test = func(ctx context.Context, c []evtchn.Event) (minimize.Fact, error) {
		w, got, err := judge(ctx, in, c, p)
		if err != nil || got == nil || got.Verdict.Worse(r.Verdict) {
			return minimize.Fact{}, err
		}
		f := w.Find(got, &pr.keep)
		if f == nil {
			return minimize.Fact{}, nil
		}
		return minimize.Fact{Holds: true, Switches: w.Switches, Events: w.Events, Decided: evtchn.Time(f.DecidedAt())}, nil
	}
	return pr
}

// fewest is the size of a smallest set of the recording's inputs that holds, found by trying all of them.
func (pr *problem) fewest(t testing.TB) int {
	t.Helper()
	all := pr.in.Events
	n := len(all) - 1
	best := n + 1
	for set := uint(0); set < 1<<n; set++ {
		size := bits.OnesCount(set) + 1
		if size >= best {
			continue
		}
		var c []evtchn.Event
		for i := range n {
			if set>>i&1 != 0 {
				c = append(c, all[i])
			}
		}
		f, err := pr.test(context.Background(), append(c, all[n]))
		if err != nil {
			t.Fatal(err)
		}
		if f.Holds {
			best = size
		}
	}
	return best
}

// small gives a scenario with few inputs.
func small(vcpus int, duration, rest string) string {
	return fmt.Sprintf("name: small\nabout: few inputs\nvcpus: %d\nduration: %s\ntick: 0s\n%s", vcpus, duration, rest)
}

const (
	oneDM     = "domains:\n  - {kind: hvm, count: 1, vcpus: 1, start: 1ms..1ms, first: 100us..200us, think: 100us..200us, serve: 10us..20us, on_vcpu: other, pinned: true}\n"
	oneBack   = "domains:\n  - {kind: pv, count: 1, vcpus: 1, start: 1ms..1ms, first: 100us..200us, think: 100us..200us, serve: 10us..20us, on_vcpu: other}\n"
	twoDMs    = "domains:\n  - {kind: hvm, count: 2, vcpus: 1, start: 1ms..3ms, first: 100us..200us, think: 100us..200us, serve: 10us..20us, on_vcpu: other, pinned: true}\n"
	busyDM    = "domains:\n  - {kind: hvm, count: 1, vcpus: 4, start: 1ms..1ms, first: 10us..20us, think: 5us..10us, serve: 10us..20us, on_vcpu: 0}\n"
	lateHot   = "hot:\n  - {kind: pirq, count: 1, late: true, every: 1ms..1ms, from: 3ms, until: 5ms}\n"
	lateSends = "hot:\n  - {kind: send, count: 1, late: true, every: 1ms..1ms, from: 3ms, until: 6ms}\n"
	sends     = "hot:\n  - {kind: send, count: 2, every: 1ms..1ms, from: 3ms, until: 6ms}\n"
	balance   = "balance:\n  every: 300us..300us\n"
)

// corpus are recordings of which it is known how few inputs will do. subset is the fewest of the recorded inputs, as they are, which is found
// here once more by trying all sets of them; 0: there are too many. want is the fewest if they may also come sooner, and on other vcpus.
//
// Why there cannot be fewer: what a device model's unmask loses needs the port's vcpu up, another vcpu up, the bind there, and the end: 4.
// As recorded the other vcpu is asleep by then, and needs its timer, too, to look at its run queue: 5. A port that is rescued needs the
// rescuer bound as well, and something that makes it ring. A port that is dropped at its bind needs no other vcpu: 3.
var corpus = []struct {
	name     string
	scenario string
	seed     uint64
	policy   string
	kind     analyze.Kind
	other    []string
	subset   int
	want     int
}{
	{"bind", small(2, "3ms", oneDM), 1, "xen-2005", analyze.KindLost, nil, 5, 4},
	{"bind of 3 vcpus", small(3, "3ms", oneDM), 2, "xen-2005", analyze.KindLost, nil, 5, 4},
	{"bind of a backend", small(2, "3ms", oneBack), 1, "xen-2005", analyze.KindLost, nil, 5, 4},
	{"bind of two", small(2, "5ms", twoDMs), 3, "xen-2005", analyze.KindLost, nil, 5, 4},
	{"bind and moves", small(2, "3ms", oneDM), 3, "bind-vcpu-reraise", analyze.KindLost, nil, 5, 4},
	{"remote selector", small(2, "3ms", oneDM), 1, "remote-selector-ipi", analyze.KindLost, nil, 6, 5},
	{"rescued by an interrupt", small(2, "6ms", oneDM+lateHot), 1, "xen-2005", analyze.KindLate, nil, 7, 6},
	{"rescued by a send", small(2, "7ms", oneDM+lateSends), 1, "xen-2005", analyze.KindLate, nil, 7, 6},
	{"wrong vcpu", small(2, "3ms", busyDM+balance), 3, "any-vcpu", analyze.KindWrongVCPU, nil, 7, 6},
	{"policies: hypercall", small(2, "3ms", oneDM), 1, "xen-2005", "", []string{"unmask-hypercall"}, 5, 4},
	{"policies: 2021", small(2, "3ms", oneBack), 1, "xen-2005", "", []string{"linux-2021"}, 5, 4},
	{"policies: always", small(3, "3ms", oneDM), 3, "xen-2005", "", []string{"unmask-hypercall-always"}, 5, 4},
	{"policies: late", small(2, "6ms", oneDM+lateHot), 1, "xen-2005", "", []string{"linux-2021"}, 7, 6},
	{"dropped", small(2, "5ms", oneDM+sends), 1, "unmasked-bind", analyze.KindLost, nil, 0, 3},
	{"port65", "seed-port65", 1, "xen-2005", analyze.KindLost, nil, 0, 4},
	{"port65, another", "seed-port65", 2, "xen-2005", analyze.KindLost, nil, 0, 4},
	{"rescued", "seed-rescued", 1, "xen-2005", analyze.KindLate, nil, 0, 6},
	{"hot word", "seed-hot-word", 1, "xen-2005", analyze.KindLate, nil, 0, 6},
	{"ack window", "ack-window", 1, "xen-2005", analyze.KindLost, nil, 0, 4},
	{"rebind race", "rebind-race", 1, "xen-2005", analyze.KindLost, nil, 0, 4},
}

// run makes a problem small, and makes sure that the result has what it must.
func (pr *problem) run(t *testing.T, opt minimize.Options) *minimize.Result[evtchn.Event] {
	t.Helper()
	ctx := context.Background()
	res, err := minimize.Inputs(ctx, pr.in.Events, pr.guesses, pr.test, opt)
	if err != nil {
		t.Fatal(err)
	}
	if f, err := pr.test(ctx, res.Candidate); err != nil || !f.Holds || f != res.Fact {
		t.Errorf("the result does not hold: %+v, %v", f, err)
	}
	if !res.Minimal || res.Stopped {
		t.Errorf("the result is not minimal: %+v", res)
	}
	for i := range len(res.Candidate) - 1 { // by another way than the search's
		c := append(append([]evtchn.Event(nil), res.Candidate[:i]...), res.Candidate[i+1:]...)
		if f, err := pr.test(ctx, c); err != nil || f.Holds {
			t.Errorf("it holds without %v, too, or %v", &res.Candidate[i], err)
		}
	}
	return res
}

func TestCorpus(t *testing.T) {
	for _, c := range corpus {
		t.Run(c.name, func(t *testing.T) {
			if testing.Short() && c.subset == 0 {
				t.Skip("a long recording")
			}
			pr := keeping(t, record(t, c.scenario, c.seed, c.policy), c.kind, c.other...)
			asIs := pr.run(t, minimize.Options{AsIs: true})
			if c.subset > 0 {
				if n := pr.fewest(t); n != c.subset || len(asIs.Candidate) != n {
					t.Errorf("as they are: got %d inputs, want %d; by trying all sets: %d", len(asIs.Candidate), c.subset, n)
				}
			}
			res := pr.run(t, minimize.Options{})
			if len(res.Candidate) != c.want {
				t.Errorf("got %d of %d inputs, want %d: %v", len(res.Candidate), len(pr.in.Events), c.want, res.Candidate)
			}
			if len(res.Candidate) == len(asIs.Candidate) && res.Fact.Switches > asIs.Fact.Switches {
				t.Errorf("got %d context switches, want at most the %d that there were", res.Fact.Switches, asIs.Fact.Switches)
			}
			small := &held{meta: pr.in.Meta(pr.policy)}
			if err := pr.in.Run(context.Background(), res.Candidate, pr.policy, small); err != nil {
				t.Fatal(err)
			}
			if n, err := replay.Verify(context.Background(), small, replay.Options{}); err != nil || n != uint64(len(small.events)) {
				t.Errorf("the result is no trace that replays: %d of %d events: %v", n, len(small.events), err)
			}
		})
	}
}
