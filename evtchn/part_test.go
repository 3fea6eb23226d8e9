package evtchn_test

import (
	"bytes"
	"slices"
	"testing"

	. "github.com/evtrace/evtrace/evtchn"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// A step does in a machine that has the parts on which it depends, and no others, what it does in the whole machine; and there it
// changes nothing else.
func TestParts(t *testing.T) {
	eachPolicy(t, func(t *rapid.T, policy string) {
		s := newScheduled(t, policy, 8)
		s.moves = rapid.Bool().Draw(t, "moves")
		keys := NewKeys(s.m, false)
		whole, alone := s.m.Clone(), s.m.Clone()
		for range 8 {
			s.random(t, rapid.IntRange(1, 30).Draw(t, "n"))
			for ctx := range s.m.Contexts() {
				if s.m.CanStep(ctx) && !s.m.Waits(ctx) {
					stepAlone(t, keys, s.m, whole, alone, ctx, slices.ContainsFunc(s.choices, func(c choice) bool { return c.op == OpPoll }))
				}
			}
		}
	})
}

func load(t fataler, rest []byte, err error) {
	if err != nil || len(rest) > 0 {
		t.Fatalf("%v, %d bytes left", err, len(rest))
	}
}

func stepAlone(t fataler, keys *Keys, m, whole, alone *Machine, ctx int, polls bool) {
	// By way of a key: what an upcall's frame holds of an earlier round is in no part.
	rest, err := keys.Load(whole, keys.Append(nil, m))
	load(t, rest, err)
	at := min(ctx, len(m.V)) // foreign paths are all alike
	rest, err = keys.LoadShared(alone, keys.AppendShared(nil, m))
	load(t, rest, err)
	rest, err = keys.LoadContext(alone, at, keys.AppendContext(nil, m, ctx))
	load(t, rest, err)
	names := m.Names(ctx)
	if ctx < len(m.V) {
		names.Add(VCPU(ctx))
	}
	for v := range m.V {
		if polls || names.Has(VCPU(v)) {
			names.Add(VCPU(v))
			rest, err = keys.LoadVCPU(alone, v, keys.AppendVCPU(nil, m, v))
			load(t, rest, err)
		}
	}
	was := alone.Clone()
	var want, got Event
	if !whole.Step(ctx, &want) || !alone.Step(at, &got) {
		t.Fatalf("context %d has a step in one of the machines only:\n%s", ctx, m.Describe())
	}
	want.Seq, got.Seq = 1, 1
	whole.Commit(&want)
	alone.Commit(&got)
	if diff := cmp.Diff(forget([]Event{want}), forget([]Event{got})); diff != "" {
		t.Fatalf("context %d alone takes another step (-whole +alone):\n%s\n%s", ctx, diff, m.Describe())
	}
	for c := range whole.Contexts() {
		if c != ctx && !want.Far() && !bytes.Equal(keys.AppendContext(nil, whole, c), keys.AppendContext(nil, m, c)) {
			t.Fatalf("%s changes context %d:\n%s", want, c, m.Describe())
		}
	}
	for v := range m.V {
		if names.Has(VCPU(v)) {
			continue
		}
		if !alone.HeedlessAs(was, VCPU(v)) || !bytes.Equal(keys.AppendVCPU(nil, alone, v), keys.AppendVCPU(nil, was, v)) {
			return // it is seen that the parts do not tell
		}
		if !bytes.Equal(keys.AppendVCPU(nil, whole, v), keys.AppendVCPU(nil, m, v)) {
			t.Fatalf("%s changes vcpu %d, and that is not seen:\n%s", want, v, m.Describe())
		}
	}
	if want.Far() {
		return
	}
	if !bytes.Equal(keys.AppendShared(nil, whole), keys.AppendShared(nil, alone)) || !bytes.Equal(keys.AppendContext(nil, whole, ctx), keys.AppendContext(nil, alone, at)) {
		t.Fatalf("%s alone leads elsewhere:\n%s\nwant:\n%s", want, alone.Describe(), whole.Describe())
	}
	for v := names.Next(0); v != NoVCPU; v = names.Next(v + 1) {
		if !bytes.Equal(keys.AppendVCPU(nil, whole, int(v)), keys.AppendVCPU(nil, alone, int(v))) {
			t.Fatalf("%s alone leaves vcpu %d elsewhere:\n%s\nwant:\n%s", want, v, alone.Describe(), whole.Describe())
		}
	}
}
