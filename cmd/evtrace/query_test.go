package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/evtchn/system"
	"github.com/evtrace/evtrace/evtchn/text"
	"github.com/evtrace/evtrace/store"
	"github.com/evtrace/evtrace/tui/filter"
	"github.com/evtrace/evtrace/tui/filter/filtertest"
)

// simulated gives the first events of a built-in scenario.
func simulated(t testing.TB, scenario string, n int) ([]evtchn.Event, evtchn.Meta) {
	t.Helper()
	sc, err := system.Builtin(scenario)
	if err != nil {
		t.Fatal(err)
	}
	s, err := system.New(sc, 1, evtchn.Policy{}, system.Inputs(sc, 1))
	if err != nil {
		t.Fatal(err)
	}
	var evs []evtchn.Event
	var ev evtchn.Event
	for len(evs) < n {
		if err := s.Next(&ev); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		evs = append(evs, ev)
	}
	return evs, s.Meta()
}

// inChunks writes a trace file with so many events in a chunk.
func inChunks(t testing.TB, path string, evs []evtchn.Event, meta evtchn.Meta, n int) {
	t.Helper()
	w, err := store.Create(path, meta, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range evs {
		if err := w.Add(&evs[i]); err != nil {
			t.Fatal(err)
		}
		if (i+1)%n == 0 {
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// Whatever the expression and the stretch, a query of a trace file, one of the same trace as text, and a look at each event
// find the same events; so do their counts.
func TestQueryFindsAll(t *testing.T) {
	evs, meta := simulated(t, "seed-port65", 14000)
	evs = evs[11000:] // the port's story
	for i := range evs {
		evs[i].Seq -= 11000
		evs[i].Cause = 0
	}
	dir := t.TempDir()
	binary, asText := filepath.Join(dir, "a.evt"), filepath.Join(dir, "a.txt")
	inChunks(t, binary, evs, meta, 120)
	must(t, 0, "export", binary, "-o", asText)
	rapid.Check(t, func(rt *rapid.T) {
		number := func(rt *rapid.T) int64 {
			ev := evs[rapid.IntRange(0, len(evs)-1).Draw(rt, "event")]
			return rapid.SampledFrom([]int64{-1, 0, 1, 5, 65, int64(ev.Seq), int64(ev.Time), int64(ev.Port), int64(ev.VCPU)}).Draw(rt, "number")
		}
		src := filtertest.Expression(rt, 3, number)
		if rapid.IntRange(0, 3).Draw(rt, "conjunction") > 0 {
			src = filtertest.Expression(rt, 1, number) + " && " + filtertest.Expression(rt, 1, number) + " || " + src
		}
		args := []string{"--to", "text"}
		var from, until, port, limit int
		for name, p := range map[string]*int{"from": &from, "until": &until} {
			if rapid.IntRange(0, 3).Draw(rt, name) == 0 {
				*p = rapid.IntRange(1, len(evs)+3).Draw(rt, name)
			}
		}
		if from > until {
			until = 0
		}
		if rapid.IntRange(0, 3).Draw(rt, "port") == 0 {
			port = rapid.SampledFrom([]int{1, 65, 999}).Draw(rt, "port")
		}
		if rapid.IntRange(0, 2).Draw(rt, "limit") == 0 {
			limit = rapid.IntRange(1, 200).Draw(rt, "limit")
		}
		for name, v := range map[string]int{"from": from, "until": until, "port": port} {
			if v != 0 {
				args = append(args, "--"+name, strconv.Itoa(v))
			}
		}
		f, err := filter.Compile(src)
		if err != nil {
			rt.Fatal(err)
		}
		f = f.Bind(meta)
		var want []byte
		count, written := 0, 0
		for i := range evs {
			ev := &evs[i]
			if int(ev.Seq) < from || until != 0 && int(ev.Seq) > until || port != 0 && int(ev.Port) != port || !f.Match(ev) {
				continue
			}
			count++
			if limit == 0 || written < limit {
				written++
				want = append(text.AppendEvent(want, ev), '\n')
			}
		}
		for _, path := range []string{binary, asText} {
			all := slices.Concat([]string{"query", path}, args)
			if limit != 0 {
				all = append(all, "--limit", strconv.Itoa(limit))
			}
			all = append(all, "--", src) // which may begin with a minus
			if got := must(t, 0, all...); got != string(want) {
				rt.Fatalf("%q: got %d lines, want %d", all, strings.Count(got, "\n"), written)
			}
			all = slices.Concat([]string{"query", path, "--count"}, args[2:], []string{"--", src})
			if got := must(t, 0, all...); got != fmt.Sprintln(count) {
				rt.Fatalf("%q: got %s, want %d", all, got, count)
			}
		}
	})
}

// anyEvent draws an event of a valid kind with values of all sizes.
func anyEvent(t *rapid.T) evtchn.Event {
	value := rapid.OneOf(rapid.Uint64Range(0, 3), rapid.Uint64(), rapid.Just(uint64(0xffff)))
	return evtchn.Event{Seq: evtchn.Seq(rapid.Uint64Range(1, 1<<50).Draw(t, "seq")), Time: evtchn.Time(rapid.Int64().Draw(t, "time")),
		VCPU: evtchn.VCPU(rapid.IntRange(-1, 127).Draw(t, "vcpu")), Port: evtchn.Port(rapid.Uint32Range(0, 1<<17).Draw(t, "port")),
		Kind: rapid.SampledFrom(evtchn.Kinds()).Draw(t, "kind"), Res: value.Draw(t, "res"), Cause: evtchn.Seq(rapid.Uint64Range(0, 1<<50).Draw(t, "cause")),
		Dom: evtchn.DomID(rapid.Uint16().Draw(t, "dom")), Flags: evtchn.Flags(rapid.IntRange(0, 7).Draw(t, "flags")),
		Ctx:  rapid.SampledFrom([]evtchn.Context{0, evtchn.CtxXen, evtchn.CtxUpcall, evtchn.TaskCtx(0), evtchn.TaskCtx(1), evtchn.TaskCtx(7), evtchn.ForeignCtx(1)}).Draw(t, "ctx"),
		Args: [3]uint64{value.Draw(t, "arg"), value.Draw(t, "arg"), value.Draw(t, "arg")}}
}

// eventList is events to write.
type eventList []evtchn.Event

// written gives the events in a form.
func (l eventList) written(t rapid.TB, name string, meta evtchn.Meta, cols []eventColumn) []byte {
	t.Helper()
	f, err := findForm(name)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w, err := f.open(&b, formInput{meta: meta, cols: cols})
	if err != nil {
		t.Fatal(err)
	}
	for i := range l {
		if err := w.Add(&l[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// values are what the columns say of an event, told once more from the event itself.
func values(ev *evtchn.Event, meta *evtchn.Meta) map[string]any {
	ctx, num, _ := strings.Cut(ev.Ctx.String(), ":")
	if ev.Ctx == 0 {
		ctx = "none"
	}
	task := ""
	if ctx == "task" {
		n, _ := strconv.Atoi(num)
		if task = "task:" + num; n < len(meta.Tasks) && meta.Tasks[n] != "" {
			task = meta.Tasks[n]
		}
	}
	res := int64(ev.Res)
	if ev.Kind.Spec().Res.Type == evtchn.ArgVCPU {
		res = int64(int16(ev.Res))
	}
	word := int64(-1)
	args := map[string]any{}
	for i, v := range ev.Args {
		if i >= len(ev.Kind.Spec().Args) {
			if v != 0 {
				args[fmt.Sprint("arg", i)] = json.Number(fmt.Sprint(v))
			}
			continue
		}
		a := ev.Kind.Spec().Args[i]
		switch a.Type {
		case evtchn.ArgWord:
			if word < 0 {
				word = int64(v)
			}
			args[a.Name] = json.Number(fmt.Sprint(v))
		case evtchn.ArgVCPU:
			args[a.Name] = json.Number(fmt.Sprint(int16(v)))
		case evtchn.ArgInt:
			args[a.Name] = json.Number(fmt.Sprint(int64(v)))
		default:
			if names := a.Type.Names(); v < uint64(len(names)) {
				args[a.Name] = names[v]
			} else {
				args[a.Name] = json.Number(fmt.Sprint(v))
			}
		}
	}
	if ev.Port != 0 {
		word = int64(ev.Port) / int64(meta.WordBits)
	}
	return map[string]any{"seq": ev.Seq, "t": int64(ev.Time), "vcpu": ev.VCPU, "ctx": ctx, "task": task, "kind": ev.Kind.String(), "port": ev.Port,
		"word": word, "target": ev.Target(), "res": res, "cause": ev.Cause, "dom": ev.Dom, "input": ev.Flags&1 != 0, "inferred": ev.Flags&2 != 0, "args": args}
}

// readsBack wants CSV and JSON lines of the events to parse, and to say of each what it is.
func readsBack(t rapid.TB, evs eventList, meta evtchn.Meta, cols []eventColumn) {
	t.Helper()
	rows, err := csv.NewReader(bytes.NewReader(evs.written(t, formCSV, meta, cols))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != len(evs)+1 {
		t.Fatalf("got %d rows of CSV, want %d", len(rows), len(evs)+1)
	}
	dec := json.NewDecoder(bytes.NewReader(evs.written(t, formJSONL, meta, cols)))
	dec.UseNumber()
	if cols == nil {
		cols = allColumns
	}
	for i := range evs {
		want := values(&evs[i], &meta)
		var got map[string]any
		if err := dec.Decode(&got); err != nil {
			t.Fatal(err)
		}
		if len(got) != len(cols) || len(rows[i+1]) != len(cols) || len(rows[0]) != len(cols) {
			t.Fatalf("%+v: got %d keys and %d columns, want %d", evs[i], len(got), len(rows[i+1]), len(cols))
		}
		for j, c := range cols {
			cell := rows[i+1][j]
			if rows[0][j] != c.name {
				t.Fatalf("column %d: got %q, want %q", j, rows[0][j], c.name)
			}
			if c.name == columnArgs {
				if d := cmp.Diff(want[c.name], got[c.name]); d != "" {
					t.Fatalf("%+v: args (-want +got):\n%s", evs[i], d)
				}
				if line := string(text.AppendEvent(nil, &evs[i])); !strings.Contains(line, cell) || (cell == "") != (len(want[c.name].(map[string]any)) == 0) {
					t.Fatalf("args %q of %s", cell, line)
				}
				continue
			}
			if fmt.Sprint(got[c.name]) != fmt.Sprint(want[c.name]) || cell != fmt.Sprint(want[c.name]) {
				t.Fatalf("%+v: %s: got %v in JSON and %q in CSV, want %v", evs[i], c.name, got[c.name], cell, want[c.name])
			}
		}
	}
	if dec.More() {
		t.Fatal("more JSON than events")
	}
}

func TestFormsReadBack(t *testing.T) {
	for _, c := range allColumns { // alone, and with nothing in them
		readsBack(t, eventList{{Seq: 1, Kind: evtchn.KindIPI}, {Seq: 2, Kind: evtchn.KindPendTAS}}, evtchn.Meta{WordBits: 64}, []eventColumn{c})
	}
	rapid.Check(t, func(t *rapid.T) {
		meta := evtchn.Meta{Source: evtchn.SourceSim, ABI: "2l", VCPUs: 4, WordBits: 64, Unit: "ns", NsPerTick: 1,
			Tasks: []string{rapid.SampledFrom([]string{"", "qemu", ` a,b`, `say "hi"`, "zwei\nzeilen", "µ\\x", "\t", "<&>"}).Draw(t, "task"), "xenstored"}}
		var evs eventList
		for range rapid.IntRange(0, 5).Draw(t, "events") {
			evs = append(evs, anyEvent(t))
		}
		var cols []eventColumn
		if rapid.Bool().Draw(t, "columns") {
			n := rapid.IntRange(1, 3).Draw(t, "number of columns")
			cols = rapid.Permutation(allColumns).Draw(t, "order")[:n]
		}
		readsBack(t, evs, meta, cols)
	})
}

// FuzzForms: whatever a trace calls its tasks and whatever its events carry, CSV and JSON lines say it.
func FuzzForms(f *testing.F) {
	f.Add("qemu", uint8(evtchn.KindSelTAS), uint64(5), uint64(1), uint64(0))
	f.Add("a,\"b\"\n", uint8(evtchn.KindPortBind), uint64(3), uint64(0xffff), uint64(1)<<63)
	f.Fuzz(func(t *testing.T, task string, kind uint8, a, b, res uint64) {
		k := evtchn.Kind(kind)
		if !k.Valid() || strings.ContainsRune(task, '\r') || strings.ToValidUTF8(task, "") != task {
			t.Skip("a CSV reader makes one line feed of \\r\\n, and JSON has only UTF-8")
		}
		meta := evtchn.Meta{WordBits: 64, Unit: "ns", Tasks: []string{task}}
		readsBack(t, eventList{{Seq: 1, Kind: k, Ctx: evtchn.TaskCtx(0), Args: [3]uint64{a, b, a}, Res: res}}, meta, nil)
	})
}

// Groups sum up what the events say, and are in the order that is promised.
func TestGroups(t *testing.T) {
	evs, meta := simulated(t, "seed-port65", 3000)
	path := filepath.Join(t.TempDir(), "a.evt")
	inChunks(t, path, evs, meta, 500)
	var got countReport
	if err := json.Unmarshal([]byte(must(t, 0, "query", path, "port != 0", "--group-by", "port,kind", "--json")), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]*tally{}
	total := tally{}
	for i := range evs {
		ev := &evs[i]
		if ev.Port == 0 {
			continue
		}
		one := tally{1, ev.Seq, ev.Seq, int64(ev.Time), int64(ev.Time)}
		total.add(one)
		k := fmt.Sprint(ev.Port, ev.Kind.String())
		if want[k] == nil {
			want[k] = &tally{}
		}
		want[k].add(one)
	}
	if got.tally != total || len(got.Groups) != len(want) || len(want) < 10 {
		t.Errorf("got %+v in %d groups, want %+v in %d", got.tally, len(got.Groups), total, len(want))
	}
	for i, g := range got.Groups {
		port, kind := int(g.Key["port"].(float64)), g.Key["kind"].(string)
		if one := want[fmt.Sprint(port, kind)]; one == nil || *one != g.tally {
			t.Errorf("%v: got %+v, want %+v", g.Key, g.tally, one)
		}
		if i == 0 {
			continue
		}
		before := got.Groups[i-1]
		bp, bk := int(before.Key["port"].(float64)), before.Key["kind"].(string)
		if before.Count < g.Count || before.Count == g.Count && (bp > port || bp == port && bk >= kind) {
			t.Errorf("%v (%d) comes after %v (%d)", g.Key, g.Count, before.Key, before.Count)
		}
	}
}
