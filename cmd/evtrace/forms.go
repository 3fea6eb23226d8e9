package main

import (
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/text"
)

// form is a form that export writes.
type form struct {
	name  string
	about string

	// open begins the output, which is buffered. Errors of w are those of Add and Close.
	open func(w io.Writer, of formInput) (formWriter, error)

	binary bool // a terminal cannot show it
	whole  bool // it judges the trace, and a part of it would be judged otherwise
}

// formInput is what a form is made of, apart from its events.
type formInput struct {
	meta evtchn.Meta
	name string        // of the trace
	cols []eventColumn // those that were asked for, nil for the form's own
}

// formWriter takes the events that were chosen, in order. Close writes what comes at the end; it does not close the output.
type formWriter interface {
	evtchn.Sink
	Close() error
}

// Forms for export and query alone: nothing reads them back.
const (
	formTable    = "table" // events in columns, for people
	formCSV      = "csv"
	formJSONL    = "jsonl"
	formPprof    = "pprof"
	formPerfetto = "perfetto"
)

// forms are the forms of output, in the order in which help lists them.
var forms = []form{
	{name: formText, about: "one event on a line; whole, it can be imported again", open: openLines},
	{name: formTable, about: "columns that say in words what each event did", open: openTable},
	{name: formCSV, about: "comma-separated values, with a header", open: openCSV},
	{name: formJSONL, about: "a JSON object on each line", open: openJSONL},
	{name: formPprof, about: "a profile for go tool pprof: where delays come from", open: openProfile, binary: true, whole: true},
	{name: formPerfetto, about: "tracks, slices and flows for ui.perfetto.dev", open: openPerfetto, binary: true, whole: true},
}

// findForm finds the form that --to names.
func findForm(name string) (*form, error) {
	for i := range forms {
		if forms[i].name == name {
			return &forms[i], nil
		}
	}
	return nil, usageErrorf("", "--to: got %q, want %s%s", name, formNames(" or "), evtchn.Suggest(name, strings.Split(formNames(","), ",")))
}

// formOf gives the form that a file's name stands for, compressed or not; otherwise the one given.
func formOf(file, otherwise string) string {
	for _, packed := range []string{".gz", ".zst"} {
		file = strings.TrimSuffix(file, packed)
	}
	switch filepath.Ext(file) {
	case ".csv":
		return formCSV
	case ".jsonl":
		return formJSONL
	case ".pb":
		return formPprof
	case ".pftrace":
		return formPerfetto
	}
	return otherwise
}

func formNames(sep string) string {
	var names []string
	for i := range forms {
		names = append(names, forms[i].name)
	}
	return strings.Join(names, sep)
}

// formList is what the flag's help says.
func formList() string {
	var list []string
	for i := range forms {
		list = append(list, forms[i].name+" ("+forms[i].about+")")
	}
	return strings.Join(list, ", ")
}

func completeForms(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	var list []string
	for i := range forms {
		list = append(list, forms[i].name+"\t"+forms[i].about)
	}
	return list, cobra.ShellCompDirectiveNoFileComp
}

// rowWriter writes rows that do not depend on each other: several goroutines may make them.
type rowWriter struct {
	w      io.Writer
	append func(b []byte, ev *evtchn.Event) []byte
	row    []byte
}

func (r *rowWriter) Add(ev *evtchn.Event) error {
	r.row = r.append(r.row[:0], ev)
	_, err := r.w.Write(r.row)
	return err
}

func (r *rowWriter) Close() error { return nil }

// openLines writes events as lines of the text form, without its header.
func openLines(w io.Writer, _ formInput) (formWriter, error) {
	return &rowWriter{w: w, append: func(b []byte, ev *evtchn.Event) []byte { return append(text.AppendEvent(b, ev), '\n') }}, nil
}

// openTable writes the columns that were asked for, or those of the tables that reports have.
func openTable(w io.Writer, of formInput) (formWriter, error) {
	if of.cols != nil {
		return openColumns(w, of)
	}
	return rows{newEventTable(w, "", &of.meta)}, nil
}

// rows writes events as a table whose rows depend on the first.
type rows struct{ *eventTable }

func (r rows) Add(ev *evtchn.Event) error {
	r.row(ev, "")
	return r.err
}

func (r rows) Close() error { return r.err }
