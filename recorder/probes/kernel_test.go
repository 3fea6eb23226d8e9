package probes

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// fakeBase is where the fake kernel's text begins.
const fakeBase = 0xffffffff81000000

// fakeKernel is a kernel of a few functions, some of which make hypercalls.
type fakeKernel struct {
	text    []byte
	symbols []symbol
}

// add appends a function to the text.
func (k *fakeKernel) add(name, module string, text []byte) {
	k.symbols = append(k.symbols, symbol{addr: fakeBase + uint64(len(k.text)), name: name, module: module})
	k.text = append(k.text, text...)
	for len(k.text)%16 != 0 {
		k.text = append(k.text, 0xcc)
	}
}

// drop removes functions.
func (k *fakeKernel) drop(names ...string) *fakeKernel {
	k.symbols = slices.DeleteFunc(k.symbols, func(s symbol) bool { return slices.Contains(names, s.name) })
	return k
}

// hypercall is the text of a function that makes an event_channel_op through the stub at the kernel's beginning.
func (k *fakeKernel) hypercall(t testing.TB, command byte) []byte {
	b := code(t, fmt.Sprintf("0f 1f 44 00 00  48 83 ec 10  89 3c 24  bf %02x 00 00 00  48 89 e6  b8 20 00 00 00", command))
	rel := uint32(-(len(k.text) + len(b) + 5))
	b = binary.LittleEndian.AppendUint32(append(b, 0xe8), rel)
	return append(b, code(t, "48 83 c4 10  c3")...)
}

// newFakeKernel makes a kernel that has all functions but some.
func newFakeKernel(t testing.TB, without ...string) *fakeKernel {
	k := &fakeKernel{}
	k.add("xen_hypercall_pv", "", []byte{0x0f, 0x05, 0xc3})
	done := map[string]bool{}
	for _, p := range All() {
		for _, s := range p.Symbols[:1] {
			if done[s] || slices.Contains(without, s) {
				continue
			}
			done[s] = true
			body := []byte{0x0f, 0x1f, 0x44, 0, 0, 0xc3}
			for _, q := range All() {
				if q.Command != 0 && q.Symbols[0] == s {
					body = k.hypercall(t, byte(q.Command))
				}
			}
			k.add(s, p.Module, body)
		}
	}
	k.add("last_function", "", []byte{0xc3})
	k.add("evtchn_ops", "", binary.LittleEndian.AppendUint64(nil, 0)) // set by chooses
	k.symbols[len(k.symbols)-1].data = true
	k.add("evtchn_ops_2l", "", make([]byte, 16))
	k.symbols[len(k.symbols)-1].data = true
	k.add("evtchn_ops_fifo", "", make([]byte, 16))
	k.symbols[len(k.symbols)-1].data = true
	k.add("linux_banner", "", []byte("Linux version 6.1.0-fake (gcc) #1 SMP\n"+strings.Repeat("\x00", 512)))
	k.symbols[len(k.symbols)-1].data = true
	return k
}

// uses makes the kernel use an ABI.
func (k *fakeKernel) uses(abi string) *fakeKernel {
	var at, table uint64
	for _, s := range k.symbols {
		switch s.name {
		case "evtchn_ops":
			at = s.addr
		case "evtchn_ops_" + abi:
			table = s.addr
		}
	}
	binary.LittleEndian.PutUint64(k.text[at-fakeBase:], table)
	return k
}

// kallsyms is the kernel's /proc/kallsyms.
func (k *fakeKernel) kallsyms() string {
	var b strings.Builder
	for _, s := range k.symbols {
		kind := "t"
		if s.data {
			kind = "d"
		}
		fmt.Fprintf(&b, "%016x %s %s", s.addr, kind, s.name)
		if s.module != "" {
			fmt.Fprintf(&b, "\t[%s]", s.module)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// image is an ELF file of the kernel: a core, or with symbols a vmlinux.
func (k *fakeKernel) image(t testing.TB, symbols bool) []byte {
	t.Helper()
	const header, program, section = 64, 56, 64
	names, strs := []byte("\x00.text\x00.symtab\x00.strtab\x00"), []byte{0}
	syms := make([]byte, 24)
	var b bytes.Buffer
	put := func(w *bytes.Buffer, v any) {
		if err := binary.Write(w, binary.LittleEndian, v); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range k.symbols {
		kind := elf.STT_FUNC
		if s.data {
			kind = elf.STT_OBJECT
		}
		var w bytes.Buffer
		put(&w, elf.Sym64{Name: uint32(len(strs)), Info: elf.ST_INFO(elf.STB_LOCAL, kind), Shndx: 1, Value: s.addr})
		syms = append(syms, w.Bytes()...)
		strs = append(append(strs, s.name...), 0)
	}
	textAt := uint64(header + program)
	symAt := textAt + uint64(len(k.text))
	strAt := symAt + uint64(len(syms))
	nameAt := strAt + uint64(len(strs))
	h := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: 1, Phoff: header, Ehsize: header, Phentsize: program, Phnum: 1}
	copy(h.Ident[:], "\x7fELF\x02\x01\x01")
	if symbols {
		h.Shoff, h.Shentsize, h.Shnum, h.Shstrndx = nameAt+uint64(len(names)), section, 5, 4
	} else {
		h.Type = uint16(elf.ET_CORE)
	}
	put(&b, h)
	put(&b, elf.Prog64{Type: uint32(elf.PT_LOAD), Off: textAt, Vaddr: fakeBase, Filesz: uint64(len(k.text)), Memsz: uint64(len(k.text))})
	b.Write(k.text)
	if symbols {
		b.Write(syms)
		b.Write(strs)
		b.Write(names)
		for _, s := range []elf.Section64{{},
			{Name: 1, Type: uint32(elf.SHT_PROGBITS), Addr: fakeBase, Off: textAt, Size: uint64(len(k.text))},
			{Name: 7, Type: uint32(elf.SHT_SYMTAB), Off: symAt, Size: uint64(len(syms)), Link: 3, Entsize: 24},
			{Name: 15, Type: uint32(elf.SHT_STRTAB), Off: strAt, Size: uint64(len(strs))},
			{Name: 15, Type: uint32(elf.SHT_STRTAB), Off: nameAt, Size: uint64(len(names))}} {
			put(&b, s)
		}
	}
	return b.Bytes()
}

// write writes files below a directory.
func write(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, data := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// run is the kernel as the running one of a fake machine, whose root it gives.
func (k *fakeKernel) run(t testing.TB) string {
	t.Helper()
	root := t.TempDir()
	write(t, root, map[string]string{"sys/hypervisor/type": "xen\n", "sys/hypervisor/guest_type": "PV\n", "proc/kallsyms": k.kallsyms(),
		"proc/kcore": string(k.image(t, false)), "proc/version": "Linux version 6.1.0-fake (gcc) #1 SMP\n"})
	return root
}

func TestRunning(t *testing.T) {
	for _, abi := range []string{TwoLevel, FIFO} {
		k, err := Running(newFakeKernel(t).uses(abi).run(t))
		if err != nil {
			t.Fatal(err)
		}
		p, err := MakePlan(k, "PV", Options{})
		if err != nil {
			t.Fatal(err)
		}
		if p.ABI != abi || p.Version != "Linux version 6.1.0-fake (gcc) #1 SMP" {
			t.Errorf("got ABI %q of %q, want %s", p.ABI, p.Version, abi)
		}
		for _, c := range p.Choices {
			if c.Dropped != "" || len(c.Lines) != 1 {
				t.Errorf("%s: got %q, dropped: %q, want one definition", c.Name, c.Lines, c.Dropped)
			}
			if c.Command != 0 && !strings.Contains(c.Lines[0], "+0x14 cmd=%di:u32 port=+0(%si):u32") {
				t.Errorf("%s: got %q, want it at +0x14", c.Name, c.Lines[0])
			}
			if c.Module != "" && !strings.Contains(c.Lines[0], " xen_evtchn:") {
				t.Errorf("%s: got %q, want it in its module", c.Name, c.Lines[0])
			}
		}
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestNotXen: what is no guest of Xen is refused.
func TestNotXen(t *testing.T) {
	root := t.TempDir()
	if _, err := Running(root); !errors.Is(err, ErrNotXen) || !strings.Contains(err.Error(), "is not there") {
		t.Errorf("got %v, want ErrNotXen", err)
	}
	write(t, root, map[string]string{"sys/hypervisor/type": "kvm\n"})
	if _, err := Running(root); !errors.Is(err, ErrNotXen) || !strings.Contains(err.Error(), `says "kvm"`) {
		t.Errorf("got %v, want ErrNotXen", err)
	}
	write(t, root, map[string]string{"sys/hypervisor/type": "xen\n"})
	if _, err := Running(root); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want that kallsyms is missing", err)
	}
}

// TestHidden: whoever is not root sees no addresses, and gets all probes but those before hypercalls.
func TestHidden(t *testing.T) {
	fake := newFakeKernel(t)
	root := fake.run(t)
	for i := range fake.symbols {
		fake.symbols[i].addr = 0
	}
	write(t, root, map[string]string{"proc/kallsyms": fake.kallsyms()})
	k, err := Running(root)
	if err != nil {
		t.Fatal(err)
	}
	p, err := MakePlan(k, "PV", Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range p.Choices {
		if (c.Command != 0) != (c.Dropped != "") || c.Dropped != "" && !strings.Contains(c.Dropped, "run it as root") {
			t.Errorf("%s: dropped: %q", c.Name, c.Dropped)
		}
	}
}

// TestOpen: a vmlinux has it all but the module's symbols; a list of symbols has no text.
func TestOpen(t *testing.T) {
	dir := t.TempDir()
	fake := newFakeKernel(t, "evtchn_interrupt", "evtchn_ioctl", "evtchn_read", "evtchn_write", "evtchn_bind_to_user")
	write(t, dir, map[string]string{"vmlinux": string(fake.image(t, true)), "System.map": fake.kallsyms()})
	for _, name := range []string{"vmlinux", "System.map"} {
		k, err := Open(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		p, err := MakePlan(k, "", Options{ABI: TwoLevel})
		if err != nil {
			t.Fatal(err)
		}
		if want := map[string]string{"vmlinux": "Linux version 6.1.0-fake (gcc) #1 SMP"}[name]; p.Version != want {
			t.Errorf("%s: got version %q, want %q", name, p.Version, want)
		}
		for _, c := range p.Choices {
			switch {
			case c.Command != 0 && (name == "System.map" || c.Module != ""):
				if c.Dropped == "" {
					t.Errorf("%s: %s: got %q, want none", name, c.Name, c.Lines)
				}
			case c.Dropped != "" || len(c.Lines) != 1:
				t.Errorf("%s: %s: got %q, dropped: %q, want one definition", name, c.Name, c.Lines, c.Dropped)
			}
		}
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	}
	for name, data := range map[string]string{"empty": "", "text": "hello, world\n", "elf": "\x7fELF\x02\x01\x01", "cut": string(fake.image(t, true)[:200])} {
		write(t, dir, map[string]string{name: data})
		if _, err := Open(filepath.Join(dir, name)); !errors.Is(err, ErrNotKernel) {
			t.Errorf("%s: got %v, want ErrNotKernel", name, err)
		}
	}
	if _, err := Open(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want that it is missing", err)
	}
}

// TestDropped: what a kernel does not have is left out, with the reason.
func TestDropped(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(k *fakeKernel)
		probe  string
		want   string
	}{
		{"missing", func(k *fakeKernel) { k.drop("xen_send_IPI_one") }, "ipi", "the kernel has no function xen_send_IPI_one"},
		{"variant", func(k *fakeKernel) {
			k.drop("evtchn_2l_mask").add("evtchn_2l_mask.constprop.0", "", []byte{0xc3})
		}, "mask", "only as evtchn_2l_mask.constprop.0, whose arguments may be elsewhere"},
		{"old arguments", func(k *fakeKernel) { k.drop("evtchn_2l_remove") }, "bind_cpu", "without evtchn_2l_remove, which the kernel does not have, evtchn_2l_bind_to_cpu has other arguments"},
		{"no module", func(k *fakeKernel) {
			k.drop("evtchn_interrupt", "evtchn_ioctl", "evtchn_read", "evtchn_write", "evtchn_bind_to_user")
		}, "dev_irq", "the module xen_evtchn is not loaded"},
		{"data", func(k *fakeKernel) {
			for i := range k.symbols {
				k.symbols[i].data = k.symbols[i].data || k.symbols[i].name == "evtchn_2l_unmask"
			}
		}, "unmask", "the kernel has no function evtchn_2l_unmask"},
		{"no site", func(k *fakeKernel) {
			k.drop("evtchn_2l_unmask").add("evtchn_2l_unmask", "", []byte{0xc3})
			k.add("end", "", []byte{0xc3})
		}, "hc_unmask_2l", "no hypercall with command 9 was found in it"},
		{"odd text", func(k *fakeKernel) {
			k.drop("evtchn_2l_unmask").add("evtchn_2l_unmask", "", []byte{0xc5, 0xf8, 0x77})
			k.add("end", "", []byte{0xc3})
		}, "hc_unmask_2l", "no place for a probe is certain: the instruction at +0x0 is not known"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fake := newFakeKernel(t).uses(TwoLevel)
			tt.change(fake)
			k, err := Running(fake.run(t))
			if err != nil {
				t.Fatal(err)
			}
			defer k.Close()
			p, err := MakePlan(k, "PV", Options{})
			if err != nil {
				t.Fatal(err)
			}
			found := false
			for _, c := range p.Choices {
				if c.Name != tt.probe {
					continue
				}
				found = true
				if !strings.Contains(c.Dropped, tt.want) || len(c.Lines) != 0 {
					t.Errorf("got %q, dropped: %q, want %q", c.Lines, c.Dropped, tt.want)
				}
			}
			if !found {
				t.Errorf("no probe %s in the plan", tt.probe)
			}
			if notes := strings.Join(p.Notes(), "\n"); !strings.Contains(notes, tt.probe) || !strings.Contains(notes, tt.want) {
				t.Errorf("the notes do not say it:\n%s", notes)
			}
		})
	}
}

// TestGuests: a kernel with an entry for guests that are not PV is probed at the one that its guest uses.
func TestGuests(t *testing.T) {
	fake := newFakeKernel(t)
	fake.add("xen_hvm_evtchn_do_upcall", "", []byte{0xc3})
	for _, tt := range []struct {
		guest string
		want  []string
	}{
		{"PV", []string{"p:evtrace/upcall xen_evtchn_do_upcall", "r:evtrace/upcall_ret xen_evtchn_do_upcall"}},
		{"PVH", []string{"p:evtrace/upcall xen_hvm_evtchn_do_upcall", "r:evtrace/upcall_ret xen_hvm_evtchn_do_upcall"}},
		{"", []string{"p:evtrace/upcall xen_evtchn_do_upcall", "p:evtrace/upcall xen_hvm_evtchn_do_upcall",
			"r:evtrace/upcall_ret xen_evtchn_do_upcall", "r:evtrace/upcall_ret xen_hvm_evtchn_do_upcall"}},
	} {
		k, err := Running(fake.run(t))
		if err != nil {
			t.Fatal(err)
		}
		p, err := MakePlan(k, tt.guest, Options{})
		if err != nil {
			t.Fatal(err)
		}
		got := slices.DeleteFunc(p.Definitions(), func(s string) bool { return !strings.Contains(s, "/upcall") })
		if !slices.Equal(got, tt.want) {
			t.Errorf("%q: got %q, want %q", tt.guest, got, tt.want)
		}
		k.Close()
	}
}

func TestOptions(t *testing.T) {
	for _, opt := range []Options{{ABI: "3l"}, {Seconds: -1}, {Seconds: MaxSeconds + 1}, {BufferKB: 1}, {BufferKB: MaxBufferKB + 1}, {Clock: "sun"}, {Archive: "a\nb"}} {
		if _, err := MakePlan(nil, "", opt); !errors.Is(err, ErrOptions) {
			t.Errorf("%+v: got %v, want ErrOptions", opt, err)
		}
	}
}
