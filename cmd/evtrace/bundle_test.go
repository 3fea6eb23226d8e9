package main

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/evtrace/evtrace/cmd/evtrace/bundle"
)

// corrupted makes a copy with something wrong: a byte changed, some missing, some more, a block exchanged with another, or the end cut off.
func corrupted(data []byte, r *rand.Rand) []byte {
	at, n := r.IntN(len(data)), 1+r.IntN(64)
	n = min(n, len(data)-at)
	c := bytes.Clone(data)
	switch r.IntN(5) {
	case 0:
		c[at] ^= byte(1 + r.IntN(255))
	case 1:
		return append(c[:at], c[at+n:]...)
	case 2:
		return append(append(bytes.Clone(data[:at]), make([]byte, n)...), data[at:]...)
	case 3:
		for i := range n {
			j := r.IntN(len(c))
			c[at+i], c[j] = c[j], c[at+i]
		}
	default:
		return c[:at]
	}
	return c
}

// TestCorruptedBundles: a thousand copies of a bundle, each with something wrong, are all refused, with the reason.
func TestCorruptedBundles(t *testing.T) {
	dir := t.TempDir()
	evt, whole, bad := filepath.Join(dir, "a.evt"), filepath.Join(dir, "a.evb"), filepath.Join(dir, "bad.evb")
	must(t, 0, "record", "-q", "--scenario", "clean", "--duration", "8ms", "-o", evt)
	must(t, 0, "bundle", evt, "-o", whole)
	must(t, 0, "verify", whole)
	data, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(1, 0))
	reasons := make(map[string]int)
	a := &app{in: strings.NewReader(""), out: io.Discard, err: io.Discard}
	for n := range 1000 {
		c := corrupted(data, rnd)
		if bytes.Equal(c, data) {
			continue
		}
		if err := os.WriteFile(bad, c, 0o644); err != nil {
			t.Fatal(err)
		}
		res, err := a.verify(context.Background(), bad)
		if err != nil || res.OK || len(res.Problems) == 0 || !strings.Contains(res.Problems[0], "bad.evb") {
			t.Fatalf("copy %d of %d bytes: got %+v, %v, want it refused with the reason", n, len(c), res, err)
		}
		_, reason, _ := strings.Cut(res.Problems[0], "damaged: ")
		part, _, _ := strings.Cut(reason, ":")
		reasons[part]++
		if n%100 == 0 { // and by what reads traces
			if r := evtrace(t, "analyze", bad); r.code != codeUnreadable || !strings.Contains(r.err, "bad.evb") {
				t.Errorf("copy %d: analyze exits %d:\n%s", n, r.code, r.err)
			}
		}
	}
	t.Logf("refused for: %v", reasons)
	if reasons["trace.txt.zst"] < 500 {
		t.Errorf("refused for %v, want most for the trace, which most of the bytes are", reasons)
	}
}

// TestBundleBytes: the same trace gives the same bytes, from a trace file, its text form, and the bundle itself.
func TestBundleBytes(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	must(t, 0, "record", "-q", "--scenario", "clean", "--duration", "5ms", "-o", in("a.evt"))
	must(t, 0, "export", in("a.evt"), "-o", in("a.txt.gz"))
	must(t, 0, "bundle", in("a.evt"), "-o", in("1.evb"))
	must(t, 0, "bundle", in("a.txt.gz"), "-o", in("2.evb"))
	must(t, 0, "bundle", in("2.evb"), "-o", in("3.evb"))
	var first []byte
	for _, name := range []string{"1.evb", "2.evb", "3.evb"} {
		data, err := os.ReadFile(in(name))
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = data
		}
		if !bytes.Equal(data, first) {
			t.Errorf("%s: %d bytes that are not those of the first, which has %d", name, len(data), len(first))
		}
	}
}

// remade is a bundle with another manifest, and all hashes right.
func remade(t *testing.T, from, to string, change func(*bundle.Manifest)) {
	t.Helper()
	f, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := openBundle(from, f)
	if err != nil {
		t.Fatal(err)
	}
	m := b.Manifest
	change(&m)
	var files []bundle.File
	for _, p := range b.Manifest.Parts {
		r, _ := b.Part(p.Name)
		files = append(files, bundle.File{Name: p.Name, Data: r})
	}
	var out bytes.Buffer
	if _, err := bundle.Write(&out, m, files); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestVerifyNamesWhatDiffers: another tool or another meaning of a policy is noted; a manifest that speaks of another trace, or of another
// verdict, fails; and a trace that unpacks to more than was said is stopped.
func TestVerifyNamesWhatDiffers(t *testing.T) {
	dir := t.TempDir()
	evt, whole, other := filepath.Join(dir, "a.evt"), filepath.Join(dir, "a.evb"), filepath.Join(dir, "other.evb")
	must(t, 0, "record", "-q", "--scenario", "clean", "--duration", "5ms", "-o", evt)
	must(t, 0, "bundle", evt, "--policy", "linux-2021", "-o", whole)
	for _, tt := range []struct {
		name   string
		code   int
		want   string
		change func(*bundle.Manifest)
	}{
		{"tool", 0, "note: tool version: made by evtrace 0.0.9, judged by evtrace " + version, func(m *bundle.Manifest) { m.Tool = "evtrace 0.0.9" }},
		{"policy", 0, "note: policy semantics: the steps of linux-2021 are not what they were (digest 00ff, now ",
			func(m *bundle.Manifest) { m.Policies = []bundle.Policy{{Policy: "linux-2021", Digest: "00ff"}} }},
		{"unknown policy", 0, "note: policy semantics: linux-2031 is not known here", func(m *bundle.Manifest) { m.Policies = []bundle.Policy{{Policy: "linux-2031", Digest: "00ff"}} }},
		{"verdict", 1, "manifest.json: verdict is lost there, clean in expect.yaml", func(m *bundle.Manifest) { m.Verdict = "lost" }},
		{"seed", 1, "manifest.json: seed is 7 there, 1 in the trace", func(m *bundle.Manifest) { m.Seed = 7 }},
		{"events", 1, "manifest.json: events is 1 there, ", func(m *bundle.Manifest) { m.Events = 1 }},
		{"bomb", 1, "it unpacks to more than the text_bytes of manifest.json", func(m *bundle.Manifest) { m.TextBytes = 9000 }},
		{"less", 1, "bytes less than the text_bytes of manifest.json", func(m *bundle.Manifest) { m.TextBytes++ }},
	} {
		remade(t, whole, other, tt.change)
		if r := evtrace(t, "verify", other); r.code != tt.code || !strings.Contains(r.out, tt.want) {
			t.Errorf("%s: exit code %d, want %d, with %q:\n%s%s", tt.name, r.code, tt.code, tt.want, r.out, r.err)
		}
	}
}
