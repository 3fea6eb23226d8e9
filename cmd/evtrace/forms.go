package main

import (
	"io"
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
	name string // of the trace
}

// formWriter takes the events that were chosen, in order. Close writes what comes at the end; it does not close the output.
type formWriter interface {
	evtchn.Sink
	Close() error
}

// The forms besides text.
const (
	formTable    = "table" // events in columns, for people
	formPprof    = "pprof"
	formPerfetto = "perfetto"
)

// forms are the forms of output, in the order in which help lists them.
var forms = []form{
	{name: formText, about: "one event on a line; whole, it can be imported again", open: openLines},
	{name: formTable, about: "columns that say in words what each event did", open: openTable},
	{name: formPprof, about: "a profile for go tool pprof: where delays come from", open: openProfile, binary: true, whole: true},
	{name: formPerfetto, about: "tracks, slices and flows for ui.perfetto.dev", open: openPerfetto, binary: true, whole: true},
}

func findForm(name string) *form {
	for i := range forms {
		if forms[i].name == name {
			return &forms[i]
		}
	}
	return nil
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

// lines writes events as lines of the text form, without its header.
type lines struct {
	w    io.Writer
	line []byte
}

func openLines(w io.Writer, _ formInput) (formWriter, error) { return &lines{w: w}, nil }

func (l *lines) Add(ev *evtchn.Event) error {
	l.line = append(text.AppendEvent(l.line[:0], ev), '\n')
	_, err := l.w.Write(l.line)
	return err
}

func (l *lines) Close() error { return nil }

// rows writes events as a table.
type rows struct{ *eventTable }

func openTable(w io.Writer, of formInput) (formWriter, error) {
	return rows{newEventTable(w, "", &of.meta)}, nil
}

func (r rows) Add(ev *evtchn.Event) error {
	r.row(ev, "")
	return r.err
}

func (r rows) Close() error { return r.err }
