package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/evtrace/evtrace/cmd/evtrace/bundle"
)

// unpacked gives the parts of a bundle, decompressed, one after the other, and its manifest before them.
func unpacked(t *testing.T, file string) []byte {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := openBundle(file, f)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := json.Marshal(b.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	all := bytes.NewBuffer(manifest)
	for _, p := range b.Manifest.Parts {
		part, _ := b.Part(p.Name)
		r, _, err := decompress(part)
		if err != nil {
			t.Fatal(err)
		}
		if p.Name == bundle.TraceName {
			_, err = io.Copy(all, b.Unpacked(r))
		} else {
			_, err = io.Copy(all, r)
		}
		if err != nil {
			t.Fatalf("%s: %v", p.Name, err)
		}
	}
	return all.Bytes()
}

// TestRedactedBundles: a bundle of a redacted trace verifies, gives the verdict of the original, and has none of what was taken out in any
// of its parts; and so has the file itself.
func TestRedactedBundles(t *testing.T) {
	dir := t.TempDir()
	root := repoRoot(t)
	list := []string{filepath.Join(root, "fixtures", "2l-lost-bug"), filepath.Join(root, "fixtures", "2l-bugkernel-small")}
	if traces := capturesDir(t); traces != "" {
		list = append(list, filepath.Join(traces, "2l-domu"))
	}
	evt := filepath.Join(dir, "a.evt")
	must(t, 0, "record", "-q", "--scenario", "seed-port65", "--duration", "130ms", "-o", evt)
	evb := filepath.Join(dir, "a.evb")
	must(t, 0, "bundle", evt, "--policy", "linux-2021", "--attach", filepath.Join(root, "fixtures", "2l-lost-bug", "lsevtchn.before.txt"), "-o", evb)
	for _, name := range append(list, evb) {
		out := filepath.Join(dir, "redacted.evb")
		var r redactReport
		if err := json.Unmarshal([]byte(must(t, 0, "redact", name, "--json", "--force", "-o", out)), &r); err != nil {
			t.Fatal(err)
		}
		if got := must(t, 0, "verify", out); !strings.Contains(got, "ok    "+out+": "+string(r.Verdict)) {
			t.Errorf("%s: %s", name, got)
		}
		before := evtrace(t, "analyze", name, "--json")
		if after := evtrace(t, "analyze", out, "--json"); after.code != before.code {
			t.Errorf("%s: exit code %d, was %d", name, after.code, before.code)
		}
		if sim := strings.HasPrefix(filepath.Base(name), "a."); r.Again != sim {
			t.Errorf("%s: can be run again: %t (%s)", name, r.Again, r.Why)
		}
		file, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		parts := unpacked(t, out)
		n := 0
		for _, c := range r.Changes {
			switch c.What {
			case "domain", "port", "start of the clock", "report": // numbers, and the name of a part that has another content now
				continue
			}
			if c.From == bundle.TraceName {
				continue // a capture that is called as the part is
			}
			if n++; bytes.Contains(parts, []byte(c.From)) || bytes.Contains(file, []byte(c.From)) {
				t.Errorf("%s: %s %q is still in it", name, c.What, c.From)
			}
		}
		if n == 0 {
			t.Errorf("%s: nothing was taken out", name)
		}
	}
}
