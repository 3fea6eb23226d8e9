package probes

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"
)

// addr gives the address of a symbol.
func (k *fakeKernel) addr(t testing.TB, name string) uint64 {
	t.Helper()
	for _, s := range k.symbols {
		if s.name == name {
			return s.addr
		}
	}
	t.Fatalf("no symbol %s", name)
	return 0
}

// addData appends words to the text, as data of a module.
func (k *fakeKernel) addData(name, module string, words []uint64) {
	var b []byte
	for _, w := range words {
		b = binary.LittleEndian.AppendUint64(b, w)
	}
	k.add(name, module, b)
	k.symbols[len(k.symbols)-1].data = true
}

// own2l are functions in the kernel's own table, in the order of some kernel; "" is an entry that is not set.
var own2l = []string{"", "evtchn_2l_remove", "evtchn_2l_bind_to_cpu", "evtchn_2l_clear_pending", "evtchn_2l_mask", "evtchn_2l_unmask", "evtchn_2l_handle_events", ""}

// hooked is a kernel whose pointer is at a copy of the table in a module, in which functions are others.
func hooked(t testing.TB, change map[string]uint64) *fakeKernel {
	k := newFakeKernel(t).drop("evtchn_ops_2l", "evtchn_ops_fifo")
	k.add("my_unmask", "mymod", []byte{0x0f, 0x1f, 0x44, 0, 0, 0xc3})
	k.add("my_calling_unmask", "mymod", k.hypercall(t, cmdUnmask))
	k.add("my_jumping_unmask", "mymod", []byte{0xff, 0xe0})
	k.add("my_mask", "mymod", []byte{0xc3})
	var own, copied []uint64
	for _, name := range own2l {
		var a uint64
		if name != "" {
			a = k.addr(t, name)
		}
		own = append(own, a)
		if to, ok := change[name]; ok {
			a = to
		}
		copied = append(copied, a)
	}
	k.addData("evtchn_ops_2l", "", own)
	k.addData("evtchn_ops_fifo", "", make([]uint64, 8))
	k.addData("my_table", "mymod", copied)
	k.add("my_end", "mymod", []byte{0xc3})
	binary.LittleEndian.PutUint64(k.text[k.addr(t, "evtchn_ops")-fakeBase:], k.addr(t, "my_table"))
	return k
}

func planOf(t testing.TB, fake *fakeKernel, opt Options) *Plan {
	t.Helper()
	k, err := Running(fake.run(t))
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	p, err := MakePlan(k, "PV", opt)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestHooks: functions that a module put in the place of the kernel's are said, and recorded.
func TestHooks(t *testing.T) {
	at := func(name string) uint64 { return hooked(t, nil).addr(t, name) }
	for _, tt := range []struct {
		name   string
		change map[string]uint64
		lines  []string // definitions besides those of the kernel's own functions
		notes  []string
	}{
		{"a copy", nil, nil, []string{"evtchn_ops points to mymod:my_table, a copy of evtchn_ops_2l with the same functions"}},
		{"unmask", map[string]uint64{"evtchn_2l_unmask": at("my_unmask")}, []string{"p:evtrace/unmask_own1 mymod:my_unmask port=%di:u32"},
			[]string{"the kernel's event channel functions were changed: evtchn_ops points to mymod:my_table instead of evtchn_ops_2l, with mymod:my_unmask in the place of evtchn_2l_unmask"}},
		{"its hypercall", map[string]uint64{"evtchn_2l_unmask": at("my_calling_unmask")},
			[]string{"p:evtrace/unmask_own1 mymod:my_calling_unmask port=%di:u32", "p:evtrace/hc_unmask_2l_own2 mymod:my_calling_unmask+0x14 cmd=%di:u32 port=+0(%si):u32"}, nil},
		{"no certain place", map[string]uint64{"evtchn_2l_unmask": at("my_jumping_unmask")}, []string{"p:evtrace/unmask_own1 mymod:my_jumping_unmask port=%di:u32"},
			[]string{"no hc_unmask_2l: my_jumping_unmask: no place for a probe is certain"}},
		{"two", map[string]uint64{"evtchn_2l_unmask": at("my_unmask"), "evtchn_2l_mask": at("my_mask")},
			[]string{"p:evtrace/mask_own1 mymod:my_mask port=%di:u32", "p:evtrace/unmask_own2 mymod:my_unmask port=%di:u32"}, nil},
		{"no function", map[string]uint64{"evtchn_2l_mask": at("my_mask") + 4}, nil,
			[]string{"with mymod:my_mask+0x4 in the place of evtchn_2l_mask", "no mask: what is in the place of evtchn_2l_mask is not the beginning of a function"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := planOf(t, hooked(t, tt.change), Options{})
			if p.ABI != TwoLevel || len(p.Changes) != len(tt.change) {
				t.Errorf("got ABI %q with %d changes, want 2l with %d", p.ABI, len(p.Changes), len(tt.change))
			}
			got := slices.DeleteFunc(p.Definitions(), func(s string) bool { return !strings.Contains(s, "_own") })
			if !slices.Equal(got, tt.lines) {
				t.Errorf("got %q, want %q", got, tt.lines)
			}
			if d := strings.Join(p.Definitions(), "\n"); !strings.Contains(d, "p:evtrace/unmask evtchn_2l_unmask port=%di:u32") {
				t.Errorf("the kernel's own function is not probed:\n%s", d)
			}
			for _, want := range tt.notes {
				if notes := strings.Join(p.Notes(), "\n"); !strings.Contains(notes, want) {
					t.Errorf("no note %q in\n%s", want, notes)
				}
				if want = strings.ReplaceAll(want, "'", `'\''`); !strings.Contains(p.Script(), want) {
					t.Errorf("the script does not say %q", want)
				}
			}
		})
	}
}

// TestHooksUnknown: what cannot be told is said, and changes nothing else.
func TestHooksUnknown(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(k *fakeKernel)
		want   string
	}{
		{"no pointer", func(k *fakeKernel) { k.drop("evtchn_ops") }, "lists evtchn_ops 0 times"},
		{"nowhere", func(k *fakeKernel) {
			binary.LittleEndian.PutUint64(k.text[k.addr(t, "evtchn_ops")-fakeBase:], 0x1000)
		}, "no memory at 0x1000"},
		{"unlike", func(k *fakeKernel) {
			binary.LittleEndian.PutUint64(k.text[k.addr(t, "evtchn_ops")-fakeBase:], k.addr(t, "linux_banner"))
		}, "evtchn_ops points to linux_banner, and what is there is like neither of the kernel's own tables"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fake := hooked(t, nil)
			tt.change(fake)
			p := planOf(t, fake, Options{})
			notes := strings.Join(p.Notes(), "\n")
			if p.ABI != "" || len(p.Changes) != 0 || !strings.Contains(notes, "is not known: ") || !strings.Contains(notes, tt.want) {
				t.Errorf("got ABI %q, %d changes, want %q in\n%s", p.ABI, len(p.Changes), tt.want, notes)
			}
			if d := strings.Join(p.Definitions(), "\n"); strings.Contains(d, "_own") {
				t.Errorf("want no probe besides the kernel's own:\n%s", d)
			}
		})
	}
}

// TestOwn: the user's own functions are recorded, where the kernel has them or may have them later.
func TestOwn(t *testing.T) {
	for _, tt := range []struct{ probe, line, later, err string }{
		{"unmask=mymod:my_unmask port=%di:u32", "p:evtrace/unmask_own1 mymod:my_unmask port=%di:u32", "", ""},
		{"unmask=my_unmask port=%di", "p:evtrace/unmask_own1 mymod:my_unmask port=%di:u32", "", ""},
		{"hc_send=my_mask+0x0 port=+8(%si):u16", "p:evtrace/hc_send_own1 mymod:my_mask+0x0 port=+8(%si):u16", "", ""},
		{"upcall_ret=my_mask", "r:evtrace/upcall_ret_own1 mymod:my_mask", "", ""},
		{"unmask=other-mod:their_unmask port=%di", "p:evtrace/unmask_own1 other_mod:their_unmask port=%di:u32", "other_mod", ""},
		{"unmask=mymod:my_unmaks port=%di", "", "", `the module mymod has no function my_unmaks; did you mean "my_unmask"?`},
		{"unmask=evtchn_2l_unmusk port=%di", "", "", `the kernel has no function evtchn_2l_unmusk; did you mean "evtchn_2l_unmask"?`},
		{"unmask=my_table port=%di", "", "", "the kernel has no function my_table"},
		{"unmusk=my_unmask port=%di", "", "", `no record is called "unmusk"; did you mean "unmask"?`},
		{"unmask=my_unmask", "", "", "a record of unmask needs port"},
		{"bind_cpu=my_unmask port=%di", "", "", "a record of bind_cpu needs cpu"},
		{"unmask=my_unmask prot=%di", "", "", `no field is called "prot"; did you mean "port"?`},
		{"unmask=my_unmask port", "", "", `got "port", want NAME=FETCH`},
		{"unmask=my_unmask port=di", "", "", `port is to be "di", want a register such as %di`},
		{"unmask=my_unmask port=%di;rm", "", "", "want a register"},
		{"unmask=my_unmask port=%di port=%si", "", "", "port is given twice"},
		{"unmask=my unmask port=%di", "", "", `got "unmask", want NAME=FETCH`},
		{"unmask=a;b port=%di", "", "", `got "a;b", want a function`},
		{"unmask", "", "", "want KIND=FUNCTION FIELDS"},
		{"", "", "", "want KIND=FUNCTION FIELDS"},
	} {
		t.Run(tt.probe, func(t *testing.T) {
			o, err := ParseOwn(tt.probe)
			var p *Plan
			if err == nil {
				k, openErr := Running(hooked(t, nil).run(t))
				if openErr != nil {
					t.Fatal(openErr)
				}
				defer k.Close()
				p, err = MakePlan(k, "PV", Options{Own: []Own{o}})
			}
			if tt.err != "" {
				if !errors.Is(err, ErrOptions) || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("got %v, want %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			c := p.Choices[len(p.Choices)-1]
			if !c.Own || !slices.Equal(c.Lines, []string{tt.line}) || c.Later != tt.later {
				t.Errorf("got %+v, want %q, later %q", c, tt.line, tt.later)
			}
			if again, err := ParseOwn(o.String()); err != nil || again.String() != o.String() {
				t.Errorf("%q: got %v, %v", o, again, err)
			}
		})
	}
}

// TestOwnScript: the script records with the user's own functions; one of a module that is not there yet is defined all the same.
func TestOwnScript(t *testing.T) {
	var own []Own
	for _, s := range []string{"unmask=mymod:my_unmask port=%di", "hc_send=latermod:their_send port=%si"} {
		o, err := ParseOwn(s)
		if err != nil {
			t.Fatal(err)
		}
		own = append(own, o)
	}
	fake := hooked(t, map[string]uint64{"evtchn_2l_unmask": hooked(t, nil).addr(t, "my_unmask")})
	known := planOf(t, fake, Options{Own: own}).Script()
	anywhere, err := MakePlan(nil, "", Options{ABI: TwoLevel, Own: own})
	if err != nil {
		t.Fatal(err)
	}
	eachShell(t, func(t *testing.T, shell []string) {
		for name, script := range map[string]string{"known": known, "any": anywhere.Script()} {
			m := newMachine(t, shell, fake)
			write(t, m.root, map[string]string{"proc/modules": "mymod 16384 0 - Live 0x0\n"})
			rc, said := m.run(script, nil, "-o", "a.tar")
			if rc != 0 || !strings.Contains(said, "the module latermod is not loaded: its probes wait for it") || strings.Contains(said, "mymod is not loaded") {
				t.Fatalf("%s: exit code %d:\n%s", name, rc, said)
			}
			events := m.read(m.root + "/sys/kernel/tracing/kprobe_events")
			for _, want := range []string{" mymod:my_unmask port=%di:u32\n", " latermod:their_send port=%si:u32\n"} {
				if !strings.Contains(events, want) {
					t.Errorf("%s: no probe %q in\n%s", name, want, events)
				}
			}
			m.clean("a.tar")
		}
	})
}
