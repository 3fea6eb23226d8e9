package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/evtrace/evtrace/analyze/doctor"
)

// doctorReport runs doctor and gives its report and its exit code.
func doctorReport(t *testing.T, files ...string) (doctor.Report, int) {
	t.Helper()
	res := evtrace(t, append([]string{"doctor", "--json", "--all"}, files...)...)
	var r doctor.Report
	if res.code == codeUnreadable {
		return r, res.code
	}
	if err := json.Unmarshal([]byte(res.out), &r); err != nil {
		t.Fatalf("%v: %v\n%s%s", files, err, res.out, res.err)
	}
	return r, res.code
}

// TestDoctorCaptures: the console logs of real systems have no lost event in them at the moments of the dumps, and doctor does not
// see one.
func TestDoctorCaptures(t *testing.T) {
	dir := capturesDir(t)
	if dir == "" {
		t.Skip("no captures here")
	}
	logs, err := filepath.Glob(filepath.Join(dir, "*", "xl-dmesg.txt"))
	if err != nil || len(logs) == 0 {
		t.Fatalf("no console logs: %v", err)
	}
	dumps := 0
	for _, log := range logs {
		r, code := doctorReport(t, log)
		dumps += len(r.Dumps)
		if len(r.Suspects) > 0 || code != 0 && (code != codeUnreadable || len(r.Dumps) > 0) {
			t.Errorf("%s: exit code %d, suspects %+v; want none", log, code, r.Suspects)
		}
	}
	if dumps < 100 {
		t.Errorf("%d dumps in %d logs, want 100 or more", dumps, len(logs))
	}
}

// TestDoctorLab: dumps taken on a real Xen under load, and while the report's bug held a port.
func TestDoctorLab(t *testing.T) {
	lab := func(name string) string { return filepath.Join("testdata", "dumps", name) }
	for _, name := range []string{"2l-load.txt", "fifo-load.txt"} {
		if r, code := doctorReport(t, lab(name)); code != 0 || len(r.Suspects) > 0 || len(r.Dumps) != 10 {
			t.Errorf("%s: exit code %d, %d dumps, suspects %+v; want 0, 10, none", name, code, len(r.Dumps), r.Suspects)
		}
	}
	for _, name := range []string{"2l-lost.txt", "2l-lost-serial.log.gz"} {
		r, code := doctorReport(t, lab(name))
		if code != 10 || len(r.Suspects) != 1 {
			t.Fatalf("%s: exit code %d, suspects %+v; want 10 and one", name, code, r.Suspects)
		}
		if s := r.Suspects[0]; s.Port != 130 || s.Class != doctor.ClassLost || s.Persisted == nil || !*s.Persisted || s.Ended == 0 {
			t.Errorf("%s: %+v, want port 130 lost over two dumps, and ended", name, s)
		}
	}
}

// TestDoctorDoc: the example of docs/doctor.md is what doctor says.
func TestDoctorDoc(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join(repoRoot(t), "docs", "doctor.md"))
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(filepath.Join("testdata", "dumps"))
	out := must(t, 10, "doctor", "2l-lost.txt")
	if !strings.Contains(string(doc), "$ evtrace doctor 2l-lost.txt\n"+out+"```") {
		t.Errorf("docs/doctor.md does not have what doctor prints now:\n%s", out)
	}
}

// TestDoctorSplit: of an archive, doctor says which dumps are from before the recording, also where Xen's ring has dropped the oldest.
func TestDoctorSplit(t *testing.T) {
	dump := func(secs int) string {
		return fmt.Sprintf("(XEN) [%d.0] Event channel information for domain 0:\n(XEN) [%d.0]        1 [0/0/0]: s=5 n=0 x=0 v=0\n", secs, secs)
	}
	boot := "(XEN) [1.0] Xen version 4.17\n"
	old := boot + dump(10) + dump(20)
	for _, tt := range []struct{ name, before, after, want string }{
		{"whole", old, old + dump(30), "dumps 1 to 2 are from before the recording, the others are from its end"},
		{"ring", old, old[len(boot)+5:] + dump(30), "dumps 1 to 2 are from before the recording"},
		{"none before", boot, boot + dump(30), "all dumps are from the end of the recording"},
		{"none after", old, old, "all dumps are from before the recording"},
		{"unrelated", boot, dump(30), ""},
	} {
		name := filepath.Join(t.TempDir(), "c.tar")
		members := []member{{name: "c/xl-dmesg.before.txt", data: tt.before}, {name: "c/xl-dmesg.after.txt", data: tt.after}}
		if err := os.WriteFile(name, archiveOf(t, members...), 0o644); err != nil {
			t.Fatal(err)
		}
		r, _ := doctorReport(t, name)
		notes := strings.Join(r.Notes, "\n")
		if tt.want == "" && strings.Contains(notes, "the recording") || !strings.Contains(notes, tt.want) {
			t.Errorf("%s: got the notes %q, want %q", tt.name, notes, tt.want)
		}
	}
}
