package probes

// instruction is one x86-64 instruction, taken apart as far as sites need it.
type instruction struct {
	at    int  // offset in the text
	size  int  // bytes
	wide  bool // REX.W: 64 bits
	short bool // prefix 66: 16 bits
	rex   byte // 0: none
	two   bool // opcode is that of the two-byte map (0f xx)
	op    byte
	modrm byte
	sib   byte
	disp  int32
	imm   int64
	form  form
}

// form says what follows an opcode.
type form uint16

const (
	fModRM form = 1 << iota
	fImm8
	fImm16
	fImmZ  // 4 bytes, or 2 with the prefix 66
	fImmV  // as fImmZ, or 8 with REX.W
	fRel8  // a branch
	fRel32 // the same
	fAddr  // 8 bytes, or 4 with the prefix 67
	fGroup // of f6 and f7: an immediate only where the ModRM byte says test
	fBad   // not in 64-bit mode, or a vector instruction, which this code has none of
)

// oneByte is the map of opcodes of one byte.
var oneByte = func() (m [256]form) {
	for _, base := range []int{0x00, 0x08, 0x10, 0x18, 0x20, 0x28, 0x30, 0x38} { // add or adc sbb and sub xor cmp
		for i := 0; i < 4; i++ {
			m[base+i] = fModRM
		}
		m[base+4], m[base+5], m[base+6], m[base+7] = fImm8, fImmZ, fBad, fBad
	}
	set := func(f form, ops ...int) {
		for _, op := range ops {
			m[op] = f
		}
	}
	span := func(f form, from, to int) {
		for op := from; op <= to; op++ {
			m[op] = f
		}
	}
	span(fBad, 0x60, 0x62)
	span(fImm8, 0x70, 0x7f)
	span(fRel8, 0x70, 0x7f)
	span(fModRM, 0x84, 0x8f)
	span(fAddr, 0xa0, 0xa3)
	span(fImm8, 0xb0, 0xb7)
	span(fImmV, 0xb8, 0xbf)
	span(fModRM, 0xd0, 0xd3)
	span(fModRM, 0xd8, 0xdf)
	span(fRel8, 0xe0, 0xe3)
	span(fImm8, 0xe4, 0xe7)
	set(fModRM, 0x63, 0xfe, 0xff)
	set(fModRM|fImmZ, 0x69, 0x81, 0xc7)
	set(fModRM|fImm8, 0x6b, 0x80, 0x83, 0xc0, 0xc1, 0xc6)
	set(fImmZ, 0x68, 0xa9)
	set(fImm8, 0x6a, 0xa8, 0xcd)
	set(fImm16, 0xc2, 0xca)
	set(fImm16|fImm8, 0xc8)
	set(fRel32, 0xe8, 0xe9)
	set(fRel8, 0xeb)
	set(fModRM|fGroup|fImm8, 0xf6)
	set(fModRM|fGroup|fImmZ, 0xf7)
	// c4, c5 and 62 begin vector instructions; the others are gone in 64-bit mode.
	set(fBad, 0x82, 0x9a, 0xc4, 0xc5, 0xce, 0xd4, 0xd5, 0xd6, 0xea)
	return m
}()

// twoByte is the map of opcodes that begin with 0f.
var twoByte = func() (m [256]form) {
	for op := range m {
		m[op] = fModRM
	}
	set := func(f form, ops ...int) {
		for _, op := range ops {
			m[op] = f
		}
	}
	for op := 0x80; op <= 0x8f; op++ {
		m[op] = fRel32
	}
	for op := 0xc8; op <= 0xcf; op++ {
		m[op] = 0 // bswap
	}
	set(0, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0b, 0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x37, 0x77, 0xa0, 0xa1, 0xa2, 0xa8, 0xa9, 0xaa)
	set(fModRM|fImm8, 0x70, 0x71, 0x72, 0x73, 0xa4, 0xac, 0xba, 0xc2, 0xc4, 0xc5, 0xc6)
	set(fBad, 0x04, 0x0a, 0x0c, 0x0e, 0x0f, 0x24, 0x25, 0x26, 0x27, 0x36, 0x39, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f, 0xa6, 0xa7)
	return m
}()

// decode takes the instruction at text[at] apart. It gives false for what it does not know for certain, and for one that the
// text cuts off.
func decode(text []byte, at int) (instruction, bool) {
	in := instruction{at: at}
	p := at
	addr32 := false
prefixes:
	for ; p < len(text); p++ {
		switch text[p] {
		case 0x66:
			in.short = true
		case 0x67:
			addr32 = true
		case 0xf0, 0xf2, 0xf3, 0x2e, 0x36, 0x3e, 0x26, 0x64, 0x65:
		default:
			break prefixes
		}
	}
	if p < len(text) && text[p]&0xf0 == 0x40 {
		in.rex = text[p]
		in.wide = in.rex&8 != 0
		p++
	}
	next := func() (byte, bool) {
		if p >= len(text) {
			return 0, false
		}
		p++
		return text[p-1], true
	}
	op, ok := next()
	if !ok {
		return in, false
	}
	f := oneByte[op]
	if op == 0x0f {
		if op, ok = next(); !ok {
			return in, false
		}
		in.two, f = true, twoByte[op]
		if op == 0x38 || op == 0x3a { // one more byte of opcode, then ModRM, and for 3a an immediate
			if f = fModRM; op == 0x3a {
				f |= fImm8
			}
			if _, ok = next(); !ok {
				return in, false
			}
		}
	}
	in.op, in.form = op, f
	if f&fBad != 0 {
		return in, false
	}
	if f&fModRM != 0 {
		if in.modrm, ok = next(); !ok {
			return in, false
		}
		size := 0
		mod, rm := in.modrm>>6, in.modrm&7
		if mod != 3 && rm == 4 {
			if in.sib, ok = next(); !ok {
				return in, false
			}
		}
		switch {
		case mod == 1:
			size = 1
		case mod == 2, mod == 0 && rm == 5, mod == 0 && rm == 4 && in.sib&7 == 5:
			size = 4
		}
		if p+size > len(text) {
			return in, false
		}
		in.disp = int32(number(text[p : p+size]))
		p += size
	}
	if f&fGroup != 0 && in.modrm>>3&7 > 1 {
		f &^= fImm8 | fImmZ
	}
	size := 0
	if f&(fImm8|fRel8) != 0 {
		size++
	}
	if f&fImm16 != 0 {
		size += 2
	}
	switch {
	case f&fImmV != 0 && in.wide:
		size += 8
	case f&(fImmZ|fImmV) != 0 && in.short && !in.wide:
		size += 2
	case f&(fImmZ|fImmV|fRel32) != 0:
		size += 4
	case f&fAddr != 0 && addr32:
		size += 4
	case f&fAddr != 0:
		size += 8
	}
	if p+size > len(text) || p+size-at > 15 {
		return in, false
	}
	in.imm = number(text[p : p+size])
	in.size = p + size - at
	return in, true
}

// number reads a signed number, least significant byte first.
func number(b []byte) int64 {
	var n uint64
	for i, c := range b {
		n |= uint64(c) << (8 * i)
	}
	shift := 64 - 8*len(b)
	return int64(n<<shift) >> shift
}

// The registers that sites are about, by their number.
const (
	regAX = 0
	regSP = 4
	regSI = 6
	regDI = 7
)

// registers are the names that kprobes have for registers, by number.
var registers = [16]string{"ax", "cx", "dx", "bx", "sp", "bp", "si", "di", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"}

// reg is the register of the ModRM byte's middle, rm the one of its end.
func (in *instruction) reg() int { return int(in.modrm>>3&7) | int(in.rex&4)<<1 }
func (in *instruction) rm() int  { return int(in.modrm&7) | int(in.rex&1)<<3 }

// opReg is the register in an opcode's last three bits.
func (in *instruction) opReg() int { return int(in.op&7) | int(in.rex&1)<<3 }

// inMemory reports whether the operand of the ModRM byte is in memory.
func (in *instruction) inMemory() bool { return in.form&fModRM != 0 && in.modrm>>6 != 3 }

// onStack reports whether that operand is disp(%rsp).
func (in *instruction) onStack() bool {
	return in.inMemory() && in.modrm&7 == 4 && in.sib == 0x24 && in.rex&3 == 0
}

// end is the offset behind the instruction.
func (in *instruction) end() int { return in.at + in.size }

// target is where a branch or call goes, as an offset.
func (in *instruction) target() int { return in.end() + int(in.imm) }

func (in *instruction) isCall() bool { return !in.two && in.op == 0xe8 }

// isBranch reports whether it may go on at its target: a jump, conditional or not.
func (in *instruction) isBranch() bool {
	return in.form&(fRel8|fRel32) != 0 && !in.isCall()
}

// isIndirect reports whether it jumps where only a register knows.
func (in *instruction) isIndirect() bool {
	return !in.two && in.op == 0xff && in.modrm>>3&7 >= 4 && in.modrm>>3&7 <= 5
}

// leaves reports whether what follows is not run after it.
func (in *instruction) leaves() bool {
	switch {
	case in.two:
		return in.op == 0x0b // ud2
	case in.op == 0xe9, in.op == 0xeb, in.op == 0xc3, in.op == 0xc2, in.op == 0xcc:
		return true
	}
	return in.isIndirect()
}

// writes gives the registers that it changes, as bits. It answers false for an instruction about which it cannot tell, and for one
// that moves the stack.
func (in *instruction) writes() (regs uint16, ok bool) {
	rm := func() (uint16, bool) {
		if in.inMemory() {
			return 0, true
		}
		return 1 << in.rm(), true
	}
	if in.two {
		switch in.op {
		case 0x1e, 0x1f: // nop, endbr
			return 0, true
		case 0xb6, 0xb7, 0xbe, 0xbf: // movz, movs
			return 1 << in.reg(), true
		case 0xa3: // bt
			return 0, true
		}
		if in.op&0xf0 == 0x40 { // cmov
			return 1 << in.reg(), true
		}
		if in.op&0xf0 == 0x80 { // a conditional jump that is not taken
			return 0, true
		}
		return 0, false
	}
	switch in.op {
	case 0x88, 0xc6: // of 8 bits, so that the register may be half of another
		return 0, in.inMemory()
	case 0x89, 0xc7, 0x01, 0x09, 0x11, 0x19, 0x21, 0x29, 0x31, 0xc1, 0xd1, 0xd3:
		return rm()
	case 0x8b, 0x8d, 0x63, 0x03, 0x0b, 0x13, 0x1b, 0x23, 0x2b, 0x33:
		return 1 << in.reg(), true
	case 0x81, 0x83:
		if in.modrm>>3&7 == 7 { // cmp
			return 0, true
		}
		return rm()
	case 0x85, 0x84, 0x39, 0x3b, 0x38, 0x3a, 0xa8, 0xa9, 0x3c, 0x3d, 0x90: // test, cmp, nop
		return 0, in.op != 0x90 || in.rex == 0
	}
	switch {
	case in.op >= 0xb8 && in.op <= 0xbf:
		return 1 << in.opReg(), true
	case in.op >= 0x70 && in.op <= 0x7f: // a conditional jump that is not taken
		return 0, true
	}
	return 0, false
}

// stores reports whether an instruction of which writes knows changes memory.
func (in *instruction) stores() bool {
	if in.two || !in.inMemory() {
		return false
	}
	switch in.op {
	case 0x88, 0x89, 0xc6, 0xc7, 0x01, 0x09, 0x11, 0x19, 0x21, 0x29, 0x31, 0xc1, 0xd1, 0xd3:
		return true
	case 0x81, 0x83:
		return in.modrm>>3&7 != 7
	}
	return false
}
