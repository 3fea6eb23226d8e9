package system

import (
	"io"
	"math/rand/v2"
	"testing"

	"github.com/evtrace/evtrace/evtchn"
)

// listed is a list of inputs as a source.
type listed struct{ left []evtchn.Event }

func (l *listed) Next(ev *evtchn.Event) error {
	if len(l.left) == 0 {
		return io.EOF
	}
	*ev, l.left = l.left[0], l.left[1:]
	return nil
}

func drain(t *testing.T, s *System) []evtchn.Event {
	t.Helper()
	var evs []evtchn.Event
	var ev evtchn.Event
	for {
		switch err := s.Next(&ev); err {
		case nil:
			evs = append(evs, ev)
		case io.EOF:
			return evs
		default:
			t.Fatal(err)
		}
	}
}

// A run in which somebody else chooses the order is replayed from its inputs alone, event for event, whatever was chosen.
func TestSteeredRunsReplay(t *testing.T) {
	for _, name := range []string{"seed-port65", "seed-rescued", "rebind-race", "ack-window"} {
		for seed := range uint64(6) {
			sc, err := Builtin(name)
			if err != nil {
				t.Fatal(err)
			}
			vcpus := 4
			if seed >= 4 {
				vcpus = 0 // the scenario's own, of which more wait at once
			}
			if sc, err = sc.Override(vcpus, 0, 12_000_000); err != nil {
				t.Fatal(err)
			}
			p, err := evtchn.ParsePolicy(sc.Policy)
			if err != nil {
				t.Fatal(err)
			}
			s, err := New(sc, seed, p, Inputs(sc, seed))
			if err != nil {
				t.Fatal(err)
			}
			r := rand.New(rand.NewPCG(seed, 1))
			asked := 0
			s.Steer(5_000<<(seed&2), func(_ evtchn.Time, could []Due) int {
				asked++
				return r.IntN(len(could))
			})
			want := drain(t, s)
			var in []evtchn.Event
			held := 0
			for i := range want {
				if want[i].Input() {
					in = append(in, want[i])
				}
				if want[i].Kind == evtchn.KindHold {
					held++
				}
			}
			if s, err = New(sc, seed, p, &listed{in}); err != nil {
				t.Fatal(err)
			}
			got := drain(t, s)
			for i := range min(len(got), len(want)) {
				if got[i] != want[i] {
					t.Fatalf("%s, seed %d, event %d: got %+v, want %+v", name, seed, i+1, got[i], want[i])
				}
			}
			if len(got) != len(want) || held == 0 {
				t.Errorf("%s, seed %d: got %d events, want %d; %d were held, %d choices", name, seed, len(got), len(want), held, asked)
			}
		}
	}
}
