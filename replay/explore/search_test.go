package explore

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/evtchntest"
	"github.com/evtrace/evtrace/evtchn/system"
	"github.com/google/go-cmp/cmp"
)

// With and without reduction and symmetry, with fingerprints of either length and with whole states, the verdict is the same, and
// so is the length of a shortest schedule to it: in every cell of the matrix that is decided soon. docs/explore.md says of which others
// it was seen once.
func TestAgree(t *testing.T) {
	limit := uint64(10_000)
	if testing.Short() {
		limit = 1_500
	}
	decided := 0
	for _, sc := range system.BoundedBuiltins() {
		name := sc.Name
		for _, pre := range evtchn.Presets() {
			s := bounded(t, name, pre.Name)
			plain := run(t, s, Options{NoReduction: true, NoSymmetry: true, MaxStates: limit})
			if plain.Verdict == Undecided {
				continue
			}
			decided++
			for what, opt := range map[string]Options{"reduced": {NoSymmetry: true}, "symmetric": {NoReduction: true}, "both": {}, "exact": {Exact: true}, "wide": {Wide: true}} {
				got := run(t, s, opt)
				if got.Verdict != plain.Verdict || got.Violations != plain.Violations || got.States > plain.States {
					t.Errorf("%s under %s, %s: %s %s in %d states, want %s %s in no more than %d", name, pre.Name, what, got.Verdict, got.Violations, got.States,
						plain.Verdict, plain.Violations, plain.States)
				}
				for i := range plain.Found {
					if i < len(got.Found) && len(got.Found[i].Choices) != len(plain.Found[i].Choices) {
						t.Errorf("%s under %s, %s: %s after %d choices, want %d", name, pre.Name, what, got.Found[i].Kind, len(got.Found[i].Choices), len(plain.Found[i].Choices))
					}
				}
				if what == "exact" && (got.States != run(t, s, Options{}).States || got.Collision != 0) {
					t.Errorf("%s under %s: %d different states, not as many fingerprints", name, pre.Name, got.States)
				}
			}
		}
	}
	t.Logf("%d cells", decided)
	if decided < 15 {
		t.Errorf("only %d cells were decided", decided)
	}
}

// The same search gives the same result, whatever the number of workers, and again when it is repeated: to its last schedule, with
// everything off that makes it smaller, and with everything on.
func TestStable(t *testing.T) {
	off := Options{NoReduction: true, NoSymmetry: true, Exact: true}
	cells := []struct{ scenario, policy string }{{"stale-notify", "linux-2021"}, {"stale-notify", "unmask-hypercall"}, {"ipi-kick", "remote-selector-ipi-noup"},
		{"two-ports-one-word", "owner-ipi-resend"}, {"rebind-2021", "sender-recheck"}, {"close-reuse", "xen-2005"}, {"write-back", "quiet-bind"},
		{"rebind-2013", "any-vcpu"}, {"poll-block", "xen-2005"}, {"bind-then-unmask", "xen-2005"}, {"rebind-2005", "tick-sweep"}}
	if testing.Short() {
		cells = cells[:5]
	}
	for _, c := range cells {
		s := bounded(t, c.scenario, c.policy)
		for _, opt := range []Options{{}, off, {NoReduction: true, NoSymmetry: true, Every: true, Properties: Lost | Duplicate}} {
			opt.MaxStates = 6_000
			var want *Result
			for _, workers := range []int{1, 2, 2, 3} {
				opt.Workers = workers
				got := run(t, s, opt)
				got.Bytes = 0
				if want == nil {
					want = got
				} else if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s under %s with %d workers: -want +got:\n%s", c.scenario, c.policy, workers, diff)
				}
			}
		}
	}
}

// How worlds are told apart makes no difference to which are found, and in which order.
func TestTold(t *testing.T) {
	for _, c := range []struct{ scenario, policy string }{{"stale-notify", "linux-2021"}, {"ipi-kick", "linux-2013"}, {"rebind-2021", "xen-2005"}} {
		s := bounded(t, c.scenario, c.policy)
		want := run(t, s, Options{NoReduction: true})
		for _, opt := range []Options{{Exact: true}, {Wide: true}} {
			opt.NoReduction = true
			got := run(t, s, opt)
			got.Bytes, got.Collision = want.Bytes, want.Collision
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s under %s, exact %t, wide %t: -want +got:\n%s", c.scenario, c.policy, opt.Exact, opt.Wide, diff)
			}
		}
	}
}

// What the small cells must give: what the sources of the scenarios say.
func TestAnchors(t *testing.T) {
	for _, tt := range []struct {
		scenario, policy string
		verdict          Verdict
		race             int
	}{
		{"bind-then-unmask", "xen-2005", Unsafe, 1},
		{"bind-then-unmask", "bind-vcpu-reraise", Unsafe, 1},
		{"bind-then-unmask", "remote-selector-ipi", Unsafe, 6},
		{"write-back", "xen-2005", Unsafe, 1},
		{"stale-notify", "unmask-hypercall", Unsafe, 2},
		{"stale-notify", "linux-2013", Unsafe, 7},
		{"stale-notify", "linux-2021", Unsafe, 7},
		{"two-ports-one-word", "xen-2005", Unsafe, 1},
		{"two-ports-one-word", "unmask-hypercall", Safe, 0},
		{"ipi-kick", "remote-selector-ipi-noup", Unsafe, 6},
		{"ipi-kick", "linux-2021", Safe, 0},
	} {
		t.Run(tt.scenario+"/"+tt.policy, func(t *testing.T) {
			s := bounded(t, tt.scenario, tt.policy)
			r := run(t, s, Options{Properties: Lost})
			if r.Verdict != tt.verdict {
				t.Fatalf("%s, want %s", r.Verdict, tt.verdict)
			}
			if tt.verdict == Safe {
				return
			}
			tr, err := s.Trace(r.Found[0].Choices)
			if err != nil {
				t.Fatal(err)
			}
			if race := Classify(tr, r.Found[0].Kind); race.Number != tt.race {
				t.Errorf("classified as %s, want R%d", race, tt.race)
			}
		})
	}
}

// The races of a stale notify and of a moving port are gone with a sender that looks again.
func TestRecheck(t *testing.T) {
	if testing.Short() {
		t.Skip("180,000 states")
	}
	if r := run(t, bounded(t, "stale-notify", "sender-recheck"), Options{}); r.Verdict != Safe {
		t.Errorf("%s: %s, want safe", r.Verdict, r.Violations)
	}
}

// A search stops where its memory ends, and has not taken much more by then: no table doubles at once.
func TestMemory(t *testing.T) {
	s := bounded(t, "bind-then-unmask", "unmask-hypercall")
	for _, limit := range []int64{8 << 20} {
		var last Progress
		r := run(t, s, Options{Memory: limit, Progress: func(p Progress) { last = p }})
		if r.Stopped != AtMemory || r.Bytes < limit || r.Bytes > limit+limit/4 || last.States != r.States || last.Frontier != r.Frontier || last.Bytes != r.Bytes {
			t.Errorf("limit %d: stopped because %s at %d bytes; told %+v", limit, r.Stopped, r.Bytes, last)
		}
	}
}

// Limits stop a search, and it says which did.
func TestLimits(t *testing.T) {
	s := bounded(t, "bind-then-unmask", "unmask-hypercall")
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	for _, tt := range []struct {
		ctx  context.Context
		opt  Options
		want Stop
	}{{context.Background(), Options{MaxStates: 2000}, AtStates}, {context.Background(), Options{Memory: 1 << 19}, AtMemory}, {canceled, Options{}, AtCancel}} {
		r, err := Run(tt.ctx, s, tt.opt)
		if err != nil || r.Verdict != Undecided || r.Stopped != tt.want || r.Frontier == 0 || r.States == 0 {
			t.Errorf("%v, %+v; want undecided, because %s", err, r, tt.want)
		}
	}
}

// A search that was stopped and gone on with gives the same result as one that was not.
func TestResume(t *testing.T) {
	for _, exact := range []bool{false, true} {
		s := bounded(t, "stale-notify", "linux-2021")
		want := run(t, s, Options{Exact: exact})
		var saved bytes.Buffer
		opt := Options{Exact: exact, MaxStates: 3000, Save: func(last bool, write func(io.Writer) error) error {
			if !last {
				return nil
			}
			return write(&saved)
		}}
		if r := run(t, s, opt); r.Verdict != Undecided || saved.Len() == 0 {
			t.Fatalf("%s, %d bytes saved", r.Verdict, saved.Len())
		}
		got := run(t, s, Options{Exact: exact, Resume: bytes.NewReader(saved.Bytes())})
		want.Bytes, got.Bytes = 0, 0
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("exact %t: -want +got:\n%s", exact, diff)
		}
		if exact {
			continue
		}
		damaged := slices.Clone(saved.Bytes())
		damaged[len(damaged)/2] ^= 4
		for what, in := range map[string]struct {
			s    *System
			b    []byte
			want string
		}{
			"nothing":        {s, nil, "it is cut"},
			"something else": {s, []byte("evtrace text 1 and so on and so forth"), "it is none"},
			"cut":            {s, saved.Bytes()[:saved.Len()-9], "it is cut"},
			"damaged":        {s, damaged, "damaged"},
			"another run":    {bounded(t, "stale-notify", "linux-2013"), saved.Bytes(), "it is of another run"},
		} {
			if _, err := Run(context.Background(), in.s, Options{Resume: bytes.NewReader(in.b)}); !errors.Is(err, ErrCheckpoint) || !strings.Contains(err.Error(), in.want) {
				t.Errorf("%s: %v, want %q", what, err, in.want)
			}
		}
	}
}

// A scenario with times is refused, with the reason.
func TestUnbounded(t *testing.T) {
	sc, err := system.Builtin("seed-port65")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(sc, evtchn.Policy{}); !errors.Is(err, ErrUnbounded) || !strings.Contains(err.Error(), "seed-port65") {
		t.Errorf("got %v", err)
	}
}

func TestParseKinds(t *testing.T) {
	if k, err := ParseKinds("lost, duplicate"); err != nil || k != Lost|Duplicate || k.String() != "lost,duplicate" {
		t.Errorf("%s, %v", k, err)
	}
	if _, err := ParseKinds("lots"); !errors.Is(err, ErrProperty) || !strings.Contains(err.Error(), `did you mean "lost"?`) {
		t.Errorf("got %v", err)
	}
}

// A schedule reads back from a trace's meta, and cannot be followed where it does not fit.
func TestSchedule(t *testing.T) {
	s := bounded(t, "stale-notify", "linux-2021")
	r := run(t, s, Options{})
	tr, err := s.Trace(r.Found[0].Choices)
	if err != nil {
		t.Fatal(err)
	}
	cs, ok, err := ScheduleOf(&tr.Meta)
	if err != nil || !ok || !slices.Equal(cs, r.Found[0].Choices) {
		t.Errorf("%v %t %v, want %v", cs, ok, err, r.Found[0].Choices)
	}
	again, err := s.Trace(cs)
	if diff := cmp.Diff(tr, again); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	if _, err := s.Trace(cs[1:]); !errors.Is(err, ErrSchedule) {
		t.Errorf("without its first choice: %v", err)
	}
	for _, text := range []string{"x0", "s", "s99", "s-1", "s01", "s1x"} {
		if _, err := ParseSchedule(text); !errors.Is(err, ErrSchedule) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if problems, err := evtchntest.Validate(tr.Meta, tr.Source()); err != nil || len(problems) > 0 {
		t.Errorf("%v %v", err, problems)
	}
}
