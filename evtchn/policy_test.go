package evtchn_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	. "github.com/evtrace/evtrace/evtchn"
)

func TestPresetsParseAndPrintThemselves(t *testing.T) {
	seen := map[Policy]string{}
	for _, preset := range Presets() {
		p, err := ParsePolicy(preset.Name)
		if err != nil || p != preset.Policy {
			t.Errorf("ParsePolicy(%q) = %v, %v, want %v", preset.Name, p, err, preset.Policy)
		}
		if got := p.String(); got != preset.Name {
			t.Errorf("preset %s prints itself as %s", preset.Name, got)
		}
		if other, twice := seen[p]; twice {
			t.Errorf("presets %s and %s are the same policy", other, preset.Name)
		}
		seen[p] = preset.Name
		if found, ok := FindPreset(preset.Name); !ok || found.Policy != p {
			t.Errorf("FindPreset(%q) = %v, %t", preset.Name, found, ok)
		}
		if preset.Doc == "" || preset.Provenance == "" || preset.Cost == "" || preset.Why == "" {
			t.Errorf("preset %s lacks a description, a provenance, a cost or a reason", preset.Name)
		}
	}
	if p, err := ParsePolicy(""); err != nil || p != (Policy{}) || p.String() != "xen-2005" {
		t.Errorf("ParsePolicy of nothing = %v, %v, want xen-2005", p, err)
	}
	if _, ok := FindPreset("xen-2004"); ok {
		t.Error("FindPreset finds xen-2004")
	}
}

// The tables that name axes and choices go by position: each name must select the constant of the same name.
func TestChoicesAreWhatTheyAreCalled(t *testing.T) {
	want := map[string]Policy{
		"unmask=local": {}, "unmask=hypercall": {Unmask: UnmaskHypercall}, "unmask=always": {Unmask: UnmaskAlways},
		"unmask=remote-up": {Unmask: UnmaskRemoteUp}, "unmask=remote-sel": {Unmask: UnmaskRemoteSel}, "unmask=request": {Unmask: UnmaskRequest},
		"setpending=mask-stops": {}, "setpending=ignore-mask": {SetPending: SetPendingIgnoreMask},
		"bind=conservative": {}, "bind=quiet": {Bind: BindQuiet}, "bind=unmasked": {Bind: BindUnmasked}, "bind=to-binder": {Bind: BindToBinder},
		"rebind=2005": {}, "rebind=2013": {Rebind: Rebind2013}, "rebind=2021": {Rebind: Rebind2021}, "rebind=reraise": {Rebind: RebindReraise},
		"upcall=2005": {}, "upcall=snapshot": {Upcall: UpcallSnapshot}, "upcall=any": {Upcall: UpcallAny}, "upcall=resend": {Upcall: UpcallResend},
		"ack=2005": {}, "ack=2021": {Ack: Ack2021}, "tick=none": {}, "tick=sweep": {Tick: TickSweep}, "send=plain": {}, "send=recheck": {Send: SendRecheck},
	}
	n := 0
	for i, axis := range Axes() {
		if axis.Doc == "" || len(axis.Choices) < 2 {
			t.Errorf("axis %s has no description or no choice", axis.Name)
		}
		for j, c := range axis.Choices {
			spec := axis.Name + "=" + c.Name
			n++
			exp, ok := want[spec]
			if !ok || c.Doc == "" {
				t.Errorf("%s is not known to this test, or has no description", spec)
			}
			if spec == "rebind=2021" { // which needs ack=2021 beside it
				spec += ",ack=2021"
				exp.Ack = Ack2021
			}
			p, err := ParsePolicy(spec)
			if err != nil || p != exp {
				t.Errorf("ParsePolicy(%q) = %v, %v, want %v", spec, p, err, exp)
			}
			if got := p.Choices()[i]; got.Name != c.Name {
				t.Errorf("%s: choice %d on axis %d is called %s", spec, j, i, got.Name)
			}
			if f := reflect.ValueOf(p).Field(i); f.Uint() != uint64(j) {
				t.Errorf("%s: field %d is %d, want %d", spec, i, f.Uint(), j)
			}
			if q, err := ParsePolicy(p.String()); err != nil || q != p {
				t.Errorf("%s prints itself as %q, which is %v, %v", spec, p, q, err)
			}
		}
	}
	if n != len(want) {
		t.Errorf("%d choices, want %d", n, len(want))
	}
}

func TestComposedPolicies(t *testing.T) {
	for spec, want := range map[string]string{
		"unmask=hypercall": "unmask-hypercall",
		" unmask=hypercall , rebind=2013,upcall=snapshot": "linux-2013",
		"linux-2021,send=recheck":                         "sender-recheck",
		"xen-2005":                                        "xen-2005",
		"linux-2013,upcall=2005":                          "unmask=hypercall,rebind=2013",
		"unmask-hypercall,unmask=local":                   "xen-2005",
		"tick=sweep,bind=quiet":                           "bind=quiet,tick=sweep",
	} {
		p, err := ParsePolicy(spec)
		if err != nil || p.String() != want {
			t.Errorf("ParsePolicy(%q) = %v, %v, want %s", spec, p, err, want)
		}
	}
}

// What is refused says why, and what is allowed or meant.
func TestPoliciesRefused(t *testing.T) {
	for spec, want := range map[string]string{
		"unmask-hypercal":             `did you mean "unmask-hypercall"?`,
		"linux-2031":                  `did you mean "linux-2`,
		"zzz":                         `no policy is called "zzz"`,
		"unmusk=local":                `did you mean "unmask"?; axes: unmask, setpending, bind,`,
		"unmask=hyprcall":             `did you mean "hypercall"?; choices: local, hypercall, always,`,
		"unmask=":                     `axis unmask has no choice ""`,
		"unmask=local,unmask=always":  "axis unmask is set twice, to local and to always",
		"unmask=always,unmask=always": "axis unmask is set twice",
		"xen-2005,linux-2013":         "linux-2013 must come first",
		"unmask=local,xen-2005":       "xen-2005 must come first",
		"xen-2005,":                   "an empty part",
		",":                           "an empty part",
		"=":                           `no axis is called ""`,
		"upcall=any,unmask=remote-up": "they contradict each other",
		"any-vcpu,unmask=request":     "unmask=request tells one of them: they contradict",
		"upcall=any,ack=2021":         "they contradict each other",
		"rebind=2021":                 "add ack=2021 or take rebind=2013",
		"linux-2021,ack=2005":         "add ack=2021 or take rebind=2013",
	} {
		_, err := ParsePolicy(spec)
		if !errors.Is(err, ErrPolicy) || !strings.Contains(err.Error(), want) {
			t.Errorf("ParsePolicy(%q): got %v, want an ErrPolicy with %q", spec, err, want)
		}
		if strings.Contains(want, "zzz") && strings.Contains(err.Error(), "did you mean") {
			t.Errorf("ParsePolicy(%q): got %v, want no suggestion", spec, err)
		}
	}
}

// Every step list that explains a preset has a text for each step, and the procedures that every preset has.
func TestProceduresOfPresets(t *testing.T) {
	for _, preset := range Presets() {
		roles := map[string]bool{}
		for _, p := range Procedures(preset.Policy) {
			roles[p.Role] = true
			if p.Name == "" {
				t.Errorf("%s: %s has no name", preset.Name, p.Role)
			}
			for i, st := range p.Steps {
				if !st.Kind.Valid() || st.Text == "" {
					t.Errorf("%s: %s, step %d: kind %s, text %q", preset.Name, p.Name, i, st.Kind, st.Text)
				}
			}
		}
		for _, role := range []string{"unmask", "set_pending", "bind", "upcall", "write-back", "tick"} {
			if !roles[role] {
				t.Errorf("%s: no procedure for %s", preset.Name, role)
			}
		}
	}
}
