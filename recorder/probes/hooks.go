package probes

import (
	"errors"
	"fmt"
	"slices"
)

// Change is a function that is not the kernel's own, in the kernel's table of the functions of an ABI.
type Change struct {
	Own string `json:"own"` // the kernel's function whose place it has
	By  string `json:"by"`  // the function, with its module: "module:function"; "" if no function begins there
	fn  symbol
}

// maxEntries bounds the table of an ABI's functions. It had 8 entries in Linux 3.14 and has 14 since 5.11.
const maxEntries = 32

// operations is what the kernel's table of ABI functions shows.
type operations struct {
	abi     string // "" if it cannot be told
	changes []Change
	notes   []string
}

// operations reads evtchn_ops, the pointer through which the kernel calls the functions of its ABI, and compares the table that it
// points to with the kernel's own. Which entry is which is taken from the functions in the kernel's own table.
func (k *Kernel) operations() operations {
	var o operations
	if !k.Live {
		return o
	}
	unknown := func(format string, args ...any) operations {
		o.notes = append(o.notes, "whether a module has changed the kernel's table of event channel functions is not known: "+fmt.Sprintf(format, args...))
		return o
	}
	if k.text == nil {
		return unknown("%s", k.noText)
	}
	pointers := k.named("evtchn_ops")
	if len(pointers) != 1 {
		return unknown("%s lists evtchn_ops %d times, want once", k.Source, len(pointers))
	}
	words, err := k.words(pointers[0].addr, 1)
	if err != nil {
		return unknown("%v", err)
	}
	inUse := words[0]
	best, tie := 0, false
	var ours, theirs []uint64
	var table string
	for _, abi := range []string{TwoLevel, FIFO} {
		for _, t := range k.named("evtchn_ops_" + abi) {
			if t.addr == inUse {
				o.abi = abi
				return o
			}
			own, err := k.words(t.addr, k.entries(t))
			if err != nil {
				return unknown("%v", err)
			}
			used, err := k.words(inUse, len(own))
			if err != nil {
				return unknown("evtchn_ops: %v", err)
			}
			same := 0
			for i, addr := range own {
				if _, ok := k.begins(addr); ok && used[i] == addr {
					same++
				}
			}
			if tie = same == best; same > best {
				best, ours, theirs, table, o.abi = same, own, used, t.name, abi
			}
		}
	}
	where := k.place(inUse)
	if best == 0 || tie {
		o.abi = ""
		return unknown("evtchn_ops points to %s, and what is there is like neither of the kernel's own tables", where)
	}
	for i, addr := range ours {
		own, ok := k.begins(addr)
		if !ok || theirs[i] == addr {
			continue
		}
		c := Change{Own: own.name}
		if c.fn, ok = k.begins(theirs[i]); ok {
			c.By = c.fn.place()
		}
		o.changes = append(o.changes, c)
		by := c.By
		if by == "" {
			by = k.place(theirs[i])
		}
		o.notes = append(o.notes, fmt.Sprintf("the kernel's event channel functions were changed: evtchn_ops points to %s instead of %s, with %s in the place of %s",
			where, table, by, own.name))
	}
	if len(o.changes) == 0 {
		o.notes = append(o.notes, fmt.Sprintf("evtchn_ops points to %s, a copy of %s with the same functions", where, table))
	}
	return o
}

// entries gives the number of words from a table's beginning to the next symbol, within bounds.
func (k *Kernel) entries(table symbol) int {
	i, ok := k.after(table.addr)
	if !ok {
		return maxEntries
	}
	return int(min((k.symbols[i].addr-table.addr)/8, maxEntries))
}

// words reads words of the kernel's memory.
func (k *Kernel) words(addr uint64, n int) ([]uint64, error) {
	b := make([]byte, 8*n)
	if err := k.read(addr, b); err != nil {
		return nil, err
	}
	list := make([]uint64, n)
	for i := range list {
		list[i] = uint64(number(b[8*i : 8*i+8]))
	}
	return list, nil
}

// begins gives the function that begins at an address.
func (k *Kernel) begins(addr uint64) (symbol, bool) {
	i, _ := k.after(addr)
	for i--; i >= 0 && k.symbols[i].addr == addr; i-- {
		if s := k.symbols[i]; !s.data && addr != 0 {
			return s, true
		}
	}
	return symbol{}, false
}

// place names an address, with the module.
func (k *Kernel) place(addr uint64) string {
	i, _ := k.after(addr)
	name := k.at(addr)
	if name == "" {
		return fmt.Sprintf("%#x", addr)
	}
	if m := k.symbols[i-1].module; m != "" {
		return m + ":" + name
	}
	return name
}

// place names a function as kprobe_events does.
func (s *symbol) place() string {
	if s.module != "" {
		return s.module + ":" + s.name
	}
	return s.name
}

// addHooks adds probes on the functions that are in the place of those of the table, under names of their own.
func (p *Plan) addHooks(k *Kernel, changes []Change, opt Options) {
	for _, pr := range All() {
		if pr.ABI != p.ABI || p.ABI == "" {
			continue
		}
		for _, c := range changes {
			if !slices.Contains(pr.Symbols, c.Own) {
				continue
			}
			h := Choice{Probe: pr, Instead: c.Own}
			h.Says += "; this is the function in the place of the kernel's own"
			_, needed := k.function(pr.Needs, "")
			switch {
			case c.By == "":
				h.Dropped = "what is in the place of " + c.Own + " is not the beginning of a function"
			case pr.Needs != "" && !needed:
				continue // said of the kernel's own
			case pr.Command == 0:
				h.Lines = []string{h.define(p.ownName(pr.Name), c.By, pr.Args)}
			case opt.NoHypercalls:
				continue
			default:
				at, args, err := k.hypercall(c.fn, pr.Command)
				if errors.Is(err, errNoCall) {
					continue
				}
				if err != nil {
					h.Dropped = err.Error()
				} else {
					h.Lines = []string{h.define(p.ownName(pr.Name), at, args)}
				}
			}
			p.Choices = append(p.Choices, h)
		}
	}
}

// ownName makes a name for a record of that kind which another function than the kernel's makes: KIND_ownN. Package ftrace knows such names.
// A name of its own works in every kernel, fits arguments that are not those of the kernel's function, and has its own count of hits.
func (p *Plan) ownName(kind string) string {
	p.own++
	return fmt.Sprintf("%s_own%d", kind, p.own)
}
