package main

import (
	"regexp"
	"strings"

	"github.com/spf13/cobra"
)

// layOut gives the help of all verbs lines of at most 100 columns: texts are reflowed, and so are the flags.
func layOut(root *cobra.Command) {
	root.SetUsageTemplate(strings.NewReplacer(
		".FlagUsages |", ".FlagUsagesWrapped 100 |",
		"{{rpad .CommandPath .CommandPathPadding}} {{.Short}}", "evtrace help {{rpad .Name 11}} {{.Short}}",
		"{{.CommandPath}} [command]", "{{.CommandPath}} VERB",
		"about a command", "about a verb",
		"  {{.UseLine}}", "{{if .HasParent}}  {{.UseLine}}{{else}}  {{.CommandPath}} --version{{end}}",
	).Replace(root.UsageTemplate()))
	for _, c := range append(root.Commands(), root) {
		c.Long = reflow(c.Long, tableWidth)
	}
}

// listItem is a line of a list: its mark or key, and its text.
var listItem = regexp.MustCompile(`^(\s+\S+\s{2,})(\S.*)$`)

// reflow breaks the paragraphs of a text into lines of at most width columns. A line that is indented is an item of a list, with a
// key that its text hangs from, or the continuation of the one before it; a paragraph that is indented by four is left as it is.
func reflow(text string, width int) string {
	var b strings.Builder
	var prefix, para string
	flush := func() {
		if para != "" {
			lines := wrap(strings.Repeat(" ", len(prefix)), para, width)
			b.WriteString(prefix + lines[len(prefix):])
		}
		prefix, para = "", ""
	}
	for _, line := range strings.Split(text, "\n") {
		m := listItem.FindStringSubmatch(line)
		switch {
		case line == "":
			flush()
			b.WriteString("\n")
		case m != nil && !(prefix != "" && strings.HasPrefix(line, strings.Repeat(" ", len(prefix)))):
			flush()
			prefix, para = m[1], m[2]
		case strings.HasPrefix(line, "    ") && prefix == "" && para == "":
			b.WriteString(line + "\n") // an example, as it is
		default:
			para += " " + strings.TrimSpace(line)
		}
	}
	flush()
	return strings.TrimSuffix(b.String(), "\n")
}
