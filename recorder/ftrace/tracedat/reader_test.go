package tracedat

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/evtrace/evtrace/recorder/ftrace/tracedat/tracedattest"
)

// TestShapes: the same events are in files of both versions, both byte orders and both sizes of a long, packed or not.
func TestShapes(t *testing.T) {
	for _, s := range shapes() {
		t.Run(s.String(), func(t *testing.T) {
			b := sample(s).Bytes()
			got, damage, err := all(t, b)
			if err != nil || len(damage) > 0 {
				t.Fatalf("got error %v and damage %v", err, damage)
			}
			if diff := cmp.Diff(wantSample, got); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
			r, err := Open(bytes.NewReader(b), int64(len(b)))
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if got, want := r.Clock(), (Clock{Name: "mono"}); got != want {
				t.Errorf("clock: got %+v, want %+v", got, want)
			}
			if r.Version() != s.version || r.CPUs() != 3 || r.Uname() != "Linux here" || r.Recorder() != "1.0" || len(r.Notes()) > 0 {
				t.Errorf("got version %d, %d cpus, uname %q, recorder %q, notes %q", r.Version(), r.CPUs(), r.Uname(), r.Recorder(), r.Notes())
			}
			if want := []Stat{{CPU: 1, Entries: 9, Overrun: 7, Dropped: 3}}; !slices.Equal(r.Stats(), want) {
				t.Errorf("got stats %+v, want %+v", r.Stats(), want)
			}
			names, err := r.Symbols([]uint64{0xffffffff81664d0a, 0xffffffff81665000, 5})
			if err != nil || !slices.Equal(names, []string{"evtchn_2l_unmask", "other", ""}) {
				t.Errorf("symbols: got %q, %v", names, err)
			}
		})
	}
}

// TestShapesByTraceCmd: trace-cmd reads the sample's files as they were meant.
func TestShapesByTraceCmd(t *testing.T) {
	traceCmd, err := exec.LookPath("trace-cmd")
	if err != nil {
		t.Skip("no trace-cmd")
	}
	known, err := exec.Command(traceCmd, "list", "-c").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range shapes() {
		t.Run(s.String(), func(t *testing.T) {
			if s.packing != "none" && !bytes.Contains(known, []byte(s.packing)) {
				t.Skipf("trace-cmd was built without %s", s.packing)
			}
			f := sample(s)
			f.PageSize = 4096                           // it maps pages
			f.CPUs[2][0].Items = f.CPUs[2][0].Items[:1] // it stops at an event without a format
			path := filepath.Join(t.TempDir(), "trace.dat")
			if err := os.WriteFile(path, f.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
			report, err := exec.Command(traceCmd, "report", "-R", "-i", path).Output()
			if err != nil {
				t.Fatalf("trace-cmd: %v\n%s", err, report)
			}
			compareReport(t, open(t, path), bytes.NewReader(report))
		})
	}
}

// TestMemory: reading needs as much memory for a large file as for a small one, and nothing for each event.
func TestMemory(t *testing.T) {
	for _, packing := range []string{"none", "zstd", "zlib"} {
		used := func(pages int) uint64 {
			f := sample(shape{7, false, 8, packing})
			f.PageSize = 4096
			p := tracedattest.NewPacker(f, 2)
			f.CPUs = nil
			data := f.Record(&unmask, 0, 0, 12, 0, 65)
			for i := range pages * 150 {
				p.Add(i%2, uint64(i)*1000, data)
			}
			p.Done()
			b := f.Bytes()
			r, err := Open(bytes.NewReader(b), int64(len(b)))
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			n := 0
			var ev Event
			port := (*Field)(nil)
			for err = r.Next(&ev); err == nil; err = r.Next(&ev) {
				if port == nil {
					port = ev.Format.Field("port")
				}
				if v, ok := ev.Uint(port); !ok || v != 65 {
					t.Fatalf("event %d: got port %d, %t", n, v, ok)
				}
				n++
			}
			runtime.ReadMemStats(&after)
			if err != io.EOF || n != pages*150 {
				t.Fatalf("got %d events and %v, want %d", n, err, pages*150)
			}
			return after.TotalAlloc - before.TotalAlloc
		}
		small, large := used(20), used(1000)
		if large > small+1<<20 {
			t.Errorf("%s: 1000 pages needed %d bytes, 20 pages %d", packing, large, small)
		}
	}
}

// TestOptions: options change what the times are, or say that something is not read.
func TestOptions(t *testing.T) {
	for _, version := range []int{6, 7} {
		f := sample(shape{version, false, 8, "none"})
		f.Clock = ""
		f.Options = []tracedattest.Option{{ID: 1, Data: []byte("0x10\x00")}, {ID: 7, Data: []byte("-5\x00")}, {ID: 12, Data: make([]byte, 16)},
			{ID: 14, Data: []byte{0, 0, 0, 64, 30, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}}, {ID: 4, Data: []byte("local [x86-tsc]\x00")}}
		if version == 6 {
			f.Options = append(f.Options, tracedattest.Option{ID: 19, Data: make([]byte, 8)}) // a section, which only version 7 has
		}
		b := f.Bytes()
		r, err := Open(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if got, want := r.Clock(), (Clock{Name: "x86-tsc", Offset: 16_000 - 5, Mult: 1 << 30, Shift: 30}); got != want {
			t.Errorf("version %d: got %+v, want %+v", version, got, want)
		}
		if len(r.Notes()) != 1 || !strings.Contains(r.Notes()[0], "TIME_SHIFT") {
			t.Errorf("version %d: got notes %q, want one of TIME_SHIFT", version, r.Notes())
		}
	}
}

// TestInstances: the top instance is read, or the first with data if that has none; the others are named.
func TestInstances(t *testing.T) {
	f := sample(shape{7, false, 8, "zstd"})
	f.Others = []tracedattest.Instance{{Name: "xen", CPUs: f.CPUs[2:]}, {Name: "other", CPUs: f.CPUs[:1]}}
	check := func(events int, notes ...string) {
		t.Helper()
		b := f.Bytes()
		got, _, err := all(t, b)
		if err != nil || len(got) != events {
			t.Errorf("got %d events and %v, want %d: %q", len(got), err, events, got)
		}
		r, err := Open(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if diff := cmp.Diff(notes, r.Notes()); diff != "" {
			t.Errorf("notes (-want +got):\n%s", diff)
		}
	}
	check(len(wantSample), `the data of other instances are not read: "xen", "other"`)
	f.CPUs = make([][]tracedattest.Page, 2)
	check(3, `the top instance has no data: that of the instance "xen" is read`, `the data of other instances are not read: "other"`)
}

// TestText: a file of a latency tracer holds text.
func TestText(t *testing.T) {
	for _, s := range shapes() {
		f := sample(s)
		f.CPUs, f.Text = nil, strings.Repeat("# tracer: wakeup\n", 400)
		b := f.Bytes()
		r, err := Open(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatalf("%s: %v", s, err)
		}
		text, err := r.Text()
		if err != nil || text == nil {
			t.Fatalf("%s: got %v, %v", s, text, err)
		}
		got, err := io.ReadAll(text)
		if err != nil || string(got) != f.Text {
			t.Errorf("%s: got %d bytes and %v, want %d", s, len(got), err, len(f.Text))
		}
		if err := r.Next(new(Event)); !errors.Is(err, io.EOF) {
			t.Errorf("%s: Next: got %v, want EOF", s, err)
		}
		r.Close()
	}
}

// TestForeign: what is no file of that kind is said to be none.
func TestForeign(t *testing.T) {
	good := string(sample(shape{6, false, 8, "none"}).Bytes())
	for _, tt := range []struct {
		name, in string
		class    error
		says     string
	}{
		{"empty", "", io.ErrUnexpectedEOF, "byte 0"},
		{"text", "# tracer: nop\n", ErrFormat, `byte 0: got "# tracer: "`},
		{"the magic number alone", magic, io.ErrUnexpectedEOF, "byte 10"},
		{"version 5", magic + "5\x00" + good[12:], ErrFormat, `version: got "5", want 6 or 7`},
		{"version 7 with an unknown compression", magic + "7\x00\x00\x08\x00\x10\x00\x00lz4\x001\x00\x00\x00\x00\x00\x00\x00\x00\x00", ErrFormat, `compression: got "lz4"`},
		{"byte order", magic + "6\x00\x02" + good[13:], ErrCorrupt, "byte order: got 2"},
		{"a page of no size", good[:14] + "\x00\x00\x00\x00" + good[18:], ErrCorrupt, "page size: got 0"},
		{"an old ring buffer", strings.Replace(good, "type_len    :    5 bits", "type_len    :    2 bits", 1), ErrFormat, `type_len: got "2 bits"`},
	} {
		_, _, err := all(t, []byte(tt.in))
		if !errors.Is(err, tt.class) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: got %v, want %v, saying %q", tt.name, err, tt.class, tt.says)
		}
	}
}
