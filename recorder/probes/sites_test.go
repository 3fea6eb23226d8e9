package probes

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// code makes machine code of hexadecimal digits; what follows # on a line is a remark.
func code(t testing.TB, text string) []byte {
	t.Helper()
	var b []byte
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		part, err := hex.DecodeString(strings.Join(strings.Fields(line), ""))
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		b = append(b, part...)
	}
	return b
}

func TestDecode(t *testing.T) {
	for _, text := range []string{
		"90", "c3", "cc", "0f 0b", "0f 1f 44 00 00", "66 0f 1f 84 00 00 00 00 00", "f3 0f 1e fa", "66 2e 0f 1f 84 00 00 00 00 00",
		"53", "41 57", "48 83 ec 10", "48 81 ec 00 01 00 00", "48 89 e6", "48 8d 74 24 0c", "4c 8d b4 24 80 00 00 00",
		"b8 20 00 00 00", "66 b8 20 00", "48 b8 11 22 33 44 55 66 77 88", "48 c7 c0 20 00 00 00", "66 c7 44 24 04 20 00", "c6 44 24 04 01",
		"89 5c 24 04", "44 89 2c 24", "8b 05 11 22 33 44", "65 8b 05 11 22 33 44", "8b 04 25 11 22 33 44", "8b 84 c5 11 22 33 44",
		"e8 00 00 00 00", "e9 00 00 00 00", "eb 00", "75 00", "0f 85 00 00 00 00", "ff e0", "ff 15 11 22 33 44", "f6 44 24 04 01", "f6 d8",
		"f7 c7 00 02 00 00", "f7 d8", "66 f7 c7 00 02", "c2 08 00", "f0 0f b3 07", "f0 48 0f ab 03", "48 0f a3 38", "0f ba e8 03", "0f c8",
		"0f 38 00 c1", "0f 3a 0f c1 08", "a1 11 22 33 44 55 66 77 88", "67 a1 11 22 33 44", "a8 01", "48 a9 11 22 33 44", "6a 01", "68 11 22 33 44",
		"48 69 c0 11 22 33 44", "6b c0 08", "c8 10 00 00", "0f 01 cb", "0f ae f0", "f3 48 ab", "c1 e0 04", "d3 e0", "0f a4 c1 04",
	} {
		b := code(t, text)
		in, ok := decode(append(b, 0x90, 0x90), 0)
		if !ok || in.size != len(b) {
			t.Errorf("%s: got %d bytes, %v, want %d", text, in.size, ok, len(b))
		}
		for n := range b {
			if in, ok := decode(b[:n], 0); ok && in.size > n {
				t.Errorf("%s, cut to %d bytes: got an instruction of %d", text, n, in.size)
			}
		}
	}
	for _, text := range []string{"", "06", "c5 f8 77", "62 f1 7c 48 28 c1", "0f 0f c1 b4", "0f 04", "ea", "66 66 66 66 66 66 66 66 66 66 66 66 66 66 66 90"} {
		if in, ok := decode(code(t, text), 0); ok {
			t.Errorf("%s: got an instruction of %d bytes, want none", text, in.size)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte{0x48, 0x8d, 0x74, 0x24, 0x0c})
	f.Fuzz(func(t *testing.T, b []byte) {
		in, ok := decode(b, 0)
		if ok && (in.size <= 0 || in.size > len(b) || in.size > 15) {
			t.Fatalf("%x: %d bytes", b, in.size)
		}
		if ok {
			in.writes()
			in.stores()
		}
		for _, cmd := range []int{cmdSend, cmdBindVCPU} {
			if s, err := findSite(b, cmd, func(int) string { return "xen_hypercall" }); err == nil && (s.offset < 0 || s.offset >= len(b)) {
				t.Fatalf("%x: a place at %d", b, s.offset)
			}
		}
	})
}

// The stubs that the fragments call, by the offset of the target: page is the stub of event_channel_op in hypercall_page, other
// that of another hypercall.
const (
	farStub  = 0x10000
	farPage  = 0x20000
	farOther = 0x30000
)

func stubs(offset int) string {
	switch offset {
	case farStub:
		return "xen_hypercall_pv"
	case farPage:
		return "hypercall_page+0x400"
	case farOther:
		return "hypercall_page+0x20"
	}
	return ""
}

// called replaces CALL by a call whose target is far from the fragment's beginning.
func called(t testing.TB, text string, far int) []byte {
	t.Helper()
	before, after, ok := strings.Cut(text, "CALL")
	if !ok {
		return code(t, text)
	}
	b := code(t, before)
	rel := far - (len(b) + 5)
	return append(append(b, 0xe8, byte(rel), byte(rel>>8), byte(rel>>16), byte(rel>>24)), code(t, after)...)
}

func TestFindSite(t *testing.T) {
	const prologue = "0f 1f 44 00 00  53  48 83 ec 10\n" // 10 bytes: a place for ftrace, push %rbx, sub $16,%rsp
	const epilogue = "\n48 83 c4 10  5b  c3  cc cc cc cc"
	for _, tt := range []struct {
		name string
		text string
		far  int
		cmd  int
		want string // "OFFSET ARGS", or a part of the error
	}{
		{"stored before", prologue + "89 3c 24  bf 09 00 00 00  48 89 e6  b8 20 00 00 00  CALL" + epilogue, farStub, cmdUnmask, "0x15 cmd=%di:u32 port=+0(%si):u32"},
		{"address after", prologue + "89 3c 24  bf 09 00 00 00  b8 20 00 00 00  48 89 e6  CALL" + epilogue, farStub, cmdUnmask, "0x12 cmd=%di:u32 port=+0(%sp):u32"},
		{"address by lea", prologue + "89 7c 24 0c  bf 04 00 00 00  b8 20 00 00 00  48 8d 74 24 0c  CALL" + epilogue, farStub, cmdSend, "0x13 cmd=%di:u32 port=+12(%sp):u32"},
		{"stored after", prologue + "bf 03 00 00 00  b8 20 00 00 00  48 89 e6  89 2c 24  CALL" + epilogue, farStub, cmdClose, "0xf cmd=%di:u32 port=%bp:u32"},
		{"stored after from r12", prologue + "bf 03 00 00 00  b8 20 00 00 00  44 89 64 24 04  48 8d 74 24 04  CALL" + epilogue, farStub, cmdClose, "0xf cmd=%di:u32 port=%r12:u32"},
		{"command after", prologue + "89 3c 24  b8 20 00 00 00  bf 09 00 00 00  48 89 e6  CALL" + epilogue, farStub, cmdUnmask, "0xd port=+0(%sp):u32"},
		{"two words", prologue + "bf 08 00 00 00  b8 20 00 00 00  48 89 e6  89 1c 24  44 89 6c 24 04  CALL" + epilogue, farStub, cmdBindVCPU,
			"0xf cmd=%di:u32 port=%bx:u32 vcpu=%r13:u32"},
		{"two words stored", prologue + "bf 08 00 00 00  48 89 e6  b8 20 00 00 00  CALL" + epilogue, farStub, cmdBindVCPU, "0x12 cmd=%di:u32 port=+0(%si):u32 vcpu=+4(%si):u32"},
		{"hypercall page", prologue + "89 3c 24  bf 09 00 00 00  48 89 e6  CALL" + epilogue, farPage, cmdUnmask, "0x15 cmd=%di:u32 port=+0(%si):u32"},
		{"a way past it", prologue + "85 ff 74 14  89 3c 24  bf 09 00 00 00  48 89 e6  b8 20 00 00 00  CALL" + epilogue, farStub, cmdUnmask, "0x19 cmd=%di:u32"},
		{"a jump that is not taken", prologue + "bf 09 00 00 00  85 db  74 0e  89 3c 24  48 89 e6  b8 20 00 00 00  CALL" + epilogue, farStub, cmdUnmask, "0x19 cmd=%di:u32"},

		{"other hypercall", prologue + "bf 09 00 00 00  CALL" + epilogue, farOther, cmdUnmask, "no hypercall with command 9"},
		{"other number", prologue + "bf 09 00 00 00  48 89 e6  b8 1d 00 00 00  CALL" + epilogue, farStub, cmdUnmask, "no hypercall with command 9"},
		{"other command", prologue + "bf 04 00 00 00  48 89 e6  b8 20 00 00 00  CALL" + epilogue, farStub, cmdUnmask, "no hypercall with command 9"},
		{"other function", prologue + "bf 09 00 00 00  48 89 e6  b8 20 00 00 00  CALL" + epilogue, 0x40000, cmdUnmask, "no hypercall with command 9"},
		{"two of them", prologue + "bf 09 00 00 00  48 89 e6  b8 20 00 00 00  e8 e4 ff 00 00  bf 09 00 00 00  48 89 e6  b8 20 00 00 00  CALL" + epilogue, farStub, cmdUnmask,
			"2 hypercalls have command 9"},
		{"a way into it", prologue + "85 ff 74 05  bf 09 00 00 00  48 89 e6  b8 20 00 00 00  CALL" + epilogue, farStub, cmdUnmask, "another way leads to +0x13"},
		{"command unknown", prologue + "8b 3b  48 89 e6  b8 20 00 00 00  CALL" + epilogue, farStub, cmdUnmask, "the command is set by the instruction at +0xa"},
		{"number unknown", prologue + "bf 09 00 00 00  8b 03  CALL" + epilogue, farStub, cmdUnmask, "eax is set by the instruction at +0xf"},
		{"address unknown", prologue + "bf 09 00 00 00  b8 20 00 00 00  48 89 de  CALL" + epilogue, farStub, cmdUnmask, "the arguments' address is set by the instruction at +0x14"},
		{"stored elsewhere", prologue + "bf 09 00 00 00  48 89 e6  b8 20 00 00 00  89 1e  CALL" + epilogue, farStub, cmdUnmask, "at +0x17 may store an argument"},
		{"stored half", prologue + "bf 09 00 00 00  b8 20 00 00 00  48 89 e6  66 89 1c 24  CALL" + epilogue, farStub, cmdUnmask, "stores an argument in a way"},
		{"stack moves", prologue + "bf 09 00 00 00  b8 20 00 00 00  48 83 ec 08  48 89 e6  CALL" + epilogue, farStub, cmdUnmask, "the stack is moved"},
		{"push between", prologue + "bf 09 00 00 00  b8 20 00 00 00  53  CALL" + epilogue, farStub, cmdUnmask, "is not known"},
		{"call between", prologue + "bf 09 00 00 00  e8 00 00 00 00  b8 20 00 00 00  CALL" + epilogue, farStub, cmdUnmask, "is not known"},
		{"jumps by register", prologue + "bf 09 00 00 00  48 89 e6  b8 20 00 00 00  CALL  ff e0", farStub, cmdUnmask, "jumps where a register says"},
		{"another's breakpoint", "0f 1f 44 00 00  cc  48 83 ec 10  bf 09 00 00 00  48 89 e6  b8 20 00 00 00  CALL" + epilogue, farStub, cmdUnmask, "a breakpoint at +0x5"},
		{"unknown instruction", "c5 f8 77" + prologue + "bf 09 00 00 00  48 89 e6  b8 20 00 00 00  CALL" + epilogue, farStub, cmdUnmask, "the instruction at +0x0 is not known"},
		{"in an immediate", prologue + "48 b8 b8 20 00 00 00 e8 00 00  c3", farStub, cmdUnmask, "no hypercall with command 9"},
		{"nothing", "", farStub, cmdUnmask, "no hypercall with command 9"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := findSite(called(t, tt.text, tt.far), tt.cmd, stubs)
			got := fmt.Sprintf("%#x %s", s.offset, s.args)
			if err != nil {
				got = err.Error()
			}
			if (err == nil) != strings.HasPrefix(tt.want, "0x") || err == nil && !strings.HasPrefix(got, tt.want) || err != nil && !strings.Contains(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if err != nil && !strings.HasPrefix(err.Error(), "no hypercall") && !errors.Is(err, errUnsure) {
				t.Errorf("the error %v is not errUnsure", err)
			}
		})
	}
}
