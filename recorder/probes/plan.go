package probes

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Options say what is to be recorded, and how. The zero value is good.
type Options struct {
	ABI          string // "": that of the running kernel, or what the script finds out
	Seconds      int    // 0: DefaultSeconds
	Clock        string // trace clock; "": DefaultClock
	BufferKB     int    // for each vcpu; 0: DefaultBufferKB
	Archive      string // name of the archive; "": made of the host's name and the time
	NoHypercalls bool   // no probes before hypercalls
	NoDump       bool   // Xen is not asked to print its ports
	Own          []Own  // functions of the user's own, which do what the kernel's do
}

// What is taken if Options say nothing.
const (
	DefaultSeconds  = 10
	DefaultClock    = "x86-tsc"
	DefaultBufferKB = 32768
)

// Bounds of Options.
const (
	MaxSeconds  = 86_400
	MinBufferKB = 64
	MaxBufferKB = 1 << 22
)

// Clocks are the trace clocks that an importer can read, best first.
func Clocks() []string {
	return []string{DefaultClock, "mono", "mono_raw", "boot", "local", "global", "perf", "tai", "uptime", "counter"}
}

// ErrOptions is the class of errors of Options.
var ErrOptions = errors.New("not what can be recorded")

func (o *Options) validate() error {
	switch {
	case o.ABI != "" && o.ABI != TwoLevel && o.ABI != FIFO:
		return fmt.Errorf("%w: ABI %q, want %s or %s", ErrOptions, o.ABI, TwoLevel, FIFO)
	case o.Seconds < 0 || o.Seconds > MaxSeconds:
		return fmt.Errorf("%w: %d seconds, want 1 to %d", ErrOptions, o.Seconds, MaxSeconds)
	case o.BufferKB != 0 && (o.BufferKB < MinBufferKB || o.BufferKB > MaxBufferKB):
		return fmt.Errorf("%w: a buffer of %d KB, want %d to %d for each vcpu", ErrOptions, o.BufferKB, MinBufferKB, MaxBufferKB)
	case o.Clock != "" && !slices.Contains(Clocks(), o.Clock):
		return fmt.Errorf("%w: clock %q, want one of %s", ErrOptions, o.Clock, strings.Join(Clocks(), ", "))
	case strings.ContainsAny(o.Archive, "\x00\n"):
		return fmt.Errorf("%w: the archive's name %q", ErrOptions, o.Archive)
	}
	if o.Seconds == 0 {
		o.Seconds = DefaultSeconds
	}
	if o.Clock == "" {
		o.Clock = DefaultClock
	}
	if o.BufferKB == 0 {
		o.BufferKB = DefaultBufferKB
	}
	return nil
}

// The kinds of guest, which the kernel's entry for upcalls may depend on.
const (
	guestPV  = "pv"
	guestHVM = "hvm"
)

// Choice is a probe in a plan.
type Choice struct {
	Probe
	Instead string   // the kernel's function in whose place another is, which this probe is on; "" for the kernel's own
	Own     bool     // it is on a function that the user named
	Later   string   // the module of such a function, which need not be there yet
	Guest   string   // "pv" or "hvm" if the definitions are for such a guest only
	Lines   []string // definitions for kprobe_events, of which the first is taken that the kernel accepts
	Dropped string   // why it is left out; "" if it is not
}

// Plan is what is to be probed in a kernel.
type Plan struct {
	Options
	Kernel  string // where it is from; "" for any kernel
	Version string // as in /proc/version; the places of hypercalls are true of this one only
	Choices []Choice
	Changes []Change // what is not the kernel's own in its table of ABI functions

	notes []string
	own   int // names given by ownName
}

// MakePlan decides what to probe in a kernel; nil stands for any, whose functions only the script can check. guest is "PV", "HVM" or
// "PVH", as /sys/hypervisor/guest_type has it, or "" if that is not known. The error wraps ErrOptions.
func MakePlan(k *Kernel, guest string, opt Options) (*Plan, error) {
	if err := opt.validate(); err != nil {
		return nil, err
	}
	p := &Plan{Options: opt}
	if k != nil {
		p.Kernel, p.Version = k.Source, k.Version
		ops := k.operations()
		if p.ABI == "" {
			p.ABI = ops.abi
		}
		if p.ABI == ops.abi {
			p.Changes = ops.changes
		}
		p.notes = ops.notes
	}
	for _, pr := range All() {
		if p.ABI != "" && pr.ABI != "" && pr.ABI != p.ABI {
			continue
		}
		if pr.HVM == "" || k != nil && len(k.named(pr.HVM)) == 0 {
			p.Choices = append(p.Choices, choose(k, pr, opt))
			continue
		}
		if guest == "" || guest == "PV" {
			c := choose(k, pr, opt)
			c.Guest = guestPV
			p.Choices = append(p.Choices, c)
		}
		if guest != "PV" {
			pr.Symbols = append([]string{pr.HVM}, pr.Symbols...)
			c := choose(k, pr, opt)
			c.Guest = guestHVM
			p.Choices = append(p.Choices, c)
		}
	}
	p.addHooks(k, p.Changes, opt)
	if err := p.addOwn(k); err != nil {
		return nil, err
	}
	return p, nil
}

// choose finds a place for a probe, or says why there is none.
func choose(k *Kernel, p Probe, opt Options) Choice {
	c := Choice{Probe: p}
	drop := func(format string, args ...any) Choice {
		c.Dropped = fmt.Sprintf(format, args...)
		return c
	}
	if p.Command != 0 && opt.NoHypercalls {
		return drop("no probes before hypercalls were wanted")
	}
	if k == nil {
		if p.Command != 0 {
			return drop("the places of hypercalls differ with every build of a kernel: name the kernel, or make the script on the machine itself")
		}
		for _, s := range p.Symbols {
			if p.Module != "" {
				c.Lines = append(c.Lines, p.define(p.Name, (&symbol{name: s, module: p.Module}).place(), p.Args))
			}
			c.Lines = append(c.Lines, p.define(p.Name, s, p.Args))
		}
		return c
	}
	if _, ok := k.function(p.Needs, ""); p.Needs != "" && !ok {
		return drop("without %s, which the kernel does not have, %s has other arguments", p.Needs, p.Symbols[0])
	}
	var fn symbol
	ok := false
	for _, s := range p.Symbols {
		if fn, ok = k.function(s, p.Module); ok {
			break
		}
	}
	if !ok {
		for _, s := range p.Symbols {
			if v := k.variants(s); len(v) > 0 {
				return drop("the kernel has %s only as %s, whose arguments may be elsewhere", s, strings.Join(v, ", "))
			}
		}
		if p.Module != "" && !k.hasModule(p.Module) {
			if k.Live {
				return drop("the module %s is not loaded", p.Module)
			}
			if p.Command == 0 { // the script finds out
				for _, s := range p.Symbols {
					c.Lines = append(c.Lines, p.define(p.Name, (&symbol{name: s, module: p.Module}).place(), p.Args))
				}
				return c
			}
			return drop("%s has no text of the module %s", k.Source, p.Module)
		}
		return drop("the kernel has no function %s", strings.Join(p.Symbols, " or "))
	}
	if p.Command == 0 {
		c.Lines = []string{p.define(p.Name, fn.place(), p.Args)}
		return c
	}
	at, args, err := k.hypercall(fn, p.Command)
	if err != nil {
		return drop("%v", err)
	}
	c.Lines = []string{p.define(p.Name, at, args)}
	return c
}

// hypercall finds the place in a function just before a hypercall, and what to fetch there.
func (k *Kernel) hypercall(fn symbol, command int) (at, args string, err error) {
	text, err := k.textOf(fn)
	if err != nil {
		return "", "", err
	}
	s, err := findSite(text, command, func(offset int) string { return k.at(fn.addr + uint64(int64(offset))) })
	if err != nil {
		return "", "", fmt.Errorf("%s: %w", fn.name, err)
	}
	return fmt.Sprintf("%s+%#x", fn.place(), s.offset), s.args, nil
}

// Notes says what is not the kernel's own, and what was left out, and why: one line for each reason.
func (p *Plan) Notes() []string {
	return append(p.lasting(), p.awaited()...)
}

// lasting gives the notes that hold whenever the script runs.
func (p *Plan) lasting() []string {
	var reasons []string
	names := make(map[string][]string)
	for i := range p.Choices {
		c := &p.Choices[i]
		if c.Dropped == "" {
			continue
		}
		if names[c.Dropped] == nil {
			reasons = append(reasons, c.Dropped)
		}
		if !slices.Contains(names[c.Dropped], c.Name) {
			names[c.Dropped] = append(names[c.Dropped], c.Name)
		}
	}
	for i, r := range reasons {
		reasons[i] = "no " + strings.Join(names[r], ", ") + ": " + r
	}
	return append(slices.Clone(p.notes), reasons...)
}

// hasModule reports whether a symbol is of that module.
func (k *Kernel) hasModule(name string) bool {
	return slices.ContainsFunc(k.symbols, func(s symbol) bool { return s.module == name })
}

// Definitions gives the lines for kprobe_events, in order. Where the kernel is not known, a probe may have several.
func (p *Plan) Definitions() []string {
	var list []string
	for i := range p.Choices {
		list = append(list, p.Choices[i].Lines...)
	}
	return list
}
