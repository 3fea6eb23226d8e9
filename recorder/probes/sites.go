package probes

import (
	"errors"
	"fmt"
	"strings"
)

// eventChannelOp is the number of the hypercall event_channel_op (xen/include/public/xen.h), and stubSize the size of a stub in
// hypercall_page.
const (
	eventChannelOp = 32
	stubSize       = 32
)

// maxText bounds how much of a function is searched. The largest that is has less than 4 KB.
const maxText = 16 << 10

// The commands of event_channel_op whose sites are probed (xen/include/public/event_channel.h).
const (
	cmdClose    = 3
	cmdSend     = 4
	cmdBindVCPU = 8
	cmdUnmask   = 9
)

// errUnsure is why no probe is put into a function: it is not known for certain where.
var errUnsure = errors.New("no place for a probe is certain")

// errNoCall is that of a function which makes no such hypercall.
var errNoCall = errors.New("no hypercall")

// site is a place just before a hypercall.
type site struct {
	offset int // in the function, of a whole instruction
	args   string
}

// findSite finds the place in a function's text, from which a hypercall with the command follows, and what to fetch there. name
// gives the name of the function at an offset from this one's beginning, "" if it is not known.
//
// A kernel that is built without Xen's hypercall page sets eax to the number of the hypercall, and calls a stub. The stub and the
// call, which is patched at boot, refuse probes; the instruction that sets eax takes one. Where the kernel calls into the page
// itself, the call takes it.
//
// Every instruction from the function's beginning is taken apart, so that the place is the beginning of one. It must be certain that
// the hypercall has that command, whichever way the kernel got there, and what the instructions between the place and the call
// do to the arguments.
func findSite(text []byte, command int, name func(offset int) string) (site, error) {
	code, err := disassemble(text)
	if err != nil {
		return site{}, err
	}
	joins := make(map[int]bool) // where branches go
	for i := range code {
		if code[i].isIndirect() {
			return site{}, fmt.Errorf("%w: it jumps where a register says, at +%#x", errUnsure, code[i].at)
		}
		if code[i].isBranch() {
			joins[code[i].target()] = true
		}
	}
	found := 0
	var first site
	var why error
	for i := range code {
		if !code[i].isCall() || !strings.Contains(name(code[i].target()), "hypercall") {
			continue
		}
		s, ok, err := siteAt(code, i, command, joins, name(code[i].target()))
		switch {
		case err != nil:
			why = err
		case ok:
			if found++; found == 1 {
				first = s
			}
		}
	}
	switch {
	case found == 1:
		return first, nil
	case found > 1:
		return site{}, fmt.Errorf("%w: %d hypercalls have command %d", errUnsure, found, command)
	case why != nil:
		return site{}, why
	}
	return site{}, fmt.Errorf("%w with command %d was found in it", errNoCall, command)
}

// disassemble takes a function apart. What follows its last instruction may be anything.
func disassemble(text []byte) ([]instruction, error) {
	var code []instruction
	last := 0 // the furthest place that a branch goes to
	for at := 0; at < len(text); {
		in, ok := decode(text, at)
		if !ok {
			if n := len(code); n > 0 && code[n-1].leaves() && at > last {
				return code, nil
			}
			return nil, fmt.Errorf("%w: the instruction at +%#x is not known", errUnsure, at)
		}
		if n := len(code); !in.two && in.op == 0xcc && n > 0 && !code[n-1].leaves() {
			return nil, fmt.Errorf("%w: there is a breakpoint at +%#x: another probe is in it", errUnsure, at)
		}
		if in.isBranch() && in.target() < len(text) {
			last = max(last, in.target())
		}
		code = append(code, in)
		at = in.end()
	}
	return code, nil
}

// siteAt looks back from the call of a stub: code[call]. It answers false if the command is another.
func siteAt(code []instruction, call, command int, joins map[int]bool, stub string) (site, bool, error) {
	unsure := func(format string, args ...any) (site, bool, error) {
		return site{}, false, fmt.Errorf("%w: before the call at +%#x, %s", errUnsure, code[call].at, fmt.Sprintf(format, args...))
	}
	page := strings.HasPrefix(stub, "hypercall_page") // its stub tells the number
	if page && stub != fmt.Sprintf("hypercall_page+%#x", eventChannelOp*stubSize) {
		return site{}, false, nil
	}
	number, cmd := -1, -1 // the instructions that set eax and edi
	var clobbered uint16
	for i := call - 1; i >= 0 && (cmd < 0 || number < 0 && !page); i-- {
		in := &code[i]
		if joins[code[i+1].at] {
			return unsure("another way leads to +%#x", code[i+1].at)
		}
		regs, ok := in.writes()
		if !ok {
			return unsure("what the instruction at +%#x does is not known", in.at)
		}
		regs &^= clobbered
		clobbered |= regs
		isConst := !in.two && in.op >= 0xb8 && in.op <= 0xbf && !in.wide && !in.short
		if regs&(1<<regAX) != 0 && !page {
			if !isConst {
				return unsure("eax is set by the instruction at +%#x", in.at)
			}
			if in.imm != eventChannelOp {
				return site{}, false, nil
			}
			number = i
		}
		if regs&(1<<regDI) != 0 {
			if !isConst {
				return unsure("the command is set by the instruction at +%#x", in.at)
			}
			if in.imm != int64(command) {
				return site{}, false, nil
			}
			cmd = i
		}
		if regs&(1<<regSP) != 0 {
			return unsure("the stack is moved at +%#x", in.at)
		}
	}
	if cmd < 0 || number < 0 && !page {
		return unsure("nothing sets the command")
	}
	at := number
	if page {
		at = call
	}
	args, err := arguments(code[at:call], command, cmd >= at)
	if err != nil {
		return unsure("%v", err)
	}
	return site{code[at].at, args}, true, nil
}

// arguments says where the command and the arguments are before the instructions of rest, after which rsi points to the structure
// of the arguments, whose first word is the port. late tells that the command is set only by one of them.
func arguments(rest []instruction, command int, late bool) (string, error) {
	base, slot := "%si", 0 // where the structure is
	moved := -1
	for i := range rest {
		in := &rest[i]
		regs, ok := in.writes()
		if !ok {
			return "", fmt.Errorf("what the instruction at +%#x does is not known", in.at)
		}
		if regs&(1<<regSI) == 0 {
			continue
		}
		base, moved = "%sp", i
		switch {
		case !in.two && in.op == 0x89 && in.wide && !in.inMemory() && in.reg() == regSP: // mov %rsp,%rsi
			slot = 0
		case !in.two && in.op == 0x8d && in.wide && in.onStack(): // lea slot(%rsp),%rsi
			slot = int(in.disp)
		default:
			return "", fmt.Errorf("the arguments' address is set by the instruction at +%#x", in.at)
		}
	}
	// fetch says where a word of the structure is, which may not be stored yet.
	fetch := func(offset int) (string, error) {
		from := fmt.Sprintf("+%d(%s)", slot+offset, base)
		var changed uint16
		for i := range rest {
			in := &rest[i]
			regs, _ := in.writes()
			if in.stores() {
				if moved < 0 || !in.onStack() {
					return "", fmt.Errorf("the instruction at +%#x may store an argument", in.at)
				}
				word := in.op == 0x89 && !in.short && !in.wide
				begin, size := int(in.disp), 8
				if word {
					size = 4
				}
				switch {
				case begin+size <= slot+offset || begin >= slot+offset+4:
					// another word
				case word && begin == slot+offset && changed&(1<<in.reg()) == 0:
					from = "%" + registers[in.reg()]
				default:
					return "", fmt.Errorf("the instruction at +%#x stores an argument in a way that is not known", in.at)
				}
			}
			changed |= regs
		}
		return from, nil
	}
	port, err := fetch(0)
	if err != nil {
		return "", err
	}
	args := "port=" + port + ":u32"
	if !late {
		args = "cmd=%di:u32 " + args
	}
	if command == cmdBindVCPU {
		vcpu, err := fetch(4)
		if err != nil {
			return "", err
		}
		args += " vcpu=" + vcpu + ":u32"
	}
	return args, nil
}
