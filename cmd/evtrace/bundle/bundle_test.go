package bundle

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
)

// sample makes a bundle with a side file. Its trace is none: the package does not look into it.
func sample(t testing.TB, change func(*Manifest)) []byte {
	t.Helper()
	m := Manifest{Tool: "evtrace 0.1.0", TraceFormat: 1, Source: "sim", Events: 7, TextBytes: 11, Scenario: "seed-port65", Seed: 1, Policy: "xen-2005",
		Policies: []Policy{{"xen-2005", sum([]byte("steps"))}}, Verdict: "lost"}
	if change != nil {
		change(&m)
	}
	files := []File{Text("lsevtchn.txt", []byte("   1: VCPU 0: Interdomain\n")), Text(TraceName, bytes.Repeat([]byte{0x28, 0xb5, 0x2f, 0xfd}, 99)),
		Text(ExpectName, []byte("format: trace\nverdict: lost\n")), Text(ReportName, []byte("# It hangs\n"))}
	var b bytes.Buffer
	if _, err := Write(&b, m, files); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func open(data []byte) (*Bundle, error) { return Open(bytes.NewReader(data), int64(len(data))) }

func TestRoundTrip(t *testing.T) {
	data := sample(t, nil)
	if !bytes.Equal(data, sample(t, nil)) {
		t.Error("the same bundle gives other bytes")
	}
	b, err := open(data)
	if err != nil {
		t.Fatal(err)
	}
	if b.Manifest.Scenario != "seed-port65" || b.Manifest.Format != Format || len(b.Manifest.Chain) != 64 || len(b.Manifest.Parts) != 4 {
		t.Errorf("got the manifest %+v", b.Manifest)
	}
	r, ok := b.Part(ReportName)
	if !ok {
		t.Fatalf("no %s", ReportName)
	}
	if got, err := io.ReadAll(r); err != nil || string(got) != "# It hangs\n" {
		t.Errorf("%s: got %q, %v", ReportName, got, err)
	}
	if _, ok := b.Part("other.txt"); ok {
		t.Error("there is an other.txt")
	}
	// The same manifest and parts, read and written again, are the same bytes.
	var again bytes.Buffer
	var files []File
	for _, p := range b.Manifest.Parts {
		r, _ := b.Part(p.Name)
		files = append(files, File{p.Name, r})
	}
	if _, err := Write(&again, b.Manifest, files); err != nil || !bytes.Equal(again.Bytes(), data) {
		t.Errorf("written again it is another one, %v", err)
	}
}

// TestZIP: the ordinary reader of ZIP archives takes a bundle apart.
func TestZIP(t *testing.T) {
	data := sample(t, nil)
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range z.File {
		names = append(names, f.Name)
		r, err := f.Open()
		if err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
		if _, err := io.Copy(io.Discard, r); err != nil { // compares the CRC
			t.Errorf("%s: %v", f.Name, err)
		}
	}
	if got := strings.Join(names, " "); got != "manifest.json report.md expect.yaml trace.txt.zst lsevtchn.txt" {
		t.Errorf("got %s", got)
	}
}

// TestEveryByte: a bundle of which one byte is changed, missing or added, wherever it is, is refused, and so is every beginning of it.
func TestEveryByte(t *testing.T) {
	data := sample(t, nil)
	refused := func(what string, copy []byte) {
		t.Helper()
		_, err := open(copy)
		var e *Error
		switch {
		case err == nil:
			t.Errorf("%s: taken for whole", what)
		case errors.Is(err, ErrNotBundle), errors.Is(err, ErrVersion):
		case !errors.As(err, &e) || e.Part == "" || e.Msg == "":
			t.Errorf("%s: %v, want an error that names the part", what, err)
		}
	}
	for i := range data {
		flipped := bytes.Clone(data)
		flipped[i] ^= 1 << (i % 8)
		refused(fmt.Sprintf("byte %d changed", i), flipped)
		refused(fmt.Sprintf("byte %d missing", i), append(bytes.Clone(data[:i]), data[i+1:]...))
		refused(fmt.Sprintf("cut at %d", i), data[:i])
		added := append(bytes.Clone(data[:i]), data[i])
		refused(fmt.Sprintf("byte %d twice", i), append(added, data[i:]...))
	}
	refused("a byte more", append(bytes.Clone(data), 0))
	rnd := rand.New(rand.NewPCG(1, 1))
	for n := range 1000 {
		c := bytes.Clone(data)
		i, j := rnd.IntN(len(c)), rnd.IntN(len(c))
		if c[i] == c[j] {
			continue
		}
		c[i], c[j] = c[j], c[i]
		refused(fmt.Sprintf("%d: bytes %d and %d exchanged", n, i, j), c)
	}
}

// TestNamesPart: what is refused is refused for the part that was changed.
func TestNamesPart(t *testing.T) {
	data := sample(t, nil)
	for _, tt := range []struct{ text, part string }{
		{"It hangs", ReportName}, {"verdict: lost", ExpectName}, {"Interdomain", "lsevtchn.txt"}, {"(\xb5/\xfd", TraceName}, {`"sim"`, ManifestName},
	} {
		at := bytes.Index(data, []byte(tt.text))
		c := bytes.Clone(data)
		c[at+1] ^= 1
		_, err := open(c)
		var e *Error
		if !errors.As(err, &e) || e.Part != tt.part {
			t.Errorf("%q changed: %v, want an error of %s", tt.text, err, tt.part)
		}
	}
}

// TestNewer: a bundle of a later layout is refused by its number and its maker, whatever else the manifest holds.
func TestNewer(t *testing.T) {
	data := sample(t, nil)
	newer := bytes.Replace(data, []byte(`"format": 1,`), []byte(`"format": 2,`), 1)
	_, err := open(newer)
	if !errors.Is(err, ErrVersion) || !strings.Contains(err.Error(), `format 2, and was made by "evtrace 0.1.0"`) {
		t.Errorf("got %v", err)
	}
}

// TestLies: a manifest that is consistent, and promises what cannot be.
func TestLies(t *testing.T) {
	var b bytes.Buffer
	files := []File{Text(ReportName, nil), Text(ExpectName, nil), Text(TraceName, nil)}
	for _, tt := range []struct {
		name  string
		m     Manifest
		files []File
		want  string
	}{
		{"a bomb", Manifest{TextBytes: MaxText + 1}, files, "text_bytes"},
		{"no trace", Manifest{}, files[:2], "part 3: want trace.txt.zst"},
		{"a way out", Manifest{}, append(files[:3:3], Text("../passwd", nil)), "plain name"},
		{"hidden", Manifest{}, append(files[:3:3], Text(".bashrc", nil)), "plain name"},
		{"twice", Manifest{}, append(files[:3:3], Text("a.txt", nil), Text("A.txt", nil)), "twice"},
		{"the manifest", Manifest{}, append(files[:3:3], Text(ManifestName, nil)), "twice"},
		{"many", Manifest{}, append(files[:3:3], make([]File, maxParts)...), "parts, want at most"},
	} {
		for i := range tt.files {
			if tt.files[i].Data == nil {
				tt.files[i] = Text(fmt.Sprintf("f%d", i), nil)
			}
		}
		if _, err := Write(&b, tt.m, tt.files); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}

// TestUnpacked: a trace that unpacks to more than was said is stopped there; one that unpacks to less does not end quietly.
func TestUnpacked(t *testing.T) {
	b, err := open(sample(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		text string
		ok   bool
	}{{"evtrace tex", true}, {"evtrace text", false}, {"evtrace te", false}} {
		got, err := io.ReadAll(b.Unpacked(strings.NewReader(tt.text)))
		if (err == nil) != tt.ok || len(got) > 11 || err != nil && !errors.Is(err, ErrDamaged) {
			t.Errorf("%q: got %q, %v", tt.text, got, err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(sample(f, nil))
	f.Add([]byte("PK\x03\x04"))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := open(data)
		if err != nil {
			return
		}
		var files []File
		for _, p := range b.Manifest.Parts {
			r, _ := b.Part(p.Name)
			files = append(files, File{p.Name, r})
		}
		var again bytes.Buffer
		if _, err := Write(&again, b.Manifest, files); err != nil || !bytes.Equal(again.Bytes(), data) {
			t.Errorf("a bundle that was taken for whole is written otherwise, %v", err)
		}
	})
}
