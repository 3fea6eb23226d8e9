package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func newMan(a *app) *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use:     "man DIR",
		GroupID: groupKnow,
		Short:   "write manual pages into a folder",
		Long: `Man writes a manual page for evtrace, for each verb and for each topic into a folder: evtrace.1, evtrace-record.1 and so on. They say
what "evtrace help" says. man -l reads one where it is; a folder man1 below one of "manpath" is where man looks for them.`,
		Example: `  evtrace man . > pages.txt
  evtrace man ~/.local/share/man/man1 --force`,
		Args: exactly(1, "one: the folder"),
		RunE: func(cmd *cobra.Command, args []string) error {
			st, err := os.Stat(args[0])
			switch {
			case errors.Is(err, fs.ErrNotExist):
				return usageErrorf("mkdir -p makes it", "man: %s: no such folder", args[0])
			case err != nil:
				return unwritable(args[0], err)
			case !st.IsDir():
				return usageErrorf("", "man: %s: it is not a folder", args[0])
			}
			pages := manPages(cmd.Root())
			if !force {
				for _, p := range pages {
					if err := vacant(filepath.Join(args[0], p.file), false); err != nil {
						return err
					}
				}
			}
			for _, p := range pages {
				file := filepath.Join(args[0], p.file)
				o, err := a.createText(file, force)
				if err != nil {
					return err
				}
				_, err = o.Write([]byte(p.text))
				if err = o.fail(err); err == nil {
					err = o.commit()
				}
				o.abort()
				if err != nil {
					return err
				}
				if err := a.print(file + "\n"); err != nil {
					return err
				}
			}
			return nil
		},
	}
	c.Flags().BoolVar(&force, "force", false, "replace pages that are there")
	return c
}

// manPage is a page of the manual, in roff with the macros of man(7).
type manPage struct{ file, text string }

// manPages writes the manual. It is the same each time: pages have no date.
func manPages(root *cobra.Command) []manPage {
	var others []string
	for _, c := range root.Commands() {
		if !c.Hidden {
			others = append(others, pageName(c))
		}
	}
	pages := []manPage{{pageName(root) + ".1", manOf(root, others)}}
	for _, c := range root.Commands() {
		if !c.Hidden {
			pages = append(pages, manPage{pageName(c) + ".1", manOf(c, []string{pageName(root)})})
		}
	}
	return pages
}

func pageName(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }

// manOf writes the page of a verb or a topic.
func manOf(c *cobra.Command, also []string) string {
	var b strings.Builder
	name := pageName(c)
	fmt.Fprintf(&b, ".TH %s 1 \"\" \"evtrace %s\" \"evtrace\"\n", roff(strings.ToUpper(name)), version)
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", roff(name), roff(c.Short))
	switch {
	case !c.HasParent():
		b.WriteString(".SH SYNOPSIS\n.B evtrace\nVERB [ARGUMENT...]\n")
	case c.Runnable():
		fmt.Fprintf(&b, ".SH SYNOPSIS\n.B %s\n", roff(c.CommandPath()))
		if _, rest, ok := strings.Cut(c.Use, " "); ok {
			b.WriteString(roff(rest) + "\n")
		}
	}
	b.WriteString(".SH DESCRIPTION\n")
	manText(&b, c.Long)
	if !c.HasParent() {
		b.WriteString(".SH VERBS\n")
		for _, sub := range c.Commands() {
			if !sub.Hidden {
				fmt.Fprintf(&b, ".TP\n.BR %s (1)\n%s\n", roff(pageName(sub)), roff(sub.Short))
			}
		}
	}
	if flags := c.NonInheritedFlags(); flags.HasAvailableFlags() && c.Runnable() {
		b.WriteString(".SH OPTIONS\n")
		flags.VisitAll(func(f *pflag.Flag) { manFlag(&b, f) })
	}
	if c.Example != "" {
		b.WriteString(".SH EXAMPLES\n.nf\n")
		for line := range strings.Lines(c.Example) {
			b.WriteString(roff(strings.TrimSpace(line)) + "\n")
		}
		b.WriteString(".fi\n")
	}
	b.WriteString(".SH SEE ALSO\n")
	for i, p := range also {
		comma := ","
		if i == len(also)-1 {
			comma = ""
		}
		fmt.Fprintf(&b, ".BR %s (1)%s\n", roff(p), comma)
	}
	return b.String()
}

// manFlag writes a flag with what it does.
func manFlag(b *strings.Builder, f *pflag.Flag) {
	if f.Hidden {
		return
	}
	value, usage := pflag.UnquoteUsage(f)
	b.WriteString(".TP\n")
	if f.Shorthand != "" {
		fmt.Fprintf(b, "\\fB%s\\fR, ", roff("-"+f.Shorthand))
	}
	fmt.Fprintf(b, "\\fB%s\\fR", roff("--"+f.Name))
	if value != "" {
		fmt.Fprintf(b, " \\fI%s\\fR", roff(value))
	}
	b.WriteString("\n" + roff(usage) + "\n")
}

// manText writes a help text: paragraphs, and the items of lists with their keys.
func manText(b *strings.Builder, text string) {
	begun := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		m := listItem.FindStringSubmatch(line)
		switch {
		case line == "":
			begun = false
			continue
		case m != nil && len(m[1])-len(strings.TrimLeft(m[1], " ")) <= 5:
			fmt.Fprintf(b, ".TP\n.B %s\n%s\n", roff(strings.TrimSpace(m[1])), roff(m[2]))
			begun = true
			continue
		case !begun:
			b.WriteString(".PP\n")
			begun = true
		}
		b.WriteString(roff(strings.TrimSpace(line)) + "\n")
	}
}

// roff spells a line so that it stands for itself.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "~", `\(ti`, "^", `\(ha`, "'", `\(aq`, "`", `\(ga`).Replace(s)
	if strings.HasPrefix(s, ".") {
		s = `\&` + s
	}
	return s
}
