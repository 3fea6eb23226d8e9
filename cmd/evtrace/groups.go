package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/tui/filter"
)

// Limits of grouping: of fields, and of groups, which are held in memory.
const (
	maxGroupFields = 4
	maxGroups      = 1 << 20
)

// tally counts events.
type tally struct {
	Count    uint64     `json:"count"`
	FirstSeq evtchn.Seq `json:"first_seq"` // 0: none
	LastSeq  evtchn.Seq `json:"last_seq"`
	FirstT   int64      `json:"first_t"` // in ns, as the field t
	LastT    int64      `json:"last_t"`
}

// add takes in the events of later, which come after those of t.
func (t *tally) add(later tally) {
	if t.Count == 0 {
		*t = later
		return
	}
	t.Count += later.Count
	t.LastSeq, t.LastT = later.LastSeq, later.LastT
}

// join takes in the events of a tally that may lie between those of t.
func (t *tally) join(o tally) {
	if o.FirstSeq < t.FirstSeq {
		t.FirstSeq, t.FirstT = o.FirstSeq, o.FirstT
	}
	if o.LastSeq > t.LastSeq {
		t.LastSeq, t.LastT = o.LastSeq, o.LastT
	}
	t.Count += o.Count
}

// countReport is what --count and --group-by say, in text and in JSON.
type countReport struct {
	Trace      string `json:"trace"`
	Expression string `json:"expression"`
	From       uint64 `json:"from,omitempty"`
	Until      uint64 `json:"until,omitempty"`
	Port       uint32 `json:"port,omitempty"`
	tally
	GroupBy []string     `json:"group_by,omitempty"`
	Groups  []countGroup `json:"groups,omitempty"`         // the most frequent first
	Omitted uint64       `json:"groups_omitted,omitempty"` // by --limit
	by      []filter.Field
}

// countGroup counts the events with the same values of fields.
type countGroup struct {
	Key map[string]any `json:"key"` // by the names of the fields
	tally
	values []any // in the order of the fields: int64, bool, string
}

// groupKey has the keys of up to maxGroupFields fields.
type groupKey [maxGroupFields]int64

// tallies counts by keys. The zero value is empty.
type tallies struct {
	at   map[groupKey]int
	keys []groupKey
	list []tally
	last groupKey // the one that was asked for last, if there are any
	i    int
}

// of gives the tally of a key, which is valid until the next call.
func (t *tallies) of(k groupKey) *tally {
	if k == t.last && len(t.list) > 0 {
		return &t.list[t.i]
	}
	i, ok := t.at[k]
	if !ok {
		if t.at == nil {
			t.at = make(map[groupKey]int)
		}
		i = len(t.list)
		t.at[k] = i
		t.keys, t.list = append(t.keys, k), append(t.list, tally{})
	}
	t.last, t.i = k, i
	return &t.list[i]
}

func (t *tallies) reset() {
	clear(t.at)
	t.keys, t.list = t.keys[:0], t.list[:0]
}

func parseGroups(names []string) ([]filter.Field, error) {
	cols, err := parseColumns("group-by", names)
	if err != nil {
		return nil, err
	}
	var by []filter.Field
	for _, c := range cols {
		if c.name == columnArgs || c.name == columnWhat {
			return nil, usageErrorf("", "--group-by: %s is no field to group by; there are %s", c.name, strings.Join(fieldNames(), ", "))
		}
		by = append(by, c.field)
	}
	if len(by) > maxGroupFields {
		return nil, usageErrorf("", "--group-by: got %d fields, want %d at most", len(by), maxGroupFields)
	}
	return by, nil
}

// countGroups counts the chosen events by the fields.
func countGroups(ctx context.Context, t *trace, sel *selection, by []filter.Field, p *progress) (*countReport, error) {
	reader := filter.NewReader(t.Meta())
	clock, err := filter.ParseField("t")
	if err != nil {
		return nil, err
	}
	var all tallies
	err = search(ctx, t, sel, p, func(evs *chosen, out *tallies) error {
		out.reset()
		var ev evtchn.Event
		var key groupKey
		for {
			if err := evs.Next(&ev); err == io.EOF {
				return nil
			} else if err != nil {
				return err
			}
			for i, f := range by {
				key[i] = reader.Key(f, &ev)
			}
			one := out.of(key)
			at := reader.Key(clock, &ev)
			if one.Count == 0 {
				one.FirstSeq, one.FirstT = ev.Seq, at
			}
			one.Count++
			one.LastSeq, one.LastT = ev.Seq, at
		}
	}, func(out *tallies) error {
		for i, k := range out.keys {
			all.of(k).add(out.list[i])
		}
		if len(all.list) > maxGroups {
			return usageErrorf("group by a field with fewer values, or choose fewer events", "--group-by: more than %s groups", group(maxGroups))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return newCountReport(reader, by, &all), nil
}

func newCountReport(reader *filter.Reader, by []filter.Field, all *tallies) *countReport {
	r := &countReport{by: by}
	for _, f := range by {
		r.GroupBy = append(r.GroupBy, f.String())
	}
	named := map[string]int{} // tasks of the same name are one group
	for i, k := range all.keys {
		one := all.list[i]
		if r.Count == 0 {
			r.tally = one
		} else {
			r.join(one)
		}
		if len(by) == 0 {
			continue
		}
		var name []byte
		g := countGroup{Key: map[string]any{}, tally: one}
		for j, f := range by {
			from := len(name)
			name = reader.AppendKey(name, f, k[j])
			var v any = string(name[from:])
			switch {
			case f.IsNumber():
				v = k[j]
			case f.IsFlag():
				v = k[j] != 0
			}
			g.Key[f.String()] = v
			g.values = append(g.values, v)
			name = append(name, 0)
		}
		if at, ok := named[string(name)]; ok {
			r.Groups[at].join(one)
			continue
		}
		named[string(name)] = len(r.Groups)
		r.Groups = append(r.Groups, g)
	}
	slices.SortFunc(r.Groups, func(a, b countGroup) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), slices.CompareFunc(a.values, b.values, compareValues))
	})
	return r
}

func compareValues(a, b any) int {
	switch a := a.(type) {
	case int64:
		return cmp.Compare(a, b.(int64))
	case string:
		return cmp.Compare(a, b.(string))
	}
	return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)) // false comes before true
}

// cut keeps so many groups, 0 for all.
func (r *countReport) cut(limit uint64) {
	if n := uint64(len(r.Groups)); limit != 0 && n > limit {
		r.Omitted = n - limit
		r.Groups = r.Groups[:limit]
	}
}

// writeText writes a count, or a table of groups.
func (r *countReport) writeText(w io.Writer) error {
	if len(r.by) == 0 {
		_, err := fmt.Fprintln(w, r.Count)
		return err
	}
	lines := [][]string{append(slices.Clone(r.GroupBy), "events", "first", "last", "first t", "last t")}
	for _, g := range r.Groups {
		var line []string
		for _, v := range g.values {
			line = append(line, fmt.Sprint(v))
		}
		lines = append(lines, append(line, group(g.Count), fmt.Sprintf("#%d", g.FirstSeq), fmt.Sprintf("#%d", g.LastSeq), signed(g.FirstT), signed(g.LastT)))
	}
	width := make([]int, len(lines[0]))
	for _, line := range lines {
		for i, s := range line {
			width[i] = max(width[i], utf8.RuneCountInString(s))
		}
	}
	var b strings.Builder
	for _, line := range lines {
		for i, s := range line {
			space := strings.Repeat(" ", width[i]-utf8.RuneCountInString(s))
			if i > 0 {
				b.WriteString("  ")
			}
			if i < len(r.by) && !r.by[i].IsNumber() {
				b.WriteString(s + space)
			} else {
				b.WriteString(space + s)
			}
		}
		b.WriteByte('\n')
	}
	if r.Omitted > 0 {
		fmt.Fprintf(&b, "and %s more\n", plural(r.Omitted, "group"))
	}
	if r.Count > 0 {
		fmt.Fprintf(&b, "%s, #%d to #%d\n", plural(r.Count, "event"), r.FirstSeq, r.LastSeq)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
