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
