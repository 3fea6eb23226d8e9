package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// member is a file to put into an archive.
type member struct {
	name string
	data string
	kind byte // 0: a regular file
}

// archiveOf makes a tar archive.
func archiveOf(t testing.TB, members ...member) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, m := range members {
		h := &tar.Header{Name: m.name, Typeflag: m.kind, Mode: 0o644, Size: int64(len(m.data)), ModTime: time.Unix(1e9, 0), Format: tar.FormatUSTAR}
		if m.kind == 0 {
			h.Typeflag = tar.TypeReg
		} else {
			h.Size, h.Linkname = 0, m.data
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := w.Write([]byte(m.data)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// dom0Capture is a small capture of the corpus of nasty inputs, and dom0Side the files that go with it.
func dom0Capture(t testing.TB) (capture string, side []member) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "nasty", "report.txt"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join("testdata", "nasty", "dom0", "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no side files: %v", err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		side = append(side, member{name: "c/" + filepath.Base(f), data: string(text)})
	}
	return string(data), side
}

// TestArchive: a capture in a tar archive is what it is by itself beside its side files, however it comes.
func TestArchive(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", filepath.Join(dir, "tmp"))
	if err := os.Mkdir(filepath.Join(dir, "tmp"), 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(name string, data []byte) string {
		t.Helper()
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, data, 0o644); err != nil {
			t.Fatal(err)
		}
		return p
	}
	capture, side := dom0Capture(t)
	want := must(t, 0, "import", filepath.Join("testdata", "nasty", "report.txt"), "--context", filepath.Join("testdata", "nasty", "dom0"), "-o", "-")
	// The file's name is in the text.
	sameEvents := func(name, got string) {
		t.Helper()
		cut := func(s string) string { _, s, _ = strings.Cut(s, "\n\n"); return s }
		if cut(got) != cut(want) || cut(got) == "" {
			t.Errorf("%s: the events differ from those of the capture by itself", name)
		}
	}

	plain := archiveOf(t, append([]member{{name: "c/", kind: tar.TypeDir}, {name: "c/trace.txt", data: capture}}, side...)...)
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	var inner bytes.Buffer
	z = gzip.NewWriter(&inner)
	if _, err := z.Write([]byte(capture)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	a := write("a.tar", plain)
	sameEvents("a.tar", must(t, 0, "import", a, "-o", "-"))
	sameEvents("a.tar.gz", must(t, 0, "import", write("a.tar.gz", packed.Bytes()), "-o", "-"))
	sameEvents("inner", must(t, 0, "import", write("b.tar", archiveOf(t, append(side, member{name: "c/trace.txt.gz", data: inner.String()})...)), "-o", "-"))
	// A link of any kind is passed over, and so is a second trace of another name.
	sameEvents("links", must(t, 0, "import", write("c.tar", archiveOf(t, append([]member{{name: "c/trace.txt", data: capture}, {name: "c/lsevtchn.after.txt", data: "/etc/passwd", kind: tar.TypeSymlink},
		{name: "c/other.txt", data: capture}, {name: "c/null", kind: tar.TypeChar}}, side...)...)), "-o", "-"))

	must(t, 0, "import", a, "-o", filepath.Join(dir, "a.evt"))
	must(t, 0, "analyze", a)
	if out := must(t, 0, "info", a); !regexp.MustCompile(`captured by ftrace on . vcpus: .*a\.tar`).MatchString(out) {
		t.Errorf("info does not name the archive:\n%s", out)
	}

	for _, tt := range []struct {
		name, want string
		data       []byte
	}{
		{"cut", `cut: the tar archive is cut off at byte 1000: .*\n.*hint: .*has the whole`, plain[:1000]},
		{"cut-between", `cut-between: the tar archive is cut off at byte \d+`, bytes.TrimRight(plain, "\x00")},
		{"cut.gz", `cut.gz: the tar archive is cut off`, packed.Bytes()[:packed.Len()-200]},
		{"bad-sum.gz", `bad-sum.gz: the tar archive is damaged before byte \d+: gzip: invalid checksum`, func() []byte {
			b := bytes.Clone(packed.Bytes())
			b[len(b)-6] ^= 1
			return b
		}()},
		{"header", `header: the tar archive is damaged before byte 1024: .*invalid tar header`, func() []byte {
			b := bytes.Clone(plain)
			b[512+150] ^= 1
			return b
		}()},
		{"above", `above: the tar archive holds "../../x/trace.txt": want names of files below`, archiveOf(t, member{name: "../../x/trace.txt", data: capture})},
		{"absolute", `absolute: the tar archive holds "/tmp/trace.txt": want names`, archiveOf(t, member{name: "/tmp/trace.txt", data: capture})},
		{"none", `none: it is a tar archive of 1 file, none of which is a trace\n.*hint: .*evtrace probes`, archiveOf(t, member{name: "readme", data: "hello"})},
		{"several", `several: it is a tar archive with 2 traces in it \(a/trace.txt, b/trace.txt\), want one`,
			archiveOf(t, member{name: "a/trace.txt", data: capture}, member{name: "b/trace.txt", data: capture})},
		{"empty", `empty: it is a tar archive of 0 files|neither a trace file`, archiveOf(t)},
	} {
		p := write(tt.name, tt.data)
		r := evtrace(t, "import", p, "-o", filepath.Join(dir, "x.evt"))
		if r.code != codeUnreadable || !regexp.MustCompile(tt.want).MatchString(r.err) {
			t.Errorf("%s: exit code %d, want %d, and a match for %q in\n%s", tt.name, r.code, codeUnreadable, tt.want, r.err)
		}
		if _, err := os.Stat(filepath.Join(dir, "x.evt")); err == nil {
			t.Errorf("%s: a trace file was written", tt.name)
		}
	}

	// What is left of the trace in an archive that is cut.
	cut := write("half.tar", plain[:1024+len(capture)/2])
	r := evtrace(t, "import", "--salvage", cut, "-o", filepath.Join(dir, "half.evt"))
	if r.code != 0 || !strings.Contains(r.err, "salvaged: ") || !strings.Contains(r.err, "not complete") {
		t.Errorf("salvage: exit code %d\n%s", r.code, r.err)
	}
	left, err := os.ReadDir(filepath.Join(dir, "tmp"))
	if err != nil || len(left) > 0 {
		t.Errorf("left in TMPDIR: %v %v", left, err)
	}
}

// FuzzArchive: whatever is in an archive, nothing is written outside of the directory that it is unpacked in.
func FuzzArchive(f *testing.F) {
	capture, side := dom0Capture(f)
	f.Add(archiveOf(f, append([]member{{name: "c/trace.txt", data: capture}}, side[:1]...)...))
	f.Add(archiveOf(f, member{name: "../trace.txt", data: capture}))
	f.Add(archiveOf(f, member{name: "x", data: "..", kind: tar.TypeSymlink}, member{name: "x/trace.txt", data: capture}))
	f.Add(archiveOf(f))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		tmp := filepath.Join(dir, "tmp")
		if err := os.Mkdir(tmp, 0o755); err != nil {
			t.Fatal(err)
		}
		t.Setenv("TMPDIR", tmp)
		tr := &trace{name: "fuzz.tar"}
		if err := tr.unpack(bytes.NewReader(data)); err == nil {
			if rel, err := filepath.Rel(tmp, tr.path); err != nil || !filepath.IsLocal(rel) {
				t.Errorf("the trace is in %s", tr.path)
			}
		}
		tr.Close()
		for _, d := range []string{dir, tmp} {
			entries, err := os.ReadDir(d)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				if d == tmp || e.Name() != "tmp" {
					t.Errorf("%s was left in %s", e.Name(), d)
				}
			}
		}
	})
}

// TestDoctorArchive: doctor takes the console out of an archive, and says what it says of the console by itself.
func TestDoctorArchive(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	dump := filepath.Join("testdata", "dumps", "2l-lost.txt")
	data, err := os.ReadFile(dump)
	if err != nil {
		t.Fatal(err)
	}
	alone := evtrace(t, "doctor", "--json", dump)
	for name, members := range map[string][]member{
		"a.tar": {{name: "c/xl-dmesg.before.txt", data: "nothing\n"}, {name: "c/xl-dmesg.after.txt", data: string(data)}},
		"b.tar": {{name: "xl-dmesg.txt", data: string(data)}},
	} {
		p := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(p, archiveOf(t, members...), 0o644); err != nil {
			t.Fatal(err)
		}
		r := evtrace(t, "doctor", "--json", p)
		if r.code != alone.code || r.out != strings.ReplaceAll(alone.out, filepath.Base(dump), filepath.Base(members[len(members)-1].name)) {
			t.Errorf("%s: exit code %d, want %d, and got\n%s%s\nwant\n%s", name, r.code, alone.code, r.out, r.err, alone.out)
		}
	}
	p := filepath.Join(t.TempDir(), "none.tar")
	if err := os.WriteFile(p, archiveOf(t, member{name: "readme", data: "hello"}), 0o644); err != nil {
		t.Fatal(err)
	}
	if r := evtrace(t, "doctor", p); r.code != codeUnreadable || !strings.Contains(r.err, "none.tar: it is a tar archive without xl-dmesg.after.txt") {
		t.Errorf("exit code %d\n%s", r.code, r.err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("left in TMPDIR: %v %v", left, err)
	}
}
