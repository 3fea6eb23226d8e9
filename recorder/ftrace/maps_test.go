package ftrace

import (
	"bytes"
	"errors"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseMap(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"my_unmask=unmask:port=arg1", "my_unmask=unmask:port=arg1"},
		{"xen_unmask=unmask:port", "xen_unmask=unmask:port"},
		{"u=unmask", "u=unmask"},
		{"mine:u=unmask", "u=unmask"},
		{"mine/b = bind_cpu : port=arg1, cpu=arg2 ,old=arg3", "b=bind_cpu:port=arg1,cpu=arg2,old=arg3"},
	} {
		m, err := ParseMap(tt.in)
		if err != nil || m.String() != tt.want {
			t.Errorf("%q: got %q, %v, want %q", tt.in, m, err, tt.want)
			continue
		}
		if again, err := ParseMap(m.String()); err != nil || cmp.Diff(m, again) != "" {
			t.Errorf("%q: %q is read as %+v, %v", tt.in, m, again, err)
		}
	}
	for _, tt := range []struct{ in, want string }{
		{"", "want EVENT=KIND:FIELD=NAME"},
		{"my_unmask", "want EVENT=KIND:FIELD=NAME"},
		{"=unmask", `the event is ""`},
		{"my unmask=unmask", `the event is "my unmask", want a name`},
		{"u=unmsk", `no record is called "unmsk"; did you mean "unmask"?`},
		{"u=xyzzy", `no record is called "xyzzy"; there are bind_cpu, bind_evtchn`},
		{"u=unmask:prot=arg1", `no field is called "prot"; did you mean "port"?`},
		{"u=unmask:arg1=port", `no field is called "arg1"; want FIELD=NAME: port=arg1?`},
		{"u=unmask:zzzzzzzz", `no field is called "zzzzzzzz"; there are port, cpu`},
		{"u=unmask:port=a b", `port is to be "a b", want a name`},
		{"u=unmask:port=a,port=b", "port is named twice"},
		{"u=unmask:port=", `port is to be "", want a name`},
	} {
		if _, err := ParseMap(tt.in); !errors.Is(err, ErrMap) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: got %v, want %q", tt.in, err, tt.want)
		}
	}
	ms, err := ParseMaps("# mine\n\nu=unmask:port=arg1\n  m=mask\r\n", "f")
	if err != nil || len(ms) != 2 || ms[1].String() != "m=mask" {
		t.Errorf("got %v, %v, want two maps", ms, err)
	}
	if _, err := ParseMaps("u=unmask\n\nm=msk\n", "maps.txt"); !errors.Is(err, ErrMap) || !strings.Contains(err.Error(), "maps.txt:3: ") {
		t.Errorf("got %v, want line 3", err)
	}
	if _, err := New(strings.NewReader(cpu0), "x", SideFiles{}, Options{Maps: append(ms, ms[0])}); !errors.Is(err, ErrMap) || !strings.Contains(err.Error(), "u is mapped twice") {
		t.Errorf("got %v, want that u is mapped twice", err)
	}
}

// TestMapped: a capture under other names of events and fields gives the same events, and so does one whose names have their group.
func TestMapped(t *testing.T) {
	dir := filepath.Join(captures(t), "2l-bugkernel-small")
	text := joinLines(readLines(t, filepath.Join(dir, "trace.txt.zst")))
	side, err := ReadSideFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	side.Probes = ""
	im, err := New(bytes.NewReader(text), "x", side, Options{})
	if err != nil {
		t.Fatal(err)
	}
	want, err := drain(im)
	if err != nil {
		t.Fatal(err)
	}
	replace := func(text []byte, pairs ...string) []byte {
		for i := 0; i < len(pairs); i += 2 {
			text = regexp.MustCompile(pairs[i]).ReplaceAll(text, []byte(pairs[i+1]))
		}
		return text
	}
	maps, err := ParseMaps("own_unmask=unmask:port=arg1\nown_bind=bind_cpu:port=a,cpu=b,old=c\nown_up=upcall\nown_write=dev_write:port=first", "maps")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		text []byte
		maps []Map
	}{
		{"own names", replace(text, `: unmask: (\(.*\)) port=(\d+)`, ": own_unmask: $1 port=7 arg1=0x$2", `: bind_cpu: (\(.*\)) port=(\d+) cpu=(\d+) old=`, ": own_bind: $1 c=99 a=$2 b=$3 c=",
			": upcall: ", ": own_up: ", `: dev_write: (.*) p0=`, ": own_write: $1 first=", `arg1=0x(\d+)`, "arg1=$1"), maps},
		{"groups", replace(text, `: (unmask|upcall|hc_\w+|bind_cpu): `, ": evtchn:$1: "), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if bytes.Equal(tt.text, text) {
				t.Fatal("nothing was renamed")
			}
			im, err := New(bytes.NewReader(tt.text), "x", side, Options{Maps: tt.maps})
			if err != nil {
				t.Fatal(err)
			}
			got, err := drain(im)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("(-want +got)\n%s", d[:min(len(d), 2000)])
			}
			if m := im.FinalMeta(); len(m.Unknown) > 0 || len(m.Unprobed) > 0 || m.Broken > 0 {
				t.Errorf("got %q unknown, %q not probed for, %d broken", m.Unknown, m.Unprobed, m.Broken)
			}
		})
	}
	im, err = New(bytes.NewReader(text), "x", side, Options{Maps: maps})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = drain(im); err != nil {
		t.Fatal(err)
	}
	if n := strings.Join(im.FinalMeta().Notes, "\n"); !strings.Contains(n, "no record is called own_unmask or own_bind or own_up or own_write, as the map has it") {
		t.Errorf("got the notes %q", n)
	}
}

// FuzzMaps: what is read as maps is spelled so that it is read again the same, and nothing panics.
func FuzzMaps(f *testing.F) {
	f.Add("my_unmask=unmask:port=arg1")
	f.Add("# x\nmine:u=unmask\n\nb=bind_cpu:port=arg1,cpu=arg2\n")
	f.Add("u=unmask:port=a,port=b")
	f.Fuzz(func(t *testing.T, text string) {
		ms, err := ParseMaps(text, "fuzz")
		if err != nil {
			if !errors.Is(err, ErrMap) {
				t.Fatalf("got %v, want class ErrMap", err)
			}
			return
		}
		var b strings.Builder
		for _, m := range ms {
			b.WriteString(m.String() + "\n")
		}
		again, err := ParseMaps(b.String(), "again")
		if err != nil || cmp.Diff(ms, again) != "" {
			t.Fatalf("%q is read as %v, %v", b.String(), again, err)
		}
	})
}
