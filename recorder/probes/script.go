package probes

import (
	_ "embed" // for the script
	"fmt"
	"slices"
	"strings"
)

//go:embed record.sh
var recordScript string

// Script gives the shell script that records with the plan's probes. It needs a POSIX shell, the usual small programs (awk, cat,
// grep, mkdir, sed, sleep, tar), root and tracefs.
func (p *Plan) Script() string {
	kernel := "any kernel"
	if p.Kernel != "" {
		kernel = p.Kernel
		if p.Version != "" {
			kernel += ": " + p.Version
		}
	}
	abi := p.ABI
	if abi == "" {
		abi = "auto"
	}
	dump := "yes"
	if p.NoDump {
		dump = "no"
	}
	return strings.NewReplacer(
		"@KERNEL@", comment(kernel),
		"@GROUP@", Group,
		"@ABI@", abi,
		"@SECONDS@", fmt.Sprint(p.Seconds),
		"@CLOCK@", p.Clock,
		"@BUFFER@", fmt.Sprint(p.BufferKB),
		"@ARCHIVE@", quote(p.Archive),
		"@DUMP@", dump,
		"@VERSION@", quote(p.Version),
		"@SYMBOLS@", strings.Join(p.symbols(), "|"),
		"@PROBES@\n", p.calls(),
	).Replace(recordScript)
}

// symbols lists the functions that the script asks the kernel for.
func (p *Plan) symbols() []string {
	list := []string{"evtchn_2l_handle_events", "__evtchn_fifo_handle_events", "evtchn_fifo_handle_events", "xen_hvm_evtchn_do_upcall"}
	for i := range p.Choices {
		c := &p.Choices[i]
		if c.Needs != "" {
			list = append(list, c.Needs)
		}
		for _, l := range c.Lines {
			_, s, _ := strings.Cut(l, " ")
			s, _, _ = strings.Cut(s, " ")
			s, _, _ = strings.Cut(s, "+")
			if _, after, ok := strings.Cut(s, ":"); ok {
				s = after
			}
			list = append(list, s)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// calls writes a line of the script for each probe.
func (p *Plan) calls() string {
	var b strings.Builder
	for i := range p.Choices {
		c := &p.Choices[i]
		if c.Dropped != "" {
			continue
		}
		fmt.Fprintf(&b, "# %s: %s\n", c.Name, comment(c.Says))
		var words []string
		if c.Guest != "" {
			words = append(words, c.Guest)
		}
		if c.ABI != "" {
			words = append(words, "abi", c.ABI)
		}
		if c.Needs != "" {
			words = append(words, "needs", c.Needs)
		}
		if c.Command != 0 && !c.Own {
			words = append(words, "same_kernel")
		}
		if c.Later != "" {
			words = append(words, "later", c.Later)
		}
		words = append(words, "probe")
		for _, l := range c.Lines {
			words = append(words, quote(l))
		}
		b.WriteString(strings.Join(words, " ") + "\n")
	}
	for _, n := range p.lasting() {
		fmt.Fprintf(&b, "note %s\n", quote(n))
	}
	return b.String()
}

// quote makes a word of a shell of any text.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// comment makes a line of a text.
func comment(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, s)
}
