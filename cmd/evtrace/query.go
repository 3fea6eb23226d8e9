package main

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/evtrace/evtrace/tui/filter"
)

func newQuery(a *app) *cobra.Command {
	var (
		to      string
		fields  []string
		groups  []string
		count   bool
		asJSON  bool
		out     eventOut
		sel     selection
		grouped []filter.Field
	)
	c := &cobra.Command{
		Use:     "query TRACE [EXPRESSION]",
		GroupID: groupJudge,
		Short:   "find events by an expression, count them, write them as CSV or JSON",
		Long: `Query writes the events that match an expression, as a table for people, as lines of the text form, or as CSV or JSON lines for
other programs; without an expression, all. The expression is what the filter of "evtrace tui" takes:

    port == 65 && vcpu != 0 && kind in ["mask.clear", "upcall.exit"]
    port=65 vcpu!=0 kind=mask.clear,upcall.exit      the same, for typing

Fields: seq, t (in ns), vcpu, target, port, word, kind, ctx, task, res, cause, dom, input, inferred. --fields chooses columns among these,
args (the arguments) and what (in words); docs/query.md explains them. Of a trace file only those parts are read that can have
such events, as port, kind, vcpu, seq and t tell.

--count counts instead, and --group-by counts by the values of fields, the most frequent first.`,
		Example: `  evtrace query a.evt 'port == 65 && vcpu != 0'
  evtrace query a.evt port=65 kind=mask.* --fields seq,t,vcpu,kind,res
  evtrace query a.evt 'kind == "sel.tas" && target != vcpu' --count
  evtrace query a.evt port=65 --group-by vcpu,kind
  evtrace query a.evt --group-by port --limit 3 --json | jq .groups[0].count
  evtrace query a.evt 'port in 64..66' --to csv -o ports.csv
  evtrace query a.evt input --to jsonl --limit 10 | jq -c .args`,
		Args: atLeast(1, "the trace, and an expression"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if err = errors.Join(sel.check(cmd), noZero(cmd, "limit")); err != nil {
				return err
			}
			if !cmd.Flags().Changed("to") {
				to = formOf(out.name, to)
			}
			if out.form, err = findForm(to); err != nil {
				return err
			}
			if out.form.whole {
				return usageErrorf("evtrace export --to "+to+" writes the whole trace", "--to: %s judges a whole trace, and query chooses events of it", to)
			}
			if cmd.Flag("fields").Changed {
				if to == formText {
					return usageErrorf("--to csv, jsonl and table have columns", "--fields: text has all of an event, and cannot do with less")
				}
				if out.cols, err = parseColumns("fields", fields); err != nil {
					return err
				}
			}
			counting := count || len(groups) > 0
			switch {
			case counting && (cmd.Flag("to").Changed || cmd.Flag("fields").Changed):
				return usageErrorf("--json gives counts as JSON", "--to and --fields are for events, and --count and --group-by write none")
			case asJSON && !counting:
				return usageErrorf("--to jsonl writes events as JSON", "--json is for counts: it goes with --count or --group-by")
			case count && len(groups) == 0 && out.limit != 0:
				return usageErrorf("", "--limit: --count counts all")
			}
			if grouped, err = parseGroups(groups); err != nil {
				return err
			}
			src := strings.Join(args[1:], " ")
			f, err := filter.Compile(src)
			if err != nil {
				return badExpression(src, err)
			}
			if err := vacantOut(args[0], out.name, out.force); err != nil {
				return err
			}
			t, err := a.openTrace(cmd.Context(), args[0], inputOptions{})
			if err != nil {
				return err
			}
			defer t.Close()
			if !f.All() {
				sel.filter = f.Bind(t.Meta())
			}
			if counting {
				return a.countEvents(cmd.Context(), t, &sel, src, grouped, asJSON, out)
			}
			return a.writeEvents(cmd.Context(), t, &sel, out)
		},
	}
	sel.flags(c)
	c.Flags().StringVar(&to, "to", formTable, "`FORM` to write: "+formList())
	c.Flags().StringSliceVar(&fields, "fields", nil, "`FIELDS` to write, with commas between them, as columns in that order")
	c.Flags().Uint64Var(&out.limit, "limit", 0, "write `N` events, or groups, at most")
	c.Flags().BoolVar(&count, "count", false, "write only how many there are")
	c.Flags().StringSliceVar(&groups, "group-by", nil, "count by the values of these `FIELDS`, up to 4 with commas between them")
	c.Flags().BoolVar(&asJSON, "json", false, "counts as JSON")
	c.Flags().StringVarP(&out.name, "out", "o", "-", "`FILE` to write, or - for stdout; .zst or .gz has it compressed")
	c.Flags().BoolVar(&out.force, "force", false, "replace the file if there is one")
	_ = c.RegisterFlagCompletionFunc("to", completeForms)
	_ = c.RegisterFlagCompletionFunc("fields", completeList(append(fieldNames(), columnArgs, columnWhat)))
	_ = c.RegisterFlagCompletionFunc("group-by", completeList(fieldNames()))
	return c
}

// badExpression shows where an expression is wrong.
func badExpression(src string, err error) error {
	var e *filter.Error
	if !errors.As(err, &e) {
		return usageErrorf("", "expression: %w", err)
	}
	return usageErrorf("docs/query.md has the language; evtrace help query has examples", "expression, column %d: %s\n%s", e.Column, e.Msg, e.Caret(src))
}

// countEvents counts the chosen events.
func (a *app) countEvents(ctx context.Context, t *trace, sel *selection, src string, by []filter.Field, asJSON bool, to eventOut) error {
	p := a.newProgress("reading", "events", false)
	defer p.done()
	r, err := countGroups(ctx, t, sel, by, p)
	if err != nil {
		return err
	}
	p.done()
	r.Trace, r.Expression, r.From, r.Until, r.Port = t.name, src, sel.from, sel.until, sel.port
	r.cut(to.limit)
	o, err := a.createText(to.name, to.force)
	if err != nil {
		return err
	}
	defer o.abort()
	if asJSON {
		err = writeJSON(o, r)
	} else {
		err = r.writeText(o)
	}
	if err != nil {
		return o.fail(err)
	}
	if err := o.commit(); err != nil {
		return err
	}
	a.remark(t, sel, r.Count)
	return nil
}
