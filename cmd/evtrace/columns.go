package main

import (
	"encoding/json"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/text"
	"github.com/evtrace/evtrace/tui/filter"
)

// eventColumn is a column of events: a field of the language of filters, or something that it has no name for. Its name is the one
// in CSV and JSON, which is never changed.
type eventColumn struct {
	name  string
	field filter.Field // unless name is columnArgs or columnWhat
}

// What filters do not know.
const (
	columnArgs = "args" // arguments
	columnWhat = "what" // what the event did, in words
)

// columnWidths are how wide columns are in a table. Numbers are at the right.
var columnWidths = map[string]int{"seq": 10, "t": 14, "vcpu": 4, "target": 6, "port": 6, "word": 4, "res": 6, "cause": 10, "dom": 5, "kind": 11,
	"ctx": 7, "task": 12, "input": 5, "inferred": 8, columnArgs: 32, columnWhat: 40}

// allColumns are the columns of CSV and JSON unless others are asked for.
var allColumns = func() []eventColumn {
	cols, err := parseColumns("", []string{"seq", "t", "vcpu", "ctx", "task", "kind", "port", "word", "target", "res", "cause", "dom", "input",
		"inferred", columnArgs})
	if err != nil {
		panic(err)
	}
	return cols
}()

// parseColumns finds the columns that a flag names.
func parseColumns(flag string, names []string) ([]eventColumn, error) {
	var cols []eventColumn
	for _, name := range names {
		c := eventColumn{name: name}
		if name != columnArgs && name != columnWhat {
			f, err := filter.ParseField(name, columnArgs, columnWhat)
			if err != nil {
				return nil, usageErrorf("", "--%s: %v", flag, err)
			}
			c.name, c.field = f.String(), f
		}
		if slices.ContainsFunc(cols, func(d eventColumn) bool { return d.name == c.name }) {
			return nil, usageErrorf("", "--%s: %s is named twice", flag, c.name)
		}
		cols = append(cols, c)
	}
	return cols, nil
}

// completeList completes the last of the names that commas separate.
func completeList(names []string) func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return func(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		before := typed[:strings.LastIndexByte(typed, ',')+1]
		var list []string
		for _, n := range names {
			if !slices.Contains(strings.Split(before, ","), n) {
				list = append(list, before+n)
			}
		}
		return list, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
}

// fieldNames lists what --group-by takes; --fields takes columnArgs and columnWhat, too.
func fieldNames() []string {
	var names []string
	for _, f := range filter.Fields() {
		names = append(names, f.String())
	}
	return names
}

// layout writes columns of the events of a trace. It may be used by several goroutines.
type layout struct {
	cols   []eventColumn
	reader *filter.Reader
	meta   *evtchn.Meta
}

func newLayout(meta evtchn.Meta, cols []eventColumn) *layout {
	if cols == nil {
		cols = allColumns
	}
	return &layout{cols: cols, reader: filter.NewReader(meta), meta: &meta}
}

// appendText appends a value as it is in tables and in CSV.
func (l *layout) appendText(b []byte, c eventColumn, ev *evtchn.Event) []byte {
	switch c.name {
	case columnArgs:
		return text.AppendArgs(b, ev)
	case columnWhat:
		return text.AppendWhat(b, ev, l.meta)
	}
	return l.reader.Append(b, c.field, ev)
}

func (c eventColumn) isText() bool {
	return c.name == columnArgs || c.name == columnWhat || !c.field.IsNumber() && !c.field.IsFlag()
}

// openCSV writes a header and a row for each event, as RFC 4180 has them but for their ends, which are line feeds.
func openCSV(w io.Writer, of formInput) (formWriter, error) {
	l := newLayout(of.meta, of.cols)
	var head []byte
	for i, c := range l.cols {
		if i > 0 {
			head = append(head, ',')
		}
		head = append(head, c.name...)
	}
	_, err := w.Write(append(head, '\n'))
	return &rowWriter{w: w, append: l.appendCSV}, err
}

func (l *layout) appendCSV(b []byte, ev *evtchn.Event) []byte {
	for i, c := range l.cols {
		if i > 0 {
			b = append(b, ',')
		}
		from := len(b)
		b = l.appendText(b, c, ev)
		if c.isText() {
			b = quoteCSV(b, from, len(l.cols) == 1)
		}
	}
	return append(b, '\n')
}

// quoteCSV puts what b has from there on into quotes if need be. An empty value needs them where it is alone in its row: an empty line is no row.
func quoteCSV(b []byte, from int, alone bool) []byte {
	quotes, need := 0, alone && len(b) == from
	for i, c := range b[from:] {
		switch c {
		case '"':
			quotes++
			need = true
		case ',', '\n', '\r':
			need = true
		case ' ', '\t':
			need = need || i == 0
		}
	}
	if !need {
		return b
	}
	value := string(b[from:])
	if quotes > 0 {
		value = strings.ReplaceAll(value, `"`, `""`)
	}
	b = append(b[:from], '"')
	b = append(b, value...)
	return append(b, '"')
}

// openJSONL writes a JSON object for each event.
func openJSONL(w io.Writer, of formInput) (formWriter, error) {
	return &rowWriter{w: w, append: newLayout(of.meta, of.cols).appendJSON}, nil
}

func (l *layout) appendJSON(b []byte, ev *evtchn.Event) []byte {
	sep := byte('{')
	for _, c := range l.cols {
		b = append(b, sep, '"')
		b = append(b, c.name...)
		b = append(b, '"', ':')
		sep = ','
		switch {
		case c.name == columnArgs:
			b = appendJSONArgs(b, ev)
		case c.isText():
			from := len(b)
			b = append(b, '"')
			b = quoteJSON(l.appendText(b, c, ev), from)
		default:
			b = l.appendText(b, c, ev)
		}
	}
	return append(b, '}', '\n')
}

// quoteJSON ends the string that began with a quote at from.
func quoteJSON(b []byte, from int) []byte {
	for _, c := range b[from+1:] {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, err := json.Marshal(string(b[from+1:]))
			if err != nil {
				panic("evtrace: internal error: " + err.Error()) // a string always has a form
			}
			return append(b[:from], quoted...)
		}
	}
	return append(b, '"')
}

// appendJSONArgs appends the arguments as an object: names where the kind has names for a value, else numbers.
func appendJSONArgs(b []byte, ev *evtchn.Event) []byte {
	spec := ev.Kind.Spec()
	sep := byte('{')
	for i, v := range ev.Args {
		arg := evtchn.Arg{}
		if i < len(spec.Args) {
			arg = spec.Args[i]
		} else if v == 0 {
			continue
		}
		b = append(b, sep, '"')
		if sep = ','; arg.Name == "" {
			b = append(b, "arg"...)
			b = append(b, '0'+byte(i))
		} else {
			b = append(b, arg.Name...)
		}
		b = append(b, '"', ':')
		names := arg.Type.Names()
		switch {
		case v < uint64(len(names)):
			from := len(b)
			b = append(b, '"')
			b = quoteJSON(append(b, names[v]...), from)
		case arg.Type == evtchn.ArgVCPU:
			b = strconv.AppendInt(b, int64(int16(v)), 10)
		case arg.Type == evtchn.ArgInt:
			b = strconv.AppendInt(b, int64(v), 10)
		default:
			b = strconv.AppendUint(b, v, 10)
		}
	}
	if sep == '{' {
		b = append(b, '{')
	}
	return append(b, '}')
}

// openColumns writes a table of the columns.
func openColumns(w io.Writer, of formInput) (formWriter, error) {
	l := newLayout(of.meta, of.cols)
	var head []byte
	for i, c := range l.cols {
		from := len(head)
		head = l.pad(append(head, c.name...), from, i)
	}
	_, err := w.Write(append(head, '\n'))
	return &rowWriter{w: w, append: l.appendRow}, err
}

func (l *layout) appendRow(b []byte, ev *evtchn.Event) []byte {
	row := len(b)
	for i, c := range l.cols {
		from := len(b)
		b = l.pad(l.appendText(b, c, ev), from, i)
	}
	for len(b) > row && b[len(b)-1] == ' ' {
		b = b[:len(b)-1]
	}
	return append(b, '\n')
}

// pad makes what b has from there on as wide as column i is.
func (l *layout) pad(b []byte, from, i int) []byte {
	c := l.cols[i]
	n := columnWidths[c.name] - (len(b) - from)
	if c.isText() || c.field.IsFlag() {
		if i == len(l.cols)-1 {
			return b
		}
		for ; n > 0; n-- {
			b = append(b, ' ')
		}
	} else if n > 0 {
		b = slices.Insert(b, from, []byte(strings.Repeat(" ", n))...)
	}
	if i < len(l.cols)-1 {
		b = append(b, ' ', ' ')
	}
	return b
}
