package probes

import (
	"bytes"
	"cmp"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Errors of reading a kernel.
var (
	// ErrNotXen: the running kernel is not a guest of Xen, or nothing says that it is.
	ErrNotXen = errors.New("not running under Xen")
	// ErrNotKernel: a file is neither a list of symbols nor an ELF image of a kernel.
	ErrNotKernel = errors.New("no kernel symbols in it")
)

// Kernel is what is known of a kernel: its symbols, and perhaps its text.
type Kernel struct {
	Source  string      // what was read
	Version string      // as in /proc/version, "" if it is not known
	Live    bool        // it is the running one
	symbols []symbol    // by address
	hidden  bool        // the addresses are
	text    io.ReaderAt // nil: not known
	loads   []load
	noText  string // why the text is not known
	closers []io.Closer
}

// symbol is a symbol of the kernel.
type symbol struct {
	addr   uint64
	name   string
	module string // "" for the kernel itself
	data   bool   // no function
}

// load is a part of the kernel's memory, and where it is in text.
type load struct{ addr, size, offset uint64 }

// Running reads the running kernel, as far as the user may: its symbols from /proc/kallsyms, its text from /proc/kcore. root is
// put before both, and before /sys. The error is ErrNotXen, or one of reading /proc/kallsyms.
func Running(root string) (*Kernel, error) {
	hv, err := os.ReadFile(filepath.Join(root, "/sys/hypervisor/type"))
	if err != nil || strings.TrimSpace(string(hv)) != "xen" {
		return nil, fmt.Errorf("%w: /sys/hypervisor/type %s", ErrNotXen, orWhy(strings.TrimSpace(string(hv)), err))
	}
	f, err := os.Open(filepath.Join(root, "/proc/kallsyms"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	k := &Kernel{Source: "the running kernel", Live: true}
	if err := k.readSymbols(f); err != nil {
		return nil, fmt.Errorf("/proc/kallsyms: %w", err)
	}
	version, err := os.ReadFile(filepath.Join(root, "/proc/version"))
	if err == nil {
		k.Version = strings.TrimSpace(string(version))
	}
	k.noText = k.openCore(filepath.Join(root, "/proc/kcore"))
	return k, nil
}

func orWhy(s string, err error) string {
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "is not there"
	case err != nil:
		return "cannot be read"
	}
	return "says " + strconv.Quote(s)
}

// openCore opens the kernel's memory, or says why it cannot.
func (k *Kernel) openCore(name string) (why string) {
	if k.hidden {
		return "the kernel hides its addresses from this user: run it as root"
	}
	f, err := os.Open(name)
	if err != nil {
		return fmt.Sprintf("the kernel's memory cannot be read: %v", err)
	}
	image, err := elf.NewFile(f)
	if err != nil {
		f.Close()
		return fmt.Sprintf("the kernel's memory cannot be read: %s: %v", name, err)
	}
	k.setText(f, image)
	return ""
}

func (k *Kernel) setText(f *os.File, image *elf.File) {
	k.text, k.closers = f, append(k.closers, f)
	for _, p := range image.Progs {
		if p.Type == elf.PT_LOAD {
			k.loads = append(k.loads, load{p.Vaddr, p.Filesz, p.Off})
		}
	}
}

// Open reads a kernel from a file: a copy of /proc/kallsyms or a System.map, which have no text, or a vmlinux that has its symbols.
// The error wraps ErrNotKernel if it is none of these.
func Open(name string) (*Kernel, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	k := &Kernel{Source: name}
	head := make([]byte, 4)
	n, err := f.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		f.Close()
		return nil, err
	}
	if bytes.Equal(head[:n], []byte(elf.ELFMAG)) {
		if err := k.readImage(f); err != nil {
			f.Close()
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return k, nil
	}
	defer f.Close()
	if err := k.readSymbols(f); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	k.noText = "a list of symbols does not show the text: name the running kernel or a vmlinux"
	return k, nil
}

// Close closes the files that the text is read from.
func (k *Kernel) Close() error {
	var err error
	for _, c := range k.closers {
		err = errors.Join(err, c.Close())
	}
	k.closers = nil
	return err
}

// maxSymbols bounds a list of symbols. A kernel has some hundred thousand.
const maxSymbols = 4 << 20

// maxList bounds a list of symbols in bytes.
const maxList = 256 << 20

// readSymbols reads a list like /proc/kallsyms: "ffffffff81000000 T _text [module]".
func (k *Kernel) readSymbols(r io.Reader) error {
	data, err := io.ReadAll(io.LimitReader(r, maxList))
	if err != nil {
		return err
	}
	list := string(data)
	k.hidden = true
	k.symbols = make([]symbol, 0, strings.Count(list, "\n"))
	number := 0
	for line := range strings.Lines(list) {
		number++
		s, ok := parseSymbol(line)
		switch {
		case ok && len(k.symbols) >= maxSymbols:
			return fmt.Errorf("line %d: %w: more than %d symbols", number, ErrNotKernel, maxSymbols)
		case ok:
			k.hidden = k.hidden && s.addr == 0
			k.symbols = append(k.symbols, s)
		case len(k.symbols) == 0 && strings.TrimSpace(line) != "":
			return fmt.Errorf("line %d: %w: want lines like \"ffffffff81000000 T _text\"", number, ErrNotKernel)
		}
	}
	return k.order()
}

// parseSymbol reads a line of such a list.
func parseSymbol(line string) (symbol, bool) {
	line = strings.TrimSuffix(line, "\n")
	hex, rest, ok := strings.Cut(line, " ")
	addr, err := strconv.ParseUint(hex, 16, 64)
	kind, name, ok2 := strings.Cut(rest, " ")
	if !ok || !ok2 || err != nil || len(kind) != 1 {
		return symbol{}, false
	}
	name, module, _ := strings.Cut(name, "\t")
	return symbol{addr, strings.TrimSpace(name), strings.Trim(module, "[] "), !strings.Contains("tTwW", kind)}, name != ""
}

// readImage reads the symbols of a vmlinux, and keeps it open for its text.
func (k *Kernel) readImage(f *os.File) error {
	image, err := elf.NewFile(f)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotKernel, err)
	}
	if image.Machine != elf.EM_X86_64 {
		return fmt.Errorf("%w: it is for %v, want x86-64", ErrNotKernel, image.Machine)
	}
	list, err := image.Symbols()
	if err != nil && !errors.Is(err, elf.ErrNoSymbols) {
		return fmt.Errorf("%w: %w", ErrNotKernel, err)
	}
	for _, s := range list {
		if s.Name == "" || s.Section == elf.SHN_UNDEF || elf.ST_TYPE(s.Info) == elf.STT_FILE || elf.ST_TYPE(s.Info) == elf.STT_SECTION {
			continue
		}
		k.symbols = append(k.symbols, symbol{addr: s.Value, name: s.Name, data: elf.ST_TYPE(s.Info) == elf.STT_OBJECT})
	}
	if err := k.order(); err != nil {
		return err
	}
	k.setText(f, image)
	for _, s := range k.named("linux_banner") {
		b := make([]byte, 512)
		if k.read(s.addr, b) == nil {
			banner, _, _ := bytes.Cut(b, []byte{0})
			k.Version = strings.TrimSpace(string(banner))
		}
	}
	return nil
}

// order puts the symbols in the order of their addresses.
func (k *Kernel) order() error {
	if len(k.symbols) == 0 {
		return ErrNotKernel
	}
	byAddress := func(a, b symbol) int { return cmp.Compare(a.addr, b.addr) }
	if !slices.IsSortedFunc(k.symbols, byAddress) {
		slices.SortStableFunc(k.symbols, byAddress)
	}
	return nil
}

// named gives the symbols of a name.
func (k *Kernel) named(name string) []symbol {
	var list []symbol
	for i := range k.symbols {
		if k.symbols[i].name == name {
			list = append(list, k.symbols[i])
		}
	}
	return list
}

// function finds a function; module is where it may be besides the kernel itself.
func (k *Kernel) function(name, module string) (symbol, bool) {
	for _, s := range k.named(name) {
		if !s.data && (s.module == "" || s.module == module) {
			return s, true
		}
	}
	return symbol{}, false
}

// variants lists the names under which the compiler made variants of a function, whose arguments are not where the source has them.
func (k *Kernel) variants(name string) []string {
	var list []string
	for i := range k.symbols {
		if s := k.symbols[i].name; strings.HasPrefix(s, name+".") && !k.symbols[i].data {
			list = append(list, s)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// read reads the kernel's memory.
func (k *Kernel) read(addr uint64, b []byte) error {
	for _, l := range k.loads {
		if addr >= l.addr && addr-l.addr <= l.size && uint64(len(b)) <= l.size-(addr-l.addr) {
			_, err := k.text.ReadAt(b, int64(l.offset+(addr-l.addr)))
			return err
		}
	}
	return fmt.Errorf("no memory at %#x in %s", addr, k.Source)
}

// after finds the first symbol behind an address: its index, or their number and false if there is none.
func (k *Kernel) after(addr uint64) (int, bool) {
	i, _ := slices.BinarySearchFunc(k.symbols, addr, func(s symbol, addr uint64) int {
		if s.addr <= addr {
			return -1
		}
		return 1
	})
	return i, i < len(k.symbols)
}

// textOf reads the text of a function, which ends where the next symbol begins.
func (k *Kernel) textOf(s symbol) ([]byte, error) {
	if k.text == nil {
		return nil, errors.New(k.noText)
	}
	i, ok := k.after(s.addr)
	if !ok {
		return nil, fmt.Errorf("%w: where %s ends is not known", errUnsure, s.name)
	}
	text := make([]byte, min(k.symbols[i].addr-s.addr, maxText))
	if err := k.read(s.addr, text); err != nil {
		return nil, err
	}
	return text, nil
}

// at names what is at an address: the function, and how far behind its beginning.
func (k *Kernel) at(addr uint64) string {
	i, _ := k.after(addr)
	if i == 0 || addr-k.symbols[i-1].addr >= 1<<16 {
		return ""
	}
	// Of several symbols at one address, the one that tells of a hypercall.
	best := k.symbols[i-1]
	for j := i - 1; j >= 0 && k.symbols[j].addr == best.addr; j-- {
		if strings.Contains(k.symbols[j].name, "hypercall") {
			best = k.symbols[j]
		}
	}
	if addr == best.addr {
		return best.name
	}
	return fmt.Sprintf("%s+%#x", best.name, addr-best.addr)
}
