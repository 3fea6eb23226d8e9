package system

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestParseDefaults(t *testing.T) {
	text := "name: least\ndomains: [{kind: pv}]\nhot: [{every: 1ms}]\n"
	got, err := Parse("least.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want := &Scenario{
		Name: "least", Kind: "timed", VCPUs: 4, WordBits: 64, Duration: 100e6, Tick: 10e6, Policy: "xen-2005",
		Costs: Costs{Step: 20, Hypercall: 250, Kick: 2000, Wake: 5000, Handler: 2000, Schedule: 300, Jitter: 1000},
		Domains: []Domain{{Kind: PV, Count: 1, VCPUs: 1, Start: Span{1e6, 5e6}, OnVCPU: AnyVCPU, First: Span{0, 2e6},
			Think: Span{1e6, 3e6}, Serve: Span{20e3, 60e3}}},
		Hot:     []Hot{{Count: 1, Every: Span{1e6, 1e6}}},
		Balance: Balance{OnVCPU: AnyVCPU},
		Preempt: Preempt{For: Span{100e3, 1e6}},
		Text:    text,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestParseEveryField(t *testing.T) {
	text := `{name: all, about: a line, story: prose, source: mail, vcpus: 16, word_bits: 32, duration: 1.5s, tick: 0,
first_port: 70, policy: "linux-2013,tick=sweep", "costs": {step: 1ns, hypercall: 2ns, kick: 3ns, wake: 4ns, handler: 5ns, schedule: 6ns, jitter: 0},
domains: [{kind: hvm, count: 2, vcpus: 3, start: 4ms, on_vcpu: other, pinned: true, first: 1us..2us, think: 3us .. 4us, serve: 5us, requests: 6}],
hot: [{kind: pirq, count: 7, on_vcpu: 15, every: 1us, from: 2us, until: 3us}, {kind: send, late: true, every: 9us}],
ipis: {per_tick: 0}, balance: {every: 1ms..2ms, on_vcpu: 3}, migrate: {every: 4ms}, preempt: {every: 5ms, for: 6ms},
expect: {verdict: late, port: 70, cause: stale-notify}}`
	got, err := Parse("all.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want := &Scenario{
		Name: "all", About: "a line", Story: "prose", Source: "mail", Kind: "timed", VCPUs: 16, WordBits: 32, Duration: 1.5e9,
		FirstPort: 70, Policy: "linux-2013,tick=sweep",
		Costs: Costs{Step: 1, Hypercall: 2, Kick: 3, Wake: 4, Handler: 5, Schedule: 6},
		Domains: []Domain{{Kind: HVM, Count: 2, VCPUs: 3, Start: Span{4e6, 4e6}, OnVCPU: OtherVCPU, Pinned: true,
			First: Span{1e3, 2e3}, Think: Span{3e3, 4e3}, Serve: Span{5e3, 5e3}, Requests: 6}},
		Hot:     []Hot{{PIRQ: true, Count: 7, OnVCPU: 15, Every: Span{1e3, 1e3}, From: 2e3, Until: 3e3}, {Count: 1, Late: true, Every: Span{9e3, 9e3}}},
		Balance: Balance{Every: Span{1e6, 2e6}, OnVCPU: 3},
		Migrate: Migrate{Every: Span{4e6, 4e6}},
		Preempt: Preempt{Every: Span{5e6, 5e6}, For: Span{6e6, 6e6}},
		Expect:  Expect{Verdict: "late", Port: 70, Cause: "stale-notify"},
		Text:    text,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

const topKeys = "name, about, story, source, kind, vcpus, word_bits, duration, tick, first_port, policy, costs, domains, hot, ipis, balance, migrate, preempt and expect"

// Every row is a file with something wrong and all that must be said about it.
var badFiles = []struct{ name, text, want string }{
	{"empty", "", "x:1: nothing in it: want the keys of a scenario, at least name"},
	{"only comments", "# nothing\n\n# here\n", "x:1: nothing in it: want the keys of a scenario, at least name"},
	{"empty document", "---\n", "x:1: nothing in it: want the keys of a scenario, at least name"},
	{"a word", "hello\n", `x:1: got "hello", want the keys of a scenario, such as name: my-scenario`},
	{"a list", "\n- name: a\n", "x:2: got a list, want the keys of a scenario, such as name: my-scenario"},
	{"binary", "name: a\nabout: \x00\x01\n", "x:2: byte 0x00 at offset 15 is not text: want a YAML file in UTF-8"},
	{"latin 1", "name: a\n\nabout: caf\xe9\n", "x:3: byte 0xe9 at offset 19 is not text: want a YAML file in UTF-8"},
	{"utf-16", "\xff\xfen\x00a\x00", "x:1: byte 0xff at offset 0 is not text: want a YAML file in UTF-8"},
	{"too long", "name: a\n" + strings.Repeat("#\n", maxText/2), "x:1: 1048584 bytes, want at most 1048576: this is not a scenario"},
	{"two documents", "name: a\n---\nname: b\n", "x:2: a second document begins: want one scenario in a file"},
	{"syntax", "name: a\nvcpus: [1\n", "x:2: not YAML: did not find expected ',' or ']'"},
	{"no key", "name: a\nvcpus: 2\n- b\n", "x:3: not YAML: did not find expected key"},
	{"tab", "name: a\ncosts:\n\tstep: 1ns\n", "x:3: not YAML: found character that cannot start any token"},
	{"unknown anchor", "name: a\nvcpus: *n\n", "x:2: not YAML: alias *n: anchors, aliases and tags are not read: write the value itself"},
	{"anchor and alias", "name: a\nvcpus: &n 3\nfirst_port: *n\n", "x:2: anchor &n: anchors, aliases and tags are not read: write the value itself\n" +
		"x:3: alias *n: anchors, aliases and tags are not read: write the value itself"},
	{"alias for a key", "&k name: a\n*k : 3\n", "x:1: anchor &k: anchors, aliases and tags are not read: write the value itself\n" +
		"x:2: alias *k: anchors, aliases and tags are not read: write the value itself"},
	{"alias of itself", "name: a\nhot: &h [*h]\n", "x:2: anchor &h: anchors, aliases and tags are not read: write the value itself\n" +
		"x:2: alias *h: anchors, aliases and tags are not read: write the value itself"},
	{"tag", "name: !secret a\n", "x:1: tag !secret: anchors, aliases and tags are not read: write the value itself"},
	{"merge key", "name: a\n<<: {vcpus: 2}\n", "x:2: <<: no such key; keys here: " + topKeys},

	{"no name", "vcpus: 2\n", "x:1: name: missing: want lower-case letters, digits and dashes, at most 64"},
	{"bad name", "name: My Scenario\n", `x:1: name: got "My Scenario", want lower-case letters, digits and dashes, at most 64`},
	{"long value", "name: " + strings.Repeat("x", 70) + "\n", `x:1: name: got "` + strings.Repeat("x", 60) + `"..., want lower-case letters, digits and dashes, at most 64`},
	{"about of two lines", "name: a\nabout: |\n  one\n  two\n", `x:2: about: got "one\ntwo\n", want text on one line`},
	{"unknown key", "name: a\nvcpu: 3\n", `x:2: vcpu: no such key; did you mean "vcpus"?; keys here: ` + topKeys},
	{"unknown key below", "name: a\nexpect: {verdikt: lost}\n", `x:2: expect.verdikt: no such key; did you mean "verdict"?; keys here: verdict, port and cause`},
	{"key twice", "name: a\nvcpus: 2\nvcpus: 2\n", "x:3: vcpus: given twice, first in line 2"},
	{"key is a list", "name: a\n[b]: 2\n", "x:2: got a list for a key, want one of name, about, story, source, kind, vcpus, word_bits, duration, tick, first_port, policy, costs, domains, hot, ipis, balance, migrate, preempt or expect"},
	{"nothing", "name: a\nvcpus:\n", "x:2: vcpus: got nothing, want a number from 1 to 128"},
	{"nothing for a list", "name: a\nhot:\n", "x:2: hot: got nothing, want a list, each element with keys: kind, count, on_vcpu, late, every, from and until"},
	{"mapping for a list", "name: a\nhot: {every: 1ms}\n", "x:2: hot: got a mapping, want a list, each element with keys: kind, count, on_vcpu, late, every, from and until"},
	{"word for a mapping", "name: a\nipis: often\n", `x:2: ipis: got "often", want keys: per_tick`},
	{"list for a number", "name: a\nvcpus: [2]\n", "x:2: vcpus: got a list, want a number from 1 to 128"},
	{"element is a word", "name: a\nhot:\n- disk\n", `x:3: hot[0]: got "disk", want keys: kind, count, on_vcpu, late, every, from and until`},
	{"element without its keys", "name: a\ndomains:\n- {kind: pv}\n- {count: 3}\n", "x:4: domains[1].kind: missing: want hvm or pv"},

	{"no vcpus", "name: a\nvcpus: 0\n", "x:2: vcpus: got 0, want a number from 1 to 128"},
	{"many vcpus", "name: a\nvcpus: 129\n", "x:2: vcpus: got 129, want a number from 1 to 128"},
	{"more vcpus than an integer holds", "name: a\nvcpus: 99999999999999999999\n", "x:2: vcpus: got 99999999999999999999, want a number from 1 to 128"},
	{"vcpus in quotes", "name: a\nvcpus: \"4\"\n", "x:2: vcpus: got 4, want a number from 1 to 128"},
	{"half a vcpu", "name: a\nvcpus: 0.5\n", "x:2: vcpus: got 0.5, want a number from 1 to 128"},
	{"hexadecimal", "name: a\nvcpus: 0x4\n", "x:2: vcpus: got 0x4, want a number from 1 to 128"},
	{"word size", "name: a\nword_bits: 48\n", "x:2: word_bits: got 48, want a power of two from 2 to 64"},
	{"large word", "name: a\nword_bits: 128\n", "x:2: word_bits: got 128, want a power of two from 2 to 64"},
	{"truth", "name: a\ndomains: [{kind: hvm, pinned: yes}]\n", `x:2: domains[0].pinned: got "yes", want true or false`},
	{"fraction", "name: a\nipis: {per_tick: 1.5}\n", "x:2: ipis.per_tick: got 1.5, want a number from 0 to 1, such as 0.25"},
	{"not a number", "name: a\nipis: {per_tick: .nan}\n", "x:2: ipis.per_tick: got .nan, want a number from 0 to 1, such as 0.25"},
	{"kind", "name: a\ndomains: [{kind: hwm}]\n", `x:2: domains[0].kind: got "hwm", want hvm or pv; did you mean "hvm"?`},
	{"verdict", "name: a\nexpect: {verdict: lst}\n", `x:2: expect.verdict: got "lst", want clean, late, lost or violated; did you mean "lost"?`},
	{"policy", "name: a\npolicy: xen-2006\n", `x:2: policy: no policy is called "xen-2006"; did you mean "xen-2005"?`},
	{"policy choice", "name: a\npolicy: unmask=locl\n", `x:2: policy: axis unmask has no choice "locl"; did you mean "local"?; choices: local, hypercall, always, remote-up, remote-sel, request`},
	{"no policy", "name: a\npolicy: ''\n", `x:2: policy: got "", want a preset or choices such as unmask=hypercall,rebind=2013`},

	{"duration without unit", "name: a\nduration: 400\n", "x:2: duration: no unit: got 400, want a duration with its unit, such as 200us, from 1us to 24h"},
	{"unit that is none", "name: a\nduration: 4 weeks\n", `x:2: duration: got "4 weeks", want a duration with its unit, such as 200us, from 1us to 24h`},
	{"no duration", "name: a\nduration: 0\n", "x:2: duration: out of range: got 0, want a duration with its unit, such as 200us, from 1us to 24h"},
	{"negative", "name: a\nduration: -1ms\n", `x:2: duration: out of range: got "-1ms", want a duration with its unit, such as 200us, from 1us to 24h`},
	{"absurd", "name: a\nduration: 300000h\n", `x:2: duration: out of range: got "300000h", want a duration with its unit, such as 200us, from 1us to 24h`},
	{"tick", "name: a\ntick: 1us\n", `x:2: tick: out of range: got "1us", want 0, or a duration with its unit, such as 200us, from 10us to 10s`},
	{"span reversed", "name: a\nhot: [{every: 2ms..1ms}]\n", `x:2: hot[0].every: got "2ms..1ms", want the shorter duration first`},
	{"span with half a unit", "name: a\nhot: [{every: 1..2ms}]\n", `x:2: hot[0].every: no unit: got "1..2ms", want a duration such as 200us or two such as 200us..1.5ms, from 1us to 24h`},
	{"span without end", "name: a\nhot: [{every: 1ms..}]\n", `x:2: hot[0].every: got "1ms..", want a duration such as 200us or two such as 200us..1.5ms, from 1us to 24h`},
	{"span from never", "name: a\nmigrate: {every: 0..5ms}\n", `x:2: migrate.every: got "0..5ms", want 0, or a duration such as 200us or two such as 200us..1.5ms, from 1us to 24h`},
	{"no rest", "name: a\nhot: [{every: 0}]\n", "x:2: hot[0].every: out of range: got 0, want a duration such as 200us or two such as 200us..1.5ms, from 1us to 24h"},
	{"until before from", "name: a\nhot:\n- every: 1ms\n  from: 5ms\n  until: 5ms\n", "x:5: hot[0].until: got 5ms, want more than from, which is 5ms"},

	{"vcpu out of range", "name: a\nvcpus: 2\ndomains:\n- kind: pv\n  on_vcpu: 2\n", "x:5: domains[0].on_vcpu: got 2, want 0 to 1: vcpus is 2"},
	{"vcpu of one", "name: a\nvcpus: 1\nbalance: {on_vcpu: 1}\n", "x:3: balance.on_vcpu: got 1, want 0: vcpus is 1"},
	{"other of one", "name: a\nvcpus: 1\ndomains: [{kind: pv, on_vcpu: other}]\n", "x:3: domains[0].on_vcpu: got other, want a vcpu that there is: vcpus is 1, and other means not 0"},
	{"vcpu by word", "name: a\ndomains: [{kind: pv, on_vcpu: otter}]\n", `x:2: domains[0].on_vcpu: got "otter", want the number of a vcpu, any, or other; did you mean "other"?`},
	{"negative vcpu", "name: a\ndomains: [{kind: pv, on_vcpu: -2}]\n", "x:2: domains[0].on_vcpu: got -2, want the number of a vcpu, any, or other"},
	{"hot vcpu", "name: a\nhot: [{every: 1ms, on_vcpu: 4}]\n", "x:2: hot[0].on_vcpu: got 4, want 0 to 3: vcpus is 4"},
	{"late on another vcpu", "name: a\nhot: [{every: 1ms, on_vcpu: 3, late: true}]\n", "x:2: hot[0].on_vcpu: got 3, want 0: late ports stay where Xen binds new ports, on vcpu 0"},
	{"ipis without ticks", "name: a\ntick: 0\nipis: {per_tick: 0.5}\n", "x:3: ipis.per_tick: got 0.5, want 0: IPIs are sent at ticks, and tick is 0"},

	{"first port too high", "name: a\nfirst_port: 4096\n", "x:2: first_port: got 4096, want 0, or a number from 1 to 4095"},
	{"first port beyond small words", "name: a\nword_bits: 4\nvcpus: 1\nfirst_port: 16\n", "x:4: first_port: got 16, want at most 15, the last port with 4-bit words"},
	{"first port in use", "name: a\nvcpus: 16\nfirst_port: 30\n", "x:3: first_port: got 30, want 33 to 4095: 16 vcpus and the hot ports take the first 32 ports"},
	{"too many ports", "name: a\nvcpus: 2\nword_bits: 4\nhot: [{every: 1ms, count: 8}]\ndomains: [{kind: pv, count: 4}]\n",
		"x:3: word_bits: got 4, which gives 15 ports, want more: the scenario takes 16 (12 for 2 vcpus and the hot ports, 4 for domains and late hot ports)"},
	{"too many ports from the first", "name: a\nfirst_port: 4090\ndomains: [{kind: pv, count: 7}]\n",
		"x:1: word_bits: got 64, which gives 4095 ports, want more: the scenario takes 4096 (8 for 4 vcpus and the hot ports, 7 for domains and late hot ports from first_port 4090)"},

	{"cause without verdict", "name: a\nexpect: {cause: stale-notify}\n", "x:2: expect.verdict: missing: port and cause are those of a finding; want late, lost or violated"},
	{"clean with a port", "name: a\nexpect: {verdict: clean, port: 3}\n", "x:2: expect.verdict: got clean, want late, lost or violated: port and cause are those of a finding"},
	{"expected port", "name: a\nword_bits: 8\nexpect: {verdict: lost, port: 64}\n", "x:3: expect.port: got 64, want at most 63, the last port with 8-bit words"},

	{"all problems at once", "vcpus: 0\nhot:\n- every: 1\n  kind: sent\nduration: 1\nweather: wet\n", strings.Join([]string{
		"x:1: name: missing: want lower-case letters, digits and dashes, at most 64",
		"x:1: vcpus: got 0, want a number from 1 to 128",
		"x:3: hot[0].every: no unit: got 1, want a duration such as 200us or two such as 200us..1.5ms, from 1us to 24h",
		`x:4: hot[0].kind: got "sent", want send or pirq; did you mean "send"?`,
		"x:5: duration: no unit: got 1, want a duration with its unit, such as 200us, from 1us to 24h",
		"x:6: weather: no such key; keys here: " + topKeys}, "\n")},
}

func TestParseErrors(t *testing.T) {
	for _, c := range badFiles {
		t.Run(c.name, func(t *testing.T) {
			sc, err := Parse("x", []byte(c.text))
			if err == nil {
				t.Fatalf("accepted as %+v", sc)
			}
			if !errors.Is(err, ErrScenario) {
				t.Errorf("%v is not an ErrScenario", err)
			}
			if diff := cmp.Diff(c.want, err.Error()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// Every default must be a value that the field takes, and every field must be documented.
func TestTable(t *testing.T) {
	seen := make(map[string]bool)
	for i, f := range append(Fields(), BoundedFields()...) {
		if i == len(Fields()) {
			clear(seen)
		}
		if f.Doc == "" || f.Type == "" || f.Allowed == "" || seen[f.Path] {
			t.Errorf("%s: undocumented, or there twice: %+v", f.Path, f)
		}
		seen[f.Path] = true
	}
	var check func(path string, fields []field)
	check = func(path string, fields []field) {
		for i := range fields {
			f := &fields[i]
			check(join(path, f.key), f.sub)
			if f.sub == nil && f.def != "" {
				s := scalar{text: f.def, isDefault: true, field: f}
				if problem := s.store(f.value()); problem != "" {
					t.Errorf("%s: default: %s", join(path, f.key), problem)
				}
			}
		}
	}
	check("", table)
	check("", boundedTable)
}

// A file cut anywhere is refused or read, and never more than that.
func TestParseCut(t *testing.T) {
	text := Builtins()[0].Text
	for n := range len(text) {
		if _, err := Parse("cut", []byte(text[:n])); err != nil && !errors.Is(err, ErrScenario) {
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
}

func TestOverride(t *testing.T) {
	sc, err := Builtin("mixed-load")
	if err != nil {
		t.Fatal(err)
	}
	got, err := sc.Override(64, 100, 3e9)
	if err != nil {
		t.Fatal(err)
	}
	if got.VCPUs != 64 || got.Duration != 3e9 || got.Domains[0].Count != 33 || got.Domains[1].Count != 67 {
		t.Errorf("got %d vcpus, %v, %d and %d domains; want 64, 3 s, 33 and 67", got.VCPUs, got.Duration, got.Domains[0].Count, got.Domains[1].Count)
	}
	same, err := sc.Override(0, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	same.Text = sc.Text
	if diff := cmp.Diff(sc, same); diff != "" {
		t.Errorf("an override of nothing changes something:\n%s", diff)
	}
	none, err := Parse("none", []byte("name: none\n"))
	if err != nil {
		t.Fatal(err)
	}
	seed, err := Builtin("seed-port65")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		sc             *Scenario
		vcpus, domains int
		duration       evtchn.Time
		want           string
	}{
		{sc, 129, 0, 0, "bad scenario: mixed-load: vcpus: got 129, want 1 to 128"},
		{sc, -1, 0, 0, "bad scenario: mixed-load: vcpus: got -1, want 1 to 128"},
		{sc, 0, -5, 0, "bad scenario: mixed-load: domains: got -5, want 1 to 4095"},
		{sc, 0, 0, -1, "bad scenario: mixed-load: duration: got -1ns, want more than 0"},
		{none, 0, 3, 0, "bad scenario: none: domains: it has none, so there is nothing to make 3 of"},
		{seed, 1, 0, 0, "domains[0].on_vcpu: got other, want a vcpu that there is: vcpus is 1, and other means not 0"},
		{seed, 128, 0, 0, "first_port: got 65, want 269 to 4095: 128 vcpus and the hot ports take the first 268 ports"},
		{sc, 0, 4095, 0, "which gives 4095 ports, want more"},
		{&Scenario{Name: "hand-made"}, 2, 0, 0, "bad scenario: hand-made: its text is not that of a scenario file, which is what an override changes"},
	} {
		if _, err := c.sc.Override(c.vcpus, c.domains, c.duration); !errors.Is(err, ErrScenario) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("override %d %d %d: got %v, want %q", c.vcpus, c.domains, c.duration, err, c.want)
		}
	}
}

// What Override gives is what its Text gives.
func TestOverrideRoundTrip(t *testing.T) {
	all := Builtins()
	flow, err := Parse("flow", []byte("{name: flow, # with a remark\n domains: [{kind: hvm}, {kind: pv, count: 5}]}"))
	if err != nil {
		t.Fatal(err)
	}
	all = append(all, flow)
	rapid.Check(t, func(t *rapid.T) {
		sc := rapid.SampledFrom(all).Draw(t, "scenario")
		for range rapid.IntRange(1, 3).Draw(t, "times") {
			vcpus, domains := rapid.IntRange(0, 128).Draw(t, "vcpus"), rapid.IntRange(0, 400).Draw(t, "domains")
			duration := evtchn.Time(rapid.Int64Range(0, day).Draw(t, "duration"))
			got, err := sc.Override(vcpus, domains, duration)
			if err != nil {
				if !errors.Is(err, ErrScenario) {
					t.Fatal(err)
				}
				return
			}
			again, err := Parse("again", []byte(got.Text))
			if err != nil {
				t.Fatalf("%v in\n%s", err, got.Text)
			}
			if diff := cmp.Diff(got, again); diff != "" {
				t.Fatal(diff)
			}
			total := 0
			for i := range got.Domains {
				total += got.Domains[i].Count
			}
			if domains > 0 && total != domains || vcpus > 0 && got.VCPUs != vcpus || duration > 0 && got.Duration != duration {
				t.Fatalf("asked for %d vcpus, %d domains, %d ns; got %d, %d, %d", vcpus, domains, duration, got.VCPUs, total, got.Duration)
			}
			sc = got
		}
	})
}

// Durations are written so that they can be read.
func TestUnits(t *testing.T) {
	for _, c := range []struct {
		t    int64
		want string
	}{{0, "0"}, {1, "1ns"}, {1500, "1.5us"}, {usec, "1us"}, {90 * sec, "1m30s"}, {60 * sec, "1m"}, {day, "24h"}, {3600 * sec, "1h"}, {10 * sec, "10s"}} {
		if got := units(c.t); got != c.want {
			t.Errorf("units(%d): got %s, want %s", c.t, got, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, sc := range Builtins() {
		f.Add([]byte(sc.Text))
	}
	for _, c := range badFiles {
		if len(c.text) < 10_000 {
			f.Add([]byte(c.text))
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		sc, err := Parse("fuzz", text)
		if err != nil {
			if !errors.Is(err, ErrScenario) {
				t.Fatalf("%v is not an ErrScenario", err)
			}
			var fe *FileError
			if !errors.As(err, &fe) || len(fe.Problems) == 0 {
				t.Fatalf("no problem is listed: %v", err)
			}
			for _, p := range fe.Problems {
				if p.Line < 1 || p.Text == "" {
					t.Errorf("got %s, want a line and a text", fmt.Sprintf("%#v", p))
				}
			}
			return
		}
		if _, err := sc.Override(2, 0, 5e6); err != nil && !errors.Is(err, ErrScenario) {
			t.Fatal(err)
		}
	})
}
