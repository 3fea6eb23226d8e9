package system

import (
	"strings"
	"testing"

	"github.com/evtrace/evtrace/evtchn"
)

// The built-in bounded scenarios are read, and say of each operation which port it is about.
func TestBoundedBuiltins(t *testing.T) {
	for i, sc := range BoundedBuiltins() {
		if sc.Name != boundedNames[i] || sc.Bounded == nil || sc.About == "" || sc.Story == "" || sc.Source == "" {
			t.Errorf("%s: name %q, bounded %v, about %q", boundedNames[i], sc.Name, sc.Bounded, sc.About)
			continue
		}
		for _, task := range sc.Bounded.Tasks {
			for _, op := range task.Ops {
				if op.Port >= 0 && sc.Bounded.Ports[op.Port].Name != op.Name {
					t.Errorf("%s: %s %s is about port %q", sc.Name, op.Verb, op.Name, sc.Bounded.Ports[op.Port].Name)
				}
			}
		}
	}
}

// What is wrong with a bounded scenario is said with its line, its key and what is allowed.
func TestBoundedProblems(t *testing.T) {
	const head = "kind: bounded\nname: x\n"
	for _, tt := range []struct{ name, text, want string }{
		{"times", head + "duration: 3ms\nports: [{name: a}]\n", "x.yaml:3: duration: no such key"},
		{"a kind that there is not", "kind: endless\nname: x\n", `x.yaml:1: kind: got "endless", want timed or bounded`},
		{"nothing", head, "x.yaml:1: ports: none, want at least one"},
		{"too many vcpus", head + "vcpus: 9\nports: [{name: a}]\n", "x.yaml:3: vcpus: got 9, want a number from 1 to 8"},
		{"no such owner", head + "ports:\n  - {name: a, owner: 2}\n", "x.yaml:4: ports[0].owner: got 2, want 0 to 1: vcpus is 2"},
		{"twice", head + "ports:\n  - name: a\n  - name: a\n", `x.yaml:5: ports[1].name: got "a", which is the name of ports[0] too`},
		{"user without a task", head + "ports:\n  - {name: a, handler: user}\n", "x.yaml:4: ports[0].handler: got user, want a task that does serve a"},
		{"never bound", head + "ports:\n  - {name: a, bound: false}\n", "x.yaml:4: ports[0].bound: got false, want one task that does bind a, got 0"},
		{"no such operation", head + "ports: [{name: a}]\ntasks:\n  - {name: t, does: bund a}\n", `x.yaml:5: tasks[0].does: got operation "bund"; did you mean "bind"?, want bind, `},
		{"no port", head + "ports: [{name: a}]\ntasks:\n  - {name: t, does: mask}\n", `got operation "mask", want mask PORT`},
		{"no vcpu", head + "ports: [{name: a}]\ntasks:\n  - {name: t, does: move a}\n", `got operation "move a", want move PORT VCPU, with a vcpu from 0 to 7`},
		{"too much", head + "ports: [{name: a}]\ntasks:\n  - {name: t, does: mask a b}\n", `got operation "mask a b", want mask PORT`},
		{"an empty one", head + "ports: [{name: a}]\ntasks:\n  - {name: t, does: mask a;}\n", `which has an empty operation`},
		{"no such port", head + "ports: [{name: disk}]\ntasks:\n  - {name: t, does: mask dusk}\n", `x.yaml:5: tasks[0].does: mask dusk: no port has that name; did you mean "disk"?`},
		{"no such vcpu", head + "ports: [{name: a}]\ntasks:\n  - {name: t, does: move a 4}\n", "move to vcpu 4, want 0 to 1"},
		{"serve first", head + "ports: [{name: a, handler: user}]\ntasks:\n  - {name: t, does: serve a; mask a}\n", "serve a goes on for ever, want it last"},
		{"bind of a bound port", head + "ports: [{name: a}]\ntasks:\n  - {name: t, does: bind a}\n", "bind a: it is bound when all begins"},
		{"IPIs without ports", head + "ipis: false\nports: [{name: a}]\ntasks:\n  - {name: t, does: ipi 0}\n", "ipis is false"},
		{"ports of the vcpus", head + "first_port: 2\nports: [{name: a}]\n", "x.yaml:3: first_port: got 2, want 0 or more than 2"},
		{"too few ports", head + "word_bits: 2\nports: [{name: a}, {name: b}]\n", "x.yaml:3: word_bits: got 2, which gives 3 ports, want more: the scenario takes 4"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Parse("x.yaml", []byte(tt.text)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v\nwant %s", err, tt.want)
			}
		})
	}
}

// A bounded scenario cannot be run in virtual time.
func TestBoundedNew(t *testing.T) {
	sc := BoundedBuiltins()[0]
	if _, err := New(sc, 1, evtchn.Policy{}, nil); err == nil || !strings.Contains(err.Error(), "bind-then-unmask: it is of kind bounded") {
		t.Errorf("got %v", err)
	}
}
