package system

import (
	"fmt"
	"slices"
	"strings"

	"github.com/evtrace/evtrace/evtchn"
)

// Field documents one key of a scenario file.
type Field struct {
	Path    string // such as domains[].think
	Type    string
	Default string // as a file would have it; "required" if there is none, "" for the empty value
	Allowed string // what the value may be
	Doc     string
}

// Fields lists the keys of a scenario file in the order of the documentation.
func Fields() []Field { return fieldsOf(nil, "", table) }

// BoundedFields lists those of a scenario of kind bounded.
func BoundedFields() []Field { return fieldsOf(nil, "", boundedTable) }

func fieldsOf(all []Field, path string, fields []field) []Field {
	for i := range fields {
		f := &fields[i]
		d := Field{Path: join(path, f.key), Type: f.typeName(), Default: f.def, Allowed: f.short(), Doc: f.doc}
		if f.required {
			d.Default = "required"
		}
		all = append(all, d)
		if f.sub != nil {
			sub := d.Path
			if f.grow != nil {
				sub += "[]"
			}
			all = fieldsOf(all, sub, f.sub)
		}
	}
	return all
}

// value gives a place of the type that the field's value has.
func (f *field) value() any {
	b := &Bounded{Ports: make([]BoundedPort, 1), Tasks: make([]BoundedTask, 1)}
	return f.at(&Scenario{Domains: make([]Domain, 1), Hot: make([]Hot, 1), Bounded: b}, 0)
}

func (f *field) typeName() string {
	if f.grow != nil {
		return "list"
	}
	if f.sub != nil {
		return "mapping"
	}
	switch f.value().(type) {
	case *int, *evtchn.Port, *powerOfTwo:
		return "number"
	case *float64:
		return "fraction"
	case *bool:
		return "true or false"
	case *evtchn.Time:
		return "duration"
	case *Span:
		return "span"
	case *vcpuNumber:
		return "vcpu"
	case *policyText:
		return "policy"
	case *nameText:
		return "name"
	case *DomainKind, *eitherWord, *wordText, *PortOrigin, *handlerWord:
		return "word"
	}
	return "text"
}

// short is allowed for readers who have been told what durations and spans look like.
func (f *field) short() string {
	return strings.NewReplacer(withUnit, "", "a duration"+orTwo, "a span").Replace(f.allowed())
}

const (
	withUnit = " with its unit, such as 200us,"
	orTwo    = " such as 200us or two such as 200us..1.5ms,"
)

// allowed says what the field's value may be, in words that fit behind "want".
func (f *field) allowed() string {
	if f.grow != nil {
		return "a list of mappings"
	}
	if f.sub != nil {
		return "a mapping"
	}
	orZero := ""
	if f.zero {
		orZero = "0, or "
	}
	switch f.value().(type) {
	case *int, *evtchn.Port:
		return fmt.Sprintf("%sa number from %d to %d", orZero, f.lo, f.hi)
	case *powerOfTwo:
		return fmt.Sprintf("a power of two from %d to %d", f.lo, f.hi)
	case *float64:
		return fmt.Sprintf("a number from %d to %d, such as 0.25", f.lo, f.hi)
	case *bool:
		return "true or false"
	case *evtchn.Time:
		return fmt.Sprintf("%sa duration%s from %s to %s", orZero, withUnit, units(f.lo), units(f.hi))
	case *Span:
		return fmt.Sprintf("%sa duration%s from %s to %s", orZero, orTwo, units(f.lo), units(f.hi))
	case *vcpuNumber:
		return "the number of a vcpu, any, or other"
	case *policyText:
		return "a preset or choices such as unmask=hypercall,rebind=2013"
	case *nameText:
		return "lower-case letters, digits and dashes, at most 64"
	case *lineText:
		return "text on one line"
	case *proseText:
		return "text"
	case *opsText:
		return opsForm
	}
	return list(f.words, "or")
}

// FieldsText is the reference of scenario files as plain text of at most 100 columns: each key with what it may be, and below that
// its documentation.
func FieldsText() string {
	const (
		key   = 22
		width = 100
	)
	var b strings.Builder
	fill := func(start string, indent int, text string) {
		line := fmt.Sprintf("%-*s", indent, start)
		begun := false
		for _, word := range strings.Fields(text) {
			switch {
			case begun && len(line)+1+len(word) > width:
				b.WriteString(line + "\n")
				line = strings.Repeat(" ", indent) + word
			case begun:
				line += " " + word
			default:
				line += word
			}
			begun = true
		}
		b.WriteString(line + "\n")
	}
	rows := func(fields []Field) {
		for _, f := range fields {
			fill(f.Path, key, headline(f))
			fill("", key+2, f.Doc)
		}
	}
	rows(Fields())
	b.WriteString("\nOf a scenario of kind bounded, which is explored:\n\n")
	rows(BoundedFields())
	return b.String()
}

func headline(f Field) string {
	switch f.Default {
	case "":
		return f.Allowed
	case "required":
		return f.Allowed + " (required)"
	}
	return fmt.Sprintf("%s (default %s)", f.Allowed, f.Default)
}

// FieldsMarkdown is the reference of scenario files as a page of Markdown: docs/scenarios.md.
func FieldsMarkdown() string {
	var b strings.Builder
	b.WriteString(referenceHead)
	rows := func(fields []Field) {
		for _, f := range fields {
			def := f.Default
			if def != "" && def != "required" {
				def = "`" + def + "`"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.Path, f.Allowed, def, f.Doc)
		}
	}
	rows(Fields())
	b.WriteString(referenceBounded)
	rows(BoundedFields())
	b.WriteString(referenceBuiltins)
	for _, sc := range slices.Concat(Builtins(), BoundedBuiltins()) {
		fmt.Fprintf(&b, "\n### %s\n\n%s.\n\n%s\n", sc.Name, upperFirst(sc.About), sc.Story)
		if sc.Source != "" {
			fmt.Fprintf(&b, "\nSource: %s.\n", sc.Source)
		}
		if e := sc.Expect; e.Verdict != "" {
			fmt.Fprintf(&b, "\nExpected under `%s`: %s", sc.Policy, e.Verdict)
			if e.Port != 0 {
				fmt.Fprintf(&b, ", port %d", e.Port)
			}
			if e.Cause != "" {
				fmt.Fprintf(&b, ", cause `%s`", e.Cause)
			}
			b.WriteString(".\n")
		}
	}
	return b.String()
}

func upperFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

const referenceHead = `# Scenario files

<!-- Written by "go test ./evtchn/system -run TestReference -update". Do not edit. -->

A scenario says what system to simulate: how many vcpus it has, which domains it serves, what rings its ports from outside, what
moves tasks and ports between its vcpus, and what a recording of it must show. It is a YAML file:

` + "```yaml" + `
name: two-disks
about: two guests with a disk each, and irqbalance
vcpus: 4
duration: 250ms
domains:
  - kind: hvm
    count: 2
    on_vcpu: other
    think: 500us..2ms
hot:
  - {kind: pirq, count: 3, every: 1ms..4ms}
balance:
  every: 5ms..20ms
` + "```" + `

` + "`evtrace scenarios`" + ` lists the built-in scenarios, ` + "`evtrace scenarios NAME`" + ` prints one, and given a file it checks it. Every problem in a
file is reported with its line, its key and what is allowed there.

- A **duration** has a unit: ` + "`200us`, `1.5ms`, `2s`" + `. A **span** is two durations, ` + "`100us..400us`" + `, of which every use draws a value
  between them, or one. ` + "`0`" + ` needs no unit.
- Keys that are left out have the default below. Unknown keys, keys given twice, anchors, aliases and tags are errors.
- The same scenario, seed and policy give the same recording, byte for byte. The trace keeps the text of the scenario.

| key | value | default | meaning |
|---|---|---|---|
`

const referenceBounded = `
## Bounded scenarios

A scenario of kind bounded has no times: it is small enough to have all its schedules explored, by ` + "`evtrace explore`" + `. It begins with the
vcpus up and some ports bound, all at rest; then its tasks and senders do what they have to do, in every order.

` + "```yaml" + `
kind: bounded
name: one-move
vcpus: 2
first_port: 8
ports:
  - {name: disk, sends: 1}
tasks:
  - {name: balance, on_vcpu: 1, does: move disk 1}
` + "```" + `

| key | value | default | meaning |
|---|---|---|---|
`

const referenceBuiltins = `
## Built-in scenarios
`
