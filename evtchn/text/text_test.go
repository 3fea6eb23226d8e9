package text

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/evtrace/evtrace/evtchn"
)

// readAll reads a whole trace.
func readAll(in []byte, opt Options) (evtchn.Meta, []evtchn.Event, error) {
	r, err := opt.NewReader(bytes.NewReader(in), "trace.txt")
	if err != nil {
		return evtchn.Meta{}, nil, err
	}
	var evs []evtchn.Event
	for {
		var ev evtchn.Event
		switch err := r.Next(&ev); {
		case err == io.EOF:
			return r.Meta(), evs, nil
		case err != nil:
			return r.Meta(), evs, err
		}
		evs = append(evs, ev)
	}
}

func writeAll(t testing.TB, m evtchn.Meta, evs []evtchn.Event) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := NewWriter(&buf, m)
	for i := range evs {
		if err := w.Add(&evs[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func golden(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/port65.txt")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestGolden(t *testing.T) {
	in := golden(t)
	m, evs, err := readAll(in, Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := evtchn.Meta{Format: 1, Tool: "evtrace 0.1", Source: evtchn.SourceSim, ABI: "2l", VCPUs: 16, WordBits: 64,
		Clock: "virtual", Unit: "ns", NsPerTick: 1, Complete: true, Policy: "xen-2005", Seed: 1, Duration: 2000000,
		Tasks:    []string{"idle", "irqbalance", "qemu"},
		Scenario: "# the report: 16 vcpus, the bind gets port 65\nvcpus: 16\n\n\tname: \"café\"\n"}
	if d := cmp.Diff(want, m); d != "" {
		t.Errorf("meta (-want +got):\n%s", d)
	}
	if len(evs) != 16 {
		t.Fatalf("got %d events, want 16", len(evs))
	}
	for i, want := range map[int]evtchn.Event{
		1: {Seq: 102, Time: 1204350, Args: [3]uint64{uint64(evtchn.PortInterdomain), 0, 1<<32 | 12}, Cause: 101, Port: 65, VCPU: 3,
			Ctx: evtchn.CtxXen, Kind: evtchn.KindPortBind},
		7: {Seq: 108, Time: 1205140, Args: [3]uint64{3, 1}, Port: 65, VCPU: 3, Ctx: evtchn.TaskCtx(2), Kind: evtchn.KindSelTAS},
		13: {Seq: 114, Time: 1900000, Args: [3]uint64{1}, Port: 65, VCPU: evtchn.NoVCPU, Ctx: evtchn.ForeignCtx(0),
			Kind: evtchn.KindSend, Flags: evtchn.FlagInput},
		15: {Seq: 116, Time: 2000000, Args: [3]uint64{0xffff}, VCPU: evtchn.NoVCPU, Kind: evtchn.KindGap, Flags: evtchn.FlagInferred},
	} {
		if d := cmp.Diff(want, evs[i]); d != "" {
			t.Errorf("event %d (-want +got):\n%s", i, d)
		}
	}
	if d := cmp.Diff(string(in), string(writeAll(t, m, evs))); d != "" {
		t.Errorf("written again (-want +got):\n%s", d)
	}
	for n, line := range strings.Split(string(in), "\n") {
		if len(line) >= 100 {
			t.Errorf("line %d has %d columns", n+1, len(line))
		}
	}
}

// The example of the package comment is a trace.
func TestDocExample(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?s)//\t(evtrace text 1\n.*?//\tend \d+\n)`).FindSubmatch(doc)
	if m == nil {
		t.Fatal("no example in doc.go")
	}
	example := regexp.MustCompile(`(?m)^//\t?`).ReplaceAll(m[1], nil)
	meta, evs, err := readAll(example, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(example), string(writeAll(t, meta, evs))); d != "" {
		t.Error(d)
	}
	order := "evtchn.Meta] that is not empty"
	_, text, _ := strings.Cut(strings.ReplaceAll(string(doc), "\n// ", " "), order)
	if !strings.Contains(text, keys()) {
		t.Errorf("the package comment does not give the keys in their order: %s", keys())
	}
}

// Every field of Meta reaches the text: a field that is added there without a line here fails.
func TestMetaComplete(t *testing.T) {
	typ := reflect.TypeFor[evtchn.Meta]()
	for i := range typ.NumField() {
		f := typ.Field(i)
		m := evtchn.Meta{Format: evtchn.FormatVersion}
		v := reflect.ValueOf(&m).Elem().Field(i)
		switch v.Kind() {
		case reflect.String:
			v.SetString("x y")
		case reflect.Int, reflect.Int64:
			v.SetInt(1)
		case reflect.Uint64:
			v.SetUint(7)
		case reflect.Float64:
			v.SetFloat(0.1)
		case reflect.Bool:
			v.SetBool(true)
		case reflect.Slice:
			v.Set(reflect.ValueOf([]string{"", " a", "b"}))
		case reflect.Map:
			v.Set(reflect.ValueOf(map[string]uint64{"b": 2, "a": 1, "": 3}))
		default:
			t.Fatalf("field %s: kind %s", f.Name, v.Kind())
		}
		out := writeAll(t, m, nil)
		got, _, err := readAll(out, Options{})
		if err != nil {
			t.Errorf("field %s: %v\n%s", f.Name, err, out)
		}
		if d := cmp.Diff(m, got); d != "" {
			t.Errorf("field %s (-want +got):\n%s", f.Name, d)
		}
	}
}

// The words of the spec table fit the grammar: no word can be taken for another.
func TestSpecWords(t *testing.T) {
	word := regexp.MustCompile(`^[a-z][a-z0-9_.]*$`)
	clash := regexp.MustCompile(`^(arg[0-9]|p[0-9].*|end)$`)
	seen := map[string]bool{}
	for _, k := range evtchn.Kinds() {
		spec := k.Spec()
		if !word.MatchString(spec.Name) || seen[spec.Name] || len(spec.Name) > 32 {
			t.Errorf("kind %d: name %q", k, spec.Name)
		}
		seen[spec.Name] = true
		if len(spec.Args) > len(evtchn.Event{}.Args) {
			t.Errorf("%s: %d arguments", k, len(spec.Args))
		}
		for _, a := range spec.Args {
			if !word.MatchString(a.Name) || clash.MatchString(a.Name) {
				t.Errorf("%s: argument name %q", k, a.Name)
			}
			if a.Type == evtchn.ArgNone {
				t.Errorf("%s: argument %s has no type", k, a.Name)
			}
		}
	}
	for typ := evtchn.ArgNone; typ < 100; typ++ {
		names := map[string]bool{}
		for _, n := range typ.Names() {
			if !word.MatchString(n) || names[n] {
				t.Errorf("type %d: name %q", typ, n)
			}
			names[n] = true
		}
	}
}

func TestEveryKind(t *testing.T) {
	values := []uint64{0, 1, 2, 3, 7, 65, 255, 256, 0x7fff, 0x8000, 0xffff, 1 << 63, ^uint64(0), ^uint64(0) - 1}
	meta := &evtchn.Meta{WordBits: 64, Tasks: []string{"idle"}, Unknown: []string{"rec"}}
	for _, k := range evtchn.Kinds() {
		for _, v := range values {
			ev := evtchn.Event{Seq: evtchn.Seq(v), Time: evtchn.Time(v), Args: [3]uint64{v, v, v}, Res: v, Cause: evtchn.Seq(v),
				Port: evtchn.Port(v), VCPU: evtchn.VCPU(v), Dom: evtchn.DomID(v), Ctx: evtchn.Context(v), Kind: k, Flags: evtchn.Flags(v)}
			checkEvent(t, &ev)
			for _, m := range []*evtchn.Meta{nil, meta} {
				d := describer{nil, &ev, m}
				if !d.known() || len(d.b) == 0 {
					t.Errorf("%s: no words in describe.go (%q)", k, d.b)
				}
				d.b = d.b[:0]
				if d.plain(); len(d.b) == 0 || d.b[0] == ' ' {
					t.Errorf("%s: in plain words %q", k, d.b)
				}
			}
		}
	}
}

// checkEvent demands that the event's line reads back as the event.
func checkEvent(t testing.TB, ev *evtchn.Event) {
	t.Helper()
	line := AppendEvent(nil, ev)
	got, err := ParseEvent(line)
	if err != nil {
		t.Fatalf("%+v\n%s\n%v", *ev, line, err)
	}
	if got != *ev {
		t.Fatalf("%s\n%s", line, cmp.Diff(*ev, got))
	}
	if bytes.ContainsAny(line, "\t\n\r") || bytes.HasSuffix(line, []byte(" ")) || bytes.Contains(line, []byte("  ")) || len(line) > slack {
		t.Fatalf("line %q", line)
	}
}

func TestContexts(t *testing.T) {
	for c := range 1 << 16 {
		checkEvent(t, &evtchn.Event{Kind: evtchn.KindEnd, Ctx: evtchn.Context(c)})
		checkEvent(t, &evtchn.Event{Kind: evtchn.KindEnd, VCPU: evtchn.VCPU(c), Dom: evtchn.DomID(c & 1)})
	}
}

func TestParseErrors(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"", `sequence number "": want a number from 0 to 2^64-1`},
		{"x", `sequence number "x": want a number`},
		{"01 0 - - end", `sequence number "01"`},
		{"18446744073709551616 0 - - end", `sequence number "18446744073709551616"`},
		{"1 -0 - - end", `time "-0"`},
		{"1 9223372036854775808 - - end", `time "9223372036854775808"`},
		{"1 0 3 - end", `vcpu "3": want one such as v3`},
		{"1 0 v-1 - end", `vcpu "v-1"`},
		{"1 0 v32768 - end", `vcpu "v32768"`},
		{"1 0 d0v3 - end", `vcpu "d0v3"`},
		{"1 0 d65536v3 - end", `vcpu "d65536v3"`},
		{"1 0 - xenn end", `context "xenn": want -, xen, upcall, task:N or foreign:N`},
		{"1 0 - ctx:4096 end", `context "ctx:4096"`},
		{"1 0 - task:4096 end", `context "task:4096"`},
		{"1 0 - - mask.clera p65 = 1", `kind "mask.clera": no such kind of event; did you mean mask.clear?`},
		{"1 0 - - none", `kind "none": no such kind`},
		{"1 0 - - kind:200", `kind "kind:200": no such kind`},
		{"1 0 - - mask.clear p65 = 2", `mask.clear: result "2": want 0, 1 or ?`},
		{"1 0 - - mask.clear p65 = #1", `mask.clear: result "#1": want 0, 1 or ?`},
		{"1 0 - - mask.clear p65", `mask.clear: got the end of the line, want the result: = and 0, 1 or ?`},
		{"1 0 - - mask.clear p65 =", `mask.clear: result "": want 0, 1 or ?`},
		{"1 0 - - mask.clear p0 = 1", `mask.clear: port "p0": want p1 to p4294967295`},
		{"1 0 - - mask.clear p4294967296 = 1", `mask.clear: port "p4294967296"`},
		{"1 0 - - mask.clear q65 = 1", `mask.clear: got "q65", want the result`},
		{"1 0 - - sel.tas p65 word=w1 = 0", `sel.tas: got "word=w1", want the argument target=`},
		{"1 0 - - sel.tas p65 target=3 word=w1 = 0", `sel.tas: argument target "3": want v0 to v32767, or -`},
		{"1 0 - - sel.tas p65 target=v3 word=1 = 0", `sel.tas: argument word "1": want a word such as w1`},
		{"1 0 - - notify.read p65 state=Virq = v0", `argument state "Virq": want one of free, reserved, unbound, `},
		{"1 0 - - notify.read p65 state=#5 = v0", `argument state "#5": want one of free`},
		{"1 0 - - sel.xchg unknown=0x0 = 0X2", `result "0X2": want a hexadecimal number such as 0x2f`},
		{"1 0 - - sel.xchg unknown=0x00 = 0x2", `argument unknown "0x00"`},
		{"1 0 - - return errno=-0 value=0 = 1", `argument errno "-0"`},
		{"1 0 - - end = 0", `end: result "0": want none: the kind has no result`},
		{"1 0 - - end arg0=0", `end: argument arg0= "0": want a number from 1`},
		{"1 0 - - end arg1=1 arg0=1", `end: "arg0=1" does not belong here`},
		{"1 0 - - end <0", `end: cause "<0": want < and a sequence number from 1`},
		{"1 0 - - end foreign input", `"input" does not belong here: want, in this order, [pN] [<cause] [input] [inferred] [foreign]`},
		{"1 0 - - end input input", `"input" does not belong here`},
		{"1 0 - - end flags:0x1", `"flags:0x1": want the bits of flags that have no name`},
		{"1 0 - - end extra", `"extra" does not belong here`},
		{"1 0 - - end ", `a space at the end of the line`},
		{" 1 0 - - end", `a space at the start of the line`},
		{"1 0 -  - end", `column 7: a second space`},
		{"1 0\t- - end", `column 4: a tab`},
		{"1 0 - - end\r", `the line ends in CR LF`},
		{"1 0 - - énd", `column 9: byte 0xc3: want printable ASCII`},
	} {
		_, err := ParseEvent([]byte(c.line))
		if err == nil || !strings.Contains(err.Error(), c.want) || !errors.Is(err, ErrFormat) {
			t.Errorf("%q\n got %v\nwant %s", c.line, err, c.want)
		}
	}
}

func TestReaderErrors(t *testing.T) {
	good := string(golden(t))
	for _, c := range []struct {
		name, old, new, want string
		class                error
	}{
		{"future", "evtrace text 1\n", "evtrace text 2\n", `trace.txt:1: text format of a newer version: the trace has version 2, this evtrace reads up to 1`, ErrVersion},
		{"far future", "evtrace text 1\n", "evtrace text 4711\nfoo\x00bar", `version 4711`, ErrVersion},
		{"no version", "evtrace text 1\n", "evtrace text x\n", `trace.txt:1: not a trace in text form`, ErrFormat},
		{"zero version", "evtrace text 1\n", "evtrace text 01\n", `trace.txt:1: not a trace in text form`, ErrFormat},
		{"crlf", "evtrace text 1\n", "evtrace text 1\r\n", `trace.txt:1: not a trace in text form`, ErrFormat},
		{"comment first", "evtrace text 1\n", "# hello\nevtrace text 1\n", `trace.txt:1: a comment before the trace`, ErrFormat},
		{"field", "seed: 1", "sede: 1", `trace.txt:12: header: "sede" is not a field: want one of tool, source`, ErrFormat},
		{"number", "seed: 1", "seed: -1", `trace.txt:12: header: seed: "-1": want a number from 0`, ErrFormat},
		{"spelling", "ns_per_tick: 1\n", "ns_per_tick: 1.0\n", `trace.txt:9: header: got "ns_per_tick: 1.0", want "ns_per_tick: 1" here`, ErrFormat},
		{"quotes", "abi: 2l", `abi: "2l"`, `trace.txt:4: header: got "abi: \"2l\"", want "abi: 2l" here`, ErrFormat},
		{"bad quotes", "abi: 2l", `abi: "2l`, `trace.txt:4: header: abi: "\"2l": the quoted text does not end`, ErrFormat},
		{"order", "seed: 1\nduration: 2000000\n", "duration: 2000000\nseed: 1\n", `trace.txt:12: header: got "duration: 2000000", want "seed: 1" here`, ErrFormat},
		{"twice", "seed: 1\n", "seed: 1\nseed: 1\n", `trace.txt:13: header: seed is here for the second time`, ErrFormat},
		{"task", "task: 1 irq", "task: 2 irq", `trace.txt:15: header: task: number 2: want 1`, ErrFormat},
		{"empty value", "abi: 2l", `abi:`, `trace.txt:4: header: abi: an empty value`, ErrFormat},
		{"bar", "seed: 1\n", "seed: 1\n| x\n", `trace.txt:13: header: a line that starts with | belongs after scenario:`, ErrFormat},
		{"event", "pend.read p65 = 1", "pend.read p65 = yes", `trace.txt:29: pend.read: result "yes": want 0, 1 or ?`, ErrFormat},
		{"comment", "106 ", "# here\n106 ", `trace.txt:28: a comment between events: only a lenient reader takes that`, ErrFormat},
		{"blank", "106 ", "\n106 ", `trace.txt:28: a blank line between events`, ErrFormat},
		{"line gone", "106 1205100 v3 task:2 mask.clear p65 = 1\n", "", `trace.txt:38: end line of 16 events, but there are 15 before it`, ErrFormat},
		{"end gone", "end 16\n", "", `trace.txt:39: the trace is cut here: it has no end line`, io.ErrUnexpectedEOF},
		{"end spelt", "end 16\n", "end 016\n", `trace.txt:39: "end 016": want an event, or end and the number of events`, ErrFormat},
		{"more", "end 16\n", "end 16\n\n", `trace.txt:40: "": text after the end line`, ErrFormat},
		{"more cut", "end 16\n", "end 16\nx", `trace.txt:40: the trace is cut in this line, after "x"`, io.ErrUnexpectedEOF},
		{"empty", good, "", `trace.txt:1: empty input: want "evtrace text 1"`, io.ErrUnexpectedEOF},
		{"binary", good, "\x7fELF\x00\x01", `trace.txt:1: not a trace in text form: it starts with "\x7fELF\x00\x01"`, ErrFormat},
		{"binary long", good, strings.Repeat("\x00", 1<<20), `trace.txt:1: not a trace in text form`, ErrFormat},
		{"long line", "106 ", strings.Repeat("9", 1<<20) + " ", `trace.txt:28: a line of more than 65536 bytes`, ErrFormat},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := strings.Replace(good, c.old, c.new, 1)
			if in == good {
				t.Fatal("nothing replaced")
			}
			_, _, err := readAll([]byte(in), Options{})
			if err == nil || !strings.Contains(err.Error(), c.want) || !errors.Is(err, c.class) {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

// A cut at any byte is noticed, names the line, and loses no whole event before it.
func TestCut(t *testing.T) {
	good := golden(t)
	header := bytes.Index(good, []byte("\n\n")) + 2
	for n := range good {
		for _, opt := range []Options{{}, {Lenient: true}} {
			_, evs, err := readAll(good[:n], opt)
			if opt.Lenient && n == len(good)-1 {
				if err != nil {
					t.Errorf("lenient, without the last newline: %v", err)
				}
				continue
			}
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("%+v: cut at byte %d: got %v, want io.ErrUnexpectedEOF", opt, n, err)
			}
			line := bytes.Count(good[:n], []byte("\n")) + 1
			if want := fmt.Sprintf("trace.txt:%d: ", line); !strings.HasPrefix(err.Error(), want) {
				t.Errorf("%+v: cut at byte %d: got %v, want %s", opt, n, err, want)
			}
			want := min(16, bytes.Count(good[header:max(n, header)], []byte("\n")))
			if len(evs) != want {
				t.Errorf("%+v: cut at byte %d: got %d events, want %d", opt, n, len(evs), want)
			}
		}
	}
}

func TestLenient(t *testing.T) {
	good := string(golden(t))
	m, evs, err := readAll([]byte(good), Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := strings.ReplaceAll(good, "\n", "  \r\n")
	s = strings.Replace(s, "106 ", "# exposed here\r\n\r\n  106\t ", 1)
	s = strings.Replace(s, "seed: 1  \r\nduration: 2000000", "# swapped\nduration: 2000000\nseed: 1", 1)
	s = "# from the list\n\n" + s + "\n# that was it\n\n# really"
	gotMeta, got, err := readAll([]byte(s), Options{Lenient: true})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(m, gotMeta); d != "" {
		t.Errorf("meta (-want +got):\n%s", d)
	}
	if d := cmp.Diff(evs, got); d != "" {
		t.Errorf("events (-want +got):\n%s", d)
	}
	if !Sniff([]byte(s)) {
		t.Error("not sniffed")
	}
}

func TestReadError(t *testing.T) {
	boom := errors.New("boom")
	good := golden(t)
	for _, n := range []int{0, 10, 100, len(good) - 30, len(good)} {
		_, err := func() (int, error) {
			r, err := NewReader(io.MultiReader(bytes.NewReader(good[:n]), iotest.ErrReader(boom)), "x")
			for i := 0; err == nil; i++ {
				var ev evtchn.Event
				if err = r.Next(&ev); err != nil {
					if again := r.Next(&ev); again != err {
						t.Errorf("second error %v, first %v", again, err)
					}
					return i, err
				}
			}
			return 0, err
		}()
		var e *Error
		if !errors.Is(err, boom) || !errors.As(err, &e) || e.Name != "x" || e.Line == 0 {
			t.Errorf("after %d bytes: got %v, want boom with name and line", n, err)
		}
	}
	for _, r := range []func(io.Reader) io.Reader{iotest.OneByteReader, iotest.HalfReader, iotest.DataErrReader} {
		tr, err := NewReader(r(bytes.NewReader(good)), "x")
		n := 0
		for ; err == nil; n++ {
			err = tr.Next(new(evtchn.Event))
		}
		if err != io.EOF || n != 17 {
			t.Errorf("got %v after %d events", err, n-1)
		}
	}
}

// limitWriter takes n bytes, as a disk that runs full.
type limitWriter struct{ n int }

func (w *limitWriter) Write(b []byte) (int, error) {
	if len(b) > w.n {
		return w.n, errors.New("no space")
	}
	w.n -= len(b)
	return len(b), nil
}

func TestWriterErrors(t *testing.T) {
	ev := evtchn.Event{Seq: 1, Kind: evtchn.KindEnd}
	for _, room := range []int{0, 1 << 16, 1 << 17} {
		w := NewWriter(&limitWriter{room}, evtchn.Meta{})
		var err error
		for range 20000 {
			if err = w.Add(&ev); err != nil {
				break
			}
		}
		if err == nil || !strings.Contains(err.Error(), "no space") || w.Close() != err {
			t.Errorf("room for %d: got %v, then %v", room, err, w.Close())
		}
	}
	for _, k := range []evtchn.Kind{evtchn.KindNone, 255} {
		w := NewWriter(io.Discard, evtchn.Meta{})
		bad := evtchn.Event{Seq: 7, Kind: k}
		if err := w.Add(&bad); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("event 7: kind %d", k)) || w.Close() == nil {
			t.Errorf("kind %d: got %v", k, err)
		}
		if _, err := ParseEvent(AppendEvent(nil, &bad)); err == nil {
			t.Errorf("kind %d: %q parsed", k, AppendEvent(nil, &bad))
		}
	}
	w := NewWriter(io.Discard, evtchn.Meta{Format: evtchn.FormatVersion + 1})
	if err := w.Close(); !errors.Is(err, ErrVersion) {
		t.Errorf("format of the future: got %v", err)
	}
	w = NewWriter(io.Discard, evtchn.Meta{})
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if w.Add(&ev) == nil || w.Close() == nil {
		t.Error("a closed writer takes events")
	}
}

func TestSniff(t *testing.T) {
	for s, want := range map[string]bool{"": false, "evtrace text 1\n": true, "evtrace text 99": true, "evtrace": true, "evtrac": false,
		"evtrace te": true, "evtrace tex ": false, "# tracer: nop\n": false, "#\n\r\n  \nevtrace text 1": true, "\x00\x01": false, "\n": false} {
		if got := Sniff([]byte(s)); got != want {
			t.Errorf("%q: got %v, want %v", s, got, want)
		}
	}
}

// Notes and scenarios may be longer than the reader's buffer, up to a limit that both sides keep.
func TestLongHeader(t *testing.T) {
	long := strings.Repeat("0123456789\t", 1<<15)
	m := evtchn.Meta{Format: 1, Notes: []string{long, "", "short"}, Scenario: long + "\n\n" + long, Tool: strings.Repeat("x", bufSize)}
	evs := []evtchn.Event{{Seq: 1, Kind: evtchn.KindEnd}}
	for _, opt := range []Options{{}, {Lenient: true}} {
		got, gotEvs, err := readAll(writeAll(t, m, evs), opt)
		if err != nil {
			t.Fatal(err)
		}
		if !cmp.Equal(m, got) || !cmp.Equal(evs, gotEvs) {
			t.Errorf("%+v: a long header does not round-trip", opt)
		}
	}
	m = evtchn.Meta{Notes: []string{strings.Repeat("x", maxHeader)}}
	if err := NewWriter(io.Discard, m).Close(); err == nil || !strings.Contains(err.Error(), "want at most") {
		t.Errorf("header over the limit: written with %v", err)
	}
	_, _, err := readAll(appendHeader(nil, &m), Options{})
	if !errors.Is(err, ErrFormat) || !strings.HasPrefix(err.Error(), "trace.txt:2: a header of more than") {
		t.Errorf("header over the limit: read with %v", err)
	}
}

func TestLine(t *testing.T) {
	r, err := NewReader(bytes.NewReader(golden(t)), "x")
	if err != nil {
		t.Fatal(err)
	}
	for want := r.Line() + 1; r.Next(new(evtchn.Event)) == nil; want++ {
		if r.Line() != want || want < 23 {
			t.Errorf("got line %d, want %d", r.Line(), want)
		}
	}
}
