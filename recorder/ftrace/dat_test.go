package ftrace

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evtrace/evtrace/evtchn"
	"github.com/evtrace/evtrace/recorder/ftrace/tracedat"
	"github.com/evtrace/evtrace/recorder/ftrace/tracedat/tracedattest"
)

// words is a line of a capture in text form, taken apart.
type words struct {
	cpu, pid int
	time     uint64
	flags    string
	event    string
	symbol   string // where the probe is, or ""
	keys     []string
	values   []string
}

// splitLine takes a line of tracefs' trace apart.
func splitLine(line string) (w words, ok bool) {
	head, rest, ok := strings.Cut(line, " [")
	if !ok {
		return w, false
	}
	head = strings.TrimSpace(head)
	w.pid, _ = strconv.Atoi(head[strings.LastIndexByte(head, '-')+1:])
	f := strings.Fields(rest)
	if len(f) < 4 {
		return w, false
	}
	w.cpu, _ = strconv.Atoi(strings.TrimSuffix(f[0], "]"))
	w.flags = f[1]
	stamp := strings.TrimSuffix(f[2], ":")
	sec, us, dot := strings.Cut(stamp, ".")
	w.time, _ = strconv.ParseUint(sec, 10, 64)
	if dot {
		n, _ := strconv.ParseUint(us, 10, 64)
		w.time = w.time*1e9 + n*1e3
	}
	w.event = strings.TrimSuffix(f[3], ":")
	_, rest, _ = strings.Cut(rest, w.event+":")
	if strings.HasPrefix(strings.TrimSpace(rest), "(") {
		w.symbol, rest, _ = strings.Cut(strings.TrimSpace(rest)[1:], ")")
		w.symbol, _, _ = strings.Cut(w.symbol, " <-")
	}
	for word := range strings.FieldsSeq(rest) {
		if k, v, ok := strings.Cut(word, "="); ok {
			w.keys, w.values = append(w.keys, k), append(w.values, v)
		}
	}
	return w, true
}

// datWriter makes a trace.dat of a capture in text form.
type datWriter struct {
	f       *tracedattest.File
	formats map[string]*tracedattest.Format
	symbols map[string]int
}

// field gives the declaration of a field by its first value.
func field(key, value string) tracedattest.Field {
	switch _, err := strconv.ParseInt(value, 0, 64); {
	case err != nil:
		return tracedattest.Field{Decl: "__data_loc char[] " + key, Size: 4}
	case strings.HasPrefix(key, "pend"), strings.HasPrefix(key, "mask"), key == "arg":
		return tracedattest.Field{Decl: "u64 " + key, Size: 8}
	case key == "irq" || key == "ret":
		return tracedattest.Field{Decl: "s32 " + key, Size: 4, Signed: true}
	}
	return tracedattest.Field{Decl: "u32 " + key, Size: 4}
}

// address makes up an address for a symbol such as "evtchn_2l_unmask+0x0/0x20".
func (d *datWriter) address(symbol string) int {
	name, rest, _ := strings.Cut(symbol, "+")
	if d.symbols[name] == 0 {
		d.symbols[name] = 0x7f000000 + len(d.symbols)<<12
		d.f.Symbols += fmt.Sprintf("%016x t %s\n", d.symbols[name], name)
	}
	rest, _, _ = strings.Cut(rest, "/")
	n, _ := strconv.ParseUint(rest, 0, 12)
	return d.symbols[name] + int(n)
}

// record gives the event of a line.
func (d *datWriter) record(w *words) []byte {
	g := d.formats[w.event]
	if g == nil {
		g = &tracedattest.Format{System: "evtchn", Name: w.event, ID: 1000 + len(d.formats)}
		if w.symbol != "" {
			g.Fields = append(g.Fields, tracedattest.Field{Decl: "unsigned long __probe_ip", Size: 8})
		}
		for i := range w.keys {
			g.Fields = append(g.Fields, field(w.keys[i], w.values[i]))
		}
		d.formats[w.event] = g
	}
	var values []any
	if w.symbol != "" {
		values = append(values, d.address(w.symbol))
	}
	for _, v := range w.values {
		if fd := g.Fields[len(values)]; strings.HasPrefix(fd.Decl, "__data_loc") {
			values = append(values, v)
			continue
		}
		n, err := strconv.ParseInt(v, 0, 64)
		if err != nil {
			u, _ := strconv.ParseUint(v, 0, 64)
			n = int64(u)
		}
		values = append(values, int(n))
	}
	var flags byte
	if strings.HasPrefix(w.flags, "d") || strings.HasPrefix(w.flags, "D") {
		flags |= 1
	}
	if strings.ContainsAny(w.flags[2:3], "hH") {
		flags |= 8
	}
	return d.f.Record(g, flags, 0, w.pid, values...)
}

// datOf makes a trace.dat of a capture in text form, whose times are whole. It gives the text back with each marker of lost records just in
// front of the next record of its vcpu, where a trace.dat has them.
func datOf(t testing.TB, text []byte, f *tracedattest.File, cpus int) (dat, moved []byte) {
	t.Helper()
	d := &datWriter{f, make(map[string]*tracedattest.Format), make(map[string]int)}
	p := tracedattest.NewPacker(f, cpus)
	waiting := make([]string, cpus)
	var out bytes.Buffer
	for line := range strings.Lines(string(text)) {
		if cpu, n, ok := parseLost([]byte(line)); ok {
			waiting[cpu] = line
			p.Lose(cpu, int64(n))
			continue
		}
		w, ok := splitLine(line)
		if !ok {
			out.WriteString(line)
			continue
		}
		out.WriteString(waiting[w.cpu])
		waiting[w.cpu] = ""
		out.WriteString(line)
		p.Add(w.cpu, w.time, d.record(&w))
	}
	p.Done()
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for name := range d.formats {
			if !yield(name) {
				return
			}
		}
	}) {
		f.Formats = append(f.Formats, *d.formats[name])
	}
	return f.Bytes(), out.Bytes()
}

// importFile imports a file with side files.
func importFile(t testing.TB, name string, b []byte, side SideFiles) (*Importer, []evtchn.Event) {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	im, err := prepare(name, side, Options{})
	if err != nil {
		t.Fatal(err)
	}
	src, err := openFile(path, name, im.names, &im.opt)
	if err != nil {
		t.Fatal(err)
	}
	if im, err = im.begin(src); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { im.Close() })
	evs, err := drain(im)
	if err != nil {
		t.Fatal(err)
	}
	return im, evs
}

// TestDatIsText: a capture gives the same events as text and as trace.dat, with its gaps.
func TestDatIsText(t *testing.T) {
	for _, name := range []string{"2l-bugkernel-small", "2l-bugkernel-sparse-tsc"} {
		for _, lossy := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/%t", name, lossy), func(t *testing.T) {
				dir := filepath.Join(captures(t), name)
				ls := readLines(t, filepath.Join(dir, "trace.txt.zst"))
				if lossy {
					ls = gappy(ls, 1)
				}
				side, err := ReadSideFiles(dir)
				if err != nil {
					t.Fatal(err)
				}
				side.Probes = ""
				f := &tracedattest.File{Version: 7, Long: 8, PageSize: 4096, Packing: "zstd", Clock: "[x86-tsc]",
					Options: []tracedattest.Option{{ID: 4, Data: []byte("local [x86-tsc]\x00")}}}
				dat, text := datOf(t, joinLines(ls), f, 4)
				a, want := importFile(t, "trace.txt", text, side)
				b, got := importFile(t, "trace.dat", dat, side)
				if !slices.Equal(want, got) {
					t.Errorf("events of the text (-) and of the trace.dat (+):\n%.3000s", cmp.Diff(want, got))
				}
				am, bm := a.FinalMeta(), b.FinalMeta()
				am.Origin, am.Tasks, bm.Origin, bm.Tasks = "", nil, "", nil
				am.Lines, am.Notes, bm.Lines, bm.Notes = 0, nil, 0, nil
				if diff := cmp.Diff(am, bm); diff != "" {
					t.Errorf("meta of the text (-) and of the trace.dat (+):\n%.3000s", diff)
				}
				if lossy != (bm.Gaps > 0) {
					t.Errorf("got %d gaps", bm.Gaps)
				}
			})
		}
	}
}

// smallDat is a trace.dat with some records of every kind of trouble.
func smallDat() *tracedattest.File {
	f := &tracedattest.File{Version: 6, Long: 8, PageSize: 4096, Clock: "[mono]", Comms: "7 qemu\n",
		Symbols: "0000000000001000 t evtchn_fifo_unmask\n0000000000002000 t x\n"}
	unmask := tracedattest.Format{System: "kprobes", Name: "unmask", ID: 100, Fields: []tracedattest.Field{
		{Decl: "unsigned long __probe_ip", Size: 8}, {Decl: "u64 port", Size: 8}}}
	other := tracedattest.Format{System: "sched", Name: "sched_switch", ID: 101}
	f.Formats = []tracedattest.Format{unmask, other}
	p := tracedattest.NewPacker(f, 2)
	p.Add(0, 1000, f.Record(&unmask, 0, 0, 7, 0x1004, 3))
	p.Add(1, 1500, f.Record(&other, 0, 0, 8))
	p.Add(0, 2000, f.Record(&unmask, 0, 0, 7, 0x1004, 1<<40))
	p.Lose(1, -1)
	p.Add(1, 3000, f.Record(&unmask, 0, 0, 9, 0x1004, 5))
	p.Done()
	return f
}

// TestDatTrouble: damage is counted and located; with Strict it is fatal.
func TestDatTrouble(t *testing.T) {
	f := smallDat()
	whole := f.Bytes()
	im, evs := importFile(t, "a.dat", whole, SideFiles{})
	m := im.FinalMeta()
	if m.ABI != "fifo" || m.Clock != "mono" || m.VCPUs != 2 {
		t.Errorf("got ABI %s, clock %s, %d vcpus, want fifo by the symbols, mono, 2", m.ABI, m.Clock, m.VCPUs)
	}
	if n := slices.IndexFunc(m.Notes, func(s string) bool {
		return strings.HasPrefix(s, "1 damaged place: ") && strings.Contains(s, "cpu 0, the page at byte") && strings.Contains(s, "unmask: a field is not a number")
	}); n < 0 {
		t.Errorf("notes %q do not tell of the port that is none", m.Notes)
	}
	if !slices.Contains(m.Tasks, "qemu-7") || !slices.Contains(m.Tasks, "<...>-9") || m.Counts["unmask"] != 2 || m.Counts["sched_switch"] != 1 {
		t.Errorf("got tasks %q, counts %v", m.Tasks, m.Counts)
	}
	if m.Gaps != 1 || !slices.ContainsFunc(evs, func(ev evtchn.Event) bool { return ev.Kind == evtchn.KindGap && ev.VCPU == 1 }) {
		t.Errorf("got %d gaps, want one of vcpu 1", m.Gaps)
	}

	path := filepath.Join(t.TempDir(), "a.dat")
	write := func(b []byte) {
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	fatal := func(opt Options, class error, says string) {
		t.Helper()
		im, err := Open(path, opt)
		if err == nil {
			defer im.Close()
			_, err = drain(im)
		}
		if !errors.Is(err, class) || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want %v, saying %q", err, class, says)
		}
	}
	write(whole)
	fatal(Options{Strict: true}, ErrLine, "unmask: broken line: a field is not a number")
	write(whole[:len(whole)-5000])
	fatal(Options{}, io.ErrUnexpectedEOF, fmt.Sprintf("a.dat: byte %d: the data of cpu 1", len(whole)-5000))
	f.CPUs[0][0].Commit = 5000
	write(f.Bytes())
	fatal(Options{Strict: true}, tracedat.ErrCorrupt, "page: commit")
	im, evs = importFile(t, "a.dat", f.Bytes(), SideFiles{})
	if m := im.FinalMeta(); m.Gaps != 2 || len(evs) == 0 {
		t.Errorf("got %d gaps, want one for the damage and one that was there", m.Gaps)
	}
}

// TestDatGaps: what is missing at the beginning is so from the first record on, and a vcpu whose data end too early has a gap up to the end.
func TestDatGaps(t *testing.T) {
	f := smallDat()
	f.CPUs[0][0].Missed = 4
	f.CPUs[1][len(f.CPUs[1])-1].Commit = 5000
	_, evs := importFile(t, "a.dat", f.Bytes(), SideFiles{})
	var gaps []string
	for _, ev := range evs {
		if ev.Kind == evtchn.KindGap {
			gaps = append(gaps, fmt.Sprintf("v%d lost %d at %d", ev.Args[0], ev.Args[1], ev.Time))
		}
	}
	// The record that is none is of the time 2000, but it is dropped.
	if want := []string{"v0 lost 4 at 1000", "v1 lost 0 at 1500"}; !slices.Equal(gaps, want) {
		t.Errorf("got gaps %q, want %q", gaps, want)
	}
}

// TestDatProbes: an event without a format was not probed for, whatever the records show.
func TestDatProbes(t *testing.T) {
	f := smallDat()
	f.Symbols = "0000000000001000 t evtchn_2l_unmask\n"
	f.Options = []tracedattest.Option{{ID: 2, Data: []byte("CPU: 1\noverrun: 1234\ndropped events: 3\n\x00")}}
	im, _ := importFile(t, "a.dat", f.Bytes(), SideFiles{})
	m := im.FinalMeta()
	if want := []string{"mask", "clear", "upcall", "upcall_ret", "scan"}; !slices.Equal(m.Unprobed, want) {
		t.Errorf("got %q not probed for, want %q", m.Unprobed, want)
	}
	for _, want := range []string{"overwrote 1,234 records of vcpu 1", "buffer of vcpu 1 was full, and the kernel dropped 3 records"} {
		if !slices.ContainsFunc(m.Notes, func(s string) bool { return strings.Contains(s, want) }) {
			t.Errorf("notes %q do not say %q", m.Notes, want)
		}
	}
}

// TestDatText: a trace.dat of a latency tracer holds text, which is read as such.
func TestDatText(t *testing.T) {
	text := capture("1 d.h1. 5.000001: upcall: (xen_evtchn_do_upcall+0x0/0xb0)\n1 d.h1. 5.000002: clear: (evtchn_2l_clear_pending+0x0/0x20) port=8\n")
	for _, version := range []int{6, 7} {
		f := &tracedattest.File{Version: version, Long: 8, PageSize: 4096, Packing: "zlib", Text: text}
		_, want := importFile(t, "a.txt", []byte(text), SideFiles{})
		_, got := importFile(t, "a.dat", f.Bytes(), SideFiles{})
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("version %d: events (-want +got):\n%s", version, diff)
		}
	}
}

// largeDat makes a trace.dat of a stretch of the large capture.
func largeDat(b *testing.B, size int) (dat []byte, records int) {
	b.Helper()
	text := largeText(b, size)
	f := &tracedattest.File{Version: 6, Long: 8, PageSize: 4096, Clock: "[x86-tsc]"}
	dat, _ = datOf(b, text, f, 4)
	for i := range f.CPUs {
		for j := range f.CPUs[i] {
			records += len(f.CPUs[i][j].Items)
		}
	}
	return dat, records
}

// BenchmarkImportDat imports a trace.dat from memory, to be compared with BenchmarkImport.
func BenchmarkImportDat(b *testing.B) {
	dat, records := largeDat(b, 50<<20)
	b.SetBytes(int64(len(dat)))
	b.ReportAllocs()
	for b.Loop() {
		drainDat(b, bytes.NewReader(dat), len(dat))
	}
	b.ReportMetric(float64(records)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

func drainDat(b *testing.B, r io.ReaderAt, size int) {
	b.Helper()
	im, err := prepare("bench", SideFiles{}, Options{})
	if err != nil {
		b.Fatal(err)
	}
	src, err := newDatSource(r, int64(size), "bench", im.names, &im.opt)
	if err != nil {
		b.Fatal(err)
	}
	if im, err = im.begin(src); err != nil {
		b.Fatal(err)
	}
	defer im.Close()
	var ev evtchn.Event
	for {
		if err := im.Next(&ev); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReadDat reads the same file, without its meaning.
func BenchmarkReadDat(b *testing.B) {
	dat, _ := largeDat(b, 50<<20)
	b.SetBytes(int64(len(dat)))
	b.ReportAllocs()
	var n int
	for b.Loop() {
		r, err := tracedat.Open(bytes.NewReader(dat), int64(len(dat)))
		if err != nil {
			b.Fatal(err)
		}
		var ev tracedat.Event
		for {
			if err := r.Next(&ev); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				b.Fatal(err)
			}
			n++
		}
		r.Close()
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
}

// BenchmarkDatRatio compares the import of a trace.dat with trace-cmd report's printing of it, in turn, so that both have the same machine.
func BenchmarkDatRatio(b *testing.B) {
	traceCmd, err := exec.LookPath("trace-cmd")
	if err != nil {
		b.Skip("no trace-cmd")
	}
	dat, _ := largeDat(b, 50<<20)
	path := filepath.Join(b.TempDir(), "trace.dat")
	if err := os.WriteFile(path, dat, 0o644); err != nil {
		b.Fatal(err)
	}
	var ours, theirs time.Duration
	for b.Loop() {
		start := time.Now()
		f, err := os.Open(path)
		if err != nil {
			b.Fatal(err)
		}
		drainDat(b, f, len(dat))
		f.Close()
		ours += time.Since(start)
		start = time.Now()
		cmd := exec.Command(traceCmd, "report", "-i", path) // its output goes to /dev/null
		if err := cmd.Run(); err != nil {
			b.Fatal(err)
		}
		theirs += time.Since(start)
	}
	b.ReportMetric(theirs.Seconds()/ours.Seconds(), "times-trace-cmd")
}
